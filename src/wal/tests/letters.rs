//! Dead letters and orphans through the log's own calls, with a power loss after every step.

use super::*;

const A: StreamId = StreamId(0);

fn intent(commit: u128, to: u64, files: &[&str], letters: Option<Letters>) -> Intent {
    Intent {
        commit: Uuid::from_u128(commit),
        table: Uuid::nil(),
        above: Position(0),
        to: Position(to),
        parent: None,
        parent_sequence: 0,
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        letters,
    }
}

/// A file with the rows of one position.
fn write(wal: &Wal, position: u64, rows: u32) -> Letters {
    let mut out = wal.letters(A);
    let schema: Arc<[u8]> = b"an older schema"[..].into();
    let letter = Letter { position: Position(position), rows, reason: "no fit".into(), schema, bytes: vec![9; 4] };
    out.push(&letter).unwrap();
    out.finish().unwrap().unwrap()
}

async fn reopened(disk: &Memory, wal: Wal) -> Wal {
    wal.close().await;
    disk.cut_power(0);
    open(disk)
}

fn waiting(wal: &Wal) -> Vec<u64> {
    wal.dead_letters().into_iter().map(|file| file.unwrap().letters.rows).collect()
}

fn law(wal: &Wal) -> StreamLedger {
    let line = wal.ledger().remove(0);
    assert_eq!(line.logged, line.committed + line.held + line.dead_lettered + line.damaged, "{line:?}");
    line
}

#[tokio::test]
async fn letters_count_when_their_commit_is_recorded_and_not_before() {
    let disk = Memory::default();
    let mut wal = open(&disk);
    for n in 1..=3 {
        add(&wal, n, &[(0, 2)]).await;
    }
    // No intent names these: they are gone after the next open, and their rows are still held.
    write(&wal, 1, 2);
    wal = reopened(&disk, wal).await;
    assert_eq!((disk.paths(".pending").len(), held(&wal, 0).len()), (0, 3));

    let lost = write(&wal, 1, 2);
    wal.intend(A, intent(8, 3, &["x"], Some(lost))).await.unwrap();
    wal = reopened(&disk, wal).await;
    let kept = write(&wal, 2, 2);
    wal.intend(A, intent(9, 3, &["y"], Some(kept))).await.unwrap();
    wal = reopened(&disk, wal).await;
    assert_eq!((disk.paths(".pending").len(), waiting(&wal)), (2, vec![]));

    wal.record(A, Recorded { commit: Uuid::from_u128(9), ..recorded(3) }).await.unwrap();
    let line = law(&wal);
    assert_eq!((line.logged, line.committed, line.dead_lettered, line.letters), (6, 4, 2, 2));
    for _ in 0..2 {
        wal = reopened(&disk, wal).await;
        assert_eq!((disk.paths(".pending").len(), waiting(&wal), law(&wal).letters), (0, vec![2], 2));
    }
    assert_eq!(wal.dead_letters().remove(0).unwrap().letters, kept);
}

#[tokio::test]
async fn replayed_rows_are_new_records_in_their_old_schema() {
    let disk = Memory::default();
    let mut wal = open(&disk);
    add(&wal, 1, &[(0, 2), (1, 1)]).await;
    let letters = write(&wal, 1, 2);
    wal.intend(A, intent(9, 1, &[], Some(letters))).await.unwrap();
    wal.record(A, Recorded { commit: Uuid::from_u128(9), ..recorded(1) }).await.unwrap();
    assert_eq!(wal.replay(letters.file).await.unwrap(), 2);
    assert!(matches!(wal.replay(letters.file).await, Err(LettersError::Unknown { .. })));
    let line = law(&wal);
    assert_eq!((line.logged, line.held, line.letters), (4, 2, 0));
    assert_eq!(add(&wal, 2, &[(0, 1)]).await, Position(3));
    for _ in 0..2 {
        assert_eq!((held(&wal, 0), waiting(&wal)), (vec![(2, 2), (3, 1)], vec![]));
        let batch = wal.read(A, Position(1), Position(9)).next().unwrap().unwrap();
        assert_eq!((&*batch.schema, &*batch.bytes), (&b"an older schema"[..], &[9; 4][..]));
        wal = reopened(&disk, wal).await;
    }
    wal.record(A, recorded(3)).await.unwrap();
    wal.record(StreamId(1), recorded(3)).await.unwrap();
    assert_eq!(held(&wal, 0), []);
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_is_replayed_once() {
    let disk = Memory::default();
    let mut wal = open(&disk);
    add(&wal, 1, &[(0, 2)]).await;
    let letters = write(&wal, 1, 2);
    wal.intend(A, intent(9, 1, &[], Some(letters))).await.unwrap();
    wal.record(A, Recorded { commit: Uuid::from_u128(9), ..recorded(1) }).await.unwrap();
    disk.faults.fails_remove.store(true, SeqCst);
    assert_eq!(wal.replay(letters.file).await.unwrap(), 2);
    assert!(matches!(wal.replay(letters.file).await, Err(LettersError::Replayed { .. })));
    assert_eq!(held(&wal, 0), [(2, 2)]);
    disk.faults.fails_remove.store(false, SeqCst);
    wal = reopened(&disk, wal).await;
    assert_eq!((held(&wal, 0), waiting(&wal)), (vec![(2, 2)], vec![]));
}

/// Every order in which a disk may write what was not synced when the process dies in the middle of a replay.
#[tokio::test]
async fn a_power_loss_during_a_replay_leaves_the_rows_once() {
    for seed in 0..200 {
        let disk = Memory::default();
        let wal = open(&disk);
        add(&wal, 1, &[(0, 2)]).await;
        let letters = write(&wal, 1, 2);
        wal.intend(A, intent(9, 1, &[], Some(letters))).await.unwrap();
        wal.record(A, Recorded { commit: Uuid::from_u128(9), ..recorded(1) }).await.unwrap();
        // The disk takes so many bytes and no more; what was begun is then cut by the power loss.
        disk.faults.room.store(seed * 4, SeqCst);
        let _ = wal.replay(letters.file).await;
        disk.faults.room.store(u64::MAX / 2, SeqCst);
        wal.close().await;
        disk.cut_power_anyhow(seed + 1);
        let wal = open(&disk);
        let rows: u32 = held(&wal, 0).iter().map(|(_, rows)| rows).sum();
        let dead: u64 = waiting(&wal).iter().sum();
        assert_eq!(u64::from(rows) + dead, 2, "seed {seed}: {rows} held, {dead} dead");
    }
}

#[tokio::test]
async fn rows_are_moved_out_and_make_room_unless_a_commit_is_open() {
    let disk = Memory::default();
    let mut wal = open(&disk);
    for n in 1..=20 {
        add(&wal, n, &[(0, 2)]).await;
    }
    wal.intend(A, intent(9, 5, &[], None)).await.unwrap();
    let to = Recorded { commit: Uuid::nil(), ..recorded(20) };
    assert!(matches!(wal.move_out(A, to.clone(), "the catalog is gone").await, Err(JournalError::OpenIntents)));
    wal.record(A, Recorded { commit: Uuid::from_u128(9), ..recorded(5) }).await.unwrap();
    wal.move_out(A, to, "the catalog is gone").await.unwrap();
    let line = law(&wal);
    assert_eq!((line.committed, line.held, line.dead_lettered), (10, 0, 30));
    wal = reopened(&disk, wal).await;
    assert_eq!(disk.paths(".segment").len(), 1, "the log is released");
    let files: Vec<_> = wal.dead_letters().into_iter().map(Result::unwrap).collect();
    let mut moved: Vec<(u64, u64)> = files.iter().map(|file| (file.first.0, file.last.0)).collect();
    moved.sort_unstable();
    assert!(moved.len() > 1 && moved[0].0 == 6 && moved.last().unwrap().1 == 20, "a segment's size each: {moved:?}");
    assert!(moved.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{moved:?}");
    for file in &files {
        let rows = file.reasons["the catalog is gone"];
        assert_eq!(wal.replay(file.letters.file).await.unwrap(), rows);
    }
    assert_eq!(held(&wal, 0), (21..=35).map(|n| (n, 2)).collect::<Vec<_>>());
    assert_eq!(law(&wal).letters, 0);
}

/// Whatever is left when the power goes off while rows are moved out, each is held or in one file.
#[tokio::test]
async fn a_power_loss_while_rows_are_moved_out_leaves_them_once() {
    for seed in 0..200 {
        let disk = Memory::default();
        let wal = open(&disk);
        for n in 1..=20 {
            add(&wal, n, &[(0, 2)]).await;
        }
        disk.faults.syncs_left.store(seed % 12, SeqCst);
        let to = Recorded { commit: Uuid::nil(), ..recorded(20) };
        let _ = wal.move_out(A, to, "the catalog is gone").await;
        disk.faults.syncs_left.store(u64::MAX, SeqCst);
        wal.close().await;
        disk.cut_power_anyhow(seed + 1);
        let wal = open(&disk);
        let rows: u32 = held(&wal, 0).iter().map(|(_, rows)| rows).sum();
        let dead: u64 = waiting(&wal).iter().sum();
        assert_eq!(u64::from(rows) + dead, 40, "seed {seed}: {rows} held, {dead} dead");
    }
}

#[tokio::test]
async fn files_of_overtaken_attempts_are_listed_until_they_are_swept() {
    let disk = Memory::default();
    let mut wal = open(&disk);
    add(&wal, 1, &[(0, 2)]).await;
    for (commit, files) in [(1, vec!["a", "b"]), (2, vec![]), (3, vec!["c"]), (4, vec![])] {
        wal.intend(A, intent(commit, 1, &files, None)).await.unwrap();
    }
    assert_eq!(wal.orphans(A).await, []);
    wal.record(A, Recorded { commit: Uuid::from_u128(4), ..recorded(1) }).await.unwrap();
    wal = reopened(&disk, wal).await;
    let [orphans] = wal.orphans(A).await.try_into().unwrap();
    assert_eq!(orphans.files, ["a", "b"]);
    wal.swept(A, orphans.at - 1).await.unwrap();
    assert_eq!(wal.orphans(A).await.len(), 1);
    wal.swept(A, orphans.at).await.unwrap();
    wal = reopened(&disk, wal).await;
    assert_eq!(wal.orphans(A).await, []);
}
