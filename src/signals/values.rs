//! `AnyValue` as it lies in a request, and the lenient readings that the mapping needs.
//!
//! Senders write the same thing in many types: `200`, `"200"` and `200.0`. A reading takes whatever means the type it is asked
//! for and nothing else; it never guesses.

mod text;

use std::borrow::Cow;

use super::attributes::{Attributes, Slice};

/// How deep values may nest: 1 is the value of an attribute, 2 an element of it. Both decoders refuse a deeper request.
pub const MAX_DEPTH: u32 = 64;

/// One value. Arrays and maps are runs of the request's nested values (see `Attributes`), bounded in depth by the decoders.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// No value was set (`{}` or null in JSON).
    #[default]
    Empty,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// A run of `Attributes::items`.
    Array(Slice),
    /// A run of `Attributes::entries`.
    Map(Slice),
}

impl<'a> Value<'a> {
    /// The text, if the value is a string.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The value as text, whatever it is; `None` for [`Value::Empty`]. Arrays and maps become JSON, cut at [`text::MAX_BYTES`]; bytes become
    /// base64; numbers are in decimal, with `NaN`, `Infinity` and `-Infinity` for those that have no digits.
    pub fn as_str_text<'v>(&'v self, attributes: &'v Attributes<'a>) -> Option<Cow<'v, str>> {
        match self {
            Value::Empty => None,
            Value::Str(text) => Some(Cow::Borrowed(text)),
            Value::Bool(true) => Some(Cow::Borrowed("true")),
            Value::Bool(false) => Some(Cow::Borrowed("false")),
            value => Some(Cow::Owned(text::of(value, attributes))),
        }
    }

    /// The whole number: an integer, a double without a fraction, or their decimal text.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Double(number) => whole(*number),
            Value::Str(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
            }
            _ => None,
        }
    }

    /// The finite number: an integer, a double, or their decimal text.
    pub fn as_f64(&self) -> Option<f64> {
        let number = match self {
            #[allow(clippy::cast_precision_loss, reason = "a double is what is asked for; past 2^53 it is the nearest one")]
            Value::Int(number) => *number as f64,
            Value::Double(number) => *number,
            Value::Str(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// Whether the value is a number, or the text of one, of any size; NaN and the infinities are numbers too.
    pub fn is_number(&self) -> bool {
        match self {
            Value::Int(_) | Value::Double(_) => true,
            Value::Str(text) => text.trim().parse::<f64>().is_ok(),
            _ => false,
        }
    }

    /// The truth value: a bool, `true` or `false` as text in any case, or 0 or 1 as a number or text.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            Value::Str(text) => match text.trim() {
                "1" => Some(true),
                "0" => Some(false),
                text if text.eq_ignore_ascii_case("true") => Some(true),
                text if text.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            },
            number => match number.as_i64()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
        }
    }

    /// The elements of an array, and a value that is none as its own only element; nothing for [`Value::Empty`].
    pub fn elements<'v>(&'v self, attributes: &'v Attributes<'a>) -> &'v [Value<'a>] {
        match self {
            Value::Empty => &[],
            Value::Array(run) => attributes.items.get(run.range()).unwrap_or(&[]),
            single => std::slice::from_ref(single),
        }
    }

    /// The text of each of the [`elements`](Self::elements) that has one. HTTP headers are such lists.
    pub fn strings<'v>(&'v self, attributes: &'v Attributes<'a>) -> impl Iterator<Item = Cow<'v, str>> {
        self.elements(attributes).iter().filter_map(|element| element.as_str_text(attributes))
    }

    /// The entries of a map, in the order of the request; nothing for any other value.
    pub fn entries<'v>(&self, attributes: &'v Attributes<'a>) -> &'v [(Cow<'a, str>, Value<'a>)] {
        match self {
            Value::Map(run) => attributes.entries.get(run.range()).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// The first value of this name in a map.
    pub fn entry<'v>(&self, attributes: &'v Attributes<'a>, name: &str) -> Option<&'v Value<'a>> {
        self.entries(attributes).iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// The integer that the double is, if it is one and fits.
fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2⁶³, the first that does not fit
    #[allow(clippy::cast_possible_truncation, reason = "in range and without a fraction")]
    (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Str(Cow::Borrowed(text))
    }

    #[test]
    fn a_whole_number_is_read_from_any_type_that_says_it() {
        let check = |value: Value<'_>, expected| assert_eq!(value.as_i64(), expected, "{value:?}");
        check(Value::Int(200), Some(200));
        check(Value::Double(200.0), Some(200));
        check(text(" 200 "), Some(200));
        check(text("2e2"), Some(200));
        check(text("-9223372036854775808"), Some(i64::MIN));
        check(Value::Double(200.5), None);
        check(Value::Double(9.3e18), None);
        check(Value::Double(f64::NAN), None);
        check(text("200 OK"), None);
        check(text(""), None);
        check(Value::Bool(true), None);
        check(Value::Empty, None);
    }

    #[test]
    fn a_number_is_finite() {
        let check = |value: Value<'_>, expected| assert_eq!(value.as_f64(), expected, "{value:?}");
        check(Value::Int(-3), Some(-3.0));
        check(text("1.5"), Some(1.5));
        check(text("inf"), None);
        check(text("NaN"), None);
        check(Value::Double(f64::INFINITY), None);
    }

    #[test]
    fn a_truth_is_read_from_any_type_that_says_it() {
        let check = |value: Value<'_>, expected| assert_eq!(value.as_bool(), expected, "{value:?}");
        check(Value::Bool(false), Some(false));
        check(text("TRUE"), Some(true));
        check(text("False"), Some(false));
        check(text("1"), Some(true));
        check(Value::Int(0), Some(false));
        check(Value::Double(1.0), Some(true));
        check(Value::Int(2), None);
        check(text("yes"), None);
        check(Value::Empty, None);
    }
}
