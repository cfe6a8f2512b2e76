//! The thread that owns the files. It takes what is waiting, writes it as one buffer, syncs once and answers all; commits are
//! written down in between.
//!
//! A reply never waits for more than one sync of rows that began after its append. Once a segment it may also wait until the next one
//! is made: its header is synced and its directory. That fails without breaking the log, as nothing in it was acknowledged.

mod commits;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::config::{Fsync, WalConfig};
use super::dead_letters::{Letters, LettersError, Survey};
use super::error::{AppendError, JournalError};
use super::frame::{EntryHead, Head, Header, Seed};
use super::journal::{Fact, Failure, Journal};
use super::segment;
use super::state::{Amount, Extent, Logged, Segment, Share, Shared};
use super::storage::LogFile;
use super::window::Window;
use super::{Appended, Durable, Fingerprint, Intent, Orphans, Payload, Position, Recorded, Stream, StreamId};
use crate::clock;
use crate::faults::{self, Naive, Point};

/// Requests that wait for the thread; more of them wait to get in.
pub(super) const QUEUE: usize = 1024;
/// A group is written when it has this many bytes, or nothing else waits.
const GROUP_BYTES: u64 = 8 << 20;

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Append(Append),
    Intend {
        stream: StreamId,
        intent: Intent,
        reply: Reply<(), JournalError>,
    },
    /// `split`: see [`super::state::State::recorded`].
    Record {
        stream: StreamId,
        recorded: Recorded,
        split: Amount,
        /// Of rows that were moved out; those of a commit stand in its intent.
        letters: Vec<Letters>,
        reply: Reply<(), JournalError>,
    },
    Replay {
        letters: Letters,
        survey: Survey,
        reply: Reply<u64, LettersError>,
    },
    Orphans {
        stream: StreamId,
        reply: oneshot::Sender<Vec<Orphans>>,
    },
    Swept {
        stream: StreamId,
        at: u64,
        reply: Reply<(), JournalError>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

#[derive(Debug)]
pub(super) struct Append {
    pub(super) id: Fingerprint,
    /// With checksums that the caller made.
    pub(super) entries: Vec<EntryHead>,
    pub(super) payload: Payload,
    pub(super) reply: Reply<Appended, AppendError>,
}

impl Append {
    fn len(&self) -> u64 {
        Head::len_with(self.entries.len()) as u64 + self.entries.iter().map(|entry| u64::from(entry.length)).sum::<u64>()
    }
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    end: u64,
    seed: Seed,
}

/// The thread's own.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) config: WalConfig,
    pub(super) directory: PathBuf,
    pub(super) owner: Uuid,
    pub(super) streams: Vec<Stream>,
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
    pub(super) window: Window,
    /// The last position that was given away.
    pub(super) given: Position,
    pub(super) broken: watch::Sender<Option<Arc<io::Error>>>,
    pub(super) active: Option<Active>,
    buffer: Vec<u8>,
}

/// What became of a group.
struct Group {
    /// Answered when the group is synced.
    waiting: Vec<(Reply<Appended, AppendError>, Appended)>,
    logged: Vec<Logged>,
    last: Position,
}

impl Writer {
    #[expect(clippy::too_many_arguments, reason = "each is named where it is given")]
    pub(super) fn new(
        config: WalConfig,
        directory: PathBuf,
        owner: Uuid,
        streams: Vec<Stream>,
        shared: Arc<Shared>,
        journal: Journal,
        window: Window,
        given: Position,
        broken: watch::Sender<Option<Arc<io::Error>>>,
    ) -> Writer {
        Writer { config, directory, owner, streams, shared, journal, window, given, broken, active: None, buffer: Vec::new() }
    }

    /// Works until it is told to close, every handle is gone, or the log is broken. Who asked to close is told by the caller, when the
    /// files are let go.
    pub(super) fn run(&mut self, mut commands: mpsc::Receiver<Command>) -> Option<oneshot::Sender<()>> {
        while let Some(first) = commands.blocking_recv() {
            let mut appends = Vec::new();
            let mut others = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::Append(append) => {
                        bytes += append.len();
                        appends.push(append);
                    }
                    other => others.push(other),
                }
                if bytes < GROUP_BYTES && appends.len() + others.len() < QUEUE {
                    next = commands.try_recv().ok();
                }
            }
            self.append(appends);
            for command in others {
                if let Command::Close { reply } = command {
                    return Some(reply);
                }
                self.write_down(command);
            }
            self.roll_when_full();
            if self.is_broken() {
                return None;
            }
        }
        None
    }

    /// Nothing is written any more once a sync has failed (rule 3).
    pub(super) fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    pub(super) fn break_off(&mut self, error: &Arc<io::Error>) {
        self.active = None;
        self.broken.send_replace(Some(Arc::clone(error)));
    }

    fn append(&mut self, appends: Vec<Append>) {
        if appends.is_empty() {
            return;
        }
        self.window.forget(now_millis());
        let Some(appends) = self.answer_duplicates(appends) else { return };
        let ready = self.mend_journal().and_then(|()| {
            self.journal.reserve(self.window.len() + appends.len())?;
            self.ensure_segment()
        });
        if let Err(error) = ready {
            self.answer_disk(appends.into_iter().map(|append| append.reply), &error);
            return;
        }
        let Some(mut active) = self.active.take() else { return };
        let before = self.given;
        let group = self.encode(appends, active.seed, active.end);
        if self.buffer.is_empty() {
            self.active = Some(active);
            return;
        }
        if let Err(error) = active.file.write_all_at(&self.buffer, active.end) {
            // Rule 6. What cannot be cut off is void: the next segment says that nothing above `before` counts here.
            if active.file.set_len(active.end).is_ok() {
                self.active = Some(active);
            }
            self.window.take_back(before);
            self.answer_disk(group.waiting.into_iter().map(|(reply, _)| reply), &Arc::new(error));
            return;
        }
        faults::pass(Point::AfterAppend);
        if let Err(error) = self.sync(&*active.file).and_then(|()| self.is_in_place(&active)) {
            let error = Arc::new(error);
            self.break_off(&error);
            self.answer_disk(group.waiting.into_iter().map(|(reply, _)| reply), &error);
            return;
        }
        active.end += self.buffer.len() as u64;
        self.shared.lock().appended(&group.logged, active.end, group.last, clock::now());
        *self.shared.refused() = None;
        self.active = Some(active);
        faults::pass(Point::AfterFsyncBeforeAck);
        for (reply, appended) in group.waiting {
            // A sender that went away sends again and is a duplicate.
            let _ = reply.send(Ok(appended));
        }
        faults::pass(Point::AfterAck);
    }

    /// Rows in a file that nobody will find again are not kept: the directory was moved away, or removed.
    fn is_in_place(&self, active: &Active) -> io::Result<()> {
        let found = self.shared.storage.identity(&active.path);
        if found.is_ok_and(|found| active.file.identity().is_ok_and(|ours| ours == found)) {
            return Ok(());
        }
        let path = active.path.display();
        Err(io::Error::other(format!("{path} is not where it was: put its directory back, or what is held in it is lost")))
    }

    fn sync(&self, file: &dyn LogFile) -> io::Result<()> {
        self.shared.syncs.fetch_add(u64::from(self.config.fsync == Fsync::Group), Ordering::Relaxed);
        match self.config.fsync {
            Fsync::Group if faults::is(Naive::RetrySync) => file.sync().or_else(|_| file.sync()),
            Fsync::Group => file.sync(),
            Fsync::Never => Ok(()),
        }
    }

    /// Those whose first copy is on the disk already. `None` if no others are left.
    fn answer_duplicates(&self, appends: Vec<Append>) -> Option<Vec<Append>> {
        let mut new = Vec::with_capacity(appends.len());
        for append in appends {
            match self.window.position(append.id) {
                Some(position) => {
                    let _ = append.reply.send(Ok(Appended::Duplicate(Durable { position })));
                }
                None => new.push(append),
            }
        }
        (!new.is_empty()).then_some(new)
    }

    /// Fills the buffer with the frames of a group that begins at `end`, and refuses what does not fit.
    fn encode(&mut self, appends: Vec<Append>, seed: Seed, end: u64) -> Group {
        let max = self.config.later_at();
        let (others, mut last) = {
            let state = self.shared.lock();
            (state.bytes().saturating_sub(end), state.synced)
        };
        let now = now_millis();
        let mut waiting = Vec::with_capacity(appends.len());
        let mut logged = Vec::with_capacity(appends.len());
        self.buffer.clear();
        // A large group's buffer is not kept.
        self.buffer.shrink_to(usize::try_from(GROUP_BYTES).unwrap_or(usize::MAX));
        for append in appends {
            if let Some(position) = self.window.position(append.id) {
                waiting.push((append.reply, Appended::Duplicate(Durable { position })));
                continue;
            }
            let held = others + end + self.buffer.len() as u64;
            if held + append.len() > max {
                let _ = append.reply.send(Err(AppendError::Full { held, max }));
                continue;
            }
            let position = Position(self.given.0 + 1);
            (self.given, last) = (position, position);
            logged.extend(append.entries.iter().map(|entry| Logged {
                position,
                stream: StreamId(entry.stream),
                amount: Amount { rows: u64::from(entry.rows), bytes: u64::from(entry.length) },
            }));
            Head { position, appended: now, id: append.id, entries: append.entries }.encode(seed, &mut self.buffer);
            for entry in &append.payload.entries {
                self.buffer.extend_from_slice(&entry.bytes);
            }
            self.window.insert(append.id, position, now);
            waiting.push((append.reply, Appended::New(Durable { position })));
        }
        Group { waiting, logged, last }
    }

    /// Rule 6: "later".
    fn answer_disk(&self, replies: impl Iterator<Item = Reply<Appended, AppendError>>, error: &Arc<io::Error>) {
        *self.shared.refused() = Some(Arc::clone(error));
        for reply in replies {
            let _ = reply.send(Err(AppendError::Disk(Arc::clone(error))));
        }
    }

    /// What a failed write left in the journal is void before anything more is acknowledged.
    fn mend_journal(&mut self) -> Result<(), Arc<io::Error>> {
        match self.journal.mend(&self.window) {
            Ok(()) => Ok(()),
            Err(Failure::Full(_)) => Err(Arc::new(io::ErrorKind::StorageFull.into())),
            Err(Failure::Write(error)) => Err(Arc::new(error)),
            Err(Failure::Sync(error)) => {
                let error = Arc::new(error);
                self.break_off(&error);
                Err(error)
            }
        }
    }

    fn roll_when_full(&mut self) {
        let is_full = self.active.as_ref().is_some_and(|active| active.end >= self.config.segment_limit());
        if is_full {
            self.active = None;
            // If it fails, the next append tries again and tells its sender.
            let _ = self.ensure_segment();
        }
    }

    /// A segment that may be written to: its header and its directory are synced (rule 4).
    pub(super) fn ensure_segment(&mut self) -> Result<(), Arc<io::Error>> {
        if self.active.is_some() {
            return Ok(());
        }
        let (after, first) = (self.shared.lock().synced, Position(self.given.0 + 1));
        let header = Header::new(self.owner, after, first, self.streams.clone());
        let bytes = header.encode();
        let path = self.directory.join(segment::name(first));
        let storage = Arc::clone(&self.shared.storage);
        segment::create(&*storage, &path, |file| file.write_all_at(&bytes, 0))?;
        faults::pass(Point::AfterSegmentCreate);
        // Nothing is acknowledged in a segment before it is known that it has to be there.
        self.write_facts(vec![Fact::Begun { first }]).map_err(|error| match error {
            JournalError::Disk(error) => error,
            error => Arc::new(io::Error::other(error)),
        })?;
        let file = storage.open(&path)?;
        let end = bytes.len() as u64;
        let segment = Arc::new(Segment::new(path.clone(), &header, end, &self.streams));
        let mut state = self.shared.lock();
        let shares = vec![Share::default(); state.stream_count()];
        // One without frames has the same name, and was replaced just now.
        state.extents.retain(|extent| extent.segment.path != segment.path);
        state.extents.push_back(Extent { segment, end, last: after, shares });
        drop(state);
        self.active = Some(Active { file, path, end, seed: header.seed() });
        Ok(())
    }
}

/// Whoever waits for the log to break is told, and the process ends, instead of answering "later" for ever.
impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.break_off(&Arc::new(io::Error::other("its thread panicked: this is a fault of floe, please report it")));
        }
    }
}

fn now_millis() -> u64 {
    clock::unix_nanos() / 1_000_000
}
