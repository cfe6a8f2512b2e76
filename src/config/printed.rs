//! A configuration as YAML that is read again to the same effect: block maps, lists of scalars in one line, a dollar sign doubled.

use std::fmt::Write as _;

use serde_json::Value;

/// The YAML of a value, indented by `indent` spaces; ends with a line break.
pub fn yaml(value: &Value, indent: usize) -> String {
    let mut out = String::new();
    block(&mut out, value, indent);
    out
}

/// A map or list on lines of its own.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let _ = write!(out, "{:indent$}{}:", "", text(key, false));
                behind(out, value, indent + 2);
            }
        }
        Value::Array(values) => {
            for value in values {
                let _ = write!(out, "{:indent$}-", "");
                behind(out, value, indent + 2);
            }
        }
        scalar => {
            let _ = writeln!(out, "{:indent$}{}", "", inline(scalar));
        }
    }
}

/// What stands behind a colon or a dash: in the same line where it fits.
fn behind(out: &mut String, value: &Value, indent: usize) {
    if is_inline(value) {
        let _ = writeln!(out, " {}", inline(value));
    } else {
        out.push('\n');
        block(out, value, indent);
    }
}

fn is_inline(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.is_empty(),
        Value::Array(values) => values.iter().all(|value| !value.is_object() && !value.is_array()),
        _ => true,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(string) => text(string, true),
        Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// Plain where it cannot be taken for anything else, else in quotes as JSON has them, which YAML reads. A key holds no references.
fn text(text: &str, references: bool) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-/.".contains(c));
    let number = text.chars().next().is_some_and(|c| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == ':')
        && !text.ends_with(':');
    let taken = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    let typed = text.parse::<f64>().is_ok() || text.starts_with("0x") || text.starts_with("0o");
    if (word || number) && !taken && !typed {
        return text.to_owned();
    }
    let text = if references { text.replace('$', "$$") } else { text.to_owned() };
    Value::String(text).to_string()
}
