//! The log as its callers see it, on a disk in memory.

mod damage;
mod disk;
mod letters;
mod model;
mod offline;
mod requests;
mod sabotage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::open::{Place, open_at};
use super::storage::memory::Memory;
use super::*;
use crate::config::ByteSize;

fn streams(names: &[&str]) -> Vec<Stream> {
    names.iter().map(|name| Stream { name: (*name).to_owned(), schema: format!("schema of {name}").into_bytes() }).collect()
}

fn config() -> WalConfig {
    WalConfig { segment_bytes: ByteSize(400), max_bytes: ByteSize::mib(1), ..WalConfig::default() }
}

fn try_open(disk: &Memory, config: &WalConfig, names: &[&str]) -> Result<(Wal, Opened), OpenError> {
    let place = Place {
        storage: Arc::new(disk.clone()),
        path: PathBuf::from("/wal"),
        writer: Uuid::from_u128(7),
        key: [7; 32],
        lock: None,
    };
    open_at(place, config, streams(names))
}

fn open(disk: &Memory) -> Wal {
    try_open(disk, &config(), &["a", "b"]).unwrap().0
}

fn id(n: u64) -> Fingerprint {
    Fingerprint(u128::from(n).to_le_bytes())
}

/// One request with so many rows for each of the streams.
fn payload(rows: &[(u16, u32)]) -> Payload {
    let entry = |(stream, rows): &(u16, u32)| Entry {
        stream: StreamId(*stream),
        rows: *rows,
        bytes: vec![u8::try_from(*rows).unwrap(); 10 * *rows as usize].into(),
    };
    Payload { entries: rows.iter().map(entry).collect() }
}

async fn add(wal: &Wal, n: u64, rows: &[(u16, u32)]) -> Position {
    match wal.append(id(n), payload(rows)).await.unwrap() {
        Appended::New(durable) => durable.position(),
        Appended::Duplicate(durable) => panic!("{} is a duplicate of {:?}", n, durable.position()),
    }
}

/// Position and rows of everything held for a stream.
fn held(wal: &Wal, stream: u16) -> Vec<(u64, u32)> {
    let above = wal.recorded(StreamId(stream)).map_or(Position(0), |recorded| recorded.position);
    wal.read(StreamId(stream), above, Position(u64::MAX))
        .map(|batch| batch.unwrap())
        .map(|batch| (batch.position.0, batch.rows))
        .collect()
}

fn recorded(position: u64) -> Recorded {
    Recorded { position: Position(position), commit: Uuid::from_u128(u128::from(position)), table: Uuid::nil() }
}

#[tokio::test]
async fn what_was_appended_is_read_and_is_there_after_reopening() {
    let disk = Memory::default();
    let wal = open(&disk);
    for n in 1..=20 {
        assert_eq!(add(&wal, n, &[(0, 2), (1, 3)]).await, Position(n));
    }
    let expected: Vec<(u64, u32)> = (1..=20).map(|n| (n, 2)).collect();
    assert_eq!(held(&wal, 0), expected);
    wal.close().await;
    disk.cut_power(0);
    let wal = open(&disk);
    assert_eq!(held(&wal, 0), expected);
    let batch = wal.read(StreamId(1), Position(3), Position(4)).next().unwrap().unwrap();
    assert_eq!((&*batch.schema, &*batch.bytes), (&b"schema of b"[..], &[3; 30][..]));
    assert_eq!(add(&wal, 21, &[(0, 1)]).await, Position(21));
}

#[tokio::test]
async fn recorded_segments_are_removed_and_positions_are_never_used_again() {
    let disk = Memory::default();
    let wal = open(&disk);
    for n in 1..=20 {
        add(&wal, n, &[(0, 2), (1, 3)]).await;
    }
    let segments = disk.paths(".segment").len();
    wal.record(StreamId(0), recorded(20)).await.unwrap();
    wal.record(StreamId(1), recorded(10)).await.unwrap();
    assert_eq!(held(&wal, 0), []);
    assert_eq!(held(&wal, 1).len(), 10);
    assert_eq!(wal.held(StreamId(1)).borrow().rows, 30);
    wal.record(StreamId(1), recorded(20)).await.unwrap();
    wal.close().await;
    assert!(segments > 2 && disk.paths(".segment").len() == 1, "{segments} segments became {:?}", disk.paths(".segment"));
    let wal = open(&disk);
    assert_eq!(add(&wal, 21, &[(0, 1)]).await, Position(21));
    assert_eq!(held(&wal, 0), [(21, 1)]);
    assert_eq!(wal.recorded(StreamId(1)), Some(recorded(20)));
}

#[tokio::test]
async fn a_failed_sync_fails_all_who_wait_and_breaks_the_log() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1)]).await;
    disk.faults.fails_sync.store(true, SeqCst);
    let (one, two) = tokio::join!(wal.append(id(2), payload(&[(0, 1)])), wal.append(id(2), payload(&[(0, 1)])));
    assert!(one.is_err() && two.is_err(), "{one:?} {two:?}");
    assert_eq!(wal.broken().await.to_string(), "the disk is gone");
    assert!(wal.append(id(3), payload(&[(0, 1)])).await.is_err());
    assert_eq!(held(&wal, 0), [(1, 1)]);
}

#[tokio::test]
async fn a_request_sent_again_adds_nothing_also_after_reopening() {
    let disk = Memory::default();
    let wal = open(&disk);
    let (one, two) = tokio::join!(wal.append(id(1), payload(&[(0, 1)])), wal.append(id(1), payload(&[(0, 1)])));
    let (Ok(Appended::New(first)), Ok(Appended::Duplicate(again))) = (one, two) else {
        panic!("expected one new, one duplicate")
    };
    assert_eq!(first.position(), again.position());
    wal.close().await;
    let wal = open(&disk);
    let third = wal.append(id(1), payload(&[(0, 1)])).await;
    assert!(matches!(third, Ok(Appended::Duplicate(durable)) if durable.position() == Position(1)));
    assert_eq!(held(&wal, 0), [(1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_share_few_syncs() {
    let disk = Memory::default();
    let wal = try_open(&disk, &WalConfig::default(), &["a"]).unwrap().0;
    disk.faults.sync_millis.store(2, SeqCst);
    let before = disk.faults.syncs.load(SeqCst);
    let send = |sender: u64| {
        let wal = wal.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                add(&wal, sender * 1000 + n, &[(0, 1)]).await;
            }
        })
    };
    let senders: Vec<_> = (0..64).map(send).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let syncs = disk.faults.syncs.load(SeqCst) - before;
    assert!(syncs < 640 / 4, "{syncs} syncs for 640 requests");
    assert!(wal.syncs() <= syncs && wal.syncs() > 0, "{} counted of {syncs}", wal.syncs());
    assert_eq!(held(&wal, 0).len(), 640);
}

#[tokio::test]
async fn what_is_held_is_told_with_its_age() {
    let disk = Memory::default();
    let wal = open(&disk);
    let watch = wal.held(StreamId(0));
    assert_eq!(*watch.borrow(), Held::default());
    let before = crate::clock::now();
    add(&wal, 1, &[(0, 2)]).await;
    add(&wal, 2, &[(1, 5)]).await;
    let held = *watch.borrow();
    assert_eq!((held.to, held.rows, held.bytes), (Position(1), 2, 20));
    assert!(held.oldest.is_some_and(|oldest| oldest >= before));
    wal.record(StreamId(0), recorded(1)).await.unwrap();
    assert_eq!((watch.borrow().rows, watch.borrow().oldest), (0, None));
}

#[tokio::test]
async fn rows_are_logged_committed_or_held() {
    let disk = Memory::default();
    let wal = open(&disk);
    for n in 1..=10 {
        add(&wal, n, &[(0, 2)]).await;
    }
    wal.record(StreamId(0), recorded(4)).await.unwrap();
    let line = |logged, committed, held| StreamLedger {
        stream: "a".into(),
        logged,
        committed,
        held,
        dead_lettered: 0,
        damaged: 0,
        letters: 0,
    };
    assert_eq!(wal.ledger()[0], line(20, 8, 12));
    wal.close().await;
    let wal = open(&disk);
    assert_eq!(wal.ledger()[0], line(12, 0, 12));
}

#[tokio::test]
async fn a_table_enrolled_anew_at_the_same_position_passes_no_row() {
    let disk = Memory::default();
    let mut wal = try_open(&disk, &WalConfig::default(), &["a", "b"]).unwrap().0;
    for n in 1..=10 {
        add(&wal, n, &[(0, 2)]).await;
    }
    wal.record(StreamId(0), recorded(4)).await.unwrap();
    for _ in 0..2 {
        wal.record(StreamId(0), Recorded { table: Uuid::from_u128(2), ..recorded(4) }).await.unwrap();
        let line = wal.ledger().remove(0);
        assert_eq!((line.held, line.logged), (12, line.committed + line.held));
        wal.close().await;
        wal = try_open(&disk, &WalConfig::default(), &["a", "b"]).unwrap().0;
    }
    wal.record(StreamId(0), recorded(10)).await.unwrap();
    let line = wal.ledger().remove(0);
    assert_eq!((line.logged, line.committed, line.held), (12, 12, 0));
}

#[tokio::test]
async fn a_thread_that_panics_breaks_the_log() {
    let disk = Memory::default();
    let wal = open(&disk);
    disk.faults.panics.store(true, SeqCst);
    assert!(wal.append(id(1), payload(&[(0, 1)])).await.is_err());
    assert!(wal.broken().await.to_string().contains("panicked"));
}

#[tokio::test]
async fn intents_are_there_until_their_stream_records() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1)]).await;
    let (commit, table, files) = (Uuid::from_u128(1), Uuid::nil(), vec!["x.parquet".to_owned()]);
    let intent =
        Intent { commit, table, above: Position(0), to: Position(1), parent: None, parent_sequence: 0, files, letters: None };
    wal.intend(StreamId(0), intent.clone()).await.unwrap();
    wal.intend(StreamId(1), intent.clone()).await.unwrap();
    wal.close().await;
    disk.cut_power(0);
    let wal = open(&disk);
    assert_eq!(wal.intents(StreamId(0)), std::slice::from_ref(&intent));
    wal.record(StreamId(0), recorded(1)).await.unwrap();
    assert_eq!((wal.intents(StreamId(0)), wal.intents(StreamId(1))), (vec![], vec![intent]));
}

#[tokio::test]
async fn a_watermark_neither_goes_back_nor_past_the_log() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1)]).await;
    add(&wal, 2, &[(0, 1)]).await;
    wal.record(StreamId(0), recorded(2)).await.unwrap();
    assert!(matches!(wal.record(StreamId(0), recorded(1)).await, Err(JournalError::Backwards { .. })));
    assert!(matches!(wal.record(StreamId(0), recorded(3)).await, Err(JournalError::Ahead { .. })));
}

#[tokio::test]
async fn rows_of_a_stream_that_is_gone_refuse_the_start() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1), (1, 4)]).await;
    wal.close().await;
    let refused = try_open(&disk, &config(), &["a"]).unwrap_err();
    assert!(matches!(&refused, OpenError::UnknownStream { name, rows: 4, .. } if name == "b"), "{refused}");
    let wal = try_open(&disk, &config(), &["b", "a"]).unwrap().0;
    assert_eq!((held(&wal, 0), held(&wal, 1)), (vec![(1, 4)], vec![(1, 1)]));
    wal.record(StreamId(0), recorded(1)).await.unwrap();
    wal.close().await;
    assert!(try_open(&disk, &config(), &["a"]).is_ok());
}

#[tokio::test]
async fn a_real_directory_is_locked_and_keeps_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let config = WalConfig { directory: directory.path().join("wal"), ..config() };
    let (wal, _) = Wal::open(&config, streams(&["a"])).unwrap();
    let id = wal.fingerprint("1", b"body");
    assert!(id != wal.fingerprint("2", b"body") && id != wal.fingerprint("1", b"bodies"));
    wal.append(id, payload(&[(0, 3)])).await.unwrap();
    assert!(matches!(Wal::open(&config, streams(&["a"])), Err(OpenError::InUse { .. })));
    wal.close().await;
    let (again, opened) = Wal::open(&config, streams(&["a"])).unwrap();
    assert_eq!((opened.held_rows, opened.next), (3, Position(2)));
    assert_eq!((again.writer_id(), again.fingerprint("1", b"body")), (wal.writer_id(), id));
    assert_eq!(held(&again, 0), [(1, 3)]);
    again.close().await;
}
