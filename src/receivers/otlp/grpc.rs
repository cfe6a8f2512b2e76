//! gRPC: one unary call, framed by hand over HTTP/2 (docs/decisions/0001-own-grpc-framing.md).
//!
//! A call is a POST whose body is one message: a byte of flags, the length in 4 bytes, the message ("gRPC over HTTP2", Requests).
//! The length is known before the message is read; so is the memory that it is given.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request};
use hyper::body::Incoming;

use super::Desk;
use super::body::{self, Growing};
use super::inflate::Coding;
use super::reply::{self, GrpcReply, Refusal};
use crate::receivers::Request as Export;
use crate::receivers::admission::MemoryPermit;
use crate::receivers::auth::Tokens;
use crate::signals::{Encoding, Rejected, Signal};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Flags and length.
const HEAD: usize = 5;

/// The three collector services.
#[derive(Debug)]
pub struct Grpc {
    pub desk: Arc<Desk>,
    /// Bytes of a message, before and after inflating.
    pub limit: usize,
    /// For a request to come in whole; `None` waits for ever.
    pub read_timeout: Option<Duration>,
    /// Who may send; anybody where there is none.
    pub tokens: Option<Arc<Tokens>>,
}

impl Grpc {
    pub async fn handle(&self, request: Request<Incoming>) -> GrpcReply {
        let (head, mut body) = request.into_parts();
        let signal = signal(head.uri.path());
        let counted = self.desk.counted("grpc", signal);
        match self.call(signal, &head, &mut body).await {
            Ok((signal, rejected)) => {
                counted.accepted();
                reply::grpc_accepted(signal, rejected)
            }
            Err(refusal) => {
                counted.refused(&refusal);
                match refusal {
                    Refusal::Method | Refusal::ContentType => reply::not_grpc(&refusal),
                    _ => reply::grpc_refused(&refusal),
                }
            }
        }
    }

    /// One call, within its deadline. What was handed over runs on after it.
    async fn call(
        &self,
        signal: Option<Signal>,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<(Signal, Option<Rejected>), Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        if !is_grpc(&head.headers) {
            return Err(Refusal::ContentType);
        }
        if self.tokens.as_ref().is_some_and(|tokens| !tokens.admit(&head.headers)) {
            return Err(Refusal::Unauthenticated);
        }
        let signal = signal.ok_or(Refusal::Path)?;
        let export = self.export(signal, head, body);
        let rejected = match timeout(&head.headers) {
            Some(deadline) => tokio::time::timeout(deadline, export).await.map_err(|_| Refusal::Deadline)??,
            None => export.await?,
        };
        Ok((signal, rejected))
    }

    async fn export(&self, signal: Signal, head: &Parts, body: &mut Incoming) -> Result<Option<Rejected>, Refusal> {
        let coding = Coding::of(&head.headers, &GRPC_ENCODING)?;
        let (message, permit, coding) = body::within(self.read_timeout, self.read(body, coding)).await?;
        let (body, permit) = coding.inflate(message, permit, self.limit).await?;
        self.desk.hand_over("grpc", Export { signal, encoding: Encoding::Protobuf, body, permit }).await
    }

    /// The one message of a call, and how it is compressed.
    async fn read(&self, body: &mut Incoming, offered: Coding) -> Result<(Bytes, MemoryPermit, Coding), Refusal> {
        let mut head = [0; HEAD];
        let mut filled = 0;
        let mut piece = Bytes::new();
        while filled < HEAD {
            piece = body::next(body).await?.ok_or(Refusal::Framing("the call ended before a message"))?;
            let n = piece.len().min(HEAD - filled);
            piece.copy_to_slice(&mut head[filled..filled + n]);
            filled += n;
        }
        let [flags, length @ ..] = head;
        let coding = match (flags, offered) {
            (0, _) => Coding::Identity,
            (1, Coding::Identity) => return Err(Refusal::Framing("it is flagged as compressed, but names no grpc-encoding")),
            (1, offered) => offered,
            _ => return Err(Refusal::Framing("it has unknown flags")),
        };
        let length = u32::from_be_bytes(length) as usize;
        if length > self.limit {
            return Err(Refusal::TooLarge { limit: self.limit });
        }
        let permit = self.desk.admission.admit(length.saturating_mul(coding.per_byte()))?;
        let (message, permit) = message(body, piece, length, Growing::new(permit, self.limit, coding.per_byte(), 0)).await?;
        if body::next(body).await?.is_some() {
            return Err(Refusal::Framing("more came after it"));
        }
        Ok((message, permit, coding))
    }
}

/// The `length` bytes that begin with `piece`.
async fn message(
    body: &mut Incoming,
    mut piece: Bytes,
    length: usize,
    mut buffer: Growing,
) -> Result<(Bytes, MemoryPermit), Refusal> {
    if piece.len() == length && length >= body::KEEP {
        return Ok((piece, buffer.into_permit()));
    }
    buffer.reserve_announced(length)?;
    loop {
        if buffer.len() + piece.len() > length {
            return Err(Refusal::Framing("more came after it"));
        }
        buffer.extend(&piece)?;
        if buffer.len() == length {
            return Ok(buffer.finish());
        }
        piece = body::next(body).await?.ok_or(Refusal::Framing("the call ended within the message"))?;
    }
}

/// `application/grpc`, or with `+proto`; parameters may follow.
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or(value).trim();
    media.eq_ignore_ascii_case("application/grpc") || media.eq_ignore_ascii_case("application/grpc+proto")
}

/// `grpc-timeout`: up to 8 digits and a unit ("gRPC over HTTP2"). One that is not understood is as good as none.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(GRPC_TIMEOUT)?.as_bytes().split_last()?;
    let count: u64 = std::str::from_utf8(digits).ok().filter(|digits| digits.len() <= 8)?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

fn signal(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        _ => None,
    }
}
