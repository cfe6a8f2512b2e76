//! Configuration: the YAML of the OpenTelemetry Collector, parsed once into typed values.
//!
//! | file | what it holds |
//! |---|---|
//! | [`values`] | the leaf types: sizes, durations, secrets, component ids; their limits live in them |
//!
//! Invariant: this room knows no component. A component's configuration stands beside the component.

pub mod values;

pub use values::{ByteSize, ComponentId, Secret, Span};
