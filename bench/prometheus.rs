//! What the Prometheus exporter costs by itself: CPU a point, CPU and bytes a scrape, memory a series, at 10^4, 10^5 and 10^6 series.
//!
//! `cargo run --release --example prometheus -- 10000 100000 1000000`. One thread; points are counters of deltas with four attributes, of a resource
//! with three, made before the clock runs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench reports on stdout, and fails by panicking"
)]

use std::fs;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use floe::exporters::prometheus::{Moment, Prometheus, PrometheusConfig};
use floe::signals::points::{Descriptor, Label, OwnedPoint, OwnedScope, OwnedValue, Points};
use floe::signals::{MetricKind, Temporality, Timestamp};
use http::Request;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http_body::Body;

const POINTS: usize = 1_000;
const REQUESTS: usize = 50;
const FORMATS: [(&str, &str); 3] = [
    ("text", "text/plain;version=0.0.4"),
    ("OpenMetrics", "application/openmetrics-text;version=1.0.0"),
    ("protobuf", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"),
];

/// CPU time of this thread in seconds.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// A request: its points are series `from` and the next ones.
fn request(from: usize, time: u64, resource: &Arc<[Label]>) -> Points {
    let kind = MetricKind::Sum { monotonic: true, temporality: Temporality::Delta };
    let text = |text: &str| text.to_owned();
    let metric =
        Arc::new(Descriptor { name: text("http.server.requests"), description: text("Requests"), unit: text("{request}"), kind });
    let scope = Arc::new(OwnedScope { name: text("bench"), version: text("1"), ..OwnedScope::default() });
    let point = |n: usize| OwnedPoint {
        metric: Arc::clone(&metric),
        resource: Arc::clone(resource),
        scope: Arc::clone(&scope),
        labels: vec![
            (text("http.request.method"), text("GET")),
            (text("http.route"), format!("/api/v1/resource/{n}")),
            (text("http.response.status_code"), text("200")),
            (text("server.address"), text("api.internal.example")),
        ],
        start: Timestamp(time - 1),
        time: Timestamp(time),
        no_value: false,
        exemplars: Vec::new(),
        value: OwnedValue::Int(1),
    };
    Points { list: (from..from + POINTS).map(point).collect() }
}

/// Seconds of CPU to take a point of each series.
fn observe(exporter: &Prometheus, series: usize, time: u64, resource: &Arc<[Label]>) -> f64 {
    let starts: Vec<usize> = (0..series).step_by(POINTS).collect();
    let mut spent = 0.0;
    for some in starts.chunks(REQUESTS) {
        let requests: Vec<Points> = some.iter().map(|from| request(*from, time, resource)).collect();
        let before = cpu();
        for request in &requests {
            exporter.observe_points(request, Moment::now());
        }
        spent += cpu() - before;
    }
    spent
}

/// Seconds of CPU, bytes, and the largest piece of a scrape.
fn scrape(exporter: &Arc<Prometheus>, accept: &str, coding: &str) -> (f64, usize, usize) {
    let before = cpu();
    let request = Request::builder().uri("/metrics").header(ACCEPT, accept).header(ACCEPT_ENCODING, coding).body(()).unwrap();
    let mut body = pin!(exporter.respond(&request).into_body());
    let (mut bytes, mut largest) = (0, 0);
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        let piece = frame.unwrap().into_data().unwrap().len();
        bytes += piece;
        largest = largest.max(piece);
    }
    (cpu() - before, bytes, largest)
}

fn main() {
    let resource: Arc<[Label]> = [("service.name", "shop"), ("service.instance.id", "1"), ("host.name", "a")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    for series in std::env::args().skip(1).map(|series| series.parse::<usize>().unwrap()) {
        let max_series = u32::try_from(series + 10).unwrap().try_into().unwrap();
        let config = PrometheusConfig {
            max_series,
            max_series_per_metric: Some(max_series),
            created_timestamps: true,
            ..PrometheusConfig::default()
        };
        let exporter = Prometheus::new(&config);
        let before = resident();
        let new = observe(&exporter, series, 10, &resource);
        let held = (resident() - before) * 1_048_576.0 / series as f64;
        let rounds = (1_000_000 / series).max(1);
        let known: f64 = (0..rounds as u64).map(|round| observe(&exporter, series, 20 + 2 * round, &resource)).sum();
        let micros = |seconds: f64, points: usize| seconds * 1e6 / points as f64;
        println!(
            "{series} series: {:.2} us a new one, {:.2} us a point of a known one, {held:.0} bytes each",
            micros(new, series),
            micros(known, series * rounds)
        );
        for (name, accept) in FORMATS {
            for coding in ["identity", "gzip"] {
                let before = resident();
                let (seconds, bytes, largest) = scrape(&exporter, accept, coding);
                println!(
                    "  {name:11} {coding:8} {seconds:.3} s of CPU, {bytes} bytes, pieces of {largest} at most, {:.1} MiB more resident",
                    resident() - before
                );
            }
        }
    }
}
