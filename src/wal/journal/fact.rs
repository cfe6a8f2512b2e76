//! The journal's entries: what is written down about commits, and what all of it together says. Pure.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::wal::dead_letters::Letters;
use crate::wal::frame::{Fields, length, put_bytes};
use crate::wal::window::Remembered;
use crate::wal::{Fingerprint, Intent, Orphans, Position, Recorded};

/// Mark, length and checksum before an entry's content.
pub(super) const FRONT: usize = 12;
/// Of a request that is remembered.
pub(super) const REQUEST: usize = 32;
/// Requests in one entry.
const REQUESTS: usize = 1024;
/// Orphaned files that are listed, over all streams; past it the oldest are forgotten, and stay for a job that looks for files of no snapshot.
const ORPHANS: usize = 10_000;
/// Tables that a stream was written to before; past it the oldest are forgotten.
const EARLIER: usize = 256;

/// One entry of the journal. Streams go by their name: numbers change with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wal) enum Fact {
    Intent {
        stream: String,
        intent: Intent,
    },
    /// Ends the stream's intents; nothing at or below `floor` is needed by any stream.
    Recorded {
        stream: String,
        recorded: Recorded,
        floor: Position,
        /// The dead letters of its batch, or all files of what was moved out.
        letters: Vec<Letters>,
    },
    /// Positions that were lost to damage and are counted already.
    Damaged {
        first: Position,
        last: Position,
    },
    /// Of a segment that is about to be released (rule 7).
    Requests(Vec<Remembered>),
    /// Somebody has looked: the stream's open intents were not applied and never will be (rule 20).
    Void {
        stream: String,
    },
    /// A file of dead letters has become the segment that begins there.
    Replayed {
        file: Uuid,
        first: Position,
    },
    /// Files of attempts that another one for the same rows has overtaken (rule 18).
    Orphaned {
        stream: String,
        orphans: Orphans,
    },
    /// The stream's orphans that were listed up to then are deleted.
    Swept {
        stream: String,
        at: u64,
    },
    /// A segment that begins there is in its place, and may be written to from now on.
    Begun {
        first: Position,
    },
}

/// What the journal says about one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::wal) struct Progress {
    pub(in crate::wal) recorded: Option<Recorded>,
    /// The dead letters of the recorded commit.
    pub(in crate::wal) letters: Vec<Letters>,
    pub(in crate::wal) intents: Vec<Intent>,
    /// The last commit to each table that the stream was written to before: the configuration may lead back there.
    pub(in crate::wal) earlier: Vec<Recorded>,
}

/// What the whole journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::wal) struct Facts {
    pub(in crate::wal) floor: Position,
    pub(in crate::wal) damaged: Vec<(Position, Position)>,
    /// Where the newest segment begins.
    pub(in crate::wal) begun: Position,
    pub(in crate::wal) streams: BTreeMap<String, Progress>,
    pub(in crate::wal) replayed: Vec<(Uuid, Position)>,
    /// By stream, in the order in which they were listed.
    pub(in crate::wal) orphans: Vec<(String, Orphans)>,
    /// As they were read; who opens the log takes them into its window.
    pub(in crate::wal) requests: Vec<Remembered>,
}

impl Facts {
    pub(super) fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Intent { stream, intent } => self.streams.entry(stream).or_default().intents.push(intent),
            Fact::Recorded { stream, recorded, floor, letters } => {
                let progress = self.streams.entry(stream).or_default();
                progress.earlier.retain(|earlier| earlier.table != recorded.table);
                let before = progress.recorded.replace(recorded).filter(|before| !before.table.is_nil());
                let is_elsewhere = |before: &Recorded| progress.recorded.as_ref().is_some_and(|now| now.table != before.table);
                progress.earlier.extend(before.filter(is_elsewhere));
                let surplus = progress.earlier.len().saturating_sub(EARLIER);
                progress.earlier.drain(..surplus);
                (progress.letters, progress.intents) = (letters, Vec::new());
                self.floor = self.floor.max(floor);
                self.damaged.retain(|(_, last)| *last > floor);
            }
            Fact::Damaged { first, last } if self.damaged.contains(&(first, last)) => {}
            Fact::Damaged { first, last } => self.damaged.push((first, last)),
            Fact::Requests(requests) => self.requests.extend(requests),
            Fact::Void { stream } => self.streams.entry(stream).or_default().intents.clear(),
            Fact::Replayed { file, first } => {
                self.replayed.retain(|(other, _)| *other != file);
                self.replayed.push((file, first));
            }
            Fact::Begun { first } => self.begun = self.begun.max(first),
            Fact::Orphaned { stream, orphans } => self.orphaned(stream, orphans),
            Fact::Swept { stream, at } => self.orphans.retain(|(other, orphans)| *other != stream || orphans.at > at),
        }
    }

    /// Takes in an entry of a journal with damage in it: an image repeats what older entries said, and some of them may be missing.
    pub(super) fn apply_again(&mut self, fact: Fact) {
        match fact {
            Fact::Intent { stream, intent } => {
                let intents = &mut self.streams.entry(stream).or_default().intents;
                if !intents.contains(&intent) {
                    intents.push(intent);
                }
            }
            Fact::Recorded { stream, recorded, .. } if recorded.position < self.watermark(&stream) => {
                let earlier = &mut self.streams.entry(stream).or_default().earlier;
                earlier.retain(|earlier| earlier.table != recorded.table);
                earlier.push(recorded);
            }
            fact => self.apply(fact),
        }
    }

    /// A record that was not synced is made again, and its orphans with it: they are listed once.
    fn orphaned(&mut self, stream: String, mut orphans: Orphans) {
        orphans.files.retain(|file| !self.orphans.iter().any(|(_, known)| known.files.contains(file)));
        if !orphans.files.is_empty() {
            self.orphans.push((stream, orphans));
        }
        while self.orphans.iter().map(|(_, orphans)| orphans.files.len()).sum::<usize>() > ORPHANS {
            self.orphans.remove(0);
        }
    }

    /// The stream's watermark L; 0 when nothing is recorded.
    pub(in crate::wal) fn watermark(&self, stream: &str) -> Position {
        self.streams.get(stream).and_then(|progress| progress.recorded.as_ref()).map_or(Position(0), |recorded| recorded.position)
    }

    /// The highest position that is named here (rule 1).
    pub(in crate::wal) fn highest(&self) -> Position {
        let named = self.streams.values().flat_map(|progress| {
            let intents = progress.intents.iter().map(|intent| intent.to);
            intents.chain(progress.recorded.iter().map(|recorded| recorded.position))
        });
        let replayed = self.replayed.iter().map(|(_, first)| *first);
        named.chain(replayed).chain(self.damaged.iter().map(|(_, last)| *last)).max().unwrap_or_default().max(self.floor)
    }

    /// The fewest entries that say the same, without the requests.
    pub(super) fn entries(&self) -> impl Iterator<Item = Fact> {
        // The floor first, as damage below it would be dropped.
        let of_stream = |(stream, progress): (&String, &Progress)| {
            let recorded = |recorded: &Recorded, letters| {
                let (stream, recorded) = (stream.clone(), recorded.clone());
                Fact::Recorded { stream, recorded, floor: self.floor, letters }
            };
            let mut entries: Vec<Fact> = progress.earlier.iter().map(|earlier| recorded(earlier, Vec::new())).collect();
            entries.extend(progress.recorded.iter().map(|last| recorded(last, progress.letters.clone())));
            let open = progress.intents.iter().cloned();
            entries.extend(open.map(|intent| Fact::Intent { stream: stream.clone(), intent }));
            entries
        };
        let damaged = self.damaged.iter().map(|(first, last)| Fact::Damaged { first: *first, last: *last });
        let replayed = self.replayed.iter().map(|(file, first)| Fact::Replayed { file: *file, first: *first });
        let orphaned =
            |(stream, orphans): &(String, Orphans)| Fact::Orphaned { stream: stream.clone(), orphans: orphans.clone() };
        let begun = (self.begun > Position(0)).then_some(Fact::Begun { first: self.begun });
        let others = damaged.chain(replayed).chain(self.orphans.iter().map(orphaned)).chain(begun);
        self.streams.iter().flat_map(of_stream).chain(others)
    }

    pub(super) fn encoded_len(&self) -> usize {
        let mut out = Vec::new();
        self.entries().for_each(|fact| fact.encode(0, &mut out));
        out.len()
    }
}

impl Fact {
    pub(in crate::wal) fn of_requests<'a>(mut requests: impl Iterator<Item = &'a Remembered>) -> impl Iterator<Item = Fact> {
        std::iter::from_fn(move || {
            let some: Vec<Remembered> = requests.by_ref().take(REQUESTS).copied().collect();
            (!some.is_empty()).then_some(Fact::Requests(some))
        })
    }

    /// What an entry begins with: seldom found in anything else, so that entries behind a damaged one are found quickly.
    pub(super) fn mark(seed: u32) -> [u8; 4] {
        (seed ^ 0x9E37_79B9).to_le_bytes()
    }

    pub(super) fn encode(&self, seed: u32, out: &mut Vec<u8>) {
        let content = self.content();
        let len = length(content.len()).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &len), &content);
        out.extend_from_slice(&Fact::mark(seed));
        out.extend_from_slice(&len);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&content);
    }

    /// The entry at the front and its length; `None` if there is none.
    pub(super) fn parse(bytes: &[u8], seed: u32) -> Option<(Fact, usize)> {
        let mut fields = Fields(bytes);
        if fields.array::<4>()? != Fact::mark(seed) {
            return None;
        }
        let len: [u8; 4] = fields.array()?;
        let crc = fields.u32()?;
        let content = fields.take(u32::from_le_bytes(len) as usize)?;
        if content.is_empty() || crc32c::crc32c_append(crc32c::crc32c_append(seed, &len), content) != crc {
            return None;
        }
        Some((Fact::read(Fields(content))?, FRONT + content.len()))
    }

    fn content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Fact::Intent { stream, intent } => {
                out.push(1);
                put_bytes(&mut out, stream.as_bytes());
                out.extend_from_slice(intent.commit.as_bytes());
                out.extend_from_slice(intent.table.as_bytes());
                out.extend_from_slice(&intent.above.0.to_le_bytes());
                out.extend_from_slice(&intent.to.0.to_le_bytes());
                out.push(u8::from(intent.parent.is_some()));
                out.extend_from_slice(&intent.parent.unwrap_or_default().to_le_bytes());
                out.extend_from_slice(&intent.parent_sequence.to_le_bytes());
                put_files(&mut out, &intent.files);
                put_letters(&mut out, intent.letters.as_slice());
            }
            Fact::Recorded { stream, recorded, floor, letters } => {
                out.push(2);
                put_bytes(&mut out, stream.as_bytes());
                out.extend_from_slice(&recorded.position.0.to_le_bytes());
                out.extend_from_slice(recorded.commit.as_bytes());
                out.extend_from_slice(recorded.table.as_bytes());
                out.extend_from_slice(&floor.0.to_le_bytes());
                put_letters(&mut out, letters);
            }
            Fact::Damaged { first, last } => {
                out.push(3);
                out.extend_from_slice(&first.0.to_le_bytes());
                out.extend_from_slice(&last.0.to_le_bytes());
            }
            Fact::Requests(requests) => {
                out.reserve(5 + REQUEST * requests.len());
                out.push(4);
                out.extend_from_slice(&length(requests.len()).to_le_bytes());
                for request in requests {
                    out.extend_from_slice(&request.id.0);
                    out.extend_from_slice(&request.position.0.to_le_bytes());
                    out.extend_from_slice(&request.at.to_le_bytes());
                }
            }
            Fact::Void { stream } => {
                out.push(5);
                put_bytes(&mut out, stream.as_bytes());
            }
            Fact::Replayed { file, first } => {
                out.push(6);
                out.extend_from_slice(file.as_bytes());
                out.extend_from_slice(&first.0.to_le_bytes());
            }
            Fact::Orphaned { stream, orphans } => {
                out.push(7);
                put_bytes(&mut out, stream.as_bytes());
                out.extend_from_slice(&orphans.at.to_le_bytes());
                put_files(&mut out, &orphans.files);
            }
            Fact::Swept { stream, at } => {
                out.push(8);
                put_bytes(&mut out, stream.as_bytes());
                out.extend_from_slice(&at.to_le_bytes());
            }
            Fact::Begun { first } => {
                out.push(9);
                out.extend_from_slice(&first.0.to_le_bytes());
            }
        }
        out
    }

    fn read(mut fields: Fields<'_>) -> Option<Fact> {
        match fields.u8()? {
            1 => Some(Fact::Intent { stream: text(&mut fields)?, intent: intent(&mut fields)? }),
            2 => {
                let stream = text(&mut fields)?;
                let position = Position(fields.u64()?);
                let (commit, table) = (uuid(&mut fields)?, uuid(&mut fields)?);
                let floor = Position(fields.u64()?);
                let letters = std::iter::from_fn(|| letters(&mut fields)).collect();
                Some(Fact::Recorded { stream, recorded: Recorded { position, commit, table }, floor, letters })
            }
            3 => Some(Fact::Damaged { first: Position(fields.u64()?), last: Position(fields.u64()?) }),
            4 => (0..fields.u32()?).map(|_| request(&mut fields)).collect::<Option<_>>().map(Fact::Requests),
            5 => Some(Fact::Void { stream: text(&mut fields)? }),
            6 => Some(Fact::Replayed { file: uuid(&mut fields)?, first: Position(fields.u64()?) }),
            7 => {
                let (stream, at) = (text(&mut fields)?, fields.u64()?);
                Some(Fact::Orphaned { stream, orphans: Orphans { at, files: files(&mut fields)? } })
            }
            9 => Some(Fact::Begun { first: Position(fields.u64()?) }),
            8 => Some(Fact::Swept { stream: text(&mut fields)?, at: fields.u64()? }),
            _ => None,
        }
    }
}

fn request(fields: &mut Fields<'_>) -> Option<Remembered> {
    let id = Fingerprint(fields.array()?);
    Some(Remembered { id, position: Position(fields.u64()?), at: fields.u64()? })
}

fn intent(fields: &mut Fields<'_>) -> Option<Intent> {
    let (commit, table) = (uuid(fields)?, uuid(fields)?);
    let (above, to) = (Position(fields.u64()?), Position(fields.u64()?));
    let has_parent = fields.u8()? != 0;
    let parent = i64::from_le_bytes(fields.array()?);
    let parent_sequence = i64::from_le_bytes(fields.array()?);
    let (files, letters) = (files(fields)?, letters(fields));
    Some(Intent { commit, table, above, to, parent: has_parent.then_some(parent), parent_sequence, files, letters })
}

fn put_files(out: &mut Vec<u8>, files: &[String]) {
    out.extend_from_slice(&length(files.len()).to_le_bytes());
    for file in files {
        put_bytes(out, file.as_bytes());
    }
}

fn files(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    (0..fields.u32()?).map(|_| text(fields)).collect()
}

/// At the end of an entry, and only where there are some.
fn put_letters(out: &mut Vec<u8>, letters: &[Letters]) {
    for Letters { file, rows } in letters {
        out.extend_from_slice(file.as_bytes());
        out.extend_from_slice(&rows.to_le_bytes());
    }
}

/// `None` at the end of the entry.
fn letters(fields: &mut Fields<'_>) -> Option<Letters> {
    Some(Letters { file: uuid(fields)?, rows: fields.u64()? })
}

fn uuid(fields: &mut Fields<'_>) -> Option<Uuid> {
    fields.array().map(Uuid::from_bytes)
}

fn text(fields: &mut Fields<'_>) -> Option<String> {
    String::from_utf8(fields.bytes()?.to_vec()).ok()
}
