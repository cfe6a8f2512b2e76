//! Sources of columns that the configuration puts in the place of the preset's.
//!
//! ```yaml
//! map:
//!   columns:
//!     invocations:
//!       version: { attribute: [app.version, service.version], else: preset }
//!       region: { value: eu-west-1 }
//!     errors:
//!       error_type: { field: severity_text }
//! ```
//! The sources are compiled into slots when the chain is built; a column that is not named costs nothing.
//!
//! Invariants: derived ids are made before these sources are read, so that no override changes one. A column keeps its rules: its type, its
//! range, the words of `language` and `status`, an address as `client_ip`, no error on a success.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cells::{Cell, set_deployment, set_error, set_invocation, set_rate_limit};
use super::lookup::{Attr, Slot, SlotsOfKeys, trimmed};
use super::metrics::{Literal, OneOrMore};
use super::{MapError, Pass};
use crate::processors::Note;
use crate::signals::attributes::Keys;
use crate::signals::{LogRecord, Metric, Span, SpanId, TraceId, Value};
use crate::tables::rows::{DeploymentRow, ErrorRow, InvocationRow, RateLimitRow};
use crate::tables::{Column, ColumnType, Raw, Table};

/// Sources of columns by table. Default none: the preset's.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnsConfig {
    pub invocations: BTreeMap<Sourced<0>, ColumnConfig>,
    pub rate_limits: BTreeMap<Sourced<1>, ColumnConfig>,
    pub deployments: BTreeMap<Sourced<2>, ColumnConfig>,
    pub errors: BTreeMap<Sourced<3>, ColumnConfig>,
}

/// The name of a column whose sources can be set, of the table at this place of [`Table::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Sourced<const TABLE: usize>(usize);

/// Where a column's value is from: the first of `attribute`, `field`, `value` that has one; NULL where none has. With none of them, the
/// column is never filled.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnConfig {
    /// The first of these attributes that the record, its scope or its resource has; for an error on a span its event comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<OneOrMore>,
    /// Something of the record that is no attribute; for columns of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<RecordField>,
    /// A fixed text, number or bool; not for ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Literal>,
    /// What follows the last source: `preset` for the preset's value instead of NULL.
    #[serde(rename = "else", skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Otherwise>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    Preset,
}

/// A part of a record; one that the record does not have is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordField {
    /// 32 hexadecimal digits in lower case.
    TraceId,
    /// 16 hexadecimal digits in lower case.
    SpanId,
    ParentSpanId,
    /// Of the span, of the log's event, of the metric.
    Name,
    /// The message of a span's status.
    StatusMessage,
    /// Of a log.
    SeverityText,
    ScopeName,
    ScopeVersion,
}

/// Why a column's sources cannot be set: what it follows from.
fn fixed_by(column: &Column) -> Option<&'static str> {
    match column.kind {
        ColumnType::Timestamp => Some("the record's time, which is checked before anything else"),
        ColumnType::Date => Some("the event time, and files are partitioned by it"),
        _ if column.name == "hour" => Some("the event time, and files are partitioned by it"),
        _ => None,
    }
}

impl<const TABLE: usize> TryFrom<String> for Sourced<TABLE> {
    type Error = String;

    fn try_from(name: String) -> Result<Sourced<TABLE>, String> {
        let table = Table::ALL[TABLE];
        let Some(index) = table.column(&name) else {
            let sourced = table.columns().iter().filter(|column| fixed_by(column).is_none());
            let known: Vec<&str> = sourced.map(|column| column.name).collect();
            return Err(format!("`{}` has no column `{name}`, expected one of {}", table.name(), known.join(", ")));
        };
        match fixed_by(&table.columns()[index]) {
            Some(origin) => Err(format!("`{name}` follows from {origin}: its source cannot be set, leave it out")),
            None => Ok(Sourced(index)),
        }
    }
}

impl<const TABLE: usize> From<Sourced<TABLE>> for String {
    fn from(column: Sourced<TABLE>) -> String {
        Table::ALL[TABLE].columns().get(column.0).map_or_else(String::new, |column| column.name.to_owned())
    }
}

/// The sources that were set, compiled.
#[derive(Debug, Default)]
pub(super) struct Sources {
    tables: [Vec<ColumnSources>; Table::ALL.len()],
}

#[derive(Debug)]
struct ColumnSources {
    column: &'static Column,
    attributes: Vec<Slot>,
    field: Option<RecordField>,
    value: Option<Value<'static>>,
    keeps_preset: bool,
}

/// The record in view, as far as [`RecordField`] asks for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Current<'r> {
    scope: u32,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    parent_span_id: Option<SpanId>,
    name: &'r str,
    status_message: &'r str,
    severity_text: &'r str,
}

impl Sources {
    pub(super) fn new(config: &ColumnsConfig, slots: &mut SlotsOfKeys, keys: &mut Keys) -> Result<Sources, MapError> {
        let mut tables = <[Vec<ColumnSources>; Table::ALL.len()]>::default();
        let ColumnsConfig { invocations, rate_limits, deployments, errors } = config;
        let named = (invocations.iter().map(|(column, config)| (Table::Invocations, column.0, config)))
            .chain(rate_limits.iter().map(|(column, config)| (Table::RateLimits, column.0, config)))
            .chain(deployments.iter().map(|(column, config)| (Table::Deployments, column.0, config)))
            .chain(errors.iter().map(|(column, config)| (Table::Errors, column.0, config)));
        for (table, index, config) in named {
            let column = &table.columns()[index];
            let full = || format!("{}.{}", table.name(), column.name);
            if config.field.is_some() && column.kind != ColumnType::String {
                return Err(MapError::FieldIsText { column: full() });
            }
            if config.value.is_some() && column.raw == Raw::Id {
                return Err(MapError::FixedId { column: full() });
            }
            let attributes = config.attribute.as_ref().map_or(&[][..], OneOrMore::names);
            tables[table.index()].push(ColumnSources {
                column,
                attributes: attributes.iter().map(|name| slots.intern_also(name, keys)).collect(),
                field: config.field,
                value: config.value.as_ref().map(Literal::value),
                keeps_preset: config.otherwise == Some(Otherwise::Preset),
            });
        }
        Ok(Sources { tables })
    }

    fn of(&self, table: Table) -> &[ColumnSources] {
        &self.tables[table.index()]
    }
}

impl<'r> Current<'r> {
    pub(super) fn span(span: &'r Span<'_>) -> Current<'r> {
        Current {
            scope: span.scope,
            trace_id: Some(span.trace_id),
            span_id: Some(span.span_id),
            parent_span_id: span.parent_span_id,
            name: &span.name,
            status_message: &span.status_message,
            severity_text: "",
        }
    }

    pub(super) fn log(log: &'r LogRecord<'_>) -> Current<'r> {
        Current {
            scope: log.scope,
            trace_id: log.trace_id,
            span_id: log.span_id,
            name: &log.event_name,
            severity_text: &log.severity_text,
            ..Current::default()
        }
    }

    pub(super) fn point(metric: &'r Metric<'_>) -> Current<'r> {
        Current { scope: metric.scope, name: &metric.name, ..Current::default() }
    }
}

impl<'m, 'r> Pass<'m, 'r, '_> {
    /// The id of the invocation that the record in view is or belongs to, where `invocations.invocation_id` has other sources.
    pub(super) fn invocation_id_by_sources(&self) -> Option<Cow<'r, str>> {
        let mut sources = self.mapping.sources.of(Table::Invocations).iter();
        let id = sources.find(|source| source.column.name == "invocation_id")?;
        self.sent_text(id, false)
    }

    pub(super) fn fill_invocation<'s>(&mut self, row: &mut InvocationRow<'s>)
    where
        'm: 's,
        'r: 's,
    {
        let sources = self.mapping.sources.of(Table::Invocations);
        if sources.is_empty() {
            return;
        }
        let succeeded = row.success;
        for source in sources {
            if let Some(cell) = self.cell(source, false) {
                set_invocation(row, source.column.name, cell);
            }
        }
        if row.success {
            (row.error_type, row.error_message) = (None, None);
        } else if succeeded && row.error_type.is_none() {
            row.error_type = Some(self.failure_type(None));
        }
    }

    pub(super) fn fill_rate_limit<'s>(&mut self, row: &mut RateLimitRow<'s>)
    where
        'm: 's,
        'r: 's,
    {
        for source in self.mapping.sources.of(Table::RateLimits) {
            if let Some(cell) = self.cell(source, false) {
                set_rate_limit(row, source.column.name, cell);
            }
        }
    }

    pub(super) fn fill_deployment<'s>(&mut self, row: &mut DeploymentRow<'s>)
    where
        'm: 's,
        'r: 's,
    {
        for source in self.mapping.sources.of(Table::Deployments) {
            if let Some(cell) = self.cell(source, false) {
                set_deployment(row, source.column.name, cell);
            }
        }
    }

    /// `in_event`: the event in view is asked before its span.
    pub(super) fn fill_error<'s>(&mut self, row: &mut ErrorRow<'s>, in_event: bool)
    where
        'm: 's,
        'r: 's,
    {
        for source in self.mapping.sources.of(Table::Errors) {
            if let Some(cell) = self.cell(source, in_event) {
                set_error(row, source.column.name, cell);
            }
        }
    }

    /// What a column becomes; `None` where it stays as the preset has it.
    fn cell<'s>(&mut self, source: &'s ColumnSources, in_event: bool) -> Option<Cell<'s>>
    where
        'r: 's,
    {
        let column = source.column;
        let found = if column.raw == Raw::Address {
            self.sent_address(source).map(|address| Cell::Text(Some(address)))
        } else if column.kind == ColumnType::String {
            self.sent_text(source, in_event).map(|text| Cell::Text(Some(text)))
        } else {
            let mut slots = source.attributes.iter();
            slots.find_map(|slot| self.number(column, self.lookup.at(*slot, in_event)?))
        };
        let fixed = source.value.as_ref();
        found.or_else(|| Cell::of(column, fixed?, self.lookup.attributes()).ok()?).or_else(|| {
            let null = || Cell::null(column.kind);
            (!source.keeps_preset).then(null)
        })
    }

    /// A number out of its column's range is counted, and no value.
    fn number<'s>(&mut self, column: &Column, value: &'r Value<'_>) -> Option<Cell<'s>>
    where
        'r: 's,
    {
        Cell::of(column, value, self.lookup.attributes()).unwrap_or_else(|_| {
            self.tally.note(Note::OutOfRange, 1);
            None
        })
    }

    fn sent_text(&self, source: &ColumnSources, in_event: bool) -> Option<Cow<'r, str>> {
        let attributes = self.lookup.attributes();
        let mut sent = source.attributes.iter().filter_map(|slot| self.lookup.at(*slot, in_event)?.as_str_text(attributes));
        let keeps_spaces = matches!(source.column.name, "error_message" | "stack_trace" | "rollback_reason");
        let text = if keeps_spaces { sent.next() } else { sent.find_map(trimmed) };
        text.or_else(|| self.field(source.field?))
    }

    fn sent_address(&mut self, source: &ColumnSources) -> Option<Cow<'r, str>> {
        let mut unreadable = false;
        for slot in &source.attributes {
            let Some(value) = self.lookup.at(*slot, false) else { continue };
            let hops = slot.is(Attr::HttpHeaderForwardedFor).then_some(self.mapping.trusted_hops);
            match self.lookup.address_in(value, hops) {
                Some(address) => return Some(address),
                None => unreadable = true,
            }
        }
        if unreadable {
            self.tally.note(Note::UnreadableAddress, 1);
        }
        self.field(source.field?)
    }

    fn field(&self, field: RecordField) -> Option<Cow<'r, str>> {
        let current = &self.current;
        let scope = || self.records.scopes.get(current.scope as usize);
        let text = match field {
            RecordField::TraceId => return current.trace_id.map(|id| Cow::Owned(id.to_string())),
            RecordField::SpanId => return current.span_id.map(|id| Cow::Owned(id.to_string())),
            RecordField::ParentSpanId => return current.parent_span_id.map(|id| Cow::Owned(id.to_string())),
            RecordField::Name => current.name,
            RecordField::StatusMessage => current.status_message,
            RecordField::SeverityText => current.severity_text,
            RecordField::ScopeName => scope()?.name.as_ref(),
            RecordField::ScopeVersion => scope()?.version.as_ref(),
        };
        trimmed(Cow::Borrowed(text))
    }
}
