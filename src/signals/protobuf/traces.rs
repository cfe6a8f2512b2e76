//! Spans and their events.

use super::embedded::{attribute, text};
use super::wire::{Fault, Reader, Result};
use crate::signals::rejected::{Id, wrong_id};
use crate::signals::{Event, Records, Rejected, Slice, Span, SpanId, SpanKind, StatusCode, TOO_MANY, Timestamp, TraceId};

/// Reads a `Span`. One without a valid id is counted as rejected and not kept.
pub fn span<'a>(records: &mut Records<'a>, scope: u32, message: &'a [u8]) -> Result<()> {
    if records.is_full() {
        return Err(Fault::new(TOO_MANY));
    }
    let number = records.received;
    records.received += 1;
    let everything = records.attributes.everything();
    let mark = records.attributes.mark();
    let (mut trace_id, mut span_id, mut parent, mut name): (&[u8], &[u8], &[u8], &[u8]) = (&[], &[], &[], &[]);
    let (mut kind, mut start, mut end) = (SpanKind::Unspecified, 0, 0);
    let mut status = Status::default();
    let mut first_event = None;
    let mut reader = Reader::new(message);
    loop {
        let here = reader;
        let Some(field) = reader.next()? else { break };
        match field.number {
            1 => trace_id = field.bytes()?,
            2 => span_id = field.bytes()?,
            4 => parent = field.bytes()?,
            5 => name = field.bytes()?,
            6 => kind = SpanKind::from_number(field.uint32()?.cast_signed()),
            7 => start = field.fixed64()?,
            8 => end = field.fixed64()?,
            9 => attribute(records, field.bytes()?).map_err(|fault| fault.within("attributes"))?,
            11 => {
                field.bytes()?;
                first_event.get_or_insert(here);
            }
            15 => status.merge(field.bytes()?).map_err(|fault| fault.within("status"))?,
            _ => {}
        }
    }
    let attributes = records.attributes.since(mark);
    let events = match first_event {
        Some(reader) => events(records, reader)?,
        None => Slice::default(),
    };
    let (Some(trace_id), Some(span_id)) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id)) else {
        Rejected::add(&mut records.rejected, 1, || match TraceId::from_bytes(trace_id) {
            None => wrong_id(number, "trace_id", Id::Bytes(trace_id.len()), 16),
            Some(_) => wrong_id(number, "span_id", Id::Bytes(span_id.len()), 8),
        });
        records.events.truncate(records.events.len() - events.len as usize);
        records.attributes.rewind(everything);
        return Ok(());
    };
    let name = text(name, &mut records.mended);
    let status_message = text(status.message, &mut records.mended);
    records.spans.push(Span {
        scope,
        trace_id,
        span_id,
        parent_span_id: SpanId::from_bytes(parent),
        name,
        kind,
        start: Timestamp(start),
        end: Timestamp(end),
        status: status.code,
        status_message,
        attributes,
        events,
    });
    Ok(())
}

/// The events of a span, read after its attributes so that both are runs. `reader` stands at the first of them.
fn events<'a>(records: &mut Records<'a>, mut reader: Reader<'a>) -> Result<Slice> {
    let start = records.events.len();
    while let Some(field) = reader.next()? {
        if field.number == 11 {
            if records.is_full() {
                return Err(Fault::new(TOO_MANY));
            }
            let index = records.events.len() - start;
            let event = event(records, field.bytes()?).map_err(|fault| fault.within_nth("events", index))?;
            records.events.push(event);
        }
    }
    Ok(Slice::between(start, records.events.len()))
}

fn event<'a>(records: &mut Records<'a>, message: &'a [u8]) -> Result<Event<'a>> {
    let mark = records.attributes.mark();
    let (mut time, mut name): (u64, &[u8]) = (0, &[]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => time = field.fixed64()?,
            2 => name = field.bytes()?,
            3 => attribute(records, field.bytes()?).map_err(|fault| fault.within("attributes"))?,
            _ => {}
        }
    }
    let attributes = records.attributes.since(mark);
    Ok(Event { time: Timestamp(time), name: text(name, &mut records.mended), attributes })
}

#[derive(Default)]
struct Status<'a> {
    message: &'a [u8],
    code: StatusCode,
}

impl<'a> Status<'a> {
    fn merge(&mut self, message: &'a [u8]) -> Result<()> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                2 => self.message = field.bytes()?,
                3 => self.code = StatusCode::from_number(field.uint32()?.cast_signed()),
                _ => {}
            }
        }
        Ok(())
    }
}
