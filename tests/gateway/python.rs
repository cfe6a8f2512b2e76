//! Python for senders and readers: the interpreter with `tests/python/requirements.txt` installed.
//!
//! `FLOE_TEST_PYTHON` names it; the test command in the README makes one. Without it these tests fail: an unread table is an unproved one.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

pub fn interpreter() -> PathBuf {
    std::env::var_os("FLOE_TEST_PYTHON").map(PathBuf::from).expect("FLOE_TEST_PYTHON is not set: run the tests with ./test")
}

/// Runs `tests/python/SCRIPT` and gives what it printed.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let output = Command::new(interpreter()).arg(path).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON lines that a script prints.
pub fn json_lines(script: &str, arguments: &[&str]) -> Vec<Value> {
    run(script, arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every row of a table, read by PyIceberg.
pub fn rows(floe: &super::floe::Floe, table: &str) -> Vec<Value> {
    json_lines("read.py", &["rows", &floe.source, table])
}

/// One column of every row, sorted: a multiset.
pub fn column(floe: &super::floe::Floe, table: &str, column: &str) -> Vec<String> {
    let mut values: Vec<String> = rows(floe, table).iter().map(|row| row[column].as_str().unwrap_or("NULL").to_owned()).collect();
    values.sort();
    values
}

/// The same; `None` while there is no such table.
pub fn column_or_none(floe: &super::floe::Floe, table: &str, column: &str) -> Option<Vec<String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/python/read.py");
    let output = Command::new(interpreter()).arg(path).args(["table", floe.data().to_str()?, table]).output().unwrap();
    output.status.success().then(|| self::column(floe, table, column))
}

/// The answer of DuckDB; `{invocations}` and kin stand for the tables.
pub fn sql(floe: &super::floe::Floe, query: &str) -> Vec<Value> {
    json_lines("read.py", &["sql", &floe.source, query])
}
