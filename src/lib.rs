//! floe: an OpenTelemetry gateway. OTLP in, four Apache Iceberg tables and a Prometheus endpoint out.
//!
//! # The way of a record
//! ```text
//! OTLP SDK ──gRPC 4317 / HTTP 4318──▶ receivers ──▶ signals ──▶ processors ──────────────▶ wal ──▶ ACK
//!    ▲                                admission     decode      records │ map │ columns    fsync     │
//!    │                                inflate       borrowed    edit    │     │ sanitise    │        └─▶ prometheus
//!    │                                                                  │     │ hash, cut   ▼
//!    └── the reply: sanitised rows are on disk                                        exporters/iceberg
//!                                                     cut → encode Parquet → upload → look → send → record → release
//! ```
//! Read [`pipelines`] first: it is the flow, in one file.
//!
//! # The rooms
//! | room | what it is | may import |
//! |---|---|---|
//! | [`config`], [`clock`] | typed YAML; the only `now` | nothing of floe |
//! | [`faults`] | what tests break on purpose; nothing without the feature | nothing of floe |
//! | [`server`] | one way to serve HTTP on a listener | nothing of floe |
//! | [`signals`] | one request as flat, borrowed records | config |
//! | [`tables`] | the four schemas, rows, columns, `Cleared` | config |
//! | [`receivers`] | sockets to requests, replies to sockets | config, server, signals (ids only), telemetry (counters), wal (`Durable` only) |
//! | [`processors`] | the chain: records, `map`, columns | config, signals, tables |
//! | [`wal`] | the write-ahead log: bytes and positions | config, clock, faults |
//! | [`exporters::prometheus`] | series and exposition | config, server, signals, tables |
//! | [`exporters::iceberg`] | Parquet files and commits | clock, config, faults, tables, wal |
//! | [`pipelines`] | the flow of a request | clock, receivers, processors, signals, tables, wal, exporters::prometheus, telemetry |
//! | [`telemetry`] | floe's own metrics, logs, health | config, server, signals, processors (`Tally`) |
//! | [`gateway`], [`cli`] | start, drain, commands | all |
//!
//! `tests/tidy.rs` holds the table.
//!
//! # What is deliberately absent
//! - No lifetime crosses an `.await`: what is borrowed lives and dies inside one synchronous call.
//! - No type but `Cleared` can be encoded for the log, and nothing but `Durable` makes an acknowledgement of rows.
//! - No decision outside a pure state machine: when to cut, what to send and what an answer means stand in `Cut`, `Committer` and `Interval`.
//! - No unbounded queue, no `unsafe`, no retry without a look.

pub mod cli;
pub mod clock;
pub mod config;
pub mod exporters;
pub mod faults;
pub mod gateway;
pub mod pipelines;
pub mod processors;
pub mod receivers;
pub mod server;
pub mod signals;
pub mod tables;
pub mod telemetry;
pub mod wal;
