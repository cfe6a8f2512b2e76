//! A disk in memory that can be full, fail, and lose its power: then only what was synced is left, and any part of the rest.
//!
//! After a failed sync it is as Linux is: what was not written is forgotten, though it can still be read, and the next sync succeeds without it.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{Identity, LogFile, Storage};

#[derive(Clone, Debug, Default)]
pub(in crate::wal) struct Memory {
    names: Arc<Mutex<Names>>,
    pub(in crate::wal) faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Names {
    now: HashMap<PathBuf, Arc<MemoryFile>>,
    synced: HashMap<PathBuf, Arc<MemoryFile>>,
    /// As they were after each change since; a power loss leaves one of these.
    between: Vec<HashMap<PathBuf, Arc<MemoryFile>>>,
}

/// Bytes that reach the disk as one.
const SECTOR: usize = 64;

impl Names {
    fn changed(&mut self) {
        self.between.push(self.now.clone());
    }
}

/// What goes wrong, and what is counted.
#[derive(Debug)]
pub(in crate::wal) struct Faults {
    /// Bytes that may still be allocated.
    pub(in crate::wal) room: AtomicU64,
    pub(in crate::wal) fails_sync: AtomicBool,
    /// So many syncs fail from now on.
    pub(in crate::wal) failing_syncs: AtomicU64,
    pub(in crate::wal) fails_cut: AtomicBool,
    pub(in crate::wal) fails_remove: AtomicBool,
    /// Writes reach the file, and are reported as failed.
    pub(in crate::wal) takes_and_fails: AtomicBool,
    /// After so many syncs the power fails: none of what is written then is sure.
    pub(in crate::wal) syncs_left: AtomicU64,
    /// The code that syncs has a fault of its own.
    pub(in crate::wal) panics: AtomicBool,
    pub(in crate::wal) syncs: AtomicU64,
    pub(in crate::wal) sync_millis: AtomicU64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            room: AtomicU64::new(u64::MAX / 2),
            fails_sync: AtomicBool::new(false),
            failing_syncs: AtomicU64::new(0),
            fails_cut: AtomicBool::new(false),
            fails_remove: AtomicBool::new(false),
            takes_and_fails: AtomicBool::new(false),
            syncs_left: AtomicU64::new(u64::MAX),
            panics: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            sync_millis: AtomicU64::new(0),
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    content: Mutex<Content>,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Written and not yet on the disk.
    dirty: Vec<Range<usize>>,
}

impl Memory {
    /// The power goes off: names and bytes that were not synced are gone, except for `kept` bytes of each file.
    pub(in crate::wal) fn cut_power(&self, kept: usize) {
        let mut names = self.names.lock().unwrap();
        names.now = names.synced.clone();
        for file in names.now.values() {
            let mut content = file.content.lock().unwrap();
            let Content { now, synced, dirty } = &mut *content;
            dirty.clear();
            let same = now.iter().zip(synced.iter()).take_while(|(now, synced)| now == synced).count();
            let reached = same.saturating_add(kept).min(now.len());
            let mut left = now[..reached].to_vec();
            left.extend_from_slice(synced.get(reached..).unwrap_or_default());
            now.clone_from(&left);
            *synced = left;
        }
        names.between.clear();
    }

    /// The power goes off while the disk writes in an order of its own: of names that were not synced the changes up to some point are left, and
    /// of bytes any sectors.
    pub(in crate::wal) fn cut_power_anyhow(&self, seed: u64) {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % n as u64).unwrap()
        };
        let mut names = self.names.lock().unwrap();
        let point = below(names.between.len() + 1);
        names.now = if point == 0 { names.synced.clone() } else { names.between[point - 1].clone() };
        names.synced = names.now.clone();
        names.between.clear();
        let mut paths: Vec<_> = names.now.keys().cloned().collect();
        paths.sort();
        for path in paths {
            let mut content = names.now[&path].content.lock().unwrap();
            let Content { now, synced, dirty } = &mut *content;
            for range in std::mem::take(dirty) {
                for sector in range.start / SECTOR..range.end.div_ceil(SECTOR) {
                    let part = (sector * SECTOR).max(range.start)..((sector + 1) * SECTOR).min(range.end).min(now.len());
                    if below(2) == 0 && !part.is_empty() {
                        synced.resize(synced.len().max(part.end), 0);
                        synced[part.clone()].copy_from_slice(&now[part]);
                    }
                }
            }
            now.clone_from(synced);
        }
    }

    pub(in crate::wal) fn paths(&self, suffix: &str) -> Vec<PathBuf> {
        let names = self.names.lock().unwrap();
        let mut paths: Vec<PathBuf> = names.now.keys().filter(|path| path.to_string_lossy().ends_with(suffix)).cloned().collect();
        paths.sort();
        paths
    }

    /// Another disk with the same content.
    pub(in crate::wal) fn copy(&self) -> Memory {
        let copy = Memory::default();
        let names = self.names.lock().unwrap();
        let duplicate = |file: &Arc<MemoryFile>| {
            let now = file.content.lock().unwrap().now.clone();
            let content = Mutex::new(Content { synced: now.clone(), now, dirty: Vec::new() });
            Arc::new(MemoryFile { content, faults: Arc::clone(&copy.faults) })
        };
        let now: HashMap<_, _> = names.now.iter().map(|(path, file)| (path.clone(), duplicate(file))).collect();
        *copy.names.lock().unwrap() = Names { synced: now.clone(), now, between: Vec::new() };
        copy
    }

    /// Changes a file behind everyone's back.
    pub(in crate::wal) fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let names = self.names.lock().unwrap();
        let mut content = names.now[path].content.lock().unwrap();
        edit(&mut content.now);
        content.synced = content.now.clone();
        content.dirty.clear();
    }

    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        self.names.lock().unwrap().now.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for Memory {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let file = Arc::new(MemoryFile { content: Mutex::default(), faults: Arc::clone(&self.faults) });
        let mut names = self.names.lock().unwrap();
        names.now.insert(path.to_owned(), Arc::clone(&file));
        names.changed();
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(path)?)
    }

    fn read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(path)?)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names = self.names.lock().unwrap();
        let here = names.now.keys().filter(|path| path.parent() == Some(directory));
        Ok(here.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        let file = names.now.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.now.insert(to.to_owned(), file);
        names.changed();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.faults.fails_remove.load(SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        let mut names = self.names.lock().unwrap();
        let file = names.now.remove(path).ok_or(io::ErrorKind::NotFound)?;
        names.changed();
        self.faults.room.fetch_add(file.content.lock().unwrap().now.len() as u64, SeqCst);
        Ok(())
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        self.file(path)?.identity()
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        names.synced = names.now.clone();
        names.between.clear();
        Ok(())
    }
}

impl LogFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let rest = content.now.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content.lock().unwrap();
        let Content { now, dirty, .. } = &mut *content;
        let offset = usize::try_from(offset).unwrap();
        let room = usize::try_from(self.faults.room.load(SeqCst)).unwrap();
        // A full disk takes what still fits.
        let fits = bytes.len().min((now.len() + room).saturating_sub(offset));
        let end = now.len().max(offset + fits);
        self.faults.room.fetch_sub((end - now.len()) as u64, SeqCst);
        now.resize(end, 0);
        now[offset..offset + fits].copy_from_slice(&bytes[..fits]);
        dirty.push(offset..offset + fits);
        let is_told_wrong = self.faults.takes_and_fails.load(SeqCst);
        if fits < bytes.len() || is_told_wrong { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        assert!(!self.faults.panics.load(SeqCst), "a fault that a test wants");
        self.faults.syncs.fetch_add(1, SeqCst);
        if self.faults.syncs_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(io::Error::other("the power is gone"));
        }
        thread::sleep(Duration::from_millis(self.faults.sync_millis.load(SeqCst)));
        let mut content = self.content.lock().unwrap();
        let Content { now, synced, dirty } = &mut *content;
        let one_more = self.faults.failing_syncs.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if self.faults.fails_sync.load(SeqCst) || one_more {
            dirty.clear();
            return Err(io::Error::other("the disk is gone"));
        }
        synced.resize(now.len(), 0);
        for range in dirty.drain(..) {
            let range = range.start.min(now.len())..range.end.min(now.len());
            synced[range.clone()].copy_from_slice(&now[range]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.faults.fails_cut.load(SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        let now = &mut self.content.lock().unwrap().now;
        self.faults.room.fetch_add((now.len() as u64).saturating_sub(len), SeqCst);
        now.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().now.len() as u64)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok((0, std::ptr::from_ref(self) as u64))
    }
}
