//! One scrape as the body of a reply: written piece by piece as the peer reads, plain or gzip.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::Prometheus;
use super::accept::Format;
use super::exposition::Cursor;
use crate::clock;

/// For a scraper that does not say how long it waits.
const LASTS: Duration = Duration::from_mins(1);
/// However long it says that it waits.
const LASTS_AT_MOST: Duration = Duration::from_mins(5);
/// Prometheus says it with every scrape.
const PATIENCE: &str = "x-prometheus-scrape-timeout-seconds";

/// Why a scrape was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    #[error("the scrape took longer than the scraper waits: raise scrape_timeout, or expose fewer series")]
    Late,
    #[error("the scrape could not be compressed")]
    Compression,
}

/// How a scrape ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to its end.
    Complete,
    /// It took longer than the scraper waits.
    Late,
    /// The scraper went away.
    Aborted,
    /// There were too many at once.
    Refused,
}

impl Outcome {
    pub const ALL: [Outcome; 4] = [Outcome::Complete, Outcome::Late, Outcome::Aborted, Outcome::Refused];

    /// The value of the metric label `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Late => "late",
            Outcome::Aborted => "aborted",
            Outcome::Refused => "refused",
        }
    }
}

/// What the endpoint answers with.
#[derive(Debug)]
pub enum Answer {
    /// A few words, or nothing.
    Words(Option<Bytes>),
    Scrape(Box<Scrape>),
}

/// Holds one piece at a time, whatever there is to tell.
#[derive(Debug)]
pub struct Scrape {
    exporter: Arc<Prometheus>,
    cursor: Cursor,
    format: Format,
    gzip: Option<GzEncoder<Vec<u8>>>,
    until: Instant,
    ended: bool,
    /// One of the scrapes at once.
    _place: OwnedSemaphorePermit,
}

/// How long a scraper waits.
pub(super) fn patience(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(PATIENCE).and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
    let lasts = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|lasts| !lasts.is_zero());
    lasts.unwrap_or(LASTS).min(LASTS_AT_MOST)
}

impl Scrape {
    pub(super) fn new(
        exporter: Arc<Prometheus>,
        (format, gzip): (Format, bool),
        lasts: Duration,
        place: OwnedSemaphorePermit,
    ) -> Scrape {
        Scrape {
            exporter,
            cursor: Cursor::default(),
            format,
            gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            until: clock::now() + lasts,
            ended: false,
            _place: place,
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.exporter.count_scrape(outcome);
    }

    /// The next bytes; `None` after the last.
    fn next(&mut self) -> Option<Result<Bytes, ScrapeError>> {
        while !self.ended {
            if clock::now() > self.until {
                self.end(Outcome::Late);
                return Some(Err(ScrapeError::Late));
            }
            let mut piece = Vec::new();
            self.exporter.write_piece(&mut self.cursor, self.format, &mut piece);
            let done = self.cursor.is_done();
            let coded = match &mut self.gzip {
                None => Ok(piece),
                Some(gzip) => gzip.write_all(&piece).and_then(|()| {
                    if done {
                        gzip.try_finish()?;
                    }
                    Ok(std::mem::take(gzip.get_mut()))
                }),
            };
            let Ok(bytes) = coded else {
                self.end(Outcome::Aborted);
                return Some(Err(ScrapeError::Compression));
            };
            if done {
                self.end(Outcome::Complete);
            }
            if !bytes.is_empty() {
                return Some(Ok(Bytes::from(bytes)));
            }
        }
        None
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        if !self.ended {
            self.end(if clock::now() > self.until { Outcome::Late } else { Outcome::Aborted });
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = ScrapeError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ScrapeError>>> {
        let next = match self.get_mut() {
            Answer::Words(words) => words.take().map(Ok),
            Answer::Scrape(scrape) => scrape.next(),
        };
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Words(words) => words.is_none(),
            Answer::Scrape(scrape) => scrape.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Words(words) => SizeHint::with_exact(words.as_ref().map_or(0, |words| words.len() as u64)),
            Answer::Scrape(_) => SizeHint::default(),
        }
    }
}
