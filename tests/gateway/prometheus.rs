//! The Prometheus exporter with real parts: SDKs send, a Prometheus scrapes every format and answers PromQL, parsers of other projects read, and the
//! Collector's exporter says the same. The Debian package `prometheus` has the server; ./test installs it. Numbers are those of
//! `tests/python/metrics.py` and `tests/emitters/go/meter`, counted by hand.

mod collector;
mod parsers;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::Value;

use super::emitters::part;
use super::floe::{Floe, PATIENCE};
use super::{python, send};

const TEXT: &str = "text/plain;version=0.0.4";
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

/// A Prometheus that scrapes once a second.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Scrapes floe as three jobs: `protobuf` by itself, because native histograms are on, `openmetrics` and `text` through [`relay`]. `None` where the
/// server cannot be had.
fn prometheus(floe: &Floe) -> Option<Server> {
    if Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "prometheus is missing: in CI nothing may be skipped");
        println!("SKIPPED 1: prometheus is not on PATH (Debian: apt-get install prometheus)");
        return None;
    }
    let exporter = floe.ports.prometheus;
    let jobs = [("protobuf", exporter), ("openmetrics", relay(exporter, OPEN_METRICS)), ("text", relay(exporter, TEXT))];
    let jobs = jobs.map(|(job, at)| format!("  - {{ job_name: {job}, static_configs: [{{ targets: ['{at}'] }}] }}\n")).concat();
    let config = format!("global: {{ scrape_interval: 1s }}\nscrape_configs:\n{jobs}");
    let file = floe.directory.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = std::fs::File::create(floe.directory.join("prometheus.log")).unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", floe.directory.join("prometheus").display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--enable-feature=native-histograms,exemplar-storage", "--log.level=warn"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Some(Server { child, address })
}

/// Passes each scrape on with an `Accept` of its own: this Prometheus cannot be told which format it is to ask for.
fn relay(to: SocketAddr, accept: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head =
                BufReader::new(&stream).lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).count();
            let Ok(reply) = send::http(to, "GET", "/metrics", &[("Accept", accept)], b"") else { continue };
            let kind = reply.header("content-type").unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 {} relayed\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                reply.status,
                reply.body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&reply.body));
            assert!(head > 0);
        }
    });
    address
}

impl Server {
    fn get(&self, path: &str, query: &str) -> Value {
        let coded = query.bytes().fold(String::new(), |coded, byte| coded + &format!("%{byte:02X}"));
        let reply = send::get(self.address, &format!("{path}?query={coded}"));
        reply.ok().and_then(|reply| serde_json::from_slice(&reply.body).ok()).unwrap_or(Value::Null)
    }

    /// The values that a query answers with, sorted.
    fn ask(&self, query: &str) -> Vec<f64> {
        let answer = self.get("/api/v1/query", query);
        let results = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let mut values: Vec<f64> = results.iter().filter_map(|result| result["value"][1].as_str()?.parse().ok()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// Waits until a query answers with these values; scrapes come when they come.
    fn expect(&self, floe: &Floe, query: &str, expected: &[f64]) {
        let near = |found: &[f64]| found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
        let found = wait(|| Some(self.ask(query)).filter(|found| near(found))).unwrap_or_else(|| self.ask(query));
        let log = std::fs::read_to_string(floe.directory.join("prometheus.log")).unwrap_or_default();
        assert!(near(&found), "{query} is {found:?}, expected {expected:?}\n{log}\n{}", page(floe, OPEN_METRICS));
    }
}

fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

fn page(floe: &Floe, accept: &str) -> String {
    send::http(floe.ports.prometheus, "GET", "/metrics", &[("Accept", accept)], b"").unwrap().text()
}

/// What `promtool check metrics` makes of a page: its status, 3 where it can read it but has advice, and what it says. `None` where it cannot be had.
fn promtool(page: &str) -> Option<(Option<i32>, String)> {
    let piped = Stdio::piped;
    let mut command = Command::new("promtool");
    let Ok(mut child) = command.args(["check", "metrics"]).stdin(piped()).stdout(piped()).stderr(piped()).spawn() else {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing: in CI nothing may be skipped");
        println!("SKIPPED 1: promtool is not on PATH (Debian: apt-get install prometheus)");
        return None;
    };
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
}

/// The story of `tests/python/metrics.py` with both temporalities, and that of the Go SDK where it can be had; gives the names of the services.
fn send_stories(floe: &Floe) -> Vec<String> {
    let (grpc, http) = (format!("http://{}", floe.ports.grpc), format!("http://{}", floe.ports.http));
    python::run("metrics.py", &[&grpc, &http]);
    let mut services = vec!["python-delta".to_owned(), "python-cumulative".to_owned()];
    if let Some(folder) = part("GO") {
        for temporality in ["delta", "cumulative"] {
            let service = format!("go-{temporality}");
            let output = Command::new(folder.join("meter")).args([temporality, &grpc, &service]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            services.push(service);
        }
    }
    services
}

#[test]
fn prometheus_answers_with_the_numbers_that_the_sdks_sent_in_every_format() {
    let floe = Floe::start();
    let Some(server) = prometheus(&floe) else { return };
    let services = send_stories(&floe);
    let spans = (0..7).map(|n| send::invocation(&format!("i{n}"), "checkout", send::now_nanos())).collect();
    assert_eq!(send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status, 200);
    for job in ["protobuf", "openmetrics", "text"] {
        for service in &services {
            let of = format!("job=\"{job}\",exported_job=\"{service}\"");
            let expect = |query: String, expected: &[f64]| server.expect(&floe, &query, expected);
            expect(format!("sdk_requests_total{{{of},http_route=\"/a\"}}"), &[12.0]);
            expect(format!("sdk_requests_total{{{of},http_route=\"/b\",otel_scope_version=\"1.0\"}}"), &[1.0]);
            expect(format!("sdk_active{{{of}}}"), &[3.0]);
            expect(format!("sdk_level{{{of}}}"), &[0.25]);
            expect(format!("target_info{{{of},deployment_environment_name=\"test\"}}"), &[1.0]);
            if job == "protobuf" {
                // The native one takes the place of the classic one.
                expect(format!("histogram_count(sdk_size_bytes{{{of}}})"), &[100.0]);
                expect(format!("histogram_sum(sdk_size_bytes{{{of}}})"), &[5_050.0]);
                let median = server.ask(&format!("histogram_quantile(0.5, sdk_size_bytes{{{of}}})"));
                assert!(matches!(median[..], [median] if (48.0..=52.0).contains(&median)), "{median:?}");
            } else {
                expect(format!("sdk_size_bytes_count{{{of}}}"), &[100.0]);
                expect(format!("count(sdk_size_bytes_bucket{{{of}}}) <= bool 20"), &[1.0]);
            }
            expect(format!("sdk_latency_seconds_count{{{of}}}"), &[4.0]);
            expect(format!("sdk_latency_seconds_bucket{{{of},le=~\"0.5\"}}"), &[3.0]);
        }
        server.expect(
            &floe,
            &format!("function_invocations_total{{job=\"{job}\",function=\"checkout\",outcome=\"success\"}}"),
            &[7.0],
        );
        let duration = match job {
            "protobuf" => "histogram_count(function_duration_seconds{job=\"protobuf\"})".to_owned(),
            job => format!("function_duration_seconds_bucket{{job=\"{job}\",le=~\"1|1.0\"}}"),
        };
        server.expect(&floe, &duration, &[7.0]);
    }
}

#[test]
fn a_restart_of_floe_or_of_a_sender_is_what_rate_expects() {
    let mut floe = Floe::start();
    let Some(server) = prometheus(&floe) else { return };
    let invoke = |floe: &Floe, ids: std::ops::Range<u32>| {
        let spans = ids.map(|n| send::invocation(&format!("i{n}"), "checkout", send::now_nanos())).collect();
        assert_eq!(send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status, 200);
    };
    let total = |floe: &Floe, start: u64, time: u64, value: i64| {
        assert_eq!(send::export(floe.ports.http, "metrics", &sum("jobs", 2, &[("", value)], start, time)).unwrap().status, 200);
    };
    let of = "{job=\"openmetrics\",function=\"checkout\",outcome=\"success\"}";
    let now = send::now_nanos();
    invoke(&floe, 0..5);
    total(&floe, now, now + 1, 10);
    server.expect(&floe, &format!("function_invocations_total{of}"), &[5.0]);
    server.expect(&floe, "jobs_total{job=\"text\"}", &[10.0]);
    // A sender begins again: no reset is seen, because what it counted stays counted.
    total(&floe, now + 2, now + 3, 4);
    server.expect(&floe, "jobs_total{job=\"text\"}", &[14.0]);
    server.expect(&floe, "resets(jobs_total{job=\"text\"}[10m])", &[0.0]);
    // floe is killed and counts from zero: one reset, and the increase is what came after it.
    floe.kill_9();
    floe.restart();
    invoke(&floe, 5..8);
    server.expect(&floe, &format!("function_invocations_total{of}"), &[3.0]);
    server.expect(&floe, &format!("resets(function_invocations_total{of}[10m])"), &[1.0]);
    assert!(server.ask(&format!("increase(function_invocations_total{of}[10m])")).iter().all(|increase| *increase >= 3.0));
}

/// One sum with a point for each value of the label `user`, over OTLP; temporality 1 is delta, 2 cumulative.
fn sum(name: &str, temporality: i32, points: &[(&str, i64)], start: u64, time: u64) -> Vec<u8> {
    let exemplar = Exemplar {
        time_unix_nano: time,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        value: Some(exemplar::Value::AsInt(1)),
        ..Exemplar::default()
    };
    let point = |(user, value): &(&str, i64)| NumberDataPoint {
        attributes: vec![send::string("user", user)],
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(Number::AsInt(*value)),
        exemplars: vec![exemplar.clone()],
        ..NumberDataPoint::default()
    };
    let sum = Sum { data_points: points.iter().map(point).collect(), aggregation_temporality: temporality, is_monotonic: true };
    let metrics = vec![Metric { name: name.to_owned(), data: Some(Data::Sum(sum)), ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource = Some(Resource { attributes: vec![send::string("service.name", "sender")], ..Resource::default() });
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

#[test]
fn a_parser_of_another_project_reads_open_metrics() {
    let created = |config: String| config.replace("prometheus: { endpoint:", "prometheus: { created_timestamps: true, endpoint:");
    let floe = Floe::start_with(created);
    send_stories(&floe);
    let spans = (0..7).map(|n| send::invocation(&format!("i{n}"), "checkout", send::now_nanos())).collect();
    assert_eq!(send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status, 200);
    let now = send::now_nanos();
    assert_eq!(send::export(floe.ports.http, "metrics", &sum("jobs", 1, &[("a", 3)], now, now + 1)).unwrap().status, 200);
    let page = page(&floe, OPEN_METRICS);
    let samples = parsers::open_metrics(page.as_bytes());
    let find = |name: &str, label: (&str, &str)| {
        let found = samples.iter().find(|sample| sample["name"] == name && sample["labels"][label.0] == label.1);
        found.unwrap_or_else(|| panic!("no {name} with {label:?} in\n{page}"))
    };
    assert_eq!(find("sdk_requests_total", ("http_route", "/a"))["value"], "12");
    assert_eq!(find("sdk_latency_seconds_bucket", ("le", "0.5"))["unit"], "seconds");
    assert_eq!(find("target_info", ("job", "python-delta"))["type"], "info");
    assert_eq!(find("function_duration_seconds_count", ("function", "checkout"))["value"], "7");
    let exemplar = &find("jobs_total", ("user", "a"))["exemplar"];
    assert_eq!(
        (exemplar["labels"]["trace_id"].as_str(), exemplar["labels"]["span_id"].as_str()),
        (Some("ab".repeat(16).as_str()), Some("cd".repeat(8).as_str()))
    );
    let created: f64 = find("jobs_created", ("user", "a"))["value"].as_str().unwrap().parse().unwrap();
    assert!((created - Duration::from_nanos(now).as_secs_f64()).abs() < 60.0);
}

/// Where the configuration adds the column `trace_id`, the duration of an invocation leads to its trace.
#[test]
fn rows_with_a_trace_are_exemplars() {
    let columns = "columns: { invocations: { trace_id: { field: trace_id }, span_id: { field: span_id } } }";
    let floe = Floe::start_with(|config| config.replace("max_event_age: 0 }", &format!("max_event_age: 0, {columns} }}")));
    let span = send::invocation("i1", "checkout", send::now_nanos());
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let exemplar = format!(" # {{trace_id=\"{}\",span_id=\"{}\"}} 1 ", hex(&span.trace_id), hex(&span.span_id));
    assert_eq!(send::export(floe.ports.http, "traces", &send::body(vec![span])).unwrap().status, 200);
    let page = page(&floe, OPEN_METRICS);
    let bucket = page.lines().find(|line| line.starts_with("function_duration_seconds_bucket") && line.contains("le=\"1.0\""));
    assert!(bucket.is_some_and(|bucket| bucket.contains(&exemplar)), "no {exemplar} in\n{page}");
}

#[test]
fn a_request_of_points_that_is_sent_again_counts_once() {
    let floe = Floe::start();
    let now = send::now_nanos();
    let (one, other) = (sum("jobs", 1, &[("a", 3)], now, now + 1), sum("jobs", 1, &[("a", 4)], now + 1, now + 2));
    for body in [&one, &other, &one, &one, &other] {
        assert_eq!(send::export(floe.ports.http, "metrics", body).unwrap().status, 200);
    }
    let page = page(&floe, TEXT);
    assert!(page.contains("jobs_total{job=\"sender\",user=\"a\"} 7\n"), "{page}");
    let own = send::get(floe.ports.metrics, "/metrics").unwrap().text();
    let duplicates = "floe_pipeline_records_total{pipeline=\"metrics\",signal=\"metrics\",state=\"duplicate\"} 3";
    assert!(own.contains(duplicates), "{own}");
}

#[test]
fn a_label_of_many_values_costs_one_series_more_and_no_memory() {
    let floe = Floe::start_with(|config| config.replace("prometheus: { endpoint:", "prometheus: { max_series: 2000, endpoint:"));
    let attack = |round: u64| {
        let users: Vec<String> = (0..10_000).map(|n| format!("user-{round}-{n}")).collect();
        let points: Vec<(&str, i64)> = users.iter().map(|user| (user.as_str(), 1)).collect();
        assert_eq!(send::export(floe.ports.http, "metrics", &sum("jobs", 1, &points, round, round + 1)).unwrap().status, 200);
    };
    (1..4).for_each(attack);
    let before = floe.resident_kib();
    (4..10).for_each(attack);
    let grown = floe.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
    let page = page(&floe, TEXT);
    assert!(page.contains("jobs_total{otel_metric_overflow=\"true\"} 89000\n"), "{page}");
    assert_eq!(page.lines().filter(|line| line.starts_with("jobs_total{")).count(), 1_001);
}

/// Nobody scrapes, and what is silent goes all the same. The length itself is tried on a clock of the test's own (`tests/bounds.rs` of the exporter).
#[test]
fn what_is_silent_expires_though_nobody_scrapes() {
    let floe =
        Floe::start_with(|config| config.replace("prometheus: { endpoint:", "prometheus: { metric_expiration: 1s, endpoint:"));
    let now = send::now_nanos();
    assert_eq!(send::export(floe.ports.http, "metrics", &sum("jobs", 1, &[("a", 3)], now, now + 1)).unwrap().status, 200);
    let expired = || {
        let own = send::get(floe.ports.metrics, "/metrics").unwrap().text();
        // Its `target_info` has gone with it.
        let gone =
            ["floe_prometheus_expired_total{exporter=\"prometheus\"} 2", "floe_prometheus_series{exporter=\"prometheus\"} 0"];
        gone.iter().all(|line| own.contains(line)).then_some(())
    };
    assert!(wait(expired).is_some(), "{}", send::get(floe.ports.metrics, "/metrics").unwrap().text());
    assert!(!page(&floe, TEXT).contains("jobs_total"));
}

#[test]
fn the_endpoint_speaks_http() {
    let floe = Floe::start();
    let now = send::now_nanos();
    let points: Vec<String> = (0..3_000).map(|n| format!("user-{n}")).collect();
    let points: Vec<(&str, i64)> = points.iter().map(|user| (user.as_str(), 1)).collect();
    assert_eq!(send::export(floe.ports.http, "metrics", &sum("jobs", 1, &points, now, now + 1)).unwrap().status, 200);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| send::http(floe.ports.prometheus, method, path, headers, b"");
    let plain = ask("GET", "/metrics", &[]).unwrap();
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(plain.text().lines().filter(|line| line.starts_with("jobs_total{")).count(), 3_000);
    let coded = ask("GET", "/metrics", &[("Accept-Encoding", "gzip")]).unwrap();
    assert_eq!(coded.header("content-encoding"), Some("gzip"));
    let mut read = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&coded.body[..]), &mut read).unwrap();
    assert_eq!(read, plain.text());
    let head = ask("HEAD", "/metrics", &[("Accept", OPEN_METRICS)]).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_eq!(ask("GET", "/", &[]).unwrap().status, 404);
    assert_eq!(ask("POST", "/metrics", &[]).unwrap().status, 405);
}

/// Each rule of deploy/prometheus does what its promtool test says, and asks for no series that nobody exposes.
#[test]
fn the_rules_for_functions_and_for_floe_do_what_their_tests_say() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let mut rules = String::new();
    for name in ["functions", "floe"] {
        for (what, file) in [("check", format!("{name}.rules.yml")), ("test", format!("{name}.test.yml"))] {
            let Ok(output) = Command::new("promtool").args([what, "rules", &file]).current_dir(&folder).output() else {
                assert!(std::env::var_os("CI").is_none(), "promtool is missing: in CI nothing may be skipped");
                return println!("SKIPPED 1: promtool is not on PATH (Debian: apt-get install prometheus)");
            };
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&said));
        }
        rules += &std::fs::read_to_string(folder.join(format!("{name}.rules.yml"))).unwrap();
    }
    let floe = Floe::start();
    let now = send::now_nanos();
    let spans = vec![send::invocation("i1", "checkout", now)];
    assert_eq!(send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status, 200);
    let exposed = page(&floe, TEXT) + &send::get(floe.ports.metrics, "/metrics").unwrap().text();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let asked = words.filter(|word| !word.contains(':') && (word.starts_with("function_") || word.starts_with("floe_")));
    for name in asked {
        // Made by the first rate limit and the first deployment.
        let rare = ["function_rate_limits_total", "function_deployment_timestamp_seconds"].contains(&name);
        assert!(rare || exposed.contains(&format!("\n{name}")), "{name} is not exposed");
    }
}
