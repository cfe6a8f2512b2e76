mod requests;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::config::Components;
use crate::processors::config::ProcessorConfig;
use crate::tables::{Allowed, Columns, Raw};

const KEYS: ChainKeys<'static> = ChainKeys { id_key: b"an id key of tests", ip_key: b"an ip key of tests" };

const WHOLE: &str = "map: {}\nsanitize: {}\nhash_ip: {}\ntruncate_stack: {}\n";

/// 2026-11-24T12:00:00Z
const NOW: Timestamp = Timestamp(1_795_521_600_000_000_000);

/// The chain of the processors in the order of the YAML.
fn build_allowing(signal: Signal, processors: &str, allowed: impl Into<Allowed>) -> Result<Chain, String> {
    let components: Components<ProcessorConfig> =
        crate::config::source::from_str(processors).map_err(|error| error.to_string())?;
    let processors: Vec<_> = components.iter().collect();
    let exporters = ["iceberg".parse().unwrap(), "iceberg/eu".parse().unwrap(), "prometheus".parse().unwrap()];
    Chain::build(signal, &processors, &exporters.each_ref(), &allowed.into(), &KEYS).map_err(|error| error.to_string())
}

fn build(signal: Signal, processors: &str) -> Result<Chain, String> {
    build_allowing(signal, processors, Columns::NONE)
}

fn refused(signal: Signal, processors: &str, expected: &str) {
    let said = build(signal, processors).unwrap_err();
    assert!(said.contains(expected), "`{said}` does not say `{expected}`");
}

/// What leaves the chain, in a form that can be compared.
fn bytes(outcome: &Outcome) -> Vec<(crate::tables::Table, Vec<u8>)> {
    let encode = |(_, rows): &(Destinations, Cleared)| {
        let mut out = Vec::new();
        rows.encode(&mut out);
        (rows.table(), out)
    };
    outcome.rows.iter().map(encode).collect()
}

#[test]
fn the_chains_of_the_default_configuration_are_built() {
    for signal in [Signal::Traces, Signal::Logs] {
        assert!(build(signal, WHOLE).is_ok());
    }
    assert!(build(Signal::Metrics, "sanitize: {}").is_ok());
    assert!(build(Signal::Metrics, WHOLE).is_ok());
}

#[test]
fn added_text_is_raw_until_it_is_sanitised_or_allowed() {
    let map = "map: { columns: { invocations: { tenant: { attribute: t, type: string }, n: { attribute: n, type: long } } } }\n";
    let named = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]).without(Columns::ADDED);
    let said = build_allowing(Signal::Traces, map, named).unwrap_err();
    assert!(said.starts_with("invocations.tenant would be written or exposed raw"), "{said}");
    let allowed = |name: &str| Allowed { columns: named, added: [name.to_owned()].into() };
    assert!(build_allowing(Signal::Traces, map, allowed("errors.tenant")).is_err());
    assert!(build_allowing(Signal::Traces, map, allowed("invocations.tenant")).is_ok());
    assert!(build(Signal::Traces, &WHOLE.replace("map: {}\n", map)).is_ok());
    let both = allowed("invocations.tenant").intersection(&Columns::ADDED.into());
    assert_eq!(both.added, ["invocations.tenant".to_owned()].into());
    assert!(!allowed("invocations.tenant").intersection(&Allowed::default()).allows("invocations.tenant"));
}

#[test]
fn conditions_ask_for_columns_that_this_chains_map_adds() {
    let map = "map: { columns: { invocations: { tenant: { attribute: t, type: string } } } }\n";
    let whole = WHOLE.replace("map: {}\n", map);
    for step in [
        "filter: { drop: [{ column: invocations.tenant, equals: acme }] }",
        "route: { rules: [{ column: invocations.tenant, equals: acme, exporters: [iceberg/eu] }] }",
    ] {
        assert!(build(Signal::Traces, &format!("{whole}{step}\n")).is_ok(), "{step}");
        refused(Signal::Traces, &format!("{WHOLE}{step}\n"), "found `tenant`, which neither the table has nor `map` adds");
    }
}

#[test]
fn numbers_that_json_does_not_have_are_taken_and_other_faults_stay() {
    let chain = build(Signal::Traces, WHOLE).unwrap();
    let body = |value: &str| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","kind":2,
            "startTimeUnixNano":"1795521000000000000","endTimeUnixNano":"1795521001000000000","name":"NaN \"Infinity","attributes":[
            {{"key":"faas.invocation_id","value":{{"stringValue":"x"}}}},{{"key":"faas.mem_usage","value":{{"doubleValue":{value}}}}}]}}]}}]}}]}}"#
        )
    };
    let process = |value: &str| chain.process(Encoding::Json, body(value).as_bytes(), NOW);
    for value in ["NaN", "Infinity", "-Infinity", "\"NaN\""] {
        let outcome = process(value).unwrap();
        assert_eq!((outcome.tally.mapped, outcome.tally.noted(Note::OutOfRange)), (1, 1), "{value}");
    }
    let said = process("nan").unwrap_err().to_string();
    assert!(said.contains("line 3"), "{said}");
    let said =
        chain.process(Encoding::Json, body("1").replace("\"kind\":2", "\"kind\":[NaN]").as_bytes(), NOW).unwrap_err().to_string();
    assert!(said.contains("expected"), "{said}");
}

#[test]
fn an_unknown_processor_or_setting_is_named_with_the_nearest() {
    refused(Signal::Traces, "sanitise: {}", "did you mean `sanitize`?");
    refused(Signal::Traces, "filter: { dorp: [] }", "dorp");
}

#[test]
fn processors_in_an_order_that_cannot_be_meant_are_refused() {
    let filter = "filter/records: { drop: [{ attribute: env, equals: test }] }\n";
    let rows = "filter/rows: { drop: [{ column: errors.language, equals: go }] }\n";
    let attributes = "attributes: { actions: [{ key: a, action: delete }] }\n";
    let mixed = "filter: { drop: [{ attribute: env, equals: test }, { column: errors.language, equals: go }] }\n";
    let check = |processors: &str, expected: &str| refused(Signal::Traces, processors, expected);

    check(&format!("map: {{}}\n{filter}"), "`filter/records` works on records, expected it before `map`");
    check(&format!("map: {{}}\nsanitize: {{}}\n{attributes}"), "`attributes` works on records, expected it before `map`");
    check(&format!("{rows}map: {{}}\n"), "`filter/rows` works on the columns that `map` makes");
    check(rows, "`filter/rows` works on the columns that `map` makes");
    check(&format!("{mixed}{WHOLE}"), "make two filters of it");
    check("sanitize: {}\nmap: {}\n", "`sanitize` works on the columns that `map` makes");
    check("map: {}\nmap/again: {}\n", "`map/again` is a second `map`");
    check("map: {}\nhash_ip: {}\nsanitize: {}\n", "`sanitize` stands after `hash_ip`");
    check("map: {}\nsanitize: {}\ntruncate_stack: {}\nhash_ip: {}\n", "`hash_ip` stands after `truncate_stack`");
    refused(
        Signal::Metrics,
        &format!("sanitize: {{}}\n{filter}"),
        "`filter/records` works on records, expected it before `sanitize`",
    );

    assert!(build(Signal::Traces, &format!("{filter}{attributes}{WHOLE}{rows}")).is_ok());
}

#[test]
fn a_chain_that_would_write_something_raw_is_refused() {
    refused(Signal::Traces, "map: {}", "invocations.invocation_id");
    let said = build(Signal::Logs, "map: {}\nsanitize: {}").unwrap_err();
    assert!(said.starts_with("invocations.client_ip, rate_limits.client_ip would be written or exposed raw"), "{said}");
    refused(Signal::Logs, "map: {}\nhash_ip: {}", "errors.stack_trace");
    refused(Signal::Metrics, "{}", "labels of metric points would be");
    refused(Signal::Metrics, "hash_ip: {}", "labels of metric points would be");

    assert!(build_allowing(Signal::Logs, "map: {}\nsanitize: {}", Columns::named("client_ip")).is_ok());
    assert!(build_allowing(Signal::Metrics, "{}", Columns::LABELS).is_ok());
}

#[test]
fn without_map_nothing_is_written_and_every_record_is_unmapped() {
    let chain = build(Signal::Traces, "{}").unwrap();
    let body = requests::traces(3).encode_to_vec();
    let outcome = chain.process(Encoding::Protobuf, &body, NOW).unwrap();
    assert!(outcome.rows.is_empty());
    assert_eq!((outcome.tally.received, outcome.tally.unmapped), (3, 3));
}

#[test]
fn invocations_become_rows_and_filters_take_theirs_away() {
    let check = |processors: &str, rows: usize, filtered: u64, rows_filtered: u64| {
        let chain = build(Signal::Traces, processors).unwrap();
        let outcome = chain.process(Encoding::Protobuf, &requests::traces(10).encode_to_vec(), NOW).unwrap();
        assert_eq!(outcome.rows.iter().map(|(_, rows)| rows.rows()).sum::<usize>(), rows, "{processors}");
        assert_eq!((outcome.tally.filtered, outcome.tally.rows_filtered), (filtered, rows_filtered), "{processors}");
        assert!(outcome.tally.balances());
        assert_eq!(outcome.rejected, None);
    };
    check(WHOLE, 10, 0, 0);
    check(&format!("filter: {{ drop: [{{ attribute: faas.version, equals: 3 }}] }}\n{WHOLE}"), 9, 1, 0);
    check(&format!("{WHOLE}filter: {{ drop: [{{ column: invocations.version, matches: '[34]' }}] }}"), 8, 0, 2);
    check(&format!("{WHOLE}filter: {{ drop: [{{ column: invocations.version, matches: '' }}] }}"), 0, 0, 10);
}

#[test]
fn nothing_raw_is_left_in_rows_or_points() {
    let secret = "AKIAIOSFODNN7EXAMPLE";
    let address = "203.0.113.77";
    let leaks = |text: &[u8]| [secret, address].into_iter().any(|raw| memchr::memmem::find(text, raw.as_bytes()).is_some());

    let body = requests::with_secrets(secret, address).encode_to_vec();
    let outcome = build(Signal::Traces, WHOLE).unwrap().process(Encoding::Protobuf, &body, NOW).unwrap();
    assert_eq!(outcome.rows.len(), 2, "an invocation and an error");
    assert!(outcome.tally.noted(Note::Redaction) > 0);
    for (table, bytes) in bytes(&outcome) {
        assert!(!leaks(&bytes), "{}", table.name());
    }

    let body = requests::point_with_secret(secret).encode_to_vec();
    let outcome = build(Signal::Metrics, "sanitize: {}").unwrap().process(Encoding::Protobuf, &body, NOW).unwrap();
    assert_eq!(outcome.points.list.len(), 1);
    assert!(!leaks(format!("{:?}", outcome.points).as_bytes()));
}

#[test]
fn points_of_every_kind_are_kept() {
    let chain = build(Signal::Metrics, "sanitize: {}").unwrap();
    let outcome = chain.process(Encoding::Protobuf, &requests::mixed_points().encode_to_vec(), NOW).unwrap();
    let tally = &outcome.tally;
    assert_eq!((tally.received, tally.rejected, tally.mapped, outcome.points.list.len()), (3, 0, 3, 3));
}

#[test]
fn an_edit_before_map_reaches_the_row() {
    let edit = "attributes: { actions: [{ key: faas.name, action: upsert, value: renamed }] }\n";
    let chain = build(Signal::Traces, &format!("{edit}{WHOLE}")).unwrap();
    let outcome = chain.process(Encoding::Protobuf, &requests::traces(1).encode_to_vec(), NOW).unwrap();
    let rows = bytes(&outcome);
    assert!(memchr::memmem::find(&rows[0].1, b"renamed").is_some());
}

#[test]
fn json_and_protobuf_make_the_same_rows() {
    let chain = build(Signal::Traces, WHOLE).unwrap();
    let protobuf = chain.process(Encoding::Protobuf, &requests::traces(1).encode_to_vec(), NOW).unwrap();
    let json = chain.process(Encoding::Json, requests::TRACES_OF_ONE.as_bytes(), NOW).unwrap();
    assert_eq!(bytes(&json), bytes(&protobuf));
    assert_eq!(json.tally, protobuf.tally);
}

#[test]
fn a_json_string_that_is_not_utf8_costs_only_itself() {
    let chain = build(Signal::Traces, WHOLE).unwrap();
    let mut body = requests::TRACES_OF_ONE.as_bytes().to_vec();
    let at = memchr::memmem::find(&body, b"checkout").unwrap();
    body[at] = 0xff;
    let outcome = chain.process(Encoding::Json, &body, NOW).unwrap();
    assert_eq!((outcome.tally.mapped, outcome.tally.noted(Note::MendedString)), (1, 1));
}

#[test]
fn a_body_that_is_no_request_is_malformed() {
    let chain = build(Signal::Traces, WHOLE).unwrap();
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        assert!(chain.process(encoding, b"\x0a\xff", NOW).is_err(), "{encoding:?}");
        assert_eq!(
            chain.process(encoding, if encoding == Encoding::Json { b"{}" } else { b"" }, NOW).unwrap().tally,
            Tally::default()
        );
    }
}

/// Runs a request through chains with and without each part, and holds the first law against what was sent.
fn check_conservation(signal: Signal, body: &[u8], sent: u64) {
    let filter = "filter/records: { drop: [{ attribute: faas.name, matches: '^[a-m]' }, { attribute: env, equals: 1 }] }\n";
    let edit =
        "attributes: { actions: [{ key: faas.name, action: upsert, from_attribute: env }, { key: env, action: delete }] }\n";
    let rows =
        "filter/rows: { drop: [{ column: invocations.success, equals: false }, { column: errors.language, matches: '' }] }\n";
    for processors in [WHOLE.to_owned(), format!("{filter}{edit}{WHOLE}{rows}"), format!("{filter}sanitize: {{}}\n")] {
        let chain = build(signal, &processors).unwrap();
        let once = chain.process(Encoding::Protobuf, body, NOW).unwrap();
        let again = chain.process(Encoding::Protobuf, body, NOW).unwrap();
        assert_eq!(once.tally.received, sent);
        assert!(once.tally.balances(), "{:?}", once.tally);
        assert_eq!(once.tally.rejected, once.rejected.as_ref().map_or(0, |rejected| rejected.count));
        assert!(once.rows.iter().all(|(_, rows)| rows.rows() > 0));
        assert_eq!(
            (&once.tally, bytes(&once), format!("{:?}", once.points)),
            (&again.tally, bytes(&again), format!("{:?}", again.points))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_span_is_counted_once_and_the_same_request_makes_the_same_rows(request in requests::any_traces()) {
        let sent = request.resource_spans.iter().flat_map(|spans| &spans.scope_spans).map(|scope| scope.spans.len() as u64).sum();
        check_conservation(Signal::Traces, &request.encode_to_vec(), sent);
    }

    #[test]
    fn every_log_is_counted_once_and_the_same_request_makes_the_same_rows(request in requests::any_logs()) {
        let sent = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs).map(|scope| scope.log_records.len() as u64).sum();
        check_conservation(Signal::Logs, &request.encode_to_vec(), sent);
    }

    #[test]
    fn every_point_is_counted_once_and_the_same_request_makes_the_same_points(request in requests::any_metrics()) {
        check_conservation(Signal::Metrics, &request.encode_to_vec(), requests::points_of(&request));
    }
}
