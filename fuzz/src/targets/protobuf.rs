//! Any bytes as a request in protobuf: floe and prost say the same of it.

use floe::signals::{Signal, differential};

pub fn run(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    differential::check_protobuf(Signal::ALL[usize::from(*which) % Signal::ALL.len()], body);
}
