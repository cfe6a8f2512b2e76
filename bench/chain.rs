//! What a chain costs: requests of the corpus through decoding, the processors and the columns, in one thread and without a gateway.
//!
//! `cargo run --release --example chain -- --processors map,sanitize,hash_ip,truncate_stack`. Instructions do not depend on what else a machine does:
//! `valgrind --tool=callgrind --toggle-collect='chain::pass*' target/release/examples/chain`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::print_stdout,
    reason = "a bench: its numbers are small, and it reports on stdout"
)]

mod corpus;

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use clap::Parser;
use floe::config::{ComponentId, Components};
use floe::processors::{Chain, ChainKeys, ProcessorConfig};
use floe::signals::{Encoding, Signal, Timestamp};
use floe::tables::{Columns, Raw};

use corpus::{Kind, Random, body};

/// 2026-11-24T12:00:00Z
const NOW: u64 = 1_795_521_600_000_000_000;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value = "spans")]
    kind: Kind,
    /// Records in one request
    #[arg(long, default_value_t = 500)]
    records: usize,
    /// Distinct requests
    #[arg(long, default_value_t = 4)]
    requests: usize,
    /// How often all of them pass
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// In their order; without any, decoding alone is measured
    #[arg(long, value_delimiter = ',')]
    processors: Vec<String>,
}

#[inline(never)]
fn pass(chain: &Chain, bodies: &[Bytes]) -> u64 {
    let outcomes = bodies.iter().filter_map(|body| black_box(chain.process(Encoding::Protobuf, body, Timestamp(NOW))).ok());
    outcomes.map(|outcome| outcome.tally.received).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let signal = if arguments.kind == Kind::Spans { Signal::Traces } else { Signal::Logs };
    let yaml = arguments.processors.iter().fold(String::new(), |yaml, name| yaml + name + ": {}\n");
    let processors: Components<ProcessorConfig> = floe::config::source::from_str(if yaml.is_empty() { "{}" } else { &yaml })?;
    let processors: Vec<_> = processors.iter().collect();
    let exporter: ComponentId = "iceberg".parse()?;
    let keys = ChainKeys { id_key: b"an id key of benches", ip_key: b"an ip key of benches" };
    let raw = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]);
    let chain = Chain::build(signal, &processors, &[&exporter], &raw.into(), &keys)?;
    let mut random = Random(1);
    let bodies: Vec<Bytes> = (0..arguments.requests).map(|_| body(arguments.kind, arguments.records, &mut random, NOW)).collect();
    let started = Instant::now();
    let received: u64 = (0..arguments.rounds).map(|_| pass(&chain, &bodies)).sum();
    let nanos = started.elapsed().as_nanos() as f64 / received as f64;
    println!(r#"{{"records":{received},"nanoseconds_a_record":{nanos:.1}}}"#);
    Ok(())
}
