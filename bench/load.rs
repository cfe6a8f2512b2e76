//! Sends distinct, pre-encoded requests of functions traffic over gRPC, each once, and reports what was acknowledged and how long that took.
//!
//! `cargo run --release --example load -- --help`. The corpus is that of docs/performance.md: five resources a request, seven attributes a span,
//! random ids and addresses that never repeat, start times over three hours, 2 % of spans with an exception of 2 KB, some of them with a secret.

#![allow(
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::print_stdout,
    reason = "a generator of load: its numbers are small, and it reports on stdout"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes};
use clap::{Parser, ValueEnum};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Spans,
    Logs,
}

/// Load for a gateway, over loopback.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value = "http://127.0.0.1:4317")]
    endpoint: String,
    #[arg(long, value_enum, default_value = "spans")]
    kind: Kind,
    /// Records in one request
    #[arg(long, default_value_t = 500)]
    records: usize,
    /// Requests in all
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Requests on their way at once
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    #[arg(long)]
    gzip: bool,
}

/// SplitMix64: the corpus is the same for the same arguments, but for the time.
struct Random(u64);

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

fn body(kind: Kind, records: usize, random: &mut Random, now: u64) -> Bytes {
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

/// Sends bytes as they are, so that encoding costs nothing while the clock runs.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = usize;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let length = from.remaining();
        from.advance(length);
        Ok(Some(length))
    }
}

fn quantile(sorted: &[Duration], q: f64) -> f64 {
    let at = ((sorted.len().max(1) - 1) as f64 * q).round() as usize;
    sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let mut random = Random(now);
    let bodies: Arc<Vec<Bytes>> =
        Arc::new((0..arguments.requests).map(|_| body(arguments.kind, arguments.records, &mut random, now)).collect());
    let wire: usize = bodies.iter().map(Bytes::len).sum();
    let path = match arguments.kind {
        Kind::Spans => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Kind::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    };
    let channel = Endpoint::from_shared(arguments.endpoint.clone())?.connect().await?;
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..arguments.concurrency {
        let (bodies, next, channel) = (Arc::clone(&bodies), Arc::clone(&next), channel.clone());
        let gzip = arguments.gzip;
        workers.spawn(async move {
            let mut client = tonic::client::Grpc::new(channel);
            if gzip {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            let mut latencies = Vec::new();
            let mut later = 0_u64;
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                loop {
                    let sent = Instant::now();
                    client.ready().await.map_err(|error| error.to_string())?;
                    let request = tonic::Request::new(body.clone());
                    match client.unary(request, http::uri::PathAndQuery::from_static(path), Raw).await {
                        Ok(_) => {
                            latencies.push(sent.elapsed());
                            break;
                        }
                        Err(status) if matches!(status.code(), tonic::Code::Unavailable | tonic::Code::ResourceExhausted) => {
                            later += 1;
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        Err(status) => return Err(status.to_string()),
                    }
                }
            }
            Ok((latencies, later))
        });
    }
    let mut latencies = Vec::new();
    let mut later = 0;
    while let Some(worker) = workers.join_next().await {
        let (more, told_later) = worker??;
        latencies.extend(more);
        later += told_later;
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    println!(
        r#"{{"records":{},"seconds":{seconds:.3},"wire_bytes_a_record":{:.1},"ack_p50_ms":{:.2},"ack_p99_ms":{:.2},"told_later":{later}}}"#,
        latencies.len() * arguments.records,
        wire as f64 / (arguments.requests * arguments.records) as f64,
        quantile(&latencies, 0.5),
        quantile(&latencies, 0.99),
    );
    Ok(())
}
