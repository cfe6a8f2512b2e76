//! The protobuf decoder: one walk over the body, straight into records that borrow from it.
//!
//! Fields may stand in any order and occur more than once; the rules are protobuf's: the last scalar wins, embedded messages
//! merge, unknown fields are skipped. What no record keeps (links, exemplars, trace state) is skipped by its length and not
//! looked into. A string that is not UTF-8 is mended and counted, where prost would refuse the whole request.
//!
//! | file | what it holds |
//! |---|---|
//! | [`wire`] | fields of a message, varints, faults and their paths |
//! | [`embedded`] | attributes, values, messages that occur more than once |
//! | [`traces`], [`logs`], [`metrics`] | one record each |
//!
//! Invariant: no input panics or nests deeper than a bound; a fault names fields and sizes, never a value.

mod embedded;
mod logs;
mod metrics;
mod traces;
mod wire;

use self::embedded::{Embedded, attribute, text};
use self::wire::{Fault, Reader, Result};
use super::attributes::Keys;
use super::{Encoding, Malformed, Records, Resource, Scope, Signal, TOO_MANY};

/// Decodes an `ExportTraceServiceRequest`, `ExportLogsServiceRequest` or `ExportMetricsServiceRequest`.
///
/// # Errors
/// [`Malformed`] with the path of the field and what is wrong with it.
pub fn decode<'a>(signal: Signal, body: &'a [u8], keys: &'a Keys) -> std::result::Result<Records<'a>, Malformed> {
    let mut records = Records::new(signal, keys);
    let layout = Layout::of(signal);
    match layout.request(&mut records, body) {
        Ok(()) => Ok(records),
        Err(fault) => Err(Malformed { signal, encoding: Encoding::Protobuf, reason: fault.into_reason() }),
    }
}

/// The three requests nest alike, resources (1) over scopes (2) over records (2); they differ in names and in the record.
struct Layout {
    resources: &'static str,
    scopes: &'static str,
    records: &'static str,
    read: ReadRecord,
}

type ReadRecord = for<'a> fn(&mut Records<'a>, u32, &'a [u8]) -> Result<()>;

impl Layout {
    fn of(signal: Signal) -> Layout {
        match signal {
            Signal::Traces => Layout { resources: "resource_spans", scopes: "scope_spans", records: "spans", read: traces::span },
            Signal::Logs => Layout { resources: "resource_logs", scopes: "scope_logs", records: "log_records", read: logs::log },
            Signal::Metrics => {
                Layout { resources: "resource_metrics", scopes: "scope_metrics", records: "metrics", read: metrics::metric }
            }
        }
    }

    fn request<'a>(&self, records: &mut Records<'a>, body: &'a [u8]) -> Result<()> {
        if u32::try_from(body.len()).is_err() {
            return Err(Fault::new(format!("the body has {} bytes, expected at most {}", body.len(), u32::MAX)));
        }
        let mut reader = Reader::new(body);
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                let index = records.resources.len();
                self.resource(records, field.bytes()?).map_err(|fault| fault.within_nth(self.resources, index))?;
            }
        }
        Ok(())
    }

    /// The resource is read first wherever it stands, so that its attributes are one run even if it occurs twice.
    fn resource<'a>(&self, records: &mut Records<'a>, message: &'a [u8]) -> Result<()> {
        let mark = records.attributes.mark();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                resource(records, field.bytes()?).map_err(|fault| fault.within("resource"))?;
            }
        }
        if records.is_full() {
            return Err(Fault::new(TOO_MANY));
        }
        let resource = u32::try_from(records.resources.len()).unwrap_or(u32::MAX);
        records.resources.push(Resource { attributes: records.attributes.since(mark) });
        let mut reader = Reader::new(message);
        let mut index = 0;
        while let Some(field) = reader.next()? {
            if field.number == 2 {
                self.scope(records, resource, field.bytes()?).map_err(|fault| fault.within_nth(self.scopes, index))?;
                index += 1;
            }
        }
        Ok(())
    }

    fn scope<'a>(&self, records: &mut Records<'a>, resource: u32, message: &'a [u8]) -> Result<()> {
        let mut described = Embedded::default();
        let mut count = 0;
        let mut schema_url: &[u8] = &[];
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => described.add(field.bytes()?),
                2 => count += 1,
                3 if records.signal == Signal::Metrics => schema_url = field.bytes()?,
                _ => {}
            }
        }
        if records.is_full() {
            return Err(Fault::new(TOO_MANY));
        }
        let scope = u32::try_from(records.scopes.len()).unwrap_or(u32::MAX);
        let mut described = scope_of(records, resource, &described).map_err(|fault| fault.within("scope"))?;
        described.schema_url = text(schema_url, &mut records.mended);
        records.scopes.push(described);
        reserve(records, count, message.len());
        let mut reader = Reader::new(message);
        let mut index = 0;
        while let Some(field) = reader.next()? {
            if field.number == 2 {
                (self.read)(records, scope, field.bytes()?).map_err(|fault| fault.within_nth(self.records, index))?;
                index += 1;
            }
        }
        Ok(())
    }
}

/// Makes room for `count` records, but never for more than `bytes` can hold of a real size: empty ones cost a sender 2 bytes.
fn reserve(records: &mut Records<'_>, count: usize, bytes: usize) {
    let count = count.min(bytes / 32);
    match records.signal {
        Signal::Traces => records.spans.reserve(count),
        Signal::Logs => records.logs.reserve(count),
        Signal::Metrics => records.metrics.reserve(count),
    }
}

fn resource<'a>(records: &mut Records<'a>, message: &'a [u8]) -> Result<()> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            attribute(records, field.bytes()?).map_err(|fault| fault.within("attributes"))?;
        }
    }
    Ok(())
}

fn scope_of<'a>(records: &mut Records<'a>, resource: u32, message: &Embedded<'a>) -> Result<Scope<'a>> {
    let mark = records.attributes.mark();
    let (mut name, mut version): (&[u8], &[u8]) = (&[], &[]);
    for mut reader in message.readers() {
        while let Some(field) = reader.next()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => version = field.bytes()?,
                3 => attribute(records, field.bytes()?).map_err(|fault| fault.within("attributes"))?,
                _ => {}
            }
        }
    }
    let attributes = records.attributes.since(mark);
    let name = text(name, &mut records.mended);
    let version = text(version, &mut records.mended);
    Ok(Scope { resource, name, version, schema_url: "".into(), attributes })
}
