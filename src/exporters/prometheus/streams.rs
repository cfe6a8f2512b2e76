//! Streams: what one sender's metric with one set of attributes last said, so that any number of streams add up in one series.
//!
//! Every sum and histogram reaches its series as an addition. A cumulative stream is turned into additions here, so streams that
//! fall together once ids are no labels still make the right sum.

use std::collections::HashMap;

use super::Dropped;
use super::buckets::Buckets;
use super::native::Native;
use super::series::SeriesId;
use super::values::{Histogram, Summary, Value};
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
        histogram: Histogram,
    },
    Summary(Summary),
}

/// What a point does to its series.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Add(f64),
    Total(Total),
    Set(Value),
    /// What was added to a histogram, and the total of its sum, where there is one.
    Merge(Histogram, Option<Total>),
}

/// What a total was and what it is. A series that nothing else feeds is that total to the last digit; to others the difference is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Total {
    before: f64,
    now: f64,
}

impl Total {
    /// The sum of all totals after this one has changed.
    pub(super) fn replaced_in(self, sum: f64) -> f64 {
        let alone = sum.total_cmp(&self.before).is_eq();
        if alone { self.now } else { sum + (self.now - self.before) }
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) series: SeriesId,
    /// The `target_info` of its resource, if there is one.
    pub(super) target: Option<SeriesId>,
    /// After a point without a recorded value.
    pub(super) ended: bool,
    /// Seconds on the exporter's clock when it last said something.
    pub(super) seen: u32,
    start: Timestamp,
    time: Timestamp,
    last: Last,
}

/// What the next point is compared with.
#[derive(Debug)]
enum Last {
    Nothing,
    Number(f64),
    Histogram(Box<Histogram>),
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
                Ok(Reading::Histogram { delta: delta(temporality)?, histogram: buckets.into() })
            }
            (MetricKind::ExponentialHistogram { temporality }, OwnedValue::Exponential(exponential)) => {
                let native = Native::read(exponential).ok_or(Dropped::Malformed)?;
                Ok(Reading::Histogram { delta: delta(temporality)?, histogram: native.into() })
            }
            (MetricKind::Summary, OwnedValue::Summary { count, sum, quantiles }) => {
                Summary::read(*count, *sum, quantiles).map(Reading::Summary).ok_or(Dropped::Malformed)
            }
            _ => Err(Dropped::Malformed),
        }
    }

    /// Whether it says nothing without what came before it.
    pub(super) fn is_cumulative(&self) -> bool {
        match self {
            Reading::Counter { delta, .. } | Reading::UpDown { delta, .. } | Reading::Histogram { delta, .. } => !delta,
            Reading::Gauge(_) | Reading::Summary(_) => false,
        }
    }

    /// Whether it says what is so now, and not what was added.
    fn is_state(&self) -> bool {
        matches!(self, Reading::Gauge(_) | Reading::Summary(_))
    }

    fn weight(&self) -> u64 {
        match self {
            Reading::Histogram { delta: false, histogram } => histogram.weight(),
            _ => 1,
        }
    }
}

/// Whether the start is a part of what identifies a stream: totals that began at different moments are of different senders, also where
/// no attribute tells them apart, or of one that was started again. Both add up.
pub(super) fn is_known_by_its_start(kind: MetricKind) -> bool {
    let temporality = match kind {
        MetricKind::Sum { monotonic: true, temporality }
        | MetricKind::Histogram { temporality }
        | MetricKind::ExponentialHistogram { temporality } => temporality,
        MetricKind::Sum { monotonic: false, .. } | MetricKind::Gauge | MetricKind::Summary => Temporality::Unspecified,
    };
    temporality == Temporality::Cumulative
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
    pub(super) fn new(series: SeriesId, target: Option<SeriesId>) -> Stream {
        Stream { series, target, ended: false, seen: 0, start: Timestamp(0), time: Timestamp(0), last: Last::Nothing }
    }

    pub(super) fn start(&self) -> Timestamp {
        self.start
    }

    /// Takes the next point of the stream.
    ///
    /// A total that falls is a restart of the sender: the new total was added since (specification, "Resets and Gaps").
    ///
    /// # Errors
    /// [`Dropped::OutOfOrder`]: a total or a state older than the last one, or a delta that is the last one again.
    pub(super) fn advance(&mut self, start: Timestamp, time: Timestamp, reading: Reading) -> Result<Change, Dropped> {
        let times = known(time, self.time);
        let stale = if reading.is_cumulative() {
            times.is_some_and(|(now, then)| now <= then) || known(start, self.start).is_some_and(|(now, then)| now < then)
        } else if reading.is_state() {
            times.is_some_and(|(now, then)| now < then)
        } else {
            // Senders without an instance id share a stream: their deltas overlap and all count.
            times.is_some_and(|(now, then)| now == then && start == self.start)
        };
        if stale {
            return Err(Dropped::OutOfOrder);
        }
        let restarted = known(start, self.start).is_some_and(|(now, then)| now > then);
        self.start = start;
        self.time = time;
        let last = std::mem::replace(&mut self.last, Last::Nothing);
        let (last, change) = match (reading, last) {
            (Reading::Gauge(value), _) => (Last::Nothing, Change::Set(Value::Number(value))),
            (Reading::Summary(summary), _) => (Last::Nothing, Change::Set(Value::Summary(Box::new(summary)))),
            (Reading::Counter { delta: true, value }, _) => (Last::Nothing, Change::Add(value)),
            (Reading::Counter { delta: false, value }, last) => {
                let before = last.number();
                let continued = !restarted && value >= before;
                let change = if continued { Change::Total(Total { before, now: value }) } else { Change::Add(value) };
                (Last::Number(value), change)
            }
            (Reading::UpDown { delta: true, value }, last) => (Last::Number(last.number() + value), Change::Add(value)),
            // The series is the sum of what every stream says now, also after a restart.
            (Reading::UpDown { delta: false, value }, last) => {
                (Last::Number(value), Change::Total(Total { before: last.number(), now: value }))
            }
            (Reading::Histogram { delta: true, histogram }, _) => (Last::Nothing, Change::Merge(histogram, None)),
            (Reading::Histogram { delta: false, histogram }, Last::Histogram(last)) if !restarted => {
                let change = match histogram.since(&last) {
                    Some(added) => {
                        let sums = last.sum().zip(histogram.sum());
                        Change::Merge(added, sums.map(|(before, now)| Total { before, now }))
                    }
                    None => Change::Merge(histogram.clone(), None),
                };
                (Last::Histogram(Box::new(histogram)), change)
            }
            (Reading::Histogram { delta: false, histogram }, _) => {
                (Last::Histogram(Box::new(histogram.clone())), Change::Merge(histogram, None))
            }
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

    /// What it leaves in a gauge when it is forgotten.
    fn remainder(&self) -> f64 {
        self.last.number()
    }

    fn weight(&self) -> u64 {
        match &self.last {
            Last::Histogram(histogram) => histogram.weight(),
            Last::Nothing | Last::Number(_) => 1,
        }
    }
}

/// Both times, if both stand.
fn known(now: Timestamp, then: Timestamp) -> Option<(u64, u64)> {
    (now.0 != 0 && then.0 != 0).then_some((now.0, then.0))
}

/// Odd, so that no two starts meet.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

fn beside(identity: StreamHash, start: Timestamp) -> StreamHash {
    identity ^ u128::from(start.0).wrapping_mul(SPREAD)
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

    /// Where the stream of this identity and start is, or is to be. The first one seen lies at the identity itself; others, which began at
    /// another moment, beside it.
    pub(super) fn locate(&self, identity: StreamHash, start: Timestamp) -> StreamHash {
        if start.0 == 0 {
            return identity;
        }
        let beside = beside(identity, start);
        match self.map.get(&identity) {
            Some(first) if first.start == start || first.start.0 == 0 => identity,
            Some(_) => beside,
            None if self.map.contains_key(&beside) => beside,
            None => identity,
        }
    }

    /// Both places where a stream can be.
    pub(super) fn either(identity: StreamHash, start: Timestamp) -> impl Iterator<Item = StreamHash> + use<> {
        [Some(identity), Some(beside(identity, start)).filter(|_| start.0 != 0)].into_iter().flatten()
    }

    /// What says something without what came before it may take a half: streams of one request each leave room for totals.
    pub(super) fn has_room(&self, reading: &Reading) -> bool {
        let max = if reading.is_cumulative() { self.max } else { self.max / 2 };
        self.held + reading.weight() <= max
    }

    pub(super) fn insert(&mut self, hash: StreamHash, stream: Stream) {
        self.held += stream.weight();
        if let Some(old) = self.map.insert(hash, stream) {
            self.held = self.held.saturating_sub(old.weight());
        }
    }

    pub(super) fn remove(&mut self, hash: StreamHash) {
        if let Some(old) = self.map.remove(&hash) {
            self.held = self.held.saturating_sub(old.weight());
        }
    }

    /// Forgets the streams whose series has gone, and those that were silent since before `oldest`; `forgotten` is told of these, with
    /// what they held in a gauge.
    pub(super) fn sweep(
        &mut self,
        oldest: Option<u32>,
        alive: impl Fn(SeriesId) -> bool,
        mut forgotten: impl FnMut(&Stream, f64),
    ) {
        let mut held = 0;
        self.map.retain(|_, stream| {
            if !alive(stream.series) {
                return false;
            }
            if oldest.is_some_and(|oldest| stream.seen < oldest) {
                if !stream.ended {
                    forgotten(stream, stream.remainder());
                }
                return false;
            }
            held += stream.weight();
            true
        });
        self.held = held;
        if self.map.len() < self.map.capacity() / 4 {
            self.map.shrink_to_fit();
        }
    }
}
