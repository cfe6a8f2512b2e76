//! Requests as senders make them, built with the types that prost generates.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;

use super::NOW;

const SERVER: i32 = 2;

/// What [`traces`] makes for one span, as a JavaScript sender writes it.
pub(super) const TRACES_OF_ONE: &str = r#"{"resourceSpans":[{
    "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeSpans":[{"spans":[{
        "traceId":"01010101010101010101010101010101","spanId":"0000000000000001","name":"handle","kind":2,
        "startTimeUnixNano":"1795521599000000000","endTimeUnixNano":"1795521599500000000",
        "attributes":[
            {"key":"faas.name","value":{"stringValue":"checkout"}},
            {"key":"faas.trigger","value":{"stringValue":"http"}},
            {"key":"faas.version","value":{"intValue":"0"}}]}]}]}]}"#;

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

fn resource(attributes: Vec<KeyValue>) -> Resource {
    Resource { attributes, ..Resource::default() }
}

fn of_spans(attributes: Vec<KeyValue>, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource(attributes)), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn of_metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource = Some(resource(vec![text("service.name", "shop")]));
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn metric(data: Data) -> Metric {
    Metric { name: "hits".to_owned(), data: Some(data), ..Metric::default() }
}

/// So many invocations of one function, each of another version: 0, 1, 2 ….
pub(super) fn traces(count: u8) -> ExportTraceServiceRequest {
    let span = |version: u8| Span {
        trace_id: vec![version + 1; 16],
        span_id: vec![0, 0, 0, 0, 0, 0, 0, version + 1],
        name: "handle".to_owned(),
        kind: SERVER,
        start_time_unix_nano: NOW.0 - 1_000_000_000,
        end_time_unix_nano: NOW.0 - 500_000_000,
        attributes: vec![
            text("faas.name", "checkout"),
            text("faas.trigger", "http"),
            attribute("faas.version", Any::IntValue(version.into())),
        ],
        ..Span::default()
    };
    of_spans(vec![text("service.name", "shop")], (0..count).map(span).collect())
}

/// A failed invocation with the secret and the address wherever a sender could have them.
pub(super) fn with_secrets(secret: &str, address: &str) -> ExportTraceServiceRequest {
    let message = format!("cannot sign with {secret} for {address}");
    let exception = vec![
        text("exception.type", "SignError"),
        text("exception.message", &message),
        text("exception.stacktrace", &format!("SignError: {message}\n    at sign (sign.js:1:1)")),
    ];
    let event = Event { name: "exception".to_owned(), attributes: exception, time_unix_nano: NOW.0, ..Event::default() };
    let mut request = traces(1);
    let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
    span.events.push(event);
    span.attributes.push(text("client.address", address));
    span.attributes.push(text("cloud.region", secret));
    span.attributes.push(text("error.type", &message));
    request
}

pub(super) fn point_with_secret(secret: &str) -> ExportMetricsServiceRequest {
    let attributes = vec![text("credential", secret)];
    let point =
        NumberDataPoint { attributes, time_unix_nano: NOW.0, value: Some(Number::AsInt(1)), ..NumberDataPoint::default() };
    of_metrics(vec![metric(Data::Gauge(Gauge { data_points: vec![point] }))])
}

/// A gauge, an exponential histogram and a summary, of one point each.
pub(super) fn mixed_points() -> ExportMetricsServiceRequest {
    let gauge = Gauge { data_points: vec![NumberDataPoint { value: Some(Number::AsDouble(0.5)), ..NumberDataPoint::default() }] };
    let exponential =
        ExponentialHistogram { data_points: vec![ExponentialHistogramDataPoint::default()], aggregation_temporality: 2 };
    let summary = Summary { data_points: vec![SummaryDataPoint::default()] };
    of_metrics(vec![metric(Data::Gauge(gauge)), metric(Data::ExponentialHistogram(exponential)), metric(Data::Summary(summary))])
}

pub(super) fn points_of(request: &ExportMetricsServiceRequest) -> u64 {
    let metrics = request.resource_metrics.iter().flat_map(|metrics| &metrics.scope_metrics).flat_map(|scope| &scope.metrics);
    let points = metrics.map(|metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    });
    points.map(|points| points as u64).sum()
}

/// Keys that steps read, and one that none does.
const NAMES: [&str; 14] = [
    "faas.name",
    "faas.trigger",
    "faas.invocation_id",
    "faas.coldstart",
    "cloudflare.handler_type",
    "http.response.status_code",
    "client.address",
    "error.type",
    "exception.type",
    "exception.message",
    "exception.stacktrace",
    "deployment.id",
    "env",
    "other",
];

fn any_value() -> impl Strategy<Value = Any> {
    prop_oneof![
        4 => "[a-z]{0,6}".prop_map(Any::StringValue),
        1 => prop::sample::select(vec!["10.1.2.3", "500", "true", "Error: x\n    at f (a.js:1)"]).prop_map(|text| Any::StringValue(text.into())),
        1 => any::<i64>().prop_map(Any::IntValue),
        1 => (0..600i64).prop_map(Any::IntValue),
        1 => any::<bool>().prop_map(Any::BoolValue),
        1 => any::<f64>().prop_map(Any::DoubleValue),
        1 => "[a-z]{0,3}".prop_map(|text| {
            let values = vec![AnyValue { value: Some(Any::StringValue(text)) }, AnyValue { value: None }];
            Any::ArrayValue(ArrayValue { values })
        }),
    ]
}

fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (prop::sample::select(&NAMES[..]), prop::option::weighted(0.9, any_value()));
    let keyed =
        pair.prop_map(|(key, value)| KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() });
    prop::collection::vec(keyed, 0..6)
}

/// An id of the right length, mostly one of few; at times of a wrong length or of zeros.
fn any_id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => (1..5u8).prop_map(move |byte| vec![byte; length]), 1 => prop::collection::vec(any::<u8>(), 0..20), 1 => Just(vec![0; length])]
}

/// Mostly near now; at times absent, far behind or far ahead.
fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![6 => (0..7_200_000_000_000u64).prop_map(|ago| NOW.0 - ago), 1 => Just(0), 1 => any::<u64>()]
}

prop_compose! {
    fn any_event()(name in prop::sample::select(vec!["exception", "log"]), attributes in any_attributes(), time in any_time()) -> Event {
        Event { name: name.to_owned(), attributes, time_unix_nano: time, ..Event::default() }
    }
}

prop_compose! {
    fn any_span()(
        ids in (any_id(16), any_id(8), any_id(8)),
        kind in 0..7,
        times in (any_time(), any_time()),
        attributes in any_attributes(),
        events in prop::collection::vec(any_event(), 0..3),
    ) -> Span {
        Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            name: "handle".to_owned(),
            kind,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes,
            events,
            ..Span::default()
        }
    }
}

prop_compose! {
    fn any_log()(
        times in (any_time(), any_time()),
        severity in 0..25,
        event in prop::sample::select(vec!["", "faas.rate_limit", "faas.deployment", "device.exception"]),
        body in prop::option::of(any_value()),
        attributes in any_attributes(),
        ids in (any_id(16), any_id(8)),
    ) -> LogRecord {
        LogRecord {
            time_unix_nano: times.0,
            observed_time_unix_nano: times.1,
            severity_number: severity,
            event_name: event.to_owned(),
            body: Some(AnyValue { value: body }),
            attributes,
            trace_id: ids.0,
            span_id: ids.1,
            ..LogRecord::default()
        }
    }
}

prop_compose! {
    pub(super) fn any_traces()(
        groups in prop::collection::vec((any_attributes(), prop::collection::vec(any_span(), 0..8)), 0..3),
    ) -> ExportTraceServiceRequest {
        let resource_spans = groups.into_iter().flat_map(|(attributes, spans)| of_spans(attributes, spans).resource_spans).collect();
        ExportTraceServiceRequest { resource_spans }
    }
}

prop_compose! {
    pub(super) fn any_logs()(
        groups in prop::collection::vec((any_attributes(), prop::collection::vec(any_log(), 0..8)), 0..3),
    ) -> ExportLogsServiceRequest {
        let group = |(attributes, log_records)| ResourceLogs {
            resource: Some(resource(attributes)),
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        };
        ExportLogsServiceRequest { resource_logs: groups.into_iter().map(group).collect() }
    }
}

prop_compose! {
    fn any_number()(attributes in any_attributes(), time in any_time(), value in prop::option::weighted(0.9, any::<i64>()), flags in 0..2u32) -> NumberDataPoint {
        NumberDataPoint { attributes, time_unix_nano: time, value: value.map(Number::AsInt), flags, ..NumberDataPoint::default() }
    }
}

prop_compose! {
    fn any_histogram()(attributes in any_attributes(), counts in prop::collection::vec(0..9u64, 0..4), bounds in 0..4u8) -> HistogramDataPoint {
        let explicit_bounds = (0..bounds).map(f64::from).collect();
        HistogramDataPoint { attributes, count: counts.iter().sum(), bucket_counts: counts, explicit_bounds, ..HistogramDataPoint::default() }
    }
}

fn any_data() -> impl Strategy<Value = Data> {
    let numbers = || prop::collection::vec(any_number(), 0..4);
    prop_oneof![
        numbers().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (numbers(), 0..3).prop_map(|(data_points, aggregation_temporality)| {
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
        }),
        (prop::collection::vec(any_histogram(), 0..4), 0..3).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }),
        Just(Data::Summary(Summary { data_points: vec![SummaryDataPoint::default()] })),
    ]
}

prop_compose! {
    pub(super) fn any_metrics()(data in prop::collection::vec(any_data(), 0..4)) -> ExportMetricsServiceRequest {
        of_metrics(data.into_iter().map(metric).collect())
    }
}
