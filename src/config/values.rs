//! Leaf types of the configuration. Each parses itself and carries its limits; nothing downstream checks again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes: `4096`, `64KiB`, `128MiB`, `10GiB`; also `KB`, `MB`, `GB` as powers of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A length of time: `500ms`, `60s`, `10m`, `24h`, `90d`; `0` is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// What stands in the place of a secret where a configuration is printed.
const REDACTED: &str = "[redacted]";

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// `type` or `type/name`, as in the Collector: `otlp`, `iceberg/lake`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    kind: String,
    name: Option<String>,
}

impl ByteSize {
    pub const fn kib(n: u64) -> ByteSize {
        ByteSize(n << 10)
    }

    pub const fn mib(n: u64) -> ByteSize {
        ByteSize(n << 20)
    }

    pub const fn gib(n: u64) -> ByteSize {
        ByteSize(n << 30)
    }

    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The same as a size in memory; saturates on small machines.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Span {
    pub const fn seconds(n: u64) -> Span {
        Span(Duration::from_secs(n))
    }

    pub fn get(self) -> Duration {
        self.0
    }
}

impl Secret {
    /// The least length of a key, in bytes.
    pub const LEAST_KEY_BYTES: usize = 16;

    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it can stand in a header as one word: visible ASCII without a space or a line break. True of an empty one.
    pub fn is_word(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// A key, or none: refused at its own place where it is shorter than [`Secret::LEAST_KEY_BYTES`]. For `deserialize_with`.
    /// What `print-config` writes in its place can be read, and is refused by a start.
    ///
    /// # Errors
    /// Too short, or no text.
    pub fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        let key = Option::<Secret>::deserialize(deserializer)?;
        match key.as_ref().filter(|key| key.0 != REDACTED).map(|key| key.0.len()) {
            Some(found) if found < Secret::LEAST_KEY_BYTES => Err(de::Error::custom(format_args!(
                "expected a key of at least {} bytes, as `openssl rand -hex 32` makes one, found {found}",
                Secret::LEAST_KEY_BYTES
            ))),
            _ => Ok(key),
        }
    }
}

/// The largest unit that divides it: what is written is read as the same size.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(factor, _)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((factor, unit)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The largest unit that divides it, days excepted: `90d` is `2160h`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.iter().find(|(factor, _)| millis.is_multiple_of(*factor)) {
            Some((factor, unit)) if millis > 0 => write!(f, "{}{unit}", millis / factor),
            _ => write!(f, "{millis}ms"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl ComponentId {
    /// The component's type: which code runs.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}/{name}", self.kind),
            None => f.write_str(&self.kind),
        }
    }
}

/// Splits `10GiB` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim()))
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let expected = || format!("expected a size such as 64KiB, 128MiB or 10GiB, found `{text}`");
        let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
        let factor = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(expected()),
        };
        number.checked_mul(factor).map(ByteSize).ok_or_else(expected)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let expected = || format!("expected a length of time such as 500ms, 60s, 10m or 24h, found `{text}`");
        let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
        let millis = match unit {
            "" if number == 0 => 0,
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        number.checked_mul(millis).map(|ms| Span(Duration::from_millis(ms))).ok_or_else(expected)
    }
}

impl FromStr for ComponentId {
    type Err = String;

    fn from_str(text: &str) -> Result<ComponentId, String> {
        let valid = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        if !valid(kind) || name.is_some_and(|name| !valid(name)) {
            return Err(format!("expected a component id such as `iceberg` or `iceberg/lake`, found `{text}`"));
        }
        Ok(ComponentId { kind: kind.to_owned(), name: name.map(str::to_owned) })
    }
}

/// Deserialises a leaf from a scalar through its `FromStr`.
struct Scalar<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with a unit, or a name")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! scalar {
    ($($leaf:ty),*) => {$(
        impl Serialize for $leaf {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $leaf {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$leaf, D::Error> {
                deserializer.deserialize_str(Scalar(std::marker::PhantomData))
            }
        }
    )*};
}

scalar!(ByteSize, Span, ComponentId);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}
