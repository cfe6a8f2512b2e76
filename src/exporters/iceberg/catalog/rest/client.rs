//! Requests to a REST catalog and what comes back: one request, one answer. Nothing is sent again here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use http::header::{DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::answers::Failure;
use super::oauth2::TokenSource;
use crate::clock;
use crate::config::Secret;
use crate::exporters::iceberg::cause::{Cause, Said};
use crate::exporters::iceberg::config::{RestCatalogConfig, TlsConfig, Token};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a catalog takes by its own time-outs (R2: 40 s); after it nobody knows.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// A catalog that asks for more is asked again all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Of an answer that holds a table. R2 gives every snapshot, some 700 bytes each: a commit a minute for four months that nobody expires.
const TABLE_BYTES: usize = 128 << 20;
/// Of any other answer.
const ANSWER_BYTES: usize = 1 << 20;
/// An answer that goes on past this waits for its turn, so that one at a time is large.
const SMALL_BYTES: usize = 8 << 20;
static LARGE: Semaphore = Semaphore::const_new(1);
/// Of an answer that is no success.
const REFUSAL_BYTES: usize = 64 << 10;
/// Of an error's body that is kept: it may be a whole page.
const MESSAGE_BYTES: usize = 300;

/// One warehouse of one catalog.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// With the warehouse's prefix, without a slash at the end.
    base: String,
    token: Option<Token>,
    /// Where the token is asked for, if it is.
    source: Option<TokenSource>,
    /// Seconds, as of the last answer with a date.
    clock_ahead: AtomicI64,
}

impl Client {
    /// Asks for the warehouse's settings; gives what they say of the storage. `vended`: keys are to come with every table.
    pub(super) async fn connect(config: &RestCatalogConfig, vended: bool) -> Result<(Client, HashMap<String, String>), Failure> {
        let http = http(config, vended)?;
        let source = match &config.token {
            Some(Token::OAuth2(oauth2)) => Some(TokenSource::new(oauth2, &config.uri)),
            _ => None,
        };
        let (base, token) = (format!("{}/v1", config.uri), config.token.clone());
        let mut client = Client { http, base, token, source, clock_ahead: AtomicI64::new(0) };
        let query: Vec<(&str, &str)> = config.warehouse.iter().map(|warehouse| ("warehouse", warehouse.as_str())).collect();
        let url = reqwest::Url::parse_with_params(&format!("{}/config", client.base), query)
            .map_err(|error| Failure::Broken(format!("{} is no address: {error}", config.uri).into()))?;
        let settings: Value = client.send(client.http.get(url), ANSWER_BYTES).await?;
        if !["defaults", "overrides"].iter().any(|layer| settings.get(layer).is_some_and(Value::is_object)) {
            let said = "expected an object with `defaults` and `overrides` as the answer to /v1/config, found other JSON";
            return Err(Failure::Broken(Said::new(said, Cause::NoCatalog)));
        }
        // Above each other: the catalog's defaults, then its overrides. Nessie gives the prefix as a default, the others as an override.
        let mut properties = HashMap::new();
        for layer in ["defaults", "overrides"] {
            let layer = settings.get(layer).and_then(Value::as_object).into_iter().flatten();
            properties.extend(layer.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
        }
        if let Some(prefix) = properties.get("prefix").filter(|prefix| !prefix.is_empty()) {
            client.base = format!("{}/{prefix}", client.base);
        }
        Ok((client, properties))
    }

    pub(super) fn clock_ahead(&self) -> i64 {
        self.clock_ahead.load(Ordering::Relaxed)
    }

    /// One request below the warehouse, and the JSON of its answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let mut request = self.http.request(method, format!("{}/{path}", self.base));
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(|error| Failure::Broken(error.to_string().into()))?;
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        }
        self.send(request, TABLE_BYTES).await
    }

    async fn send<T: DeserializeOwned>(&self, mut request: reqwest::RequestBuilder, most: usize) -> Result<T, Failure> {
        let token = self.bearer().await?;
        if let Some(token) = &token {
            request = request.bearer_auth(token.expose());
        }
        let answer = request.send().await.map_err(|error| broken(&error))?;
        let moved = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection()).cloned();
        let (status, retry_after) = (answer.status(), retry_after(answer.headers()));
        if let Some(theirs) = date(answer.headers().get(DATE)) {
            self.clock_ahead.store(theirs.saturating_sub(now()), Ordering::Relaxed);
        }
        let body = read(answer, most).await?;
        if !status.is_success() {
            // 419 is the protocol's "expired"; 403 is what R2 says.
            if let (401 | 403 | 419, Some(source), Some(token)) = (status.as_u16(), &self.source, &token) {
                source.forget(token).await;
            }
            let mut failure = failure(status, retry_after, &body);
            if let (Some(to), Failure::Status { message, .. }) = (moved.as_ref().and_then(|to| to.to_str().ok()), &mut failure) {
                // A query may hold a secret.
                *message = short(&format!("moved to {}", to.split(['?', '#']).next().unwrap_or_default()));
            }
            return Err(failure);
        }
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|error| {
            let said = format!("the catalog's answer is not what it should be: {error}");
            Failure::Broken(Said::new(said, Cause::NoCatalog))
        })
    }

    async fn bearer(&self) -> Result<Option<Secret>, Failure> {
        match (&self.source, &self.token) {
            (Some(source), _) => source.token(&self.http).await.map(Some),
            (None, Some(Token::Value(token))) => Ok(Some(token.clone())),
            (None, Some(Token::File(file))) => read_token(file).map(Some),
            (None, Some(Token::OAuth2(_)) | None) => Ok(None),
        }
    }
}

fn http(config: &RestCatalogConfig, vended: bool) -> Result<reqwest::Client, Failure> {
    // Two providers of cryptography are linked, and whoever asks for "the" one without this would panic. Set once a process; a second
    // time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    if vended {
        headers.insert("x-iceberg-access-delegation", HeaderValue::from_static("vended-credentials"));
    }
    for (name, value) in &config.headers {
        // Both were checked when the configuration was read.
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.expose())) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    certified(reqwest::Client::builder(), &config.tls)?
        .user_agent(concat!("floe/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        // A commit that is redirected would become a GET.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| broken(&error))
}

/// With the certificates of the configuration.
fn certified(mut builder: reqwest::ClientBuilder, tls: &TlsConfig) -> Result<reqwest::ClientBuilder, Failure> {
    let read = |file: &Path| std::fs::read(file).map_err(|error| local(format!("cannot read {}: {error}", file.display())));
    let invalid = |file: &Path, error: &reqwest::Error| {
        local(format!("expected certificates in PEM form in {}: {}", file.display(), causes(error)))
    };
    if let Some(file) = &tls.ca_file {
        let authorities = reqwest::Certificate::from_pem_bundle(&read(file)?).map_err(|error| invalid(file, &error))?;
        if authorities.is_empty() {
            return Err(local(format!("expected certificates in PEM form in {}, found none", file.display())));
        }
        builder = authorities.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    }
    if let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) {
        let both = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&both).map_err(|error| invalid(certificate, &error))?);
    }
    Ok(builder)
}

/// An answer's body: to its end, which must come within `most` bytes; of one that is no success the beginning.
pub(super) async fn read(mut answer: reqwest::Response, most: usize) -> Result<Vec<u8>, Failure> {
    let success = answer.status().is_success();
    let most = if success { most } else { REFUSAL_BYTES };
    let mut body = Vec::new();
    let mut turn = None;
    while let Some(piece) = answer.chunk().await.map_err(|error| broken(&error))? {
        let room = most - body.len();
        if piece.len() > room && success {
            let said = format!(
                "the answer is longer than {} MiB: it is no catalog that answers, or the table wants its old snapshots expired",
                most >> 20
            );
            return Err(Failure::Broken(Said::new(said, Cause::NoCatalog)));
        }
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() >= room {
            break;
        }
        if body.len() > SMALL_BYTES && turn.is_none() {
            turn = LARGE.acquire().await.ok();
        }
    }
    Ok(body)
}

/// The token in a file, without the line's end.
pub(super) fn read_token(file: &Path) -> Result<Secret, Failure> {
    let shown = file.display();
    let token = std::fs::read_to_string(file).map_err(|error| local(format!("cannot read the token file {shown}: {error}")))?;
    let token = Secret::new(token.trim());
    if token.expose().is_empty() {
        return Err(local(format!("the token file {shown} is empty")));
    }
    if !token.is_word() {
        return Err(local(format!("expected one token in {shown}, found a space or a line break within")));
    }
    Ok(token)
}

/// A number of seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let until = || u64::try_from(date(Some(value))?.saturating_sub(now())).ok();
    seconds.or_else(until).map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// Seconds since 1970.
fn date(value: Option<&HeaderValue>) -> Option<i64> {
    let date = httpdate::parse_http_date(value?.to_str().ok()?).ok()?;
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn now() -> i64 {
    i64::try_from(clock::unix_nanos() / 1_000_000_000).unwrap_or(i64::MAX)
}

/// An answer that is no success: the protocol's error object, or plain text.
pub(super) fn failure(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let error = json.as_ref().and_then(|json| json.get("error")).filter(|error| error.is_object());
    let text = |key: &str| error.and_then(|error| error.get(key)?.as_str()).unwrap_or_default().to_owned();
    let message = if error.is_some() { text("message") } else { String::from_utf8_lossy(body).into_owned() };
    Failure::Status {
        status: status.as_u16(),
        kind: text("type"),
        message: short(&message),
        spoken: error.is_some(),
        retry_after,
    }
}

/// On one line, and not a whole page.
fn short(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.char_indices().map(|(at, _)| at).take_while(|at| *at <= MESSAGE_BYTES).last().unwrap_or(0);
    if line.len() > MESSAGE_BYTES { format!("{}…", &line[..end]) } else { line }
}

/// No answer, or half of one.
pub(super) fn broken(error: &reqwest::Error) -> Failure {
    Failure::Broken(Said::new(causes(error), Cause::of(error)))
}

/// A file of this machine cannot be used.
fn local(why: String) -> Failure {
    Failure::Broken(Said::new(why, Cause::Local))
}

/// An error with what caused it: "connection refused" stands at the end of the chain.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_error_object_is_taken_apart_and_plain_text_is_kept() {
        let json = br#"{"error":{"message":"no\nsuch table","type":"NoSuchTableException","code":404,"stack":["x"]}}"#;
        let Failure::Status { status, kind, message, spoken, .. } = failure(StatusCode::NOT_FOUND, None, json) else {
            panic!("a status")
        };
        assert_eq!((status, kind.as_str(), message.as_str(), spoken), (404, "NoSuchTableException", "no such table", true));
        let Failure::Status { kind, message, spoken, .. } = failure(StatusCode::UNAUTHORIZED, None, b"Unauthorized\n") else {
            panic!("a status")
        };
        assert_eq!((kind.as_str(), message.as_str(), spoken), ("", "Unauthorized", false));
    }

    async fn answered(status: u16, body: Vec<u8>, most: usize) -> Result<usize, Failure> {
        let answer = http::Response::builder().status(status).body(body).expect("an answer");
        read(reqwest::Response::from(answer), most).await.map(|body| body.len())
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_bound_and_a_refusal_as_far_as_it_is_shown() {
        assert_eq!(answered(200, vec![b' '; 100], 100).await, Ok(100));
        let error = answered(200, vec![b' '; (1 << 20) + 1], 1 << 20).await.expect_err("too long");
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
        assert_eq!(answered(404, vec![b' '; 1 << 20], 100).await, Ok(REFUSAL_BYTES));
        assert_eq!(answered(404, vec![b' '; 10], 1).await, Ok(10));
    }

    #[tokio::test]
    async fn what_answers_without_end_is_no_catalog() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody");
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("taken");
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        });
        let config = RestCatalogConfig { uri, warehouse: None, token: None, headers: BTreeMap::new(), tls: TlsConfig::default() };
        let failure = Client::connect(&config, false).await.map(|_| ()).expect_err("no catalog");
        assert!(failure.to_string().contains("longer than 1 MiB"), "{failure}");
    }

    #[test]
    fn a_token_file_holds_one_token_and_says_so_where_it_does_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        let check = |content: &str, expected: Result<&str, &str>| {
            std::fs::write(&file, content).expect("written");
            match (read_token(&file), expected) {
                (Ok(token), Ok(expected)) => assert_eq!(token.expose(), expected),
                (Err(failure), Err(word)) => {
                    let said = failure.to_string();
                    assert!(said.contains(word) && said.contains("token") && !said.contains("s3cret"), "{said}");
                }
                (read, _) => panic!("{content:?}: {read:?}"),
            }
        };
        check("t1\n", Ok("t1"));
        check(" \n\n", Err("is empty"));
        check("", Err("is empty"));
        check("s3cret\nother\n", Err("line break"));
        check("Bearer s3cret", Err("a space"));
    }

    #[test]
    fn a_page_instead_of_an_error_is_cut_at_a_character() {
        let message = short(&"é".repeat(1000));
        assert!(message.len() < MESSAGE_BYTES + 8 && message.ends_with('…'), "{message}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_an_hour_at_most() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            retry_after(&headers)
        };
        assert_eq!(read("60"), Some(Duration::from_mins(1)));
        assert_eq!(read("999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(read("Mon, 21 Oct 2199 07:28:00 GMT"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
