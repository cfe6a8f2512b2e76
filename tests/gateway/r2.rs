//! A stand-in for Cloudflare R2 and its Data Catalog, before Apache's catalog and MinIO. It knows the service by its documentation only; what it
//! does beyond the two behind it:
//!
//! | | |
//! |---|---|
//! | addresses | `/<account>/<bucket>/v1/config` wants `warehouse=<account>_<bucket>` and answers with `overrides.prefix`, which all other paths have |
//! | tokens | `Authorization: Bearer`; 401 without one and 403 with another, in plain text |
//! | keys | every table comes with S3 keys of its own, which may expire; or the token's id and the SHA-256 of its value. No endpoint, no region |
//! | limits | commits a table, new tables, new namespaces and writes a catalog in a time: 429 `TooManyRequestsException` with `Retry-After` |
//! | races | of two commits at once the loser is told 400 `ConcurrentUpdateError`, a failed requirement 409 |
//! | properties | `write.data.path*` and most of `write.metadata*` are refused: 409 `FailedToSetProperties` |
//! | names | `system`, `examples`, `information_schema` are no namespaces |
//! | objects | [`objects`]: signatures in region `auto`, equal parts, keys that expire, slow and broken answers |
//!
//! It does not show: how long vended keys live and what an expired one is told (AWS's `ExpiredToken` is), which header comes with its errors, its
//! latencies, and what else is not documented. Its minute may be shorter, so that a test can wait for it.

mod objects;
mod sigv4;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::parts::Lake;
use super::proxy::{self, Answer, Kept};
pub use objects::ObjectFault;

pub const ACCOUNT: &str = "0f0e0d0c";
pub const BUCKET: &str = "floe";
pub const TOKEN: &str = "cf-token-of-the-tests";
pub const TOKEN_ID: &str = "cf-token-id";
const PREFIX: &str = "b7f0c3";
/// Those of `write.metadata` that may be set.
const METADATA_PROPERTIES: [&str; 3] =
    ["write.metadata.compression-codec", "write.metadata.delete-after-commit.enabled", "write.metadata.previous-versions-max"];
/// The catalog's limits a minute: of one table's commits, of new tables, of new namespaces, of all writes.
const COMMITS: usize = 20;
const TABLES: usize = 10;
const NAMESPACES: usize = 20;
const WRITES: usize = 120;

/// One account with one bucket and its catalog.
#[derive(Clone, Debug)]
pub struct R2 {
    pub catalog: SocketAddr,
    pub objects: SocketAddr,
    lake: Lake,
    service: Arc<Mutex<Service>>,
}

#[derive(Debug)]
struct Service {
    tokens: HashSet<String>,
    keys: HashMap<String, Keys>,
    /// Of keys that are vended from now on.
    lifetime: Duration,
    /// The minute of the limits.
    minute: Duration,
    /// Of one table in it.
    most_commits: usize,
    /// Of a table, or of what is made.
    writes_of: HashMap<String, Vec<Instant>>,
    writes: Vec<Instant>,
    /// When somebody was told to wait, for which table, and when commits came in all the same.
    told: HashMap<String, Instant>,
    refusals: u32,
    hasty: u32,
    committing: HashSet<String>,
    objects: objects::State,
}

#[derive(Clone, Debug)]
struct Keys {
    secret: String,
    session: Option<String>,
    until: Option<Instant>,
}

/// The secret S3 key that belongs to [`TOKEN_ID`].
pub fn secret_key() -> String {
    sigv4::hex(&Sha256::digest(TOKEN))
}

impl R2 {
    pub fn before(lake: &Lake) -> R2 {
        let service = Service {
            tokens: HashSet::from([TOKEN.to_owned()]),
            keys: HashMap::from([(TOKEN_ID.to_owned(), Keys { secret: secret_key(), session: None, until: None })]),
            lifetime: Duration::from_hours(1),
            minute: Duration::from_mins(1),
            most_commits: COMMITS,
            writes_of: HashMap::new(),
            writes: Vec::new(),
            told: HashMap::new(),
            refusals: 0,
            hasty: 0,
            committing: HashSet::new(),
            objects: objects::State::default(),
        };
        let service = Arc::new(Mutex::new(service));
        let (catalog, objects) = (proxy::bind(), proxy::bind());
        let r2 =
            R2 { catalog: catalog.local_addr().unwrap(), objects: objects.local_addr().unwrap(), lake: lake.clone(), service };
        let answering = r2.clone();
        proxy::serve(catalog, move |kept| {
            let r2 = answering.clone();
            async move { r2.answer(kept).await }
        });
        let storing = r2.clone();
        proxy::serve(objects, move |kept| {
            let r2 = storing.clone();
            async move { r2.store(kept).await }
        });
        r2
    }

    /// The shipped configuration with its tables here, reached through `catalog`; `token` is the setting.
    pub fn configure(&self, config: &str, catalog: SocketAddr, token: &str) -> String {
        let address = format!("catalog: {{ type: rest, uri: \"http://{}\" }}", self.lake.catalog);
        let ours = format!(
            "catalog: {{ type: r2, account_id: \"{ACCOUNT}\", bucket: {BUCKET}, uri: \"http://{catalog}/{ACCOUNT}/{BUCKET}\", {token} }}"
        );
        let storage = format!("endpoint: \"http://{}\", region: us-east-1, path_style: true", self.lake.s3);
        let config = self.lake.configure(config, true);
        assert!(config.contains(&address) && config.contains(&storage), "{config}");
        config.replace(&address, &ours).replace(&storage, &format!("endpoint: \"http://{}\"", self.objects))
    }

    pub fn set_tokens(&self, tokens: &[&str]) {
        self.service().tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
    }

    /// How long keys live that are vended from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.service().lifetime = lifetime;
    }

    /// The limits are kept for this long instead of a minute.
    pub fn set_minute(&self, minute: Duration) {
        self.service().minute = minute;
    }

    /// So many commits of a table instead of twenty.
    pub fn set_commits(&self, most: usize) {
        self.service().most_commits = most;
    }

    /// The token may read objects, and write none.
    pub fn refuse_writes(&self) {
        self.service().objects.read_only = true;
    }

    /// How often somebody was told to wait, and how often somebody did not.
    pub fn limits(&self) -> (u32, u32) {
        let service = self.service();
        (service.refusals, service.hasty)
    }

    fn service(&self) -> std::sync::MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, mut kept: Kept) -> Result<Answer, std::io::Error> {
        let token = kept.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match token.map(|token| self.service().tokens.contains(token)) {
            None => return Ok(plain(StatusCode::UNAUTHORIZED, "Unauthorized")),
            Some(false) => return Ok(plain(StatusCode::FORBIDDEN, "Forbidden")),
            Some(true) => {}
        }
        let root = format!("/{ACCOUNT}/{BUCKET}/v1");
        let Some(path) = kept.path.strip_prefix(&root) else { return Ok(plain(StatusCode::NOT_FOUND, "no such catalog")) };
        if path.starts_with("/config") {
            return Ok(if path == format!("/config?warehouse={ACCOUNT}_{BUCKET}") {
                answer(StatusCode::OK, &json!({ "defaults": {}, "overrides": { "prefix": PREFIX } }))
            } else {
                error(StatusCode::NOT_FOUND, "NoSuchWarehouseException")
            });
        }
        let Some(path) = path.strip_prefix(&format!("/{PREFIX}")) else { return Ok(plain(StatusCode::NOT_FOUND, "no prefix")) };
        kept.path = format!("/v1{path}");
        kept.headers.remove(AUTHORIZATION);
        let table = kept.path.split_once("/tables/").map(|(_, table)| table.to_owned());
        if kept.method != Method::GET
            && kept.method != Method::HEAD
            && let Some(refusal) = self.refuse(&kept, table.as_deref())
        {
            return Ok(refusal);
        }
        let answer = match table {
            Some(table) if kept.method == Method::POST => self.commit(kept, table).await?,
            _ => proxy::forward(self.lake.catalog, kept).await?,
        };
        Ok(self.vend(answer))
    }

    /// What the service refuses before it looks at a table.
    fn refuse(&self, kept: &Kept, table: Option<&str>) -> Option<Answer> {
        let body: Value = serde_json::from_slice(&kept.body).unwrap_or_default();
        let reserved = ["system", "examples", "information_schema"];
        if body["namespace"][0].as_str().is_some_and(|name| reserved.contains(&name)) {
            return Some(error(StatusCode::BAD_REQUEST, "BadRequestException"));
        }
        let updates = body["updates"].as_array().into_iter().flatten().map(|update| &update["updates"]);
        let set = updates.chain([&body["properties"]]).filter_map(Value::as_object).flatten();
        let refused = |name: &str| {
            name.starts_with("write.data.path") || (name.starts_with("write.metadata") && !METADATA_PROPERTIES.contains(&name))
        };
        if set.into_iter().any(|(name, _)| refused(name)) {
            return Some(error(StatusCode::CONFLICT, "FailedToSetProperties"));
        }
        self.service().limit(table, &kept.path)
    }

    /// Of two at once the catalog tries the loser again, twice; ours assert a head, so that does not help.
    async fn commit(&self, kept: Kept, table: String) -> Result<Answer, std::io::Error> {
        let raced = !self.service().committing.insert(table.clone());
        let answer = proxy::forward(self.lake.catalog, kept).await;
        if !raced {
            self.service().committing.remove(&table);
        }
        let answer = answer?;
        Ok(if raced && answer.0 == StatusCode::CONFLICT {
            error(StatusCode::BAD_REQUEST, "ConcurrentUpdateError")
        } else {
            answer
        })
    }

    /// A table's answer gets keys, in both places where the protocol has room for them.
    fn vend(&self, (status, headers, body): Answer) -> Answer {
        let mut loaded: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() || loaded["metadata"].is_null() || loaded.get("config").is_none() {
            return (status, headers, body);
        }
        let mut service = self.service();
        let number = service.keys.len();
        let keys = Keys {
            secret: format!("secret-{number}"),
            session: Some(format!("session-{number}")),
            until: Some(Instant::now() + service.lifetime),
        };
        let config = json!({
            "s3.access-key-id": format!("key-{number}"),
            "s3.secret-access-key": keys.secret,
            "s3.session-token": keys.session,
        });
        service.keys.insert(format!("key-{number}"), keys);
        loaded["storage-credentials"] = json!([{ "prefix": format!("s3://{BUCKET}/"), "config": config }]);
        loaded["config"] = config;
        answer(status, &loaded)
    }
}

impl Service {
    fn limit(&mut self, table: Option<&str>, path: &str) -> Option<Answer> {
        let (what, most) = match table {
            Some(table) => (table, self.most_commits),
            None if path.ends_with("/tables") => ("new tables", TABLES),
            None => ("new namespaces", NAMESPACES),
        };
        let (now, minute) = (Instant::now(), self.minute);
        let within = |times: &mut Vec<Instant>, most: usize| {
            times.retain(|at| now - *at < minute);
            times.len() < most
        };
        let whole = within(&mut self.writes, WRITES);
        let alike = self.writes_of.entry(what.to_owned()).or_default();
        let fits = whole && within(alike, most);
        if table.and_then(|table| self.told.get(table)).is_some_and(|until| now < *until) {
            self.hasty += 1;
        }
        if fits {
            self.writes.push(now);
            alike.push(now);
            return None;
        }
        self.refusals += 1;
        if let Some(table) = table {
            self.told.insert(table.to_owned(), now + minute);
        }
        let (status, mut headers, body) = error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException");
        headers.insert(RETRY_AFTER, minute.as_secs().into());
        Some((status, headers, body))
    }
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    (status, HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]), body.to_string().into())
}

fn error(status: StatusCode, kind: &str) -> Answer {
    answer(status, &json!({ "error": { "message": "by the stand-in", "type": kind, "code": status.as_u16() } }))
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    (status, HeaderMap::from_iter([(CONTENT_TYPE, "text/plain".parse().unwrap())]), Bytes::from_static(text.as_bytes()))
}
