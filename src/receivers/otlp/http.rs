//! HTTP: `POST /v1/traces`, `/v1/logs` and `/v1/metrics`, in protobuf or JSON, over HTTP/1.1 and HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, Method, Request};
use http_body::Body;
use hyper::body::Incoming;

use super::Desk;
use super::body;
use super::cors::Cors;
use super::inflate::Coding;
use super::reply::{self, HttpReply, Refusal};
use crate::receivers::Request as Export;
use crate::receivers::auth::Tokens;
use crate::signals::{Encoding, Rejected, Signal};

/// How long, and for how many bytes, a refused body is still read, and thrown away.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub struct Http {
    pub desk: Arc<Desk>,
    pub cors: Option<Cors>,
    /// Bytes of a body, before and after inflating.
    pub limit: usize,
    /// For a request to come in whole; `None` waits for ever.
    pub read_timeout: Option<Duration>,
    /// Who may send; anybody where there is none.
    pub tokens: Option<Arc<Tokens>>,
}

impl Http {
    pub async fn handle(&self, request: Request<Incoming>) -> HttpReply {
        let (head, body) = request.into_parts();
        let Some(cors) = &self.cors else { return self.answer(&head, body).await };
        if Cors::is_preflight(&head) {
            let mut reply = reply::http_empty();
            if !cors.answer_preflight(&head.headers, reply.headers_mut()) {
                self.desk.metrics.refusal("http", "origin");
            }
            return reply;
        }
        let mut reply = self.answer(&head, body).await;
        cors.mark_reply(&head.headers, reply.headers_mut());
        reply
    }

    async fn answer(&self, head: &Parts, mut body: Incoming) -> HttpReply {
        let encoding = encoding(&head.headers);
        let signal = signal(head.uri.path());
        let counted = self.desk.counted("http", signal);
        match self.request(signal, encoding, head, &mut body).await {
            Ok(reply) => {
                counted.accepted();
                reply
            }
            Err(refusal) => {
                counted.refused(&refusal);
                if !matches!(refusal, Refusal::Gone | Refusal::TooSlow(_)) {
                    linger(head, body);
                }
                reply::http_refused(encoding, &refusal)
            }
        }
    }

    async fn request(
        &self,
        signal: Option<Signal>,
        encoding: Option<Encoding>,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<HttpReply, Refusal> {
        if self.tokens.as_ref().is_some_and(|tokens| !tokens.admit(&head.headers)) {
            return Err(Refusal::Unauthenticated);
        }
        let signal = signal.ok_or(Refusal::Path)?;
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let encoding = encoding.ok_or(Refusal::ContentType)?;
        let rejected = self.export(signal, encoding, head, body).await?;
        Ok(reply::http_accepted(signal, encoding, rejected))
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
        let (bytes, permit) = body::within(self.read_timeout, read).await?;
        let (body, permit) = coding.inflate(bytes, permit, self.limit).await?;
        self.desk.hand_over("http", Export { signal, encoding, body, permit }).await
    }
}

/// Lets a refused sender finish: if the connection closed under it, or over HTTP/2 its stream, it would see a reset in place of the reply; libcurl
/// does. A sender that waits for `100 Continue` has not begun.
fn linger(head: &Parts, mut body: Incoming) {
    if body.is_end_stream() || head.headers.contains_key(EXPECT) {
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
