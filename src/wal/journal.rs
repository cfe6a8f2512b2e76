//! The commit journal: intents and recorded commits, written down before and after a commit is sent.
//!
//! Two preallocated files are used in turn: entries are appended to one; when it is full, and at open, all that still counts is
//! written to the other one, whose higher generation makes it the one that is read. Nothing is allocated on the way, so that a
//! full disk can still drain.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::error::OpenError;
use super::frame::{Fields, length};
use super::segment;
use super::storage::{LogFile, Storage};

mod fact;

pub(super) use fact::{Fact, Facts};

const MAGIC: [u8; 8] = *b"floe-jnl";
const VERSION: u32 = 1;
const HEADER: usize = 48;
/// Of each of the two files, at first.
const CAPACITY: u64 = 128 << 10;
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
            let image = image(&Facts::default(), writer, 1);
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
        let mut journal = Journal { files, writer, current, generation: content.generation, at: 0, facts: content.facts };
        journal.compact().map_err(|failure| match failure {
            Failure::Write(source) | Failure::Sync(source) => disk("write", &paths[1 - current])(source),
            Failure::Full(_) => OpenError::Journal { path: paths[current].clone() },
        })?;
        Ok(journal)
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Writes entries down, synced, all or none.
    pub(super) fn write(&mut self, facts: Vec<Fact>) -> Result<(), Failure> {
        let mut bytes = self.encode(&facts);
        if self.at + bytes.len() as u64 > self.capacity()? {
            let live = self.facts.encode(0).len() + bytes.len();
            if live > MAX_LIVE {
                return Err(Failure::Full(live));
            }
            self.compact()?;
            bytes = self.encode(&facts);
            // Compacting leaves three quarters free; only a single huge entry is longer.
            let needed = self.at + bytes.len() as u64;
            if needed > self.capacity()? {
                grow(&*self.files[self.current], needed)?;
            }
        }
        let file = &self.files[self.current];
        file.write_all_at(&bytes, self.at).map_err(Failure::Write)?;
        file.sync().map_err(Failure::Sync)?;
        self.at += bytes.len() as u64;
        for fact in facts {
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
    fn compact(&mut self) -> Result<(), Failure> {
        let generation = self.generation + 1;
        let image = image(&self.facts, self.writer, generation);
        let other = &self.files[1 - self.current];
        let wanted = (image.len() as u64 * 4).max(CAPACITY);
        if other.len().map_err(Failure::Write)? < wanted {
            grow(&**other, wanted)?;
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
fn grow(file: &dyn LogFile, to: u64) -> Result<(), Failure> {
    let len = file.len().map_err(Failure::Write)?;
    let zeros = vec![0; usize::try_from(to.next_power_of_two().saturating_sub(len)).unwrap_or(0)];
    file.write_all_at(&zeros, len).map_err(Failure::Write)
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
fn image(facts: &Facts, writer: Uuid, generation: u64) -> Vec<u8> {
    let entries = facts.encode(seed(writer, generation));
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
    // The last entry may be torn; one behind it may not be there. Behind the last byte that is not zero there is none.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let goes_on = (at + 1..used).any(|at| Fact::parse(&bytes[at..], seed).is_some());
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
        let intent = Intent { commit, table, above: Position(0), to: Position(to), parent: Some(-4), parent_sequence: 5, files };
        Fact::Intent { stream: "a".into(), intent }
    }

    fn recorded(stream: &str, position: u64, floor: u64) -> Fact {
        let recorded = Recorded { position: Position(position), commit: Uuid::from_u128(1), table: Uuid::from_u128(2) };
        Fact::Recorded { stream: stream.into(), recorded, floor: Position(floor) }
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
        journal.write(some_facts()).unwrap();
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
        for n in 1..2000 {
            journal.write(vec![intent(n, 3)]).unwrap();
            journal.write(vec![recorded("a", n, n)]).unwrap();
        }
        assert!(journal.generation > 3, "{}", journal.generation);
        let journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        assert_eq!(journal.facts(), &said_by(&[recorded("a", 1999, 1999)]));
    }

    #[test]
    fn a_journal_grows_with_its_open_intents() {
        let disk = Memory::default();
        let mut journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        let facts: Vec<Fact> = (1..40).map(|n| intent(n, 300)).collect();
        for fact in &facts {
            journal.write(vec![fact.clone()]).unwrap();
        }
        let journal = Journal::open(&disk, Path::new("/wal"), WRITER).unwrap();
        assert_eq!(journal.facts(), &said_by(&facts));
    }

    #[test]
    fn damage_is_seen_or_costs_the_last_entry_only() {
        let mut bytes = image(&said_by(&some_facts()[..1]), WRITER, 4);
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
