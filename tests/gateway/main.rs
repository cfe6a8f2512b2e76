//! The gateway as its users see it: the binary, real senders, real readers.
//!
//! One binary of tests; `floe` runs as a process of its own on free ports, in a directory of its own. What went in is taken from the senders'
//! replies, what came out from PyIceberg and DuckDB, never from floe's own counters.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking and speak on stdout"
)]

mod acknowledged;
mod floe;
mod laws;
mod parts;
mod proxy;
mod python;
mod r2;
mod send;
mod warehouses;

mod answers;
mod bad_bytes;
mod bombs;
mod browser;
mod cloudflare_r2;
mod cloudflare_worker;
mod columns;
mod configuration;
mod crash;
#[cfg(feature = "faults")]
mod crash_points;
mod credentials;
mod dead_letters;
mod disks;
mod emitters;
mod everywhere;
mod first_light;
mod foreign;
mod goldens;
mod held_rows;
mod log_size;
mod outage;
mod own_metrics;
mod people;
mod privacy;
mod prometheus;
mod readers;
mod routes;
mod rules;
mod secured;
mod stores;
mod system_calls;
#[cfg(feature = "faults")]
mod verdicts;
