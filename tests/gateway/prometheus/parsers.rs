//! Prometheus 3 reads what is exposed: its parsers of text, OpenMetrics and protobuf (`tests/prometheus/read`), which know names of any characters.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Floe, OPEN_METRICS, TEXT, part, send};

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
