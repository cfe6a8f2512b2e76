//! A crash at every named point of docs/exactly-once.md, a sync that fails, and gateways that break a rule on purpose. Only with the feature
//! `faults`.

use std::thread;
use std::time::Duration;

use floe::faults::{Naive, Point};

use super::crash::Load;
use super::floe::Floe;
use super::parts::Lake;
use super::{dead_letters, python, send};

#[expect(clippy::needless_pass_by_value, reason = "as every change of a configuration is")]
/// Small segments, so that they are made and released all the time.
fn busy(config: String) -> String {
    config
        .replace("max_age: 60s", "max_age: 1s")
        .replace("directory: floe-data/wal", "directory: floe-data/wal, segment_bytes: 64KiB")
}

/// Rows are held when the process dies at its `times`th passage of the point; then everything goes on.
fn crash_at(point: Point, times: u32, lake: Option<&Lake>) {
    let mut floe = Floe::prepare_on(lake, busy);
    if point != Point::DuringEnrol {
        floe.restart();
    }
    let load = Load::on(&floe);
    if point != Point::DuringEnrol {
        thread::sleep(Duration::from_millis(500));
        floe.kill_9();
    }
    floe.env = vec![("FLOE_CRASH_AT", format!("{}:{times}", point.name()))];
    floe.spawn();
    let status = floe.wait_for_end();
    assert!(floe.log().contains(&format!("crash at {}", point.name())), "{status}\n{}", floe.log());
    floe.env.clear();
    floe.restart();
    thread::sleep(Duration::from_millis(500));
    let rows = load.end(&mut floe).unwrap_or_else(|wrong| panic!("{}: {wrong}", point.name()));
    assert!(rows > 40, "{}: only {rows} rows", point.name());
}

/// Every point has a test here, on both catalogs.
macro_rules! points {
    ($($name:ident: $point:ident, $times:literal;)+) => {
        $(#[test] fn $name() { crash_at(Point::$point, $times, None); })+

        mod on_rest_and_s3 {
            use super::{Lake, Point, crash_at};

            $(#[test] fn $name() {
                if let Some(lake) = Lake::open() {
                    crash_at(Point::$point, $times, Some(&lake));
                }
            })+
        }

        #[test]
        fn every_point_has_a_test() {
            let of_dead_letters = [Point::AfterDeadLetter, Point::DuringReplay, Point::AfterReplay, Point::DuringMoveOut];
            let by_hand = [Point::AfterSetAside, Point::DuringRehome];
            for point in Point::ALL {
                assert!([&[$(Point::$point,)+][..], &of_dead_letters, &by_hand].concat().contains(point), "{}", point.name());
            }
        }
    };
}

points! {
    a_crash_after_append: AfterAppend, 20;
    a_crash_after_the_sync_before_the_ack: AfterFsyncBeforeAck, 20;
    a_crash_after_the_ack: AfterAck, 20;
    a_crash_during_upload: DuringUpload, 2;
    a_crash_after_upload: AfterUpload, 1;
    a_crash_after_the_intent: AfterIntent, 1;
    a_crash_when_the_commit_is_sent: CommitSent, 1;
    a_crash_after_the_commit_before_the_record: AfterCommitBeforeRecord, 1;
    a_crash_after_the_record_before_the_release: AfterRecordBeforeRelease, 1;
    a_crash_during_release: DuringRelease, 2;
    a_crash_after_a_segment_is_made: AfterSegmentCreate, 2;
    a_crash_while_the_last_segment_is_rewritten: DuringReopenRewrite, 1;
    a_crash_during_enrolment: DuringEnrol, 1;
    a_crash_while_the_journal_goes_over: DuringCompaction, 1;
    a_crash_after_the_journal_went_over: AfterCompaction, 1;
    a_crash_after_requests_are_carried: AfterCarry, 2;
}

/// Four of six held rows do not fit; the process dies between setting them aside and giving their space back. Each is one dead letter then.
fn crash_with_dead_letters(point: Point, times: u32) {
    let mut floe = dead_letters::with_rows_that_do_not_fit();
    floe.env = vec![("FLOE_CRASH_AT", format!("{}:{times}", point.name()))];
    floe.spawn();
    floe.wait_until("a crash", || {
        let _ = floe.command("flush").output();
        floe.log().contains("crash at")
    });
    floe.wait_for_end();
    floe.env.clear();
    floe.restart();
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["i4", "i5"], "{}", point.name());
    let dead = floe.metric("floe_dead_letter_rows{exporter=\"iceberg\",table=\"invocations\"}");
    assert_eq!(dead, Some(4.0), "{}", point.name());
    assert!(floe.terminate().success(), "{}", floe.log());
    assert_eq!(dead_letters::replayed(&mut floe), ["i0", "i1", "i2", "i3"], "{}", point.name());
}

macro_rules! points_of_dead_letters {
    ($($name:ident: $point:ident, $times:literal;)+) => {
        $(#[test] fn $name() { crash_with_dead_letters(Point::$point, $times); })+
    };
}

// The fifth time, where the four tables are enrolled first.
points_of_dead_letters! {
    a_crash_after_a_dead_letter: AfterDeadLetter, 1;
    a_crash_after_the_intent_that_names_dead_letters: AfterIntent, 5;
    a_crash_after_the_commit_that_names_dead_letters: AfterCommitBeforeRecord, 1;
    a_crash_after_the_record_that_names_dead_letters: AfterRecordBeforeRelease, 5;
}

#[test]
fn a_crash_during_a_replay_brings_every_row_back_once() {
    crash_in_a_replay(Point::DuringReplay);
}

#[test]
fn a_crash_after_a_replay_before_its_letters_are_removed() {
    crash_in_a_replay(Point::AfterReplay);
}

fn crash_in_a_replay(point: Point) {
    let mut floe = dead_letters::with_rows_that_do_not_fit();
    floe.restart();
    floe.flush();
    assert!(floe.terminate().success(), "{}", floe.log());
    floe.env = vec![("FLOE_CRASH_AT", point.name().to_owned())];
    floe.restart();
    assert!(!floe.command("replay").output().unwrap().status.success());
    floe.wait_for_end();
    floe.env.clear();
    floe.restart();
    assert_eq!(floe.run("replay"), "replayed 0 rows\n");
    floe.flush();
    let dead = floe.metric("floe_dead_letter_rows{exporter=\"iceberg\",table=\"invocations\"}");
    assert_eq!(dead, Some(4.0), "they still do not fit, and are set aside once more");
    assert!(floe.terminate().success(), "{}", floe.log());
    assert_eq!(dead_letters::replayed(&mut floe), ["i0", "i1", "i2", "i3"]);
}

/// Rows of a table that is away are moved out, and the process dies before that counts.
#[test]
fn a_crash_while_rows_are_moved_out_leaves_them_held() {
    let mut floe = Floe::prepare(|config| {
        config
            .replace("    namespace: analytics", "    namespace: analytics\n    dead_letter: { after: 2s }")
            .replace("max_age: 60s", "max_age: 1s")
    });
    let warehouse = floe.data().join("warehouse");
    std::fs::create_dir_all(floe.data()).unwrap();
    std::fs::write(&warehouse, b"not a directory").unwrap();
    floe.env = vec![("FLOE_CRASH_AT", Point::DuringMoveOut.name().to_owned())];
    floe.restart();
    let body = send::body((0..3).map(|n| send::invocation(&format!("m{n}"), "checkout", send::now_nanos())).collect());
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    floe.wait_for_end();
    assert!(floe.log().contains("crash at during_move_out"), "{}", floe.log());
    std::fs::remove_file(&warehouse).unwrap();
    floe.env.clear();
    floe.restart();
    floe.flush();
    assert_eq!(floe.metric("floe_dead_letter_rows{exporter=\"iceberg\",table=\"invocations\"}"), Some(0.0));
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["m0", "m1", "m2"]);
}

/// Three requests are held, each in a frame of its own, and the log is stopped.
fn with_held_rows() -> Floe {
    let floe = Floe::start();
    for n in 0..3 {
        let body = send::body(vec![send::invocation(&format!("h{n}"), "checkout", send::now_nanos())]);
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    }
    floe
}

#[test]
fn a_crash_after_damage_is_set_aside_tells_it_all_the_same() {
    let mut floe = with_held_rows();
    floe.kill_9();
    let segments = super::floe::files_below(&floe.data().join("wal"));
    let segment = segments.iter().find(|path| path.extension().is_some_and(|suffix| suffix == "segment")).unwrap();
    let mut bytes = std::fs::read(segment).unwrap();
    // In the rows of the middle one.
    let mark = [0xF1, 0x0E, 0x9A, 0xC3];
    let frames: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..*at + 4] == mark).collect();
    bytes[frames[2] - 1] ^= 1;
    std::fs::write(segment, bytes).unwrap();
    floe.env = vec![("FLOE_CRASH_AT", Point::AfterSetAside.name().to_owned())];
    floe.spawn();
    floe.wait_for_end();
    floe.env.clear();
    floe.restart();
    floe.flush();
    assert!(floe.log().contains("acknowledged requests of the log are damaged"), "{}", floe.log());
    assert_eq!(floe.metric("floe_wal_damaged_positions"), Some(1.0));
    let damaged = "floe_destination_rows{exporter=\"iceberg\",table=\"invocations\",state=\"damaged\"}";
    assert_eq!(floe.metric(damaged), Some(1.0));
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["h0", "h2"]);
}

#[test]
fn a_crash_during_a_rehoming_leaves_no_log_in_the_new_place() {
    let mut floe = with_held_rows();
    floe.kill_9();
    let to = floe.directory.join("rehomed");
    let mut rehome = floe.command("wal");
    rehome.args(["rehome", "--to"]).arg(&to);
    let crashed = rehome.env("FLOE_CRASH_AT", Point::DuringRehome.name()).output().unwrap();
    assert!(!crashed.status.success() && !to.exists(), "{crashed:?}");
    floe.run_with("wal", &["rehome", "--to", to.to_str().unwrap()]);
    floe.reconfigure(|config| config.replace("directory: floe-data/wal", &format!("directory: {}", to.display())));
    floe.restart();
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["h0", "h1", "h2"]);
}

#[test]
fn a_failed_sync_ends_the_process_with_74_and_nothing_is_lost() {
    let mut floe = Floe::prepare(busy);
    let load = Load::on(&floe);
    floe.env = vec![("FLOE_FAIL_SYNC_AT", "60".to_owned())];
    floe.spawn();
    assert_eq!(floe.wait_for_end().code(), Some(74), "{}", floe.log());
    floe.env.clear();
    floe.restart();
    thread::sleep(Duration::from_millis(500));
    load.end(&mut floe).unwrap();
}

/// A gateway that breaks a rule, with a crash after a commit, is found by the comparison of ids.
fn sabotaged(naive: Naive) -> String {
    let mut floe = Floe::prepare(busy);
    floe.env = vec![("FLOE_SABOTAGE", naive.name().to_owned())];
    floe.restart();
    let load = Load::on(&floe);
    thread::sleep(Duration::from_millis(500));
    floe.kill_9();
    floe.env.push(("FLOE_CRASH_AT", Point::AfterCommitBeforeRecord.name().to_owned()));
    floe.spawn();
    floe.wait_for_end();
    floe.env.pop();
    floe.restart();
    thread::sleep(Duration::from_millis(500));
    load.end(&mut floe).expect_err(naive.name())
}

#[test]
fn a_gateway_that_believes_its_record_only_is_found() {
    let wrong = sabotaged(Naive::LocalRecordOnly);
    assert!(wrong.contains(" 0 lost") && !wrong.contains(" 0 twice"), "{wrong}");
}

#[test]
fn a_gateway_that_flushes_one_partition_is_found() {
    let wrong = sabotaged(Naive::OnePartitionOnly);
    assert!(!wrong.contains(" 0 lost"), "{wrong}");
}

#[test]
fn a_gateway_that_forgets_requests_with_their_segment_is_found() {
    let mut floe = Floe::prepare(busy);
    floe.env = vec![("FLOE_SABOTAGE", Naive::HashesWithSegment.name().to_owned())];
    floe.restart();
    let body = send::body(vec![send::invocation("once", "checkout", send::now_nanos())]);
    for _ in 0..2 {
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
        floe.flush();
        assert!(floe.terminate().success(), "{}", floe.log());
        floe.restart();
    }
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["once", "once"]);
}
