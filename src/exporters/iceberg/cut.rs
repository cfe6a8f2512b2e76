//! When the held rows of a table become a batch. Pure.

use std::time::{Duration, Instant};

use crate::wal::{Held, Position};

/// The rule: the oldest row is `max_age` old, or `max_bytes` are held.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub max_age: Duration,
    pub max_bytes: u64,
}

/// What the rule says of the rows held now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Cut now, at the newest row held.
    Now(Position),
    At(Instant),
    /// Nothing is held.
    Never,
}

impl Cut {
    /// `interval` is the least age that the catalog's answers allow for now; `flush` is somebody's wish to cut at once.
    pub fn due(&self, held: &Held, interval: Duration, flush: bool, now: Instant) -> Due {
        let Some(oldest) = held.oldest.filter(|_| held.rows > 0) else { return Due::Never };
        let at = oldest + self.max_age.max(interval);
        if flush || held.bytes >= self.max_bytes || at <= now { Due::Now(held.to) } else { Due::At(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Cut = Cut { max_age: Duration::from_mins(1), max_bytes: 1000 };

    fn check(rows: u64, bytes: u64, age: u64, interval: u64, flush: bool) -> Due {
        let oldest = Instant::now();
        let held = Held { to: Position(9), rows, bytes, oldest: (rows > 0).then_some(oldest) };
        CUT.due(&held, Duration::from_secs(interval), flush, oldest + Duration::from_secs(age))
    }

    #[test]
    fn nothing_held_is_never_cut() {
        assert_eq!(check(0, 0, 100, 60, true), Due::Never);
    }

    #[test]
    fn age_or_bytes_or_a_wish_cut_at_the_newest_row() {
        assert_eq!(check(1, 10, 60, 0, false), Due::Now(Position(9)));
        assert_eq!(check(1, 1000, 1, 0, false), Due::Now(Position(9)));
        assert_eq!(check(1, 10, 1, 0, true), Due::Now(Position(9)));
    }

    #[test]
    fn young_rows_wait_for_their_age_or_for_the_wider_interval() {
        assert!(matches!(check(1, 10, 59, 0, false), Due::At(_)));
        assert!(matches!(check(1, 10, 90, 120, false), Due::At(_)));
        assert_eq!(check(1, 10, 120, 120, false), Due::Now(Position(9)));
    }

    #[test]
    fn a_wider_interval_does_not_hold_back_bytes() {
        assert_eq!(check(1, 1000, 1, 600, false), Due::Now(Position(9)));
    }
}
