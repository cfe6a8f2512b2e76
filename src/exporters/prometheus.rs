//! The `prometheus` exporter: what came in as rows and as metric points, exposed for scraping.
//!
//! The store of series is its own, because its families and labels are only known as they come, and every one of them is bounded
//! (docs/decisions/0002-own-series-store.md).
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`] | the exporter's configuration |
//! | [`from_rows`] | rows counted by function: rate, errors, duration, starts, memory, rate limits, deployments |
//! | [`from_points`] | points of metrics to their series |
//! | [`streams`] | what every stream said last: temporality, restarts, order |
//! | [`series`] | families and series, and their bounds |
//! | [`values`], [`buckets`], [`native`] | what a series holds; explicit and exponential histograms and how they add up |
//! | [`names`], [`labels`] | names by the compatibility specification; labels without ids and addresses, escaped once |
//! | [`accept`], [`exposition`], [`scrape`] | what a scraper asks for, how it is written, and the reply, a piece at a time |
//!
//! Invariants: an id or an address is never a label. Series, streams, names, labels and values are bounded, whatever is sent, and so is
//! the memory of a scrape. One name has one type. A counter never falls while its series lives.

mod accept;
mod buckets;
pub mod config;
mod exposition;
mod from_points;
mod from_rows;
mod labels;
mod names;
mod native;
mod scrape;
mod series;
mod streams;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::server::{Lasts, Limits, Listener};
use crate::signals::Timestamp;
use crate::signals::points::{Label, Points};
use crate::tables::Cleared;
use accept::Format;
pub use config::PrometheusConfig;
use exposition::{Cursor, Style};
use from_points::HashKey;
use from_rows::{Rows, Shape};
use labels::LabelRules;
use scrape::Scrape;
pub use scrape::{Answer, Outcome, ScrapeError};
use series::{FamilyId, Kind, SeriesId, Store};
use streams::Streams;

/// How often the shortest expiration is looked at within its length.
const LOOKS: u32 = 10;
/// No more often, and no less.
const LOOK_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);

/// Scrapes at once: each may hold a state of gzip and what the network has not taken yet, half a megabyte together.
const MAX_SCRAPES: usize = 16;
/// Of these on one HTTP/2 connection.
const MAX_STREAMS: u32 = 8;

/// The exporter. One lock; rows and streams are counted and hashed before it is taken, and a scrape takes it for a piece at a time.
#[derive(Debug)]
pub struct Prometheus {
    key: HashKey,
    shape: Shape,
    created: bool,
    open_metrics: bool,
    /// Labels that every series has, as they are written.
    constant: String,
    expirations: Expirations,
    started: Instant,
    scrapes: Arc<Semaphore>,
    state: Mutex<State>,
}

/// How long what is silent stays; `None` is for ever.
#[derive(Clone, Copy, Debug)]
struct Expirations {
    points: Option<Duration>,
    rows: Option<Duration>,
}

#[derive(Debug)]
struct State {
    store: Store,
    streams: Streams,
    rows: Rows,
    rules: LabelRules,
    targets: Targets,
    /// Points of one resource come together: its target is looked up once.
    last_target: Option<(Arc<[Label]>, Option<SeriesId>)>,
    stats: Stats,
}

/// `target_info`, by job and instance.
#[derive(Debug)]
struct Targets {
    family: FamilyId,
    by_identity: HashMap<Box<str>, SeriesId>,
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For ages.
    pub instant: Instant,
    /// For created timestamps.
    pub unix: Timestamp,
}

/// A moment as the store knows it.
#[derive(Clone, Copy, Debug)]
struct Now {
    /// Since the exporter was made.
    seconds: u32,
    unix: Timestamp,
}

/// What the exporter says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series exposed now, every bucket counted.
    pub series: u64,
    pub max_series: u64,
    /// Streams of points remembered now.
    pub streams: u64,
    /// By how they ended.
    pub scrapes: [u64; Outcome::ALL.len()],
    /// Attributes that may not be labels, once a stream.
    pub dropped_labels: u64,
    /// Points and groups of rows that found no room of their own and went to an overflow series.
    pub overflowed: u64,
    /// Sets of labels that were silent for too long.
    pub expired: u64,
    /// Points that are in no series, by reason.
    pub dropped_points: [u64; Dropped::ALL.len()],
}

/// Why a point is in no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Another metric of another type has its name, or the exporter itself; or its series is a histogram of the other form.
    Conflict,
    /// A sum or histogram without temporality.
    Unsupported,
    /// It contradicts itself, is not a finite number, or is an exponential histogram coarser than Prometheus has.
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

impl Moment {
    pub fn now() -> Moment {
        Moment { instant: clock::now(), unix: Timestamp(clock::unix_nanos()) }
    }
}

impl Prometheus {
    pub fn new(config: &PrometheusConfig) -> Arc<Prometheus> {
        let max_series = config.max_series.get();
        let mut store = Store::new(max_series, config.max_series_per_metric());
        let shape = Shape::of(&config.functions);
        let rules = config.label_rules();
        let rows = Rows::claim(&mut store, &rules.naming, shape.clone());
        let help = "What sends the metrics of this job and instance";
        let family = store.claim(&rules.naming, ("target", ""), Kind::Info, help);
        let targets = Targets { family, by_identity: HashMap::new() };
        // Twice: streams outnumber series once ids are no labels.
        let streams = Streams::new(2 * max_series);
        let stats = Stats { max_series, ..Stats::default() };
        let lasts = |span: Duration| Some(span).filter(|span| !span.is_zero());
        Arc::new(Prometheus {
            key: HashKey::random(),
            shape,
            created: config.created_timestamps,
            open_metrics: config.enable_open_metrics,
            constant: rules.constant.text.clone(),
            expirations: Expirations {
                points: lasts(config.metric_expiration.get()),
                rows: lasts(config.functions.expiration.get()),
            },
            started: clock::now(),
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
            state: Mutex::new(State { store, streams, rows, rules, targets, last_target: None, stats }),
        })
    }

    /// Counts rows that are durable. Once a row: never for a duplicate, never at replay.
    pub fn observe_rows(&self, rows: &Cleared, now: Moment) {
        let counted = from_rows::count(rows, &self.shape);
        self.state().add_rows(&counted, self.at(now));
    }

    /// Takes points whose request is acknowledged.
    pub fn observe_points(&self, points: &Points, now: Moment) {
        if points.list.is_empty() {
            return;
        }
        let hashes = self.key.streams(points);
        let now = self.at(now);
        let mut state = self.state();
        for (point, hash) in points.list.iter().zip(hashes) {
            if let Err(dropped) = state.observe_point(point, hash, now)
                && let Some(count) = state.stats.dropped_points.get_mut(dropped as usize)
            {
                *count += 1;
            }
        }
    }

    /// Ends what has been silent for too long. [`Prometheus::serve`] does it by the clock, whether anybody scrapes or not.
    pub fn expire(&self, now: Moment) {
        let seconds = |span: Option<Duration>| span.map(|span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX).max(1));
        let Expirations { points, rows } = self.expirations;
        self.state().expire(self.at(now).seconds, seconds(points), seconds(rows));
    }

    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats { series: state.store.exposed(), streams: state.streams.len() as u64, ..state.stats.clone() }
    }

    /// Answers one request to the endpoint: `GET` and `HEAD` of `/metrics`, 404 elsewhere, 405 for other methods, 503 past 16 scrapes at once.
    pub fn respond<B>(self: &Arc<Self>, request: &Request<B>) -> Response<Answer> {
        if request.uri().path() != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
        }
        let head = request.method() == Method::HEAD;
        if request.method() != Method::GET && !head {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let format = Format::negotiate(request.headers(), self.open_metrics);
        let gzip = accept::takes_gzip(request.headers());
        let lasts = scrape::patience(request.headers());
        let body = if head {
            Answer::Words(None)
        } else if let Ok(place) = Arc::clone(&self.scrapes).try_acquire_owned() {
            Answer::Scrape(Box::new(Scrape::new(Arc::clone(self), (format, gzip), lasts, place)))
        } else {
            self.count_scrape(Outcome::Refused);
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        };
        let mut response = Response::new(body);
        response.extensions_mut().insert(Lasts(lasts));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, format.content_type());
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    /// Serves the endpoint and lets silent series expire, until `shutdown`.
    pub async fn serve(self: Arc<Self>, listener: Listener, shutdown: CancellationToken) {
        let exporter = Arc::clone(&self);
        let handler = move |request: Request<Incoming>| std::future::ready(exporter.respond(&request));
        let limits = Limits { streams: MAX_STREAMS, ..Limits::default() };
        tokio::join!(listener.serve(limits, handler, shutdown.clone()), self.look_after(shutdown));
    }

    async fn look_after(&self, shutdown: CancellationToken) {
        let Expirations { points, rows } = self.expirations;
        let Some(shortest) = points.into_iter().chain(rows).min() else { return };
        let mut ticks = tokio::time::interval((shortest / LOOKS).clamp(*LOOK_AFTER.start(), *LOOK_AFTER.end()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => self.expire(Moment::now()),
            }
        }
    }

    /// The next piece of a scrape, consistent in itself.
    fn write_piece(&self, cursor: &mut Cursor, format: Format, out: &mut Vec<u8>) {
        let style = Style { format, created: self.created, constant: &self.constant };
        exposition::piece(&self.state().store, cursor, style, out);
    }

    fn count_scrape(&self, outcome: Outcome) {
        if let Some(count) = self.state().stats.scrapes.get_mut(outcome as usize) {
            *count += 1;
        }
    }

    fn at(&self, now: Moment) -> Now {
        let age = now.instant.saturating_duration_since(self.started).as_secs();
        Now { seconds: u32::try_from(age).unwrap_or(u32::MAX), unix: now.unix }
    }

    /// A panic elsewhere cannot leave a half-made series behind that matters: every step leaves the store usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = Response::new(Answer::Words(Some(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
