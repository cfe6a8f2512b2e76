//! Laws that hold over both encodings and all signals; prost is the oracle.

mod bounds;
mod quirks;

use std::fmt::Write as _;

use proptest::prelude::*;

use super::differential::oracle::{Request, rebuilt};
use super::differential::render::Manner;
use super::differential::wild::{self, Choices};
use super::differential::{all_keys, check_protobuf, check_wild};
use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn spans_are_what_prost_and_the_json_say(choices in prop::collection::vec(any::<u8>(), 0..3_000)) {
        check_wild(Signal::Traces, &choices);
    }

    #[test]
    fn log_records_are_what_prost_and_the_json_say(choices in prop::collection::vec(any::<u8>(), 0..3_000)) {
        check_wild(Signal::Logs, &choices);
    }

    #[test]
    fn metrics_are_what_prost_and_the_json_say(choices in prop::collection::vec(any::<u8>(), 0..3_000)) {
        check_wild(Signal::Metrics, &choices);
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        for signal in Signal::ALL {
            check_protobuf(signal, &noise);
            let _ = decode(signal, Encoding::Json, &json::mend(&noise).0, &all_keys());
        }
    }
}

/// Bodies of a useful size with a bit of everything, the same in every run.
fn samples(signal: Signal) -> Vec<Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bodies = Vec::new();
    while bodies.len() < 4 {
        let choices: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(1_500)
        .collect();
        let body = wild::body(signal, &mut Choices(&choices));
        if (300..1_500).contains(&body.len()) {
            bodies.push(body);
        }
    }
    bodies
}

fn swept(signal: Signal, encoding: Encoding, body: &[u8]) {
    let keys = all_keys();
    let decode = |body: &[u8]| {
        let (mended, _) = if encoding == Encoding::Json { json::mend(body) } else { (body.into(), 0) };
        match decode(signal, encoding, &mended, &keys) {
            Ok(records) => drop(rebuilt(&records)),
            Err(Malformed { reason, .. }) => assert!(!reason.is_empty()),
        }
    };
    for len in 0..body.len() {
        decode(&body[..len]);
    }
    let mut flipped = body.to_vec();
    for bit in 0..body.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        decode(&flipped);
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_body_cut_anywhere_or_with_any_bit_flipped_never_panics() {
    for signal in Signal::ALL {
        for body in samples(signal) {
            swept(signal, Encoding::Protobuf, &body);
        }
        let json =
            Manner { formal: true, noisy: false, snake: false }.body(&Request::decode(signal, &samples(signal)[0]).unwrap());
        swept(signal, Encoding::Json, json.as_bytes());
    }
}

#[test]
fn json_cut_anywhere_is_malformed() {
    let keys = all_keys();
    for signal in Signal::ALL {
        let json =
            Manner { formal: true, noisy: true, snake: false }.body(&Request::decode(signal, &samples(signal)[0]).unwrap());
        assert!(json.len() > 100);
        for len in (0..json.len()).filter(|len| json.is_char_boundary(*len)) {
            decode(signal, Encoding::Json, &json.as_bytes()[..len], &keys).unwrap_err();
        }
    }
}

/// 500 spans, the one at `odd` with this trace id and name.
fn spans(odd: usize, trace_id: &[u8], name: &[u8]) -> Vec<u8> {
    let mut of_scope = Vec::new();
    for index in 0..500 {
        let (trace_id, name) = if index == odd { (trace_id, name) } else { (&[7; 16][..], &b"handler"[..]) };
        let mut span = Vec::new();
        wild::bytes(1, trace_id, &mut span);
        wild::bytes(2, &[9; 8], &mut span);
        wild::bytes(5, name, &mut span);
        wild::bytes(2, &span, &mut of_scope);
    }
    let (mut of_resource, mut body) = (Vec::new(), Vec::new());
    wild::bytes(2, &of_scope, &mut of_resource);
    wild::bytes(1, &of_resource, &mut body);
    body
}

#[test]
fn a_string_that_is_not_utf8_costs_only_itself() {
    let (body, keys) = (spans(250, &[7; 16], b"hand\xffler"), all_keys());
    let records = decode(Signal::Traces, Encoding::Protobuf, &body, &keys).unwrap();
    assert_eq!((records.spans.len(), records.mended, records.rejected), (500, 1, None));
    assert_eq!(records.spans[250].name, "hand\u{fffd}ler");
    assert_eq!(records.spans[251].name, "handler");
}

#[test]
fn a_span_without_a_valid_id_is_rejected_and_its_neighbours_are_kept() {
    let check = |trace_id: &[u8], reason: &str| {
        let (body, keys) = (spans(3, trace_id, b"odd"), all_keys());
        let records = decode(Signal::Traces, Encoding::Protobuf, &body, &keys).unwrap();
        assert_eq!((records.spans.len(), records.received), (499, 500));
        assert_eq!(records.rejected, Some(Rejected { count: 1, reason: reason.to_owned() }));
        assert!(records.spans.iter().all(|span| span.name != "odd"));
    };
    check(&[7; 15], "span 3: trace_id has 15 bytes, expected 16");
    check(&[], "span 3: trace_id has 0 bytes, expected 16");
    check(&[0; 16], "span 3: trace_id is all zero");
}

#[test]
fn a_json_span_without_a_valid_id_is_rejected() {
    let check = |trace_id: &str, reason: &str| {
        let body = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[
                {{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"EEE19B7EC3C1B174"}},
                {{"traceId":"{trace_id}","spanId":"eee19b7ec3c1b174","events":[{{"attributes":[{{"key":"k"}}]}}]}}]}}]}}]}}"#
        );
        let keys = all_keys();
        let records = decode(Signal::Traces, Encoding::Json, body.as_bytes(), &keys).unwrap();
        assert_eq!((records.spans.len(), records.events.len(), records.received), (1, 0, 2));
        assert_eq!(records.rejected, Some(Rejected { count: 1, reason: reason.to_owned() }));
    };
    check("5b8efff798038103d269b633813fc6", "span 1: trace_id has 30 hexadecimal digits, expected 32");
    check("00000000000000000000000000000000", "span 1: trace_id is all zero or not hexadecimal");
    check("zb8efff798038103d269b633813fc60c", "span 1: trace_id is all zero or not hexadecimal");
}

/// A log record whose body is `depth` values deep: arrays, but for maps at every third level.
fn deep_body(depth: usize) -> Vec<u8> {
    // From the inside out, in reverse, so that it takes linear time: the prefix of each message is written behind its content.
    let mut reversed: Vec<u8> = Vec::new();
    let wrap = |reversed: &mut Vec<u8>, number| {
        let mut prefix = Vec::new();
        wild::tag(number, 2, &mut prefix);
        wild::varint(reversed.len() as u64, &mut prefix);
        reversed.extend(prefix.iter().rev());
    };
    for level in 1..depth {
        if level % 3 == 0 {
            // KeyValue.value, KeyValueList.values, AnyValue.kvlist_value
            for number in [2, 1, 6] {
                wrap(&mut reversed, number);
            }
        } else {
            // ArrayValue.values, AnyValue.array_value
            for number in [1, 5] {
                wrap(&mut reversed, number);
            }
        }
    }
    // LogRecord.body, ScopeLogs.log_records, ResourceLogs.scope_logs, ExportLogsServiceRequest.resource_logs
    for number in [5, 2, 2, 1] {
        wrap(&mut reversed, number);
    }
    reversed.reverse();
    reversed
}

fn deep_json(depth: usize) -> String {
    let (mut open, mut close) = (String::new(), String::new());
    for level in (1..depth).rev() {
        let (head, tail) = if level % 3 == 0 {
            (r#"{"kvlistValue":{"values":[{"key":"","value":"#, "}]}}")
        } else {
            (r#"{"arrayValue":{"values":["#, "]}}")
        };
        open.push_str(head);
        close.insert_str(0, tail);
    }
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{{}}{close}}}]}}]}}]}}"#)
}

#[test]
fn values_nest_to_a_bound_and_deeper_ones_are_empty_and_counted() {
    let keys = all_keys();
    let check = |encoding, body: &[u8], too_deep: u64| {
        let records = decode(Signal::Logs, encoding, body, &keys).unwrap();
        assert_eq!((records.logs.len(), records.too_deep), (1, too_deep));
        rebuilt(&records)
    };
    for (depth, too_deep) in [(1, 0), (64, 0), (65, 1), (1_000, 1), (10_000, 1)] {
        let protobuf = check(Encoding::Protobuf, &deep_body(depth), too_deep);
        assert_eq!(protobuf, check(Encoding::Json, deep_json(depth).as_bytes(), too_deep));
    }
}

#[test]
fn what_is_skipped_may_nest_as_it_likes_without_a_stack() {
    let keys = all_keys();
    let mut body = r#"{"unknown":"#.to_owned();
    body.push_str(&"[".repeat(100_000));
    body.push_str(&"]".repeat(100_000));
    body.push('}');
    assert!(decode(Signal::Logs, Encoding::Json, body.as_bytes(), &keys).unwrap().is_empty());
    body.truncate(100_000);
    decode(Signal::Logs, Encoding::Json, body.as_bytes(), &keys).unwrap_err();
    // 0x4b opens the group 9, and nothing closes it.
    let reason = decode(Signal::Logs, Encoding::Protobuf, &vec![0x4b; 100_000], &keys).unwrap_err().reason;
    assert_eq!(reason, "groups nest deeper than 100");
}

#[test]
fn a_reason_gives_the_place_and_never_a_value() {
    let keys = all_keys();
    let check = |encoding, body: &[u8], expected: &str| {
        let error = decode(Signal::Traces, encoding, body, &keys).unwrap_err();
        assert_eq!(error.reason, expected);
    };
    let mut body = spans(3, &[7; 16], b"odd");
    let len = body.len();
    body[len - 8] = 0x7f;
    check(
        Encoding::Protobuf,
        &body,
        "resource_spans[0].scope_spans[0].spans[499]: a field of 127 bytes stands where only 7 are left of its message",
    );
    check(Encoding::Protobuf, &[0x08, 0x01], "field 1 is a varint on the wire, expected length-delimited");
    check(Encoding::Protobuf, &[0x08, 0xff], "a varint is cut off by the end of its message");
    check(Encoding::Protobuf, &[0xff; 12], "a varint is longer than 64 bits");
    check(Encoding::Protobuf, &[0x02, 0x00], "a field has the number 0, which protobuf does not have");
    check(
        Encoding::Json,
        br#"{"resourceSpans": "secret, expected x"}"#,
        "expected an array (resources) or null at line 1 column 38",
    );
    check(
        Encoding::Json,
        br#"{"resourceSpans": ["secret"]}"#,
        "expected an object (a resource and its records) or null at line 1 column 27",
    );
    check(
        Encoding::Json,
        br#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "secret"}]}]}]}"#,
        "expected a whole number from 0 to 2^64 - 1, its text or null at line 1 column 77",
    );
    check(Encoding::Json, b"", "EOF while parsing a value at line 1 column 0");
    check(Encoding::Json, b"{}{}", "trailing characters at line 1 column 3");
    check(Encoding::Json, b"{\"a\":\"\xff\"}", "the body is not UTF-8 from byte 6 on");
}

#[test]
fn a_json_field_that_occurs_twice_is_replaced_and_a_list_grows() {
    let keys = all_keys();
    let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{
        "traceId":"00","traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"old","name":"new",
        "attributes":[{"key":"a","value":{"intValue":1}}],"events":[{"name":"e1","attributes":[{"key":"x","value":{"boolValue":true}}]}],
        "attributes":[{"key":"b","value":{"stringValue":"old","intValue":"2"}}],"events":[null,{"name":"e2"}]
    }]}]}]}"#;
    let records = decode(Signal::Traces, Encoding::Json, body, &keys).unwrap();
    let span = &records.spans[0];
    assert_eq!(span.name, "new");
    let named: Vec<_> = records.attributes.named(span.attributes).collect();
    assert_eq!(named, [("a", &Value::Int(1)), ("b", &Value::Int(2))]);
    let events: Vec<_> = records.events[span.events.range()].iter().map(|event| &*event.name).collect();
    assert_eq!(events, ["e1", "e2"]);
}

#[test]
fn text_without_escapes_is_borrowed_from_the_body() {
    let keys = all_keys();
    let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityText":"INFO","eventName":"a\nb"}]}]}]}"#;
    let records = decode(Signal::Logs, Encoding::Json, body, &keys).unwrap();
    assert!(matches!(records.logs[0].severity_text, Cow::Borrowed("INFO")));
    assert_eq!(records.logs[0].event_name, "a\nb");
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/cloudflare-workers/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_cloudflare_workers_send_is_read() {
    let keys = all_keys();
    let mut text = String::new();
    for (name, signal) in [
        ("traces.json", Signal::Traces),
        ("logs.json", Signal::Logs),
        ("preflight-traces.json", Signal::Traces),
        ("preflight-logs.json", Signal::Logs),
    ] {
        let body = fixture(name);
        let (body, mended) = json::mend(&body);
        let records = decode(signal, Encoding::Json, &body, &keys).unwrap();
        assert_eq!((mended, &records.rejected), (0, &None));
        writeln!(
            text,
            "{name}: {} resources, {} spans, {} events, {} logs",
            records.resources.len(),
            records.spans.len(),
            records.events.len(),
            records.logs.len()
        )
        .unwrap();
    }
    assert_eq!(
        text,
        "traces.json: 5 resources, 5 spans, 1 events, 0 logs\n\
         logs.json: 8 resources, 0 spans, 0 events, 8 logs\n\
         preflight-traces.json: 1 resources, 1 spans, 0 events, 0 logs\n\
         preflight-logs.json: 1 resources, 0 spans, 0 events, 1 logs\n"
    );
}

#[test]
fn a_histogram_point_whose_counts_do_not_fit_its_bounds_is_rejected() {
    let keys = all_keys();
    let check = |counts: &str, bounds: &str, taken: bool| {
        let body = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","histogram":{{"dataPoints":[
                {{"count":"3","bucketCounts":{counts},"explicitBounds":{bounds}}}]}}}}]}}]}}]}}"#
        );
        let records = decode(Signal::Metrics, Encoding::Json, body.as_bytes(), &keys).unwrap();
        assert_eq!((records.points.len(), records.received), (usize::from(taken), 1));
        assert_eq!(records.rejected.is_none(), taken);
        assert!(taken || records.counts.is_empty() && records.bounds.is_empty());
    };
    check(r#"["1","2"]"#, "[0.5]", true);
    check("[1, 2]", r#"["Infinity"]"#, true);
    check("[3]", "[]", true);
    check("[]", "null", true);
    check("[1,2]", "[]", false);
    check("[]", "[1.0]", false);
}

/// What fuzzing found worth keeping, replayed.
#[test]
fn the_kept_corpus_of_fuzzing_shows_no_difference() {
    type Check = fn(Signal, &[u8]);
    for (target, check) in [("protobuf", check_protobuf as Check), ("json_against_protobuf", check_wild)] {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut inputs = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let input = std::fs::read(entry.unwrap().path()).unwrap();
            let Some((which, rest)) = input.split_first() else { continue };
            check(Signal::ALL[usize::from(*which) % Signal::ALL.len()], rest);
            inputs += 1;
        }
        assert!(inputs > 0, "{folder} is empty");
    }
}
