//! The test of the tests, for the log: what a naive log would do is switched on, and one history of appends, commits and crashes has to show it.

use super::*;
use crate::faults::{self, Naive};

/// What the log has to hold at each stage; the first thing that is not so.
async fn history() -> Result<(), &'static str> {
    let disk = Memory::default();
    let mut wal = open(&disk);
    for n in 1..=20 {
        wal.append(id(n), payload(&[(0, 2), (1, 3)])).await.map_err(|_| "not taken")?;
    }
    let (commit, table) = (Uuid::from_u128(1), Uuid::nil());
    let intent = Intent {
        commit,
        table,
        above: Position(0),
        to: Position(20),
        parent: None,
        parent_sequence: 0,
        files: Vec::new(),
        letters: None,
    };
    wal.intend(StreamId(0), intent.clone()).await.map_err(|_| "not written down")?;
    wal.intend(StreamId(1), intent).await.map_err(|_| "not written down")?;
    wal = reopened(&disk, wal).await;
    if held(&wal, 0).len() != 20 {
        return Err("rows of an open commit are lost");
    }
    wal.record(StreamId(0), recorded(20)).await.map_err(|_| "not recorded")?;
    wal = reopened(&disk, wal).await;
    if held(&wal, 1).len() != 20 {
        return Err("rows of the slower table are lost");
    }
    wal.record(StreamId(1), recorded(20)).await.map_err(|_| "not recorded")?;
    // Without a power loss, after which the removed segments could be back.
    wal.close().await;
    wal = open(&disk);
    if !matches!(wal.append(id(20), payload(&[(0, 1)])).await, Ok(Appended::Duplicate(_))) {
        return Err("a request is taken twice");
    }
    wal.close().await;
    for path in disk.paths(".segment") {
        storage::Storage::remove(&disk, &path).map_err(|_| "not removed")?;
    }
    wal = open(&disk);
    match wal.append(id(21), payload(&[(0, 1)])).await {
        Ok(Appended::New(durable)) if durable.position() > Position(20) => {}
        _ => return Err("a position is used again"),
    }
    disk.faults.failing_syncs.store(1, SeqCst);
    let acknowledged = wal.append(id(22), payload(&[(0, 1)])).await.is_ok();
    wal.close().await;
    disk.cut_power(0);
    let held = held(&open(&disk), 0).len();
    if held == 1 + usize::from(acknowledged) { Ok(()) } else { Err("an acknowledged row is lost") }
}

async fn reopened(disk: &Memory, wal: Wal) -> Wal {
    wal.close().await;
    disk.cut_power(0);
    open(disk)
}

fn check(naive: Option<Naive>, expected: Result<(), &'static str>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = faults::with(naive, || runtime.block_on(history()));
    assert_eq!(found, expected, "{naive:?}");
}

#[test]
fn the_log_as_it_is_loses_nothing_and_repeats_nothing() {
    check(None, Ok(()));
}

#[test]
fn release_at_upload_is_found() {
    check(Some(Naive::ReleaseAtUpload), Err("rows of an open commit are lost"));
}

#[test]
fn release_at_the_fastest_table_is_found() {
    check(Some(Naive::ReleaseAtFastest), Err("rows of the slower table are lost"));
}

#[test]
fn request_hashes_in_memory_are_found() {
    check(Some(Naive::HashesInMemory), Err("a request is taken twice"));
}

#[test]
fn request_hashes_that_go_with_their_segment_are_found() {
    check(Some(Naive::HashesWithSegment), Err("a request is taken twice"));
}

#[test]
fn positions_used_again_are_found() {
    check(Some(Naive::PositionsAgain), Err("a position is used again"));
}

#[test]
fn a_sync_that_is_repeated_is_found() {
    check(Some(Naive::RetrySync), Err("an acknowledged row is lost"));
}
