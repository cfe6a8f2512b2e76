//! The corpus of the benches: five resources a request, seven attributes a span, random ids and addresses that never repeat, start times over
//! three hours, 2 % of spans with an exception of 2 KB, some of them with a secret. docs/performance.md describes it.

use bytes::Bytes;
use clap::ValueEnum;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event};
use prost::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Spans,
    Logs,
}

/// SplitMix64: the corpus is the same for the same arguments, but for the time.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_be_bytes()).take(count).collect()
    }

    fn address(&mut self) -> String {
        let n = self.next().to_be_bytes();
        format!("{}.{}.{}.{}", 1 + n[0] % 223, n[1], n[2], n[3])
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

const RESOURCES: usize = 5;

fn resource(random: &mut Random) -> Resource {
    let function = random.below(40);
    let language = ["python", "nodejs", "go", "java", "rust"][random.below(5) as usize];
    Resource {
        attributes: vec![
            text("service.name", format!("function-{function}")),
            text("faas.name", format!("function-{function}")),
            text("faas.version", format!("2026.11.{}", random.below(9))),
            text("telemetry.sdk.language", language),
            text("cloud.region", "eu-west-1"),
        ],
        ..Default::default()
    }
}

fn stack(random: &mut Random) -> String {
    let mut stack = String::from("Traceback (most recent call last):\n");
    while stack.len() < 1_900 {
        let line = random.below(900);
        stack.push_str(&format!(
            "  File \"/srv/app/handlers/orders_{line}.py\", line {line}, in handle_{line}\n    return process(order)\n"
        ));
    }
    if random.below(4) == 0 {
        stack.push_str(&format!("  password={:016x}\n", random.next()));
    }
    stack + "ValueError: order could not be processed"
}

fn exception(random: &mut Random) -> Vec<KeyValue> {
    vec![
        text("exception.type", "ValueError"),
        text("exception.message", "order could not be processed"),
        text("exception.stacktrace", stack(random)),
    ]
}

fn span(random: &mut Random, now: u64) -> Span {
    let start = now - random.below(3 * 3600) * 1_000_000_000 - random.below(1_000_000_000);
    let failed = random.below(50) == 0;
    let events = if failed {
        vec![Event {
            time_unix_nano: start + 1000,
            name: "exception".into(),
            attributes: exception(random),
            ..Default::default()
        }]
    } else {
        Vec::new()
    };
    Span {
        trace_id: random.bytes(16),
        span_id: random.bytes(8),
        name: "handler".into(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000_000 + random.below(500_000_000),
        attributes: vec![
            text("faas.invocation_id", format!("{:016x}{:016x}", random.next(), random.next())),
            text("faas.trigger", "http"),
            attribute("faas.coldstart", Value::BoolValue(random.below(20) == 0)),
            attribute("faas.mem_usage", Value::IntValue((32 + random.below(96) as i64) << 20)),
            text("client.address", random.address()),
            attribute("http.response.status_code", Value::IntValue(if failed { 500 } else { 200 })),
            text("http.route", "/orders/{id}"),
        ],
        events,
        ..Default::default()
    }
}

fn log(random: &mut Random, now: u64) -> LogRecord {
    let time = now - random.below(3 * 3600) * 1_000_000_000;
    let mut attributes = exception(random);
    attributes.push(text("client.address", random.address()));
    LogRecord {
        time_unix_nano: time,
        severity_number: 17,
        body: Some(AnyValue { value: Some(Value::StringValue("order could not be processed".into())) }),
        trace_id: random.bytes(16),
        span_id: random.bytes(8),
        attributes,
        ..Default::default()
    }
}

/// How many records of `all` the group with this number holds.
fn share(all: usize, group: usize, groups: usize) -> usize {
    all / groups + usize::from(group < all % groups)
}

/// One encoded request.
pub fn body(kind: Kind, records: usize, random: &mut Random, now: u64) -> Bytes {
    let groups = RESOURCES.min(records);
    let encoded = match kind {
        Kind::Spans => ExportTraceServiceRequest {
            resource_spans: (0..groups)
                .map(|group| ResourceSpans {
                    resource: Some(resource(random)),
                    scope_spans: vec![ScopeSpans {
                        spans: (0..share(records, group, groups)).map(|_| span(random, now)).collect(),
                        ..Default::default()
                    }],
                    ..Default::default()
                })
                .collect(),
        }
        .encode_to_vec(),
        Kind::Logs => ExportLogsServiceRequest {
            resource_logs: (0..groups)
                .map(|group| ResourceLogs {
                    resource: Some(resource(random)),
                    scope_logs: vec![ScopeLogs {
                        log_records: (0..share(records, group, groups)).map(|_| log(random, now)).collect(),
                        ..Default::default()
                    }],
                    ..Default::default()
                })
                .collect(),
        }
        .encode_to_vec(),
    };
    Bytes::from(encoded)
}
