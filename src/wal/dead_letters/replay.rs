//! Bringing dead letters back: a file of them becomes a segment of new records, once.
//!
//! The segment is written beside the letters and synced; then the journal says "replayed", and that entry decides. What is left to do after it, putting the
//! segment in its place and removing the letters, is done again by [`settle`] at the next open if the process dies on the way.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::{DIRECTORY, Kind, LetterReader, Letters, LettersError, keep, list};
use crate::clock;
use crate::faults::{self, Point};
use crate::wal::error::{JournalError, OpenError};
use crate::wal::frame::{EntryHead, Head, Header, length};
use crate::wal::group_commit::Writer;
use crate::wal::journal::{Fact, Facts};
use crate::wal::segment::{self, UNFINISHED};
use crate::wal::state::{Amount, Extent, Segment, Share, number};
use crate::wal::storage::{LogFile, Storage};
use crate::wal::{Fingerprint, Position, Stream};

/// At open: finishes what the journal has decided, and removes what it has not. Gives the rows that wait for a replay, by stream.
pub(in crate::wal) fn settle(storage: &dyn Storage, directory: &Path, facts: &Facts) -> Result<BTreeMap<String, u64>, OpenError> {
    let dead = directory.join(DIRECTORY);
    let disk = |source| OpenError::Disk { action: "put the dead letters in order in", path: dead.clone(), source };
    let found = list(storage, directory).map_err(disk)?;
    for (letters, kind) in found.iter().filter(|(_, kind)| *kind == Kind::Replay) {
        let path = letters.path(directory, *kind);
        match facts.replayed.iter().find(|(file, _)| *file == letters.file) {
            Some((_, first)) => {
                let placed = storage.rename(&path, &directory.join(segment::name(*first)));
                placed.and_then(|()| storage.sync_directory(directory)).map_err(disk)?;
            }
            None => storage.remove(&path).map_err(disk)?,
        }
    }
    let intents = facts.streams.values().flat_map(|progress| progress.intents.iter().filter_map(|intent| intent.letters));
    let open: Vec<Letters> = intents.collect();
    let recorded: Vec<Letters> = facts.streams.values().flat_map(|progress| progress.letters.iter().copied()).collect();
    let mut waiting = BTreeMap::new();
    for (letters, kind) in found {
        let path = letters.path(directory, kind);
        let is_replayed = facts.replayed.iter().any(|(file, _)| *file == letters.file);
        match kind {
            Kind::Pending if recorded.contains(&letters) => keep(storage, directory, letters).map_err(disk)?,
            Kind::Pending if open.contains(&letters) => continue,
            Kind::Letters if !is_replayed => {}
            Kind::Replay => continue,
            Kind::Pending | Kind::Letters => {
                storage.remove(&path).map_err(disk)?;
                continue;
            }
        }
        let path = letters.path(directory, Kind::Letters);
        match LetterReader::open(storage, path.clone()) {
            Ok(reader) => *waiting.entry(reader.stream).or_default() += letters.rows,
            Err(error) => {
                tracing::warn!(file = %path.display(), rows = letters.rows, %error, "dead letters that cannot be read: no metric counts them");
            }
        }
    }
    for name in storage.list(&dead).unwrap_or_default().iter().filter(|name| name.ends_with(UNFINISHED)) {
        storage.remove(&dead.join(name)).map_err(disk)?;
    }
    Ok(waiting)
}

/// What a file of letters comes to.
#[derive(Debug)]
pub(in crate::wal) struct Survey {
    name: String,
    /// One for every schema of the file, all of one name.
    streams: Vec<Stream>,
    letters: u64,
    bytes: u64,
}

impl Survey {
    /// Reads the whole file once, before anything is changed, and where no append waits for it.
    pub(super) fn of(storage: &dyn Storage, path: PathBuf) -> Result<Survey, LettersError> {
        let mut reader = LetterReader::open(storage, path)?;
        let name = reader.stream.clone();
        let mut survey = Survey { name: name.clone(), streams: Vec::new(), letters: 0, bytes: 0 };
        for letter in reader.by_ref() {
            let letter = letter?;
            survey.letters += 1;
            survey.bytes += Head::len_with(1) as u64 + letter.bytes.len() as u64;
            if !survey.streams.iter().any(|stream| *stream.schema == *letter.schema) {
                survey.streams.push(Stream { name: name.clone(), schema: letter.schema.to_vec() });
            }
        }
        Ok(survey)
    }
}

impl Writer {
    /// Appends the rows of a file of dead letters as new records, and removes the file. Gives how many.
    pub(in crate::wal) fn replay(&mut self, letters: Letters, survey: Survey) -> Result<u64, LettersError> {
        if self.is_broken() || self.shared.fenced.get().is_some() {
            return Err(LettersError::Closed);
        }
        let storage = Arc::clone(&self.shared.storage);
        if self.journal.facts().replayed.iter().any(|(file, _)| *file == letters.file) {
            // Once a file (rule 22): what is left of it could not be removed then.
            let _ = storage.remove(&letters.path(&self.directory, Kind::Letters));
            return Err(LettersError::Replayed { file: letters.file });
        }
        let (source, target) = (letters.path(&self.directory, Kind::Letters), letters.path(&self.directory, Kind::Replay));
        let stream = number(&self.streams, &survey.name).ok_or(LettersError::UnknownStream { stream: survey.name })?;
        if self.shared.lock().bytes() + survey.bytes > self.config.later_at() {
            return Err(LettersError::Full { bytes: survey.bytes });
        }
        let (after, first) = (self.shared.lock().synced, Position(self.given.0 + 1));
        let header = Header::new(self.owner, after, first, survey.streams.clone());
        let mut share = Share::default();
        let mut end = 0;
        let mut failed = None;
        let written = segment::create(&*storage, &target, |file| {
            let reader = LetterReader::open(&*storage, source.clone());
            let copied = reader.and_then(|reader| copy(reader, &header, file, &mut share));
            end = copied.map_err(|error| {
                failed = Some(error);
                io::Error::other("dead letters")
            })?;
            Ok(())
        });
        if let Err(error) = written {
            let source = Arc::new(error);
            return Err(failed.unwrap_or(LettersError::Disk { action: "write", path: target, cause: source }));
        }
        if let Err(error) = self.write_facts(vec![Fact::Replayed { file: letters.file, first }]) {
            // The segment stays: should the entry be on the disk all the same, the next open needs it; else it removes it.
            return Err(match error {
                JournalError::Disk(source) => LettersError::Disk { action: "write the journal for", path: target, cause: source },
                _ => LettersError::Closed,
            });
        }
        faults::pass(Point::DuringReplay);
        self.active = None;
        self.given = Position(first.0 + survey.letters - 1);
        let path = self.directory.join(segment::name(first));
        if let Err(error) = storage.rename(&target, &path).and_then(|()| storage.sync_directory(&self.directory)) {
            // The journal says that it is there, and the next open will put it there.
            self.break_off(&Arc::new(error));
            return Err(LettersError::Closed);
        }
        faults::pass(Point::AfterReplay);
        let _ = storage.remove(&source).and_then(|()| storage.sync_directory(&self.directory.join(DIRECTORY)));
        let segment = Arc::new(Segment::new(path, &header, header.encode().len() as u64, &self.streams));
        let mut state = self.shared.lock();
        let mut shares = vec![Share::default(); state.stream_count()];
        if let Some(own) = shares.get_mut(usize::from(stream.0)) {
            *own = share;
        }
        state.replayed(stream, Extent { segment, end, last: self.given, shares }, clock::now());
        Ok(letters.rows)
    }
}

/// Writes a segment of the letters, and says where it ends.
fn copy(reader: LetterReader, header: &Header, file: &dyn LogFile, share: &mut Share) -> Result<u64, LettersError> {
    let path = reader.path.clone();
    let disk = |source: io::Error| LettersError::Disk { action: "copy", path: path.clone(), cause: Arc::new(source) };
    let mut buffer = header.encode();
    let mut at = 0;
    let mut position = header.first;
    let appended = clock::unix_nanos() / 1_000_000;
    for letter in reader {
        let letter = letter?;
        let stream = header.streams.iter().position(|stream| *stream.schema == *letter.schema).unwrap_or_default();
        let entry = EntryHead {
            stream: u16::try_from(stream).unwrap_or(u16::MAX),
            rows: letter.rows,
            length: length(letter.bytes.len()),
            crc: crc32c::crc32c(&letter.bytes),
        };
        // Not a request that somebody could send again.
        let id = Fingerprint(Uuid::new_v4().into_bytes());
        Head { position, appended, id, entries: vec![entry] }.encode(header.seed(), &mut buffer);
        buffer.extend_from_slice(&letter.bytes);
        share.add(position, Amount { rows: u64::from(letter.rows), bytes: letter.bytes.len() as u64 });
        position = Position(position.0 + 1);
        if buffer.len() >= super::CHUNK {
            file.write_all_at(&buffer, at).map_err(disk)?;
            at += buffer.len() as u64;
            buffer.clear();
        }
    }
    file.write_all_at(&buffer, at).map_err(disk)?;
    Ok(at + buffer.len() as u64)
}
