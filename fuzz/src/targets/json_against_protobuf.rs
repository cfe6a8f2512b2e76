//! A request that the input chooses, in protobuf and in the manners of JSON: the same records.

use floe::signals::{Signal, differential};

pub fn run(input: &[u8]) {
    let Some((which, choices)) = input.split_first() else { return };
    differential::check_wild(Signal::ALL[usize::from(*which) % Signal::ALL.len()], choices);
}
