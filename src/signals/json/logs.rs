//! Log records.

use std::borrow::Cow;

use serde::de::{Error, MapAccess, SeqAccess};

use super::embedded::{Context, any_value, attributes};
use super::fields::{List, Message, One, enumeration, skip, text, uint64};
use crate::signals::{LogRecord, Slice, SpanId, TOO_MANY, Timestamp, TraceId, Value};

const SEVERITIES: [&str; 25] = [
    "unspecified",
    "trace",
    "trace2",
    "trace3",
    "trace4",
    "debug",
    "debug2",
    "debug3",
    "debug4",
    "info",
    "info2",
    "info3",
    "info4",
    "warn",
    "warn2",
    "warn3",
    "warn4",
    "error",
    "error2",
    "error3",
    "error4",
    "fatal",
    "fatal2",
    "fatal3",
    "fatal4",
];

/// The log records of a scope. A wrong id counts as absent.
#[derive(Debug)]
pub struct Logs<'c, 'a> {
    pub context: &'c mut Context<'a>,
    pub scope: u32,
}

impl<'a> List<'a> for Logs<'_, 'a> {
    const NAME: &'static str = "logRecords";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        let log = LogRecord {
            scope: self.scope,
            time: Timestamp(0),
            observed: Timestamp(0),
            severity: 0,
            severity_text: Cow::Borrowed(""),
            event_name: Cow::Borrowed(""),
            body: Value::Empty,
            attributes: Slice::default(),
            trace_id: None,
            span_id: None,
        };
        let mut draft = Draft { context: self.context, log };
        let Some(present) = elements.next_element_seed(One(&mut draft))? else { return Ok(false) };
        let Draft { log, .. } = draft;
        if present {
            if self.context.records.is_full() {
                return Err(S::Error::custom(TOO_MANY));
            }
            self.context.records.received += 1;
            self.context.records.logs.push(log);
        }
        Ok(true)
    }
}

struct Draft<'c, 'a> {
    context: &'c mut Context<'a>,
    log: LogRecord<'a>,
}

impl<'a> Message<'a> for Draft<'_, 'a> {
    const NAME: &'static str = "LogRecord";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        let log = &mut self.log;
        match name {
            "timeUnixNano" => log.time = Timestamp(uint64(fields)?.unwrap_or_default()),
            "observedTimeUnixNano" => log.observed = Timestamp(uint64(fields)?.unwrap_or_default()),
            "severityNumber" => log.severity = enumeration(fields, "SEVERITY_NUMBER_", &SEVERITIES)?.unwrap_or_default(),
            "severityText" => log.severity_text = text(fields)?.unwrap_or_default(),
            "eventName" => log.event_name = text(fields)?.unwrap_or_default(),
            "body" => log.body = any_value(self.context, fields, 1)?,
            "attributes" => attributes(self.context, fields, &mut log.attributes)?,
            "traceId" => log.trace_id = text(fields)?.and_then(|id| TraceId::from_hex(&id)),
            "spanId" => log.span_id = text(fields)?.and_then(|id| SpanId::from_hex(&id)),
            _ => skip(fields)?,
        }
        Ok(())
    }
}
