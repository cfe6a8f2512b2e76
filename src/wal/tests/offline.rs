//! Repairs by hand, on real directories (rules 19 and 20).

use super::super::offline::{Verdict, Watermark, inspect, rehome, resolve, salvage};
use super::*;

fn real(directory: &tempfile::TempDir) -> WalConfig {
    WalConfig { directory: directory.path().join("wal"), ..config() }
}

fn open_intent(commit: u128) -> Intent {
    let (commit, table, files) = (Uuid::from_u128(commit), Uuid::from_u128(5), vec!["x.parquet".to_owned()]);
    Intent { commit, table, above: Position(0), to: Position(5), parent: Some(4), parent_sequence: 4, files, letters: None }
}

/// Ten records for both streams; five of stream `b` are recorded, and a commit of stream `a` is open.
async fn written(config: &WalConfig) {
    let (wal, _) = Wal::open(config, streams(&["a", "b"])).unwrap();
    for n in 1..=10 {
        add(&wal, n, &[(0, 2), (1, 3)]).await;
    }
    wal.intend(StreamId(0), open_intent(9)).await.unwrap();
    wal.record(StreamId(1), recorded(5)).await.unwrap();
    wal.close().await;
}

#[tokio::test]
async fn inspection_shows_what_is_held_and_open_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    let found = inspect(&config).unwrap();
    assert_eq!(found, inspect(&config).unwrap());
    let [a, b] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!((a.name.as_str(), a.held_rows, a.intents.as_slice()), ("a", 20, [open_intent(9)].as_slice()));
    assert_eq!((b.held_rows, b.recorded.as_ref().map(|recorded| recorded.position)), (15, Some(Position(5))));
    assert_eq!(found.segments.iter().map(|segment| segment.records).sum::<u64>(), 10);
    assert!(matches!(
        inspect(&WalConfig { directory: directory.path().join("other"), ..config }),
        Err(OfflineError::NoLog { .. })
    ));
}

#[tokio::test]
async fn a_log_in_use_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    let (wal, _) = Wal::open(&config, streams(&["a"])).unwrap();
    assert!(matches!(inspect(&config), Err(OfflineError::Open(OpenError::InUse { .. }))));
    wal.close().await;
}

#[tokio::test]
async fn a_commit_that_was_found_counts_as_written() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    let wrong = resolve(&config, "a", Verdict::Committed(Uuid::from_u128(1))).unwrap_err();
    assert!(wrong.to_string().contains(&Uuid::from_u128(9).to_string()), "{wrong}");
    resolve(&config, "a", Verdict::Committed(Uuid::from_u128(9))).unwrap();
    assert!(matches!(resolve(&config, "a", Verdict::Replay), Err(OfflineError::NothingOpen { .. })));
    let (wal, _) = Wal::open(&config, streams(&["a", "b"])).unwrap();
    assert_eq!((held(&wal, 0).len(), wal.intents(StreamId(0))), (5, vec![]));
    wal.close().await;
}

#[tokio::test]
async fn a_commit_that_was_not_found_is_void_and_its_rows_stay() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    resolve(&config, "a", Verdict::Replay).unwrap();
    let (wal, _) = Wal::open(&config, streams(&["a", "b"])).unwrap();
    assert_eq!((held(&wal, 0).len(), wal.intents(StreamId(0))), (10, vec![]));
    wal.close().await;
}

#[tokio::test]
async fn a_rehomed_log_has_a_name_of_its_own_and_the_rows_above_the_fork() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    let before = inspect(&config).unwrap();
    let new = WalConfig { directory: directory.path().join("new"), ..config.clone() };
    assert!(matches!(
        rehome(&config, Some(Position(11)), &new.directory),
        Err(OfflineError::BeyondTheLog { last: Position(10), .. })
    ));
    let writer = rehome(&config, Some(Position(3)), &new.directory).unwrap();
    assert_ne!(writer, before.writer);
    assert_eq!(inspect(&config).unwrap(), before);
    let (wal, opened) = Wal::open(&new, streams(&["a", "b"])).unwrap();
    assert_eq!((wal.writer_id(), opened.next, opened.damaged), (writer, Position(11), vec![]));
    // Above the fork, and above what this log itself has recorded.
    assert_eq!((held(&wal, 0).len(), held(&wal, 1).len(), wal.intents(StreamId(0))), (7, 5, vec![]));
    let again = wal.append(id(10), payload(&[(0, 1)])).await;
    assert!(matches!(again, Ok(Appended::Duplicate(_))), "{again:?}");
    wal.close().await;
    assert!(rehome(&config, None, &new.directory).is_err(), "it is there already");
}

#[tokio::test]
async fn a_rehoming_that_fails_leaves_nothing_that_a_gateway_would_open() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    // Dead letters that cannot be copied.
    let letters = config.directory.join("dead").join(format!("{}.1.letters", Uuid::from_u128(1)));
    std::fs::create_dir_all(&letters).unwrap();
    let target = directory.path().join("new");
    rehome(&config, None, &target).unwrap_err();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left");
    std::fs::remove_dir(&letters).unwrap();
    // Nor is what a crash leaves in the way.
    std::fs::create_dir(directory.path().join("new.unfinished")).unwrap();
    rehome(&config, None, &target).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn rehoming_leaves_the_old_directory_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    let dead = config.directory.join("dead");
    std::fs::create_dir_all(&dead).unwrap();
    let names = ["pending", "letters", "replay"].map(|kind| format!("{}.1.{kind}", Uuid::from_u128(1)));
    for name in &names {
        std::fs::write(dead.join(name), b"?").unwrap();
    }
    rehome(&config, None, &directory.path().join("new")).unwrap();
    assert!(names.iter().all(|name| dead.join(name).exists()));
}

#[tokio::test]
async fn a_segment_without_a_header_is_shown_and_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    let before = inspect(&config).unwrap();
    let hit = &before.segments[1];
    let mut bytes = std::fs::read(&hit.path).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&hit.path, bytes).unwrap();
    let found = inspect(&config).unwrap();
    assert_eq!((found.segments[1].records, found.segments[1].unreadable), (0, hit.bytes));
    let new = WalConfig { directory: directory.path().join("new"), ..config.clone() };
    rehome(&config, None, &new.directory).unwrap();
    let (wal, opened) = Wal::open(&new, streams(&["a", "b"])).unwrap();
    let lost: Vec<(u64, u64)> = opened.damaged.iter().map(|damage| (damage.first.0, damage.last.0)).collect();
    assert_eq!(lost, [(hit.first.0, hit.last.0)]);
    assert_eq!(held(&wal, 0).len() as u64, 10 - hit.records);
    wal.close().await;
}

/// What the message of a refused start says to do.
#[tokio::test]
async fn a_damaged_journal_is_salvaged_and_no_row_counts_as_held_that_was_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    let before = inspect(&config).unwrap();
    for name in ["journal.0", "journal.1"] {
        let path = config.directory.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        // In the first entry of each; others stand behind it.
        bytes[60] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let refused = Wal::open(&config, streams(&["a", "b"])).unwrap_err();
    assert!(refused.to_string().contains("floe wal salvage"), "{refused}");
    let after = salvage(&config, &[]).unwrap();
    assert_eq!(after.streams, before.streams);
    let (wal, opened) = Wal::open(&config, streams(&["a", "b"])).unwrap();
    assert_eq!((held(&wal, 0).len(), held(&wal, 1).len(), opened.damaged), (10, 5, vec![]));
    assert_eq!(wal.intents(StreamId(0)), [open_intent(9)]);
    wal.close().await;
}

#[tokio::test]
async fn a_journal_that_is_gone_is_made_of_what_the_tables_say() {
    let directory = tempfile::tempdir().unwrap();
    let config = real(&directory);
    written(&config).await;
    for name in ["journal.0", "journal.1"] {
        std::fs::remove_file(config.directory.join(name)).unwrap();
    }
    let (table, commit) = (Uuid::from_u128(5), Uuid::from_u128(6));
    let known = Watermark { stream: "a".into(), table, position: Position(7), commit };
    salvage(&config, &[known]).unwrap();
    let (wal, _) = Wal::open(&config, streams(&["a", "b"])).unwrap();
    assert_eq!((held(&wal, 0).len(), held(&wal, 1).len()), (3, 10));
    assert_eq!(wal.recorded(StreamId(0)), Some(Recorded { position: Position(7), commit, table }));
    wal.close().await;
}
