//! A catalog or a warehouse that is away for a while, at full load: the log takes it, memory stays flat, and everything arrives once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use super::floe::Floe;
use super::{python, send};

/// Sends requests of 200 invocations, as fast as they are answered, until `until` says so. Gives the acknowledged ids and how often the answer was "later".
fn send_until(floe: &Floe, name: &str, mut until: impl FnMut(u32) -> bool) -> (Vec<String>, u32) {
    let mut acknowledged = Vec::new();
    let mut later = 0;
    for request in 0_u32.. {
        if until(later) {
            break;
        }
        let ids: Vec<String> = (0..200).map(|span| format!("{name}-{request}-{span}")).collect();
        let spans = ids.iter().map(|id| send::invocation(id, "checkout", send::now_nanos())).collect();
        let reply = send::export(floe.ports.http, "traces", &send::body(spans)).unwrap();
        match reply.status {
            200 => acknowledged.extend(ids),
            503 => {
                assert!(reply.header("Retry-After").is_some(), "\"later\" without a time");
                later += 1;
            }
            other => panic!("{other}: {}", reply.text()),
        }
    }
    (acknowledged, later)
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn a_locked_catalog_costs_nothing_but_time() {
    let floe = Floe::start_with(|config| config.replace("max_age: 60s", "max_age: 1s"));
    let catalog = floe.data().join("catalog.db");
    // Another process that holds SQLite's write lock.
    let hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN EXCLUSIVE'); \
                print('locked', flush=True); sys.stdin.read()";
    let interpreter = python::interpreter();
    let mut holder = Command::new(interpreter)
        .args(["-c", hold, catalog.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.as_mut().unwrap()), &mut line).unwrap();
    assert_eq!(line.trim(), "locked");

    let end = Instant::now() + Duration::from_secs(4);
    let (warm, _) = send_until(&floe, "warm", |_| Instant::now() > end);
    let before = floe.resident_kib();
    let end = Instant::now() + Duration::from_secs(8);
    let (acknowledged, later) = send_until(&floe, "locked", |_| Instant::now() > end);
    let grown = floe.resident_kib().saturating_sub(before);
    assert_eq!(later, 0, "the log has room");
    assert!(grown < 64 << 10, "memory grew by {grown} KiB while {} rows were held", acknowledged.len());
    drop(holder.stdin.take());
    holder.wait().unwrap();

    let mut floe = floe;
    assert!(floe.terminate().success(), "{}", floe.log());
    let all = sorted([warm, acknowledged].concat());
    assert!(python::column(&floe, "invocations", "invocation_id") == all, "not every acknowledged invocation arrived once");
}

#[test]
fn a_warehouse_that_cannot_be_written_fills_the_log_until_senders_are_told_later() {
    let small = |config: String| {
        config
            .replace("directory: floe-data/wal", "directory: floe-data/wal, max_bytes: 8MiB")
            .replace("max_age: 60s", "max_age: 1s")
    };
    let mut floe = Floe::start_with(small);
    // Root may write where nobody may, so the warehouse goes away instead of becoming read-only.
    let (warehouse, away) = (floe.data().join("warehouse"), floe.data().join("away"));
    let settled = Instant::now() + Duration::from_secs(30);
    while !python::run("read.py", &["rows", floe.data().to_str().unwrap(), "invocations"]).is_empty() || !warehouse.exists() {
        assert!(Instant::now() < settled);
    }
    fs::rename(&warehouse, &away).unwrap();
    fs::write(&warehouse, b"not a directory").unwrap();
    fs::set_permissions(&warehouse, fs::Permissions::from_mode(0o444)).unwrap();

    let (acknowledged, later) = send_until(&floe, "full", |later| later >= 5);
    assert_eq!(later, 5);
    assert!(!acknowledged.is_empty());
    let status = floe.run("status");
    assert!(status.contains("retrying"), "{status}");
    let deadline = Instant::now() + super::floe::PATIENCE;
    while send::get(floe.ports.health, "/").unwrap().status != 503 {
        assert!(Instant::now() < deadline, "it still says that it is ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(send::get(floe.ports.health, "/").unwrap().text().contains("the log is full"));

    fs::remove_file(&warehouse).unwrap();
    fs::rename(&away, &warehouse).unwrap();
    let deadline = Instant::now() + super::floe::PATIENCE;
    let (more, _) = loop {
        let (more, later) = send_until(&floe, "after", {
            let mut once = 0;
            move |_| {
                once += 1;
                once > 1
            }
        });
        if later == 0 {
            break (more, later);
        }
        assert!(Instant::now() < deadline, "the log does not drain\n{}", floe.log());
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(floe.terminate().success(), "{}", floe.log());
    let all = sorted([acknowledged, more].concat());
    assert!(python::column(&floe, "invocations", "invocation_id") == all, "not every acknowledged invocation arrived once");
}
