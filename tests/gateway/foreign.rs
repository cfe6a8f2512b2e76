//! Tables that another tool made: written as they are, or refused with the reason, and then nothing is lost.

use super::acknowledged::Acknowledged;
use super::floe::Floe;
use super::python;
use super::warehouses::{Place, Warehouse, everywhere};

everywhere!(another_order_other_ids_and_times_without_zone_are_written_as_they_are, a_partition_by_day_is_refused_by_name);

/// A gateway that finds a table as `tests/python/foreign.py` makes it, and has taken two rows.
fn start(place: &Place, variant: &str) -> (Floe, Acknowledged) {
    python::run("foreign.py", &[&place.source(), variant]);
    let (floe, mut acknowledged) = (place.start(), Acknowledged::default());
    acknowledged.send(&floe, "row");
    (floe, acknowledged)
}

fn on_files() -> Place {
    Place::open(Warehouse::SqliteAndFiles).unwrap()
}

fn is_written(place: &Place, variant: &str, files: usize) {
    let (floe, acknowledged) = start(place, variant);
    floe.settle();
    acknowledged.check(&floe, variant);
    for row in &python::rows(&floe, "invocations") {
        assert_eq!((&row["function_id"], &row["note"]), (&"checkout".into(), &serde_json::Value::Null), "{row}");
        let started = row["started_at"].as_str().unwrap();
        assert!(started.starts_with(row["date"].as_str().unwrap()) && !started.ends_with("+00:00"), "{row}");
    }
    let written = python::json_lines("read.py", &["files", &floe.source, "invocations"]);
    assert_eq!(written.len(), files, "{written:#?}");
    let counted = python::sql(&floe, "SELECT count(*) AS n FROM {invocations} WHERE started_at IS NOT NULL");
    assert_eq!(counted, [serde_json::json!({ "n": 2 })], "DuckDB");
}

fn is_refused(place: &Place, variant: &str, why: &str) {
    let (floe, _) = start(place, variant);
    for command in ["flush", "check"] {
        let said = floe.command(command).output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(!said.status.success() && text.contains(why), "{command}: {text}");
    }
    let status = floe.run("status");
    assert!(status.contains(why) && status.contains("2 = 0 + 2 + 0"), "the rows are held:\n{status}");
    assert_eq!(python::rows(&floe, "invocations").len(), 0);
}

fn another_order_other_ids_and_times_without_zone_are_written_as_they_are(place: &Place) {
    is_written(place, "reversed", 2);
}

#[test]
fn a_table_without_partitions_gets_one_file() {
    is_written(&on_files(), "unpartitioned", 1);
}

fn a_partition_by_day_is_refused_by_name(place: &Place) {
    is_refused(place, "day", "partition field `started_day` has transform day, expected identity on date or hour");
}

#[test]
fn a_partition_by_bucket_is_refused_by_name() {
    is_refused(&on_files(), "bucket", "partition field `function_bucket` has transform bucket[16]");
}

#[test]
fn a_column_that_must_have_a_value_is_refused_by_name() {
    is_refused(&on_files(), "required", "column `note` is required");
}

#[test]
fn a_column_of_a_narrower_type_is_refused_by_name() {
    is_refused(&on_files(), "narrow", "column `memory_used_bytes` is int, expected long");
}
