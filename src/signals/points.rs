//! Metric points that have left their request: owned, so that they can wait for the log before Prometheus sees them.

use std::sync::Arc;

use super::{Exemplar, MetricKind, Timestamp};

/// The points of one request, after the steps of its chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    pub list: Vec<OwnedPoint>,
}

/// What the points of one metric share.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// As the SDK sent it, for example `faas.invoke_duration`; the exporter makes the Prometheus name.
    pub name: String,
    pub description: String,
    /// UCUM, for example `s` or `By`; may be empty.
    pub unit: String,
    pub kind: MetricKind,
}

/// The instrumentation scope of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedScope {
    pub name: String,
    pub version: String,
    /// Of the scope's metrics, as the SDK sent it.
    pub schema_url: String,
    pub attributes: Vec<Label>,
}

/// One attribute as it can become a label: the key as it was sent, the value as text.
pub type Label = (String, String);

#[derive(Clone, Debug, PartialEq)]
pub struct OwnedPoint {
    pub metric: Arc<Descriptor>,
    /// Attributes of the resource, shared by its points.
    pub resource: Arc<[Label]>,
    /// Shared by the points of its metrics.
    pub scope: Arc<OwnedScope>,
    /// Attributes of the point itself.
    pub labels: Vec<Label>,
    pub start: Timestamp,
    pub time: Timestamp,
    /// The point's "no recorded value" flag: the series has ended.
    pub no_value: bool,
    pub exemplars: Vec<Exemplar>,
    pub value: OwnedValue,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    Int(i64),
    Double(f64),
    /// `counts` is one longer than `bounds`, or both are empty.
    Histogram {
        count: u64,
        sum: Option<f64>,
        counts: Vec<u64>,
        bounds: Vec<f64>,
    },
    Exponential(Box<OwnedExponential>),
    Summary {
        count: u64,
        sum: f64,
        /// Quantile and value.
        quantiles: Vec<(f64, f64)>,
    },
}

/// See [`super::Exponential`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedExponential {
    pub count: u64,
    pub sum: Option<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: OwnedBuckets,
    pub negative: OwnedBuckets,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedBuckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}
