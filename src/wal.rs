//! The write-ahead log: what is acknowledged is in it, synced to disk, until every destination has it.
//!
//! A request is one **record**: its rows for every stream (a table of an exporter) under one position. Requests share an fsync; only then is
//! the caller given a [`Durable`], and only with one can a receiver acknowledge. Exporters watch what is [`Held`] for their
//! stream, read it back, write an intent down, commit, and record the commit; then the disk space below the slowest of them is given
//! back. The rules are in docs/exactly-once.md; the code cites them by number.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`] | `extensions.wal`: directory, bounds, when to sync |
//! | [`error`] | what can go wrong, and what to do |
//! | `frame` | segment headers and frames, bytes ↔ values; pure |
//! | `segment` | segment files: names, creation, a walk over all frames that survives damage |
//! | `directory` | the lock, the writer id, the key of the request hashes |
//! | `journal`, `journal/fact`, `journal/file` | intents and recorded commits: the two files in turn, the entries, one file |
//! | `recovery`, `recovery/repair`, `open` | from what is on the disk to a running log: what is found, what is done to it |
//! | `state` | segments in use, and per stream what is logged, committed, held |
//! | `group_commit`, `group_commit/commits` | the one thread that owns the files: appends; and what is written down, released, replayed |
//! | `window` | request hashes of the last minutes |
//! | `reader`, `pin` | a stream's rows, in order; the same as they were at one moment |
//! | [`dead_letters`] | rows that fit no table or were moved out, and how they come back |
//! | `storage` | the seam to the disk; tests fill it, break it, cut its power |
//! | [`offline`] | what a person does to a log that no gateway has: look, resolve, rehome, salvage |
//!
//! # On the disk
//! All numbers are little-endian, all checksums CRC-32C.
//! ```text
//! lock                            flock for the life of the process (rule 8)
//! writer                          the log's UUID, as text, made with the directory
//! key                             32 random bytes, mode 0600: keys the request hashes
//! journal.0  journal.1            the commit journal; the one with the higher generation counts
//! 00000000000000000001.segment    records; the name is the first position it may hold
//! damaged/                        bytes that could not be read, under the name of their segment
//! dead/                           dead letters, see [`dead_letters`]
//! *.unfinished                    not yet in its place; removed at open
//! ```
//! A segment is a header, then frames up to the end of the file.
//! ```text
//! header   0  8  "floe-wal"             frame    0  4  f1 0e 9a c3
//!          8  4  version, 1                      4  8  position
//!         12  4  length of the header           12  8  appended at, ms since 1970
//!         16 16  writer id                      20 16  request hash
//!         32  8  after                          36  4  0
//!         40  8  first position                 40  2  number of entries
//!         48  2  number of streams              42 14  each entry: u16 stream in the header,
//!         50  …  each stream: u32 length,               u32 rows, u32 length, u32 checksum of its bytes
//!                name, u32 length, schema        …  4  checksum of the above, seeded
//!          …  4  checksum of the above           …  …  the bytes of all entries
//! ```
//! A journal file is preallocated; behind its last entry stand zeros or what an earlier generation left. One that the other has gone on from begins with
//! "floe-jnx".
//! ```text
//! header   0  8  "floe-jnl", "floe-jnx" entry    0  4  mark, from the seed
//!          8  4  version, 1                      4  4  length of the content
//!         12  8  generation                      8  4  checksum of length and content, seeded
//!         20 16  writer id                      12  …  content: u8 kind, then
//!         36  4  length of the first entries        1  intent    stream, commit, table, above, to, parent?, sequence, files, letters?
//!         40  4  checksum of them                   2  recorded  stream, position, commit, table, floor, letters?
//!         44  4  checksum of the above              3  damaged   first position, last position
//!                                                   4  requests  of released segments: hash, position, ms since 1970
//!                                                   5  void      stream; its open intents were not applied
//!                                                   6  replayed  file of dead letters, first position of the segment it became
//!                                                   7  orphaned  stream, ms since 1970, files that only lost attempts name
//!                                                   8  swept     stream, ms since 1970; its orphans up to then are deleted
//!                                                   9  begun     first position of a new segment
//! ```
//!
//! # Key ideas
//! - **The seed.** A frame's head is summed from a seed of writer id and first position, a journal entry's from writer id and
//!   generation. Rows that look like a frame, and leftovers of another file, never pass for one.
//! - **Two checksums.** The head has one, every entry has its own: an exporter reads its stream's bytes and skips the others'.
//! - **`after`.** Everything acknowledged before a segment is at or below its `after`. Frames above that in older segments are a failed write that
//!   could not be cut off: void. Positions between `after` and `first` were never acknowledged; any other gap is damage (rule 5).
//! - **The floor.** Each recorded commit also says up to where no stream needs anything (rule 17). Below it a missing segment is
//!   released, above it damaged; and the next position is above it, though all segments be gone.
//! - **Carried requests.** Before a segment is removed, the hashes of its young requests go to the journal (rule 7). Room for them there is taken
//!   while they are appended; an append without it is told "later".
//! - **Rewriting.** At open the last segment, and every damaged one, is copied frame by frame to a new file in its place (rule 3).
//!
//! Crash points, in the order a record meets them: `after_append`, `after_fsync_before_ack`, `after_ack`, `after_segment_create`, `after_intent`,
//! `after_record_before_release`, `after_carry`, `during_release`, `after_set_aside`, `during_reopen_rewrite`, `during_compaction`, `after_compaction`; and `during_move_out`,
//! `during_replay`, `after_replay`, `during_rehome`.
//!
//! # Limits
//! - Segments are not preallocated, the journal is: a full disk has to drain, and appends are told "later" anyhow. Writing zeros first would write every byte twice,
//!   and the length of a file is in the fdatasync.
//! - `wal` directories on network file systems are recognised by the mount table, on Linux only.
//!
//! Invariant: the log knows bytes, rows as a number, and positions; nothing of telemetry.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use highway::{HighwayHash as _, HighwayHasher, Key};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

pub mod config;
pub mod dead_letters;
mod directory;
pub mod error;
mod frame;
mod group_commit;
mod journal;
pub mod offline;
mod open;
mod pin;
mod reader;
mod recovery;
mod segment;
mod state;
mod storage;
#[cfg(test)]
mod tests;
mod window;

pub use config::{Fsync, RetryWindow, WalConfig};
pub use dead_letters::{Letter, LetterWriter, Letters, LettersError};
pub use error::{AppendError, JournalError, OfflineError, OpenError, ReadError};
pub use pin::Pin;
pub use reader::{ReadBatch, Reader};

use frame::{EntryHead, Head};
use group_commit::{Append, Command};
use state::{Amount, Shared};

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
    /// Shared by the entries of exporters that get the same rows.
    pub bytes: Bytes,
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
    /// The rows of the batch that do not fit the table.
    pub letters: Option<Letters>,
}

/// Files in a warehouse that no snapshot will ever name (rule 18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    /// When another attempt for their rows was recorded, in milliseconds since 1970.
    pub at: u64,
    pub files: Vec<String>,
}

/// What was found when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Rows that are not yet in their tables, over all streams.
    pub held_rows: u64,
    /// Bytes of all segments.
    pub held_bytes: u64,
    /// The position of the next request.
    pub next: Position,
    /// Records that were read and checked.
    pub replayed: u64,
    /// Bytes of a torn tail, which were cut off: never acknowledged.
    pub cut: u64,
    /// Acknowledged records that are lost. Empty unless the disk failed.
    pub damaged: Vec<Damage>,
    /// The last record, if its rows are not what was written. A power loss may do that before it is acknowledged, a failing disk afterwards: its
    /// bytes are kept, and it is not counted.
    pub doubtful: Option<Damage>,
}

/// Records that could not be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub first: Position,
    /// Below `first` if there were bytes, but no position is missing.
    pub last: Position,
    /// How many rows are lost, as far as that is known.
    pub rows: u64,
    /// Where their bytes are kept; `None` if there are none.
    pub file: Option<std::path::PathBuf>,
}

/// The second law of conservation for one stream, in rows since the log was opened: logged = committed + held + dead-lettered +
/// damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLedger {
    pub stream: String,
    /// Begins with what was held, or damaged, at open.
    pub logged: u64,
    pub committed: u64,
    pub held: u64,
    pub dead_lettered: u64,
    pub damaged: u64,
    /// Rows in files of dead letters, also of earlier processes, that wait for a replay.
    pub letters: u64,
}

/// A handle to the log; all of them are the same log. When the last one is dropped, its thread ends.
#[derive(Clone, Debug)]
pub struct Wal {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    broken: watch::Receiver<Option<Arc<io::Error>>>,
    writer: Uuid,
    key: Key,
    max_bytes: u64,
    segment_bytes: u64,
    recorded_at_open: Arc<[Recorded]>,
}

impl Wal {
    /// Opens the log, and makes it if it is not there. Blocks: everything that is held is read and checked.
    pub fn open(config: &WalConfig, streams: Vec<Stream>) -> Result<(Wal, Opened), OpenError> {
        open::open(config, streams)
    }

    /// The request's name in the retry window: HighwayHash-128 of the way it goes (its pipelines, say: the same body sent another way is another
    /// request) and its inflated body, under this log's key.
    pub fn fingerprint(&self, way: &str, body: &[u8]) -> Fingerprint {
        let mut hasher = HighwayHasher::new(self.key);
        hasher.append(way.as_bytes());
        hasher.append(&[0]);
        hasher.append(body);
        let [low, high] = hasher.finalize128();
        Fingerprint((u128::from(low) | u128::from(high) << 64).to_le_bytes())
    }

    /// Adds a request. When this returns, it is on the disk, or it is not in the log. A caller that goes away may still have added it.
    pub async fn append(&self, id: Fingerprint, payload: Payload) -> Result<Appended, AppendError> {
        if let Some(why) = self.fenced() {
            return Err(AppendError::Fenced(why.to_owned()));
        }
        let streams = self.shared.lock().stream_count();
        if let Some(entry) = payload.entries.iter().find(|entry| usize::from(entry.stream.0) >= streams) {
            return Err(AppendError::UnknownStream(entry.stream));
        }
        let bytes = Head::len_with(payload.entries.len()) as u64
            + payload.entries.iter().map(|entry| entry.bytes.len() as u64).sum::<u64>();
        let max = self.later_at().min(u64::from(u32::MAX));
        if bytes > max || payload.entries.len() > usize::from(u16::MAX) {
            return Err(AppendError::TooLarge { bytes, max });
        }
        let head = |entry: &Entry| EntryHead {
            stream: entry.stream.0,
            rows: entry.rows,
            length: frame::length(entry.bytes.len()),
            crc: crc32c::crc32c(&entry.bytes),
        };
        let entries = payload.entries.iter().map(head).collect();
        let (reply, answer) = oneshot::channel();
        let append = Command::Append(Append { id, entries, payload, reply });
        self.commands.send(append).await.map_err(|_| AppendError::Closed)?;
        answer.await.map_err(|_| AppendError::Closed)?
    }

    /// What the stream holds, as it changes: after each sync and each recorded commit.
    pub fn held(&self, stream: StreamId) -> watch::Receiver<Held> {
        self.shared.lock().watch(stream)
    }

    /// The stream's rows in (`above`, `to`], as far as they are synced now. The iterator blocks.
    pub fn read(&self, stream: StreamId, above: Position, to: Position) -> Reader {
        Reader::new(&self.shared, stream, above, to)
    }

    /// Writes down that a commit is about to be sent; it is on the disk when this returns (rule 14).
    pub async fn intend(&self, stream: StreamId, intent: Intent) -> Result<(), JournalError> {
        self.journal(|reply| Command::Intend { stream, intent, reply }).await
    }

    /// Writes down that a commit was applied; it is on the disk when this returns (rule 16). The stream's intents are dropped, and
    /// segments that no stream needs any more are removed (rule 17).
    pub async fn record(&self, stream: StreamId, recorded: Recorded) -> Result<(), JournalError> {
        self.record_with(stream, recorded, Vec::new()).await
    }

    async fn record_with(&self, stream: StreamId, recorded: Recorded, letters: Vec<Letters>) -> Result<(), JournalError> {
        let split = self.split(stream, recorded.position).await?;
        self.journal(|reply| Command::Record { stream, recorded, split, letters, reply }).await
    }

    /// The last recorded commit of the stream.
    pub fn recorded(&self, stream: StreamId) -> Option<Recorded> {
        self.shared.lock().last_recorded(stream)
    }

    /// The last recorded commit of every stream that the log ever had, to each table, as it was when it was opened: a stream whose exporter was
    /// renamed since, or that is led back to a table it had before, finds that table's watermark here.
    pub fn recorded_at_open(&self) -> &[Recorded] {
        &self.recorded_at_open
    }

    /// The stream's commits whose outcome is open, the oldest first.
    pub fn intents(&self, stream: StreamId) -> Vec<Intent> {
        self.shared.lock().intents(stream)
    }

    /// The log's name in the tables: `floe.watermark.<writer id>`.
    pub fn writer_id(&self) -> Uuid {
        self.writer
    }

    /// The share of `max_bytes` that is used; 1 is full.
    pub fn fill(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share; what is lost is below a millionth")]
        let share = |bytes: u64, max: u64| bytes as f64 / max.max(1) as f64;
        share(self.bytes(), self.max_bytes)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.shared.lock().bytes()
    }

    /// The bound of all segments; the last fifth is room to drain in.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// From so many bytes on every request is told "later" (rule 22).
    pub fn later_at(&self) -> u64 {
        self.max_bytes / 5 * 4
    }

    /// What a large request takes at most of what is left before [`Wal::later_at`]: within it the log counts as full.
    pub fn margin(&self) -> u64 {
        self.max_bytes / 50
    }

    /// Syncs of rows since the start; each is shared by all requests that waited for it.
    pub fn syncs(&self) -> u64 {
        self.shared.syncs.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Acknowledged positions that were lost to damage, and that not every table was past when the log was opened.
    pub fn damaged_positions(&self) -> u64 {
        self.shared.damaged_positions
    }

    /// Another process commits rows under this log's name: from now on nothing is acknowledged and no commit is begun, for any table (rule
    /// 19). The rows stay. The first reason is kept.
    pub fn fence(&self, why: &str) {
        let _ = self.shared.fenced.set(why.to_owned());
    }

    /// Why the log is fenced; `None` while it is not.
    pub fn fenced(&self) -> Option<&str> {
        self.shared.fenced.get().map(String::as_str)
    }

    /// Why the last request could not be written, on a disk that is full or fails; `None` once one was, or [`Wal::probe`] could.
    pub fn refused(&self) -> Option<Arc<io::Error>> {
        self.shared.refused().clone()
    }

    /// Tries whether there is room again, as senders that were told "later" may have gone elsewhere. Blocks: it writes and syncs a file of 64 KiB beside
    /// the segments, and removes it.
    pub fn probe(&self) {
        let path = self.shared.directory.join(format!("probe{}", segment::UNFINISHED));
        let file = self.shared.storage.create(&path);
        let written = file.and_then(|file| file.write_all_at(&vec![0; 1 << 16], 0).and_then(|()| file.sync()));
        let _ = self.shared.storage.remove(&path);
        if written.is_ok() {
            *self.shared.refused() = None;
        }
    }

    pub fn ledger(&self) -> Vec<StreamLedger> {
        self.shared.lock().ledger()
    }

    /// Waits until a sync fails, or the log's thread panics: nobody knows what is on the disk, nothing is acknowledged any more, and the process has
    /// to end with exit code 74 (rule 3). Waits for ever while the log is well.
    pub async fn broken(&self) -> Arc<io::Error> {
        let mut broken = self.broken.clone();
        let failed = broken.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        match failed {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Everything appended before is answered, the thread has ended and the directory is unlocked when this returns.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close { reply }).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn journal(&self, command: impl FnOnce(group_commit::Reply<(), JournalError>) -> Command) -> Result<(), JournalError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// What the stream has at or below `position` in the segment that goes on above it. Counted here, where no append waits for it.
    async fn split(&self, stream: StreamId, position: Position) -> Result<Amount, JournalError> {
        let split = {
            let state = self.shared.lock();
            if state.last_recorded(stream).is_some_and(|last| position <= last.position) {
                // Nothing changes, or the thread refuses it; the segment may be gone.
                return Ok(Amount::default());
            }
            state.split(stream, position)
        };
        let extent = match split {
            Ok(amount) => return Ok(amount),
            Err(extent) => extent,
        };
        let reader = Reader::within(Arc::clone(&self.shared), stream, position, extent);
        let counted = tokio::task::spawn_blocking(|| reader.count()).await;
        Ok(counted.map_err(|_| JournalError::Closed)??)
    }
}
