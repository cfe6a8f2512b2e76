//! Rows of the four tables to series: request rate, errors and duration of every function, without any dashboard work.
//!
//! | file | what it holds |
//! |---|---|
//! | `count` | rows counted by group, outside the lock |
//!
//! The names begin with `function_`, so that they never meet the `faas_` metrics that an SDK sends about the same invocations; no point
//! comes into one of these families.

mod count;

use std::collections::HashMap;

use super::buckets::Buckets;
use super::config::FunctionsConfig;
use super::labels::{Constant, LabelSet};
use super::names::Naming;
use super::native::Native;
use super::series::{FamilyId, Kind, SeriesId, Stamp, Store};
use super::values::{Histogram, Value};
use super::{Now, State};

pub(super) use count::{Counted, count};
use count::{Deployments, Events, Group, Invocations, Key};

/// The columns that can be chosen as labels, beside the function. Each has few values; no id and no address is among them.
pub(super) const LABELS: [&str; 4] = ["language", "version", "region", "colo"];

/// What the configuration says about the families of rows.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// By the order of [`LABELS`].
    labels: [bool; LABELS.len()],
    /// Bounds in seconds.
    durations: Box<[f64]>,
    /// Bounds in bytes.
    memory: Box<[f64]>,
    /// Whether durations have native buckets, too.
    native: bool,
}

/// The families, and the series of every function seen.
#[derive(Debug)]
pub(super) struct Rows {
    shape: Shape,
    invocations: FamilyId,
    durations: FamilyId,
    memory: FamilyId,
    starts: FamilyId,
    errors: FamilyId,
    rate_limits: FamilyId,
    deployments: FamilyId,
    deployed_at: FamilyId,
    /// By their labels; only what found room of its own, so bounded by `max_series`.
    functions: HashMap<Box<str>, FunctionSeries>,
    /// The newest deployment of each function and status.
    deployed: HashMap<Box<str>, (SeriesId, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct FunctionSeries {
    succeeded: SeriesId,
    failed: SeriesId,
    cold: SeriesId,
    warm: SeriesId,
    durations: SeriesId,
    /// Once a platform said how much.
    memory: Option<SeriesId>,
}

impl Shape {
    pub(super) fn of(config: &FunctionsConfig) -> Shape {
        Shape {
            labels: LABELS.map(|label| config.labels.contains(label)),
            durations: config.duration_buckets.get().into(),
            memory: config.memory_buckets.get().into(),
            native: config.native_histograms,
        }
    }
}

impl Key<'_> {
    fn labels<'k>(&'k self, own: Option<(&'static str, &'k str)>, constant: &Constant) -> LabelSet {
        let mut labels = vec![("function", self.function)];
        labels.extend(LABELS.into_iter().zip(self.labels));
        labels.extend(own);
        LabelSet::of(&labels, constant)
    }
}

impl Rows {
    /// Claims the names of the families before any sender can.
    pub(super) fn claim(store: &mut Store, naming: &Naming, shape: Shape) -> Rows {
        let mut claim = |name, unit, kind, help| store.claim(naming, (name, unit), kind, help);
        let help = "Invocations by kind of start, where the platform says it";
        let starts = claim("function_starts", "", Kind::Counter, help);
        let help = "Memory that invocations used, where the platform says it";
        let memory = claim("function_memory_used_bytes", "bytes", Kind::Histogram, help);
        let help = "When the newest deployment of each status was made, with its version";
        let deployed_at = claim("function_deployment_timestamp_seconds", "seconds", Kind::Gauge, help);
        Rows {
            shape,
            invocations: claim("function_invocations", "", Kind::Counter, "Invocations by outcome"),
            durations: claim("function_duration_seconds", "seconds", Kind::Histogram, "Duration of invocations"),
            memory,
            starts,
            errors: claim("function_errors", "", Kind::Counter, "Errors by type"),
            rate_limits: claim("function_rate_limits", "", Kind::Counter, "Rate limits that were hit, by type"),
            deployments: claim("function_deployments", "", Kind::Counter, "Deployments by status"),
            deployed_at,
            functions: HashMap::new(),
            deployed: HashMap::new(),
        }
    }

    /// Forgets the functions of which a series has expired.
    pub(super) fn forget_dead(&mut self, store: &Store) {
        self.functions.retain(|_, function| store.is_alive(function.succeeded));
        self.deployed.retain(|_, (series, _)| store.is_alive(*series));
    }
}

impl State {
    pub(super) fn add_rows(&mut self, counted: &Counted<'_>, now: Now) {
        match counted {
            Counted::Invocations(groups) => groups.iter().for_each(|group| self.add_invocations(group, now)),
            Counted::Errors(groups) => groups.iter().for_each(|group| self.add_events(self.rows.errors, group, now)),
            Counted::RateLimits(groups) => groups.iter().for_each(|group| self.add_events(self.rows.rate_limits, group, now)),
            Counted::Deployments(groups) => groups.iter().for_each(|group| self.add_deployments(group, now)),
        }
    }

    fn add_invocations(&mut self, group: &Group<'_, Invocations>, now: Now) {
        let Group { key, of } = group;
        let labels = key.labels(None, &self.rules.constant);
        let known = labels.text.as_deref().and_then(|labels| self.rows.functions.get(labels)).copied();
        let mut series = known.unwrap_or_else(|| self.place_function(key, &labels, now));
        let seen = now.seconds;
        self.store.add(series.succeeded, f64::from(of.succeeded), seen);
        self.store.add(series.failed, f64::from(of.failed), seen);
        self.store.add(series.cold, f64::from(of.cold), seen);
        self.store.add(series.warm, f64::from(of.warm), seen);
        // Nothing else makes histograms of these families, so they are of one form.
        let durations = of.durations.histogram(&self.rows.shape.durations);
        let _ = self.store.merge(series.durations, &durations.unwrap_or_else(|| self.no_durations()), None, seen);
        self.store.exemplify(series.durations, &of.exemplars);
        let memory = of.memory.histogram(&self.rows.shape.memory);
        if memory.is_some() && series.memory.is_none() {
            series.memory = Some(self.place_memory(&labels, now));
        }
        if let Some(place) = series.memory {
            let memory = memory.unwrap_or_else(|| Histogram::from(Buckets::empty(&self.rows.shape.memory)));
            let _ = self.store.merge(place, &memory, None, seen);
        }
    }

    fn no_durations(&self) -> Histogram {
        let native = self.rows.shape.native.then(|| Native::empty(count::NATIVE_SCALE));
        Histogram { classic: Some(Buckets::empty(&self.rows.shape.durations)), native }
    }

    /// Makes every series of a function at once, so that a first failure is a step from 0 that `rate()` sees.
    fn place_function(&mut self, key: &Key<'_>, labels: &LabelSet, now: Now) -> FunctionSeries {
        let mut overflow = false;
        let mut place = |family, labels: &LabelSet, zero: &Value| {
            let placed = self.store.place(family, labels, zero, now.stamp());
            overflow |= placed.overflow;
            placed.id
        };
        let zero = Value::Number(0.0);
        let durations = Histogram {
            classic: Some(Buckets::empty(&self.rows.shape.durations)),
            native: self.rows.shape.native.then(|| Native::empty(count::NATIVE_SCALE)),
        };
        let series = FunctionSeries {
            succeeded: place(self.rows.invocations, &key.labels(Some(("outcome", "success")), &self.rules.constant), &zero),
            failed: place(self.rows.invocations, &key.labels(Some(("outcome", "failure")), &self.rules.constant), &zero),
            cold: place(self.rows.starts, &key.labels(Some(("start", "cold")), &self.rules.constant), &zero),
            warm: place(self.rows.starts, &key.labels(Some(("start", "warm")), &self.rules.constant), &zero),
            durations: place(self.rows.durations, labels, &Value::Histogram(Box::new(durations))),
            memory: None,
        };
        if overflow {
            self.stats.overflowed += 1;
        } else if let Some(labels) = &labels.text {
            self.rows.functions.insert(labels.as_str().into(), series);
        }
        series
    }

    fn place_memory(&mut self, labels: &LabelSet, now: Now) -> SeriesId {
        let zero = Value::Histogram(Box::new(Buckets::empty(&self.rows.shape.memory).into()));
        let placed = self.store.place(self.rows.memory, labels, &zero, now.stamp());
        self.stats.overflowed += u64::from(placed.overflow);
        if let Some(function) = labels.text.as_deref().and_then(|labels| self.rows.functions.get_mut(labels)) {
            function.memory = Some(placed.id);
        }
        placed.id
    }

    fn add_events(&mut self, family: FamilyId, group: &Group<'_, Events>, now: Now) {
        let labels = group.key.labels(Some(("type", group.key.own)), &self.rules.constant);
        let id = self.add_count(family, &labels, group.of.count, now);
        self.store.exemplify(id, &group.of.exemplars);
    }

    fn add_count(&mut self, family: FamilyId, labels: &LabelSet, count: u32, now: Now) -> SeriesId {
        let placed = self.store.place(family, labels, &Value::Number(0.0), now.stamp());
        self.store.add(placed.id, f64::from(count), now.seconds);
        self.stats.overflowed += u64::from(placed.overflow);
        placed.id
    }

    fn add_deployments(&mut self, group: &Group<'_, Deployments<'_>>, now: Now) {
        let Group { key, of } = group;
        let labels = key.labels(Some(("status", key.own)), &self.rules.constant);
        self.add_count(self.rows.deployments, &labels, of.count, now);
        let (Some((at, version)), Some(known_by)) = (of.newest, labels.text) else { return };
        let told = LabelSet::of(&[("function", key.function), ("version", version), ("status", key.own)], &self.rules.constant);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only; microseconds are exact until 2255")]
        let value = Value::Number(at as f64 / 1e6);
        let known = self.rows.deployed.get(&*known_by).copied().filter(|(series, _)| self.store.is_alive(*series));
        match known {
            // One that comes late tells nothing new.
            Some((_, newest)) if newest > at => {}
            Some((series, _)) => {
                self.store.relabel(series, told.text.as_deref().unwrap_or_default());
                self.store.set(series, value, now.seconds);
                self.rows.deployed.insert(known_by.into(), (series, at));
            }
            None if self.store.has_room(self.rows.deployed_at, &value) => {
                let placed = self.store.place(self.rows.deployed_at, &told, &value, now.stamp());
                self.rows.deployed.insert(known_by.into(), (placed.id, at));
            }
            None => self.stats.overflowed += 1,
        }
    }
}

impl Now {
    fn stamp(self) -> Stamp {
        Stamp { created: self.unix, seen: self.seconds }
    }
}
