//! A stream as it was at one moment, for readers that join it with its table (rule 23).

use std::io;
use std::sync::Arc;

use super::reader::Reader;
use super::state::Extent;
use super::storage::LogFile;
use super::{Position, Recorded, StreamId, Wal};

/// What was recorded, and the rows above: readable for as long as the pin lives, also when the log has released them.
#[derive(Debug)]
pub struct Pin {
    recorded: Option<Recorded>,
    stream: StreamId,
    to: Position,
    segments: Vec<(Extent, Arc<dyn LogFile>)>,
}

impl Wal {
    /// Pins a stream: segments and L of one moment. Blocks: a file is opened for each segment.
    ///
    /// # Errors
    /// Of the disk.
    pub fn pin(&self, stream: StreamId) -> io::Result<Pin> {
        loop {
            let (recorded, to, extents) = {
                let state = self.shared.lock();
                let extents: Vec<Extent> = state.extents.iter().filter(|extent| extent.has_rows(stream)).cloned().collect();
                (state.last_recorded(stream), state.synced, extents)
            };
            let open = |extent: Extent| Ok((extent.clone(), self.shared.storage.open(&extent.segment.path)?));
            match extents.into_iter().map(open).collect() {
                Ok(segments) => return Ok(Pin { recorded, stream, to, segments }),
                // Released meanwhile, so there is something new recorded; each turn has one segment less.
                Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound && self.recorded(stream) != recorded => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Pin {
    /// L of the moment.
    pub fn recorded(&self) -> Option<&Recorded> {
        self.recorded.as_ref()
    }

    /// The rows above a position, as far as they were synced at that moment. The iterator blocks.
    pub fn read(&self, above: Position) -> Reader {
        Reader::pinned(self.stream, above, self.to, self.segments.clone())
    }
}
