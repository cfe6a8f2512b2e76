//! Segment headers and frames: bytes in, values out. Pure, so that damage can be swept exhaustively.

use uuid::Uuid;

use super::{Fingerprint, Position, Stream};

const MAGIC: [u8; 8] = *b"floe-wal";
const VERSION: u32 = 1;
/// Of a segment's header, up to its streams.
const FIXED_HEADER: usize = 50;
/// Every frame begins with it. Not text in any encoding, so that it is rare inside rows.
pub(super) const MARK: [u8; 4] = [0xF1, 0x0E, 0x9A, 0xC3];
/// Of a frame's head, up to its entries.
const FIXED_HEAD: usize = 42;
const ENTRY: usize = 14;
const CRC: usize = 4;

/// What was found at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    /// A whole one, and its length.
    Whole(T, usize),
    /// It may be one, with at least this many bytes.
    Short(usize),
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) writer: Uuid,
    /// Everything acknowledged before this segment is at or below it. Frames above it in older segments were never
    /// acknowledged: a failed write that could not be taken back.
    pub(super) after: Position,
    /// No frame here is below it.
    pub(super) first: Position,
    pub(super) streams: Vec<Stream>,
}

/// Where the checksums of a segment's heads begin: nobody outside can make bytes that pass for a frame, and a frame
/// passes in no other segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(u32);

/// The head of a frame: all but the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: Position,
    /// Milliseconds since 1970.
    pub(super) appended: u64,
    pub(super) id: Fingerprint,
    pub(super) entries: Vec<EntryHead>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryHead {
    /// Index into the streams of the segment's header.
    pub(super) stream: u16,
    pub(super) rows: u32,
    pub(super) length: u32,
    /// CRC-32C of the entry's bytes.
    pub(super) crc: u32,
}

impl Header {
    pub(super) fn new(writer: Uuid, after: Position, first: Position, streams: Vec<Stream>) -> Header {
        Header { version: VERSION, writer, after, first, streams }
    }

    pub(super) fn is_supported(&self) -> bool {
        self.version == VERSION
    }

    pub(super) fn seed(&self) -> Seed {
        Seed::new(self.writer, self.first)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut streams = Vec::new();
        for stream in &self.streams {
            put_bytes(&mut streams, stream.name.as_bytes());
            put_bytes(&mut streams, &stream.schema);
        }
        let mut out = Vec::with_capacity(FIXED_HEADER + streams.len() + CRC);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&length(FIXED_HEADER + streams.len() + CRC).to_le_bytes());
        out.extend_from_slice(self.writer.as_bytes());
        out.extend_from_slice(&self.after.0.to_le_bytes());
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.streams.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&streams);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// The header's end is found by its length; the version is read before the rest is believed.
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Header> {
        if bytes.len() < FIXED_HEADER + CRC {
            return Parsed::Short(FIXED_HEADER + CRC);
        }
        let mut fields = Fields(bytes);
        let (Some(magic), Some(version), Some(len)) = (fields.array::<8>(), fields.u32(), fields.u32()) else {
            return Parsed::Bad;
        };
        let len = len as usize;
        if magic != MAGIC || len < FIXED_HEADER + CRC {
            return Parsed::Bad;
        }
        let Some(whole) = bytes.get(..len) else { return Parsed::Short(len) };
        let (content, crc) = whole.split_at(len - CRC);
        if crc32c::crc32c(content).to_le_bytes() != crc {
            return Parsed::Bad;
        }
        match Header::fields(Fields(&content[16..]), version) {
            Some(header) => Parsed::Whole(header, len),
            None => Parsed::Bad,
        }
    }

    fn fields(mut fields: Fields<'_>, version: u32) -> Option<Header> {
        let writer = Uuid::from_bytes(fields.array()?);
        let after = Position(fields.u64()?);
        let first = Position(fields.u64()?);
        let mut streams = Vec::new();
        // A later version may say other things from here on.
        if version == VERSION {
            for _ in 0..fields.u16()? {
                let name = std::str::from_utf8(fields.bytes()?).ok()?.to_owned();
                streams.push(Stream { name, schema: fields.bytes()?.to_vec() });
            }
        }
        Some(Header { version, writer, after, first, streams })
    }
}

impl Seed {
    pub(super) fn new(writer: Uuid, first: Position) -> Seed {
        Seed(crc32c::crc32c_append(crc32c::crc32c(writer.as_bytes()), &first.0.to_le_bytes()))
    }
}

impl Head {
    /// Bytes of a head with so many entries.
    pub(super) fn len_with(entries: usize) -> usize {
        FIXED_HEAD + ENTRY * entries + CRC
    }

    /// Bytes of all entries, which follow the head.
    pub(super) fn body(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.length)).sum()
    }

    pub(super) fn encode(&self, seed: Seed, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&self.position.0.to_le_bytes());
        out.extend_from_slice(&self.appended.to_le_bytes());
        out.extend_from_slice(&self.id.0);
        // The length of the rows is the sum of the entries'; the flags are for later versions.
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.entries.len()).unwrap_or(u16::MAX).to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.stream.to_le_bytes());
            out.extend_from_slice(&entry.rows.to_le_bytes());
            out.extend_from_slice(&entry.length.to_le_bytes());
            out.extend_from_slice(&entry.crc.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(seed.0, &out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    pub(super) fn parse(bytes: &[u8], seed: Seed) -> Parsed<Head> {
        if bytes.len() < FIXED_HEAD {
            return if bytes.iter().zip(MARK).all(|(byte, mark)| *byte == mark) {
                Parsed::Short(FIXED_HEAD)
            } else {
                Parsed::Bad
            };
        }
        if bytes[..4] != MARK {
            return Parsed::Bad;
        }
        let entries = usize::from(u16::from_le_bytes([bytes[FIXED_HEAD - 2], bytes[FIXED_HEAD - 1]]));
        let len = Head::len_with(entries);
        let Some(whole) = bytes.get(..len) else { return Parsed::Short(len) };
        let (content, crc) = whole.split_at(len - CRC);
        if crc32c::crc32c_append(seed.0, content).to_le_bytes() != crc {
            return Parsed::Bad;
        }
        match Head::fields(Fields(&content[4..])) {
            Some(head) => Parsed::Whole(head, len),
            None => Parsed::Bad,
        }
    }

    fn fields(mut fields: Fields<'_>) -> Option<Head> {
        let position = Position(fields.u64()?);
        let appended = fields.u64()?;
        let id = Fingerprint(fields.array()?);
        if fields.u32()? != 0 {
            return None;
        }
        let mut entries = Vec::new();
        for _ in 0..fields.u16()? {
            let (stream, rows) = (fields.u16()?, fields.u32()?);
            entries.push(EntryHead { stream, rows, length: fields.u32()?, crc: fields.u32()? });
        }
        Some(Head { position, appended, id, entries })
    }

    /// Whether these are the rows that the head was made for.
    pub(super) fn matches(&self, mut body: &[u8]) -> bool {
        for entry in &self.entries {
            let Some((bytes, rest)) = body.split_at_checked(entry.length as usize) else { return false };
            if crc32c::crc32c(bytes) != entry.crc {
                return false;
            }
            body = rest;
        }
        body.is_empty()
    }
}

/// Reads little-endian fields from the front; `None` when they end too early.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Written by [`put_bytes`].
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }
}

/// A length, then so many bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes.len()).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Names, schemas and journal entries are far below 4 GiB; one that is not fails its checksum when it is read.
pub(super) fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(42);

    fn header() -> Header {
        let streams =
            vec![Stream { name: "iceberg:errors".into(), schema: vec![1, 2, 3] }, Stream { name: "b".into(), schema: vec![] }];
        Header::new(Uuid::from_u128(5), Position(6), Position(7), streams)
    }

    fn frame() -> (Head, Vec<u8>) {
        let bodies: [&[u8]; 2] = [b"some rows", b"more"];
        let entry =
            |(stream, body): (u16, &[u8])| EntryHead { stream, rows: 3, length: length(body.len()), crc: crc32c::crc32c(body) };
        let entries = (0..).zip(bodies).map(entry).collect();
        let head = Head { position: Position(9), appended: 1_700_000_000_000, id: Fingerprint([8; 16]), entries };
        let mut bytes = Vec::new();
        head.encode(SEED, &mut bytes);
        bytes.extend_from_slice(&bodies.concat());
        (head, bytes)
    }

    fn is_whole(bytes: &[u8]) -> bool {
        matches!(Head::parse(bytes, SEED), Parsed::Whole(head, len) if head.matches(&bytes[len..]))
    }

    #[test]
    fn what_is_encoded_is_parsed() {
        let bytes = header().encode();
        assert_eq!(Header::parse(&bytes), Parsed::Whole(header(), bytes.len()));
        let (head, bytes) = frame();
        assert!(is_whole(&bytes));
        assert_eq!(Head::parse(&bytes, SEED), Parsed::Whole(head, Head::len_with(2)));
    }

    #[test]
    fn one_cut_at_any_byte_is_short_or_does_not_match() {
        let bytes = header().encode();
        for len in 0..bytes.len() {
            assert!(matches!(Header::parse(&bytes[..len]), Parsed::Short(needed) if needed > len), "{len}");
        }
        let (_, bytes) = frame();
        for len in 0..bytes.len() {
            assert!(!is_whole(&bytes[..len]), "{len}");
            assert!(
                len >= Head::len_with(2) || matches!(Head::parse(&bytes[..len], SEED), Parsed::Short(needed) if needed > len),
                "{len}"
            );
        }
    }

    #[test]
    fn one_with_any_bit_flipped_is_not_taken_for_whole() {
        for (mut bytes, is_header) in [(header().encode(), true), (frame().1, false)] {
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let whole = if is_header { matches!(Header::parse(&bytes), Parsed::Whole(..)) } else { is_whole(&bytes) };
                assert!(!whole, "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_frame_of_another_segment_is_none_here() {
        let (_, bytes) = frame();
        assert_eq!(Head::parse(&bytes, Seed::new(Uuid::from_u128(5), Position(7))), Parsed::Bad);
    }
}
