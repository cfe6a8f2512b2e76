//! Disks in a real process: full, read-only, gone; and a log directory that two processes have, one after the other or at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::floe::Floe;
use super::{python, send};

fn export(floe: &Floe, id: &str) -> u16 {
    let body = send::body(vec![send::invocation(id, "checkout", send::now_nanos())]);
    send::export(floe.ports.http, "traces", &body).unwrap().status
}

/// A file system of its own for the log, of so many MiB; gone when it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None`, said aloud, where nobody may mount; in CI that fails.
    fn under(floe: &Floe, mib: u32) -> Option<Mount> {
        let at = floe.data().join("wal");
        fs::create_dir_all(&at).unwrap();
        let tried = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(&at).output();
        if tried.as_ref().is_ok_and(|tried| tried.status.success()) {
            return Some(Mount(at));
        }
        assert!(std::env::var_os("CI").is_none(), "only root may mount a tmpfs: in CI nothing may be skipped ({tried:?})");
        println!("SKIPPED: only root may mount a tmpfs ({tried:?})");
        None
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Takes all room that is left.
fn fill(directory: &Path) -> PathBuf {
    let path = directory.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 512]).is_ok() {}
    path
}

#[test]
fn the_go_sdk_tries_again_until_a_full_disk_has_room() {
    let Some(folder) = std::env::var_os("FLOE_TEST_GO") else {
        assert!(std::env::var_os("CI").is_none(), "FLOE_TEST_GO is not set: in CI nothing may be skipped");
        println!("SKIPPED: the emitter in Go is missing, run the tests with ./test");
        return;
    };
    let mut floe = Floe::prepare(|config| config);
    let Some(mount) = Mount::under(&floe, 4) else { return };
    floe.restart();
    assert_eq!(export(&floe, "before"), 200);
    let filler = fill(&mount.0);
    // What is preallocated may take a request or two.
    floe.wait_until("a full disk", || export(&floe, &send::now_nanos().to_string()) == 503);
    let millis = (send::now_nanos() / 1_000_000).to_string();
    let endpoint = format!("http://{}", floe.ports.http);
    let mut sender = Command::new(Path::new(&folder).join("emit"))
        .args(["http/protobuf", "none", &endpoint, "retrying", &millis])
        .spawn()
        .unwrap();
    floe.wait_until("the health endpoint", || send::get(floe.ports.health, "/").is_ok_and(|reply| reply.status == 503));
    assert!(floe.log().contains("the log cannot be written") && floe.log().contains("No space left"), "{}", floe.log());
    let refused = || floe.metric("floe_receiver_refusals_total{receiver=\"otlp\",transport=\"http\",reason=\"log\"}");
    let before = refused();
    floe.wait_until("a refusal of the SDK's request", || refused() > before);
    assert!(sender.try_wait().unwrap().is_none(), "it did not wait");
    // Commits need no room: what was acknowledged drains from a full disk.
    floe.flush();
    fs::remove_file(&filler).unwrap();
    floe.wait_until("the health endpoint", || send::get(floe.ports.health, "/").is_ok_and(|reply| reply.status == 200));
    assert!(sender.wait().unwrap().success(), "the SDK gave up");
    floe.flush();
    let ids = python::column(&floe, "invocations", "invocation_id");
    assert_eq!(ids.iter().filter(|id| id.starts_with("retrying")).collect::<Vec<_>>(), ["retrying-1", "retrying-2"]);
    assert_eq!(ids.iter().filter(|id| *id == "before").count(), 1);
    assert_eq!(python::rows(&floe, "deployments").len(), 1);
    assert!(floe.terminate().success(), "{}", floe.log());
}

#[test]
fn a_read_only_directory_is_refused_with_its_name() {
    let mut floe = Floe::start();
    assert_eq!(export(&floe, "before"), 200);
    assert!(floe.terminate().success(), "{}", floe.log());
    fs::rename(floe.data().join("wal"), floe.data().join("aside")).unwrap();
    let Some(mount) = Mount::under(&floe, 4) else { return };
    mount.remount("ro");
    let said = floe.refuses_to_start();
    assert!(said.contains("floe-data/wal") && said.contains("Read-only file system"), "{said}");
    mount.remount("rw");
    floe.restart();
    assert_eq!(export(&floe, "after"), 200);
    assert!(floe.terminate().success(), "{}", floe.log());
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["after", "before"]);
}

#[test]
fn a_directory_that_vanishes_ends_the_process_before_anything_more_is_acknowledged() {
    let mut floe = Floe::start();
    assert_eq!(export(&floe, "before"), 200);
    let (directory, away) = (floe.data().join("wal"), floe.data().join("away"));
    fs::rename(&directory, &away).unwrap();
    // "Later", or nothing at all where the end comes first.
    let body = send::body(vec![send::invocation("never", "checkout", send::now_nanos())]);
    let acknowledged = send::export(floe.ports.http, "traces", &body).is_ok_and(|reply| reply.status == 200);
    assert!(!acknowledged);
    assert_eq!(floe.wait_for_end().code(), Some(74), "{}", floe.log());
    assert!(floe.log().contains("is not where it was"), "{}", floe.log());
    fs::rename(&away, &directory).unwrap();
    floe.restart();
    floe.flush();
    let ids = python::column(&floe, "invocations", "invocation_id");
    assert!(ids.contains(&"before".to_owned()), "{ids:?}");
}

#[test]
fn a_second_process_on_one_directory_does_not_start() {
    let floe = Floe::start();
    let mut second = Floe::prepare(|config| {
        config.replace("directory: floe-data/wal", &format!("directory: {}", floe.data().join("wal").display()))
    });
    let said = second.refuses_to_start();
    assert!(said.contains("is used by another process") && said.contains("give this one another wal.directory"), "{said}");
    assert_eq!(export(&floe, "first"), 200);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// The gateway has to find out, take nothing more, and say what to do.
fn check_fenced(floe: &Floe) {
    // A table is looked at when there is something to commit.
    let _ = floe.command("flush").output().unwrap();
    floe.wait_until("the fence", || floe.metric("floe_wal_fenced") == Some(1.0));
    floe.wait_until("the health endpoint", || send::get(floe.ports.health, "/").is_ok_and(|reply| reply.status == 503));
    let status = floe.run("status");
    assert!(status.contains("fenced") && status.contains("floe wal rehome"), "{status}");
    assert_eq!(export(floe, "refused"), 503);
}

/// Two gateways go on from one log: of the rows both have, each is in the table once.
#[test]
fn of_a_copied_directory_one_goes_on_and_the_other_is_rehomed() {
    let mut floe = Floe::start();
    assert_eq!(export(&floe, "common"), 200);
    floe.flush();
    floe.kill_9();
    copy(&floe.data().join("wal"), &floe.data().join("copy"));
    floe.restart();
    assert_eq!(export(&floe, "original"), 200);
    floe.flush();

    let data = floe.data();
    let shared = |config: String| {
        config
            .replace("floe-data/wal", "COPY")
            .replace("floe-data/", &format!("{}/", data.display()))
            .replace("COPY", &data.join("copy").display().to_string())
    };
    let mut copied = Floe::prepare(shared);
    // It is not fenced before it has looked; what it takes meanwhile stays in its log.
    copied.spawn();
    copied.wait_until("a start", || send::get(copied.ports.http, "/").is_ok());
    let taken = export(&copied, "copied") == 200;
    check_fenced(&copied);
    copied.kill_9();
    let to = copied.directory.join("rehomed");
    let inspected = copied.run_with("wal", &["inspect"]);
    let fork = inspected.lines().find(|line| line.contains("iceberg:invocations")).map(|_| "1").unwrap();
    copied.run_with("wal", &["rehome", "--from", fork, "--to", to.to_str().unwrap()]);
    copied.reconfigure(|config| config.replace(&data.join("copy").display().to_string(), &to.display().to_string()));
    copied.restart();
    assert_eq!(export(&copied, "rehomed"), 200);
    copied.flush();
    assert_eq!(export(&floe, "goes on"), 200);
    floe.flush();
    let mut expected = vec!["common", "goes on", "original", "rehomed"];
    if taken {
        expected.insert(1, "copied");
    }
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), expected);
}

#[test]
fn a_restored_backup_is_fenced_and_doubles_nothing() {
    let mut floe = Floe::start();
    assert_eq!(export(&floe, "first"), 200);
    floe.kill_9();
    let (log, backup) = (floe.data().join("wal"), floe.data().join("backup"));
    copy(&log, &backup);
    floe.restart();
    assert_eq!(export(&floe, "second"), 200);
    assert!(floe.terminate().success(), "{}", floe.log());
    fs::remove_dir_all(&log).unwrap();
    fs::rename(&backup, &log).unwrap();
    floe.spawn();
    floe.wait_until("a start", || send::get(floe.ports.http, "/").is_ok());
    std::thread::sleep(Duration::from_millis(100));
    check_fenced(&floe);
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["first", "second"]);
}
