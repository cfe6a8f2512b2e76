//! Ids of rows, as a pure function of the record: OTLP is at-least-once and carries no id of a batch, so the same record must
//! get the same id whenever it comes.
//!
//! A derived id is the first 128 bits of HMAC-SHA256(id key, fields) as a UUID of version 8. Every field stands behind its
//! length, the table's name is the first. Values are hashed before they are sanitised, so that a new rule changes no id; the
//! key keeps anyone from finding a value by trying.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::signals::attributes::Attributes;
use crate::signals::{SpanId, TraceId, Value};
use crate::tables::Table;

/// The least length of an id key, in bytes.
pub const MIN_KEY_BYTES: usize = 16;

/// Makes derived ids under one key.
#[derive(Clone)]
pub struct Identity {
    keyed: Hmac<Sha256>,
}

/// A derived id as text: 36 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DerivedId([u8; 36]);

/// The fields of one id, as far as they are given.
#[derive(Clone)]
pub struct Fields {
    mac: Hmac<Sha256>,
}

/// Counts equals within one request: the second of two equal records is another row, and gets another id.
#[derive(Debug, Default)]
pub struct Ordinals {
    seen: HashMap<DerivedId, u64>,
}

impl Identity {
    /// `None` for a key shorter than [`MIN_KEY_BYTES`].
    pub fn new(key: &[u8]) -> Option<Identity> {
        if key.len() < MIN_KEY_BYTES {
            return None;
        }
        Hmac::new_from_slice(key).ok().map(|keyed| Identity { keyed })
    }

    /// Starts an id of this table.
    pub fn of(&self, table: Table) -> Fields {
        Fields { mac: self.keyed.clone() }.text(table.name())
    }

    /// The id of the invocation that a span is, where it carries no native one.
    pub fn invocation(&self, trace: TraceId, span: SpanId) -> DerivedId {
        self.of(Table::Invocations).span(trace, span).finish()
    }
}

impl Fields {
    pub fn bytes(mut self, bytes: &[u8]) -> Fields {
        self.mac.update(&(bytes.len() as u64).to_le_bytes());
        self.mac.update(bytes);
        self
    }

    pub fn text(self, text: &str) -> Fields {
        self.bytes(text.as_bytes())
    }

    /// An absent value is not the same as an empty one.
    pub fn optional(mut self, text: Option<&str>) -> Fields {
        if let Some(text) = text {
            return self.text(text);
        }
        self.mac.update(&u64::MAX.to_le_bytes());
        self
    }

    pub fn number(self, number: u64) -> Fields {
        self.bytes(&number.to_le_bytes())
    }

    pub fn span(self, trace: TraceId, span: SpanId) -> Fields {
        self.bytes(&trace.0).bytes(&span.0)
    }

    /// A value with its type and everything in it. The decoders bound the depth.
    pub fn value(mut self, value: &Value<'_>, attributes: &Attributes<'_>) -> Fields {
        match value {
            Value::Empty => self.bytes(b"empty"),
            Value::Bool(flag) => self.bytes(b"bool").number(u64::from(*flag)),
            Value::Int(number) => self.bytes(b"int").bytes(&number.to_le_bytes()),
            Value::Double(number) => self.bytes(b"double").number(number.to_bits()),
            Value::Str(text) => self.bytes(b"text").text(text),
            Value::Bytes(bytes) => self.bytes(b"bytes").bytes(bytes),
            Value::Array(slice) => {
                let items = attributes.items.get(slice.range()).unwrap_or(&[]);
                self = self.bytes(b"array").number(items.len() as u64);
                items.iter().fold(self, |fields, item| fields.value(item, attributes))
            }
            Value::Map(slice) => {
                let entries = attributes.entries.get(slice.range()).unwrap_or(&[]);
                self = self.bytes(b"map").number(entries.len() as u64);
                entries.iter().fold(self, |fields, (key, item)| fields.text(key).value(item, attributes))
            }
        }
    }

    pub fn finish(self) -> DerivedId {
        let digest = self.mac.finalize().into_bytes();
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest[..16]);
        DerivedId::new(bits)
    }
}

impl Ordinals {
    /// The id of the next record with these fields: with the ordinal 0, 1, 2 … as their last.
    pub fn next(&mut self, fields: Fields) -> DerivedId {
        let first = fields.clone().number(0).finish();
        match self.seen.entry(first) {
            Entry::Vacant(vacant) => {
                vacant.insert(1);
                first
            }
            Entry::Occupied(mut occupied) => {
                let ordinal = *occupied.get();
                *occupied.get_mut() += 1;
                fields.number(ordinal).finish()
            }
        }
    }
}

impl DerivedId {
    /// A UUID of version 8 (RFC 9562, section 5.8) from 128 bits, 6 of which it replaces.
    fn new(mut bits: [u8; 16]) -> DerivedId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        bits[6] = bits[6] & 0x0f | 0x80;
        bits[8] = bits[8] & 0x3f | 0x80;
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in bits.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 0x0f)];
            at += 2;
        }
        DerivedId(text)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for DerivedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fields")
    }
}
