//! The receiver over real sockets, with real clients. The intake is a stand-in for the pipelines: it remembers what it is given and answers as told.

mod grpc;
mod http;
mod memory;
mod rules;

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, Request as HttpRequest, StatusCode};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::{ByteSize, Span};
use crate::receivers::{Ack, BadRequest, Intake, RetryAfter};
use crate::signals::Encoding;
use crate::telemetry::Telemetry;

/// What the intake answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Accept,
    Reject(u64),
    Invalid,
    Later(Duration),
    Panic,
}

/// Remembers requests; takes `delay` over each and answers by the first byte of the body, or as told.
struct Pipelines {
    answer: Answer,
    delay: Duration,
    seen: Mutex<Vec<(Signal, Encoding, Bytes, usize)>>,
}

impl Intake for Pipelines {
    fn accept(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.seen.lock().unwrap().push((request.signal, request.encoding, request.body.clone(), request.permit.bytes()));
            let rejected = |count| Rejected { count, reason: "expected a trace id of 16 bytes, found 3".to_owned() };
            match self.answer {
                Answer::Panic if request.body.starts_with(b"!") => panic!("as told"),
                Answer::Accept | Answer::Panic => Reply::Accepted(Ack::volatile(1, None)),
                Answer::Reject(count) => Reply::Accepted(Ack::volatile(5, Some(rejected(count)))),
                Answer::Invalid => Reply::Invalid(BadRequest { reason: "expected a request, found ½".to_owned() }),
                Answer::Later(delay) => Reply::Later(RetryAfter { reason: "the log is full".to_owned(), delay, records: 1 }),
            }
        })
    }
}

/// A receiver that serves.
struct Running {
    addrs: LocalAddrs,
    admission: Arc<Admission>,
    pipelines: Arc<Pipelines>,
    telemetry: Arc<Telemetry>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct Setup {
    answer: Answer,
    delay: Duration,
    budget: ByteSize,
    limit: ByteSize,
    read_timeout: Duration,
}

const SETUP: Setup = Setup {
    answer: Answer::Accept,
    delay: Duration::ZERO,
    budget: ByteSize::mib(64),
    limit: ByteSize::mib(4),
    read_timeout: Duration::from_secs(20),
};

fn start(setup: Setup) -> Running {
    start_with(setup, OtlpConfig::default())
}

/// Free ports and what `setup` says replace that of `config`.
fn start_with(setup: Setup, mut config: OtlpConfig) -> Running {
    let limit = setup.limit.try_into().unwrap();
    if let Some(grpc) = &mut config.protocols.grpc {
        grpc.endpoint = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        (grpc.max_recv_msg_size_mib, grpc.read_timeout) = (limit, Span(setup.read_timeout));
    }
    if let Some(http) = &mut config.protocols.http {
        http.endpoint = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        (http.max_request_body_size, http.read_timeout) = (limit, Span(setup.read_timeout));
    }
    let admission = Arc::new(Admission::new(setup.budget));
    let pipelines = Arc::new(Pipelines { answer: setup.answer, delay: setup.delay, seen: Mutex::default() });
    let telemetry = Telemetry::new();
    let receiver = OtlpReceiver::bind(
        "otlp",
        &config,
        &Authenticators::new(),
        admission.clone(),
        pipelines.clone(),
        telemetry.receiver("otlp"),
    )
    .unwrap();
    let (addrs, shutdown) = (receiver.local_addrs(), CancellationToken::new());
    let server = tokio::spawn(receiver.serve(shutdown.clone()));
    Running { addrs, admission, pipelines, telemetry, shutdown, server }
}

impl Running {
    fn grpc(&self) -> SocketAddr {
        tcp(self.addrs.grpc.as_ref())
    }

    fn http(&self) -> SocketAddr {
        tcp(self.addrs.http.as_ref())
    }

    fn seen(&self) -> Vec<(Signal, Encoding, Bytes)> {
        self.pipelines.seen.lock().unwrap().iter().map(|(signal, encoding, body, _)| (*signal, *encoding, body.clone())).collect()
    }

    /// Waits until nothing is held.
    async fn all_is_freed(&self) {
        for _ in 0..500 {
            if self.admission.held() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} bytes are still held", self.admission.held());
    }

    /// Waits until so many requests have ended so.
    async fn counts(&self, transport: &str, outcome: &str, count: u32) {
        let line = format!("transport=\"{transport}\",signal=\"traces\",outcome=\"{outcome}\"}} {count}\n");
        for _ in 0..500 {
            if self.telemetry.render().contains(&line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("expected {line} in\n{}", self.telemetry.render());
    }
}

fn tcp(address: Option<&Address>) -> SocketAddr {
    match address {
        Some(Address::Tcp(address)) => *address,
        other => panic!("{other:?}"),
    }
}

/// A reply as it came over the wire.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type AnyBody = BoxBody<Bytes, Infallible>;

fn whole(body: impl Into<Bytes>) -> AnyBody {
    Full::new(body.into()).boxed()
}

/// A body without a length, in pieces.
fn pieces(body: &[u8], size: usize) -> AnyBody {
    let pieces: Vec<_> = body.chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(pieces)))
}

/// One request on a connection of its own.
async fn exchange(address: SocketAddr, http2: bool, request: HttpRequest<AnyBody>) -> Result<Got, hyper::Error> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let reply = if http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let (head, body) = reply.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Got { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_taken_address_is_refused_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = OtlpConfig::default();
    config.protocols.grpc = None;
    config.protocols.http.as_mut().unwrap().endpoint = taken.local_addr().unwrap().into();
    let pipelines = Arc::new(Pipelines { answer: Answer::Accept, delay: Duration::ZERO, seen: Mutex::default() });
    let admission = Arc::new(Admission::new(ByteSize::mib(1)));
    let error =
        OtlpReceiver::bind("otlp/a", &config, &Authenticators::new(), admission, pipelines, Telemetry::new().receiver("otlp/a"))
            .unwrap_err();
    assert!(error.to_string().starts_with("receiver `otlp/a` cannot listen on 127.0.0.1:"), "{error}");
    assert!(error.to_string().ends_with("set another `protocols.http.endpoint`"), "{error}");
}
