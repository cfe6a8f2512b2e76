//! The commit journal: intents and recorded commits, written down before and after a commit is sent.
//!
//! Two preallocated files are used in turn: entries are appended to one; when it is full, and at open, all that still counts is
//! written to the other one, and when that is synced the first is marked as left. Nothing is allocated on the way, so that a
//! full disk can still drain: room for the requests that a release has to carry (rule 7) is taken while they are appended.
//!
//! Invariant: an entry is written to a file only when the other one is marked as left. So a file that cannot be read beside one that is not marked
//! is an image that was not written to its end, and no entry is lost with it; beside one that is marked it is damage, and no older state is believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::error::OpenError;
use super::segment;
use super::storage::{LogFile, Storage};
use super::window::Window;
use crate::faults::{self, Point};

mod fact;
mod file;
#[cfg(test)]
mod tests;

pub(super) use fact::{Fact, Facts};

use fact::REQUEST;
use file::{State, Unreadable};

const NAMES: [&str; 2] = ["journal.0", "journal.1"];
/// Of each of the two files, at first.
const CAPACITY: u64 = 128 << 10;
/// Room is taken for this many requests at first; then it doubles.
const REQUESTS: usize = 4096;
/// Of open intents and recorded commits together; an exporter that opens more of them does not resolve them.
pub(super) const MAX_LIVE: usize = 16 << 20;

/// Why an entry was not written.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing happened; it may be tried again.
    Write(io::Error),
    /// Nobody knows what is on the disk (rule 3).
    Sync(io::Error),
    /// This many bytes would have to be kept.
    Full(usize),
}

#[derive(Debug)]
pub(super) struct Journal {
    files: [Arc<dyn LogFile>; 2],
    writer: Uuid,
    /// Which of the two is appended to.
    current: usize,
    generation: u64,
    /// Where the next entry goes.
    at: u64,
    facts: Facts,
    /// There is room for this many remembered requests in either file.
    room: usize,
    /// A write failed, and what it left behind is void only in another generation.
    is_torn: bool,
}

/// The file that counts.
struct Newest {
    index: usize,
    generation: u64,
    image: u64,
}

impl Journal {
    /// What it remembers of requests goes to the window.
    pub(super) fn open(storage: &dyn Storage, directory: &Path, writer: Uuid, window: &mut Window) -> Result<Journal, OpenError> {
        let names = storage.list(directory).map_err(disk("list", directory))?;
        let is_there = NAMES.map(|name| names.iter().any(|other| other == name));
        if is_there == [false, false] {
            if names.iter().any(|name| segment::first_position(name).is_some()) {
                return Err(OpenError::NoJournal { directory: directory.to_owned() });
            }
            Journal::make(storage, directory, writer, &Facts::default(), 1).map_err(disk("create the journal in", directory))?;
        }
        let (newest, files) = find(storage, directory, writer)?;
        let path = directory.join(NAMES[newest.index]);
        let Some(file) = &files[newest.index] else { return Err(OpenError::Journal { path }) };
        let mut facts = Facts::default();
        let read = file::read(file, writer, newest.generation, newest.image, |fact| match fact {
            Fact::Requests(requests) => requests.into_iter().for_each(|request| {
                window.restore(request);
                window.carried_to(request.position);
            }),
            fact => facts.apply(fact),
        });
        read.map_err(|error| unreadable(error, &path))?;
        let mut opened = Vec::with_capacity(2);
        for (name, file) in NAMES.into_iter().zip(files) {
            let path = directory.join(name);
            let missing = || {
                segment::create(storage, &path, |file| grow(file, CAPACITY)).map_err(disk("create", &path))?;
                storage.open(&path).map_err(disk("open", &path))
            };
            opened.push(file.map_or_else(missing, Ok)?);
        }
        let Ok(files) = opened.try_into() else { return Err(OpenError::Journal { path }) };
        let (current, generation) = (newest.index, newest.generation);
        let mut journal = Journal { files, writer, current, generation, at: 0, facts, room: 0, is_torn: false };
        journal.compact(window).map_err(|failure| match failure {
            Failure::Write(source) | Failure::Sync(source) => disk("write the journal in", directory)(source),
            Failure::Full(_) => OpenError::Journal { path },
        })?;
        // On a full disk there is none; then every append is told so.
        let _ = journal.reserve(REQUESTS.max(window.len()));
        Ok(journal)
    }

    /// What the journal in `directory` says, with the remembered requests; nothing is written.
    pub(super) fn read_only(storage: &dyn Storage, directory: &Path, writer: Uuid) -> Result<Facts, OpenError> {
        let (newest, files) = find(storage, directory, writer)?;
        let path = directory.join(NAMES[newest.index]);
        let Some(file) = &files[newest.index] else { return Err(OpenError::Journal { path }) };
        let mut facts = Facts::default();
        let read = file::read(file, writer, newest.generation, newest.image, |fact| facts.apply(fact));
        read.map_err(|error| unreadable(error, &path))?;
        Ok(facts)
    }

    /// Makes a journal that says `facts`; whatever `journal.0` was there is replaced in one step.
    pub(super) fn make(storage: &dyn Storage, directory: &Path, writer: Uuid, facts: &Facts, generation: u64) -> io::Result<()> {
        segment::create(storage, &directory.join(NAMES[0]), |file| {
            file::write_image(file, facts, facts.requests.iter(), writer, generation)?;
            grow(file, CAPACITY)
        })
    }

    /// What all whole entries of both files say, though there be damage between them, and the generation of a journal that goes on from them. Entries
    /// of a file whose header is damaged are found by what it still says, or by the other one's.
    pub(super) fn salvage(storage: &dyn Storage, directory: &Path, writer: Uuid) -> Result<(Facts, u64), OpenError> {
        let mut found = Vec::new();
        for name in NAMES {
            let path = directory.join(name);
            let file = match storage.read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file.map_err(disk("open", &path))?,
            };
            let generation = match State::of(&file, writer).map_err(|error| unreadable(error, &path))? {
                State::Whole { generation, .. } | State::Left { generation } => Some(generation),
                State::Void => None,
            };
            found.push((path, file, generation));
        }
        let known: Vec<u64> = found.iter().filter_map(|(.., generation)| *generation).collect();
        let mut passes = Vec::new();
        for (path, file, generation) in &found {
            let named = file::named_generation(file).map_err(disk("read", path))?;
            let beside = known.iter().flat_map(|known| [known.wrapping_sub(1), known.wrapping_add(1)]);
            let guessed = beside.chain([named]).filter(|_| generation.is_none());
            passes.extend(generation.iter().copied().chain(guessed).map(|generation| (generation, path, file)));
        }
        passes.sort_by_key(|(generation, ..)| *generation);
        passes.dedup_by_key(|(generation, path, _)| (*generation, path.to_owned()));
        let mut facts = Facts::default();
        let mut newest = known.into_iter().max().unwrap_or_default();
        for (generation, path, file) in passes {
            let each = |fact| {
                newest = newest.max(generation);
                facts.apply_again(fact);
            };
            file::salvage(file, writer, generation, each).map_err(disk("read", path))?;
        }
        Ok((facts, newest + 1))
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What was replayed is in its place: the next image need not say so.
    pub(super) fn forget_replayed(&mut self) {
        self.facts.replayed.clear();
    }

    /// Takes room for so many remembered requests, twice each: once in what is kept, once in what is appended.
    pub(super) fn reserve(&mut self, requests: usize) -> io::Result<()> {
        if requests <= self.room {
            return Ok(());
        }
        let room = requests.next_power_of_two();
        for file in &self.files {
            let wanted = CAPACITY + (room * REQUEST * 5 / 2) as u64;
            if file.len()? < wanted {
                grow(&**file, wanted.next_power_of_two())?;
            }
        }
        self.room = room;
        Ok(())
    }

    /// After a failed write some of its entries may be on the disk, and would count after a crash: they are void once this has succeeded. Nothing is
    /// to be acknowledged before.
    pub(super) fn mend(&mut self, window: &Window) -> Result<(), Failure> {
        if self.is_torn { self.compact(window) } else { Ok(()) }
    }

    /// Writes entries down, synced, all or none. `window` is what has to be remembered of released segments.
    pub(super) fn write(&mut self, facts: Vec<Fact>, window: &Window) -> Result<(), Failure> {
        self.mend(window)?;
        let mut bytes = self.encode(&facts);
        if self.at + bytes.len() as u64 > self.capacity()? {
            let carried = facts.iter().all(|fact| matches!(fact, Fact::Requests(_)));
            let live = self.facts.encoded_len() + if carried { 0 } else { bytes.len() };
            if live > MAX_LIVE {
                return Err(Failure::Full(live));
            }
            self.compact(window)?;
            bytes = self.encode(&facts);
            // Compacting leaves at least half free; only a single huge entry is longer.
            let needed = self.at + bytes.len() as u64;
            if needed > self.capacity()? {
                grow(&*self.files[self.current], needed.next_power_of_two()).map_err(Failure::Write)?;
            }
        }
        let file = &self.files[self.current];
        if let Err(error) = file.write_all_at(&bytes, self.at) {
            self.is_torn = true;
            return Err(Failure::Write(error));
        }
        file.sync().map_err(Failure::Sync)?;
        self.at += bytes.len() as u64;
        for fact in facts.into_iter().filter(|fact| !matches!(fact, Fact::Requests(_))) {
            self.facts.apply(fact);
        }
        Ok(())
    }

    fn encode(&self, facts: &[Fact]) -> Vec<u8> {
        let seed = file::seed(self.writer, self.generation);
        let mut out = Vec::new();
        for fact in facts {
            fact.encode(seed, &mut out);
        }
        out
    }

    fn capacity(&self) -> Result<u64, Failure> {
        self.files[self.current].len().map_err(Failure::Write)
    }

    /// Goes over to the other file with what still counts.
    fn compact(&mut self, window: &Window) -> Result<(), Failure> {
        // Until it is done no entry may follow: the file that is gone on to may be whole, and newer.
        self.is_torn = true;
        let (old, other) = (self.current, 1 - self.current);
        let image = self.facts.encoded_len() + window.carried().count() * (REQUEST + 1);
        let wanted = (file::HEADER + image as u64 * 2).max(CAPACITY);
        if self.files[other].len().map_err(Failure::Write)? < wanted {
            grow(&*self.files[other], wanted.next_power_of_two()).map_err(Failure::Write)?;
        }
        let generation = self.generation + 1;
        let at = file::write_image(&*self.files[other], &self.facts, window.carried(), self.writer, generation);
        let at = at.map_err(Failure::Write)?;
        faults::pass(Point::DuringCompaction);
        self.files[other].sync().map_err(Failure::Sync)?;
        faults::pass(Point::AfterCompaction);
        (self.current, self.generation, self.at) = (other, generation, at);
        file::leave(&*self.files[old], self.writer, generation - 1).map_err(Failure::Write)?;
        self.files[old].sync().map_err(Failure::Sync)?;
        self.is_torn = false;
        Ok(())
    }
}

/// The file that counts, and both of them as far as they are there.
#[expect(clippy::type_complexity, reason = "one of two, and both")]
fn find(storage: &dyn Storage, directory: &Path, writer: Uuid) -> Result<(Newest, [Option<Arc<dyn LogFile>>; 2]), OpenError> {
    let mut files = [None, None];
    let mut states = [State::Void; 2];
    for (index, name) in NAMES.into_iter().enumerate() {
        let path = directory.join(name);
        let file = match storage.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(disk("open", &path))?,
        };
        states[index] = State::of(&file, writer).map_err(|error| unreadable(error, &path))?;
        files[index] = Some(file);
    }
    let newest = |index: usize, generation, image| Ok(Newest { index, generation, image });
    let newest = match states {
        [State::Whole { generation: first, image }, State::Whole { generation: second, .. }] if first > second => {
            newest(0, first, image)
        }
        [State::Whole { generation, image }, State::Void] => newest(0, generation, image),
        [State::Whole { .. } | State::Void, State::Whole { generation, image }] => newest(1, generation, image),
        [State::Whole { generation, image }, State::Left { generation: left }] if generation > left => {
            newest(0, generation, image)
        }
        [State::Left { generation: left }, State::Whole { generation, image }] if generation > left => {
            newest(1, generation, image)
        }
        // The one that was not left is the damaged one.
        [_, State::Left { .. }] => Err(OpenError::Journal { path: directory.join(NAMES[0]) }),
        _ => Err(OpenError::Journal { path: directory.join(NAMES[1]) }),
    }?;
    Ok((newest, files))
}

fn disk(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Disk { action, path: path.clone(), source }
}

fn unreadable(error: Unreadable, path: &Path) -> OpenError {
    let path: PathBuf = path.to_owned();
    match error {
        Unreadable::Disk(source) => OpenError::Disk { action: "read", path, source },
        Unreadable::Broken => OpenError::Journal { path },
        Unreadable::Version(found) => OpenError::Version { path, found },
        Unreadable::Foreign => OpenError::Foreign { path },
    }
}

/// Zeros that take their place on the disk now.
fn grow(file: &dyn LogFile, end: u64) -> io::Result<()> {
    let mut at = file.len()?;
    let zeros = vec![0; 1 << 16];
    while at < end {
        let some = zeros.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..some], at)?;
        at += some as u64;
    }
    Ok(())
}
