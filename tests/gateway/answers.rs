//! Every wrong, late, lost or doubled answer of a catalog, played by a proxy before it, on every catalog that is reached over HTTP. Afterwards
//! PyIceberg finds every acknowledged row once.

use std::time::Duration;

use super::acknowledged::Acknowledged;
use super::floe::Floe;
use super::proxy::Fault;
use super::warehouses::{Place, Warehouse, over_http};
use super::{python, send};

over_http!(
    no_answer_to_a_commit_costs_or_doubles_a_row,
    retry_after_is_waited_for,
    a_denial_in_plain_text_keeps_the_rows_shows_and_passes,
    a_stale_version_is_not_believed,
    of_two_requests_on_one_head_exactly_one_is_applied,
    a_commit_held_across_a_restart_counts_once_before_and_after_the_look,
    other_writers_between_look_and_send_cost_a_conflict_and_no_row,
    a_catalog_that_is_away_at_the_start_gets_every_row_when_it_comes,
);

/// With a first row committed, so that the log is enrolled.
fn open(place: &Place) -> (Floe, Acknowledged) {
    let (floe, mut acknowledged) = (place.start(), Acknowledged::default());
    acknowledged.send(&floe, "first");
    floe.settle();
    (floe, acknowledged)
}

/// One fault after the other, each at one commit; then a commit that meets none.
fn no_answer_to_a_commit_costs_or_doubles_a_row(place: &Place) {
    let (floe, mut acknowledged) = open(place);
    let concurrent = r#"{"error":{"message":"retries are used up","type":"ConcurrentUpdateError","code":400}}"#;
    let faults = [
        Fault::AppliedNoAnswer,
        // A conflict is not taken for "not applied", and neither is an error of the server.
        Fault::Applied(409),
        Fault::Applied(500),
        Fault::Applied(503),
        Fault::HeldUntilAfterLook,
        Fault::HeldUntilAfterRetry,
        Fault::SentTwice,
        Fault::Refused { status: 400, retry_after: None, body: concurrent },
        Fault::Refused { status: 500, retry_after: None, body: "oops" },
        Fault::Refused { status: 504, retry_after: None, body: "" },
        // Something before the catalog, while it is renewed.
        Fault::Refused { status: 404, retry_after: None, body: "default backend - 404" },
    ];
    for (met, fault) in (1..).zip(faults) {
        place.proxy().next_commit(fault);
        acknowledged.send(&floe, &format!("{fault:?}"));
        floe.settle();
        assert_eq!(place.proxy().met(), met, "{fault:?} took place");
    }
    acknowledged.send(&floe, "after");
    floe.settle();
    let late: Vec<u16> = place.proxy().late().iter().map(http::StatusCode::as_u16).collect();
    // Between our look and our retry it was applied, and the retry was not; after our retry it was refused; sent twice it was applied once.
    assert_eq!(late, [200, 409, 200, 409]);
    acknowledged.check(&floe, "eleven faults");
}

fn retry_after_is_waited_for(place: &Place) {
    let (floe, mut acknowledged) = open(place);
    let body = r#"{"error":{"message":"slow down","type":"TooManyRequestsException","code":429}}"#;
    place.proxy().next_commit(Fault::Refused { status: 429, retry_after: Some(3), body });
    acknowledged.send(&floe, "during");
    floe.settle();
    let at = place.proxy().commits_at();
    // The first enrols, the second commits, the third is refused; the next one comes as told, whatever asks for a flush meanwhile.
    assert!(at[3] - at[2] >= Duration::from_secs(3), "{:?}", at[3] - at[2]);
    acknowledged.check(&floe, "429");
}

fn a_denial_in_plain_text_keeps_the_rows_shows_and_passes(place: &Place) {
    let (floe, mut acknowledged) = open(place);
    for _ in 0..6 {
        place.proxy().next_commit(Fault::Refused { status: 401, retry_after: None, body: "Unauthorized" });
    }
    acknowledged.send(&floe, "during");
    assert!(!floe.command("flush").output().unwrap().status.success());
    let status = floe.run("status");
    assert!(status.contains("401") && status.contains("check the credentials"), "{status}");
    floe.wait_until("the denial in the health", || {
        let health = send::get(floe.ports.health, "/").unwrap();
        let words = ["\"table\":\"invocations\",\"state\":\"retrying\"", "the catalog denies access: status 401"];
        health.status == 200 && words.iter().all(|words| health.text().contains(words))
    });
    floe.settle();
    acknowledged.check(&floe, "401 in plain text, six times, and no restart");
}

fn a_stale_version_is_not_believed(place: &Place) {
    let (floe, mut acknowledged) = open(place);
    acknowledged.send(&floe, "before");
    floe.settle();
    place.proxy().next_look_is_stale();
    acknowledged.send(&floe, "during");
    floe.settle();
    assert_eq!(place.proxy().met(), 1);
    acknowledged.check(&floe, "stale load");
}

fn of_two_requests_on_one_head_exactly_one_is_applied(place: &Place) {
    let (floe, mut acknowledged) = open(place);
    let proxy = place.proxy();
    proxy.next_commit(Fault::Held);
    acknowledged.send(&floe, "during");
    let flush = floe.command("flush").spawn().unwrap();
    proxy.await_commit();
    let held = proxy.take_held();
    let mut statuses: Vec<u16> = proxy.send(&[held.clone(), held]).iter().map(http::StatusCode::as_u16).collect();
    statuses.sort_unstable();
    // R2 has tried the loser again by itself, where the two overlapped.
    assert!(statuses == [200, 409] || (place.warehouse == Warehouse::R2 && statuses == [200, 400]), "{statuses:?}");
    flush.wait_with_output().unwrap();
    floe.settle();
    acknowledged.check(&floe, "two requests on one head");
}

fn a_commit_held_across_a_restart_counts_once_before_and_after_the_look(place: &Place) {
    let (mut floe, mut acknowledged) = open(place);
    let proxy = place.proxy();
    for before in [true, false] {
        proxy.next_commit(Fault::Held);
        acknowledged.send(&floe, if before { "delivered-before" } else { "delivered-after" });
        let mut flush = floe.command("flush").spawn().unwrap();
        proxy.await_commit();
        floe.kill_9();
        flush.wait().unwrap();
        if before {
            assert_eq!(proxy.deliver(), 200, "nothing has moved the head");
        }
        floe.restart();
        acknowledged.send(&floe, if before { "more-before" } else { "more-after" });
        floe.settle();
        if !before {
            assert_eq!(proxy.deliver(), 409, "the head has moved");
        }
        acknowledged.check(&floe, &format!("held across a restart, delivered before the look: {before}"));
    }
}

fn other_writers_between_look_and_send_cost_a_conflict_and_no_row(place: &Place) {
    let (floe, mut acknowledged) = open(place);
    // Nessie keeps the history itself, and lets nobody expire a snapshot.
    let actions = ["append", "overwrite", "expire"];
    for action in &actions[..if place.warehouse == Warehouse::Nessie { 2 } else { 3 }] {
        place.proxy().next_commit(Fault::Paused);
        acknowledged.send(&floe, &format!("during-{action}"));
        let mut flush = floe.command("flush").spawn().unwrap();
        place.proxy().await_commit();
        python::run("maintain.py", &[&floe.source, "invocations", action]);
        place.proxy().go_on();
        flush.wait().unwrap();
        floe.settle();
        if *action == "append" {
            acknowledged.push("foreign");
        }
        acknowledged.check(&floe, action);
    }
}

fn a_catalog_that_is_away_at_the_start_gets_every_row_when_it_comes(place: &Place) {
    place.proxy().set_away(true);
    let (mut floe, mut acknowledged) = (place.start(), Acknowledged::default());
    acknowledged.send(&floe, "before-a-table");
    floe.wait_until("the catalog's absence in the status", || floe.run("status").contains("error sending request"));
    floe.kill_9();
    floe.restart();
    acknowledged.send(&floe, "after-a-kill");
    place.proxy().set_away(false);
    floe.settle();
    acknowledged.check(&floe, "no catalog at two starts");
}
