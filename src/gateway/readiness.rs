//! Whether senders should come here: not while the log is nearly full (rule 22), its disk takes nothing (rule 6), or another process has it (rule 19).

use std::convert::Infallible;
use std::time::Duration;

use crate::clock;
use crate::telemetry::Health;
use crate::wal::Wal;

/// How often the log is looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// How often a disk that took nothing is tried.
const PROBES: Duration = Duration::from_secs(2);

/// How full the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Well,
    /// Half of `max_bytes`.
    Half,
    /// Four fifths: every request is told "later".
    Later,
    /// The disk takes nothing.
    Refused,
}

impl Level {
    fn of(bytes: u64, wal: &Wal) -> Level {
        match bytes {
            _ if wal.refused().is_some() => Level::Refused,
            bytes if bytes + wal.margin() >= wal.later_at() => Level::Later,
            bytes if bytes >= wal.max_bytes() / 2 => Level::Half,
            _ => Level::Well,
        }
    }
}

/// Keeps `health` true for as long as it is polled.
pub async fn watch(wal: &Wal, health: &Health) -> Infallible {
    let mut before = Level::Well;
    let mut fenced = false;
    let mut probed = clock::now();
    loop {
        if let Some(why) = wal.fenced().filter(|_| !fenced) {
            fenced = true;
            tracing::error!(why, "the log is fenced: nothing is acknowledged and nothing committed; its rows stay");
            health.not_ready(&format!("the log is fenced: {why}"));
        }
        let (bytes, max_bytes) = (wal.bytes(), wal.max_bytes());
        let level = Level::of(bytes, wal);
        if level != before && !fenced {
            match level {
                Level::Well => tracing::info!(bytes, max_bytes, "the log has room"),
                Level::Half => tracing::warn!(bytes, max_bytes, "the log is half full: its rows are not committed fast enough"),
                Level::Later => tracing::error!(bytes, max_bytes, "the log is full: every request is told \"later\""),
                Level::Refused => {
                    let why = wal.refused().map(|error| error.to_string()).unwrap_or_default();
                    tracing::error!(why, "the log cannot be written: every request is told \"later\" until its disk has room");
                }
            }
            match level {
                Level::Later => health.not_ready("the log is full: its rows wait for their tables, see `floe status`"),
                Level::Refused => health.not_ready("the log cannot be written: look at the room on its disk"),
                Level::Well | Level::Half => health.ready(),
            }
            before = level;
        }
        if level == Level::Refused && probed.elapsed() >= PROBES {
            let wal = wal.clone();
            let _ = tokio::task::spawn_blocking(move || wal.probe()).await;
            probed = clock::now();
        }
        tokio::time::sleep(PERIOD).await;
    }
}
