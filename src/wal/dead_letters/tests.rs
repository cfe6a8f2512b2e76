//! Dead letters on a disk in memory: what is read back, what damage does, and what a crash leaves at each step.

use std::sync::atomic::Ordering::SeqCst;

use proptest::prelude::*;

use super::*;
use crate::wal::storage::memory::Memory;

fn letter(position: u64, rows: u32, schema: &str) -> Letter {
    let bytes = vec![7; 3 * rows as usize];
    Letter { position: Position(position), rows, reason: format!("reason {position}"), schema: schema.as_bytes().into(), bytes }
}

fn write(disk: &Memory, letters: &[Letter]) -> Option<Letters> {
    let mut writer = LetterWriter::new(Arc::new(disk.clone()), PathBuf::from("/wal"), "iceberg:errors".to_owned());
    for letter in letters {
        writer.push(letter).unwrap();
    }
    writer.finish().unwrap()
}

fn read(disk: &Memory, letters: Letters) -> Result<Vec<Letter>, LettersError> {
    LetterReader::open(disk, letters.path(Path::new("/wal"), Kind::Pending))?.collect()
}

#[test]
fn what_was_written_is_read_after_a_power_loss() {
    let disk = Memory::default();
    let letters = vec![letter(3, 2, "a"), letter(4, 1, "a"), letter(9, 5, "b")];
    let file = write(&disk, &letters).unwrap();
    disk.cut_power(0);
    assert_eq!((file.rows, read(&disk, file).unwrap()), (8, letters));
    assert_eq!(list(&disk, Path::new("/wal")).unwrap(), [(file, Kind::Pending)]);
}

#[test]
fn without_letters_there_is_no_file() {
    let disk = Memory::default();
    assert_eq!(write(&disk, &[]), None);
    assert_eq!(list(&disk, Path::new("/wal")).unwrap(), []);
}

#[test]
fn a_full_disk_leaves_no_file_behind() {
    let disk = Memory::default();
    disk.faults.room.store(10, SeqCst);
    let mut writer = LetterWriter::new(Arc::new(disk.clone()), PathBuf::from("/wal"), "a".to_owned());
    writer.push(&letter(1, 1, "a")).unwrap();
    assert!(writer.finish().is_err());
    assert_eq!(disk.paths(""), Vec::<PathBuf>::new());
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let disk = Memory::default();
    let file = write(&disk, &[letter(3, 2, "a"), letter(4, 1, "b")]).unwrap();
    let path = file.path(Path::new("/wal"), Kind::Pending);
    let mut whole = Vec::new();
    disk.edit(&path, |bytes| whole.clone_from(bytes));
    for len in 0..whole.len() {
        disk.edit(&path, |bytes| *bytes = whole[..len].to_vec());
        assert!(read(&disk, file).is_err(), "cut at {len}");
    }
    for bit in 0..whole.len() * 8 {
        disk.edit(&path, |bytes| {
            bytes.clone_from(&whole);
            bytes[bit / 8] ^= 1 << (bit % 8);
        });
        assert!(read(&disk, file).is_err(), "bit {bit}");
    }
    disk.edit(&path, |bytes| *bytes = [whole.as_slice(), b"more"].concat());
    assert!(read(&disk, file).is_err(), "bytes behind the end");
}

proptest! {
    #[test]
    fn any_bytes_are_letters_or_an_error(bytes: Vec<u8>) {
        let disk = Memory::default();
        let file = write(&disk, &[letter(1, 1, "a")]).unwrap();
        disk.edit(&file.path(Path::new("/wal"), Kind::Pending), |content| content.extend(bytes.clone()));
        prop_assert_eq!(read(&disk, file).is_ok(), bytes.is_empty());
    }
}
