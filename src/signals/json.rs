//! The OTLP/JSON decoder: visitors that write straight into records, text borrowed from the body where it has no escapes.
//!
//! Rules (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding", and protobuf's "ProtoJSON Format"):
//!
//! | what | how it is read |
//! |---|---|
//! | names | lowerCamelCase, or as in the `.proto` file; unknown ones are skipped, however deep |
//! | ids | hexadecimal of either case; a span without valid ids is rejected by itself |
//! | enums | numbers, or names of any case with or without their prefix; an unknown name is 0 |
//! | numbers of 64 bits | numbers or text, also `1.7e18`; a fraction is refused |
//! | doubles | numbers or text, `NaN`, `Infinity`, `-Infinity`, also without their quotes ([`quote_bare_numbers`]) |
//! | bytes | base64 of either alphabet, padded or not |
//! | null | absent, wherever it stands; `{}` is a value without content |
//! | a field that occurs twice | the last one counts, lists grow |
//! | text that is not UTF-8, half a surrogate pair | U+FFFD, counted ([`mend`](mod@mend)) |
//! | a byte order mark before the body | skipped |
//!
//! | file | what it holds |
//! |---|---|
//! | [`fields`] | objects, lists and scalars: how a message is read field by field |
//! | [`embedded`] | attributes and values |
//! | [`layout`] | resources and scopes |
//! | [`traces`], [`logs`], [`metrics`] | one record each |
//! | [`mend`](mod@mend) | bodies that are not UTF-8 |
//!
//! Invariants: no input overflows the stack (values nest to a bound, what is skipped is skipped without recursion); a reason names
//! fields, types, line and column, never a value.

mod embedded;
mod fields;
mod layout;
mod logs;
mod mend;
mod metrics;
mod traces;

use serde::de::DeserializeSeed;
use serde_json::error::Category;

use self::embedded::Context;
use self::fields::One;
use self::layout::Request;
use super::attributes::Keys;
use super::{Encoding, Malformed, Records, Signal};

pub use self::mend::{mend, quote_bare_numbers};

/// Decodes the JSON form of an `ExportTraceServiceRequest`, `ExportLogsServiceRequest` or `ExportMetricsServiceRequest`.
///
/// # Errors
/// [`Malformed`] with line and column, and what was expected there.
pub fn decode<'a>(signal: Signal, body: &'a [u8], keys: &'a Keys) -> Result<Records<'a>, Malformed> {
    let malformed = |reason| Malformed { signal, encoding: Encoding::Json, reason };
    if u32::try_from(body.len()).is_err() {
        return Err(malformed(format!("the body has {} bytes, expected at most {}", body.len(), u32::MAX)));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|error| malformed(format!("the body is not UTF-8 from byte {} on", error.valid_up_to())))?;
    let mut context = Context::new(Records::new(signal, keys));
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // Its bound counts levels of JSON, three or four a value; ours, in `embedded`, counts values.
    deserializer.disable_recursion_limit();
    One(&mut Request(&mut context))
        .deserialize(&mut deserializer)
        .and_then(|_| deserializer.end())
        .map_err(|error| malformed(reason(&error)))?;
    Ok(context.records)
}

/// What serde_json says, without the values it quotes: "invalid type: string "…", expected an object" keeps only what was expected.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match (error.classify(), message.rsplit_once(", expected ")) {
        (Category::Data, Some((found, expected))) if found.starts_with("invalid ") => format!("expected {expected}"),
        _ => message,
    }
}
