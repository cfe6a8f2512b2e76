//! The journal on a disk in memory.

use std::sync::atomic::Ordering::SeqCst;

use super::super::storage::memory::Memory;
use super::super::{Fingerprint, Intent, Position, Recorded};
use super::*;

const WRITER: Uuid = Uuid::from_u128(3);

fn intent(to: u64, files: usize) -> Fact {
    let (commit, table) = (Uuid::from_u128(u128::from(to)), Uuid::nil());
    let files = (0..files).map(|n| format!("data/date=2026-01-01/{n}.parquet")).collect();
    let intent = Intent {
        commit,
        table,
        above: Position(0),
        to: Position(to),
        parent: Some(-4),
        parent_sequence: 5,
        files,
        letters: None,
    };
    Fact::Intent { stream: "a".into(), intent }
}

fn recorded(stream: &str, position: u64, floor: u64) -> Fact {
    let recorded = Recorded { position: Position(position), commit: Uuid::from_u128(1), table: Uuid::from_u128(2) };
    Fact::Recorded { stream: stream.into(), recorded, floor: Position(floor), letters: Vec::new() }
}

fn window() -> Window {
    Window::new(std::time::Duration::from_mins(1), 10_000)
}

fn some_facts() -> Vec<Fact> {
    vec![recorded("b", 4, 3), Fact::Damaged { first: Position(5), last: Position(6) }, intent(9, 2)]
}

fn said_by(facts: &[Fact]) -> Facts {
    let mut said = Facts::default();
    facts.iter().cloned().for_each(|fact| said.apply(fact));
    said
}

fn try_open(disk: &Memory) -> Result<Journal, OpenError> {
    Journal::open(disk, Path::new("/wal"), WRITER, &mut window())
}

fn open(disk: &Memory) -> Journal {
    try_open(disk).unwrap()
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    journal.write(some_facts(), &window()).unwrap();
    disk.cut_power(0);
    for _ in 0..3 {
        let journal = open(&disk);
        assert_eq!(journal.facts(), &said_by(&some_facts()));
        assert_eq!(journal.facts().highest(), Position(9));
    }
}

#[test]
fn a_full_journal_goes_over_to_the_other_file_without_new_room() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    disk.faults.room.store(0, SeqCst);
    for n in 1..8000 {
        journal.write(vec![intent(n, 3)], &window()).unwrap();
        journal.write(vec![recorded("a", n, n)], &window()).unwrap();
    }
    assert!(journal.generation > 3, "{}", journal.generation);
    assert_eq!(open(&disk).facts(), &said_by(&[recorded("a", 7999, 7999)]));
}

#[test]
fn carried_requests_survive_any_number_of_compactions_without_new_room() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    journal.reserve(10_000).unwrap();
    disk.faults.room.store(0, SeqCst);
    let mut window = window();
    for n in 1..=300_000_u64 {
        window.insert(Fingerprint(u128::from(n).to_le_bytes()), Position(n), n);
        if n % 1000 == 0 {
            let facts = Fact::of_requests(window.to_carry(Position(n)).iter()).collect();
            journal.write(facts, &window).unwrap();
            window.carried_to(Position(n));
        }
    }
    assert!(journal.generation > 2, "{}", journal.generation);
    let mut read = Window::new(std::time::Duration::from_mins(1), 10_000);
    Journal::open(&disk, Path::new("/wal"), WRITER, &mut read).unwrap();
    assert!(read.carried().eq(window.carried()) && read.len() == 10_000, "{} are read", read.len());
}

#[test]
fn a_journal_grows_with_its_open_intents() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    let facts: Vec<Fact> = (1..40).map(|n| intent(n, 300)).collect();
    for fact in &facts {
        journal.write(vec![fact.clone()], &window()).unwrap();
    }
    assert_eq!(open(&disk).facts(), &said_by(&facts));
}

/// With everything in the image of the newer file but the last entry.
fn two_files() -> (Memory, [PathBuf; 2]) {
    let disk = Memory::default();
    open(&disk).write(some_facts()[..2].to_vec(), &window()).unwrap();
    let mut journal = open(&disk);
    journal.write(vec![some_facts().remove(2)], &window()).unwrap();
    let (old, new) = (NAMES[1 - journal.current], NAMES[journal.current]);
    (disk, [Path::new("/wal").join(old), Path::new("/wal").join(new)])
}

#[test]
fn damage_of_the_newer_file_never_brings_an_older_state_back() {
    let (disk, [_, new]) = two_files();
    let (whole, without_last) = (said_by(&some_facts()), said_by(&some_facts()[..2]));
    for bit in 0..500 * 8 {
        let disk = disk.copy();
        disk.edit(&new, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        match try_open(&disk) {
            Err(OpenError::Journal { path }) => assert_eq!(path, new, "bit {bit}"),
            Err(error) => panic!("bit {bit}: {error}"),
            Ok(journal) => assert!([&whole, &without_last].contains(&journal.facts()), "bit {bit}: {:?}", journal.facts()),
        }
    }
    storage_without(&disk, &new);
    assert!(matches!(try_open(&disk), Err(OpenError::Journal { .. })), "nor does its absence");
}

fn storage_without(disk: &Memory, path: &Path) {
    Storage::remove(disk, path).unwrap();
}

#[test]
fn damage_of_the_file_that_was_left_costs_nothing() {
    let (disk, [old, _]) = two_files();
    for bit in 0..500 * 8 {
        let disk = disk.copy();
        disk.edit(&old, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert_eq!(open(&disk).facts(), &said_by(&some_facts()), "bit {bit}");
    }
}

#[test]
fn a_journal_of_another_version_or_log_is_named_as_such() {
    let check = |at: usize, to: u8, expected: &str| {
        let (disk, [_, new]) = two_files();
        disk.edit(&new, |bytes| {
            bytes[at] = to;
            let crc = crc32c::crc32c(&bytes[..44]);
            bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        });
        let error = try_open(&disk).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(8, 2, "version 2 of");
    check(20, 9, "belongs to another log directory");
}

#[test]
fn what_a_failed_write_left_behind_does_not_count() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    journal.write(vec![recorded("b", 4, 3)], &window()).unwrap();
    disk.faults.takes_and_fails.store(true, SeqCst);
    assert!(matches!(journal.write(vec![intent(9, 2), intent(10, 2)], &window()), Err(Failure::Write(_))));
    assert!(matches!(journal.mend(&window()), Err(Failure::Write(_))), "it is not mended before the disk is");
    disk.faults.takes_and_fails.store(false, SeqCst);
    journal.mend(&window()).unwrap();
    journal.write(vec![recorded("a", 1, 1)], &window()).unwrap();
    let expected = said_by(&[recorded("b", 4, 3), recorded("a", 1, 1)]);
    assert_eq!(journal.facts(), &expected);
    assert_eq!(open(&disk).facts(), &expected);
}

/// The power goes off in the middle of going over to the other file: after any number of bytes, in any order.
#[test]
fn a_power_loss_during_a_compaction_costs_nothing() {
    for seed in 1..400 {
        let disk = Memory::default();
        open(&disk).write(some_facts(), &window()).unwrap();
        disk.faults.syncs_left.store(seed % 3, SeqCst);
        let _ = try_open(&disk);
        disk.faults.syncs_left.store(u64::MAX, SeqCst);
        disk.cut_power_anyhow(seed);
        assert_eq!(open(&disk).facts(), &said_by(&some_facts()), "seed {seed}");
    }
}

#[test]
fn whole_entries_are_salvaged_from_both_files() {
    let (disk, [_, new]) = two_files();
    for bit in 0..500 * 8 {
        let disk = disk.copy();
        disk.edit(&new, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let (facts, generation) = Journal::salvage(&disk, Path::new("/wal"), WRITER).unwrap_or_else(|error| {
            panic!("bit {bit}: {error}");
        });
        let recorded = facts.streams.get("b").and_then(|progress| progress.recorded.clone());
        assert_eq!(recorded.map(|recorded| recorded.position), Some(Position(4)), "bit {bit}");
        assert!(generation >= 4, "bit {bit}: {generation}");
        Journal::make(&disk, Path::new("/wal"), WRITER, &facts, generation).unwrap();
        let _ = Storage::remove(&disk, Path::new("/wal/journal.1"));
        assert_eq!(open(&disk).facts().watermark("b"), Position(4), "bit {bit}");
    }
}
