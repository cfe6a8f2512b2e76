//! Attributes and values, and the merging of messages that occur more than once.

use std::borrow::Cow;

use super::wire::{Fault, Reader, Result, only_varint};
use crate::signals::values::{MAX_DEPTH, Value};
use crate::signals::{Records, Slice, TOO_MANY_VALUES};

/// Every occurrence of an embedded message: protobuf merges them as if their bytes stood one after the other.
#[derive(Debug, Default)]
pub struct Embedded<'a> {
    first: &'a [u8],
    more: Vec<&'a [u8]>,
}

impl<'a> Embedded<'a> {
    #[inline]
    pub fn one(bytes: &'a [u8]) -> Embedded<'a> {
        Embedded { first: bytes, more: Vec::new() }
    }

    #[inline]
    pub fn add(&mut self, bytes: &'a [u8]) {
        if self.first.is_empty() {
            self.first = bytes;
        } else {
            self.more.push(bytes);
        }
    }

    pub fn readers(&self) -> impl Iterator<Item = Reader<'a>> {
        std::iter::once(self.first).chain(self.more.iter().copied()).map(Reader::new)
    }
}

/// The text of a string field. Bytes that are not UTF-8 become U+FFFD and count in `mended`.
#[inline]
pub fn text<'a>(bytes: &'a [u8], mended: &mut u64) -> Cow<'a, str> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => mend(bytes, mended),
    }
}

#[cold]
fn mend<'a>(bytes: &'a [u8], mended: &mut u64) -> Cow<'a, str> {
    *mended += 1;
    String::from_utf8_lossy(bytes)
}

/// Reads a `KeyValue` to the end of the attributes, or only checks it, where the projection drops its key.
#[inline]
pub fn attribute<'a>(records: &mut Records<'a>, message: &'a [u8]) -> Result<()> {
    room(records, 1)?;
    let Some((key, value)) = plain_attribute(message) else { return any_attribute(records, message) };
    if let Some(key) = records.attributes.key_from_bytes(key, &mut records.mended) {
        let value = match value {
            Plain::Text(bytes) => Value::Str(text(bytes, &mut records.mended)),
            Plain::Other(value) => value,
        };
        records.attributes.push(key, value);
    }
    Ok(())
}

#[inline]
fn room(records: &Records<'_>, more: usize) -> Result<()> {
    if records.attributes.are_too_many(more) { Err(Fault::new(TOO_MANY_VALUES)) } else { Ok(()) }
}

/// A simple value, alone in its message.
enum Plain<'a> {
    /// Under 126 bytes.
    Text(&'a [u8]),
    /// A bool or a number.
    Other(Value<'a>),
}

/// Key and value of a `KeyValue` as every SDK writes it: the key first, both under 128 bytes, the value a simple one.
#[inline]
fn plain_attribute(message: &[u8]) -> Option<(&[u8], Plain<'_>)> {
    let [0x0a, len @ ..0x80, rest @ ..] = message else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*len))?;
    let [0x12, len @ ..0x80, value @ ..] = rest else { return None };
    if usize::from(*len) != value.len() {
        return None;
    }
    let value = match value {
        [0x0a, len @ ..0x80, text @ ..] if usize::from(*len) == text.len() => Plain::Text(text),
        [0x10, truth @ ..0x80] => Plain::Other(Value::Bool(*truth != 0)),
        [0x18, number @ ..] => Plain::Other(Value::Int(only_varint(number)?.cast_signed())),
        [0x21, number @ ..] => Plain::Other(Value::Double(f64::from_le_bytes(number.try_into().ok()?))),
        _ => return None,
    };
    Some((key, value))
}

fn any_attribute<'a>(records: &mut Records<'a>, message: &'a [u8]) -> Result<()> {
    let mut key: &[u8] = &[];
    let mut value = Embedded::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => key = field.bytes()?,
            2 => value.add(field.bytes()?),
            _ => {}
        }
    }
    match records.attributes.key_from_bytes(key, &mut records.mended) {
        Some(key) => {
            let value = any_value(records, &value, 1).map_err(|fault| fault.within("value"))?;
            records.attributes.push(key, value);
        }
        None => check(records, &value)?,
    }
    Ok(())
}

/// Reads a value that is not kept.
fn check<'a>(records: &mut Records<'a>, value: &Embedded<'a>) -> Result<()> {
    let (mark, mended) = (records.attributes.everything(), records.mended);
    any_value(records, value, 1).map_err(|fault| fault.within("value"))?;
    records.attributes.rewind(mark);
    records.mended = mended;
    Ok(())
}

/// What an `AnyValue` holds so far; a later field of the oneof replaces it, and adds to it if both are the same message.
enum Found<'a> {
    Scalar(Value<'a>),
    Text(&'a [u8]),
    Array(Embedded<'a>),
    Map(Embedded<'a>),
}

/// Reads an `AnyValue`; `depth` is 1 for the value of an attribute or the body of a log record.
pub fn any_value<'a>(records: &mut Records<'a>, message: &Embedded<'a>, depth: u32) -> Result<Value<'a>> {
    let mut found = Found::Scalar(Value::Empty);
    for mut reader in message.readers() {
        while let Some(field) = reader.next()? {
            found = match (field.number, found) {
                (1, _) => Found::Text(field.bytes()?),
                (2, _) => Found::Scalar(Value::Bool(field.varint()? != 0)),
                (3, _) => Found::Scalar(Value::Int(field.varint()?.cast_signed())),
                (4, _) => Found::Scalar(Value::Double(field.double()?)),
                (5, Found::Array(mut array)) => {
                    array.add(field.bytes()?);
                    Found::Array(array)
                }
                (5, _) => Found::Array(Embedded::one(field.bytes()?)),
                (6, Found::Map(mut map)) => {
                    map.add(field.bytes()?);
                    Found::Map(map)
                }
                (6, _) => Found::Map(Embedded::one(field.bytes()?)),
                (7, _) => Found::Scalar(Value::Bytes(Cow::Borrowed(field.bytes()?))),
                // An index into the strings of a profile, which a request does not have: a value, but one that says nothing.
                (8, _) => field.varint().map(|_| Found::Scalar(Value::Empty))?,
                (_, found) => found,
            };
        }
    }
    match found {
        Found::Scalar(value) => Ok(value),
        Found::Text(bytes) => Ok(Value::Str(text(bytes, &mut records.mended))),
        Found::Array(_) | Found::Map(_) if depth >= MAX_DEPTH => {
            records.too_deep += 1;
            Ok(Value::Empty)
        }
        Found::Array(array) => read_array(records, &array, depth).map(Value::Array).map_err(|fault| fault.within("array_value")),
        Found::Map(map) => read_map(records, &map, depth).map(Value::Map).map_err(|fault| fault.within("kvlist_value")),
    }
}

/// How many elements an `ArrayValue` or a `KeyValueList` has.
fn count(list: &Embedded<'_>) -> Result<usize> {
    let mut count = 0;
    for mut reader in list.readers() {
        while let Some(field) = reader.next()? {
            count += usize::from(field.number == 1);
        }
    }
    Ok(count)
}

// The places of the elements are taken before they are read, because elements that nest take theirs in between.

fn read_array<'a>(records: &mut Records<'a>, list: &Embedded<'a>, depth: u32) -> Result<Slice> {
    let start = records.attributes.items.len();
    let end = start + count(list)?;
    room(records, end - start)?;
    records.attributes.items.resize(end, Value::Empty);
    let mut at = start;
    for mut reader in list.readers() {
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                let value = any_value(records, &Embedded::one(field.bytes()?), depth + 1)?;
                records.attributes.items[at] = value;
                at += 1;
            }
        }
    }
    Ok(Slice::between(start, end))
}

fn read_map<'a>(records: &mut Records<'a>, list: &Embedded<'a>, depth: u32) -> Result<Slice> {
    let start = records.attributes.entries.len();
    let end = start + count(list)?;
    room(records, end - start)?;
    records.attributes.entries.resize(end, (Cow::Borrowed(""), Value::Empty));
    let mut at = start;
    for mut reader in list.readers() {
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                records.attributes.entries[at] = read_entry(records, field.bytes()?, depth + 1)?;
                at += 1;
            }
        }
    }
    Ok(Slice::between(start, end))
}

fn read_entry<'a>(records: &mut Records<'a>, message: &'a [u8], depth: u32) -> Result<(Cow<'a, str>, Value<'a>)> {
    let mut key: &[u8] = &[];
    let mut value = Embedded::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => key = field.bytes()?,
            2 => value.add(field.bytes()?),
            _ => {}
        }
    }
    let key = text(key, &mut records.mended);
    Ok((key, any_value(records, &value, depth)?))
}
