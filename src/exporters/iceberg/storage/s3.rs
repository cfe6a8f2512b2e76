//! Objects in S3 and its like. What is large goes out in parts of exactly [`PART_BYTES`], because R2 refuses parts of unequal length; what is
//! not finished is aborted, so that no half of an object stays behind and is paid for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use iceberg::{Error, ErrorKind, Result};
use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::{Operator, services};
use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// Of every part but the last. S3 wants 5 MiB at least, and takes 10,000 parts: objects up to 78 GiB.
const PART_BYTES: usize = 8 << 20;
/// One call, and one part of a body.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// How the objects are reached. Without keys: those of the environment, as the AWS clients take them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct S3Settings {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) path_style: bool,
    pub(super) access_key_id: Option<Secret>,
    pub(super) secret_access_key: Option<Secret>,
    pub(super) session_token: Option<Secret>,
}

/// Objects under `s3://bucket/`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct S3Storage {
    settings: Arc<S3Settings>,
}

impl S3Storage {
    pub(super) fn new(settings: S3Settings) -> S3Storage {
        S3Storage { settings: Arc::new(settings) }
    }

    /// An operator on the bucket of a location, and the key within it.
    fn at<'a>(&self, location: &'a str) -> Result<(Operator, &'a str)> {
        let (bucket, key) = split(location)
            .ok_or_else(|| Error::new(ErrorKind::DataInvalid, format!("expected s3://bucket/key, found {location}")))?;
        let S3Settings { endpoint, region, path_style, access_key_id, secret_access_key, session_token } = &*self.settings;
        let given = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let mut builder = services::S3::default().bucket(bucket);
        let from_environment = std::env::var("AWS_REGION").is_ok() || std::env::var("AWS_DEFAULT_REGION").is_ok();
        if let Some(region) = region.as_deref().or((!from_environment).then_some("auto")) {
            builder = builder.region(region);
        }
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(endpoint);
        }
        if !path_style {
            builder = builder.enable_virtual_host_style();
        }
        if let (Some(id), Some(secret)) = (given(access_key_id), given(secret_access_key)) {
            builder = builder.access_key_id(&id).secret_access_key(&secret).disable_ec2_metadata();
            if let Some(token) = given(session_token) {
                builder = builder.session_token(&token);
            }
        }
        let timeout = TimeoutLayer::new().with_timeout(CALL_TIMEOUT).with_io_timeout(CALL_TIMEOUT);
        let operator = Operator::new(builder).map_err(|error| failed("reach", location, error))?.finish();
        Ok((operator.layer(timeout).layer(RetryLayer::new().with_jitter()), key))
    }
}

/// The bucket and the key of `s3://bucket/key`.
fn split(location: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = location.split_once("://")?;
    let (bucket, key) = rest.split_once('/')?;
    (scheme.starts_with("s3") && !bucket.is_empty()).then_some((bucket, key))
}

fn failed(action: &str, location: &str, error: opendal::Error) -> Error {
    Error::new(ErrorKind::Unexpected, format!("cannot {action} {location}")).with_source(error)
}

/// Whether the storage refused the keys: they are wrong, or have expired.
pub(in crate::exporters::iceberg) fn denied(error: &Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<opendal::Error>() {
            let expired =
                || ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"].iter().any(|code| error.message().contains(code));
            return error.kind() == opendal::ErrorKind::PermissionDenied || expired();
        }
        source = error.source();
    }
    false
}

#[typetag::serde(name = "FloeS3Storage")]
impl StorageFactory for S3Storage {
    fn build(&self, _: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "FloeS3Storage")]
impl Storage for S3Storage {
    async fn exists(&self, path: &str) -> Result<bool> {
        let (operator, key) = self.at(path)?;
        operator.exists(key).await.map_err(|error| failed("look for", path, error))
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let (operator, key) = self.at(path)?;
        let found = operator.stat(key).await.map_err(|error| failed("look at", path, error))?;
        Ok(FileMetadata { size: found.content_length() })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let (operator, key) = self.at(path)?;
        Ok(operator.read(key).await.map_err(|error| failed("read", path, error))?.to_bytes())
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let (operator, key) = self.at(path)?;
        let reader = operator.reader(key).await.map_err(|error| failed("read", path, error))?;
        Ok(Box::new(S3Reader { reader, path: path.to_owned() }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let mut writer = self.writer(path).await?;
        writer.write(bytes).await?;
        writer.close().await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let (operator, key) = self.at(path)?;
        let writer = operator.writer_with(key).chunk(PART_BYTES).await.map_err(|error| failed("create", path, error))?;
        Ok(Box::new(S3Writer { writer: Some(writer), path: path.to_owned() }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let (operator, key) = self.at(path)?;
        operator.delete(key).await.map_err(|error| failed("delete", path, error))
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let (operator, key) = self.at(path)?;
        let key = format!("{}/", key.trim_end_matches('/'));
        operator.delete_with(&key).recursive(true).await.map_err(|error| failed("delete", path, error))
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct S3Reader {
    reader: opendal::Reader,
    path: String,
}

#[async_trait]
impl FileRead for S3Reader {
    async fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes> {
        Ok(self.reader.read(range).await.map_err(|error| failed("read", &self.path, error))?.to_bytes())
    }
}

/// An object under way; dropped before it is closed, it is aborted.
struct S3Writer {
    writer: Option<opendal::Writer>,
    path: String,
}

impl S3Writer {
    fn closed(&self) -> Error {
        Error::new(ErrorKind::Unexpected, format!("{} is closed", self.path))
    }
}

#[async_trait]
impl FileWrite for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Err(self.closed()) };
        writer.write(bytes).await.map_err(|error| failed("write to", &self.path, error))
    }

    async fn close(&mut self) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Err(self.closed()) };
        writer.close().await.map_err(|error| failed("write", &self.path, error))?;
        self.writer = None;
        Ok(())
    }
}

impl Drop for S3Writer {
    fn drop(&mut self) {
        if let (Some(mut writer), Ok(runtime)) = (self.writer.take(), tokio::runtime::Handle::try_current()) {
            // Where even this fails, the bucket's own rule for unfinished uploads is left: seven days on R2.
            runtime.spawn(async move { writer.abort().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_a_key() {
        assert_eq!(split("s3://floe/warehouse/t/data/x.parquet"), Some(("floe", "warehouse/t/data/x.parquet")));
        assert_eq!(split("s3a://floe/"), Some(("floe", "")));
        for wrong in ["s3://floe", "s3:///x", "file:///x", "/x"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_refused_or_expired_keys_are_denied() {
        let error = |kind, message: &str| failed("write", "s3://b/k", opendal::Error::new(kind, message));
        assert!(denied(&error(opendal::ErrorKind::PermissionDenied, "403")));
        assert!(denied(&error(opendal::ErrorKind::Unexpected, "S3Error { code: \"ExpiredToken\" }")));
        assert!(!denied(&error(opendal::ErrorKind::Unexpected, "503")));
        assert!(!denied(&Error::new(ErrorKind::Unexpected, "PermissionDenied")));
    }
}
