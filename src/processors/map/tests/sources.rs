//! Columns whose sources the configuration sets.

use super::*;

fn columns(yaml: &str) -> MapConfig {
    config(&format!("columns: {yaml}"))
}

/// One invocation under this configuration of columns.
fn invoked(yaml: &str, resource: &[KeyValue], attributes: &[KeyValue]) -> Mapped {
    map_spans_with(&columns(yaml), resource, vec![invocation(attributes)])
}

#[track_caller]
fn refused(yaml: &str, expected: &[&str]) {
    let error = serde_saphyr::from_str::<MapConfig>(yaml).unwrap_err().to_string();
    for part in expected {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn a_set_source_takes_the_place_of_the_preset() {
    let rule = "{ invocations: { version: { attribute: [app.version, service.version] } } }";
    let preset = attr("faas.version", "7");
    check(invoked(rule, &[], &[preset.clone(), attr("app.version", " 1.2 ")]).invocation("version"), "1.2");
    check(invoked(rule, &[attr("service.version", "2")], std::slice::from_ref(&preset)).invocation("version"), "2");
    check(invoked(rule, &[], &[preset]).invocation("version"), "NULL");
}

#[test]
fn a_set_source_is_looked_for_on_the_record_before_the_resource() {
    let rule = "{ invocations: { version: { attribute: app.version } } }";
    let resource = [attr("app.version", "resource")];
    check(invoked(rule, &resource, &[attr("app.version", "record")]).invocation("version"), "record");
    check(invoked(rule, &resource, &[attr("app.version", "")]).invocation("version"), "resource");
    let twice = [attr("app.version", "1"), attr("app.version", "2")];
    check(invoked(rule, &resource, &twice).invocation("version"), "resource");
}

#[test]
fn the_preset_follows_the_last_source_where_that_is_asked_for() {
    let rule = "{ invocations: { version: { attribute: app.version, else: preset } } }";
    check(invoked(rule, &[], &[attr("faas.version", "7")]).invocation("version"), "7");
    check(invoked(rule, &[], &[attr("faas.version", "7"), attr("app.version", "8")]).invocation("version"), "8");
}

#[test]
fn a_column_without_a_source_is_never_filled() {
    check(
        invoked("{ invocations: { client_ip: {} } }", &[], &[attr("client.address", "203.0.113.7")]).invocation("client_ip"),
        "NULL",
    );
}

#[test]
fn attribute_field_and_value_are_asked_in_this_order() {
    let rule = "{ invocations: { region: { attribute: place, field: scope_name, value: nowhere } } }";
    check(invoked(rule, &[], &[attr("place", "here")]).invocation("region"), "here");
    check(invoked(rule, &[], &[]).invocation("region"), "nowhere");
}

#[test]
fn values_are_read_as_their_columns_have_them() {
    let cases = [
        ("memory_used_bytes", attr("x", "1024"), "1024"),
        ("memory_used_bytes", attr("x", 7.0), "7"),
        ("memory_used_bytes", attr("x", -1), "NULL"),
        ("duration_ms", attr("x", "2.5"), "2.5"),
        ("duration_ms", attr("x", -2.5), "NULL"),
        ("cold_start", attr("x", "true"), "true"),
        ("cold_start", attr("x", "perhaps"), "NULL"),
        ("language", attr("x", "nodejs"), "javascript"),
        ("version", attr("x", 3), "3"),
        ("client_ip", attr("x", "203.0.113.7"), "203.0.113.7"),
        ("client_ip", attr("x", "nobody"), "NULL"),
    ];
    for (column, sent, expected) in cases {
        let rule = format!("{{ invocations: {{ {column}: {{ attribute: x }} }} }}");
        assert_eq!(invoked(&rule, &[], &[sent]).invocation(column), expected, "{column}");
    }
    let rule = "{ invocations: { memory_used_bytes: { attribute: x }, client_ip: { attribute: from } } }";
    let mapped = invoked(rule, &[], &[attr("x", -1), attr("from", "nobody")]);
    assert_eq!((mapped.tally.noted(Note::OutOfRange), mapped.tally.noted(Note::UnreadableAddress)), (1, 1));
}

#[test]
fn success_and_its_error_agree() {
    let rule = "{ invocations: { success: { attribute: ok, else: preset } } }";
    let mapped = invoked(rule, &[], &[attr("ok", true), attr("error.type", "Teapot"), attr("error.message", "short")]);
    for (column, expected) in [("success", "true"), ("error_type", "NULL"), ("error_message", "NULL")] {
        assert_eq!(mapped.invocation(column), expected, "{column}");
    }
    let mapped = invoked(rule, &[], &[attr("ok", false)]);
    assert_eq!((mapped.invocation("success"), mapped.invocation("error_type")), ("false", "_OTHER"));
}

#[test]
fn a_field_of_the_record_is_a_source() {
    let cases = [
        ("trace_id", "07070707070707070707070707070707"),
        ("span_id", "0101010101010101"),
        ("parent_span_id", "NULL"),
        ("name", "span 1"),
        ("scope_name", "NULL"),
        ("severity_text", "NULL"),
    ];
    for (field, expected) in cases {
        let rule = format!("{{ invocations: {{ version: {{ field: {field} }} }} }}");
        assert_eq!(invoked(&rule, &[], &[]).invocation("version"), expected, "{field}");
    }
    let rule = columns("{ errors: { error_type: { field: severity_text } } }");
    let sent = LogRecord { severity_text: "FATAL".to_owned(), ..log(21, "down", &[]) };
    check(map_logs_with(&rule, &[], vec![sent]).error("error_type"), "FATAL");
}

#[test]
fn an_exception_on_a_span_is_asked_before_its_span() {
    let rule = columns("{ errors: { error_type: { attribute: app.kind } } }");
    let mut attributes = exception("Boom", "it went");
    attributes.push(attr("app.kind", "event"));
    let sent = with_exception(invocation(&[attr("app.kind", "span")]), &attributes);
    check(map_spans_with(&rule, &[], vec![sent]).error("error_type"), "event");
    let sent = with_exception(invocation(&[attr("app.kind", "span")]), &exception("Boom", "it went"));
    check(map_spans_with(&rule, &[], vec![sent]).error("error_type"), "span");
}

#[test]
fn another_invocation_id_is_that_of_its_errors_too() {
    let rule = columns("{ invocations: { invocation_id: { attribute: app.request } } }");
    let attributes = [attr("app.request", "r-1")];
    let child = below(1, with_exception(span(2, INTERNAL, &[]), &exception("Boom", "it went")));
    let mapped = map_spans_with(&rule, &[], vec![invocation(&attributes), child]);
    assert_eq!((mapped.invocation("invocation_id"), mapped.error("invocation_id")), ("r-1", "r-1"));
    check(map_logs_with(&rule, &[], vec![log(17, "down", &attributes)]).error("invocation_id"), "r-1");
    let without = map_spans_with(&rule, &[], vec![invocation(&[])]);
    check(without.invocation("invocation_id"), "inv-1");
}

#[test]
fn no_other_column_changes_a_derived_id() {
    let rules = columns(
        "{ rate_limits: { function_id: { value: other }, client_ip: {} }, \
           deployments: { function_id: { value: other }, version: { value: other } }, \
           errors: { error_type: { value: other }, error_message: { value: other } } }",
    );
    let sent = || {
        vec![
            named(log(9, "", &[attr("faas.name", "f"), attr("client.address", "203.0.113.7")]), "faas.rate_limit"),
            named(log(9, "", &[attr("faas.name", "f"), attr("faas.version", "1")]), "faas.deployment"),
            in_span(1, log(17, "", &exception("Boom", "it went"))),
        ]
    };
    let (preset, other) = (map_logs(&[], sent()), map_logs_with(&rules, &[], sent()));
    for (table, id, column) in [
        (Table::RateLimits, "event_id", "function_id"),
        (Table::Deployments, "deployment_id", "version"),
        (Table::Errors, "error_id", "error_type"),
    ] {
        assert_eq!(preset.only(table)[id], other.only(table)[id], "{id}");
        assert_eq!(other.only(table)[column], "other", "{column}");
    }
}

#[test]
fn columns_that_follow_from_others_are_refused_by_name() {
    refused("columns: { invocations: { hour: { value: 1 } } }", &["`hour` follows from the event time", "leave it out"]);
    refused("columns: { errors: { date: {} } }", &["`date` follows from the event time"]);
    refused("columns: { deployments: { deployed_at: { attribute: at } } }", &["`deployed_at` follows from the record's time"]);
    refused("columns: { errors: { vesion: {} } }", &["`errors` has no column `vesion`", "version"]);
    refused("columns: { errors: { version: { from: x } } }", &["from"]);
}

#[test]
fn a_fixed_value_has_to_fit_its_column() {
    for value in ["abc", "-1", "true"] {
        let yaml = format!("columns: {{ invocations: {{ duration_ms: {{ value: {value} }} }} }}");
        refused(&yaml, &["a `value` of `duration_ms` that is of its type double and in its range", value]);
    }
    refused("columns: { invocations: { cold_start: { value: maybe } } }", &["`cold_start`", "boolean"]);
    refused("columns: { rate_limits: { limit_value: { value: 1.5 } } }", &["`limit_value`"]);
    columns("{ invocations: { duration_ms: { value: 1.5 }, cold_start: { value: true }, region: { value: 1 } } }");
}

#[test]
fn words_of_a_table_are_asked_for_until_one_is_found() {
    let rule = columns("{ deployments: { status: { attribute: [app.state, app.result], field: name } } }");
    let status = |attributes: &[KeyValue]| {
        let mapped = map_logs_with(&rule, &[], vec![named(log(9, "", attributes), "faas.deployment")]);
        (mapped.only(Table::Deployments)["status"].clone(), mapped.tally.noted(Note::OutOfRange))
    };
    assert_eq!(status(&[attr("app.state", "failure")]), ("failed".to_owned(), 0));
    assert_eq!(status(&[attr("app.state", "on its way"), attr("app.result", "Success")]), ("success".to_owned(), 1));
    assert_eq!(status(&[]), ("NULL".to_owned(), 1));
    refused("columns: { deployments: { status: { value: done } } }", &["`status`", "in its range", "done"]);
    refused("columns: { rate_limits: { limit_type: { value: per_user } } }", &["`limit_type`", "per_user"]);
}

#[test]
fn a_refusal_names_the_line() {
    refused("columns:\n  invocations:\n    version: { value: 1 }\n    hour: { value: 1 }\n", &["line 4"]);
}

#[test]
fn fields_are_for_text_and_ids_are_not_fixed() {
    let error = |yaml: &str| Mapping::new(&columns(yaml), KEY, &mut Keys::default()).unwrap_err().to_string();
    let text = error("{ invocations: { memory_used_bytes: { field: name } } }");
    assert!(text.contains("`invocations.memory_used_bytes` from a `field`"), "{text}");
    let fixed = error("{ errors: { error_id: { value: one } } }");
    assert!(fixed.contains("every row the same `errors.error_id`"), "{fixed}");
}
