//! Which event times are taken: a stray clock must not open thousands of partitions.

use std::time::Duration;

use super::MapConfig;
use crate::signals::Timestamp;

/// The times that are taken at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    earliest: u64,
    latest: u64,
    max_future_skew: Duration,
    max_event_age: Duration,
}

/// A time outside the window; what the sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stray {
    #[error("expected event times at most {} ahead (`map.max_future_skew`), found a later one: check the sender's clock", in_units(*.0))]
    Future(Duration),
    #[error("expected event times at most {} back (`map.max_event_age`), found an earlier one: check the sender's clock, or raise the limit to load old data", in_units(*.0))]
    Past(Duration),
}

impl Window {
    pub fn at(now: Timestamp, config: &MapConfig) -> Window {
        let max_future_skew = config.max_future_skew.get();
        let max_event_age = config.max_event_age.get();
        let latest = if max_future_skew.is_zero() { u64::MAX } else { now.0.saturating_add(nanos(max_future_skew)) };
        let earliest = if max_event_age.is_zero() { 0 } else { now.0.saturating_sub(nanos(max_event_age)) };
        Window { earliest, latest, max_future_skew, max_event_age }
    }

    /// The first credible of these times; `None` where there is none.
    ///
    /// # Errors
    /// [`Stray`] where that time is outside the window.
    pub fn first(&self, times: &[Timestamp]) -> Result<Option<Timestamp>, Stray> {
        match times.iter().find_map(|time| time.credible()) {
            Some(time) if time.0 > self.latest => Err(Stray::Future(self.max_future_skew)),
            Some(time) if time.0 < self.earliest => Err(Stray::Past(self.max_event_age)),
            time => Ok(time),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A length of time as the configuration has it.
fn in_units(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if duration.subsec_millis() != 0 => format!("{}ms", duration.as_millis()),
        _ if seconds > 86_400 && seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ => format!("{seconds}s"),
    }
}
