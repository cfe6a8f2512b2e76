//! The rules of OTLP that a receiver obeys (opentelemetry-proto, docs/specification.md), one table a rule, over both protocols.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;

const GRPC_PATHS: [&str; 3] = [
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
];
const HTTP_PATHS: [&str; 3] = ["/v1/traces", "/v1/logs", "/v1/metrics"];
const MEDIA: [&str; 2] = ["application/x-protobuf", "application/json"];

type Headers<'a> = &'a [(&'static str, &'a str)];

async fn http(running: &Running, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Got {
    let mut request = HttpRequest::builder().method(method).uri(format!("http://floe{path}")).header("host", "floe");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    exchange(running.http(), false, request.body(whole(body.to_vec())).unwrap()).await.unwrap()
}

async fn grpc(running: &Running, path: &str, headers: Headers<'_>, flags: u8, message: &[u8]) -> (Got, Status) {
    let mut frame = vec![flags];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let mut request = HttpRequest::post(format!("http://floe{path}")).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let got = exchange(running.grpc(), true, request.body(whole(frame)).unwrap()).await.unwrap();
    let status = Status::from_header_map(&got.trailers).or_else(|| Status::from_header_map(&got.headers)).unwrap();
    (got, status)
}

#[tokio::test]
async fn empty_request_is_a_success_without_partial_success() {
    let running = start(SETUP);
    for (http_path, grpc_path) in HTTP_PATHS.into_iter().zip(GRPC_PATHS) {
        for (media, body, reply) in [(MEDIA[0], "", ""), (MEDIA[1], "{}", "{}")] {
            let got = http(&running, "POST", http_path, &[("content-type", media)], body.as_bytes()).await;
            assert_eq!((got.status, &got.body[..]), (StatusCode::OK, reply.as_bytes()), "{http_path} {media}");
        }
        let (got, status) = grpc(&running, grpc_path, &[], 0, b"").await;
        assert_eq!((status.code(), &got.body[..]), (Code::Ok, &[0; 5][..]), "{grpc_path}");
    }
}

#[tokio::test]
async fn partial_success_is_ok_with_a_count_and_a_message() {
    let running = start(Setup { answer: Answer::Reject(2), ..SETUP });
    let check = |body: &[u8]| {
        let partial = ExportTraceServiceResponse::decode(body).unwrap().partial_success.unwrap();
        assert!(partial.rejected_spans == 2 && !partial.error_message.is_empty(), "{partial:?}");
    };
    let got = http(&running, "POST", HTTP_PATHS[0], &[("content-type", MEDIA[0])], b"x").await;
    assert_eq!(got.status, StatusCode::OK);
    check(&got.body);
    let (got, status) = grpc(&running, GRPC_PATHS[0], &[], 0, b"x").await;
    assert_eq!(status.code(), Code::Ok);
    check(&got.body[5..]);
}

#[tokio::test]
async fn transient_fault_refuses_the_whole_request_and_says_when_to_come_back() {
    let running = start(Setup { answer: Answer::Later(Duration::from_secs(3)), ..SETUP });
    for media in MEDIA {
        let got = http(&running, "POST", HTTP_PATHS[0], &[("content-type", media)], b"x").await;
        assert_eq!(
            (got.status, got.header("retry-after"), got.header("content-type")),
            (StatusCode::SERVICE_UNAVAILABLE, "3", media)
        );
    }
    let (_, status) = grpc(&running, GRPC_PATHS[0], &[], 0, b"x").await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn retryable_codes_stand_only_on_what_may_be_sent_again() {
    // (answer, HTTP, gRPC, may be sent again)
    let rows = [
        (Answer::Invalid, StatusCode::BAD_REQUEST, Code::InvalidArgument, false),
        (Answer::Later(Duration::ZERO), StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, true),
        (Answer::Panic, StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, false),
    ];
    for (answer, http_code, grpc_code, again) in rows {
        let running = start(Setup { answer, ..SETUP });
        let got = http(&running, "POST", HTTP_PATHS[0], &[("content-type", MEDIA[0])], b"!").await;
        assert_eq!((got.status, !got.header("retry-after").is_empty()), (http_code, again), "{answer:?}");
        let (_, status) = grpc(&running, GRPC_PATHS[0], &[], 0, b"!").await;
        assert_eq!((status.code(), status.get_details_retry_info().is_some()), (grpc_code, again), "{answer:?}");
    }
}

#[tokio::test]
async fn size_is_limited_before_and_after_inflating() {
    let running = start(Setup { limit: ByteSize::kib(64), ..SETUP });
    let large = vec![7; (64 << 10) + 1];
    let bomb = gzip(&large);
    let rows: [(&str, u8, &[u8]); 2] = [("identity", 0, &large), ("gzip", 1, &bomb)];
    for (coding, flags, body) in rows {
        let headers = [("content-type", MEDIA[0]), ("content-encoding", coding)];
        let got = http(&running, "POST", HTTP_PATHS[0], &headers, body).await;
        assert_eq!((got.status, got.header("retry-after")), (StatusCode::PAYLOAD_TOO_LARGE, ""), "{coding}");
        let (_, status) = grpc(&running, GRPC_PATHS[0], &[("grpc-encoding", coding)], flags, body).await;
        assert_eq!((status.code(), status.get_details_retry_info().is_none()), (Code::ResourceExhausted, true), "{coding}");
    }
    let text = running.telemetry.render();
    for transport in ["http", "grpc"] {
        let line = format!("floe_receiver_refusals_total{{receiver=\"otlp\",transport=\"{transport}\",reason=\"size\"}} 2");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test]
async fn encodings_are_taken_on_both_ports_for_every_signal() {
    let body = b"a body, a body, a body, ".repeat(5_000);
    let packed: [(&str, Vec<u8>); 5] = [
        ("gzip", gzip(&body)),
        ("deflate", {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&body).unwrap();
            encoder.finish().unwrap()
        }),
        ("zstd", zstd::stream::encode_all(&body[..], 3).unwrap()),
        ("snappy", snap::raw::Encoder::new().compress_vec(&body).unwrap()),
        ("snappy", {
            let mut encoder = snap::write::FrameEncoder::new(Vec::new());
            encoder.write_all(&body).unwrap();
            encoder.into_inner().unwrap()
        }),
    ];
    for (http_path, grpc_path) in HTTP_PATHS.into_iter().zip(GRPC_PATHS) {
        let running = start(SETUP);
        for (coding, packed) in &packed {
            for media in MEDIA {
                let headers = [("content-type", media), ("content-encoding", *coding)];
                let got = http(&running, "POST", http_path, &headers, packed).await;
                assert_eq!(got.status, StatusCode::OK, "{http_path} {media} {coding}");
            }
            let (_, status) = grpc(&running, grpc_path, &[("grpc-encoding", coding)], 1, packed).await;
            assert_eq!(status.code(), Code::Ok, "{grpc_path} {coding}: {status}");
        }
        assert!(running.seen().iter().all(|(_, _, seen)| seen == &body) && running.seen().len() == 15);
        running.all_is_freed().await;
    }
}

#[tokio::test]
async fn what_is_no_export_has_its_code_and_its_counter() {
    let running = start(SETUP);
    let json = ("content-type", MEDIA[1]);
    let rows: [(&str, &str, Headers<'_>, u16, &str); 7] = [
        ("POST", "/v1/profiles", &[json], 404, "path"),
        ("GET", "/v1/traces", &[], 405, "method"),
        ("HEAD", "/v1/traces", &[], 405, "method"),
        ("OPTIONS", "/v1/traces", &[], 405, "method"),
        ("POST", "/v1/traces", &[], 415, "content_type"),
        ("POST", "/v1/traces", &[json, ("content-encoding", "br")], 415, "content_encoding"),
        ("POST", "/v1/traces", &[json, ("content-encoding", "zstd")], 400, "compression"),
    ];
    for (method, path, headers, code, reason) in rows {
        let got = http(&running, method, path, headers, b"x").await;
        assert_eq!(got.status.as_u16(), code, "{method} {path} {headers:?}");
        assert_eq!(got.header("allow"), if code == 405 { "POST" } else { "" });
        let text = running.telemetry.render();
        assert!(text.contains(&format!("transport=\"http\",reason=\"{reason}\"")), "{reason}: {text}");
    }
    assert_eq!(running.seen(), []);
}

#[tokio::test]
async fn a_call_past_its_grpc_timeout_is_answered_so_and_what_was_handed_over_runs_on() {
    let running = start(Setup { delay: Duration::from_millis(400), ..SETUP });
    for (timeout, code) in [("50m", Code::DeadlineExceeded), ("1M", Code::Ok), ("soon", Code::Ok), ("999999999S", Code::Ok)] {
        let (_, status) = grpc(&running, GRPC_PATHS[0], &[("grpc-timeout", timeout)], 0, b"x").await;
        assert_eq!(status.code(), code, "{timeout}: {status}");
    }
    running.all_is_freed().await;
    assert_eq!(running.seen().len(), 4);
}

#[tokio::test]
async fn a_page_is_answered_by_its_origin_on_preflights_replies_and_refusals() {
    const PAGE: (&str, &str) = ("origin", "https://a.shop.example");
    let mut setup = OtlpConfig::default();
    let http_config = setup.protocols.http.as_mut().unwrap();
    let origins = vec!["https://*.shop.example".to_owned().try_into().unwrap()];
    http_config.cors =
        cors::CorsConfig { allowed_origins: origins, allowed_headers: vec!["Content-Type".to_owned()], max_age: 7200 };
    let running = start_with(SETUP, setup);
    let preflight =
        |method| [PAGE, ("access-control-request-method", method), ("access-control-request-headers", "content-type")];
    let got = http(&running, "OPTIONS", "/v1/traces", &preflight("POST"), b"").await;
    assert_eq!(got.status, StatusCode::NO_CONTENT);
    assert_eq!(got.header("access-control-allow-origin"), PAGE.1);
    assert_eq!(got.header("access-control-allow-methods"), "POST");
    assert_eq!(got.header("access-control-allow-headers"), "content-type");
    assert_eq!(got.header("access-control-allow-credentials"), "true");
    assert_eq!(got.header("access-control-max-age"), "7200");
    assert_eq!(got.header("vary"), "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

    let stranger = ("origin", "https://shop.example.org");
    let other_headers = ("access-control-request-headers", "content-type, x-secret");
    let method = ("access-control-request-method", "POST");
    let refused: [Headers<'_>; 3] = [&[stranger, method], &[PAGE, method, other_headers], &preflight("DELETE")];
    for headers in refused {
        let got = http(&running, "OPTIONS", "/v1/traces", headers, b"").await;
        assert_eq!((got.status, got.header("access-control-allow-origin")), (StatusCode::NO_CONTENT, ""), "{headers:?}");
    }
    assert!(running.telemetry.render().contains("reason=\"origin\"} 3"));

    for (path, media, code) in [("/v1/traces", MEDIA[1], 200), ("/v1/traces", "text/plain", 415), ("/v1/else", MEDIA[1], 404)] {
        let got = http(&running, "POST", path, &[PAGE, ("content-type", media)], b"{}").await;
        assert_eq!((got.status.as_u16(), got.header("access-control-allow-origin")), (code, PAGE.1));
        assert_eq!((got.header("vary"), got.header("access-control-expose-headers")), ("Origin", "Retry-After"));
        let got = http(&running, "POST", path, &[stranger, ("content-type", media)], b"{}").await;
        assert_eq!((got.status.as_u16(), got.header("access-control-allow-origin"), got.header("vary")), (code, "", "Origin"));
    }
    let got = http(&start(SETUP), "OPTIONS", "/v1/traces", &preflight("POST"), b"").await;
    assert_eq!((got.status.as_u16(), got.header("access-control-allow-origin")), (405, ""), "off by default");
}
