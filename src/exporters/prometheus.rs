//! The `prometheus` exporter: what came in as rows and as metric points, exposed for scraping.
//!
//! The store of series is its own, because its families and labels are only known as they come, and every one of them is bounded
//! (docs/decisions/0002-own-series-store.md).
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`] | the exporter's configuration |
//! | [`from_rows`] | rows counted by function: rate, errors, duration, starts, rate limits, deployments |
//! | [`from_points`] | points of metrics to their series |
//! | [`streams`] | what every stream said last: temporality, restarts, order |
//! | [`series`] | families and series, and their bound |
//! | [`buckets`] | explicit histograms and how they add up |
//! | [`names`], [`labels`] | names by the compatibility specification; labels without ids and addresses, escaped once |
//! | [`exposition`] | the text formats |
//!
//! Invariants: an id or an address is never a label. Series, streams, names, labels and values are bounded, whatever is sent.
//! One name has one type. A counter never falls while its series lives.

mod buckets;
pub mod config;
mod exposition;
mod from_points;
mod from_rows;
mod labels;
mod names;
mod series;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::server::{Limits, Listener};
use crate::signals::points::Points;
use crate::tables::Cleared;
pub use config::PrometheusConfig;
pub use exposition::Format;
use from_points::HashKey;
use from_rows::Rows;
use series::Store;
use streams::Streams;

/// The exporter. One lock; rows and streams are counted and hashed before it is taken.
#[derive(Debug)]
pub struct Prometheus {
    key: HashKey,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    store: Store,
    streams: Streams,
    rows: Rows,
    stats: Stats,
    /// Size of the last scrape, in bytes: the next one is about as large.
    scrape_bytes: usize,
}

/// What the exporter says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series exposed now, every bucket counted.
    pub series: u64,
    pub max_series: u64,
    /// Streams of points remembered now.
    pub streams: u64,
    pub scrapes: u64,
    /// Attributes that may not be labels, once a stream.
    pub dropped_labels: u64,
    /// Label sets that found no room and went to an overflow series.
    pub overflowed: u64,
    /// Points that are in no series, by reason.
    pub dropped_points: [u64; Dropped::ALL.len()],
}

/// Why a point is in no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Another metric of another type has its name.
    Conflict,
    /// An exponential histogram, a summary, or a sum without temporality.
    Unsupported,
    /// It contradicts itself, or is not a finite number.
    Malformed,
    /// Older than what its stream said before, or the same again.
    OutOfOrder,
    /// No room for another family or cumulative stream.
    NoRoom,
}

impl Dropped {
    pub const ALL: [Dropped; 5] =
        [Dropped::Conflict, Dropped::Unsupported, Dropped::Malformed, Dropped::OutOfOrder, Dropped::NoRoom];

    /// The value of the metric label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Dropped::Conflict => "conflict",
            Dropped::Unsupported => "unsupported",
            Dropped::Malformed => "malformed",
            Dropped::OutOfOrder => "out_of_order",
            Dropped::NoRoom => "no_room",
        }
    }
}

impl Prometheus {
    pub fn new(config: &PrometheusConfig) -> Arc<Prometheus> {
        let max_series = config.max_series.get();
        let mut store = Store::new(max_series);
        let rows = Rows::claim(&mut store);
        // Twice: streams outnumber series once ids are no labels.
        let streams = Streams::new(2 * max_series);
        let stats = Stats { max_series, ..Stats::default() };
        Arc::new(Prometheus { key: HashKey::random(), state: Mutex::new(State { store, streams, rows, stats, scrape_bytes: 0 }) })
    }

    /// Counts rows that are durable. Once a row: never for a duplicate, never at replay.
    pub fn observe_rows(&self, rows: &Cleared) {
        let counted = from_rows::count(rows);
        self.state().add_rows(&counted);
    }

    /// Takes points whose request is acknowledged.
    pub fn observe_points(&self, points: &Points) {
        if points.list.is_empty() {
            return;
        }
        let hashes = self.key.streams(points);
        let mut state = self.state();
        for (point, hash) in points.list.iter().zip(hashes) {
            if let Err(dropped) = state.observe_point(point, hash)
                && let Some(count) = state.stats.dropped_points.get_mut(dropped as usize)
            {
                *count += 1;
            }
        }
    }

    /// Everything as one consistent text.
    pub fn render(&self, format: Format) -> String {
        let mut state = self.state();
        let State { store, streams, stats, scrape_bytes, .. } = &mut *state;
        streams.sweep(|series| store.is_alive(series));
        let mut out = String::with_capacity(*scrape_bytes + *scrape_bytes / 8);
        exposition::render(store, format, &mut out);
        *scrape_bytes = out.len();
        stats.scrapes += 1;
        out
    }

    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats { series: state.store.exposed(), streams: state.streams.len() as u64, ..state.stats.clone() }
    }

    /// Answers one request to the endpoint: `GET` and `HEAD` of `/metrics`, 404 elsewhere, 405 for other methods.
    pub fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.uri().path() != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let format = Format::negotiate(request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()));
        let mut response = Response::new(Full::from(self.render(format)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        response
    }

    /// Serves the endpoint until `shutdown`.
    pub async fn serve(self: Arc<Self>, listener: Listener, shutdown: CancellationToken) {
        let handler = move |request: Request<Incoming>| std::future::ready(self.respond(&request));
        listener.serve(Limits::default(), handler, shutdown).await;
    }

    /// A panic elsewhere cannot leave a half-made series behind that matters: every step leaves the store usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
