//! Rows from metric points: a point makes none by itself, but a rule of the configuration may say that it does.
//!
//! ```yaml
//! map:
//!   metrics:
//!     - metric: rate_limit.hits
//!       table: rate_limits
//!       columns:
//!         limit_type: { attribute: rate_limit.type }
//!         limit_value: { attribute: [rate_limit.limit, limit] }
//! ```
//! Each point of a **delta** sum whose value is at least 1 makes one row: it says that something happened in its interval. A
//! cumulative point makes none: it repeats the whole past, and what is new in it only the sender's state could tell. Gauges and
//! histograms are no events either.
//!
//! A column that a rule does not name is read as the preset reads it. The time column is the point's time, the id is derived from the
//! metric's name, resource, scope, attributes, start and time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cells::{check_added, check_fixed, set_deployment, set_error, set_invocation, set_rate_limit};
use super::identity::Fields;
use super::lookup::find;
use super::sources::Current;
use super::{MapError, Pass, Unmappable};
use crate::processors::Note;
use crate::processors::literal::Literal;
use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{KeyId, Metric, MetricKind, Point, PointValue, Slice, Temporality, Timestamp, Value};
use crate::tables::added::added_fields;
use crate::tables::rows::{Cell, InvocationRow, RowsFull};
use crate::tables::{Column, ColumnType, Schemas, Table};

/// From the points of one metric to rows of one table.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "WrittenRule")]
pub struct MetricRuleConfig {
    pub metric: String,
    pub table: TableName,
    pub columns: BTreeMap<String, SourceConfig>,
}

/// A rule as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    /// The metric's name as the SDK sends it.
    metric: String,
    table: TableName,
    /// Sources of columns; those not named are read as from a log.
    #[serde(default)]
    columns: BTreeMap<String, SourceConfig>,
}

impl TryFrom<WrittenRule> for MetricRuleConfig {
    type Error = String;

    /// Columns that the configuration adds are not known yet: [`MetricRule::new`] looks at them.
    fn try_from(WrittenRule { metric, table, columns }: WrittenRule) -> Result<MetricRuleConfig, String> {
        for (name, source) in &columns {
            let column = Table::from(table).columns().iter().find(|column| column.name == name);
            if let (Some(column), SourceConfig::Value(value)) = (column.filter(|column| !is_filled(column)), source) {
                check_fixed(column, value)?;
            }
        }
        Ok(MetricRuleConfig { metric, table, columns })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableName {
    Invocations,
    RateLimits,
    Deployments,
    Errors,
}

/// Where a column's value is from.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceConfig {
    /// The first of these attributes that the point, its scope or its resource has.
    Attribute(OneOrMore),
    /// A fixed text, number or bool.
    Value(Literal),
    /// Something of the point itself.
    Point(PointPart),
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PointPart {
    Value,
}

/// A rule with its columns checked and its keys interned.
#[derive(Debug)]
pub struct MetricRule {
    metric: String,
    table: Table,
    columns: Vec<(&'static Column, Source)>,
    /// Of columns that the configuration adds, by their place among those.
    added: Vec<(usize, ColumnType, Source)>,
}

#[derive(Debug)]
enum Source {
    Attributes(Vec<KeyId>),
    Fixed(Value<'static>),
    PointValue,
}

impl From<TableName> for Table {
    fn from(name: TableName) -> Table {
        match name {
            TableName::Invocations => Table::Invocations,
            TableName::RateLimits => Table::RateLimits,
            TableName::Deployments => Table::Deployments,
            TableName::Errors => Table::Errors,
        }
    }
}

impl MetricRule {
    /// `schemas` are those of the tables with what the configuration adds.
    pub fn new(config: &MetricRuleConfig, schemas: &Schemas, keys: &mut Keys) -> Result<MetricRule, MapError> {
        let table = Table::from(config.table);
        let mut rule = MetricRule { metric: config.metric.clone(), table, columns: Vec::new(), added: Vec::new() };
        let added: Vec<(&str, ColumnType)> = added_fields(table, &schemas[table.index()]).collect();
        for (name, source) in &config.columns {
            if let Some(place) = added.iter().position(|(added, _)| added == name) {
                let kind = added[place].1;
                if let SourceConfig::Value(value) = source {
                    let unfit = |reason| MapError::UnfitValue { metric: config.metric.clone(), reason };
                    check_added(name, kind, value).map_err(unfit)?;
                }
                rule.added.push((place, kind, Source::new(source, keys)));
                continue;
            }
            let column = table.columns().iter().find(|column| column.name == name).ok_or_else(|| {
                let own = table.columns().iter().filter(|column| !is_filled(column)).map(|column| column.name);
                let known = own.chain(added.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ");
                MapError::UnknownColumn { metric: config.metric.clone(), column: name.clone(), table: table.name(), known }
            })?;
            if is_filled(column) {
                return Err(MapError::FilledColumn { metric: config.metric.clone(), column: column.name, table: table.name() });
            }
            rule.columns.push((column, Source::new(source, keys)));
        }
        Ok(rule)
    }
}

/// The time is the point's, and date and hour follow from it.
fn is_filled(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Timestamp | ColumnType::Date) || column.name == "hour"
}

impl OneOrMore {
    pub(super) fn names(&self) -> &[String] {
        match self {
            OneOrMore::One(name) => std::slice::from_ref(name),
            OneOrMore::More(names) => names,
        }
    }
}

impl Source {
    fn new(config: &SourceConfig, keys: &mut Keys) -> Source {
        match config {
            SourceConfig::Attribute(names) => Source::Attributes(names.names().iter().map(|name| keys.intern(name)).collect()),
            SourceConfig::Value(literal) => Source::Fixed(literal.to_value()),
            SourceConfig::Point(PointPart::Value) => Source::PointValue,
        }
    }
}

/// A point that makes a row, as the sources of its columns see it.
struct Sample<'r, 'a> {
    /// The point's, at least 1.
    value: Value<'static>,
    metric: &'r Metric<'a>,
    point: &'r Point,
    /// The attributes of point, scope and resource: the order of look-up.
    owners: [Slice; 3],
}

impl<'r, 'a> Pass<'_, 'r, 'a> {
    /// The rows of a point, by every rule for its metric.
    pub(super) fn map_point(&mut self, point: &'r Point) -> Result<(), Unmappable> {
        let Some(metric) = self.records.metrics.get(point.metric as usize) else { return Ok(()) };
        let mapping = self.mapping;
        for rule in mapping.metrics.iter().filter(|rule| rule.metric == metric.name) {
            let Some(value) = increment(metric.kind, point) else { return Ok(()) };
            let at = match self.window.first(&[point.time, point.start])? {
                Some(time) => time,
                None => self.time_of_receipt(),
            };
            self.lookup.view(metric.scope, point.attributes);
            self.current = Current::point(metric);
            let scope = self.records.scopes.get(metric.scope as usize);
            let resource = scope.and_then(|scope| self.records.resources.get(scope.resource as usize));
            let owners = [
                point.attributes,
                scope.map(|scope| scope.attributes).unwrap_or_default(),
                resource.map(|resource| resource.attributes).unwrap_or_default(),
            ];
            self.push_sample(rule, &Sample { value, metric, point, owners }, at)?;
        }
        Ok(())
    }

    fn push_sample(&mut self, rule: &MetricRule, sample: &Sample<'r, 'a>, at: Timestamp) -> Result<(), RowsFull> {
        let fields = self.sample_fields(rule.table, sample);
        let derived = self.ordinals.next(fields);
        let id = Cow::Borrowed(derived.as_str());
        let attributes = &self.records.attributes;
        let mut cells = Vec::with_capacity(rule.columns.len());
        for (column, source) in &rule.columns {
            let cell = source.read(sample, attributes).map_or(Ok(None), |value| Cell::of(column, value, attributes));
            self.tally.note(Note::OutOfRange, u64::from(cell.is_err()));
            cells.push((column.name, cell.ok().flatten().unwrap_or(Cell::null(column.kind))));
        }
        let mut added = Vec::with_capacity(rule.added.len());
        for (place, kind, source) in &rule.added {
            let cell = source.read(sample, attributes).map_or(Ok(None), |value| Cell::read(*kind, value, attributes));
            self.tally.note(Note::OutOfRange, u64::from(cell.is_err()));
            added.push((*place, cell.ok().flatten().unwrap_or(Cell::null(*kind))));
        }
        match rule.table {
            Table::Invocations => {
                let success = !self.attributes_say_failure();
                let mut row = InvocationRow { started_at: at.micros(), success, ..self.invocation_from_attributes(None) };
                row.invocation_id = id;
                self.fill_invocation(&mut row);
                put(&mut row.added, added);
                for (name, cell) in cells {
                    set_invocation(&mut row, name, cell);
                }
                self.rows.push_invocation(&row)
            }
            Table::RateLimits => {
                let mut row = self.rate_limit_from_attributes(at);
                row.event_id = id;
                self.fill_rate_limit(&mut row);
                put(&mut row.added, added);
                for (name, cell) in cells {
                    set_rate_limit(&mut row, name, cell);
                }
                self.rows.push_rate_limit(&row)
            }
            Table::Deployments => {
                let mut row = self.deployment_from_attributes(at);
                row.deployment_id = id;
                self.fill_deployment(&mut row);
                put(&mut row.added, added);
                for (name, cell) in cells {
                    set_deployment(&mut row, name, cell);
                }
                self.rows.push_deployment(&row)
            }
            Table::Errors => {
                let mut row = self.error_from_attributes(at);
                row.error_id = id;
                self.fill_error(&mut row, false);
                put(&mut row.added, added);
                for (name, cell) in cells {
                    set_error(&mut row, name, cell);
                }
                self.rows.push_error(&row)
            }
        }
    }

    fn sample_fields(&self, table: Table, sample: &Sample<'r, 'a>) -> Fields {
        let attributes = &self.records.attributes;
        let mut fields = self.mapping.identity.of(table).text("metric").text(&sample.metric.name);
        for owner in sample.owners {
            let mut sorted: Vec<(&str, &Value<'_>)> = attributes.named(owner).collect();
            sorted.sort_by_key(|(name, _)| *name);
            fields = fields.number(sorted.len() as u64);
            fields = sorted.into_iter().fold(fields, |fields, (name, value)| fields.text(name).value(value, attributes));
        }
        fields.number(sample.point.start.0).number(sample.point.time.0)
    }
}

/// What a rule says of added columns comes before what `map.columns` says.
fn put<'s>(row: &mut [Cell<'s>], added: Vec<(usize, Cell<'s>)>) {
    for (place, cell) in added {
        if let Some(column) = row.get_mut(place) {
            *column = cell;
        }
    }
}

/// The value of a point that says that something happened in its interval.
fn increment(kind: MetricKind, point: &Point) -> Option<Value<'static>> {
    const NO_RECORDED_VALUE: u32 = 1;
    if point.flags & NO_RECORDED_VALUE != 0 || !matches!(kind, MetricKind::Sum { temporality: Temporality::Delta, .. }) {
        return None;
    }
    match point.value {
        PointValue::Int(number) if number >= 1 => Some(Value::Int(number)),
        PointValue::Double(number) if number >= 1.0 => Some(Value::Double(number)),
        _ => None,
    }
}

impl Source {
    fn read<'s>(&'s self, sample: &'s Sample<'_, '_>, attributes: &'s Attributes<'_>) -> Option<&'s Value<'s>> {
        match self {
            Source::Attributes(keys) => keys.iter().find_map(|key| find(attributes, &sample.owners, *key)),
            Source::Fixed(value) => Some(value),
            Source::PointValue => Some(&sample.value),
        }
    }
}
