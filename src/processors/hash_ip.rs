//! `hash_ip`: replaces client addresses, so that they can be counted and not read.
//!
//! A plain hash of an IPv4 address is undone by trying all of them, which takes minutes; the default is therefore keyed. What cannot
//! be read as an address becomes NULL and is counted, never stored as it came.
//!
//! ```yaml
//! hash_ip: { mode: hmac }      # hmac | truncate | drop
//! ```
//! Invariant: what stands in an address column after this step is a keyed hash, a network, or NULL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrow_array::builder::StringBuilder;
use arrow_array::{Array as _, StringArray};
use hmac::{Hmac, Mac as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::config::Secret;
use crate::processors::{ColumnStep, Note, Tally};
use crate::tables::{Columns, Raw, TableBatch};

/// The least length of a key, in bytes.
pub const MIN_KEY_BYTES: usize = 16;

/// Longer text is no address: 45 bytes of IPv6, a zone, brackets, a port, `for=`.
const MAX_TEXT: usize = 128;

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HashIpConfig {
    /// Default `hmac`.
    pub mode: Mode,
    /// For `hmac`: at least 16 bytes, the same on every replica. Absent: the gateway's own key file.
    pub key: Option<Secret>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The first 128 bits of HMAC-SHA256 over the 4 or 16 bytes of the address, as 32 lower-case hexadecimal digits.
    #[default]
    Hmac,
    /// The address of its /24 (IPv4) or /48 (IPv6) network, without a length: `203.0.113.0`, `2001:db8:1::`.
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
    /// Keyed once; a clone of it takes each address.
    Hmac(Hmac<Sha256>),
    Truncate,
    Drop,
}

impl std::fmt::Debug for HashIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.how {
            How::Hmac(_) => "HashIp(hmac)",
            How::Truncate => "HashIp(truncate)",
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
            Mode::Truncate => How::Truncate,
            Mode::Drop => How::Drop,
            Mode::Hmac => {
                let key = key.ok_or(HashIpError::NoKey)?;
                let short = HashIpError::ShortKey { found: key.len() };
                if key.len() < MIN_KEY_BYTES {
                    return Err(short);
                }
                // HMAC takes a key of any length, so this error cannot come.
                How::Hmac(Hmac::new_from_slice(key).map_err(|_| short)?)
            }
        };
        Ok(HashIp { how })
    }

    /// Writes what is stored for this address into `out`; false where that is NULL.
    fn write(&self, address: IpAddr, out: &mut String) -> bool {
        use std::fmt::Write as _;
        match &self.how {
            How::Hmac(keyed) => {
                let mut mac = keyed.clone();
                match address {
                    IpAddr::V4(v4) => mac.update(&v4.octets()),
                    IpAddr::V6(v6) => mac.update(&v6.octets()),
                }
                for byte in &mac.finalize().into_bytes()[..16] {
                    out.push(char::from(HEX[usize::from(byte >> 4)]));
                    out.push(char::from(HEX[usize::from(byte & 15)]));
                }
                true
            }
            How::Truncate => write!(out, "{}", network(address)).is_ok(),
            How::Drop => false,
        }
    }

    fn column(&self, column: &StringArray, tally: &mut Tally) -> StringArray {
        let mut out = StringBuilder::with_capacity(column.len(), column.len() * 32);
        let mut text = String::with_capacity(40);
        let mut unreadable = 0;
        for value in column {
            let address = value.and_then(parse);
            unreadable += u64::from(value.is_some() && address.is_none());
            text.clear();
            match address {
                Some(address) if self.write(address, &mut text) => out.append_value(&text),
                _ => out.append_null(),
            }
        }
        if unreadable > 0 {
            tally.note(Note::UnreadableAddress, unreadable);
        }
        out.finish()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The /24 of an IPv4 address, the /48 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
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
                let values = self.column(values, tally);
                batch = batch.with_strings(index, values);
            }
        }
        batch
    }

    fn clears(&self) -> Columns {
        Columns::with_raw(&[Raw::Address])
    }
}

#[cfg(test)]
mod tests;
