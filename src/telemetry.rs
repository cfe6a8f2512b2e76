//! floe's own metrics, in the Collector's names where it has them (`otelcol_*`), else `floe_*`. Served on `service.telemetry.metrics.address`.
//!
//! Rooms count through the small structs here; no room formats a metric or names a label elsewhere.

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::signals::Signal;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    receiver: String,
    transport: &'static str,
    signal: &'static str,
    outcome: &'static str,
}

/// How a request ended, seen from the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    Accepted,
    /// Malformed, of a wrong content type or too large.
    Invalid,
    /// Told "later": no memory, or the log is full.
    Later,
    /// The sender went away, or was too slow.
    Aborted,
    /// Lost by a fault of floe's own.
    Failed,
}

impl RequestOutcome {
    fn name(self) -> &'static str {
        match self {
            RequestOutcome::Accepted => "accepted",
            RequestOutcome::Invalid => "invalid",
            RequestOutcome::Later => "later",
            RequestOutcome::Aborted => "aborted",
            RequestOutcome::Failed => "failed",
        }
    }
}

/// All of floe's own metrics.
#[derive(Debug, Default)]
pub struct Telemetry {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
}

/// The counters of one receiver.
#[derive(Clone, Debug)]
pub struct ReceiverMetrics {
    receiver: String,
    requests: Family<RequestLabels, Counter>,
}

impl ReceiverMetrics {
    /// Counts one finished request; `transport` is `grpc` or `http`.
    pub fn request(&self, transport: &'static str, signal: Signal, outcome: RequestOutcome) {
        let labels = RequestLabels { receiver: self.receiver.clone(), transport, signal: signal.name(), outcome: outcome.name() };
        self.requests.get_or_create(&labels).inc();
    }
}

impl Telemetry {
    pub fn new() -> Arc<Telemetry> {
        let mut telemetry = Telemetry::default();
        telemetry.registry.register("floe_receiver_requests", "Requests by how they ended", telemetry.requests.clone());
        Arc::new(telemetry)
    }

    pub fn receiver(&self, id: &str) -> ReceiverMetrics {
        ReceiverMetrics { receiver: id.to_owned(), requests: self.requests.clone() }
    }

    /// OpenMetrics text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            out.clear();
            let _ = write!(out, "# EOF");
        }
        out
    }
}
