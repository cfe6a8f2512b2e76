//! `AnyValue` as it lies in a request, and the lenient readings that the mapping needs.

use std::borrow::Cow;

use super::attributes::Slice;

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
