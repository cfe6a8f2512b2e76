//! The main job: SDKs in, tables out, and the questions that the tables are for.

use serde_json::{Value, json};

use super::floe::{Floe, files_below};
use super::parts::{Lake, Warehouse};
use super::{python, send};

/// A gateway that has taken and committed the day of `tests/python/emit.py`, and that day.
fn a_day_of_traffic() -> (Floe, String) {
    a_day_in(None)
}

/// The same in a lake, with the keys that its catalog vends.
fn a_day_in(lake: Option<&Lake>) -> (Floe, String) {
    let vended = |config: String| config.replace(", access_key_id: floe, secret_access_key: floe-secret", "");
    let floe = Floe::start_on(lake, vended);
    let (grpc, http) = (format!("http://{}", floe.ports.grpc), format!("http://{}", floe.ports.http));
    let day = python::run("emit.py", &[&grpc, &http]).trim().to_owned();
    floe.flush();
    (floe, day)
}

/// One suite on two warehouses: each check is a test on each.
macro_rules! in_every_warehouse {
    ($($check:ident),+) => {
        mod on_sqlite_and_files {
            $(#[test] fn $check() { super::$check(super::Warehouse::SqliteAndFiles, &super::a_day_of_traffic()) })+
        }
        mod on_rest_and_s3 {
            $(#[test] fn $check() {
                let Some(lake) = super::Lake::open() else { return };
                super::$check(super::Warehouse::RestAndS3, &super::a_day_in(Some(&lake)))
            })+
        }
    };
}

in_every_warehouse!(
    every_value_is_read_back,
    the_five_questions_have_the_answers_counted_by_hand,
    the_tables_have_the_schema_the_partitions_and_the_order_of_the_design,
    floe_tables_shows_rows_files_watermarks_and_a_line_for_duckdb
);

/// `HH:MM:SS.ffffff` of the day, as PyIceberg's `timestamptz` prints.
fn at(day: &str, time: &str) -> String {
    format!("{day} {time}+00:00")
}

fn scheme(warehouse: Warehouse) -> &'static str {
    match warehouse {
        Warehouse::SqliteAndFiles => "file:///",
        Warehouse::RestAndS3 => "s3://floe/",
    }
}

fn by<'a>(rows: &'a [Value], column: &str, value: &str) -> &'a Value {
    rows.iter().find(|row| row[column] == value).unwrap_or_else(|| panic!("no row with {column} = {value}: {rows:#?}"))
}

fn every_value_is_read_back(_: Warehouse, (floe, day): &(Floe, String)) {
    let invocations = python::rows(floe, "invocations");
    assert_eq!(invocations.len(), 7);
    let first = by(&invocations, "invocation_id", "c1");
    let expected = json!({
        "invocation_id": "c1", "function_id": "checkout", "language": "python", "version": "2026.11.1",
        "started_at": at(day, "10:00:00"), "duration_ms": 100.0, "success": true, "error_type": null, "error_message": null,
        "cold_start": true, "memory_used_bytes": 67_108_864, "client_ip": first["client_ip"], "region": "eu-west-1", "colo": null,
        "date": day, "hour": 10,
    });
    assert_eq!(first, &expected);
    let address = first["client_ip"].as_str().unwrap();
    assert!(address.len() == 32 && !address.contains('.'), "{address} is no keyed hash");
    let failed = by(&invocations, "invocation_id", "c3");
    assert_eq!((&failed["success"], &failed["error_type"]), (&json!(false), &json!("ValueError")));
    assert_eq!(by(&invocations, "invocation_id", "c4")["cold_start"], Value::Null);
    assert_eq!(by(&invocations, "invocation_id", "c4")["hour"], 23);
    assert_eq!(by(&invocations, "invocation_id", "r1")["language"], "javascript");

    let errors = python::rows(floe, "errors");
    assert_eq!(errors.len(), 2);
    let error = by(&errors, "error_type", "ValueError");
    assert_eq!(error["invocation_id"], "c3");
    assert_eq!(error["occurred_at"], at(day, "10:10:00.001000"));
    let message = error["error_message"].as_str().unwrap();
    assert!(message.contains("card declined") && message.contains("[redacted") && !message.contains("hunter2"), "{message}");
    let stack = error["stack_trace"].as_str().unwrap();
    assert!(stack.contains("Traceback") && stack.contains("ValueError") && !stack.contains("hunter2hunter2 given"), "{stack}");

    let limits = python::rows(floe, "rate_limits");
    assert_eq!(limits.len(), 4);
    let limit = by(&limits, "limit_type", "per_function");
    assert_eq!(
        (&limit["function_id"], &limit["limit_value"], &limit["occurred_at"]),
        (&json!("resize"), &json!(1000), &json!(at(day, "12:00:00")))
    );

    let deployments = python::rows(floe, "deployments");
    let expected = json!({
        "deployment_id": "d-1", "function_id": "checkout", "version": "2026.11.1", "previous_version": "2026.10.9",
        "deployed_at": at(day, "09:00:00"), "deployed_by": "ci", "code_size_bytes": 12345, "source_map_size_bytes": 678,
        "status": "success", "rollback_reason": null, "date": day,
    });
    assert_eq!(deployments, [expected]);
}

fn the_five_questions_have_the_answers_counted_by_hand(_: Warehouse, (floe, day): &(Floe, String)) {
    let check = |query: &str, expected: Value| assert_eq!(Value::Array(python::sql(floe, query)), expected, "{query}");
    check(
        "SELECT function_id, COUNT(*) AS invocations, AVG(duration_ms) AS avg_ms,
                SUM(CASE WHEN success THEN 0 ELSE 1 END) * 12 / COUNT(*) AS twelfths_failed
         FROM {invocations} GROUP BY function_id ORDER BY invocations DESC",
        json!([
            {"function_id": "checkout", "invocations": 4, "avg_ms": 250.0, "twelfths_failed": 3.0},
            {"function_id": "resize", "invocations": 3, "avg_ms": 400.0, "twelfths_failed": 4.0},
        ]),
    );
    check(
        "SELECT language, cold_start, COUNT(*) AS n, AVG(duration_ms) AS avg_ms FROM {invocations}
         WHERE cold_start IS NOT NULL GROUP BY ALL ORDER BY language, cold_start DESC",
        json!([
            {"language": "javascript", "cold_start": true, "n": 1, "avg_ms": 50.0},
            {"language": "javascript", "cold_start": false, "n": 2, "avg_ms": 575.0},
            {"language": "python", "cold_start": true, "n": 1, "avg_ms": 100.0},
            {"language": "python", "cold_start": false, "n": 2, "avg_ms": 250.0},
        ]),
    );
    check(
        "SELECT date, hour(occurred_at) AS hour, COUNT(*) AS events, COUNT(DISTINCT client_ip) AS addresses
         FROM {rate_limits} GROUP BY ALL ORDER BY ALL",
        json!([
            {"date": day, "hour": 10, "events": 3, "addresses": 2},
            {"date": day, "hour": 12, "events": 1, "addresses": 1},
        ]),
    );
    let next = by(&python::rows(floe, "invocations"), "invocation_id", "r2")["date"].clone();
    check(
        "SELECT function_id, date, quantile_cont(duration_ms, 0.95) AS p95 FROM {invocations} GROUP BY ALL ORDER BY ALL",
        json!([
            {"function_id": "checkout", "date": day, "p95": 385.0},
            {"function_id": "resize", "date": day, "p95": 952.5},
            {"function_id": "resize", "date": next, "p95": 150.0},
        ]),
    );
    check(
        "SELECT function_id, language, COUNT(*) AS n, SUM(duration_ms) AS ms FROM {invocations} GROUP BY ALL ORDER BY ALL",
        json!([
            {"function_id": "checkout", "language": "python", "n": 4, "ms": 1000.0},
            {"function_id": "resize", "language": "javascript", "n": 3, "ms": 1200.0},
        ]),
    );
}

fn the_tables_have_the_schema_the_partitions_and_the_order_of_the_design(warehouse: Warehouse, (floe, day): &(Floe, String)) {
    let data = floe.source.as_str();
    let table = &python::json_lines("read.py", &["table", data, "invocations"])[0];
    assert_eq!(table["format"], 2);
    assert_eq!(table["partition"], json!([["date", "identity", "date"], ["hour", "identity", "hour"]]));
    assert_eq!(table["sort"], json!([["function_id", "ASC", "NULLS FIRST"], ["started_at", "ASC", "NULLS FIRST"]]));
    let fields: Vec<(u64, &str, &str)> = table["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field[0].as_u64().unwrap(), field[1].as_str().unwrap(), field[2].as_str().unwrap()))
        .collect();
    assert_eq!(
        fields,
        [
            (1, "invocation_id", "string"),
            (2, "function_id", "string"),
            (3, "language", "string"),
            (4, "version", "string"),
            (5, "started_at", "timestamptz"),
            (6, "duration_ms", "double"),
            (7, "success", "boolean"),
            (8, "error_type", "string"),
            (9, "error_message", "string"),
            (10, "cold_start", "boolean"),
            (11, "memory_used_bytes", "long"),
            (12, "client_ip", "string"),
            (13, "region", "string"),
            (14, "colo", "string"),
            (15, "date", "date"),
            (16, "hour", "int"),
        ]
    );
    assert!(table["fields"].as_array().unwrap().iter().all(|field| field[3].as_str().is_some_and(|doc| !doc.is_empty())));
    for other in ["rate_limits", "deployments", "errors"] {
        let table = &python::json_lines("read.py", &["table", data, other])[0];
        assert_eq!(table["partition"], json!([["date", "identity", "date"]]), "{other}");
    }
    let all = python::json_lines("read.py", &["files", data, "invocations"]);
    let late = python::json_lines("read.py", &["files", data, "invocations", &format!("date = '{day}' and hour = 23")]);
    assert_eq!((all.len(), late.len()), (4, 1), "10 and 23 o'clock, 11 o'clock, and midnight: {all:#?}");
    let path = late[0]["path"].as_str().unwrap();
    assert!(path.starts_with(scheme(warehouse)) && path.contains(&format!("/date={day}/hour=23/")), "{path}");
}

#[test]
fn cloudflare_workers_payloads_make_the_rows_that_their_readme_names() {
    let floe = Floe::start();
    for (file, signal) in [("preflight-traces", "traces"), ("preflight-logs", "logs"), ("traces", "traces"), ("logs", "logs")] {
        let path = format!("{}/tests/fixtures/cloudflare-workers/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let reply = send::export_json(floe.ports.http, signal, &std::fs::read(path).unwrap()).unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"), "{file}");
    }
    floe.flush();
    let invocations = python::rows(&floe, "invocations");
    assert_eq!(invocations.len(), 2);
    let failed = by(&invocations, "invocation_id", "6f0e1b7f37245f2a9334ee564c4d1749");
    assert_eq!(
        json!([
            failed["success"],
            failed["error_type"],
            failed["duration_ms"],
            failed["colo"],
            failed["region"],
            failed["language"]
        ]),
        json!([false, "Error", 19.0, "LHR", "WEUR", "javascript"])
    );
    assert_eq!(invocations.iter().filter(|row| row["success"] == true).count(), 1);
    let errors = python::rows(&floe, "errors");
    let mut ids: Vec<&str> = errors.iter().map(|row| row["error_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2, "the span event and the log of one exception are one error: {errors:#?}");
    assert!(errors.iter().any(|row| row["error_message"] == "dyn threw"));
}

#[test]
fn prometheus_shows_what_was_sent_and_both_laws_hold() {
    let (floe, _) = a_day_of_traffic();
    let page = send::get(floe.ports.prometheus, "/metrics").unwrap();
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(!text.contains("203.0.113") && !text.contains("hunter2"), "a raw value is exposed");
    let sum = |name: &str, function: &str| -> u64 {
        let label = format!("function=\"{function}\"");
        let of = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(&label);
        text.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!(sum("function_invocations_total", "checkout"), 4, "{text}");
    assert_eq!(sum("function_invocations_total", "resize"), 3);
    let status = floe.run("status");
    for line in status.lines().filter(|line| line.contains(" = ") && line.starts_with("  ")) {
        let numbers = line.split_once("  watermark").map_or(line, |(law, _)| law);
        let (left, right) = numbers.split_once(" = ").unwrap();
        let left: u64 = left.split_whitespace().last().unwrap().parse().unwrap();
        let right: u64 = right.split(" + ").map(|term| term.trim().parse::<u64>().unwrap()).sum();
        assert_eq!(left, right, "{status}");
    }
    assert!(status.contains("7 = 7 + 0 + 0"), "seven invocations were logged and committed:\n{status}");
}

#[test]
fn no_secret_and_no_address_is_in_any_file() {
    let (floe, _) = a_day_of_traffic();
    for path in files_below(&floe.directory) {
        // SQLite's own side files come and go.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for raw in ["hunter2hunter2", "203.0.113.7", "203.0.113.8", "198.51.100.1"] {
            assert!(!bytes.windows(raw.len()).any(|window| window == raw.as_bytes()), "{raw} is in {}", path.display());
        }
    }
}

fn floe_tables_shows_rows_files_watermarks_and_a_line_for_duckdb(warehouse: Warehouse, (floe, _): &(Floe, String)) {
    let printed = floe.run("tables");
    let line = format!("SELECT * FROM iceberg_scan('{}", scheme(warehouse));
    for expected in ["invocations", "rate_limits", "deployments", "errors", "watermark", &line] {
        assert!(printed.contains(expected), "no {expected} in\n{printed}");
    }
}

#[test]
fn the_examples_in_python_and_rust_make_their_rows() {
    let floe = Floe::start();
    let endpoint = format!("http://{}", floe.ports.grpc);
    let example = format!("{}/examples/python/functions.py", env!("CARGO_MANIFEST_DIR"));
    let sent = std::process::Command::new(python::interpreter()).args([&example, &endpoint]).status().unwrap();
    assert!(sent.success());
    let rust = floe_example("functions");
    let sent = std::process::Command::new(rust).arg(&endpoint).status().unwrap();
    assert!(sent.success());
    floe.flush();
    let counted = python::sql(
        &floe,
        "SELECT function_id, language, COUNT(*) AS n, SUM(CASE WHEN success THEN 0 ELSE 1 END) AS failed FROM {invocations} GROUP BY ALL ORDER BY ALL",
    );
    let expected = json!([
        {"function_id": "resize", "language": "rust", "n": 10, "failed": 1},
        {"function_id": "thumbnails", "language": "python", "n": 100, "failed": 4},
    ]);
    assert_eq!(Value::Array(counted), expected);
    assert_eq!(python::rows(&floe, "errors").len(), 5);
}

/// An example of this package, which cargo builds along with the tests.
fn floe_example(name: &str) -> std::path::PathBuf {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_floe"));
    binary.with_file_name("examples").join(name)
}

#[test]
fn promtool_has_nothing_to_say_about_the_exposition() {
    if std::process::Command::new("promtool").arg("--version").output().is_err() {
        println!("SKIPPED 1: promtool is not installed");
        return;
    }
    let (floe, _) = a_day_of_traffic();
    let page = send::get(floe.ports.prometheus, "/metrics").unwrap().text();
    let mut promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success(), "{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
}

#[test]
fn points_of_the_shipped_rule_become_rate_limits_and_points_of_other_kinds_are_exposed() {
    use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
    use opentelemetry_proto::tonic::metrics::v1::{
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data, number_data_point,
    };
    use prost::Message;

    let example =
        std::fs::read_to_string(format!("{}/examples/pipelines/rate-limit-metrics.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let floe = Floe::start_with(|shipped| with_ports_of(&example, &shipped));
    let now = send::now_nanos();
    let hits = |limited: i64, address: &str| NumberDataPoint {
        attributes: vec![
            send::string("faas.name", "checkout"),
            send::string("rate_limit.type", "per_ip"),
            send::string("client.address", address),
        ],
        start_time_unix_nano: now - 1_000_000_000,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsInt(limited)),
        ..Default::default()
    };
    let sum =
        Sum { data_points: vec![hits(3, "203.0.113.7"), hits(0, "203.0.113.8")], aggregation_temporality: 1, is_monotonic: true };
    let summary =
        Summary { data_points: vec![SummaryDataPoint { time_unix_nano: now, count: 1, sum: 1.0, ..Default::default() }] };
    let metric = |name: &str, data| Metric { name: name.into(), data: Some(data), ..Default::default() };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric("rate_limit.hits", Data::Sum(sum)), metric("old.summary", Data::Summary(summary))],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let reply = send::export(floe.ports.http, "metrics", &request.encode_to_vec()).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(ExportMetricsServiceResponse::decode(reply.body.as_slice()).unwrap().partial_success, None);
    floe.flush();
    let rows = python::rows(&floe, "rate_limits");
    assert_eq!(rows.len(), 1, "the point without a hit makes no row: {rows:#?}");
    assert_eq!((&rows[0]["function_id"], &rows[0]["limit_type"]), (&json!("checkout"), &json!("per_ip")));
    let page = send::get(floe.ports.prometheus, "/metrics").unwrap().text();
    assert!(
        page.contains("rate_limit_hits_total") && page.contains("old_summary_count 1\n") && !page.contains("203.0.113"),
        "{page}"
    );
}

/// An example configuration on the ports of a test.
fn with_ports_of(example: &str, shipped: &str) -> String {
    let extensions = shipped.split("\nextensions:\n").nth(1).unwrap().split("\nservice:\n").next().unwrap();
    let telemetry = shipped.lines().find(|line| line.contains("telemetry:")).unwrap();
    let receivers = shipped.lines().find(|line| line.contains("otlp:")).unwrap();
    let prometheus = shipped.lines().find(|line| line.contains("prometheus: {")).unwrap();
    let mut whole = String::new();
    let mut skip = false;
    for line in example.lines() {
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            skip = line.starts_with("extensions:") || line.starts_with("receivers:");
        }
        if line.starts_with("  prometheus:") {
            whole.push_str(prometheus);
        } else if !skip && !line.trim_start().starts_with("telemetry:") {
            whole.push_str(line);
        }
        whole.push('\n');
    }
    let service = whole.find("service:\n").unwrap();
    whole.insert_str(service + "service:\n".len(), &format!("{telemetry}\n"));
    format!("receivers:\n{receivers}\n{whole}\nextensions:\n{extensions}\n")
}

#[test]
fn validate_says_where_a_pipeline_would_write_raw_values() {
    let floe = Floe::start();
    let raw = std::fs::read_to_string(floe.directory.join("pipelines.yaml")).unwrap();
    std::fs::write(floe.directory.join("raw.yaml"), raw.replace("[map, sanitize, hash_ip, truncate_stack]", "[map, sanitize]"))
        .unwrap();
    let said = floe.command("validate").args(["--config", "raw.yaml"]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success());
    assert!(text.starts_with("floe: raw.yaml:") && text.contains("client_ip") && text.contains("allow_raw"), "{text}");
    let place: Vec<&str> = text.split(':').skip(2).take(2).collect();
    assert!(place.iter().all(|number| number.parse::<u64>().is_ok_and(|number| number > 0)), "{text}");
}
