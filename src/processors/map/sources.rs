//! Sources of columns that the configuration puts in the place of the preset's.
//!
//! ```yaml
//! map:
//!   columns:
//!     invocations:
//!       version: { attribute: [app.version, service.version], else: preset }
//!       region: { value: eu-west-1 }
//!       trace_id: { field: trace_id }                       # a column that the preset does not have
//!       tenant: { attribute: app.tenant, type: string }
//!     errors:
//!       error_type: { field: severity_text }
//! ```
//! The sources are compiled into slots when the chain is built; a column that is not named costs nothing.
//!
//! Invariants: derived ids are made before these sources are read, so that no override changes one. A column keeps its rules: its type, its
//! range, the words of `language` and `status`, an address as `client_ip`, no error on a success.

mod config;

use std::borrow::Cow;

use super::cells::{OutOfRange, has_words, set_deployment, set_error, set_invocation, set_rate_limit, word};
use super::lookup::{Attr, Slot, SlotsOfKeys, trimmed};
use super::metrics::OneOrMore;
use super::{MapError, Pass};
use crate::processors::Note;
use crate::processors::literal::Literal;
use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{LogRecord, Metric, Span, SpanId, TraceId, Value};
use crate::tables::rows::{Cell, DeploymentRow, ErrorRow, InvocationRow, RateLimitRow};
use crate::tables::{Column, ColumnType, Raw, Table};

pub use config::{AddedType, ColumnConfig, ColumnsConfig, Otherwise, RecordField, Sourced, TableColumns};

/// The sources that were set, compiled.
#[derive(Debug, Default)]
pub(super) struct Sources {
    tables: [Vec<ColumnSources>; Table::ALL.len()],
    added: [Vec<AddedSources>; Table::ALL.len()],
}

/// Of a column of the preset.
#[derive(Debug)]
struct ColumnSources {
    column: &'static Column,
    origin: Origin,
    keeps_preset: bool,
}

/// Of an added column; they stand in the order of its table's schema.
#[derive(Debug)]
struct AddedSources {
    kind: ColumnType,
    origin: Origin,
}

#[derive(Debug)]
struct Origin {
    attributes: Vec<Slot>,
    field: Option<RecordField>,
    value: Option<Value<'static>>,
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
        let mut sources = Sources::default();
        for (table, column, config) in config.named() {
            let origin = Origin::new(config, slots, keys);
            let Ok(column) = column else {
                let kind = config.added_type().unwrap_or(ColumnType::String);
                sources.added[table.index()].push(AddedSources { kind, origin });
                continue;
            };
            let full = || format!("{}.{}", table.name(), column.name);
            if config.field.is_some() && column.kind != ColumnType::String {
                return Err(MapError::FieldIsText { column: full() });
            }
            if config.value.is_some() && column.raw == Raw::Id {
                return Err(MapError::FixedId { column: full() });
            }
            let keeps_preset = config.otherwise == Some(Otherwise::Preset);
            sources.tables[table.index()].push(ColumnSources { column, origin, keeps_preset });
        }
        Ok(sources)
    }

    fn of(&self, table: Table) -> &[ColumnSources] {
        &self.tables[table.index()]
    }
}

impl Origin {
    fn new(config: &ColumnConfig, slots: &mut SlotsOfKeys, keys: &mut Keys) -> Origin {
        let attributes = config.attribute.as_ref().map_or(&[][..], OneOrMore::names);
        Origin {
            attributes: attributes.iter().map(|name| slots.intern_also(name, keys)).collect(),
            field: config.field,
            value: config.value.as_ref().map(Literal::to_value),
        }
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
        self.sent_text(&id.origin, false, false)
    }

    pub(super) fn fill_invocation<'s>(&mut self, row: &mut InvocationRow<'s>)
    where
        'm: 's,
        'r: 's,
    {
        row.added = self.added(Table::Invocations, false);
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
        row.added = self.added(Table::RateLimits, false);
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
        row.added = self.added(Table::Deployments, false);
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
        row.added = self.added(Table::Errors, in_event);
        for source in self.mapping.sources.of(Table::Errors) {
            if let Some(cell) = self.cell(source, in_event) {
                set_error(row, source.column.name, cell);
            }
        }
    }

    /// The values of the added columns, in their order.
    fn added<'s>(&mut self, table: Table, in_event: bool) -> Vec<Cell<'s>>
    where
        'm: 's,
        'r: 's,
    {
        let mapping = self.mapping;
        let added = &mapping.sources.added[table.index()];
        if added.is_empty() {
            return Vec::new();
        }
        added.iter().map(|source| self.added_cell(source, in_event).unwrap_or(Cell::null(source.kind))).collect()
    }

    fn added_cell<'s>(&mut self, source: &'s AddedSources, in_event: bool) -> Option<Cell<'s>>
    where
        'r: 's,
    {
        let AddedSources { kind, origin } = source;
        let found = if *kind == ColumnType::String {
            self.sent_text(origin, in_event, false).map(|text| Cell::Text(Some(text)))
        } else {
            self.sent_number(origin, in_event, |value, attributes| Cell::read(*kind, value, attributes))
        };
        found.or_else(|| Cell::read(*kind, origin.value.as_ref()?, self.lookup.attributes()).ok()?)
    }

    /// What a column of the preset becomes; `None` where it stays as the preset has it.
    fn cell<'s>(&mut self, source: &'s ColumnSources, in_event: bool) -> Option<Cell<'s>>
    where
        'r: 's,
    {
        let ColumnSources { column, origin, keeps_preset } = source;
        let found = if column.raw == Raw::Address {
            self.sent_address(origin).map(|address| Cell::Text(Some(address)))
        } else if has_words(column) {
            self.sent_word(column, origin, in_event)
        } else if column.kind == ColumnType::String {
            let keeps_spaces = matches!(column.name, "error_message" | "stack_trace" | "rollback_reason");
            self.sent_text(origin, in_event, keeps_spaces).map(|text| Cell::Text(Some(text)))
        } else {
            self.sent_number(origin, in_event, |value, attributes| Cell::of(column, value, attributes))
        };
        let fixed = origin.value.as_ref();
        found.or_else(|| Cell::of(column, fixed?, self.lookup.attributes()).ok()?).or_else(|| {
            let null = || Cell::null(column.kind);
            (!keeps_preset).then(null)
        })
    }

    /// The first value that reads as a number, flag or time. One out of its column's range is counted, and no value.
    fn sent_number<'s>(
        &mut self,
        origin: &Origin,
        in_event: bool,
        read: impl Fn(&'r Value<'_>, &'r Attributes<'_>) -> Result<Option<Cell<'r>>, OutOfRange>,
    ) -> Option<Cell<'s>>
    where
        'r: 's,
    {
        let attributes = self.lookup.attributes();
        origin.attributes.iter().find_map(|slot| {
            read(self.lookup.at(*slot, in_event)?, attributes).unwrap_or_else(|_| {
                self.tally.note(Note::OutOfRange, 1);
                None
            })
        })
    }

    /// The first text that is one of the column's words. Another is counted, and no value.
    fn sent_word<'s>(&mut self, column: &Column, origin: &Origin, in_event: bool) -> Option<Cell<'s>>
    where
        'r: 's,
    {
        let sent = self.sent_number(origin, in_event, |value, attributes| Cell::of(column, value, attributes));
        sent.or_else(|| {
            let word = word(column, self.field(origin.field?)?);
            self.tally.note(Note::OutOfRange, u64::from(word.is_err()));
            word.ok().map(|text| Cell::Text(Some(text)))
        })
    }

    fn sent_text(&self, origin: &Origin, in_event: bool, keeps_spaces: bool) -> Option<Cow<'r, str>> {
        let attributes = self.lookup.attributes();
        let mut sent = origin.attributes.iter().filter_map(|slot| self.lookup.at(*slot, in_event)?.as_str_text(attributes));
        let text = if keeps_spaces { sent.next() } else { sent.find_map(trimmed) };
        text.or_else(|| self.field(origin.field?))
    }

    fn sent_address(&mut self, origin: &Origin) -> Option<Cow<'r, str>> {
        let mut unreadable = false;
        for slot in &origin.attributes {
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
        self.field(origin.field?)
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
