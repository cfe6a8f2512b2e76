//! The series store: families by name, series by labels, a bound over all of them.
//!
//! A slot is used again when its series has ended; the generation tells an old [`SeriesId`] from a new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Dropped;
use super::buckets::Buckets;
use super::labels::{LabelSet, OVERFLOW};

/// Families there is room for in any case.
const MIN_FAMILIES: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FamilyId(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesId {
    slot: u32,
    generation: u32,
}

/// What is exposed under one name.
#[derive(Debug)]
pub(super) struct Family {
    /// Without the `_total` of a counter.
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) help: Box<str>,
    series: BTreeMap<Arc<str>, SeriesId>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Histogram(Buckets),
}

#[derive(Debug)]
struct Series {
    family: FamilyId,
    labels: Arc<str>,
    value: Value,
    /// Live streams that feed it; the last one to end takes it away.
    streams: u32,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    series: Option<Series>,
}

/// Where a label set found its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) id: SeriesId,
    /// It is the overflow series of the family.
    pub(super) overflow: bool,
}

#[derive(Debug)]
pub(super) struct Store {
    families: Vec<Family>,
    /// Every sample name that a family can expose, with the family that owns it.
    owners: HashMap<Box<str>, FamilyId>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Series as Prometheus counts them: every bucket is one.
    exposed: u64,
    max_series: u64,
}

impl Store {
    pub(super) fn new(max_series: u64) -> Store {
        Store { families: Vec::new(), owners: HashMap::new(), slots: Vec::new(), free: Vec::new(), exposed: 0, max_series }
    }

    /// How many series are exposed, every bucket counted.
    pub(super) fn exposed(&self) -> u64 {
        self.exposed
    }

    /// The family of this name, made if need be.
    ///
    /// # Errors
    /// [`Dropped::Conflict`] where another family owns one of its sample names, [`Dropped::NoRoom`] past `max_series` families.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> Result<FamilyId, Dropped> {
        if let Some(id) = self.owners.get(name) {
            let same = self.families.get(id.0 as usize).is_some_and(|family| &*family.name == name && family.kind == kind);
            return if same { Ok(*id) } else { Err(Dropped::Conflict) };
        }
        if sample_names(name, kind).any(|name| self.owners.contains_key(name.as_str())) {
            return Err(Dropped::Conflict);
        }
        if self.families.len() as u64 >= self.max_series.max(MIN_FAMILIES) {
            return Err(Dropped::NoRoom);
        }
        Ok(self.claim(name, kind, help))
    }

    /// Makes a family without asking; for names that are claimed before anything else.
    pub(super) fn claim(&mut self, name: &str, kind: Kind, help: &str) -> FamilyId {
        // At most ten million: `MaxSeries`.
        let id = FamilyId(u32::try_from(self.families.len()).unwrap_or(u32::MAX));
        self.families.push(Family { name: name.into(), kind, help: help.into(), series: BTreeMap::new() });
        self.owners.extend(sample_names(name, kind).map(|name| (name.into_boxed_str(), id)));
        id
    }

    /// The series of these labels, made at zero if there is room, else the family's overflow series.
    pub(super) fn place(&mut self, family: FamilyId, labels: &LabelSet, zero: &Value) -> Placed {
        let known = |text: &str| self.families.get(family.0 as usize).and_then(|family| family.series.get(text)).copied();
        if let Some(text) = &labels.text {
            if let Some(id) = known(text) {
                return Placed { id, overflow: false };
            }
            if self.exposed + cost(zero) <= self.max_series {
                return Placed { id: self.create(family, text, zero), overflow: false };
            }
        }
        let id = known(OVERFLOW).unwrap_or_else(|| self.create(family, OVERFLOW, zero));
        Placed { id, overflow: true }
    }

    pub(super) fn is_alive(&self, id: SeriesId) -> bool {
        self.get(id).is_some()
    }

    /// One more stream feeds the series.
    pub(super) fn attach(&mut self, id: SeriesId) {
        if let Some(series) = self.get_mut(id) {
            series.streams += 1;
        }
    }

    /// One stream fewer feeds it; without any the series has ended.
    pub(super) fn detach(&mut self, id: SeriesId) {
        let Some(series) = self.get_mut(id) else { return };
        series.streams = series.streams.saturating_sub(1);
        if series.streams == 0 {
            self.remove(id);
        }
    }

    pub(super) fn add(&mut self, id: SeriesId, amount: f64) {
        if let Some(Series { value: Value::Number(number), .. }) = self.get_mut(id) {
            *number += amount;
        }
    }

    pub(super) fn set(&mut self, id: SeriesId, amount: f64) {
        if let Some(Series { value: Value::Number(number), .. }) = self.get_mut(id) {
            *number = amount;
        }
    }

    pub(super) fn merge(&mut self, id: SeriesId, added: &Buckets) {
        let Some(Series { value, .. }) = self.get_mut(id) else { return };
        let before = cost(value);
        if let Value::Histogram(buckets) = value {
            buckets.add(added);
        }
        // Differing bounds can only take buckets away.
        let fewer = before - cost(value);
        self.exposed = self.exposed.saturating_sub(fewer);
    }

    /// Families that have a series, by name.
    pub(super) fn families(&self) -> Vec<&Family> {
        let mut families: Vec<&Family> = self.families.iter().filter(|family| !family.series.is_empty()).collect();
        families.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// Rendered labels and value of every series of a family, by labels.
    pub(super) fn series<'a>(&'a self, family: &'a Family) -> impl Iterator<Item = (&'a str, &'a Value)> {
        family.series.iter().filter_map(|(labels, id)| self.get(*id).map(|series| (&**labels, &series.value)))
    }

    fn get(&self, id: SeriesId) -> Option<&Series> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.series.as_ref().filter(|_| slot.generation == id.generation)
    }

    fn get_mut(&mut self, id: SeriesId) -> Option<&mut Series> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.series.as_mut().filter(|_| slot.generation == id.generation)
    }

    fn create(&mut self, family: FamilyId, labels: &str, zero: &Value) -> SeriesId {
        let labels: Arc<str> = labels.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // At most twice ten million series: `MaxSeries`, and an overflow series a family.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut id = SeriesId { slot: number, generation: 0 };
        if let Some(slot) = self.slots.get_mut(number as usize) {
            id.generation = slot.generation;
            slot.series = Some(Series { family, labels: Arc::clone(&labels), value: zero.clone(), streams: 0 });
        }
        self.exposed += cost(zero);
        if let Some(family) = self.families.get_mut(family.0 as usize) {
            family.series.insert(labels, id);
        }
        id
    }

    fn remove(&mut self, id: SeriesId) {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return };
        let Some(series) = slot.series.take() else { return };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.exposed = self.exposed.saturating_sub(cost(&series.value));
        if let Some(family) = self.families.get_mut(series.family.0 as usize) {
            family.series.remove(&series.labels);
        }
    }
}

/// Everything that a family may write at the start of a line, in both formats.
fn sample_names(name: &str, kind: Kind) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = match kind {
        Kind::Counter => &["", "_total"],
        Kind::Gauge => &[""],
        Kind::Histogram => &["", "_bucket", "_sum", "_count"],
    };
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

/// How many series Prometheus sees in a value: a histogram is its bounds, +Inf, sum and count.
fn cost(value: &Value) -> u64 {
    match value {
        Value::Number(_) => 1,
        Value::Histogram(buckets) => buckets.bounds().len() as u64 + 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Value = Value::Number(0.0);

    fn labels(value: &str) -> LabelSet {
        LabelSet::of(&[("a", value)])
    }

    #[test]
    fn a_name_belongs_to_one_family() {
        let mut store = Store::new(100);
        let first = store.family("requests", Kind::Counter, "").unwrap();
        assert_eq!(store.family("requests", Kind::Counter, "other help"), Ok(first));
        assert_eq!(store.family("requests", Kind::Gauge, ""), Err(Dropped::Conflict));
        assert_eq!(store.family("requests_total", Kind::Gauge, ""), Err(Dropped::Conflict));
        store.family("size_count", Kind::Gauge, "").unwrap();
        assert_eq!(store.family("size", Kind::Histogram, ""), Err(Dropped::Conflict));
    }

    #[test]
    fn what_finds_no_room_goes_to_the_overflow_series() {
        let mut store = Store::new(2);
        let family = store.family("requests", Kind::Counter, "").unwrap();
        let first = store.place(family, &labels("1"), &ZERO);
        store.place(family, &labels("2"), &ZERO);
        let third = store.place(family, &labels("3"), &ZERO);
        assert!(third.overflow && !first.overflow);
        assert_eq!(store.place(family, &labels("4"), &ZERO), third);
        assert_eq!(store.place(family, &labels("1"), &ZERO), first);
        assert_eq!(store.exposed(), 3);
    }

    #[test]
    fn a_series_ends_with_its_last_stream_and_its_place_is_used_again() {
        let mut store = Store::new(1);
        let family = store.family("requests", Kind::Counter, "").unwrap();
        let old = store.place(family, &labels("1"), &ZERO).id;
        store.attach(old);
        store.attach(old);
        store.detach(old);
        assert!(store.is_alive(old));
        store.detach(old);
        assert!(!store.is_alive(old));
        let new = store.place(family, &labels("2"), &ZERO);
        assert!(!new.overflow && store.is_alive(new.id) && !store.is_alive(old));
        assert_eq!(store.exposed(), 1);
    }
}
