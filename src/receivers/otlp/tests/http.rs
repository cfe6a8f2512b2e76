use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn post(path: &str, media: &str, body: AnyBody) -> HttpRequest<AnyBody> {
    HttpRequest::post(format!("http://floe{path}")).header("host", "floe").header("content-type", media).body(body).unwrap()
}

fn with(mut request: HttpRequest<AnyBody>, name: &'static str, value: &'static str) -> HttpRequest<AnyBody> {
    request.headers_mut().insert(name, ::http::HeaderValue::from_static(value));
    request
}

async fn send(running: &Running, request: HttpRequest<AnyBody>) -> Got {
    exchange(running.http(), false, request).await.unwrap()
}

#[tokio::test]
async fn a_body_is_handed_on_as_it_came_for_every_signal_encoding_and_version() {
    for http2 in [false, true] {
        let running = start(SETUP);
        let mut expected = Vec::new();
        for (path, signal) in [("/v1/traces", Signal::Traces), ("/v1/logs", Signal::Logs), ("/v1/metrics", Signal::Metrics)] {
            for (media, encoding) in [(PROTOBUF, Encoding::Protobuf), (JSON, Encoding::Json)] {
                let body = Bytes::from(format!("{path} in {media}"));
                let got = exchange(running.http(), http2, post(path, media, whole(body.clone()))).await.unwrap();
                assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, media));
                assert_eq!(&got.body[..], if encoding == Encoding::Json { &b"{}"[..] } else { b"" });
                expected.push((signal, encoding, body));
            }
        }
        assert_eq!(running.seen(), expected);
        running.all_is_freed().await;
    }
}

#[tokio::test]
async fn a_partial_success_names_count_and_reason_in_the_encoding_of_the_request() {
    let running = start(Setup { answer: Answer::Reject(3), ..SETUP });
    let reason = "expected a trace id of 16 bytes, found 3";
    let got = send(&running, post("/v1/traces", PROTOBUF, whole("x"))).await;
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: reason.to_owned() });
    assert_eq!(ExportTraceServiceResponse::decode(got.body).unwrap(), ExportTraceServiceResponse { partial_success });
    for (path, count) in
        [("/v1/traces", "rejectedSpans"), ("/v1/logs", "rejectedLogRecords"), ("/v1/metrics", "rejectedDataPoints")]
    {
        let got = send(&running, post(path, JSON, whole("x"))).await;
        assert_eq!(got.status, StatusCode::OK);
        let body: Value = serde_json::from_slice(&got.body).unwrap();
        assert_eq!(body, json!({ "partialSuccess": { count: "3", "errorMessage": reason } }));
    }
}

#[tokio::test]
async fn no_rejects_are_no_partial_success() {
    let running = start(Setup { answer: Answer::Reject(0), ..SETUP });
    assert_eq!(&send(&running, post("/v1/traces", JSON, whole("x"))).await.body[..], b"{}");
}

/// The code and message of a `Status` body in either encoding.
fn status(got: &Got) -> (i32, String) {
    match got.header("content-type") {
        JSON => {
            let body: Value = serde_json::from_slice(&got.body).unwrap();
            (i32::try_from(body["code"].as_i64().unwrap()).unwrap(), body["message"].as_str().unwrap().to_owned())
        }
        PROTOBUF => {
            let status = tonic_types::Status::decode(got.body.clone()).unwrap();
            (status.code, status.message)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_refusal_is_a_status_in_the_encoding_of_the_request() {
    let later = |millis| Answer::Later(Duration::from_millis(millis));
    let rows = [
        (Answer::Invalid, StatusCode::BAD_REQUEST, 3, "expected a request, found ½", ""),
        (later(0), StatusCode::SERVICE_UNAVAILABLE, 14, "the log is full; try again in 0ns", "1"),
        (later(1500), StatusCode::SERVICE_UNAVAILABLE, 14, "the log is full; try again in 1.5s", "2"),
        (later(7000), StatusCode::SERVICE_UNAVAILABLE, 14, "the log is full; try again in 7s", "7"),
    ];
    for (answer, code, rpc_code, message, retry_after) in rows {
        let running = start(Setup { answer, ..SETUP });
        for media in [PROTOBUF, JSON] {
            let got = send(&running, post("/v1/logs", media, whole("x"))).await;
            assert_eq!((got.status, got.header("content-type")), (code, media));
            assert_eq!(got.header("retry-after"), retry_after);
            assert_eq!(status(&got), (rpc_code, message.to_owned()));
        }
    }
}

#[tokio::test]
async fn what_is_no_export_is_refused_by_its_own_code() {
    let running = start(SETUP);
    let get = HttpRequest::get("http://floe/v1/traces").header("host", "floe").body(whole("")).unwrap();
    let rows = [
        (post("/v1/profiles", JSON, whole("x")), StatusCode::NOT_FOUND, ("", "")),
        (post("/v1/traces/", JSON, whole("x")), StatusCode::NOT_FOUND, ("", "")),
        (get, StatusCode::METHOD_NOT_ALLOWED, ("allow", "POST")),
        (
            post("/v1/traces", "text/plain", whole("x")),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ("content-type", "text/plain; charset=utf-8"),
        ),
        (
            with(post("/v1/traces", JSON, whole("x")), "content-encoding", "br"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ("accept-encoding", "gzip,zstd,deflate,snappy,identity"),
        ),
        (
            with(post("/v1/traces", JSON, whole("x")), "content-encoding", "gzip, gzip"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ("content-type", JSON),
        ),
        (with(post("/v1/traces", JSON, whole("x")), "content-encoding", "gzip"), StatusCode::BAD_REQUEST, ("content-type", JSON)),
    ];
    for (request, code, (name, value)) in rows {
        let what = format!("{request:?}");
        let got = send(&running, request).await;
        assert_eq!(got.status, code, "{what}");
        assert_eq!(got.header(name), value, "{what}");
    }
    assert_eq!(running.seen(), []);
}

#[tokio::test]
async fn a_media_type_may_have_parameters_and_any_case() {
    let running = start(SETUP);
    for media in ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"] {
        assert_eq!(send(&running, post("/v1/traces", media, whole("{}"))).await.status, StatusCode::OK, "{media}");
    }
    let identity = with(post("/v1/traces", JSON, whole("{}")), "content-encoding", "identity");
    assert_eq!(send(&running, identity).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_without_a_length_works_plain_and_inflated() {
    let body: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    for http2 in [false, true] {
        let running = start(SETUP);
        let plain = post("/v1/traces", PROTOBUF, pieces(&body, 10_000));
        let inflated = with(post("/v1/traces", PROTOBUF, pieces(&gzip(&body), 777)), "content-encoding", "gzip");
        for request in [plain, inflated] {
            assert_eq!(exchange(running.http(), http2, request).await.unwrap().status, StatusCode::OK);
        }
        assert!(running.seen().iter().all(|(_, _, seen)| seen == &body) && running.seen().len() == 2);
        running.all_is_freed().await;
    }
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_by_its_length_as_it_comes_and_while_inflating() {
    let running = start(Setup { limit: ByteSize::kib(64), ..SETUP });
    let fits = vec![7; 64 << 10];
    let mut larger = fits.clone();
    larger.push(7);
    for http2 in [false, true] {
        for (body, code) in [(&fits, StatusCode::OK), (&larger, StatusCode::PAYLOAD_TOO_LARGE)] {
            let announced = post("/v1/traces", JSON, whole(body.clone()));
            let coming = post("/v1/traces", JSON, pieces(body, 1000));
            let inflating = with(post("/v1/traces", JSON, whole(gzip(body))), "content-encoding", "gzip");
            for request in [announced, coming, inflating] {
                let got = exchange(running.http(), http2, request).await.unwrap();
                assert_eq!(got.status, code);
                assert_eq!(got.header("retry-after"), "");
            }
        }
    }
    running.counts("http", "invalid", 6).await;
    running.all_is_freed().await;
}

#[tokio::test]
async fn a_sender_reads_the_refusal_before_it_has_sent_its_body() {
    let running = start(SETUP);
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: floe\r\ncontent-type: application/json\r\ncontent-length: 5000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start_line = [0; 12];
    stream.read_exact(&mut start_line).await.unwrap();
    assert_eq!(&start_line, b"HTTP/1.1 413");
    stream.write_all(&vec![0; 5_000_000]).await.unwrap();
}

#[tokio::test]
async fn a_slow_body_is_cut_off_in_time_and_frees_its_memory() {
    let running = start(Setup { read_timeout: Duration::from_millis(200), ..SETUP });
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: floe\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\nabc";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut reply)).await.unwrap().unwrap();
    let reply = String::from_utf8(reply).unwrap().to_lowercase();
    assert!(reply.starts_with("http/1.1 503") && reply.contains("retry-after: 1\r\n"), "{reply}");
    running.counts("http", "aborted", 1).await;
    running.all_is_freed().await;
}

#[tokio::test]
async fn a_sender_that_goes_away_frees_its_memory() {
    let running = start(SETUP);
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: floe\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\nabc";
    stream.write_all(head.as_bytes()).await.unwrap();
    while running.admission.held() < 2_000_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    running.all_is_freed().await;
    running.counts("http", "aborted", 1).await;
}

#[tokio::test]
async fn a_request_that_was_handed_over_runs_to_its_end_without_its_sender() {
    let running = start(Setup { delay: Duration::from_millis(300), ..SETUP });
    let request = exchange(running.http(), false, post("/v1/traces", JSON, whole("x")));
    assert!(tokio::time::timeout(Duration::from_millis(100), request).await.is_err());
    running.shutdown.cancel();
    running.server.await.unwrap();
    assert_eq!(running.pipelines.seen.lock().unwrap().len(), 1);
    assert_eq!(running.admission.held(), 0);
}

#[tokio::test]
async fn a_drain_answers_the_running_request_and_takes_no_other() {
    let running = start(Setup { delay: Duration::from_millis(300), ..SETUP });
    let address = running.http();
    let request = tokio::spawn(exchange(address, false, post("/v1/traces", JSON, whole("x"))));
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.shutdown.cancel();
    running.server.await.unwrap();
    assert_eq!(request.await.unwrap().unwrap().status, StatusCode::OK);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_panic_in_the_pipelines_is_a_fault_of_that_request_only() {
    let running = start(Setup { answer: Answer::Panic, ..SETUP });
    let got = send(&running, post("/v1/traces", JSON, whole("!"))).await;
    assert_eq!((got.status, status(&got).0), (StatusCode::INTERNAL_SERVER_ERROR, 13));
    assert_eq!(send(&running, post("/v1/traces", JSON, whole("x"))).await.status, StatusCode::OK);
    running.counts("http", "failed", 1).await;
    running.all_is_freed().await;
}

/// Reads one reply without a body of its own, or the head of one.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(Duration::from_secs(10), stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

#[tokio::test]
async fn a_sender_that_expects_100_continue_is_asked_for_its_body_only_if_it_is_wanted() {
    let running = start(SETUP);
    let ask = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: floe\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    // Twice, on one connection.
    for _ in 0..2 {
        stream.write_all(ask("/v1/traces", 2).as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.starts_with("http/1.1 100"));
        stream.write_all(b"xy").await.unwrap();
        assert!(head(&mut stream).await.starts_with("http/1.1 200"));
        stream.read_exact(&mut [0; 2]).await.unwrap();
    }
    for (path, length, code) in [("/v1/traces", 5 << 20, "413"), ("/v1/else", 2, "404")] {
        let mut stream = TcpStream::connect(running.http()).await.unwrap();
        stream.write_all(ask(path, length).as_bytes()).await.unwrap();
        let reply = head(&mut stream).await;
        assert!(reply.starts_with(&format!("http/1.1 {code}")), "{reply}");
    }
    assert_eq!(running.seen().len(), 2);
}

#[tokio::test]
async fn trailers_and_extensions_of_chunks_are_passed_over() {
    let running = start(SETUP);
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let request = "POST /v1/traces HTTP/1.1\r\nhost: floe\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                   2;a=b\r\nxy\r\n1\r\nz\r\n0\r\nx-sum: 1\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.starts_with("http/1.1 200"));
        stream.read_exact(&mut [0; 2]).await.unwrap();
    }
    assert!(running.seen().len() == 2 && running.seen().iter().all(|seen| &seen.2[..] == b"xyz"));
}
