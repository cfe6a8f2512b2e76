//! The rules of OTLP that senders rely on (opentelemetry-proto, `docs/specification.md`), each through a socket, the shipped chain and a table.

use std::fs;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any};
use prost::Message;
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt;

use super::floe::Floe;
use super::{python, send};

const SECOND: u64 = 1_000_000_000;

/// A span of JSON by its fields, as text; `id` is its invocation's.
fn json_span(id: &str, start: u64, fields: &[(&str, &str)]) -> String {
    let (from, to) = (format!("\"{start}\""), format!("\"{}\"", start + SECOND));
    let mut all = vec![
        ("traceId", "\"5b8efff798038103d269b633813fc60c\""),
        ("spanId", "\"eee19b7ec3c1b174\""),
        ("kind", "2"),
        ("startTimeUnixNano", &from),
        ("endTimeUnixNano", &to),
    ];
    for (name, value) in fields {
        match all.iter_mut().find(|(have, _)| have == name) {
            Some(field) => field.1 = value,
            None => all.push((name, value)),
        }
    }
    let fields: Vec<String> = all.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let text = |key, value| format!("{{\"key\":\"{key}\",\"value\":{{\"stringValue\":\"{value}\"}}}}");
    let attributes = [text("faas.invocation_id", id), text("faas.name", "checkout")].join(",");
    format!("{{{},\"attributes\":[{attributes}]}}", fields.join(","))
}

fn json_request(spans: &[String]) -> String {
    format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{}]}}]}}]}}", spans.join(","))
}

fn row<'a>(rows: &'a [Value], column: &str, value: &str) -> &'a Value {
    let found = rows.iter().find(|row| row[column] == value);
    found.unwrap_or_else(|| panic!("no row whose {column} is {value} in {rows:?}"))
}

fn page(floe: &Floe) -> String {
    send::get(floe.ports.metrics, "/metrics").unwrap().text()
}

#[test]
fn json_is_taken_in_every_form_that_the_rules_allow() {
    let floe = Floe::start();
    let start = send::now_nanos();
    let (from, to) = (start.to_string(), (start + SECOND).to_string());
    let rows: [(&str, &[(&str, &str)]); 9] = [
        ("as SDKs write it", &[]),
        ("ids in upper case", &[("traceId", "\"5B8EFFF798038103D269B633813FC60C\""), ("spanId", "\"EEE19B7EC3C1B174\"")]),
        ("an enum by its name", &[("kind", "\"SPAN_KIND_SERVER\""), ("status", "{\"code\":\"STATUS_CODE_OK\"}")]),
        ("an enum by its short name", &[("kind", "\"SERVER\"")]),
        ("numbers of 64 bits as numbers", &[("startTimeUnixNano", &from), ("endTimeUnixNano", &to)]),
        ("nulls", &[("parentSpanId", "null"), ("events", "null"), ("links", "null"), ("status", "null"), ("name", "null")]),
        ("empty objects and lists", &[("events", "[]"), ("status", "{}"), ("links", "[{}]")]),
        ("unknown fields", &[("fieldOfNextYear", "{\"a\":[1,{\"b\":null}]}"), ("flags", "256")]),
        (
            "NaN and bytes",
            &[(
                "events",
                "[{\"attributes\":[{\"key\":\"a\",\"value\":{\"doubleValue\":\"NaN\"}},{\"key\":\"b\",\"value\":{\"bytesValue\":\"AP8=\"}}]}]",
            )],
        ),
    ];
    for (id, fields) in rows {
        let reply =
            send::export_json(floe.ports.http, "traces", json_request(&[json_span(id, start, fields)]).as_bytes()).unwrap();
        assert_eq!(
            (reply.status, reply.text().as_str(), reply.header("content-type")),
            (200, "{}", Some("application/json")),
            "{id}"
        );
    }
    floe.flush();
    let written = python::rows(&floe, "invocations");
    assert_eq!(written.len(), rows.len());
    let expected = row(&written, "invocation_id", rows[0].0);
    for (id, _) in rows {
        let found = row(&written, "invocation_id", id);
        for column in ["function_id", "started_at", "duration_ms", "success"] {
            assert_eq!(found[column], expected[column], "{id}: {column}");
        }
    }
    assert_eq!(expected["duration_ms"], 1000.0);
}

/// Python's `json.dumps` writes `NaN` and `Infinity` bare; they are the numbers that OTLP writes in quotes.
#[test]
fn numbers_that_json_does_not_have_cost_no_request() {
    let floe = Floe::start();
    for (id, value) in [("quoted", "\"NaN\""), ("bare", "NaN"), ("infinite", "-Infinity")] {
        let event = format!("[{{\"name\":\"e\",\"attributes\":[{{\"key\":\"a\",\"value\":{{\"doubleValue\":{value}}}}}]}}]");
        let body = json_request(&[json_span(id, send::now_nanos(), &[("events", &event)])]);
        assert_eq!(send::export_json(floe.ports.http, "traces", body.as_bytes()).unwrap().status, 200, "{id}");
    }
    let reply = send::export_json(floe.ports.http, "traces", b"{\"resourceSpans\": nan}").unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["bare", "infinite", "quoted"]);
}

#[test]
fn times_fall_back_to_the_observed_one_and_a_future_beyond_the_skew_is_rejected() {
    let floe = Floe::start();
    let now = send::now_nanos();
    let day = 86_400 * SECOND;
    let log = |id: &str, time: u64, observed: u64| {
        format!(
            "{{\"timeUnixNano\":\"{time}\",\"observedTimeUnixNano\":\"{observed}\",\"severityNumber\":17,\"attributes\":[\
             {{\"key\":\"exception.type\",\"value\":{{\"stringValue\":\"{id}\"}}}},{{\"key\":\"exception.message\",\"value\":{{\"stringValue\":\"m\"}}}}]}}"
        )
    };
    // (id, time, observed time, the second it is written at; `None` is rejected)
    let rows = [
        ("both", now - 5 * SECOND, now, Some(now - 5 * SECOND)),
        ("observed", 0, now - 9 * SECOND, Some(now - 9 * SECOND)),
        ("within the skew", now + day / 2, now, Some(now + day / 2)),
        ("past the skew", now + 2 * day, now, None),
        ("observed past the skew", 0, now + 2 * day, None),
    ];
    let records: Vec<String> = rows.iter().map(|(id, time, observed, _)| log(id, *time, *observed)).collect();
    let body = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{}]}}]}}]}}", records.join(","));
    let reply = send::export_json(floe.ports.http, "logs", body.as_bytes()).unwrap();
    let said: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &said["partialSuccess"]["rejectedLogRecords"]), (200, &Value::from("2")), "{said}");
    assert!(said["partialSuccess"]["errorMessage"].as_str().unwrap().contains("24h"), "{said}");
    floe.flush();
    let written = python::sql(&floe, "SELECT error_type, epoch_us(occurred_at) AS at FROM {errors}");
    assert_eq!(written.len(), 3);
    for (id, .., expected) in rows {
        let Some(expected) = expected else { continue };
        assert_eq!(row(&written, "error_type", id)["at"], expected / 1_000, "{id}");
    }
}

fn value(value: Any) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.into(), value: Some(value), ..Default::default() }
}

/// `depth` arrays around a number; the number is one deeper.
fn nested(depth: usize) -> AnyValue {
    (0..depth).fold(value(Any::IntValue(1)), |inner, _| value(Any::ArrayValue(ArrayValue { values: vec![inner] })))
}

#[test]
fn any_value_becomes_text_and_what_nests_too_deep_is_null() {
    let floe = Floe::start();
    let list = vec![value(Any::StringValue("a\"b".into())), AnyValue { value: None }, value(Any::DoubleValue(0.5))];
    let map = vec![pair("k", value(Any::BoolValue(true))), pair("bytes", value(Any::BytesValue(vec![0, 255])))];
    let deepest = format!("{}1{}", "[".repeat(63), "]".repeat(63));
    let cut = format!("{}null{}", "[".repeat(63), "]".repeat(63));
    let rows = [
        ("text", Any::StringValue("v1".into()), "v1"),
        ("integer", Any::IntValue(-42), "-42"),
        ("double", Any::DoubleValue(1.5), "1.5"),
        ("not a number", Any::DoubleValue(f64::NAN), "NaN"),
        ("truth", Any::BoolValue(true), "true"),
        ("bytes", Any::BytesValue(vec![0, 255]), "AP8="),
        ("list", Any::ArrayValue(ArrayValue { values: list }), "[\"a\\\"b\",null,0.5]"),
        ("map", Any::KvlistValue(KeyValueList { values: map }), "{\"k\":true,\"bytes\":\"AP8=\"}"),
        ("as deep as may be", nested(63).value.unwrap(), &deepest),
        ("deeper", nested(64).value.unwrap(), &cut),
        ("much deeper", nested(90).value.unwrap(), &cut),
    ];
    let with_version = |id: &str, version: AnyValue| {
        let mut span = send::invocation(id, "checkout", send::now_nanos());
        span.attributes.push(pair("faas.version", version));
        span
    };
    let spans = rows.iter().map(|(id, version, _)| with_version(id, value(version.clone()))).collect();
    assert_eq!(send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status, 200);
    floe.flush();
    let written = python::rows(&floe, "invocations");
    assert_eq!(written.len(), rows.len());
    for (id, _, version) in rows {
        assert_eq!(row(&written, "invocation_id", id)["version"], version, "{id}");
    }
}

#[test]
fn a_string_that_is_not_utf8_is_mended_and_counted_in_both_encodings() {
    let floe = Floe::start();
    let mut span = send::invocation("by protobuf", "checkout", send::now_nanos());
    span.attributes.push(send::string("faas.version", "NOT-UTF8"));
    let json = json_request(&[json_span("by JSON NOT-UTF8", send::now_nanos(), &[])]);
    let break_it = |body: &[u8]| {
        let at = body.windows(8).position(|window| window == b"NOT-UTF8").unwrap();
        let mut body = body.to_vec();
        body[at] = 0xff;
        body
    };
    assert_eq!(send::export(floe.ports.http, "traces", &break_it(&send::body(vec![span]))).unwrap().status, 200);
    assert_eq!(send::export_json(floe.ports.http, "traces", &break_it(json.as_bytes())).unwrap().status, 200);
    let counted = "floe_processor_notes_total{pipeline=\"traces\",signal=\"traces\",kind=\"mended_string\"} 2";
    assert!(page(&floe).contains(counted), "{}", page(&floe));
    floe.flush();
    let rows = python::rows(&floe, "invocations");
    assert_eq!(row(&rows, "invocation_id", "by protobuf")["version"], "\u{fffd}OT-UTF8");
    row(&rows, "invocation_id", "by JSON \u{fffd}OT-UTF8");
}

#[test]
fn an_empty_request_of_any_signal_is_a_success_without_partial_success() {
    let floe = Floe::start();
    let rows: [(&str, &str, &str); 5] = [
        ("application/x-protobuf", "", ""),
        ("application/json", "{}", "{}"),
        ("application/json; charset=utf-8", "{\"resourceSpans\":[],\"resourceLogs\":[],\"resourceMetrics\":[]}", "{}"),
        ("application/json", "{\"resourceSpans\":null,\"resourceLogs\":null,\"resourceMetrics\":null}", "{}"),
        ("application/json", "{\"resourceSpans\":[{}],\"resourceLogs\":[{}],\"resourceMetrics\":[{}]}", "{}"),
    ];
    for signal in ["traces", "logs", "metrics"] {
        for (media, body, expected) in rows {
            let headers = [("Content-Type", media)];
            let reply = send::http(floe.ports.http, "POST", &format!("/v1/{signal}"), &headers, body.as_bytes()).unwrap();
            assert_eq!((reply.status, reply.text().as_str()), (200, expected), "{signal} {media} {body}");
        }
    }
}

#[tokio::test]
async fn partial_success_counts_what_can_never_be_taken_and_nothing_else() {
    let floe = Floe::start();
    let now = send::now_nanos();
    let mut without_id = send::invocation("no id", "checkout", now);
    without_id.trace_id.clear();
    let mut of_no_table = send::invocation("no table", "checkout", now);
    (of_no_table.kind, of_no_table.attributes) = (3, Vec::new());
    let request = |id: &str| send::request(vec![without_id.clone(), of_no_table.clone(), send::invocation(id, "checkout", now)]);
    let check = |response: ExportTraceServiceResponse| {
        let partial = response.partial_success.unwrap();
        assert!(partial.rejected_spans == 1 && partial.error_message.contains("trace"), "{partial:?}");
    };
    let (to, body) = (floe.ports.http, request("by HTTP").encode_to_vec());
    let reply = tokio::task::spawn_blocking(move || send::export(to, "traces", &body)).await.unwrap().unwrap();
    assert_eq!(reply.status, 200);
    check(ExportTraceServiceResponse::decode(reply.body.as_slice()).unwrap());
    let mut client = TraceServiceClient::connect(format!("http://{}", floe.ports.grpc)).await.unwrap();
    check(client.export(request("by gRPC")).await.unwrap().into_inner());
    let unmapped = client.export(send::request(vec![of_no_table.clone()])).await.unwrap().into_inner();
    assert_eq!(unmapped.partial_success, None);
    // A log record that is no error is no reject either.
    let reply = send::export_json(
        to,
        "logs",
        b"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"hello\"}}]}]}]}",
    )
    .unwrap();
    assert_eq!(ExportLogsServiceResponse::decode(&b""[..]).unwrap().partial_success, None);
    assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["by HTTP", "by gRPC"]);
}

/// The disk under the log is full: rejects are not told apart, because the same request will come again.
#[tokio::test]
async fn a_transient_fault_refuses_the_whole_request_in_every_protocol() {
    let floe = Floe::start_with(|config| config.replace("directory: floe-data/wal", "directory: floe-data/wal, max_bytes: 8MiB"));
    // No commit can make room.
    let warehouse = floe.data().join("warehouse");
    // A commit under way may make it once more.
    while fs::write(&warehouse, b"not a directory").is_err() {
        let _ = fs::remove_dir_all(&warehouse);
    }
    let now = send::now_nanos();
    let request = |name: &str| {
        let mut spans: Vec<_> = (0..200).map(|n| send::invocation(&format!("{name} {n}"), &"f".repeat(400), now)).collect();
        spans[7].trace_id.clear();
        send::request(spans)
    };
    let fill = || {
        (0..2_000).find(|n| {
            send::export(floe.ports.http, "traces", &request(&format!("fill {n}")).encode_to_vec()).unwrap().status == 503
        })
    };
    assert!(fill().is_some(), "the log never filled");

    let reply = send::export(floe.ports.http, "traces", &request("again").encode_to_vec()).unwrap();
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true));
    assert_eq!(tonic_types::Status::decode(reply.body.as_slice()).unwrap().code, 14);
    let spans: Vec<String> = (0..400).map(|n| json_span(&format!("{n}{}", "x".repeat(400)), now, &[])).collect();
    let reply = send::export_json(floe.ports.http, "traces", json_request(&spans).as_bytes()).unwrap();
    let said: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, reply.header("retry-after").is_some(), &said["code"]), (503, true, &Value::from(14)));
    let mut client = TraceServiceClient::connect(format!("http://{}", floe.ports.grpc)).await.unwrap();
    let status = client.export(request("again")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    assert!(page(&floe).contains("outcome=\"later\""));
}
