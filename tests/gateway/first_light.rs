//! The main job: SDKs in, tables out, and the questions that the tables are for.

use serde_json::{Value, json};

use super::floe::{Floe, files_below};
use super::{python, send};

/// Sends the day of `tests/python/emit.py`, and gives that day.
pub fn send_a_day(floe: &Floe) -> String {
    let (grpc, http) = (format!("http://{}", floe.ports.grpc), format!("http://{}", floe.ports.http));
    python::run("emit.py", &[&grpc, &http]).trim().to_owned()
}

/// A gateway that has taken and committed it.
fn a_day_of_traffic() -> Floe {
    let floe = Floe::start();
    send_a_day(&floe);
    floe.flush();
    floe
}

/// The row whose column has this value.
pub fn by<'a>(rows: &'a [Value], column: &str, value: &str) -> &'a Value {
    rows.iter().find(|row| row[column] == value).unwrap_or_else(|| panic!("no row with {column} = {value}: {rows:#?}"))
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
    let floe = a_day_of_traffic();
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
    let floe = a_day_of_traffic();
    for path in files_below(&floe.directory) {
        // SQLite's own side files come and go.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for raw in ["hunter2hunter2", "203.0.113.7", "203.0.113.8", "198.51.100.1"] {
            assert!(!bytes.windows(raw.len()).any(|window| window == raw.as_bytes()), "{raw} is in {}", path.display());
        }
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
    let floe = a_day_of_traffic();
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
