//! What a series holds: a number, a histogram in one or both forms, a summary; and the exemplars beside it.

use super::Dropped;
use super::buckets::Buckets;
use super::native::{MAX_CLASSIC, Native};
use crate::signals::Exemplar;

/// More quantiles of one summary are refused.
const MAX_QUANTILES: usize = 64;
/// Exemplars of one series; a new one takes the place of its bucket's, else of the oldest.
const MAX_EXEMPLARS: usize = 10;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Histogram(Box<Histogram>),
    Summary(Box<Summary>),
}

/// Explicit buckets, exponential ones, or the same values in both.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    pub(super) classic: Option<Buckets>,
    pub(super) native: Option<Native>,
}

/// As it was sent last: quantiles do not add up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantile and value, by quantile.
    pub(super) quantiles: Vec<(f64, f64)>,
}

/// One a bucket, the last one seen.
#[derive(Debug, Default)]
pub(super) struct Exemplars(Vec<Exemplar>);

impl Value {
    /// How many series Prometheus sees in it: a classic histogram is its bounds, +Inf, sum and count.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Value::Number(_) => 1,
            Value::Histogram(histogram) => match &histogram.classic {
                Some(buckets) => buckets.bounds().len() as u64 + 3,
                None => MAX_CLASSIC as u64 + 3,
            },
            Value::Summary(summary) => summary.quantiles.len() as u64 + 2,
        }
    }
}

impl From<Buckets> for Histogram {
    fn from(classic: Buckets) -> Histogram {
        Histogram { classic: Some(classic), native: None }
    }
}

impl From<Native> for Histogram {
    fn from(native: Native) -> Histogram {
        Histogram { classic: None, native: Some(native) }
    }
}

impl Histogram {
    /// One of the same form without any value.
    pub(super) fn emptied(&self) -> Histogram {
        Histogram {
            classic: self.classic.as_ref().map(|buckets| Buckets::empty(buckets.bounds())),
            native: self.native.as_ref().map(|native| Native::empty(native.scale())),
        }
    }

    /// # Errors
    /// [`Dropped::Conflict`] where one has explicit buckets only and the other exponential ones only.
    pub(super) fn add(&mut self, other: &Histogram) -> Result<(), Dropped> {
        if self.classic.is_some() != other.classic.is_some() || self.native.is_some() != other.native.is_some() {
            return Err(Dropped::Conflict);
        }
        if let (Some(mine), Some(others)) = (&mut self.classic, &other.classic) {
            mine.add(others);
        }
        if let (Some(mine), Some(others)) = (&mut self.native, &other.native) {
            mine.add(others);
        }
        Ok(())
    }

    /// What was added since `earlier`; `None` where this is no continuation of it.
    pub(super) fn since(&self, earlier: &Histogram) -> Option<Histogram> {
        let both = |mine: bool, theirs: bool| (mine == theirs).then_some(());
        both(self.classic.is_some(), earlier.classic.is_some())?;
        both(self.native.is_some(), earlier.native.is_some())?;
        let classic = match (&self.classic, &earlier.classic) {
            (Some(now), Some(then)) => Some(now.since(then)?),
            _ => None,
        };
        let native = match (&self.native, &earlier.native) {
            (Some(now), Some(then)) => Some(now.since(then)?),
            _ => None,
        };
        Some(Histogram { classic, native })
    }

    pub(super) fn count(&self) -> u64 {
        self.classic.as_ref().map(Buckets::count).or_else(|| self.native.as_ref().map(Native::count)).unwrap_or_default()
    }

    pub(super) fn sum(&self) -> Option<f64> {
        match &self.classic {
            Some(buckets) => buckets.sum(),
            None => self.native.as_ref().and_then(Native::sum),
        }
    }

    /// Says what the sum is; where nobody knows it stays so.
    pub(super) fn set_sum(&mut self, sum: f64) {
        if let Some(buckets) = &mut self.classic {
            buckets.set_sum(sum);
        }
        if let Some(native) = &mut self.native {
            native.set_sum(sum);
        }
    }

    /// Upper bounds with the count of all values up to them, without +Inf.
    pub(super) fn cumulative(&self) -> Vec<(f64, u64)> {
        match (&self.classic, &self.native) {
            (Some(buckets), _) => buckets.cumulative().collect(),
            (None, Some(native)) => native.cumulative(),
            (None, None) => Vec::new(),
        }
    }

    /// Numbers held.
    pub(super) fn weight(&self) -> u64 {
        self.classic.as_ref().map_or(0, |buckets| buckets.bounds().len() as u64 + 2)
            + self.native.as_ref().map_or(0, Native::weight)
    }
}

impl Summary {
    /// `None` where it contradicts itself.
    pub(super) fn read(count: u64, sum: f64, quantiles: &[(f64, f64)]) -> Option<Summary> {
        let mut quantiles = quantiles.to_vec();
        quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
        let sound = quantiles.len() <= MAX_QUANTILES
            && quantiles.iter().all(|(quantile, _)| (0.0..=1.0).contains(quantile))
            && quantiles.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0))
            && sum.is_finite();
        sound.then_some(Summary { count, sum, quantiles })
    }
}

impl Exemplars {
    /// `bounds` are those of the classic view.
    pub(super) fn push(&mut self, exemplar: Exemplar, bounds: &[(f64, u64)]) {
        let bucket = |value: f64| bounds.partition_point(|(bound, _)| *bound < value);
        let wanted = bucket(exemplar.value);
        let place = self.0.iter().position(|held| bucket(held.value) == wanted);
        match place {
            Some(place) => {
                if let Some(held) = self.0.get_mut(place).filter(|held| held.time <= exemplar.time) {
                    *held = exemplar;
                }
            }
            None if self.0.len() < MAX_EXEMPLARS => self.0.push(exemplar),
            None => {
                if let Some(oldest) = self.0.iter_mut().min_by_key(|held| held.time) {
                    *oldest = exemplar;
                }
            }
        }
    }

    pub(super) fn all(&self) -> &[Exemplar] {
        &self.0
    }

    /// The one whose value lies in (`above`, `up_to`].
    pub(super) fn within(&self, above: f64, up_to: f64) -> Option<&Exemplar> {
        let within = self.0.iter().filter(|held| held.value > above && held.value <= up_to);
        within.max_by_key(|held| held.time)
    }
}
