//! Torn tails and damage (rule 5): cut at every byte, flip a bit of every byte.

use super::*;

/// Five records, all in one segment or two in each.
async fn written(segment_bytes: u64) -> Memory {
    let disk = Memory::default();
    let config = WalConfig { segment_bytes: ByteSize(segment_bytes), ..config() };
    let wal = try_open(&disk, &config, &["a", "b"]).unwrap().0;
    for n in 1..=5 {
        add(&wal, n, &[(0, 1), (1, 1)]).await;
    }
    wal.close().await;
    disk
}

fn positions(wal: &Wal) -> Vec<u64> {
    held(wal, 0).iter().map(|(position, _)| *position).collect()
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_costs_what_was_torn_only() {
    let disk = written(1 << 20).await;
    let path = disk.paths(".segment").remove(0);
    let mut len = 0;
    disk.edit(&path, |bytes| len = bytes.len());
    let mut last = 5;
    for cut in (0..len).rev() {
        let disk = written_again(&disk, &path, |bytes| bytes.truncate(cut));
        let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
        let found = positions(&wal);
        assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
        assert!(found.len() == last || found.len() + 1 == last, "cut at {cut}");
        assert_eq!(opened.damaged, [], "cut at {cut}");
        last = found.len();
        let next = add(&wal, 9, &[(0, 1)]).await;
        assert_eq!(next.0, found.len() as u64 + 1);
    }
    assert_eq!(last, 0);
}

/// A copy of the disk with one file changed.
fn written_again(disk: &Memory, path: &std::path::Path, edit: impl FnOnce(&mut Vec<u8>)) -> Memory {
    let copy = disk.copy();
    copy.edit(path, edit);
    copy
}

#[tokio::test]
async fn a_flipped_bit_costs_one_record_and_is_named() {
    let disk = written(1 << 20).await;
    let path = disk.paths(".segment").remove(0);
    let mut len = 0;
    disk.edit(&path, |bytes| len = bytes.len());
    let header = frame::Header::new(Uuid::from_u128(7), Position(0), Position(1), streams(&["a", "b"])).encode().len();
    let frame_len = (len - header) / 5;
    for at in 0..len {
        let disk = written_again(&disk, &path, |bytes| bytes[at] ^= 1 << (at % 8));
        if at >= header {
            let hit = ((at - header) / frame_len) as u64 + 1;
            let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
            assert_eq!(positions(&wal), (1..=5).filter(|n| *n != hit).collect::<Vec<_>>(), "flipped at {at}");
            // The last record is a torn tail.
            let named: Vec<_> = opened.damaged.iter().map(|damage| (damage.first.0, damage.last.0)).collect();
            assert_eq!(named, if hit == 5 { vec![] } else { vec![(hit, hit)] }, "flipped at {at}");
            // Unless its head still says what it was.
            let is_doubtful = hit == 5 && (at - header) % frame_len >= frame::Head::len_with(2);
            let doubtful = opened.doubtful.map(|damage| (damage.last.0, damage.rows));
            assert_eq!(doubtful, is_doubtful.then_some((5, 2)), "flipped at {at}");
            assert_eq!(opened.next.0, if hit == 5 && !is_doubtful { 5 } else { 6 }, "flipped at {at}");
            let kept = disk.paths("").iter().filter(|path| path.starts_with("/wal/damaged")).count();
            assert_eq!(kept, named.len() + usize::from(is_doubtful));
            for line in wal.ledger() {
                assert_eq!(line.logged, line.committed + line.held + line.damaged);
            }
            wal.close().await;
            let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
            assert_eq!((positions(&wal).len(), opened.damaged), (4, vec![]), "flipped at {at}");
        } else {
            // Without a header nobody knows whose rows they are.
            let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
            assert_eq!((opened.damaged[0].first, opened.damaged[0].last), (Position(1), Position(5)), "flipped at {at}");
            let line = wal.ledger().remove(0);
            assert_eq!((opened.damaged[0].rows, line.logged, line.damaged), (10, 5, 5), "flipped at {at}");
            assert_eq!(wal.damaged_positions(), 5);
            assert_eq!(add(&wal, 9, &[(0, 1)]).await, Position(6));
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_named_once_and_the_rest_goes_on() {
    let disk = written(200).await;
    let paths = disk.paths(".segment");
    assert!(paths.len() >= 3, "{paths:?}");
    storage::Storage::remove(&disk, &paths[1]).unwrap();
    let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
    let found = positions(&wal);
    let [damage] = opened.damaged.as_slice() else { panic!("{:?}", opened.damaged) };
    let lost: Vec<u64> = (damage.first.0..=damage.last.0).collect();
    assert_eq!(found, (1..=5).filter(|n| !lost.contains(n)).collect::<Vec<_>>());
    assert!(found.len() < 5);
    wal.close().await;
    assert_eq!(try_open(&disk, &config(), &["a", "b"]).unwrap().1.damaged, []);
}

#[tokio::test]
async fn a_segment_of_another_log_is_refused() {
    let disk = written(1 << 20).await;
    let place =
        Place { storage: Arc::new(disk), path: PathBuf::from("/wal"), writer: Uuid::from_u128(8), key: [7; 32], lock: None };
    assert!(matches!(
        open_at(place, &config(), streams(&["a", "b"])),
        Err(OpenError::Foreign { .. } | OpenError::Journal { .. })
    ));
}

#[tokio::test]
async fn rows_that_go_bad_while_they_are_held_are_an_error_to_their_reader() {
    let disk = Memory::default();
    let wal = open(&disk);
    add(&wal, 1, &[(0, 5)]).await;
    let path = disk.paths(".segment").remove(0);
    disk.edit(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let read: Vec<_> = wal.read(StreamId(0), Position(0), Position(9)).collect();
    assert!(matches!(read.as_slice(), [Err(ReadError::Damaged { .. })]), "{read:?}");
}

#[tokio::test]
async fn segments_without_a_journal_are_not_opened_with_an_empty_one() {
    let disk = written(1 << 20).await;
    for path in disk.paths("").iter().filter(|path| path.to_string_lossy().contains("journal.")) {
        storage::Storage::remove(&disk, path).unwrap();
    }
    let refused = try_open(&disk, &config(), &["a", "b"]).unwrap_err();
    assert!(matches!(refused, OpenError::NoJournal { .. }), "{refused}");
}

#[tokio::test]
async fn damage_is_told_though_the_start_does_not_get_to_its_end() {
    let disk = written(1 << 20).await;
    let path = disk.paths(".segment").remove(0);
    disk.edit(&path, |bytes| {
        // The last byte of the rows of the fourth; its head says how many they are.
        let end = bytes.len() - frame::Head::len_with(2) - 20;
        bytes[end - 1] ^= 1;
    });
    assert!(matches!(try_open(&disk, &config(), &["a", "renamed"]), Err(OpenError::UnknownStream { .. })));
    let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
    assert_eq!((opened.damaged.len(), wal.damaged_positions(), wal.ledger()[0].damaged), (1, 1, 1));
    wal.close().await;
    let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
    assert_eq!((opened.damaged, wal.damaged_positions()), (vec![], 1), "until every table is past it");
    wal.close().await;
}

#[tokio::test]
async fn the_newest_segment_is_missed_and_its_positions_are_not_given_again() {
    let disk = written(200).await;
    let path = disk.paths(".segment").pop().unwrap();
    let first = segment::first_position(path.file_name().unwrap().to_str().unwrap()).unwrap();
    storage::Storage::remove(&disk, &path).unwrap();
    let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
    let [damage] = opened.damaged.as_slice() else { panic!("{:?}", opened.damaged) };
    assert!(damage.first <= first && first <= damage.last, "{damage:?} for {first:?}");
    assert!(add(&wal, 9, &[(0, 1), (1, 1)]).await > Position(5));
    wal.close().await;
    let (wal, opened) = try_open(&disk, &config(), &["a", "b"]).unwrap();
    assert_eq!(opened.damaged, [], "it is told once");
    wal.close().await;
}
