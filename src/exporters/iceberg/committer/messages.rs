//! What goes into a committer and what comes out: events and steps, and what they carry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use iceberg::spec::DataFile;
use uuid::Uuid;

use crate::exporters::iceberg::cause::Said;
use crate::faults::{self, Naive};
use crate::wal::{Held, Intent, Letters, Position, Recorded};

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// What the log holds for this table now. Only while waiting.
    Held(Held),
    /// Commit everything that is held now. Only while waiting.
    Flush(Held),
    /// The instant of `Step::Wait` is here.
    Tick,
    /// Answers `Step::Look`; `fresh` is an id that was never used, for the attempt that may follow.
    Looked { look: Result<Look, CatalogError>, fresh: Uuid },
    /// Answers `Step::Encode`.
    Encoded(Result<Files, EncodeFailure>),
    /// Answers `Step::Journal`: the intent is synced.
    Journalled,
    /// Answers `Step::Send`.
    Answered(Answer),
    /// Answers `Step::Record`: the record is synced; what the log holds since.
    Recorded(Held),
    /// Answers `Step::MoveOut`: the rows are dead letters now; what the log holds since.
    MovedOut(Held),
    /// `Step::Journal`, `Step::Record` or `Step::MoveOut` could not be done.
    Failed(String),
}

/// What to do next. The driver does it and brings back the event that answers it.
#[derive(Clone, Debug)]
pub enum Step {
    /// Nothing before this instant, unless more is held or somebody wants a flush.
    Wait(Instant),
    Look,
    Encode(Batch),
    Journal(Intent),
    Send(Attempt),
    Record(Recorded),
    /// Make dead letters of all rows up to there (rule 22), because of this trouble.
    MoveOut(Recorded, String),
    /// This table does nothing more until the process is started again; its rows stay in the log.
    Stop(Reason),
}

/// One version of the table, loaded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub shape: Shape,
    /// The snapshot that `main` points to; `None` for a table without snapshots.
    pub head: Option<i64>,
    /// The table's last sequence number.
    pub sequence: i64,
    /// The property `floe.watermark.<writer>`.
    pub watermark: Option<Mark>,
    /// The newest mark of this writer in the summaries on main's chain.
    pub mark: Option<Mark>,
    /// The snapshots on main's chain.
    pub chain: Vec<i64>,
    /// Whether the chain goes back to a snapshot without parent, so that nothing on it was expired.
    pub whole: bool,
}

impl Look {
    /// Sabotage only: as a writer sees it that keeps its watermark in summaries; `head` is the mark of the head's own.
    #[must_use]
    pub fn sabotaged(mut self, head: Option<Mark>) -> Look {
        if faults::is(Naive::WatermarkInHeadOnly) {
            (self.watermark, self.mark) = (None, head);
        }
        if faults::is(Naive::WatermarkInChainOnly) {
            self.watermark = None;
        }
        self
    }
}

/// What data files are made for; files made for another shape are not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The table's uuid: another one under the same name is another table.
    pub table: Uuid,
    pub schema: i32,
    pub spec: i32,
}

/// A position and the commit that reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub position: Position,
    pub commit: Uuid,
}

/// The table's watermark was put back, or removed, by somebody else: with its metadata, perhaps, and then with rows that were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// What this log knows to be committed.
    pub recorded: Position,
    /// What the table said; `None` if it said nothing.
    pub shown: Option<Position>,
}

/// All rows of the table in (`above`, `to`], as long as `max_bytes` of the log last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub above: Position,
    pub to: Position,
    pub max_bytes: u64,
    /// Files of an earlier encoding that no attempt ever named: they may be deleted.
    pub instead_of: Vec<String>,
}

/// Uploaded data files with all rows of the table in (`above`, `to`], but for those that do not fit.
#[derive(Clone, Debug)]
pub struct Files {
    pub shape: Shape,
    pub above: Position,
    /// At most the batch's `to`: the encoder may stop at an earlier position.
    pub to: Position,
    pub rows: u64,
    pub bytes: u64,
    pub data: Arc<[DataFile]>,
    /// Where the rows are that do not fit the table (rule 21).
    pub letters: Option<Letters>,
}

/// One commit request: asserts `intent.parent` as head, adds the files and sets the watermark to `intent.to`.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub intent: Intent,
    /// `None` enrols this log with the table: an empty append.
    pub files: Option<Files>,
}

/// What came back from a commit request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Applied, and this is our watermark as the catalog holds it now.
    Committed(Option<Mark>),
    /// The head moved, says the catalog. That does not mean "not applied".
    Conflict,
    TooMany {
        retry_after: Option<Duration>,
    },
    /// Nobody knows.
    Unknown(String),
    Denied(String),
    /// The catalog understood and will never do it.
    Refused(String),
}

/// Why a table could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("the catalog or its warehouse cannot be reached: {0}")]
    Unreachable(Said),
    #[error("the catalog asks for fewer requests: {why}")]
    TooMany { retry_after: Option<Duration>, why: String },
    #[error("the catalog denies access: {0}; check the credentials")]
    Denied(Said),
    #[error("the table is gone; restart floe to create it again")]
    Missing,
    #[error(
        "storage and catalog are not the same store: the catalog says that the table's metadata is {0}, and the storage has nothing there; \
         check `storage.endpoint`, then restart floe"
    )]
    OtherStore(String),
    #[error("the table does not fit: {0}")]
    Incompatible(String),
}

/// Why a batch could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFailure {
    /// The warehouse or the log's disk; it may pass.
    #[error("the data files could not be written: {0}")]
    Passing(String),
    #[error("the warehouse denies access: {0}; check the credentials")]
    Denied(String),
    /// The rows cannot be read or do not fit the table; it will not pass.
    #[error("the rows cannot be encoded: {0}")]
    Lasting(String),
}

/// Why a table stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Rule 19.
    #[error(
        "another process commits rows of this log: the table is at position {} by commit {}, which this log does not know; \
         stop the other process; if this log's directory is a copy, `floe wal rehome` gives its rows a writer id of their own", .0.position.0, .0.commit
    )]
    Fenced(Mark),
    /// Rule 20.
    #[error(
        "the watermark is gone and so is the snapshot that commit {0} was built on: whether its rows are in the table cannot be told; \
         look for its files in the table (`floe wal inspect` lists them), then stop floe and run `floe wal resolve`"
    )]
    Ambiguous(Uuid),
    #[error(transparent)]
    Catalog(CatalogError),
    #[error(transparent)]
    Encoding(EncodeFailure),
    #[error("the catalog refuses the commit: {0}")]
    Refused(String),
}
