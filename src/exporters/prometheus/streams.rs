//! Streams: what one sender's metric with one set of attributes last said, so that any number of streams add up in one series.
//!
//! Every sum and histogram reaches its series as an addition. A cumulative stream is turned into additions here, so streams that
//! fall together once ids are no labels still make the right sum.

use std::collections::HashMap;

use super::Dropped;
use super::buckets::Buckets;
use super::series::SeriesId;
use crate::signals::points::{OwnedPoint, OwnedValue};
use crate::signals::{MetricKind, Temporality, Timestamp};

/// A keyed 128-bit hash over everything that identifies a stream.
pub(super) type StreamHash = u128;

/// A point, read by the kind of its metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    Counter {
        delta: bool,
        value: f64,
    },
    /// A sum that can fall: exposed as a gauge.
    UpDown {
        delta: bool,
        value: f64,
    },
    Gauge(f64),
    Histogram {
        delta: bool,
        buckets: Buckets,
    },
}

/// What a point does to its series.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Add(f64),
    Set(f64),
    Merge(Buckets),
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) series: SeriesId,
    /// After a point without a recorded value.
    pub(super) ended: bool,
    start: Timestamp,
    time: Timestamp,
    last: Last,
}

/// What the next point is compared with.
#[derive(Debug)]
enum Last {
    Nothing,
    Number(f64),
    Histogram(Buckets),
}

/// Bounded: past it cumulative streams that were not seen before are dropped, the others do without a state.
#[derive(Debug)]
pub(super) struct Streams {
    map: HashMap<StreamHash, Stream>,
    /// Numbers held: one a stream and one a bucket.
    held: u64,
    max: u64,
}

impl Reading {
    /// # Errors
    /// [`Dropped::Unsupported`] or [`Dropped::Malformed`].
    pub(super) fn of(point: &OwnedPoint) -> Result<Reading, Dropped> {
        let delta = |temporality| match temporality {
            Temporality::Delta => Ok(true),
            Temporality::Cumulative => Ok(false),
            Temporality::Unspecified => Err(Dropped::Unsupported),
        };
        match (point.metric.kind, &point.value) {
            (MetricKind::Gauge, value) => Ok(Reading::Gauge(number(value)?)),
            (MetricKind::Sum { monotonic, temporality }, value) => {
                let (delta, value) = (delta(temporality)?, number(value)?);
                match (monotonic, value.is_finite(), value < 0.0) {
                    (_, false, _) | (true, _, true) => Err(Dropped::Malformed),
                    (true, ..) => Ok(Reading::Counter { delta, value }),
                    (false, ..) => Ok(Reading::UpDown { delta, value }),
                }
            }
            (MetricKind::Histogram { temporality }, OwnedValue::Histogram { count, sum, counts, bounds }) => {
                let buckets = Buckets::read(*count, *sum, counts, bounds).ok_or(Dropped::Malformed)?;
                Ok(Reading::Histogram { delta: delta(temporality)?, buckets })
            }
            (MetricKind::Histogram { .. }, _) => Err(Dropped::Malformed),
            (MetricKind::ExponentialHistogram { .. } | MetricKind::Summary, _) => Err(Dropped::Unsupported),
        }
    }

    /// Whether it says nothing without what came before it.
    pub(super) fn is_cumulative(&self) -> bool {
        match self {
            Reading::Counter { delta, .. } | Reading::UpDown { delta, .. } | Reading::Histogram { delta, .. } => !delta,
            Reading::Gauge(_) => false,
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Reading::Histogram { delta: false, buckets } => buckets.bounds().len() as u64 + 2,
            _ => 1,
        }
    }
}

fn number(value: &OwnedValue) -> Result<f64, Dropped> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus knows doubles only")]
        OwnedValue::Int(value) => Ok(*value as f64),
        OwnedValue::Double(value) => Ok(*value),
        _ => Err(Dropped::Malformed),
    }
}

impl Last {
    fn number(&self) -> f64 {
        match self {
            Last::Number(number) => *number,
            Last::Nothing | Last::Histogram(_) => 0.0,
        }
    }
}

impl Stream {
    pub(super) fn new(series: SeriesId) -> Stream {
        Stream { series, ended: false, start: Timestamp(0), time: Timestamp(0), last: Last::Nothing }
    }

    /// Takes the next point of the stream.
    ///
    /// A later start, or a total that falls, is a restart of the sender: the new total was added since (specification, "Resets and Gaps").
    ///
    /// # Errors
    /// [`Dropped::OutOfOrder`]: a total older than the last one, or a delta that is the last one again.
    pub(super) fn advance(&mut self, start: Timestamp, time: Timestamp, reading: Reading) -> Result<Change, Dropped> {
        let stale = if reading.is_cumulative() {
            known(time, self.time).is_some_and(|(now, then)| now <= then)
                || known(start, self.start).is_some_and(|(now, then)| now < then)
        } else {
            // Senders without an instance id share a stream: their deltas overlap and all count.
            known(time, self.time).is_some_and(|(now, then)| now == then && start == self.start)
                && !matches!(reading, Reading::Gauge(_))
        };
        if stale {
            return Err(Dropped::OutOfOrder);
        }
        let restarted = known(start, self.start).is_some_and(|(now, then)| now > then);
        self.start = start;
        self.time = time;
        let last = std::mem::replace(&mut self.last, Last::Nothing);
        let (last, change) = match (reading, last) {
            (Reading::Gauge(value), _) => (Last::Nothing, Change::Set(value)),
            (Reading::Counter { delta: true, value }, _) => (Last::Nothing, Change::Add(value)),
            (Reading::Counter { delta: false, value }, last) => {
                let before = last.number();
                let continued = !restarted && value >= before;
                (Last::Number(value), Change::Add(if continued { value - before } else { value }))
            }
            (Reading::UpDown { delta: true, value }, last) => (Last::Number(last.number() + value), Change::Add(value)),
            // The series is the sum of what every stream says now, also after a restart.
            (Reading::UpDown { delta: false, value }, last) => (Last::Number(value), Change::Add(value - last.number())),
            (Reading::Histogram { delta: true, buckets }, _) => (Last::Nothing, Change::Merge(buckets)),
            (Reading::Histogram { delta: false, buckets }, Last::Histogram(last)) if !restarted => {
                let added = buckets.since(&last).unwrap_or_else(|| buckets.clone());
                (Last::Histogram(buckets), Change::Merge(added))
            }
            (Reading::Histogram { delta: false, buckets }, _) => (Last::Histogram(buckets.clone()), Change::Merge(buckets)),
        };
        self.last = last;
        Ok(change)
    }

    /// The stream has ended: what it held in a sum that can fall leaves it. What was counted stays counted.
    pub(super) fn end(&mut self, kind: MetricKind) -> Option<Change> {
        self.ended = true;
        match (kind, &self.last) {
            (MetricKind::Sum { monotonic: false, .. }, Last::Number(last)) => {
                let change = Change::Add(-last);
                self.last = Last::Nothing;
                Some(change)
            }
            _ => None,
        }
    }

    fn weight(&self) -> u64 {
        match &self.last {
            Last::Histogram(buckets) => buckets.bounds().len() as u64 + 2,
            Last::Nothing | Last::Number(_) => 1,
        }
    }
}

/// Both times, if both stand.
fn known(now: Timestamp, then: Timestamp) -> Option<(u64, u64)> {
    (now.0 != 0 && then.0 != 0).then_some((now.0, then.0))
}

impl Streams {
    pub(super) fn new(max: u64) -> Streams {
        Streams { map: HashMap::new(), held: 0, max }
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn get(&mut self, hash: StreamHash) -> Option<&mut Stream> {
        self.map.get_mut(&hash)
    }

    pub(super) fn has_room(&self, reading: &Reading) -> bool {
        self.held + reading.weight() <= self.max
    }

    pub(super) fn insert(&mut self, hash: StreamHash, stream: Stream) {
        self.held += stream.weight();
        if let Some(old) = self.map.insert(hash, stream) {
            self.held = self.held.saturating_sub(old.weight());
        }
    }

    /// Forgets the streams whose series has gone.
    pub(super) fn sweep(&mut self, alive: impl Fn(SeriesId) -> bool) {
        self.map.retain(|_, stream| alive(stream.series));
        self.held = self.map.values().map(Stream::weight).sum();
    }
}
