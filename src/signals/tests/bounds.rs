//! What is tiny on the wire is bounded in number: a body must not become a hundred times as large in memory.

use super::*;

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    wild::tag(number, 2, &mut field);
    wild::varint(content.len() as u64, &mut field);
    field.extend_from_slice(content);
    field
}

/// `content` within fields of these numbers, the innermost first.
fn within(numbers: &[u32], content: Vec<u8>) -> Vec<u8> {
    numbers.iter().fold(content, |inner, number| field(*number, &inner))
}

fn check(signal: Signal, encoding: Encoding, body: &[u8], what: &str) {
    let error = decode(signal, encoding, body, &all_keys()).err().unwrap_or_else(|| panic!("{what} were taken"));
    assert!(error.reason.contains("send fewer at once"), "{what}: {error}");
}

/// What, of which signal; one of it, and the numbers of the fields around it; the text around it in JSON.
type Messages = (&'static str, Signal, Vec<u8>, &'static [u32], &'static str, &'static str);

/// What; one of it, and the numbers of the fields around it; and in JSON the text before it, one of it, and the text behind.
type Values = (&'static str, Vec<u8>, &'static [u32], &'static str, &'static str, &'static str);

#[test]
fn more_messages_than_the_bound_are_refused_wherever_they_stand() {
    let rows: [Messages; 5] = [
        ("resources", Signal::Logs, field(1, b""), &[], r#"{"resourceLogs":["#, "]}"),
        ("scopes", Signal::Logs, field(2, b""), &[1], r#"{"resourceLogs":[{"scopeLogs":["#, "]}]}"),
        ("log records", Signal::Logs, field(2, b""), &[2, 1], r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":["#, "]}]}]}"),
        ("spans", Signal::Traces, field(2, b""), &[2, 1], r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#, "]}]}]}"),
        // With data, or they are not kept.
        (
            "metrics",
            Signal::Metrics,
            field(2, &field(5, b"")),
            &[2, 1],
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":["#,
            "]}]}]}",
        ),
    ];
    for (what, signal, one, around, open, close) in rows {
        check(signal, Encoding::Protobuf, &within(around, one.repeat(MAX_RECORDS + 1)), what);
        let one = if what == "metrics" { "{\"gauge\":{}}," } else { "{}," };
        let many = one.repeat(MAX_RECORDS + 1);
        check(signal, Encoding::Json, format!("{open}{}{close}", many.trim_end_matches(',')).as_bytes(), what);
    }
}

#[test]
fn more_values_than_the_bound_are_refused_wherever_they_stand() {
    // A resource's attribute is field 1 of it, which is field 1 of its records; an attribute's value is field 2 of it.
    let attribute = [1, 1, 1];
    let rows: [Values; 3] = [
        ("attributes", field(1, b""), &[1, 1], "", "{},", ""),
        ("elements", field(1, b""), &[5, 2], r#"{"value":{"arrayValue":{"values":["#, "{},", "]}}}"),
        ("entries", field(1, b""), &[6, 2], r#"{"value":{"kvlistValue":{"values":["#, "{},", "]}}}"),
    ];
    for (what, one, around, open, json, close) in rows {
        let mut body = within(around, one.repeat(MAX_VALUES + 1));
        if what != "attributes" {
            body = within(&attribute, body);
        }
        check(Signal::Logs, Encoding::Protobuf, &body, what);
        let many = json.repeat(MAX_VALUES + 1);
        let body =
            format!(r#"{{"resourceLogs":[{{"resource":{{"attributes":[{open}{}{close}]}}}}]}}"#, many.trim_end_matches(','));
        check(Signal::Logs, Encoding::Json, body.as_bytes(), what);
    }
}
