//! Segment files: their names, how one is created, and how its frames are walked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Position;
use super::frame::{Head, Header, MARK, Parsed, Seed};
use super::storage::{LogFile, Storage};

const SUFFIX: &str = ".segment";
/// A file that is not yet in its place; removed at open.
pub(super) const UNFINISHED: &str = ".unfinished";
/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// `00000000000000000017.segment`: the first position it may hold.
pub(super) fn name(first: Position) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

pub(super) fn first_position(name: &str) -> Option<Position> {
    name.strip_suffix(SUFFIX)?.parse().ok().map(Position)
}

/// Makes a file of `content` that is either absent or whole at its path, on the disk, whatever happens.
pub(super) fn create(storage: &dyn Storage, path: &Path, content: impl FnOnce(&dyn LogFile) -> io::Result<()>) -> io::Result<()> {
    let unfinished = unfinished(path);
    let file = storage.create(&unfinished)?;
    let made = content(&*file).and_then(|()| file.sync()).and_then(|()| storage.rename(&unfinished, path));
    if let Err(error) = made {
        // What is left of it is removed at the next open, if not now.
        let _ = storage.remove(&unfinished);
        return Err(error);
    }
    storage.sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Beside its place.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// A file read front to back in chunks; memory is one chunk, or one frame if that is longer.
#[derive(Debug)]
pub(super) struct ReadAhead {
    file: Arc<dyn LogFile>,
    buffer: Vec<u8>,
    start: u64,
    /// Nothing at or behind it is read.
    end: u64,
}

impl ReadAhead {
    pub(super) fn new(file: Arc<dyn LogFile>, end: u64) -> ReadAhead {
        ReadAhead { file, buffer: Vec::new(), start: 0, end }
    }

    /// `len` bytes at `at`; fewer only at the end.
    pub(super) fn get(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let available = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(available);
        let held = self.buffer.len() as u64;
        if at < self.start || at + len as u64 > self.start + held {
            self.buffer.clear();
            self.buffer.resize(len.max(CHUNK).min(available), 0);
            self.start = at;
            let read = self.file.read_at(&mut self.buffer, at)?;
            self.buffer.truncate(read);
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(&self.buffer[from..self.buffer.len().min(from + len)])
    }

    pub(super) fn header(&mut self) -> io::Result<Parsed<Header>> {
        let mut len = CHUNK;
        loop {
            let bytes = self.get(0, len)?;
            match Header::parse(bytes) {
                Parsed::Short(needed) if bytes.len() == len && needed > len => len = needed,
                parsed => return Ok(parsed),
            }
        }
    }

    /// The head at `at` and its length; `None` if there is none.
    pub(super) fn head(&mut self, at: u64, seed: Seed) -> io::Result<Option<(Head, usize)>> {
        let mut len = Head::len_with(8);
        loop {
            let bytes = self.get(at, len)?;
            match Head::parse(bytes, seed) {
                Parsed::Whole(head, len) => return Ok(Some((head, len))),
                Parsed::Short(needed) if bytes.len() == len && needed > len => len = needed,
                Parsed::Short(_) | Parsed::Bad => return Ok(None),
            }
        }
    }
}

/// What stands in a segment behind its header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Frame {
        at: u64,
        to: u64,
        head: Head,
    },
    /// Bytes that are no frame, up to the next frame or the end. The head, if at least that could be read.
    Bad {
        at: u64,
        to: u64,
        head: Option<Head>,
    },
}

/// Walks all frames of a segment and checks every byte of them.
#[derive(Debug)]
pub(super) struct Scanner {
    bytes: ReadAhead,
    seed: Seed,
    at: u64,
}

impl Scanner {
    pub(super) fn new(bytes: ReadAhead, seed: Seed, at: u64) -> Scanner {
        Scanner { bytes, seed, at }
    }

    /// The next thing; `None` at the end of the segment.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        let at = self.at;
        if at >= self.bytes.end {
            return Ok(None);
        }
        if let Some((head, to)) = self.frame(at)? {
            self.at = to;
            return Ok(Some(Found::Frame { at, to, head }));
        }
        let head = self.bytes.head(at, self.seed)?.map(|(head, _)| head);
        self.at = self.next_frame(at + 1)?;
        Ok(Some(Found::Bad { at, to: self.at, head }))
    }

    /// A whole frame at `at` and where it ends.
    fn frame(&mut self, at: u64) -> io::Result<Option<(Head, u64)>> {
        let Some((head, len)) = self.bytes.head(at, self.seed)? else { return Ok(None) };
        let body = at + len as u64;
        let to = body + head.body();
        if to > self.bytes.end {
            return Ok(None);
        }
        let rows = self.bytes.get(body, usize::try_from(head.body()).unwrap_or(usize::MAX))?;
        Ok(head.matches(rows).then_some((head, to)))
    }

    /// Where the next whole frame begins at or behind `at`; the end if there is none.
    fn next_frame(&mut self, mut at: u64) -> io::Result<u64> {
        loop {
            let window = self.bytes.get(at, CHUNK)?;
            if window.is_empty() {
                return Ok(self.bytes.end);
            }
            match memchr::memchr(MARK[0], window) {
                None => at += window.len() as u64,
                Some(offset) => {
                    at += offset as u64;
                    if self.frame(at)?.is_some() {
                        return Ok(at);
                    }
                    at += 1;
                }
            }
        }
    }
}
