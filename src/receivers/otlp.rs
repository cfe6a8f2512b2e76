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
//! | [`cors`] | which pages of a browser may send |
//! | `body` | reads a body into a buffer that asks before it grows |
//! | `inflate` | gzip, deflate, zstd, snappy |
//! | `reply` | every status code, and the bodies of replies |
//!
//! Invariants: a body is handed on as it came, inflated and nothing else; a request that was handed over runs to its end even if its sender
//! goes away, so that what became durable is also observed; its panic costs the others nothing.

mod body;
pub mod config;
pub mod cors;
mod grpc;
mod http;
mod inflate;
mod reply;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::auth::{AuthConfig, Authenticators, TlsConfig};
use super::{Reply, Request, SharedIntake};
use crate::server::{Address, Limits, Listener, Observer, Tls, TlsError};
use crate::signals::{Rejected, Signal};
use crate::telemetry::{ReceiverMetrics, RequestOutcome};
use config::{BufferSize, GrpcConfig, HttpConfig, bounded};
use cors::Cors;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddrs {
    pub grpc: Option<Address>,
    pub http: Option<Address>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    #[error("receiver `{id}` cannot listen on {address}; free it, or set another `protocols.{protocol}.endpoint`")]
    Bind {
        id: String,
        protocol: &'static str,
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("receiver `{id}`: `protocols.{protocol}.tls`")]
    Tls {
        id: String,
        protocol: &'static str,
        #[source]
        source: TlsError,
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
    /// `None` on a path of no signal.
    signal: Option<Signal>,
    outcome: RequestOutcome,
    reason: Option<&'static str>,
}

impl OtlpReceiver {
    /// Binds every protocol of `config` at once. `id` is for messages; `authenticators` has every extension that `auth` names.
    pub fn bind(
        id: &str,
        config: &OtlpConfig,
        authenticators: &Authenticators,
        admission: Arc<Admission>,
        intake: SharedIntake,
        metrics: ReceiverMetrics,
    ) -> Result<OtlpReceiver, ReceiverError> {
        let desk = Arc::new(Desk { admission, intake, metrics, running: TaskTracker::new() });
        let listen = |protocol, address: &Address| {
            let bound = Listener::bind(address.clone());
            bound.map_err(|source| ReceiverError::Bind { id: id.to_owned(), protocol, address: address.clone(), source })
        };
        let tls = |protocol, config: &Option<TlsConfig>, speaks| {
            let Some(TlsConfig { cert_file, key_file, reload_interval }) = config else { return Ok(None) };
            let loaded = Tls::load(cert_file, key_file, speaks, reload_interval.get());
            loaded.map(|tls| Some(Arc::new(tls))).map_err(|source| ReceiverError::Tls { id: id.to_owned(), protocol, source })
        };
        let tokens = |auth: &Option<AuthConfig>| authenticators.get(&auth.as_ref()?.authenticator).cloned();
        let grpc = |config: &GrpcConfig| {
            let (limit, read_timeout) = (config.max_recv_msg_size_mib.in_memory(), bounded(config.read_timeout));
            let service = Grpc { desk: Arc::clone(&desk), limit, read_timeout, tokens: tokens(&config.auth) };
            let limits = Limits { tls: tls("grpc", &config.tls, &[b"h2"])?, ..grpc_limits(config, &desk) };
            Ok((listen("grpc", &config.endpoint)?, limits, Arc::new(service)))
        };
        let http = |config: &HttpConfig| {
            let limit = config.max_request_body_size.in_memory();
            let read_timeout = bounded(config.read_timeout);
            let cors = Cors::new(&config.cors);
            let service = Http { desk: Arc::clone(&desk), cors, limit, read_timeout, tokens: tokens(&config.auth) };
            let limits = Limits { tls: tls("http", &config.tls, &[b"h2", b"http/1.1"])?, ..http_limits(config, &desk) };
            Ok((listen("http", &config.endpoint)?, limits, Arc::new(service)))
        };
        let grpc = config.protocols.grpc.as_ref().map(grpc).transpose()?;
        let http = config.protocols.http.as_ref().map(http).transpose()?;
        Ok(OtlpReceiver { grpc, http, desk })
    }

    pub fn local_addrs(&self) -> LocalAddrs {
        LocalAddrs {
            grpc: self.grpc.as_ref().map(|(listener, ..)| listener.address().clone()),
            http: self.http.as_ref().map(|(listener, ..)| listener.address().clone()),
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

fn grpc_limits(config: &GrpcConfig, desk: &Desk) -> Limits {
    let keepalive = &config.keepalive.server_parameters;
    Limits {
        connections: config.max_connections as usize,
        streams: config.max_concurrent_streams,
        http2_only: true,
        idle_timeout: bounded(keepalive.max_connection_idle),
        max_age: bounded(keepalive.max_connection_age),
        max_age_grace: bounded(keepalive.max_connection_age_grace),
        ping_after: bounded(keepalive.time),
        ping_timeout: keepalive.timeout.get(),
        window: config.read_buffer_size.bytes(),
        shares: Arc::clone(desk.admission.connections()),
        observer: desk.observer("grpc"),
        ..Limits::default()
    }
}

fn http_limits(config: &HttpConfig, desk: &Desk) -> Limits {
    Limits {
        connections: config.max_connections as usize,
        head_timeout: bounded(config.read_header_timeout),
        idle_timeout: bounded(config.idle_timeout),
        write_timeout: bounded(config.write_timeout),
        window: BufferSize::DEFAULT.bytes(),
        shares: Arc::clone(desk.admission.connections()),
        observer: desk.observer("http"),
        ..Limits::default()
    }
}

impl Desk {
    fn observer(&self, transport: &'static str) -> Observer {
        let metrics = self.metrics.clone();
        Observer(Some(Arc::new(move |why| metrics.closed(transport, why.name()))))
    }

    fn counted(&self, transport: &'static str, signal: Option<Signal>) -> Counted<'_> {
        Counted { desk: self, transport, signal, outcome: RequestOutcome::Aborted, reason: Some("gone") }
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
    fn accepted(mut self) {
        self.outcome = RequestOutcome::Accepted;
        self.reason = None;
    }

    fn refused(mut self, refusal: &Refusal) {
        let (outcome, reason) = refusal.counted();
        (self.outcome, self.reason) = (outcome, Some(reason));
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(signal) = self.signal {
            self.desk.metrics.request(self.transport, signal, self.outcome);
        }
        if let Some(reason) = self.reason {
            self.desk.metrics.refusal(self.transport, reason);
        }
    }
}
