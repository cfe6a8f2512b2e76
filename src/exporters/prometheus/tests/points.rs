//! Streams to series: temporality, restarts, order, ends.

use proptest::prelude::*;

use super::*;

#[test]
fn deltas_accumulate() {
    check(vec![point("m", 1), point("m", 2), point("m", 4).labels(&[("a", "x")])], &["m_total 3", "m_total{a=\"x\"} 4"]);
}

#[test]
fn a_total_replaces_the_one_before_and_a_restart_adds_to_it() {
    let m = |value| point("m", value).cumulative();
    check(vec![m(5).at(1, 10), m(7).at(1, 20)], &["m_total 7"]);
    check(vec![m(5).at(1, 10), m(7).at(15, 20)], &["m_total 12"]);
    check(vec![m(5), m(2)], &["m_total 7"]);
}

#[test]
fn what_is_older_than_the_last_total_or_the_last_delta_again_is_dropped() {
    let m = |value| point("m", value).cumulative();
    let stats = check(vec![m(7).at(1, 20), m(5).at(1, 10), m(7).at(1, 20)], &["m_total 7"]);
    assert_eq!(dropped(&stats, Dropped::OutOfOrder), 2);
    let stats = check(vec![point("m", 1).at(1, 2), point("m", 1).at(1, 2), point("m", 1).at(0, 1)], &["m_total 2"]);
    assert_eq!(dropped(&stats, Dropped::OutOfOrder), 1);
}

#[test]
fn streams_that_fall_together_without_their_ids_add_up() {
    let m = |id, value| point("m", value).cumulative().labels(&[("faas.invocation_id", id), ("route", "/")]);
    let stats = check(vec![m("a", 5), m("b", 10), m("a", 6), m("b", 10), m("a", 1)], &["m_total{route=\"/\"} 17"]);
    assert_eq!(stats.dropped_labels, 2);
    let m = |id, value| point("m", value).up_down(Temporality::Cumulative).labels(&[("client.address", id)]);
    check(vec![m("a", 5), m("b", 10), m("a", 2), m("b", -1)], &["m 1"]);
    let m = |id, counts: &[u64]| point("m", 0).histogram(Temporality::Cumulative, &[1.0], counts).labels(&[("trace_id", id)]);
    check(
        vec![m("a", &[1, 1]), m("b", &[5, 5]), m("a", &[2, 3])],
        &["m_seconds_bucket{le=\"1\"} 7", "m_seconds_bucket{le=\"+Inf\"} 15", "m_seconds_sum 3", "m_seconds_count 15"],
    );
}

#[test]
fn the_order_of_attributes_makes_no_stream() {
    let m = |labels: &[(&str, &str)]| point("m", 5).cumulative().labels(labels);
    check(vec![m(&[("a", "1"), ("b", "2")]), m(&[("b", "2"), ("a", "1")])], &["m_total{a=\"1\",b=\"2\"} 5"]);
}

#[test]
fn sums_that_can_fall_are_gauges() {
    let m = |value| point("m", value).up_down(Temporality::Delta);
    check(vec![m(5), m(-2)], &["m 3"]);
    let m = |value| point("m", value).up_down(Temporality::Cumulative);
    check(vec![m(5).at(1, 1), m(3).at(1, 2), m(1).at(2, 3)], &["m 1"]);
}

/// The difference of two totals is not always a double; the total that was sent is.
#[test]
fn a_total_that_is_alone_in_its_series_is_exact() {
    let value = |draft: Draft, value| {
        let mut draft = draft;
        draft.point.value = OwnedValue::Double(value);
        draft
    };
    let falling = |number| value(point("m", 0).up_down(Temporality::Cumulative), number);
    check(vec![falling(1e17), falling(1.0)], &["m 1"]);
    let rising = |number| value(point("m", 0).cumulative(), number);
    check(vec![rising(0.1), rising(0.2), rising(0.3), rising(1.1)], &["m_total 1.1"]);
    let h = |sum| {
        let mut draft = point("m", 0).histogram(Temporality::Cumulative, &[], &[3]);
        if let OwnedValue::Histogram { sum: held, .. } = &mut draft.point.value {
            *held = Some(sum);
        }
        draft
    };
    let expected = ["m_seconds_bucket{le=\"+Inf\"} 3", "m_seconds_sum 1.1", "m_seconds_count 3"];
    check(vec![h(0.1), h(0.3), h(1.1)], &expected);
}

/// One infinite value, and the sum of an SDK is no number any more; what it counted is.
#[test]
fn a_histogram_whose_sum_is_no_number_is_counted_without_one() {
    for sum in [f64::INFINITY, f64::NAN] {
        let mut draft = point("m", 0).histogram(Temporality::Delta, &[1.0], &[1, 2]);
        if let OwnedValue::Histogram { sum: held, .. } = &mut draft.point.value {
            *held = Some(sum);
        }
        let again = point("m", 0).histogram(Temporality::Delta, &[1.0], &[1, 0]).at(1, 2);
        let expected = ["m_seconds_bucket{le=\"1\"} 2", "m_seconds_bucket{le=\"+Inf\"} 4", "m_seconds_count 4"];
        check(vec![draft, again], &expected);
    }
}

#[test]
fn a_gauge_says_what_was_said_last() {
    check(vec![point("m", 0).gauge(0.25), point("m", 0).gauge(-1e300)], &["m -1e300"]);
    check(vec![point("m", 0).gauge(f64::NAN)], &["m NaN"]);
}

#[test]
fn no_recorded_value_ends_the_series_with_its_last_stream() {
    let m = |id, value| point("m", value).cumulative().labels(&[("span_id", id)]);
    check(vec![m("a", 5), m("a", 0).ended()], &[]);
    check(vec![m("a", 5), m("b", 1), m("a", 0).ended()], &["m_total 6"]);
    check(vec![m("a", 5), m("b", 1), m("a", 0).ended(), m("a", 7)], &["m_total 8"]);
    check(vec![m("a", 5), m("a", 0).ended(), m("a", 0).ended(), m("a", 7)], &["m_total 7"]);
    let m = |id, value| point("m", value).up_down(Temporality::Cumulative).labels(&[("span_id", id)]);
    check(vec![m("a", 5), m("b", 1), m("a", 0).ended()], &["m 1"]);
    check(vec![m("a", 5), m("b", 1), m("a", 0).ended(), m("a", 2), m("b", 0).ended()], &["m 2"]);
}

#[test]
fn a_name_of_two_types_is_exposed_once() {
    let stats = check(vec![point("m", 5), point("m_total", 0).gauge(1.0), point("m", 0).gauge(1.0)], &["m_total 5"]);
    assert_eq!(dropped(&stats, Dropped::Conflict), 2);
    // Not even one of the right type.
    let mine =
        vec![point("function.invocations", 5).kind(MetricKind::Gauge, ""), point("function_invocations", 5), point("target", 1)];
    assert_eq!(dropped(&check(mine, &[]), Dropped::Conflict), 3);
}

#[test]
fn what_cannot_be_exposed_is_counted() {
    let stats = check(
        vec![
            point("m", 5).kind(MetricKind::Summary, ""),
            point("m", 5).kind(MetricKind::Sum { monotonic: true, temporality: Temporality::Unspecified }, ""),
            point("m", -5),
            point("m", 1).kind(MetricKind::Histogram { temporality: Temporality::Delta }, "s"),
            point("m", 1).exponential(Temporality::Delta, -5, 0, &[1]),
            point("m", 1).summary(1, &[(1.5, 0.1)]),
        ],
        &[],
    );
    assert_eq!((dropped(&stats, Dropped::Unsupported), dropped(&stats, Dropped::Malformed)), (1, 5));
}

#[test]
fn totals_that_began_at_different_moments_are_of_different_senders() {
    let m = |value| point("m", value).cumulative();
    // Two instances that nothing tells apart, in turn; then one of them is started again.
    check(vec![m(5).at(1, 10), m(3).at(2, 11), m(6).at(1, 20), m(4).at(2, 21), m(1).at(30, 31)], &["m_total 11"]);
    let h = |counts: &[u64]| point("m", 0).histogram(Temporality::Cumulative, &[], counts);
    let expected = &["m_seconds_bucket{le=\"+Inf\"} 10", "m_seconds_sum 3", "m_seconds_count 10"];
    check(vec![h(&[5]).at(1, 10), h(&[3]).at(2, 11), h(&[6]).at(1, 20), h(&[4]).at(2, 21)], expected);
    // Out of order within each.
    let stats = check(vec![m(5).at(1, 10), m(3).at(2, 11), m(4).at(1, 9), m(2).at(2, 11)], &["m_total 8"]);
    assert_eq!(dropped(&stats, Dropped::OutOfOrder), 2);
}

#[test]
fn deltas_that_overlap_are_of_different_senders_and_all_count() {
    check(vec![point("m", 1).at(1, 10), point("m", 2).at(5, 12), point("m", 4).at(2, 8)], &["m_total 7"]);
}

#[test]
fn one_request_that_says_the_same_twice_counts_it_once() {
    let exporter = exporter(1_000);
    let twice = |draft: Draft| vec![draft.clone(), draft];
    observe(&exporter, twice(point("d", 1).at(1, 2)));
    observe(&exporter, twice(point("c", 5).cumulative().at(1, 2)));
    observe(&exporter, twice(point("h", 0).histogram(Temporality::Delta, &[], &[3]).at(1, 2)));
    let expected = ["c_total 5", "d_total 1", "h_seconds_bucket{le=\"+Inf\"} 3", "h_seconds_sum 1.5", "h_seconds_count 3"];
    assert_eq!(samples(&text(&exporter)), expected);
    assert_eq!(dropped(&exporter.stats(), Dropped::OutOfOrder), 3);
}

#[test]
fn the_newest_state_stands() {
    let g = |value, time| point("g", 0).gauge(value).at(0, time);
    let stats = check(vec![g(1.0, 20), g(2.0, 10), g(3.0, 20)], &["g 3"]);
    assert_eq!(dropped(&stats, Dropped::OutOfOrder), 1);
    let s = |count, time| point("s", 0).summary(count, &[(0.5, 0.25), (0.99, 2.0)]).at(0, time);
    let expected =
        ["s_seconds{quantile=\"0.5\"} 0.25", "s_seconds{quantile=\"0.99\"} 2", "s_seconds_sum 1.5", "s_seconds_count 7"];
    check(vec![s(7, 20), s(5, 10)], &expected);
}

#[test]
fn exponential_histograms_add_up_and_are_classic_ones_in_text() {
    let m = |counts: &[u64], time| point("m", 0).exponential(Temporality::Cumulative, 0, 0, counts).at(1, time);
    let expected = [
        "m_seconds_bucket{le=\"2\"} 1",
        "m_seconds_bucket{le=\"4\"} 4",
        "m_seconds_bucket{le=\"+Inf\"} 4",
        "m_seconds_sum 1.5",
        "m_seconds_count 4",
    ];
    check(vec![m(&[1, 1], 10), m(&[1, 3], 20)], &expected);
    let wide = |from| point("m", 0).exponential(Temporality::Delta, 8, from, &[1; 160]).at(0, 0);
    let exporter = exporter(1_000);
    observe(&exporter, vec![wide(-2_000), wide(0), wide(2_000)]);
    let text = text(&exporter);
    let buckets: Vec<&str> = text.lines().filter(|line| line.contains("_bucket{")).collect();
    assert!((5..=20).contains(&buckets.len()), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&"m_seconds_bucket{le=\"+Inf\"} 480"));
}

#[test]
fn a_series_has_histograms_of_one_form() {
    let classic = point("m", 0).histogram(Temporality::Delta, &[], &[1]);
    let stats = check(
        vec![classic, point("m", 0).exponential(Temporality::Delta, 0, 0, &[1])],
        &["m_seconds_bucket{le=\"+Inf\"} 1", "m_seconds_sum 1.5", "m_seconds_count 1"],
    );
    assert_eq!(dropped(&stats, Dropped::Conflict), 1);
}

#[test]
fn scopes_are_series_of_their_own_unless_nobody_wants_to_know() {
    let drafts = || vec![point("m", 1).scope("a"), point("m", 2).scope("b"), point("m", 4).scope("a")];
    check(drafts(), &["m_total{otel_scope_name=\"a\"} 5", "m_total{otel_scope_name=\"b\"} 2"]);
    let exporter = yaml("without_scope_info: true");
    observe(&exporter, drafts());
    assert_eq!(samples(&text(&exporter)), ["m_total 7"]);
}

#[test]
fn a_target_is_told_once_by_its_newest_resource() {
    let exporter = exporter(1_000);
    let of = |instance, version| {
        let resource = [("service.name", "cart"), ("service.instance.id", instance), ("service.version", version)];
        point("m", 1).resource(&resource)
    };
    observe(&exporter, vec![of("1", "a"), of("2", "a"), of("1", "b")]);
    let targets = |exporter: &Arc<Prometheus>| -> Vec<String> {
        text(exporter).lines().filter(|line| line.starts_with("target_info{")).map(str::to_owned).collect()
    };
    let info = |instance, version| format!("target_info{{instance=\"{instance}\",job=\"cart\",service_version=\"{version}\"}} 1");
    assert_eq!(targets(&exporter), [info("1", "b"), info("2", "a")]);
    // It goes with the last stream that it tells of.
    observe(&exporter, vec![of("1", "a").ended()]);
    assert_eq!(targets(&exporter).len(), 2);
    observe(&exporter, vec![of("1", "b").ended()]);
    assert_eq!(targets(&exporter), [info("2", "a")]);
}

proptest! {
    /// The law of addition: whatever ids streams carry and however they restart, the series is the sum of what was added to them.
    #[test]
    fn a_series_is_the_sum_of_its_streams(steps in prop::collection::vec((0_u8..4, 0_i64..100, prop::bool::weighted(0.1)), 1..60)) {
        let exporter = exporter(1_000);
        let mut totals = [0_i64; 4];
        let mut starts = [1_u64; 4];
        let mut sum = 0;
        for (clock, (id, added, restart)) in (10_u64..).zip(steps) {
            let at = usize::from(id);
            if restart {
                totals[at] = 0;
                starts[at] = clock;
            }
            totals[at] += added;
            sum += added;
            let point = point("m", totals[at]).cumulative().labels(&[("request_id", &id.to_string())]).at(starts[at], clock);
            observe(&exporter, vec![point]);
        }
        let text = text(&exporter);
        prop_assert_eq!(samples(&text), [format!("m_total {sum}")]);
    }
}
