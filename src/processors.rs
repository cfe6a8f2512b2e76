//! Processors: the chain of a pipeline, from the body of a request to cleared rows and points. Pure and synchronous.
//!
//! A chain is steps on records, then `map`, then steps on columns, in the order of the YAML. `map` is the only place where records
//! become columns. What a chain reads of a request is known at start ([`crate::signals::attributes::Keys`]), and so is which columns it clears.
//!
//! | file | processor |
//! |---|---|
//! | [`config`] | which processors there are: the enum of their settings |
//! | [`chain`] | builds a pipeline's chain from its configuration and runs it |
//! | [`filter`] | drops records by an attribute, or rows by a column |
//! | [`route`] | to which exporters of the pipeline each row goes |
//! | [`condition`] | what `filter` and `route` ask |
//! | [`attributes`] | inserts, updates and deletes attributes |
//! | [`map`] | records to rows: the preset `functions` and the rules for metric points |
//! | [`sanitize`] | takes secrets out of every string |
//! | [`hash_ip`] | replaces client addresses |
//! | [`truncate_stack`] | shortens stack traces, keeping head, tail and every cause |
//! | [`points`], [`literal`] | metric points on their way to Prometheus; a value as it is written in YAML |

pub mod attributes;
pub mod chain;
pub mod condition;
pub mod config;
pub mod filter;
pub mod hash_ip;
mod literal;
pub mod map;
mod points;
pub mod route;
pub mod sanitize;
pub mod truncate_stack;

use crate::signals::points::Points;
use crate::signals::{Records, Rejected};
use crate::tables::{Cleared, Columns, TableBatch};

pub use chain::{Chain, ChainError, ChainKeys};
pub use config::ProcessorConfig;

/// A step before `map`: edits the records or takes some away.
pub trait RecordStep: Send + Sync {
    fn apply(&self, records: &mut Records<'_>, tally: &mut Tally);
}

/// A step after `map`: works on whole columns.
pub trait ColumnStep: Send + Sync {
    fn apply(&self, batch: TableBatch, tally: &mut Tally) -> TableBatch;

    /// The columns in which nothing raw is left after this step.
    fn clears(&self) -> Columns {
        Columns::NONE
    }

    /// The same on the points that go to Prometheus.
    fn apply_to_points(&self, _points: &mut Points, _tally: &mut Tally) {}
}

/// Which exporters of a pipeline some rows go to, by their place in its list of exporters: 64 at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destinations(u64);

impl Destinations {
    /// More exporters than a pipeline may have.
    pub const MAX: usize = 64;
    pub const NONE: Destinations = Destinations(0);
    /// Every exporter of the pipeline.
    pub const ALL: Destinations = Destinations(u64::MAX);

    /// Those of a pipeline's exporters that are wanted.
    pub fn of<T: Copy>(exporters: &[T], wanted: impl Fn(T) -> bool) -> Destinations {
        let bits = exporters.iter().take(Self::MAX).enumerate().filter(|(_, exporter)| wanted(**exporter));
        Destinations(bits.fold(0, |all, (at, _)| all | 1 << at))
    }

    #[must_use]
    pub fn union(self, other: Destinations) -> Destinations {
        Destinations(self.0 | other.0)
    }

    /// Whether the exporter in this place is among them.
    pub fn contains(self, at: usize) -> bool {
        at < Self::MAX && self.0 >> at & 1 == 1
    }
}

/// What a chain made of one request.
#[derive(Debug)]
pub struct Outcome {
    /// Every row once; one batch for a table and the exporters its rows share. None is empty.
    pub rows: Vec<(Destinations, Cleared)>,
    pub points: Points,
    pub tally: Tally,
    /// Permanent rejects, for `partial_success`.
    pub rejected: Option<Rejected>,
}

/// The first law of conservation for one request and chain, in records: received = rejected + filtered + unmapped + mapped;
/// and what was noticed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub received: u64,
    pub rejected: u64,
    pub filtered: u64,
    pub unmapped: u64,
    pub mapped: u64,
    /// Rows that a `filter` on columns took away, or a `route` sent nowhere; their records stay `mapped`.
    pub rows_filtered: u64,
    notes: [u64; Note::ALL.len()],
}

/// Something odd that was mended, dropped or replaced, counted per kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A string that was not UTF-8.
    MendedString,
    /// A value that nested deeper than 64 became empty there.
    DeepValue,
    /// A record without any time took the time of receipt.
    TimeOfReceipt,
    /// End before start: no duration from it.
    NegativeDuration,
    /// A number out of its column's range became NULL.
    OutOfRange,
    /// A key that stood twice with different values counted as absent.
    RepeatedKey,
    /// A client address that could not be read became NULL.
    UnreadableAddress,
    /// A secret was replaced.
    Redaction,
    /// A stack trace was shortened.
    TruncatedStack,
}

impl Note {
    pub const ALL: [Note; 9] = [
        Note::MendedString,
        Note::DeepValue,
        Note::TimeOfReceipt,
        Note::NegativeDuration,
        Note::OutOfRange,
        Note::RepeatedKey,
        Note::UnreadableAddress,
        Note::Redaction,
        Note::TruncatedStack,
    ];

    /// The value of the metric label `kind`.
    pub fn name(self) -> &'static str {
        match self {
            Note::MendedString => "mended_string",
            Note::DeepValue => "deep_value",
            Note::TimeOfReceipt => "time_of_receipt",
            Note::NegativeDuration => "negative_duration",
            Note::OutOfRange => "out_of_range",
            Note::RepeatedKey => "repeated_key",
            Note::UnreadableAddress => "unreadable_address",
            Note::Redaction => "redaction",
            Note::TruncatedStack => "truncated_stack",
        }
    }
}

impl Tally {
    pub fn note(&mut self, note: Note, count: u64) {
        self.notes[note as usize] += count;
    }

    pub fn noted(&self, note: Note) -> u64 {
        self.notes[note as usize]
    }

    /// Whether the first law holds. Checked by tests and, in debug builds, at every reply.
    pub fn balances(&self) -> bool {
        self.received == self.rejected + self.filtered + self.unmapped + self.mapped
    }
}
