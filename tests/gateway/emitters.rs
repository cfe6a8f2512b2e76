//! Real senders: the SDKs of `tests/emitters`, which tell the story of its README. Every value is read back, and both conservation laws are counted from
//! what the senders sent.
//!
//! In each test the gateway's log is full at first, so that the first sender is told "later" and must deliver by itself, once.
//! `FLOE_TEST_JAVASCRIPT`, `FLOE_TEST_GO` and `FLOE_TEST_JAVA` name the folders that `tests/parts/*.sh` fill; ./test sets them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::floe::{Floe, PATIENCE};
use super::{python, send};

/// The folder of a part, or `None` where ./test has said that it cannot be had.
pub fn part(name: &str) -> Option<PathBuf> {
    let variable = format!("FLOE_TEST_{name}");
    let folder = std::env::var_os(&variable).map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: in CI nothing may be skipped");
        println!("SKIPPED 1: {variable} is not set (tests/parts)");
    }
    folder
}

/// When the story starts: 2026-01-31 23:59:59, so that its second invocation lies in another month.
const START_MILLIS: &str = "1769903999000";

/// One way of one SDK to send: what stands before the arguments, the protocol, the compression.
struct Sender {
    command: Vec<String>,
    protocol: &'static str,
    compression: &'static str,
}

impl Sender {
    fn function(&self, language: &str) -> String {
        format!("{language}-{}-{}", self.protocol.replace('/', "-"), self.compression)
    }

    fn start(&self, floe: &Floe, function: &str) -> Child {
        self.start_at(if self.protocol == "grpc" { floe.ports.grpc } else { floe.ports.http }, function)
    }

    fn start_at(&self, endpoint: SocketAddr, function: &str) -> Child {
        self.start_to(&format!("http://{endpoint}"), function)
    }

    fn start_to(&self, endpoint: &str, function: &str) -> Child {
        Command::new(&self.command[0])
            .args(&self.command[1..])
            .args([self.protocol, self.compression, endpoint, function, START_MILLIS])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

pub fn finish(emitter: Child, floe: &Floe) -> String {
    let output = emitter.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}: {}\n{}", output.status, String::from_utf8_lossy(&said), floe.log());
    String::from_utf8_lossy(&said).into_owned()
}

/// A gateway that says "later" to every request until it is flushed, the number of spans that filled its log, and of those that it refused.
pub fn full() -> (Floe, u64, u64) {
    full_with(|config| config)
}

/// The same with the configuration changed.
pub fn full_with(change: impl Fn(String) -> String) -> (Floe, u64, u64) {
    let floe = Floe::start_with(|config| {
        change(config.replace("directory: floe-data/wal", "directory: floe-data/wal, max_bytes: 128KiB"))
    });
    let mut filled = 0;
    for size in [20, 1] {
        loop {
            let spans = (0..size).map(|n| send::invocation(&format!("fill-{}", filled + n), "fill", send::now_nanos())).collect();
            match send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status {
                200 => filled += size,
                503 => break,
                other => panic!("{other}\n{}", floe.log()),
            }
        }
    }
    let refused = refused(&floe);
    (floe, filled, refused)
}

/// The value of a series of floe's own metrics, added up over its labels.
fn own(floe: &Floe, family: &str) -> u64 {
    let page = send::get(floe.ports.metrics, "/metrics").unwrap().text();
    let of = |line: &&str| line.starts_with(&format!("{family}{{"));
    page.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn wait_for(floe: &Floe, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen\n{}", floe.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many spans senders were told to keep.
fn refused(floe: &Floe) -> u64 {
    own(floe, "otelcol_receiver_refused_spans_total")
}

/// Waits until a sender is refused, having been so `before` times, then makes room in the log.
pub fn refuse_once(floe: &Floe, before: u64) {
    wait_for(floe, "a refusal", || refused(floe) > before);
    floe.flush();
}

/// Runs all ways of one SDK to send, the first of them against a full log, and compares what the tables hold with the story.
fn check(language: &str, error_type: &str, senders: &[Sender]) {
    let (floe, filled, before) = full();
    for (number, sender) in senders.iter().enumerate() {
        let emitter = sender.start(&floe, &sender.function(language));
        if number == 0 {
            refuse_once(&floe, before);
        }
        finish(emitter, &floe);
    }
    let functions: Vec<String> = senders.iter().map(|sender| sender.function(language)).collect();
    check_all(&floe, filled, &functions, language, error_type);
}

/// Commits and reads everything: the stories of these functions, and nothing else but what filled the log.
fn check_all(floe: &Floe, filled: u64, functions: &[String], language: &str, error_type: &str) {
    floe.flush();
    let tables: Vec<Vec<Value>> =
        ["invocations", "rate_limits", "deployments", "errors"].iter().map(|table| python::rows(floe, table)).collect();
    let page = send::get(floe.ports.prometheus, "/metrics").unwrap().text();
    for function in functions {
        let of: Vec<Vec<&Value>> =
            tables.iter().map(|rows| rows.iter().filter(|row| row["function_id"] == function.as_str()).collect()).collect();
        check_story(function, language, error_type, &of);
        let jobs = page.lines().find(|line| line.starts_with("emitter_jobs_total{") && line.contains(&format!("\"{function}\"")));
        assert_eq!(jobs.and_then(|line| line.rsplit(' ').next()), Some("3"), "{function}\n{page}");
    }
    check_laws(floe, filled, functions.len() as u64);
}

/// Rows of the four tables, in their order: two invocations, a rate limit, a deployment, an error.
fn check_story(function: &str, language: &str, error_type: &str, tables: &[Vec<&Value>]) {
    let counts: Vec<usize> = tables.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 1, 1, 1], "{function}: {tables:#?}");
    let find = |number: u32| {
        let id = format!("{function}-{number}");
        *tables[0].iter().find(|row| row["invocation_id"] == id.as_str()).unwrap_or_else(|| panic!("no {id}: {tables:#?}"))
    };
    let client = find(1)["client_ip"].as_str().unwrap();
    assert!(client.len() == 32 && !client.contains('.'), "{client} is no keyed hash");
    let expected = json!({
        "invocation_id": format!("{function}-1"), "function_id": function, "language": language, "version": "1.2.3",
        "started_at": "2026-01-31 23:59:59+00:00", "duration_ms": 250.0, "success": true, "error_type": null, "error_message": null, "cold_start": true,
        "memory_used_bytes": 67_108_864, "client_ip": client, "region": "eu-west-1", "colo": null, "date": "2026-01-31", "hour": 23,
    });
    assert_eq!(find(1), &expected);
    let expected = json!({
        "invocation_id": format!("{function}-2"), "function_id": function, "language": language, "version": "1.2.3",
        "started_at": "2026-02-01 00:00:00+00:00", "duration_ms": 125.5, "success": false, "error_type": error_type, "error_message": "card declined",
        "cold_start": false, "memory_used_bytes": null, "client_ip": null, "region": "eu-west-1", "colo": null,
        "date": "2026-02-01", "hour": 0,
    });
    assert_eq!(find(2), &expected);
    let limit = tables[1][0];
    let expected = json!({
        "event_id": limit["event_id"], "function_id": function, "client_ip": client, "occurred_at": "2026-02-01 00:00:01+00:00", "limit_type": "per_ip",
        "limit_value": 100, "region": "eu-west-1", "colo": null, "date": "2026-02-01",
    });
    assert_eq!(limit, &expected);
    let expected = json!({
        "deployment_id": format!("{function}-d1"), "function_id": function, "version": "1.2.3", "previous_version": "1.2.2",
        "deployed_at": "2026-02-01 00:00:02+00:00", "deployed_by": "ci", "code_size_bytes": 12345, "source_map_size_bytes": 678, "status": "success",
        "rollback_reason": null, "date": "2026-02-01",
    });
    assert_eq!(tables[2][0], &expected);
    // When the exception occurred is the SDK's to say: some take the time of recording.
    let error = tables[3][0];
    assert!(error["stack_trace"].as_str().is_some_and(|stack| !stack.is_empty()), "{error:#}");
    let expected = json!({
        "error_id": error["error_id"], "invocation_id": format!("{function}-2"), "function_id": function,
        "occurred_at": error["occurred_at"], "error_type": error_type, "error_message": "card declined",
        "stack_trace": error["stack_trace"], "language": language, "version": "1.2.3", "date": error["date"],
    });
    assert_eq!(error, &expected);
}

/// Both laws, from the senders' side: each story is two spans, two log records and a point. Refused records come on top, so they are taken from floe.
fn check_laws(floe: &Floe, filled: u64, stories: u64) {
    let spans = filled + 2 * stories;
    for (family, sent) in [("spans", spans), ("log_records", 2 * stories), ("metric_points", stories)] {
        assert_eq!(own(floe, &format!("otelcol_receiver_accepted_{family}_total")), sent, "{family}\n{}", floe.run("status"));
    }
    for (table, sent) in [("invocations", spans), ("rate_limits", stories), ("deployments", stories), ("errors", stories)] {
        let page = send::get(floe.ports.metrics, "/metrics").unwrap().text();
        let value = |state: &str| {
            let series = format!("floe_destination_rows{{exporter=\"iceberg\",table=\"{table}\",state=\"{state}\"}} ");
            let value: f64 = page.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap();
            value.to_string()
        };
        let sent = sent.to_string();
        assert_eq!((value("logged"), value("committed"), value("held")), (sent.clone(), sent, "0".to_owned()), "{table}");
    }
}

fn senders(command: &[&str], ways: &[(&'static str, &'static str)]) -> Vec<Sender> {
    let command: Vec<String> = command.iter().map(|&part| part.to_owned()).collect();
    ways.iter().map(|&(protocol, compression)| Sender { command: command.clone(), protocol, compression }).collect()
}

pub fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn the_javascript_sdk_delivers_its_story_once() {
    let Some(folder) = part("JAVASCRIPT") else { return };
    let ways = [("http/json", "none"), ("http/protobuf", "none"), ("grpc", "none"), ("http/json", "gzip"), ("grpc", "gzip")];
    check("javascript", "TypeError", &senders(&[&path(&folder, "node"), &path(&folder, "emit.mjs")], &ways));
}

#[test]
fn the_go_sdk_delivers_its_story_once() {
    let Some(folder) = part("GO") else { return };
    let ways = [("grpc", "none"), ("http/protobuf", "none"), ("grpc", "gzip"), ("http/protobuf", "gzip")];
    check("go", "*errors.errorString", &senders(&[&path(&folder, "emit")], &ways));
}

#[test]
fn the_java_sdk_delivers_its_story_once() {
    let Some(folder) = part("JAVA") else { return };
    let ways = [("grpc", "none"), ("http/protobuf", "none"), ("grpc", "gzip")];
    let classes = format!("{}:{}", path(&folder, "classes"), path(&folder, "*"));
    check("java", "java.lang.IllegalStateException", &senders(&["java", "-cp", &classes, "Emit"], &ways));
}

/// The Rust SDK has no HTTP here: its client would be a second one beside the gateway's own.
#[test]
fn the_rust_sdk_delivers_its_story_once() {
    let emit = Path::new(env!("CARGO_BIN_EXE_floe")).with_file_name("examples").join("emit");
    let ways = [("grpc", "none"), ("grpc", "gzip"), ("grpc", "zstd")];
    check("rust", "std::io::Error", &senders(&[emit.to_str().unwrap()], &ways));
}

fn python_senders(ways: &[(&'static str, &'static str)]) -> Vec<Sender> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/emitters/python/emit.py");
    senders(&[python::interpreter().to_str().unwrap(), script], ways)
}

/// The first of them is the one that is told "later".
fn check_python(ways: &[(&'static str, &'static str)]) {
    check("python", "ValueError", &python_senders(ways));
}

#[test]
fn the_python_sdk_delivers_its_story_once_over_grpc() {
    check_python(&[("grpc", "none"), ("grpc", "gzip")]);
}

#[test]
fn the_python_sdk_delivers_its_story_over_a_unix_socket() {
    let floe = Floe::start_with(|config| {
        let (before, rest) = config.split_once("grpc: { endpoint: ").unwrap();
        let (_, after) = rest.split_once(' ').unwrap();
        format!("{before}grpc: {{ endpoint: 'unix:floe.sock' {after}")
    });
    let sender = &python_senders(&[("grpc", "none")])[0];
    let function = sender.function("python");
    finish(sender.start_to(&format!("unix://{}", path(&floe.directory, "floe.sock")), &function), &floe);
    check_all(&floe, 0, &[function], "python", "ValueError");
}

#[test]
fn the_python_sdk_delivers_its_story_once_over_http() {
    check_python(&[("http/protobuf", "gzip"), ("http/protobuf", "none"), ("http/protobuf", "deflate")]);
}

/// The Go SDK sends to a Collector, and the Collector to the gateway: it has its own queue, and sends again by itself.
fn check_collector(exporter: &str) {
    let Some(folder) = part("GO") else { return };
    let (floe, filled, before) = full();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        r"
receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: {taken} }} }} }} }}
exporters:
  otlp: {{ endpoint: {}, tls: {{ insecure: true }} }}
  otlphttp: {{ endpoint: http://{} }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [{exporter}] }}
    logs: {{ receivers: [otlp], exporters: [{exporter}] }}
    metrics: {{ receivers: [otlp], exporters: [{exporter}] }}
",
        floe.ports.grpc, floe.ports.http
    );
    let file = floe.directory.join("collector.yaml");
    std::fs::write(&file, config).unwrap();
    let log = std::fs::File::create(floe.directory.join("collector.log")).unwrap();
    let collector = Command::new(folder.join("collector")).arg("--config").arg(&file).stderr(log).spawn().unwrap();
    let mut collector = Stopped(collector);
    wait_for(&floe, "the Collector's start", || TcpStream::connect(taken).is_ok());

    let sender = Sender { command: vec![path(&folder, "emit")], protocol: "grpc", compression: "none" };
    let function = sender.function(exporter);
    finish(sender.start_at(taken, &function), &floe);
    refuse_once(&floe, before);
    let arrived = |family: &str| own(&floe, &format!("otelcol_receiver_accepted_{family}_total"));
    wait_for(&floe, "the delivery", || {
        (arrived("spans"), arrived("log_records"), arrived("metric_points")) == (filled + 2, 2, 1)
    });
    assert!(collector.0.try_wait().unwrap().is_none(), "the Collector has ended");
    check_all(&floe, filled, &[function], "go", "*errors.errorString");
}

/// A process that ends with its test.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_collector_forwards_the_story_over_grpc() {
    check_collector("otlp");
}

#[test]
fn a_collector_forwards_the_story_over_http() {
    check_collector("otlphttp");
}

#[test]
fn what_telemetrygen_says_it_made_is_there() {
    let Some(folder) = part("GO") else { return };
    let floe = Floe::start();
    for (over, endpoint) in [("grpc", floe.ports.grpc), ("http", floe.ports.http)] {
        let run = |signal: &str, rest: &[&str]| {
            let mut command = Command::new(folder.join("telemetrygen"));
            command.args([signal, "--otlp-insecure", "--otlp-endpoint", &endpoint.to_string(), "--rate", "0"]);
            command.arg("--otlp-attributes").arg(format!("faas.name=\"gen-{over}\"")).args(rest);
            if over == "http" {
                command.arg("--otlp-http");
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{signal}: {}", String::from_utf8_lossy(&output.stderr));
        };
        // A trace is a CLIENT span and a SERVER span below it; only the second is an invocation.
        run("traces", &["--traces", "7", "--telemetry-attributes", "faas.trigger=\"http\""]);
        run("logs", &["--logs", "5", "--severity-number", "17", "--severity-text", "Error", "--body", "boom"]);
    }
    floe.flush();
    for function in ["gen-grpc", "gen-http"] {
        let count = |table: &str| python::rows(&floe, table).iter().filter(|row| row["function_id"] == function).count();
        assert_eq!((count("invocations"), count("errors")), (7, 5), "{function}\n{}", floe.run("status"));
    }
}
