//! What bounds the store: series, streams, time.

use super::*;

#[test]
fn past_the_bound_nothing_is_lost_but_labels() {
    let exporter = yaml("{ max_series: 10, max_series_per_metric: 10 }");
    for user in 0..1_000 {
        observe(&exporter, vec![point("m", 1).labels(&[("user", &user.to_string())])]);
    }
    let text = super::text(&exporter);
    assert_eq!(samples(&text).len(), 11);
    assert!(text.contains("m_total{otel_metric_overflow=\"true\"} 990\n"));
    let stats = exporter.stats();
    assert_eq!((stats.series, stats.overflowed), (11, 990));
    assert!(stats.streams <= 20);
}

#[test]
fn a_cumulative_stream_without_room_is_refused_and_not_counted_twice() {
    let exporter = yaml("{ max_series: 10, max_series_per_metric: 10 }");
    for _ in 0..3 {
        for id in 0..100 {
            observe(&exporter, vec![point("m", 1).cumulative().labels(&[("trace_id", &id.to_string())])]);
        }
    }
    assert_eq!(samples(&text(&exporter)), ["m_total 20"]);
    assert_eq!(dropped(&exporter.stats(), Dropped::NoRoom), 3 * 80);
}

/// Deltas with the id of each request: they are counted, and a sender of totals finds room.
#[test]
fn streams_of_one_request_leave_room_for_totals() {
    let exporter = yaml("{ max_series: 10, max_series_per_metric: 10 }");
    for id in 0..1_000 {
        observe(&exporter, vec![point("m", 1).labels(&[("faas.invocation_id", &id.to_string())])]);
    }
    observe(&exporter, vec![point("whole", 5).cumulative()]);
    assert_eq!(samples(&text(&exporter)), ["m_total 1000", "whole_total 5"]);
    assert_eq!(exporter.stats().dropped_points, [0; 5]);
}

#[test]
fn ended_streams_give_their_room_back() {
    let exporter = yaml("{ max_series: 10, max_series_per_metric: 10 }");
    for id in 0..1_000 {
        let m = |value| point("m", value).cumulative().labels(&[("pod", &id.to_string())]);
        observe(&exporter, vec![m(1), m(0).ended()]);
    }
    assert_eq!(exporter.stats().dropped_points, [0; 5]);
    assert_eq!(exporter.stats().series, 0);
}

/// Totals that found no room end one by one; the deltas beside them stay counted.
#[test]
fn an_overflow_series_outlives_the_streams_that_it_knows() {
    let exporter = yaml("{ max_series: 10, max_series_per_metric: 1 }");
    let total = point("m", 5).cumulative().labels(&[("a", "2")]);
    observe(&exporter, vec![point("m", 1).labels(&[("a", "1")]), total.clone(), point("m", 2).labels(&[("a", "3")])]);
    observe(&exporter, vec![total.ended()]);
    assert_eq!(samples(&text(&exporter)), ["m_total{a=\"1\"} 1", "m_total{otel_metric_overflow=\"true\"} 7"]);
}

#[test]
fn a_metric_that_explodes_leaves_room_for_the_others() {
    let exporter = yaml("{ max_series: 100, max_series_per_metric: 10 }");
    for user in 0..1_000 {
        observe(&exporter, vec![point("bad", 1).labels(&[("user", &user.to_string())])]);
    }
    observe(&exporter, (0..20).map(|n| point("good", 1).labels(&[("route", &n.to_string())])).collect());
    let text = text(&exporter);
    assert!(text.contains("bad_total{otel_metric_overflow=\"true\"} 990\n"), "{text}");
    assert!(text.contains("good_total{otel_metric_overflow=\"true\"} 10\n"), "{text}");
    assert_eq!(exporter.stats().series, 22);
}

/// A million values of one label: what does not fit is counted in one series, and nothing is remembered of each.
#[test]
fn a_million_values_of_a_label_are_one_series_more() {
    let exporter = exporter(2_000);
    for thousand in 0..1_000 {
        let drafts = (0..1_000).map(|n| point("m", 1).labels(&[("user", &format!("{thousand}-{n}"))]).at(1, 2));
        observe(&exporter, drafts.collect());
    }
    let stats = exporter.stats();
    assert_eq!((stats.series, stats.streams, stats.overflowed), (1_001, 1_000, 999_000));
    assert!(text(&exporter).contains("m_total{otel_metric_overflow=\"true\"} 999000\n"));
}

#[test]
fn a_million_names_of_metrics_are_bounded() {
    let exporter = exporter(100);
    for n in 0..10_000 {
        observe(&exporter, vec![point(&format!("m{n}"), 1)]);
    }
    let stats = exporter.stats();
    assert_eq!((stats.series, dropped(&stats, Dropped::NoRoom)), (100, 9_900));
}

#[test]
fn what_is_silent_expires_by_the_clock_without_a_scrape() {
    let exporter = yaml("{ metric_expiration: 60s, functions: { expiration: 10m } }");
    let of = |instance| [("service.name", "cart"), ("service.instance.id", instance)];
    observe_at(
        &exporter,
        0,
        vec![point("m", 1).resource(&of("1")), point("m", 1).cumulative().resource(&of("2")), point("g", 0).gauge(1.0)],
    );
    for rows in rows::rows() {
        exporter.observe_rows(&rows, after(&exporter, 0));
    }
    let with_rows = exporter.stats().series;
    exporter.expire(after(&exporter, 59));
    assert_eq!(exporter.stats().series, with_rows);
    observe_at(&exporter, 59, vec![point("m", 1).resource(&of("1"))]);
    exporter.expire(after(&exporter, 61));
    let stats = exporter.stats();
    // The gauge, the second stream and its target have gone.
    assert_eq!((with_rows - stats.series, stats.streams, stats.expired), (3, 1, 3));
    exporter.expire(after(&exporter, 601));
    let stats = exporter.stats();
    assert_eq!((stats.series, stats.streams), (0, 0));
    assert_eq!(text(&exporter), "");
}

#[test]
fn nothing_expires_where_the_time_is_zero() {
    let exporter = yaml("{ metric_expiration: 0, functions: { expiration: 0 } }");
    observe_at(&exporter, 0, vec![point("m", 1)]);
    exporter.expire(after(&exporter, 1_000_000));
    assert_eq!(exporter.stats().series, 1);
}

#[test]
fn a_total_that_comes_back_is_not_counted_twice() {
    let m = |id, value, time| point("m", value).cumulative().labels(&[("trace_id", id)]).at(1, time);
    let exporter = yaml("metric_expiration: 60s");
    observe_at(&exporter, 0, vec![m("a", 100, 10), m("b", 1, 10)]);
    observe_at(&exporter, 50, vec![m("b", 2, 20)]);
    exporter.expire(after(&exporter, 70));
    // `a` was silent for too long, `b` keeps the series.
    assert_eq!(samples(&text(&exporter)), ["m_total 102"]);
    observe_at(&exporter, 80, vec![m("a", 101, 30)]);
    assert_eq!(samples(&text(&exporter)), ["m_total 102"]);
    observe_at(&exporter, 81, vec![m("a", 105, 40)]);
    assert_eq!(samples(&text(&exporter)), ["m_total 106"]);
    // One that began later was never here.
    observe_at(&exporter, 82, vec![point("m", 7).cumulative().labels(&[("trace_id", "c")]).at(50, 60)]);
    assert_eq!(samples(&text(&exporter)), ["m_total 113"]);
}

#[test]
fn a_gauge_loses_what_its_silent_streams_held() {
    let m = |id, value| point("m", value).up_down(Temporality::Cumulative).labels(&[("trace_id", id)]);
    let exporter = yaml("metric_expiration: 60s");
    observe_at(&exporter, 0, vec![m("a", 100), m("b", 1)]);
    observe_at(&exporter, 50, vec![m("b", 2)]);
    exporter.expire(after(&exporter, 70));
    assert_eq!(samples(&text(&exporter)), ["m 2"]);
    observe_at(&exporter, 80, vec![m("a", 5)]);
    assert_eq!(samples(&text(&exporter)), ["m 7"]);
}
