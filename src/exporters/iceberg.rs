//! The Iceberg exporter.

pub mod committer;
pub mod config;
pub mod cut;
pub mod interval;
