//! floe's decoders beside prost: the same body must say the same to both, in protobuf and in JSON. For tests and fuzzing only.
//!
//! | file | what it holds |
//! |---|---|
//! | [`oracle`] | what prost makes of a body, and what floe's records say, in the same words |
//! | [`render`] | a request as JSON, in the ways in which senders differ |
//! | [`wild`] | valid requests as only a machine would write them |

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    missing_debug_implementations,
    reason = "a difference is a find, and a find is a panic"
)]

pub mod oracle;
pub mod render;
pub mod wild;

use self::oracle::{Counts, Request, rebuilt};
use self::render::Manner;
use self::wild::Choices;
use super::attributes::Keys;
use super::{Encoding, Records, Signal, decode};

pub fn all_keys() -> Keys {
    let mut keys = Keys::default();
    keys.intern("service.name");
    keys.intern("k");
    keys.keep_all();
    keys
}

fn counts(records: &Records<'_>) -> Counts {
    Counts { received: records.received, rejected: records.rejected.as_ref().map_or(0, |rejected| rejected.count) }
}

/// Decoded records say exactly what prost says of the same body, less what the projection drops.
pub fn check_body(signal: Signal, encoding: Encoding, body: &[u8], keys: &Keys, oracle: &Request) {
    let records =
        decode(signal, encoding, body, keys).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)));
    let (expected, expected_counts) = oracle.clone().kept(|key| keys.keeps_all() || keys.find(key).is_some());
    assert_eq!(rebuilt(&records), expected);
    assert_eq!(counts(&records), expected_counts);
    assert_eq!(records.mended, 0);
    assert!(records.is_empty() == (records.received == expected_counts.rejected));
}

/// A request made of `choices`, in protobuf and every manner of JSON, with all keys and with some.
pub fn check_wild(signal: Signal, choices: &[u8]) {
    let body = wild::body(signal, &mut Choices(choices));
    let oracle = Request::decode(signal, &body).expect("the generator writes valid protobuf");
    let mut some_keys = Keys::default();
    for key in ["faas.name", "http.request.header.x-forwarded-for", "ключ", ""] {
        some_keys.intern(key);
    }
    for keys in [&all_keys(), &some_keys] {
        check_body(signal, Encoding::Protobuf, &body, keys, &oracle);
        for manner in Manner::ALL {
            let json = manner.body(&oracle);
            check_body(signal, Encoding::Json, json.as_bytes(), keys, &oracle);
        }
    }
}

/// Whether prost's path to a fault, such as `Link.trace_id: Span.links: …`, leads through a field that floe passes over.
fn is_within_unread(reason: &str) -> bool {
    const UNREAD: [&str; 13] = [
        "schema_url",
        "dropped_attributes_count",
        "dropped_events_count",
        "dropped_links_count",
        "trace_state",
        "links",
        "Span.flags",
        "LogRecord.flags",
        "entity_refs",
        "metadata",
        "key_strindex",
        "HistogramDataPoint.min",
        "HistogramDataPoint.max",
    ];
    let unread = |step: &str| UNREAD.iter().any(|field| step.ends_with(field) || step.starts_with(field));
    reason.split(": ").any(unread)
}

/// Any body: both take it and say the same, or both refuse it, with exceptions that are listed here.
pub fn check_protobuf(signal: Signal, body: &[u8]) {
    let keys = all_keys();
    match (decode(signal, Encoding::Protobuf, body, &keys), Request::decode(signal, body)) {
        // prost refuses the whole body for one string that is not UTF-8, and for what is wrong in fields that no record keeps; and its
        // depth is counted in messages.
        (Ok(records), Err(error)) => {
            let reason = error.to_string();
            let allowed =
                reason.contains("invalid string value") || reason.contains("recursion limit") || is_within_unread(&reason);
            assert!(allowed || records.mended > 0, "taken, though prost says: {reason}");
        }
        (Ok(records), Ok(_)) if records.too_deep > 0 => {}
        (Ok(records), Ok(oracle)) => {
            let (expected, expected_counts) = oracle.kept(|_| true);
            assert_eq!(rebuilt(&records), expected);
            assert_eq!(counts(&records), expected_counts);
        }
        // Groups nest to a bound of ours, a request has bounds of what it holds, and a metric has data of one kind.
        (Err(error), Ok(_)) => {
            let bounds = ["nest deeper", "send fewer at once", "two kinds"];
            assert!(bounds.iter().any(|bound| error.reason.contains(bound)), "refused, though prost takes it: {error}");
        }
        (Err(_), Err(_)) => {}
    }
}
