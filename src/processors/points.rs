//! Metric points on their way to Prometheus: owned, so that they outlive their request, with every attribute as text.

use std::sync::Arc;

use super::Tally;
use crate::signals::points::{Descriptor, Label, OwnedPoint, OwnedValue, Points};
use crate::signals::{KeyId, Metric, Point, PointValue, Records, Rejected, Slice};

/// Bit 0 of a point's flags (opentelemetry-proto, `DataPointFlags`).
const NO_RECORDED_VALUE: u32 = 1;

/// Takes away the points of kinds that are not supported yet and counts them as rejected.
pub(super) fn refuse_unsupported(records: &mut Records<'_>, tally: &mut Tally, rejected: &mut Option<Rejected>) {
    let before = records.points.len();
    records.points.retain(|point| !matches!(point.value, PointValue::Other));
    let refused = (before - records.points.len()) as u64;
    if refused > 0 {
        tally.rejected += refused;
        Rejected::add(rejected, refused, || "exponential histograms and summaries are not supported yet".to_owned());
    }
}

/// Every point of the request. Attributes without a value make no label; keys are as they were sent, also where one stands twice.
pub(super) fn own(records: &Records<'_>) -> Points {
    let mut shared = Shared { metrics: vec![None; records.metrics.len()], resources: vec![None; records.resources.len()] };
    Points { list: records.points.iter().filter_map(|point| shared.own(records, point)).collect() }
}

/// What the points of one metric and of one resource share, made when the first of them comes.
struct Shared {
    metrics: Vec<Option<Arc<Descriptor>>>,
    resources: Vec<Option<Arc<[Label]>>>,
}

impl Shared {
    fn own(&mut self, records: &Records<'_>, point: &Point) -> Option<OwnedPoint> {
        let index = point.metric as usize;
        let metric = records.metrics.get(index)?;
        let resource = records.scopes.get(metric.scope as usize)?.resource as usize;
        let attributes = records.resources.get(resource)?.attributes;
        let value = value(records, point.value)?;
        Some(OwnedPoint {
            metric: Arc::clone(self.metrics.get_mut(index)?.get_or_insert_with(|| Arc::new(descriptor(metric)))),
            resource: Arc::clone(self.resources.get_mut(resource)?.get_or_insert_with(|| labels(records, attributes).into())),
            labels: labels(records, point.attributes),
            start: point.start,
            time: point.time,
            no_value: point.flags & NO_RECORDED_VALUE != 0,
            value,
        })
    }
}

fn descriptor(metric: &Metric<'_>) -> Descriptor {
    Descriptor {
        name: metric.name.clone().into_owned(),
        description: metric.description.clone().into_owned(),
        unit: metric.unit.clone().into_owned(),
        kind: metric.kind,
    }
}

fn labels(records: &Records<'_>, owner: Slice) -> Vec<Label> {
    let attributes = &records.attributes;
    let live = attributes.of(owner).iter().filter(|attribute| attribute.key != KeyId::DELETED);
    live.filter_map(|attribute| {
        let value = attribute.value.as_str_text(attributes)?;
        Some((attributes.name(attribute.key).to_owned(), value.into_owned()))
    })
    .collect()
}

fn value(records: &Records<'_>, value: PointValue) -> Option<OwnedValue> {
    match value {
        PointValue::Int(number) => Some(OwnedValue::Int(number)),
        PointValue::Double(number) => Some(OwnedValue::Double(number)),
        PointValue::Histogram { count, sum, counts, bounds } => {
            let counts = records.counts.get(counts.range())?.to_vec();
            let bounds = records.bounds.get(bounds.range())?.to_vec();
            Some(OwnedValue::Histogram { count, sum, counts, bounds })
        }
        PointValue::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::attributes::Keys;
    use crate::signals::{MetricKind, Resource, Scope, Signal, Temporality, Timestamp, Value};

    const SUM: MetricKind = MetricKind::Sum { monotonic: true, temporality: Temporality::Delta };

    fn point(value: PointValue, flags: u32, attributes: Slice) -> Point {
        Point { metric: 0, start: Timestamp(1), time: Timestamp(2), flags, attributes, value }
    }

    /// One metric of a resource with `service.name`; every value a point with the attributes `code` and, without a value, `empty`.
    fn records<'a>(keys: &'a Keys, values: &[PointValue]) -> Records<'a> {
        let mut records = Records::new(Signal::Metrics, keys);
        let mut owner = |list: &[(&'static str, Value<'static>)]| {
            let mark = records.attributes.mark();
            for (name, value) in list {
                let key = records.attributes.key((*name).into()).unwrap();
                records.attributes.push(key, value.clone());
            }
            records.attributes.since(mark)
        };
        let resource = owner(&[("service.name", Value::Str("shop".into()))]);
        let attributes = owner(&[("code", Value::Int(7)), ("empty", Value::Empty)]);
        records.resources.push(Resource { attributes: resource });
        records.scopes.push(Scope { resource: 0, name: "".into(), version: "".into(), attributes: Slice::default() });
        records.metrics.push(Metric { scope: 0, name: "hits".into(), description: "".into(), unit: "1".into(), kind: SUM });
        records.points.extend(values.iter().map(|value| point(*value, 1, attributes)));
        records
    }

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.keep_all();
        keys
    }

    #[test]
    fn a_point_takes_its_attributes_as_text_and_shares_its_metric_and_resource() {
        let keys = keys();
        let points = own(&records(&keys, &[PointValue::Int(1), PointValue::Double(0.5)]));
        let [one, other] = &points.list[..] else { panic!("{points:?}") };
        assert_eq!((one.metric.name.as_str(), one.metric.kind), ("hits", SUM));
        assert_eq!(*one.resource, [("service.name".to_owned(), "shop".to_owned())]);
        assert_eq!(one.labels, [("code".to_owned(), "7".to_owned())]);
        assert_eq!((one.start, one.time, one.no_value), (Timestamp(1), Timestamp(2), true));
        assert_eq!((&one.value, &other.value), (&OwnedValue::Int(1), &OwnedValue::Double(0.5)));
        assert!(Arc::ptr_eq(&one.metric, &other.metric) && Arc::ptr_eq(&one.resource, &other.resource));
    }

    #[test]
    fn a_histogram_takes_its_counts_and_bounds() {
        let keys = keys();
        let (counts, bounds) = (Slice { start: 1, len: 2 }, Slice { start: 0, len: 1 });
        let mut records = records(&keys, &[PointValue::Histogram { count: 5, sum: None, counts, bounds }]);
        records.counts = vec![9, 2, 3];
        records.bounds = vec![0.5];
        let expected = OwnedValue::Histogram { count: 5, sum: None, counts: vec![2, 3], bounds: vec![0.5] };
        assert_eq!(own(&records).list[0].value, expected);
    }

    #[test]
    fn a_point_of_an_unsupported_kind_is_rejected_with_its_reason() {
        let keys = keys();
        let mut records = records(&keys, &[PointValue::Other, PointValue::Int(1), PointValue::Other]);
        let (mut tally, mut rejected) = (Tally::default(), None);
        refuse_unsupported(&mut records, &mut tally, &mut rejected);
        assert_eq!((records.points.len(), tally.rejected), (1, 2));
        let rejected = rejected.unwrap();
        assert_eq!(rejected.count, 2);
        assert!(rejected.reason.contains("exponential histograms and summaries"));
    }
}
