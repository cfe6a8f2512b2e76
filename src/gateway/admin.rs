//! `proto/admin.proto` on the side of the gateway.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower_service::Service;
use uuid::Uuid;

use crate::clock;
use crate::exporters::iceberg::IcebergExporter;
use crate::server::{Limits, Listener};
use crate::telemetry::Telemetry;
use crate::wal::{LettersError, Wal, dead_letters};

/// The messages and the service, generated from `proto/admin.proto`.
#[allow(clippy::pedantic, missing_debug_implementations, reason = "generated code")]
pub mod proto {
    tonic::include_proto!("floe.admin.v1");
}

use proto::admin_server::{Admin, AdminServer};
use proto::{
    DeadLettersReply, DeadLettersRequest, Destination, FlushReply, FlushRequest, LetterFile, PipelineRecords, Reason,
    ReplayReply, ReplayRequest, StatusReply, StatusRequest,
};

/// Answers `floe status`, `floe flush` and `floe replay`.
#[derive(Clone, Debug)]
pub struct AdminService {
    wal: Wal,
    exporters: Vec<Arc<IcebergExporter>>,
    telemetry: Arc<Telemetry>,
}

impl AdminService {
    pub fn new(wal: Wal, exporters: Vec<Arc<IcebergExporter>>, telemetry: Arc<Telemetry>) -> AdminService {
        AdminService { wal, exporters, telemetry }
    }

    /// Serves gRPC until `shutdown`.
    pub async fn serve(self, listener: Listener, shutdown: CancellationToken) {
        let routes = Routes::new(AdminServer::new(self)).prepare();
        let handler = move |request: http::Request<hyper::body::Incoming>| {
            let mut routes = routes.clone();
            async move { routes.call(request).await.unwrap_or_else(|never| match never {}) }
        };
        listener.serve(Limits { connections: 16, http2_only: true, ..Limits::default() }, handler, shutdown).await;
    }

    async fn letter_files(&self) -> Result<Vec<Result<dead_letters::LetterFile, LettersError>>, Status> {
        let wal = self.wal.clone();
        let read = tokio::task::spawn_blocking(move || wal.dead_letters()).await;
        read.map_err(|_| Status::internal("the files of dead letters could not be read"))
    }

    fn destinations(&self) -> Vec<Destination> {
        let ledgers = self.wal.ledger();
        let mut destinations = Vec::new();
        for exporter in &self.exporters {
            for status in exporter.status() {
                let name = super::report::stream_name(exporter.id(), &status);
                let Some(ledger) = ledgers.iter().find(|ledger| ledger.stream == name) else { continue };
                destinations.push(Destination {
                    exporter: exporter.id().to_owned(),
                    table: status.table.name().to_owned(),
                    state: status.state.to_string(),
                    logged_rows: ledger.logged,
                    committed_rows: ledger.committed,
                    held_rows: ledger.held,
                    damaged_rows: ledger.damaged,
                    held_bytes: status.held.bytes,
                    watermark: status.watermark.0,
                    last_error: status.last_error.unwrap_or_default(),
                    dead_lettered_rows: ledger.dead_lettered,
                    waiting_letters: ledger.letters,
                    oldest_millis: status.held.oldest.map_or(0, |since| millis(clock::now().saturating_duration_since(since))),
                    last_commit_millis: status.last_commit.map_or(0, |commit| commit.at / 1_000_000),
                });
            }
        }
        destinations
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let records = self.telemetry.records().into_iter().map(|(pipeline, records)| PipelineRecords {
            pipeline,
            received: records.received,
            refused: records.refused,
            duplicate: records.duplicate,
            rejected: records.rejected,
            filtered: records.filtered,
            unmapped: records.unmapped,
            mapped: records.mapped,
        });
        Ok(Response::new(StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            writer_id: self.wal.writer_id().to_string(),
            pipelines: records.collect(),
            destinations: self.destinations(),
            wal_bytes: self.wal.bytes(),
            wal_max_bytes: self.wal.max_bytes(),
        }))
    }

    async fn flush(&self, _: Request<FlushRequest>) -> Result<Response<FlushReply>, Status> {
        let committed = || self.wal.ledger().iter().map(|ledger| ledger.committed).sum::<u64>();
        let before = committed();
        let mut failures = Vec::new();
        for exporter in &self.exporters {
            for (table, outcome) in exporter.flush_each().await {
                failures.extend(outcome.err().map(|why| format!("{}:{}: {why}", exporter.id(), table.name())));
            }
        }
        Ok(Response::new(FlushReply { committed_rows: committed() - before, failures }))
    }

    async fn dead_letters(&self, _: Request<DeadLettersRequest>) -> Result<Response<DeadLettersReply>, Status> {
        let mut reply = DeadLettersReply::default();
        for found in self.letter_files().await? {
            match found {
                Ok(file) => reply.files.push(letter_file(file)),
                Err(error) => reply.failures.push(error.to_string()),
            }
        }
        Ok(Response::new(reply))
    }

    async fn replay(&self, request: Request<ReplayRequest>) -> Result<Response<ReplayReply>, Status> {
        let mut reply = ReplayReply::default();
        let asked = request.into_inner().files;
        let mut files = Vec::new();
        for text in &asked {
            match text.parse::<Uuid>() {
                Ok(file) => files.push(file),
                Err(_) => {
                    reply.failures.push(format!("`{text}` names no file: expected a UUID, as `floe replay --list` shows it"));
                }
            }
        }
        if asked.is_empty() {
            for found in self.letter_files().await? {
                match found {
                    Ok(file) => files.push(file.letters.file),
                    Err(error) => reply.failures.push(error.to_string()),
                }
            }
        }
        for file in files {
            match self.wal.replay(file).await {
                Ok(rows) => reply.rows += rows,
                Err(error) => reply.failures.push(format!("{file}: {error}")),
            }
        }
        Ok(Response::new(reply))
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn letter_file(file: dead_letters::LetterFile) -> LetterFile {
    let (exporter, table) = file.stream.rsplit_once(':').unwrap_or((&file.stream, ""));
    LetterFile {
        file: file.letters.file.to_string(),
        exporter: exporter.to_owned(),
        table: table.to_owned(),
        rows: file.letters.rows,
        first_position: file.first.0,
        last_position: file.last.0,
        reasons: file.reasons.into_iter().map(|(reason, rows)| Reason { reason, rows }).collect(),
    }
}
