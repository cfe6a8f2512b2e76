//! Telemetry: what floe says about itself. Metrics, in the Collector's names where it has them (`otelcol_*`), else `floe_*`; logs; health.
//!
//! Rooms count through the small structs here, or are asked at a scrape through a [`Source`]; no room formats a metric or names a label
//! elsewhere.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`] | `service.telemetry` and `extensions.health_check` |
//! | [`records`] | what became of every record: the first law of conservation |
//! | [`states`] | what other rooms count: rows of destinations (the second law), commits, log, series |
//! | [`source`] | rooms that are asked at a scrape |
//! | [`process`] | memory and CPU time of the process |
//! | [`logs`], [`health`] | the process's logs; the health endpoint |

pub mod config;
pub mod health;
pub mod logs;
mod process;
pub mod records;
pub mod source;
pub mod states;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::server::{Limits, Listener};
use crate::signals::Signal;
pub use config::{HealthCheckConfig, LogsConfig, MetricsConfig, TelemetryConfig};
pub use health::{FailingTable, Health};
pub use records::{PipelineMetrics, Records};
use source::Sources;
pub use source::{Labels, Sample, SampleKind, Source};
pub use states::{Commits, DestinationRows, LogState, SeriesState};

/// What [`Telemetry::render`] writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiverLabels {
    receiver: String,
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    receiver: String,
    transport: &'static str,
    signal: &'static str,
    outcome: &'static str,
}

/// What was refused before, beside or after it was a request of a signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    receiver: String,
    transport: &'static str,
    reason: &'static str,
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
    receivers: Receivers,
    families: records::Families,
    pipelines: Mutex<BTreeMap<String, PipelineMetrics>>,
    sources: Sources,
}

/// The families of all receivers; arrays are in the order of [`Signal::ALL`].
#[derive(Clone, Debug, Default)]
struct Receivers {
    requests: Family<RequestLabels, Counter>,
    refusals: Family<ReasonLabels, Counter>,
    closed: Family<ReasonLabels, Counter>,
    accepted: [Family<ReceiverLabels, Counter>; Signal::ALL.len()],
    refused: [Family<ReceiverLabels, Counter>; Signal::ALL.len()],
}

/// The counters of one receiver.
#[derive(Clone, Debug)]
pub struct ReceiverMetrics {
    receiver: String,
    families: Receivers,
}

impl ReceiverMetrics {
    /// Counts one finished request; `transport` is `grpc` or `http`.
    pub fn request(&self, transport: &'static str, signal: Signal, outcome: RequestOutcome) {
        let labels = RequestLabels { receiver: self.receiver.clone(), transport, signal: signal.name(), outcome: outcome.name() };
        self.families.requests.get_or_create(&labels).inc();
    }

    /// Counts one request that was not accepted, of a signal or of none.
    pub fn refusal(&self, transport: &'static str, reason: &'static str) {
        self.families.refusals.get_or_create(&self.reason(transport, reason)).inc();
    }

    /// Counts one connection that was closed from this side before its peer was done.
    pub fn closed(&self, transport: &'static str, reason: &'static str) {
        self.families.closed.get_or_create(&self.reason(transport, reason)).inc();
    }

    fn reason(&self, transport: &'static str, reason: &'static str) -> ReasonLabels {
        ReasonLabels { receiver: self.receiver.clone(), transport, reason }
    }

    /// Counts the records of one finished request, as the Collector does: what was acknowledged, and what was not.
    pub fn records(&self, transport: &'static str, signal: Signal, accepted: u64, refused: u64) {
        let labels = ReceiverLabels { receiver: self.receiver.clone(), transport };
        self.families.accepted[signal as usize].get_or_create(&labels).inc_by(accepted);
        self.families.refused[signal as usize].get_or_create(&labels).inc_by(refused);
    }
}

impl Telemetry {
    pub fn new() -> Arc<Telemetry> {
        let mut telemetry = Telemetry::default();
        let registry = &mut telemetry.registry;
        registry.register("floe_receiver_requests", "Requests by how they ended", telemetry.receivers.requests.clone());
        registry.register("floe_receiver_refusals", "Requests not accepted, by reason", telemetry.receivers.refusals.clone());
        let help = "Connections closed by floe before their peers were done, by reason";
        registry.register("floe_receiver_closed_connections", help, telemetry.receivers.closed.clone());
        for (at, signal) in Signal::ALL.into_iter().enumerate() {
            let (records, receivers) = (signal.records(), &telemetry.receivers);
            registry.register(
                format!("otelcol_receiver_accepted_{records}"),
                "Records acknowledged",
                receivers.accepted[at].clone(),
            );
            registry.register(
                format!("otelcol_receiver_refused_{records}"),
                "Records not acknowledged",
                receivers.refused[at].clone(),
            );
        }
        telemetry.families.register(registry);
        registry.register_collector(Box::new(telemetry.sources.clone()));
        telemetry.sources.register(process::source());
        Arc::new(telemetry)
    }

    pub fn receiver(&self, id: &str) -> ReceiverMetrics {
        ReceiverMetrics { receiver: id.to_owned(), families: self.receivers.clone() }
    }

    pub fn pipeline(&self, id: &str, signal: Signal) -> PipelineMetrics {
        let metrics = self.families.pipeline(id, signal);
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), metrics.clone());
        metrics
    }

    /// Asks `source` at every scrape.
    pub fn register_source(&self, source: Source) {
        self.sources.register(source);
    }

    /// What became of the records of every pipeline, by its id.
    pub fn records(&self) -> Vec<(String, Records)> {
        let pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.iter().map(|(id, metrics)| (id.clone(), metrics.records())).collect()
    }

    /// OpenMetrics text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail; what stands there would still be a valid start.
        if text::encode(&mut out, &self.registry).is_err() {
            out.push_str("# EOF\n");
        }
        out
    }

    /// Serves `/metrics` until `shutdown`.
    pub async fn serve(self: Arc<Self>, listener: Listener, shutdown: CancellationToken) {
        let handler = move |request: Request<Incoming>| std::future::ready(self.respond(&request));
        listener.serve(Limits::default(), handler, shutdown).await;
    }

    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if request.uri().path() != "/metrics" {
            *response.status_mut() = StatusCode::NOT_FOUND;
        } else if request.method() != Method::GET && request.method() != Method::HEAD {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        } else {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
            *response.body_mut() = Full::from(self.render());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processors::{Note, Tally};

    fn check(telemetry: &Telemetry, lines: &[&str]) {
        let text = telemetry.render();
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "no line {line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_first_law_holds_in_the_metrics() {
        let telemetry = Telemetry::new();
        let pipeline = telemetry.pipeline("traces", Signal::Traces);
        let mut tally = Tally::default();
        (tally.received, tally.rejected, tally.filtered, tally.unmapped, tally.mapped) = (10, 1, 2, 3, 4);
        tally.note(Note::Redaction, 7);
        pipeline.taken(&tally);
        pipeline.refused(5);
        pipeline.duplicate(6);
        let [(id, records)] = telemetry.records().try_into().unwrap();
        assert_eq!(id, "traces");
        let Records { received, refused, duplicate, rejected, filtered, unmapped, mapped } = records;
        assert_eq!((received, refused, duplicate), (21, 5, 6));
        assert_eq!(received, refused + duplicate + rejected + filtered + unmapped + mapped);
        check(
            &telemetry,
            &[
                "floe_pipeline_records_total{pipeline=\"traces\",signal=\"traces\",state=\"received\"} 21",
                "floe_pipeline_records_total{pipeline=\"traces\",signal=\"traces\",state=\"mapped\"} 4",
                "floe_processor_notes_total{pipeline=\"traces\",signal=\"traces\",kind=\"redaction\"} 7",
                "floe_processor_notes_total{pipeline=\"traces\",signal=\"traces\",kind=\"mended_string\"} 0",
            ],
        );
    }

    #[test]
    fn receivers_count_as_the_collector_does() {
        let telemetry = Telemetry::new();
        let receiver = telemetry.receiver("otlp/a");
        receiver.request("grpc", Signal::Logs, RequestOutcome::Accepted);
        receiver.records("grpc", Signal::Logs, 8, 0);
        receiver.records("http", Signal::Traces, 0, 3);
        receiver.records("http", Signal::Metrics, 2, 0);
        check(
            &telemetry,
            &[
                "otelcol_receiver_accepted_log_records_total{receiver=\"otlp/a\",transport=\"grpc\"} 8",
                "otelcol_receiver_refused_spans_total{receiver=\"otlp/a\",transport=\"http\"} 3",
                "otelcol_receiver_accepted_metric_points_total{receiver=\"otlp/a\",transport=\"http\"} 2",
            ],
        );
    }

    #[test]
    fn sources_are_asked_at_every_scrape() {
        let telemetry = Telemetry::new();
        telemetry.register_source(Box::new(|out| {
            for table in ["errors", "invocations"] {
                let rows = DestinationRows {
                    exporter: "iceberg".to_owned(),
                    table,
                    logged: 5,
                    committed: 3,
                    held: 2,
                    ..Default::default()
                };
                rows.samples(out);
                Commits { exporter: "iceberg".to_owned(), table, applied: 1, ..Commits::default() }.samples(out);
            }
        }));
        telemetry.register_source(Box::new(|out| LogState { bytes: 9, max_bytes: 10, ..LogState::default() }.samples(out)));
        let dropped_points = vec![("conflict", 1)];
        let series = SeriesState { exporter: "prometheus".to_owned(), dropped_points, ..SeriesState::default() };
        telemetry.register_source(Box::new(move |out| series.samples(out)));
        check(
            &telemetry,
            &[
                "# TYPE floe_destination_rows gauge",
                "floe_destination_rows{exporter=\"iceberg\",table=\"errors\",state=\"logged\"} 5.0",
                "floe_destination_rows{exporter=\"iceberg\",table=\"invocations\",state=\"held\"} 2.0",
                "floe_commits_total{exporter=\"iceberg\",table=\"errors\",outcome=\"applied\"} 1.0",
                "floe_prometheus_dropped_points_total{exporter=\"prometheus\",reason=\"conflict\"} 1.0",
            ],
        );
        assert_eq!(telemetry.render().matches("# TYPE floe_destination_rows ").count(), 1);
    }

    #[test]
    fn the_process_is_seen() {
        let text = Telemetry::new().render();
        assert!(text.contains("\notelcol_process_uptime_seconds_total "));
        assert_eq!(text.contains("\notelcol_process_memory_rss_bytes "), cfg!(target_os = "linux"));
        assert_eq!(text.contains("\notelcol_process_cpu_seconds_total "), cfg!(target_os = "linux"));
    }

    #[test]
    fn only_get_and_head_of_metrics_are_answered() {
        let telemetry = Telemetry::new();
        let check = |method: &str, path: &str, code: u16| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            assert_eq!(telemetry.respond(&request).status().as_u16(), code, "{method} {path}");
        };
        check("GET", "/metrics", 200);
        check("HEAD", "/metrics", 200);
        check("POST", "/metrics", 405);
        check("GET", "/", 404);
    }
}
