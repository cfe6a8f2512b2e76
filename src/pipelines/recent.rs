//! Requests that are in no log: points, and rows that only Prometheus sees. A sender that did not hear the reply sends them again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::wal::Fingerprint;

/// Half of what is remembered at most: some 25 bytes each.
const HALF: usize = 1 << 14;

/// The last requests, by their fingerprints: at least [`HALF`], at most twice as many.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    newer: HashSet<Fingerprint>,
    older: HashSet<Fingerprint>,
}

impl Recent {
    /// Whether it was not here before; from now on it was.
    pub(super) fn is_new(&self, request: Fingerprint) -> bool {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.older.contains(&request) || !halves.newer.insert(request) {
            return false;
        }
        if halves.newer.len() >= HALF {
            halves.older = std::mem::take(&mut halves.newer);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: usize) -> Fingerprint {
        Fingerprint((number as u128).to_le_bytes())
    }

    #[test]
    fn a_request_is_new_once() {
        let recent = Recent::default();
        assert!(recent.is_new(request(1)) && recent.is_new(request(2)));
        assert!(!recent.is_new(request(1)) && !recent.is_new(request(2)));
    }

    #[test]
    fn the_last_ones_are_remembered_and_no_more_than_twice_as_many() {
        let recent = Recent::default();
        assert!((0..5 * HALF + 7).all(|number| recent.is_new(request(number))));
        let held = recent.0.lock().map(|halves| halves.newer.len() + halves.older.len()).unwrap();
        assert!(held <= 2 * HALF);
        assert!((4 * HALF + 7..5 * HALF + 7).all(|number| !recent.is_new(request(number))));
    }
}
