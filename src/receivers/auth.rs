//! Who may send: bearer tokens, and the certificate that a receiver shows.
//!
//! The keys are those of the Collector: `auth` and `tls` of a protocol, and the extension `bearertokenauth`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::{Secret, Span};

/// `auth`: which extension knows the senders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The id of an extension: `bearertokenauth`, or `bearertokenauth/name`.
    pub authenticator: String,
}

/// `tls`: PEM files, read again when they have changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, and those between it and the authority.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// From one look at the files to the next. Default 60s; the Collector's is never.
    #[serde(default = "reload_interval")]
    pub reload_interval: Span,
}

fn reload_interval() -> Span {
    Span(Duration::from_mins(1))
}

/// `extensions.bearertokenauth`: the tokens that senders may have.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BearerTokenAuthConfig {
    /// Before the token. Default `Bearer`.
    pub scheme: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Secret>,
    /// One token a line; read again when it has changed. Instead of the other two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<PathBuf>,
}

impl Default for BearerTokenAuthConfig {
    fn default() -> BearerTokenAuthConfig {
        BearerTokenAuthConfig { scheme: "Bearer".to_owned(), token: None, tokens: Vec::new(), filename: None }
    }
}

impl BearerTokenAuthConfig {
    /// What does not go together.
    pub fn contradiction(&self) -> Option<&'static str> {
        let given = self.token.iter().chain(&self.tokens);
        match (given.clone().count(), &self.filename) {
            (0, None) => Some("expected `token`, `tokens` or `filename`, found none"),
            (1.., Some(_)) => Some("`filename` takes the place of `token` and `tokens`; keep one"),
            _ if given.clone().any(|token| token.expose().is_empty()) => {
                Some("expected a token, found an empty one: anybody would have it")
            }
            _ if !given.clone().all(Secret::is_word) => {
                Some("expected tokens of visible ASCII, found a space, a line break or another sign: nobody could send it")
            }
            _ if self.scheme.is_empty() || !self.scheme.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some("expected one word in `scheme`, such as `Bearer`: nobody could send another")
            }
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("expected tokens, one a line, in {path}", path = .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The extensions of a configuration by their ids.
pub type Authenticators = HashMap<String, Arc<Tokens>>;

/// The tokens of one extension, as hashes: to compare them takes the same time whichever is sent.
pub struct Tokens {
    scheme: String,
    file: Option<PathBuf>,
    current: Mutex<Current>,
}

type Hash = [u8; 32];

struct Current {
    hashes: Vec<Hash>,
    version: Option<(SystemTime, u64)>,
}

impl Tokens {
    pub fn load(config: &BearerTokenAuthConfig) -> Result<Tokens, AuthError> {
        let (hashes, version) = match &config.filename {
            Some(path) => (read(path)?, version(path)),
            None => (config.token.iter().chain(&config.tokens).map(|token| hash(token.expose())).collect(), None),
        };
        let current = Mutex::new(Current { hashes, version });
        Ok(Tokens { scheme: config.scheme.clone(), file: config.filename.clone(), current })
    }

    /// Whether a request shows one of them.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
        let Some((scheme, token)) = value.split_once(' ') else { return false };
        let sent = hash(token.trim());
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.renew(&mut current);
        // Every one is compared in full: how long it takes says nothing.
        let found = current.hashes.iter().fold(false, |found, known| found | same(known, &sent));
        found && scheme.eq_ignore_ascii_case(&self.scheme)
    }

    fn renew(&self, current: &mut Current) {
        let Some(path) = &self.file else { return };
        let found = version(path);
        if found == current.version {
            return;
        }
        current.version = found;
        match read(path) {
            Ok(hashes) => {
                tracing::info!(file = %path.display(), tokens = hashes.len(), "the tokens were read again");
                current.hashes = hashes;
            }
            Err(error) => tracing::warn!(%error, "the new tokens are not used; the old ones go on"),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("file", &self.file).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<Hash>, AuthError> {
    let failed = |source| AuthError::File { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let hashes: Vec<Hash> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(hash).collect();
    if hashes.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "the file is empty")));
    }
    Ok(hashes)
}

fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

fn same(a: &Hash, b: &Hash) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> BearerTokenAuthConfig {
        serde_saphyr::from_str(yaml).expect("parses")
    }

    fn admits(tokens: &Tokens, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().expect("a value"));
        tokens.admit(&headers)
    }

    #[test]
    fn one_of_the_tokens_after_the_scheme_is_admitted_and_nothing_else() {
        let tokens = Tokens::load(&config("{ token: one, tokens: [two, three] }")).expect("loads");
        for value in ["Bearer one", "bearer two", "BEARER  three"] {
            assert!(admits(&tokens, value), "{value}");
        }
        for value in ["Bearer", "Bearer ", "one", "Basic one", "Bearer on", "Bearer one2", "Bearer one two"] {
            assert!(!admits(&tokens, value), "{value}");
        }
        assert!(!tokens.admit(&HeaderMap::new()));
        let scheme = Tokens::load(&config("{ scheme: Token, token: one }")).expect("loads");
        assert!(admits(&scheme, "Token one") && !admits(&scheme, "Bearer one"));
    }

    #[test]
    fn a_file_is_read_again_when_it_changes_and_kept_when_it_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tokens");
        std::fs::write(&path, "old\n\n").expect("written");
        let tokens = Tokens::load(&config(&format!("{{ filename: {} }}", path.display()))).expect("loads");
        assert!(admits(&tokens, "Bearer old") && !admits(&tokens, "Bearer "));
        std::fs::write(&path, "newer\nsecond\n").expect("written");
        assert!(!admits(&tokens, "Bearer old") && admits(&tokens, "Bearer newer") && admits(&tokens, "Bearer second"));
        for broken in [Some(""), None] {
            match broken {
                Some(text) => std::fs::write(&path, text).expect("written"),
                None => std::fs::remove_file(&path).expect("removed"),
            }
            assert!(admits(&tokens, "Bearer newer"), "{broken:?}");
        }
        assert!(Tokens::load(&config(&format!("{{ filename: {} }}", path.display()))).is_err());
    }

    #[test]
    fn what_would_admit_anybody_or_says_it_twice_is_refused() {
        for (yaml, word) in [
            ("{}", "found none"),
            ("{ token: \"\" }", "empty"),
            ("{ tokens: [a, \"\"] }", "empty"),
            ("{ token: a, filename: f }", "keep one"),
            ("{ token: \"a\\nb\" }", "nobody could send it"),
            ("{ tokens: [a, \" a \"] }", "nobody could send it"),
            ("{ token: \"é\" }", "nobody could send it"),
            ("{ token: a, scheme: \"\" }", "`scheme`"),
            ("{ filename: f, scheme: \"My Scheme\" }", "`scheme`"),
        ] {
            assert!(config(yaml).contradiction().is_some_and(|why| why.contains(word)), "{yaml}");
        }
        assert_eq!(config("{ tokens: [a] }").contradiction(), None);
        assert!(!format!("{:?}", Tokens::load(&config("{ token: s3cret }"))).contains("s3cret"));
    }
}
