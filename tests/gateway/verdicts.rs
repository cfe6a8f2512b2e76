//! A commit that nobody can tell the outcome of (rule 20), through a real gateway: it says so, a person looks, and `floe wal resolve` settles it. Only with
//! the feature `faults`.

use floe::faults::Point;

use super::floe::Floe;
use super::{python, send};

fn export(floe: &Floe, id: &str) {
    let body = send::body(vec![send::invocation(id, "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
}

/// The process dies at this point of its second commit; then the watermark is removed and all snapshots but the newest are expired.
fn ambiguous_after(point: Point) -> Floe {
    let mut floe = Floe::start();
    export(&floe, "first");
    assert!(floe.terminate().success(), "{}", floe.log());
    floe.env = vec![("FLOE_CRASH_AT", point.name().to_owned())];
    floe.restart();
    export(&floe, "second");
    let _ = floe.command("flush").output().unwrap();
    floe.wait_for_end();
    floe.env.clear();
    python::run("meddle.py", &["forget", floe.data().to_str().unwrap(), "invocations"]);
    floe.restart();
    export(&floe, "third");
    floe.wait_until("the verdict that there is none", || floe.run("status").contains("ambiguous"));
    floe
}

/// What `floe wal inspect` says of the open commit: its id and its files.
fn open_commit(floe: &Floe) -> (String, Vec<String>) {
    let inspected = floe.run_with("wal", &["inspect"]);
    let mut lines = inspected
        .lines()
        .skip_while(|line| !line.starts_with("iceberg:invocations"))
        .skip_while(|line| !line.contains("open: commit"));
    let commit = lines.next().and_then(|line| line.trim().strip_prefix("open: commit ")?.split(',').next()).unwrap().to_owned();
    let files = lines.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    (commit, files)
}

fn check(point: Point, is_applied: bool) {
    let mut floe = ambiguous_after(point);
    let status = floe.run("status");
    assert!(status.contains("floe wal resolve"), "{status}");
    // The table stops; the gateway takes requests, and other tables are written.
    assert_eq!(send::get(floe.ports.health, "/").unwrap().status, 200);
    let refused = floe.command("wal").arg("inspect").output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is used by another process"), "{refused:?}");
    floe.terminate();
    let (commit, files) = open_commit(&floe);
    let known = python::json_lines("read.py", &["files", floe.data().to_str().unwrap(), "invocations"]);
    let known: Vec<&str> = known.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(files.iter().all(|file| known.contains(&file.as_str())), is_applied, "{files:?} of {known:?}");
    assert!(!files.is_empty());
    let verdict: &[&str] = if is_applied { &["--committed", &commit] } else { &["--replay"] };
    let arguments: Vec<&str> = [&["resolve", "--table", "iceberg:invocations"], verdict].concat();
    assert!(floe.run_with("wal", &arguments).contains("start floe again"));
    floe.restart();
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["first", "second", "third"]);
}

#[test]
fn a_commit_that_was_never_sent_is_replayed_when_a_person_says_so() {
    check(Point::AfterIntent, false);
}

#[test]
fn a_commit_that_was_applied_is_not_written_again_when_a_person_says_so() {
    check(Point::AfterCommitBeforeRecord, true);
}
