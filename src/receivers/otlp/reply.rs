//! Replies: how a request ended, in the words of HTTP and of gRPC. The only file that knows a status code.
//!
//! | a request was | HTTP | gRPC |
//! |---|---|---|
//! | accepted | 200, `Export…ServiceResponse` | `OK`, the same |
//! | accepted in part | 200, `partial_success` | `OK`, the same |
//! | malformed, or damaged by its compression | 400 | `INVALID_ARGUMENT` |
//! | told "later" | 503, `Retry-After` | `UNAVAILABLE`, `RetryInfo` |
//! | too large | 413 | `RESOURCE_EXHAUSTED` without `RetryInfo` |
//! | sent too slowly, or past its `grpc-timeout` | 503, `Retry-After` | `DEADLINE_EXCEEDED` |
//! | of another content type or coding | 415 | HTTP 415; `UNIMPLEMENTED`, `grpc-accept-encoding` |
//! | without a token that is known | 401, `WWW-Authenticate` | `UNAUTHENTICATED` |
//! | of another path or method | 404, 405 with `Allow` | `UNIMPLEMENTED`, HTTP 405 |
//! | framed wrongly (gRPC) | | `INTERNAL` |
//! | lost by a fault of ours | 500 | `INTERNAL` |
//!
//! "Later" is `UNAVAILABLE` for every reason, memory and a full log alike: OTLP lets a sender retry `RESOURCE_EXHAUSTED` only if it finds the
//! `RetryInfo`, and a sender that does not look for it would drop the data. So `RESOURCE_EXHAUSTED` means "too large" and nothing else.
//! An error over HTTP carries a `google.rpc.Status` in the encoding of the request (OTLP specification, "Failures").

use std::future::{Ready, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Either, Empty, Full};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::inflate::ACCEPTED;
use crate::receivers::admission::Shortage;
use crate::receivers::{BadRequest, RetryAfter};
use crate::signals::{Encoding, Rejected, Signal};
use crate::telemetry::RequestOutcome;

/// Why a request was not accepted. No message holds a value of the request.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Invalid(#[from] BadRequest),
    #[error(transparent)]
    Later(#[from] RetryAfter),
    /// "Later", because the memory for requests is in use.
    #[error(transparent)]
    NoMemory(RetryAfter),
    #[error("expected a request of at most {limit} bytes after inflating, found a larger one; send smaller batches")]
    TooLarge { limit: usize },
    #[error("the request needs more memory than the {budget} bytes that all requests may hold; send smaller batches")]
    PastBudget { budget: usize },
    #[error("expected the whole request within {0:?}, found it still coming; try again")]
    TooSlow(Duration),
    #[error("expected {expected}, found {found}")]
    Damaged { expected: &'static str, found: &'static str },
    #[error("expected no compression or one of gzip, zstd, deflate and snappy, found another coding or more than one")]
    Coding,
    #[error("expected content type application/x-protobuf or application/json, found another")]
    ContentType,
    #[error("expected POST, found another method")]
    Method,
    #[error("expected an OTLP path (/v1/traces, /v1/logs, /v1/metrics, or Export of a collector service), found another")]
    Path,
    #[error("expected a token that this gateway knows in the header `authorization`, found none or another")]
    Unauthenticated,
    #[error("expected one gRPC message: {0}")]
    Framing(&'static str),
    #[error("the request ended before its body did")]
    Gone,
    #[error("the deadline of the call passed before it was done")]
    Deadline,
    #[error("the request met a fault of the gateway; its log says more")]
    Fault,
}

pub type HttpReply = Response<Full<Bytes>>;
pub type GrpcReply = Response<Either<WithTrailers<Full<Bytes>, Trailers>, Empty<Bytes>>>;
type Trailers = Ready<Option<Result<HeaderMap, std::convert::Infallible>>>;

/// When a sender that found no memory may come back; requests hold it for milliseconds.
const MEMORY_DELAY: Duration = Duration::from_secs(1);
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

impl From<Shortage> for Refusal {
    fn from(shortage: Shortage) -> Refusal {
        match shortage {
            Shortage::Now => Refusal::no_memory(),
            Shortage::Ever { budget } => Refusal::PastBudget { budget },
        }
    }
}

impl Refusal {
    pub fn no_memory() -> Refusal {
        Refusal::NoMemory(RetryAfter { reason: Shortage::Now.to_string(), delay: MEMORY_DELAY, records: 0 })
    }

    /// The table above.
    fn codes(&self) -> (StatusCode, Code) {
        match self {
            Refusal::Invalid(_) | Refusal::Damaged { .. } => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Refusal::Later(_) | Refusal::NoMemory(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Refusal::TooLarge { .. } | Refusal::PastBudget { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            Refusal::TooSlow(_) | Refusal::Deadline => (StatusCode::SERVICE_UNAVAILABLE, Code::DeadlineExceeded),
            Refusal::Coding | Refusal::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented),
            Refusal::Unauthenticated => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
            Refusal::Path => (StatusCode::NOT_FOUND, Code::Unimplemented),
            Refusal::Framing(_) => (StatusCode::BAD_REQUEST, Code::Internal),
            Refusal::Gone => (StatusCode::BAD_REQUEST, Code::Cancelled),
            Refusal::Fault => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
        }
    }

    /// What it counts as: how the request ended, and the `reason` of `floe_receiver_refusals_total`.
    pub fn counted(&self) -> (RequestOutcome, &'static str) {
        use RequestOutcome::{Aborted, Failed, Invalid, Later};
        match self {
            Refusal::Invalid(_) => (Invalid, "malformed"),
            Refusal::Damaged { .. } => (Invalid, "compression"),
            Refusal::Later(_) => (Later, "log"),
            Refusal::NoMemory(_) => (Later, "memory"),
            Refusal::TooLarge { .. } | Refusal::PastBudget { .. } => (Invalid, "size"),
            Refusal::TooSlow(_) => (Aborted, "read_timeout"),
            Refusal::Deadline => (Aborted, "deadline"),
            Refusal::Coding => (Invalid, "content_encoding"),
            Refusal::ContentType => (Invalid, "content_type"),
            Refusal::Unauthenticated => (Invalid, "auth"),
            Refusal::Method => (Invalid, "method"),
            Refusal::Path => (Invalid, "path"),
            Refusal::Framing(_) => (Invalid, "framing"),
            Refusal::Gone => (Aborted, "gone"),
            Refusal::Fault => (Failed, "fault"),
        }
    }

    /// When the sender may try again; `None` where it must not.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Later(later) | Refusal::NoMemory(later) => Some(later.delay),
            Refusal::TooSlow(_) | Refusal::Deadline => Some(MEMORY_DELAY),
            _ => None,
        }
    }
}

/// The reply to an accepted request over HTTP.
pub fn http_accepted(signal: Signal, encoding: Encoding, rejected: Option<Rejected>) -> HttpReply {
    let mut reply = Response::new(Full::new(export_response(signal, encoding, rejected)));
    reply.headers_mut().insert(CONTENT_TYPE, content_type(encoding));
    reply
}

/// The reply to a refused request over HTTP; in plain text where the request has no encoding of ours.
pub fn http_refused(encoding: Option<Encoding>, refusal: &Refusal) -> HttpReply {
    let (status, code) = refusal.codes();
    let message = refusal.to_string();
    let (media, body) = match encoding {
        Some(Encoding::Protobuf) => {
            let status = tonic_types::pb::Status { code: code.into(), message, details: Vec::new() };
            (PROTOBUF, status.encode_to_vec())
        }
        Some(Encoding::Json) => (JSON, json!({ "code": i32::from(code), "message": message }).to_string().into_bytes()),
        None => (TEXT, message.into_bytes()),
    };
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, media);
    if let Some(delay) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    match refusal {
        Refusal::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
        Refusal::Unauthenticated => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        // RFC 9110, 15.5.16: says that it was the coding, and which ones are taken.
        Refusal::Coding => drop(headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED))),
        _ => {}
    }
    reply
}

/// The reply to a preflight, before its headers.
pub fn http_empty() -> HttpReply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

/// The reply to an accepted request over gRPC: one message, then the trailers.
pub fn grpc_accepted(signal: Signal, rejected: Option<Rejected>) -> GrpcReply {
    let message = export_response(signal, Encoding::Protobuf, rejected);
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let mut reply = Response::new(Either::Left(Full::new(frame.freeze()).with_trailers(ready(Some(Ok(trailers))))));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    reply
}

/// The reply to a refused request over gRPC, as headers alone ("trailers-only").
pub fn grpc_refused(refusal: &Refusal) -> GrpcReply {
    let (_, code) = refusal.codes();
    let status = match refusal {
        Refusal::Later(later) | Refusal::NoMemory(later) => {
            Status::with_error_details(code, refusal.to_string(), ErrorDetails::with_retry_info(Some(later.delay)))
        }
        _ => Status::new(code, refusal.to_string()),
    };
    let mut reply = Response::new(Either::Right(Empty::new()));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    if status.add_header(headers).is_err() {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(i32::from(Code::Unknown)));
    }
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    reply
}

/// The reply to a request that does not speak gRPC, on the port of gRPC.
pub fn not_grpc(refusal: &Refusal) -> GrpcReply {
    let mut reply = Response::new(Either::Right(Empty::new()));
    *reply.status_mut() = refusal.codes().0;
    if matches!(refusal, Refusal::Method) {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    reply
}

fn content_type(encoding: Encoding) -> HeaderValue {
    match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    }
}

/// At least 1: a sender that reads 0 comes back at once.
fn whole_seconds(delay: Duration) -> u64 {
    (delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1)
}

/// `Export…ServiceResponse`; empty unless something was rejected.
fn export_response(signal: Signal, encoding: Encoding, rejected: Option<Rejected>) -> Bytes {
    match encoding {
        Encoding::Protobuf => export_protobuf(signal, rejected).into(),
        Encoding::Json => export_json(signal, rejected).into(),
    }
}

fn export_protobuf(signal: Signal, rejected: Option<Rejected>) -> Vec<u8> {
    let rejected = rejected.map(|Rejected { count, reason }| (i64::try_from(count).unwrap_or(i64::MAX), reason));
    match signal {
        Signal::Traces => {
            let partial_success =
                rejected.map(|(rejected_spans, error_message)| ExportTracePartialSuccess { rejected_spans, error_message });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Logs => {
            let partial_success = rejected
                .map(|(rejected_log_records, error_message)| ExportLogsPartialSuccess { rejected_log_records, error_message });
            ExportLogsServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Metrics => {
            let partial_success = rejected
                .map(|(rejected_data_points, error_message)| ExportMetricsPartialSuccess { rejected_data_points, error_message });
            ExportMetricsServiceResponse { partial_success }.encode_to_vec()
        }
    }
}

/// 64-bit numbers are strings in the JSON of protobuf.
fn export_json(signal: Signal, rejected: Option<Rejected>) -> Vec<u8> {
    let count = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    };
    match rejected {
        None => b"{}".to_vec(),
        Some(rejected) => json!({ "partialSuccess": { count: rejected.count.to_string(), "errorMessage": rejected.reason } })
            .to_string()
            .into_bytes(),
    }
}
