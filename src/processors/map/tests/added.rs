//! Columns that the preset does not have.

use super::*;

fn columns(yaml: &str) -> MapConfig {
    config(&format!("columns: {yaml}"))
}

#[track_caller]
fn refused(yaml: &str, expected: &[&str]) {
    let error = serde_saphyr::from_str::<MapConfig>(&format!("columns: {yaml}")).unwrap_err().to_string();
    for part in expected {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn ids_of_the_trace_are_columns_of_every_table() {
    let ids = "trace_id: { field: trace_id }, span_id: { field: span_id }";
    let config = columns(&format!("{{ invocations: {{ {ids} }}, errors: {{ {ids} }}, rate_limits: {{ {ids} }} }}"));
    let limited = invocation(&[attr("http.response.status_code", 429)]);
    let mapped = map_spans_with(&config, &[], vec![with_exception(limited, &exception("Boom", "it went"))]);
    for table in [Table::Invocations, Table::Errors, Table::RateLimits] {
        let row = mapped.only(table);
        assert_eq!((&*row["trace_id"], &*row["span_id"]), ("07070707070707070707070707070707", "0101010101010101"));
    }
    let config = columns(&format!("{{ errors: {{ {ids} }}, deployments: {{ {ids} }} }}"));
    let logs = vec![in_span(3, log(17, "down", &[])), named(log(9, "", &[]), "faas.deployment")];
    let mapped = map_logs_with(&config, &[], logs);
    check(mapped.error("span_id"), "0303030303030303");
    check(&mapped.only(Table::Deployments)["trace_id"], "NULL");
}

#[test]
fn a_value_is_read_as_the_type_of_its_column() {
    let cases = [
        ("string", attr("x", " acme "), "acme"),
        ("string", attr("x", 7), "7"),
        ("string", attr("x", ""), "NULL"),
        ("long", attr("x", "-5"), "-5"),
        ("long", attr("x", 2.0), "2"),
        ("long", attr("x", "many"), "NULL"),
        ("int", attr("x", 7), "7"),
        ("int", attr("x", 1 << 40), "NULL"),
        ("double", attr("x", "-0.5"), "-0.5"),
        ("boolean", attr("x", "true"), "true"),
        ("boolean", attr("x", "perhaps"), "NULL"),
        ("timestamp", attr("x", "2026-11-24T12:00:00.5+01:00"), "1795518000500000"),
        ("timestamp", attr("x", 1_795_518_000), "1795518000000000"),
        ("timestamp", attr("x", "1795518000500"), "1795518000500000"),
        ("timestamp", attr("x", 1_795_518_000_500_000), "1795518000500000"),
        ("timestamp", attr("x", 1_795_518_000_500_000_999), "1795518000500000"),
        ("timestamp", attr("x", i64::MIN), "-9223372036854776"),
        ("timestamp", attr("x", "noon"), "NULL"),
    ];
    for (kind, sent, expected) in cases {
        let config = columns(&format!("{{ invocations: {{ added: {{ attribute: x, type: {kind} }} }} }}"));
        let mapped = map_spans_with(&config, &[], vec![invocation(std::slice::from_ref(&sent))]);
        assert_eq!(mapped.invocation("added"), expected, "{kind} of {sent:?}");
    }
}

#[test]
fn sources_are_asked_as_for_any_column() {
    let config =
        columns("{ errors: { tenant: { attribute: [app.tenant, tenant], field: scope_name, value: none, type: string } } }");
    let resource = [attr("tenant", "resource")];
    let errors = |attributes: &[KeyValue]| map_logs_with(&config, &resource, vec![log(17, "down", attributes)]);
    check(errors(&[attr("app.tenant", "record")]).error("tenant"), "record");
    check(errors(&[]).error("tenant"), "resource");
    check(map_logs_with(&config, &[], vec![log(17, "down", &[])]).error("tenant"), "none");
    let mut event = exception("Boom", "it went");
    event.push(attr("tenant", "event"));
    let sent = with_exception(invocation(&[attr("app.tenant", "span")]), &event);
    check(map_spans_with(&config, &[], vec![sent]).error("tenant"), "span");
}

#[test]
fn an_added_column_changes_no_other_and_no_derived_id() {
    let sent = || vec![with_exception(span(1, SERVER, &[attr("faas.trigger", "http")]), &exception("Boom", "it went"))];
    let config = columns("{ invocations: { tenant: { value: acme, type: string } }, errors: { n: { value: 7, type: long } } }");
    let (preset, added) = (map_spans(&[], sent()), map_spans_with(&config, &[], sent()));
    for (table, column) in [(Table::Invocations, "tenant"), (Table::Errors, "n")] {
        let mut row = added.only(table).clone();
        assert!(row.remove(column).is_some());
        assert_eq!(row, *preset.only(table));
    }
}

#[test]
fn what_cannot_be_a_column_is_refused_by_name() {
    refused("{ errors: { tenant: { attribute: t } } }", &["`errors` has no column `tenant`", "or a `type` to add it"]);
    refused("{ errors: { vesion: { attribute: t } } }", &["did you mean `version`?"]);
    refused("{ errors: { tenant: { attribute: t, type: text } } }", &["text", "string"]);
    refused("{ errors: { Tenant: { attribute: t, type: string } } }", &["no column `Tenant`", "lower-case"]);
    refused("{ errors: { version: { attribute: t, type: string } } }", &["`version` with a type of its own", "leave `type` out"]);
    refused("{ errors: { tenant: { type: string, else: preset } } }", &["does not know `tenant`", "leave `else` out"]);
    refused("{ errors: { n: { field: name, type: long } } }", &["`n` is filled from a `field`, which is text", "found long"]);
    refused("{ errors: { n: { value: many, type: long } } }", &["a `value` of `n` that is of its type long"]);
    let many: Vec<String> = (0..65).map(|n| format!("c{n}: {{ type: int }}")).collect();
    refused(&format!("{{ errors: {{ {} }} }}", many.join(", ")), &["at most 64 added columns of `errors`, found 65"]);
}
