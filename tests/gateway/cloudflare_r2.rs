//! A gateway that is told an account, a bucket and a token, and nothing else, on the stand-in for Cloudflare R2 ([`super::r2`]): whatever that
//! service is documented to do, every acknowledged row is in its table once.

use std::time::{Duration, Instant};

use super::acknowledged::Acknowledged;
use super::floe::{Floe, PATIENCE};
use super::parts::Lake;
use super::r2::{self, ObjectFault, R2};
use super::warehouses::{Place, Warehouse};
use super::{proxy, python, send};

/// On R2 with another setting than a plain token.
fn start_with(place: &Place, token: &str) -> Floe {
    place.start_with(|config| config.replace(&format!("token: {}", r2::TOKEN), token))
}

#[test]
fn account_bucket_and_token_are_enough_and_check_finds_nothing_wrong() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let (floe, mut acknowledged) = (place.start(), Acknowledged::default());
    acknowledged.send(&floe, "first");
    floe.settle();
    acknowledged.check(&floe, "vended keys");
    let said = floe.run("check");
    assert!(said.contains("fits, at s3://floe/") && said.contains("wrote, read and removed"), "{said}");
    assert!(floe.run("tables").contains("invocations"));
}

#[test]
fn keys_out_of_the_token_serve_where_none_are_vended() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let token = format!("token: {}, token_id: {}", r2::TOKEN, r2::TOKEN_ID);
    let (floe, mut acknowledged) = (start_with(&place, &token), Acknowledged::default());
    place.r2().set_lifetime(Duration::ZERO);
    acknowledged.send(&floe, "static");
    floe.settle();
    assert_eq!(place.r2().expired(), 0, "no vended key is used");
    acknowledged.check(&floe, "the token's own keys");
}

#[test]
fn a_token_that_is_taken_away_stops_the_commits_and_a_new_one_in_its_file_lets_them_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{}\n", r2::TOKEN)).unwrap();
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let (floe, mut acknowledged) = (start_with(&place, &format!("token_file: \"{}\"", file.display())), Acknowledged::default());
    acknowledged.send(&floe, "before");
    floe.settle();
    place.r2().set_tokens(&["rotated"]);
    acknowledged.send(&floe, "during");
    assert!(!floe.command("flush").output().unwrap().status.success());
    let status = floe.run("status");
    assert!(status.contains("403") && status.contains("Forbidden") && status.contains("credentials"), "{status}");
    assert_eq!(send::export(floe.ports.http, "traces", b"").unwrap().status, 200, "requests are taken meanwhile");
    let health = send::get(floe.ports.health, "/").unwrap();
    let named: serde_json::Value = serde_json::from_str(&health.text()).unwrap();
    let failing = named["failingTables"].as_array().unwrap();
    let invocations = failing.iter().find(|failing| failing["table"] == "invocations").unwrap();
    assert_eq!((health.status, invocations["exporter"].as_str()), (200, Some("iceberg")), "{named}");
    assert!(invocations["reason"].as_str().unwrap().contains("status 403: Forbidden"), "{named}");
    std::fs::write(&file, "rotated").unwrap();
    floe.settle();
    let health = send::get(floe.ports.health, "/").unwrap().text();
    assert!(!health.contains("invocations"), "{health}");
    acknowledged.check(&floe, "a token that was rotated");
}

#[test]
fn large_files_go_out_in_equal_parts_through_every_fault_of_the_store() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let floe =
        place.start_with(|config| config.replace("truncate_stack: { max_bytes: 8KiB }", "truncate_stack: { max_bytes: 64KiB }"));
    let mut acknowledged = Acknowledged::default();
    let mut sent = 0;
    for faults in [
        vec![],
        vec![ObjectFault::Refused(500), ObjectFault::Lost],
        vec![ObjectFault::WrittenNoAnswer, ObjectFault::Slow(Duration::from_secs(1))],
        vec![ObjectFault::Expired],
    ] {
        for fault in faults {
            place.r2().next_object(fault);
        }
        let Ok(()) = send_stacks(&floe, &mut acknowledged, &mut sent) else { panic!("refused\n{}", floe.log()) };
        floe.settle();
    }
    assert_eq!(place.r2().objects_met(), 5);
    let completed = place.r2().completed();
    assert!(completed.len() >= 4 && completed.iter().all(|parts| parts.len() >= 2), "{completed:?}");
    for parts in &completed {
        assert!(parts[..parts.len() - 1].iter().all(|part| *part == 8 << 20), "{parts:?}");
    }
    // The one whose keys had expired cannot be aborted with them; R2 removes it after seven days.
    assert!(place.r2().expired() > 0 && place.r2().unfinished() <= 1);
    let rows = python::rows(&floe, "errors");
    assert_eq!(rows.len(), sent);
    acknowledged.check(&floe, "faults of the store");
}

/// Errors with stacks that no codec makes small: two parts of a file.
fn send_stacks(floe: &Floe, acknowledged: &mut Acknowledged, sent: &mut usize) -> Result<(), u16> {
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
            acknowledged.push(&id);
            *sent += 1;
        }
        let status = send::export(floe.ports.http, "traces", &send::body(spans)).unwrap().status;
        if status != 200 {
            return Err(status);
        }
    }
    Ok(())
}

#[test]
fn what_is_over_the_limits_waits_as_long_as_it_is_told() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let (floe, mut acknowledged) = (place.start(), Acknowledged::default());
    place.r2().set_minute(Duration::from_secs(30));
    place.r2().set_commits(6);
    let start = Instant::now();
    let mut round = 0;
    // So few commits of one table take less than the stand-in's minute, also on a loaded machine.
    while place.r2().limits().0 == 0 {
        acknowledged.send(&floe, &format!("round-{round}"));
        floe.command("flush").output().unwrap();
        round += 1;
        assert!(start.elapsed() < PATIENCE, "no limit was met in {round} rounds");
    }
    floe.settle();
    let (refusals, hasty) = place.r2().limits();
    assert!(refusals > 0 && hasty == 0, "{refusals} refusals, {hasty} commits that did not wait");
    acknowledged.check(&floe, "more commits than the catalog takes");
}

#[test]
fn eight_gateways_that_start_on_an_empty_catalog_make_its_tables_within_its_limits() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let spawn = || {
        let mut floe = place.prepare_with(|config| config);
        floe.spawn();
        floe
    };
    let mut gateways: Vec<Floe> = (0..8).map(|_| spawn()).collect();
    let mut acknowledged = Acknowledged::default();
    for (n, floe) in gateways.iter_mut().enumerate() {
        floe.wait_until_ready();
        acknowledged.send(floe, &format!("gateway-{n}"));
    }
    gateways.iter().for_each(Floe::settle);
    acknowledged.check(&gateways[0], "thirty-two tables at once, of which ten a minute are made");
}

#[test]
fn keys_that_live_for_seconds_cost_an_idle_table_an_upload_and_no_row() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    place.r2().set_lifetime(Duration::from_secs(2));
    let (floe, mut acknowledged) = (place.start(), Acknowledged::default());
    for round in 0..3 {
        acknowledged.send(&floe, &format!("round-{round}"));
        floe.settle();
        std::thread::sleep(Duration::from_secs(3));
    }
    assert!(place.r2().expired() > 0, "a look of three seconds ago served");
    acknowledged.check(&floe, "keys of two seconds");
}

#[test]
fn pyiceberg_and_duckdb_read_the_tables_with_the_settings_of_the_docs() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let (floe, mut acknowledged) = (place.start(), Acknowledged::default());
    acknowledged.send(&floe, "first");
    floe.settle();
    let catalog = format!("http://{}/{}/{}", place.r2().catalog, r2::ACCOUNT, r2::BUCKET);
    let warehouse = format!("{}_{}", r2::ACCOUNT, r2::BUCKET);
    let store = format!("http://{}", place.r2().objects);
    let table = format!("{}.invocations", place.lake().namespace);
    let arguments = [&catalog, &warehouse, r2::TOKEN, &store, r2::TOKEN_ID, &r2::secret_key(), &table];
    let found = python::json_lines("engines.py", &arguments);
    assert_eq!(found, [serde_json::json!({ "pyiceberg": 2, "duckdb": 2 })]);
}

#[test]
fn check_says_in_plain_words_what_is_wrong_and_what_to_do() {
    let Some(place) = Place::open(Warehouse::R2) else { return };
    let (floe, mut acknowledged) = (place.start(), Acknowledged::default());
    acknowledged.send(&floe, "first");
    floe.settle();
    let config = std::fs::read_to_string(floe.directory.join("pipelines.yaml")).unwrap();
    let check = |from: &str, to: &str, words: &str| {
        assert!(config.contains(from), "{config}");
        std::fs::write(floe.directory.join("other.yaml"), config.replace(from, to)).unwrap();
        let said = floe.command("check").args(["--config", "other.yaml"]).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(!said.status.success() && text.contains(words), "expected `{words}` in\n{text}");
    };
    let catalog = place.proxy().address.to_string();
    check(r2::TOKEN, "another", "the token lacks Workers R2 Data Catalog Write (");
    check(&format!("/{}/{}\"", r2::ACCOUNT, r2::BUCKET), "/other/bucket\"", "there is no catalog for this bucket");
    check(&catalog, "127.0.0.1:1", "nobody answers there");
    check(&place.r2().objects.to_string(), "127.0.0.1:1", "nobody answers there");
    place.r2().refuse_writes();
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
fn a_catalog_of_a_private_authority_is_trusted_by_its_file_and_gets_certificate_and_headers() {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::server::WebPkiClientVerifier;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig};

    let Some(lake) = Lake::open() else { return };
    let directory = tempfile::tempdir().unwrap();
    super::secured::certify(directory.path(), "catalog");
    super::secured::certify(directory.path(), "floe");
    let [certificate, key, client, client_key] =
        ["catalog.pem", "catalog.key", "floe.pem", "floe.key"].map(|file| directory.path().join(file));
    let provider = std::sync::Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let pair = (CertificateDer::from_pem_file(&certificate).unwrap(), PrivateKeyDer::from_pem_file(&key).unwrap());
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from_pem_file(&client).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(clients.into(), std::sync::Arc::clone(&provider)).build().unwrap();
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_client_cert_verifier(clients).with_single_cert(vec![pair.0], pair.1).unwrap();
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
    let own = format!(", cert_file: {}, key_file: {}", client.display(), client_key.display());
    let trusted =
        format!("uri: \"https://{address}\", headers: {{ X-Tenant: one }}, tls: {{ ca_file: {}{own} }}", certificate.display());
    let mut floe = Floe::start_on(Some(&lake), |config| config.replace(&plain, &trusted));
    let body = send::body(vec![send::invocation("one", "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    floe.flush();
    floe.source = lake.source();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["one"]);

    let config = std::fs::read_to_string(floe.directory.join("pipelines.yaml")).unwrap();
    for (from, to, words) in [
        (format!("ca_file: {},", certificate.display()), "", "not trusted"),
        (own, "", "`catalog.tls.cert_file` and `key_file`, which it may want"),
        (format!("https://{address}"), &*format!("https://{}", lake.catalog), "what is there speaks no TLS"),
    ] {
        assert!(config.contains(&from), "{config}");
        std::fs::write(floe.directory.join("other.yaml"), config.replace(&from, to)).unwrap();
        let said = floe.command("check").args(["--config", "other.yaml"]).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(!said.status.success() && text.contains(words), "expected `{words}` in\n{text}");
    }
}
