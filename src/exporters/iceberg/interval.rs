//! How often a table is committed, and how long to wait after a bad answer. Pure.
//!
//! A catalog that is asked too much says 429, and the interval doubles; a lost race, which costs little, widens it by a quarter. With every commit
//! that goes through an eighth of what it is above its floor is gone. So replicas that know nothing of each other settle where the catalog takes
//! almost all they send, and are back an hour after the worst: `committer/tests/day.rs` lets them try for a day.

use std::time::Duration;

/// The widest interval, in multiples of the narrowest.
const WIDEST: u32 = 8;
/// What is taken for the floor where it is none: something that can be widened.
const LEAST: Duration = Duration::from_secs(1);
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

    /// The catalog takes no more commits for now: 429.
    pub fn refused(&mut self) {
        self.widen(self.now.max(LEAST));
    }

    /// Another commit came first: 409.
    pub fn lost(&mut self) {
        self.widen(self.now.max(LEAST) / 4);
    }

    fn widen(&mut self, by: Duration) {
        self.now = (self.now.max(LEAST) + by).min(self.floor.max(LEAST) * WIDEST);
    }

    /// The catalog answered, and there is nothing to commit: the run of failures is over.
    pub fn reached(&mut self) {
        self.failures = 0;
    }

    /// A commit went through.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        let above = self.now.saturating_sub(self.floor);
        self.now -= (above / 8).max(Duration::from_millis(250)).min(above);
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
    fn a_refusal_doubles_it_a_lost_race_adds_a_quarter_and_commits_bring_it_back() {
        let mut interval = Interval::new(FLOOR);
        interval.lost();
        assert_eq!(interval.get(), Duration::from_secs(75));
        interval.refused();
        assert_eq!(interval.get(), Duration::from_secs(150));
        interval.succeeded();
        assert_eq!(interval.get(), Duration::from_millis(138_750));
        (0..60).for_each(|_| interval.succeeded());
        assert_eq!(interval.get(), FLOOR);
    }

    #[test]
    fn it_has_a_widest_and_comes_back_from_it() {
        for floor in [Duration::ZERO, FLOOR] {
            let mut interval = Interval::new(floor);
            (0..100).for_each(|_| interval.refused());
            assert_eq!(interval.get(), floor.max(LEAST) * WIDEST);
            (0..100).for_each(|_| interval.succeeded());
            assert_eq!(interval.get(), floor);
        }
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
