//! Invocations that leave a log: off by default, because with spans they would count twice.
//!
//! Cloudflare writes one log a request with `cloudflare.handler_type` and `faas.invocation_id`. Lambda writes `platform.report` with a
//! body `REPORT RequestId: … Duration: … Max Memory Used: …`, also for a process that timed out and never sent its span.

use std::borrow::Cow;

use super::Pass;
use super::invocations::before;
use super::lookup::{Attr, trimmed};
use crate::signals::{LogRecord, Timestamp, Value};
use crate::tables::rows::{InvocationRow, RowsFull};

const BYTES_A_MEGABYTE: i64 = 1_048_576;

/// A REPORT line of AWS Lambda.
#[derive(Clone, Debug, Default, PartialEq)]
struct Report<'r> {
    request_id: Option<&'r str>,
    duration_ms: Option<f64>,
    max_memory_used: Option<i64>,
    has_init: bool,
    /// `timeout`, `error`, `failure`; absent on success.
    status: Option<&'r str>,
    error_type: Option<&'r str>,
}

impl<'r> Pass<'_, 'r, '_> {
    /// A row if the log in view stands for an invocation; says whether it does.
    pub(super) fn push_log_invocation(&mut self, log: &'r LogRecord<'_>, time: Option<Timestamp>) -> Result<bool, RowsFull> {
        if self.lookup.is(Attr::Type, "platform.report") {
            let Value::Str(body) = &log.body else { return Ok(false) };
            let Some(report) = Report::parse(body) else { return Ok(false) };
            return self.push_report(&report, time);
        }
        let is_handler =
            self.lookup.own(Attr::CloudflareHandlerType).is_some() && self.lookup.own(Attr::CloudflareOutcome).is_none();
        match self.lookup.id(&[Attr::FaasInvocationId]) {
            Some(id) if is_handler => self.push_handler(id, time).map(|()| true),
            _ => Ok(false),
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
            error_message: self.lookup.text(&[Attr::ErrorMessage]).filter(|_| failed),
            ..self.invocation_from_attributes(None)
        };
        self.fill_invocation(&mut row);
        self.rows.push_invocation(&row)
    }

    /// The log is written when the invocation ends.
    fn push_report(&mut self, report: &Report<'r>, time: Option<Timestamp>) -> Result<bool, RowsFull> {
        let native = self.lookup.id(&[Attr::FaasInvocationId]);
        let Some(invocation_id) = native.or(report.request_id.map(Cow::Borrowed)) else { return Ok(false) };
        let at = time.unwrap_or_else(|| self.time_of_receipt());
        let failed = report.status.is_some_and(|status| !status.eq_ignore_ascii_case("success"));
        let attributes = self.invocation_from_attributes(None);
        let mut row = InvocationRow {
            invocation_id,
            started_at: before(at, report.duration_ms.unwrap_or(0.0)).micros(),
            duration_ms: report.duration_ms,
            success: !failed,
            error_type: report.error_type.or(report.status).filter(|_| failed).map(Cow::Borrowed),
            cold_start: attributes.cold_start.or(Some(report.has_init)),
            memory_used_bytes: attributes.memory_used_bytes.or(report.max_memory_used),
            ..attributes
        };
        self.fill_invocation(&mut row);
        self.rows.push_invocation(&row)?;
        Ok(true)
    }
}

impl<'r> Report<'r> {
    /// `None` for a text that is no REPORT line. Its fields are `Name: value`, with tabs between them.
    fn parse(line: &'r str) -> Option<Report<'r>> {
        let fields = line.trim().strip_prefix("REPORT ")?;
        let mut report = Report::default();
        for field in fields.split('\t') {
            let Some((name, value)) = field.split_once(':') else { continue };
            let value = value.trim();
            let number = || value.split(' ').next().and_then(|number| number.parse::<f64>().ok()).filter(|number| *number >= 0.0);
            match name.trim() {
                "RequestId" => report.request_id = Some(value).filter(|id| !id.is_empty()),
                "Duration" => report.duration_ms = number(),
                "Max Memory Used" => report.max_memory_used = megabytes(value),
                "Init Duration" => report.has_init = true,
                "Status" => report.status = Some(value),
                "Error Type" => report.error_type = Some(value),
                _ => {}
            }
        }
        Some(report)
    }
}

/// `70 MB` in bytes.
fn megabytes(value: &str) -> Option<i64> {
    let number = trimmed(Cow::Borrowed(value.strip_suffix("MB")?))?;
    number.parse::<i64>().ok().filter(|number| *number >= 0)?.checked_mul(BYTES_A_MEGABYTE)
}
