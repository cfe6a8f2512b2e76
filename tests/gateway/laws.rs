//! Both laws of conservation (docs/operations.md), held for every gateway that a test has running when it stops it, with what the senders of
//! [`super::send`] were told as the other side of the account.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use serde_json::Value;

use super::floe::Floe;
use super::send::{self, HttpReply};

/// As in a path and in a metric's name.
const SIGNALS: [(&str, &str); 3] = [("traces", "spans"), ("logs", "log_records"), ("metrics", "metric_points")];

/// What one receiver told the senders of this process.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Requests that it took.
    requests: u64,
    /// Their records by signal, less those that it rejected; `None` once a body or reply could not be counted here.
    records: Option<[u64; SIGNALS.len()]>,
}

static TOLD: LazyLock<Mutex<HashMap<SocketAddr, Told>>> = LazyLock::new(Mutex::default);

/// A process counts from its start.
pub fn start_anew(receiver: SocketAddr) {
    let told = Told { requests: 0, records: Some([0; SIGNALS.len()]) };
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(receiver, told);
}

/// A request was answered.
pub fn answered(receiver: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8], reply: &HttpReply) {
    let signal = SIGNALS.iter().position(|(signal, _)| path == format!("/v1/{signal}"));
    let Some(signal) = signal.filter(|_| reply.status == 200) else { return };
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(told) = told.get_mut(&receiver) else { return };
    told.requests += 1;
    let header = |name: &str| headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let is_plain = header("content-encoding").is_none();
    let taken = if header("content-type").is_some_and(|media| media.contains("json")) {
        taken_of_json(signal, body, &reply.body)
    } else {
        taken_of_protobuf(signal, body, &reply.body)
    };
    told.records = told.records.zip(taken.filter(|_| is_plain)).map(|(mut records, taken)| {
        records[signal] += taken;
        records
    });
}

fn taken_of_protobuf(signal: usize, body: &[u8], reply: &[u8]) -> Option<u64> {
    let (sent, rejected) = match signal {
        0 => {
            let spans = ExportTraceServiceRequest::decode(body).ok()?.resource_spans.into_iter().flat_map(|of| of.scope_spans);
            let partial = ExportTraceServiceResponse::decode(reply).ok()?.partial_success;
            (spans.map(|of| of.spans.len()).sum::<usize>(), partial.map_or(0, |partial| partial.rejected_spans))
        }
        1 => {
            let logs = ExportLogsServiceRequest::decode(body).ok()?.resource_logs.into_iter().flat_map(|of| of.scope_logs);
            let partial = ExportLogsServiceResponse::decode(reply).ok()?.partial_success;
            (logs.map(|of| of.log_records.len()).sum(), partial.map_or(0, |partial| partial.rejected_log_records))
        }
        _ => {
            let request = ExportMetricsServiceRequest::decode(body).ok()?;
            let metrics = request.resource_metrics.into_iter().flat_map(|of| of.scope_metrics).flat_map(|of| of.metrics);
            let points = metrics.map(|metric| match metric.data {
                Some(Data::Gauge(data)) => data.data_points.len(),
                Some(Data::Sum(data)) => data.data_points.len(),
                Some(Data::Histogram(data)) => data.data_points.len(),
                Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
                Some(Data::Summary(data)) => data.data_points.len(),
                None => 0,
            });
            let partial = ExportMetricsServiceResponse::decode(reply).ok()?.partial_success;
            (points.sum(), partial.map_or(0, |partial| partial.rejected_data_points))
        }
    };
    (sent as u64).checked_sub(u64::try_from(rejected).ok()?)
}

/// Spans and log records only.
fn taken_of_json(signal: usize, body: &[u8], reply: &[u8]) -> Option<u64> {
    let [resources, scopes, records, rejected] = match signal {
        0 => ["resourceSpans", "scopeSpans", "spans", "rejectedSpans"],
        1 => ["resourceLogs", "scopeLogs", "logRecords", "rejectedLogRecords"],
        _ => return None,
    };
    let within = |of: &[Value], name: &str| -> Vec<Value> {
        of.iter().flat_map(|one| one[name].as_array().cloned().unwrap_or_default()).collect()
    };
    let body: Value = serde_json::from_slice(body).ok()?;
    let sent = within(&within(&within(&[body], resources), scopes), records).iter().filter(|record| record.is_object()).count();
    let reply: Value = serde_json::from_slice(reply).ok()?;
    let rejected = reply["partialSuccess"][rejected].as_str().map_or(Some(0), |count| count.parse().ok())?;
    (sent as u64).checked_sub(rejected)
}

/// The sum of a family's series whose labels hold all of these, such as `state="held"`.
fn sum(page: &str, family: &str, labels: &[&str]) -> u64 {
    let of_family = page.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{')?.split_once("} "));
    let wanted = of_family.filter(|(have, _)| labels.iter().all(|label| have.split(',').any(|have| have == *label)));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole and far below 2^53")]
    wanted.map(|(_, value)| value.parse::<f64>().unwrap() as u64).sum()
}

/// The values that one label has in a family.
fn values(page: &str, family: &str, label: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{')));
    let prefix = format!("{label}=\"");
    let labels = lines.flat_map(|line| line.split(['{', ',', '}']));
    let mut values: Vec<String> =
        labels.filter_map(|pair| Some(pair.strip_prefix(&prefix)?.trim_end_matches('"').to_owned())).collect();
    values.sort();
    values.dedup();
    values
}

/// What is broken of both laws; empty for nothing.
fn broken(page: &str, told: Told) -> Vec<String> {
    let mut broken = Vec::new();
    let mut law = |what: String, one: u64, other: u64| {
        if one != other {
            broken.push(format!("{what}: {one} is not {other}"));
        }
    };
    for pipeline in values(page, "floe_pipeline_records_total", "pipeline") {
        let state = |state: &str| {
            sum(page, "floe_pipeline_records_total", &[&format!("pipeline=\"{pipeline}\""), &format!("state=\"{state}\"")])
        };
        let became = ["refused", "duplicate", "rejected", "filtered", "unmapped", "mapped"].map(state).iter().sum();
        law(format!("records of {pipeline}"), state("received"), became);
    }
    for exporter in values(page, "floe_destination_rows", "exporter") {
        for table in values(page, "floe_destination_rows", "table") {
            let state = |state: &str| {
                let labels = [format!("exporter=\"{exporter}\""), format!("table=\"{table}\""), format!("state=\"{state}\"")];
                sum(page, "floe_destination_rows", &labels.each_ref().map(String::as_str))
            };
            let elsewhere = ["committed", "held", "dead_lettered", "damaged"].map(state).iter().sum();
            law(format!("rows of {exporter}:{table}"), state("logged"), elsewhere);
        }
    }
    // Where others send too, only they know what they were told.
    let requests = sum(page, "floe_receiver_requests_total", &["transport=\"http\"", "outcome=\"accepted\""]);
    if let Some(records) = told.records.filter(|_| told.requests == requests) {
        for ((signal, family), sent) in SIGNALS.iter().zip(records) {
            let accepted = sum(page, &format!("otelcol_receiver_accepted_{family}_total"), &["transport=\"http\""]);
            law(format!("{signal} that senders were told are taken"), accepted, sent);
        }
    }
    broken
}

/// Holds both laws for a gateway that runs; one that is gone has none. A request or a commit may be on its way: the laws get a moment.
pub fn check(floe: &Floe) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner).get(&floe.ports.http).copied().unwrap_or_default();
        let Some(page) = send::get(floe.ports.metrics, "/metrics").ok().filter(|reply| reply.status == 200) else { return };
        let broken = broken(&page.text(), told);
        if broken.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{}\n{}", broken.join("\n"), floe.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_law_that_is_broken_is_told() {
    let page = "floe_pipeline_records_total{pipeline=\"traces\",signal=\"traces\",state=\"received\"} 5\n\
                floe_pipeline_records_total{pipeline=\"traces\",signal=\"traces\",state=\"mapped\"} 4\n\
                floe_destination_rows{exporter=\"iceberg\",table=\"errors\",state=\"logged\"} 3\n\
                floe_destination_rows{exporter=\"iceberg\",table=\"errors\",state=\"held\"} 2\n\
                floe_receiver_requests_total{receiver=\"otlp\",transport=\"http\",signal=\"traces\",outcome=\"accepted\"} 1\n\
                otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"http\"} 4\n";
    let told = |requests, spans| broken(page, Told { requests, records: Some([spans, 0, 0]) });
    assert_eq!(
        told(1, 5),
        [
            "records of traces: 5 is not 4",
            "rows of iceberg:errors: 3 is not 2",
            "traces that senders were told are taken: 4 is not 5"
        ]
    );
    assert_eq!(told(1, 4).len(), 2);
    assert_eq!(told(2, 9).len(), 2);
}
