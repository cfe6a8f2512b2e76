//! `proto/admin.proto` on the side of the gateway.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower_service::Service;

use crate::exporters::iceberg::IcebergExporter;
use crate::server::{Limits, Listener};
use crate::telemetry::Telemetry;
use crate::wal::Wal;

/// The messages and the service, generated from `proto/admin.proto`.
#[allow(clippy::pedantic, missing_debug_implementations, reason = "generated code")]
pub mod proto {
    tonic::include_proto!("floe.admin.v1");
}

use proto::admin_server::{Admin, AdminServer};
use proto::{Destination, FlushReply, FlushRequest, PipelineRecords, StatusReply, StatusRequest};

/// Answers `floe status` and `floe flush`.
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
}
