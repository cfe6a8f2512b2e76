//! The generated structs as OTLP/JSON, in the ways in which senders differ: numbers as text or not, names of enums or numbers, ids in
//! either case, nulls, unknown fields.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, exponential_histogram_data_point, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span};
use serde_json::{Map, Value, json};

use super::oracle::Request;

/// How one sender writes.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Numbers of 64 bits as text, enums by name, ids in capitals, padded base64.
    pub formal: bool,
    /// Unknown fields and nulls in every object.
    pub noisy: bool,
    /// Names of fields as in the `.proto` file, `trace_id`, and not in lowerCamelCase.
    pub snake: bool,
}

impl Manner {
    pub const ALL: [Manner; 4] = [
        Manner { formal: true, noisy: false, snake: false },
        Manner { formal: false, noisy: true, snake: false },
        Manner { formal: false, noisy: false, snake: false },
        Manner { formal: true, noisy: false, snake: true },
    ];

    pub fn body(self, request: &Request) -> String {
        let request = match request {
            Request::Traces(request) => self.object([(
                "resourceSpans",
                list(&request.resource_spans, |of_resource| {
                    let scopes = list(&of_resource.scope_spans, |of_scope| {
                        let spans = list(&of_scope.spans, |span| self.span(span));
                        self.object([("scope", self.scope(of_scope.scope.as_ref())), ("spans", spans)])
                    });
                    // The resource stands behind what needs it.
                    self.object([("scopeSpans", scopes), ("resource", self.resource(of_resource.resource.as_ref()))])
                }),
            )]),
            Request::Logs(request) => self.object([(
                "resourceLogs",
                list(&request.resource_logs, |of_resource| {
                    let scopes = list(&of_resource.scope_logs, |of_scope| {
                        let logs = list(&of_scope.log_records, |log| self.log(log));
                        self.object([("logRecords", logs), ("scope", self.scope(of_scope.scope.as_ref()))])
                    });
                    self.object([("resource", self.resource(of_resource.resource.as_ref())), ("scopeLogs", scopes)])
                }),
            )]),
            Request::Metrics(request) => self.object([(
                "resourceMetrics",
                list(&request.resource_metrics, |of_resource| {
                    let scopes = list(&of_resource.scope_metrics, |of_scope| {
                        let metrics = list(&of_scope.metrics, |metric| self.metric(metric));
                        let schema = json!(of_scope.schema_url);
                        self.object([("scope", self.scope(of_scope.scope.as_ref())), ("metrics", metrics), ("schemaUrl", schema)])
                    });
                    self.object([("resource", self.resource(of_resource.resource.as_ref())), ("scopeMetrics", scopes)])
                }),
            )]),
        };
        request.to_string()
    }

    fn object<const N: usize>(self, fields: [(&str, Value); N]) -> Value {
        let mut object = Map::new();
        if self.noisy {
            object.insert("aaUnknown".to_owned(), json!({"deep": [[{"er": [null, 1.5e3, "\u{1f600}"]}]]}));
        }
        for (name, value) in fields {
            if self.noisy || !value.is_null() {
                object.insert(if self.snake { snake(name) } else { name.to_owned() }, value);
            }
        }
        Value::Object(object)
    }

    fn resource(self, resource: Option<&Resource>) -> Value {
        resource.map_or(Value::Null, |resource| self.object([("attributes", self.attributes(&resource.attributes))]))
    }

    fn scope(self, scope: Option<&InstrumentationScope>) -> Value {
        scope.map_or(Value::Null, |scope| {
            let attributes = self.attributes(&scope.attributes);
            self.object([("name", json!(scope.name)), ("version", json!(scope.version)), ("attributes", attributes)])
        })
    }

    fn span(self, span: &Span) -> Value {
        let status = span.status.as_ref().map_or(Value::Null, |status| {
            self.object([
                ("message", json!(status.message)),
                ("code", self.named("STATUS_CODE_", &["UNSET", "OK", "ERROR"], status.code)),
            ])
        });
        self.object([
            ("events", list(&span.events, |event| self.event(event))),
            ("traceId", self.id(&span.trace_id)),
            ("spanId", self.id(&span.span_id)),
            ("parentSpanId", self.id(&span.parent_span_id)),
            ("name", json!(span.name)),
            (
                "kind",
                self.named("SPAN_KIND_", &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"], span.kind),
            ),
            ("startTimeUnixNano", self.unsigned(span.start_time_unix_nano)),
            ("endTimeUnixNano", self.unsigned(span.end_time_unix_nano)),
            ("attributes", self.attributes(&span.attributes)),
            ("status", status),
        ])
    }

    fn event(self, event: &span::Event) -> Value {
        let attributes = self.attributes(&event.attributes);
        self.object([
            ("timeUnixNano", self.unsigned(event.time_unix_nano)),
            ("name", json!(event.name)),
            ("attributes", attributes),
        ])
    }

    fn log(self, log: &LogRecord) -> Value {
        self.object([
            ("timeUnixNano", self.unsigned(log.time_unix_nano)),
            ("observedTimeUnixNano", self.unsigned(log.observed_time_unix_nano)),
            ("severityNumber", json!(log.severity_number)),
            ("severityText", json!(log.severity_text)),
            ("eventName", json!(log.event_name)),
            ("body", log.body.as_ref().map_or(Value::Null, |body| self.value(body))),
            ("attributes", self.attributes(&log.attributes)),
            ("traceId", self.id(&log.trace_id)),
            ("spanId", self.id(&log.span_id)),
        ])
    }

    fn metric(self, metric: &metrics::Metric) -> Value {
        let (name, data) = match &metric.data {
            None => ("gauge", Value::Null),
            Some(Data::Gauge(data)) => {
                ("gauge", self.object([("dataPoints", list(&data.data_points, |point| self.number(point)))]))
            }
            Some(Data::Sum(data)) => (
                "sum",
                self.object([
                    ("dataPoints", list(&data.data_points, |point| self.number(point))),
                    ("aggregationTemporality", self.temporality(data.aggregation_temporality)),
                    ("isMonotonic", json!(data.is_monotonic)),
                ]),
            ),
            Some(Data::Histogram(data)) => (
                "histogram",
                self.object([
                    ("dataPoints", list(&data.data_points, |point| self.histogram(point))),
                    ("aggregationTemporality", self.temporality(data.aggregation_temporality)),
                ]),
            ),
            Some(Data::ExponentialHistogram(data)) => {
                let points = list(&data.data_points, |point| self.exponential(point));
                let temporality = self.temporality(data.aggregation_temporality);
                ("exponentialHistogram", self.object([("dataPoints", points), ("aggregationTemporality", temporality)]))
            }
            Some(Data::Summary(data)) => {
                let points = list(&data.data_points, |point| self.summary(point));
                ("summary", self.object([("dataPoints", points)]))
            }
        };
        let (description, unit) = (json!(metric.description), json!(metric.unit));
        self.object([("name", json!(metric.name)), ("description", description), ("unit", unit), (name, data)])
    }

    fn point(self, attributes: &[KeyValue], start: u64, time: u64, flags: u32) -> Value {
        self.object([
            ("attributes", self.attributes(attributes)),
            ("startTimeUnixNano", self.unsigned(start)),
            ("timeUnixNano", self.unsigned(time)),
            ("flags", json!(flags)),
        ])
    }

    fn number(self, point: &metrics::NumberDataPoint) -> Value {
        let mut object = self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags);
        match &point.value {
            Some(number_data_point::Value::AsInt(number)) => object["asInt"] = self.signed(*number),
            Some(number_data_point::Value::AsDouble(number)) => object["asDouble"] = double(*number),
            None => {}
        }
        object["exemplars"] = self.exemplars(&point.exemplars);
        object
    }

    fn histogram(self, point: &metrics::HistogramDataPoint) -> Value {
        let mut object = self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags);
        object["count"] = self.unsigned(point.count);
        object["sum"] = point.sum.map_or(Value::Null, double);
        object["bucketCounts"] = list(&point.bucket_counts, |count| self.unsigned(*count));
        object["explicitBounds"] = list(&point.explicit_bounds, |bound| double(*bound));
        object["exemplars"] = self.exemplars(&point.exemplars);
        object
    }

    fn exponential(self, point: &metrics::ExponentialHistogramDataPoint) -> Value {
        let mut object = self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags);
        let side = |buckets: &Option<exponential_histogram_data_point::Buckets>| match buckets {
            Some(buckets) => {
                let counts = list(&buckets.bucket_counts, |count| self.unsigned(*count));
                self.object([("offset", json!(buckets.offset)), ("bucketCounts", counts)])
            }
            None => Value::Null,
        };
        object["count"] = self.unsigned(point.count);
        object["sum"] = point.sum.map_or(Value::Null, double);
        object["scale"] = json!(point.scale);
        object["zeroCount"] = self.unsigned(point.zero_count);
        object["zeroThreshold"] = double(point.zero_threshold);
        object["positive"] = side(&point.positive);
        object["negative"] = side(&point.negative);
        object["exemplars"] = self.exemplars(&point.exemplars);
        object
    }

    fn summary(self, point: &metrics::SummaryDataPoint) -> Value {
        let mut object = self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags);
        object["count"] = self.unsigned(point.count);
        object["sum"] = double(point.sum);
        object["quantileValues"] = list(&point.quantile_values, |pair| {
            self.object([("quantile", double(pair.quantile)), ("value", double(pair.value))])
        });
        object
    }

    fn exemplars(self, exemplars: &[metrics::Exemplar]) -> Value {
        list(exemplars, |exemplar| {
            let mut object = self.object([
                ("filteredAttributes", self.attributes(&exemplar.filtered_attributes)),
                ("timeUnixNano", self.unsigned(exemplar.time_unix_nano)),
                ("traceId", self.id(&exemplar.trace_id)),
                ("spanId", self.id(&exemplar.span_id)),
            ]);
            match exemplar.value {
                Some(exemplar::Value::AsInt(number)) => object["asInt"] = self.signed(number),
                Some(exemplar::Value::AsDouble(number)) => object["asDouble"] = double(number),
                None => {}
            }
            object
        })
    }

    fn attributes(self, attributes: &[KeyValue]) -> Value {
        list(attributes, |pair| self.pair(pair))
    }

    fn pair(self, pair: &KeyValue) -> Value {
        let value = pair.value.as_ref().map_or(Value::Null, |value| self.value(value));
        // serde_json writes its maps in alphabetical order: "key" stands before "value" only if there is no "aaUnknown" that is null.
        self.object([("value", value), ("key", json!(pair.key))])
    }

    fn value(self, value: &AnyValue) -> Value {
        use any_value::Value as Any;
        let (name, value) = match &value.value {
            None => return self.object([]),
            Some(Any::StringValue(text)) => ("stringValue", json!(text)),
            Some(Any::BoolValue(truth)) => ("boolValue", json!(truth)),
            Some(Any::IntValue(number)) => ("intValue", self.signed(*number)),
            Some(Any::DoubleValue(number)) => ("doubleValue", double(*number)),
            Some(Any::BytesValue(bytes)) if self.formal => ("bytesValue", json!(STANDARD.encode(bytes))),
            Some(Any::BytesValue(bytes)) => ("bytesValue", json!(URL_SAFE_NO_PAD.encode(bytes))),
            Some(Any::ArrayValue(array)) => {
                ("arrayValue", self.object([("values", list(&array.values, |value| self.value(value)))]))
            }
            Some(Any::KvlistValue(map)) => ("kvlistValue", self.object([("values", list(&map.values, |pair| self.pair(pair)))])),
            Some(Any::StringValueStrindex(_)) => panic!("an index into a table of strings is for profiles only"),
        };
        self.object([(name, value)])
    }

    fn id(self, id: &[u8]) -> Value {
        let hex = id.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        json!(if self.formal { hex.to_uppercase() } else { hex })
    }

    fn named(self, prefix: &str, names: &[&str], number: i32) -> Value {
        match usize::try_from(number).ok().and_then(|index| names.get(index)) {
            Some(name) if self.formal => json!(format!("{prefix}{name}")),
            Some(name) if self.noisy => json!(name.to_lowercase()),
            _ => json!(number),
        }
    }

    fn temporality(self, number: i32) -> Value {
        self.named("AGGREGATION_TEMPORALITY_", &["UNSPECIFIED", "DELTA", "CUMULATIVE"], number)
    }

    fn unsigned(self, number: u64) -> Value {
        if self.formal { json!(number.to_string()) } else { json!(number) }
    }

    fn signed(self, number: i64) -> Value {
        if self.formal { json!(number.to_string()) } else { json!(number) }
    }
}

fn list<T>(list: &[T], each: impl FnMut(&T) -> Value) -> Value {
    Value::Array(list.iter().map(each).collect())
}

fn double(number: f64) -> Value {
    if number.is_finite() {
        return json!(number);
    }
    json!(if number > 0.0 { "Infinity" } else { "-Infinity" })
}

/// `traceId` as `trace_id`
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
