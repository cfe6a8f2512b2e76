//! A request sent again (rule 7): also when the segment of its first copy is gone and the process is another.

use super::*;

async fn check_known(wal: &Wal, requests: std::ops::RangeInclusive<u64>) {
    for n in requests {
        let again = wal.append(id(n), payload(&[(0, 1)])).await;
        assert!(matches!(&again, Ok(Appended::Duplicate(first)) if first.position() == Position(n)), "{n}: {again:?}");
    }
}

#[tokio::test]
async fn requests_of_released_segments_are_known_after_any_number_of_starts() {
    let disk = Memory::default();
    let mut wal = open(&disk);
    for n in 1..=20 {
        add(&wal, n, &[(0, 2), (1, 3)]).await;
    }
    wal.record(StreamId(0), recorded(20)).await.unwrap();
    wal.record(StreamId(1), recorded(20)).await.unwrap();
    for _ in 0..4 {
        check_known(&wal, 1..=20).await;
        wal.close().await;
        disk.cut_power(0);
        wal = open(&disk);
    }
    assert_eq!(disk.paths(".segment").len(), 1, "their segments are gone");
    assert_eq!(held(&wal, 0), []);
}

#[tokio::test]
async fn the_window_is_bounded_by_number_also_in_the_journal() {
    let disk = Memory::default();
    let config = WalConfig { retry_window: RetryWindow { entries: 5, ..RetryWindow::default() }, ..config() };
    let wal = try_open(&disk, &config, &["a"]).unwrap().0;
    for n in 1..=20 {
        add(&wal, n, &[(0, 2)]).await;
    }
    wal.record(StreamId(0), recorded(20)).await.unwrap();
    wal.close().await;
    let wal = try_open(&disk, &config, &["a"]).unwrap().0;
    check_known(&wal, 16..=20).await;
    assert!(matches!(wal.append(id(1), payload(&[(0, 1)])).await, Ok(Appended::New(_))));
}

#[tokio::test]
async fn a_full_disk_releases_and_still_knows_its_requests() {
    let disk = Memory::default();
    let wal = open(&disk);
    for n in 1..=20 {
        add(&wal, n, &[(0, 2)]).await;
    }
    disk.faults.room.store(0, SeqCst);
    wal.record(StreamId(0), recorded(20)).await.unwrap();
    wal.close().await;
    let wal = open(&disk);
    check_known(&wal, 1..=20).await;
}
