//! CORS, for SDKs in browsers: which pages may send, with the keys and the meaning of the Collector's `confighttp`.
//!
//! A preflight is answered here and goes no further. Every other reply, refusals among them, is marked for the origin that asked; without
//! that mark a page cannot read why it was refused, and would not know to wait. Pages may send credentials, as in the Collector.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `http.cors`. Without `allowed_origins` no page may send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins such as `https://shop.example`; one `*` in each stands for any text, also for none.
    #[schemars(with = "Vec<String>")]
    pub allowed_origins: Vec<Origin>,
    /// Headers that a page may set; `*` allows all. Default: `accept`, `content-type`, `x-requested-with`.
    pub allowed_headers: Vec<String>,
    /// For how many seconds a browser may keep the answer to a preflight. Default 0: as long as it likes.
    pub max_age: u32,
}

/// An allowed origin: what stands before its `*`, and what after it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    head: String,
    tail: Option<String>,
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Origin, String> {
        let lower = text.to_ascii_lowercase();
        match lower.split_once('*') {
            _ if text.is_empty() => Err("expected an origin such as https://shop.example, found nothing".to_owned()),
            Some((_, tail)) if tail.contains('*') => Err(format!("expected an origin with one `*` at most, found `{text}`")),
            Some((head, tail)) => Ok(Origin { head: head.to_owned(), tail: Some(tail.to_owned()) }),
            None => Ok(Origin { head: lower, tail: None }),
        }
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        match origin.tail {
            Some(tail) => format!("{}*{tail}", origin.head),
            None => origin.head,
        }
    }
}

impl Origin {
    fn is_any(&self) -> bool {
        self.head.is_empty() && self.tail.as_deref() == Some("")
    }

    /// `origin` in lower case.
    fn allows(&self, origin: &str) -> bool {
        match &self.tail {
            None => origin == self.head,
            Some(tail) => origin.strip_prefix(&self.head).is_some_and(|rest| rest.ends_with(tail.as_str())),
        }
    }
}

/// Decides for every request.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<Origin>,
    /// In lower case; `None` allows all.
    headers: Option<Vec<String>>,
    max_age: u32,
}

/// What a page may always set, in the Collector too.
const DEFAULT_HEADERS: [&str; 3] = ["accept", "content-type", "x-requested-with"];
const METHODS: [Method; 3] = [Method::POST, Method::GET, Method::HEAD];
const ASKED: HeaderValue = HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

impl Cors {
    /// `None` where no origin is allowed.
    pub fn new(config: &CorsConfig) -> Option<Cors> {
        if config.allowed_origins.is_empty() {
            return None;
        }
        let lower = |header: &String| header.to_ascii_lowercase();
        let headers = match config.allowed_headers.as_slice() {
            [] => Some(DEFAULT_HEADERS.map(str::to_owned).to_vec()),
            headers if headers.iter().any(|header| header == "*") => None,
            headers => Some(headers.iter().map(lower).collect()),
        };
        Some(Cors { origins: config.allowed_origins.clone(), headers, max_age: config.max_age })
    }

    /// Whether a browser asks what it may send.
    pub fn is_preflight(head: &Parts) -> bool {
        head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Fills the headers of the answer to a preflight. `false`: it may not, and the answer says nothing.
    pub fn answer_preflight(&self, asked: &HeaderMap, reply: &mut HeaderMap) -> bool {
        reply.append(VARY, ASKED);
        let Some(origin) = self.allowed(asked) else { return false };
        let Some(method) = asked.get(ACCESS_CONTROL_REQUEST_METHOD) else { return false };
        if !METHODS.iter().any(|allowed| allowed.as_str().as_bytes() == method.as_bytes()) {
            return false;
        }
        let headers = asked.get(ACCESS_CONTROL_REQUEST_HEADERS);
        if !headers.is_none_or(|headers| self.allows_headers(headers)) {
            return false;
        }
        self.mark(origin, reply);
        reply.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        if let Some(headers) = headers {
            reply.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        if self.max_age > 0 {
            reply.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age));
        }
        true
    }

    /// Marks any other reply.
    pub fn mark_reply(&self, asked: &HeaderMap, reply: &mut HeaderMap) {
        reply.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed(asked) {
            self.mark(origin, reply);
            // Without it a page cannot read when to come back.
            reply.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
        }
    }

    fn mark(&self, origin: &HeaderValue, reply: &mut HeaderMap) {
        let any = self.origins.iter().any(Origin::is_any);
        let allowed = if any { HeaderValue::from_static("*") } else { origin.clone() };
        reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        reply.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }

    fn allowed<'a>(&self, asked: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = asked.get(ORIGIN)?;
        let lower = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.iter().any(|allowed| allowed.allows(&lower)).then_some(origin)
    }

    fn allows_headers(&self, asked: &HeaderValue) -> bool {
        let (Some(allowed), Ok(asked)) = (&self.headers, asked.to_str()) else { return self.headers.is_none() };
        let mut words = asked.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.all(|word| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, allows: &[&str], refuses: &[&str]) {
        let pattern = Origin::try_from(pattern.to_owned()).unwrap();
        assert!(allows.iter().all(|origin| pattern.allows(origin)), "{pattern:?} {allows:?}");
        assert!(!refuses.iter().any(|origin| pattern.allows(origin)), "{pattern:?} {refuses:?}");
    }

    #[test]
    fn an_origin_is_allowed_by_its_name_or_around_one_star() {
        check("https://Shop.example", &["https://shop.example"], &["http://shop.example", "https://shop.example:8443", ""]);
        check("https://*.example", &["https://a.example", "https://a.b.example"], &["https://example", "https://a.example.org"]);
        check("http://localhost:*", &["http://localhost:3000"], &["http://localhost", "https://localhost:3000"]);
        check("https://a*a.example", &["https://aa.example"], &["https://a.example"]);
        check("*", &["null", "https://a.example"], &[]);
        assert!(Origin::try_from("https://*.*".to_owned()).unwrap_err().contains("one `*` at most"));
        assert!(Origin::try_from(String::new()).is_err());
    }
}
