//! What prost makes of a body, and what floe's records say, in the same words: the generated structs of opentelemetry-proto.
//!
//! [`Request::kept`] takes from a request what no record keeps; [`rebuilt`] writes records back as a request. The two must be equal.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::{
    exemplar, exponential_histogram_data_point, metric::Data, number_data_point, summary_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use prost::Message;

use crate::signals::*;

#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

/// How many records a request has, and how many of them are never taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub received: u64,
    pub rejected: u64,
}

impl Request {
    pub fn decode(signal: Signal, body: &[u8]) -> Result<Request, prost::DecodeError> {
        Ok(match signal {
            Signal::Traces => Request::Traces(ExportTraceServiceRequest::decode(body)?),
            Signal::Logs => Request::Logs(ExportLogsServiceRequest::decode(body)?),
            Signal::Metrics => Request::Metrics(ExportMetricsServiceRequest::decode(body)?),
        })
    }

    /// What records keep of the request, where the projection keeps the keys that `keep` does.
    pub fn kept(mut self, keep: impl Fn(&str) -> bool) -> (Request, Counts) {
        let mut kept = Kept { keep, counts: Counts::default() };
        match &mut self {
            Request::Traces(request) => {
                for of_resource in &mut request.resource_spans {
                    of_resource.schema_url.clear();
                    kept.resource(&mut of_resource.resource);
                    for of_scope in &mut of_resource.scope_spans {
                        of_scope.schema_url.clear();
                        kept.scope(&mut of_scope.scope);
                        of_scope.spans.retain_mut(|span| kept.span(span));
                    }
                }
            }
            Request::Logs(request) => {
                for of_resource in &mut request.resource_logs {
                    of_resource.schema_url.clear();
                    kept.resource(&mut of_resource.resource);
                    for of_scope in &mut of_resource.scope_logs {
                        of_scope.schema_url.clear();
                        kept.scope(&mut of_scope.scope);
                        of_scope.log_records.iter_mut().for_each(|log| kept.log(log));
                    }
                }
            }
            Request::Metrics(request) => {
                for of_resource in &mut request.resource_metrics {
                    of_resource.schema_url.clear();
                    kept.resource(&mut of_resource.resource);
                    for of_scope in &mut of_resource.scope_metrics {
                        kept.scope(&mut of_scope.scope);
                        of_scope.metrics.retain_mut(|metric| kept.metric(metric));
                    }
                }
            }
        }
        (self, kept.counts)
    }
}

struct Kept<K> {
    keep: K,
    counts: Counts,
}

impl<K: Fn(&str) -> bool> Kept<K> {
    fn resource(&self, resource: &mut Option<Resource>) {
        let resource = resource.get_or_insert_default();
        resource.dropped_attributes_count = 0;
        resource.entity_refs.clear();
        self.attributes(&mut resource.attributes);
    }

    fn scope(&self, scope: &mut Option<InstrumentationScope>) {
        let scope = scope.get_or_insert_default();
        scope.dropped_attributes_count = 0;
        self.attributes(&mut scope.attributes);
    }

    fn span(&mut self, span: &mut trace::Span) -> bool {
        self.counts.received += 1;
        if !valid(&span.trace_id, 16) || !valid(&span.span_id, 8) {
            self.counts.rejected += 1;
            return false;
        }
        if !valid(&span.parent_span_id, 8) {
            span.parent_span_id.clear();
        }
        self.attributes(&mut span.attributes);
        for event in &mut span.events {
            event.dropped_attributes_count = 0;
            self.attributes(&mut event.attributes);
        }
        span.kind = if (0..=5).contains(&span.kind) { span.kind } else { 0 };
        let status = span.status.get_or_insert_default();
        status.code = if (0..=2).contains(&status.code) { status.code } else { 0 };
        span.trace_state.clear();
        span.links.clear();
        (span.flags, span.dropped_attributes_count) = (0, 0);
        (span.dropped_events_count, span.dropped_links_count) = (0, 0);
        true
    }

    fn log(&mut self, log: &mut logs::LogRecord) {
        self.counts.received += 1;
        if !valid(&log.trace_id, 16) {
            log.trace_id.clear();
        }
        if !valid(&log.span_id, 8) {
            log.span_id.clear();
        }
        value(log.body.get_or_insert_default());
        self.attributes(&mut log.attributes);
        (log.flags, log.dropped_attributes_count) = (0, 0);
    }

    fn metric(&mut self, metric: &mut metrics::Metric) -> bool {
        metric.metadata.clear();
        match &mut metric.data {
            None => return false,
            Some(Data::Gauge(data)) => data.data_points.retain_mut(|point| self.number_point(point)),
            Some(Data::Sum(data)) => {
                temporality(&mut data.aggregation_temporality);
                data.data_points.retain_mut(|point| self.number_point(point));
            }
            Some(Data::Histogram(data)) => {
                temporality(&mut data.aggregation_temporality);
                data.data_points.retain_mut(|point| self.histogram_point(point));
            }
            Some(Data::ExponentialHistogram(data)) => {
                temporality(&mut data.aggregation_temporality);
                for point in &mut data.data_points {
                    self.counts.received += 1;
                    self.attributes(&mut point.attributes);
                    Self::exemplars(&mut point.exemplars);
                    (point.min, point.max) = (None, None);
                    point.positive.get_or_insert_default();
                    point.negative.get_or_insert_default();
                }
            }
            Some(Data::Summary(data)) => {
                for point in &mut data.data_points {
                    self.counts.received += 1;
                    self.attributes(&mut point.attributes);
                }
            }
        }
        true
    }

    fn number_point(&mut self, point: &mut metrics::NumberDataPoint) -> bool {
        self.counts.received += 1;
        let valid = point.value.is_some() || point.flags & 1 == 1;
        self.counts.rejected += u64::from(!valid);
        Self::exemplars(&mut point.exemplars);
        self.attributes(&mut point.attributes);
        valid
    }

    fn histogram_point(&mut self, point: &mut metrics::HistogramDataPoint) -> bool {
        self.counts.received += 1;
        let (counts, bounds) = (point.bucket_counts.len(), point.explicit_bounds.len());
        let valid = counts == bounds + 1 || (counts, bounds) == (0, 0);
        self.counts.rejected += u64::from(!valid);
        Self::exemplars(&mut point.exemplars);
        (point.min, point.max) = (None, None);
        self.attributes(&mut point.attributes);
        valid
    }

    /// Those that name a trace and have a finite value; without their attributes, and as doubles.
    fn exemplars(exemplars: &mut Vec<metrics::Exemplar>) {
        exemplars.retain_mut(|exemplar| {
            exemplar.filtered_attributes.clear();
            if !valid(&exemplar.span_id, 8) {
                exemplar.span_id.clear();
            }
            let value = match exemplar.value {
                Some(exemplar::Value::AsDouble(value)) => value,
                #[expect(clippy::cast_precision_loss, reason = "as it is kept")]
                Some(exemplar::Value::AsInt(value)) => value as f64,
                None => f64::NAN,
            };
            exemplar.value = Some(exemplar::Value::AsDouble(value));
            valid(&exemplar.trace_id, 16) && value.is_finite()
        });
    }

    fn attributes(&self, attributes: &mut Vec<KeyValue>) {
        attributes.retain(|pair| (self.keep)(&pair.key));
        attributes.iter_mut().for_each(pair);
    }
}

fn pair(pair: &mut KeyValue) {
    pair.key_strindex = 0;
    value(pair.value.get_or_insert_default());
}

/// An absent value is an empty one.
fn value(value_: &mut AnyValue) {
    match &mut value_.value {
        Some(any_value::Value::ArrayValue(array)) => array.values.iter_mut().for_each(value),
        Some(any_value::Value::KvlistValue(list)) => list.values.iter_mut().for_each(pair),
        Some(any_value::Value::StringValueStrindex(_)) => value_.value = None,
        _ => {}
    }
}

fn temporality(number: &mut i32) {
    *number = if (0..=2).contains(number) { *number } else { 0 };
}

fn valid(id: &[u8], len: usize) -> bool {
    id.len() == len && id.iter().any(|byte| *byte != 0)
}

/// The request that has these records and nothing else.
pub fn rebuilt(records: &Records<'_>) -> Request {
    let resources = 0..u32::try_from(records.resources.len()).unwrap();
    let scopes = |resource| {
        let scopes = records.scopes.iter().zip(0..);
        scopes.filter(move |(scope, _)| scope.resource == resource).map(|(scope, index)| (Some(scope_of(records, scope)), index))
    };
    let resource = |index: u32| {
        let attributes = attributes(records, records.resources[index as usize].attributes);
        Some(Resource { attributes, ..Resource::default() })
    };
    match records.signal {
        Signal::Traces => Request::Traces(ExportTraceServiceRequest {
            resource_spans: resources
                .map(|index| trace::ResourceSpans {
                    resource: resource(index),
                    scope_spans: scopes(index)
                        .map(|(scope, index)| trace::ScopeSpans { scope, spans: spans(records, index), ..Default::default() })
                        .collect(),
                    ..Default::default()
                })
                .collect(),
        }),
        Signal::Logs => Request::Logs(ExportLogsServiceRequest {
            resource_logs: resources
                .map(|index| logs::ResourceLogs {
                    resource: resource(index),
                    scope_logs: scopes(index)
                        .map(|(scope, index)| logs::ScopeLogs {
                            scope,
                            log_records: log_records(records, index),
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                })
                .collect(),
        }),
        Signal::Metrics => Request::Metrics(ExportMetricsServiceRequest {
            resource_metrics: resources
                .map(|index| metrics::ResourceMetrics {
                    resource: resource(index),
                    scope_metrics: scopes(index)
                        .map(|(scope, index)| metrics::ScopeMetrics {
                            scope,
                            metrics: metrics_of(records, index),
                            schema_url: records.scopes[index as usize].schema_url.to_string(),
                        })
                        .collect(),
                    ..Default::default()
                })
                .collect(),
        }),
    }
}

fn scope_of(records: &Records<'_>, scope: &Scope<'_>) -> InstrumentationScope {
    let attributes = attributes(records, scope.attributes);
    InstrumentationScope { name: scope.name.to_string(), version: scope.version.to_string(), attributes, ..Default::default() }
}

fn spans(records: &Records<'_>, scope: u32) -> Vec<trace::Span> {
    let spans = records.spans.iter().filter(|span| span.scope == scope);
    spans
        .map(|span| trace::Span {
            trace_id: span.trace_id.0.to_vec(),
            span_id: span.span_id.0.to_vec(),
            parent_span_id: span.parent_span_id.map(|id| id.0.to_vec()).unwrap_or_default(),
            name: span.name.to_string(),
            kind: span.kind as i32,
            start_time_unix_nano: span.start.0,
            end_time_unix_nano: span.end.0,
            attributes: attributes(records, span.attributes),
            events: records.events[span.events.range()]
                .iter()
                .map(|event| trace::span::Event {
                    time_unix_nano: event.time.0,
                    name: event.name.to_string(),
                    attributes: attributes(records, event.attributes),
                    ..Default::default()
                })
                .collect(),
            status: Some(trace::Status { message: span.status_message.to_string(), code: span.status as i32 }),
            ..Default::default()
        })
        .collect()
}

fn log_records(records: &Records<'_>, scope: u32) -> Vec<logs::LogRecord> {
    let logs = records.logs.iter().filter(|log| log.scope == scope);
    logs.map(|log| logs::LogRecord {
        time_unix_nano: log.time.0,
        observed_time_unix_nano: log.observed.0,
        severity_number: log.severity,
        severity_text: log.severity_text.to_string(),
        event_name: log.event_name.to_string(),
        body: Some(any_value(records, &log.body)),
        attributes: attributes(records, log.attributes),
        trace_id: log.trace_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        span_id: log.span_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        ..Default::default()
    })
    .collect()
}

fn metrics_of(records: &Records<'_>, scope: u32) -> Vec<metrics::Metric> {
    let metrics = records.metrics.iter().zip(0..).filter(|(metric, _)| metric.scope == scope);
    metrics
        .map(|(metric, index)| metrics::Metric {
            name: metric.name.to_string(),
            description: metric.description.to_string(),
            unit: metric.unit.to_string(),
            data: Some(data(records, metric.kind, index)),
            ..Default::default()
        })
        .collect()
}

fn data(records: &Records<'_>, kind: MetricKind, metric: u32) -> Data {
    let points = records.points.iter().filter(|point| point.metric == metric);
    match kind {
        MetricKind::Gauge => {
            Data::Gauge(metrics::Gauge { data_points: points.map(|point| number_point(records, point)).collect() })
        }
        MetricKind::Sum { monotonic, temporality } => Data::Sum(metrics::Sum {
            data_points: points.map(|point| number_point(records, point)).collect(),
            aggregation_temporality: temporality as i32,
            is_monotonic: monotonic,
        }),
        MetricKind::Histogram { temporality } => Data::Histogram(metrics::Histogram {
            data_points: points.map(|point| histogram_point(records, point)).collect(),
            aggregation_temporality: temporality as i32,
        }),
        MetricKind::ExponentialHistogram { temporality } => Data::ExponentialHistogram(metrics::ExponentialHistogram {
            data_points: points.map(|point| exponential_point(records, point)).collect(),
            aggregation_temporality: temporality as i32,
        }),
        MetricKind::Summary => {
            Data::Summary(metrics::Summary { data_points: points.map(|point| summary_point(records, point)).collect() })
        }
    }
}

fn number_point(records: &Records<'_>, point: &Point) -> metrics::NumberDataPoint {
    metrics::NumberDataPoint {
        start_time_unix_nano: point.start.0,
        time_unix_nano: point.time.0,
        flags: point.flags,
        attributes: attributes(records, point.attributes),
        value: match point.value {
            PointValue::Int(number) => Some(number_data_point::Value::AsInt(number)),
            PointValue::Double(number) if number.is_nan() => None,
            PointValue::Double(number) => Some(number_data_point::Value::AsDouble(number)),
            ref other => panic!("a number point has {other:?}"),
        },
        exemplars: exemplars(records, point),
    }
}

fn histogram_point(records: &Records<'_>, point: &Point) -> metrics::HistogramDataPoint {
    let PointValue::Histogram { count, sum, counts, bounds } = point.value else {
        panic!("a histogram point has {:?}", point.value)
    };
    metrics::HistogramDataPoint {
        start_time_unix_nano: point.start.0,
        time_unix_nano: point.time.0,
        flags: point.flags,
        attributes: attributes(records, point.attributes),
        count,
        sum,
        bucket_counts: records.counts[counts.range()].to_vec(),
        explicit_bounds: records.bounds[bounds.range()].to_vec(),
        exemplars: exemplars(records, point),
        ..Default::default()
    }
}

fn exponential_point(records: &Records<'_>, point: &Point) -> metrics::ExponentialHistogramDataPoint {
    let PointValue::Exponential(index) = point.value else { panic!("an exponential point has {:?}", point.value) };
    let Exponential { count, sum, scale, zero_count, zero_threshold, positive, negative } = records.exponentials[index as usize];
    let side = |buckets: Buckets| exponential_histogram_data_point::Buckets {
        offset: buckets.offset,
        bucket_counts: records.counts[buckets.counts.range()].to_vec(),
    };
    metrics::ExponentialHistogramDataPoint {
        start_time_unix_nano: point.start.0,
        time_unix_nano: point.time.0,
        flags: point.flags,
        attributes: attributes(records, point.attributes),
        count,
        sum,
        scale,
        zero_count,
        zero_threshold,
        positive: Some(side(positive)),
        negative: Some(side(negative)),
        exemplars: exemplars(records, point),
        ..Default::default()
    }
}

fn summary_point(records: &Records<'_>, point: &Point) -> metrics::SummaryDataPoint {
    let PointValue::Summary { count, sum, quantiles } = point.value else { panic!("a summary has {:?}", point.value) };
    let pair = |&(quantile, value): &(f64, f64)| summary_data_point::ValueAtQuantile { quantile, value };
    metrics::SummaryDataPoint {
        start_time_unix_nano: point.start.0,
        time_unix_nano: point.time.0,
        flags: point.flags,
        attributes: attributes(records, point.attributes),
        count,
        sum,
        quantile_values: records.quantiles[quantiles.range()].iter().map(pair).collect(),
    }
}

fn exemplars(records: &Records<'_>, point: &Point) -> Vec<metrics::Exemplar> {
    let exemplar = |exemplar: &Exemplar| metrics::Exemplar {
        time_unix_nano: exemplar.time.0,
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        trace_id: exemplar.trace_id.0.to_vec(),
        span_id: exemplar.span_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        ..Default::default()
    };
    records.exemplars[point.exemplars.range()].iter().map(exemplar).collect()
}

fn attributes(records: &Records<'_>, run: Slice) -> Vec<KeyValue> {
    let named = records.attributes.named(run);
    named
        .map(|(key, value)| KeyValue { key: key.to_owned(), value: Some(any_value(records, value)), ..Default::default() })
        .collect()
}

fn any_value(records: &Records<'_>, value: &Value<'_>) -> AnyValue {
    use any_value::Value as Any;
    let value = match value {
        Value::Empty => None,
        Value::Bool(truth) => Some(Any::BoolValue(*truth)),
        Value::Int(number) => Some(Any::IntValue(*number)),
        Value::Double(number) => Some(Any::DoubleValue(*number)),
        Value::Str(text) => Some(Any::StringValue(text.to_string())),
        Value::Bytes(bytes) => Some(Any::BytesValue(bytes.to_vec())),
        Value::Array(run) => {
            let items = &records.attributes.items[run.range()];
            Some(Any::ArrayValue(ArrayValue { values: items.iter().map(|item| any_value(records, item)).collect() }))
        }
        Value::Map(run) => {
            let entries = records.attributes.entries[run.range()].iter();
            let pair = |(key, value): &(Cow<'_, str>, Value<'_>)| KeyValue {
                key: key.to_string(),
                value: Some(any_value(records, value)),
                ..Default::default()
            };
            Some(Any::KvlistValue(KeyValueList { values: entries.map(pair).collect() }))
        }
    };
    AnyValue { value }
}
