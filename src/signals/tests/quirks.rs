//! What senders of JSON write, one row a quirk.

use super::*;

const IDS: &str = r#""traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331""#;

/// One span with these fields beside its ids.
fn span(fields: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{IDS},{fields}}}]}}]}}]}}"#)
}

/// One span with an attribute of this value.
fn attribute(value: &str) -> String {
    span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))
}

fn log(fields: &str) -> String {
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#)
}

/// Decodes as a receiver does, and shows what was read.
fn read(signal: Signal, body: &[u8], show: impl Fn(&Records<'_>) -> String) -> Result<String, String> {
    let keys = all_keys();
    let (mended, _) = json::mend(body);
    let records = decode(signal, Encoding::Json, &mended, &keys).map_err(|error| error.to_string())?;
    Ok(show(&records))
}

fn one_span(records: &Records<'_>) -> String {
    match (&records.spans[..], &records.rejected) {
        ([span], None) => format!("{} {:?} {:?} {}..{}", span.name, span.kind, span.status, span.start.0, span.end.0),
        ([], Some(rejected)) => format!("rejected {}", rejected.count),
        other => format!("{other:?}"),
    }
}

fn value(records: &Records<'_>) -> String {
    let attributes = &records.attributes;
    let values = attributes.of(records.spans[0].attributes).iter().map(|attribute| format!("{:?}", attribute.value));
    values.collect::<Vec<_>>().join(" ")
}

#[test]
fn fields_of_a_span_are_read_as_senders_write_them() {
    for (fields, expected) in [
        (r#""name":"n","kind":2"#, "n Server Unset 0..0"),
        (r#""kind":"SPAN_KIND_SERVER""#, " Server Unset 0..0"),
        (r#""kind":"server""#, " Server Unset 0..0"),
        (r#""kind":"Consumer""#, " Consumer Unset 0..0"),
        (r#""kind":"2""#, " Server Unset 0..0"),
        (r#""kind":2.0"#, " Server Unset 0..0"),
        (r#""kind":"SPAN_KIND_OF_TOMORROW""#, " Unspecified Unset 0..0"),
        (r#""kind":99"#, " Unspecified Unset 0..0"),
        (r#""kind":null"#, " Unspecified Unset 0..0"),
        (r#""status":{"code":"STATUS_CODE_ERROR"}"#, " Unspecified Error 0..0"),
        (r#""status":{"code":"error"}"#, " Unspecified Error 0..0"),
        (r#""status":{}"#, " Unspecified Unset 0..0"),
        (r#""status":null"#, " Unspecified Unset 0..0"),
        (
            r#""startTimeUnixNano":"1700000000000000001","endTimeUnixNano":1700000000000000002"#,
            " Unspecified Unset 1700000000000000001..1700000000000000002",
        ),
        (r#""startTimeUnixNano":1.7e18"#, " Unspecified Unset 1700000000000000000..0"),
        (r#""startTimeUnixNano":"1.7e18""#, " Unspecified Unset 1700000000000000000..0"),
        (r#""startTimeUnixNano":"1700000000123456789.0""#, " Unspecified Unset 1700000000123456789..0"),
        (r#""startTimeUnixNano":"18446744073709551615""#, " Unspecified Unset 18446744073709551615..0"),
        (r#""start_time_unix_nano":"5","end_time_unix_nano":6"#, " Unspecified Unset 5..6"),
        (r#""name":"first","name":"last""#, "last Unspecified Unset 0..0"),
        (r#""name":"a\u00e9\ud83d\ude00\n""#, "aé😀\n Unspecified Unset 0..0"),
        (r#""name":"cut \ud83d""#, "cut \u{fffd} Unspecified Unset 0..0"),
        (r#""name":"n","unknown":{"deep":[[[{}]]]},"droppedLinksCount":null"#, "n Unspecified Unset 0..0"),
        (r#""links":[{"traceId":"zz"}],"flags":257,"traceState":"a=b","name":"n""#, "n Unspecified Unset 0..0"),
        (r#""traceId":"0AF7651916CD43DD8448EB211C80319C","name":"capital""#, "capital Unspecified Unset 0..0"),
        (r#""traceId":"00000000000000000000000000000000""#, "rejected 1"),
        (r#""traceId":"0af7""#, "rejected 1"),
        (r#""spanId":"not hexadecimal!""#, "rejected 1"),
        (r#""spanId":null"#, "rejected 1"),
    ] {
        assert_eq!(read(Signal::Traces, span(fields).as_bytes(), one_span).as_deref(), Ok(expected), "{fields}");
    }
}

#[test]
fn values_are_read_as_senders_write_them() {
    for (json, expected) in [
        (r#"{"stringValue":"x"}"#, r#"Str("x")"#),
        (r#"{"string_value":"x"}"#, r#"Str("x")"#),
        (r#"{"intValue":"7"}"#, "Int(7)"),
        (r#"{"intValue":7}"#, "Int(7)"),
        (r#"{"intValue":7.0}"#, "Int(7)"),
        (r#"{"intValue":"-9223372036854775808"}"#, "Int(-9223372036854775808)"),
        (r#"{"intValue":9007199254740993}"#, "Int(9007199254740993)"),
        (r#"{"doubleValue":1}"#, "Double(1.0)"),
        (r#"{"doubleValue":"1.5"}"#, "Double(1.5)"),
        (r#"{"doubleValue":0.30000000000000004}"#, "Double(0.30000000000000004)"),
        (r#"{"doubleValue":1.7976931348623157e308}"#, "Double(1.7976931348623157e308)"),
        (r#"{"doubleValue":5e-324}"#, "Double(5e-324)"),
        (r#"{"doubleValue":"NaN"}"#, "Double(NaN)"),
        (r#"{"doubleValue":"Infinity"}"#, "Double(inf)"),
        (r#"{"doubleValue":"-Infinity"}"#, "Double(-inf)"),
        (r#"{"boolValue":true}"#, "Bool(true)"),
        (r#"{"boolValue":"false"}"#, "Bool(false)"),
        (r#"{"bytesValue":"+/8="}"#, "Bytes([251, 255])"),
        (r#"{"bytesValue":"-_8"}"#, "Bytes([251, 255])"),
        (r#"{"stringValue":null}"#, "Empty"),
        (r#"{"stringValue":"x","intValue":null}"#, r#"Str("x")"#),
        ("{}", "Empty"),
        ("null", "Empty"),
    ] {
        assert_eq!(read(Signal::Traces, attribute(json).as_bytes(), value).as_deref(), Ok(expected), "{json}");
    }
}

#[test]
fn a_log_record_is_read_as_senders_write_it() {
    for (fields, expected) in [
        (r#""severityNumber":17"#, "17 None"),
        (r#""severityNumber":"SEVERITY_NUMBER_ERROR""#, "17 None"),
        (r#""severityNumber":"error2","severity_text":"E""#, "18 None"),
        (r#""traceId":"","spanId":"""#, "0 None"),
        (r#""traceId":"0AF7651916CD43DD8448EB211C80319C""#, "0 Some(0af7651916cd43dd8448eb211c80319c)"),
        (r#""traceId":"short""#, "0 None"),
        (r#""body":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[null,{}]}}}]}}"#, "0 None"),
    ] {
        let show = |records: &Records<'_>| format!("{} {:?}", records.logs[0].severity, records.logs[0].trace_id);
        assert_eq!(read(Signal::Logs, log(fields).as_bytes(), show).as_deref(), Ok(expected), "{fields}");
    }
}

#[test]
fn what_stands_around_a_request_does_not_matter_if_it_is_nothing() {
    let body = span(r#""name":"n""#);
    for (around, expected) in [
        (format!("\u{feff}{body}"), Ok("n Unspecified Unset 0..0")),
        (format!(" \r\n\t{body}\n\n"), Ok("n Unspecified Unset 0..0")),
        (format!("{body}x"), Err("trailing characters")),
        (format!("{body}{body}"), Err("trailing characters")),
        (format!("[{body}]"), Err("expected an object (the request) or null")),
        (String::new(), Err("EOF")),
        ("\"resourceSpans\"".to_owned(), Err("expected an object (the request) or null")),
        (r#"{"resourceSpans":{}}"#.to_owned(), Err("expected an array (resources) or null")),
    ] {
        match (read(Signal::Traces, around.as_bytes(), one_span), expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{around}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected) && error.contains("line"), "{around}: {error}"),
            (came, expected) => panic!("{around}: {came:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn requests_that_say_nothing_are_empty() {
    for body in [
        "{}",
        "null",
        r#"{"resourceSpans":[]}"#,
        r#"{"resourceSpans":null}"#,
        r#"{"resourceSpans":[{},null,{"scopeSpans":[null,{"spans":[null]}]}]}"#,
    ] {
        let show = |records: &Records<'_>| format!("{} of {}", records.len(), records.received);
        assert_eq!(read(Signal::Traces, body.as_bytes(), show).as_deref(), Ok("0 of 0"), "{body}");
    }
}

#[test]
fn a_value_that_no_type_has_names_the_place_and_what_was_expected() {
    for (json, expected) in [
        (r#"{"intValue":"seven"}"#, "expected a whole number from -2^63 to 2^63 - 1, its text or null"),
        (r#"{"intValue":1.5}"#, "expected a whole number from -2^63 to 2^63 - 1"),
        (r#"{"intValue":"9223372036854775808"}"#, "expected a whole number from -2^63 to 2^63 - 1"),
        (r#"{"bytesValue":"!"}"#, "expected base64"),
        (r#"{"stringValue":7}"#, "expected a string or null"),
        (r#"{"arrayValue":[]}"#, "expected an object"),
        (r#""bare""#, "expected an object (AnyValue) or null"),
    ] {
        let error = read(Signal::Traces, attribute(json).as_bytes(), value).unwrap_err();
        assert!(error.contains(expected) && error.contains("line 1 column"), "{json}: {error}");
    }
}
