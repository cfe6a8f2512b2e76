//! The log as its callers see it, on a disk in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::open::{Place, open_at};
use super::storage::memory::Memory;
use super::*;
use crate::config::{ByteSize};

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
        bytes: vec![*rows as u8; 10 * *rows as usize],
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
