//! The exporter from the outside: points and rows in, text out, read back by a parser of its own and by promtool.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::signals::points::{Descriptor, Label, OwnedPoint, OwnedValue};
use crate::signals::{MetricKind, Temporality, Timestamp};
use crate::tables::rows::{DeploymentRow, ErrorRow, InvocationRow, RateLimitRow, RowBuilders};
use crate::tables::{Clearance, Columns, Raw};

/// A point under construction: a delta counter unless told otherwise.
#[derive(Clone)]
pub(super) struct Draft {
    point: OwnedPoint,
    descriptor: Descriptor,
}

pub(super) fn point(name: &str, value: i64) -> Draft {
    let kind = MetricKind::Sum { monotonic: true, temporality: Temporality::Delta };
    let descriptor = Descriptor { name: name.to_owned(), description: "a test".to_owned(), unit: String::new(), kind };
    let point = OwnedPoint {
        metric: Arc::new(descriptor.clone()),
        resource: Arc::from([]),
        scope: Arc::default(),
        labels: Vec::new(),
        start: Timestamp(0),
        time: Timestamp(0),
        no_value: false,
        exemplars: Vec::new(),
        value: OwnedValue::Int(value),
    };
    Draft { point, descriptor }
}

impl Draft {
    pub(super) fn labels(mut self, labels: &[(&str, &str)]) -> Draft {
        self.point.labels = owned(labels);
        self
    }

    fn resource(mut self, labels: &[(&str, &str)]) -> Draft {
        self.point.resource = owned(labels).into();
        self
    }

    fn kind(mut self, kind: MetricKind, unit: &str) -> Draft {
        self.descriptor.kind = kind;
        unit.clone_into(&mut self.descriptor.unit);
        self
    }

    fn cumulative(self) -> Draft {
        self.kind(MetricKind::Sum { monotonic: true, temporality: Temporality::Cumulative }, "")
    }

    fn up_down(self, temporality: Temporality) -> Draft {
        self.kind(MetricKind::Sum { monotonic: false, temporality }, "")
    }

    fn gauge(self, value: f64) -> Draft {
        let mut draft = self.kind(MetricKind::Gauge, "");
        draft.point.value = OwnedValue::Double(value);
        draft
    }

    fn histogram(self, temporality: Temporality, bounds: &[f64], counts: &[u64]) -> Draft {
        let mut draft = self.kind(MetricKind::Histogram { temporality }, "s");
        draft.point.value = OwnedValue::Histogram {
            count: counts.iter().sum(),
            sum: Some(1.5),
            counts: counts.to_vec(),
            bounds: bounds.to_vec(),
        };
        draft
    }

    fn at(mut self, start: u64, time: u64) -> Draft {
        self.point.start = Timestamp(start);
        self.point.time = Timestamp(time);
        self
    }

    fn ended(mut self) -> Draft {
        self.point.no_value = true;
        self
    }

    pub(super) fn point(mut self) -> OwnedPoint {
        self.point.metric = Arc::new(self.descriptor);
        self.point
    }
}

fn owned(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn exporter(max_series: u32) -> Arc<Prometheus> {
    Prometheus::new(&PrometheusConfig { max_series: max_series.try_into().unwrap(), ..PrometheusConfig::default() })
}

fn observe(exporter: &Prometheus, drafts: Vec<Draft>) {
    exporter.observe_points(&Points { list: drafts.into_iter().map(Draft::point).collect() });
}

/// The samples of a text, comments left out.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// What stands on the endpoint after these points, one request each.
fn check(drafts: Vec<Draft>, expected: &[&str]) -> Stats {
    let exporter = exporter(1_000);
    for draft in drafts {
        observe(&exporter, vec![draft]);
    }
    assert_eq!(samples(&exporter.render(Format::Text)), expected);
    exporter.stats()
}

fn dropped(stats: &Stats, reason: Dropped) -> u64 {
    stats.dropped_points[reason as usize]
}

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
    let stats = check(vec![point("function.invocations", 5).cumulative().kind(MetricKind::Gauge, "")], &[]);
    assert_eq!(dropped(&stats, Dropped::Conflict), 1);
}

#[test]
fn what_cannot_be_exposed_is_counted() {
    let stats = check(
        vec![
            point("m", 5).kind(MetricKind::Summary, ""),
            point("m", 5).kind(MetricKind::Sum { monotonic: true, temporality: Temporality::Unspecified }, ""),
            point("m", -5),
            point("m", 1).kind(MetricKind::Histogram { temporality: Temporality::Delta }, "s"),
        ],
        &[],
    );
    assert_eq!((dropped(&stats, Dropped::Unsupported), dropped(&stats, Dropped::Malformed)), (2, 2));
}

#[test]
fn past_the_bound_nothing_is_lost_but_labels() {
    let exporter = exporter(10);
    for user in 0..1_000 {
        observe(&exporter, vec![point("m", 1).labels(&[("user", &user.to_string())])]);
    }
    let text = exporter.render(Format::Text);
    let parsed = parse(&text);
    assert_eq!(parsed.len(), 11);
    assert!(text.contains("m_total{otel_metric_overflow=\"true\"} 990\n"));
    let stats = exporter.stats();
    assert_eq!((stats.series, stats.overflowed), (11, 990));
    assert!(stats.streams <= 20);
}

#[test]
fn a_cumulative_stream_without_room_is_refused_and_not_counted_twice() {
    let exporter = exporter(10);
    for _ in 0..3 {
        for id in 0..100 {
            observe(&exporter, vec![point("m", 1).cumulative().labels(&[("trace_id", &id.to_string())])]);
        }
    }
    assert_eq!(samples(&exporter.render(Format::Text)), ["m_total 20"]);
    assert_eq!(dropped(&exporter.stats(), Dropped::NoRoom), 3 * 80);
}

#[test]
fn ended_streams_give_their_room_back() {
    let exporter = exporter(10);
    for id in 0..1_000 {
        let m = |value| point("m", value).cumulative().labels(&[("pod", &id.to_string())]);
        observe(&exporter, vec![m(1), m(0).ended()]);
        exporter.render(Format::Text);
    }
    assert_eq!(exporter.stats().dropped_points, [0; 5]);
    assert_eq!(exporter.stats().series, 0);
}

/// One batch a table: three invocations, two errors, a rate limit, a deployment.
fn rows() -> Vec<Cleared> {
    let mut rows = RowBuilders::new();
    for (duration_ms, success, cold_start) in
        [(Some(30.0), true, Some(true)), (Some(5.0), true, None), (None, false, Some(false))]
    {
        let (function_id, language) = (Some("checkout".into()), Some("python".into()));
        let row = InvocationRow {
            function_id,
            language,
            duration_ms,
            success,
            cold_start,
            invocation_id: "secret-id".into(),
            client_ip: Some("192.0.2.1".into()),
            ..InvocationRow::default()
        };
        rows.push_invocation(&row).unwrap();
    }
    for error_type in ["ValueError", "a \"b\"\n"] {
        let row = ErrorRow { function_id: Some("checkout".into()), error_type: Some(error_type.into()), ..ErrorRow::default() };
        rows.push_error(&row).unwrap();
    }
    rows.push_rate_limit(&RateLimitRow {
        function_id: Some("checkout".into()),
        limit_type: Some("per_ip".into()),
        ..RateLimitRow::default()
    })
    .unwrap();
    rows.push_deployment(&DeploymentRow { status: Some("success".into()), ..DeploymentRow::default() }).unwrap();
    let clearance =
        Clearance::of(Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]), &Columns::NONE.into(), [].into_iter()).unwrap();
    rows.finish().into_iter().map(|batch| clearance.clear(batch)).collect()
}

#[test]
fn rows_are_counted_by_function() {
    let exporter = exporter(1_000);
    for batch in rows().iter().chain(&rows()) {
        exporter.observe_rows(batch);
    }
    let text = exporter.render(Format::Text);
    for line in [
        "# TYPE function_invocations_total counter",
        "function_invocations_total{function=\"checkout\",language=\"python\",outcome=\"success\"} 4",
        "function_invocations_total{function=\"checkout\",language=\"python\",outcome=\"failure\"} 2",
        "function_starts_total{function=\"checkout\",language=\"python\",start=\"cold\"} 2",
        "function_starts_total{function=\"checkout\",language=\"python\",start=\"warm\"} 2",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"0.005\"} 2",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"0.025\"} 2",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"0.05\"} 4",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"+Inf\"} 4",
        "function_duration_seconds_count{function=\"checkout\",language=\"python\"} 4",
        "function_errors_total{function=\"checkout\",type=\"ValueError\"} 2",
        "function_errors_total{function=\"checkout\",type=\"a \\\"b\\\"\\n\"} 2",
        "function_rate_limits_total{function=\"checkout\",type=\"per_ip\"} 2",
        "function_deployments_total{status=\"success\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(!text.contains("secret-id") && !text.contains("192.0.2.1"));
}

/// Everything that the exporter can expose, with names and values made to break out.
fn zoo() -> Arc<Prometheus> {
    let exporter = exporter(1_000);
    for batch in rows() {
        exporter.observe_rows(&batch);
    }
    let resource = [("service.name", "cart"), ("service.instance.id", "i\"1\"")];
    let mut hostile = point("evil\"} 1\n# TYPE x", 5).labels(&[("a\"", "}\n#"), ("__name__", "x"), ("le", "5"), ("a.", "ü\\")]);
    hostile.descriptor.description = "two\nlines \\ and \"quotes\"".to_owned();
    let mut silent = point("faas.coldstarts", 3);
    silent.descriptor.description.clear();
    let list = vec![
        hostile,
        silent,
        point("faas.invoke_duration", 0).histogram(Temporality::Delta, &[0.5, 1.0], &[1, 2, 3]).resource(&resource),
        point("negative", 0).histogram(Temporality::Delta, &[-1.0, 0.0, 2.0], &[1, 2, 3, 0]).resource(&resource),
        point("temperature", 0).gauge(-40.0).resource(&resource),
        point("level", 0).gauge(f64::INFINITY),
        point("queue.size", 7).up_down(Temporality::Cumulative),
    ];
    observe(&exporter, list);
    exporter
}

/// A small reader of the text format that shares nothing with the writer: names, label pairs, value.
fn parse(text: &str) -> BTreeMap<(String, Vec<(String, String)>), f64> {
    let mut samples = BTreeMap::new();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(types.insert(name, kind), None, "{name} has two types");
            continue;
        }
        if line.starts_with("# HELP ") || line == "# EOF" {
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'), "{name}");
        let mut labels = Vec::new();
        if let Some(open) = rest.strip_prefix('{') {
            rest = open;
            while !rest.starts_with('}') {
                let (label, value) = rest.split_once("=\"").unwrap();
                assert!(
                    label.chars().enumerate().all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit())),
                    "{label}"
                );
                let (mut read, mut end, mut chars) = (String::new(), 0, value.char_indices());
                while let Some((at, c)) = chars.next() {
                    match c {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => read.push(match chars.next().unwrap().1 {
                            'n' => '\n',
                            escaped => escaped,
                        }),
                        c => read.push(c),
                    }
                }
                labels.push((label.to_owned(), read));
                rest = value[end..].strip_prefix(',').unwrap_or(&value[end..]);
            }
            rest = &rest[1..];
        }
        assert!(labels.iter().enumerate().all(|(i, (name, _))| labels[..i].iter().all(|(other, _)| other != name)), "{line}");
        let value = rest.trim().replace("Inf", "inf").parse().unwrap();
        assert_eq!(samples.insert((name.to_owned(), labels), value), None, "{line} stands twice");
    }
    samples
}

#[test]
fn what_is_rendered_reads_back_in_both_formats() {
    let exporter = zoo();
    let text = parse(&exporter.render(Format::Text));
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let key =
        ("evil_1_TYPE_x_total".to_owned(), vec![label("a_", "}\n#;ü\\"), label("exported_le", "5"), label("key___name__", "x")]);
    assert_eq!(text.get(&key), Some(&5.0), "{text:#?}");
    let open = exporter.render(Format::OpenMetrics);
    assert!(open.ends_with("\n# EOF\n"));
    assert!(open.contains("# TYPE faas_coldstarts counter\nfaas_coldstarts_total 3\n"));
    assert!(open.contains("le=\"1.0\""));
    assert_eq!(parse(&open).len(), text.len());
}

#[test]
fn promtool_finds_nothing_to_say() {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        println!("SKIPPED: promtool is not on PATH; the Debian package `prometheus` has it");
        return;
    };
    promtool.stdin.take().unwrap().write_all(zoo().render(Format::Text).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
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
        let text = exporter.render(Format::Text);
        prop_assert_eq!(samples(&text), [format!("m_total {sum}")]);
    }

    #[test]
    fn any_text_reads_back(name in any::<String>(), unit in any::<String>(), help in any::<String>(), labels in prop::collection::vec((any::<String>(), any::<String>()), 0..6)) {
        let exporter = exporter(1_000);
        let mut draft = point(&name, 3).kind(MetricKind::Gauge, &unit);
        draft.descriptor.description = help;
        draft.point.labels = labels;
        observe(&exporter, vec![draft]);
        for format in [Format::Text, Format::OpenMetrics] {
            prop_assert_eq!(parse(&exporter.render(format)).into_values().collect::<Vec<_>>(), [3.0]);
        }
    }
}

#[test]
fn the_endpoint_answers_as_http_does() {
    let exporter = zoo();
    let ask = |method: &str, path: &str, accept: &'static str| {
        exporter.respond(&Request::builder().method(method).uri(path).header(ACCEPT, accept).body(()).unwrap())
    };
    let reply = ask("GET", "/metrics", "*/*");
    assert_eq!(reply.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let reply = ask("GET", "/metrics?a=b", "application/openmetrics-text;version=1.0.0");
    assert_eq!(reply.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(ask("HEAD", "/metrics", "").status(), StatusCode::OK);
    assert_eq!(ask("GET", "/", "").status(), StatusCode::NOT_FOUND);
    let reply = ask("POST", "/metrics", "");
    assert_eq!(
        (reply.status(), &reply.headers()[ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD"))
    );
}
