//! Points of metrics to series.
//!
//! A stream is known by a keyed hash over its metric, its resource and all its attributes, ids too; its series by the labels that
//! are left. The first point of a stream pays for names and labels, the next ones for a hash and an addition.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use highway::{HighwayHash, HighwayHasher, Key};

use super::State;
use super::buckets::Buckets;
use super::labels::{self, LabelSet};
use super::series::{Kind, SeriesId, Value};
use super::streams::{Change, Reading, Stream, StreamHash};
use super::{Dropped, names};
use crate::signals::points::{Label, OwnedPoint, Points};
use crate::signals::{MetricKind, Temporality};

/// A longer description is cut.
const MAX_HELP_BYTES: usize = 512;

/// The key of this process: nobody outside can make two streams meet.
#[derive(Clone)]
pub(super) struct HashKey(Key);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}

impl HashKey {
    pub(super) fn random() -> HashKey {
        HashKey(Key(std::array::from_fn(|word| RandomState::new().hash_one(word))))
    }

    /// The hash of every point's stream, in order. Points of one metric and resource share a part of the work.
    pub(super) fn streams(&self, points: &Points) -> Vec<StreamHash> {
        let mut streams = Vec::with_capacity(points.list.len());
        let mut sorted = Vec::new();
        let mut shared: Option<(&OwnedPoint, HighwayHasher)> = None;
        for point in &points.list {
            let of_metric = match &shared {
                Some((first, hasher))
                    if Arc::ptr_eq(&first.metric, &point.metric) && Arc::ptr_eq(&first.resource, &point.resource) =>
                {
                    hasher.clone()
                }
                _ => {
                    let mut hasher = HighwayHasher::new(self.0);
                    append(&mut hasher, point.metric.name.as_bytes());
                    append(&mut hasher, point.metric.unit.as_bytes());
                    append(&mut hasher, kind_tag(point.metric.kind));
                    append_labels(&mut hasher, &point.resource, &mut sorted);
                    shared = Some((point, hasher.clone()));
                    hasher
                }
            };
            let mut hasher = of_metric;
            append_labels(&mut hasher, &point.labels, &mut sorted);
            let [low, high] = hasher.finalize128();
            streams.push(u128::from(high) << 64 | u128::from(low));
        }
        streams
    }
}

/// Length first, so that no two lists of fields read the same.
fn append(hasher: &mut HighwayHasher, field: &[u8]) {
    hasher.append(&(field.len() as u64).to_le_bytes());
    hasher.append(field);
}

fn append_labels<'a>(hasher: &mut HighwayHasher, list: &'a [Label], sorted: &mut Vec<&'a Label>) {
    labels::sorted(list, sorted);
    hasher.append(&(sorted.len() as u64).to_le_bytes());
    for (key, value) in sorted.iter() {
        append(hasher, key.as_bytes());
        append(hasher, value.as_bytes());
    }
}

fn kind_tag(kind: MetricKind) -> &'static [u8] {
    match kind {
        MetricKind::Gauge => b"gauge",
        MetricKind::Sum { monotonic: true, temporality: Temporality::Delta } => b"delta",
        MetricKind::Sum { monotonic: true, .. } => b"cumulative",
        MetricKind::Sum { monotonic: false, temporality: Temporality::Delta } => b"up-down delta",
        MetricKind::Sum { monotonic: false, .. } => b"up-down cumulative",
        MetricKind::Histogram { temporality: Temporality::Delta } => b"histogram delta",
        MetricKind::Histogram { .. } => b"histogram cumulative",
        MetricKind::ExponentialHistogram { .. } => b"exponential",
        MetricKind::Summary => b"summary",
    }
}

impl State {
    pub(super) fn observe_point(&mut self, point: &OwnedPoint, hash: StreamHash) -> Result<(), Dropped> {
        if point.no_value {
            self.end_stream(point.metric.kind, hash);
            return Ok(());
        }
        let reading = Reading::of(point)?;
        if let Some(stream) = self.streams.get(hash)
            && self.store.is_alive(stream.series)
        {
            let change = stream.advance(point.start, point.time, reading)?;
            let series = stream.series;
            if std::mem::take(&mut stream.ended) {
                self.store.attach(series);
            }
            self.apply(series, &change);
            return Ok(());
        }
        let room = self.streams.has_room(&reading);
        if !room && reading.is_cumulative() {
            return Err(Dropped::NoRoom);
        }
        let series = self.place_point(point, &reading)?;
        let mut stream = Stream::new(series);
        let change = stream.advance(point.start, point.time, reading)?;
        self.apply(series, &change);
        if room {
            self.store.attach(series);
            self.streams.insert(hash, stream);
        }
        Ok(())
    }

    fn end_stream(&mut self, kind: MetricKind, hash: StreamHash) {
        let Some(stream) = self.streams.get(hash) else { return };
        if stream.ended {
            return;
        }
        let change = stream.end(kind);
        let series = stream.series;
        if let Some(change) = change {
            self.apply(series, &change);
        }
        self.store.detach(series);
    }

    fn place_point(&mut self, point: &OwnedPoint, reading: &Reading) -> Result<SeriesId, Dropped> {
        let (kind, zero) = match reading {
            Reading::Counter { .. } => (Kind::Counter, Value::Number(0.0)),
            Reading::UpDown { .. } | Reading::Gauge(_) => (Kind::Gauge, Value::Number(0.0)),
            Reading::Histogram { buckets, .. } => (Kind::Histogram, Value::Histogram(Buckets::empty(buckets.bounds()))),
        };
        let metric = &point.metric;
        let name = names::family(&metric.name, &metric.unit, kind);
        let end = metric.description.floor_char_boundary(MAX_HELP_BYTES);
        let help = metric
            .description
            .get(..end)
            .filter(|help| !help.trim().is_empty())
            .unwrap_or("OpenTelemetry metric without a description");
        let family = self.store.family(&name, kind, help)?;
        let labels = LabelSet::of_point(point);
        self.stats.dropped_labels += labels.dropped;
        let placed = self.store.place(family, &labels, &zero);
        self.stats.overflowed += u64::from(placed.overflow);
        Ok(placed.id)
    }

    fn apply(&mut self, series: SeriesId, change: &Change) {
        match change {
            Change::Add(amount) => self.store.add(series, *amount),
            Change::Set(value) => self.store.set(series, *value),
            Change::Merge(buckets) => self.store.merge(series, buckets),
        }
    }
}
