//! Objects, lists and scalars: how a message is read field by field.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A message of OTLP: it takes its fields one by one, in the order of the body.
pub trait Message<'a> {
    /// What a reason calls it.
    const NAME: &'static str;

    /// Reads the value of the field `name`, or [`skip`]s it.
    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error>;
}

/// Reads an object into a message. Says whether there was one: null is none.
#[derive(Debug)]
pub struct One<'m, M>(pub &'m mut M);

impl<'a, M: Message<'a>> DeserializeSeed<'a> for One<'_, M> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, M: Message<'a>> Visitor<'a> for One<'_, M> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({}) or null", M::NAME)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<F: MapAccess<'a>>(self, mut fields: F) -> Result<bool, F::Error> {
        while let Some(name) = fields.next_key_seed(Name)? {
            self.0.field(&camel_case(name), &mut fields)?;
        }
        Ok(true)
    }
}

/// `trace_id` as `traceId`: parsers take the name of the `.proto` file as well (protobuf, "ProtoJSON Format").
fn camel_case(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.contains('_') {
        return name;
    }
    let mut out = String::with_capacity(name.len());
    let mut capital = false;
    for c in name.chars() {
        if c == '_' {
            capital = true;
            continue;
        }
        out.push(if capital { c.to_ascii_uppercase() } else { c });
        capital = false;
    }
    Cow::Owned(out)
}

/// A repeated field: it takes its elements one by one.
pub trait List<'a> {
    /// What a reason calls it.
    const NAME: &'static str;

    /// Reads the next element; false where there is none.
    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error>;
}

/// Reads an array into a list; null is an empty one.
#[derive(Debug)]
pub struct Every<'m, L>(pub &'m mut L);

impl<'a, L: List<'a>> DeserializeSeed<'a> for Every<'_, L> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, L: List<'a>> Visitor<'a> for Every<'_, L> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array ({}) or null", L::NAME)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut elements: S) -> Result<(), S::Error> {
        while self.0.element(&mut elements)? {}
        Ok(())
    }
}

/// The name of a field: borrowed, unless it has escapes.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Cow<'a, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Any value of JSON that is no object and no array.
#[derive(Debug)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Double(f64),
    Text(Cow<'a, str>),
}

/// Reads a [`Scalar`].
#[derive(Clone, Copy, Debug)]
pub struct AnyScalar;

impl<'a> DeserializeSeed<'a> for AnyScalar {
    type Value = Scalar<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Scalar<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for AnyScalar {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, a boolean or null")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Signed(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Double(number))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
}

impl Scalar<'_> {
    /// A whole number of 64 bits or its text; a fraction of zero is none, and neither is an exponent.
    pub fn whole<N: TryFrom<i128>>(&self) -> Option<N> {
        let number = match self {
            Scalar::Signed(number) => i128::from(*number),
            Scalar::Unsigned(number) => i128::from(*number),
            Scalar::Double(number) => exact(*number)?,
            Scalar::Text(text) => {
                // `7.0` is 7, to the last digit: a double would round nanoseconds.
                let digits =
                    text.find('.').filter(|at| text[at + 1..].bytes().all(|byte| byte == b'0')).map_or(&**text, |at| &text[..at]);
                digits.parse().ok().or_else(|| text.parse().ok().and_then(exact))?
            }
            Scalar::Null | Scalar::Bool(_) => return None,
        };
        N::try_from(number).ok()
    }

    /// A number or its text, `NaN`, `Infinity` and `-Infinity` among them.
    #[allow(clippy::cast_precision_loss, reason = "JSON writes a double without a fraction as a whole number")]
    pub fn double(&self) -> Option<f64> {
        match self {
            Scalar::Signed(number) => Some(*number as f64),
            Scalar::Unsigned(number) => Some(*number as f64),
            Scalar::Double(number) => Some(*number),
            Scalar::Text(text) => text.parse().ok(),
            Scalar::Null | Scalar::Bool(_) => None,
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "without a fraction and below 2^64, so that it fits")]
fn exact(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 18_446_744_073_709_551_616.0).then_some(number as i128)
}

/// Skips the value of a field that no record keeps, however deep it is.
pub fn skip<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<(), F::Error> {
    fields.next_value::<IgnoredAny>().map(drop)
}

/// The value of the field just named, read as `read` does; `None` for null.
fn scalar<'a, F: MapAccess<'a>, T>(
    fields: &mut F,
    expected: &str,
    read: impl FnOnce(Scalar<'a>) -> Option<T>,
) -> Result<Option<T>, F::Error> {
    match fields.next_value_seed(AnyScalar)? {
        Scalar::Null => Ok(None),
        scalar => read(scalar).map(Some).ok_or_else(|| F::Error::custom(format_args!("expected {expected} or null"))),
    }
}

pub fn text<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<Cow<'a, str>>, F::Error> {
    scalar(fields, "a string", |scalar| match scalar {
        Scalar::Text(text) => Some(text),
        _ => None,
    })
}

pub fn boolean<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<bool>, F::Error> {
    scalar(fields, "true, false", |scalar| match scalar {
        Scalar::Bool(truth) => Some(truth),
        Scalar::Text(text) => text.parse().ok(),
        _ => None,
    })
}

pub fn uint64<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<u64>, F::Error> {
    scalar(fields, "a whole number from 0 to 2^64 - 1, its text", |scalar| scalar.whole())
}

pub fn int64<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<i64>, F::Error> {
    scalar(fields, "a whole number from -2^63 to 2^63 - 1, its text", |scalar| scalar.whole())
}

pub fn int32<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<i32>, F::Error> {
    scalar(fields, "a whole number from -2^31 to 2^31 - 1, its text", |scalar| scalar.whole())
}

pub fn uint32<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<u32>, F::Error> {
    scalar(fields, "a whole number from 0 to 2^32 - 1, its text", |scalar| scalar.whole())
}

pub fn double<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<f64>, F::Error> {
    scalar(fields, "a number, its text", |scalar| scalar.double())
}

/// The number of an enum: as it is, or its place in `names`, which are without the `prefix` that a sender may leave out. An unknown name is
/// a later version's, and reads as 0.
pub fn enumeration<'a, F: MapAccess<'a>>(fields: &mut F, prefix: &str, names: &[&str]) -> Result<Option<i32>, F::Error> {
    scalar(fields, "a number of the enum, its name", |scalar| {
        let Scalar::Text(name) = &scalar else { return scalar.whole() };
        if let Some(number) = scalar.whole() {
            return Some(number);
        }
        let name = name
            .split_at_checked(prefix.len())
            .filter(|(head, _)| head.eq_ignore_ascii_case(prefix))
            .map_or(&**name, |(_, name)| name);
        let place = names.iter().position(|known| known.eq_ignore_ascii_case(name));
        Some(place.and_then(|place| i32::try_from(place).ok()).unwrap_or(0))
    })
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);

/// Bytes in base64 of the standard or the URL alphabet, with or without padding.
pub fn bytes<'a, F: MapAccess<'a>>(fields: &mut F) -> Result<Option<Vec<u8>>, F::Error> {
    scalar(fields, "base64", |scalar| {
        let Scalar::Text(text) = scalar else { return None };
        let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
        GeneralPurpose::new(alphabet, LENIENT).decode(&*text).ok()
    })
}
