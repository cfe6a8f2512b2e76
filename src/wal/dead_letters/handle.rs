//! What callers of the log do with dead letters: write some, move a table's rows out, list them, bring them back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Kind, Letter, LetterReader, LetterWriter, Letters, LettersError, Survey, list};
use crate::faults::{self, Point};
use crate::wal::group_commit::Command;
use crate::wal::{JournalError, Orphans, Position, Recorded, StreamId, Wal};

/// One file of dead letters, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterFile {
    pub letters: Letters,
    /// `<exporter id>:<table>`.
    pub stream: String,
    pub first: Position,
    pub last: Position,
    /// Rows by the reason why they are here.
    pub reasons: BTreeMap<String, u64>,
}

impl Wal {
    /// For rows of the stream that do not fit its table. The file counts once a commit is recorded whose intent names it.
    pub fn letters(&self, stream: StreamId) -> LetterWriter {
        let name = self.shared.lock().name(stream).unwrap_or_default().to_owned();
        LetterWriter::new(Arc::clone(&self.shared.storage), self.shared.directory.clone(), name)
    }

    /// Rule 22: moves what the stream holds up to `recorded.position` out of the log, into files of dead letters that are as large as a segment, and goes
    /// on above it. Only for a
    /// stream without open intents: the rows of those may be in the table.
    ///
    /// # Errors
    /// Nothing is moved then.
    pub async fn move_out(&self, stream: StreamId, recorded: Recorded, reason: &str) -> Result<(), JournalError> {
        if !self.intents(stream).is_empty() {
            return Err(JournalError::OpenIntents);
        }
        let above = self.recorded(stream).map_or(Position(0), |last| last.position);
        let (rows, log, reason) = (self.read(stream, above, recorded.position), self.clone(), reason.to_owned());
        let write = move || -> Result<Vec<Letters>, JournalError> {
            let disk = |error: io::Error| JournalError::Disk(Arc::new(error));
            let (mut out, mut files) = (log.letters(stream), Vec::new());
            for held in rows {
                // A replay makes one segment of a file, and appends wait for it.
                if out.bytes() >= log.segment_bytes {
                    files.extend(std::mem::replace(&mut out, log.letters(stream)).finish().map_err(disk)?);
                }
                let held = held?;
                let (position, rows, schema, bytes) = (held.position, held.rows, held.schema, held.bytes);
                out.push(&Letter { position, rows, reason: reason.clone(), schema, bytes }).map_err(disk)?;
            }
            files.extend(out.finish().map_err(disk)?);
            Ok(files)
        };
        let letters = tokio::task::spawn_blocking(write).await.map_err(|_| JournalError::Closed)??;
        faults::pass(Point::DuringMoveOut);
        self.record_with(stream, recorded, letters).await
    }

    /// The files of dead letters that wait for a replay. Blocks: each is read and checked.
    ///
    /// # Errors
    /// For each file that cannot be read.
    pub fn dead_letters(&self) -> Vec<Result<LetterFile, LettersError>> {
        read_all(&*self.shared.storage, &self.shared.directory)
    }

    /// Brings a file of dead letters back: its rows are appended as new records, once. Gives how many.
    ///
    /// # Errors
    /// The file is where it was then, unless the log broke.
    pub async fn replay(&self, file: Uuid) -> Result<u64, LettersError> {
        let path = super::Path::new(super::DIRECTORY).to_owned();
        let found = list(&*self.shared.storage, &self.shared.directory);
        let found = found.map_err(|source| LettersError::Disk { action: "list", path, cause: Arc::new(source) })?;
        let is_it = |(letters, kind): &(Letters, Kind)| letters.file == file && *kind == Kind::Letters;
        let (letters, _) = found.into_iter().find(is_it).ok_or(LettersError::Unknown { file })?;
        let (storage, path) = (Arc::clone(&self.shared.storage), letters.path(&self.shared.directory, Kind::Letters));
        let survey = tokio::task::spawn_blocking(move || Survey::of(&*storage, path)).await;
        let survey = survey.map_err(|_| LettersError::Closed)??;
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Replay { letters, survey, reply }).await.map_err(|_| LettersError::Closed)?;
        answer.await.map_err(|_| LettersError::Closed)?
    }

    /// The stream's files that no snapshot will ever name, the oldest first (rule 18).
    pub async fn orphans(&self, stream: StreamId) -> Vec<Orphans> {
        let (reply, answer) = oneshot::channel();
        let asked = self.commands.send(Command::Orphans { stream, reply }).await;
        if asked.is_ok() { answer.await.unwrap_or_default() } else { Vec::new() }
    }

    /// The stream's orphans that were listed up to `at` are deleted: they are listed no more.
    pub async fn swept(&self, stream: StreamId, at: u64) -> Result<(), JournalError> {
        self.journal(|reply| Command::Swept { stream, at, reply }).await
    }
}

/// Every file of dead letters under the log's `directory`.
pub(in crate::wal) fn read_all(
    storage: &dyn crate::wal::storage::Storage,
    directory: &super::Path,
) -> Vec<Result<LetterFile, LettersError>> {
    let found = match list(storage, directory) {
        Ok(found) => found,
        Err(source) => {
            let path = directory.join(super::DIRECTORY);
            return vec![Err(LettersError::Disk { action: "list", path, cause: Arc::new(source) })];
        }
    };
    let counts = found.into_iter().filter(|(_, kind)| *kind == Kind::Letters);
    counts.map(|(letters, kind)| read(LetterReader::open(storage, letters.path(directory, kind))?, letters)).collect()
}

fn read(reader: LetterReader, letters: Letters) -> Result<LetterFile, LettersError> {
    let stream = reader.stream.clone();
    let mut file = LetterFile { letters, stream, first: Position(0), last: Position(0), reasons: BTreeMap::new() };
    for letter in reader {
        let letter = letter?;
        file.first = if file.first == Position(0) { letter.position } else { file.first };
        file.last = letter.position;
        *file.reasons.entry(letter.reason).or_default() += u64::from(letter.rows);
    }
    Ok(file)
}
