//! The exporter from the outside: points and rows in, scrapes out, read back by readers that share nothing with the writers.

mod bounds;
mod formats;
mod points;
mod rows;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http_body::Body as _;

use super::*;
use crate::signals::points::{Descriptor, Label, OwnedBuckets, OwnedExponential, OwnedPoint, OwnedScope, OwnedValue};
use crate::signals::{Exemplar, MetricKind, Temporality, Timestamp, TraceId};

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";
const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// A point under construction: a delta counter unless told otherwise.
#[derive(Clone)]
pub(super) struct Draft {
    point: OwnedPoint,
    descriptor: Descriptor,
}

pub(super) fn point(name: &str, value: i64) -> Draft {
    let kind = MetricKind::Sum { monotonic: true, temporality: Temporality::Delta };
    let descriptor = Descriptor { name: name.to_owned(), description: "a test".to_owned(), unit: String::new(), kind };
    let point = OwnedPoint {
        metric: Arc::new(descriptor.clone()),
        resource: Arc::from([]),
        scope: Arc::default(),
        labels: Vec::new(),
        start: Timestamp(0),
        time: Timestamp(0),
        no_value: false,
        exemplars: Vec::new(),
        value: OwnedValue::Int(value),
    };
    Draft { point, descriptor }
}

impl Draft {
    pub(super) fn labels(mut self, labels: &[(&str, &str)]) -> Draft {
        self.point.labels = owned(labels);
        self
    }

    fn scope(mut self, name: &str) -> Draft {
        self.point.scope = Arc::new(OwnedScope { name: name.to_owned(), ..OwnedScope::default() });
        self
    }

    fn resource(mut self, labels: &[(&str, &str)]) -> Draft {
        self.point.resource = owned(labels).into();
        self
    }

    fn kind(mut self, kind: MetricKind, unit: &str) -> Draft {
        self.descriptor.kind = kind;
        unit.clone_into(&mut self.descriptor.unit);
        self
    }

    fn cumulative(self) -> Draft {
        self.kind(MetricKind::Sum { monotonic: true, temporality: Temporality::Cumulative }, "")
    }

    fn up_down(self, temporality: Temporality) -> Draft {
        self.kind(MetricKind::Sum { monotonic: false, temporality }, "")
    }

    fn gauge(self, value: f64) -> Draft {
        let mut draft = self.kind(MetricKind::Gauge, "");
        draft.point.value = OwnedValue::Double(value);
        draft
    }

    fn histogram(self, temporality: Temporality, bounds: &[f64], counts: &[u64]) -> Draft {
        let mut draft = self.kind(MetricKind::Histogram { temporality }, "s");
        draft.point.value = OwnedValue::Histogram {
            count: counts.iter().sum(),
            sum: Some(1.5),
            counts: counts.to_vec(),
            bounds: bounds.to_vec(),
        };
        draft
    }

    fn at(mut self, start: u64, time: u64) -> Draft {
        self.point.start = Timestamp(start);
        self.point.time = Timestamp(time);
        self
    }

    fn ended(mut self) -> Draft {
        self.point.no_value = true;
        self
    }

    pub(super) fn point(mut self) -> OwnedPoint {
        self.point.metric = Arc::new(self.descriptor);
        self.point
    }

    fn exponential(self, temporality: Temporality, scale: i32, offset: i32, counts: &[u64]) -> Draft {
        let mut draft = self.kind(MetricKind::ExponentialHistogram { temporality }, "s");
        draft.point.value = OwnedValue::Exponential(Box::new(OwnedExponential {
            count: counts.iter().sum(),
            sum: Some(1.5),
            scale,
            positive: OwnedBuckets { offset, counts: counts.to_vec() },
            ..OwnedExponential::default()
        }));
        draft
    }

    fn summary(self, count: u64, quantiles: &[(f64, f64)]) -> Draft {
        let mut draft = self.kind(MetricKind::Summary, "s");
        draft.point.value = OwnedValue::Summary { count, sum: 1.5, quantiles: quantiles.to_vec() };
        draft
    }

    /// Of a histogram or a summary.
    fn sum(mut self, value: f64) -> Draft {
        match &mut self.point.value {
            OwnedValue::Histogram { sum, .. } => *sum = Some(value),
            OwnedValue::Summary { sum, .. } => *sum = value,
            other => panic!("{other:?} has no sum"),
        }
        self
    }

    fn exemplar(mut self, value: f64, time: u64) -> Draft {
        let trace_id = TraceId([0xab; 16]);
        self.point.exemplars.push(Exemplar { time: Timestamp(time), value, trace_id, span_id: None });
        self
    }
}

fn owned(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn exporter(max_series: u32) -> Arc<Prometheus> {
    Prometheus::new(&PrometheusConfig { max_series: max_series.try_into().unwrap(), ..PrometheusConfig::default() })
}

fn yaml(yaml: &str) -> Arc<Prometheus> {
    Prometheus::new(&serde_saphyr::from_str(yaml).unwrap())
}

/// So many seconds after the exporter was made.
fn after(exporter: &Prometheus, seconds: u64) -> Moment {
    let unix = Timestamp((1_700_000_000 + seconds) * 1_000_000_000);
    Moment { instant: exporter.started + Duration::from_secs(seconds), unix }
}

fn observe(exporter: &Prometheus, drafts: Vec<Draft>) {
    observe_at(exporter, 0, drafts);
}

fn observe_at(exporter: &Prometheus, seconds: u64, drafts: Vec<Draft>) {
    let points = Points { list: drafts.into_iter().map(Draft::point).collect() };
    exporter.observe_points(&points, after(exporter, seconds));
}

fn get(exporter: &Arc<Prometheus>, accept: &str) -> Response<Answer> {
    exporter.respond(&Request::builder().uri("/metrics").header(ACCEPT, accept).body(()).unwrap())
}

/// The frames of a reply.
fn frames(reply: Response<Answer>) -> Vec<Bytes> {
    let mut body = pin!(reply.into_body());
    let mut frames = Vec::new();
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        frames.push(frame.unwrap().into_data().unwrap());
    }
    frames
}

/// A whole scrape.
fn scrape(exporter: &Arc<Prometheus>, accept: &str) -> Vec<u8> {
    frames(get(exporter, accept)).concat()
}

fn text(exporter: &Arc<Prometheus>) -> String {
    String::from_utf8(scrape(exporter, "text/plain")).unwrap()
}

/// The samples of a text, comments left out.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// What stands on the endpoint after these points, one request each.
fn check(drafts: Vec<Draft>, expected: &[&str]) -> Stats {
    let exporter = exporter(1_000);
    for draft in drafts {
        observe(&exporter, vec![draft]);
    }
    assert_eq!(samples(&text(&exporter)), expected);
    exporter.stats()
}

fn dropped(stats: &Stats, reason: Dropped) -> u64 {
    stats.dropped_points[reason as usize]
}
