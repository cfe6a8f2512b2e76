//! Invocations that leave a log.

use super::*;

fn handler() -> LogRecord {
    let attributes = [
        attr("cloudflare.handler_type", "fetch"),
        attr("faas.invocation_id", "x"),
        attr("http.response.status_code", 500),
        attr("faas.name", "f"),
    ];
    log(9, "GET https://example.com/", &attributes)
}

fn report(body: &str) -> LogRecord {
    log(9, body, &[attr("type", "platform.report"), attr("faas.name", "f")])
}

const REPORT: &str =
    "REPORT RequestId: 8f5-1\tDuration: 120.50 ms\tBilled Duration: 121 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB";

#[test]
fn with_spans_they_would_count_twice_so_they_are_off() {
    let mapped = map_logs(&[], vec![handler(), report(REPORT)]);
    assert!(mapped.rows.is_empty());
    assert_eq!(mapped.tally.unmapped, 2);
}

#[test]
fn the_log_of_a_request_is_an_invocation_where_the_configuration_says_so() {
    let mapped = map_logs_with(&config("invocations: { from_logs: true }"), &[], vec![handler()]);
    for (column, value) in [("invocation_id", "x"), ("success", "false"), ("error_type", "500"), ("function_id", "f")] {
        check(mapped.invocation(column), value);
    }
}

#[test]
fn a_report_line_is_an_invocation_that_ended_with_it() {
    let on = config("invocations: { from_logs: true }");
    let check_report = |line: &str, expected: &[(&str, &str)]| {
        let mapped = map_logs_with(&on, &[], vec![report(line)]);
        for (column, value) in expected {
            assert_eq!(mapped.invocation(column), *value, "{column} of {line}");
        }
    };
    let started = ((NOW - 30 * SECOND - 120_500_000) / 1_000).to_string();
    check_report(
        REPORT,
        &[
            ("invocation_id", "8f5-1"),
            ("started_at", &started),
            ("duration_ms", "120.5"),
            ("memory_used_bytes", "73400320"),
            ("cold_start", "NULL"),
            ("success", "true"),
            ("error_type", "NULL"),
        ],
    );
    check_report(&format!("{REPORT}\tInit Duration: 200.1 ms"), &[("cold_start", "true")]);
    check_report(&format!("{REPORT}\tStatus: timeout"), &[("success", "false"), ("error_type", "timeout")]);
    check_report(&format!("{REPORT}\tStatus: error\tError Type: Runtime.ExitError"), &[("error_type", "Runtime.ExitError")]);
    assert_eq!(map_logs_with(&on, &[], vec![report("START RequestId: 8f5-1")]).tally.unmapped, 1);
}

/// The forms in which Lambda's report of one timeout comes.
fn timeouts() -> Vec<LogRecord> {
    let line = "REPORT RequestId: 8f5-1 Duration: 3000.00 ms Billed Duration: 3000 ms Memory Size: 128 MB Max Memory Used: 70 MB Init Duration: 200.10 ms Status: timeout";
    let record =
        r#"{"requestId":"8f5-1","metrics":{"durationMs":3000.0,"maxMemoryUsedMB":70,"initDurationMs":200.1},"status":"timeout"}"#;
    let event = format!(r#"{{"time":"2026-09-30T23:59:30Z","type":"platform.report","record":{record}}}"#);
    let wrapped = format!(r#"{{"type":"platform.report","record":"{line}"}}"#);
    let metrics = [attr("durationMs", 3000.0), attr("maxMemoryUsedMB", 70), attr("initDurationMs", 200.1)];
    let record_map = [attr("requestId", "8f5-1"), attr("metrics", &metrics[..]), attr("status", "timeout")];
    let event_map = [attr("type", "platform.report"), attr("record", &record_map[..])];
    let named = [attr("faas.name", "f")];
    vec![
        report(line),
        report(
            &line
                .replace(" Billed", "\tBilled")
                .replace(" Max", "\tMax")
                .replace(" Init", "\tInit")
                .replace(" Status", "\tStatus"),
        ),
        report(record),
        report(&event),
        log(9, &*event, &named),
        log(9, &*wrapped, &named),
        log(9, &record_map[..], &[attr("type", "platform.report"), attr("faas.name", "f")]),
        log(9, &event_map[..], &named),
    ]
}

#[test]
fn a_report_is_read_in_every_form_that_it_comes_in() {
    let on = config("invocations: { from_logs: true }");
    let started = ((NOW - 33 * SECOND) / 1_000).to_string();
    for sent in timeouts() {
        let mapped = map_logs_with(&on, &[], vec![sent.clone()]);
        for (column, expected) in [
            ("invocation_id", "8f5-1"),
            ("function_id", "f"),
            ("started_at", &started),
            ("duration_ms", "3000"),
            ("memory_used_bytes", "73400320"),
            ("cold_start", "true"),
            ("success", "false"),
            ("error_type", "timeout"),
        ] {
            assert_eq!(mapped.invocation(column), expected, "{column} of {:?}", sent.body);
        }
        assert!(map_logs(&[], vec![sent]).rows.is_empty());
    }
    for other in [r#"{"type":"platform.start","record":{"requestId":"8f5-1"}}"#, "platform.report", "{ broken", "REPORT"] {
        assert!(map_logs_with(&on, &[], vec![log(9, other, &[])]).rows.is_empty(), "{other}");
        assert!(map_logs_with(&on, &[], vec![report(other)]).rows.is_empty(), "{other}");
    }
}

#[test]
fn an_invocation_that_a_request_logs_twice_is_one_row() {
    let on = config("invocations: { from_logs: true }");
    let mapped = map_logs_with(&on, &[], vec![handler(), handler(), report(REPORT), report(REPORT)]);
    assert_eq!(mapped.of(Table::Invocations).len(), 2);
    assert_eq!((mapped.tally.mapped, mapped.tally.unmapped), (2, 2));
}
