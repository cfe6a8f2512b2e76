//! The commit journal: intents and recorded commits, written down before and after a commit is sent.
//!
//! Two preallocated files are used in turn: entries are appended to one; when it is full, and at open, all that still counts is
//! written to the other one, whose higher generation makes it the one that is read. Nothing is allocated on the way, so that a
//! full disk can still drain: room for the requests that a release has to carry (rule 7) is taken while they are appended.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::error::OpenError;
use super::frame::{Fields, length};
use super::segment;
use super::storage::{LogFile, Storage};
use super::window::{Remembered, Window};

mod fact;

pub(super) use fact::{Fact, Facts};

use fact::REQUEST;

const MAGIC: [u8; 8] = *b"floe-jnl";
const VERSION: u32 = 1;
const HEADER: usize = 48;
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
}

/// One of the two files, as it was read.
struct Content {
    generation: u64,
    facts: Facts,
}

impl Journal {
    pub(super) fn open(storage: &dyn Storage, directory: &Path, writer: Uuid) -> Result<Journal, OpenError> {
        let paths = [directory.join("journal.0"), directory.join("journal.1")];
        let disk = |action, path: &PathBuf| {
            let path = path.clone();
            move |source| OpenError::Disk { action, path, source }
        };
        let names = storage.list(directory).map_err(disk("list", &directory.to_owned()))?;
        let is_there = |name: &str| names.iter().any(|other| other == name);
        if !is_there("journal.0") && !is_there("journal.1") {
            if names.iter().any(|name| segment::first_position(name).is_some()) {
                return Err(OpenError::NoJournal { directory: directory.to_owned() });
            }
            let image = image(&Facts::default(), [].iter(), writer, 1);
            segment::create(storage, &paths[0], |file| fill(file, &image, CAPACITY)).map_err(disk("create", &paths[0]))?;
        }
        let mut files = Vec::with_capacity(2);
        let mut contents = Vec::with_capacity(2);
        for (path, name) in paths.iter().zip(["journal.0", "journal.1"]) {
            if !is_there(name) && (name == "journal.1" || is_there("journal.1")) {
                segment::create(storage, path, |file| fill(file, &[], CAPACITY)).map_err(disk("create", path))?;
            }
            let file = storage.open(path).map_err(disk("open", path))?;
            let bytes = read_whole(&*file).map_err(disk("read", path))?;
            contents.push(read(&bytes, writer).map_err(|Broken| OpenError::Journal { path: path.clone() })?);
            files.push(file);
        }
        let newest = contents.into_iter().enumerate().filter_map(|(index, content)| Some((index, content?)));
        let Some((current, content)) = newest.max_by_key(|(_, content)| content.generation) else {
            return Err(OpenError::Journal { path: paths[0].clone() });
        };
        let [first, second] = files.try_into().map_err(|_| OpenError::Journal { path: paths[0].clone() })?;
        let files = [first, second];
        let mut facts = content.facts;
        let requests = std::mem::take(&mut facts.requests);
        let mut journal = Journal { files, writer, current, generation: content.generation, at: 0, facts, room: 0 };
        journal.compact(requests.iter()).map_err(|failure| match failure {
            Failure::Write(source) | Failure::Sync(source) => disk("write", &paths[1 - current])(source),
            Failure::Full(_) => OpenError::Journal { path: paths[current].clone() },
        })?;
        // On a full disk there is none; then every append is told so.
        let _ = journal.reserve(REQUESTS.max(requests.len()));
        journal.facts.requests = requests;
        Ok(journal)
    }

    /// What the journal in `directory` says, with the remembered requests; nothing is written.
    pub(super) fn read_only(storage: &dyn Storage, directory: &Path, writer: Uuid) -> Result<Facts, OpenError> {
        let mut newest: Option<Content> = None;
        for path in [directory.join("journal.0"), directory.join("journal.1")] {
            let bytes = match storage.open(&path).and_then(|file| read_whole(&*file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(|source| OpenError::Disk { action: "read", path: path.clone(), source })?,
            };
            let content = read(&bytes, writer).map_err(|Broken| OpenError::Journal { path })?;
            newest = newest.into_iter().chain(content).max_by_key(|content| content.generation);
        }
        newest.map(|content| content.facts).ok_or_else(|| OpenError::Journal { path: directory.join("journal.0") })
    }

    /// Makes a journal that says `facts`, where there is none.
    pub(super) fn make(storage: &dyn Storage, directory: &Path, writer: Uuid, facts: &Facts) -> io::Result<()> {
        let image = image(facts, facts.requests.iter(), writer, 1);
        segment::create(storage, &directory.join("journal.0"), |file| fill(file, &image, CAPACITY))
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The requests that were read, once.
    pub(super) fn take_requests(&mut self) -> Vec<Remembered> {
        std::mem::take(&mut self.facts.requests)
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
                grow(&**file, wanted)?;
            }
        }
        self.room = room;
        Ok(())
    }

    /// Writes entries down, synced, all or none. `window` is what has to be remembered of released segments.
    pub(super) fn write(&mut self, facts: Vec<Fact>, window: &Window) -> Result<(), Failure> {
        let mut bytes = self.encode(&facts);
        if self.at + bytes.len() as u64 > self.capacity()? {
            let carried = facts.iter().all(|fact| matches!(fact, Fact::Requests(_)));
            let live = self.facts.encode(0, [].iter()).len() + if carried { 0 } else { bytes.len() };
            if live > MAX_LIVE {
                return Err(Failure::Full(live));
            }
            self.compact(window.carried())?;
            bytes = self.encode(&facts);
            // Compacting leaves at least half free; only a single huge entry is longer.
            let needed = self.at + bytes.len() as u64;
            if needed > self.capacity()? {
                grow(&*self.files[self.current], needed).map_err(Failure::Write)?;
            }
        }
        let file = &self.files[self.current];
        file.write_all_at(&bytes, self.at).map_err(Failure::Write)?;
        file.sync().map_err(Failure::Sync)?;
        self.at += bytes.len() as u64;
        for fact in facts.into_iter().filter(|fact| !matches!(fact, Fact::Requests(_))) {
            self.facts.apply(fact);
        }
        Ok(())
    }

    fn encode(&self, facts: &[Fact]) -> Vec<u8> {
        let seed = seed(self.writer, self.generation);
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
    fn compact<'a>(&mut self, requests: impl Iterator<Item = &'a Remembered>) -> Result<(), Failure> {
        let generation = self.generation + 1;
        let image = image(&self.facts, requests, self.writer, generation);
        let other = &self.files[1 - self.current];
        let wanted = (image.len() as u64 * 2).max(CAPACITY);
        if other.len().map_err(Failure::Write)? < wanted {
            grow(&**other, wanted).map_err(Failure::Write)?;
        }
        other.write_all_at(&image, 0).map_err(Failure::Write)?;
        other.sync().map_err(Failure::Sync)?;
        self.current = 1 - self.current;
        self.generation = generation;
        self.at = image.len() as u64;
        Ok(())
    }
}

/// Zeros that take their place on the disk now.
fn grow(file: &dyn LogFile, to: u64) -> io::Result<()> {
    let (mut at, end) = (file.len()?, to.next_power_of_two());
    let zeros = vec![0; 1 << 16];
    while at < end {
        let some = zeros.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..some], at)?;
        at += some as u64;
    }
    Ok(())
}

fn fill(file: &dyn LogFile, image: &[u8], capacity: u64) -> io::Result<()> {
    let mut content = image.to_vec();
    content.resize(image.len().max(usize::try_from(capacity).unwrap_or(0)), 0);
    file.write_all_at(&content, 0)
}

fn read_whole(file: &dyn LogFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// An entry counts only in its own generation: what an earlier use of the file left behind is not read.
fn seed(writer: Uuid, generation: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(writer.as_bytes()), &generation.to_le_bytes())
}

/// The header and everything that counts.
fn image<'a>(facts: &Facts, requests: impl Iterator<Item = &'a Remembered>, writer: Uuid, generation: u64) -> Vec<u8> {
    let entries = facts.encode(seed(writer, generation), requests);
    let mut out = Vec::with_capacity(HEADER + entries.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(writer.as_bytes());
    out.extend_from_slice(&length(entries.len()).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&entries).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out.extend_from_slice(&entries);
    out
}

/// Entries stand behind one that is damaged.
#[derive(Debug)]
struct Broken;

/// `None` for a file that was never written, or not to its end.
fn read(bytes: &[u8], writer: Uuid) -> Result<Option<Content>, Broken> {
    let Some((generation, image)) = header(bytes, writer) else { return Ok(None) };
    let seed = seed(writer, generation);
    let mut facts = Facts::default();
    let mut at = HEADER;
    while let Some((fact, len)) = Fact::parse(&bytes[at..], seed) {
        facts.apply(fact);
        at += len;
    }
    let is_whole = at >= HEADER + image;
    // The last entry may be torn; one behind it may not be there.
    let behind = bytes.get(at + 1..).unwrap_or_default();
    let goes_on = memchr::memmem::find_iter(behind, &Fact::mark(seed)).any(|found| Fact::parse(&behind[found..], seed).is_some());
    if goes_on || !is_whole { Err(Broken) } else { Ok(Some(Content { generation, facts })) }
}

/// The generation and the length of the image, if both are whole.
fn header(bytes: &[u8], writer: Uuid) -> Option<(u64, usize)> {
    let (header, entries) = bytes.split_at_checked(HEADER)?;
    let mut fields = Fields(header);
    let (magic, version, generation) = (fields.array::<8>()?, fields.u32()?, fields.u64()?);
    let owner: [u8; 16] = fields.array()?;
    let (len, image_crc, crc) = (fields.u32()? as usize, fields.u32()?, fields.u32()?);
    let is_ours = magic == MAGIC && version == VERSION && owner == *writer.as_bytes();
    let is_whole = crc32c::crc32c(&header[..HEADER - 4]) == crc && entries.get(..len).map(crc32c::crc32c) == Some(image_crc);
    (is_ours && is_whole).then_some((generation, len))
}

#[cfg(test)]
mod tests {
    use super::super::storage::memory::Memory;
    use super::super::{Intent, Position, Recorded};
    use super::*;

    const WRITER: Uuid = Uuid::from_u128(3);

    fn intent(to: u64, files: usize) -> Fact {
        let (commit, table) = (Uuid::from_u128(u128::from(to)), Uuid::nil());
        let files = (0..files).map(|n| format!("data/date=2026-01-01/{n}.parquet")).collect();
        let intent = Intent {
            commit,
            table,
            above: Position(0),
            to: Position(to),
            parent: Some(-4),
            parent_sequence: 5,
            files,
            letters: None,
        };
        Fact::Intent { stream: "a".into(), intent }
    }

    fn recorded(stream: &str, position: u64, floor: u64) -> Fact {
        let recorded = Recorded { position: Position(position), commit: Uuid::from_u128(1), table: Uuid::from_u128(2) };
        Fact::Recorded { stream: stream.into(), recorded, floor: Position(floor), letters: None }
    }

    fn window() -> Window {
        Window::new(std::time::Duration::from_mins(1), 10_000)
    }

    fn some_facts() -> Vec<Fact> {
        vec![recorded("b", 4, 3), Fact::Damaged { first: Position(5), last: Position(6) }, intent(9, 2)]
    }

    fn said_by(facts: &[Fact]) -> Facts {
        let mut said = Facts::default();
        facts.iter().cloned().for_each(|fact| said.apply(fact));
        said
    }

    #[test]
    fn what_was_written_is_there_after_reopening() {
        let disk = Memory::default();
        let mut journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        journal.write(some_facts(), &window()).unwrap();
        disk.cut_power(0);
        for _ in 0..3 {
            let journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
            assert_eq!(journal.facts(), &said_by(&some_facts()));
            assert_eq!(journal.facts().highest(), Position(9));
        }
    }

    #[test]
    fn a_full_journal_goes_over_to_the_other_file_without_new_room() {
        let disk = Memory::default();
        let mut journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        disk.faults.room.store(0, std::sync::atomic::Ordering::SeqCst);
        for n in 1..8000 {
            journal.write(vec![intent(n, 3)], &window()).unwrap();
            journal.write(vec![recorded("a", n, n)], &window()).unwrap();
        }
        assert!(journal.generation > 3, "{}", journal.generation);
        let journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        assert_eq!(journal.facts(), &said_by(&[recorded("a", 7999, 7999)]));
    }

    #[test]
    fn carried_requests_survive_any_number_of_compactions_without_new_room() {
        use super::super::Fingerprint;
        let disk = Memory::default();
        let mut journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        journal.reserve(10_000).unwrap();
        disk.faults.room.store(0, std::sync::atomic::Ordering::SeqCst);
        let mut window = window();
        for n in 1..=300_000_u64 {
            window.insert(Fingerprint(u128::from(n).to_le_bytes()), Position(n), n);
            if n % 1000 == 0 {
                let facts = Fact::of_requests(window.to_carry(Position(n)).iter()).collect();
                journal.write(facts, &window).unwrap();
                window.carried_to(Position(n));
            }
        }
        assert!(journal.generation > 2, "{}", journal.generation);
        let expected: Vec<_> = window.carried().copied().collect();
        let read = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap().take_requests();
        // The file may also hold some that were forgotten since.
        assert_eq!((expected.len(), &read[read.len() - expected.len()..]), (10_000, expected.as_slice()));
    }

    #[test]
    fn a_journal_grows_with_its_open_intents() {
        let disk = Memory::default();
        let mut journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        let facts: Vec<Fact> = (1..40).map(|n| intent(n, 300)).collect();
        for fact in &facts {
            journal.write(vec![fact.clone()], &window()).unwrap();
        }
        let journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        assert_eq!(journal.facts(), &said_by(&facts));
    }

    #[test]
    fn damage_is_seen_or_costs_the_last_entry_only() {
        let mut bytes = image(&said_by(&some_facts()[..1]), [].iter(), WRITER, 4);
        for fact in &some_facts()[1..] {
            fact.encode(seed(WRITER, 4), &mut bytes);
        }
        bytes.resize(bytes.len() + 64, 0);
        let without_last = said_by(&some_facts()[..2]);
        let whole = said_by(&some_facts());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            match read(&bytes, WRITER) {
                Err(Broken) | Ok(None) => {}
                Ok(Some(content)) => assert!([&without_last, &whole].contains(&&content.facts), "bit {bit}: {:?}", content.facts),
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
