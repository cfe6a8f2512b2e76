//! Receivers: from a socket to a [`Request`] in memory, and from a [`Reply`] back to the socket.
//!
//! Memory is asked for before a body is read and held until its reply is made: past the budget the sender is told "later".
//!
//! | file | what it holds |
//! |---|---|
//! | [`admission`] | the byte budget: `Admission`, `MemoryPermit` |
//! | [`auth`] | who may send: tokens, certificates |
//! | [`otlp`] | the `otlp` receiver: gRPC and HTTP |
//!
//! Invariant: this room knows bytes, encodings and codes; it never looks into a record.

pub mod admission;
pub mod auth;
pub mod otlp;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::signals::{Encoding, Rejected, Signal};
use crate::wal::Durable;
pub use admission::{Admission, MemoryPermit};

/// What came in: one export request, inflated. The permit is its share of the memory budget and goes when the reply is made.
#[derive(Debug)]
pub struct Request {
    pub signal: Signal,
    pub encoding: Encoding,
    pub body: Bytes,
    pub permit: MemoryPermit,
}

/// The answer to one request, in the words of no protocol; `otlp::reply` renders it.
#[derive(Debug)]
pub enum Reply {
    Accepted(Ack),
    /// Permanent: the same request will never be taken. HTTP 400, gRPC `INVALID_ARGUMENT`.
    Invalid(BadRequest),
    /// Transient: nothing of the request was kept. HTTP 503 with `Retry-After`, gRPC `UNAVAILABLE` with `RetryInfo`.
    Later(RetryAfter),
}

/// An acknowledgement. The only ways to one are a [`Durable`], and [`Ack::volatile`] for pipelines that write nothing.
#[derive(Debug)]
pub struct Ack {
    /// Records in the request, the rejected ones among them.
    pub records: u64,
    /// Permanent rejects within an accepted request: `partial_success`.
    pub rejected: Option<Rejected>,
}

impl Ack {
    /// The rows of the request are on disk.
    pub fn durable(_proof: &Durable, records: u64, rejected: Option<Rejected>) -> Ack {
        Ack { records, rejected }
    }

    /// The request made no row to keep: its pipelines have no durable exporter, or nothing in it maps to a table.
    pub fn volatile(records: u64, rejected: Option<Rejected>) -> Ack {
        Ack { records, rejected }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct BadRequest {
    /// What was expected and what came; never a value of the request.
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{reason}; try again in {delay:?}")]
pub struct RetryAfter {
    pub reason: String,
    pub delay: Duration,
    /// Records in the request; 0 where it was refused before it was decoded.
    pub records: u64,
}

/// Where a receiver hands its requests: the pipelines of its signals.
pub trait Intake: Send + Sync {
    fn accept(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>>;
}

/// The seam between receivers and pipelines.
pub type SharedIntake = Arc<dyn Intake>;
