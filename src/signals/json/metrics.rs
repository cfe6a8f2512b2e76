//! Metrics and their points.

use std::borrow::Cow;
use std::mem::discriminant;

use serde::de::{Error, MapAccess, SeqAccess};

use super::embedded::{Context, attributes};
use super::fields::{
    AnyScalar, Every, List, Message, One, Scalar, boolean, double, enumeration, int32, int64, skip, text, uint32, uint64,
};
use crate::signals::rejected::{misfit, without_value};
use crate::signals::{
    Buckets, Exponential, MAX_COUNTS, Metric, MetricKind, NO_RECORDED_VALUE, Point, PointMark, PointValue, Records, Rejected,
    Slice, SpanId, TOO_MANY, TOO_MANY_COUNTS, Temporality, Timestamp, TraceId,
};

const TEMPORALITIES: [&str; 3] = ["unspecified", "delta", "cumulative"];

/// The metrics of a scope. One without data has no points and is not kept.
#[derive(Debug)]
pub struct Metrics<'c, 'a> {
    pub context: &'c mut Context<'a>,
    pub scope: u32,
}

impl<'a> List<'a> for Metrics<'_, 'a> {
    const NAME: &'static str = "metrics";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        if self.context.records.is_full() {
            return Err(S::Error::custom(TOO_MANY));
        }
        // The place is taken first: points may stand before the name.
        let index = self.context.records.metrics.len();
        let (name, description, unit) = (Cow::Borrowed(""), Cow::Borrowed(""), Cow::Borrowed(""));
        let metric = Metric { scope: self.scope, name, description, unit, kind: MetricKind::Gauge };
        self.context.records.metrics.push(metric);
        let mut draft = Draft { context: self.context, index, kind: None };
        let present = elements.next_element_seed(One(&mut draft))?;
        match draft.kind {
            Some(kind) => self.context.records.metrics[index].kind = kind,
            None => self.context.records.metrics.truncate(index),
        }
        Ok(present.is_some())
    }
}

struct Draft<'c, 'a> {
    context: &'c mut Context<'a>,
    index: usize,
    kind: Option<MetricKind>,
}

impl<'a> Message<'a> for Draft<'_, 'a> {
    const NAME: &'static str = "Metric";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        let metric = &mut self.context.records.metrics[self.index];
        let temporality = Temporality::Unspecified;
        let kind = match name {
            "name" => return text(fields).map(|text| metric.name = text.unwrap_or_default()),
            "description" => return text(fields).map(|text| metric.description = text.unwrap_or_default()),
            "unit" => return text(fields).map(|text| metric.unit = text.unwrap_or_default()),
            "gauge" => MetricKind::Gauge,
            "sum" => MetricKind::Sum { monotonic: false, temporality },
            "histogram" => MetricKind::Histogram { temporality },
            "exponentialHistogram" => MetricKind::ExponentialHistogram { temporality },
            "summary" => MetricKind::Summary,
            _ => return skip(fields),
        };
        let kind = match self.kind {
            Some(before) if discriminant(&before) == discriminant(&kind) => before,
            _ => kind,
        };
        let mut data = Data { metric: u32::try_from(self.index).unwrap_or(u32::MAX), context: self.context, kind };
        if fields.next_value_seed(One(&mut data))? {
            let kind = data.kind;
            if self.kind.replace(kind).is_some_and(|before| discriminant(&before) != discriminant(&kind)) {
                return Err(F::Error::custom("a metric has data of two kinds, expected one"));
            }
        }
        Ok(())
    }
}

/// `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram` or `Summary`.
struct Data<'c, 'a> {
    context: &'c mut Context<'a>,
    metric: u32,
    kind: MetricKind,
}

impl<'a> Message<'a> for Data<'_, 'a> {
    const NAME: &'static str = "the data of a metric";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match (name, &mut self.kind) {
            ("dataPoints", _) => fields.next_value_seed(Every(self))?,
            (
                "aggregationTemporality",
                MetricKind::Sum { temporality, .. }
                | MetricKind::Histogram { temporality }
                | MetricKind::ExponentialHistogram { temporality },
            ) => {
                let number = enumeration(fields, "AGGREGATION_TEMPORALITY_", &TEMPORALITIES)?;
                *temporality = Temporality::from_number(number.unwrap_or_default());
            }
            ("isMonotonic", MetricKind::Sum { monotonic, .. }) => *monotonic = boolean(fields)?.unwrap_or_default(),
            _ => skip(fields)?,
        }
        Ok(())
    }
}

impl<'a> List<'a> for Data<'_, 'a> {
    const NAME: &'static str = "dataPoints";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        let mark = self.context.records.point_mark();
        let mut draft = PointDraft { context: self.context, found: Found::default() };
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
        let exemplars = Slice::between(mark.exemplars, records.exemplars.len());
        match found.value(self.kind, number, records, mark) {
            Ok(value) => {
                let Found { start, time, flags, attributes, .. } = found;
                let (start, time) = (Timestamp(start), Timestamp(time));
                records.points.push(Point { metric: self.metric, start, time, flags, attributes, exemplars, value });
            }
            Err(reason) => {
                Rejected::add(&mut records.rejected, 1, || reason);
                records.rewind_point(mark);
            }
        }
        Ok(true)
    }
}

struct PointDraft<'c, 'a> {
    context: &'c mut Context<'a>,
    found: Found,
}

/// The fields of a point of any kind.
#[derive(Default)]
struct Found {
    start: u64,
    time: u64,
    flags: u32,
    attributes: Slice,
    number: Option<PointValue>,
    /// Of a histogram of either kind or a summary.
    shared: Exponential,
}

impl Found {
    /// The value, or why the point is rejected.
    fn value(&self, kind: MetricKind, number: u64, records: &mut Records<'_>, mark: PointMark) -> Result<PointValue, String> {
        let counts = Slice::between(mark.counts, records.counts.len());
        let bounds = Slice::between(mark.bounds, records.bounds.len());
        let Exponential { count, sum, .. } = self.shared;
        match kind {
            MetricKind::Gauge | MetricKind::Sum { .. } => {
                let absent = (self.flags & NO_RECORDED_VALUE != 0).then_some(PointValue::Double(f64::NAN));
                self.number.or(absent).ok_or_else(|| without_value(number))
            }
            MetricKind::Histogram { .. } if counts.len == bounds.len + 1 || counts.len + bounds.len == 0 => {
                Ok(PointValue::Histogram { count, sum, counts, bounds })
            }
            MetricKind::Histogram { .. } => Err(misfit(number, counts.len, bounds.len)),
            MetricKind::ExponentialHistogram { .. } => Ok(records.push_exponential(self.shared)),
            MetricKind::Summary => {
                let quantiles = Slice::between(mark.quantiles, records.quantiles.len());
                Ok(PointValue::Summary { count, sum: sum.unwrap_or_default(), quantiles })
            }
        }
    }
}

impl<'a> Message<'a> for PointDraft<'_, 'a> {
    const NAME: &'static str = "a data point";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        let found = &mut self.found;
        match name {
            "startTimeUnixNano" => found.start = uint64(fields)?.unwrap_or_default(),
            "timeUnixNano" => found.time = uint64(fields)?.unwrap_or_default(),
            "flags" => found.flags = uint32(fields)?.unwrap_or_default(),
            "attributes" => attributes(self.context, fields, &mut found.attributes)?,
            "asInt" => found.number = int64(fields)?.map(PointValue::Int).or(found.number),
            "asDouble" => found.number = double(fields)?.map(PointValue::Double).or(found.number),
            "count" => found.shared.count = uint64(fields)?.unwrap_or_default(),
            "sum" => found.shared.sum = double(fields)?,
            "scale" => found.shared.scale = int32(fields)?.unwrap_or_default(),
            "zeroCount" => found.shared.zero_count = uint64(fields)?.unwrap_or_default(),
            "zeroThreshold" => found.shared.zero_threshold = double(fields)?.unwrap_or_default(),
            "positive" => found.shared.positive = buckets(self.context, fields)?,
            "negative" => found.shared.negative = buckets(self.context, fields)?,
            "quantileValues" => fields.next_value_seed(Every(&mut Quantiles(&mut self.context.records.quantiles)))?,
            "exemplars" => fields.next_value_seed(Every(&mut Exemplars(&mut self.context.records)))?,
            "bucketCounts" => fields.next_value_seed(Every(&mut Counts(&mut self.context.records.counts)))?,
            "explicitBounds" => fields.next_value_seed(Every(&mut Bounds(&mut self.context.records.bounds)))?,
            _ => skip(fields)?,
        }
        Ok(())
    }
}

struct Counts<'c>(&'c mut Vec<u64>);

impl<'a> List<'a> for Counts<'_> {
    const NAME: &'static str = "bucketCounts";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        let Some(count) = elements.next_element_seed(AnyScalar)? else { return Ok(false) };
        if self.0.len() >= MAX_COUNTS {
            return Err(S::Error::custom(TOO_MANY_COUNTS));
        }
        if !matches!(count, Scalar::Null) {
            self.0.push(
                count.whole().ok_or_else(|| S::Error::custom("expected a whole number from 0 to 2^64 - 1, its text or null"))?,
            );
        }
        Ok(true)
    }
}

struct Bounds<'c>(&'c mut Vec<f64>);

impl<'a> List<'a> for Bounds<'_> {
    const NAME: &'static str = "explicitBounds";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        let Some(bound) = elements.next_element_seed(AnyScalar)? else { return Ok(false) };
        if !matches!(bound, Scalar::Null) {
            self.0.push(bound.double().ok_or_else(|| S::Error::custom("expected a number, its text or null"))?);
        }
        Ok(true)
    }
}

/// The buckets of one side of an exponential histogram.
fn buckets<'a, F: MapAccess<'a>>(context: &mut Context<'a>, fields: &mut F) -> Result<Buckets, F::Error> {
    let start = context.records.counts.len();
    let mut draft = BucketsDraft { counts: &mut context.records.counts, offset: 0 };
    fields.next_value_seed(One(&mut draft))?;
    let offset = draft.offset;
    Ok(Buckets { offset, counts: Slice::between(start, context.records.counts.len()) })
}

struct BucketsDraft<'c> {
    counts: &'c mut Vec<u64>,
    offset: i32,
}

impl<'a> Message<'a> for BucketsDraft<'_> {
    const NAME: &'static str = "buckets";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "offset" => self.offset = int32(fields)?.unwrap_or_default(),
            "bucketCounts" => fields.next_value_seed(Every(&mut Counts(self.counts)))?,
            _ => skip(fields)?,
        }
        Ok(())
    }
}

struct Quantiles<'c>(&'c mut Vec<(f64, f64)>);

impl<'a> List<'a> for Quantiles<'_> {
    const NAME: &'static str = "quantileValues";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        if self.0.len() >= MAX_COUNTS / 2 {
            return Err(S::Error::custom(TOO_MANY_COUNTS));
        }
        let mut pair = Quantile(0.0, 0.0);
        let Some(present) = elements.next_element_seed(One(&mut pair))? else { return Ok(false) };
        if present {
            self.0.push((pair.0, pair.1));
        }
        Ok(true)
    }
}

struct Quantile(f64, f64);

impl<'a> Message<'a> for Quantile {
    const NAME: &'static str = "the value at a quantile";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "quantile" => self.0 = double(fields)?.unwrap_or_default(),
            "value" => self.1 = double(fields)?.unwrap_or_default(),
            _ => skip(fields)?,
        }
        Ok(())
    }
}

struct Exemplars<'c, 'a>(&'c mut Records<'a>);

impl<'a> List<'a> for Exemplars<'_, 'a> {
    const NAME: &'static str = "exemplars";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        let mut found = FoundExemplar::default();
        let Some(present) = elements.next_element_seed(One(&mut found))? else { return Ok(false) };
        if present {
            self.0.push_exemplar(found.time, found.value, found.trace_id, found.span_id);
        }
        Ok(true)
    }
}

#[derive(Default)]
struct FoundExemplar {
    time: u64,
    value: Option<f64>,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
}

impl<'a> Message<'a> for FoundExemplar {
    const NAME: &'static str = "an exemplar";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "timeUnixNano" => self.time = uint64(fields)?.unwrap_or_default(),
            #[expect(clippy::cast_precision_loss, reason = "Prometheus knows doubles only")]
            "asInt" => self.value = int64(fields)?.map(|value| value as f64).or(self.value),
            "asDouble" => self.value = double(fields)?.or(self.value),
            "traceId" => self.trace_id = text(fields)?.and_then(|id| TraceId::from_hex(&id)),
            "spanId" => self.span_id = text(fields)?.and_then(|id| SpanId::from_hex(&id)),
            _ => skip(fields)?,
        }
        Ok(())
    }
}
