//! One of the journal's two files: its header, and a walk over its entries. Memory is one entry, however long the file is.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::fact::{FRONT, Fact, Facts};
use crate::wal::frame::{Fields, length};
use crate::wal::segment::ReadAhead;
use crate::wal::storage::LogFile;
use crate::wal::window::Remembered;

const MAGIC: [u8; 8] = *b"floe-jnl";
/// Of a file that the other one has gone on from.
const LEFT: [u8; 8] = *b"floe-jnx";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;
pub(super) const HEADER: u64 = HEADER_BYTES as u64;
const CHUNK: usize = 256 << 10;

/// What a header says, and whether the image behind it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Never written, not written to its end, or damaged.
    Void,
    /// The bytes of the image.
    Whole { generation: u64, image: u64 },
    /// The other file is whole and synced, and newer: entries are written there.
    Left { generation: u64 },
}

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Unreadable {
    Disk(io::Error),
    /// Entries stand behind one that is damaged.
    Broken,
    Version(u32),
    Foreign,
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable::Disk(error)
    }
}

impl State {
    pub(super) fn of(file: &Arc<dyn LogFile>, writer: Uuid) -> Result<State, Unreadable> {
        let mut bytes = ReadAhead::new(Arc::clone(file), file.len()?);
        let Some(header) = Header::parse(bytes.get(0, HEADER_BYTES)?) else { return Ok(State::Void) };
        if header.version != VERSION {
            return Err(Unreadable::Version(header.version));
        }
        if header.writer != writer {
            return Err(Unreadable::Foreign);
        }
        let (generation, image) = (header.generation, u64::from(header.image));
        if header.is_left {
            return Ok(State::Left { generation });
        }
        let (mut at, mut crc) = (HEADER, 0);
        while at < HEADER + image {
            let wanted = usize::try_from(HEADER + image - at).unwrap_or(usize::MAX).min(CHUNK);
            let some = bytes.get(at, wanted)?;
            if some.is_empty() {
                return Ok(State::Void);
            }
            crc = crc32c::crc32c_append(crc, some);
            at += some.len() as u64;
        }
        Ok(if crc == header.image_crc { State::Whole { generation, image } } else { State::Void })
    }
}

struct Header {
    is_left: bool,
    version: u32,
    generation: u64,
    writer: Uuid,
    image: u32,
    image_crc: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Header> {
        let mut fields = Fields(bytes);
        let magic: [u8; 8] = fields.array()?;
        let (version, generation) = (fields.u32()?, fields.u64()?);
        let writer = Uuid::from_bytes(fields.array()?);
        let (image, image_crc, crc) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let is_whole = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) == crc;
        let is_one = magic == MAGIC || magic == LEFT;
        let is_left = magic == LEFT;
        (is_whole && is_one).then_some(Header { is_left, version, generation, writer, image, image_crc })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(if self.is_left { &LEFT } else { &MAGIC });
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(self.writer.as_bytes());
        out.extend_from_slice(&self.image.to_le_bytes());
        out.extend_from_slice(&self.image_crc.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }
}

/// An entry counts only in its own generation: what an earlier use of the file left behind is not read.
pub(super) fn seed(writer: Uuid, generation: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(writer.as_bytes()), &generation.to_le_bytes())
}

/// Writes everything that counts, then the header; gives where the next entry goes. Not synced.
pub(super) fn write_image<'a>(
    file: &dyn LogFile,
    facts: &Facts,
    requests: impl Iterator<Item = &'a Remembered>,
    writer: Uuid,
    generation: u64,
) -> io::Result<u64> {
    let (mut buffer, mut at, mut image_crc) = (Vec::new(), HEADER, 0);
    let mut put = |buffer: &mut Vec<u8>| {
        image_crc = crc32c::crc32c_append(image_crc, buffer);
        file.write_all_at(buffer, at)?;
        at += buffer.len() as u64;
        buffer.clear();
        io::Result::Ok(())
    };
    for fact in facts.entries().chain(Fact::of_requests(requests)) {
        fact.encode(seed(writer, generation), &mut buffer);
        if buffer.len() >= CHUNK {
            put(&mut buffer)?;
        }
    }
    put(&mut buffer)?;
    let image = length(usize::try_from(at - HEADER).unwrap_or(usize::MAX));
    let header = Header { is_left: false, version: VERSION, generation, writer, image, image_crc };
    file.write_all_at(&header.encode(), 0)?;
    Ok(at)
}

/// Marks a file as one that the other has gone on from. Not synced.
pub(super) fn leave(file: &dyn LogFile, writer: Uuid, generation: u64) -> io::Result<()> {
    let header = Header { is_left: true, version: VERSION, generation, writer, image: 0, image_crc: 0 };
    file.write_all_at(&header.encode(), 0)
}

/// Gives every entry of a whole file; an error if there is one behind a damaged one.
pub(super) fn read(
    file: &Arc<dyn LogFile>,
    writer: Uuid,
    generation: u64,
    image: u64,
    mut each: impl FnMut(Fact),
) -> Result<(), Unreadable> {
    let seed = seed(writer, generation);
    let mut bytes = ReadAhead::new(Arc::clone(file), file.len()?);
    let mut at = HEADER;
    while let Some((fact, len)) = entry(&mut bytes, at, seed)? {
        each(fact);
        at += len;
    }
    // The last entry may be torn; one behind it may not be there.
    if at < HEADER + image || next_entry(&mut bytes, at + 1, seed)?.is_some() { Err(Unreadable::Broken) } else { Ok(()) }
}

/// Gives every whole entry of these generations, the older one's first, whatever stands between them.
pub(super) fn salvage(file: &Arc<dyn LogFile>, writer: Uuid, generation: u64, mut each: impl FnMut(Fact)) -> io::Result<()> {
    let seed = seed(writer, generation);
    let mut bytes = ReadAhead::new(Arc::clone(file), file.len()?);
    let mut at = 0;
    while let Some(found) = next_entry(&mut bytes, at, seed)? {
        let Some((fact, len)) = entry(&mut bytes, found, seed)? else { break };
        each(fact);
        at = found + len;
    }
    Ok(())
}

/// The generation that a header names, though it may be damaged.
pub(super) fn named_generation(file: &Arc<dyn LogFile>) -> io::Result<u64> {
    let mut bytes = [0; 20];
    file.read_at(&mut bytes, 0)?;
    Ok(Fields(&bytes[12..]).u64().unwrap_or_default())
}

/// The entry at `at` and its length.
fn entry(bytes: &mut ReadAhead, at: u64, seed: u32) -> io::Result<Option<(Fact, u64)>> {
    let mut front = Fields(bytes.get(at, FRONT)?);
    let (mark, len) = (front.array(), front.u32());
    let Some(len) = len.filter(|_| mark == Some(Fact::mark(seed))) else { return Ok(None) };
    let whole = bytes.get(at, FRONT + len as usize)?;
    Ok(Fact::parse(whole, seed).map(|(fact, len)| (fact, len as u64)))
}

/// Where the next whole entry begins at or behind `at`.
fn next_entry(bytes: &mut ReadAhead, mut at: u64, seed: u32) -> io::Result<Option<u64>> {
    let mark = Fact::mark(seed);
    loop {
        let window = bytes.get(at, CHUNK)?;
        if window.len() < mark.len() {
            return Ok(None);
        }
        match memchr::memmem::find(window, &mark) {
            None => at += (window.len() - mark.len() + 1) as u64,
            Some(offset) => {
                at += offset as u64;
                if entry(bytes, at, seed)?.is_some() {
                    return Ok(Some(at));
                }
                at += 1;
            }
        }
    }
}
