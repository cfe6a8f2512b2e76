//! The retry window: which requests were here lately, so that one sent again adds nothing.
//!
//! Bounded by age and by number; past either, the oldest are forgotten first. It is rebuilt from the held segments at open. What was in a
//! released segment is known only until the process ends.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Fingerprint, Position};

#[derive(Debug)]
pub(super) struct Window {
    age: u64,
    entries: usize,
    positions: HashMap<Fingerprint, Position>,
    /// In the order they came, with milliseconds since 1970.
    order: VecDeque<(u64, Fingerprint, Position)>,
}

impl Window {
    pub(super) fn new(age: Duration, entries: usize) -> Window {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Window { age, entries, positions: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn position(&self, id: Fingerprint) -> Option<Position> {
        self.positions.get(&id).copied()
    }

    pub(super) fn insert(&mut self, id: Fingerprint, position: Position, at: u64) {
        if self.entries == 0 {
            return;
        }
        self.positions.insert(id, position);
        self.order.push_back((at, id, position));
        self.forget(at);
    }

    /// Takes back the newest ones: everything above `position`.
    pub(super) fn take_back(&mut self, position: Position) {
        while let Some((_, id, newest)) = self.order.pop_back_if(|(_, _, newest)| *newest > position) {
            self.drop_if_at(id, newest);
        }
    }

    /// Forgets what is older than the window at `now`, and the oldest of too many.
    pub(super) fn forget(&mut self, now: u64) {
        let limit = now.saturating_sub(self.age);
        while self.order.front().is_some_and(|(at, _, _)| *at < limit) || self.order.len() > self.entries {
            let Some((_, id, position)) = self.order.pop_front() else { return };
            self.drop_if_at(id, position);
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
