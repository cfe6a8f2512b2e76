//! Scrapes: formats, codings, sizes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::exporters::prometheus::exposition::protobuf::MetricFamily;

/// Everything that the exporter can expose, with names and values made to break out.
fn zoo() -> Arc<Prometheus> {
    let exporter = yaml("created_timestamps: true");
    for batch in rows::rows() {
        exporter.observe_rows(&batch, after(&exporter, 0));
    }
    let resource = [("service.name", "cart"), ("service.instance.id", "i\"1\"")];
    let mut hostile = point("evil\"} 1\n# TYPE x", 5).labels(&[("a\"", "}\n#"), ("__name__", "x"), ("le", "5"), ("a.", "ü\\")]);
    hostile.descriptor.description = "two\nlines \\ and \"quotes\"".to_owned();
    let mut silent = point("faas.coldstarts", 3);
    silent.descriptor.description.clear();
    let list = vec![
        hostile,
        silent,
        point("faas.invoke_duration", 0)
            .histogram(Temporality::Delta, &[0.5, 1.0], &[1, 2, 3])
            .resource(&resource)
            .exemplar(0.75, 1_700_000_000_500_000_000),
        point("negative", 0).histogram(Temporality::Delta, &[-1.0, 0.0, 2.0], &[1, 2, 3, 0]).resource(&resource),
        point("below", 0).histogram(Temporality::Delta, &[0.0, 5.0], &[1, 0, 0]).sum(-3.0),
        point("drift", 0).summary(2, &[(0.1, -0.5), (0.9, 0.5)]).sum(-0.25),
        point("temperature", 0).gauge(-40.0).resource(&resource),
        point("level", 0).gauge(f64::INFINITY),
        point("queue.size", 7).up_down(Temporality::Cumulative),
        point("rpc.duration", 0).exponential(Temporality::Delta, 3, -4, &[1, 0, 0, 0, 7]).scope("rpc"),
        point("gc.pause", 0).summary(3, &[(0.5, 0.1), (1.0, f64::NAN)]),
        point("seen", 1).exemplar(1.0, 1_700_000_000_500_000_000),
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
        if line.starts_with("# HELP ") || line.starts_with("# UNIT ") || line == "# EOF" {
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
        let value = rest.split(" # ").next().unwrap().trim().replace("Inf", "inf").parse().unwrap();
        assert_eq!(samples.insert((name.to_owned(), labels), value), None, "{line} stands twice");
    }
    samples
}

fn open_metrics(exporter: &Arc<Prometheus>) -> String {
    String::from_utf8(scrape(exporter, OPEN_METRICS)).unwrap()
}

#[test]
fn what_is_rendered_reads_back_in_both_formats() {
    let exporter = zoo();
    let text = parse(&super::text(&exporter));
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let key = ("evil_1_TYPE_x_total".to_owned(), vec![label("_name_", "x"), label("a_", "}\n#;ü\\"), label("exported_le", "5")]);
    assert_eq!(text.get(&key), Some(&5.0), "{text:#?}");
    let open = open_metrics(&exporter);
    assert!(open.ends_with("\n# EOF\n"));
    for lines in [
        "# TYPE faas_coldstarts counter\nfaas_coldstarts_total 3\n",
        "# TYPE function_duration_seconds histogram\n# UNIT function_duration_seconds seconds\n",
        "# TYPE target info\ntarget_info{instance=\"i\\\"1\\\"\",job=\"cart\"} 1\n",
        "le=\"1.0\"} 3 # {trace_id=\"abababababababababababababababab\"} 0.75 1700000000.500\n",
        "seen_total 1 # {trace_id=\"abababababababababababababababab\"} 1 1700000000.500\nseen_created 1700000000.000\n",
    ] {
        assert!(open.contains(lines), "no {lines} in\n{open}");
    }
    let of_both = parse(&open).into_keys().filter(|(name, _)| !name.ends_with("_created")).count();
    // OpenMetrics has no sum and no count of a histogram with values below zero, and no such quantile or sum of a summary.
    assert_eq!(of_both + 6, text.len());
}

/// Prometheus would take each for a series, which no bound counts.
#[test]
fn created_timestamps_are_left_out_of_open_metrics_where_nobody_asks_for_them() {
    let exporter = exporter(1_000);
    observe(&exporter, vec![point("m", 1)]);
    assert_eq!(samples(&open_metrics(&exporter)), ["m_total 1"]);
    assert!(families(&exporter)[0].metric[0].counter.as_ref().unwrap().created.is_some());
}

/// A name that is escaped may end in its unit no more.
#[test]
fn a_unit_is_told_where_the_escaped_name_ends_in_it() {
    for strategy in ["UnderscoreEscapingWithSuffixes", "NoUTF8EscapingWithSuffixes"] {
        let exporter = yaml(&format!("translation_strategy: {strategy}"));
        observe(
            &exporter,
            vec![point("speed", 2).kind(MetricKind::Gauge, "m/s"), point("size", 2).kind(MetricKind::Gauge, "By")],
        );
        let told = |escaping: &str| {
            let page = String::from_utf8(scrape(&exporter, &format!("{OPEN_METRICS};escaping={escaping}"))).unwrap();
            page.lines().filter_map(|line| line.strip_prefix("# UNIT ")).map(str::to_owned).collect::<Vec<_>>()
        };
        let both = ["size_bytes bytes", "speed_meters_per_second meters_per_second"];
        assert_eq!((told("allow-utf-8"), told("underscores")), (both.map(str::to_owned).into(), both.map(str::to_owned).into()));
        assert_eq!(told("dots"), ["size__bytes bytes"], "{strategy}");
    }
}

/// A total began when its sender says so, an addition when it was first added to.
#[test]
fn created_timestamps_are_those_of_what_is_counted() {
    let exporter = yaml("created_timestamps: true");
    let start = 1_600_000_000_250_000_000;
    observe_at(&exporter, 7, vec![point("whole", 1).cumulative().at(start, start + 1), point("delta", 1).at(start, start + 1)]);
    let open = open_metrics(&exporter);
    let summary = |start| point("calls", 0).summary(3, &[]).at(start, start + 1);
    observe(&exporter, vec![summary(start), summary(start + 1_000_000_000)]);
    assert!(open_metrics(&exporter).contains("calls_seconds_created 1600000001.250\n"), "a sender that began again");
    assert!(open.contains("whole_created 1600000000.250\n") && open.contains("delta_created 1700000007.000\n"), "{open}");
}

fn families(exporter: &Arc<Prometheus>) -> Vec<MetricFamily> {
    let bytes = scrape(exporter, PROTOBUF);
    let mut rest = &bytes[..];
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

#[test]
fn protobuf_says_the_same_with_native_histograms() {
    let exporter = zoo();
    let families = families(&exporter);
    let find = |name: &str| {
        families.iter().find(|family| family.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no {name}: {families:#?}"))
    };
    assert_eq!(find("seen_total").metric[0].counter.as_ref().unwrap().value, Some(1.0));
    assert_eq!(find("target_info").r#type, Some(1));
    let native = find("rpc_duration_seconds").metric[0].histogram.clone().unwrap();
    assert_eq!((native.schema, native.sample_count, native.positive_span.len()), (Some(3), Some(8), 2));
    assert_eq!(native.positive_delta, [1, 6]);
    assert_eq!(native.positive_span[0].offset, Some(-3));
    let both = find("function_duration_seconds").metric[0].histogram.clone().unwrap();
    assert_eq!((both.bucket.len(), both.schema, both.sample_count), (15, Some(3), Some(2)));
    let classic = find("faas_invoke_duration_seconds").metric[0].histogram.clone().unwrap();
    assert_eq!((classic.bucket.len(), classic.schema), (3, None));
    assert_eq!(classic.bucket[1].exemplar.as_ref().unwrap().value, Some(0.75));
    let counted = families.iter().map(|family| family.metric.len()).sum::<usize>();
    let text = parse(&text(&exporter));
    let sets = text.keys().filter(|(name, labels)| {
        let part = ["_bucket", "_sum"].iter().any(|suffix| name.ends_with(suffix));
        !part && !labels.iter().any(|(label, _)| label == "quantile")
    });
    assert_eq!(sets.count(), counted);
}

/// 20,000 series are 2 MB of text, which nobody holds at once; each stands there once.
#[test]
fn a_scrape_is_written_piece_by_piece() {
    let exporter = exporter(100_000);
    observe(&exporter, (0..20_000).map(|n| point("m", n).labels(&[("n", &n.to_string()), ("pad", &"x".repeat(80))])).collect());
    observe(&exporter, vec![point("z", 0).gauge(1.0)]);
    let whole = text(&exporter);
    assert_eq!(parse(&whole).len(), 20_001);
    let pieces = frames(get(&exporter, "text/plain"));
    assert!(pieces.len() > 20 && pieces.iter().all(|piece| piece.len() < 100_000), "{}", pieces.len());
    assert_eq!(families(&exporter).iter().map(|family| family.metric.len()).sum::<usize>(), 20_001);
    assert_eq!(exporter.stats().scrapes, [3, 0, 0, 0]);
}

/// What comes and goes between two pieces does no harm to the rest.
#[test]
fn series_that_end_within_a_scrape_take_no_others_with_them() {
    let exporter = exporter(100_000);
    let m = |n: u32| point("m", 1).labels(&[("n", &format!("{n:05}")), ("pad", &"x".repeat(80))]);
    observe(&exporter, (0..5_000).map(m).collect());
    observe(&exporter, vec![point("z", 0).gauge(1.0)]);
    let mut body = pin!(get(&exporter, OPEN_METRICS).into_body());
    let mut out = Vec::new();
    let mut number = 0;
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        out.extend(frame.unwrap().into_data().unwrap());
        number += 1;
        if number == 2 {
            observe(&exporter, (0..5_000).map(|n| m(n).ended()).collect());
        }
    }
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("\nz 1\n# EOF\n"), "{}", &text[text.len() - 200..]);
    assert!(parse(&text).len() > 500);
}

#[test]
fn gzip_is_the_same_in_fewer_bytes() {
    let exporter = exporter(100_000);
    observe(&exporter, (0..5_000).map(|n| point("m", n).labels(&[("n", &n.to_string())])).collect());
    let request = Request::builder().uri("/metrics").header(ACCEPT_ENCODING, "gzip").body(()).unwrap();
    let reply = exporter.respond(&request);
    assert_eq!(reply.headers()[CONTENT_ENCODING], "gzip");
    let bytes = frames(reply).concat();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, super::text(&exporter));
    assert!(bytes.len() * 2 < text.len());
}

#[test]
fn a_scrape_that_nobody_waits_for_any_more_is_cut_off() {
    let exporter = zoo();
    let request = Request::builder().uri("/metrics").header("X-Prometheus-Scrape-Timeout-Seconds", "1e-9").body(()).unwrap();
    std::thread::sleep(Duration::from_millis(1));
    let mut body = pin!(exporter.respond(&request).into_body());
    std::thread::sleep(Duration::from_millis(1));
    let frame = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(frame, Poll::Ready(Some(Err(ScrapeError::Late)))), "{frame:?}");
}

#[test]
fn scrapes_at_once_are_bounded_and_counted_by_how_they_ended() {
    let exporter = zoo();
    let mut open: Vec<Response<Answer>> = (0..MAX_SCRAPES).map(|_| get(&exporter, PROTOBUF)).collect();
    let refused = get(&exporter, PROTOBUF);
    assert_eq!(
        (refused.status(), &refused.headers()[RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from_static("1"))
    );
    frames(open.pop().unwrap());
    frames(get(&exporter, PROTOBUF));
    open.clear();
    let ended = Outcome::ALL.map(|outcome| exporter.stats().scrapes[outcome as usize]);
    assert_eq!(ended, [2, 0, MAX_SCRAPES as u64 - 1, 1]);
    assert_eq!(get(&exporter, PROTOBUF).status(), StatusCode::OK);
}

#[test]
fn names_stay_as_they_are_for_scrapers_that_know_them_and_are_escaped_for_others() {
    let exporter = yaml("translation_strategy: NoUTF8EscapingWithSuffixes");
    observe(&exporter, vec![point("http.requests", 2).labels(&[("http.route", "/"), ("plain", "x")])]);
    let check = |accept: &str, expected: &str| {
        let text = String::from_utf8(scrape(&exporter, accept)).unwrap();
        assert_eq!(samples(&text)[0], expected, "{accept}");
    };
    let quoted = "{\"http.requests_total\",\"http.route\"=\"/\",plain=\"x\"} 2";
    check("text/plain;version=1.0.0;escaping=allow-utf-8", quoted);
    check("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", quoted);
    check("text/plain;version=0.0.4", "http_requests_total{http_route=\"/\",plain=\"x\"} 2");
    check("text/plain;version=1.0.0;escaping=dots", "http_dot_requests__total{http_dot_route=\"/\",plain=\"x\"} 2");
    check("text/plain;version=1.0.0;escaping=values", "U__http_2e_requests__total{U__http_2e_route=\"/\",plain=\"x\"} 2");
    let head = String::from_utf8(scrape(&exporter, "text/plain;version=1.0.0;escaping=allow-utf-8")).unwrap();
    assert!(head.contains("# TYPE \"http.requests_total\" counter\n"), "{head}");
    assert_eq!(families(&exporter)[0].name.as_deref(), Some("http_requests_total"));
}

/// `region` is a label of every series here, and what a sender calls so is another.
#[test]
fn a_namespace_and_labels_are_those_of_every_series() {
    let exporter = yaml("{ namespace: shop, const_labels: { region: eu, team name: x }, functions: { labels: [region] } }");
    for batch in rows::rows() {
        exporter.observe_rows(&batch, after(&exporter, 0));
    }
    observe(&exporter, vec![point("m", 1).labels(&[("region", "us")]).resource(&[("service.name", "cart"), ("region", "x")])]);
    let text = super::text(&exporter);
    let every = "region=\"eu\",team_name=\"x\"";
    for line in [
        format!("shop_m_total{{{every},exported_region=\"us\",job=\"cart\"}} 1"),
        format!("shop_target_info{{{every},exported_region=\"x\",job=\"cart\"}} 1"),
        format!("shop_function_invocations_total{{{every},exported_region=\"eu\",function=\"checkout\",outcome=\"failure\"}} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(parse(&text).into_keys().all(|(name, _)| name.starts_with("shop_")));
    for family in families(&exporter) {
        let first = |metric: &exposition::protobuf::Metric| metric.label[0].name.clone();
        assert!(family.metric.iter().all(|metric| first(metric).as_deref() == Some("region")), "{family:?}");
    }
}

#[test]
fn open_metrics_is_not_answered_where_it_is_switched_off() {
    let exporter = yaml("enable_open_metrics: false");
    assert_eq!(get(&exporter, OPEN_METRICS).headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(get(&exporter, PROTOBUF).headers()[CONTENT_TYPE].to_str().unwrap().starts_with("application/vnd"));
}

/// Two attributes that a scraper cannot tell apart, in every format.
#[test]
fn no_label_stands_twice_for_a_scraper_that_knows_few_characters() {
    let exporter = yaml("translation_strategy: NoTranslation");
    observe(&exporter, vec![point("m", 1).labels(&[("a.b", "1"), ("a_b", "2"), ("a:b", "3")])]);
    for accept in ["text/plain", OPEN_METRICS] {
        let text = String::from_utf8(scrape(&exporter, accept)).unwrap();
        assert!(text.contains("{a_b=\"1;3;2\"} 1\n"), "{text}");
    }
    let metric = families(&exporter)[0].metric[0].clone();
    let labels: Vec<(&str, &str)> =
        metric.label.iter().map(|pair| (pair.name.as_deref().unwrap(), pair.value.as_deref().unwrap())).collect();
    assert_eq!(labels, [("a_b", "1;3;2")]);
    let text = String::from_utf8(scrape(&exporter, "text/plain;version=1.0.0;escaping=allow-utf-8")).unwrap();
    assert_eq!(samples(&text), ["m{\"a.b\"=\"1\",\"a:b\"=\"3\",a_b=\"2\"} 1"]);
}

/// Prometheus reads an absent sum as 0, and an absent threshold of zero as none.
#[test]
fn protobuf_says_what_is_not_known() {
    let exporter = exporter(1_000);
    let mut draft = point("m", 0).exponential(Temporality::Delta, 0, 0, &[]);
    if let OwnedValue::Exponential(exponential) = &mut draft.point.value {
        exponential.sum = None;
    }
    observe(&exporter, vec![draft]);
    let histogram = families(&exporter)[0].metric[0].histogram.clone().unwrap();
    assert!(histogram.sample_sum.is_some_and(f64::is_nan) && histogram.zero_threshold == Some(1e-128), "{histogram:?}");
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
        assert!(std::env::var_os("CI").is_none(), "promtool is missing: in CI nothing may be skipped");
        println!("SKIPPED 1: promtool is not on PATH (Debian: apt-get install prometheus)");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text(&zoo()).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

proptest! {
    #[test]
    fn any_text_reads_back(name in any::<String>(), unit in any::<String>(), help in any::<String>(), labels in prop::collection::vec((any::<String>(), any::<String>()), 0..6)) {
        let exporter = exporter(1_000);
        let mut draft = point(&name, 3).kind(MetricKind::Gauge, &unit);
        draft.descriptor.description = help;
        draft.point.labels = labels;
        observe(&exporter, vec![draft]);
        for text in [text(&exporter), open_metrics(&exporter)] {
            prop_assert_eq!(parse(&text).into_values().collect::<Vec<_>>(), [3.0]);
        }
        prop_assert_eq!(families(&exporter).len(), 1);
    }
}

#[test]
fn the_endpoint_answers_as_http_does() {
    let exporter = zoo();
    let ask = |method: &str, path: &str, accept: &'static str| {
        exporter.respond(&Request::builder().method(method).uri(path).header(ACCEPT, accept).body(()).unwrap())
    };
    let reply = ask("GET", "/metrics", "*/*");
    assert_eq!(reply.headers()[VARY], "Accept, Accept-Encoding");
    assert_eq!(reply.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let reply = ask("GET", "/metrics?a=b", "application/openmetrics-text;version=1.0.0");
    assert_eq!(reply.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let reply = ask("HEAD", "/metrics", OPEN_METRICS);
    assert_eq!(
        (reply.status(), reply.headers()[CONTENT_TYPE].to_str().unwrap()),
        (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert_eq!(frames(reply), Vec::<Bytes>::new());
    assert_eq!(ask("GET", "/", "").status(), StatusCode::NOT_FOUND);
    let reply = ask("POST", "/metrics", "");
    assert_eq!(
        (reply.status(), &reply.headers()[ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD"))
    );
}
