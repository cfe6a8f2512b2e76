//! floe: an OpenTelemetry gateway. OTLP in, four Apache Iceberg tables and a Prometheus endpoint out.
pub mod clock;
pub mod config;
pub mod exporters;
pub mod processors;
pub mod receivers;
pub mod server;
pub mod signals;
pub mod tables;
pub mod telemetry;
pub mod wal;
