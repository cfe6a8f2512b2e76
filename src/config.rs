//! Configuration: the YAML of the OpenTelemetry Collector, parsed once into typed values.
//!
//! | file | what it holds |
//! |---|---|
//! | [`values`] | the leaf types: sizes, durations, secrets, component ids; their limits live in them |
//! | [`document`] | the shape of the file: receivers, processors, exporters, extensions, service; generic over the components |
//! | [`source`] | from files and `--set` to a document |
//! | `tree` | what they are merged as: nodes that know their [`place`] |
//! | `references` | `${env:NAME:-default}`, `${file:path}`, `$$` |
//! | [`printed`] | a configuration as YAML |
//! | [`schema`] | the JSON Schema of the leaf types and of the document |
//! | [`error`] | what is wrong, at which line and column, and the nearest name |
//!
//! Invariant: this room knows no component. A component's configuration stands beside the component.

pub mod document;
pub mod error;
pub mod place;
pub mod printed;
mod references;
pub mod schema;
pub mod source;
mod tree;
pub mod values;

pub use document::{Component, Components, Document};
pub use error::ConfigError;
pub use place::{Place, Placed};
pub use values::{ByteSize, ComponentId, Secret, Span};

#[cfg(test)]
mod tests;
