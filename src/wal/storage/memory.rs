//! A disk in memory that can be full, fail, and lose its power: then only what was synced is left, and a part of the rest.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{LogFile, Storage};

#[derive(Clone, Debug, Default)]
pub(in crate::wal) struct Memory {
    names: Arc<Mutex<Names>>,
    pub(in crate::wal) faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Names {
    now: HashMap<PathBuf, Arc<MemoryFile>>,
    synced: HashMap<PathBuf, Arc<MemoryFile>>,
}

/// What goes wrong, and what is counted.
#[derive(Debug)]
pub(in crate::wal) struct Faults {
    /// Bytes that may still be allocated.
    pub(in crate::wal) room: AtomicU64,
    pub(in crate::wal) fails_sync: AtomicBool,
    pub(in crate::wal) fails_cut: AtomicBool,
    pub(in crate::wal) syncs: AtomicU64,
    pub(in crate::wal) sync_millis: AtomicU64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            room: AtomicU64::new(u64::MAX / 2),
            fails_sync: AtomicBool::new(false),
            fails_cut: AtomicBool::new(false),
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
}

impl Memory {
    /// The power goes off: names and bytes that were not synced are gone, except for `kept` bytes of each file.
    pub(in crate::wal) fn cut_power(&self, kept: usize) {
        let mut names = self.names.lock().unwrap();
        names.now = names.synced.clone();
        for file in names.now.values() {
            let mut content = file.content.lock().unwrap();
            let Content { now, synced } = &mut *content;
            let same = now.iter().zip(synced.iter()).take_while(|(now, synced)| now == synced).count();
            let reached = same.saturating_add(kept).min(now.len());
            let mut left = now[..reached].to_vec();
            left.extend_from_slice(synced.get(reached..).unwrap_or_default());
            now.clone_from(&left);
            *synced = left;
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
            let content = Mutex::new(Content { synced: now.clone(), now });
            Arc::new(MemoryFile { content, faults: Arc::clone(&copy.faults) })
        };
        let now: HashMap<_, _> = names.now.iter().map(|(path, file)| (path.clone(), duplicate(file))).collect();
        *copy.names.lock().unwrap() = Names { synced: now.clone(), now };
        copy
    }

    /// Changes a file behind everyone's back.
    pub(in crate::wal) fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let names = self.names.lock().unwrap();
        let mut content = names.now[path].content.lock().unwrap();
        edit(&mut content.now);
        content.synced = content.now.clone();
    }

    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        self.names.lock().unwrap().now.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for Memory {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let file = Arc::new(MemoryFile { content: Mutex::default(), faults: Arc::clone(&self.faults) });
        self.names.lock().unwrap().now.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
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
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.names.lock().unwrap().now.remove(path);
        let file = removed.ok_or(io::ErrorKind::NotFound)?;
        self.faults.room.fetch_add(file.content.lock().unwrap().now.len() as u64, SeqCst);
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        names.synced = names.now.clone();
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
        let now = &mut self.content.lock().unwrap().now;
        let offset = usize::try_from(offset).unwrap();
        let room = usize::try_from(self.faults.room.load(SeqCst)).unwrap();
        // A full disk takes what still fits.
        let fits = bytes.len().min((now.len() + room).saturating_sub(offset));
        let end = now.len().max(offset + fits);
        self.faults.room.fetch_sub((end - now.len()) as u64, SeqCst);
        now.resize(end, 0);
        now[offset..offset + fits].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(self.faults.sync_millis.load(SeqCst)));
        if self.faults.fails_sync.load(SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        let mut content = self.content.lock().unwrap();
        content.synced = content.now.clone();
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
}
