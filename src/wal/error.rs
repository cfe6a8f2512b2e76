//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use super::{Position, StreamId};

/// The log cannot be opened; the process cannot start.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the log directory {} is used by another process; stop that one, or give this one another wal.directory", directory.display())]
    InUse { directory: PathBuf },
    #[error(
        "the log directory {} is on the network file system {kind}, where a sync and a lock cannot be trusted; put wal.directory on a local disk",
        directory.display()
    )]
    NetworkFileSystem { directory: PathBuf, kind: String },
    #[error(
        "{} rows are held for {name}, which no pipeline writes to any more; put that exporter back until they are committed, or move {} away \
         to give them up",
        rows, directory.display()
    )]
    UnknownStream { name: String, rows: u64, directory: PathBuf },
    #[error("{} was written in version {found} of the log's format, this program reads version 1; use the version that wrote it to drain it", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error(
        "{} belongs to another log directory; every log needs a directory of its own, move the file back to where it came from",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error("{} holds {found}, expected {expected}; move the log directory away, or restore the file", path.display())]
    Identity { path: PathBuf, expected: &'static str, found: String },
    #[error(
        "{} is missing: it names the log that stands beside it, and the watermarks in its tables; restore it, or write `{owner}` into it, \
         the name that the log's files carry",
        path.display()
    )]
    NoWriter { path: PathBuf, owner: Uuid },
    #[error(
        "the commit journal {} is damaged: it says which rows are in their tables already; restore it, or run `floe wal salvage`, which keeps all \
         that can be read of it",
        path.display()
    )]
    Journal { path: PathBuf },
    #[error(
        "{} holds segments and no commit journal, which says which rows are in their tables already; put journal.0 and journal.1 back, or run \
         `floe wal salvage` and tell it what the tables say",
        directory.display()
    )]
    NoJournal { directory: PathBuf },
    #[error("{} destinations, expected at most 65535", streams)]
    TooManyStreams { streams: usize },
    #[error("cannot {action} {}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
}

/// A request is not in the log. Each of these is "later" to its sender, except [`AppendError::TooLarge`] and
/// [`AppendError::UnknownStream`].
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    #[error("the log is full: {held} of {max} bytes are held until the tables have them")]
    Full { held: u64, max: u64 },
    /// Rule 6: one that is full, or broken.
    #[error("the log cannot be written: {0}")]
    Disk(Arc<io::Error>),
    #[error("the log is closed")]
    Closed,
    /// Rule 19.
    #[error("the log is fenced: {0}")]
    Fenced(String),
    #[error("the request takes {bytes} bytes in the log, expected at most {max}; send fewer rows at once")]
    TooLarge { bytes: u64, max: u64 },
    #[error("no stream {} in the log", .0.0)]
    UnknownStream(StreamId),
}

impl AppendError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, AppendError::Full { .. } | AppendError::Disk(_) | AppendError::Closed | AppendError::Fenced(_))
    }
}

/// A commit could not be written down.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    #[error("the commit journal cannot be written: {0}")]
    Disk(Arc<io::Error>),
    #[error("the log is closed")]
    Closed,
    /// Rule 19.
    #[error("the log is fenced: {0}")]
    Fenced(String),
    #[error(
        "the commit journal holds {bytes} bytes of open intents, expected at most {max}; a commit must be resolved before another is tried"
    )]
    Full { bytes: usize, max: usize },
    #[error("position {} is below {}, which is recorded already", asked.0, recorded.0)]
    Backwards { asked: Position, recorded: Position },
    #[error("position {} is above {}, the last one of this log: another process has, or had, this log", asked.0, last.0)]
    Ahead { asked: Position, last: Position },
    #[error("no stream {} in the log", .0.0)]
    UnknownStream(StreamId),
    #[error("the outcome of a commit is open, and its rows may be in the table")]
    OpenIntents,
    #[error("the rows up to the recorded position cannot be counted")]
    Count(#[from] ReadError),
}

impl JournalError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, JournalError::Disk(_))
    }
}

/// Held rows cannot be read.
#[derive(Clone, Debug, Error)]
pub enum ReadError {
    #[error("{} is damaged behind position {}; it is set aside when the log is opened the next time", path.display(), after.0)]
    Damaged { path: PathBuf, after: Position },
    #[error("cannot read {}", path.display())]
    Disk { path: PathBuf, source: Arc<io::Error> },
}

/// A log that no gateway has cannot be inspected or repaired. Nothing was changed.
#[derive(Debug, Error)]
pub enum OfflineError {
    #[error("there is no log in {}; is it the `extensions.wal.directory` of this configuration?", directory.display())]
    NoLog { directory: PathBuf },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{stream} has no open commit: there is nothing to resolve")]
    NothingOpen { stream: String },
    #[error("{commit} is no open commit, expected one of {}", open.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", "))]
    UnknownCommit { commit: Uuid, open: Vec<Uuid> },
    #[error("position {} is beyond the log, whose last one is {}", from.0, last.0)]
    BeyondTheLog { from: Position, last: Position },
    #[error("cannot {action} {}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
}
