//! Rows of `rate_limits`: from logs of the event `faas.rate_limit`, and from invocations that were answered with 429.
//!
//! No convention has such an event; docs/mapping.md has floe's. Log and span of one refused request get the same `event_id`.

use std::borrow::Cow;

use super::Pass;
use super::cells::is_word;
use super::identity::Fields;
use super::lookup::Attr;
use super::preset;
use crate::processors::Note;
use crate::signals::{LogRecord, Span, Timestamp, Value};
use crate::tables::Table;
use crate::tables::rows::{InvocationRow, RateLimitRow, RowsFull};

/// The event name of floe's own convention.
pub const RATE_LIMIT: &str = "faas.rate_limit";

impl<'r> Pass<'_, 'r, '_> {
    pub(super) fn push_rate_limit(&mut self, log: &LogRecord<'_>, at: Timestamp) -> Result<(), RowsFull> {
        let mut row = self.rate_limit_from_attributes(at);
        let derived;
        let native = self.lookup.id(&preset::RECORD_ID);
        row.event_id = if let Some(uid) = native {
            uid
        } else {
            let fields = match (log.trace_id, log.span_id) {
                (Some(trace), Some(span)) => self.limit_in_span().span(trace, span),
                _ => limit_without_span(self.mapping.identity.of(Table::RateLimits), &row),
            };
            derived = self.ordinals.next(fields);
            Cow::Borrowed(derived.as_str())
        };
        self.fill_rate_limit(&mut row);
        self.rows.push_rate_limit(&row)
    }

    /// The invocation in view was answered with 429: too many requests.
    pub(super) fn push_limited_span(&mut self, span: &Span<'_>, invocation: &InvocationRow<'_>) -> Result<(), RowsFull> {
        let fields = self.limit_in_span().span(span.trace_id, span.span_id);
        let event_id = self.ordinals.next(fields);
        let mut row = RateLimitRow {
            event_id: Cow::Borrowed(event_id.as_str()),
            function_id: invocation.function_id.as_deref().map(Cow::Borrowed),
            client_ip: invocation.client_ip.as_deref().map(Cow::Borrowed),
            occurred_at: invocation.started_at,
            // What refused the request is not known, only that it was; a header may tell how many are allowed.
            limit_type: None,
            limit_value: self.limit_in_header(),
            region: invocation.region.as_deref().map(Cow::Borrowed),
            colo: invocation.colo.as_deref().map(Cow::Borrowed),
            added: Vec::new(),
        };
        self.fill_rate_limit(&mut row);
        self.rows.push_rate_limit(&row)
    }

    /// The columns of a rate limit that are read in the same way from logs and points.
    pub(super) fn rate_limit_from_attributes(&mut self, at: Timestamp) -> RateLimitRow<'r> {
        RateLimitRow {
            event_id: Cow::Borrowed(""),
            function_id: self.lookup.function_id(None),
            client_ip: self.client_ip(),
            occurred_at: at.micros(),
            limit_type: self.word(&preset::LIMIT_TYPE, limit_type),
            limit_value: self.limit(preset::LIMIT),
            region: self.lookup.region(),
            colo: self.lookup.colo(),
            added: Vec::new(),
        }
    }

    fn limit_in_span(&self) -> Fields {
        self.mapping.identity.of(Table::RateLimits).text("span")
    }

    fn limit(&mut self, attr: Attr) -> Option<i32> {
        self.bounded(attr, 0..=i64::from(i32::MAX)).and_then(|limit| i32::try_from(limit).ok())
    }

    /// `100`, or `100, 100;w=60` as in the drafts of the RateLimit headers.
    fn limit_in_header(&mut self) -> Option<i32> {
        let value = self.lookup.get(preset::LIMIT_HEADER)?;
        let limit = match value.elements(self.lookup.attributes()).first()? {
            Value::Str(text) => text.split([',', ';']).next()?.trim().parse().ok()?,
            value => value.as_i64()?,
        };
        let within = i32::try_from(limit).ok().filter(|limit| *limit >= 0);
        if within.is_none() {
            self.tally.note(Note::OutOfRange, 1);
        }
        within
    }
}

/// What a limit is for; the column has no other words.
pub fn limit_type(sent: &str) -> Option<&'static str> {
    ["per_ip", "per_function", "global"].into_iter().find(|word| is_word(sent, word))
}

fn limit_without_span(fields: Fields, row: &RateLimitRow<'_>) -> Fields {
    fields
        .text("record")
        .optional(row.function_id.as_deref())
        .optional(row.client_ip.as_deref())
        .bytes(&row.occurred_at.to_le_bytes())
}
