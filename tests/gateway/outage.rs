//! A catalog or a warehouse that is away for a while, at full load: the log takes it, memory stays flat, and everything arrives once.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
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

/// Another process that holds SQLite's write lock until it is dropped.
struct Lock(Child);

impl Lock {
    fn on(floe: &Floe) -> Lock {
        let catalog = floe.data().join("catalog.db");
        let hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60); c.execute('BEGIN EXCLUSIVE'); \
                    print('locked', flush=True); sys.stdin.read()";
        let mut holder = Command::new(python::interpreter())
            .args(["-c", hold, catalog.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        Lock(holder)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_locked_catalog_costs_nothing_but_time() {
    let floe = Floe::start_with(|config| config.replace("max_age: 60s", "max_age: 1s"));
    let lock = Lock::on(&floe);
    let end = Instant::now() + Duration::from_secs(4);
    let (warm, _) = send_until(&floe, "warm", |_| Instant::now() > end);
    let before = floe.resident_kib();
    let end = Instant::now() + Duration::from_secs(8);
    let (acknowledged, later) = send_until(&floe, "locked", |_| Instant::now() > end);
    let grown = floe.resident_kib().saturating_sub(before);
    assert_eq!(later, 0, "the log has room");
    assert!(grown < 64 << 10, "memory grew by {grown} KiB while {} rows were held", acknowledged.len());
    drop(lock);

    let mut floe = floe;
    assert!(floe.terminate().success(), "{}", floe.log());
    let all = sorted([warm, acknowledged].concat());
    assert!(python::column(&floe, "invocations", "invocation_id") == all, "not every acknowledged invocation arrived once");
}

/// How long a write of so many bytes with its fdatasync takes on the disk of `directory`, the middle and the slowest of a hundred, as text.
fn raw_syncs(directory: &Path, bytes: usize) -> String {
    let path = directory.join("raw");
    let file = fs::File::create(&path).unwrap();
    let block = vec![7; bytes];
    let one = |n: usize| {
        let began = Instant::now();
        file.write_all_at(&block, (n * bytes) as u64).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    };
    let text = quantiles((0..100).map(one).collect());
    fs::remove_file(path).unwrap();
    text
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    format!("p50 {:.1?}, p99 {:.1?} of {}", at(50), at(99), times.len())
}

/// `FLOE_OUTAGE_SECONDS=300` for the five minutes of docs/performance.md.
#[test]
fn a_stopped_catalog_at_full_speed_stays_within_the_limit_on_memory() {
    const LIMIT_MIB: u64 = 150;
    let seconds = std::env::var("FLOE_OUTAGE_SECONDS").map_or(6, |seconds| seconds.parse().unwrap());
    let mut floe = Floe::start_with(|config| {
        config
            .replace("extensions:\n", &format!("extensions:\n  memory_limiter: {{ limit_mib: {LIMIT_MIB} }}\n"))
            .replace("max_age: 60s", "max_age: 1s")
    });
    floe.wait_until("the tables", || python::column_or_none(&floe, "invocations", "invocation_id").is_some());
    let lock = Lock::on(&floe);
    let end = Instant::now() + Duration::from_secs(seconds);
    let to = floe.ports.http;
    let sender = |name: u32| {
        thread::spawn(move || {
            let (mut acknowledged, mut times) = (Vec::new(), Vec::new());
            for request in 0_u32.. {
                if Instant::now() > end {
                    break;
                }
                let ids: Vec<String> = (0..200).map(|span| format!("{name}-{request}-{span}")).collect();
                let body = send::body(ids.iter().map(|id| send::invocation(id, "checkout", send::now_nanos())).collect());
                let began = Instant::now();
                let reply = send::export(to, "traces", &body).unwrap();
                times.push(began.elapsed());
                assert!(matches!(reply.status, 200 | 503), "{}: {}", reply.status, reply.text());
                if reply.status == 200 {
                    acknowledged.extend(ids);
                }
            }
            (acknowledged, times)
        })
    };
    let senders: Vec<_> = (0..4).map(sender).collect();
    let (acknowledged, times): (Vec<_>, Vec<_>) = senders.into_iter().map(|sender| sender.join().unwrap()).unzip();
    let held = floe.metric("floe_destination_rows{exporter=\"iceberg\",table=\"invocations\",state=\"held\"}").unwrap();
    let bytes = floe.metric("floe_wal_size_bytes").unwrap();
    drop(lock);
    println!("ack {}; a raw fdatasync of 16 KiB {}", quantiles(times.concat()), raw_syncs(&floe.directory, 16 << 10));
    floe.wait_until("the commit of all rows", || floe.command("flush").output().unwrap().status.success());
    let peak = floe.peak_kib() >> 10;
    println!("{held} rows held in {:.1} MiB of log, peak memory {peak} MiB of {LIMIT_MIB}", bytes / f64::from(1 << 20));
    assert!(held > 1_000.0, "only {held} rows were held");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
    assert!(floe.terminate().success(), "{}", floe.log());
    let all = sorted(acknowledged.concat());
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
