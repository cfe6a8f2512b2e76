//! The series store: families by name, series by labels, bounds over all of them and over each metric.
//!
//! A slot is used again when its series has ended; the generation tells an old [`SeriesId`] from a new one. A family goes with its last
//! series, and its names are free again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::Dropped;
use super::accept::Escaping;
use super::labels::{LabelSet, OVERFLOW};
use super::names::{Name, Naming};
use super::streams::Total;
use super::values::{Exemplars, Histogram, Value};
use crate::signals::{Exemplar, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// `target_info`: a gauge that is always 1, for its labels.
    Info,
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
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) help: Box<str>,
    /// Made by the exporter itself: no point may come in.
    reserved: bool,
    /// Series as Prometheus counts them.
    exposed: u64,
    series: BTreeMap<Arc<str>, SeriesId>,
}

#[derive(Debug)]
pub(super) struct Series {
    family: FamilyId,
    labels: Arc<str>,
    pub(super) value: Value,
    /// When it began to count, in nanoseconds since 1970.
    pub(super) created: Timestamp,
    pub(super) exemplars: Option<Box<Exemplars>>,
    /// Live streams that feed it; the last one to end takes it away.
    streams: u32,
    /// Seconds on the exporter's clock when it last changed.
    seen: u32,
    /// The latest start of a stream that was forgotten while others fed it; `None` before the first.
    forgot: Option<Timestamp>,
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

/// When something happens: what new series are stamped with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Nanoseconds since 1970 at which a new series began to count.
    pub(super) created: Timestamp,
    /// Seconds on the exporter's clock.
    pub(super) seen: u32,
}

#[derive(Debug)]
pub(super) struct Store {
    families: Vec<Option<Family>>,
    free_families: Vec<u32>,
    by_name: BTreeMap<Box<str>, FamilyId>,
    /// Every sample name that a family can expose, escaped, with the family that owns it.
    owners: HashMap<Box<str>, FamilyId>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Series as Prometheus counts them: every bucket is one.
    exposed: u64,
    max_series: u64,
    max_per_metric: u64,
}

impl Store {
    pub(super) fn new(max_series: u64, max_per_metric: u64) -> Store {
        Store {
            families: Vec::new(),
            free_families: Vec::new(),
            by_name: BTreeMap::new(),
            owners: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            exposed: 0,
            max_series,
            max_per_metric,
        }
    }

    /// How many series are exposed, every bucket counted.
    pub(super) fn exposed(&self) -> u64 {
        self.exposed
    }

    /// The family of this name for points, made if need be.
    ///
    /// # Errors
    /// [`Dropped::Conflict`] where another family, or the exporter itself, owns one of its sample names, [`Dropped::NoRoom`] where the
    /// family is new and there is no room for a series.
    pub(super) fn family(&mut self, name: &Name, kind: Kind, help: &str) -> Result<FamilyId, Dropped> {
        if let Some(id) = self.by_name.get(&*name.base) {
            let same = self.family_of(*id).is_some_and(|family| family.kind == kind && !family.reserved);
            return if same { Ok(*id) } else { Err(Dropped::Conflict) };
        }
        if sample_names(&name.base, kind).any(|name| self.owners.contains_key(name.as_str())) {
            return Err(Dropped::Conflict);
        }
        if self.exposed >= self.max_series {
            return Err(Dropped::NoRoom);
        }
        Ok(self.make(name.clone(), kind, help, false))
    }

    /// Makes a family that is the exporter's own; for names that are claimed before anything else.
    pub(super) fn claim(&mut self, naming: &Naming, (name, unit): (&str, &str), kind: Kind, help: &str) -> FamilyId {
        self.make(Name { base: naming.own(name).into(), unit: unit.into(), total: true }, kind, help, true)
    }

    fn make(&mut self, name: Name, kind: Kind, help: &str, reserved: bool) -> FamilyId {
        let base = name.base.clone();
        let family = Family { name, kind, help: help.into(), reserved, exposed: 0, series: BTreeMap::new() };
        let place = self.free_families.pop().unwrap_or_else(|| {
            self.families.push(None);
            // At most ten million: `MaxSeries`.
            u32::try_from(self.families.len() - 1).unwrap_or(u32::MAX)
        });
        let id = FamilyId(place);
        if let Some(free) = self.families.get_mut(place as usize) {
            *free = Some(family);
        }
        self.owners.extend(sample_names(&base, kind).map(|name| (name.into_boxed_str(), id)));
        self.by_name.insert(base, id);
        id
    }

    fn family_of(&self, id: FamilyId) -> Option<&Family> {
        self.families.get(id.0 as usize)?.as_ref()
    }

    /// How many sets of labels have a series.
    pub(super) fn exposed_sets(&self) -> u64 {
        (self.slots.len() - self.free.len()) as u64
    }

    /// Whether a family has room for another series.
    pub(super) fn has_room(&self, family: FamilyId, zero: &Value) -> bool {
        let cost = zero.cost();
        let of_family = self.family_of(family).map_or(u64::MAX, |family| family.exposed);
        self.exposed + cost <= self.max_series && of_family.saturating_add(cost) <= self.max_per_metric
    }

    /// The series of these labels, made if there is room, else the family's overflow series.
    pub(super) fn place(&mut self, family: FamilyId, labels: &LabelSet, zero: &Value, stamp: Stamp) -> Placed {
        let Some(found) = self.family_of(family) else { return Placed { id: GONE, overflow: true } };
        let known = |text: &str| found.series.get(text).copied();
        if let Some(text) = &labels.text {
            if let Some(id) = known(text) {
                return Placed { id, overflow: false };
            }
            if self.has_room(family, zero) {
                return Placed { id: self.create(family, text, zero, stamp), overflow: false };
            }
        }
        let id = known(OVERFLOW).unwrap_or_else(|| self.create(family, OVERFLOW, zero, stamp));
        Placed { id, overflow: true }
    }

    pub(super) fn is_alive(&self, id: SeriesId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn kind(&self, id: SeriesId) -> Option<Kind> {
        Some(self.family_of(self.get(id)?.family)?.kind)
    }

    /// One more stream feeds the series.
    pub(super) fn attach(&mut self, id: SeriesId) {
        if let Some(series) = self.get_mut(id) {
            series.streams += 1;
        }
    }

    /// One stream fewer feeds it; without any the series has ended. An overflow series is also fed by what nobody remembers, and ends by its age
    /// only.
    pub(super) fn detach(&mut self, id: SeriesId) {
        let Some(series) = self.get_mut(id) else { return };
        series.streams = series.streams.saturating_sub(1);
        if series.streams == 0 && &*series.labels != OVERFLOW {
            self.remove(id);
        }
    }

    /// A stream that began at `start` is forgotten; what it would say next is not to be counted twice.
    pub(super) fn forget(&mut self, id: SeriesId, start: Timestamp) {
        if let Some(series) = self.get_mut(id) {
            series.forgot = series.forgot.max(Some(start));
        }
        self.detach(id);
    }

    /// Whether a stream that began at `start` may be one that was forgotten.
    pub(super) fn may_have_forgotten(&self, id: SeriesId, start: Timestamp) -> bool {
        self.get(id).and_then(|series| series.forgot).is_some_and(|forgot| start <= forgot)
    }

    pub(super) fn add(&mut self, id: SeriesId, amount: f64, seen: u32) {
        let Some(series) = self.get_mut(id) else { return };
        series.seen = seen;
        if let Value::Number(number) = &mut series.value {
            *number += amount;
        }
    }

    /// One of the totals that a series is the sum of has changed.
    pub(super) fn total(&mut self, id: SeriesId, total: Total, seen: u32) {
        let Some(series) = self.get_mut(id) else { return };
        series.seen = seen;
        if let Value::Number(number) = &mut series.value {
            *number = total.replaced_in(*number);
        }
    }

    /// Takes an amount away from a gauge whose stream is silent.
    pub(super) fn take(&mut self, id: SeriesId, amount: f64) {
        if let Some(Value::Number(number)) = self.get_mut(id).map(|series| &mut series.value) {
            *number -= amount;
        }
    }

    /// Gives a series other labels; one that has them already stays as it is.
    pub(super) fn relabel(&mut self, id: SeriesId, labels: &str) {
        let Some(series) = self.get_mut(id).filter(|series| &*series.labels != labels) else { return };
        let (family, new) = (series.family, Arc::<str>::from(labels));
        let Some(Some(family)) = self.families.get_mut(family.0 as usize) else { return };
        if family.series.contains_key(&new) {
            return;
        }
        let Some(series) = self.get_mut(id) else { return };
        let (family, old) = (series.family, std::mem::replace(&mut series.labels, Arc::clone(&new)));
        if let Some(Some(family)) = self.families.get_mut(family.0 as usize) {
            family.series.remove(&old);
            family.series.insert(new, id);
        }
    }

    pub(super) fn set(&mut self, id: SeriesId, value: Value, seen: u32) {
        let Some(series) = self.get_mut(id) else { return };
        series.seen = seen;
        let before = std::mem::replace(&mut series.value, value);
        let (after, family) = (series.value.cost(), series.family);
        self.recount(family, before.cost(), after);
    }

    /// Says when a series began to count, where that is known.
    pub(super) fn date(&mut self, id: SeriesId, created: Timestamp) {
        if let Some(series) = self.get_mut(id).filter(|_| created.0 != 0) {
            series.created = created;
        }
    }

    /// # Errors
    /// [`Dropped::Conflict`] where the series holds a histogram of the other form.
    pub(super) fn merge(&mut self, id: SeriesId, added: &Histogram, sum: Option<Total>, seen: u32) -> Result<(), Dropped> {
        let Some(series) = self.get_mut(id) else { return Ok(()) };
        let before = series.value.cost();
        let Value::Histogram(histogram) = &mut series.value else { return Err(Dropped::Conflict) };
        let total = sum.zip(histogram.sum()).map(|(total, sum)| total.replaced_in(sum));
        histogram.add(added)?;
        if let Some(total) = total {
            histogram.set_sum(total);
        }
        series.seen = seen;
        // Differing bounds take buckets away.
        let (after, family) = (series.value.cost(), series.family);
        self.recount(family, before, after);
        Ok(())
    }

    /// Keeps exemplars of a counter or a histogram.
    pub(super) fn exemplify(&mut self, id: SeriesId, exemplars: &[Exemplar]) {
        let counts = matches!(self.kind(id), Some(Kind::Counter | Kind::Histogram));
        let Some(series) = self.get_mut(id).filter(|_| counts && !exemplars.is_empty()) else { return };
        let bounds = match &series.value {
            Value::Histogram(histogram) => histogram.cumulative(),
            _ => Vec::new(),
        };
        let held = series.exemplars.get_or_insert_default();
        for exemplar in exemplars {
            held.push(*exemplar, &bounds);
        }
    }

    /// Ends the series that nothing feeds and that did not change since before `oldest_fed`, or `oldest_own` in a family of the exporter's
    /// own; gives how many there were.
    pub(super) fn expire(&mut self, oldest_fed: Option<u32>, oldest_own: Option<u32>) -> u64 {
        let mut idle = Vec::new();
        for (slot, number) in self.slots.iter().zip(0..) {
            let Some(series) = slot.series.as_ref().filter(|series| series.streams == 0) else { continue };
            let own = self.family_of(series.family).is_some_and(|family| family.reserved);
            let oldest = if own { oldest_own } else { oldest_fed };
            if oldest.is_some_and(|oldest| series.seen < oldest) {
                idle.push(SeriesId { slot: number, generation: slot.generation });
            }
        }
        for id in &idle {
            self.remove(*id);
        }
        idle.len() as u64
    }

    /// The first family after this name that has a series, or the first of all.
    pub(super) fn next_family(&self, after: Option<&str>) -> Option<&Family> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut families = self.by_name.range::<str, _>((from, Bound::Unbounded));
        families.find_map(|(_, id)| self.family_of(*id).filter(|family| !family.series.is_empty()))
    }

    /// The family of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Family> {
        self.family_of(*self.by_name.get(name)?)
    }

    /// Labels and series of a family, by labels, after these.
    pub(super) fn series<'a>(
        &'a self,
        family: &'a Family,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Series)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let series = family.series.range::<str, _>((from, Bound::Unbounded));
        series.filter_map(|(labels, id)| self.get(*id).map(|series| (labels, series)))
    }

    fn get(&self, id: SeriesId) -> Option<&Series> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.series.as_ref().filter(|_| slot.generation == id.generation)
    }

    fn get_mut(&mut self, id: SeriesId) -> Option<&mut Series> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.series.as_mut().filter(|_| slot.generation == id.generation)
    }

    fn create(&mut self, family: FamilyId, labels: &str, zero: &Value, stamp: Stamp) -> SeriesId {
        let labels: Arc<str> = labels.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // At most twice ten million series: `MaxSeries`, and an overflow series a family.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut id = SeriesId { slot: number, generation: 0 };
        if let Some(slot) = self.slots.get_mut(number as usize) {
            id.generation = slot.generation;
            let Stamp { created, seen } = stamp;
            let (labels, value) = (Arc::clone(&labels), zero.clone());
            slot.series = Some(Series { family, labels, value, created, exemplars: None, streams: 0, seen, forgot: None });
        }
        if let Some(Some(family)) = self.families.get_mut(family.0 as usize) {
            family.series.insert(labels, id);
        }
        self.recount(family, 0, zero.cost());
        id
    }

    pub(super) fn remove(&mut self, id: SeriesId) {
        if !self.is_alive(id) {
            return;
        }
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return };
        let Some(series) = slot.series.take() else { return };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.recount(series.family, series.value.cost(), 0);
        let Some(place) = self.families.get_mut(series.family.0 as usize) else { return };
        let Some(family) = place else { return };
        family.series.remove(&series.labels);
        if family.series.is_empty()
            && !family.reserved
            && let Some(family) = place.take()
        {
            self.free_families.push(series.family.0);
            self.by_name.remove(&family.name.base);
            for name in sample_names(&family.name.base, family.kind) {
                self.owners.remove(name.as_str());
            }
        }
    }

    fn recount(&mut self, family: FamilyId, before: u64, after: u64) {
        self.exposed = (self.exposed + after).saturating_sub(before);
        if let Some(Some(family)) = self.families.get_mut(family.0 as usize) {
            family.exposed = (family.exposed + after).saturating_sub(before);
        }
    }
}

/// The id of no series.
const GONE: SeriesId = SeriesId { slot: u32::MAX, generation: u32::MAX };

/// Everything that a family may write at the start of a line, in all formats.
fn sample_names(name: &str, kind: Kind) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = match kind {
        Kind::Counter => &["", "_total", "_created"],
        Kind::Gauge => &[""],
        Kind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
        Kind::Summary => &["", "_sum", "_count", "_created"],
        Kind::Info => &["", "_info"],
    };
    let name = Escaping::Underscores.apply(name).into_owned();
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

#[cfg(test)]
mod tests;
