//! Metrics and their points.

use super::embedded::{Embedded, attribute, text};
use super::wire::{Fault, Field, Reader, Result};
use crate::signals::rejected::{misfit, without_value};
use crate::signals::{
    Metric, MetricKind, NO_RECORDED_VALUE, Point, PointValue, Records, Rejected, Slice, TOO_MANY, Temporality, Timestamp,
};

/// Reads a `Metric`. One without data has no points and is not kept.
pub fn metric<'a>(records: &mut Records<'a>, scope: u32, message: &'a [u8]) -> Result<()> {
    let (mut name, mut description, mut unit): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let mut shape = None;
    let mut data = Embedded::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => description = field.bytes()?,
            3 => unit = field.bytes()?,
            number => {
                let Some(found) = Shape::from_field(number) else { continue };
                if shape.replace(found) != Some(found) {
                    data = Embedded::default();
                }
                data.add(field.bytes()?);
            }
        }
    }
    let Some(shape) = shape else { return Ok(()) };
    let (kind, count) = shape.kind(&data).map_err(|fault| fault.within(shape.name()))?;
    if records.is_full() {
        return Err(Fault::new(TOO_MANY));
    }
    let metric = u32::try_from(records.metrics.len()).unwrap_or(u32::MAX);
    let name = text(name, &mut records.mended);
    let description = text(description, &mut records.mended);
    let unit = text(unit, &mut records.mended);
    records.metrics.push(Metric { scope, name, description, unit, kind });
    // The least a point takes is 9 bytes of a number; a sender must not make room for more than it sent.
    records.points.reserve(count.min(message.len() / 9));
    let mut index = 0;
    for mut reader in data.readers() {
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                point(records, metric, shape, field)
                    .map_err(|fault| fault.within_nth("data_points", index).within(shape.name()))?;
                index += 1;
            }
        }
    }
    Ok(())
}

/// Which message of the oneof `data` a metric has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

impl Shape {
    fn from_field(number: u32) -> Option<Shape> {
        match number {
            5 => Some(Shape::Gauge),
            7 => Some(Shape::Sum),
            9 => Some(Shape::Histogram),
            10 => Some(Shape::ExponentialHistogram),
            11 => Some(Shape::Summary),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Shape::Gauge => "gauge",
            Shape::Sum => "sum",
            Shape::Histogram => "histogram",
            Shape::ExponentialHistogram => "exponential_histogram",
            Shape::Summary => "summary",
        }
    }

    /// The kind, and how many points there are.
    fn kind(self, data: &Embedded<'_>) -> Result<(MetricKind, usize)> {
        let (mut temporality, mut monotonic, mut count) = (Temporality::Unspecified, false, 0);
        for mut reader in data.readers() {
            while let Some(field) = reader.next()? {
                match (field.number, self) {
                    (1, _) => count += 1,
                    (_, Shape::Gauge | Shape::Summary) => {}
                    (2, _) => temporality = Temporality::from_number(field.uint32()?.cast_signed()),
                    (3, Shape::Sum) => monotonic = field.varint()? != 0,
                    _ => {}
                }
            }
        }
        let kind = match self {
            Shape::Gauge => MetricKind::Gauge,
            Shape::Sum => MetricKind::Sum { monotonic, temporality },
            Shape::Histogram => MetricKind::Histogram { temporality },
            Shape::ExponentialHistogram => MetricKind::ExponentialHistogram { temporality },
            Shape::Summary => MetricKind::Summary,
        };
        Ok((kind, count))
    }
}

/// What every kind of point has.
#[derive(Default)]
struct Common {
    start: u64,
    time: u64,
    flags: u32,
}

fn point<'a>(records: &mut Records<'a>, metric: u32, shape: Shape, field: Field<'a>) -> Result<()> {
    if records.is_full() {
        return Err(Fault::new(TOO_MANY));
    }
    let number = records.received;
    records.received += 1;
    let everything = records.attributes.everything();
    let mark = records.attributes.mark();
    let (counts, bounds) = (records.counts.len(), records.bounds.len());
    let mut common = Common::default();
    let message = field.bytes()?;
    let value = match shape {
        Shape::Gauge | Shape::Sum => number_value(records, &mut common, message)?.ok_or_else(|| without_value(number)),
        Shape::Histogram => {
            histogram_value(records, &mut common, message)?.map_err(|(counts, bounds)| misfit(number, counts, bounds))
        }
        Shape::ExponentialHistogram => other_value(records, &mut common, message, 1, 10).map(Ok)?,
        Shape::Summary => other_value(records, &mut common, message, 7, 8).map(Ok)?,
    };
    match value {
        Ok(value) => {
            let attributes = records.attributes.since(mark);
            let Common { start, time, flags } = common;
            records.points.push(Point { metric, start: Timestamp(start), time: Timestamp(time), flags, attributes, value });
        }
        Err(reason) => {
            Rejected::add(&mut records.rejected, 1, || reason);
            records.attributes.rewind(everything);
            records.counts.truncate(counts);
            records.bounds.truncate(bounds);
        }
    }
    Ok(())
}

fn number_value<'a>(records: &mut Records<'a>, common: &mut Common, message: &'a [u8]) -> Result<Option<PointValue>> {
    let mut value = None;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            2 => common.start = field.fixed64()?,
            3 => common.time = field.fixed64()?,
            4 => value = Some(PointValue::Double(field.double()?)),
            6 => value = Some(PointValue::Int(field.fixed64()?.cast_signed())),
            7 => attribute(records, field.bytes()?).map_err(within_attributes)?,
            8 => common.flags = field.uint32()?,
            _ => {}
        }
    }
    let absent = (common.flags & NO_RECORDED_VALUE != 0).then_some(PointValue::Double(f64::NAN));
    Ok(value.or(absent))
}

/// The value; or how many counts and bounds there were, if they do not fit.
fn histogram_value<'a>(
    records: &mut Records<'a>,
    common: &mut Common,
    message: &'a [u8],
) -> Result<std::result::Result<PointValue, (u32, u32)>> {
    let (counts, bounds) = (records.counts.len(), records.bounds.len());
    let (mut count, mut sum) = (0, None);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            2 => common.start = field.fixed64()?,
            3 => common.time = field.fixed64()?,
            4 => count = field.fixed64()?,
            5 => sum = Some(field.double()?),
            6 => records.counts.extend(field.repeated_fixed64()?),
            7 => records.bounds.extend(field.repeated_fixed64()?.map(f64::from_bits)),
            9 => attribute(records, field.bytes()?).map_err(within_attributes)?,
            10 => common.flags = field.uint32()?,
            _ => {}
        }
    }
    let counts = Slice::between(counts, records.counts.len());
    let bounds = Slice::between(bounds, records.bounds.len());
    if counts.len == bounds.len + 1 || (counts.len == 0 && bounds.len == 0) {
        Ok(Ok(PointValue::Histogram { count, sum, counts, bounds }))
    } else {
        Ok(Err((counts.len, bounds.len)))
    }
}

/// A point of a kind whose value is not kept; the numbers of its fields differ.
fn other_value<'a>(
    records: &mut Records<'a>,
    common: &mut Common,
    message: &'a [u8],
    attributes: u32,
    flags: u32,
) -> Result<PointValue> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            2 => common.start = field.fixed64()?,
            3 => common.time = field.fixed64()?,
            number if number == attributes => attribute(records, field.bytes()?).map_err(within_attributes)?,
            number if number == flags => common.flags = field.uint32()?,
            _ => {}
        }
    }
    Ok(PointValue::Other)
}

fn within_attributes(fault: Fault) -> Fault {
    fault.within("attributes")
}
