//! Which times are taken, and what stands in for those that are absent.

use super::*;

const DAY: u64 = 86_400 * SECOND;

fn starting(start: u64, end: u64) -> Span {
    let mut span = invocation(&[]);
    (span.start_time_unix_nano, span.end_time_unix_nano) = (start, end);
    span
}

#[test]
fn a_stray_clock_is_rejected_and_told_why() {
    let rejected = |config: &MapConfig, start: u64, word: &str| {
        let mapped = map_spans_with(config, &[], vec![starting(start, start + 1), span(2, CLIENT, &[])]);
        assert_eq!((mapped.tally.rejected, mapped.tally.unmapped), (1, 1));
        assert!(mapped.rows.is_empty());
        let reason = mapped.rejected.unwrap().reason;
        assert!(reason.contains(word), "{reason}");
    };
    let default = MapConfig::default();
    rejected(&default, NOW + DAY + 1, "24h");
    rejected(&default, NOW - 90 * DAY - 1, "90d");
    rejected(&config("max_event_age: 1h"), NOW - 2 * 3_600 * SECOND, "1h");
    for edge in [NOW + DAY, NOW - 90 * DAY] {
        assert_eq!(map_spans(&[], vec![starting(edge, edge)]).tally.mapped, 1);
    }
}

#[test]
fn limits_of_time_can_be_switched_off() {
    let off = config("{ max_future_skew: 0, max_event_age: 0 }");
    for start in [NOW + 9_000 * DAY, NOW - 9_000 * DAY] {
        assert_eq!(map_spans_with(&off, &[], vec![starting(start, start)]).tally.mapped, 1);
    }
}

#[test]
fn a_log_with_a_stray_time_is_rejected() {
    let mut sent = log(17, "", &[]);
    sent.time_unix_nano = NOW + 2 * DAY;
    assert_eq!(map_logs(&[], vec![sent]).tally.rejected, 1);
}

#[test]
fn what_makes_no_row_may_have_any_time() {
    let mut sent = log(9, "", &[]);
    sent.time_unix_nano = NOW + 2 * DAY;
    assert_eq!(map_logs(&[], vec![sent]).tally.unmapped, 1);
    let mut sent = span(2, CLIENT, &[]);
    sent.start_time_unix_nano = NOW + 2 * DAY;
    assert_eq!(map_spans(&[], vec![sent]).tally.unmapped, 1);
}

#[test]
fn the_end_of_a_span_may_not_be_centuries_ahead() {
    let mapped = map_spans(&[], vec![starting(NOW, u64::MAX)]);
    check(mapped.invocation("duration_ms"), "NULL");
    assert_eq!(mapped.tally.noted(Note::OutOfRange), 1);
}

#[test]
fn a_start_that_is_absent_follows_from_end_and_duration() {
    let end = NOW - 60 * SECOND;
    for absent in [0, 900_000_000 * SECOND] {
        let mut sent = starting(absent, end);
        check(map_spans(&[], vec![sent.clone()]).invocation("started_at"), end / 1_000);
        sent.attributes.push(attr("wall_time_ms", 1.5));
        let mapped = map_spans(&[], vec![sent]);
        check(mapped.invocation("started_at"), end / 1_000 - 1_500);
        check(mapped.invocation("duration_ms"), "1.5");
        assert_eq!(mapped.tally.noted(Note::TimeOfReceipt), 0);
    }
    let mapped = map_spans(&[], vec![starting(0, 0)]);
    check(mapped.invocation("started_at"), NOW / 1_000);
    assert_eq!(mapped.tally.noted(Note::TimeOfReceipt), 1);
}

#[test]
fn a_log_without_a_time_has_that_of_its_observation() {
    let at = |observed: u64| {
        let mut sent = log(17, "m", &[]);
        (sent.time_unix_nano, sent.observed_time_unix_nano) = (0, observed);
        map_logs(&[], vec![sent])
    };
    check(at(NOW - SECOND).error("occurred_at"), (NOW - SECOND) / 1_000);
    check(at(0).error("occurred_at"), NOW / 1_000);
    assert_eq!(at(0).tally.noted(Note::TimeOfReceipt), 1);
}

#[test]
fn an_event_with_a_stray_time_has_that_of_its_span() {
    let mut sent = with_exception(invocation(&[]), &exception("E", "m"));
    sent.events[0].time_unix_nano = NOW + 9 * DAY;
    let end = sent.end_time_unix_nano;
    let mapped = map_spans(&[], vec![sent]);
    check(mapped.error("occurred_at"), end / 1_000);
    assert_eq!(mapped.tally.noted(Note::OutOfRange), 1);
}

#[test]
fn date_and_hour_are_those_of_the_start() {
    // 2026-09-30T23:59:59.999999999Z, of which nanoseconds are cut.
    let mapped = map_spans(&[], vec![starting(NOW - 1, NOW + SECOND)]);
    check(mapped.invocation("started_at"), NOW / 1_000 - 1);
    check(mapped.invocation("date"), NOW / DAY - 1);
    check(mapped.invocation("hour"), "23");
}
