//! Metrics and their points.

use super::embedded::{Embedded, attribute, text};
use super::wire::{Fault, Field, Reader, Result};
use crate::signals::rejected::{misfit, without_value};
use crate::signals::{
    Buckets, Exponential, MAX_COUNTS, Metric, MetricKind, NO_RECORDED_VALUE, Point, PointValue, Records, Rejected, Slice, SpanId,
    TOO_MANY, TOO_MANY_COUNTS, Temporality, Timestamp, TraceId,
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
    let start_of_point = records.point_mark();
    let (mark, exemplars) = (records.attributes.mark(), records.exemplars.len());
    let mut common = Common::default();
    let message = field.bytes()?;
    let value = match shape {
        Shape::Gauge | Shape::Sum => number_value(records, &mut common, message)?.ok_or_else(|| without_value(number)),
        Shape::Histogram => {
            histogram_value(records, &mut common, message)?.map_err(|(counts, bounds)| misfit(number, counts, bounds))
        }
        Shape::ExponentialHistogram => Ok(exponential_value(records, &mut common, message)?),
        Shape::Summary => Ok(summary_value(records, &mut common, message)?),
    };
    match value {
        Ok(value) => {
            let attributes = records.attributes.since(mark);
            let exemplars = Slice::between(exemplars, records.exemplars.len());
            let Common { start, time, flags } = common;
            let (start, time) = (Timestamp(start), Timestamp(time));
            records.points.push(Point { metric, start, time, flags, attributes, exemplars, value });
        }
        Err(reason) => {
            Rejected::add(&mut records.rejected, 1, || reason);
            records.rewind_point(start_of_point);
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
            5 => exemplar(records, field.bytes()?).map_err(within_exemplars)?,
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
            8 => exemplar(records, field.bytes()?).map_err(within_exemplars)?,
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

fn exponential_value<'a>(records: &mut Records<'a>, common: &mut Common, message: &'a [u8]) -> Result<PointValue> {
    let mut value = Exponential::default();
    let (mut positive, mut negative) = (Embedded::default(), Embedded::default());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => attribute(records, field.bytes()?).map_err(within_attributes)?,
            2 => common.start = field.fixed64()?,
            3 => common.time = field.fixed64()?,
            4 => value.count = field.fixed64()?,
            5 => value.sum = Some(field.double()?),
            6 => value.scale = field.sint32()?,
            7 => value.zero_count = field.fixed64()?,
            8 => positive.add(field.bytes()?),
            9 => negative.add(field.bytes()?),
            10 => common.flags = field.uint32()?,
            11 => exemplar(records, field.bytes()?).map_err(within_exemplars)?,
            14 => value.zero_threshold = field.double()?,
            _ => {}
        }
    }
    value.positive = buckets(records, &positive).map_err(|fault| fault.within("positive"))?;
    value.negative = buckets(records, &negative).map_err(|fault| fault.within("negative"))?;
    Ok(records.push_exponential(value))
}

fn buckets(records: &mut Records<'_>, message: &Embedded<'_>) -> Result<Buckets> {
    let start = records.counts.len();
    let mut offset = 0;
    for mut reader in message.readers() {
        while let Some(field) = reader.next()? {
            match field.number {
                1 => offset = field.sint32()?,
                2 => field.repeated_varint(&mut records.counts, MAX_COUNTS)?,
                _ => {}
            }
        }
    }
    Ok(Buckets { offset, counts: Slice::between(start, records.counts.len()) })
}

fn summary_value<'a>(records: &mut Records<'a>, common: &mut Common, message: &'a [u8]) -> Result<PointValue> {
    let start = records.quantiles.len();
    let (mut count, mut sum) = (0, 0.0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            2 => common.start = field.fixed64()?,
            3 => common.time = field.fixed64()?,
            4 => count = field.fixed64()?,
            5 => sum = field.double()?,
            6 => quantile(records, field.bytes()?).map_err(|fault| fault.within("quantile_values"))?,
            7 => attribute(records, field.bytes()?).map_err(within_attributes)?,
            8 => common.flags = field.uint32()?,
            _ => {}
        }
    }
    Ok(PointValue::Summary { count, sum, quantiles: Slice::between(start, records.quantiles.len()) })
}

fn quantile(records: &mut Records<'_>, message: &[u8]) -> Result<()> {
    if records.quantiles.len() >= MAX_COUNTS / 2 {
        return Err(Fault::new(TOO_MANY_COUNTS));
    }
    let mut pair = (0.0, 0.0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => pair.0 = field.double()?,
            2 => pair.1 = field.double()?,
            _ => {}
        }
    }
    records.quantiles.push(pair);
    Ok(())
}

fn exemplar(records: &mut Records<'_>, message: &[u8]) -> Result<()> {
    let (mut time, mut value) = (0, None);
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            2 => time = field.fixed64()?,
            3 => value = Some(field.double()?),
            4 => span_id = field.bytes()?,
            5 => trace_id = field.bytes()?,
            6 => value = Some(whole(field.fixed64()?.cast_signed())),
            _ => {}
        }
    }
    records.push_exemplar(time, value, TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows doubles only")]
fn whole(value: i64) -> f64 {
    value as f64
}

fn within_attributes(fault: Fault) -> Fault {
    fault.within("attributes")
}

fn within_exemplars(fault: Fault) -> Fault {
    fault.within("exemplars")
}
