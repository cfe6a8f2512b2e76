//! What the log holds: its segments, and per stream what is logged, committed and held. Kept by the thread that owns
//! the files, read by everyone.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::frame::{Header, Seed};
use super::storage::Storage;
use super::{Held, Intent, Position, Recorded, Stream, StreamId, StreamLedger};
use crate::faults::{self, Naive};

/// A stretch of one stream's appends that share an age.
const STRETCH: Duration = Duration::from_millis(100);
/// Past it neighbouring stretches become one.
const STRETCHES: usize = 4096;

/// What does not change about a segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) seed: Seed,
    /// Where its first frame begins.
    pub(super) header_len: u64,
    /// By the number that its frames use.
    pub(super) streams: Vec<Local>,
}

/// A stream in one segment.
#[derive(Debug)]
pub(super) struct Local {
    /// `None` for a stream that the log was opened without; no rows of it are held.
    pub(super) stream: Option<StreamId>,
    pub(super) schema: Arc<[u8]>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, header: &Header, header_len: u64, streams: &[Stream]) -> Segment {
        let local = |stream: &Stream| Local { stream: number(streams, &stream.name), schema: stream.schema.as_slice().into() };
        Segment { path, seed: header.seed(), header_len, streams: header.streams.iter().map(local).collect() }
    }
}

/// The stream of this name.
pub(super) fn number(streams: &[Stream], name: &str) -> Option<StreamId> {
    let index = streams.iter().position(|stream| stream.name == name)?;
    u16::try_from(index).ok().map(StreamId)
}

/// A segment as far as it is synced.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) segment: Arc<Segment>,
    /// Bytes from the file's beginning.
    pub(super) end: u64,
    /// Every acknowledged position in it or before it is at or below this one.
    pub(super) last: Position,
    /// By stream.
    pub(super) shares: Vec<Share>,
}

/// What one stream has in one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) total: Amount,
    /// How much of it is at or below the stream's watermark.
    pub(super) passed: Amount,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Extent {
    pub(super) fn has_rows(&self, stream: StreamId) -> bool {
        self.shares.get(usize::from(stream.0)).is_some_and(|share| share.total.rows > 0)
    }
}

impl Share {
    pub(super) fn add(&mut self, position: Position, amount: Amount) {
        if self.last == Position(0) {
            self.first = position;
        }
        self.last = position;
        self.total.add(amount);
    }
}

impl Amount {
    pub(super) fn add(&mut self, other: Amount) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// Rows of one stream that became durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logged {
    pub(super) position: Position,
    pub(super) stream: StreamId,
    pub(super) amount: Amount,
}

#[derive(Debug)]
struct StreamState {
    name: String,
    recorded: Option<Recorded>,
    intents: Vec<Intent>,
    logged: u64,
    committed: u64,
    dead_lettered: u64,
    /// Rows in files of dead letters, also of earlier processes.
    letters: u64,
    damaged: u64,
    held: watch::Sender<Held>,
    /// The last position of each stretch and when it began.
    ages: VecDeque<(Position, Instant)>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) extents: VecDeque<Extent>,
    /// Everything at or below it that was acknowledged is on the disk.
    pub(super) synced: Position,
    streams: Vec<StreamState>,
}

/// The state and what is needed to read the files behind it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    /// The log's.
    pub(super) directory: PathBuf,
    /// Why nothing is acknowledged any more (rule 19).
    pub(super) fenced: OnceLock<String>,
    /// Why the last append could not be written; `None` once one was.
    pub(super) refused: Mutex<Option<Arc<io::Error>>>,
    /// Syncs of rows.
    pub(super) syncs: AtomicU64,
    /// Positions that are lost and that not every table is past yet, as of the start.
    pub(super) damaged_positions: u64,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(storage: Arc<dyn Storage>, directory: PathBuf, state: State, damaged_positions: u64) -> Shared {
        let (fenced, syncs) = (OnceLock::new(), AtomicU64::new(0));
        let refused = Mutex::new(None);
        Shared { storage, directory, fenced, refused, syncs, damaged_positions, state: Mutex::new(state) }
    }

    pub(super) fn refused(&self) -> MutexGuard<'_, Option<Arc<io::Error>>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No code that holds the lock can fail half way.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn new(streams: &[Stream]) -> State {
        let stream = |stream: &Stream| StreamState {
            name: stream.name.clone(),
            recorded: None,
            intents: Vec::new(),
            logged: 0,
            committed: 0,
            dead_lettered: 0,
            letters: 0,
            damaged: 0,
            held: watch::Sender::new(Held::default()),
            ages: VecDeque::new(),
        };
        State { extents: VecDeque::new(), synced: Position(0), streams: streams.iter().map(stream).collect() }
    }

    /// What the journal and the segments said when the log was opened.
    pub(super) fn opened(&mut self, stream: usize, recorded: Option<Recorded>, intents: Vec<Intent>, damaged: u64, now: Instant) {
        let held = self.held_now(stream);
        let Some(state) = self.streams.get_mut(stream) else { return };
        (state.recorded, state.intents, state.damaged) = (recorded, intents, damaged);
        state.logged = held.rows + damaged;
        if held.rows > 0 {
            state.ages.push_back((held.to, now));
        }
        state.publish(held);
    }

    /// Takes in a synced group: what it logged, and where its segment, the last one, ends now.
    pub(super) fn appended(&mut self, logged: &[Logged], end: u64, last: Position, now: Instant) {
        let Some(extent) = self.extents.back_mut() else { return };
        (extent.end, extent.last) = (end, last);
        self.synced = last;
        for Logged { position, stream, amount } in logged.iter().copied() {
            let index = usize::from(stream.0);
            let (Some(share), Some(state)) = (extent.shares.get_mut(index), self.streams.get_mut(index)) else { continue };
            share.add(position, amount);
            state.logged += amount.rows;
            state.age(position, now);
        }
        for index in 0..self.streams.len() {
            if logged.iter().any(|logged| usize::from(logged.stream.0) == index) {
                self.streams[index].publish(self.held_now(index));
            }
        }
    }

    /// The stream's rows up to `recorded` are in its table. `split` is what it has at or below that position in the segment
    /// that goes on above it; `dead` of the rows went to dead letters instead.
    pub(super) fn recorded(&mut self, stream: StreamId, recorded: Recorded, split: Amount, dead: u64) {
        let index = usize::from(stream.0);
        let before = self.held_now(index).rows;
        // Another table at the same position, as after an enrolment anew, passes no row.
        let moves = recorded.position > self.watermark(index);
        for extent in self.extents.iter_mut().filter(|_| moves) {
            let Some(share) = extent.shares.get_mut(index) else { continue };
            if share.last <= recorded.position {
                share.passed = share.total;
            } else if share.first <= recorded.position {
                share.passed = split;
            }
        }
        let held = self.held_now(index);
        let Some(state) = self.streams.get_mut(index) else { return };
        let passed = before.saturating_sub(held.rows);
        let dead = dead.min(passed);
        state.committed += passed - dead;
        state.dead_lettered += dead;
        state.letters += dead;
        state.ages.retain(|(last, _)| *last > recorded.position);
        state.recorded = Some(recorded);
        state.intents.clear();
        state.publish(held);
    }

    /// What the stream has at or below `position` in the last segment that has such rows: known, or to be counted there.
    pub(super) fn split(&self, stream: StreamId, position: Position) -> Result<Amount, Extent> {
        let share = |extent: &Extent| extent.shares.get(usize::from(stream.0)).copied().unwrap_or_default();
        let begins_below = |extent: &&Extent| share(extent).total.rows > 0 && share(extent).first <= position;
        match self.extents.iter().rfind(begins_below) {
            None => Ok(Amount::default()),
            Some(extent) if share(extent).last <= position => Ok(share(extent).total),
            Some(extent) => Err(extent.clone()),
        }
    }

    /// A segment of rows that were dead letters is the last one now.
    pub(super) fn replayed(&mut self, stream: StreamId, extent: Extent, now: Instant) {
        let index = usize::from(stream.0);
        let rows = extent.shares.get(index).map_or(0, |share| share.total.rows);
        // One without frames has the same name, and was replaced just now.
        self.extents.retain(|other| other.segment.path != extent.segment.path);
        self.synced = extent.last;
        let last = extent.last;
        self.extents.push_back(extent);
        let held = self.held_now(index);
        let Some(state) = self.streams.get_mut(index) else { return };
        state.logged += rows;
        state.letters = state.letters.saturating_sub(rows);
        state.age(last, now);
        state.publish(held);
    }

    /// The rows in files of dead letters when the log was opened.
    pub(super) fn letters_waiting(&mut self, waiting: &BTreeMap<String, u64>) {
        for (stream, rows) in waiting.iter().filter(|(stream, _)| !self.streams.iter().any(|state| state.name == **stream)) {
            tracing::warn!(
                stream,
                rows,
                "dead letters of an exporter that is gone: no metric counts them; put it back to replay them"
            );
        }
        for state in &mut self.streams {
            state.letters = waiting.get(&state.name).copied().unwrap_or_default();
        }
    }

    pub(super) fn intended(&mut self, stream: StreamId, intent: Intent) {
        if let Some(state) = self.streams.get_mut(usize::from(stream.0)) {
            state.intents.push(intent);
        }
    }

    /// Everything at or below it is in all tables that have rows there, if `stream` gets as far as `position` (rule 17).
    pub(super) fn floor_with(&self, stream: StreamId, position: Position) -> Position {
        let watermark = |index: usize| if index == usize::from(stream.0) { position } else { self.watermark(index) };
        let is_needed = |extent: &Extent| extent.shares.iter().enumerate().any(|(index, share)| share.last > watermark(index));
        match self.extents.iter().position(is_needed) {
            None => self.synced,
            Some(0) => Position(0),
            Some(needed) => self.extents[needed - 1].last,
        }
    }

    /// The oldest segment, if no stream needs it any more.
    pub(super) fn releasable(&self) -> Option<&Extent> {
        let oldest = self.extents.front()?;
        let needs = |(index, share): (usize, &Share)| share.last > self.watermark(index);
        let mut shares = oldest.shares.iter().enumerate();
        let is_needed = if faults::is(Naive::ReleaseAtFastest) { shares.all(needs) } else { shares.any(needs) };
        (!is_needed).then_some(oldest)
    }

    pub(super) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.end).sum()
    }

    pub(super) fn watch(&self, stream: StreamId) -> watch::Receiver<Held> {
        match self.streams.get(usize::from(stream.0)) {
            Some(state) => state.held.subscribe(),
            None => watch::Sender::new(Held::default()).subscribe(),
        }
    }

    pub(super) fn last_recorded(&self, stream: StreamId) -> Option<Recorded> {
        self.streams.get(usize::from(stream.0))?.recorded.clone()
    }

    pub(super) fn intents(&self, stream: StreamId) -> Vec<Intent> {
        self.streams.get(usize::from(stream.0)).map(|state| state.intents.clone()).unwrap_or_default()
    }

    pub(super) fn name(&self, stream: StreamId) -> Option<&str> {
        self.streams.get(usize::from(stream.0)).map(|state| state.name.as_str())
    }

    pub(super) fn ledger(&self) -> Vec<StreamLedger> {
        let line = |state: &StreamState| StreamLedger {
            stream: state.name.clone(),
            logged: state.logged,
            committed: state.committed,
            held: state.held.borrow().rows,
            dead_lettered: state.dead_lettered,
            letters: state.letters,
            damaged: state.damaged,
        };
        self.streams.iter().map(line).collect()
    }

    fn watermark(&self, index: usize) -> Position {
        let recorded = self.streams.get(index).and_then(|state| state.recorded.as_ref());
        recorded.map_or(Position(0), |recorded| recorded.position)
    }

    fn held_now(&self, index: usize) -> Held {
        let mut held = Held::default();
        for share in self.extents.iter().filter_map(|extent| extent.shares.get(index)) {
            held.to = held.to.max(share.last);
            held.rows += share.total.rows - share.passed.rows;
            held.bytes += share.total.bytes - share.passed.bytes;
        }
        held
    }
}

impl StreamState {
    fn publish(&self, held: Held) {
        let oldest = self.ages.front().map(|(_, since)| *since);
        self.held.send_replace(Held { oldest, ..held });
    }

    /// Notes when `position` came. Ages are exact to a stretch, and never too young.
    fn age(&mut self, position: Position, now: Instant) {
        match self.ages.back_mut() {
            Some((last, since)) if now.saturating_duration_since(*since) < STRETCH => *last = position,
            _ => self.ages.push_back((position, now)),
        }
        if self.ages.len() > STRETCHES {
            let mut merged = VecDeque::with_capacity(STRETCHES);
            let mut since = None;
            for (index, (last, began)) in self.ages.drain(..).enumerate() {
                let first = *since.get_or_insert(began);
                if index % 2 == 1 {
                    merged.push_back((last, first));
                    since = None;
                }
            }
            if let Some(since) = since {
                merged.push_back((position, since));
            }
            self.ages = merged;
        }
    }
}
