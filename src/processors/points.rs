//! Metric points on their way to Prometheus: owned, so that they outlive their request, with every attribute as text.

use std::sync::Arc;

use crate::signals::points::{Descriptor, Label, OwnedBuckets, OwnedExponential, OwnedPoint, OwnedScope, OwnedValue, Points};
use crate::signals::{Buckets, KeyId, Metric, NO_RECORDED_VALUE, Point, PointValue, Records, Scope, Slice};

/// Every point of the request. Attributes without a value make no label; keys are as they were sent, also where one stands twice.
pub(super) fn own(records: &Records<'_>) -> Points {
    let mut shared = Shared {
        metrics: vec![None; records.metrics.len()],
        scopes: vec![None; records.scopes.len()],
        resources: vec![None; records.resources.len()],
    };
    Points { list: records.points.iter().filter_map(|point| shared.own(records, point)).collect() }
}

/// What the points of one metric, one scope and one resource share, made when the first of them comes.
struct Shared {
    metrics: Vec<Option<Arc<Descriptor>>>,
    scopes: Vec<Option<Arc<OwnedScope>>>,
    resources: Vec<Option<Arc<[Label]>>>,
}

impl Shared {
    fn own(&mut self, records: &Records<'_>, point: &Point) -> Option<OwnedPoint> {
        let index = point.metric as usize;
        let metric = records.metrics.get(index)?;
        let scope_index = metric.scope as usize;
        let scope = records.scopes.get(scope_index)?;
        let resource = scope.resource as usize;
        let attributes = records.resources.get(resource)?.attributes;
        let value = value(records, point.value)?;
        Some(OwnedPoint {
            metric: Arc::clone(self.metrics.get_mut(index)?.get_or_insert_with(|| Arc::new(descriptor(metric)))),
            resource: Arc::clone(self.resources.get_mut(resource)?.get_or_insert_with(|| labels(records, attributes).into())),
            scope: Arc::clone(self.scopes.get_mut(scope_index)?.get_or_insert_with(|| Arc::new(owned_scope(records, scope)))),
            labels: labels(records, point.attributes),
            start: point.start,
            time: point.time,
            no_value: point.flags & NO_RECORDED_VALUE != 0,
            exemplars: records.exemplars.get(point.exemplars.range())?.to_vec(),
            value,
        })
    }
}

fn owned_scope(records: &Records<'_>, scope: &Scope<'_>) -> OwnedScope {
    OwnedScope {
        name: scope.name.clone().into_owned(),
        version: scope.version.clone().into_owned(),
        schema_url: scope.schema_url.clone().into_owned(),
        attributes: labels(records, scope.attributes),
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
        PointValue::Exponential(index) => {
            let found = records.exponentials.get(index as usize)?;
            let side = |buckets: Buckets| {
                let counts = records.counts.get(buckets.counts.range())?.to_vec();
                Some(OwnedBuckets { offset: buckets.offset, counts })
            };
            Some(OwnedValue::Exponential(Box::new(OwnedExponential {
                count: found.count,
                sum: found.sum,
                scale: found.scale,
                zero_count: found.zero_count,
                zero_threshold: found.zero_threshold,
                positive: side(found.positive)?,
                negative: side(found.negative)?,
            })))
        }
        PointValue::Summary { count, sum, quantiles } => {
            Some(OwnedValue::Summary { count, sum, quantiles: records.quantiles.get(quantiles.range())?.to_vec() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::attributes::Keys;
    use crate::signals::{Exemplar, Exponential, MetricKind, Resource, Signal, Temporality, Timestamp, TraceId, Value};

    const SUM: MetricKind = MetricKind::Sum { monotonic: true, temporality: Temporality::Delta };

    fn point(value: PointValue, flags: u32, attributes: Slice) -> Point {
        let exemplars = Slice { start: 0, len: 1 };
        Point { metric: 0, start: Timestamp(1), time: Timestamp(2), flags, attributes, exemplars, value }
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
        let (name, version, schema_url) = ("sdk".into(), "1".into(), "https://opentelemetry.io/schemas/1.0".into());
        records.scopes.push(Scope { resource: 0, name, version, schema_url, attributes: Slice::default() });
        records.metrics.push(Metric { scope: 0, name: "hits".into(), description: "".into(), unit: "1".into(), kind: SUM });
        let trace_id = TraceId([7; 16]);
        records.exemplars.push(Exemplar { time: Timestamp(2), value: 0.5, trace_id, span_id: None });
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
        assert_eq!(
            (one.scope.name.as_str(), one.scope.version.as_str(), one.exemplars[0].trace_id),
            ("sdk", "1", TraceId([7; 16]))
        );
        assert_eq!(one.scope.schema_url, "https://opentelemetry.io/schemas/1.0");
        assert!(Arc::ptr_eq(&one.metric, &other.metric) && Arc::ptr_eq(&one.resource, &other.resource));
        assert!(Arc::ptr_eq(&one.scope, &other.scope));
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
    fn an_exponential_histogram_and_a_summary_take_their_runs() {
        let keys = keys();
        let summary = PointValue::Summary { count: 2, sum: 3.0, quantiles: Slice { start: 0, len: 1 } };
        let mut records = records(&keys, &[PointValue::Exponential(0), summary]);
        records.counts = vec![9, 2, 3];
        records.quantiles = vec![(0.5, 1.5)];
        let positive = Buckets { offset: -1, counts: Slice { start: 1, len: 2 } };
        records.exponentials = vec![Exponential { count: 5, scale: 3, positive, ..Exponential::default() }];
        let points = own(&records);
        let positive = OwnedBuckets { offset: -1, counts: vec![2, 3] };
        let expected = OwnedExponential { count: 5, scale: 3, positive, ..OwnedExponential::default() };
        assert_eq!(points.list[0].value, OwnedValue::Exponential(Box::new(expected)));
        assert_eq!(points.list[1].value, OwnedValue::Summary { count: 2, sum: 3.0, quantiles: vec![(0.5, 1.5)] });
    }
}
