//! TLS of a listener: a certificate and its key from PEM files, read again when they have changed, so that a renewed one needs no restart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::address::Stream;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("expected certificates in PEM form in {path}: {why}", path = .path.display())]
    Certificate { path: PathBuf, why: String },
    #[error("expected a private key in PEM form in {path}: {why}", path = .path.display())]
    Key { path: PathBuf, why: String },
    #[error("the key in {key} is not that of the certificate in {certificate}: {why}", key = .key.display(), certificate = .certificate.display())]
    Pair { certificate: PathBuf, key: PathBuf, why: String },
}

/// One certificate and its key.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// By ALPN, the preferred one first.
    protocols: &'static [&'static [u8]],
    reload_interval: Duration,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    files: Files,
    looked: Instant,
}

/// When both files were changed, and how long they are.
type Files = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads both files. They are looked at again when a connection comes in `reload_interval` after the last look.
    pub fn load(
        certificate: &Path,
        key: &Path,
        protocols: &'static [&'static [u8]],
        reload_interval: Duration,
    ) -> Result<Tls, TlsError> {
        let files = files(certificate, key);
        let acceptor = read(certificate, key, protocols)?;
        let current = Mutex::new(Current { acceptor, files, looked: Instant::now() });
        Ok(Tls { certificate: certificate.to_owned(), key: key.to_owned(), protocols, reload_interval, current })
    }

    /// Shakes hands; who comes without TLS, or trusts another authority, gets an error.
    pub(super) async fn accept(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let acceptor = self.acceptor();
        Ok(Box::new(acceptor.accept(stream).await?))
    }

    fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now - current.looked >= self.reload_interval {
            current.looked = now;
            let files = files(&self.certificate, &self.key);
            if files != current.files {
                match read(&self.certificate, &self.key, self.protocols) {
                    Ok(acceptor) => {
                        tracing::info!(certificate = %self.certificate.display(), "the certificate was read again");
                        (current.acceptor, current.files) = (acceptor, files);
                    }
                    // Two files are not replaced at once: the next look may find a pair.
                    Err(error) => tracing::warn!(%error, "the new certificate is not used; the old one goes on"),
                }
            }
        }
        current.acceptor.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn files(certificate: &Path, key: &Path) -> Files {
    [certificate, key].map(|path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
}

fn read(certificate: &Path, key: &Path, protocols: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
    let uncertified = |why: String| TlsError::Certificate { path: certificate.to_owned(), why };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(|error| uncertified(error.to_string()))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|error| uncertified(error.to_string()))?;
    if chain.is_empty() {
        return Err(uncertified("there is none".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|error| TlsError::Key { path: key.to_owned(), why: error.to_string() })?;
    let pair = |error: rustls::Error| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        why: error.to_string(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
