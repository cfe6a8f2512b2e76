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

use super::identity::Fields;
use super::lookup::{find, trimmed};
use super::{MapError, Pass, Unmappable};
use crate::processors::Note;
use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{KeyId, Metric, MetricKind, Point, PointValue, Slice, Temporality, Timestamp, Value};
use crate::tables::rows::{DeploymentRow, ErrorRow, InvocationRow, RateLimitRow, RowsFull};
use crate::tables::{Column, ColumnType, Table};

/// From the points of one metric to rows of one table.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricRuleConfig {
    /// The metric's name as the SDK sends it.
    pub metric: String,
    pub table: TableName,
    /// Sources of columns; those not named are read as from a log.
    #[serde(default)]
    pub columns: BTreeMap<String, SourceConfig>,
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

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Literal {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
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
    pub fn new(config: &MetricRuleConfig, keys: &mut Keys) -> Result<MetricRule, MapError> {
        let table = Table::from(config.table);
        let columns = config.columns.iter().map(|(name, source)| {
            let column = table.columns().iter().find(|column| column.name == name).ok_or_else(|| MapError::UnknownColumn {
                metric: config.metric.clone(),
                column: name.clone(),
                table: table.name(),
                known: table
                    .columns()
                    .iter()
                    .filter(|column| !is_filled(column))
                    .map(|column| column.name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            if is_filled(column) {
                return Err(MapError::FilledColumn { metric: config.metric.clone(), column: column.name, table: table.name() });
            }
            Ok((column, Source::new(source, keys)))
        });
        Ok(MetricRule { metric: config.metric.clone(), table, columns: columns.collect::<Result<_, _>>()? })
    }
}

/// The time is the point's, and date and hour follow from it.
fn is_filled(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Timestamp | ColumnType::Date) || column.name == "hour"
}

impl Source {
    fn new(config: &SourceConfig, keys: &mut Keys) -> Source {
        match config {
            SourceConfig::Attribute(OneOrMore::One(name)) => Source::Attributes(vec![keys.intern(name)]),
            SourceConfig::Attribute(OneOrMore::More(names)) => {
                Source::Attributes(names.iter().map(|name| keys.intern(name)).collect())
            }
            SourceConfig::Value(literal) => Source::Fixed(match literal {
                Literal::Bool(flag) => Value::Bool(*flag),
                Literal::Int(number) => Value::Int(*number),
                Literal::Double(number) => Value::Double(*number),
                Literal::Text(text) => Value::Str(Cow::Owned(text.clone())),
            }),
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

/// A value as the type of its column has it.
enum Cell<'s> {
    Text(Option<Cow<'s, str>>),
    Double(Option<f64>),
    Bool(Option<bool>),
    Long(Option<i64>),
    Int(Option<i32>),
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
            match Cell::of(column.kind, source.read(sample, attributes), attributes) {
                Some(cell) => cells.push((column.name, cell)),
                None => self.tally.note(Note::OutOfRange, 1),
            }
        }
        match rule.table {
            Table::Invocations => {
                let success = !self.attributes_say_failure();
                let mut row = InvocationRow { started_at: at.micros(), success, ..self.invocation_from_attributes(None) };
                row.invocation_id = id;
                for (name, cell) in cells {
                    set_invocation(&mut row, name, cell);
                }
                self.rows.push_invocation(&row)
            }
            Table::RateLimits => {
                let mut row = self.rate_limit_from_attributes(at);
                row.event_id = id;
                for (name, cell) in cells {
                    set_rate_limit(&mut row, name, cell);
                }
                self.rows.push_rate_limit(&row)
            }
            Table::Deployments => {
                let mut row = self.deployment_from_attributes(at);
                row.deployment_id = id;
                for (name, cell) in cells {
                    set_deployment(&mut row, name, cell);
                }
                self.rows.push_deployment(&row)
            }
            Table::Errors => {
                let mut row = self.error_from_attributes(at);
                row.error_id = id;
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

impl<'s> Cell<'s> {
    /// `None` for a number that the column cannot hold.
    fn of(kind: ColumnType, value: Option<&'s Value<'s>>, attributes: &'s Attributes<'s>) -> Option<Cell<'s>> {
        let long = value.and_then(Value::as_i64);
        Some(match kind {
            ColumnType::Double => Cell::Double(value.and_then(Value::as_f64)),
            ColumnType::Boolean => Cell::Bool(value.and_then(Value::as_bool)),
            ColumnType::Long => Cell::Long(long),
            ColumnType::Int => Cell::Int(long.map(i32::try_from).transpose().ok()?),
            _ => Cell::Text(value.and_then(|value| value.as_str_text(attributes)).and_then(trimmed)),
        })
    }
}

fn set_invocation<'s>(row: &mut InvocationRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("invocation_id", Cell::Text(Some(id))) => row.invocation_id = id,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("language", Cell::Text(text)) => row.language = text,
        ("version", Cell::Text(text)) => row.version = text,
        ("duration_ms", Cell::Double(number)) => row.duration_ms = number,
        ("success", Cell::Bool(Some(flag))) => row.success = flag,
        ("error_type", Cell::Text(text)) => row.error_type = text,
        ("error_message", Cell::Text(text)) => row.error_message = text,
        ("cold_start", Cell::Bool(flag)) => row.cold_start = flag,
        ("memory_used_bytes", Cell::Long(number)) => row.memory_used_bytes = number,
        ("client_ip", Cell::Text(text)) => row.client_ip = text,
        ("region", Cell::Text(text)) => row.region = text,
        ("colo", Cell::Text(text)) => row.colo = text,
        _ => {}
    }
}

fn set_rate_limit<'s>(row: &mut RateLimitRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("event_id", Cell::Text(Some(id))) => row.event_id = id,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("client_ip", Cell::Text(text)) => row.client_ip = text,
        ("limit_type", Cell::Text(text)) => row.limit_type = text,
        ("limit_value", Cell::Int(number)) => row.limit_value = number,
        ("region", Cell::Text(text)) => row.region = text,
        ("colo", Cell::Text(text)) => row.colo = text,
        _ => {}
    }
}

fn set_deployment<'s>(row: &mut DeploymentRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("deployment_id", Cell::Text(Some(id))) => row.deployment_id = id,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("version", Cell::Text(text)) => row.version = text,
        ("previous_version", Cell::Text(text)) => row.previous_version = text,
        ("deployed_by", Cell::Text(text)) => row.deployed_by = text,
        ("code_size_bytes", Cell::Long(number)) => row.code_size_bytes = number,
        ("source_map_size_bytes", Cell::Long(number)) => row.source_map_size_bytes = number,
        ("status", Cell::Text(text)) => row.status = text,
        ("rollback_reason", Cell::Text(text)) => row.rollback_reason = text,
        _ => {}
    }
}

fn set_error<'s>(row: &mut ErrorRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("error_id", Cell::Text(Some(id))) => row.error_id = id,
        ("invocation_id", Cell::Text(text)) => row.invocation_id = text,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("error_type", Cell::Text(text)) => row.error_type = text,
        ("error_message", Cell::Text(text)) => row.error_message = text,
        ("stack_trace", Cell::Text(text)) => row.stack_trace = text,
        ("language", Cell::Text(text)) => row.language = text,
        ("version", Cell::Text(text)) => row.version = text,
        _ => {}
    }
}
