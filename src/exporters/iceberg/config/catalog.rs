//! `catalog`: which catalog holds the tables, and how floe proves who it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::{TokenUrl, is_private, is_web_address};
use super::{SqliteUri, Warehouse, none_if_empty};
use crate::config::Secret;

/// The catalog that holds the tables.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "CatalogSettings", into = "CatalogSettings")]
pub enum CatalogConfig {
    Sql(SqlCatalogConfig),
    Rest(RestCatalogConfig),
    R2(R2CatalogConfig),
}

/// An SQLite file and a local warehouse.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlCatalogConfig {
    /// `sqlite://` and a path; the file is created. Default `sqlite://floe-data/catalog.db`.
    pub uri: SqliteUri,
    /// The directory of the tables; created. Default `floe-data/warehouse`.
    pub warehouse: Warehouse,
}

/// A catalog that speaks the Iceberg REST protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct RestCatalogConfig {
    /// `http://` or `https://`, without `/v1` and without a slash at the end.
    pub uri: String,
    /// The catalog's own name for a warehouse; asked for without one if it is absent.
    pub warehouse: Option<String>,
    pub token: Option<Token>,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
    pub tls: TlsConfig,
}

/// Cloudflare's R2 Data Catalog (Basin Catalog): a REST catalog whose addresses follow from account and bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct R2CatalogConfig {
    pub account_id: String,
    pub bucket: String,
    /// With it the S3 keys follow from the token, and the catalog's vended credentials are not used.
    pub token_id: Option<String>,
    pub rest: RestCatalogConfig,
}

/// A bearer token; the file that holds one, read again for every request; or who gives one.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Value(Secret),
    File(PathBuf),
    OAuth2(OAuth2Config),
}

/// A token for an id and a secret (RFC 6749, 4.4), asked for again before it expires.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Config {
    pub client_id: String,
    pub client_secret: Secret,
    /// Who gives the token; default the catalog itself, `<uri>/v1/oauth/tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<TokenUrl>,
    /// Default `catalog`.
    #[serde(default = "catalog_scope")]
    pub scopes: Vec<String>,
}

fn catalog_scope() -> Vec<String> {
    vec!["catalog".to_owned()]
}

/// What the catalog's certificate is checked with, and floe's own. PEM files, read when floe connects, which it does anew when looks fail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Trusted beside the usual authorities.
    #[serde(deserialize_with = "none_if_empty", skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// floe's certificate, with `key_file`.
    #[serde(deserialize_with = "none_if_empty", skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    #[serde(deserialize_with = "none_if_empty", skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// Which kind of catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CatalogKind {
    /// An SQLite file that PyIceberg's `SqlCatalog("default", …)` reads and writes as well.
    #[default]
    Sql,
    /// Any catalog that speaks the Iceberg REST protocol.
    Rest,
    /// Cloudflare's R2 Data Catalog, now Basin Catalog.
    R2,
}

/// `catalog: …` as it is written; which settings belong together is checked when it becomes a [`CatalogConfig`].
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct CatalogSettings {
    #[serde(rename = "type")]
    kind: CatalogKind,
    /// `sql`: `sqlite://` and a path, by default `sqlite://floe-data/catalog.db`. `rest`: the catalog's address, `http://` or `https://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// `sql`: the directory of the tables, by default `floe-data/warehouse`. `rest`: the catalog's own name for a warehouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    warehouse: Option<String>,
    /// `rest`, `r2`: a bearer token. Empty is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
    /// `rest`, `r2`: a file that holds the token, read again for every request.
    #[serde(deserialize_with = "none_if_empty", skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    /// `rest`: a token for an id and a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth2: Option<OAuth2Config>,
    /// `rest`, `r2`: sent with every request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Secret>,
    /// `rest`, `r2`: certificates of https.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsConfig>,
    /// `r2`: the Cloudflare account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    /// `r2`: the bucket whose catalog is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    /// `r2`: the id of the token, where the S3 keys are to be derived from it instead of vended.
    #[serde(deserialize_with = "none_if_empty", skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
}

impl CatalogConfig {
    /// The REST catalog behind it; `None` for an SQLite file.
    pub fn rest(&self) -> Option<&RestCatalogConfig> {
        match self {
            CatalogConfig::Sql(_) => None,
            CatalogConfig::Rest(rest) => Some(rest),
            CatalogConfig::R2(r2) => Some(&r2.rest),
        }
    }

    /// Whether a token goes over a network unencrypted.
    pub fn sends_in_clear(&self) -> bool {
        self.rest().is_some_and(|rest| rest.token.is_some() && !is_private(&rest.uri))
    }

    /// Whether other processes elsewhere can write to the same tables.
    pub fn is_shared(&self) -> bool {
        self.rest().is_some()
    }

    /// Where it is, in words: equal for two configurations of one catalog.
    pub fn place(&self) -> String {
        match self {
            CatalogConfig::Sql(sql) => sql.uri.path().unwrap_or_default().display().to_string(),
            CatalogConfig::Rest(rest) | CatalogConfig::R2(R2CatalogConfig { rest, .. }) => match &rest.warehouse {
                Some(warehouse) => format!("warehouse {warehouse} of {}", rest.uri),
                None => rest.uri.clone(),
            },
        }
    }
}

impl R2CatalogConfig {
    /// The account's S3 endpoint.
    pub fn endpoint(&self) -> String {
        format!("https://{}.r2.cloudflarestorage.com", self.account_id)
    }
}

impl Default for CatalogConfig {
    fn default() -> CatalogConfig {
        CatalogConfig::Sql(SqlCatalogConfig::default())
    }
}

impl Default for SqlCatalogConfig {
    fn default() -> SqlCatalogConfig {
        SqlCatalogConfig {
            uri: SqliteUri(PathBuf::from("floe-data/catalog.db")),
            warehouse: Warehouse(PathBuf::from("floe-data/warehouse")),
        }
    }
}

impl TryFrom<CatalogSettings> for CatalogConfig {
    type Error = String;

    fn try_from(settings: CatalogSettings) -> Result<CatalogConfig, String> {
        settings.refuse_foreign()?;
        match settings.kind {
            CatalogKind::Sql => {
                let default = SqlCatalogConfig::default();
                let uri = settings.uri.map(SqliteUri::try_from).transpose()?;
                let warehouse = settings.warehouse.map(Warehouse::try_from).transpose()?;
                Ok(CatalogConfig::Sql(SqlCatalogConfig {
                    uri: uri.unwrap_or(default.uri),
                    warehouse: warehouse.unwrap_or(default.warehouse),
                }))
            }
            CatalogKind::Rest => {
                let uri = settings.uri.clone().ok_or("`catalog.uri` is missing: the address of the REST catalog")?;
                Ok(CatalogConfig::Rest(settings.rest(&uri, None)?))
            }
            CatalogKind::R2 => {
                let account_id = settings.account_id.clone().filter(|id| is_name(id));
                let account_id = account_id.ok_or("expected `catalog.account_id`, the Cloudflare account in hexadecimal")?;
                let bucket = settings.bucket.clone().filter(|bucket| is_name(bucket));
                let bucket = bucket.ok_or("expected `catalog.bucket`, the bucket whose catalog is enabled")?;
                let uri = format!("https://catalog.cloudflarestorage.com/{account_id}/{bucket}");
                let rest = settings.rest(settings.uri.as_ref().unwrap_or(&uri), Some(format!("{account_id}_{bucket}")))?;
                if rest.token.is_none() {
                    return Err("expected `catalog.token` or `catalog.token_file`: R2 wants a Cloudflare API token".to_owned());
                }
                Ok(CatalogConfig::R2(R2CatalogConfig { account_id, bucket, token_id: settings.token_id, rest }))
            }
        }
    }
}

impl CatalogSettings {
    /// A setting of another kind would be ignored; nothing is.
    fn refuse_foreign(&self) -> Result<(), String> {
        let (kind, sql, r2) = (&self.kind, CatalogKind::Sql, CatalogKind::R2);
        let given = [
            ("token", self.token.is_some(), *kind != sql),
            ("token_file", self.token_file.is_some(), *kind != sql),
            ("oauth2", self.oauth2.is_some(), *kind == CatalogKind::Rest),
            ("headers", !self.headers.is_empty(), *kind != sql),
            ("tls", self.tls.is_some(), *kind != sql),
            ("account_id", self.account_id.is_some(), *kind == r2),
            ("bucket", self.bucket.is_some(), *kind == r2),
            ("token_id", self.token_id.is_some(), *kind == r2),
        ];
        match given.into_iter().find(|(_, given, fits)| *given && !fits) {
            Some((name, ..)) => Err(format!("`catalog.{name}` does not belong to `type: {}`", kind.name())),
            None => Ok(()),
        }
    }

    fn rest(&self, uri: &str, warehouse: Option<String>) -> Result<RestCatalogConfig, String> {
        let trimmed = uri.trim_end_matches('/').trim_end_matches("/v1");
        if !is_web_address(trimmed) || trimmed.contains(['?', '@']) {
            let message =
                "expected the address of a REST catalog such as https://host/path in `catalog.uri`, without a user or a query";
            return Err(message.to_owned());
        }
        let value = self.token.clone().filter(|token| !token.expose().is_empty()).map(Token::Value);
        let mut tokens =
            value.into_iter().chain(self.token_file.clone().map(Token::File)).chain(self.oauth2.clone().map(Token::OAuth2));
        let token = tokens.next();
        if tokens.next().is_some() {
            return Err("of `catalog.token`, `catalog.token_file` and `catalog.oauth2` keep one".to_owned());
        }
        match &token {
            Some(Token::Value(token)) if !token.is_word() => {
                return Err("expected one token in `catalog.token`, found a space or a line break within".to_owned());
            }
            Some(Token::OAuth2(oauth2)) if oauth2.client_id.is_empty() || oauth2.client_secret.expose().is_empty() => {
                return Err("expected `client_id` and `client_secret` in `catalog.oauth2`, found an empty one".to_owned());
            }
            Some(_) if self.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) => {
                return Err(
                    "`catalog.headers` has `Authorization` beside a token, which is sent in its place; keep one".to_owned()
                );
            }
            _ => {}
        }
        let tls = self.tls.clone().unwrap_or_default();
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return Err("`catalog.tls` wants `cert_file` and `key_file` together".to_owned());
        }
        for (name, value) in &self.headers {
            let valid = http::HeaderName::try_from(name).is_ok() && http::HeaderValue::try_from(value.expose()).is_ok();
            if !valid {
                return Err(format!("`catalog.headers` has `{name}`, which is no valid header"));
            }
        }
        let warehouse = self.warehouse.clone().filter(|warehouse| !warehouse.is_empty()).or(warehouse);
        Ok(RestCatalogConfig { uri: trimmed.to_owned(), warehouse, token, headers: self.headers.clone(), tls })
    }
}

impl CatalogKind {
    fn name(self) -> &'static str {
        match self {
            CatalogKind::Sql => "sql",
            CatalogKind::Rest => "rest",
            CatalogKind::R2 => "r2",
        }
    }
}

impl From<CatalogConfig> for CatalogSettings {
    fn from(config: CatalogConfig) -> CatalogSettings {
        let rest = |kind, rest: RestCatalogConfig| {
            let (uri, warehouse, headers) = (Some(rest.uri), rest.warehouse, rest.headers);
            let tls = Some(rest.tls).filter(|tls| *tls != TlsConfig::default());
            let mut settings = CatalogSettings { kind, uri, warehouse, headers, tls, ..CatalogSettings::default() };
            match rest.token {
                Some(Token::Value(token)) => settings.token = Some(token),
                Some(Token::File(file)) => settings.token_file = Some(file),
                Some(Token::OAuth2(oauth2)) => settings.oauth2 = Some(oauth2),
                None => {}
            }
            settings
        };
        match config {
            CatalogConfig::Sql(sql) => CatalogSettings {
                uri: Some(String::from(sql.uri)),
                warehouse: Some(sql.warehouse.0.display().to_string()),
                ..CatalogSettings::default()
            },
            CatalogConfig::Rest(config) => rest(CatalogKind::Rest, config),
            CatalogConfig::R2(r2) => CatalogSettings {
                account_id: Some(r2.account_id),
                bucket: Some(r2.bucket),
                token_id: r2.token_id,
                ..rest(CatalogKind::R2, r2.rest)
            },
        }
    }
}

/// Of an account or a bucket: what an address is made of.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str) -> Result<CatalogConfig, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    fn rest(yaml: &str) -> RestCatalogConfig {
        check(yaml).expect("parses").rest().expect("rest").clone()
    }

    #[test]
    fn a_rest_catalog_has_an_address_a_warehouse_and_a_token() {
        let config = rest(
            "{ type: rest, uri: \"http://127.0.0.1:8181/v1/\", warehouse: \"s3://floe/warehouse\", token: t, headers: { X-Tenant: a } }",
        );
        assert_eq!((config.uri.as_str(), config.warehouse.as_deref()), ("http://127.0.0.1:8181", Some("s3://floe/warehouse")));
        assert_eq!(config.token, Some(Token::Value(Secret::new("t"))));
        assert_eq!(config.headers["X-Tenant"].expose(), "a");
    }

    #[test]
    fn an_empty_token_is_none_and_a_file_is_kept_as_a_path() {
        assert_eq!(rest("{ type: rest, uri: \"http://h\", token: \"\" }").token, None);
        let file = rest("{ type: rest, uri: \"http://h\", token_file: /run/token }").token;
        assert_eq!(file, Some(Token::File(PathBuf::from("/run/token"))));
    }

    #[test]
    fn an_id_and_a_secret_stand_for_a_token_and_come_back_as_they_were() {
        let yaml =
            "{ type: rest, uri: \"https://h\", oauth2: { client_id: i, client_secret: s3cret }, tls: { ca_file: ca.pem } }";
        let config = rest(yaml);
        let Some(Token::OAuth2(oauth2)) = &config.token else { panic!("no oauth2") };
        assert_eq!((oauth2.client_id.as_str(), oauth2.scopes.as_slice()), ("i", ["catalog".to_owned()].as_slice()));
        assert_eq!(config.tls.ca_file, Some(PathBuf::from("ca.pem")));
        let printed = serde_json::to_string(&CatalogConfig::Rest(config)).expect("printed");
        assert!(printed.contains("\"client_id\":\"i\"") && !printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn r2_needs_account_bucket_and_token_only() {
        let config = check("{ type: r2, account_id: a1, bucket: b-2, token: t }").expect("parses");
        let rest = config.rest().expect("rest");
        assert_eq!(rest.uri, "https://catalog.cloudflarestorage.com/a1/b-2");
        assert_eq!(rest.warehouse.as_deref(), Some("a1_b-2"));
        let CatalogConfig::R2(r2) = config else { panic!("no r2") };
        assert_eq!(r2.endpoint(), "https://a1.r2.cloudflarestorage.com");
    }

    #[test]
    fn what_does_not_belong_together_is_refused_by_name() {
        for (yaml, word) in [
            ("{ type: rest }", "catalog.uri"),
            ("{ type: rest, uri: \"sqlite://x\" }", "https://host/path"),
            ("{ type: rest, uri: \"http://h\", token: t, token_file: f }", "keep one"),
            ("{ type: rest, uri: \"http://h\", token: t, oauth2: { client_id: i, client_secret: s } }", "keep one"),
            ("{ type: rest, uri: \"http://h\", oauth2: { client_id: i } }", "client_secret"),
            ("{ type: r2, account_id: a, bucket: b, oauth2: { client_id: i, client_secret: s } }", "catalog.oauth2"),
            ("{ type: rest, uri: \"https://h\", tls: { cert_file: c } }", "key_file"),
            ("{ type: rest, uri: \"http://h\", headers: { \"a b\": c } }", "a b"),
            ("{ type: rest, uri: \"http://h\", bucket: b }", "catalog.bucket"),
            ("{ type: rest, uri: \"http://h\", token: \"a\\nb\" }", "`catalog.token`, found a space or a line break"),
            ("{ type: rest, uri: \"http://h\", token: \" a\" }", "`catalog.token`, found a space or a line break"),
            ("{ type: rest, uri: \"http://h\", oauth2: { client_id: \"\", client_secret: s } }", "found an empty one"),
            ("{ type: rest, uri: \"http://h\", oauth2: { client_id: i, client_secret: \"\" } }", "found an empty one"),
            ("{ type: rest, uri: \"http://h\", token: t, headers: { authorization: x } }", "keep one"),
            ("{ type: sql, token: t }", "catalog.token"),
            ("{ type: r2, bucket: b, token: t }", "account_id"),
            ("{ type: r2, account_id: a, bucket: b }", "catalog.token"),
            ("{ type: hive }", "hive"),
        ] {
            let error = check(yaml).expect_err(yaml);
            assert!(error.contains(word), "{yaml}: {error}");
        }
    }

    #[test]
    fn what_comes_empty_out_of_the_environment_is_none() {
        let tls = "tls: { ca_file: \"\", cert_file: \"\", key_file: \"\" }";
        let config = rest(&format!("{{ type: rest, uri: \"http://h\", token_file: \"\", token: \"\", warehouse: \"\", {tls} }}"));
        assert_eq!((config.token, config.warehouse, config.tls), (None, None, TlsConfig::default()));
        let config = check("{ type: r2, account_id: a, bucket: b, token: t, token_id: \"\" }").expect("parses");
        assert!(matches!(config, CatalogConfig::R2(R2CatalogConfig { token_id: None, .. })), "{config:?}");
    }

    #[test]
    fn a_refused_address_is_not_shown() {
        for uri in ["http://u:pa55word@h", "http://h?token=pa55word", "http://h#pa55word", "postgres://u:pa55word@h"] {
            for kind in ["rest", "sql"] {
                let error = check(&format!("{{ type: {kind}, uri: \"{uri}\" }}")).expect_err(uri);
                assert!(error.contains("catalog.uri") && !error.contains("pa55word"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_printed_shows_no_token() {
        let oauth2 = "{ client_id: i, client_secret: s3cret, token_url: \"https://h/t?key=s3cret\" }";
        let config = check(&format!("{{ type: rest, uri: \"http://h\", oauth2: {oauth2} }}")).expect("parses");
        let printed = serde_json::to_string(&config).expect("printed");
        assert!(!printed.contains("s3cret") && printed.contains("https://h/t?[redacted]"), "{printed}");
        assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
        let config = check("{ type: r2, account_id: a, bucket: b, token: s3cret }").expect("parses");
        let printed = serde_json::to_string(&config).expect("printed");
        assert!(!printed.contains("s3cret") && printed.contains("\"bucket\":\"b\""), "{printed}");
    }
}
