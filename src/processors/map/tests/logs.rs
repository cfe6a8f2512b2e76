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
            ("cold_start", "false"),
            ("success", "true"),
            ("error_type", "NULL"),
        ],
    );
    check_report(&format!("{REPORT}\tInit Duration: 200.1 ms"), &[("cold_start", "true")]);
    check_report(&format!("{REPORT}\tStatus: timeout"), &[("success", "false"), ("error_type", "timeout")]);
    check_report(&format!("{REPORT}\tStatus: error\tError Type: Runtime.ExitError"), &[("error_type", "Runtime.ExitError")]);
    assert_eq!(map_logs_with(&on, &[], vec![report("START RequestId: 8f5-1")]).tally.unmapped, 1);
}
