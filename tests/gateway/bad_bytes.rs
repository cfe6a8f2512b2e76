//! Requests that no SDK would send: no panic, no hang, no lost neighbour.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::floe::Floe;
use super::{python, send};

/// `count` invocations in one request.
fn spans(count: usize) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
    (0..count).map(|n| send::invocation(&format!("i{n}"), "checkout", send::now_nanos())).collect()
}

fn partial_success(reply: &send::HttpReply) -> (i64, String) {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let response = ExportTraceServiceResponse::decode(reply.body.as_slice()).unwrap();
    response.partial_success.map_or((0, String::new()), |partial| (partial.rejected_spans, partial.error_message))
}

#[test]
fn one_byte_that_is_not_utf8_costs_only_its_string() {
    let floe = Floe::start();
    let mut spans = spans(500);
    spans[250].attributes.push(send::string("faas.version", "v-NOT-UTF8"));
    let mut body = send::body(spans);
    let at = body.windows(10).position(|window| window == b"v-NOT-UTF8").unwrap();
    body[at + 2] = 0xff;
    assert_eq!(partial_success(&send::export(floe.ports.http, "traces", &body).unwrap()), (0, String::new()));
    floe.flush();
    let rows = python::rows(&floe, "invocations");
    assert_eq!(rows.len(), 500);
    let mended = rows.iter().find(|row| row["invocation_id"] == "i250").unwrap();
    assert_eq!(mended["version"], "v-\u{fffd}OT-UTF8");
}

#[test]
fn a_trace_id_of_a_wrong_length_costs_only_its_span() {
    let floe = Floe::start();
    let mut spans = spans(500);
    spans[7].trace_id.pop();
    let (rejected, message) = partial_success(&send::export(floe.ports.http, "traces", &send::body(spans)).unwrap());
    assert_eq!(rejected, 1);
    assert!(message.contains("trace_id") || message.contains("trace id"), "{message}");
    floe.flush();
    assert_eq!(python::rows(&floe, "invocations").len(), 499);
}

#[test]
fn damaged_bodies_are_answered_and_the_next_request_is_taken() {
    let floe = Floe::start();
    let protobuf = send::body(spans(3));
    let json = include_bytes!("../fixtures/cloudflare-workers/traces.json");
    for cut in (0..protobuf.len()).step_by(7) {
        let status = send::export(floe.ports.http, "traces", &protobuf[..cut]).unwrap().status;
        assert!(status == 200 || status == 400, "protobuf cut at {cut}: {status}");
    }
    for cut in (1..json.len()).step_by(211) {
        let status = send::export_json(floe.ports.http, "traces", &json[..cut]).unwrap().status;
        assert_eq!(status, 400, "JSON cut at {cut}");
    }
    for bit in (0..protobuf.len() * 8).step_by(11) {
        let mut body = protobuf.clone();
        body[bit / 8] ^= 1 << (bit % 8);
        let status = send::export(floe.ports.http, "traces", &body).unwrap().status;
        assert!(status == 200 || status == 400, "protobuf with bit {bit} flipped: {status}");
    }
    for bit in (0..json.len() * 8).step_by(1_709) {
        let mut body = json.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        let status = send::export_json(floe.ports.http, "traces", &body).unwrap().status;
        assert!(status == 200 || status == 400, "JSON with bit {bit} flipped: {status}");
    }
    let good = send::body(vec![send::invocation("after", "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &good).unwrap().status, 200);
    floe.flush();
    assert!(python::column(&floe, "invocations", "invocation_id").contains(&"after".to_owned()));
    assert!(!floe.log().contains("panicked"), "{}", floe.log());
}

#[test]
fn gzip_bombs_are_refused_and_cost_bounded_memory() {
    // 64 of them inflated would be 16 GiB, and 4 GiB at the largest body that is taken.
    let floe = Floe::start();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let before = floe.resident_kib();
    let to = floe.ports.http;
    let senders: Vec<_> = (0..64)
        .map(|_| {
            let bomb = bomb.clone();
            std::thread::spawn(move || {
                let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "gzip")];
                send::http(to, "POST", "/v1/traces", &headers, &bomb).unwrap()
            })
        })
        .collect();
    for sender in senders {
        let reply = sender.join().unwrap();
        assert!(reply.status == 413 || reply.status == 503, "{}", reply.status);
        assert_eq!(reply.header("Retry-After").is_some(), reply.status == 503, "only \"later\" names a time");
    }
    let grown = floe.resident_kib().saturating_sub(before);
    assert!(grown < 512 << 10, "64 bombs of 256 MiB took {grown} KiB");
    assert_eq!(send::export(to, "traces", &send::body(spans(1))).unwrap().status, 200);
}

#[test]
fn bodies_without_a_length_and_with_gzip_are_taken() {
    let floe = Floe::start();
    let body = send::body(spans(2));
    let mut chunked = Vec::new();
    for chunk in body.chunks(100) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut stream = std::net::TcpStream::connect(floe.ports.http).unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nHost: floe\r\nConnection: close\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&chunked).unwrap();
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut stream, &mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");

    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&send::body(vec![send::invocation("zipped", "checkout", send::now_nanos())])).unwrap();
    let headers = [("Content-Type", "application/x-protobuf; charset=utf-8"), ("Content-Encoding", "gzip")];
    let reply = send::http(floe.ports.http, "POST", "/v1/traces", &headers, &gzip.finish().unwrap()).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["i0", "i1", "zipped"]);
}
