//! Rows of `invocations` from spans.

use std::borrow::Cow;

use super::Pass;
use super::client::Client;
use super::identity::DerivedId;
use super::lookup::Attr;
use super::preset;
use super::selection::Facts;
use crate::processors::Note;
use crate::signals::{Span, SpanKind, StatusCode, Timestamp, Value};
use crate::tables::rows::{InvocationRow, RowsFull};

/// What is known of a failure.
#[derive(Debug, Default)]
pub struct Failure<'r> {
    pub error_type: Option<Cow<'r, str>>,
    pub error_message: Option<Cow<'r, str>>,
}

/// The exceptions recorded on a span.
#[derive(Debug, Default)]
struct Exceptions<'r> {
    last_type: Option<Cow<'r, str>>,
    last_message: Option<Cow<'r, str>>,
    escaped: bool,
}

impl<'r> Pass<'_, 'r, '_> {
    /// The row of a span in view that is an invocation; and a row of `rate_limits` where its answer was 429.
    pub(super) fn push_invocation(&mut self, span: &'r Span<'_>, facts: &Facts<'r>) -> Result<(), RowsFull> {
        let duration_ms = self.duration_ms(span);
        let started_at = self.started_at(span, duration_ms).micros();
        let failure = self.failure(span);
        let success = failure.is_none();
        let failure = failure.unwrap_or_default();
        let derived;
        let mut row = InvocationRow {
            invocation_id: if let Some(native) = &facts.native {
                Cow::Borrowed(native.id.as_ref())
            } else {
                derived = self.mapping.identity.invocation(span.trace_id, span.span_id);
                Cow::Borrowed(derived.as_str())
            },
            started_at,
            duration_ms,
            success,
            error_type: failure.error_type,
            error_message: failure.error_message,
            ..self.invocation_from_attributes(Some(&span.name))
        };
        // Sources that are set for one table are not another's.
        let is_server_side = !matches!(span.kind, SpanKind::Client | SpanKind::Producer);
        if is_server_side && self.lookup.http_status() == Some(429) {
            self.push_limited_span(span, &row)?;
        }
        self.fill_invocation(&mut row);
        self.rows.push_invocation(&row)
    }

    /// The columns of an invocation that are read in the same way from spans, logs and points.
    pub(super) fn invocation_from_attributes(&mut self, name: Option<&'r str>) -> InvocationRow<'r> {
        InvocationRow {
            function_id: self.lookup.function_id(name),
            language: self.lookup.language(),
            version: self.lookup.version(),
            cold_start: self.lookup.cold_start(),
            memory_used_bytes: preset::MEMORY.into_iter().find_map(|attr| self.size(attr)),
            client_ip: self.client_ip(),
            region: self.lookup.region(),
            colo: self.lookup.colo(),
            ..InvocationRow::default()
        }
    }

    pub(super) fn client_ip(&mut self) -> Option<Cow<'r, str>> {
        match self.lookup.client(self.mapping.trusted_hops) {
            Client::Address(address) => Some(address),
            Client::Unknown => None,
            Client::Unreadable => {
                self.tally.note(Note::UnreadableAddress, 1);
                None
            }
        }
    }

    /// The id of the row that an invocation's span makes.
    pub(super) fn row_id(&self, span: &Span<'_>, facts: &Facts<'r>) -> Cow<'r, str> {
        if let Some(id) = facts.sourced_id.as_ref().or(facts.native.as_ref().map(|native| &native.id)) {
            return id.clone();
        }
        let id: DerivedId = self.mapping.identity.invocation(span.trace_id, span.span_id);
        Cow::Owned(id.as_str().to_owned())
    }

    /// An end outside the window is none: it would be a duration of centuries.
    fn duration_ms(&mut self, span: &Span<'_>) -> Option<f64> {
        let end = self.window.first(&[span.end]).unwrap_or_else(|_| {
            self.tally.note(Note::OutOfRange, 1);
            None
        });
        if let (Some(start), Some(end)) = (span.start.credible(), end) {
            if end >= start {
                #[allow(clippy::cast_precision_loss, reason = "exact up to 104 days")]
                return Some((end.0 - start.0) as f64 / 1e6);
            }
            self.tally.note(Note::NegativeDuration, 1);
        }
        self.wall_time_ms()
    }

    pub(super) fn wall_time_ms(&mut self) -> Option<f64> {
        let (tally, lookup) = (&mut *self.tally, &self.lookup);
        let mut read = |value: &Value<'_>| {
            let millis = value.as_f64().filter(|millis| *millis >= 0.0);
            if millis.is_none() && value.is_number() {
                tally.note(Note::OutOfRange, 1);
            }
            millis
        };
        preset::WALL_TIME.into_iter().find_map(|attr| lookup.read(attr, &mut read))
    }

    /// `faas.time` is no source: it is the schedule.
    fn started_at(&mut self, span: &Span<'_>, duration_ms: Option<f64>) -> Timestamp {
        if let Some(start) = span.start.credible() {
            return start;
        }
        match span.end.credible() {
            Some(end) => before(end, duration_ms.unwrap_or(0.0)),
            None => self.time_of_receipt(),
        }
    }

    /// `None` for a success.
    fn failure(&mut self, span: &'r Span<'_>) -> Option<Failure<'r>> {
        let exceptions = self.exceptions(span);
        let says_error = span.status == StatusCode::Error && !(span.kind == SpanKind::Server && self.repeats_client_error());
        let failed = says_error || exceptions.escaped || self.attributes_say_failure();
        failed.then(|| Failure {
            error_type: Some(self.failure_type(exceptions.last_type)),
            error_message: exceptions
                .last_message
                .or_else(|| (!span.status_message.is_empty()).then_some(Cow::Borrowed(span.status_message.as_ref())))
                .or_else(|| self.lookup.text(&preset::ERROR_MESSAGE)),
        })
    }

    /// Whether outcome, status or error type say that the record in view failed. A server's 4xx is its client's fault.
    pub(super) fn attributes_say_failure(&self) -> bool {
        self.bad_outcome().is_some()
            || self.lookup.http_status().is_some_and(|status| status >= 500)
            || self.lookup.flag(preset::BATCH_SUCCESS) == Some(false)
            || (self.lookup.id(&preset::ERROR_TYPE).is_some() && !self.repeats_client_error())
    }

    /// Deno sets `error.type` to the HTTP status, and its span to ERROR, for every answer from 400 on.
    fn repeats_client_error(&self) -> bool {
        let Some(status) = self.lookup.http_status().filter(|status| (400..500).contains(status)) else { return false };
        self.lookup.id(&preset::ERROR_TYPE).is_some_and(|error_type| error_type.parse() == Ok(status))
    }

    fn bad_outcome(&self) -> Option<Cow<'r, str>> {
        self.lookup.id(&preset::OUTCOME).filter(|outcome| !outcome.eq_ignore_ascii_case("ok"))
    }

    pub(super) fn failure_type(&self, exception_type: Option<Cow<'r, str>>) -> Cow<'r, str> {
        let status = || self.lookup.http_status().filter(|status| *status >= 400).map(|status| Cow::Owned(status.to_string()));
        self.lookup
            .id(&preset::ERROR_TYPE)
            .or(exception_type)
            .or_else(|| self.bad_outcome())
            .or_else(status)
            .unwrap_or(Cow::Borrowed("_OTHER"))
    }

    fn exceptions(&mut self, span: &'r Span<'_>) -> Exceptions<'r> {
        let mut exceptions = Exceptions::default();
        for event in self.records.events.get(span.events.range()).unwrap_or(&[]) {
            if event.name != super::errors::EXCEPTION {
                continue;
            }
            self.lookup.view_event(event.attributes);
            exceptions.last_type = self.lookup.event_text(Attr::ExceptionType).or(exceptions.last_type);
            exceptions.last_message = self.lookup.event_text(Attr::ExceptionMessage).or(exceptions.last_message);
            exceptions.escaped |= self.lookup.event_flag(Attr::ExceptionEscaped) == Some(true);
        }
        exceptions
    }
}

/// A time that lies some milliseconds before another.
pub fn before(time: Timestamp, millis: f64) -> Timestamp {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from double saturates")]
    let nanos = (millis * 1e6) as u64;
    Timestamp(time.0.saturating_sub(nanos)).credible().unwrap_or(time)
}
