//! `extensions.wal` of the configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ByteSize, Span};

/// The write-ahead log's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WalConfig {
    /// Of this log alone, on a local disk. Default `floe-data/wal`.
    pub directory: PathBuf,
    /// Past four fifths of it every request is told "later"; the rest is room to drain in. Default 10 GiB.
    pub max_bytes: ByteSize,
    /// When a request is acknowledged. Default `group`.
    pub fsync: Fsync,
    /// Disk space is given back by whole segments. Default 64 MiB; never more than an eighth of `max_bytes`.
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
