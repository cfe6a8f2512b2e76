//! Points of metrics to series.
//!
//! A stream is known by a keyed hash over its metric, its resource, its scope and all its attributes, ids too; its series by the labels
//! that are left. The first point of a stream pays for names and labels, the next ones for a hash and an addition.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use highway::{HighwayHash, HighwayHasher, Key};

use super::labels::{self, LabelSet};
use super::series::{Kind, Placed, SeriesId, Stamp};
use super::streams::{Change, Reading, Stream, StreamHash, Streams, is_known_by_its_start};
use super::values::Value;
use super::{Dropped, Now, State, names};
use crate::signals::points::{Label, OwnedPoint, Points};
use crate::signals::{MetricKind, Temporality, Timestamp};

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

    /// The hash of every point's stream, in order, without its start. Points of one metric and resource share a part of the work.
    pub(super) fn streams(&self, points: &Points) -> Vec<StreamHash> {
        let mut streams = Vec::with_capacity(points.list.len());
        let mut sorted = Vec::new();
        let mut shared: Option<(&OwnedPoint, HighwayHasher)> = None;
        for point in &points.list {
            let of_metric = match &shared {
                Some((first, hasher))
                    if Arc::ptr_eq(&first.metric, &point.metric)
                        && Arc::ptr_eq(&first.scope, &point.scope)
                        && Arc::ptr_eq(&first.resource, &point.resource) =>
                {
                    hasher.clone()
                }
                _ => {
                    let mut hasher = HighwayHasher::new(self.0);
                    append(&mut hasher, point.metric.name.as_bytes());
                    append(&mut hasher, point.metric.unit.as_bytes());
                    append(&mut hasher, kind_tag(point.metric.kind));
                    append_labels(&mut hasher, &point.resource, &mut sorted);
                    append(&mut hasher, point.scope.name.as_bytes());
                    append(&mut hasher, point.scope.version.as_bytes());
                    append(&mut hasher, point.scope.schema_url.as_bytes());
                    append_labels(&mut hasher, &point.scope.attributes, &mut sorted);
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
        MetricKind::ExponentialHistogram { temporality: Temporality::Delta } => b"exponential delta",
        MetricKind::ExponentialHistogram { .. } => b"exponential cumulative",
        MetricKind::Summary => b"summary",
    }
}

impl State {
    pub(super) fn observe_point(&mut self, point: &OwnedPoint, identity: StreamHash, now: Now) -> Result<(), Dropped> {
        let kind = point.metric.kind;
        let start = if is_known_by_its_start(kind) { point.start } else { Timestamp(0) };
        if point.no_value {
            for hash in Streams::either(identity, start) {
                self.end_stream(kind, hash);
            }
            return Ok(());
        }
        let reading = Reading::of(point)?;
        let hash = self.streams.locate(identity, start);
        if let Some(stream) = self.streams.get(hash)
            && self.store.is_alive(stream.series)
        {
            let change = stream.advance(point.start, point.time, reading)?;
            stream.seen = now.seconds;
            let (series, target) = (stream.series, stream.target);
            if std::mem::take(&mut stream.ended) {
                self.store.attach(series);
                if let Some(target) = target {
                    self.store.attach(target);
                }
            }
            return self.apply(series, change, point, now);
        }
        let cumulative = reading.is_cumulative();
        let room = self.streams.has_room(&reading);
        if !room && cumulative {
            return Err(Dropped::NoRoom);
        }
        let placed = self.place_point(point, &reading, now)?;
        // An overflow series is one to all its deltas: nothing has to be remembered of each.
        let remembered = room && (cumulative || !placed.overflow);
        let target = if remembered { self.place_target(&point.resource, now) } else { None };
        let mut stream = Stream::new(placed.id, target);
        stream.seen = now.seconds;
        let adds_up = !matches!(reading, Reading::UpDown { .. });
        let change = stream.advance(point.start, point.time, reading)?;
        // A total that may have been counted before it was forgotten counts from here on.
        let counted_before = cumulative && adds_up && self.store.may_have_forgotten(placed.id, point.start);
        if !counted_before {
            self.apply(placed.id, change, point, now)?;
        }
        if remembered {
            self.store.attach(placed.id);
            if let Some(target) = target {
                self.store.attach(target);
            }
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
        let (series, target, seen) = (stream.series, stream.target, stream.seen);
        if let Some(Change::Add(amount)) = change {
            self.store.add(series, amount, seen);
        }
        self.store.detach(series);
        if let Some(target) = target {
            self.store.detach(target);
        }
        if !self.store.is_alive(series) {
            self.streams.remove(hash);
        }
    }

    fn place_point(&mut self, point: &OwnedPoint, reading: &Reading, now: Now) -> Result<Placed, Dropped> {
        let (kind, zero) = match reading {
            Reading::Counter { .. } => (Kind::Counter, Value::Number(0.0)),
            Reading::UpDown { .. } | Reading::Gauge(_) => (Kind::Gauge, Value::Number(0.0)),
            Reading::Histogram { histogram, .. } => (Kind::Histogram, Value::Histogram(Box::new(histogram.emptied()))),
            Reading::Summary(summary) => (Kind::Summary, Value::Summary(Box::new(summary.clone()))),
        };
        let metric = &point.metric;
        let name = names::family(metric, kind, &self.rules.naming);
        let end = metric.description.floor_char_boundary(MAX_HELP_BYTES);
        let help = metric
            .description
            .get(..end)
            .filter(|help| !help.trim().is_empty())
            .unwrap_or("OpenTelemetry metric without a description");
        let family = self.store.family(&name, kind, help)?;
        let labels = LabelSet::of_point(point, &self.rules);
        self.stats.dropped_labels += labels.dropped;
        // A sender's total began when it says; what is added up here began here.
        let created = if reading.is_cumulative() && point.start.0 != 0 { point.start } else { now.unix };
        let placed = self.store.place(family, &labels, &zero, Stamp { created, seen: now.seconds });
        self.stats.overflowed += u64::from(placed.overflow);
        Ok(placed)
    }

    /// The `target_info` of a resource; the newest resource of a job and instance says what it tells.
    fn place_target(&mut self, resource: &Arc<[Label]>, now: Now) -> Option<SeriesId> {
        if let Some((last, target)) = &self.last_target
            && Arc::ptr_eq(last, resource)
            && target.is_none_or(|target| self.store.is_alive(target))
        {
            return *target;
        }
        let target = self.find_target(resource, now);
        self.last_target = Some((Arc::clone(resource), target));
        target
    }

    fn find_target(&mut self, resource: &[Label], now: Now) -> Option<SeriesId> {
        let (known_by, labels) = LabelSet::of_target(resource, &self.rules)?;
        let known = self.targets.by_identity.get(&*known_by).copied().filter(|target| self.store.is_alive(*target));
        if let Some(target) = known {
            self.store.relabel(target, labels.text.as_deref().unwrap_or_default());
            return Some(target);
        }
        let one = Value::Number(1.0);
        if !self.store.has_room(self.targets.family, &one) {
            return None;
        }
        let placed = self.store.place(self.targets.family, &labels, &one, Stamp { created: now.unix, seen: now.seconds });
        self.targets.by_identity.insert(known_by.into(), placed.id);
        Some(placed.id)
    }

    fn apply(&mut self, series: SeriesId, change: Change, point: &OwnedPoint, now: Now) -> Result<(), Dropped> {
        match change {
            Change::Add(amount) => self.store.add(series, amount, now.seconds),
            Change::Total(total) => self.store.total(series, total, now.seconds),
            Change::Set(value) => {
                self.store.set(series, value, now.seconds);
                // A state of another start is no continuation.
                self.store.date(series, point.start);
            }
            Change::Merge(histogram, sum) => self.store.merge(series, &histogram, sum, now.seconds)?,
        }
        self.store.exemplify(series, &point.exemplars);
        Ok(())
    }

    /// Forgets what was silent for too long; `None` is never.
    pub(super) fn expire(&mut self, seconds: u32, points: Option<u32>, rows: Option<u32>) {
        let oldest = |limit: Option<u32>| limit.and_then(|limit| seconds.checked_sub(limit));
        let before = self.store.exposed_sets();
        let mut silent = Vec::new();
        let (store, streams) = (&mut self.store, &mut self.streams);
        streams.sweep(
            oldest(points),
            |series| store.is_alive(series),
            |stream, remainder| silent.push((stream.series, stream.target, stream.start(), remainder)),
        );
        for (series, target, start, remainder) in silent {
            if store.kind(series) == Some(Kind::Gauge) && remainder != 0.0 {
                store.take(series, remainder);
            }
            store.forget(series, start);
            if let Some(target) = target {
                store.detach(target);
            }
        }
        store.expire(oldest(points), oldest(rows));
        self.targets.by_identity.retain(|_, target| store.is_alive(*target));
        self.rows.forget_dead(store);
        self.stats.expired += before - store.exposed_sets().min(before);
    }
}
