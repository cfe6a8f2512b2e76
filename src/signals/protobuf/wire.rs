//! Protobuf's wire format: fields one after the other, read from a slice without a copy.
//!
//! Source of the rules: protobuf.dev, "Encoding". A known field of another wire type than its own is a fault, an unknown
//! field is skipped, groups included.

use std::borrow::Cow;

use crate::signals::TOO_MANY_COUNTS;

/// How deep groups may nest, as with prost. OTLP has none; they can only be unknown fields.
const GROUP_DEPTH: u32 = 100;

pub type Result<T> = std::result::Result<T, Fault>;

/// What is wrong with the bytes, and the path of fields to it. It never holds a value.
#[derive(Debug)]
pub struct Fault(Box<Trouble>);

#[derive(Debug)]
struct Trouble {
    path: String,
    what: Cow<'static, str>,
}

impl Fault {
    #[cold]
    pub fn new(what: impl Into<Cow<'static, str>>) -> Fault {
        Fault(Box::new(Trouble { path: String::new(), what: what.into() }))
    }

    /// The same fault, seen from the message that holds `field`.
    #[cold]
    pub fn within(mut self, field: &str) -> Fault {
        let path = &mut self.0.path;
        if !path.is_empty() {
            path.insert(0, '.');
        }
        path.insert_str(0, field);
        self
    }

    /// The same fault, seen from the message that holds the repeated `field`.
    #[cold]
    pub fn within_nth(self, field: &str, index: usize) -> Fault {
        self.within(&format!("{field}[{index}]"))
    }

    pub fn into_reason(self) -> String {
        let Trouble { path, what } = *self.0;
        if path.is_empty() { what.into_owned() } else { format!("{path}: {what}") }
    }
}

/// The fields of one message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// One field: its number and what stands in it.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub number: u32,
    payload: Payload<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Group,
    Fixed32,
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    /// The next field; `None` at the end of the message.
    #[inline(always)]
    #[allow(
        clippy::inline_always,
        reason = "the loops over fields are the decoder: the call costs more than reading most fields"
    )]
    pub fn next(&mut self) -> Result<Option<Field<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let payload = match wire_type {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Payload::Bytes(self.bytes()?),
            5 => {
                self.array::<4>()?;
                Payload::Fixed32
            }
            _ => self.group(number, wire_type)?,
        };
        Ok(Some(Field { number, payload }))
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u32)> {
        let key = self.varint()?;
        let key = u32::try_from(key).map_err(|_| Fault::new("a field number is past 536870911, the last that protobuf has"))?;
        if key < 8 {
            return Err(Fault::new("a field has the number 0, which protobuf does not have"));
        }
        Ok((key >> 3, key & 7))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            Fault::new("a varint is cut off by the end of its message")
        } else {
            Fault::new("a varint is longer than 64 bits")
        })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((array, rest)) => {
                self.rest = rest;
                Ok(*array)
            }
            None => Err(overrun(N as u64, self.rest.len())),
        }
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.varint()?;
        match usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(overrun(len, self.rest.len())),
        }
    }

    /// Skips a group, which no message of OTLP has, up to its end tag.
    #[cold]
    fn group(&mut self, number: u32, wire_type: u32) -> Result<Payload<'a>> {
        if wire_type != 3 {
            return Err(Fault::new(format!("field {number} has the wire type {wire_type}, expected 0, 1, 2, 3 or 5")));
        }
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            if self.rest.is_empty() {
                return Err(Fault::new(format!("the group {innermost} has no end")));
            }
            let (number, wire_type) = self.tag()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.bytes()?),
                3 if open.len() as u64 >= u64::from(GROUP_DEPTH) => {
                    return Err(Fault::new(format!("groups nest deeper than {GROUP_DEPTH}")));
                }
                3 => open.push(number),
                4 if number == innermost => drop(open.pop()),
                4 => return Err(Fault::new(format!("the group {innermost} ends as group {number}"))),
                5 => drop(self.array::<4>()?),
                _ => return Err(Fault::new(format!("field {number} has the wire type {wire_type}, expected 0 to 5"))),
            }
        }
        Ok(Payload::Group)
    }
}

/// The varint that these bytes are, and nothing besides.
#[inline]
pub fn only_varint(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(bytes);
    let value = reader.varint().ok()?;
    reader.rest.is_empty().then_some(value)
}

#[cold]
fn overrun(len: u64, left: usize) -> Fault {
    Fault::new(format!("a field of {len} bytes stands where only {left} are left of its message"))
}

impl<'a> Field<'a> {
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8]> {
        match self.payload {
            Payload::Bytes(bytes) => Ok(bytes),
            _ => Err(self.mismatch("length-delimited")),
        }
    }

    #[inline]
    pub fn varint(self) -> Result<u64> {
        match self.payload {
            Payload::Varint(value) => Ok(value),
            _ => Err(self.mismatch("a varint")),
        }
    }

    /// A `uint32`, `int32` or enum: the low 32 bits of the varint, as protobuf cuts it.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "protobuf's rule for a varint in a field of 32 bits")]
    pub fn uint32(self) -> Result<u32> {
        Ok(self.varint()? as u32)
    }

    #[inline]
    pub fn fixed64(self) -> Result<u64> {
        match self.payload {
            Payload::Fixed64(value) => Ok(value),
            _ => Err(self.mismatch("64-bit")),
        }
    }

    #[inline]
    pub fn double(self) -> Result<f64> {
        self.fixed64().map(f64::from_bits)
    }

    /// A `sint32`: zigzag, so that small negative numbers are short.
    #[inline]
    pub fn sint32(self) -> Result<i32> {
        let number = self.uint32()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// One or many varints, appended to `into`; past `max` in it, the request is refused: a varint can be an eighth of what it takes there.
    pub fn repeated_varint(self, into: &mut Vec<u64>, max: usize) -> Result<()> {
        let mut packed = match self.payload {
            Payload::Bytes(bytes) => Reader::new(bytes),
            Payload::Varint(value) if into.len() < max => {
                into.push(value);
                return Ok(());
            }
            Payload::Varint(_) => return Err(Fault::new(TOO_MANY_COUNTS)),
            _ => return Err(self.mismatch("a varint or packed")),
        };
        while !packed.rest.is_empty() {
            if into.len() >= max {
                return Err(Fault::new(TOO_MANY_COUNTS));
            }
            into.push(packed.varint()?);
        }
        Ok(())
    }

    /// One or many 64-bit numbers: a repeated field may be packed or not, whatever its declaration says.
    pub fn repeated_fixed64(self) -> Result<impl ExactSizeIterator<Item = u64> + 'a> {
        let (packed, single) = match self.payload {
            Payload::Bytes(bytes) if bytes.len() % 8 == 0 => (bytes, None),
            Payload::Bytes(bytes) => {
                return Err(Fault::new(format!("field {} packs {} bytes, expected a multiple of 8", self.number, bytes.len())));
            }
            Payload::Fixed64(value) => (&[][..], Some(value)),
            _ => return Err(self.mismatch("64-bit or packed")),
        };
        let count = packed.len() / 8 + usize::from(single.is_some());
        let packed = packed.as_chunks::<8>().0;
        Ok((0..count).map(move |index| single.unwrap_or_else(|| packed.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes)))))
    }

    #[cold]
    fn mismatch(self, expected: &str) -> Fault {
        let found = match self.payload {
            Payload::Varint(_) => "a varint",
            Payload::Fixed64(_) => "64-bit",
            Payload::Bytes(_) => "length-delimited",
            Payload::Group => "a group",
            Payload::Fixed32 => "32-bit",
        };
        Fault::new(format!("field {} is {found} on the wire, expected {expected}", self.number))
    }
}
