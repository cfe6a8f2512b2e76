//! HTTP: `POST /v1/traces`, `/v1/logs` and `/v1/metrics`, in protobuf or JSON, over HTTP/1.1 and HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::Desk;
use super::body;
use super::inflate::Coding;
use super::reply::{self, HttpReply, Refusal};
use crate::receivers::Request as Export;
use crate::signals::{Encoding, Rejected, Signal};

/// How long, and for how many bytes, a refused body is still read over HTTP/1.1, and thrown away.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub struct Http {
    pub desk: Arc<Desk>,
    /// Bytes of a body, before and after inflating.
    pub limit: usize,
    pub read_timeout: Duration,
}

impl Http {
    pub async fn handle(&self, request: Request<Incoming>) -> HttpReply {
        let (head, mut body) = request.into_parts();
        let encoding = encoding(&head.headers);
        let Some(signal) = signal(head.uri.path()) else {
            linger(&head, body);
            return reply::http_refused(encoding, &Refusal::Path);
        };
        let mut counted = self.desk.counted("http", signal);
        let refusal = match encoding {
            None if head.method == Method::POST => Refusal::ContentType,
            Some(encoding) if head.method == Method::POST => match self.export(signal, encoding, &head, &mut body).await {
                Ok(rejected) => {
                    counted.accepted();
                    return reply::http_accepted(signal, encoding, rejected);
                }
                Err(refusal) => refusal,
            },
            _ => Refusal::Method,
        };
        counted.refused(&refusal);
        if !matches!(refusal, Refusal::Gone | Refusal::TooSlow(_)) {
            linger(&head, body);
        }
        reply::http_refused(encoding, &refusal)
    }

    async fn export(
        &self,
        signal: Signal,
        encoding: Encoding,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Option<Rejected>, Refusal> {
        let coding = Coding::of(&head.headers, &CONTENT_ENCODING)?;
        let read = body::read(body, &self.desk.admission, self.limit, coding.per_byte());
        let (bytes, permit) =
            tokio::time::timeout(self.read_timeout, read).await.map_err(|_| Refusal::TooSlow(self.read_timeout))??;
        let (body, permit) = coding.inflate(bytes, permit, self.limit).await?;
        self.desk.hand_over("http", Export { signal, encoding, body, permit }).await
    }
}

/// Lets a refused sender finish over HTTP/1.1: if the connection closed under it, it would see a reset in place of the reply. HTTP/2 can
/// refuse one stream; and a sender that waits for `100 Continue` has not begun.
fn linger(head: &Parts, mut body: Incoming) {
    if head.version > Version::HTTP_11 || body.is_end_stream() || head.headers.contains_key(EXPECT) {
        return;
    }
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        let mut left = LINGER_BYTES;
        while let Ok(Some(piece)) = body::next(&mut body).await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    }));
}

/// By the media type; parameters such as a charset may follow.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next().unwrap_or(value).trim();
    if media.eq_ignore_ascii_case("application/x-protobuf") {
        Some(Encoding::Protobuf)
    } else if media.eq_ignore_ascii_case("application/json") {
        Some(Encoding::Json)
    } else {
        None
    }
}

fn signal(path: &str) -> Option<Signal> {
    match path {
        "/v1/traces" => Some(Signal::Traces),
        "/v1/logs" => Some(Signal::Logs),
        "/v1/metrics" => Some(Signal::Metrics),
        _ => None,
    }
}
