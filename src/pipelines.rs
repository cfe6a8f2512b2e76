//! The flow of every request: process → append → observe → reply.
//!
//! All pipelines of a request's signal run their chains; what they made goes into **one** record of the log, so the acknowledgement is
//! all or nothing. Only when that record is synced is the sender told so, and only then does Prometheus see it: once, because a
//! request that was here before adds nothing to the log and is shown to nobody. What is in no log is known again by `recent`, for a while.

mod recent;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::clock;
use crate::exporters::prometheus::{Moment, Prometheus};
use crate::processors::{Chain, Outcome};
use crate::receivers::{Ack, BadRequest, Intake, Reply, Request, RetryAfter};
use crate::signals::{Malformed, Signal, Timestamp};
use crate::tables::{Cleared, Schemas, Table};
use crate::telemetry::PipelineMetrics;
use crate::wal::{AppendError, Appended, Entry, Payload, StreamId, Wal};
use recent::Recent;

/// Bodies above this are processed on the blocking pool: below it a chain is done within a millisecond or so.
const INLINE_BYTES: usize = 1 << 20;
/// How long a sender is asked to wait when the log cannot take its request.
const LATER: Duration = Duration::from_secs(5);

/// One pipeline, built: its chain and where the chain's rows and points go.
#[derive(Debug)]
pub struct Pipeline {
    /// As in the configuration, for example `traces/eu`.
    pub id: String,
    pub signal: Signal,
    /// The ids of the receivers whose requests it takes.
    pub receivers: Vec<String>,
    pub chain: Chain,
    pub destinations: Vec<Destination>,
    /// With their places, too.
    pub prometheus: Vec<(usize, Arc<Prometheus>)>,
    pub metrics: PipelineMetrics,
}

/// A durable exporter, as a pipeline sees it.
#[derive(Debug)]
pub struct Destination {
    /// Its place among the pipeline's exporters.
    pub at: usize,
    /// One a table, in the order of [`Table::ALL`].
    pub streams: [StreamId; Table::ALL.len()],
    /// Of its streams: another pipeline may add columns to its tables that this one does not have.
    pub schemas: Schemas,
}

/// The pipelines of one receiver, and the log that all share.
#[derive(Debug)]
pub struct Pipelines {
    all: Arc<Vec<Arc<Pipeline>>>,
    /// The ids of a signal's pipelines, in the order of [`Signal::ALL`]: what a request is known again by, beside its body.
    ways: [String; Signal::ALL.len()],
    wal: Wal,
    /// What the log does not remember.
    recent: Recent,
    large: Arc<Semaphore>,
}

impl Pipelines {
    /// `large` bounds how many large bodies are processed at once, over all receivers: their records can take many times their bytes.
    pub fn new(pipelines: Vec<Arc<Pipeline>>, wal: Wal, large: Arc<Semaphore>) -> Pipelines {
        let ways =
            Signal::ALL.map(|signal| of(&pipelines, signal).map(|pipeline| pipeline.id.as_str()).collect::<Vec<_>>().join(" "));
        Pipelines { all: Arc::new(pipelines), ways, wal, recent: Recent::default(), large }
    }

    async fn flow(&self, request: Request) -> Reply {
        let outcomes = match self.process(&request).await {
            Ok(outcomes) => outcomes,
            Err(malformed) => return invalid(&malformed),
        };
        if outcomes.is_empty() {
            let reason = format!("no pipeline of {} takes requests of this receiver", request.signal.name());
            return Reply::Invalid(BadRequest { reason });
        }
        let running = || of(&self.all, request.signal).zip(&outcomes);
        let payload = payload(running());
        // Several pipelines of one signal reject the same records; the sender is told once.
        let rejected = outcomes.iter().find_map(|outcome| outcome.rejected.clone());
        let records = outcomes.first().map_or(0, |outcome| outcome.tally.received);
        let fingerprint = self.wal.fingerprint(&self.ways[request.signal as usize], &request.body);
        if payload.entries.is_empty() {
            if self.recent.is_new(fingerprint) {
                running().for_each(|(pipeline, outcome)| observe(pipeline, outcome));
            } else {
                running().for_each(|(pipeline, outcome)| pipeline.metrics.duplicate(outcome.tally.received));
            }
            return Reply::Accepted(Ack::volatile(records, rejected));
        }
        match self.wal.append(fingerprint, payload).await {
            Ok(Appended::New(durable)) => {
                running().for_each(|(pipeline, outcome)| observe(pipeline, outcome));
                Reply::Accepted(Ack::durable(&durable, records, rejected))
            }
            Ok(Appended::Duplicate(durable)) => {
                running().for_each(|(pipeline, outcome)| pipeline.metrics.duplicate(outcome.tally.received));
                Reply::Accepted(Ack::durable(&durable, records, rejected))
            }
            Err(error) => {
                running().for_each(|(pipeline, outcome)| pipeline.metrics.refused(outcome.tally.received));
                if error.is_retryable() { Reply::Later(later(&error, records)) } else { invalid(&error) }
            }
        }
    }

    /// Runs every chain of the request's signal, in the order of the pipelines.
    async fn process(&self, request: &Request) -> Result<Vec<Outcome>, Malformed> {
        let (signal, encoding, body) = (request.signal, request.encoding, request.body.clone());
        let pipelines = Arc::clone(&self.all);
        let now = Timestamp(clock::unix_nanos());
        let run = move || of(&pipelines, signal).map(|pipeline| pipeline.chain.process(encoding, &body, now)).collect();
        if request.body.len() <= INLINE_BYTES {
            return run();
        }
        // Who waits here holds a share of the budget, so they are few. The semaphore is never closed.
        let place = Arc::clone(&self.large).acquire_owned().await.ok();
        let run = move || {
            let _place = place;
            run()
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(outcomes) => outcomes,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Intake for Pipelines {
    fn accept(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(self.flow(request))
    }
}

fn of(pipelines: &[Arc<Pipeline>], signal: Signal) -> impl Iterator<Item = &Pipeline> {
    pipelines.iter().map(Arc::as_ref).filter(move |pipeline| pipeline.signal == signal)
}

/// What one request leaves in the log: its rows, addressed to the durable exporters of their pipeline that they go to.
fn payload<'a>(running: impl Iterator<Item = (&'a Pipeline, &'a Outcome)>) -> Payload {
    let mut entries = Vec::new();
    for (pipeline, outcome) in running {
        for (to, rows) in &outcome.rows {
            let table = rows.table().index();
            let count = u32::try_from(rows.rows()).unwrap_or(u32::MAX);
            // Exporters whose tables have the same columns share the bytes.
            let mut encoded: Vec<(&SchemaRef, Bytes)> = Vec::new();
            for destination in pipeline.destinations.iter().filter(|destination| to.contains(destination.at)) {
                let schema = &destination.schemas[table];
                let bytes = match encoded.iter().find(|(of, _)| *of == schema) {
                    Some((_, bytes)) => bytes.clone(),
                    None => encode(rows, schema),
                };
                encoded.push((schema, bytes.clone()));
                entries.push(Entry { stream: destination.streams[table], rows: count, bytes });
            }
        }
    }
    Payload { entries }
}

/// The rows as they lie in a stream of this schema.
fn encode(rows: &Cleared, schema: &SchemaRef) -> Bytes {
    let mut bytes = Vec::new();
    match rows.conformed(schema) {
        Ok(rows) => rows.encode(&mut bytes),
        Err(error) => unreachable!("the types of added columns were checked when the configuration was read: {error}"),
    }
    Bytes::from(bytes)
}

/// Counts a request that was taken, and shows it to Prometheus.
fn observe(pipeline: &Pipeline, outcome: &Outcome) {
    pipeline.metrics.taken(&outcome.tally);
    let now = Moment::now();
    for (at, prometheus) in &pipeline.prometheus {
        let rows = outcome.rows.iter().filter(|(to, _)| to.contains(*at));
        rows.for_each(|(_, rows)| prometheus.observe_rows(rows, now));
        prometheus.observe_points(&outcome.points, now);
    }
}

fn invalid(error: &dyn std::error::Error) -> Reply {
    Reply::Invalid(BadRequest { reason: error.to_string() })
}

fn later(error: &AppendError, records: u64) -> RetryAfter {
    tracing::debug!(%error, "a request is refused for now");
    RetryAfter { reason: error.to_string(), delay: LATER, records }
}
