//! `hash_ip`: replaces client addresses, so that they can be counted and not read.
//!
//! A plain hash of an IPv4 address is undone by trying all of them, which takes minutes; the default is therefore keyed. What cannot
//! be read as an address becomes NULL and is counted, never stored as it came.
//!
//! ```yaml
//! hash_ip: { mode: hmac, rotate_every: 30d, key_id: a }      # hmac | truncate | drop
//! ```
//! With `rotate_every`, each period of **event** time has a key of its own, derived from the one key: a client is the same client within a
//! period, on every replica and after every restart, and a stranger in the next one. Periods are counted from 1970-01-01T00:00Z.
//!
//! Invariant: what stands in an address column after this step is a keyed hash, a network, or NULL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, StringArray, TimestampMicrosecondArray};
use hmac::{Hmac, Mac as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::config::{Secret, Span};
use crate::processors::{ColumnStep, Note, Tally};
use crate::tables::{Columns, Raw, TableBatch};

/// The least length of a key, in bytes.
pub const MIN_KEY_BYTES: usize = Secret::LEAST_KEY_BYTES;

/// Longer text is no address: 45 bytes of IPv6, a zone, brackets, a port, `for=`.
const MAX_TEXT: usize = 128;

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HashIpConfig {
    /// Default `hmac`.
    pub mode: Mode,
    /// For `hmac`: at least 16 bytes, the same on every replica. Absent: the gateway's own key file.
    #[serde(deserialize_with = "Secret::key")]
    pub key: Option<Secret>,
    /// For `hmac`: which key it is; stands before each hash as `id:`, so that hashes of before and after a change can be told apart.
    pub key_id: Option<KeyId>,
    /// For `hmac`: how long an address keeps its hash, by event time; whole hours. Default: for ever.
    pub rotate_every: Option<Period>,
    /// For `truncate`: bits of an IPv4 address that stay, 8 to 32; default 24.
    pub ipv4_prefix: Ipv4Prefix,
    /// For `truncate`: bits of an IPv6 address that stay, 16 to 128; default 48.
    pub ipv6_prefix: Ipv6Prefix,
}

/// 1 to 16 letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct KeyId(String);

/// A period of rotation in hours; 1 h to 10 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Span", into = "Span")]
pub struct Period(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u8")]
pub struct Ipv4Prefix(u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u8")]
pub struct Ipv6Prefix(u8);

impl Default for Ipv4Prefix {
    fn default() -> Ipv4Prefix {
        Ipv4Prefix(24)
    }
}

impl Default for Ipv6Prefix {
    fn default() -> Ipv6Prefix {
        Ipv6Prefix(48)
    }
}

impl TryFrom<u8> for Ipv4Prefix {
    type Error = String;

    fn try_from(bits: u8) -> Result<Ipv4Prefix, String> {
        if (8..=32).contains(&bits) { Ok(Ipv4Prefix(bits)) } else { Err(format!("expected 8 to 32 bits, found {bits}")) }
    }
}

impl TryFrom<u8> for Ipv6Prefix {
    type Error = String;

    fn try_from(bits: u8) -> Result<Ipv6Prefix, String> {
        if (16..=128).contains(&bits) { Ok(Ipv6Prefix(bits)) } else { Err(format!("expected 16 to 128 bits, found {bits}")) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;

    fn try_from(id: String) -> Result<KeyId, String> {
        let fits =
            (1..=16).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if fits { Ok(KeyId(id)) } else { Err(format!("expected 1 to 16 letters, digits, `-` and `_`, found `{id}`")) }
    }
}

const HOUR: u64 = 3600;
const MICROS_AN_HOUR: i64 = 3_600_000_000;

impl TryFrom<Span> for Period {
    type Error = String;

    fn try_from(span: Span) -> Result<Period, String> {
        let seconds = span.get().as_secs();
        let whole =
            seconds.is_multiple_of(HOUR) && span.get().subsec_nanos() == 0 && (1..=10 * 366 * 24).contains(&(seconds / HOUR));
        match u32::try_from(seconds / HOUR) {
            Ok(hours) if whole => Ok(Period(hours)),
            _ => Err(format!("expected whole hours between 1h and 10 years, such as 24h or 30d, found `{span}`")),
        }
    }
}

impl From<Period> for Span {
    fn from(period: Period) -> Span {
        Span::seconds(u64::from(period.0) * HOUR)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The first 128 bits of HMAC-SHA256 over the 4 or 16 bytes of the address, as 32 lower-case hexadecimal digits, after `key_id:` if
    /// the key has an id.
    #[default]
    Hmac,
    /// The address of its network, without a length: `203.0.113.0`, `2001:db8:1::`.
    Truncate,
    /// NULL.
    Drop,
}

/// Why the step cannot be built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HashIpError {
    #[error(
        "`hash_ip` in mode `hmac` needs a key of at least {MIN_KEY_BYTES} bytes, found none: set `key`, or choose `truncate` or `drop`"
    )]
    NoKey,
    #[error("the key of `hash_ip` must have at least {MIN_KEY_BYTES} bytes, found {found}: make one with `openssl rand -hex 32`")]
    ShortKey { found: usize },
}

/// The step. `Debug` shows its mode and never its key.
#[derive(Clone)]
pub struct HashIp {
    how: How,
}

#[derive(Clone)]
enum How {
    Hmac { keyed: Keyed, key_id: Option<KeyId>, period: Option<Period> },
    Truncate(Ipv4Prefix, Ipv6Prefix),
    Drop,
}

/// Keyed once; a clone of it takes each address.
type Keyed = Hmac<Sha256>;

impl std::fmt::Debug for HashIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.how {
            How::Hmac { .. } => "HashIp(hmac)",
            How::Truncate(..) => "HashIp(truncate)",
            How::Drop => "HashIp(drop)",
        })
    }
}

/// Reads an address as proxies, SDKs and headers write it: with a port, brackets, a zone, quotes or `for=` (RFC 7239).
/// An IPv4 address mapped into IPv6 is the IPv4 address. A host name, a path or a list is `None`.
pub fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if text.len() > MAX_TEXT {
        return None;
    }
    let text = match text.get(..4) {
        Some(head) if head.eq_ignore_ascii_case("for=") => text[4..].split(';').next().unwrap_or_default().trim(),
        _ => text,
    };
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            if !after.is_empty() {
                port(after.strip_prefix(':')?)?;
            }
            IpAddr::V6(v6(inside)?)
        }
        None => match text.split_once(':') {
            Some((address, after)) if !after.contains(':') => {
                port(after)?;
                IpAddr::V4(address.parse().ok()?)
            }
            Some(_) => IpAddr::V6(v6(text)?),
            None => IpAddr::V4(text.parse().ok()?),
        },
    };
    Some(address.to_canonical())
}

fn port(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// An IPv6 address with or without a zone (`%eth0`, or `%25eth0` in a URL).
fn v6(text: &str) -> Option<Ipv6Addr> {
    match text.split_once('%') {
        Some((_, "")) => None,
        Some((address, _zone)) => address.parse().ok(),
        None => text.parse().ok(),
    }
}

impl HashIp {
    /// `key` is what the gateway found in the configuration or in its key file; only `hmac` needs it.
    ///
    /// # Errors
    /// In mode `hmac`: no key, or one of less than 16 bytes.
    pub fn new(config: &HashIpConfig, key: Option<&[u8]>) -> Result<HashIp, HashIpError> {
        let how = match config.mode {
            Mode::Truncate => How::Truncate(config.ipv4_prefix, config.ipv6_prefix),
            Mode::Drop => How::Drop,
            Mode::Hmac => {
                let key = key.ok_or(HashIpError::NoKey)?;
                let short = HashIpError::ShortKey { found: key.len() };
                if key.len() < MIN_KEY_BYTES {
                    return Err(short);
                }
                // HMAC takes a key of any length, so this error cannot come.
                let keyed = Hmac::new_from_slice(key).map_err(|_| short)?;
                How::Hmac { keyed, key_id: config.key_id.clone(), period: config.rotate_every }
            }
        };
        Ok(HashIp { how })
    }

    /// The column after the step; `times` are those of the rows' events, in microseconds.
    fn column(&self, column: &StringArray, times: Option<&TimestampMicrosecondArray>, tally: &mut Tally) -> StringArray {
        let mut out = StringBuilder::with_capacity(column.len(), column.len() * 32);
        let mut text = String::with_capacity(64);
        let mut unreadable = 0;
        // Rows of one batch are mostly of one period.
        let mut last: Option<(i64, Keyed)> = None;
        for (row, value) in column.iter().enumerate() {
            let address = value.and_then(parse);
            unreadable += u64::from(value.is_some() && address.is_none());
            let Some(address) = address else {
                out.append_null();
                continue;
            };
            text.clear();
            match &self.how {
                How::Drop => {
                    out.append_null();
                    continue;
                }
                How::Truncate(v4, v6) => {
                    use std::fmt::Write as _;
                    let _ = write!(text, "{}", network(address, *v4, *v6));
                }
                How::Hmac { keyed, key_id, period: None } => write_hash(keyed, key_id.as_ref(), address, &mut text),
                How::Hmac { keyed, key_id, period: Some(period) } => {
                    let micros = times.filter(|times| times.is_valid(row)).map_or(0, |times| times.value(row));
                    let number = micros.div_euclid(MICROS_AN_HOUR * i64::from(period.0));
                    let of_period = match &last {
                        Some((known, keyed)) if *known == number => keyed,
                        _ => &last.insert((number, key_of(keyed, *period, number))).1,
                    };
                    write_hash(of_period, key_id.as_ref(), address, &mut text);
                }
            }
            out.append_value(&text);
        }
        if unreadable > 0 {
            tally.note(Note::UnreadableAddress, unreadable);
        }
        out.finish()
    }
}

/// The key of one period: the HMAC of the period's length and number under the one key.
fn key_of(keyed: &Keyed, period: Period, number: i64) -> Keyed {
    let mut mac = keyed.clone();
    mac.update(b"floe hash_ip period");
    mac.update(&period.0.to_be_bytes());
    mac.update(&number.to_be_bytes());
    // HMAC takes a key of any length; should that ever change, the one key is still a key.
    Hmac::new_from_slice(&mac.finalize().into_bytes()).unwrap_or_else(|_| keyed.clone())
}

fn write_hash(keyed: &Keyed, key_id: Option<&KeyId>, address: IpAddr, out: &mut String) {
    let mut mac = keyed.clone();
    match address {
        IpAddr::V4(v4) => mac.update(&v4.octets()),
        IpAddr::V6(v6) => mac.update(&v6.octets()),
    }
    if let Some(KeyId(id)) = key_id {
        out.push_str(id);
        out.push(':');
    }
    for byte in &mac.finalize().into_bytes()[..16] {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The address with the bits behind its prefix gone.
fn network(address: IpAddr, v4: Ipv4Prefix, v6: Ipv6Prefix) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - v4.0))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - v6.0))).into(),
    }
}

impl ColumnStep for HashIp {
    fn apply(&self, batch: TableBatch, tally: &mut Tally) -> TableBatch {
        let mut batch = batch;
        for (index, column) in batch.table.columns().iter().enumerate() {
            if column.raw != Raw::Address {
                continue;
            }
            if let Some(values) = batch.strings(index) {
                let values = self.column(values, times(&batch), tally);
                batch = batch.with_strings(index, values);
            }
        }
        batch
    }

    fn clears(&self) -> Columns {
        Columns::with_raw(&[Raw::Address])
    }
}

/// When the rows' events were: every table is sorted by that last.
fn times(batch: &TableBatch) -> Option<&TimestampMicrosecondArray> {
    let index = batch.table.sort_by().last().and_then(|name| batch.table.column(name))?;
    batch.batch.columns().get(index)?.as_primitive_opt()
}

#[cfg(test)]
mod tests;
