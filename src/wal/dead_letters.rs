//! Dead letters: rows that do not fit their table, or that were moved out of the log's way, kept beside it until `floe replay` brings them back (rules 21
//! and 22).
//!
//! ```text
//! dead/<uuid>.<rows>.pending    whole and synced; counts once the journal records the commit that names it
//! dead/<uuid>.<rows>.letters    counts: these rows are in no table and no longer in the log
//! dead/<uuid>.<rows>.replay     a segment made of the letters, not yet in its place
//! ```
//! A file is a header, then entries up to the last one. All numbers are little-endian, all checksums CRC-32C.
//! ```text
//! header   0  8  "floe-ded"             entry    0  4  length of the content
//!          8  4  version, 1                      4  4  checksum of length and content, seeded with the file's UUID
//!         12 16  UUID of the file                8  …  content: u8 kind, then
//!         28  4  length of the name                     1  schema   of the letters that follow, as in a segment's header
//!         32  …  the stream's name                      2  letter   u64 position, u32 rows, u32 length, reason, the rows as in the log
//!          …  4  checksum of the above                  3  end      u64 letters, u64 rows
//! ```
//! The rows are those of the log: sanitised, with hashed addresses. A reason names columns and types, never a value.
//!
//! A crash loses nothing and doubles nothing, because one synced entry of the journal decides: the record of a commit says which file its batch left behind,
//! and "replayed" says that a file has become a segment. What was not decided is removed at the next open, and is still in the log.

mod handle;
mod replay;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::Position;
use super::frame::{Fields, length, put_bytes};
use super::journal::Facts;
use super::segment::{self, ReadAhead, UNFINISHED};
use super::storage::{Disk, LogFile, Storage};

pub use handle::LetterFile;
pub(super) use handle::read_all;
pub(super) use replay::{Survey, settle};

const DIRECTORY: &str = "dead";
const MAGIC: [u8; 8] = *b"floe-ded";
const VERSION: u32 = 1;
const FIXED_HEADER: usize = 32;
/// Length and checksum before an entry's content.
const FRONT: usize = 8;
/// Written at once.
const CHUNK: usize = 256 << 10;

/// A whole file of dead letters. Its name says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Letters {
    pub file: Uuid,
    pub rows: u64,
}

/// Rows of one request that are no longer on their way to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub position: Position,
    pub rows: u32,
    /// Why: columns and types, never a value.
    pub reason: String,
    /// The stream's schema when the rows were appended.
    pub schema: Arc<[u8]>,
    pub bytes: Vec<u8>,
}

/// A file of dead letters cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LettersError {
    #[error("there is no file of dead letters {file}; `floe replay --list` names them")]
    Unknown { file: Uuid },
    #[error("{file} was replayed already, and its rows are in the log; what is left of the file is removed at the next start")]
    Replayed { file: Uuid },
    #[error("{} is damaged at byte {at}: nothing of it was replayed; restore it, or move it away to give its rows up", path.display())]
    Damaged { path: PathBuf, at: u64 },
    #[error("{} was written in version {found} of its format, this program reads version {VERSION}", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("its rows are of {stream}, which no pipeline writes to: put that exporter back, then replay")]
    UnknownStream { stream: String },
    #[error("the log has no room for {bytes} bytes more; replay when its rows are committed")]
    Full { bytes: u64 },
    #[error("the log is closed or its disk failed; nothing was replayed")]
    Closed,
    #[error("cannot {action} {}: {cause}", path.display())]
    Disk { action: &'static str, path: PathBuf, cause: Arc<io::Error> },
}

/// What stands in the directory of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pending,
    Letters,
    Replay,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Pending, Kind::Letters, Kind::Replay];

    fn suffix(self) -> &'static str {
        match self {
            Kind::Pending => "pending",
            Kind::Letters => "letters",
            Kind::Replay => "replay",
        }
    }
}

impl Letters {
    pub(super) fn path(self, directory: &Path, kind: Kind) -> PathBuf {
        directory.join(DIRECTORY).join(format!("{}.{}.{}", self.file, self.rows, kind.suffix()))
    }

    fn parse(name: &str) -> Option<(Letters, Kind)> {
        let mut parts = name.split('.');
        let (file, rows, suffix) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let kind = Kind::ALL.into_iter().find(|kind| kind.suffix() == suffix).filter(|_| parts.next().is_none())?;
        Some((Letters { file, rows }, kind))
    }
}

/// The files of dead letters under the log's `directory`, in the order of their names.
pub(super) fn list(storage: &dyn Storage, directory: &Path) -> io::Result<Vec<(Letters, Kind)>> {
    let names = match storage.list(&directory.join(DIRECTORY)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let mut found: Vec<(Letters, Kind)> = names.iter().filter_map(|name| Letters::parse(name)).collect();
    found.sort_by_key(|(letters, _)| *letters);
    Ok(found)
}

/// Copies the files that count to another log's directory.
pub(super) fn copy_all(directory: &Path, target: &Path, facts: &Facts) -> io::Result<()> {
    let is_replayed = |letters: Letters| facts.replayed.iter().any(|(file, _)| *file == letters.file);
    let is_recorded = |letters| facts.streams.values().any(|progress| progress.letters.contains(&letters));
    for (letters, kind) in list(&Disk, directory)? {
        let counts = match kind {
            Kind::Letters => !is_replayed(letters),
            Kind::Pending => is_recorded(letters),
            Kind::Replay => false,
        };
        if counts {
            std::fs::create_dir_all(target.join(DIRECTORY))?;
            copy_synced(&letters.path(directory, kind), &letters.path(target, Kind::Letters))?;
            Disk.sync_directory(&target.join(DIRECTORY))?;
        }
    }
    Disk.sync_directory(target)
}

/// Segments that a replay made and that are not in their place yet, with the names that they have there.
pub(super) fn decided(storage: &dyn Storage, directory: &Path, facts: &Facts) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let place = |(letters, _): (Letters, Kind)| {
        let (_, first) = facts.replayed.iter().find(|(file, _)| *file == letters.file)?;
        Some((letters.path(directory, Kind::Replay), PathBuf::from(segment::name(*first))))
    };
    let found = list(storage, directory)?;
    Ok(found.into_iter().filter(|(_, kind)| *kind == Kind::Replay).filter_map(place).collect())
}

pub(super) fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to)?;
    std::fs::File::open(to)?.sync_all()
}

/// Puts a file that a recorded commit left behind among those that count; nothing happens to one that is there already.
pub(super) fn keep(storage: &dyn Storage, directory: &Path, letters: Letters) -> io::Result<()> {
    match storage.rename(&letters.path(directory, Kind::Pending), &letters.path(directory, Kind::Letters)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => storage.sync_directory(&directory.join(DIRECTORY)),
    }
}

/// Writes one file of dead letters. The file is made with the first letter, and removed unless it is finished.
#[derive(Debug)]
pub struct LetterWriter {
    storage: Arc<dyn Storage>,
    /// The log's.
    directory: PathBuf,
    stream: String,
    uuid: Uuid,
    file: Option<Arc<dyn LogFile>>,
    at: u64,
    buffer: Vec<u8>,
    schema: Option<Arc<[u8]>>,
    letters: u64,
    rows: u64,
}

impl LetterWriter {
    pub(super) fn new(storage: Arc<dyn Storage>, directory: PathBuf, stream: String) -> LetterWriter {
        LetterWriter {
            storage,
            directory,
            stream,
            uuid: Uuid::new_v4(),
            file: None,
            at: 0,
            buffer: Vec::new(),
            schema: None,
            letters: 0,
            rows: 0,
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What the file has so far.
    fn bytes(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    /// # Errors
    /// Of the disk. The writer is of no use after one.
    pub fn push(&mut self, letter: &Letter) -> io::Result<()> {
        if self.file.is_none() {
            self.storage.create_directory(&self.directory.join(DIRECTORY))?;
            self.storage.sync_directory(&self.directory)?;
            self.file = Some(self.storage.create(&self.unfinished())?);
            self.buffer = header(self.uuid, &self.stream);
        }
        if self.schema.as_deref() != Some(&*letter.schema) {
            self.schema = Some(Arc::clone(&letter.schema));
            put_entry(&mut self.buffer, self.uuid, &Entry::Schema(letter.schema.to_vec()));
        }
        put_entry(&mut self.buffer, self.uuid, &Entry::Letter(letter.clone()));
        self.letters += 1;
        self.rows += u64::from(letter.rows);
        if self.buffer.len() >= CHUNK { self.write() } else { Ok(()) }
    }

    /// The file is whole and on the disk when this returns; `None` where there was no letter.
    ///
    /// # Errors
    /// Of the disk; then there is no file.
    pub fn finish(mut self) -> io::Result<Option<Letters>> {
        let Some(file) = self.file.clone() else { return Ok(None) };
        put_entry(&mut self.buffer, self.uuid, &Entry::End { letters: self.letters, rows: self.rows });
        self.write()?;
        file.sync()?;
        let letters = Letters { file: self.uuid, rows: self.rows };
        self.storage.rename(&self.unfinished(), &letters.path(&self.directory, Kind::Pending))?;
        self.file = None;
        self.storage.sync_directory(&self.directory.join(DIRECTORY))?;
        Ok(Some(letters))
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn unfinished(&self) -> PathBuf {
        self.directory.join(DIRECTORY).join(format!("{}{UNFINISHED}", self.uuid))
    }
}

impl Drop for LetterWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What cannot be removed now is removed at the next open.
            let _ = self.storage.remove(&self.unfinished());
        }
    }
}

/// One entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Schema(Vec<u8>),
    Letter(Letter),
    End { letters: u64, rows: u64 },
}

fn header(file: Uuid, stream: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED_HEADER + stream.len() + 4);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(file.as_bytes());
    put_bytes(&mut out, stream.as_bytes());
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn put_entry(out: &mut Vec<u8>, file: Uuid, entry: &Entry) {
    let mut content = Vec::new();
    match entry {
        Entry::Schema(schema) => {
            content.push(1);
            content.extend_from_slice(schema);
        }
        Entry::Letter(letter) => {
            content.push(2);
            content.extend_from_slice(&letter.position.0.to_le_bytes());
            content.extend_from_slice(&letter.rows.to_le_bytes());
            put_bytes(&mut content, letter.reason.as_bytes());
            content.extend_from_slice(&letter.bytes);
        }
        Entry::End { letters, rows } => {
            content.push(3);
            content.extend_from_slice(&letters.to_le_bytes());
            content.extend_from_slice(&rows.to_le_bytes());
        }
    }
    let len = length(content.len()).to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum(file, len, &content).to_le_bytes());
    out.extend_from_slice(&content);
}

fn checksum(file: Uuid, len: [u8; 4], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(file.as_bytes()), &len), content)
}

/// The content of an entry; `schema` is the last one before it.
fn entry(content: &[u8], schema: Option<&Arc<[u8]>>) -> Option<Entry> {
    let mut fields = Fields(content);
    match fields.u8()? {
        1 => Some(Entry::Schema(fields.0.to_vec())),
        2 => {
            let (position, rows) = (Position(fields.u64()?), fields.u32()?);
            let reason = String::from_utf8(fields.bytes()?.to_vec()).ok()?;
            Some(Entry::Letter(Letter { position, rows, reason, schema: Arc::clone(schema?), bytes: fields.0.to_vec() }))
        }
        3 => {
            let (letters, rows) = (fields.u64()?, fields.u64()?);
            fields.0.is_empty().then_some(Entry::End { letters, rows })
        }
        _ => None,
    }
}

/// Reads a file front to back and checks every byte; memory is one letter. After an error it ends.
#[derive(Debug)]
pub(super) struct LetterReader {
    path: PathBuf,
    bytes: ReadAhead,
    pub(super) stream: String,
    file: Uuid,
    at: u64,
    end: u64,
    schema: Option<Arc<[u8]>>,
    letters: u64,
    rows: u64,
    is_over: bool,
}

impl LetterReader {
    pub(super) fn open(storage: &dyn Storage, path: PathBuf) -> Result<LetterReader, LettersError> {
        let disk = |source: io::Error| LettersError::Disk { action: "read", path: path.clone(), cause: Arc::new(source) };
        let file = storage.read(&path).map_err(disk)?;
        let end = file.len().map_err(disk)?;
        let mut bytes = ReadAhead::new(file, end);
        let damaged = || LettersError::Damaged { path: path.clone(), at: 0 };
        let fixed = bytes.get(0, FIXED_HEADER).map_err(disk)?;
        let mut fields = Fields(fixed);
        let magic = fields.array::<8>().filter(|magic| *magic == MAGIC);
        let (Some(_), Some(version), Some(file), Some(name)) =
            (magic, fields.u32(), fields.array().map(Uuid::from_bytes), fields.u32())
        else {
            return Err(damaged());
        };
        let len = FIXED_HEADER as u64 + u64::from(name) + 4;
        let whole = bytes.get(0, usize::try_from(len).unwrap_or(usize::MAX)).map_err(disk)?;
        let (content, crc) = whole.split_at(whole.len().saturating_sub(4));
        if whole.len() as u64 != len || crc32c::crc32c(content).to_le_bytes() != crc {
            return Err(damaged());
        }
        if version != VERSION {
            return Err(LettersError::Version { path, found: version });
        }
        let stream = String::from_utf8(content[FIXED_HEADER..].to_vec()).map_err(|_| damaged())?;
        Ok(LetterReader { path, bytes, stream, file, at: len, end, schema: None, letters: 0, rows: 0, is_over: false })
    }

    fn letter(&mut self) -> Result<Option<Letter>, LettersError> {
        loop {
            if self.at == self.end && self.is_over {
                return Ok(None);
            }
            let Some(entry) = self.entry()?.filter(|_| !self.is_over) else {
                return Err(LettersError::Damaged { path: self.path.clone(), at: self.at });
            };
            match entry {
                Entry::Schema(schema) => self.schema = Some(schema.into()),
                Entry::Letter(letter) => {
                    self.letters += 1;
                    self.rows += u64::from(letter.rows);
                    return Ok(Some(letter));
                }
                Entry::End { letters, rows } => self.is_over = letters == self.letters && rows == self.rows,
            }
        }
    }

    /// The next entry; `None` where there is none.
    fn entry(&mut self) -> Result<Option<Entry>, LettersError> {
        let path = self.path.clone();
        let disk = |source: io::Error| LettersError::Disk { action: "read", path: path.clone(), cause: Arc::new(source) };
        let mut front = Fields(self.bytes.get(self.at, FRONT).map_err(disk)?);
        let (Some(len), Some(crc)) = (front.array::<4>(), front.u32()) else { return Ok(None) };
        let wanted = u64::from(u32::from_le_bytes(len));
        if self.at + FRONT as u64 + wanted > self.end {
            return Ok(None);
        }
        let content = self.bytes.get(self.at + FRONT as u64, usize::try_from(wanted).unwrap_or(usize::MAX)).map_err(disk)?;
        if content.len() as u64 != wanted || checksum(self.file, len, content) != crc {
            return Ok(None);
        }
        let Some(entry) = entry(content, self.schema.as_ref()) else { return Ok(None) };
        self.at += FRONT as u64 + wanted;
        Ok(Some(entry))
    }
}

impl Iterator for LetterReader {
    type Item = Result<Letter, LettersError>;

    fn next(&mut self) -> Option<Self::Item> {
        let letter = self.letter();
        if letter.is_err() {
            (self.at, self.is_over) = (self.end, true);
        }
        letter.transpose()
    }
}
