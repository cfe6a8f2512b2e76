//! Readers of other people on what floe wrote: the same questions have the same answers in all of them. Then Spark compacts and expires, and floe goes on.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::acknowledged::Acknowledged;
use super::first_light::{by, send_a_day};
use super::floe::Floe;
use super::parts::{self, Lake};
use super::python;
use super::warehouses::{Place, Warehouse};

/// How an engine says what is not the same in all of them.
#[derive(Debug)]
pub struct Dialect {
    /// The 95th percentile of `duration_ms`, interpolated.
    p95: &'static str,
}

pub const DUCKDB: Dialect = Dialect { p95: "quantile_cont(duration_ms, 0.95)" };
const SPARK: Dialect = Dialect { p95: "percentile(duration_ms, 0.95)" };
const CLICKHOUSE: Dialect = Dialect { p95: "quantileExactInclusive(0.95)(duration_ms)" };

impl Dialect {
    pub fn speak(&self, question: &str) -> String {
        question.replace("{p95}", self.p95)
    }
}

/// The questions that the tables are for, and the answers of the day of `tests/python/emit.py`, counted by hand.
pub fn questions(floe: &Floe, day: &str) -> [(&'static str, Value); 5] {
    let next = by(&python::rows(floe, "invocations"), "invocation_id", "r2")["date"].clone();
    [
        (
            "SELECT function_id, COUNT(*) AS invocations, AVG(duration_ms) AS avg_ms, \
             SUM(CASE WHEN success THEN 0 ELSE 1 END) * 12 / COUNT(*) AS twelfths_failed \
             FROM {invocations} GROUP BY function_id ORDER BY invocations DESC",
            json!([
                {"function_id": "checkout", "invocations": 4, "avg_ms": 250.0, "twelfths_failed": 3.0},
                {"function_id": "resize", "invocations": 3, "avg_ms": 400.0, "twelfths_failed": 4.0},
            ]),
        ),
        (
            "SELECT language, cold_start, COUNT(*) AS n, AVG(duration_ms) AS avg_ms FROM {invocations} \
             WHERE cold_start IS NOT NULL GROUP BY ALL ORDER BY language, cold_start DESC",
            json!([
                {"language": "javascript", "cold_start": true, "n": 1, "avg_ms": 50.0},
                {"language": "javascript", "cold_start": false, "n": 2, "avg_ms": 575.0},
                {"language": "python", "cold_start": true, "n": 1, "avg_ms": 100.0},
                {"language": "python", "cold_start": false, "n": 2, "avg_ms": 250.0},
            ]),
        ),
        (
            "SELECT date, hour(occurred_at) AS hour, COUNT(*) AS events, COUNT(DISTINCT client_ip) AS addresses \
             FROM {rate_limits} GROUP BY date, hour(occurred_at) ORDER BY 1, 2",
            json!([
                {"date": day, "hour": 10, "events": 3, "addresses": 2},
                {"date": day, "hour": 12, "events": 1, "addresses": 1},
            ]),
        ),
        (
            "SELECT function_id, date, {p95} AS p95 FROM {invocations} GROUP BY function_id, date ORDER BY 1, 2",
            json!([
                {"function_id": "checkout", "date": day, "p95": 385.0},
                {"function_id": "resize", "date": day, "p95": 952.5},
                {"function_id": "resize", "date": next, "p95": 150.0},
            ]),
        ),
        (
            "SELECT function_id, language, COUNT(*) AS n, SUM(duration_ms) AS ms FROM {invocations} GROUP BY ALL ORDER BY 1, 2",
            json!([
                {"function_id": "checkout", "language": "python", "n": 4, "ms": 1000.0},
                {"function_id": "resize", "language": "javascript", "n": 3, "ms": 1200.0},
            ]),
        ),
    ]
}

/// With every number as a float: engines print whole ones either way.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(floats).collect(),
        Value::Object(fields) => Value::Object(fields.iter().map(|(name, value)| (name.clone(), floats(value))).collect()),
        other => other.clone(),
    }
}

/// The folder of a part; `None` where it is not installed: the test is skipped by name.
fn part(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(name).map(PathBuf::from);
    if folder.is_none() {
        parts::skipped(&format!("{name} is not set"));
    }
    folder
}

/// The lines of JSON that a script prints under the Python of a part.
fn lines(folder: &std::path::Path, script: &str, arguments: &[String]) -> Vec<Value> {
    let script = format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(folder.join("venv/bin/python"));
    let output = command.arg(script).args(arguments).env("SPARK_LOCAL_IP", "127.0.0.1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Readers in Java doubt the statistics of a writer whose name they cannot read.
    assert!(output.status.success() && !said.contains("CorruptStatistics"), "{said}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of each statement, in Spark; `{invocations}` and kin stand for the tables.
fn spark(lake: &Lake, statements: &[String]) -> Option<Vec<Value>> {
    let folder = part("FLOE_TEST_SPARK")?;
    let place = [folder.display().to_string(), lake.uri(), format!("http://{}", lake.s3)];
    let named = statements.iter().map(|statement| named(statement, |table| format!("r2.{}.{table}", lake.namespace)));
    Some(lines(&folder, "spark.py", &place.into_iter().chain(named).collect::<Vec<_>>()))
}

/// The same in ClickHouse.
fn clickhouse(lake: &Lake, queries: &[String]) -> Option<Vec<Value>> {
    let folder = part("FLOE_TEST_CHDB")?;
    let place = [lake.uri(), format!("http://{}", lake.s3)];
    let named = queries.iter().map(|query| named(query, |table| format!("r2.`{}.{table}`", lake.namespace)));
    Some(lines(&folder, "clickhouse.py", &place.into_iter().chain(named).collect::<Vec<_>>()))
}

fn named(query: &str, name: impl Fn(&str) -> String) -> String {
    let tables = ["invocations", "rate_limits", "deployments", "errors"];
    tables.iter().fold(query.to_owned(), |query, table| query.replace(&format!("{{{table}}}"), &name(table)))
}

/// A day of traffic in Apache's catalog and MinIO, and who is asked: gives each engine's answers, if it is there.
fn check(dialect: &Dialect, ask: impl Fn(&Floe, &Lake, &[String]) -> Option<Vec<Value>>) {
    let Some(place) = Place::open(Warehouse::RestAndS3) else { return };
    let floe = place.start();
    let day = send_a_day(&floe);
    floe.settle();
    let questions = questions(&floe, &day);
    let spoken: Vec<String> = questions.iter().map(|(question, _)| dialect.speak(question)).collect();
    let Some(answers) = ask(&floe, place.lake(), &spoken) else { return };
    for ((question, expected), answer) in questions.iter().zip(&answers) {
        assert_eq!(floats(answer), floats(expected), "{question}");
    }
    assert_eq!(answers.len(), questions.len());
}

#[test]
fn spark_has_the_answers_of_duckdb() {
    check(&SPARK, |_, lake, questions| spark(lake, questions));
}

#[test]
fn clickhouse_has_the_answers_of_duckdb() {
    check(&CLICKHOUSE, |_, lake, questions| clickhouse(lake, questions));
}

#[test]
fn pyiceberg_has_the_answers_of_duckdb() {
    let ask = |floe: &Floe, question: &String| Value::Array(python::json_lines("read.py", &["arrow", &floe.source, question]));
    check(&DUCKDB, |floe, _, questions| Some(questions.iter().map(|question| ask(floe, question)).collect()));
}

#[test]
fn spark_compacts_and_expires_and_floe_goes_on() {
    let Some(place) = Place::open(Warehouse::RestAndS3) else { return };
    let (mut floe, mut acknowledged) = (place.start(), Acknowledged::default());
    for round in 0..4 {
        acknowledged.send(&floe, &format!("round-{round}"));
        floe.settle();
    }
    let files = || python::json_lines("read.py", &["files", &floe.source, "invocations"]).len();
    assert_eq!(files(), 8);
    let table = format!("{}.invocations", place.lake().namespace);
    // The query of the design.
    let query = "SELECT function_id, COUNT(*) AS n, AVG(duration_ms) AS ms, SUM(CASE WHEN success THEN 0 ELSE 1 END) AS failed \
                 FROM {invocations} WHERE date >= DATE '2020-01-01' AND cold_start = false GROUP BY function_id ORDER BY function_id";
    let rewrite = format!("CALL r2.system.rewrite_data_files(table => '{table}', options => map('rewrite-all', 'true'))");
    let expire = format!(
        "CALL r2.system.expire_snapshots(table => '{table}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)"
    );
    let statements = [query.to_owned(), rewrite, expire, query.to_owned()];
    let Some(answers) = spark(place.lake(), &statements) else { return };
    let expected = json!([{ "function_id": "checkout", "n": 8, "ms": 1000.0, "failed": 0 }]);
    assert_eq!((&answers[0], &answers[3]), (&expected, &expected));
    assert_eq!(Value::from(python::sql(&floe, query)), expected);
    assert_eq!(answers[1][0]["rewritten_data_files_count"], 8, "{}", answers[1]);
    let written = python::json_lines("read.py", &["table", &floe.source, "invocations"]);
    let snapshots = written[0]["snapshots"].as_array().unwrap();
    assert!(snapshots.len() == 1 && snapshots[0]["operation"] == "replace", "{snapshots:?}");
    assert!(files() <= 4);

    acknowledged.send(&floe, "after");
    floe.settle();
    floe.kill_9();
    floe.restart();
    acknowledged.send(&floe, "after-a-kill");
    floe.settle();
    acknowledged.check(&floe, "compaction and expiry by Spark");
}
