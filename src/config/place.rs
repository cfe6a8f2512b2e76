//! Where something stands: a line of a file, or an option of the command line.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// A line and column of a file, both from 1; or a whole file or option, where both are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    origin: Arc<str>,
    line: usize,
    column: usize,
    /// An option of the command line, which has no lines.
    is_option: bool,
}

/// A value with its place. Only [`super::source::Sources`] gives it one; it asks by the name [`PLACED`].
#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// How the deserializer knows that a place is wanted: a struct of this name and these fields.
pub(super) const PLACED: &str = "floe::Placed";
pub(super) const FIELDS: [&str; 4] = ["origin", "line", "column", "value"];

impl Place {
    /// A file as a whole.
    pub fn whole(origin: impl Into<Arc<str>>) -> Place {
        Place { origin: origin.into(), line: 0, column: 0, is_option: false }
    }

    /// An option such as `--set a.b`.
    pub(super) fn option(origin: impl Into<Arc<str>>) -> Place {
        Place { is_option: true, ..Place::whole(origin) }
    }

    /// A place in the same file; options have none.
    pub(super) fn at(&self, line: usize, column: usize) -> Place {
        if self.is_option { self.clone() } else { Place { line, column, ..self.clone() } }
    }

    /// So many characters further in the same line.
    pub(super) fn further(&self, columns: usize) -> Place {
        self.at(self.line, self.column + columns)
    }

    pub(super) fn parts(&self) -> (&str, usize, usize) {
        (&self.origin, self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.origin),
            line => write!(f, "{}:{line}:{}", self.origin, self.column),
        }
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize> Serialize for Placed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Placed<T>, D::Error> {
        deserializer.deserialize_struct(PLACED, &FIELDS, PlacedVisitor(PhantomData))
    }
}

struct PlacedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlacedVisitor<T> {
    type Value = Placed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its place")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Placed<T>, A::Error> {
        let missing = || A::Error::custom("a place is origin, line, column and value, in this order");
        let (_, origin) = map.next_entry::<String, String>()?.ok_or_else(missing)?;
        let (_, line) = map.next_entry::<String, usize>()?.ok_or_else(missing)?;
        let (_, column) = map.next_entry::<String, usize>()?.ok_or_else(missing)?;
        let (_, value) = map.next_entry::<String, T>()?.ok_or_else(missing)?;
        Ok(Placed { value, place: Place { line, column, ..Place::whole(origin) } })
    }
}
