//! Bodies that are small on the wire and large in memory: 64 at once, of every coding and over both protocols, stay within the limit on memory.

use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpStream;

use super::floe::Floe;
use super::send;

/// Half of the default, so that the default is well within it.
const LIMIT_MIB: u64 = 256;
const BOMBS: usize = 64;
const CODINGS: [&str; 4] = ["gzip", "deflate", "zstd", "snappy"];
const TRACES: &str = "http://floe/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What a sender was told, in either protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Taken,
    Malformed,
    TooLarge,
    /// With the time to come back at.
    Later,
}

/// Streamed, so that no body says how large it is.
fn packed(coding: &str, bytes: &[u8]) -> Bytes {
    let packed = match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        "zstd" => zstd::stream::encode_all(bytes, 3),
        _ => {
            let mut encoder = snap::write::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).unwrap();
            Ok(encoder.into_inner().unwrap())
        }
    };
    packed.unwrap().into()
}

async fn by_http(to: SocketAddr, coding: &str, body: Bytes) -> Told {
    let request = Request::post("/v1/traces").header("host", "floe").header("content-type", "application/x-protobuf");
    let request = request.header("content-encoding", coding).body(Full::new(body)).unwrap();
    let io = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let reply = sender.send_request(request).await.expect("a reply and no reset");
    let later = reply.headers().contains_key("retry-after");
    match (reply.status().as_u16(), later) {
        (200, false) => Told::Taken,
        (400, false) => Told::Malformed,
        (413, false) => Told::TooLarge,
        (503, true) => Told::Later,
        other => panic!("{other:?}"),
    }
}

async fn by_grpc(to: SocketAddr, coding: &str, body: Bytes) -> Told {
    let head = [&[1][..], &u32::try_from(body.len()).unwrap().to_be_bytes()].concat();
    let request = Request::post(TRACES).header("content-type", "application/grpc").header("grpc-encoding", coding);
    let request = request.body(Full::new([&head, &body[..]].concat().into())).unwrap();
    let io = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.expect("a reply and no reset").into_parts();
    let body = body.collect().await.unwrap();
    let status = head.headers.get("grpc-status").or_else(|| body.trailers()?.get("grpc-status")).unwrap().to_str().unwrap();
    match (status, head.headers.contains_key("grpc-status-details-bin")) {
        ("0", false) => Told::Taken,
        ("3", false) => Told::Malformed,
        ("8", false) => Told::TooLarge,
        ("14", true) => Told::Later,
        other => panic!("{other:?}"),
    }
}

/// `count` senders at once, half of them over gRPC.
async fn at_once(floe: &Floe, count: usize, coding: &'static str, body: &Bytes) -> Vec<Told> {
    let senders: Vec<_> = (0..count)
        .map(|n| {
            let (ports, body) = (floe.ports, body.clone());
            tokio::spawn(async move {
                if n % 2 == 0 { by_http(ports.http, coding, body).await } else { by_grpc(ports.grpc, coding, body).await }
            })
        })
        .collect();
    let mut told = Vec::new();
    for sender in senders {
        told.push(sender.await.unwrap());
    }
    told
}

fn start() -> Floe {
    let extension = format!("extensions:\n  memory_limiter: {{ limit_mib: {LIMIT_MIB} }}\n");
    Floe::start_with(|config| config.replace("extensions:\n", &extension))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_bombs_at_once_stay_within_the_limit_on_memory() {
    let floe = start();
    // Past the limit on bodies of 64 MiB; and just below it, inflated to its end, and then no request.
    for (mib, end) in [(80, Told::TooLarge), (60, Told::Malformed)] {
        let zeros = vec![0; mib << 20];
        for coding in CODINGS {
            let told = at_once(&floe, BOMBS, coding, &packed(coding, &zeros)).await;
            // How many get far enough to be told their own fault depends on who takes the budget; one alone always does.
            assert!(told.iter().all(|told| [end, Told::Later].contains(told)), "{mib} MiB of {coding}: {told:?}");
            assert_eq!(at_once(&floe, 1, coding, &packed(coding, &zeros)).await, [end], "{mib} MiB of {coding} alone");
            let id = format!("after {mib} MiB of {coding}");
            let good = send::body(vec![send::invocation(&id, "checkout", send::now_nanos())]);
            assert_eq!(send::export(floe.ports.http, "traces", &good).unwrap().status, 200, "{id}");
        }
    }
    within_the_limit(&floe);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_that_can_be_taken_stay_within_the_limit_on_memory() {
    let floe = start();
    let text = "x".repeat(1000);
    let spans = (0..20_000).map(|n| send::invocation(&format!("{n} {text}"), "checkout", send::now_nanos())).collect();
    let body = packed("zstd", &send::body(spans));
    for _ in 0..2 {
        let told = at_once(&floe, 8, "zstd", &body).await;
        let taken = told.iter().filter(|told| **told == Told::Taken).count();
        assert!(taken > 0 && told.iter().all(|told| [Told::Taken, Told::Later].contains(told)), "{told:?}");
    }
    within_the_limit(&floe);
}

/// Records and attributes take many times their bytes once they are decoded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_grow_when_they_are_decoded_stay_within_the_limit_on_memory() {
    let floe = start();
    let span = Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..Span::default() };
    let mut described = send::request(vec![span.clone()]);
    described.resource_spans[0].resource.as_mut().unwrap().attributes = vec![send::string("faas.name", ""); 1_000_000];
    let rows = [("spans", send::body(vec![span; 250_000])), ("attributes", described.encode_to_vec())];
    for (what, body) in rows {
        let told = at_once(&floe, BOMBS, "gzip", &packed("gzip", &body)).await;
        let taken = told.iter().filter(|told| **told == Told::Taken).count();
        println!("{what}: {taken} taken, {} MiB at most", floe.peak_kib() >> 10);
        assert!(taken > 0 && told.iter().all(|told| [Told::Taken, Told::Later].contains(told)), "{what}: {told:?}");
    }
    within_the_limit(&floe);
}

fn within_the_limit(floe: &Floe) {
    let peak = floe.peak_kib() >> 10;
    println!("{peak} MiB at most, with a limit of {LIMIT_MIB}");
    assert!(peak < LIMIT_MIB, "{peak} MiB at most, with a limit of {LIMIT_MIB}");
}
