//! Sources: rooms that keep their own counts are asked for them at every scrape.
//!
//! A room knows nothing of metrics; whoever starts it registers a closure that turns its counts into [`Sample`]s, by the structs of
//! [`super::states`]. So names and labels are written in this room only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Names are fixed; values are ids of components, tables and kinds, never of a record.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// One number at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Without the `_total` of a counter.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: SampleKind,
    pub labels: Labels,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    Counter,
    Gauge,
}

impl Sample {
    pub fn counter(name: &'static str, help: &'static str, labels: Labels, value: f64) -> Sample {
        Sample { name, help, kind: SampleKind::Counter, labels, value }
    }

    pub fn gauge(name: &'static str, help: &'static str, labels: Labels, value: f64) -> Sample {
        Sample { name, help, kind: SampleKind::Gauge, labels, value }
    }
}

impl Sample {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self.kind {
            SampleKind::Counter => ConstCounter::new(self.value).encode(encoder),
            SampleKind::Gauge => ConstGauge::new(self.value).encode(encoder),
        }
    }
}

/// Adds what it knows now. Called at every scrape, so it must be quick and must not wait for I/O.
pub type Source = Box<dyn Fn(&mut Vec<Sample>) + Send + Sync>;

/// All sources of the process.
#[derive(Clone, Default)]
pub(super) struct Sources(Arc<Mutex<Vec<Source>>>);

impl Sources {
    pub(super) fn register(&self, source: Source) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for source in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            source(&mut samples);
        }
        samples
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let samples = self.samples();
        let mut families: BTreeMap<&'static str, Vec<&Sample>> = BTreeMap::new();
        for sample in &samples {
            families.entry(sample.name).or_default().push(sample);
        }
        for (name, samples) in &families {
            let Some(first) = samples.first() else { continue };
            let (counter, gauge) = (ConstCounter::new(0.0), ConstGauge::new(0.0));
            let kind = match first.kind {
                SampleKind::Counter => counter.metric_type(),
                SampleKind::Gauge => gauge.metric_type(),
            };
            let mut family = encoder.encode_descriptor(name, first.help, None, kind)?;
            // A family of labels would write `{}`.
            if first.labels.is_empty() {
                first.encode(family)?;
                continue;
            }
            for sample in samples {
                let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
                sample.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
