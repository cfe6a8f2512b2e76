//! The only file that asks what time it is. Everything else is given the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 in UTC; 0 for a clock before 1970.
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The monotonic clock, for ages and deadlines.
pub fn now() -> Instant {
    Instant::now()
}
