//! `io.prometheus.client.MetricFamily`, each with its length before it (prometheus/client_model, `metrics.proto`).
//!
//! A large family is written as several messages of one name, so that a scrape takes bounded memory; Prometheus reads one after the other.

use prost::Message;

use super::{Item, Style, sample_name};
use crate::exporters::prometheus::labels::{known_as, unescape};
use crate::exporters::prometheus::native::{Native, Side};
use crate::exporters::prometheus::series::{Family, Kind, Series};
use crate::exporters::prometheus::values::{self, Exemplars, Value};
use crate::signals::{self, Timestamp};

/// A gap of more empty buckets begins another span: shorter ones are cheaper written out.
const GAP: u32 = 2;
/// Where no sender has set one (specification, "Exponential Histograms"). It also says that a histogram without buckets is native.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Appends series of a family until `end`; whether these were all.
pub(super) fn family<'a>(
    family: &Family,
    series: impl Iterator<Item = Item<'a>>,
    style: Style<'_>,
    end: usize,
    out: &mut Vec<u8>,
) -> bool {
    let kind = match family.kind {
        Kind::Counter => 0,
        Kind::Gauge | Kind::Info => 1,
        Kind::Summary => 2,
        Kind::Histogram => 4,
    };
    let unit = Some(family.name.unit.to_string()).filter(|unit| !unit.is_empty());
    let name = style.format.escaping.apply(&sample_name(family, style.format)).into_owned();
    let mut message =
        MetricFamily { name: Some(name), help: Some(family.help.to_string()), r#type: Some(kind), metric: Vec::new(), unit };
    let mut size = out.len();
    let mut whole = true;
    for (labels, series) in series {
        let metric = metric(family.kind, labels, series, style);
        size += metric.encoded_len();
        message.metric.push(metric);
        if size >= end {
            whole = false;
            break;
        }
    }
    if !message.metric.is_empty() {
        out.extend_from_slice(&message.encode_length_delimited_to_vec());
    }
    whole
}

fn metric(kind: Kind, labels: &str, series: &Series, style: Style<'_>) -> Metric {
    let labels = known_as(style.constant, labels, style.format.escaping);
    let label =
        labels.into_iter().map(|(name, value)| LabelPair { name: Some(name), value: Some(unescape(&value).into_owned()) });
    let label = label.collect();
    let mut metric = Metric { label, ..Metric::default() };
    let exemplars = series.exemplars.as_deref();
    match &series.value {
        Value::Number(value) if kind == Kind::Counter => {
            let newest = exemplars.and_then(|held| held.within(f64::NEG_INFINITY, f64::INFINITY));
            let (exemplar, created) = (newest.map(exemplar), timestamp(series.created));
            metric.counter = Some(Counter { value: Some(*value), exemplar, created });
        }
        Value::Number(value) => metric.gauge = Some(Gauge { value: Some(*value) }),
        Value::Histogram(histogram) => metric.histogram = Some(self::histogram(histogram, exemplars, series.created)),
        Value::Summary(summary) => {
            let quantile = |&(quantile, value): &(f64, f64)| Quantile { quantile: Some(quantile), value: Some(value) };
            metric.summary = Some(Summary {
                sample_count: Some(summary.count),
                sample_sum: Some(summary.sum),
                quantile: summary.quantiles.iter().map(quantile).collect(),
                created: timestamp(series.created),
            });
        }
    }
    metric
}

/// Classic buckets, and native ones where there are any: Prometheus takes those it is told to.
fn histogram(histogram: &values::Histogram, exemplars: Option<&Exemplars>, created: Timestamp) -> Histogram {
    let mut above = f64::NEG_INFINITY;
    let mut bucket = |(bound, count): (f64, u64)| {
        let newest = exemplars.and_then(|held| held.within(above, bound));
        above = bound;
        Bucket { cumulative_count: Some(count), upper_bound: Some(bound), exemplar: newest.map(exemplar) }
    };
    let count = histogram.count();
    let mut message = Histogram {
        sample_count: Some(count),
        // A sum that nobody knows: without one Prometheus would read 0.
        sample_sum: Some(histogram.sum().unwrap_or(f64::NAN)),
        bucket: histogram.cumulative().into_iter().chain([(f64::INFINITY, count)]).map(&mut bucket).collect(),
        created: timestamp(created),
        ..Histogram::default()
    };
    if let Some(native) = &histogram.native {
        add_native(&mut message, native);
        message.exemplars = exemplars.map(Exemplars::all).unwrap_or_default().iter().map(exemplar).collect();
    }
    message
}

fn add_native(message: &mut Histogram, native: &Native) {
    let (zero_threshold, zero_count) = native.zero();
    message.schema = Some(native.scale());
    message.zero_threshold = Some(if zero_threshold > 0.0 { zero_threshold } else { ZERO_THRESHOLD });
    message.zero_count = Some(zero_count);
    (message.positive_span, message.positive_delta) = spans(native.positive());
    (message.negative_span, message.negative_delta) = spans(native.negative());
}

/// Runs of buckets, and the difference of each count to the one before.
fn spans(side: &Side) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<BucketSpan>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut next = 0_i32;
    let mut before = 0_i64;
    let mut push = |deltas: &mut Vec<i64>, count: u64| {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        deltas.push(count.saturating_sub(before));
        before = count;
    };
    for (index, count) in side.indexed().filter(|(_, count)| *count > 0) {
        // The bucket that OTLP calls i ends where Prometheus's bucket i + 1 ends.
        let index = index.saturating_add(1);
        let gap = index.saturating_sub(next);
        match (spans.last_mut(), u32::try_from(gap)) {
            (Some(span), Ok(gap @ 0..=GAP)) => {
                (0..gap).for_each(|_| push(&mut deltas, 0));
                span.length = span.length.map(|length| length + gap + 1);
            }
            _ => spans.push(BucketSpan { offset: Some(gap), length: Some(1) }),
        }
        push(&mut deltas, count);
        next = index.saturating_add(1);
    }
    (spans, deltas)
}

fn exemplar(exemplar: &signals::Exemplar) -> Exemplar {
    let pair = |name: &str, value: String| LabelPair { name: Some(name.to_owned()), value: Some(value) };
    let trace = pair("trace_id", exemplar.trace_id.to_string());
    let span = exemplar.span_id.map(|id| pair("span_id", id.to_string()));
    Exemplar {
        label: [trace].into_iter().chain(span).collect(),
        value: Some(exemplar.value),
        timestamp: timestamp(exemplar.time),
    }
}

fn timestamp(time: Timestamp) -> Option<Time> {
    let seconds = i64::try_from(time.0 / 1_000_000_000).ok().filter(|_| time.0 != 0)?;
    Some(Time { seconds, nanos: i32::try_from(time.0 % 1_000_000_000).ok()? })
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub r#type: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
    #[prost(string, optional, tag = "5")]
    pub unit: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Gauge>,
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Counter>,
    #[prost(message, optional, tag = "4")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct LabelPair {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Gauge {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Counter {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "2")]
    pub exemplar: Option<Exemplar>,
    #[prost(message, optional, tag = "3")]
    pub created: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Quantile {
    #[prost(double, optional, tag = "1")]
    pub quantile: Option<f64>,
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Summary {
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub quantile: Vec<Quantile>,
    #[prost(message, optional, tag = "4")]
    pub created: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    pub zero_count: Option<u64>,
    #[prost(message, repeated, tag = "9")]
    pub negative_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "10")]
    pub negative_delta: Vec<i64>,
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    pub positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    pub created: Option<Time>,
    #[prost(message, repeated, tag = "16")]
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    pub cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub upper_bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Time>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::exporters::prometheus) struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_spans_and_differences() {
        let side = Side { offset: -1, counts: vec![2, 0, 0, 5, 0, 0, 0, 1] };
        let span = |offset, length| BucketSpan { offset: Some(offset), length: Some(length) };
        assert_eq!(spans(&side), (vec![span(0, 4), span(3, 1)], vec![2, -2, 0, 5, -4]));
        assert_eq!(spans(&Side { offset: -5, counts: vec![1] }), (vec![span(-4, 1)], vec![1]));
        assert_eq!(spans(&Side::default()), (vec![], vec![]));
    }
}
