//! Rows of the four tables to series: request rate, errors and duration of every function, without any dashboard work.
//!
//! Rows are counted by group outside the lock; equal neighbours, the usual case, cost a comparison. The names begin with
//! `function_`, so that they never meet the `faas_` metrics that an SDK sends about the same invocations.

use std::collections::HashMap;

use arrow_array::{Array, BooleanArray, Float64Array, StringArray};

use super::State;
use super::buckets::Buckets;
use super::labels::{self, LabelSet};
use super::series::{FamilyId, Kind, SeriesId, Store, Value};
use crate::tables::{Cleared, Table};

/// In seconds; those that the semantic conventions advise for `faas.invoke_duration`.
const DURATION_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What one batch adds; made without the lock.
#[derive(Debug)]
pub(super) enum Counted<'a> {
    Invocations(Vec<Invocations<'a>>),
    Errors(Vec<([&'a str; 3], u32)>),
    RateLimits(Vec<([&'a str; 2], u32)>),
    Deployments(Vec<([&'a str; 2], u32)>),
}

/// The invocations of one function and language.
#[derive(Debug)]
pub(super) struct Invocations<'a> {
    function: &'a str,
    language: &'a str,
    succeeded: u32,
    failed: u32,
    cold: u32,
    warm: u32,
    seconds: f64,
    durations: [u64; DURATION_BOUNDS.len() + 1],
}

/// The families, and the series of every function seen.
#[derive(Debug)]
pub(super) struct Rows {
    invocations: FamilyId,
    durations: FamilyId,
    starts: FamilyId,
    errors: FamilyId,
    rate_limits: FamilyId,
    deployments: FamilyId,
    /// By function and language; only what found room of its own, so bounded by `max_series`.
    functions: HashMap<Box<str>, HashMap<Box<str>, FunctionSeries>>,
}

#[derive(Clone, Copy, Debug)]
struct FunctionSeries {
    succeeded: SeriesId,
    failed: SeriesId,
    cold: SeriesId,
    warm: SeriesId,
    durations: SeriesId,
}

/// Counts the rows of a batch by what will be its labels.
pub(super) fn count(rows: &Cleared) -> Counted<'_> {
    match rows.table() {
        Table::Invocations => Counted::Invocations(invocations(rows)),
        Table::Errors => Counted::Errors(by(rows, ["function_id", "language", "error_type"])),
        Table::RateLimits => Counted::RateLimits(by(rows, ["function_id", "limit_type"])),
        Table::Deployments => Counted::Deployments(by(rows, ["function_id", "status"])),
    }
}

fn column<'a, A: Array + 'static>(rows: &'a Cleared, name: &str) -> Option<&'a A> {
    rows.batch().column_by_name(name)?.as_any().downcast_ref()
}

/// NULL is the empty string; both are no label. Cut as the label is, so that what is known by it is bounded too.
fn text(column: Option<&StringArray>, row: usize) -> &str {
    column.filter(|column| column.is_valid(row)).map_or("", |column| labels::cut(column.value(row)))
}

fn truth(column: Option<&BooleanArray>, row: usize) -> Option<bool> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

/// Rows per distinct value of some columns.
fn by<'a, const N: usize>(rows: &'a Cleared, columns: [&str; N]) -> Vec<([&'a str; N], u32)> {
    let columns = columns.map(|name| column::<StringArray>(rows, name));
    let mut groups: Vec<([&str; N], u32)> = Vec::new();
    let mut index = HashMap::new();
    let mut last = usize::MAX;
    for row in 0..rows.rows() {
        let key = columns.map(|column| text(column, row));
        if groups.get(last).is_none_or(|(of_last, _)| *of_last != key) {
            last = *index.entry(key).or_insert_with(|| {
                groups.push((key, 0));
                groups.len() - 1
            });
        }
        if let Some((_, count)) = groups.get_mut(last) {
            *count += 1;
        }
    }
    groups
}

fn invocations(rows: &Cleared) -> Vec<Invocations<'_>> {
    let function = column::<StringArray>(rows, "function_id");
    let language = column::<StringArray>(rows, "language");
    let success = column::<BooleanArray>(rows, "success");
    let cold = column::<BooleanArray>(rows, "cold_start");
    let duration = column::<Float64Array>(rows, "duration_ms");
    let mut groups: Vec<Invocations<'_>> = Vec::new();
    let mut index = HashMap::new();
    let mut last = usize::MAX;
    for row in 0..rows.rows() {
        let key = (text(function, row), text(language, row));
        if groups.get(last).is_none_or(|group| (group.function, group.language) != key) {
            last = *index.entry(key).or_insert_with(|| {
                groups.push(Invocations::new(key));
                groups.len() - 1
            });
        }
        let Some(group) = groups.get_mut(last) else { continue };
        // As in the mapping: what did not fail succeeded.
        let failed = truth(success, row) == Some(false);
        group.failed += u32::from(failed);
        group.succeeded += u32::from(!failed);
        let start = truth(cold, row);
        group.cold += u32::from(start == Some(true));
        group.warm += u32::from(start == Some(false));
        if let Some(duration) = duration.filter(|duration| duration.is_valid(row)) {
            group.took(duration.value(row) / 1_000.0);
        }
    }
    groups
}

impl<'a> Invocations<'a> {
    fn new((function, language): (&'a str, &'a str)) -> Invocations<'a> {
        let durations = [0; DURATION_BOUNDS.len() + 1];
        Invocations { function, language, succeeded: 0, failed: 0, cold: 0, warm: 0, seconds: 0.0, durations }
    }

    fn took(&mut self, seconds: f64) {
        let place = DURATION_BOUNDS.partition_point(|bound| *bound < seconds);
        if seconds.is_finite()
            && let Some(count) = self.durations.get_mut(place)
        {
            *count += 1;
            self.seconds += seconds;
        }
    }

    fn durations(&self) -> Option<Buckets> {
        Buckets::read(self.durations.iter().sum(), Some(self.seconds), &self.durations, &DURATION_BOUNDS)
    }
}

impl Rows {
    /// Claims the names of the families before any sender can.
    pub(super) fn claim(store: &mut Store) -> Rows {
        Rows {
            invocations: store.claim("function_invocations", Kind::Counter, "Invocations by outcome"),
            durations: store.claim("function_duration_seconds", Kind::Histogram, "Duration of invocations"),
            starts: store.claim("function_starts", Kind::Counter, "Invocations by kind of start, where the platform says it"),
            errors: store.claim("function_errors", Kind::Counter, "Errors by type"),
            rate_limits: store.claim("function_rate_limits", Kind::Counter, "Rate limits that were hit, by type"),
            deployments: store.claim("function_deployments", Kind::Counter, "Deployments by status"),
            functions: HashMap::new(),
        }
    }
}

impl State {
    pub(super) fn add_rows(&mut self, counted: &Counted<'_>) {
        match counted {
            Counted::Invocations(groups) => groups.iter().for_each(|group| self.add_invocations(group)),
            Counted::Errors(groups) => {
                for ([function, language, kind], count) in groups {
                    self.add_count(self.rows.errors, &[("function", function), ("language", language), ("type", kind)], *count);
                }
            }
            Counted::RateLimits(groups) => {
                for ([function, kind], count) in groups {
                    self.add_count(self.rows.rate_limits, &[("function", function), ("type", kind)], *count);
                }
            }
            Counted::Deployments(groups) => {
                for ([function, status], count) in groups {
                    self.add_count(self.rows.deployments, &[("function", function), ("status", status)], *count);
                }
            }
        }
    }

    fn add_invocations(&mut self, group: &Invocations<'_>) {
        let known = self.rows.functions.get(group.function).and_then(|languages| languages.get(group.language));
        let series = known.copied().unwrap_or_else(|| self.place_function(group.function, group.language));
        self.store.add(series.succeeded, f64::from(group.succeeded));
        self.store.add(series.failed, f64::from(group.failed));
        self.store.add(series.cold, f64::from(group.cold));
        self.store.add(series.warm, f64::from(group.warm));
        if let Some(durations) = group.durations() {
            self.store.merge(series.durations, &durations);
        }
    }

    /// Makes every series of a function at once, so that a first failure is a step from 0 that `rate()` sees.
    fn place_function(&mut self, function: &str, language: &str) -> FunctionSeries {
        let mut overflow = false;
        let mut place = |family, label: Option<(&'static str, &'static str)>, zero: &Value| {
            let mut labels = vec![("function", function), ("language", language)];
            labels.extend(label);
            let placed = self.store.place(family, &LabelSet::of(&labels), zero);
            overflow |= placed.overflow;
            placed.id
        };
        let zero = Value::Number(0.0);
        let series = FunctionSeries {
            succeeded: place(self.rows.invocations, Some(("outcome", "success")), &zero),
            failed: place(self.rows.invocations, Some(("outcome", "failure")), &zero),
            cold: place(self.rows.starts, Some(("start", "cold")), &zero),
            warm: place(self.rows.starts, Some(("start", "warm")), &zero),
            durations: place(self.rows.durations, None, &Value::Histogram(Buckets::empty(&DURATION_BOUNDS))),
        };
        if overflow {
            self.stats.overflowed += 1;
        } else {
            self.rows.functions.entry(function.into()).or_default().insert(language.into(), series);
        }
        series
    }

    fn add_count(&mut self, family: FamilyId, labels: &[(&'static str, &str)], count: u32) {
        let placed = self.store.place(family, &LabelSet::of(labels), &Value::Number(0.0));
        self.store.add(placed.id, f64::from(count));
        self.stats.overflowed += u64::from(placed.overflow);
    }
}
