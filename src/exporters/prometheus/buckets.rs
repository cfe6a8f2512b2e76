//! Explicit histograms: counts between bounds, and how they add up.

/// More bounds are refused: no histogram that a person chose has them.
const MAX_BOUNDS: usize = 256;

/// `counts[i]` are the values in (`bounds[i - 1]`, `bounds[i]`]; the last count is that of (last bound, +Inf).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Buckets {
    /// Finite and strictly increasing.
    bounds: Box<[f64]>,
    /// One longer than `bounds`.
    counts: Box<[u64]>,
    /// `None` once a point without a sum was added.
    sum: Option<f64>,
}

impl Buckets {
    pub(super) fn empty(bounds: &[f64]) -> Buckets {
        Buckets { bounds: bounds.into(), counts: vec![0; bounds.len() + 1].into(), sum: Some(0.0) }
    }

    /// From a point as it was sent; `None` where it contradicts itself. A sum that is no number, after one infinite value, is none.
    pub(super) fn read(count: u64, sum: Option<f64>, counts: &[u64], bounds: &[f64]) -> Option<Buckets> {
        let bounds = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
        let whole = [count];
        let counts = if counts.is_empty() { &whole } else { counts };
        let mut counts = counts.to_vec();
        if counts.len() == bounds.len() + 2 {
            // The sender named +Inf itself, and nothing is above it.
            counts.pop().filter(|above| *above == 0)?;
        }
        let increasing = bounds.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let total = counts.iter().try_fold(0_u64, |total, n| total.checked_add(*n));
        let sound = counts.len() == bounds.len() + 1
            && bounds.len() <= MAX_BOUNDS
            && bounds.iter().all(|bound| bound.is_finite())
            && increasing
            && total == Some(count);
        sound.then(|| Buckets { bounds: bounds.into(), counts: counts.into(), sum: sum.filter(|sum| sum.is_finite()) })
    }

    pub(super) fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    pub(super) fn sum(&self) -> Option<f64> {
        self.sum
    }

    pub(super) fn set_sum(&mut self, sum: f64) {
        self.sum = self.sum.map(|_| sum);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().fold(0, |total, n| total.saturating_add(*n))
    }

    /// Upper bounds with the count of all values up to them, as Prometheus has them; without +Inf.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0_u64, |below, (bound, count)| {
            *below = below.saturating_add(*count);
            Some((*bound, *below))
        })
    }

    /// Adds the other's values. Where bounds differ only those stay that both have: their counts are exact.
    pub(super) fn add(&mut self, other: &Buckets) {
        if self.bounds == other.bounds {
            self.counts.iter_mut().zip(&other.counts).for_each(|(mine, others)| *mine = mine.saturating_add(*others));
        } else {
            let bounds: Vec<f64> = self.bounds.iter().copied().filter(|bound| other.bounds.contains(bound)).collect();
            let (mine, others) = (self.narrowed(&bounds), other.narrowed(&bounds));
            self.counts = mine.iter().zip(&others).map(|(a, b)| a.saturating_add(*b)).collect();
            self.bounds = bounds.into();
        }
        self.sum = self.sum.zip(other.sum).map(|(mine, others)| mine + others);
    }

    /// What was added since `earlier`; `None` where this is no continuation of it.
    pub(super) fn since(&self, earlier: &Buckets) -> Option<Buckets> {
        if self.bounds != earlier.bounds {
            return None;
        }
        let counts: Option<Vec<u64>> =
            self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.checked_sub(*then)).collect();
        let sum = self.sum.zip(earlier.sum).map(|(now, then)| now - then);
        Some(Buckets { bounds: self.bounds.clone(), counts: counts?.into(), sum })
    }

    /// Counts between `bounds`, a part of its own.
    fn narrowed(&self, bounds: &[f64]) -> Vec<u64> {
        let mut counts = vec![0_u64; bounds.len() + 1];
        for (index, count) in self.counts.iter().enumerate() {
            let upper = self.bounds.get(index).copied().unwrap_or(f64::INFINITY);
            let place = bounds.partition_point(|bound| *bound < upper);
            if let Some(wide) = counts.get_mut(place) {
                *wide = wide.saturating_add(*count);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets(bounds: &[f64], counts: &[u64]) -> Buckets {
        Buckets::read(counts.iter().sum(), Some(1.0), counts, bounds).unwrap()
    }

    #[test]
    fn a_point_that_contradicts_itself_is_refused() {
        let check = |count, counts: &[u64], bounds: &[f64]| Buckets::read(count, Some(0.0), counts, bounds).is_some();
        assert!(check(3, &[1, 2], &[0.5]));
        assert!(check(3, &[], &[]));
        assert!(check(3, &[3], &[f64::INFINITY]), "an explicit +Inf is the last bucket");
        assert!(check(3, &[1, 2, 0], &[0.5, f64::INFINITY]));
        assert!(!check(3, &[1, 1, 1], &[0.5, f64::INFINITY]), "nothing is above +Inf");
        assert!(!check(4, &[1, 2], &[0.5]), "count is the sum of the counts");
        assert!(!check(3, &[1, 2], &[0.5, 1.0]));
        assert!(!check(3, &[1, 1, 1], &[1.0, 0.5]));
        assert!(!check(3, &[1, 1, 1], &[0.5, 0.5]));
        assert!(!check(3, &[1, 2], &[f64::NAN]));
        assert!(!check(0, &[u64::MAX, 1], &[0.5]));
        assert!(!check(0, &[0; 1_001], &[0.0; 1_000]));
    }

    #[test]
    fn differing_bounds_keep_what_both_know() {
        let mut sum = buckets(&[1.0, 2.0, 3.0], &[1, 1, 1, 1]);
        sum.add(&buckets(&[2.0, 4.0], &[10, 10, 10]));
        assert_eq!(sum.bounds(), [2.0]);
        assert_eq!(sum.cumulative().collect::<Vec<_>>(), [(2.0, 12)]);
        assert_eq!(sum.count(), 34);
    }

    proptest! {
        #[test]
        fn adding_keeps_every_count(a in prop::collection::btree_map(0_u8..20, 0_u64..100, 0..8), b in prop::collection::btree_map(0_u8..20, 0_u64..100, 0..8)) {
            let make = |map: &std::collections::BTreeMap<u8, u64>| {
                let bounds: Vec<f64> = map.keys().map(|bound| f64::from(*bound)).collect();
                let mut counts: Vec<u64> = map.values().copied().collect();
                counts.push(7);
                buckets(&bounds, &counts)
            };
            let (a, b) = (make(&a), make(&b));
            let mut sum = a.clone();
            sum.add(&b);
            prop_assert_eq!(sum.count(), a.count() + b.count());
            for (bound, count) in sum.cumulative() {
                let at = |of: &Buckets| of.cumulative().find(|(other, _)| other.total_cmp(&bound).is_eq()).map(|(_, count)| count);
                prop_assert_eq!(Some(count), at(&a).zip(at(&b)).map(|(a, b)| a + b));
            }
        }

        #[test]
        fn what_was_added_since_is_what_was_added(counts in prop::collection::vec(0_u64..100, 4), more in prop::collection::vec(0_u64..100, 4)) {
            let bounds = [1.0, 2.0, 3.0];
            let earlier = buckets(&bounds, &counts);
            let added = buckets(&bounds, &more);
            let mut now = earlier.clone();
            now.add(&added);
            prop_assert_eq!(now.since(&earlier), Some(added));
        }
    }
}
