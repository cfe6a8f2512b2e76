//! Full and failing disks (rules 3 and 6).

use super::*;

async fn fill(wal: &Wal, from: u64) -> u64 {
    for n in from.. {
        if wal.append(id(n), payload(&[(0, 2)])).await.is_err() {
            return n;
        }
    }
    unreachable!()
}

#[tokio::test]
async fn past_max_bytes_senders_are_told_later_until_rows_are_committed() {
    let disk = Memory::default();
    let config = WalConfig { max_bytes: ByteSize::kib(4), ..config() };
    let wal = try_open(&disk, &config, &["a"]).unwrap().0;
    let refused = fill(&wal, 1).await;
    assert!(matches!(wal.append(id(refused), payload(&[(0, 2)])).await, Err(AppendError::Full { .. })));
    assert!(wal.fill() > 0.6 && wal.fill() <= 0.8, "{}", wal.fill());
    wal.record(StreamId(0), recorded(refused - 1)).await.unwrap();
    add(&wal, refused, &[(0, 2)]).await;
    assert!(wal.fill() < 0.2, "{}", wal.fill());
}

#[tokio::test]
async fn a_request_that_never_fits_is_not_told_later() {
    let disk = Memory::default();
    let config = WalConfig { max_bytes: ByteSize(1000), ..config() };
    let wal = try_open(&disk, &config, &["a"]).unwrap().0;
    let error = wal.append(id(1), payload(&[(0, 200)])).await.unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { .. }) && !error.is_retryable());
}

/// Fills the disk, drains the log and goes on.
async fn a_full_disk(fails_cut: bool) {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1)]).await;
    disk.faults.room.store(1100, SeqCst);
    disk.faults.fails_cut.store(fails_cut, SeqCst);
    let refused = fill(&wal, 2).await;
    assert!(matches!(wal.append(id(refused), payload(&[(0, 2)])).await, Err(AppendError::Disk(_))));
    let kept: Vec<u64> = held(&wal, 0).iter().map(|(position, _)| *position).collect();
    assert_eq!(kept, (1..refused).collect::<Vec<_>>());
    // The journal needs no room.
    wal.record(StreamId(0), recorded(refused - 1)).await.unwrap();
    let position = add(&wal, refused, &[(0, 2)]).await;
    assert!(position.0 >= refused);
    wal.close().await;
    disk.cut_power(usize::MAX);
    let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
    assert_eq!((held(&wal, 0), opened.damaged), (vec![(position.0, 2)], vec![]));
}

#[tokio::test]
async fn a_full_disk_drains_and_goes_on() {
    a_full_disk(false).await;
}

#[tokio::test]
async fn a_full_disk_that_cannot_be_cut_back_drains_and_goes_on() {
    a_full_disk(true).await;
}

#[tokio::test]
async fn a_full_disk_can_be_opened() {
    let disk = Memory::default();
    let wal = open(&disk);
    disk.faults.room.store(1100, SeqCst);
    let refused = fill(&wal, 1).await;
    wal.close().await;
    disk.faults.room.store(0, SeqCst);
    let wal = open(&disk);
    assert_eq!(held(&wal, 0).len() as u64, refused - 1);
    assert!(matches!(wal.append(id(refused), payload(&[(0, 2)])).await, Err(AppendError::Disk(_))));
    wal.record(StreamId(0), recorded(refused - 1)).await.unwrap();
    add(&wal, refused, &[(0, 2)]).await;
    assert_eq!(held(&wal, 0).len(), 1);
}

#[tokio::test]
async fn a_failed_commit_entry_changes_nothing_and_breaks_the_log() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1)]).await;
    disk.faults.fails_sync.store(true, SeqCst);
    assert!(wal.record(StreamId(0), recorded(1)).await.is_err());
    assert_eq!(wal.recorded(StreamId(0)), None);
    wal.broken().await;
    assert!(matches!(wal.append(id(2), payload(&[])).await, Err(AppendError::Closed)));
}

#[tokio::test]
async fn a_failed_write_that_cannot_be_taken_back_is_void() {
    let disk = Memory::default();
    let wal = try_open(&disk, &WalConfig::default(), &["a"]).unwrap().0;
    disk.faults.sync_millis.store(100, SeqCst);
    // While the first one is synced, the other two become one group, of which the disk takes one and a half.
    let full = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let frame = frame::Head::len_with(1) as u64 + 10;
        disk.faults.fails_cut.store(true, SeqCst);
        disk.faults.room.store(frame + frame / 2, SeqCst);
        tokio::join!(wal.append(id(2), payload(&[(0, 1)])), wal.append(id(3), payload(&[(0, 1)])))
    };
    let (_, (two, three)) = tokio::join!(add(&wal, 1, &[(0, 1)]), full);
    assert!(two.is_err() && three.is_err(), "{two:?} {three:?}");
    disk.faults.room.store(1 << 30, SeqCst);
    disk.faults.sync_millis.store(0, SeqCst);
    let again = add(&wal, 2, &[(0, 1)]).await;
    wal.close().await;
    let (wal, opened) = try_open(&disk, &WalConfig::default(), &["a"]).unwrap();
    assert_eq!((held(&wal, 0), opened.damaged), (vec![(1, 1), (again.0, 1)], vec![]));
}

#[tokio::test]
async fn the_journal_alone_keeps_the_next_position() {
    let disk = Memory::default();
    let wal = open(&disk);
    for n in 1..=3 {
        add(&wal, n, &[(0, 1)]).await;
    }
    wal.record(StreamId(0), recorded(3)).await.unwrap();
    wal.close().await;
    for path in disk.paths(".segment") {
        storage::Storage::remove(&disk, &path).unwrap();
    }
    // What was in the last one nobody knows.
    assert!(try_open(&disk, &config(), &["a", "b"]).unwrap().1.next > Position(4));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_told_until_it_has_room() {
    let disk = Memory::default();
    let wal = open(&disk);
    disk.faults.room.store(0, SeqCst);
    let refused = wal.append(id(1), payload(&[(0, 2)])).await.unwrap_err();
    assert_eq!(refused.to_string(), "the log cannot be written: no storage space");
    wal.probe();
    assert!(wal.refused().is_some());
    disk.faults.room.store(1 << 30, SeqCst);
    wal.probe();
    assert!(wal.refused().is_none() && disk.paths(".unfinished").is_empty());
    add(&wal, 1, &[(0, 2)]).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_while_the_journal_may_say_what_failed() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1)]).await;
    disk.faults.takes_and_fails.store(true, SeqCst);
    wal.record(StreamId(0), recorded(1)).await.unwrap_err();
    wal.append(id(2), payload(&[(0, 1)])).await.unwrap_err();
    disk.faults.takes_and_fails.store(false, SeqCst);
    add(&wal, 2, &[(0, 1)]).await;
    wal.close().await;
    assert_eq!(held(&open(&disk), 0), [(1, 1), (2, 1)]);
}

#[tokio::test]
async fn a_fenced_log_takes_nothing_and_begins_no_commit_and_still_records() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 1)]).await;
    wal.fence("another process has it");
    let refused = wal.append(id(2), payload(&[(0, 1)])).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Fenced(why) if why == "another process has it") && refused.is_retryable());
    let (commit, table) = (Uuid::from_u128(1), Uuid::nil());
    let intent = Intent {
        commit,
        table,
        above: Position(0),
        to: Position(1),
        parent: None,
        parent_sequence: 0,
        files: Vec::new(),
        letters: None,
    };
    assert!(matches!(wal.intend(StreamId(1), intent).await, Err(JournalError::Fenced(_))));
    wal.record(StreamId(0), recorded(1)).await.unwrap();
    assert_eq!(held(&wal, 0), []);
}
