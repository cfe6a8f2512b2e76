//! Log records.

use super::embedded::{Embedded, any_value, attribute, text};
use super::wire::{Fault, Reader, Result};
use crate::signals::{LogRecord, Records, SpanId, TOO_MANY, Timestamp, TraceId};

/// Reads a `LogRecord`. A wrong id counts as absent.
pub fn log<'a>(records: &mut Records<'a>, scope: u32, message: &'a [u8]) -> Result<()> {
    if records.is_full() {
        return Err(Fault::new(TOO_MANY));
    }
    records.received += 1;
    let mark = records.attributes.mark();
    let (mut trace_id, mut span_id, mut severity_text, mut event_name): (&[u8], &[u8], &[u8], &[u8]) = (&[], &[], &[], &[]);
    let (mut time, mut observed, mut severity) = (0, 0, 0);
    let mut body = Embedded::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => time = field.fixed64()?,
            2 => severity = field.uint32()?.cast_signed(),
            3 => severity_text = field.bytes()?,
            5 => body.add(field.bytes()?),
            6 => attribute(records, field.bytes()?).map_err(|fault| fault.within("attributes"))?,
            9 => trace_id = field.bytes()?,
            10 => span_id = field.bytes()?,
            11 => observed = field.fixed64()?,
            12 => event_name = field.bytes()?,
            _ => {}
        }
    }
    let attributes = records.attributes.since(mark);
    let body = any_value(records, &body, 1).map_err(|fault| fault.within("body"))?;
    let severity_text = text(severity_text, &mut records.mended);
    let event_name = text(event_name, &mut records.mended);
    records.logs.push(LogRecord {
        scope,
        time: Timestamp(time),
        observed: Timestamp(observed),
        severity,
        severity_text,
        event_name,
        body,
        attributes,
        trace_id: TraceId::from_bytes(trace_id),
        span_id: SpanId::from_bytes(span_id),
    });
    Ok(())
}
