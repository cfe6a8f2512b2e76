//! Credentials of a catalog that are renewed while the gateway runs: tokens that it gives for an id and a secret, and the certificates of both.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::floe::{Floe, PATIENCE};
use super::parts::Lake;
use super::proxy::{self, Kept};
use super::secured::certify;
use super::{python, send};

fn invoke(floe: &Floe, id: &str) {
    let body = send::body(vec![send::invocation(id, "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
}

fn settle(floe: &Floe) {
    let deadline = Instant::now() + PATIENCE;
    while !floe.command("flush").output().unwrap().status.success() {
        assert!(Instant::now() < deadline, "it does not settle\n{}", floe.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Who gives tokens and asks for the last one that it gave.
#[derive(Debug, Default)]
struct Gate {
    /// The number of the token that is good.
    good: u32,
    /// What the others are told.
    refusal: u16,
    given: u32,
}

fn gate_before(lake: &Lake) -> (SocketAddr, Arc<Mutex<Gate>>) {
    let listener = proxy::bind();
    let (address, behind) = (listener.local_addr().unwrap(), lake.catalog);
    let gate: Arc<Mutex<Gate>> = Arc::default();
    let asked = Arc::clone(&gate);
    proxy::serve(listener, move |mut kept: Kept| {
        let gate = Arc::clone(&asked);
        async move {
            let refusal = {
                let mut gate = gate.lock().unwrap();
                let good = format!("token-{}", gate.good);
                if kept.path == "/v1/oauth/tokens" {
                    let form = String::from_utf8_lossy(&kept.body);
                    assert_eq!(form, "grant_type=client_credentials&client_id=floe&client_secret=s3cret&scope=catalog");
                    gate.given += 1;
                    let given =
                        serde_json::json!({ "access_token": good, "token_type": "bearer", "expires_in": 3600 }).to_string();
                    return Ok((StatusCode::OK, HeaderMap::new(), Bytes::from(given)));
                }
                let shown = kept.headers.remove(http::header::AUTHORIZATION);
                let admitted = shown.is_some_and(|shown| shown == format!("Bearer {good}").as_str());
                (!admitted).then_some(gate.refusal)
            };
            match refusal {
                Some(status) => Ok((StatusCode::from_u16(status).unwrap(), HeaderMap::new(), "not with this token".into())),
                None => proxy::forward(behind, kept).await,
            }
        }
    });
    (address, gate)
}

#[test]
fn a_token_for_an_id_and_a_secret_is_asked_for_again_however_the_old_one_is_refused() {
    let Some(lake) = Lake::open() else { return };
    let (address, gate) = gate_before(&lake);
    let uri = format!("uri: \"http://{address}\"");
    let oauth2 = format!("{uri}, oauth2: {{ client_id: floe, client_secret: s3cret }}");
    let mut floe = Floe::start_on(Some(&lake.through(address)), |config| config.replace(&uri, &oauth2));
    floe.source = lake.source();
    invoke(&floe, "first");
    settle(&floe);
    for refusal in [401, 403, 419] {
        let before = {
            let mut gate = gate.lock().unwrap();
            (gate.good, gate.refusal) = (gate.good + 1, refusal);
            gate.given
        };
        invoke(&floe, &format!("after-{refusal}"));
        settle(&floe);
        assert!(gate.lock().unwrap().given > before, "another token");
    }
    let written = python::column(&floe, "invocations", "invocation_id");
    assert_eq!(written, ["after-401", "after-403", "after-419", "first"]);
    assert!(!floe.log().contains("s3cret") && !floe.log().contains("token-"), "{}", floe.log());
}

/// Shows the certificate of the day.
#[derive(Debug)]
struct Shown(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().unwrap().clone())
    }
}

fn certified(directory: &Path, name: &str) -> Arc<CertifiedKey> {
    let certificate = CertificateDer::from_pem_file(directory.join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key"))).unwrap();
    Arc::new(CertifiedKey::from_der(vec![certificate], key, &default_provider()).unwrap())
}

#[test]
fn a_catalog_with_a_new_certificate_is_trusted_again_without_a_restart_once_its_authority_is_in_the_file() {
    let Some(lake) = Lake::open() else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for name in ["first", "second", "floe"] {
        certify(at, name);
    }
    std::fs::copy(at.join("first.pem"), at.join("ca.pem")).unwrap();
    let shown = Arc::new(Shown(Mutex::new(certified(at, "first"))));
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from_pem_file(at.join("floe.pem")).unwrap()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(clients.into(), Arc::clone(&provider)).build().unwrap();
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut tls = tls.with_client_cert_verifier(verifier).with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
    // A session that is taken up again shows no certificate.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    let listener = proxy::bind();
    let (address, behind) = (listener.local_addr().unwrap(), lake.catalog);
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let breaking = Arc::clone(&broken);
    proxy::serve_with(listener, Some(Arc::new(tls).into()), move |kept: Kept| {
        let broken = breaking.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            // Connections that are open already end.
            if broken { Err(std::io::ErrorKind::ConnectionReset.into()) } else { proxy::forward(behind, kept).await }
        }
    });
    let plain = format!("uri: \"http://{}\"", lake.catalog);
    let files = format!("ca_file: {0}/ca.pem, cert_file: {0}/floe.pem, key_file: {0}/floe.key", at.display());
    let secured = format!("uri: \"https://{address}\", tls: {{ {files} }}");
    let floe = Floe::start_on(Some(&lake), |config| config.replace(&plain, &secured));
    invoke(&floe, "first");
    settle(&floe);

    *shown.0.lock().unwrap() = certified(at, "second");
    broken.store(true, std::sync::atomic::Ordering::Relaxed);
    invoke(&floe, "second");
    floe.wait_until("distrust", || {
        let _ = floe.command("flush").output();
        floe.run("status").contains("certificate")
    });
    broken.store(false, std::sync::atomic::Ordering::Relaxed);
    std::fs::copy(at.join("second.pem"), at.join("ca.pem")).unwrap();
    settle(&floe);
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["first", "second"]);
}
