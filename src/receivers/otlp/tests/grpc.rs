use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

async fn traces(running: &Running) -> TraceServiceClient<Channel> {
    TraceServiceClient::connect(format!("http://{}", running.grpc())).await.unwrap()
}

/// A request of about `bytes` bytes.
fn request(bytes: usize) -> ExportTraceServiceRequest {
    let span = OtlpSpan { name: "n".repeat(bytes), ..OtlpSpan::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

fn frame(flags: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flags];
    frame.extend(u32::try_from(length).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// A call by hand, and its status, wherever it stands.
async fn call(running: &Running, path: &str, headers: &[(&'static str, &'static str)], body: AnyBody) -> (Got, Status) {
    let mut request =
        HttpRequest::post(format!("http://floe{path}")).header("content-type", "application/grpc").body(body).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, ::http::HeaderValue::from_static(value));
    }
    let got = exchange(running.grpc(), true, request).await.unwrap();
    let status = Status::from_header_map(&got.trailers).or_else(|| Status::from_header_map(&got.headers));
    (got, status.unwrap_or_else(|| Status::unknown("no status")))
}

#[tokio::test]
async fn tonics_clients_are_served_for_every_signal_and_size() {
    let running = start(SETUP);
    let mut client = traces(&running).await;
    let mut expected = Vec::new();
    // Empty, in one frame, in frames of 16 KiB, and more than a window.
    for bytes in [0, 100, 100_000, 3_000_000] {
        let request = request(bytes);
        expected.push((Signal::Traces, Encoding::Protobuf, Bytes::from(request.encode_to_vec())));
        assert_eq!(client.export(request).await.unwrap().into_inner(), ExportTraceServiceResponse { partial_success: None });
    }
    assert_eq!(running.seen(), expected);

    let address = format!("http://{}", running.grpc());
    LogsServiceClient::connect(address.clone()).await.unwrap().export(ExportLogsServiceRequest::default()).await.unwrap();
    MetricsServiceClient::connect(address).await.unwrap().export(ExportMetricsServiceRequest::default()).await.unwrap();
    let signals: Vec<Signal> = running.seen()[4..].iter().map(|seen| seen.0).collect();
    assert_eq!(signals, [Signal::Logs, Signal::Metrics]);
    running.counts("grpc", "accepted", 4).await;
    running.all_is_freed().await;
}

#[tokio::test]
async fn a_partial_success_names_count_and_reason() {
    let running = start(Setup { answer: Answer::Reject(2), ..SETUP });
    let partial = traces(&running).await.export(request(9)).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, &partial.error_message[..]), (2, "expected a trace id of 16 bytes, found 3"));
    let mut client = LogsServiceClient::connect(format!("http://{}", running.grpc())).await.unwrap();
    let reply: ExportLogsServiceResponse = client.export(ExportLogsServiceRequest::default()).await.unwrap().into_inner();
    assert_eq!(reply.partial_success.unwrap().rejected_log_records, 2);
}

#[tokio::test]
async fn a_refusal_has_its_code_and_only_later_has_retry_info() {
    let delay = Duration::from_millis(1500);
    let rows = [
        (Answer::Invalid, Code::InvalidArgument, "expected a request, found ½", None),
        (Answer::Later(delay), Code::Unavailable, "the log is full; try again in 1.5s", Some(delay)),
    ];
    for (answer, code, message, retry) in rows {
        let running = start(Setup { answer, ..SETUP });
        let status = traces(&running).await.export(request(9)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
        assert_eq!(status.get_details_retry_info().and_then(|info| info.retry_delay), retry);
    }
}

#[tokio::test]
async fn an_error_is_headers_alone_and_a_reply_ends_with_trailers() {
    let running = start(SETUP);
    let (got, status) = call(&running, TRACES, &[], whole(frame(0, 1, b"x"))).await;
    assert_eq!((got.status, status.code(), &got.body[..]), (StatusCode::OK, Code::Ok, &[0, 0, 0, 0, 0][..]));
    assert!(got.trailers.contains_key("grpc-status") && !got.headers.contains_key("grpc-status"));
    let (got, status) = call(&running, "/opentelemetry.proto.collector.trace.v1.TraceService/Import", &[], whole("")).await;
    assert_eq!((got.status, status.code(), got.body.len()), (StatusCode::OK, Code::Unimplemented, 0));
    assert!(got.headers.contains_key("grpc-status") && got.trailers.is_empty());
    assert_eq!(got.header("content-type"), "application/grpc");
}

#[tokio::test]
async fn a_message_is_inflated_if_it_is_flagged() {
    let running = start(SETUP);
    let body = b"a message ".repeat(300_000);
    let packed = gzip(&body);
    let (head, tail) = body.split_at(1_000_000);
    let members = [gzip(head), gzip(tail)].concat();
    let gzipped = [("grpc-encoding", "gzip")];
    for (flags, message) in [(1, &packed), (1, &members), (0, &body)] {
        for size in [16_384, usize::MAX >> 1] {
            let (_, status) = call(&running, TRACES, &gzipped, pieces(&frame(flags, message.len(), message), size)).await;
            assert_eq!(status.code(), Code::Ok, "{status}");
        }
    }
    assert!(running.seen().iter().all(|seen| seen.2 == body) && running.seen().len() == 6);
    running.all_is_freed().await;
}

/// A few pieces only: h2 ends a connection that sends many small frames.
#[tokio::test]
async fn a_head_in_pieces_is_put_together() {
    let running = start(SETUP);
    for size in 1..8 {
        let (_, status) = call(&running, TRACES, &[], pieces(&frame(0, 9, b"a message"), size)).await;
        assert_eq!(status.code(), Code::Ok, "pieces of {size}: {status}");
    }
    assert!(running.seen().iter().all(|seen| &seen.2[..] == b"a message") && running.seen().len() == 7);
    running.all_is_freed().await;
}

#[tokio::test]
async fn a_wrong_frame_is_refused_by_its_own_code() {
    let running = start(SETUP);
    let gzipped = &[("grpc-encoding", "gzip")][..];
    let packed = gzip(b"a message");
    let none = &[][..];
    let rows = [
        (none, Vec::new(), Code::Internal),
        (none, frame(0, 1, b"x")[..3].to_vec(), Code::Internal),
        (none, frame(0, 9, b"x"), Code::Internal),
        (none, frame(0, 1, b"xy"), Code::Internal),
        (none, [frame(0, 1, b"x"), frame(0, 1, b"x")].concat(), Code::Internal),
        (none, frame(2, 1, b"x"), Code::Internal),
        (none, frame(1, packed.len(), &packed), Code::Internal),
        (gzipped, frame(1, packed.len() - 4, &packed[..packed.len() - 4]), Code::InvalidArgument),
        (gzipped, frame(0, 5 << 20, b""), Code::ResourceExhausted),
    ];
    for (headers, body, code) in rows {
        let (_, status) = call(&running, TRACES, headers, whole(body.clone())).await;
        assert_eq!(status.code(), code, "{body:?}: {status}");
        assert!(status.get_details_retry_info().is_none());
    }
    assert_eq!(running.seen(), []);
    running.all_is_freed().await;
}

#[tokio::test]
async fn an_unknown_coding_is_told_which_ones_there_are() {
    let running = start(SETUP);
    let (got, status) = call(&running, TRACES, &[("grpc-encoding", "br")], whole(frame(1, 1, b"x"))).await;
    assert_eq!((status.code(), got.header("grpc-accept-encoding")), (Code::Unimplemented, "gzip,zstd,deflate,snappy,identity"));
}

#[tokio::test]
async fn what_is_not_grpc_gets_a_code_of_http() {
    let running = start(SETUP);
    let (got, _) = call(&running, TRACES, &[("content-type", "application/grpc+json")], whole("x")).await;
    assert_eq!(got.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let get = HttpRequest::get(format!("http://floe{TRACES}")).body(whole("")).unwrap();
    let got = exchange(running.grpc(), true, get).await.unwrap();
    assert_eq!((got.status, got.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let (got, status) = call(&running, TRACES, &[("content-type", "application/grpc+proto")], whole(frame(0, 0, b""))).await;
    assert_eq!((got.status, status.code()), (StatusCode::OK, Code::Ok));
}

#[tokio::test]
async fn a_message_past_the_limit_is_exhausted_without_retry_info() {
    let running = start(SETUP);
    let status = traces(&running).await.export(request(5 << 20)).await.unwrap_err();
    assert_eq!((status.code(), status.get_details_retry_info().is_none()), (Code::ResourceExhausted, true));
    let bomb = gzip(&vec![0; (4 << 20) + 1]);
    let (_, status) = call(&running, TRACES, &[("grpc-encoding", "gzip")], whole(frame(1, bomb.len(), &bomb))).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    running.counts("grpc", "invalid", 2).await;
    running.all_is_freed().await;
}

#[tokio::test]
async fn a_slow_message_is_cut_off_in_time_and_frees_its_memory() {
    let running = start(Setup { read_timeout: Duration::from_millis(200), ..SETUP });
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from(frame(0, 1000, b"abc"))))]);
    let never = StreamBody::new(futures_util::StreamExt::chain(first, futures_util::stream::pending()));
    let (_, status) = call(&running, TRACES, &[], BodyExt::boxed(never)).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    running.all_is_freed().await;
}

#[tokio::test]
async fn a_panic_in_the_pipelines_leaves_its_connection_to_the_others() {
    let running = start(Setup { answer: Answer::Panic, ..SETUP });
    let (_, status) = call(&running, TRACES, &[], whole(frame(0, 1, b"!"))).await;
    assert_eq!(status.code(), Code::Internal);
    let mut client = traces(&running).await;
    client.export(request(1)).await.unwrap();
    running.counts("grpc", "failed", 1).await;
}

#[tokio::test]
async fn a_drain_answers_the_running_calls_of_a_connection() {
    let running = start(Setup { delay: Duration::from_millis(300), ..SETUP });
    let client = traces(&running).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.export(request(100)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.shutdown.cancel();
    running.server.await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(running.admission.held(), 0);
}
