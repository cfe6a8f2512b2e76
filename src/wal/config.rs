//! `extensions.wal` of the configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{ByteSize, Span};

/// The write-ahead log's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WalConfig {
    /// Of this log alone, on a local disk. Default `floe-data/wal`.
    pub directory: PathBuf,
    /// Past four fifths of it every request is told "later"; the rest is room to drain in. Default 10 GiB; 64 KiB at least. A request that takes more
    /// than four fifths of it alone is refused for good.
    #[serde(deserialize_with = "max_bytes")]
    pub max_bytes: ByteSize,
    /// When a request is acknowledged. Default `group`.
    pub fsync: Fsync,
    /// Disk space is given back by whole segments. Default 64 MiB, 4 KiB at least; never more than an eighth of `max_bytes`.
    #[serde(deserialize_with = "segment_bytes")]
    pub segment_bytes: ByteSize,
    pub retry_window: RetryWindow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// After an fsync, which all requests share that wait at that moment. Nothing acknowledged is lost in a power loss.
    #[default]
    Group,
    /// After the write: a crash of the process loses nothing, a power loss or a crash of the system loses the last seconds.
    Never,
}

/// How long, and how many, requests are remembered so that one sent again adds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryWindow {
    /// Default 10 minutes.
    pub age: Span,
    /// Default 1,000,000, about 80 MiB of memory when all are young. 0 remembers none.
    pub entries: usize,
}

/// Some segments and their headers; a log for use has room for hours of rows.
const LEAST_MAX_BYTES: ByteSize = ByteSize::kib(64);
const LEAST_SEGMENT_BYTES: ByteSize = ByteSize::kib(4);

fn max_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    at_least("max_bytes", LEAST_MAX_BYTES, deserializer)
}

fn segment_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    at_least("segment_bytes", LEAST_SEGMENT_BYTES, deserializer)
}

fn at_least<'de, D: Deserializer<'de>>(name: &str, least: ByteSize, deserializer: D) -> Result<ByteSize, D::Error> {
    match ByteSize::deserialize(deserializer)? {
        found if found < least => {
            Err(D::Error::custom(format_args!("expected `{name}` of at least {least} for the log, found {found}")))
        }
        found => Ok(found),
    }
}

impl Default for WalConfig {
    fn default() -> WalConfig {
        WalConfig {
            directory: PathBuf::from("floe-data/wal"),
            max_bytes: ByteSize::gib(10),
            fsync: Fsync::default(),
            segment_bytes: ByteSize::mib(64),
            retry_window: RetryWindow::default(),
        }
    }
}

impl Default for RetryWindow {
    fn default() -> RetryWindow {
        RetryWindow { age: Span::seconds(600), entries: 1_000_000 }
    }
}

impl WalConfig {
    /// From so many bytes on nothing is appended (rule 22).
    pub(super) fn later_at(&self) -> u64 {
        self.max_bytes.bytes() / 5 * 4
    }

    /// After how many bytes a new segment begins.
    pub(super) fn segment_limit(&self) -> u64 {
        self.segment_bytes.bytes().min(self.max_bytes.bytes() / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_could_take_nothing_is_refused() {
        let check = |setting: &str, expected: Option<&str>| {
            let read = serde_json::from_str::<WalConfig>(&format!("{{{setting}}}"));
            let refused = read.err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), expected.is_some(), "{setting}: {refused:?}");
            assert!(expected.is_none_or(|expected| refused.is_some_and(|said| said.contains(expected))), "{setting}");
        };
        check(r#""max_bytes": "0""#, Some("expected `max_bytes` of at least 64KiB for the log, found 0"));
        check(r#""max_bytes": "1KiB""#, Some("found 1KiB"));
        check(r#""max_bytes": "64KiB""#, None);
        check(r#""segment_bytes": "0""#, Some("expected `segment_bytes` of at least 4KiB"));
        check(r#""segment_bytes": "64KiB""#, None);
    }
}
