//! Rate limits from our own event and from answers of 429.

use super::*;

#[track_caller]
fn row(mapped: &Mapped, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(mapped.only(Table::RateLimits)[*column], *value, "{column}");
    }
}

fn event(attributes: &[KeyValue]) -> LogRecord {
    named(log(13, "", attributes), "faas.rate_limit")
}

#[test]
fn our_event_is_a_rate_limit() {
    let attributes = [
        attr("rate_limit.type", "per_ip"),
        attr("rate_limit.limit", 100),
        attr("faas.name", "f"),
        attr("client.address", "203.0.113.7"),
        attr("cloud.region", "eu-west-1"),
        attr("net.colo", "LHR"),
    ];
    let at = ((NOW - 30 * SECOND) / 1_000).to_string();
    let expected = [
        ("limit_type", "per_ip"),
        ("limit_value", "100"),
        ("function_id", "f"),
        ("client_ip", "203.0.113.7"),
        ("region", "eu-west-1"),
        ("colo", "LHR"),
        ("occurred_at", &at),
    ];
    row(&map_logs(&[], vec![event(&attributes)]), &expected);
}

#[test]
fn a_limit_that_the_column_cannot_hold_is_null_and_counted() {
    for limit in [-1_i64, 3_000_000_000] {
        let mapped = map_logs(&[], vec![event(&[attr("rate_limit.limit", limit)])]);
        row(&mapped, &[("limit_value", "NULL")]);
        assert_eq!(mapped.tally.noted(Note::OutOfRange), 1);
    }
}

#[test]
fn the_kinds_of_limits_are_those_of_the_table() {
    let cases =
        [("per_ip", "per_ip", 0), ("PER-FUNCTION", "per_function", 0), (" global ", "global", 0), ("per_user", "NULL", 1)];
    for (sent, expected, counted) in cases {
        let mapped = map_logs(&[], vec![event(&[attr("rate_limit.type", sent)])]);
        row(&mapped, &[("limit_type", expected)]);
        assert_eq!(mapped.tally.noted(Note::OutOfRange), counted, "{sent}");
    }
}

#[test]
fn an_answer_of_429_is_a_rate_limit_of_the_server() {
    let limited = |kind: i32, header: Option<KeyValue>| {
        let mut sent = span(1, kind, &[attr("cloudflare.handler_type", "fetch"), attr("http.response.status_code", 429)]);
        sent.attributes.extend(header);
        map_spans(&[], vec![sent])
    };
    let at = ((NOW - 60 * SECOND) / 1_000).to_string();
    let mapped = limited(SERVER, None);
    row(&mapped, &[("limit_type", "NULL"), ("limit_value", "NULL"), ("occurred_at", &at)]);
    check(mapped.invocation("success"), "true");
    // What it says of its own limits is of others, or of another time.
    let says = [
        attr("cloudflare.handler_type", "fetch"),
        attr("http.response.status_code", 429),
        attr("rate_limit.type", "per_ip"),
        attr("rate_limit.limit", 7),
    ];
    row(&map_spans(&says[2..], vec![span(1, SERVER, &says)]), &[("limit_type", "NULL"), ("limit_value", "NULL")]);
    let header = |value: &str| Some(attr("http.response.header.x-ratelimit-limit", &[value][..]));
    row(&limited(SERVER, header("100, 100;w=60")), &[("limit_value", "100")]);
    row(&limited(SERVER, header("many")), &[("limit_value", "NULL")]);
    assert!(limited(CLIENT, None).of(Table::RateLimits).is_empty());
}

#[test]
fn event_and_answer_of_one_request_are_one_rate_limit() {
    let span = span(1, SERVER, &[attr("faas.trigger", "http"), attr("http.status_code", "429")]);
    let answer = map_spans(&[], vec![span]);
    let events = map_logs(&[], vec![in_span(1, event(&[])), in_span(1, event(&[]))]);
    let ids: Vec<&String> = events.of(Table::RateLimits).iter().map(|row| &row["event_id"]).collect();
    check(&answer.only(Table::RateLimits)["event_id"], ids[0]);
    assert_ne!(ids[0], ids[1]);
    row(&map_logs(&[], vec![in_span(1, event(&[attr("log.record.uid", "u")]))]), &[("event_id", "u")]);
}

#[test]
fn without_a_span_function_client_and_time_are_the_id() {
    let id = |name: &str, client: &str| {
        let mapped = map_logs(&[], vec![event(&[attr("faas.name", name), attr("client.address", client)])]);
        mapped.only(Table::RateLimits)["event_id"].clone()
    };
    assert_eq!(id("f", "203.0.113.7"), id("f", "203.0.113.7"));
    assert_ne!(id("f", "203.0.113.7"), id("g", "203.0.113.7"));
    assert_ne!(id("f", "203.0.113.7"), id("f", "203.0.113.8"));
}
