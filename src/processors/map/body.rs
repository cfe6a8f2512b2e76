//! What the body of a log tells of an error: text, a map, or a map that a logger or a runtime wrote as one line of JSON.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::signals::Value;
use crate::signals::attributes::Attributes;

/// A longer body is text and is not read as JSON.
const MAX_JSON_BYTES: usize = 256 << 10;

/// How many lines after the first may stand before the first frame.
const MAX_LINES_TO_FRAMES: usize = 3;

/// The parts of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body<'r> {
    pub error_type: Option<Cow<'r, str>>,
    pub message: Option<Cow<'r, str>>,
    pub stack: Option<Cow<'r, str>>,
}

pub fn read<'r>(attributes: &'r Attributes<'r>, body: &'r Value<'r>) -> Body<'r> {
    match body {
        Value::Str(text) => match json_map(after_lambdas_prefix(text)) {
            Some(map) => {
                let read = from_map(&Parsed(&map));
                let message = read.message.map(|message| Cow::Owned(message.into_owned()));
                Body {
                    error_type: read.error_type.map(|kind| Cow::Owned(kind.into_owned())),
                    message: message.or(Some(Cow::Borrowed(text.as_ref()))),
                    stack: read.stack.map(|stack| Cow::Owned(stack.into_owned())),
                }
            }
            None => from_text(text),
        },
        Value::Map(_) => {
            let read = from_map(&Sent { attributes, value: body });
            Body { message: read.message.or_else(|| body.as_str_text(attributes)), ..read }
        }
        value => Body { message: value.as_str_text(attributes), ..Body::default() },
    }
}

/// What Lambda's runtime for Node wrote as JSON when a handler failed, behind time, request id, level and words:
/// `2026-11-24T12:00:00.000Z\t8f50…\tERROR\tInvoke Error \t{"errorType":…}`. Any other text as it is.
fn after_lambdas_prefix(text: &str) -> &str {
    let mut parts = text.splitn(5, '\t');
    let [_time, _request, level, words, json] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let is_of_the_runtime = matches!(level, "ERROR" | "FATAL")
        && ["Invoke Error", "Uncaught Exception", "Unhandled Promise Rejection"].contains(&words.trim_end());
    if is_of_the_runtime { json } else { text }
}

fn json_map(text: &str) -> Option<Json> {
    let text = text.trim();
    if !text.starts_with('{') || !text.ends_with('}') || text.len() > MAX_JSON_BYTES {
        return None;
    }
    serde_json::from_str(text).ok().filter(Json::is_object)
}

/// A map, however it came.
trait Tree<'t>: Sized {
    fn entry(&self, key: &str) -> Option<Self>;
    fn text(&self) -> Option<Cow<'t, str>>;
    fn is_map(&self) -> bool;
    /// The elements of an array as lines.
    fn lines(&self) -> Option<Cow<'t, str>>;
}

struct Sent<'r> {
    attributes: &'r Attributes<'r>,
    value: &'r Value<'r>,
}

struct Parsed<'j>(&'j Json);

impl<'r> Tree<'r> for Sent<'r> {
    fn entry(&self, key: &str) -> Option<Self> {
        let value = self.value.entry(self.attributes, key)?;
        Some(Sent { attributes: self.attributes, value })
    }

    fn text(&self) -> Option<Cow<'r, str>> {
        match self.value {
            Value::Str(text) if !text.is_empty() => Some(Cow::Borrowed(text.as_ref())),
            _ => None,
        }
    }

    fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    fn lines(&self) -> Option<Cow<'r, str>> {
        let Value::Array(_) = self.value else { return None };
        let lines: Vec<&str> = self.value.elements(self.attributes).iter().filter_map(Value::as_str).collect();
        (!lines.is_empty()).then(|| Cow::Owned(lines.join("\n")))
    }
}

impl<'j> Tree<'j> for Parsed<'j> {
    fn entry(&self, key: &str) -> Option<Self> {
        self.0.get(key).map(Parsed)
    }

    fn text(&self) -> Option<Cow<'j, str>> {
        self.0.as_str().filter(|text| !text.is_empty()).map(Cow::Borrowed)
    }

    fn is_map(&self) -> bool {
        self.0.is_object()
    }

    fn lines(&self) -> Option<Cow<'j, str>> {
        let lines: Vec<&str> = self.0.as_array()?.iter().filter_map(Json::as_str).collect();
        (!lines.is_empty()).then(|| Cow::Owned(lines.join("\n")))
    }
}

/// Reads the maps of Lambda's runtimes (`errorType`, `errorMessage`, `stackTrace`; also below `message`), of Powertools and pino
/// (`error` or `err` with `name`, `message`, `stack`) and of plain structured loggers (`message`, `msg`).
fn from_map<'t, T: Tree<'t>>(map: &T) -> Body<'t> {
    let text = |map: &T, keys: &[&str]| keys.iter().find_map(|key| map.entry(key)?.text());
    let stack = |map: &T| {
        ["stack", "stackTrace", "stack_trace"].iter().find_map(|key| {
            let stack = map.entry(key)?;
            stack.text().or_else(|| stack.lines())
        })
    };
    let inner = ["error", "err", "message"].iter().find_map(|key| map.entry(key).filter(T::is_map));
    let error_type =
        inner.as_ref().and_then(|error| text(error, &["name", "type", "errorType"])).or_else(|| text(map, &["errorType"]));
    let message = text(map, &["message", "msg"])
        .or_else(|| text(map, &["errorMessage"]))
        .or_else(|| inner.as_ref().and_then(|error| text(error, &["message", "errorMessage"])));
    let stack = stack(map).or_else(|| inner.as_ref().and_then(stack));
    Body { error_type, message, stack }
}

/// A text may be a stack trace with its error in the first line, or, in Python, in the last.
fn from_text(text: &str) -> Body<'_> {
    if text.is_empty() {
        return Body::default();
    }
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let first = first.trim_end();
    let has_frames = rest.lines().take(MAX_LINES_TO_FRAMES).any(is_frame);
    let headline = if has_frames && first.starts_with("Traceback (most recent call last)") {
        rest.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(first)
    } else {
        first
    };
    let (error_type, message) = split_headline(headline);
    if !has_frames {
        return Body { error_type: error_type.map(Cow::Borrowed), message: Some(Cow::Borrowed(text)), stack: None };
    }
    Body {
        error_type: error_type.map(Cow::Borrowed),
        message: Some(Cow::Borrowed(if error_type.is_some() { message } else { headline })),
        stack: Some(Cow::Borrowed(text)),
    }
}

/// `TypeError: x is not a function` as type and message; the prefixes of runtimes are passed over.
fn split_headline(line: &str) -> (Option<&str>, &str) {
    let mut line = line.trim();
    for prefix in ["[ERROR] ", "Uncaught ", "Unhandled exception. "] {
        line = line.strip_prefix(prefix).unwrap_or(line);
    }
    let (head, message) = line.split_once(':').map_or((line, ""), |(head, message)| (head, message.trim_start()));
    let names_an_error = ["Error", "Exception"].iter().any(|ending| head.ends_with(ending));
    let is_name = head.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '$'));
    if names_an_error && is_name { (Some(head), message) } else { (None, line) }
}

/// Whether a line looks like a frame of a stack trace: JavaScript, Java and .NET (`at f`), Python (`File "…"`), Go (`\t/x.go:1`),
/// Ruby (`from x.rb:1`), PHP (`#0 x`), Rust (`0: x`).
fn is_frame(line: &str) -> bool {
    let text = line.trim_start();
    let is_indented = text.len() < line.len();
    let numbered = |mark: char| {
        text.trim_start_matches('#')
            .split_once(mark)
            .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    text.starts_with("at ")
        || text.starts_with("File \"")
        || (text.starts_with("from ") && text.contains(".rb:"))
        || (text.starts_with('#') && numbered(' '))
        || (is_indented && (text.contains(".go:") || numbered(':')))
        || text.starts_with("goroutine ")
        || text == "Traceback (most recent call last):"
}
