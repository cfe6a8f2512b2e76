//! How often a table is committed, and how long to wait after a bad answer. Pure.
//!
//! A catalog that is asked too much says 409 or 429. The interval then doubles, and comes back by a quarter of its floor with every
//! commit that goes through: multiplicative widening, additive narrowing.

use std::time::Duration;

/// The widest interval, in multiples of the narrowest.
const WIDEST: u32 = 16;
/// The first wait after a failure; each further one doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The present interval of one table and its run of failures.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    floor: Duration,
    now: Duration,
    failures: u32,
}

impl Interval {
    /// `floor` is the narrowest interval: `commit.max_age`.
    pub fn new(floor: Duration) -> Interval {
        Interval { floor, now: floor, failures: 0 }
    }

    /// The least age of the oldest row before a cut by age.
    pub fn get(&self) -> Duration {
        self.now
    }

    /// The catalog took too many commits, from us or from others: 409, 429.
    pub fn widen(&mut self) {
        let least = Duration::from_secs(1);
        self.now = (self.now.max(least) * 2).min(self.floor.max(least) * WIDEST);
    }

    /// The catalog answered, and there is nothing to commit: the run of failures is over.
    pub fn reached(&mut self) {
        self.failures = 0;
    }

    /// A commit went through.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.now = self.now.saturating_sub((self.floor / 4).max(Duration::from_millis(250))).max(self.floor);
    }

    /// How long to wait before the next look. `told` is the catalog's own word, `Retry-After`, and is honoured where it is longer.
    pub fn failed(&mut self, told: Option<Duration>) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        told.map_or(wait, |told| told.max(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_mins(1);

    #[test]
    fn it_doubles_on_conflict_and_comes_back_slowly() {
        let mut interval = Interval::new(FLOOR);
        interval.widen();
        interval.widen();
        assert_eq!(interval.get(), FLOOR * 4);
        interval.succeeded();
        assert_eq!(interval.get(), Duration::from_secs(225));
        (0..20).for_each(|_| interval.succeeded());
        assert_eq!(interval.get(), FLOOR);
    }

    #[test]
    fn it_has_a_widest() {
        let mut interval = Interval::new(FLOOR);
        (0..100).for_each(|_| interval.widen());
        assert_eq!(interval.get(), FLOOR * WIDEST);
    }

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_success() {
        let mut interval = Interval::new(FLOOR);
        let waits: Vec<Duration> = (0..3).map(|_| interval.failed(None)).collect();
        assert_eq!(waits, [FIRST_WAIT, FIRST_WAIT * 2, FIRST_WAIT * 4]);
        (0..100).for_each(|_| assert!(interval.failed(None) <= LONGEST_WAIT));
        interval.succeeded();
        assert_eq!(interval.failed(None), FIRST_WAIT);
    }

    #[test]
    fn retry_after_is_honoured_even_past_the_longest_wait() {
        let told = Duration::from_mins(5);
        assert_eq!(Interval::new(FLOOR).failed(Some(told)), told);
    }
}
