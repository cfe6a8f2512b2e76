//! Rows of `errors`: from `exception` events of spans, and from logs.
//!
//! An emitter may send one exception both ways (`dup` mode of the SDKs, Cloudflare always): both must get the same `error_id`, so it
//! is made of what both have: trace, span, type, message and the ordinal among equals in that span.

use std::borrow::Cow;

use super::body::{self, Body};
use super::identity::Fields;
use super::lookup::{Attr, Lookup, trimmed};
use super::preset;
use super::selection::{Facts, Selection};
use super::severity::Severity;
use super::{ErrorSource, Pass};
use crate::processors::Note;
use crate::signals::{Event, LogRecord, Span, Timestamp, Value};
use crate::tables::Table;
use crate::tables::rows::{ErrorRow, RowsFull};

/// The name of the span event that records an exception (semantic conventions, "Exceptions on spans").
pub const EXCEPTION: &str = "exception";

/// What an error says of itself.
#[derive(Debug, Default)]
struct Description<'r> {
    error_type: Option<Cow<'r, str>>,
    error_message: Option<Cow<'r, str>>,
    stack_trace: Option<Cow<'r, str>>,
}

impl<'r> Pass<'_, 'r, '_> {
    /// A row for every exception on the span in view; returns how many.
    pub(super) fn push_span_errors(&mut self, at: u32, facts: &[Facts<'r>], selection: &Selection) -> Result<usize, RowsFull> {
        let span = &self.records.spans[at as usize];
        let invocation = selection.nearest(at);
        let invocation_id = self.invocation_of_span(&facts[at as usize], invocation, facts);
        let name = invocation.map(|invocation| self.records.spans[invocation as usize].name.as_ref());
        let function_id = self.lookup.function_id(name);
        let (language, version) = (self.lookup.language(), self.lookup.version());
        let mut pushed = 0;
        for event in self.records.events.get(span.events.range()).unwrap_or(&[]) {
            if event.name != EXCEPTION {
                continue;
            }
            self.lookup.view_event(event.attributes);
            let exception = Description {
                error_type: self.lookup.event_text(Attr::ExceptionType),
                error_message: self.lookup.event_text(Attr::ExceptionMessage),
                stack_trace: self.lookup.event_text(Attr::ExceptionStacktrace),
            };
            let fields = error_in_span(self.mapping.identity.of(Table::Errors), span, &exception);
            let error_id = self.ordinals.next(fields);
            let status = || (!span.status_message.is_empty()).then_some(Cow::Borrowed(span.status_message.as_ref()));
            let mut row = ErrorRow {
                error_id: Cow::Borrowed(error_id.as_str()),
                invocation_id: invocation_id.as_deref().map(Cow::Borrowed),
                function_id: function_id.as_deref().map(Cow::Borrowed),
                occurred_at: self.time_of_event(event, span).micros(),
                error_type: exception.error_type.or_else(|| self.lookup.id(&preset::ERROR_TYPE)),
                error_message: exception.error_message.or_else(status),
                stack_trace: exception.stack_trace,
                language: language.as_deref().map(Cow::Borrowed),
                version: version.as_deref().map(Cow::Borrowed),
                added: Vec::new(),
            };
            self.fill_error(&mut row, true);
            self.rows.push_error(&row)?;
            pushed += 1;
        }
        Ok(pushed)
    }

    /// The id of its invocation by the configuration's sources; the invocation's own id; else the row that the span is or stands below; else the id of the request it served.
    fn invocation_of_span(&self, span: &Facts<'r>, invocation: Option<u32>, facts: &[Facts<'r>]) -> Option<Cow<'r, str>> {
        let sourced = facts.get(invocation.unwrap_or(u32::MAX) as usize).and_then(|fact| fact.sourced_id.as_ref());
        if let Some(own) = sourced.or(span.own_id()) {
            return Some(own.clone());
        }
        if let Some(at) = invocation {
            return Some(self.row_id(&self.records.spans[at as usize], &facts[at as usize]));
        }
        span.native.as_ref().map(|native| native.id.clone())
    }

    /// The time of an event; one that is absent or outside the window is that of its span.
    fn time_of_event(&mut self, event: &Event<'_>, span: &Span<'_>) -> Timestamp {
        for times in [[event.time].as_slice(), &[span.end, span.start]] {
            match self.window.first(times) {
                Ok(Some(time)) => return time,
                Ok(None) => {}
                Err(_) => self.tally.note(Note::OutOfRange, 1),
            }
        }
        self.time_of_receipt()
    }

    /// Whether the log in view is an error.
    pub(super) fn is_error(&self, log: &LogRecord<'_>, event_name: &str) -> bool {
        if !self.mapping.error_sources.contains(&ErrorSource::Log) {
            return false;
        }
        match Severity::of(log) {
            Some(severity) => severity.is_error(),
            None => self.has_exception(event_name),
        }
    }

    fn has_exception(&self, event_name: &str) -> bool {
        event_name == EXCEPTION
            || event_name.ends_with(".exception")
            || self.lookup.has(Attr::ExceptionType)
            || self.lookup.has(Attr::ExceptionMessage)
    }

    pub(super) fn push_log_error(&mut self, log: &'r LogRecord<'_>, event_name: &str, at: Timestamp) -> Result<(), RowsFull> {
        let exception = Description {
            error_type: self.lookup.text(&preset::EXCEPTION_TYPE),
            error_message: self.lookup.text(&preset::EXCEPTION_MESSAGE),
            stack_trace: self.lookup.text(&preset::EXCEPTION_STACK),
        };
        let is_exception = exception.error_type.is_some() || exception.error_message.is_some();
        let described = self.lookup.describe(log, &exception);
        let identified = if is_exception { &exception } else { &described };
        let native = self.lookup.id(&preset::RECORD_ID);
        let derived;
        let error_id = match (log.trace_id, log.span_id, &native) {
            (Some(trace), Some(span), _) => {
                let fields = described_error(self.mapping.identity.of(Table::Errors).text("span").span(trace, span), identified);
                derived = self.ordinals.next(fields);
                derived.as_str()
            }
            (_, _, Some(uid)) => uid.as_ref(),
            _ => {
                derived = self.ordinals.next(self.error_without_span(log, event_name));
                derived.as_str()
            }
        };
        let mut row = ErrorRow {
            error_id: Cow::Borrowed(error_id),
            invocation_id: self.invocation_of_log(log),
            function_id: self.lookup.function_id(None),
            occurred_at: at.micros(),
            error_type: described.error_type,
            error_message: described.error_message,
            stack_trace: described.stack_trace,
            language: self.lookup.language(),
            version: self.lookup.version(),
            added: Vec::new(),
        };
        self.fill_error(&mut row, false);
        self.rows.push_error(&row)
    }

    fn invocation_of_log(&self, log: &LogRecord<'_>) -> Option<Cow<'r, str>> {
        if let Some(id) = self.invocation_id_by_sources().or_else(|| self.lookup.native_id().map(|native| native.id)) {
            return Some(id);
        }
        let id = self.mapping.identity.invocation(log.trace_id?, log.span_id?);
        Some(Cow::Owned(id.as_str().to_owned()))
    }

    /// The columns of an error that a point can have.
    pub(super) fn error_from_attributes(&self, at: Timestamp) -> ErrorRow<'r> {
        ErrorRow {
            error_id: Cow::Borrowed(""),
            invocation_id: self.invocation_id_by_sources().or_else(|| self.lookup.native_id().map(|native| native.id)),
            function_id: self.lookup.function_id(None),
            occurred_at: at.micros(),
            error_type: self.lookup.text(&preset::EXCEPTION_TYPE).or_else(|| self.lookup.text(&preset::ERROR_TYPE)),
            error_message: self.lookup.text(&preset::EXCEPTION_MESSAGE).or_else(|| self.lookup.text(&preset::ERROR_MESSAGE)),
            stack_trace: self.lookup.text(&preset::EXCEPTION_STACK),
            language: self.lookup.language(),
            version: self.lookup.version(),
            added: Vec::new(),
        }
    }

    /// The fields of an error that stands in no span.
    fn error_without_span(&self, log: &LogRecord<'_>, event_name: &str) -> Fields {
        let fields = self.mapping.identity.of(Table::Errors);
        let own_id = self.lookup.native_id().filter(|native| native.own);
        if let (Some(native), Some(number)) = (own_id, self.lookup.int(Attr::CloudflareSequenceNumber)) {
            return fields.text("cloudflare").text(&native.id).bytes(&number.to_le_bytes());
        }
        self.record_fields(fields.text("record"), log, event_name)
    }

    /// Everything in a log but the order of its attributes: for records that have no other identity.
    fn record_fields(&self, fields: Fields, log: &LogRecord<'_>, event_name: &str) -> Fields {
        let attributes = self.lookup.attributes();
        let scope = self.records.scopes.get(log.scope as usize);
        let time = log.time.credible().or(log.observed.credible()).unwrap_or_default();
        let fields = fields
            .optional(scope.map(|scope| scope.name.as_ref()))
            .optional(scope.map(|scope| scope.version.as_ref()))
            .number(time.0)
            .text(event_name)
            .bytes(&log.severity.to_le_bytes())
            .text(&log.severity_text)
            .value(&log.body, attributes);
        let resource = scope.and_then(|scope| self.records.resources.get(scope.resource as usize));
        let runs = [resource.map(|resource| resource.attributes), scope.map(|scope| scope.attributes), Some(log.attributes)];
        runs.into_iter().map(Option::unwrap_or_default).fold(fields, |fields, run| {
            let mut sorted: Vec<_> = attributes.named(run).collect();
            sorted.sort_by_key(|(name, _)| *name);
            let fields = fields.number(sorted.len() as u64);
            sorted.into_iter().fold(fields, |fields, (name, value)| fields.text(name).value(value, attributes))
        })
    }
}

impl<'r> Lookup<'_, 'r, '_> {
    /// Type, message and stack of a log: its exception's, then what its body tells.
    fn describe(&self, log: &'r LogRecord<'_>, exception: &Description<'r>) -> Description<'r> {
        let complete = exception.error_type.is_some() && exception.error_message.is_some() && exception.stack_trace.is_some();
        let body = if complete { Body::default() } else { body::read(self.attributes(), &log.body) };
        let severity = || Severity::of(log).filter(|severity| severity.is_error()).map(|severity| Cow::Borrowed(severity.name()));
        Description {
            error_type: exception
                .error_type
                .clone()
                .or_else(|| self.id(&preset::ERROR_TYPE))
                .or(body.error_type)
                .or_else(severity),
            error_message: exception.error_message.clone().or(body.message).or_else(|| self.text(&preset::ERROR_MESSAGE)),
            stack_trace: exception.stack_trace.clone().or(body.stack),
        }
    }
}

fn error_in_span(fields: Fields, span: &Span<'_>, error: &Description<'_>) -> Fields {
    described_error(fields.text("span").span(span.trace_id, span.span_id), error)
}

fn described_error(fields: Fields, error: &Description<'_>) -> Fields {
    fields.optional(error.error_type.as_deref()).optional(error.error_message.as_deref())
}

/// The event name of a log: its field, or the attribute that stood for it before (`event.name`).
pub fn event_name<'r>(lookup: &Lookup<'_, 'r, '_>, log: &'r LogRecord<'_>) -> Cow<'r, str> {
    if !log.event_name.is_empty() {
        return Cow::Borrowed(log.event_name.as_ref());
    }
    match lookup.own(Attr::EventName) {
        Some(Value::Str(name)) => trimmed(Cow::Borrowed(name.as_ref())).unwrap_or_default(),
        _ => Cow::Borrowed(""),
    }
}
