//! The retry window: which requests were here lately, so that one sent again adds nothing (rule 7).
//!
//! Bounded by age and by number; past either, the oldest are forgotten first. At open it is rebuilt from the journal, for released segments,
//! and from the segments that are still there.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Fingerprint, Position};
use crate::faults::{self, Naive};

/// A request that was here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) id: Fingerprint,
    pub(super) position: Position,
    /// When it was appended, in milliseconds since 1970.
    pub(super) at: u64,
}

#[derive(Debug)]
pub(super) struct Window {
    age: u64,
    entries: usize,
    positions: HashMap<Fingerprint, Position>,
    /// In the order they came, which is that of their positions.
    order: VecDeque<Remembered>,
    /// Those at or below it are in the journal; their segments may be gone.
    carried: Position,
}

impl Window {
    pub(super) fn new(age: Duration, entries: usize) -> Window {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Window { age, entries, positions: HashMap::new(), order: VecDeque::new(), carried: Position(0) }
    }

    pub(super) fn position(&self, id: Fingerprint) -> Option<Position> {
        self.positions.get(&id).copied()
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn insert(&mut self, id: Fingerprint, position: Position, at: u64) {
        if self.entries == 0 {
            return;
        }
        self.positions.insert(id, position);
        self.order.push_back(Remembered { id, position, at });
        self.forget(at);
    }

    /// At open: what the journal carried, then what the segments hold, in the order of positions. One may be in both.
    pub(super) fn restore(&mut self, request: Remembered) {
        let is_known = self.order.back().is_some_and(|newest| request.position <= newest.position);
        if !is_known && !faults::is(Naive::HashesInMemory) {
            self.insert(request.id, request.position, request.at);
        }
    }

    /// Those at or below `position` that the journal does not have yet.
    pub(super) fn to_carry(&self, position: Position) -> Vec<Remembered> {
        let from = self.order.partition_point(|request| request.position <= self.carried);
        self.order.iter().skip(from).take_while(|request| request.position <= position).copied().collect()
    }

    /// The journal has those at or below `position`.
    pub(super) fn carried_to(&mut self, position: Position) {
        self.carried = self.carried.max(position);
    }

    /// Those that the journal has to keep.
    pub(super) fn carried(&self) -> impl Iterator<Item = &Remembered> {
        self.order.iter().take_while(|request| request.position <= self.carried)
    }

    /// Takes back the newest ones: everything above `position`.
    pub(super) fn take_back(&mut self, position: Position) {
        while let Some(newest) = self.order.pop_back_if(|newest| newest.position > position) {
            self.drop_if_at(newest.id, newest.position);
        }
    }

    /// Forgets what is older than the window at `now`, and the oldest of too many.
    pub(super) fn forget(&mut self, now: u64) {
        let limit = now.saturating_sub(self.age);
        while self.order.front().is_some_and(|oldest| oldest.at < limit) || self.order.len() > self.entries {
            let Some(oldest) = self.order.pop_front() else { return };
            self.drop_if_at(oldest.id, oldest.position);
        }
    }

    /// The same request may have come again after its first copy was forgotten; then the newer entry stays.
    fn drop_if_at(&mut self, id: Fingerprint, position: Position) {
        if self.positions.get(&id) == Some(&position) {
            self.positions.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Fingerprint {
        Fingerprint([n; 16])
    }

    fn window_of(ids: &[(u8, u64)], age: u64, entries: usize) -> Window {
        let mut window = Window::new(Duration::from_millis(age), entries);
        for (n, at) in ids {
            window.insert(id(*n), Position(u64::from(*n)), *at);
        }
        window
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let window = window_of(&[(1, 0), (2, 60), (3, 101)], 100, 10);
        assert_eq!(window.position(id(1)), None);
        assert_eq!(window.position(id(2)), Some(Position(2)));
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let window = window_of(&[(1, 0), (2, 0), (3, 0)], 100, 2);
        assert_eq!(window.position(id(1)), None);
        assert_eq!(window.position(id(3)), Some(Position(3)));
        assert_eq!(window_of(&[(1, 0)], 100, 0).position(id(1)), None);
    }

    #[test]
    fn what_was_not_written_is_taken_back() {
        let mut window = window_of(&[(1, 0), (2, 0), (3, 0)], 100, 10);
        window.take_back(Position(1));
        assert_eq!(window.position(id(1)), Some(Position(1)));
        assert_eq!(window.position(id(2)), None);
        assert_eq!(window.position(id(3)), None);
    }
}
