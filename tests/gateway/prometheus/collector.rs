//! The Collector's Prometheus exporter beside floe's: the same requests to both, and what Prometheus's parsers make of both pages. What differs is listed
//! here and in docs/prometheus.md.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::parsers::{PROTOBUF, request, samples, scrape};
use super::{Floe, OPEN_METRICS, Server, TEXT, part, send, wait};

/// A Collector that takes OTLP over HTTP, and where it does and exposes.
fn collector(folder: &Path, floe: &Floe) -> (Server, SocketAddr) {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (otlp, address) = (free(), free());
    let config = format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: {otlp} }} }} }} }}\n\
         exporters: {{ prometheus: {{ endpoint: {address}, enable_open_metrics: true, sending_queue: {{ enabled: false }} }} }}\n\
         service: {{ telemetry: {{ metrics: {{ level: none }} }}, pipelines: {{ metrics: {{ receivers: [otlp], exporters: [prometheus] }} }} }}\n"
    );
    let file = floe.directory.join("collector.yaml");
    std::fs::write(&file, config).unwrap();
    let log = std::fs::File::create(floe.directory.join("collector.log")).unwrap();
    let mut command = Command::new(folder.join("collector"));
    let child = command.arg("--config").arg(&file).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let server = Server { child, address };
    let up = || send::get(address, "/metrics").ok().and(send::get(otlp, "/").ok());
    assert!(wait(up).is_some(), "{}", std::fs::read_to_string(floe.directory.join("collector.log")).unwrap());
    (server, otlp)
}

/// Value or histogram of every series, by its labels.
fn values(samples: Vec<Value>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for mut sample in samples {
        // An empty label is none.
        sample["labels"].as_object_mut().unwrap().retain(|_, value| value != "");
        let of = |field: &str| sample[field].as_str().unwrap_or_default().to_owned();
        // `target_info` is an info in OpenMetrics, and a gauge there.
        let kind = of("type").replace("info", "gauge");
        values.insert(format!("{kind} {}", sample["labels"]), of("value") + &of("histogram"));
    }
    values
}

/// Whether a series, of floe alone or not, is one that docs/prometheus.md says is different.
fn is_listed(series: &str, alone: bool, format: &str) -> bool {
    let is = |name: &str| series.contains(&format!("\"__name__\":\"{name}\""));
    let listed = if alone {
        // Sums that can fall, as deltas; attributes whose names are escaped to `_` alone, meet, or have runs of what is escaped; `total` that is not
        // the last word.
        ["queue_delta", "lost", "weird", "runs", "total_things_total"].into_iter().any(is)
    } else {
        // A sum that nobody sent is 0 there.
        ["things_total", "nosum_celsius_sum"].into_iter().any(is)
            || (is("runs") && series.contains("\"a__c\""))
            // OpenMetrics has no sum, and so no count, of what may be negative.
            || (format == OPEN_METRICS && ["nosum_celsius_count", "size_bytes_sum", "size_bytes_count"].into_iter().any(is))
    };
    // Exponential histograms have classic buckets, too.
    let classic = ["fine_bytes", "size_bytes"]
        .iter()
        .any(|name| ["_bucket", "_sum", "_count"].iter().any(|part| is(&format!("{name}{part}"))));
    listed || (alone && classic)
}

#[test]
fn the_collector_exposes_the_same_but_for_what_is_listed() {
    let Some(folder) = part("PROMETHEUS") else { return };
    let floe = Floe::start();
    let (server, otlp) = collector(&folder, &floe);
    for name in ["first.json", "second.json"] {
        for to in [floe.ports.http, otlp] {
            assert_eq!(send::export_json(to, "metrics", &request(name)).unwrap().status, 200);
        }
    }
    for format in [TEXT, OPEN_METRICS, PROTOBUF] {
        let read = |from| values(samples(&folder, &scrape(from, format)));
        let (ours, theirs) = (read(floe.ports.prometheus), read(server.address));
        let mut same = 0;
        for (series, value) in &ours {
            match theirs.get(series) {
                Some(other) if other == value => same += 1,
                Some(other) => {
                    assert!(is_listed(series, false, format), "{format}: {series} is {value}, the Collector has {other}");
                }
                None => assert!(is_listed(series, true, format), "{format}: only floe has {series} {value}"),
            }
        }
        for (series, value) in theirs.iter().filter(|(series, _)| !ours.contains_key(*series)) {
            assert!(is_listed(series, false, format), "{format}: only the Collector has {series} {value}");
        }
        assert!(same >= 25, "{format}: {same} are the same");
    }
}
