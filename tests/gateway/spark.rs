//! Spark reads what floe wrote as DuckDB does, compacts it and expires its snapshots; floe goes on, and every row is there once.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::floe::Floe;
use super::parts::Lake;
use super::{python, send};

const QUERY: &str = "SELECT function_id, COUNT(*) AS n, AVG(duration_ms) AS ms, SUM(CASE WHEN success THEN 0 ELSE 1 END) AS failed \
     FROM {table} WHERE date >= DATE '2020-01-01' AND cold_start = false GROUP BY function_id ORDER BY function_id";

/// `None` where Spark is not installed: the test is skipped by name.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("FLOE_TEST_SPARK").map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: FLOE_TEST_SPARK");
        println!("SKIPPED spark: FLOE_TEST_SPARK is not set, run it with ./test");
    }
    folder
}

/// The rows of each statement.
fn spark(lake: &Lake, statements: &[&str]) -> Option<Vec<Value>> {
    let folder = folder()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/spark.py");
    let output = Command::new(folder.join("venv/bin/python"))
        .arg(script)
        .arg(&folder)
        .args([format!("http://{}", lake.catalog), format!("http://{}", lake.s3)])
        .args(statements)
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn round(floe: &Floe, acknowledged: &mut Vec<String>, round: usize) {
    for (hour, function) in ["checkout", "resize"].into_iter().enumerate() {
        let id = format!("{function}-{round}");
        let start = send::now_nanos() - hour as u64 * 3_600_000_000_000;
        let body = send::body(vec![send::invocation(&id, function, start)]);
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
        acknowledged.push(id);
    }
    floe.flush();
}

#[test]
fn spark_answers_as_duckdb_compacts_and_expires_and_floe_goes_on() {
    let Some(lake) = Lake::open() else { return };
    let mut floe = Floe::start_on(Some(&lake), |config| config);
    floe.source = lake.source();
    let mut acknowledged = Vec::new();
    for number in 0..4 {
        round(&floe, &mut acknowledged, number);
    }
    let files = || python::json_lines("read.py", &["files", &floe.source, "invocations"]).len();
    assert_eq!(files(), 8);
    let table = format!("{}.invocations", lake.namespace);
    let query = QUERY.replace("{table}", &format!("r2.{table}"));
    let rewrite = format!("CALL r2.system.rewrite_data_files(table => '{table}', options => map('rewrite-all', 'true'))");
    let expire = format!(
        "CALL r2.system.expire_snapshots(table => '{table}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)"
    );
    let Some(answers) = spark(&lake, &[&query, &rewrite, &expire, &query]) else { return };
    let expected = json!([
        { "function_id": "checkout", "n": 4, "ms": 1000.0, "failed": 0 },
        { "function_id": "resize", "n": 4, "ms": 1000.0, "failed": 0 },
    ]);
    assert_eq!((&answers[0], &answers[3]), (&expected, &expected));
    assert_eq!(Value::from(python::sql(&floe, &QUERY.replace("{table}", "{invocations}"))), expected);
    assert_eq!(answers[1][0]["rewritten_data_files_count"], 8, "{}", answers[1]);
    let written = python::json_lines("read.py", &["table", &floe.source, "invocations"]);
    let snapshots = written[0]["snapshots"].as_array().unwrap();
    assert!(snapshots.len() == 1 && snapshots[0]["operation"] == "replace", "{snapshots:?}");
    assert!(files() <= 4);

    round(&floe, &mut acknowledged, 4);
    floe.kill_9();
    floe.restart();
    round(&floe, &mut acknowledged, 5);
    acknowledged.sort();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), acknowledged);
}
