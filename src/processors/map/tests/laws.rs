//! What holds for every request.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Attributes that decide something, with values that mean something and values that mean nothing.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let keys = vec![
        "faas.invocation_id",
        "faas.trigger",
        "faas.coldstart",
        "cloudflare.handler_type",
        "cloudflare.invocation.sequence.number",
        "cloudflare.outcome",
        "http.response.status_code",
        "cicd.pipeline.task.type",
        "client.address",
        "faas.mem_usage",
        "wall_time_ms",
        "exception.message",
    ];
    let values = vec!["", "null", "1", "429", "500", "true", "deploy", "x", "-1", "203.0.113.7", "1e300"];
    vec((select(keys), select(values)), 0..6).prop_map(|pairs| pairs.into_iter().map(|(key, value)| attr(key, value)).collect())
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let times = select(vec![0, 1, NOW - SECOND, NOW, NOW + SECOND, u64::MAX]);
    let one = (1..8_u8, 0..8_u8, 0..6_i32, attributes(), times.clone(), times, any::<bool>()).prop_map(
        |(id, parent, kind, attributes, start, end, throws)| {
            let mut span = span(id, kind, &attributes);
            (span.start_time_unix_nano, span.end_time_unix_nano) = (start, end);
            let span = if parent == 0 { span } else { below(parent, span) };
            if throws { with_exception(span, &exception("E", "m")) } else { span }
        },
    );
    vec(one, 0..12)
}

/// Logs of every kind that makes rows, and of none.
fn logs() -> impl Strategy<Value = Vec<LogRecord>> {
    let report = "REPORT RequestId: 8f50\tDuration: -1.5 ms\tBilled Duration: 2 ms\tMax Memory Used: -7 MB";
    let bodies = prop_oneof![
        "\\PC{0,40}",
        Just(report.to_owned()),
        Just(report.replace('-', "")),
        Just(
            r#"{"type":"platform.report","record":{"requestId":"1","metrics":{"durationMs":-2,"maxMemoryUsedMB":1e300}}}"#
                .to_owned()
        ),
    ];
    let names = select(vec!["", "exception", "faas.rate_limit", "faas.deployment", "device.app.exception"]);
    let one = (bodies, 0..25_i32, attributes(), names, select(vec![0, NOW - SECOND]), any::<bool>()).prop_map(
        |(body, severity, mut attributes, name, time, is_report)| {
            if is_report {
                attributes.push(attr("type", "platform.report"));
            }
            let mut log = named(log(severity, body.as_str(), &attributes), name);
            log.time_unix_nano = time;
            log
        },
    );
    vec(one, 0..12)
}

const EVERYTHING: &str = "{ invocations: { from_logs: true, http_servers: true }, max_event_age: 0, max_future_skew: 0 }";

/// The rows of a request that comes now, and of the same a year later.
fn now_and_later(signal: Signal, body: &[u8]) -> (Mapped, Mapped) {
    let map = |now| map_body_at(now, &config(EVERYTHING), signal, Encoding::Protobuf, body);
    (map(NOW), map(NOW + 365 * 86_400 * SECOND))
}

fn body_of_spans(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] }.encode_to_vec()
}

fn body_of_logs(log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }.encode_to_vec()
}

proptest! {
    #[test]
    fn rows_are_a_function_of_the_request_whenever_it_comes(spans in spans(), logs in logs()) {
        for (signal, body) in [(Signal::Traces, body_of_spans(spans)), (Signal::Logs, body_of_logs(logs))] {
            let (now, later) = now_and_later(signal, &body);
            prop_assert_eq!(&now_and_later(signal, &body).0, &now);
            // A record without any time has that of its receipt.
            if now.tally.noted(Note::TimeOfReceipt) == 0 {
                prop_assert_eq!(now, later);
            }
        }
    }

    #[test]
    fn span_event_and_log_of_one_exception_have_one_id(kind in "\\PC{0,12}", message in "\\PC{0,20}", stack in "\\PC{0,20}", times in 1..4_usize) {
        let attributes = [exception(&kind, &message), vec![attr("exception.stacktrace", stack.as_str())]].concat();
        let mut sent = invocation(&[]);
        let mut logs = Vec::new();
        for _ in 0..times {
            sent = with_exception(sent, &attributes);
            logs.push(in_span(1, log(17, "the logger says more", &attributes)));
        }
        let mapped = map_logs(&[], logs);
        let ids = |rows: &[Row]| rows.iter().map(|row| row["error_id"].clone()).collect::<Vec<_>>();
        let by_log = ids(mapped.of(Table::Errors));
        // Without type and message the log is no exception: it is what its body says.
        if mapped.of(Table::Errors)[0]["error_message"] != "the logger says more" || !message.trim().is_empty() {
            prop_assert_eq!(ids(map_spans(&[], vec![sent]).of(Table::Errors)), by_log);
        }
    }

    #[test]
    fn no_log_makes_a_negative_duration_or_an_id_twice(logs in logs()) {
        let mapped = map_logs_with(&config(EVERYTHING), &[], logs);
        let mut ids = std::collections::HashSet::new();
        for row in mapped.of(Table::Invocations) {
            prop_assert!(row["duration_ms"] == "NULL" || row["duration_ms"].parse::<f64>().unwrap() >= 0.0, "{:?}", row);
            prop_assert!(row["memory_used_bytes"] == "NULL" || row["memory_used_bytes"].parse::<i64>().unwrap() >= 0, "{:?}", row);
            prop_assert!(ids.insert(row["invocation_id"].clone()));
        }
    }

    #[test]
    fn no_duration_is_negative_and_no_id_stands_twice(spans in spans()) {
        let mapped = map_spans(&[], spans);
        let mut ids = std::collections::HashSet::new();
        for row in mapped.of(Table::Invocations) {
            prop_assert!(row["duration_ms"] == "NULL" || row["duration_ms"].parse::<f64>().unwrap() >= 0.0);
            prop_assert!(ids.insert(row["invocation_id"].clone()));
            prop_assert_eq!(row["success"] == "true", row["error_type"] == "NULL");
        }
        for row in mapped.of(Table::Errors) {
            prop_assert!(ids.insert(row["error_id"].clone()) || row["error_id"] == row["invocation_id"]);
        }
    }

    #[test]
    fn every_log_is_counted_once(bodies in vec(("\\PC{0,40}", 0..25_i32, attributes()), 0..12)) {
        let logs: Vec<LogRecord> = bodies.iter().map(|(body, severity, attributes)| log(*severity, body.as_str(), attributes)).collect();
        let mapped = map_logs_with(&config("invocations: { from_logs: true }"), &[], logs);
        prop_assert_eq!(mapped.tally.mapped + mapped.tally.unmapped + mapped.tally.rejected, bodies.len() as u64);
    }
}

#[test]
fn ids_of_the_four_tables_are_apart() {
    let sent = with_exception(span(1, SERVER, &[attr("faas.trigger", "http"), attr("http.status_code", 429)]), &[]);
    let mapped = map_spans(&[], vec![sent]);
    let ids = [mapped.invocation("invocation_id"), mapped.error("error_id"), &mapped.only(Table::RateLimits)["event_id"]];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

#[test]
fn another_key_makes_other_ids() {
    let id = |key: &[u8]| {
        let identity = super::super::identity::Identity::new(key).unwrap();
        let span = crate::signals::SpanId([1; 8]);
        identity.invocation(crate::signals::TraceId([7; 16]), span).as_str().to_owned()
    };
    assert_ne!(id(b"sixteen bytes at"), id(b"sixteen bytes of"));
    // Computed by Python's hmac: a new release must not change ids.
    check(id(KEY), "854cae6e-47ee-8f6f-a2c7-5ef8a8bdc800");
    check(map_spans(&[], vec![span(1, SERVER, &[attr("faas.trigger", "http")])]).invocation("invocation_id"), id(KEY));
}
