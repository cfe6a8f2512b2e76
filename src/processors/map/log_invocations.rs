//! Invocations that leave a log: off by default, because with spans they would count twice.
//!
//! Cloudflare writes one log a request with `cloudflare.handler_type` and `faas.invocation_id`. Lambda writes `platform.report`, also
//! for a process that timed out and never sent its span. Each id makes one row a request, the first.

use std::borrow::Cow;

use super::invocations::before;
use super::lookup::Attr;
use super::preset;
use super::report::{PLATFORM_REPORT, Report};
use super::window::Stray;
use super::{Pass, Unmappable};
use crate::signals::{LogRecord, Timestamp, Value};
use crate::tables::rows::{InvocationRow, RowsFull};

impl<'r> Pass<'_, 'r, '_> {
    /// A row if the log in view stands for an invocation that has none yet; says whether it does.
    pub(super) fn push_log_invocation(
        &mut self,
        log: &'r LogRecord<'_>,
        time: Result<Option<Timestamp>, Stray>,
    ) -> Result<bool, Unmappable> {
        if let Some(report) = self.report(log) {
            return self.push_report(&report, time);
        }
        let is_handler =
            self.lookup.own(Attr::CloudflareHandlerType).is_some() && self.lookup.own(Attr::CloudflareOutcome).is_none();
        match self.lookup.id(&[Attr::FaasInvocationId]) {
            Some(id) if is_handler && self.logged.insert(id.as_ref().to_owned()) => {
                self.push_handler(id, time?)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn report(&self, log: &LogRecord<'_>) -> Option<Report> {
        let is_typed = self.lookup.is(Attr::Type, PLATFORM_REPORT);
        match &log.body {
            Value::Str(body) if is_typed || body.contains(PLATFORM_REPORT) => Report::read(body, is_typed),
            body @ Value::Map(_) => {
                let names = |value: &Value<'_>| value.as_str() == Some(PLATFORM_REPORT);
                let attributes = self.lookup.attributes();
                let is_named = is_typed || body.entry(attributes, "type").is_some_and(names);
                is_named.then(|| body.as_str_text(attributes)).flatten().and_then(|body| Report::read(&body, is_typed))
            }
            _ => None,
        }
    }

    fn push_handler(&mut self, invocation_id: Cow<'r, str>, time: Option<Timestamp>) -> Result<(), RowsFull> {
        let failed = self.attributes_say_failure();
        let at = time.unwrap_or_else(|| self.time_of_receipt());
        let mut row = InvocationRow {
            invocation_id,
            started_at: at.micros(),
            duration_ms: self.wall_time_ms(),
            success: !failed,
            error_type: failed.then(|| self.failure_type(None)),
            error_message: self.lookup.text(&preset::ERROR_MESSAGE).filter(|_| failed),
            ..self.invocation_from_attributes(None)
        };
        self.fill_invocation(&mut row);
        self.rows.push_invocation(&row)
    }

    /// The log is written when the invocation ends.
    fn push_report(&mut self, report: &Report, time: Result<Option<Timestamp>, Stray>) -> Result<bool, Unmappable> {
        let native = self.lookup.id(&preset::INVOCATION_ID);
        let Some(invocation_id) = native.or(report.request_id.as_deref().map(Cow::Borrowed)) else { return Ok(false) };
        if !self.logged.insert(invocation_id.as_ref().to_owned()) {
            return Ok(false);
        }
        let at = time?.unwrap_or_else(|| self.time_of_receipt());
        let failed = report.status.as_ref().is_some_and(|status| !status.eq_ignore_ascii_case("success"));
        let attributes = self.invocation_from_attributes(None);
        let duration_ms = self.wall_time_ms().or(report.duration_ms);
        let mut row = InvocationRow {
            invocation_id,
            started_at: before(at, duration_ms.unwrap_or(0.0)).micros(),
            duration_ms,
            success: !failed,
            error_type: report.error_type.as_deref().or(report.status.as_deref()).filter(|_| failed).map(Cow::Borrowed),
            // A report that names no start of its instance says nothing about it.
            cold_start: attributes.cold_start.or(report.has_init.then_some(true)),
            memory_used_bytes: attributes.memory_used_bytes.or(report.max_memory_used_bytes),
            ..attributes
        };
        self.fill_invocation(&mut row);
        self.rows.push_invocation(&row)?;
        Ok(true)
    }
}
