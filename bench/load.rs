//! Sends distinct, pre-encoded requests of functions traffic over gRPC, each once, and reports what was acknowledged and how long that took.
//!
//! `cargo run --release --example load -- --help`. The corpus is that of docs/performance.md.

#![allow(
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::print_stdout,
    reason = "a generator of load: its numbers are small, and it reports on stdout"
)]

mod corpus;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes};
use clap::Parser;
use tonic::Status;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;

use corpus::{Kind, Random, body};

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
