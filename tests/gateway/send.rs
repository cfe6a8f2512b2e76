//! Senders that need no SDK: HTTP/1.1 by hand, so that a test can also send what no SDK would; and requests of functions traffic.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::laws;

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct HttpReply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpReply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// One request on a connection of its own; what it was told is kept for [`laws`].
pub fn http(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<HttpReply> {
    let reply = exchange(to, method, path, headers, body);
    if let Ok(reply) = &reply {
        laws::answered(to, path, headers, body, reply);
    }
    reply
}

fn exchange(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<HttpReply> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: floe\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    // A server may answer and close before it has read all of a refused body.
    let _ = stream.write_all(body);
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    parse(&reply).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no whole reply"))
}

fn parse(reply: &[u8]) -> Option<HttpReply> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&reply[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut body = reply[end + 4..].to_vec();
    if headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked")) {
        body = unchunk(&body)?;
    } else if let Some((_, length)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        && body.len() != length.parse::<usize>().ok()?
    {
        return None;
    }
    Some(HttpReply { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

pub fn get(to: SocketAddr, path: &str) -> io::Result<HttpReply> {
    http(to, "GET", path, &[], b"")
}

/// Exports a body as protobuf.
pub fn export(to: SocketAddr, signal: &str, body: &[u8]) -> io::Result<HttpReply> {
    http(to, "POST", &format!("/v1/{signal}"), &[("Content-Type", "application/x-protobuf")], body)
}

/// Exports a body as JSON.
pub fn export_json(to: SocketAddr, signal: &str, body: &[u8]) -> io::Result<HttpReply> {
    http(to, "POST", &format!("/v1/{signal}"), &[("Content-Type", "application/json")], body)
}

pub fn string(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }), ..Default::default() }
}

pub fn boolean(key: &str, value: bool) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Value::BoolValue(value)) }), ..Default::default() }
}

/// Now, as OTLP has it.
pub fn now_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// One SERVER span of a function: an invocation by rule A, with this id, a second long.
pub fn invocation(id: &str, function: &str, start: u64) -> Span {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Span {
        trace_id: [hash.to_be_bytes(), (!hash).to_be_bytes()].concat(),
        span_id: (hash | 1).to_be_bytes().to_vec(),
        name: "handler".into(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000_000_000,
        attributes: vec![string("faas.invocation_id", id), string("faas.name", function), boolean("faas.coldstart", false)],
        ..Default::default()
    }
}

/// A request of these spans in one resource.
pub fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: vec![string("telemetry.sdk.language", "python")], ..Default::default() }),
            scope_spans: vec![ScopeSpans { spans, ..Default::default() }],
            ..Default::default()
        }],
    }
}

/// The same, encoded.
pub fn body(spans: Vec<Span>) -> Vec<u8> {
    request(spans).encode_to_vec()
}

/// A UUID that follows from a name.
pub fn uuid(name: &str) -> String {
    let hash = |seed: u64| name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9ae1_6a3b_2f90_404f));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
