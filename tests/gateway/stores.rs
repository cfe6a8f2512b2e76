//! A storage that answers well and is not the one that the catalog writes to: what went there would be committed, and no reader would find it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::floe::Floe;
use super::parts::Lake;
use super::proxy::{self, Kept};
use super::{python, send};

/// An object store that takes everything, from everybody.
fn other_store() -> (SocketAddr, Arc<Mutex<HashMap<String, Bytes>>>) {
    let listener = proxy::bind();
    let address = listener.local_addr().unwrap();
    let objects: Arc<Mutex<HashMap<String, Bytes>>> = Arc::default();
    let kept_here = Arc::clone(&objects);
    proxy::serve(listener, move |kept: Kept| {
        let mut objects = kept_here.lock().unwrap();
        let path = kept.path.split('?').next().unwrap().to_owned();
        let (status, body) = match kept.method {
            Method::PUT => {
                objects.insert(path, kept.body);
                (StatusCode::OK, Bytes::new())
            }
            Method::DELETE => {
                objects.remove(&path);
                (StatusCode::NO_CONTENT, Bytes::new())
            }
            _ => match objects.get(&path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>".into()),
            },
        };
        std::future::ready(Ok((status, HeaderMap::new(), body)))
    });
    (address, objects)
}

#[test]
fn a_storage_that_is_not_the_catalogs_gets_no_rows_and_they_wait_for_the_right_one() {
    let Some(lake) = Lake::open() else { return };
    let (elsewhere, objects) = other_store();
    let right = format!("endpoint: \"http://{}\"", lake.s3);
    let wrong = format!("endpoint: \"http://{elsewhere}\"");
    let mut floe = Floe::start_on(Some(&lake), |config| config.replace(&right, &wrong));
    let body = send::body(vec![send::invocation("kept", "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);

    let flushed = floe.command("flush").output().unwrap();
    assert!(!flushed.status.success(), "{}", floe.log());
    let status = floe.run("status");
    assert!(status.contains("stopped") && status.contains("not the same store"), "{status}");
    let health = send::get(floe.ports.health, "/").unwrap().text();
    assert!(health.contains("\"table\":\"invocations\",\"state\":\"stopped\""), "{health}");
    let said = floe.command("check").output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(!said.status.success() && text.contains("not the same store"), "{text}");
    assert!(objects.lock().unwrap().is_empty(), "nothing is left there");

    floe.kill_9();
    floe.reconfigure(|config| config.replace(&wrong, &right));
    floe.restart();
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["kept"]);
}

#[test]
fn an_endpoint_with_the_bucket_behind_it_is_refused_before_anything_is_sent() {
    for endpoint in ["http://127.0.0.1:9000/floe", "http://user:pa55word@127.0.0.1:9000"] {
        let floe = Floe::prepare(|config| {
            let storage = format!("catalog: {{ type: rest, uri: \"http://h\" }}\n    storage: {{ endpoint: \"{endpoint}\" }}");
            config.replace(
                "catalog: { type: sql, uri: \"sqlite://floe-data/catalog.db\", warehouse: floe-data/warehouse }",
                &storage,
            )
        });
        let said = floe.command("validate").output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success() && text.contains("`storage.endpoint`") && !text.contains("pa55word"), "{text}");
    }
}
