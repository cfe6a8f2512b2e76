//! What the thread does beside appends: it writes commits down, releases what no stream needs, and brings dead letters back.

use std::io;
use std::sync::Arc;

use super::{Command, Writer, now_millis};
use crate::faults::{self, Naive, Point};
use crate::wal::dead_letters::{self, Kind, Letters};
use crate::wal::error::{AppendError, JournalError};
use crate::wal::journal::{Fact, Failure, MAX_LIVE};
use crate::wal::state::Amount;
use crate::wal::{Intent, Orphans, Position, Recorded, StreamId};

impl Writer {
    pub(super) fn write_down(&mut self, command: Command) {
        match command {
            Command::Append(append) => drop(append.reply.send(Err(AppendError::Closed))),
            Command::Close { reply } => drop(reply.send(())),
            Command::Intend { stream, intent, reply } => {
                let result = self.intend(stream, intent);
                let _ = reply.send(result);
            }
            Command::Replay { letters, survey, reply } => drop(reply.send(self.replay(letters, survey))),
            Command::Orphans { stream, reply } => drop(reply.send(self.listed_orphans(stream))),
            Command::Swept { stream, at, reply } => drop(reply.send(self.swept(stream, at))),
            Command::Record { stream, recorded, split, letters, reply } => {
                let result = self.record(stream, recorded, split, letters);
                let is_recorded = result.is_ok();
                let _ = reply.send(result);
                if is_recorded {
                    faults::pass(Point::AfterRecordBeforeRelease);
                    self.release();
                }
            }
        }
    }

    fn intend(&mut self, stream: StreamId, intent: Intent) -> Result<(), JournalError> {
        if let Some(why) = self.shared.fenced.get() {
            return Err(JournalError::Fenced(why.clone()));
        }
        let name = self.shared.lock().name(stream).map(str::to_owned).ok_or(JournalError::UnknownStream(stream))?;
        self.write_facts(vec![Fact::Intent { stream: name, intent: intent.clone() }])?;
        self.given = self.given.max(intent.to);
        if faults::is(Naive::ReleaseAtUpload) {
            let (position, commit, table) = (intent.to, intent.commit, intent.table);
            self.shared.lock().recorded(stream, Recorded { position, commit, table }, Amount::default(), 0);
            self.release();
        }
        self.shared.lock().intended(stream, intent);
        Ok(())
    }

    fn record(&mut self, stream: StreamId, recorded: Recorded, split: Amount, letters: Vec<Letters>) -> Result<(), JournalError> {
        let (name, intents, floor) = {
            let state = self.shared.lock();
            let name = state.name(stream).map(str::to_owned).ok_or(JournalError::UnknownStream(stream))?;
            let last = state.last_recorded(stream).map_or(Position(0), |recorded| recorded.position);
            if recorded.position < last {
                return Err(JournalError::Backwards { asked: recorded.position, recorded: last });
            }
            if recorded.position > self.given {
                return Err(JournalError::Ahead { asked: recorded.position, last: self.given });
            }
            (name, state.intents(stream), state.floor_with(stream, recorded.position))
        };
        // What the last record left behind is in its place before this one takes its.
        self.keep_letters(&name).map_err(|error| JournalError::Disk(Arc::new(error)))?;
        let own = intents.iter().find(|intent| intent.commit == recorded.commit);
        let letters = if letters.is_empty() { own.and_then(|own| own.letters).into_iter().collect() } else { letters };
        let mut facts = Vec::new();
        let files = orphans(&intents, &recorded);
        if !files.is_empty() {
            facts.push(Fact::Orphaned { stream: name.clone(), orphans: Orphans { at: now_millis(), files } });
        }
        facts.push(Fact::Recorded { stream: name.clone(), recorded: recorded.clone(), floor, letters: letters.clone() });
        self.write_facts(facts)?;
        // If it fails, the next record or the next open does it.
        let _ = self.keep_letters(&name);
        for lost in intents.iter().filter_map(|intent| intent.letters).filter(|lost| !letters.contains(lost)) {
            let _ = self.shared.storage.remove(&lost.path(&self.directory, Kind::Pending));
        }
        self.shared.lock().recorded(stream, recorded, split, letters.iter().map(|letters| letters.rows).sum());
        Ok(())
    }

    /// The dead letters of the stream's last record count from now on.
    fn keep_letters(&self, stream: &str) -> io::Result<()> {
        let letters = self.journal.facts().streams.get(stream).map_or(&[][..], |progress| &progress.letters);
        letters.iter().try_for_each(|letters| dead_letters::keep(&*self.shared.storage, &self.directory, *letters))
    }

    fn listed_orphans(&self, stream: StreamId) -> Vec<Orphans> {
        let state = self.shared.lock();
        let Some(name) = state.name(stream) else { return Vec::new() };
        let own = self.journal.facts().orphans.iter().filter(|(other, _)| other == name);
        own.map(|(_, orphans)| orphans.clone()).collect()
    }

    fn swept(&mut self, stream: StreamId, at: u64) -> Result<(), JournalError> {
        let name = self.shared.lock().name(stream).map(str::to_owned).ok_or(JournalError::UnknownStream(stream))?;
        self.write_facts(vec![Fact::Swept { stream: name, at }])
    }

    pub(in crate::wal) fn write_facts(&mut self, facts: Vec<Fact>) -> Result<(), JournalError> {
        if self.is_broken() {
            return Err(JournalError::Closed);
        }
        match self.journal.write(facts, &self.window) {
            Ok(()) => Ok(()),
            Err(Failure::Full(bytes)) => Err(JournalError::Full { bytes, max: MAX_LIVE }),
            Err(Failure::Write(error)) => Err(JournalError::Disk(Arc::new(error))),
            Err(Failure::Sync(error)) => {
                let error = Arc::new(error);
                self.break_off(&error);
                Err(JournalError::Disk(error))
            }
        }
    }

    /// Unlinks the segments that no stream needs (rule 17). One that cannot be unlinked now is tried again the next time.
    pub(in crate::wal) fn release(&mut self) {
        loop {
            let state = self.shared.lock();
            let Some(oldest) = state.releasable() else { return };
            let is_active = self.active.is_some() && state.extents.len() == 1;
            if is_active && oldest.end == oldest.segment.header_len {
                return;
            }
            let (path, last) = (oldest.segment.path.clone(), oldest.last);
            drop(state);
            // Without room for them the segment stays until they are too old to matter.
            if self.carry(last).is_err() {
                return;
            }
            faults::pass(Point::AfterCarry);
            if is_active {
                // All of it is in the tables: go on in a new one, which also keeps the next position.
                // On a full disk there is room for that one only afterwards; the journal's floor keeps the position, too.
                self.active = None;
                let _ = self.ensure_segment();
            }
            match self.shared.storage.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return,
                _ => drop(self.shared.lock().extents.pop_front()),
            }
            faults::pass(Point::DuringRelease);
        }
    }

    /// Rule 7: the young requests of a segment that is about to be released go on in the journal.
    fn carry(&mut self, through: Position) -> Result<(), JournalError> {
        if faults::is(Naive::HashesWithSegment) {
            return Ok(());
        }
        self.window.forget(now_millis());
        let young = self.window.to_carry(through);
        if !young.is_empty() {
            self.write_facts(Fact::of_requests(young.iter()).collect())?;
        }
        self.window.carried_to(through);
        Ok(())
    }
}

/// Rule 18: files that only lost attempts name, now that one for the same rows is recorded.
fn orphans(intents: &[Intent], recorded: &Recorded) -> Vec<String> {
    let Some(winner) = intents.iter().position(|intent| intent.commit == recorded.commit) else { return Vec::new() };
    // An attempt that lists none has the files of the last one before it that does.
    let kept = intents[..=winner].iter().rposition(|intent| !intent.files.is_empty());
    let lost = intents.iter().enumerate().filter(|(index, intent)| Some(*index) != kept && intent.table == recorded.table);
    lost.flat_map(|(_, intent)| intent.files.iter().cloned()).collect()
}
