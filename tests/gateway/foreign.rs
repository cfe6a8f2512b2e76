//! Tables that another tool made: written as they are, or refused with the reason, and then nothing is lost.

use super::floe::Floe;
use super::{python, send};

/// A gateway that finds a table as `tests/python/foreign.py` makes it, and has taken two rows.
fn start(variant: &str) -> Floe {
    let mut floe = Floe::prepare(|config| config);
    python::run("foreign.py", &[floe.data().to_str().unwrap(), variant]);
    floe.restart();
    for hour in 0..2 {
        let start = send::now_nanos() - hour * 3_600_000_000_000;
        let body = send::body(vec![send::invocation(&format!("row-{hour}"), "checkout", start)]);
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    }
    floe
}

fn is_written(variant: &str, files: usize) {
    let floe = start(variant);
    floe.flush();
    let rows = python::rows(&floe, "invocations");
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["row-0", "row-1"]);
    for row in &rows {
        assert_eq!((&row["function_id"], &row["note"]), (&"checkout".into(), &serde_json::Value::Null), "{row}");
        let started = row["started_at"].as_str().unwrap();
        assert!(started.starts_with(row["date"].as_str().unwrap()) && !started.ends_with("+00:00"), "{row}");
    }
    let written = python::json_lines("read.py", &["files", &floe.source, "invocations"]);
    assert_eq!(written.len(), files, "{written:#?}");
    let counted = python::sql(&floe, "SELECT count(*) AS n FROM {invocations} WHERE started_at IS NOT NULL");
    assert_eq!(counted, [serde_json::json!({ "n": 2 })], "DuckDB");
}

fn is_refused(variant: &str, why: &str) {
    let floe = start(variant);
    for command in ["flush", "check"] {
        let said = floe.command(command).output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(!said.status.success() && text.contains(why), "{command}: {text}");
    }
    let status = floe.run("status");
    assert!(status.contains(why) && status.contains("2 = 0 + 2 + 0"), "the rows are held:\n{status}");
    assert_eq!(python::rows(&floe, "invocations").len(), 0);
}

#[test]
fn another_order_other_ids_and_times_without_zone_are_written_as_they_are() {
    is_written("reversed", 2);
}

#[test]
fn a_table_without_partitions_gets_one_file() {
    is_written("unpartitioned", 1);
}

#[test]
fn a_partition_by_day_is_refused_by_name() {
    is_refused("day", "partition field `started_day` has transform day, expected identity on date or hour");
}

#[test]
fn a_partition_by_bucket_is_refused_by_name() {
    is_refused("bucket", "partition field `function_bucket` has transform bucket[16]");
}

#[test]
fn a_column_that_must_have_a_value_is_refused_by_name() {
    is_refused("required", "column `note` is required");
}

#[test]
fn a_column_of_a_narrower_type_is_refused_by_name() {
    is_refused("narrow", "column `memory_used_bytes` is int, expected long");
}
