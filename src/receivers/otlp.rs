//! The `otlp` receiver: the three signals over gRPC and HTTP, on hyper, from the socket to the pipelines and back.
//!
//! A request is admitted, read within a deadline, inflated within the limit, handed over and answered:
//! memory is asked for before each step that needs it, and past the budget or a limit the body is not read.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`] | the keys under `otlp` |
//! | `grpc` | paths, framing and headers of gRPC |
//! | `http` | paths and headers of HTTP |
//! | `body` | reads a body into a buffer that asks before it grows |
//! | `inflate` | gzip |
//! | `reply` | every status code, and the bodies of replies |
//!
//! Invariants: a body is handed on as it came, inflated and nothing else; a request that was handed over runs to its end even if its sender
//! goes away, so that what became durable is also observed; its panic costs the others nothing.

mod body;
pub mod config;
mod grpc;
mod http;
mod inflate;
mod reply;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::{Reply, Request, SharedIntake};
use crate::server::{Limits, Listener};
use crate::signals::{Rejected, Signal};
use crate::telemetry::{ReceiverMetrics, RequestOutcome};
use config::{GrpcConfig, HttpConfig};
use grpc::Grpc;
use http::Http;
use reply::Refusal;

pub use config::OtlpConfig;

/// A bound receiver; peers can connect, and are answered once it is served.
#[derive(Debug)]
pub struct OtlpReceiver {
    grpc: Option<(Listener, Limits, Arc<Grpc>)>,
    http: Option<(Listener, Limits, Arc<Http>)>,
    desk: Arc<Desk>,
}

/// Where a receiver listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddrs {
    pub grpc: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    #[error("receiver `{id}` cannot listen on {address}; free it, or set another `protocols.{protocol}.endpoint`")]
    Bind {
        id: String,
        protocol: &'static str,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Where both protocols hand their requests over.
struct Desk {
    admission: Arc<Admission>,
    intake: SharedIntake,
    metrics: ReceiverMetrics,
    running: TaskTracker,
}

/// Counts a request once: as what it became, or as aborted if its sender went away before.
struct Counted<'a> {
    desk: &'a Desk,
    transport: &'static str,
    signal: Signal,
    outcome: RequestOutcome,
}

impl OtlpReceiver {
    /// Binds every protocol of `config` at once. `id` is for messages.
    pub fn bind(
        id: &str,
        config: &OtlpConfig,
        admission: Arc<Admission>,
        intake: SharedIntake,
        metrics: ReceiverMetrics,
    ) -> Result<OtlpReceiver, ReceiverError> {
        let desk = Arc::new(Desk { admission, intake, metrics, running: TaskTracker::new() });
        let listen = |protocol, address| {
            Listener::bind(address).map_err(|source| ReceiverError::Bind { id: id.to_owned(), protocol, address, source })
        };
        let grpc = |config: &GrpcConfig| {
            let limits = Limits {
                connections: config.max_connections as usize,
                streams: config.max_concurrent_streams,
                http2_only: true,
                ..Limits::default()
            };
            let limit = config.max_recv_msg_size_mib.in_memory();
            let service = Grpc { desk: Arc::clone(&desk), limit, read_timeout: config.read_timeout.get() };
            Ok((listen("grpc", config.endpoint)?, limits, Arc::new(service)))
        };
        let http = |config: &HttpConfig| {
            let limits = Limits { connections: config.max_connections as usize, ..Limits::default() };
            let limit = config.max_request_body_size.in_memory();
            let service = Http { desk: Arc::clone(&desk), limit, read_timeout: config.read_timeout.get() };
            Ok((listen("http", config.endpoint)?, limits, Arc::new(service)))
        };
        let grpc = config.protocols.grpc.as_ref().map(grpc).transpose()?;
        let http = config.protocols.http.as_ref().map(http).transpose()?;
        Ok(OtlpReceiver { grpc, http, desk })
    }

    pub fn local_addrs(&self) -> LocalAddrs {
        LocalAddrs {
            grpc: self.grpc.as_ref().map(|(listener, ..)| listener.local_addr()),
            http: self.http.as_ref().map(|(listener, ..)| listener.local_addr()),
        }
    }

    /// Serves until `shutdown`; then takes no new request, and returns when the running ones have been answered.
    /// Drop the future to wait no longer: requests that were handed over still run to their end.
    pub async fn serve(self, shutdown: CancellationToken) {
        let grpc = async {
            if let Some((listener, limits, service)) = self.grpc {
                let handler = move |request| {
                    let service = Arc::clone(&service);
                    async move { service.handle(request).await }
                };
                listener.serve(limits, handler, shutdown.clone()).await;
            }
        };
        let http = async {
            if let Some((listener, limits, service)) = self.http {
                let handler = move |request| {
                    let service = Arc::clone(&service);
                    async move { service.handle(request).await }
                };
                listener.serve(limits, handler, shutdown.clone()).await;
            }
        };
        tokio::join!(grpc, http);
        // Requests whose senders are gone.
        self.desk.running.close();
        self.desk.running.wait().await;
    }
}

impl Desk {
    fn counted(&self, transport: &'static str, signal: Signal) -> Counted<'_> {
        Counted { desk: self, transport, signal, outcome: RequestOutcome::Aborted }
    }

    /// Hands a request to the pipelines, in a task of its own.
    async fn hand_over(&self, transport: &'static str, request: Request) -> Result<Option<Rejected>, Refusal> {
        let intake = Arc::clone(&self.intake);
        let signal = request.signal;
        let reply = self.running.spawn(async move { intake.accept(request).await }).await;
        match reply {
            Ok(Reply::Accepted(ack)) => {
                let rejected = ack.rejected.filter(|rejected| rejected.count > 0);
                let refused = rejected.as_ref().map_or(0, |rejected| rejected.count);
                self.metrics.records(transport, signal, ack.records.saturating_sub(refused), refused);
                Ok(rejected)
            }
            Ok(Reply::Invalid(bad)) => Err(Refusal::Invalid(bad)),
            Ok(Reply::Later(later)) => {
                self.metrics.records(transport, signal, 0, later.records);
                Err(Refusal::Later(later))
            }
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "a request met a fault in its pipelines");
                Err(Refusal::Fault)
            }
        }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("admission", &self.admission).finish_non_exhaustive()
    }
}

impl Counted<'_> {
    fn accepted(&mut self) {
        self.outcome = RequestOutcome::Accepted;
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.outcome = refusal.outcome();
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.desk.metrics.request(self.transport, self.signal, self.outcome);
    }
}
