//! Others read what is exposed: the parsers of Prometheus 3 for text, OpenMetrics and protobuf (`tests/prometheus/read`), which know names of any
//! characters, and the parser of OpenMetrics of `prometheus_client`, which is stricter.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Floe, OPEN_METRICS, TEXT, page, part, promtool, python, send, send_stories};

pub const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// A request of `tests/prometheus`, as JSON.
pub fn request(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prometheus").join(name)).unwrap()
}

/// Runs a program of the part on this input.
fn run(program: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}\n{}", String::from_utf8_lossy(input));
    output.stdout
}

/// The samples of a reply, as Prometheus reads them by its content type.
pub fn samples(folder: &Path, reply: &send::HttpReply) -> Vec<Value> {
    let kind = reply.header("content-type").unwrap();
    let lines = run(&folder.join("read"), &[kind], &reply.body);
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The samples of a page, as `prometheus_client` reads OpenMetrics.
pub fn open_metrics(page: &[u8]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/open_metrics.py");
    let lines = run(&python::interpreter(), &[script], page);
    lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

pub fn scrape(from: std::net::SocketAddr, accept: &str) -> send::HttpReply {
    let reply = send::http(from, "GET", "/metrics", &[("Accept", accept)], b"").unwrap();
    assert_eq!(reply.status, 200);
    reply
}

/// The gauges that the requests send, and the attributes of `weird`.
const GAUGES: [&str; 11] = [
    "typed",
    "runs",
    "queue.size",
    "queue.delta",
    "cpu.utilization",
    "speed",
    "weird",
    "no.description",
    "9lives",
    "größe",
    "lost",
];
const ATTRIBUTES: [&str; 8] = ["a.b", "a_b", "9", "a..c", "num", "b", "arr", "dbl"];

#[test]
fn its_parsers_read_names_of_any_characters_in_every_format_and_escaping() {
    let Some(folder) = part("PROMETHEUS") else { return };
    let floe = Floe::start_with(|config| {
        config.replace("prometheus: { endpoint:", "prometheus: { translation_strategy: NoTranslation, endpoint:")
    });
    for name in ["first.json", "second.json"] {
        assert_eq!(send::export_json(floe.ports.http, "metrics", &request(name)).unwrap().status, 200);
    }
    for format in [TEXT, "text/plain;version=1.0.0", "application/openmetrics-text;version=0.0.1", OPEN_METRICS, PROTOBUF] {
        for wanted in ["allow-utf-8", "underscores", "dots", "values"] {
            let reply = scrape(floe.ports.prometheus, &format!("{format};escaping={wanted}"));
            let kind = reply.header("content-type").unwrap();
            let got = kind.rsplit_once("escaping=").unwrap().1;
            let knows = !format.contains("0.0.");
            assert_eq!(got, if knows || wanted != "allow-utf-8" { wanted } else { "underscores" }, "{format}");
            let escaped = |names: &[&str]| -> BTreeSet<String> {
                let out = run(&folder.join("read"), &["--escape", got], (names.join("\n") + "\n").as_bytes());
                String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
            };
            let samples = samples(&folder, &reply);
            let name = |sample: &Value| sample["labels"]["__name__"].as_str().unwrap().to_owned();
            let gauges = samples.iter().filter(|sample| sample["type"] == "gauge").map(name);
            let gauges: BTreeSet<String> = gauges.filter(|name| !name.starts_with("target")).collect();
            assert_eq!(gauges, escaped(&GAUGES), "{format} {wanted}");
            let weird = samples.iter().find(|sample| name(sample) == "weird").unwrap();
            let labels = weird["labels"].as_object().unwrap();
            for label in escaped(&ATTRIBUTES) {
                // Reserved.
                let label = if label.starts_with("__") { format!("key{label}") } else { label };
                assert!(labels.contains_key(&label), "{format} {wanted}: no {label} in {labels:?}");
            }
            // `a.b` and `a_b` meet where there are no dots, and are one label.
            let both = labels.get("a_b").is_some_and(|value| value == "1;2");
            assert_eq!(both, got == "underscores", "{format} {wanted}: {labels:?}");
            let native = samples.iter().filter(|sample| sample.get("histogram").is_some()).count();
            assert_eq!(native, if format == PROTOBUF { 2 } else { 0 });
        }
    }
}

const OPEN_METRICS_0: &str = "application/openmetrics-text;version=0.0.1";

/// Values below zero, odd units and names made to break out, an overflow series, and what SDKs send: no page is one that a reader refuses, however names
/// are made and escaped.
#[test]
fn every_parser_reads_every_page_of_every_strategy() {
    let go = part("PROMETHEUS");
    for strategy in
        ["UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes", "NoUTF8EscapingWithSuffixes", "NoTranslation"]
    {
        let floe = Floe::start_with(|config| {
            let settings = format!(
                "prometheus: {{ translation_strategy: {strategy}, max_series_per_metric: 50, created_timestamps: true, endpoint:"
            );
            config.replace("prometheus: { endpoint:", &settings)
        });
        send_stories(&floe);
        for name in ["first.json", "second.json", "third.json"] {
            assert_eq!(send::export_json(floe.ports.http, "metrics", &request(name)).unwrap().status, 200);
        }
        let spans = (0..3).map(|n| send::invocation(&format!("i{n}"), "checkout", send::now_nanos())).collect();
        assert_eq!(send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status, 200);
        for format in [TEXT, "text/plain;version=1.0.0", OPEN_METRICS_0, OPEN_METRICS, PROTOBUF] {
            for wanted in ["allow-utf-8", "underscores", "dots", "values"] {
                let reply = scrape(floe.ports.prometheus, &format!("{format};escaping={wanted}"));
                // Ten values of a label found no room.
                let overflow = |samples: Vec<Value>| {
                    let is_it = |sample: &&Value| {
                        let name = sample["name"].as_str().or(sample["labels"]["__name__"].as_str()).unwrap();
                        let mut labels = sample["labels"].as_object().unwrap().keys();
                        name.starts_with("many") && labels.any(|label| label.ends_with("overflow"))
                    };
                    let found: Vec<&Value> = samples.iter().filter(is_it).map(|sample| &sample["value"]).collect();
                    assert!(found.iter().any(|value| *value == "10" || *value == "10.0"), "{strategy} {format}: {found:?}");
                };
                if let Some(folder) = &go {
                    overflow(samples(folder, &reply));
                }
                if format.contains("openmetrics") {
                    overflow(open_metrics(&reply.body));
                }
            }
        }
        let said = promtool(&page(&floe, TEXT));
        assert!(
            said.is_none_or(|(status, _)| status == Some(0) || status == Some(3)),
            "promtool cannot read the page of {strategy}"
        );
    }
}

/// Names and units of the SDKs' stories are as Prometheus advises, so its linter has nothing to say of their page.
#[test]
fn promtool_has_nothing_to_say_about_what_sdks_send() {
    let floe = Floe::start();
    send_stories(&floe);
    let page = page(&floe, TEXT);
    assert!(page.contains("sdk_latency_seconds_bucket{"), "{page}");
    let said = promtool(&page);
    assert!(said.as_ref().is_none_or(|said| *said == (Some(0), String::new())), "{said:?}\n{page}");
}
