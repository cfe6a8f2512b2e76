//! A value as it is written in YAML, where any simple type may stand.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::signals::Value;
use crate::signals::attributes::Attributes;

/// Text, a whole number, a number or a truth value; which one is said by YAML: `200` is a number, `"200"` is text.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl Literal {
    /// Whether a value of a record means the same: text is compared with the value's text form, numbers and truth values with the
    /// lenient readings of [`Value`], so that 200 equals `"200"` and `200.0`.
    pub fn equals(&self, value: &Value<'_>, attributes: &Attributes<'_>) -> bool {
        match self {
            Literal::Text(text) => value.as_str_text(attributes).is_some_and(|value| value == text.as_str()),
            Literal::Int(number) => value.as_i64() == Some(*number),
            // Bits are not compared: 0 and -0 are equal.
            #[allow(clippy::float_cmp, reason = "the user asks for this very number")]
            Literal::Double(number) => value.as_f64() == Some(*number),
            Literal::Bool(truth) => value.as_bool() == Some(*truth),
        }
    }

    /// The value to set on a record.
    pub fn to_value<'a>(&self) -> Value<'a> {
        match self {
            Literal::Text(text) => Value::Str(Cow::Owned(text.clone())),
            Literal::Int(number) => Value::Int(*number),
            Literal::Double(number) => Value::Double(*number),
            Literal::Bool(truth) => Value::Bool(*truth),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Text(text) => write!(f, "`{text}`"),
            Literal::Int(number) => write!(f, "{number}"),
            Literal::Double(number) => write!(f, "{number}"),
            Literal::Bool(truth) => write!(f, "{truth}"),
        }
    }
}

struct LiteralVisitor;

impl Visitor<'_> for LiteralVisitor {
    type Value = Literal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true or false")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Literal, E> {
        Ok(Literal::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Literal, E> {
        Ok(Literal::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Literal, E> {
        let number = i64::try_from(number);
        number.map(Literal::Int).map_err(|_| E::custom("expected a whole number of at most 64 bits with its sign"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Literal, E> {
        Ok(Literal::Double(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Literal, E> {
        Ok(Literal::Text(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Literal, D::Error> {
        deserializer.deserialize_any(LiteralVisitor)
    }
}

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Literal::Text(text) => serializer.serialize_str(text),
            Literal::Int(number) => serializer.serialize_i64(*number),
            Literal::Double(number) => serializer.serialize_f64(*number),
            Literal::Bool(truth) => serializer.serialize_bool(*truth),
        }
    }
}

impl JsonSchema for Literal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::attributes::Keys;

    #[test]
    fn yaml_says_which_type_a_literal_has() {
        let check = |yaml: &str, expected: Literal| assert_eq!(serde_saphyr::from_str::<Literal>(yaml).unwrap(), expected);
        check("prod", Literal::Text("prod".into()));
        check("\"200\"", Literal::Text("200".into()));
        check("200", Literal::Int(200));
        check("-0.5", Literal::Double(-0.5));
        check("true", Literal::Bool(true));
        let said = serde_saphyr::from_str::<Literal>("[1]").unwrap_err().to_string();
        assert!(said.contains("text, a number, true or false"), "{said}");
    }

    #[test]
    fn a_literal_equals_every_value_that_means_it() {
        let keys = Keys::default();
        let attributes = Attributes::new(&keys);
        let check = |literal: &Literal, value: Value<'_>, expected| {
            assert_eq!(literal.equals(&value, &attributes), expected, "{literal} and {value:?}");
        };
        for value in [Value::Int(200), Value::Double(200.0), Value::Str("200".into())] {
            check(&Literal::Int(200), value.clone(), true);
            check(&Literal::Double(200.0), value.clone(), true);
            check(&Literal::Text("200".into()), value.clone(), true);
            check(&Literal::Bool(true), value.clone(), false);
            check(&Literal::Int(201), value, false);
        }
        check(&Literal::Bool(true), Value::Str("True".into()), true);
        check(&Literal::Text(String::new()), Value::Empty, false);
    }
}
