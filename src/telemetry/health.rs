//! The health endpoint, as the Collector's `health_check` extension answers: 200 when ready, 503 with the reason when not. Tables that are not
//! written for now are named in either answer: their rows are safe in the log, so they alone are no reason to send elsewhere.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::server::{Limits, Listener};

/// Whether the gateway takes requests; not yet, until [`Health::ready`].
#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// RFC 3339.
    up_since: String,
    /// Why it does not; `None` when it does.
    reason: Mutex<Option<String>>,
    failing: OnceLock<Failing>,
}

/// A table that is not written for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailingTable {
    pub exporter: String,
    pub table: &'static str,
    /// For example `retrying` or `stopped`.
    pub state: String,
    /// The last failure.
    pub reason: String,
}

/// Who knows them.
struct Failing(Box<dyn Fn() -> Vec<FailingTable> + Send + Sync>);

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    up_since: &'a str,
    uptime: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing_tables: Vec<FailingTable>,
}

impl Health {
    pub fn new() -> Arc<Health> {
        let up_since = rfc3339(clock::unix_nanos() / 1_000_000_000);
        Arc::new(Health {
            started: clock::now(),
            up_since,
            reason: Mutex::new(Some("starting".to_owned())),
            failing: OnceLock::new(),
        })
    }

    /// Asked for every answer from now on. Once a process: a second one is not heard.
    pub fn ask(&self, failing: impl Fn() -> Vec<FailingTable> + Send + Sync + 'static) {
        let _ = self.failing.set(Failing(Box::new(failing)));
    }

    pub fn ready(&self) {
        self.set(None);
    }

    /// The reason is shown to whoever asks: no secret, no value of a record.
    pub fn not_ready(&self, reason: &str) {
        self.set(Some(reason.to_owned()));
    }

    /// Serves the endpoint until `shutdown`.
    pub async fn serve(self: Arc<Self>, listener: Listener, shutdown: CancellationToken) {
        let handler = move |request: Request<Incoming>| std::future::ready(self.respond(&request, clock::now()));
        listener.serve(Limits::default(), handler, shutdown).await;
    }

    fn set(&self, reason: Option<String>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn respond<B>(&self, request: &Request<B>, now: Instant) -> Response<Full<Bytes>> {
        if request.uri().path() != "/" {
            return status(StatusCode::NOT_FOUND, Bytes::new());
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return status(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        }
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let (code, name) = match *reason {
            None => (StatusCode::OK, "Server available"),
            Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "Server not available"),
        };
        let uptime = uptime(now.saturating_duration_since(self.started));
        let failing_tables = self.failing.get().map_or_else(Vec::new, |Failing(ask)| ask());
        let answer = Answer { status: name, reason: reason.as_deref(), up_since: &self.up_since, uptime, failing_tables };
        let mut response = status(code, serde_json::to_vec(&answer).unwrap_or_default().into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

fn status(code: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response
}

/// As Go writes a duration: `1h2m3.5s`.
fn uptime(up: Duration) -> String {
    let seconds = up.as_secs();
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let rest = format!("{}.{:03}s", seconds % 60, up.subsec_millis());
    match (hours, minutes) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

/// `2026-11-24T06:30:00Z` from seconds since 1970.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that the leap day ends a year; 400 years are 146,097 days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn check(health: &Health, path: &str, after: Duration, code: u16, expected: &str) {
        let request = Request::builder().uri(path).body(()).unwrap();
        let response = health.respond(&request, health.started + after);
        assert_eq!(response.status().as_u16(), code);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected.replace("SINCE", &health.up_since));
    }

    #[tokio::test]
    async fn it_is_ready_between_start_and_drain() {
        let health = Health::new();
        let second = Duration::from_secs(1);
        check(
            &health,
            "/",
            second,
            503,
            r#"{"status":"Server not available","reason":"starting","upSince":"SINCE","uptime":"1.000s"}"#,
        )
        .await;
        health.ready();
        check(&health, "/", 3_723 * second, 200, r#"{"status":"Server available","upSince":"SINCE","uptime":"1h2m3.000s"}"#)
            .await;
        health.not_ready("draining");
        check(
            &health,
            "/",
            60 * second,
            503,
            r#"{"status":"Server not available","reason":"draining","upSince":"SINCE","uptime":"1m0.000s"}"#,
        )
        .await;
        check(&health, "/other", second, 404, "").await;
    }

    #[tokio::test]
    async fn tables_that_are_not_written_are_named_while_requests_are_taken() {
        let health = Health::new();
        health.ready();
        let failing = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&failing);
        health.ask(move || shown.lock().unwrap().clone());
        let well = r#"{"status":"Server available","upSince":"SINCE","uptime":"1.000s"}"#;
        check(&health, "/", Duration::from_secs(1), 200, well).await;
        let (exporter, state, reason) = ("iceberg/lake".to_owned(), "stopped".to_owned(), "status 403".to_owned());
        failing.lock().unwrap().push(FailingTable { exporter, table: "errors", state, reason });
        let named = r#""failingTables":[{"exporter":"iceberg/lake","table":"errors","state":"stopped","reason":"status 403"}]}"#;
        check(&health, "/", Duration::from_secs(1), 200, &well.replace('}', &format!(",{named}"))).await;
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |seconds, expected| assert_eq!(rfc3339(seconds), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_795_564_799, "2026-11-24T23:59:59Z");
        check(4_107_542_399, "2100-02-28T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }
}
