//! Receivers that face a public network: TLS with a certificate that is renewed, and tokens that are rotated, under the SDK for Python and curl.

use std::path::Path;
use std::process::Command;

use super::floe::{Floe, PATIENCE};
use super::{python, send};

const TOKEN: &str = "sender-token-1";

/// Makes `name.pem` and `name.key` for this machine, signed by itself.
pub fn certify(directory: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=floe", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(directory.join(format!("{name}.key")))
        .arg("-out")
        .arg(directory.join(format!("{name}.pem")))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Puts a pair where the gateway looks for one.
fn install(directory: &Path, name: &str) {
    for (from, to) in [("pem", "tls.pem"), ("key", "tls.key")] {
        std::fs::copy(directory.join(format!("{name}.{from}")), directory.join(to)).unwrap();
    }
}

fn start() -> (Floe, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    certify(at, "first");
    certify(at, "second");
    install(at, "first");
    std::fs::write(at.join("tokens"), format!("{TOKEN}\n")).unwrap();
    let secured = format!(
        "auth: {{ authenticator: bearertokenauth }}, tls: {{ cert_file: {0}/tls.pem, key_file: {0}/tls.key, reload_interval: 0s }}",
        at.display()
    );
    let floe = Floe::start_with(|config| {
        let Some(line) = config.lines().find(|line| line.contains("otlp: {")) else { panic!("{config}") };
        let with =
            line.replace(" } } }", &format!(", {secured} }} }} }}")).replace(" }, http:", &format!(", {secured} }}, http:"));
        config
            .replace(line, &with)
            .replace("extensions:\n", &format!("extensions:\n  bearertokenauth: {{ filename: {}/tokens }}\n", at.display()))
    });
    (floe, directory)
}

fn export(floe: &Floe, directory: &Path, authority: &str, token: &str, name: &str) -> String {
    let authority = directory.join(format!("{authority}.pem"));
    let (grpc, http) = (format!("https://{}", floe.ports.grpc), format!("https://{}", floe.ports.http));
    python::run("secured.py", &[&grpc, &http, authority.to_str().unwrap(), token, name])
}

#[test]
fn only_who_has_the_token_and_trusts_the_certificate_sends_and_both_are_renewed_without_a_restart() {
    let (floe, directory) = start();
    let at = directory.path();
    assert_eq!(export(&floe, at, "first", TOKEN, "one"), "SUCCESS\nSUCCESS\n");
    assert_eq!(export(&floe, at, "first", "sender-token-2", "stranger"), "FAILURE\nFAILURE\n");
    assert_eq!(export(&floe, at, "second", TOKEN, "mistrust"), "FAILURE\nFAILURE\n");

    std::fs::write(at.join("tokens"), format!("{TOKEN}\nsender-token-2\n")).unwrap();
    assert_eq!(export(&floe, at, "first", "sender-token-2", "two"), "SUCCESS\nSUCCESS\n");
    std::fs::write(at.join("tokens"), "sender-token-2\n").unwrap();
    assert_eq!(export(&floe, at, "first", TOKEN, "revoked"), "FAILURE\nFAILURE\n");

    install(at, "second");
    assert_eq!(export(&floe, at, "second", "sender-token-2", "renewed"), "SUCCESS\nSUCCESS\n");
    assert_eq!(export(&floe, at, "first", "sender-token-2", "outdated"), "FAILURE\nFAILURE\n");

    floe.flush();
    let expected = ["one-grpc", "one-http", "renewed-grpc", "renewed-http", "two-grpc", "two-http"];
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), expected);
    let counters = send::get(floe.ports.metrics, "/metrics").unwrap().text();
    assert!(counters.contains("reason=\"auth\""), "{counters}");
    assert!(!counters.contains("sender-token") && !floe.log().contains("sender-token"));
}

#[test]
fn a_refused_sender_is_told_which_scheme_is_expected_in_both_versions_of_http() {
    let (floe, directory) = start();
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["-sS", "-i", "--max-time", &PATIENCE.as_secs().to_string(), "--cacert"])
            .arg(directory.path().join("first.pem"))
            .args(["-H", "Content-Type: application/json", "-d", "{}"])
            .args(arguments)
            .arg(format!("https://{}/v1/traces", floe.ports.http))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).to_lowercase()
    };
    // Whether the reply or the body comes first is a matter of luck, so more than once.
    let versions = ["--http1.1", "--http2"];
    for version in versions.into_iter().cycle().take(20) {
        let refused = curl(&[version]);
        assert!(refused.contains(" 401") && refused.contains("www-authenticate: bearer"), "{refused}");
        assert!(refused.contains("\"code\":16"), "in the encoding of the request: {refused}");
        let taken = curl(&[version, "-H", &format!("Authorization: Bearer {TOKEN}")]);
        assert!(taken.starts_with(if version == "--http2" { "http/2 200" } else { "http/1.1 200" }), "{taken}");
    }
    let plain = send::export_json(floe.ports.http, "traces", b"{}");
    assert!(plain.is_err(), "without TLS there is no answer: {plain:?}");
}
