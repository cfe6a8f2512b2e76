//! `storage`: where the files of the tables lie, beside what the catalog says of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::is_server;
use super::none_if_empty;
use crate::config::Secret;

/// How the files are reached. Left out, the scheme of a table's location decides, and the catalog's word counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    #[serde(rename = "type")]
    pub kind: StorageKind,
    /// `s3`: the server, for example `http://127.0.0.1:9000`, without a path: the bucket stands in the location of each table. Default: the
    /// catalog's word, else AWS.
    #[serde(deserialize_with = "none_if_empty", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `s3`: default the catalog's word, else `AWS_REGION`, else `auto`.
    #[serde(deserialize_with = "none_if_empty", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// `s3`: the bucket stands in the path instead of the host's name. Default: the catalog's word, else true where `endpoint` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// `s3`: static keys, used instead of what the catalog vends. Without either, those of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Secret>,
    /// `s3`: belongs to temporary keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
}

/// Which kind of storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// By the location of each table: `s3://` or `file://`.
    #[default]
    Auto,
    /// Objects in S3, R2, MinIO and their like.
    S3,
    /// Files of this machine, or on a file system that every reader mounts at the same place.
    Fs,
}

/// Keys that were given in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticKeys {
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

impl StorageConfig {
    /// The keys of the configuration; an empty value is none.
    pub fn keys(&self) -> Option<StaticKeys> {
        let given = |key: &Option<Secret>| key.clone().filter(|key| !key.expose().is_empty());
        Some(StaticKeys {
            access_key_id: given(&self.access_key_id)?,
            secret_access_key: given(&self.secret_access_key)?,
            session_token: given(&self.session_token),
        })
    }

    /// What does not go together.
    pub fn contradiction(&self) -> Option<String> {
        let given = |key: &Option<Secret>| key.as_ref().is_some_and(|key| !key.expose().is_empty());
        let (id, secret, session) = (given(&self.access_key_id), given(&self.secret_access_key), given(&self.session_token));
        if id != secret || (session && !id) {
            return Some("`storage` wants `access_key_id` and `secret_access_key` together".to_owned());
        }
        let s3 = id || self.endpoint.is_some() || self.region.is_some() || self.path_style.is_some();
        if self.kind == StorageKind::Fs && s3 {
            return Some("`storage: { type: fs }` has no further settings".to_owned());
        }
        // Not shown: it may hold a password.
        let wrong = self.endpoint.as_ref().is_some_and(|endpoint| !is_server(endpoint));
        wrong.then(|| {
            "expected a server such as https://host:9000 in `storage.endpoint`, without a user, a path (the bucket stands in the location of \
             each table), a query or a fragment"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str) -> Result<StorageConfig, String> {
        let config: StorageConfig = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        config.contradiction().map_or(Ok(config), Err)
    }

    #[test]
    fn the_documented_section_parses_and_hides_its_keys() {
        let config = check(
            "{ type: s3, endpoint: \"http://127.0.0.1:9000\", region: us-east-1, path_style: true, access_key_id: a, secret_access_key: b }",
        )
        .expect("parses");
        assert_eq!(config.keys().expect("keys").secret_access_key.expose(), "b");
        assert!(!serde_json::to_string(&config).expect("printed").contains("\"b\""));
    }

    #[test]
    fn empty_keys_are_none() {
        assert_eq!(check("{ type: s3, access_key_id: \"\", secret_access_key: \"\" }").expect("parses").keys(), None);
    }

    #[test]
    fn an_endpoint_is_a_server_alone_and_a_refused_one_is_not_shown() {
        for endpoint in [
            "http://127.0.0.1:9000/floe",
            "https://a.r2.cloudflarestorage.com/bucket",
            "http://user:pa55word@h",
            "user:pa55word@h:9000",
            "http://h?key=pa55word",
            "http://h#pa55word",
            "http://",
        ] {
            let error = check(&format!("{{ endpoint: \"{endpoint}\" }}")).expect_err(endpoint);
            assert!(error.contains("`storage.endpoint`") && !error.contains("pa55word"), "{endpoint}: {error}");
        }
        assert!(check("{ endpoint: \"https://h:9000/\" }").is_ok());
    }

    #[test]
    fn an_empty_endpoint_or_region_is_none() {
        assert_eq!(check("{ endpoint: \"\", region: \"\" }"), Ok(StorageConfig::default()));
    }

    #[test]
    fn half_a_pair_of_keys_and_settings_of_another_kind_are_refused() {
        for (yaml, word) in [
            ("{ access_key_id: a }", "together"),
            ("{ session_token: a }", "together"),
            ("{ type: fs, region: auto }", "no further settings"),
            ("{ endpoint: \"127.0.0.1:9000\" }", "https://host:9000"),
            ("{ type: gcs }", "gcs"),
            ("{ bucket: b }", "bucket"),
        ] {
            let error = check(yaml).expect_err(yaml);
            assert!(error.contains(word), "{yaml}: {error}");
        }
    }
}
