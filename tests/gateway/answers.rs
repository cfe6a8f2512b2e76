//! Every wrong, late, lost or doubled answer of a catalog, played by a proxy before the real one. Afterwards PyIceberg finds every acknowledged
//! row once.

use std::time::{Duration, Instant};

use super::floe::{Floe, PATIENCE};
use super::parts::Lake;
use super::proxy::{Fault, Proxy};
use super::{python, send};

/// A gateway whose catalog is behind a proxy, with the ids that were acknowledged.
struct Scene {
    floe: Floe,
    proxy: Proxy,
    lake: Lake,
    acknowledged: Vec<String>,
}

impl Scene {
    /// With a first row committed, so that the log is enrolled. `None` where the parts are not installed.
    fn open() -> Option<Scene> {
        let lake = Lake::open()?;
        let proxy = Proxy::before(lake.catalog);
        let mut floe = Floe::start_on(Some(&lake.through(proxy.address)), |config| config);
        floe.source = lake.source();
        let mut scene = Scene { floe, proxy, lake, acknowledged: Vec::new() };
        scene.send("first");
        scene.floe.flush();
        Some(scene)
    }

    /// Two rows in two partitions.
    fn send(&mut self, name: &str) {
        for hour in 0..2 {
            let id = format!("{name}-{hour}");
            let start = send::now_nanos() - hour * 3_600_000_000_000;
            let body = send::body(vec![send::invocation(&id, "checkout", start)]);
            assert_eq!(send::export(self.floe.ports.http, "traces", &body).unwrap().status, 200);
            self.acknowledged.push(id);
        }
    }

    /// Flushes until everything is committed: a flush that met a fault says so.
    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.floe.command("flush").output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "it does not settle\n{}", self.floe.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The multiset of ids in the table is the list of acknowledged ones.
    fn check(&mut self, what: &str) {
        self.acknowledged.sort();
        let written = python::column(&self.floe, "invocations", "invocation_id");
        assert_eq!(written, self.acknowledged, "{what}\n{}", self.floe.log());
    }

    fn statuses(&self) -> Vec<u16> {
        self.proxy.late().iter().map(http::StatusCode::as_u16).collect()
    }
}

/// One fault at one commit, then a commit that meets none.
fn play(fault: Fault) -> Option<Scene> {
    let mut scene = Scene::open()?;
    scene.proxy.next_commit(fault);
    scene.send("during");
    scene.settle();
    scene.send("after");
    scene.settle();
    assert_eq!(scene.proxy.met(), 1, "the fault took place");
    scene.check(&format!("{fault:?}"));
    Some(scene)
}

#[test]
fn a_commit_that_was_applied_without_an_answer_is_found() {
    play(Fault::AppliedNoAnswer);
}

#[test]
fn a_conflict_is_not_taken_for_not_applied() {
    play(Fault::Applied(409));
}

#[test]
fn an_error_of_the_server_is_not_taken_for_not_applied() {
    play(Fault::Applied(503));
}

#[test]
fn a_commit_that_arrives_between_our_look_and_our_retry_counts_once() {
    let Some(scene) = play(Fault::HeldUntilAfterLook) else { return };
    assert_eq!(scene.statuses(), [200], "it was applied late, and the retry after it was not");
}

#[test]
fn a_commit_that_arrives_after_our_retry_is_refused_by_the_catalog() {
    let Some(scene) = play(Fault::HeldUntilAfterRetry) else { return };
    assert_eq!(scene.statuses(), [409]);
}

#[test]
fn a_commit_that_is_sent_twice_on_the_way_counts_once() {
    let Some(scene) = play(Fault::SentTwice) else { return };
    assert_eq!(scene.statuses(), [200, 409]);
}

#[test]
fn a_race_that_the_catalog_lost_within_itself_is_a_conflict() {
    let body = r#"{"error":{"message":"retries are used up","type":"ConcurrentUpdateError","code":400}}"#;
    play(Fault::Refused { status: 400, retry_after: None, body });
}

#[test]
fn retry_after_is_waited_for() {
    let body = r#"{"error":{"message":"slow down","type":"TooManyRequestsException","code":429}}"#;
    let Some(scene) = play(Fault::Refused { status: 429, retry_after: Some(3), body }) else { return };
    let at = scene.proxy.commits_at();
    // The first enrols, the second commits, the third is refused; the next one comes as told, whatever asks for a flush meanwhile.
    assert!(at[3] - at[2] >= Duration::from_secs(3), "{:?}", at[3] - at[2]);
}

#[test]
fn a_denial_in_plain_text_keeps_the_rows_shows_and_passes() {
    let Some(mut scene) = Scene::open() else { return };
    for _ in 0..6 {
        scene.proxy.next_commit(Fault::Refused { status: 401, retry_after: None, body: "Unauthorized" });
    }
    scene.send("during");
    let said = scene.floe.command("flush").output().unwrap();
    assert!(!said.status.success());
    let status = scene.floe.run("status");
    assert!(status.contains("401") && status.contains("check the credentials"), "{status}");
    scene.settle();
    scene.check("401 in plain text, six times, and no restart");
}

#[test]
fn a_stale_version_is_not_believed() {
    let Some(mut scene) = Scene::open() else { return };
    scene.send("before");
    scene.settle();
    scene.proxy.next_look_is_stale();
    scene.send("during");
    scene.settle();
    assert_eq!(scene.proxy.met(), 1);
    scene.check("stale load");
}

#[test]
fn of_two_requests_on_one_head_exactly_one_is_applied() {
    let Some(mut scene) = Scene::open() else { return };
    scene.proxy.next_commit(Fault::Held);
    scene.send("during");
    let flush = scene.floe.command("flush").spawn().unwrap();
    scene.proxy.await_commit();
    let held = scene.proxy.take_held();
    let mut statuses: Vec<u16> = scene.proxy.send(&[held.clone(), held]).iter().map(http::StatusCode::as_u16).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    flush.wait_with_output().unwrap();
    scene.settle();
    scene.check("two requests on one head");
}

#[test]
fn a_commit_held_across_a_restart_counts_once_before_and_after_the_look() {
    let Some(mut scene) = Scene::open() else { return };
    for before in [true, false] {
        scene.proxy.next_commit(Fault::Held);
        scene.send(if before { "delivered-before" } else { "delivered-after" });
        let mut flush = scene.floe.command("flush").spawn().unwrap();
        scene.proxy.await_commit();
        scene.floe.kill_9();
        flush.wait().unwrap();
        if before {
            assert_eq!(scene.proxy.deliver(), 200, "nothing has moved the head");
        }
        scene.floe.restart();
        scene.send(if before { "more-before" } else { "more-after" });
        scene.settle();
        if !before {
            assert_eq!(scene.proxy.deliver(), 409, "the head has moved");
        }
        scene.check(&format!("held across a restart, delivered before the look: {before}"));
    }
}

#[test]
fn other_writers_between_look_and_send_cost_a_conflict_and_no_row() {
    let Some(mut scene) = Scene::open() else { return };
    for action in ["append", "overwrite", "expire"] {
        scene.proxy.next_commit(Fault::Paused);
        scene.send(&format!("during-{action}"));
        let mut flush = scene.floe.command("flush").spawn().unwrap();
        scene.proxy.await_commit();
        python::run("maintain.py", &[&scene.lake.source(), "invocations", action]);
        scene.proxy.go_on();
        flush.wait().unwrap();
        scene.settle();
        if action == "append" {
            scene.acknowledged.push("foreign".to_owned());
        }
        scene.check(action);
    }
}

/// So many gateways write one table at once, each with a log of its own.
fn writers(count: usize) {
    let Some(lake) = Lake::open() else { return };
    let start = || Floe::start_on(Some(&lake), |config| config.replace("max_age: 60s", "max_age: 1s"));
    let mut gateways: Vec<Floe> = (0..count).map(|_| start()).collect();
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        for (writer, floe) in gateways.iter().enumerate() {
            let id = format!("w{writer}-{round}");
            let body = send::body(vec![send::invocation(&id, "checkout", send::now_nanos())]);
            assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
            acknowledged.push(id);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    for floe in &mut gateways {
        assert!(floe.terminate().success(), "{}", floe.log());
    }
    acknowledged.sort();
    assert_eq!(python::column(&gateways[0], "invocations", "invocation_id"), acknowledged);
}

#[test]
fn three_writers_of_one_table_lose_nothing_and_all_go_on() {
    writers(3);
}

#[test]
fn eight_writers_of_one_table_lose_nothing_and_all_go_on() {
    writers(8);
}
