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

proptest! {
    #[test]
    fn the_same_request_makes_the_same_rows(spans in spans()) {
        prop_assert_eq!(map_spans(&[], spans.clone()), map_spans(&[], spans));
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
