//! From a tree to the types of the configuration: a serde deserializer whose errors know their place.

use std::fmt::{self, Display};

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};

use super::{Key, Node, Scalar, Value};
use crate::config::error::did_you_mean;
use crate::config::place::{FIELDS, PLACED, Place};

/// What does not fit the types, at the innermost place that is known.
#[derive(Debug)]
pub(in crate::config) struct Misfit {
    pub place: Option<Place>,
    pub message: String,
}

impl Misfit {
    fn or_at(mut self, place: &Place) -> Misfit {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// Without what a reference stood for, which may be a secret at the wrong place.
    fn hiding(mut self, text: &str) -> Misfit {
        /// Shorter text is hidden between backticks only: it may well be a part of another word.
        const WORD: usize = 4;
        if let Some((expected, _)) = self.message.split_once(", found ") {
            self.message = format!("{expected}, found what its reference stands for, which is not shown");
        }
        if !text.is_empty() {
            self.message = self.message.replace(&format!("`{text}`"), "`…`");
        }
        if text.len() >= WORD {
            self.message = self.message.replace(text, "…");
        }
        self
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: Display>(message: T) -> Misfit {
        Misfit { place: None, message: message.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Misfit {
        let found = match found {
            Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
            Unexpected::Map => "a map".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Str(text) => format!("the text `{text}`"),
            Unexpected::Bool(truth) => format!("`{truth}`"),
            Unexpected::Unsigned(number) => format!("`{number}`"),
            Unexpected::Signed(number) => format!("`{number}`"),
            Unexpected::Float(number) => format!("`{number}`"),
            other => other.to_string(),
        };
        Misfit::custom(format_args!("expected {}, found {found}", words(&expected.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Misfit {
        Misfit::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Misfit {
        Misfit::custom(unknown("setting", field, expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Misfit {
        Misfit::custom(unknown("value", variant, expected))
    }

    fn missing_field(field: &'static str) -> Misfit {
        Misfit::custom(format_args!("missing setting `{field}`"))
    }
}

fn unknown(what: &str, name: &str, expected: &[&str]) -> String {
    if expected.is_empty() {
        return format!("unknown {what} `{name}`, expected none here");
    }
    format!("unknown {what} `{name}`, expected one of {}{}", expected.join(", "), did_you_mean(name, expected))
}

/// What serde calls a type, in words of the file.
fn words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" | "path string" => "text",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map of settings",
        other if other.starts_with("enum ") || other.starts_with("variant ") => "one of its values",
        other => other,
    }
}

impl Scalar {
    fn number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Misfit> {
        if let (true, Some(number)) = (self.plain || self.resolved, self.as_int()) {
            if let Ok(number) = u64::try_from(number) {
                return visitor.visit_u64(number);
            }
            if let Ok(number) = i64::try_from(number) {
                return visitor.visit_i64(number);
            }
        }
        match self.as_float().filter(|_| self.plain || self.resolved) {
            Some(number) => visitor.visit_f64(number),
            None => self.as_text(visitor),
        }
    }

    fn as_text<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Misfit> {
        if self.is_null() && !self.resolved { visitor.visit_unit() } else { visitor.visit_str(&self.text) }
    }

    /// By the core schema of YAML 1.2.
    fn any<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Misfit> {
        match self.as_bool() {
            _ if !self.plain => visitor.visit_str(&self.text),
            _ if self.is_null() => visitor.visit_unit(),
            Some(truth) => visitor.visit_bool(truth),
            None => self.number(visitor),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.scalar(visitor, |scalar, visitor| scalar.number(visitor))
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.scalar(visitor, |scalar, visitor| scalar.as_text(visitor))
        }
    )*};
}

impl Node {
    /// Lists and maps are what they are, whatever was asked for: the visitor says what it expected.
    fn scalar<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        read: impl FnOnce(&Scalar, V) -> Result<V::Value, Misfit>,
    ) -> Result<V::Value, Misfit> {
        match &self.value {
            Value::Scalar(scalar) => read(scalar, visitor).map_err(|misfit| misfit.or_at(&self.place)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Node { place, value } = self;
        let read = match value {
            Value::Scalar(scalar) => scalar.any(visitor),
            Value::List(nodes) => visitor.visit_seq(Items(nodes.into_iter())),
            Value::Map(entries) => visitor.visit_map(Entries { entries: entries.into_iter(), value: None }),
        };
        read.map_err(|misfit| misfit.or_at(&place))
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
    }

    texts! { deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.scalar(visitor, |scalar, visitor| match scalar.as_bool().filter(|_| scalar.plain || scalar.resolved) {
            Some(truth) => visitor.visit_bool(truth),
            None => scalar.any(visitor),
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        let place = self.place.clone();
        visitor.visit_newtype_struct(self).map_err(|misfit| misfit.or_at(&place))
    }

    /// Nothing after the colon means the defaults. A list is refused: a derived visitor would take its values by position.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if name == PLACED {
            let place = self.place.clone();
            return visitor.visit_map(WithPlace::new(place, self));
        }
        if self.is_null() {
            let place = self.place.clone();
            let read = visitor.visit_map(Entries { entries: Vec::new().into_iter(), value: None });
            return read.map_err(|misfit| misfit.or_at(&place));
        }
        if let Value::List(_) = self.value {
            let message = "expected a map of settings, found a list".to_owned();
            return Err(Misfit { place: Some(self.place), message });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let place = self.place.clone();
        let read = match self.value {
            Value::Scalar(scalar) if !scalar.is_null() => visitor.visit_enum(scalar.text.into_deserializer()),
            Value::Map(mut entries) if entries.len() == 1 => match entries.pop() {
                Some(entry) => visitor.visit_enum(Variant(entry)),
                None => Err(de::Error::invalid_length(0, &name)),
            },
            _ => Err(de::Error::custom(format_args!("expected one of {}", variants.join(", ")))),
        };
        read.map_err(|misfit| misfit.or_at(&place))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { unit_struct seq tuple tuple_struct map }
}

/// A key as a deserializer: text, with its place if that is asked for.
impl<'de> Deserializer<'de> for Key {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_string(self.text).map_err(|misfit: Misfit| misfit.or_at(&self.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if name == PLACED { visitor.visit_map(WithPlace::new(self.place.clone(), self)) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_enum(self.text.into_deserializer()).map_err(|misfit: Misfit| misfit.or_at(&self.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// Reads a value of a list or map. What is wrong is said at its place, also by types that check a text once they have it.
fn value<'de, T: DeserializeSeed<'de>>(seed: T, node: Node) -> Result<T::Value, Misfit> {
    let place = node.place.clone();
    let hidden = match &node.value {
        Value::Scalar(scalar) if scalar.resolved => Some(scalar.text.clone()),
        _ => None,
    };
    seed.deserialize(node).map_err(|misfit| {
        let misfit = misfit.or_at(&place);
        hidden.iter().fold(misfit, |misfit, text| misfit.hiding(text))
    })
}

/// The values of a list.
struct Items(std::vec::IntoIter<Node>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        self.0.next().map(|node| value(seed, node)).transpose()
    }
}

/// The entries of a map.
struct Entries {
    entries: std::vec::IntoIter<(Key, Node)>,
    value: Option<Node>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        let place = key.place.clone();
        seed.deserialize(key).map(Some).map_err(|misfit| misfit.or_at(&place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some(node) = self.value.take() else { return Err(de::Error::custom("a value was asked for before its key")) };
        value(seed, node)
    }
}

/// `name: value` as a variant and its content.
struct Variant((Key, Node));

impl<'de> EnumAccess<'de> for Variant {
    type Error = Misfit;
    type Variant = Content;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content), Misfit> {
        let (key, node) = self.0;
        let place = key.place.clone();
        let variant = seed.deserialize(key).map_err(|misfit| misfit.or_at(&place))?;
        Ok((variant, Content(node)))
    }
}

struct Content(Node);

impl<'de> VariantAccess<'de> for Content {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Err(Misfit { place: Some(self.0.place), message: "expected nothing behind this name".to_owned() })
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        value(seed, self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Misfit> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

/// The four fields of a [`PLACED`].
struct WithPlace<D> {
    place: Place,
    value: Option<D>,
    next: usize,
}

impl<D> WithPlace<D> {
    fn new(place: Place, value: D) -> WithPlace<D> {
        WithPlace { place, value: Some(value), next: 0 }
    }
}

impl<'de, D: Deserializer<'de, Error = Misfit>> MapAccess<'de> for WithPlace<D> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let name = FIELDS.get(self.next).copied();
        name.map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (origin, line, column) = self.place.parts();
        self.next += 1;
        match self.next {
            1 => seed.deserialize(origin.into_deserializer()),
            2 => seed.deserialize(line.into_deserializer()),
            3 => seed.deserialize(column.into_deserializer()),
            _ => match self.value.take() {
                Some(value) => seed.deserialize(value).map_err(|misfit| misfit.or_at(&self.place)),
                None => Err(de::Error::custom("a value was asked for twice")),
            },
        }
    }
}
