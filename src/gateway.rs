//! The gateway: build every room from the configuration, start them, and end them in the order of the flow.
//!
//! Start: health → keys → log → exporters → chains → endpoints → receivers, so that nothing is taken in before it can be kept. Starting waits for no
//! catalog. Drain: receivers stop and answer what runs → exporters commit what is held → the log closes. What could not be committed
//! within the grace stays in the log and is committed after the next start.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`] | the whole configuration: the components there are, and what must hold between them |
//! | [`build`] | from the configuration to chains, destinations and exporters |
//! | [`keys`] | the id key and the address key, made at the first start |
//! | [`readiness`] | whether senders should come here |
//! | [`report`] | what the rooms count themselves, as metrics |
//! | [`admin`] | `floe status`, `floe flush` and `floe replay` on the side of the gateway |
//!
//! Only this room and the command line know every other room.

pub mod admin;
pub mod build;
pub mod config;
pub mod keys;
pub mod readiness;
pub mod report;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Place;
use crate::exporters::iceberg::{IcebergExporter, TableStatus};
use crate::pipelines::Pipelines;
use crate::processors::chain::ChainError;
use crate::receivers::SharedIntake;
use crate::receivers::admission::Admission;
use crate::receivers::auth::{Authenticators, Tokens};
use crate::receivers::otlp::OtlpReceiver;
use crate::server::Listener;
use crate::telemetry::{FailingTable, Health, Telemetry};
use crate::wal::Wal;
use config::{Config, Extensions, ReceiverConfig};

/// What a drain gives running requests to be answered in.
const RECEIVERS_GRACE: Duration = Duration::from_secs(5);
/// And then the last commits. Together they are below the 30 s that Kubernetes gives a pod.
const COMMITS_GRACE: Duration = Duration::from_secs(20);

/// Why the gateway did not start. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `place` is that of the pipeline's first component.
    #[error("{place}: pipeline `{pipeline}`: {source}")]
    Chain { place: Box<Place>, pipeline: String, source: Box<ChainError> },
    #[error(transparent)]
    Key(#[from] keys::KeyError),
    #[error(transparent)]
    Log(#[from] crate::wal::OpenError),
    #[error("exporter `{exporter}`: {source}")]
    Exporter { exporter: String, source: crate::exporters::iceberg::ExporterError },
    #[error("extension `{extension}`: {source}")]
    Auth { extension: String, source: crate::receivers::auth::AuthError },
    #[error(transparent)]
    Receiver(#[from] crate::receivers::otlp::ReceiverError),
    #[error("cannot listen on {address} for {what}: {source}; is another gateway running?")]
    Bind { what: &'static str, address: SocketAddr, source: std::io::Error },
}

/// How a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Drained; `left` rows were not committed and wait in the log.
    Drained { left: u64 },
    /// The disk under the log failed: nothing after it was acknowledged. A supervisor should start the gateway again.
    LogBroken,
}

/// A gateway that takes requests.
#[derive(Debug)]
pub struct Gateway {
    wal: Wal,
    exporters: Vec<Arc<IcebergExporter>>,
    receivers: JoinSet<()>,
    endpoints: JoinSet<()>,
    stop_receivers: CancellationToken,
    stop_endpoints: CancellationToken,
    health: Arc<Health>,
}

impl Gateway {
    /// Starts everything, within a tokio runtime. On return the receivers listen.
    pub fn start(config: &Config) -> Result<Gateway, StartError> {
        let extensions = Extensions::of(config);
        let telemetry = Telemetry::new();
        let health = Health::new();
        let stop_endpoints = CancellationToken::new();
        let mut endpoints = JoinSet::new();
        // First of all: reading what the log holds may take minutes, and who probes meanwhile is to hear so.
        if let Some(health_check) = &extensions.health_check {
            let listener = bind("health_check", health_check.endpoint)?;
            endpoints.spawn(Arc::clone(&health).serve(listener, stop_endpoints.clone()));
        }
        let built = build::build(config, &extensions, &telemetry)?;
        let exporters = built.exporters.clone();
        health.ask(move || exporters.iter().flat_map(|exporter| failing(exporter)).collect());
        for (address, prometheus) in &built.prometheus {
            let listener = bind("prometheus", *address)?;
            endpoints.spawn(Arc::clone(prometheus).serve(listener, stop_endpoints.clone()));
        }
        let metrics = bind("service.telemetry.metrics", config.service.telemetry.metrics.address)?;
        endpoints.spawn(Arc::clone(&telemetry).serve(metrics, stop_endpoints.clone()));
        if let Some(settings) = &extensions.admin {
            let admin = admin::AdminService::new(built.wal.clone(), built.exporters.clone(), Arc::clone(&telemetry));
            let listener = bind("admin", settings.endpoint)?;
            endpoints.spawn(admin.serve(listener, stop_endpoints.clone()));
        }

        let authenticators = authenticators(&extensions)?;
        let admission = Arc::new(Admission::new(extensions.memory_limiter.requests()));
        let large = Arc::new(Semaphore::new(extensions.memory_limiter.large_requests()));
        let stop_receivers = CancellationToken::new();
        let mut receivers = JoinSet::new();
        for (id, ReceiverConfig::Otlp(otlp)) in config.receivers.iter() {
            let id = id.to_string();
            let pipelines = built.pipelines.iter().filter(|pipeline| pipeline.receivers.contains(&id)).cloned().collect();
            let intake: SharedIntake = Arc::new(Pipelines::new(pipelines, built.wal.clone(), Arc::clone(&large)));
            let receiver =
                OtlpReceiver::bind(&id, otlp, &authenticators, Arc::clone(&admission), intake, telemetry.receiver(&id))?;
            let addresses = receiver.local_addrs();
            for address in [addresses.grpc, addresses.http].into_iter().flatten() {
                tracing::info!(receiver = %id, %address, "listening");
            }
            receivers.spawn(receiver.serve(stop_receivers.clone()));
        }
        health.ready();
        Ok(Gateway { wal: built.wal, exporters: built.exporters, receivers, endpoints, stop_receivers, stop_endpoints, health })
    }

    /// Runs until `stop`, or until the log breaks; then drains: within 25 seconds.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Ended {
        let broken = tokio::select! {
            () = stop => false,
            error = self.wal.broken() => {
                tracing::error!(%error, "the log is broken");
                true
            }
            never = readiness::watch(&self.wal, &self.health) => match never {},
        };
        self.health.not_ready(if broken { "the log is broken" } else { "draining" });
        self.stop_receivers.cancel();
        if broken {
            return Ended::LogBroken;
        }
        tracing::info!("draining: no new requests, running ones are answered, held rows are committed");
        let running = async { while self.receivers.join_next().await.is_some() {} };
        if tokio::time::timeout(RECEIVERS_GRACE, running).await.is_err() {
            tracing::warn!("some requests were cut off after {RECEIVERS_GRACE:?}; their senders will send them again");
            self.receivers.abort_all();
        }
        let drained = join_all(self.exporters.iter().map(|exporter| exporter.drain(COMMITS_GRACE))).await;
        let mut left = 0;
        for (exporter, report) in self.exporters.iter().zip(drained) {
            for (table, rows, why) in report.left {
                tracing::warn!(
                    exporter = exporter.id(),
                    table = table.name(),
                    rows,
                    why,
                    "not committed; the rows wait in the log"
                );
                left += rows;
            }
        }
        self.wal.close().await;
        self.stop_endpoints.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(1), async { while self.endpoints.join_next().await.is_some() {} }).await;
        Ended::Drained { left }
    }
}

/// The tables that wait after a failure, or have stopped for one.
fn failing(exporter: &IcebergExporter) -> Vec<FailingTable> {
    let named = |status: TableStatus| {
        let (table, state, reason) = (status.table.name(), status.state.to_string(), status.last_error?);
        Some(FailingTable { exporter: exporter.id().to_owned(), table, state, reason })
    };
    exporter.status().into_iter().filter_map(named).collect()
}

fn authenticators(extensions: &Extensions) -> Result<Authenticators, StartError> {
    let load = |(id, config): (&String, _)| match Tokens::load(config) {
        Ok(tokens) => Ok((id.clone(), Arc::new(tokens))),
        Err(source) => Err(StartError::Auth { extension: id.clone(), source }),
    };
    extensions.bearertokenauth.iter().map(load).collect()
}

fn bind(what: &'static str, address: SocketAddr) -> Result<Listener, StartError> {
    let listener = Listener::bind(address).map_err(|source| StartError::Bind { what, address, source })?;
    tracing::info!(endpoint = what, address = %listener.address(), "listening");
    Ok(listener)
}
