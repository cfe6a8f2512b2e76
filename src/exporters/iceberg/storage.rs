//! The seam to the warehouse: which storage a table's location has, and with which keys.
//!
//! | file | what it holds |
//! |---|---|
//! | `local` | files, synced before the catalog names them |
//! | `s3` | objects, in equal parts, aborted if they are not finished |

mod local;
mod s3;

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::io::{FileIO, FileIOBuilder};

#[cfg(test)]
pub(super) use local::local;
pub(super) use local::{SyncedStorage, make_directory};
pub(super) use s3::denied;

use super::committer::CatalogError;
use super::config::{CatalogConfig, IcebergConfig, R2CatalogConfig, StorageKind};
use crate::config::Secret;
use s3::{S3Settings, S3Storage};

/// Storage for what lies at `location`. `vended` is what the catalog says of it: endpoint, region, keys.
///
/// # Errors
/// When no storage fits the location, or a file with a key cannot be read now.
pub(super) fn of(config: &IcebergConfig, location: &str, vended: &HashMap<String, String>) -> Result<FileIO, CatalogError> {
    let unfit = |why: String| Err(CatalogError::Incompatible(why));
    let scheme = location.split_once(":/").map_or("file", |(scheme, _)| scheme);
    match (scheme, config.storage.kind) {
        ("file", StorageKind::Auto | StorageKind::Fs) => Ok(FileIOBuilder::new(Arc::new(SyncedStorage::default())).build()),
        ("s3" | "s3a" | "s3n", StorageKind::Auto | StorageKind::S3) => {
            Ok(FileIOBuilder::new(Arc::new(S3Storage::new(s3_settings(config, vended)?))).build())
        }
        (_, StorageKind::Auto) => unfit(format!("the table lies at {location}, expected s3:// or file://")),
        (_, kind) => unfit(format!("the table lies at {location}, which is not of `storage: {{ type: {} }}`", kind.name())),
    }
}

/// What the configuration says counts before what the catalog says. Keys come from one of the two only: static keys and a vended
/// session token do not mix.
fn s3_settings(config: &IcebergConfig, vended: &HashMap<String, String>) -> Result<S3Settings, CatalogError> {
    let said = |key: &str| vended.get(key).cloned().filter(|value| !value.is_empty());
    let storage = &config.storage;
    let r2 = match &config.catalog {
        CatalogConfig::R2(r2) => Some(r2),
        _ => None,
    };
    let endpoint = storage.endpoint.clone().or_else(|| said("s3.endpoint")).or_else(|| r2.map(R2CatalogConfig::endpoint));
    let region = storage.region.clone().or_else(|| said("client.region")).or_else(|| said("s3.region"));
    let path_style = storage.path_style.or_else(|| said("s3.path-style-access").map(|value| value == "true"));
    let mut settings = S3Settings {
        path_style: path_style.unwrap_or(endpoint.is_some()),
        endpoint,
        region,
        access_key_id: None,
        secret_access_key: None,
        session_token: None,
    };
    let derived = || r2.map_or(Ok(None), super::catalog::keys_of_token);
    if let Some(keys) = storage.keys().map_or_else(derived, |keys| Ok(Some(keys)))? {
        settings.access_key_id = Some(keys.access_key_id);
        settings.secret_access_key = Some(keys.secret_access_key);
        settings.session_token = keys.session_token;
    } else {
        settings.access_key_id = said("s3.access-key-id").map(Secret::new);
        settings.secret_access_key = said("s3.secret-access-key").map(Secret::new);
        settings.session_token = said("s3.session-token").map(Secret::new);
    }
    Ok(settings)
}

impl StorageKind {
    fn name(self) -> &'static str {
        match self {
            StorageKind::Auto => "auto",
            StorageKind::S3 => "s3",
            StorageKind::Fs => "fs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, vended: &[(&str, &str)]) -> S3Settings {
        let config: IcebergConfig = serde_saphyr::from_str(yaml).expect("parses");
        let vended = vended.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        s3_settings(&config, &vended).expect("keys")
    }

    fn exposed(secret: Option<&Secret>) -> Option<&str> {
        secret.map(Secret::expose)
    }

    const VENDED: [(&str, &str); 4] =
        [("s3.access-key-id", "v"), ("s3.secret-access-key", "w"), ("s3.session-token", "x"), ("s3.region", "eu-west-1")];

    #[test]
    fn vended_keys_are_taken_whole() {
        let settings = check("catalog: { type: rest, uri: \"http://h\" }", &VENDED);
        let keys = (
            exposed(settings.access_key_id.as_ref()),
            exposed(settings.secret_access_key.as_ref()),
            exposed(settings.session_token.as_ref()),
        );
        assert_eq!(keys, (Some("v"), Some("w"), Some("x")));
        assert_eq!((settings.region.as_deref(), settings.path_style), (Some("eu-west-1"), false));
    }

    #[test]
    fn static_keys_stand_without_the_vended_session() {
        let yaml = "catalog: { type: rest, uri: \"http://h\" }\nstorage: { endpoint: \"http://s\", access_key_id: a, secret_access_key: b }";
        let settings = check(yaml, &VENDED);
        let keys = (
            exposed(settings.access_key_id.as_ref()),
            exposed(settings.secret_access_key.as_ref()),
            exposed(settings.session_token.as_ref()),
        );
        assert_eq!(keys, (Some("a"), Some("b"), None));
        assert!(settings.path_style);
    }

    #[test]
    fn r2_has_its_endpoint_and_keys_out_of_the_token() {
        let yaml = "catalog: { type: r2, account_id: a1, bucket: b, token: abc, token_id: i }";
        let settings = check(yaml, &VENDED);
        assert_eq!(settings.endpoint.as_deref(), Some("https://a1.r2.cloudflarestorage.com"));
        assert_eq!(exposed(settings.access_key_id.as_ref()), Some("i"));
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(exposed(settings.secret_access_key.as_ref()), Some(sha256));
    }

    #[test]
    fn a_token_file_that_cannot_be_read_is_not_replaced_by_other_keys() {
        let yaml = "catalog: { type: r2, account_id: a1, bucket: b, token_file: /nowhere/token, token_id: i }";
        let config: IcebergConfig = serde_saphyr::from_str(yaml).expect("parses");
        let vended = VENDED.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let error = of(&config, "s3://b/t", &vended).expect_err("no keys");
        assert!(matches!(error, CatalogError::Unreachable(_)) && error.to_string().contains("/nowhere/token"), "{error}");
    }

    #[test]
    fn a_location_that_no_storage_fits_is_named() {
        let config: IcebergConfig = serde_saphyr::from_str("storage: { type: fs }").expect("parses");
        let error = of(&config, "s3://b/t", &HashMap::new()).expect_err("does not fit").to_string();
        assert!(error.contains("s3://b/t") && error.contains("type: fs"), "{error}");
        let error = of(&IcebergConfig::default(), "gs://b/t", &HashMap::new()).expect_err("does not fit").to_string();
        assert!(error.contains("expected s3://"), "{error}");
    }
}
