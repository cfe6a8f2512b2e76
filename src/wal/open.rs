//! Opening: directory, journal, recovery, the first segment, the thread.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use highway::Key;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::config::WalConfig;
use super::dead_letters;
use super::directory::Directory;
use super::error::OpenError;
use super::group_commit::{QUEUE, Writer};
use super::journal::{Fact, Failure, Journal};
use super::recovery::{Recovered, Recovery, is_full, repair};
use super::state::{Shared, State};
use super::storage::{Disk, Storage};
use super::window::Window;
use super::{Opened, Position, Stream, Wal};
use crate::clock;
use crate::faults;

/// Where a log is, and what is its own there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    pub(super) writer: Uuid,
    pub(super) key: [u8; 32],
    /// Held as long as the files are written to.
    pub(super) lock: Option<File>,
}

pub(super) fn open(config: &WalConfig, streams: Vec<Stream>) -> Result<(Wal, Opened), OpenError> {
    let Directory { path, lock, writer, key } = Directory::open(&config.directory)?;
    open_at(Place { storage: Arc::new(Disk), path, writer, key, lock: Some(lock) }, config, streams)
}

pub(super) fn open_at(place: Place, config: &WalConfig, streams: Vec<Stream>) -> Result<(Wal, Opened), OpenError> {
    let Place { storage, path, writer, key, lock } = place;
    if streams.len() > usize::from(u16::MAX) {
        return Err(OpenError::TooManyStreams { streams: streams.len() });
    }
    let mut window = Window::new(config.retry_window.age.get(), config.retry_window.entries);
    let mut journal = Journal::open(&*storage, &path, writer, &mut window)?;
    let waiting = dead_letters::settle(&*storage, &path, journal.facts())?;
    journal.forget_replayed();
    let recovery = Recovery { storage: &*storage, directory: &path, writer, streams: &streams, facts: journal.facts() };
    let recovered = recovery.survey(&mut window)?;
    window.forget(clock::unix_nanos() / 1_000_000);

    let lost = recovered.damaged.iter().filter(|damage| damage.first <= damage.last);
    let lost: Vec<Fact> = lost.map(|damage| Fact::Damaged { first: damage.first, last: damage.last }).collect();
    if !lost.is_empty() {
        journal.write(lost, &window).map_err(|failure| journal_error(&path, failure))?;
    }
    let Recovered { extents, synced, given, damaged, damaged_rows, records, cut, doubtful, repairs } = recovered;
    repair(&*storage, &path, &repairs)?;
    let damaged_positions = journal.facts().damaged.iter().map(|(first, last)| last.0 - first.0 + 1).sum();
    let mut state = State::new(&streams);
    (state.extents, state.synced) = (extents, synced);
    for (index, stream) in streams.iter().enumerate() {
        let progress = journal.facts().streams.get(&stream.name).cloned().unwrap_or_default();
        let lost = damaged_rows.get(index).copied().unwrap_or_default();
        state.opened(index, progress.recorded, progress.intents, lost, clock::now());
    }
    state.letters_waiting(&waiting);
    let held_rows = state.ledger().iter().map(|line| line.held).sum();
    let opened =
        Opened { held_rows, held_bytes: state.bytes(), next: Position(given.0 + 1), replayed: records, cut, damaged, doubtful };

    let progress = journal.facts().streams.values();
    let recorded_at_open = progress.flat_map(|progress| progress.recorded.iter().chain(&progress.earlier).cloned()).collect();
    let shared = Arc::new(Shared::new(storage, path.clone(), state, damaged_positions));
    let (broken, is_broken) = watch::channel(None);
    let (commands, receiver) = mpsc::channel(QUEUE);
    let mut thread =
        Writer::new(config.clone(), path.clone(), writer, streams, Arc::clone(&shared), journal, window, given, broken);
    match thread.ensure_segment() {
        // There will be room again; until then every append is told "later".
        Err(error) if !is_full(&error) => {
            let source = std::io::Error::new(error.kind(), error);
            return Err(OpenError::Disk { action: "create a segment in", path, source });
        }
        _ => thread.release(),
    }
    let naive = faults::chosen();
    let work = move || {
        faults::choose(naive);
        let closing = thread.run(receiver);
        drop(thread);
        drop(lock);
        closing.map(|closing| closing.send(()))
    };
    thread::Builder::new().name("wal".into()).spawn(work).map_err(|source| OpenError::Disk {
        action: "start the thread for",
        path: config.directory.clone(),
        source,
    })?;
    let mut words = key.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    let key = Key(std::array::from_fn(|_| words.next().unwrap_or_default()));
    let (max_bytes, segment_bytes) = (config.max_bytes.bytes(), config.segment_limit());
    Ok((Wal { commands, shared, broken: is_broken, writer, key, max_bytes, segment_bytes, recorded_at_open }, opened))
}

fn journal_error(path: &std::path::Path, failure: Failure) -> OpenError {
    match failure {
        Failure::Write(source) | Failure::Sync(source) => {
            OpenError::Disk { action: "write the journal in", path: path.to_owned(), source }
        }
        Failure::Full(_) => OpenError::Journal { path: path.to_owned() },
    }
}
