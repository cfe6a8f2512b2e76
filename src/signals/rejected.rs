//! Records that can never be taken: how many, and the reason that the sender is told.

/// What `partial_success` says: how many records will never be taken, and why the first of them was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub count: u64,
    /// For the sender; says what was expected and what came, never a value of the record.
    pub reason: String,
}

impl Rejected {
    /// Counts `count` more rejects in `into`; the first reason stands.
    pub fn add(into: &mut Option<Rejected>, count: u64, reason: impl FnOnce() -> String) {
        match into {
            Some(rejected) => rejected.count += count,
            None => *into = Some(Rejected { count, reason: reason() }),
        }
    }
}

/// Why a point that has no value and no flag that says so is not taken. `number` counts the points of the request from 0.
#[cold]
pub(super) fn without_value(number: u64) -> String {
    format!("point {number}: it has no value, expected one or the flag \"no recorded value\"")
}

/// Why a histogram point is not taken whose bucket counts do not go with its bounds.
#[cold]
pub(super) fn misfit(number: u64, counts: u32, bounds: u32) -> String {
    format!("point {number}: it has {counts} bucket counts and {bounds} bounds, expected one count more than bounds, or neither")
}

/// How an id was written, and in how many of what.
#[derive(Clone, Copy, Debug)]
pub(super) enum Id {
    Bytes(usize),
    Hex(usize),
}

/// Why a span is not taken whose id `name`, of `size` bytes, is not valid.
#[cold]
pub(super) fn wrong_id(number: u64, name: &str, found: Id, size: usize) -> String {
    match found {
        Id::Bytes(length) if length == size => format!("span {number}: {name} is all zero"),
        Id::Bytes(length) => format!("span {number}: {name} has {length} bytes, expected {size}"),
        Id::Hex(length) if length == 2 * size => format!("span {number}: {name} is all zero or not hexadecimal"),
        Id::Hex(length) => format!("span {number}: {name} has {length} hexadecimal digits, expected {}", 2 * size),
    }
}
