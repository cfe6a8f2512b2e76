//! A page in Chromium sends with the OpenTelemetry SDK for browsers, from another origin than the gateway's: CORS as browsers enforce it.
//! `FLOE_TEST_BROWSER` names the folder that `tests/parts/browser.sh` fills; ./test sets it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::emitters::{finish, full_with, part, path, refuse_once};
use super::{python, send};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Opens a page of this port that sends as this function.
fn open(folder: &Path, port: u16, endpoint: std::net::SocketAddr, function: &str) -> std::process::Child {
    Command::new(path(folder, "node"))
        .args([
            &path(folder, "browse.mjs"),
            &path(folder, "chromium"),
            &port.to_string(),
            &format!("http://{endpoint}"),
            function,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_page_of_an_allowed_origin_delivers_once_and_another_nothing() {
    let Some(folder) = part("BROWSER") else { return };
    let (port, other) = (free_port(), free_port());
    let cors = format!("cors: {{ allowed_origins: [\"http://127.0.0.1:{port}\"] }}");
    let (floe, _, before) = full_with(|config| {
        let http = config.lines().find_map(|line| line.split("http: { endpoint: ").nth(1)?.split(' ').next()).unwrap();
        config.replace(&format!("http: {{ endpoint: {http} }}"), &format!("http: {{ endpoint: {http}, {cors} }}"))
    });

    // The log is full at first: the page reads "later" through CORS, and sends again by itself.
    let page = open(&folder, port, floe.ports.http, "page");
    refuse_once(&floe, before);
    let said: Value = serde_json::from_str(&finish(page, &floe)).unwrap();
    assert_eq!(said["delivered"], true, "{said}");
    let said: Value = serde_json::from_str(&finish(open(&folder, other, floe.ports.http, "stranger"), &floe)).unwrap();
    assert_eq!(said["delivered"], false, "{said}");

    floe.flush();
    let mut rows = python::rows(&floe, "invocations");
    rows.retain(|row| row["function_id"] != "fill");
    let mut found: Vec<Value> =
        rows.iter().map(|row| json!([row["invocation_id"], row["function_id"], row["language"]])).collect();
    found.sort_by_key(Value::to_string);
    assert_eq!(found, [json!(["page-1", "page", "javascript"]), json!(["page-2", "page", "javascript"])]);
    let page = send::get(floe.ports.metrics, "/metrics").unwrap().text();
    let refused = page.lines().any(|line| {
        line.starts_with("floe_receiver_refusals_total{") && line.contains("reason=\"origin\"") && !line.ends_with(" 0")
    });
    assert!(refused, "no preflight was refused\n{page}");
}
