//! The text form of a value: JSON for arrays and maps, base64 for bytes.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Value;
use crate::signals::attributes::Attributes;

/// The most bytes that the JSON of an array or a map takes; longer ones are cut at a character, and are no valid JSON then. It is above
/// every cap of a column, so that nothing is lost that would be kept.
pub const MAX_BYTES: usize = 512 * 1024;

/// The text of any value but [`Value::Empty`], which is `null`. Linear in the value, and no longer than [`MAX_BYTES`] if it is nested.
pub fn of(value: &Value<'_>, attributes: &Attributes<'_>) -> String {
    let mut out = String::new();
    match value {
        Value::Array(_) | Value::Map(_) => {
            nested(&mut out, value, attributes);
            out.truncate(out.floor_char_boundary(MAX_BYTES));
        }
        value => scalar(&mut out, value),
    }
    out
}

/// Stops past the limit, at the next element: the depth is bounded by the decoders, the time and the text here.
fn nested(out: &mut String, value: &Value<'_>, attributes: &Attributes<'_>) {
    match value {
        Value::Str(text) => quoted(out, text),
        Value::Bytes(_) => {
            out.push('"');
            scalar(out, value);
            out.push('"');
        }
        Value::Double(number) if !number.is_finite() => {
            out.push('"');
            scalar(out, value);
            out.push('"');
        }
        Value::Array(_) => {
            out.push('[');
            for (index, element) in value.elements(attributes).iter().enumerate() {
                if out.len() > MAX_BYTES {
                    return;
                }
                if index > 0 {
                    out.push(',');
                }
                nested(out, element, attributes);
            }
            out.push(']');
        }
        Value::Map(_) => {
            out.push('{');
            for (index, (key, element)) in value.entries(attributes).iter().enumerate() {
                if out.len() > MAX_BYTES {
                    return;
                }
                if index > 0 {
                    out.push(',');
                }
                quoted(out, key);
                out.push(':');
                nested(out, element, attributes);
            }
            out.push('}');
        }
        value => scalar(out, value),
    }
}

// Writing to a `String` cannot fail, so that the results of `write!` say nothing.

fn scalar(out: &mut String, value: &Value<'_>) {
    let _ = match value {
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Int(number) => write!(out, "{number}"),
        Value::Double(number) if number.is_nan() => out.write_str("NaN"),
        Value::Double(number) if number.is_infinite() => out.write_str(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Double(number) => write!(out, "{number}"),
        Value::Str(text) => out.write_str(text),
        Value::Bytes(bytes) => {
            STANDARD.encode_string(bytes, out);
            Ok(())
        }
        Value::Empty | Value::Array(_) | Value::Map(_) => out.write_str("null"),
    };
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        let _ = match character {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            control if u32::from(control) < 0x20 => write!(out, "\\u{:04x}", u32::from(control)),
            plain => out.write_char(plain),
        };
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::signals::Slice;
    use crate::signals::attributes::Keys;

    fn string(text: &str) -> Value<'_> {
        Value::Str(Cow::Borrowed(text))
    }

    #[test]
    fn arrays_and_maps_become_json_and_bytes_base64() {
        let keys = Keys::default();
        let mut attributes = Attributes::new(&keys);
        attributes.items = vec![
            Value::Int(1),
            string("a\"\\\n\u{1}é"),
            Value::Empty,
            Value::Map(Slice { start: 0, len: 2 }),
            Value::Double(f64::NEG_INFINITY),
        ];
        attributes.entries =
            vec![(Cow::Borrowed("k"), Value::Bytes(Cow::Borrowed(b"\xff\xfe"))), (Cow::Borrowed("d"), Value::Double(0.5))];
        let text = Value::Array(Slice { start: 0, len: 5 }).as_str_text(&attributes).unwrap().into_owned();
        assert_eq!(text, r#"[1,"a\"\\\n\u0001é",null,{"k":"//4=","d":0.5},"-Infinity"]"#);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert_eq!(Value::Bytes(Cow::Borrowed(b"\xff\xfe")).as_str_text(&attributes).unwrap(), "//4=");
        assert_eq!(Value::Empty.as_str_text(&attributes), None);
    }

    #[test]
    fn a_long_array_is_cut_at_the_limit() {
        let keys = Keys::default();
        let mut attributes = Attributes::new(&keys);
        let word = "é".repeat(1_000);
        attributes.items = vec![string(&word); 10_000];
        let text = Value::Array(Slice { start: 0, len: 10_000 }).as_str_text(&attributes).unwrap().into_owned();
        assert!((MAX_BYTES - 4..=MAX_BYTES).contains(&text.len()), "{}", text.len());
    }
}
