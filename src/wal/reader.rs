//! Reads one stream's rows back, in order, one frame in memory at a time.
//!
//! A reader keeps to what was synced when it was made. Segments that a release unlinks meanwhile hold nothing above the
//! stream's watermark, so a reader above it never misses one.

use std::io;
use std::sync::Arc;
use std::vec::IntoIter;

use super::error::ReadError;
use super::segment::ReadAhead;
use super::state::{Amount, Extent, Shared};
use super::storage::LogFile;
use super::{Position, StreamId};

/// One stream's rows of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBatch {
    pub position: Position,
    pub rows: u32,
    /// The stream's schema when the rows were appended.
    pub schema: Arc<[u8]>,
    pub bytes: Vec<u8>,
}

/// Blocking iterator over a stream's rows in (`above`, `to`]. After an error it ends.
#[derive(Debug)]
pub struct Reader {
    stream: StreamId,
    above: Position,
    to: Position,
    extents: IntoIter<Source>,
    open: Option<Open>,
}

/// A segment, and how its file is had.
#[derive(Debug)]
enum Source {
    Named(Extent, Arc<Shared>),
    Opened(Extent, Arc<dyn LogFile>),
}

/// The segment that is being read.
#[derive(Debug)]
struct Open {
    extent: Extent,
    bytes: ReadAhead,
    at: u64,
    /// The last frame that was seen.
    last: Position,
    /// Of the frame at hand: entries of the stream, the next one first.
    entries: IntoIter<Found>,
}

/// An entry of the stream and where its bytes stand.
#[derive(Debug)]
struct Found {
    position: Position,
    rows: u32,
    length: u32,
    crc: u32,
    schema: Arc<[u8]>,
    at: u64,
}

impl Reader {
    pub(super) fn new(shared: &Arc<Shared>, stream: StreamId, above: Position, to: Position) -> Reader {
        let state = shared.lock();
        let to = to.min(state.synced);
        let is_wanted = |extent: &&Extent| {
            extent
                .shares
                .get(usize::from(stream.0))
                .is_some_and(|share| share.last > above && share.first <= to && share.total.rows > 0)
        };
        let extents: Vec<Extent> = state.extents.iter().filter(is_wanted).cloned().collect();
        drop(state);
        let sources: Vec<Source> = extents.into_iter().map(|extent| Source::Named(extent, Arc::clone(shared))).collect();
        Reader { stream, above, to, extents: sources.into_iter(), open: None }
    }

    /// Over the rows at or below `to` in one segment.
    pub(super) fn within(shared: Arc<Shared>, stream: StreamId, to: Position, extent: Extent) -> Reader {
        let sources = vec![Source::Named(extent, shared)];
        Reader { stream, above: Position(0), to, extents: sources.into_iter(), open: None }
    }

    /// Over segments whose files are open.
    pub(super) fn pinned(stream: StreamId, above: Position, to: Position, segments: Vec<(Extent, Arc<dyn LogFile>)>) -> Reader {
        let sources: Vec<Source> = segments.into_iter().map(|(extent, file)| Source::Opened(extent, file)).collect();
        Reader { stream, above, to, extents: sources.into_iter(), open: None }
    }

    /// Counts the rows instead of reading them.
    pub(super) fn count(mut self) -> Result<Amount, ReadError> {
        let mut amount = Amount::default();
        while let Some(found) = self.entry()? {
            amount.add(Amount { rows: u64::from(found.rows), bytes: u64::from(found.length) });
        }
        Ok(amount)
    }

    /// The next entry of the stream; its segment stays open behind it.
    fn entry(&mut self) -> Result<Option<Found>, ReadError> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.extents.next() {
                    Some(source) => self.open.insert(Open::new(source)?),
                    None => return Ok(None),
                },
            };
            if let Some(found) = open.entries.next() {
                return Ok(Some(found));
            }
            if !open.next_frame(self.stream, self.above, self.to)? {
                self.open = None;
            }
        }
    }

    fn batch(&mut self) -> Result<Option<ReadBatch>, ReadError> {
        let Some(found) = self.entry()? else { return Ok(None) };
        let Some(open) = &mut self.open else { return Ok(None) };
        let bytes = open.bytes.get(found.at, found.length as usize).map_err(|error| disk(&open.extent, error))?;
        if bytes.len() != found.length as usize || crc32c::crc32c(bytes) != found.crc {
            return Err(open.damaged());
        }
        Ok(Some(ReadBatch { position: found.position, rows: found.rows, schema: found.schema, bytes: bytes.to_vec() }))
    }
}

impl Iterator for Reader {
    type Item = Result<ReadBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            (self.open, self.extents) = (None, Vec::new().into_iter());
        }
        batch.transpose()
    }
}

impl Open {
    fn new(source: Source) -> Result<Open, ReadError> {
        let (extent, file) = match source {
            Source::Opened(extent, file) => (extent, file),
            Source::Named(extent, shared) => {
                let file = shared.storage.open(&extent.segment.path).map_err(|error| disk(&extent, error))?;
                (extent, file)
            }
        };
        let bytes = ReadAhead::new(file, extent.end);
        let at = extent.segment.header_len;
        Ok(Open { extent, bytes, at, last: Position(0), entries: Vec::new().into_iter() })
    }

    /// Goes to the next frame in (`above`, `to`]; false if this segment has none.
    fn next_frame(&mut self, stream: StreamId, above: Position, to: Position) -> Result<bool, ReadError> {
        while self.at < self.extent.end {
            let head = self.bytes.head(self.at, self.extent.segment.seed).map_err(|error| disk(&self.extent, error))?;
            let Some((head, len)) = head else { return Err(self.damaged()) };
            if head.position > to {
                return Ok(false);
            }
            let mut at = self.at + len as u64;
            self.at = at + head.body();
            self.last = head.position;
            if head.position <= above {
                continue;
            }
            let mut entries = Vec::new();
            for entry in &head.entries {
                let local = self.extent.segment.streams.get(usize::from(entry.stream));
                if let Some(local) = local.filter(|local| local.stream == Some(stream)) {
                    let schema = Arc::clone(&local.schema);
                    let (position, rows) = (head.position, entry.rows);
                    entries.push(Found { position, rows, length: entry.length, crc: entry.crc, schema, at });
                }
                at += u64::from(entry.length);
            }
            self.entries = entries.into_iter();
            return Ok(true);
        }
        Ok(false)
    }

    fn damaged(&self) -> ReadError {
        ReadError::Damaged { path: self.extent.segment.path.clone(), after: self.last }
    }
}

fn disk(extent: &Extent, error: io::Error) -> ReadError {
    ReadError::Disk { path: extent.segment.path.clone(), source: Arc::new(error) }
}
