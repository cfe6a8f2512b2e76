//! Exponential histograms: how they add up, and how they look as classic buckets.
//!
//! Bucket `i` holds the values in (2^(i·2^-scale), 2^((i+1)·2^-scale)] (data model, "ExponentialHistogram"). Prometheus calls the scale
//! its schema and the same bucket `i + 1`. Scales are halved until a side has no more than [`MAX_BUCKETS`].

use crate::signals::points::{OwnedBuckets, OwnedExponential};

/// Of one side. What SDKs keep by default (specification, "Base2 Exponential Bucket Histogram Aggregation").
const MAX_BUCKETS: usize = 160;
/// The schemas that Prometheus has; a finer scale is halved, a coarser one is refused.
const SCALES: std::ops::RangeInclusive<i32> = -4..=8;
/// The finest scale that any sender may use.
const MAX_SCALE: i32 = 20;
/// Bounds without +Inf that a classic view has at most.
pub(super) const MAX_CLASSIC: usize = 19;
/// 2^±1100 is past every double.
const MAX_EXPONENT: f64 = 1_100.0;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Native {
    scale: i32,
    zero_count: u64,
    /// Values up to it count as zero.
    zero_threshold: f64,
    positive: Side,
    negative: Side,
    /// `None` once a point without a sum was added.
    sum: Option<f64>,
}

/// Buckets side by side, from `offset` on; neither the first nor the last is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Side {
    pub(super) offset: i32,
    pub(super) counts: Vec<u64>,
}

impl Native {
    pub(super) fn empty(scale: i32) -> Native {
        let (positive, negative) = (Side::default(), Side::default());
        Native { scale, zero_count: 0, zero_threshold: 0.0, positive, negative, sum: Some(0.0) }
    }

    /// From a point as it was sent; `None` where it contradicts itself, or is coarser than Prometheus can say. A sum that is no number, after
    /// one infinite value, is none.
    pub(super) fn read(point: &OwnedExponential) -> Option<Native> {
        let OwnedExponential { count, sum, scale, zero_count, zero_threshold, positive, negative } = point;
        if !(*SCALES.start()..=MAX_SCALE).contains(scale) || !zero_threshold.is_finite() || *zero_threshold < 0.0 {
            return None;
        }
        let (positive, negative) = (Side::read(positive, *scale)?, Side::read(negative, *scale)?);
        let total = zero_count.checked_add(positive.total()?)?.checked_add(negative.total()?)?;
        if total != *count {
            return None;
        }
        let sum = sum.filter(|sum| sum.is_finite());
        let mut native =
            Native { scale: *scale, zero_count: *zero_count, zero_threshold: *zero_threshold, positive, negative, sum };
        native.coarsen(native.scale - SCALES.end());
        native.fit();
        Some(native)
    }

    /// Counts one value.
    pub(super) fn observe(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.sum = self.sum.map(|sum| sum + value);
        if value.abs() <= self.zero_threshold {
            self.zero_count = self.zero_count.saturating_add(1);
            return;
        }
        let index = index_of(value.abs(), self.scale);
        let one = Side { offset: index, counts: vec![1] };
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        side.add(&one);
        self.fit();
    }

    pub(super) fn scale(&self) -> i32 {
        self.scale
    }

    pub(super) fn zero(&self) -> (f64, u64) {
        (self.zero_threshold, self.zero_count)
    }

    pub(super) fn positive(&self) -> &Side {
        &self.positive
    }

    pub(super) fn negative(&self) -> &Side {
        &self.negative
    }

    pub(super) fn sum(&self) -> Option<f64> {
        self.sum
    }

    pub(super) fn set_sum(&mut self, sum: f64) {
        self.sum = self.sum.map(|_| sum);
    }

    pub(super) fn count(&self) -> u64 {
        let sides = self.positive.counts.iter().chain(&self.negative.counts);
        sides.fold(self.zero_count, |total, count| total.saturating_add(*count))
    }

    /// How many numbers it holds.
    pub(super) fn weight(&self) -> u64 {
        (self.positive.counts.len() + self.negative.counts.len()) as u64 + 4
    }

    /// Adds the other's values, at the coarser of both scales.
    pub(super) fn add(&mut self, other: &Native) {
        let mut other = other.clone();
        self.fit_beside(&mut other);
        self.align(&mut other);
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        self.positive.add(&other.positive);
        self.negative.add(&other.negative);
        self.sum = self.sum.zip(other.sum).map(|(mine, others)| mine + others);
    }

    /// What was added since `earlier`; `None` where this is no continuation of it.
    pub(super) fn since(&self, earlier: &Native) -> Option<Native> {
        let (mut now, mut earlier) = (self.clone(), earlier.clone());
        now.align(&mut earlier);
        now.zero_count = now.zero_count.checked_sub(earlier.zero_count)?;
        now.positive.subtract(&earlier.positive)?;
        now.negative.subtract(&earlier.negative)?;
        now.sum = now.sum.zip(earlier.sum).map(|(now, then)| now - then);
        Some(now)
    }

    /// Upper bounds with the count of all values up to them: at most [`MAX_CLASSIC`], without +Inf.
    ///
    /// Coarser bounds are among the finer ones, so a `le` that stays means the same as before.
    pub(super) fn cumulative(&self) -> Vec<(f64, u64)> {
        let has_zero = self.zero_count > 0 || !self.negative.counts.is_empty();
        let mut coarse = (self.scale, self.positive.clone(), self.negative.clone());
        while coarse.1.counts.len() + coarse.2.counts.len() + usize::from(has_zero) > MAX_CLASSIC {
            coarse = (coarse.0 - 1, coarse.1.coarser(1), coarse.2.coarser(1));
        }
        let (scale, positive, negative) = coarse;
        let mut below = 0_u64;
        let mut bounds = Vec::with_capacity(MAX_CLASSIC);
        let mut push = |bound: f64, count: u64| {
            below = below.saturating_add(count);
            if bound.is_finite() {
                bounds.push((bound, below));
            }
        };
        for (index, count) in negative.indexed().rev() {
            push(-upper(index - 1, scale), count);
        }
        if has_zero {
            push(self.zero_threshold, self.zero_count);
        }
        for (index, count) in positive.indexed() {
            push(upper(index, scale), count);
        }
        bounds.dedup_by(|later, earlier| {
            // Bounds below the threshold, or that a double cannot tell apart.
            let meet = later.0 <= earlier.0;
            if meet {
                earlier.1 = later.1;
            }
            meet
        });
        bounds
    }

    /// Brings both to one scale and one threshold.
    fn align(&mut self, other: &mut Native) {
        let scale = self.scale.min(other.scale);
        self.coarsen(self.scale - scale);
        other.coarsen(other.scale - scale);
        let threshold = self.zero_threshold.max(other.zero_threshold);
        let threshold = self.widened(threshold).max(other.widened(threshold));
        for native in [self, other] {
            let absorbed = [&mut native.positive, &mut native.negative].map(|side| side.absorb(threshold, scale));
            native.zero_count = absorbed.into_iter().fold(native.zero_count, u64::saturating_add);
            native.zero_threshold = threshold;
        }
    }

    /// The threshold at the upper end of the bucket that it falls into, if one of ours has values there.
    fn widened(&self, threshold: f64) -> f64 {
        let sides = self.positive.indexed().chain(self.negative.indexed());
        let cut = sides.filter(|(index, count)| *count > 0 && upper(index - 1, self.scale) < threshold);
        cut.map(|(index, _)| upper(index, self.scale)).fold(threshold, f64::max)
    }

    fn coarsen(&mut self, steps: i32) {
        if steps > 0 {
            self.positive = self.positive.coarser(steps);
            self.negative = self.negative.coarser(steps);
            self.scale -= steps;
        }
    }

    /// Brings both to a scale at which their sum is small enough, before it is made: buckets far apart would be many with those between.
    fn fit_beside(&mut self, other: &mut Native) {
        let scale = self.scale.min(other.scale);
        self.coarsen(self.scale - scale);
        other.coarsen(other.scale - scale);
        let wide = |mine: &Side, others: &Side| mine.width_with(others) > MAX_BUCKETS as u64;
        while self.scale > *SCALES.start() && (wide(&self.positive, &other.positive) || wide(&self.negative, &other.negative)) {
            self.coarsen(1);
            other.coarsen(1);
        }
    }

    /// Halves the scale until both sides are small enough. At the coarsest one every double fits.
    fn fit(&mut self) {
        while self.scale > *SCALES.start() && (self.positive.is_wide() || self.negative.is_wide()) {
            self.coarsen(1);
        }
    }
}

impl Side {
    fn read(buckets: &OwnedBuckets, scale: i32) -> Option<Side> {
        let first = buckets.counts.iter().position(|count| *count > 0);
        let last = buckets.counts.iter().rposition(|count| *count > 0);
        let Some((first, last)) = first.zip(last) else { return Some(Side::default()) };
        let at = |place: usize| buckets.offset.checked_add(i32::try_from(place).ok()?);
        let (low, high) = (at(first)?, at(last)?);
        let exponent = |index: i32| f64::from(index) * 2_f64.powi(-scale);
        if exponent(low) < -MAX_EXPONENT || exponent(high) > MAX_EXPONENT {
            return None;
        }
        Some(Side { offset: low, counts: buckets.counts.get(first..=last)?.to_vec() })
    }

    fn total(&self) -> Option<u64> {
        self.counts.iter().try_fold(0_u64, |total, count| total.checked_add(*count))
    }

    fn is_wide(&self) -> bool {
        self.counts.len() > MAX_BUCKETS
    }

    /// How many buckets there are from the lowest to the highest of both.
    fn width_with(&self, other: &Side) -> u64 {
        let sides = [self, other].into_iter().filter(|side| !side.counts.is_empty());
        let end = |side: &Side| i64::from(side.offset).saturating_add_unsigned(side.counts.len() as u64);
        let ends = sides.map(|side| (i64::from(side.offset), end(side)));
        let span = ends.reduce(|(low, high), (lower, higher)| (low.min(lower), high.max(higher)));
        span.map_or(0, |(low, high)| low.abs_diff(high))
    }

    /// Every bucket with its index.
    pub(super) fn indexed(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + ExactSizeIterator {
        self.counts
            .iter()
            .enumerate()
            .map(|(place, count)| (self.offset.saturating_add(i32::try_from(place).unwrap_or(i32::MAX)), *count))
    }

    fn coarser(&self, steps: i32) -> Side {
        let steps = steps.clamp(0, 31);
        let mut coarse = Side { offset: self.offset >> steps, counts: Vec::new() };
        for (index, count) in self.indexed() {
            coarse.add_at(index >> steps, count);
        }
        coarse
    }

    fn add(&mut self, other: &Side) {
        let Some((lowest, _)) = other.indexed().next() else { return };
        if self.counts.is_empty() {
            self.offset = lowest;
        }
        if lowest < self.offset {
            let missing = usize::try_from(i64::from(self.offset) - i64::from(lowest)).unwrap_or(0);
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = lowest;
        }
        for (index, count) in other.indexed() {
            self.add_at(index, count);
        }
    }

    /// Only for an index that is not below the first one.
    fn add_at(&mut self, index: i32, count: u64) {
        let Ok(place) = usize::try_from(i64::from(index) - i64::from(self.offset)) else { return };
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        if let Some(mine) = self.counts.get_mut(place) {
            *mine = mine.saturating_add(count);
        }
    }

    fn subtract(&mut self, other: &Side) -> Option<()> {
        for (index, count) in other.indexed().filter(|(_, count)| *count > 0) {
            let place = usize::try_from(i64::from(index) - i64::from(self.offset)).ok()?;
            let mine = self.counts.get_mut(place)?;
            *mine = mine.checked_sub(count)?;
        }
        self.trim();
        Some(())
    }

    /// Takes away the buckets that lie within the threshold, and says how many values they held.
    fn absorb(&mut self, threshold: f64, scale: i32) -> u64 {
        let within = self.indexed().take_while(|(index, _)| upper(*index, scale) <= threshold).count();
        let absorbed = self.counts.drain(..within).fold(0, u64::saturating_add);
        self.offset = self.offset.saturating_add(i32::try_from(within).unwrap_or(0));
        self.trim();
        absorbed
    }

    fn trim(&mut self) {
        let zeros = self.counts.iter().take_while(|count| **count == 0).count();
        self.counts.drain(..zeros);
        self.offset = if self.counts.is_empty() { 0 } else { self.offset.saturating_add(i32::try_from(zeros).unwrap_or(0)) };
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
    }
}

/// The upper bound of a bucket.
fn upper(index: i32, scale: i32) -> f64 {
    ((f64::from(index) + 1.0) * 2_f64.powi(-scale)).exp2()
}

/// The bucket of a positive finite value.
fn index_of(value: f64, scale: i32) -> i32 {
    let exponent = value.log2() * 2_f64.powi(scale);
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a double is within ±1100, a scale at most 8")]
    let index = exponent.ceil() as i32 - 1;
    index
}

#[cfg(test)]
mod tests;
