//! Spans and their events.

use std::borrow::Cow;

use serde::de::{Error, MapAccess, SeqAccess};

use super::embedded::{Context, attributes};
use super::fields::{Every, List, Message, One, enumeration, skip, text, uint64};
use crate::signals::rejected::{Id, wrong_id};
use crate::signals::{Event, Rejected, Slice, Span, SpanId, SpanKind, StatusCode, TOO_MANY, Timestamp, TraceId};

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUS_CODES: [&str; 3] = ["unset", "ok", "error"];

/// The spans of a scope. One without a valid id is counted as rejected and not kept.
#[derive(Debug)]
pub struct Spans<'c, 'a> {
    pub context: &'c mut Context<'a>,
    pub scope: u32,
}

impl<'a> List<'a> for Spans<'_, 'a> {
    const NAME: &'static str = "spans";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        let everything = self.context.records.attributes.everything();
        let events = self.context.records.events.len();
        let mut draft = Draft::new(self.context);
        let Some(present) = elements.next_element_seed(One(&mut draft))? else { return Ok(false) };
        let found = draft.found;
        if !present {
            return Ok(true);
        }
        let records = &mut self.context.records;
        if records.is_full() {
            return Err(S::Error::custom(TOO_MANY));
        }
        let number = records.received;
        records.received += 1;
        match found.into_span(self.scope, number) {
            Ok(span) => records.spans.push(span),
            Err(reason) => {
                Rejected::add(&mut records.rejected, 1, || reason);
                records.events.truncate(events);
                records.attributes.rewind(everything);
            }
        }
        Ok(true)
    }
}

struct Draft<'c, 'a> {
    context: &'c mut Context<'a>,
    first_event: usize,
    found: Found<'a>,
}

/// The fields of a span, before its ids are known to be valid.
#[derive(Default)]
struct Found<'a> {
    trace_id: Cow<'a, str>,
    span_id: Cow<'a, str>,
    parent_span_id: Cow<'a, str>,
    name: Cow<'a, str>,
    kind: i32,
    start: u64,
    end: u64,
    status: Status<'a>,
    attributes: Slice,
    events: Slice,
}

#[derive(Default)]
struct Status<'a> {
    code: i32,
    message: Cow<'a, str>,
}

impl<'c, 'a> Draft<'c, 'a> {
    fn new(context: &'c mut Context<'a>) -> Draft<'c, 'a> {
        Draft { first_event: context.records.events.len(), context, found: Found::default() }
    }

    /// Adds to the events: whichever field they stood in, those of this span are the last of the request so far.
    fn events<F: MapAccess<'a>>(&mut self, fields: &mut F) -> Result<(), F::Error> {
        fields.next_value_seed(Every(&mut Events(self.context)))?;
        self.found.events = Slice::between(self.first_event, self.context.records.events.len());
        Ok(())
    }
}

impl<'a> Message<'a> for Draft<'_, 'a> {
    const NAME: &'static str = "Span";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        let found = &mut self.found;
        match name {
            "traceId" => found.trace_id = text(fields)?.unwrap_or_default(),
            "spanId" => found.span_id = text(fields)?.unwrap_or_default(),
            "parentSpanId" => found.parent_span_id = text(fields)?.unwrap_or_default(),
            "name" => found.name = text(fields)?.unwrap_or_default(),
            "kind" => found.kind = enumeration(fields, "SPAN_KIND_", &KINDS)?.unwrap_or_default(),
            "startTimeUnixNano" => found.start = uint64(fields)?.unwrap_or_default(),
            "endTimeUnixNano" => found.end = uint64(fields)?.unwrap_or_default(),
            "attributes" => attributes(self.context, fields, &mut found.attributes)?,
            "events" => self.events(fields)?,
            "status" => drop(fields.next_value_seed(One(&mut found.status))?),
            _ => skip(fields)?,
        }
        Ok(())
    }
}

impl<'a> Message<'a> for Status<'a> {
    const NAME: &'static str = "Status";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "code" => self.code = enumeration(fields, "STATUS_CODE_", &STATUS_CODES)?.unwrap_or_default(),
            "message" => self.message = text(fields)?.unwrap_or_default(),
            _ => skip(fields)?,
        }
        Ok(())
    }
}

impl<'a> Found<'a> {
    /// The span, or why it is rejected.
    fn into_span(self, scope: u32, number: u64) -> Result<Span<'a>, String> {
        let trace_id =
            TraceId::from_hex(&self.trace_id).ok_or_else(|| wrong_id(number, "trace_id", Id::Hex(self.trace_id.len()), 16))?;
        let span_id =
            SpanId::from_hex(&self.span_id).ok_or_else(|| wrong_id(number, "span_id", Id::Hex(self.span_id.len()), 8))?;
        Ok(Span {
            scope,
            trace_id,
            span_id,
            parent_span_id: SpanId::from_hex(&self.parent_span_id),
            name: self.name,
            kind: SpanKind::from_number(self.kind),
            start: Timestamp(self.start),
            end: Timestamp(self.end),
            status: StatusCode::from_number(self.status.code),
            status_message: self.status.message,
            attributes: self.attributes,
            events: self.events,
        })
    }
}

struct Events<'c, 'a>(&'c mut Context<'a>);

impl<'a> List<'a> for Events<'_, 'a> {
    const NAME: &'static str = "events";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        let event = Event { time: Timestamp(0), name: Cow::Borrowed(""), attributes: Slice::default() };
        let mut draft = EventDraft { context: self.0, event };
        let Some(present) = elements.next_element_seed(One(&mut draft))? else { return Ok(false) };
        let EventDraft { event, .. } = draft;
        if present {
            if self.0.records.is_full() {
                return Err(S::Error::custom(TOO_MANY));
            }
            self.0.records.events.push(event);
        }
        Ok(true)
    }
}

struct EventDraft<'c, 'a> {
    context: &'c mut Context<'a>,
    event: Event<'a>,
}

impl<'a> Message<'a> for EventDraft<'_, 'a> {
    const NAME: &'static str = "Event";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "timeUnixNano" => self.event.time = Timestamp(uint64(fields)?.unwrap_or_default()),
            "name" => self.event.name = text(fields)?.unwrap_or_default(),
            "attributes" => attributes(self.context, fields, &mut self.event.attributes)?,
            _ => skip(fields)?,
        }
        Ok(())
    }
}
