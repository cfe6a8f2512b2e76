//! The write-ahead log: what is acknowledged is in it, synced to disk, until every destination has it.
//!
//! (front page to be completed with the files and the layout on disk)
//!
//! Invariant: the log knows bytes, rows as a number, and positions; nothing of telemetry.

use std::time::Instant;

use uuid::Uuid;

/// The place of a request in the log: 1 for the first, +1 for each; 0 is before everything. Never given to other content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

/// A request's keyed 128-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// A destination's place in the log: rows of one table for one exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `<exporter id>:<table>`, for example `iceberg/lake:errors`.
    pub name: String,
    /// How the bytes of its batches are to be read; opaque here, stands once in every segment's header.
    pub schema: Vec<u8>,
}

/// Index into the streams the log was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

/// Everything that one request leaves in the log.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub stream: StreamId,
    pub rows: u32,
    pub bytes: Vec<u8>,
}

/// Proof that a record is synced to disk. Only the log makes one.
#[derive(Debug)]
pub struct Durable {
    position: Position,
}

impl Durable {
    pub fn position(&self) -> Position {
        self.position
    }
}

#[derive(Debug)]
pub enum Appended {
    New(Durable),
    /// The same request was here before, within the retry window; nothing was added.
    Duplicate(Durable),
}

/// What one stream holds above its recorded watermark, as far as it is synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The newest position with rows of this stream.
    pub to: Position,
    pub rows: u64,
    pub bytes: u64,
    /// When the oldest of them was appended, or the log opened with it.
    pub oldest: Option<Instant>,
}

/// A commit that is known to have been applied: all rows at or below `position` are in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub position: Position,
    pub commit: Uuid,
    pub table: Uuid,
}

/// A commit that is about to be sent (docs/exactly-once.md, rule 14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub commit: Uuid,
    pub table: Uuid,
    /// The batch is all rows in (`above`, `to`].
    pub above: Position,
    pub to: Position,
    /// The head it asserts; `None` for a table without snapshots.
    pub parent: Option<i64>,
    pub parent_sequence: i64,
    pub files: Vec<String>,
}
