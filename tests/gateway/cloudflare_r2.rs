//! A gateway that is told an account, a bucket and a token, and nothing else, on the stand-in for Cloudflare R2 ([`super::r2`]): whatever that
//! service is documented to do, every acknowledged row is in its table once.

use std::time::{Duration, Instant};

use super::floe::{Floe, PATIENCE};
use super::parts::Lake;
use super::proxy::{Fault, Proxy};
use super::r2::{self, ObjectFault, R2};
use super::{proxy, python, send};

/// A gateway on R2, with the ids that were acknowledged.
struct Scene {
    floe: Floe,
    r2: R2,
    lake: Lake,
    /// Between the gateway and the catalog.
    proxy: Proxy,
    acknowledged: Vec<String>,
}

impl Scene {
    /// `None` where the parts are not installed. `token` is the setting.
    fn open(token: &str, change: impl Fn(String) -> String) -> Option<Scene> {
        let lake = Lake::open()?;
        let r2 = R2::before(&lake);
        let proxy = Proxy::before(r2.catalog);
        let mut floe = Floe::start_with(|config| change(r2.configure(&config, proxy.address, token)));
        floe.source = lake.source();
        Some(Scene { floe, r2, lake, proxy, acknowledged: Vec::new() })
    }

    fn plain() -> Option<Scene> {
        Scene::open(&format!("token: {}", r2::TOKEN), |config| config)
    }

    /// An invocation an hour, so many hours back.
    fn send(&mut self, name: &str) {
        for hour in 0..2 {
            let id = format!("{name}-{hour}");
            let body = send::body(vec![send::invocation(&id, "checkout", send::now_nanos() - hour * 3_600_000_000_000)]);
            assert_eq!(send::export(self.floe.ports.http, "traces", &body).unwrap().status, 200);
            self.acknowledged.push(id);
        }
    }

    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.floe.command("flush").output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "it does not settle\n{}", self.floe.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn check(&mut self, what: &str) {
        self.acknowledged.sort();
        let written = python::column(&self.floe, "invocations", "invocation_id");
        assert_eq!(written, self.acknowledged, "{what}\n{}", self.floe.log());
    }
}

#[test]
fn account_bucket_and_token_are_enough_and_check_finds_nothing_wrong() {
    let Some(mut scene) = Scene::plain() else { return };
    scene.send("first");
    scene.settle();
    scene.check("vended keys");
    let said = scene.floe.run("check");
    assert!(said.contains("fits, at s3://floe/") && said.contains("wrote, read and removed"), "{said}");
    assert!(scene.floe.run("tables").contains("invocations"));
}

#[test]
fn keys_out_of_the_token_serve_where_none_are_vended() {
    let token = format!("token: {}, token_id: {}", r2::TOKEN, r2::TOKEN_ID);
    let Some(mut scene) = Scene::open(&token, |config| config) else { return };
    scene.r2.set_lifetime(Duration::ZERO);
    scene.send("static");
    scene.settle();
    assert_eq!(scene.r2.expired(), 0, "no vended key is used");
    scene.check("the token's own keys");
}

#[test]
fn a_token_that_is_taken_away_stops_the_commits_and_a_new_one_in_its_file_lets_them_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{}\n", r2::TOKEN)).unwrap();
    let Some(mut scene) = Scene::open(&format!("token_file: \"{}\"", file.display()), |config| config) else { return };
    scene.send("before");
    scene.settle();
    scene.r2.set_tokens(&["rotated"]);
    scene.send("during");
    assert!(!scene.floe.command("flush").output().unwrap().status.success());
    let status = scene.floe.run("status");
    assert!(status.contains("403") && status.contains("Forbidden") && status.contains("credentials"), "{status}");
    assert_eq!(send::export(scene.floe.ports.http, "traces", b"").unwrap().status, 200, "requests are taken meanwhile");
    let health = send::get(scene.floe.ports.health, "/").unwrap();
    let named: serde_json::Value = serde_json::from_str(&health.text()).unwrap();
    let failing = named["failingTables"].as_array().unwrap();
    let invocations = failing.iter().find(|failing| failing["table"] == "invocations").unwrap();
    assert_eq!((health.status, invocations["exporter"].as_str()), (200, Some("iceberg")), "{named}");
    assert!(invocations["reason"].as_str().unwrap().contains("status 403: Forbidden"), "{named}");
    std::fs::write(&file, "rotated").unwrap();
    scene.settle();
    let health = send::get(scene.floe.ports.health, "/").unwrap().text();
    assert!(!health.contains("invocations"), "{health}");
    scene.check("a token that was rotated");
}

#[test]
fn large_files_go_out_in_equal_parts_through_every_fault_of_the_store() {
    let Some(mut scene) = Scene::open(&format!("token: {}", r2::TOKEN), |config| {
        config.replace("truncate_stack: { max_bytes: 8KiB }", "truncate_stack: { max_bytes: 64KiB }")
    }) else {
        return;
    };
    let mut sent = 0;
    for faults in [
        vec![],
        vec![ObjectFault::Refused(500), ObjectFault::Lost],
        vec![ObjectFault::WrittenNoAnswer, ObjectFault::Slow(Duration::from_secs(1))],
        vec![ObjectFault::Expired],
    ] {
        for fault in faults {
            scene.r2.next_object(fault);
        }
        let Ok(()) = send_stacks(&mut scene, &mut sent) else { panic!("refused\n{}", scene.floe.log()) };
        scene.settle();
    }
    assert_eq!(scene.r2.objects_met(), 5);
    let completed = scene.r2.completed();
    assert!(completed.len() >= 4 && completed.iter().all(|parts| parts.len() >= 2), "{completed:?}");
    for parts in &completed {
        assert!(parts[..parts.len() - 1].iter().all(|part| *part == 8 << 20), "{parts:?}");
    }
    // The one whose keys had expired cannot be aborted with them; R2 removes it after seven days.
    assert!(scene.r2.expired() > 0 && scene.r2.unfinished() <= 1);
    let rows = python::rows(&scene.floe, "errors");
    assert_eq!(rows.len(), sent);
    scene.check("faults of the store");
}

/// Errors with stacks that no codec makes small: two parts of a file.
fn send_stacks(scene: &mut Scene, sent: &mut usize) -> Result<(), u16> {
    use opentelemetry_proto::tonic::trace::v1::span::Event;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 | *sent as u64;
    for _ in 0..2 {
        let mut spans = Vec::new();
        for _ in 0..140 {
            let stack: String = (0..60_000 / 9)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let letters = (0..8).map(|at| char::from(b'a' + ((state >> (at * 5 + 20)) % 26) as u8));
                    letters.chain([' ']).collect::<String>()
                })
                .collect();
            let id = format!("large-{sent:05}");
            let mut span = send::invocation(&id, "checkout", send::now_nanos());
            span.events.push(Event {
                name: "exception".into(),
                time_unix_nano: span.end_time_unix_nano,
                attributes: vec![send::string("exception.type", "Boom"), send::string("exception.stacktrace", &stack)],
                ..Default::default()
            });
            spans.push(span);
            scene.acknowledged.push(id);
            *sent += 1;
        }
        let status = send::export(scene.floe.ports.http, "traces", &send::body(spans)).unwrap().status;
        if status != 200 {
            return Err(status);
        }
    }
    Ok(())
}

#[test]
fn whatever_the_catalog_answers_every_acknowledged_row_is_there_once() {
    let Some(mut scene) = Scene::plain() else { return };
    scene.r2.set_minute(Duration::from_secs(1));
    scene.send("first");
    scene.settle();
    let concurrent = r#"{"error":{"message":"by the proxy","type":"ConcurrentUpdateError","code":400}}"#;
    for fault in [
        Fault::Applied(409),
        Fault::Applied(500),
        Fault::Applied(503),
        Fault::AppliedNoAnswer,
        Fault::HeldUntilAfterLook,
        Fault::HeldUntilAfterRetry,
        Fault::SentTwice,
        Fault::Refused { status: 400, retry_after: None, body: concurrent },
        Fault::Refused { status: 500, retry_after: None, body: "oops" },
        Fault::Refused { status: 504, retry_after: None, body: "" },
    ] {
        scene.proxy.next_commit(fault);
        scene.send(&format!("{fault:?}"));
        scene.settle();
    }
    assert_eq!(scene.proxy.met(), 10);
    for action in ["overwrite", "expire"] {
        python::run("maintain.py", &[&scene.lake.source(), "invocations", action]);
        scene.send(action);
        scene.settle();
    }
    scene.check("ten faults, then compaction and expiry by the vendor");
}

#[test]
fn two_requests_on_one_head_are_one_commit_and_one_conflict() {
    let Some(mut scene) = Scene::plain() else { return };
    scene.send("first");
    scene.settle();
    scene.proxy.next_commit(Fault::Held);
    scene.send("during");
    let flush = scene.floe.command("flush").spawn().unwrap();
    scene.proxy.await_commit();
    let held = scene.proxy.take_held();
    let mut statuses: Vec<u16> = scene.proxy.send(&[held.clone(), held]).iter().map(http::StatusCode::as_u16).collect();
    statuses.sort_unstable();
    assert!(statuses == [200, 400] || statuses == [200, 409], "{statuses:?}");
    flush.wait_with_output().unwrap();
    scene.settle();
    scene.check("two requests on one head");
}

#[test]
fn what_is_over_the_limits_waits_as_long_as_it_is_told() {
    let Some(mut scene) = Scene::plain() else { return };
    scene.r2.set_minute(Duration::from_secs(10));
    let start = Instant::now();
    let mut round = 0;
    // Twenty commits of one table take less than the stand-in's minute.
    while scene.r2.limits().0 == 0 {
        scene.send(&format!("round-{round}"));
        scene.floe.command("flush").output().unwrap();
        round += 1;
        assert!(start.elapsed() < PATIENCE, "no limit was met in {round} rounds");
    }
    scene.settle();
    let (refusals, hasty) = scene.r2.limits();
    assert!(refusals > 0 && hasty == 0, "{refusals} refusals, {hasty} commits that did not wait");
    scene.check("more commits than the catalog takes");
}

#[test]
fn pyiceberg_and_duckdb_read_the_tables_with_the_settings_of_the_docs() {
    let Some(mut scene) = Scene::plain() else { return };
    scene.send("first");
    scene.settle();
    let catalog = format!("http://{}/{}/{}", scene.r2.catalog, r2::ACCOUNT, r2::BUCKET);
    let warehouse = format!("{}_{}", r2::ACCOUNT, r2::BUCKET);
    let store = format!("http://{}", scene.r2.objects);
    let table = format!("{}.invocations", scene.lake.namespace);
    let arguments = [&catalog, &warehouse, r2::TOKEN, &store, r2::TOKEN_ID, &r2::secret_key(), &table];
    let found = python::json_lines("engines.py", &arguments);
    assert_eq!(found, [serde_json::json!({ "pyiceberg": 2, "duckdb": 2 })]);
}

#[test]
fn check_says_in_plain_words_what_is_wrong_and_what_to_do() {
    let Some(mut scene) = Scene::plain() else { return };
    scene.send("first");
    scene.settle();
    let config = std::fs::read_to_string(scene.floe.directory.join("pipelines.yaml")).unwrap();
    let check = |from: &str, to: &str, words: &str| {
        assert!(config.contains(from), "{config}");
        std::fs::write(scene.floe.directory.join("other.yaml"), config.replace(from, to)).unwrap();
        let said = scene.floe.command("check").args(["--config", "other.yaml"]).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(!said.status.success() && text.contains(words), "expected `{words}` in\n{text}");
    };
    let catalog = scene.proxy.address.to_string();
    check(r2::TOKEN, "another", "the token lacks Workers R2 Data Catalog Write (");
    check(&format!("/{}/{}\"", r2::ACCOUNT, r2::BUCKET), "/other/bucket\"", "there is no catalog for this bucket");
    check(&catalog, "127.0.0.1:1", "nobody answers there");
    check(&scene.r2.objects.to_string(), "127.0.0.1:1", "nobody answers there");
    scene.r2.refuse_writes();
    check(r2::TOKEN, r2::TOKEN, "the token lacks Workers R2 Storage Bucket Item Write (");
}

#[test]
fn a_first_check_tries_the_bucket_where_it_has_keys_and_says_what_it_did_not_try() {
    let Some(lake) = Lake::open() else { return };
    let r2 = R2::before(&lake);
    let check = |token: &str, arguments: &[&str]| {
        let floe = Floe::prepare(|config| r2.configure(&config, r2.catalog, token));
        let said = floe.command("check").args(arguments).output().unwrap();
        (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let token = format!("token: {}", r2::TOKEN);
    let with_keys = format!("{token}, token_id: {}", r2::TOKEN_ID);
    let (well, said) = check(&token, &[]);
    assert!(well && said.contains("  not tried storage: ") && !said.contains("ok        storage"), "{said}");
    let (well, said) = check(&with_keys, &[]);
    assert!(well && said.contains("wrote, read and removed s3://floe/floe-probe-"), "{said}");
    r2.refuse_writes();
    let (well, said) = check(&with_keys, &[]);
    assert!(!well && said.contains("the token lacks Workers R2 Storage Bucket Item Write"), "{said}");
    let (well, said) = check(&token, &["--create"]);
    assert!(!well && said.contains("it was made now") && said.contains("Storage Bucket Item Write"), "{said}");
}

#[test]
fn a_catalog_of_a_private_authority_is_trusted_by_its_file_and_gets_the_headers() {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let Some(lake) = Lake::open() else { return };
    let directory = tempfile::tempdir().unwrap();
    super::secured::certify(directory.path(), "catalog");
    let [certificate, key] = ["catalog.pem", "catalog.key"].map(|file| directory.path().join(file));
    let provider = std::sync::Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let pair = (CertificateDer::from_pem_file(&certificate).unwrap(), PrivateKeyDer::from_pem_file(&key).unwrap());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_no_client_auth().with_single_cert(vec![pair.0], pair.1).unwrap();
    let listener = proxy::bind();
    let address = listener.local_addr().unwrap();
    let behind = lake.catalog;
    proxy::serve_with(listener, Some(std::sync::Arc::new(tls).into()), move |kept: proxy::Kept| async move {
        if kept.headers.get("x-tenant").is_none_or(|tenant| tenant != "one") {
            return Ok((http::StatusCode::FORBIDDEN, http::HeaderMap::new(), "no tenant".into()));
        }
        proxy::forward(behind, kept).await
    });
    let plain = format!("uri: \"http://{}\"", lake.catalog);
    let trusted =
        format!("uri: \"https://{address}\", headers: {{ X-Tenant: one }}, tls: {{ ca_file: {} }}", certificate.display());
    let mut floe = Floe::start_on(Some(&lake), |config| config.replace(&plain, &trusted));
    let body = send::body(vec![send::invocation("one", "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    floe.flush();
    floe.source = lake.source();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["one"]);

    let config = std::fs::read_to_string(floe.directory.join("pipelines.yaml")).unwrap();
    let distrusting = config.replace(&format!(", tls: {{ ca_file: {} }}", certificate.display()), "");
    std::fs::write(floe.directory.join("other.yaml"), distrusting).unwrap();
    let said = floe.command("check").args(["--config", "other.yaml"]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(!said.status.success() && text.contains("the certificate there is not trusted"), "{text}");
}
