//! What one batch of rows adds, counted by what will be its labels: without the lock.

use std::collections::HashMap;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, PrimitiveArray, StringArray};

use super::{LABELS, Shape};
use crate::exporters::prometheus::buckets::Buckets;
use crate::exporters::prometheus::labels;
use crate::exporters::prometheus::native::Native;
use crate::exporters::prometheus::values::Histogram;
use crate::signals::{Exemplar, SpanId, Timestamp, TraceId};
use crate::tables::{Cleared, Table};

/// What one group brings at most: a series keeps no more.
const MAX_EXEMPLARS: usize = 16;
/// As Go's client begins with where it is asked for buckets a tenth apart.
pub(super) const NATIVE_SCALE: i32 = 3;

/// What one batch adds.
#[derive(Debug)]
pub(in crate::exporters::prometheus) enum Counted<'a> {
    Invocations(Vec<Group<'a, Invocations>>),
    Errors(Vec<Group<'a, Events>>),
    RateLimits(Vec<Group<'a, Events>>),
    Deployments(Vec<Group<'a, Deployments<'a>>>),
}

/// Rows whose labels are the same.
#[derive(Debug)]
pub(in crate::exporters::prometheus) struct Group<'a, T> {
    pub(super) key: Key<'a>,
    pub(super) of: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    pub(super) function: &'a str,
    /// By the order of [`LABELS`]; empty where the table has no such column, or it was not chosen.
    pub(super) labels: [&'a str; LABELS.len()],
    /// The type of an error or a limit, the status of a deployment.
    pub(super) own: &'a str,
}

#[derive(Debug)]
pub(in crate::exporters::prometheus) struct Invocations {
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) cold: u32,
    pub(super) warm: u32,
    pub(super) durations: Counts,
    pub(super) memory: Counts,
    pub(super) exemplars: Vec<Exemplar>,
}

/// Values on their way into a histogram.
#[derive(Debug)]
pub(super) struct Counts {
    sum: f64,
    buckets: Vec<u64>,
    native: Option<Native>,
}

#[derive(Debug, Default)]
pub(in crate::exporters::prometheus) struct Events {
    pub(super) count: u32,
    pub(super) exemplars: Vec<Exemplar>,
}

#[derive(Debug, Default)]
pub(in crate::exporters::prometheus) struct Deployments<'a> {
    pub(super) count: u32,
    /// Microseconds since 1970 and version of the newest.
    pub(super) newest: Option<(i64, &'a str)>,
}

/// Counts the rows of a batch by what will be its labels.
pub(in crate::exporters::prometheus) fn count<'a>(rows: &'a Cleared, shape: &Shape) -> Counted<'a> {
    match rows.table() {
        Table::Invocations => Counted::Invocations(invocations(rows, shape)),
        Table::Errors => Counted::Errors(events(rows, shape, "error_type", "occurred_at")),
        Table::RateLimits => Counted::RateLimits(events(rows, shape, "limit_type", "occurred_at")),
        Table::Deployments => Counted::Deployments(deployments(rows, shape)),
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

/// Gives every row to the group of its labels; equal neighbours, the usual case, cost a comparison.
fn grouped<'a, T>(
    rows: &'a Cleared,
    shape: &Shape,
    own: &str,
    mut empty: impl FnMut() -> T,
    mut add: impl FnMut(&mut T, usize),
) -> Vec<Group<'a, T>> {
    let function = column::<StringArray>(rows, "function_id");
    let own = column::<StringArray>(rows, own);
    let mut chosen = [None; LABELS.len()];
    for ((place, name), _) in chosen.iter_mut().zip(LABELS).zip(shape.labels).filter(|(_, chosen)| *chosen) {
        *place = rows.table().column(name).and_then(|_| column::<StringArray>(rows, name));
    }
    let mut groups: Vec<Group<'_, T>> = Vec::new();
    let mut index = HashMap::new();
    let mut last = usize::MAX;
    for row in 0..rows.rows() {
        let key = Key { function: text(function, row), labels: chosen.map(|column| text(column, row)), own: text(own, row) };
        if groups.get(last).is_none_or(|group| group.key != key) {
            last = *index.entry(key).or_insert_with(|| {
                groups.push(Group { key, of: empty() });
                groups.len() - 1
            });
        }
        if let Some(group) = groups.get_mut(last) {
            add(&mut group.of, row);
        }
    }
    groups
}

fn invocations<'a>(rows: &'a Cleared, shape: &Shape) -> Vec<Group<'a, Invocations>> {
    let success = column::<BooleanArray>(rows, "success");
    let cold = column::<BooleanArray>(rows, "cold_start");
    let duration = column::<Float64Array>(rows, "duration_ms");
    let memory = column::<Int64Array>(rows, "memory_used_bytes");
    let traces = Traces::of(rows, "started_at");
    let empty = || Invocations {
        succeeded: 0,
        failed: 0,
        cold: 0,
        warm: 0,
        durations: Counts::new(&shape.durations, shape.native),
        memory: Counts::new(&shape.memory, false),
        exemplars: Vec::new(),
    };
    grouped(rows, shape, "", empty, |group, row| {
        // As in the mapping: what did not fail succeeded.
        let failed = truth(success, row) == Some(false);
        group.failed += u32::from(failed);
        group.succeeded += u32::from(!failed);
        let start = truth(cold, row);
        group.cold += u32::from(start == Some(true));
        group.warm += u32::from(start == Some(false));
        if let Some(duration) = duration.filter(|duration| duration.is_valid(row)) {
            let seconds = duration.value(row) / 1_000.0;
            group.durations.add(seconds, &shape.durations);
            keep(&mut group.exemplars, traces.exemplar(row, seconds));
        }
        if let Some(memory) = memory.filter(|memory| memory.is_valid(row)) {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
            group.memory.add(memory.value(row) as f64, &shape.memory);
        }
    })
}

fn events<'a>(rows: &'a Cleared, shape: &Shape, own: &str, time: &str) -> Vec<Group<'a, Events>> {
    let traces = Traces::of(rows, time);
    grouped(rows, shape, own, Events::default, |group, row| {
        group.count += 1;
        keep(&mut group.exemplars, traces.exemplar(row, 1.0));
    })
}

fn deployments<'a>(rows: &'a Cleared, shape: &Shape) -> Vec<Group<'a, Deployments<'a>>> {
    let deployed_at = column::<PrimitiveArray<TimestampMicrosecondType>>(rows, "deployed_at");
    let version = column::<StringArray>(rows, "version");
    // The version is told by the newest deployment, and no label of the count.
    let shape = Shape { labels: [false; LABELS.len()], ..shape.clone() };
    grouped(rows, &shape, "status", Deployments::default, |group, row| {
        group.count += 1;
        if let Some(at) = deployed_at.filter(|at| at.is_valid(row)).map(|at| at.value(row))
            && group.newest.is_none_or(|(newest, _)| at >= newest)
        {
            group.newest = Some((at, text(version, row)));
        }
    })
}

fn keep(exemplars: &mut Vec<Exemplar>, exemplar: Option<Exemplar>) {
    if let Some(exemplar) = exemplar.filter(|_| exemplars.len() < MAX_EXEMPLARS) {
        exemplars.push(exemplar);
    }
}

impl Counts {
    fn new(bounds: &[f64], native: bool) -> Counts {
        Counts { sum: 0.0, buckets: vec![0; bounds.len() + 1], native: native.then(|| Native::empty(NATIVE_SCALE)) }
    }

    fn add(&mut self, value: f64, bounds: &[f64]) {
        let place = bounds.partition_point(|bound| *bound < value);
        if value.is_finite()
            && let Some(count) = self.buckets.get_mut(place)
        {
            *count += 1;
            self.sum += value;
            if let Some(native) = &mut self.native {
                native.observe(value);
            }
        }
    }

    /// The histogram of these bounds; `None` where nothing was added.
    pub(super) fn histogram(&self, bounds: &[f64]) -> Option<Histogram> {
        let count = self.buckets.iter().sum();
        let classic = Buckets::read(count, Some(self.sum), &self.buckets, bounds).filter(|_| count > 0)?;
        Some(Histogram { classic: Some(classic), native: self.native.clone() })
    }
}

/// The added columns `trace_id` and `span_id`, where the configuration adds them to the table.
struct Traces<'a> {
    trace: Option<&'a StringArray>,
    span: Option<&'a StringArray>,
    time: Option<&'a PrimitiveArray<TimestampMicrosecondType>>,
}

impl<'a> Traces<'a> {
    fn of(rows: &'a Cleared, time: &str) -> Traces<'a> {
        Traces { trace: column(rows, "trace_id"), span: column(rows, "span_id"), time: column(rows, time) }
    }

    /// Only from an id that is one: nothing else of the column can come out.
    fn exemplar(&self, row: usize, value: f64) -> Option<Exemplar> {
        let trace_id = TraceId::from_hex(text(self.trace, row))?;
        let micros = self.time.filter(|time| time.is_valid(row)).map_or(0, |time| time.value(row));
        let time = Timestamp(u64::try_from(micros).unwrap_or(0).saturating_mul(1_000));
        Some(Exemplar { time, value, trace_id, span_id: SpanId::from_hex(text(self.span, row)) })
    }
}
