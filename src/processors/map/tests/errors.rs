//! Errors from span events and logs, and their ids.

use super::*;

fn error_ids(mapped: &Mapped) -> Vec<&str> {
    mapped.of(Table::Errors).iter().map(|row| row["error_id"].as_str()).collect()
}

#[test]
fn an_exception_of_a_span_is_an_error_of_its_invocation() {
    let attributes =
        [&exception("TypeError", " x is undefined ")[..], &[attr("exception.stacktrace", "at f (a.js:1:2)")]].concat();
    let sent = with_exception(invocation(&[attr("faas.name", "f"), attr("service.version", "7")]), &attributes);
    let at = sent.events[0].time_unix_nano / 1_000;
    let mapped = map_spans(&[attr("telemetry.sdk.language", "nodejs")], vec![sent]);
    let expected = [
        ("invocation_id", "inv-1"),
        ("function_id", "f"),
        ("occurred_at", &at.to_string()),
        ("error_type", "TypeError"),
        ("error_message", " x is undefined "),
        ("stack_trace", "at f (a.js:1:2)"),
        ("language", "javascript"),
        ("version", "7"),
    ];
    for (column, value) in expected {
        assert_eq!(mapped.error(column), value, "{column}");
    }
}

#[test]
fn an_inner_span_belongs_to_its_nearest_invocation() {
    let root = span(1, SERVER, &[attr("faas.trigger", "http")]);
    let middle = below(1, span(2, INTERNAL, &[]));
    let inner = below(2, with_exception(span(3, CLIENT, &[]), &exception("E", "m")));
    let mapped = map_spans(&[], vec![inner.clone(), middle, root]);
    check(mapped.error("invocation_id"), mapped.invocation("invocation_id"));
    check(mapped.error("function_id"), "span 1");
    assert_eq!((mapped.tally.mapped, mapped.tally.unmapped), (2, 1));
    // Without the invocation in the request it is not known.
    check(map_spans(&[], vec![inner]).error("invocation_id"), "NULL");
}

#[test]
fn what_an_event_lacks_its_span_may_say() {
    let sent = failed(with_exception(span(1, CLIENT, &[attr("error.type", "T")]), &[]), "status");
    let mapped = map_spans(&[], vec![sent]);
    check(mapped.error("error_type"), "T");
    check(mapped.error("error_message"), "status");
}

#[test]
fn an_exception_sent_both_ways_is_one_error() {
    let attributes = exception("E", "m");
    let spans = map_spans(&[], vec![with_exception(invocation(&[]), &attributes)]);
    let logs = map_logs(&[], vec![in_span(1, log(17, "m", &attributes))]);
    assert_eq!(error_ids(&spans), error_ids(&logs));
    // Also where neither says its type, and whatever else each of them falls back to.
    let untyped = &attributes[1..];
    let spans = map_spans(&[], vec![with_exception(invocation(&[attr("error.type", "T")]), untyped)]);
    let logs = map_logs(&[], vec![in_span(1, log(17, "body", untyped))]);
    assert_eq!(error_ids(&spans), error_ids(&logs));
}

#[test]
fn equal_exceptions_of_one_span_are_told_apart_by_their_order() {
    let attributes = exception("E", "m");
    let spans = map_spans(&[], vec![with_exception(with_exception(invocation(&[]), &attributes), &attributes)]);
    let ids = error_ids(&spans);
    assert_ne!(ids[0], ids[1]);
    let logs = map_logs(&[], vec![in_span(1, log(17, "", &attributes)), in_span(1, log(21, "", &attributes))]);
    assert_eq!(ids, error_ids(&logs));
}

#[test]
fn a_log_joins_the_invocation_of_its_span() {
    let row = map_spans(&[], vec![span(1, SERVER, &[attr("faas.trigger", "http")])]);
    let joined = map_logs(&[], vec![in_span(1, log(17, "m", &[]))]);
    check(joined.error("invocation_id"), row.invocation("invocation_id"));
    check(map_logs(&[], vec![log(17, "m", &[attr("faas.invocation_id", "x")])]).error("invocation_id"), "x");
    check(map_logs(&[], vec![log(17, "m", &[])]).error("invocation_id"), "NULL");
}

#[test]
fn logs_are_errors_by_severity_else_by_their_exception() {
    let is_error = |severity: i32, text: &str, event: &str, attributes: &[KeyValue], expected: bool| {
        let mut sent = named(log(severity, "body", attributes), event);
        text.clone_into(&mut sent.severity_text);
        let found = map_logs(&[], vec![sent]).of(Table::Errors).len();
        assert_eq!(found, usize::from(expected), "{severity} `{text}` `{event}` {attributes:?}");
    };
    is_error(17, "", "", &[], true);
    is_error(24, "", "", &[], true);
    is_error(16, "", "", &[], false);
    is_error(9, "", "exception", &exception("E", "m"), false);
    is_error(0, "ERROR", "", &[], true);
    is_error(0, "Critical", "", &[], true);
    is_error(0, "warning", "", &exception("E", "m"), false);
    is_error(0, "", "", &exception("E", "m")[..1], true);
    is_error(0, "", "", &exception("E", "m")[1..], true);
    is_error(0, "", "faas.exception", &[], true);
    is_error(0, "", "", &[attr("event.name", "app.exception")], true);
    is_error(0, "", "", &[], false);
    // The number wins over the text.
    is_error(9, "error", "", &[], false);
}

#[test]
fn sources_of_errors_can_be_switched_off() {
    let spans = || vec![with_exception(invocation(&[]), &exception("E", "m"))];
    let logs = || vec![log(17, "m", &[])];
    let only_logs = config("errors: { sources: [log] }");
    assert!(map_spans_with(&only_logs, &[], spans()).of(Table::Errors).is_empty());
    assert_eq!(map_logs_with(&only_logs, &[], logs()).of(Table::Errors).len(), 1);
    let only_events = config("errors: { sources: [span_event] }");
    assert_eq!(map_spans_with(&only_events, &[], spans()).of(Table::Errors).len(), 1);
    assert!(map_logs_with(&only_events, &[], logs()).of(Table::Errors).is_empty());
}

#[track_caller]
fn body(sent: impl IntoSent, kind: &str, message: &str, stack: &str) {
    let mapped = map_logs(&[], vec![log(17, sent, &[])]);
    assert_eq!([mapped.error("error_type"), mapped.error("error_message"), mapped.error("stack_trace")], [kind, message, stack]);
}

#[test]
fn a_body_of_text_may_be_a_stack() {
    body("no route to host", "ERROR", "no route to host", "NULL");
    body("TypeError: x is not a function", "TypeError", "TypeError: x is not a function", "NULL");
    let node = "TypeError: x is not a function\n    at handler (/var/task/index.js:3:9)";
    body(node, "TypeError", "x is not a function", node);
    let java = "java.lang.IllegalStateException: closed\n\tat com.example.F.run(F.java:7)";
    body(java, "java.lang.IllegalStateException", "closed", java);
    let python =
        "Traceback (most recent call last):\n  File \"f.py\", line 1, in f\n    raise ValueError(\"bad\")\nValueError: bad\n";
    body(python, "ValueError", "bad", python);
    let lambda = "[ERROR] KeyError: 'id'\nTraceback (most recent call last):\n  File \"f.py\", line 1";
    body(lambda, "KeyError", "'id'", lambda);
    body("line one\nline two", "ERROR", "line one\nline two", "NULL");
}

#[test]
fn a_body_of_json_or_a_map_tells_by_its_keys() {
    let lambda = r#"{"errorType":"RangeError","errorMessage":"too far","stackTrace":["RangeError: too far","    at f"]}"#;
    body(lambda, "RangeError", "too far", "RangeError: too far\n    at f");
    for words in ["Invoke Error ", "Uncaught Exception ", "Unhandled Promise Rejection "] {
        let node = format!("2026-11-24T12:00:00.000Z\t8f507cfc\tERROR\t{words}\t{lambda}\n");
        body(node.as_str(), "RangeError", "too far", "RangeError: too far\n    at f");
    }
    let written = format!("2026-11-24T12:00:00.000Z\t8f507cfc\tERROR\tgot\t{lambda}");
    body(written.as_str(), "ERROR", &written, "NULL");
    let powertools = r#"{"level":"ERROR","message":"failed","error":{"name":"E","message":"inner","stack":"E: inner\n  at f"}}"#;
    body(powertools, "E", "failed", "E: inner\n  at f");
    body(r#"{"broken": "#, "ERROR", r#"{"broken": "#, "NULL");
    let map = [attr("msg", "dyn threw"), attr("error", "Error: dyn boom")];
    body(&map[..], "ERROR", "dyn threw", "NULL");
    let map = [attr("error", &[attr("name", "E"), attr("message", "inner")][..])];
    body(&map[..], "E", "inner", "NULL");
}

#[test]
fn an_error_without_a_span_has_the_id_of_its_record() {
    let id = |attributes: &[KeyValue]| map_logs(&[], vec![log(17, "m", attributes)]).error("error_id").to_owned();
    check(id(&[attr("log.record.uid", "uid-1")]), "uid-1");
    let at = |number: i64| id(&[attr("faas.invocation_id", "x"), attr("cloudflare.invocation.sequence.number", number)]);
    assert_eq!(at(2), at(2));
    assert_ne!(at(2), at(3));
    assert_ne!(id(&[attr("service.name", "a")]), id(&[attr("service.name", "b")]));
    // What no column reads tells records apart too; the order of attributes does not.
    assert_ne!(id(&[attr("order.id", 1)]), id(&[attr("order.id", 2)]));
    assert_ne!(id(&[attr("order.id", 1)]), id(&[]));
    assert_eq!(id(&[attr("order.id", 1), attr("a", "b")]), id(&[attr("a", "b"), attr("order.id", 1)]));
    let of_pod = |pod: &str| map_logs(&[attr("k8s.pod.name", pod)], vec![log(17, "m", &[])]).error("error_id").to_owned();
    assert_ne!(of_pod("p1"), of_pod("p2"));
    let twice = map_logs(&[], vec![log(17, "m", &[]), log(17, "m", &[])]);
    assert_ne!(error_ids(&twice)[0], error_ids(&twice)[1]);
}
