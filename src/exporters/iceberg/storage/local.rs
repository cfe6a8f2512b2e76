//! The local warehouse: what is written is on the disk before the catalog names it.
//!
//! The library's own storage syncs data files, but neither metadata nor directories: after a power failure the catalog could name a
//! file that is not there, with the rows already gone from the log.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use iceberg::io::{
    FileMetadata, FileRead, FileWrite, InputFile, LocalFsStorage, OutputFile, Storage, StorageConfig, StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// Local files under `file://`; writes are synced together with the directories they are in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::exporters::iceberg) struct SyncedStorage {
    files: LocalFsStorage,
}

#[typetag::serde(name = "FloeSyncedStorage")]
impl StorageFactory for SyncedStorage {
    fn build(&self, _: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "FloeSyncedStorage")]
impl Storage for SyncedStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        self.files.exists(path).await
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        self.files.metadata(path).await
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        self.files.read(path).await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        self.files.reader(path).await
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let mut writer = self.writer(path).await?;
        writer.write(bytes).await?;
        writer.close().await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let path = local(path);
        let file = blocking("create", path.clone(), |path| {
            make_directory(parent(path))?;
            File::create(path)
        });
        Ok(Box::new(SyncedFile { file: Some(Arc::new(file.await?)), path }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.files.delete(path).await
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        self.files.delete_prefix(path).await
    }

    async fn delete_stream(&self, paths: BoxStream<'static, String>) -> Result<()> {
        self.files.delete_stream(paths).await
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

/// A file that is written from front to back and synced on close.
#[derive(Debug)]
struct SyncedFile {
    file: Option<Arc<File>>,
    path: PathBuf,
}

#[async_trait]
impl FileWrite for SyncedFile {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let file = self.file.clone().ok_or_else(|| failed("write to", &self.path, &io::ErrorKind::NotConnected.into()))?;
        blocking("write to", self.path.clone(), move |_| (&*file).write_all(&bytes)).await
    }

    async fn close(&mut self) -> Result<()> {
        let file = self.file.take().ok_or_else(|| failed("close", &self.path, &io::ErrorKind::NotConnected.into()))?;
        blocking("sync", self.path.clone(), move |path| {
            file.sync_all()?;
            File::open(parent(path))?.sync_all()
        })
        .await
    }
}

/// The path of a `file:` location.
pub(in crate::exporters::iceberg) fn local(location: &str) -> PathBuf {
    let path = location.strip_prefix("file://").or_else(|| location.strip_prefix("file:")).unwrap_or(location);
    PathBuf::from(path)
}

/// Makes a directory and those above it; each is synced into the one that holds it.
pub(in crate::exporters::iceberg) fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = parent(directory);
    make_directory(above)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(above)?.sync_all(),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(move || work(&path).map_err(|error| failed(action, &path, &error))).await;
    done.map_err(|error| Error::new(ErrorKind::Unexpected, "the process is shutting down").with_source(error))?
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::Unexpected, format!("cannot {action} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_in_a_new_directory_is_read_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = format!("file://{}/a/b/c.bin", directory.path().display());
        let storage = SyncedStorage::default();
        storage.write(&path, Bytes::from_static(b"rows")).await.expect("written");
        assert_eq!(storage.read(&path).await.expect("read"), Bytes::from_static(b"rows"));
        assert!(storage.exists(&path).await.expect("known"));
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_named() {
        let error = SyncedStorage::default().write("file:///proc/floe/x", Bytes::new()).await.expect_err("refused");
        assert!(error.to_string().contains("/proc/floe/x"), "{error}");
    }
}
