//! Any bytes through the chain of the default configuration: no panic, the law of records holds, and the same request makes the same rows.

use std::sync::OnceLock;

use floe::config::Components;
use floe::config::source::from_str;
use floe::processors::chain::{Chain, ChainKeys};
use floe::processors::{Outcome, ProcessorConfig};
use floe::signals::{Encoding, Signal, Timestamp};
use floe::tables::Allowed;

/// 2026-11-24T12:00:00Z
const NOW: Timestamp = Timestamp(1_795_521_600_000_000_000);

const PROCESSORS: &str =
    "map: { invocations: { from_logs: true, http_servers: true } }\nsanitize: {}\nhash_ip: {}\ntruncate_stack: {}\n";

fn build(signal: Signal) -> Option<Chain> {
    let processors: Components<ProcessorConfig> = from_str(PROCESSORS).ok()?;
    let processors: Vec<_> = processors.iter().collect();
    let exporter = "iceberg".parse().ok()?;
    let keys = ChainKeys { id_key: &[1; 16], ip_key: &[2; 16] };
    Chain::build(signal, &processors, &[&exporter], &Allowed::default(), &keys).ok()
}

fn chains() -> &'static [Option<Chain>] {
    static CHAINS: OnceLock<Vec<Option<Chain>>> = OnceLock::new();
    CHAINS.get_or_init(|| Signal::ALL.map(build).into())
}

fn rows(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = Vec::new();
    outcome.rows.iter().for_each(|(_, rows)| rows.encode(&mut bytes));
    bytes
}

pub fn run(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    let which = usize::from(*which);
    let encoding = if which & 0x80 == 0 { Encoding::Protobuf } else { Encoding::Json };
    let chain = chains()[which % Signal::ALL.len()].as_ref();
    let process = || chain.map(|chain| chain.process(encoding, body, NOW));
    let (first, second) = (process(), process());
    assert!(first.is_some(), "the chain is not built");
    let (Some(Ok(first)), Some(Ok(second))) = (first, second) else { return };
    assert!(first.tally.balances(), "{:?}", first.tally);
    assert_eq!(rows(&first), rows(&second));
    assert_eq!(first.tally, second.tally);
}
