//! A bearer token for an id and a secret: RFC 6749, client credentials. Kept until three quarters of its life are over, or the catalog refuses it.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;

use super::answers::Failure;
use super::client::{causes, failure, read, retry_after};
use crate::clock;
use crate::config::Secret;
use crate::exporters::iceberg::cause::{Cause, Said};
use crate::exporters::iceberg::config::OAuth2Config;

/// Of a token of which nothing is said.
const LIFETIME: Duration = Duration::from_hours(1);
/// Of an answer.
const ANSWER_BYTES: usize = 1 << 20;

/// Who gives tokens, and the last one given.
#[derive(Debug)]
pub(super) struct TokenSource {
    config: OAuth2Config,
    url: String,
    /// For messages, without a query.
    shown: String,
    /// With the instant until which it serves.
    token: Mutex<Option<(Secret, Instant)>>,
}

#[derive(Deserialize)]
struct Given {
    access_token: Secret,
    expires_in: Option<u64>,
}

impl TokenSource {
    /// `catalog` is its address, without `/v1`.
    pub(super) fn new(config: &OAuth2Config, catalog: &str) -> TokenSource {
        let own = format!("{catalog}/v1/oauth/tokens");
        let url = config.token_url.as_ref().map_or(own.clone(), |url| url.expose().to_owned());
        let shown = config.token_url.as_ref().map_or(own, ToString::to_string);
        TokenSource { config: config.clone(), url, shown, token: Mutex::new(None) }
    }

    /// The last token while it serves, else a new one. Requests that come together wait for one.
    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Secret, Failure> {
        let mut token = self.token.lock().await;
        let now = clock::now();
        if let Some((token, until)) = &*token
            && now < *until
        {
            return Ok(token.clone());
        }
        let given = self.ask(http).await?;
        let lifetime = given.expires_in.map_or(LIFETIME, Duration::from_secs).min(LIFETIME * 24);
        *token = Some((given.access_token.clone(), now + lifetime * 3 / 4));
        Ok(given.access_token)
    }

    /// The catalog has refused the token; another one that was given meanwhile stays.
    pub(super) async fn forget(&self, refused: &Secret) {
        let mut token = self.token.lock().await;
        token.take_if(|(token, _)| token.expose() == refused.expose());
    }

    async fn ask(&self, http: &reqwest::Client) -> Result<Given, Failure> {
        let scope = self.config.scopes.join(" ");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.config.client_id),
            ("client_secret", self.config.client_secret.expose()),
            ("scope", &scope),
        ];
        let broken = |error: reqwest::Error| {
            let cause = Cause::of(&error);
            Failure::Broken(Said::new(format!("no token from {}: {}", self.shown, causes(&error.without_url())), cause))
        };
        let answer = http.post(&self.url).form(&form).send().await.map_err(broken)?;
        let (status, wait) = (answer.status(), retry_after(answer.headers()));
        let body = read(answer, ANSWER_BYTES).await?;
        if !status.is_success() {
            let failure = failure(status, wait, &body);
            let message = format!("no token from {}: {failure}", self.shown);
            let (kind, spoken) = (String::new(), false);
            return Err(match status.as_u16() {
                // RFC 6749, 5.2: a wrong id or secret is a 400 or a 401.
                400 | 401 | 403 => Failure::Status { status: 401, kind, message, spoken, retry_after: None },
                status @ (429 | 503) => Failure::Status { status, kind, message, spoken, retry_after: wait },
                status => Failure::Broken(Said::new(message, Cause::Status(status))),
            });
        }
        let given: Given = serde_json::from_slice(&body)
            .map_err(|error| Failure::Broken(format!("the answer of {} holds no token: {error}", self.shown).into()))?;
        if given.access_token.expose().is_empty() || !given.access_token.is_word() {
            let said = format!("the token that {} gives is empty, or has a space or a line break in it", self.shown);
            return Err(Failure::Broken(said.into()));
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::exporters::iceberg::committer::CatalogError;

    /// A server that gives one answer to everybody, and counts them.
    async fn server(status: &'static str, body: &'static str) -> (String, Arc<AtomicU32>, Arc<std::sync::Mutex<String>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("bound"));
        let asked = Arc::new(AtomicU32::new(0));
        let seen: Arc<std::sync::Mutex<String>> = Arc::default();
        let (count, keep) = (Arc::clone(&asked), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let mut length = 0;
                while !String::from_utf8_lossy(&request[..length]).contains("scope=") {
                    length += stream.read(&mut request[length..]).await.expect("a request");
                }
                *keep.lock().expect("free") = String::from_utf8_lossy(&request[..length]).into_owned();
                count.fetch_add(1, Ordering::Relaxed);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.expect("taken");
            }
        });
        (url, asked, seen)
    }

    fn source(url: &str) -> TokenSource {
        let yaml = format!("{{ client_id: me, client_secret: s, token_url: \"{url}\", scopes: [a, b] }}");
        TokenSource::new(&serde_saphyr::from_str(&yaml).expect("parses"), "http://unused")
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_again_when_it_was_refused() {
        let (url, asked, seen) = server("200 OK", r#"{"access_token":"t1","token_type":"bearer","expires_in":600}"#).await;
        let (source, http) = (source(&url), reqwest::Client::new());
        for _ in 0..3 {
            assert_eq!(source.token(&http).await.expect("a token").expose(), "t1");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let request = seen.lock().expect("free").clone();
        assert!(request.ends_with("grant_type=client_credentials&client_id=me&client_secret=s&scope=a+b"), "{request}");
        source.forget(&Secret::new("an older one")).await;
        source.token(&http).await.expect("a token");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        source.forget(&Secret::new("t1")).await;
        source.token(&http).await.expect("a token");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_token_that_is_over_is_asked_for_again() {
        let (url, asked, _) = server("200 OK", r#"{"access_token":"t","expires_in":0}"#).await;
        let (source, http) = (source(&url), reqwest::Client::new());
        source.token(&http).await.expect("a token");
        source.token(&http).await.expect("a token");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_wrong_secret_is_a_denial_and_a_broken_server_is_not() {
        for (status, denied) in [("400 Bad Request", true), ("401 Unauthorized", true), ("503 Service Unavailable", false)] {
            let (url, ..) = server(status, r#"{"error":"invalid_client"}"#).await;
            let failure = source(&url).token(&reqwest::Client::new()).await.expect_err("refused");
            assert_eq!(matches!(failure, Failure::Status { status: 401, .. }), denied, "{failure}");
            assert!(failure.to_string().contains("invalid_client"), "{failure}");
        }
    }

    #[tokio::test]
    async fn one_who_asks_for_time_is_given_it() {
        for status in ["429 Too Many Requests\r\nretry-after: 7", "503 Service Unavailable\r\nretry-after: 7"] {
            let (url, ..) = server(status, "").await;
            let failure = source(&url).token(&reqwest::Client::new()).await.expect_err("refused");
            let error = failure.of_look();
            let wait = Some(Duration::from_secs(7));
            assert!(matches!(error, CatalogError::TooMany { retry_after, .. } if retry_after == wait), "{error:?}");
        }
    }
}
