//! What is done to the files of a log that was surveyed. Each step may be done again after a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ASIDE;
use crate::faults::{self, Point};
use crate::wal::error::OpenError;
use crate::wal::segment;
use crate::wal::storage::{LogFile, Storage};

/// One step.
#[derive(Debug)]
pub(in crate::wal) enum Repair {
    /// A whole file goes away.
    SetAside { path: PathBuf, to: PathBuf },
    /// Bytes are kept that are about to be left out.
    Copy { file: Arc<dyn LogFile>, from: u64, to: u64, aside: PathBuf },
    /// A segment is made anew of these ranges.
    Rewrite { path: PathBuf, file: Arc<dyn LogFile>, good: Vec<(u64, u64)> },
}

/// Does all of them. The damage that they stem from is written down already.
pub(in crate::wal) fn repair(storage: &dyn Storage, directory: &Path, repairs: &[Repair]) -> Result<(), OpenError> {
    let disk = |action, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Disk { action, path, source }
    };
    let aside = directory.join(ASIDE);
    if repairs.iter().any(|repair| !matches!(repair, Repair::Rewrite { .. })) {
        storage.create_directory(&aside).and_then(|()| storage.sync_directory(directory)).map_err(disk("create", &aside))?;
    }
    for repair in repairs {
        match repair {
            Repair::SetAside { path, to } => {
                let moved = storage.rename(path, to).and_then(|()| storage.sync_directory(&aside));
                moved.and_then(|()| storage.sync_directory(directory)).map_err(disk("set aside", path))?;
            }
            Repair::Copy { file, from, to, aside } => {
                let copied = segment::create(storage, aside, |target| copy(&**file, &[(*from, *to)], target));
                copied.map_err(disk("set aside bytes of a segment in", aside))?;
                faults::pass(Point::AfterSetAside);
            }
            Repair::Rewrite { path, file, good } => {
                write_anew(storage, path, &**file, good).map_err(disk("rewrite", path))?;
            }
        }
    }
    Ok(())
}

/// Rule 3: what was read may be in memory only. A new file in the place of the old one is on the disk. Without room for one, the
/// same bytes are written over themselves, which brings them there as well.
fn write_anew(storage: &dyn Storage, path: &Path, file: &dyn LogFile, good: &[(u64, u64)]) -> io::Result<()> {
    let end = good.iter().map(|(from, to)| to - from).sum();
    let anew = |target: &dyn LogFile| {
        copy(file, good, target)?;
        faults::pass(Point::DuringReopenRewrite);
        Ok(())
    };
    match segment::create(storage, path, anew) {
        Err(error) if is_full(&error) && good.len() == 1 => {
            copy(file, good, file).and_then(|()| file.set_len(end)).and_then(|()| file.sync())
        }
        made => made,
    }
}

/// Whether an error says that there is no room.
pub(in crate::wal) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Copies ranges one behind the other, in pieces.
fn copy(from: &dyn LogFile, ranges: &[(u64, u64)], target: &dyn LogFile) -> io::Result<()> {
    let mut piece = vec![0; 1 << 20];
    let mut written = 0;
    for (start, end) in ranges {
        let mut at = *start;
        while at < *end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(piece.len());
            let read = from.read_at(&mut piece[..len], at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            target.write_all_at(&piece[..read], written)?;
            (at, written) = (at + read as u64, written + read as u64);
        }
    }
    Ok(())
}
