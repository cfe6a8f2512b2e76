//! Requests of all three signals with something planted in every string.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::super::send;
use super::secrets::Planted;

/// Every attribute that the mapping reads as text, and some that it does not read.
const KEYS: &[&str] = &[
    "app.tenant",
    "azure.functions.coldstart_impacted",
    "cf.worker.version.id",
    "cf-ray",
    "cicd.pipeline.result",
    "cicd.pipeline.run.id",
    "cicd.pipeline.task.name",
    "cicd.pipeline.task.run.id",
    "cicd.pipeline.task.run.result",
    "cicd.pipeline.task.type",
    "cicd.worker.name",
    "client.address",
    "cloud.platform",
    "cloud.provider",
    "cloud.region",
    "cloud.resource_id",
    "cloudflare.colo",
    "cloudflare.handler_type",
    "cloudflare.outcome",
    "cloudflare.ray_id",
    "cloudflare.script_name",
    "cloudflare.script_version.id",
    "deployment.deployed_by",
    "deployment.id",
    "deployment.previous_version",
    "deployment.rollback_reason",
    "deployment.status",
    "error.message",
    "error.type",
    "event.name",
    "exception.message",
    "exception.stacktrace",
    "exception.type",
    "faas.coldstart",
    "faas.deployment",
    "faas.execution",
    "faas.id",
    "faas.instance",
    "faas.invocation_id",
    "faas.invoked_region",
    "faas.mem_usage",
    "faas.name",
    "faas.trigger",
    "faas.version",
    "http.client_ip",
    "http.request.header.cf-ray",
    "http.request.header.x-forwarded-for",
    "http.request.header.x-real-ip",
    "http.response.status_code",
    "kn.revision.name",
    "kn.service.name",
    "log.record.uid",
    "net.colo",
    "net.peer.ip",
    "net.sock.peer.addr",
    "network.peer.address",
    "process.runtime.name",
    "rate_limit.limit",
    "rate_limit.type",
    "service.instance.id",
    "service.name",
    "service.version",
    "telemetry.sdk.language",
    "url.full",
    "vcs.ref.head.revision",
    "vercel.deployment_id",
    "vercel.edge_region",
    "vercel.region",
    "vercel.request_id",
];

const ADDRESSES: &[&str] = &["client.address", "http.client_ip", "http.request.header.x-forwarded-for", "net.peer.ip"];

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn string(text: String) -> AnyValue {
    any(Value::StringValue(text))
}

fn pair(key: impl Into<String>, value: AnyValue) -> KeyValue {
    KeyValue { key: key.into(), value: Some(value), ..Default::default() }
}

/// A value of every type that holds text.
fn values(planted: &mut Planted, place: &str) -> Vec<AnyValue> {
    let list = any(Value::ArrayValue(ArrayValue {
        values: vec![
            string(planted.text(&format!("array of {place}"))),
            any(Value::BytesValue(planted.bytes(&format!("bytes in an array of {place}")))),
        ],
    }));
    let inner = any(Value::KvlistValue(KeyValueList {
        values: vec![
            pair(planted.text(&format!("inner key of {place}")), list.clone()),
            pair("inner", string(planted.text(&format!("inner map of {place}")))),
        ],
    }));
    let map = any(Value::KvlistValue(KeyValueList {
        values: vec![
            pair(planted.text(&format!("key in a map of {place}")), string(planted.text(&format!("map of {place}")))),
            pair("nested", inner),
        ],
    }));
    vec![string(planted.text(place)), any(Value::BytesValue(planted.bytes(&format!("bytes of {place}")))), list, map]
}

/// Attributes with planted keys and planted values of every type.
fn attributes(planted: &mut Planted, place: &str) -> Vec<KeyValue> {
    let mut list: Vec<KeyValue> = Vec::new();
    for (index, value) in values(planted, &format!("attribute of {place}")).into_iter().enumerate() {
        list.push(pair(planted.text(&format!("attribute key of {place}")), value.clone()));
        list.push(pair(format!("plain{index}"), value));
    }
    list
}

fn resource(planted: &mut Planted) -> Resource {
    let mut list = attributes(planted, "resource");
    list.push(send::string("telemetry.sdk.language", "python"));
    Resource { attributes: list, ..Default::default() }
}

fn scope(planted: &mut Planted) -> InstrumentationScope {
    let (name, version) = (planted.text("scope name"), planted.text("scope version"));
    InstrumentationScope { name, version, attributes: attributes(planted, "scope"), ..Default::default() }
}

/// One list of attributes for each key: the base, and that key planted.
fn by_key(planted: &mut Planted, base: &[KeyValue], place: &str) -> Vec<Vec<KeyValue>> {
    let mut lists = Vec::new();
    for key in KEYS {
        let mut list: Vec<KeyValue> = base.iter().filter(|pair| pair.key != *key).cloned().collect();
        let value = planted.text(&format!("`{key}` of {place}"));
        list.push(send::string(key, &value));
        lists.push(list);
    }
    for key in ADDRESSES {
        let mut list = base.to_vec();
        list.push(send::string(key, &planted.address(&format!("`{key}` of {place}"))));
        lists.push(list);
    }
    for value in values(planted, &format!("`error.type` of {place}")) {
        let mut list = base.to_vec();
        list.push(pair("error.type", value.clone()));
        list.push(pair("exception.message", value.clone()));
        list.push(pair("app.tenant", value));
        lists.push(list);
    }
    lists
}

fn event(planted: &mut Planted, name: &str) -> Event {
    let mut list = attributes(planted, "event");
    for key in ["exception.type", "exception.message", "exception.stacktrace"] {
        list.push(send::string(key, &planted.text(&format!("`{key}` of an event"))));
    }
    Event { time_unix_nano: send::now_nanos(), name: name.to_owned(), attributes: list, ..Default::default() }
}

pub fn traces(planted: &mut Planted, number: usize) -> ExportTraceServiceRequest {
    let base = [send::string("faas.name", "checkout"), send::boolean("faas.coldstart", false)];
    let mut spans = Vec::new();
    for (index, list) in by_key(planted, &base, "span").into_iter().enumerate() {
        let id = format!("{number}-{index}");
        let native = list.iter().any(|pair| matches!(pair.key.as_str(), "faas.invocation_id" | "faas.execution"));
        let mut span = send::invocation(&id, "checkout", send::now_nanos());
        span.name = planted.text("span name");
        span.trace_state = planted.text("trace state");
        span.attributes = list;
        if !native {
            span.attributes.push(send::string("faas.invocation_id", &id));
        }
        span.status = Some(Status { message: planted.text("status message"), code: 2 });
        if index == 0 {
            span.attributes.extend(attributes(planted, "span"));
            let name = planted.text("event name");
            span.events = vec![event(planted, "exception"), event(planted, &name)];
            span.links = vec![Link {
                trace_id: vec![1; 16],
                span_id: vec![1; 8],
                trace_state: planted.text("trace state of a link"),
                attributes: attributes(planted, "link"),
                ..Default::default()
            }];
        }
        spans.push(span);
    }
    // Not an invocation, and a span that is refused.
    spans.push(Span {
        trace_id: planted.bytes("trace id"),
        span_id: planted.bytes("span id"),
        name: planted.text("refused"),
        ..Default::default()
    });
    let scope_spans = vec![ScopeSpans { scope: Some(scope(planted)), spans, schema_url: planted.text("schema of a scope") }];
    let resource = Some(resource(planted));
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, schema_url: planted.text("schema") }],
    }
}

pub fn logs(planted: &mut Planted) -> ExportLogsServiceRequest {
    let function = [send::string("faas.name", "checkout")];
    let mut records = Vec::new();
    for (name, severity) in [("", 17), ("faas.deployment", 9), ("faas.rate_limit", 9)] {
        for list in by_key(planted, &function, "log") {
            let body = string(planted.text("body"));
            records.push(log(name.to_owned(), severity, planted.text("severity text"), body, list));
        }
    }
    for value in values(planted, "body") {
        records.push(log(planted.text("event name of a log"), 17, planted.text("severity text"), value, function.to_vec()));
    }
    let json = format!(r#"{{"error":{{"name":"E","message":"{}"}}}}"#, planted.text("JSON body").replace('\n', "\\n"));
    records.push(log(String::new(), 17, "ERROR".to_owned(), string(json), function.to_vec()));
    let stack = format!("Error: {}\n    at f (/app/a.js:1:2)", planted.text("stack in a body"));
    records.push(log(String::new(), 17, "ERROR".to_owned(), string(stack), function.to_vec()));
    let scope_logs =
        vec![ScopeLogs { scope: Some(scope(planted)), log_records: records, schema_url: planted.text("schema of a scope") }];
    let resource = Some(resource(planted));
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { resource, scope_logs, schema_url: planted.text("schema") }] }
}

fn log(event_name: String, severity_number: i32, severity_text: String, body: AnyValue, attributes: Vec<KeyValue>) -> LogRecord {
    let now = send::now_nanos();
    LogRecord {
        time_unix_nano: now,
        event_name,
        severity_number,
        severity_text,
        body: Some(body),
        attributes,
        ..Default::default()
    }
}

pub fn metrics(planted: &mut Planted) -> ExportMetricsServiceRequest {
    let now = send::now_nanos();
    let exemplars =
        vec![Exemplar { filtered_attributes: attributes(planted, "exemplar"), time_unix_nano: now, ..Default::default() }];
    let number = |attributes, exemplars| NumberDataPoint {
        attributes,
        exemplars,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsInt(1)),
        ..Default::default()
    };
    let sum = |points| Data::Sum(Sum { data_points: points, aggregation_temporality: 1, is_monotonic: true });
    let hit: Vec<_> =
        by_key(planted, &[send::string("faas.name", "checkout")], "point").into_iter().map(|list| number(list, vec![])).collect();
    let point = attributes(planted, "point");
    let histogram = HistogramDataPoint {
        attributes: point.clone(),
        exemplars: exemplars.clone(),
        time_unix_nano: now,
        count: 1,
        sum: Some(1.0),
        bucket_counts: vec![1, 0],
        explicit_bounds: vec![1.0],
        ..Default::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        attributes: point.clone(),
        exemplars: exemplars.clone(),
        time_unix_nano: now,
        ..Default::default()
    };
    let summary = SummaryDataPoint { attributes: point.clone(), time_unix_nano: now, ..Default::default() };
    let kinds = [
        Data::Gauge(Gauge { data_points: vec![number(point.clone(), exemplars.clone())] }),
        sum(vec![number(point, exemplars)]),
        Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 }),
        Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![exponential], aggregation_temporality: 1 }),
        Data::Summary(Summary { data_points: vec![summary] }),
    ];
    let mut metrics: Vec<Metric> = kinds
        .into_iter()
        .map(|data| Metric {
            name: planted.text("metric name"),
            description: planted.text("metric description"),
            unit: planted.text("unit"),
            metadata: attributes(planted, "metric"),
            data: Some(data),
        })
        .collect();
    metrics.push(Metric { name: "rate_limit.hits".into(), data: Some(sum(hit)), ..Default::default() });
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope(planted)), metrics, schema_url: planted.text("schema of a scope") }];
    let resource = Some(resource(planted));
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, schema_url: planted.text("schema") }],
    }
}
