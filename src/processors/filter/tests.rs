use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::*;
use crate::processors::ColumnStep as _;
use crate::signals::{Encoding, Signal, decode};
use crate::tables::rows::{Cell, ErrorRow, InvocationRow, RowBuilders};
use crate::tables::{Additions, ColumnType, Table, TableBatch};

fn config(conditions: &str) -> Result<FilterConfig, String> {
    serde_saphyr::from_str(&format!("drop: [{conditions}]")).map_err(|error| error.to_string())
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

/// Spans `a` (status 200) and `b` (status 500, `env` says `span`) under a scope and a resource whose `env` are `scope` and `resource`.
fn request() -> Vec<u8> {
    let span = |name: &str, attributes| Span {
        name: name.to_owned(),
        trace_id: vec![1; 16],
        span_id: vec![name.as_bytes()[0]; 8],
        attributes,
        ..Span::default()
    };
    let spans = vec![
        span("a", vec![attribute("http.response.status_code", Any::IntValue(200))]),
        span("b", vec![text("http.response.status_code", "500"), text("env", "span")]),
    ];
    let scope = InstrumentationScope { attributes: vec![text("env", "scope")], ..InstrumentationScope::default() };
    let resource = Resource { attributes: vec![text("env", "resource"), text("region", "eu")], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// The names of the spans that are left.
fn check(conditions: &str, left: &str) {
    let mut keys = Keys::default();
    let filter = RecordFilter::new(&config(conditions).unwrap(), &mut keys).unwrap();
    let body = request();
    let mut records = decode(Signal::Traces, Encoding::Protobuf, &body, &keys).unwrap();
    let mut tally = Tally::default();
    filter.apply(&mut records, &mut tally);
    let names: String = records.spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, left, "after {conditions}");
    assert_eq!(tally.filtered, 2 - left.len() as u64);
}

#[test]
fn a_record_is_dropped_if_its_attribute_equals() {
    check("{ attribute: http.response.status_code, equals: 200 }", "b");
    check("{ attribute: http.response.status_code, equals: 500 }", "a");
    check("{ attribute: http.response.status_code, equals: 404 }", "ab");
}

#[test]
fn a_record_is_dropped_if_its_attribute_matches() {
    check("{ attribute: http.response.status_code, matches: '^5..$' }", "a");
    check("{ attribute: http.response.status_code, matches: '00' }", "");
}

#[test]
fn the_record_is_asked_before_its_scope_and_that_before_its_resource() {
    check("{ attribute: env, equals: span }", "a");
    check("{ attribute: env, equals: scope }", "b");
    check("{ attribute: env, equals: resource }", "ab");
    check("{ attribute: region, equals: eu }", "");
}

#[test]
fn one_condition_of_many_is_enough() {
    check("{ attribute: env, equals: span }, { attribute: http.response.status_code, equals: 200 }", "");
}

#[test]
fn what_is_absent_is_never_dropped() {
    check("{ attribute: missing, matches: '' }", "ab");
}

fn rows() -> Vec<TableBatch> {
    let mut rows = RowBuilders::new();
    for (id, region, memory) in [("1", Some("eu-west"), Some(5)), ("2", Some("us-east"), None), ("3", None, Some(7))] {
        let row = InvocationRow {
            invocation_id: id.into(),
            region: region.map(Into::into),
            memory_used_bytes: memory,
            duration_ms: memory.map(|_| 2.0),
            success: id == "3",
            ..InvocationRow::default()
        };
        rows.push_invocation(&row).unwrap();
    }
    rows.push_error(&ErrorRow { error_id: "e".into(), ..ErrorRow::default() }).unwrap();
    rows.finish()
}

/// The ids of the invocations that are left.
fn check_rows(condition: &str, left: &str) {
    use arrow_array::cast::AsArray as _;
    let filter = ColumnFilter::new(&config(condition).unwrap(), &Additions::default().schemas()).unwrap().unwrap();
    let mut tally = Tally::default();
    let batches: Vec<TableBatch> = rows().into_iter().map(|batch| filter.apply(batch, &mut tally)).collect();
    let ids: String = batches[0].batch["invocation_id"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(ids, left, "after {condition}");
    assert_eq!(tally.rows_filtered, 3 - left.len() as u64);
    assert_eq!(batches[1].batch.num_rows(), 1, "another table is not touched");
}

#[test]
fn a_row_is_dropped_by_a_column_of_any_comparable_type() {
    check_rows("{ column: invocations.region, matches: '^eu-' }", "23");
    check_rows("{ column: invocations.region, equals: us-east }", "13");
    check_rows("{ column: invocations.memory_used_bytes, equals: 7 }", "12");
    check_rows("{ column: invocations.duration_ms, equals: 2 }", "2");
    check_rows("{ column: invocations.duration_ms, equals: 2.0 }", "2");
    check_rows("{ column: invocations.success, equals: true }", "12");
    check_rows("{ column: invocations.hour, equals: 0 }", "");
}

#[test]
fn a_whole_table_can_be_dropped() {
    let filter = ColumnFilter::new(&config("{ table: errors }").unwrap(), &Additions::default().schemas()).unwrap().unwrap();
    let mut tally = Tally::default();
    let left: Vec<usize> = rows().into_iter().map(|batch| filter.apply(batch, &mut tally).batch.num_rows()).collect();
    assert_eq!((left, tally.rows_filtered), (vec![3, 0], 1));
}

#[test]
fn a_null_passes_no_test() {
    check_rows("{ column: invocations.region, matches: '' }", "3");
}

#[test]
fn conditions_are_put_together() {
    check("{ all: [{ attribute: env, equals: span }, { attribute: region, equals: eu }] }", "a");
    check("{ all: [{ attribute: env, equals: span }, { attribute: region, equals: us }] }", "ab");
    check("{ any: [{ attribute: env, equals: scope }, { attribute: missing, equals: x }] }", "b");
    check("{ not: { attribute: env, equals: span } }", "b");
    check("{ not: { attribute: missing, matches: '' } }", "");
    check("{ not: { all: [{ attribute: region, equals: eu }, { not: { attribute: env, equals: span } }] } }", "a");

    let eu = "{ column: invocations.region, matches: '^eu-' }";
    let large = "{ column: invocations.memory_used_bytes, equals: 7 }";
    check_rows(&format!("{{ any: [{eu}, {large}] }}"), "2");
    check_rows(&format!("{{ all: [{eu}, {large}] }}"), "123");
    check_rows(&format!("{{ all: [{eu}, {{ not: {large} }}] }}"), "23");
    // A NULL passes no test, so `not` finds it; and no row of another table.
    check_rows(&format!("{{ not: {eu} }}"), "1");
    check_rows("{ not: { column: invocations.region, matches: '' } }", "12");
    check_rows("{ not: { table: invocations } }", "123");
}

#[test]
fn columns_that_map_adds_are_asked_too() {
    use arrow_array::cast::AsArray as _;
    let mut additions = Additions::default();
    additions.add(Table::Invocations, "tenant", ColumnType::String).unwrap();
    additions.add(Table::Invocations, "attempt", ColumnType::Long).unwrap();
    let schemas = additions.schemas();
    let left = |condition: &str| -> Result<String, String> {
        let filter = ColumnFilter::new(&config(condition).unwrap(), &schemas).map_err(|error| error.to_string())?.unwrap();
        let mut rows = RowBuilders::with(&schemas);
        for (id, tenant) in [("1", Some("acme")), ("2", None)] {
            let added = vec![Cell::Long(Some(3)), Cell::Text(tenant.map(Into::into))];
            rows.push_invocation(&InvocationRow { invocation_id: id.into(), added, ..InvocationRow::default() }).unwrap();
        }
        let batch = filter.apply(rows.finish().remove(0), &mut Tally::default());
        Ok(batch.batch["invocation_id"].as_string::<i32>().iter().flatten().collect())
    };
    assert_eq!(left("{ column: invocations.tenant, equals: acme }").unwrap(), "2");
    assert_eq!(left("{ not: { column: invocations.tenant, equals: acme } }").unwrap(), "1");
    assert_eq!(left("{ column: invocations.attempt, equals: 3 }").unwrap(), "");
    let said = left("{ column: invocations.tennant, equals: acme }").unwrap_err();
    assert!(said.contains("neither the table has nor `map` adds; did you mean `tenant`?"), "{said}");
    let said = left("{ column: invocations.attempt, equals: acme }").unwrap_err();
    assert_eq!(said, "expected `equals` with a whole number for `invocations.attempt`");
}

#[test]
fn a_condition_is_written_as_it_was_read() {
    for written in [
        "attribute: a\nequals: 1\n",
        "all:\n- column: errors.language\n  equals: go\n- not:\n    column: errors.version\n    matches: ^1\n",
        "any:\n- table: errors\n- table: errors\n",
    ] {
        let condition: Condition = serde_saphyr::from_str(written).unwrap();
        let expected: serde_json::Value = serde_saphyr::from_str(written).unwrap();
        assert_eq!(serde_json::to_value(condition).unwrap(), expected);
    }
}

#[test]
fn a_condition_that_cannot_be_meant_is_refused() {
    let check = |condition: &str, expected: &str| {
        let said = config(condition).unwrap_err();
        assert!(said.contains(expected), "`{said}` does not say `{expected}`");
    };
    check("{ attribute: a }", "`equals` or `matches` in a condition, found neither");
    check("{ attribute: a, equals: 1, matches: b }", "`equals` or `matches` in a condition, found both");
    check("{ equals: 1 }", "`attribute`, `column` or `table` in a condition, found neither");
    check("{ attribute: '', equals: 1 }", "`attribute`, `column` or `table` in a condition, found neither");
    check("{ table: errors, equals: 1 }", "no test of the whole table `errors`");
    check("{ table: error }", "did you mean `errors`?");
    check(
        "{ attribute: a, column: invocations.region, equals: x }",
        "`attribute`, `column` or `table` in a condition, found two",
    );
    check("{ column: invocation.region, equals: x }", "did you mean `invocations.region`?");
    check("{ column: invocations.region, equals: 1 }", "text (in quotes");
    check("{ column: invocations.hour, matches: '1' }", "a whole number for `invocations.hour`");
    check("{ column: invocations.date, equals: '2026-11-24' }", "times cannot be compared here");
    check("{ attribute: a, matches: '(' }", "expected a regular expression");
    check("{ attribute: a, matches: '(\\w{100}){100}' }", "size limit");
    check("{ atribute: a, equals: 1 }", "attribute");
    check("{ all: [] }", "a condition in `all`, found none");
    check("{ any: [{ table: errors }], not: { table: errors } }", "found two of them; put one into the other");
    check("{ any: [{ table: errors }], table: errors }", "found two of them; put one into the other");
    check("{ all: [{ attribute: a, equals: 1 }, { table: errors }] }", "attributes or columns in `all`, found both");
    check("{ any: [{ table: invocations }, { table: errors }] }", "one table in `any`, found `invocations` and `errors`");
    check("{ not: { attribute: a } }", "`equals` or `matches` in a condition, found neither");
}
