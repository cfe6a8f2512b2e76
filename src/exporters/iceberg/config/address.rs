//! Addresses of catalogs and of those who give tokens. Messages and what is printed hold no user, password or query.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// `http://` or `https://`, a host, a path, maybe a query; no user. The query is sent, and `[redacted]` where the address is printed.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct TokenUrl(String);

/// Whether it has a scheme of the web and a host, and neither user nor fragment.
pub(super) fn is_web_address(text: &str) -> bool {
    let Ok(uri) = http::Uri::try_from(text) else { return false };
    let host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    host && matches!(uri.scheme_str(), Some("http" | "https")) && !text.contains('#')
}

/// The same with nothing after the host and its port but a slash.
pub(super) fn is_server(text: &str) -> bool {
    let bare = |uri: &http::Uri| uri.path() == "/" && uri.query().is_none();
    is_web_address(text) && http::Uri::try_from(text).is_ok_and(|uri| bare(&uri))
}

/// Whether nobody on the way can read what is sent there: TLS, or this machine itself.
pub(super) fn is_private(text: &str) -> bool {
    let Ok(uri) = http::Uri::try_from(text) else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    here || uri.scheme_str() == Some("https")
}

impl TokenUrl {
    /// As requests are sent to it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Without its query.
impl fmt::Display for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split_once('?').map_or(Cow::Borrowed(self.0.as_str()), |(url, _)| format!("{url}?[redacted]").into());
        f.write_str(&shown)
    }
}

impl fmt::Debug for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TokenUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for TokenUrl {
    type Error = String;

    fn try_from(url: String) -> Result<TokenUrl, String> {
        if is_web_address(&url) {
            return Ok(TokenUrl(url));
        }
        Err("expected an address such as https://host/oauth/token, without a user: `client_id` and `client_secret` say who asks"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_user() {
        let check = |url: &str, expected: Option<&str>| {
            let read = TokenUrl::try_from(url.to_owned());
            assert!(!format!("{read:?}").contains("pa55"), "{read:?}");
            assert_eq!(read.ok().map(|url| url.to_string()).as_deref(), expected, "{url}");
        };
        check("https://h/oauth/token", Some("https://h/oauth/token"));
        check("http://127.0.0.1:8080/token?key=pa55", Some("http://127.0.0.1:8080/token?[redacted]"));
        check("https://me:pa55@h/token", None);
        check("https://pa55@h/token", None);
        check("ftp://h/pa55", None);
        check("pa55", None);
        check("https:///pa55", None);
        check("https://h/t#pa55", None);
    }

    #[test]
    fn what_goes_through_tls_or_stays_here_is_private() {
        for private in ["https://h/x", "http://127.0.0.1:8181", "http://localhost", "http://[::1]:8181/x"] {
            assert!(is_private(private), "{private}");
        }
        for open in ["http://h", "http://10.0.0.1:8181", "http://localhost.example"] {
            assert!(!is_private(open), "{open}");
        }
    }

    #[test]
    fn a_server_has_nothing_after_its_port() {
        for server in ["http://127.0.0.1:9000", "https://h", "https://h/", "http://[::1]:9000/"] {
            assert!(is_server(server), "{server}");
        }
        for other in
            ["http://h/floe", "http://h//", "http://h?a", "http://h/?a", "http://h#a", "http://u@h", "http://", "h:9000", ""]
        {
            assert!(!is_server(other), "{other}");
        }
    }
}
