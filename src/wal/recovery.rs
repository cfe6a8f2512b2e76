//! What is found on the disk at open: torn tails are cut, damage is set aside, the last segment is written anew.
//!
//! [`Recovery::survey`] reads everything that is held once and checks it; memory is one frame. It changes nothing: damage is written down in the
//! journal first, and what [`mod@repair`] does to the files afterwards may be done again.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::error::OpenError;
use super::frame::{Head, Header, Parsed, Seed};
use super::journal::Facts;
use super::segment::{self, Found, ReadAhead, Scanner, UNFINISHED};
use super::state::{Amount, Extent, Segment, Share, number};
use super::storage::{LogFile, Storage};
use super::window::{Remembered, Window};
use super::{Damage, Position, Stream};
use crate::clock;
use crate::faults::{self, Naive};

mod repair;

pub(super) use repair::{Repair, is_full, repair};

/// Where bytes go that could not be read.
const ASIDE: &str = "damaged";
/// More positions than a segment has: so many are not given again when the newest one is missing.
const MISSING: u64 = 1 << 24;
/// A start says so often how far it has read.
const PROGRESS: Duration = Duration::from_secs(1);

/// What recovery is given.
#[derive(Debug)]
pub(super) struct Recovery<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) directory: &'a Path,
    pub(super) writer: Uuid,
    pub(super) streams: &'a [Stream],
    pub(super) facts: &'a Facts,
}

/// What it finds.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) extents: VecDeque<Extent>,
    /// Everything acknowledged is at or below it.
    pub(super) synced: Position,
    /// The highest position that the log names.
    pub(super) given: Position,
    /// New damage, to be written down.
    pub(super) damaged: Vec<Damage>,
    /// Rows that were lost to it, by stream, as far as they are known.
    pub(super) damaged_rows: Vec<u64>,
    pub(super) records: u64,
    pub(super) cut: u64,
    /// The last frame, if its head is whole and its rows are there and are not what was written: torn by a power loss, or damaged.
    pub(super) doubtful: Option<Damage>,
    /// What has to be done to the files, in this order.
    pub(super) repairs: Vec<Repair>,
}

/// A segment file whose header could be read.
struct Candidate {
    path: PathBuf,
    file: Arc<dyn LogFile>,
    len: u64,
    header: Header,
    header_len: u64,
}

/// A segment file whose header could not.
struct Headless {
    first: Position,
    path: PathBuf,
    bytes: ReadAhead,
}

/// What a segment's frames come to.
struct Scan {
    /// The bytes that count, the header's first.
    good: Vec<(u64, u64)>,
    last: Position,
    shares: Vec<Share>,
    damaged: Vec<(u64, u64, Damage)>,
    doubtful: Option<(u64, u64, Damage)>,
    /// Bytes at the end that are no frame, or void.
    cut: u64,
}

impl Recovery<'_> {
    pub(super) fn survey(&self, window: &mut Window) -> Result<Recovered, OpenError> {
        let streams = self.streams.len();
        let mut recovered = Recovered {
            extents: VecDeque::new(),
            synced: self.facts.floor,
            given: if faults::is(Naive::PositionsAgain) { Position(0) } else { self.facts.highest() },
            damaged: Vec::new(),
            damaged_rows: vec![0; streams],
            records: 0,
            cut: 0,
            doubtful: None,
            repairs: Vec::new(),
        };
        let mut unknown = BTreeMap::new();
        let (candidates, newest) = self.candidates(&mut recovered)?;
        let voids: Vec<Option<Position>> = candidates.iter().skip(1).map(|next| Some(next.header.after)).chain([None]).collect();
        let segments = candidates.len();
        let mut said = clock::now();
        for (number, (candidate, void_above)) in candidates.into_iter().zip(voids).enumerate() {
            if said.elapsed() >= PROGRESS {
                said = clock::now();
                tracing::info!(read = number, segments, records = recovered.records, "the log is being read");
            }
            if let Some(last) = void_above.filter(|last| *last <= self.facts.floor) {
                self.remember(&candidate, last, window)?;
                recovered.extents.push_back(self.empty(&candidate, last));
                continue;
            }
            self.note_gap(&candidate.header, &mut recovered);
            let scan = self.scan(&candidate, void_above, window, &mut recovered, &mut unknown)?;
            self.take_in(&candidate, scan, void_above.is_none(), &mut recovered);
        }
        self.note_missing(newest, &mut recovered);
        match unknown.pop_first() {
            Some((name, rows)) => Err(OpenError::UnknownStream { name, rows, directory: self.directory.to_owned() }),
            None => Ok(recovered),
        }
    }

    /// Nothing of the segment is needed but its requests (rule 7): it was about to be released.
    fn remember(&self, candidate: &Candidate, last: Position, window: &mut Window) -> Result<(), OpenError> {
        let bytes = ReadAhead::new(Arc::clone(&candidate.file), candidate.len);
        let mut scanner = Scanner::new(bytes, candidate.header.seed(), candidate.header_len);
        while let Some(found) = self.disk("read", &candidate.path, scanner.next())? {
            if let Found::Frame { head, .. } = found
                && head.position <= last
            {
                window.restore(Remembered { id: head.id, position: head.position, at: head.appended });
            }
        }
        Ok(())
    }

    /// A segment of which nothing is needed.
    fn empty(&self, candidate: &Candidate, last: Position) -> Extent {
        let segment = Segment::new(candidate.path.clone(), &candidate.header, candidate.header_len, self.streams);
        let shares = vec![Share::default(); self.streams.len()];
        Extent { segment: Arc::new(segment), end: candidate.header_len, last, shares }
    }

    /// All segments in order, and where the newest one begins. Those without a header are to be set aside.
    fn candidates(&self, recovered: &mut Recovered) -> Result<(Vec<Candidate>, Position), OpenError> {
        let names = self.disk("list", self.directory, self.storage.list(self.directory))?;
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
            let path = self.directory.join(name);
            self.disk("remove", &path, self.storage.remove(&path))?;
        }
        let mut firsts: Vec<Position> = names.iter().filter_map(|name| segment::first_position(name)).collect();
        firsts.sort_unstable();
        let newest = firsts.last().copied().unwrap_or_default();
        let mut candidates = Vec::with_capacity(firsts.len());
        let mut headless = Vec::new();
        for first in firsts {
            let path = self.directory.join(segment::name(first));
            let file = self.disk("open", &path, self.storage.open(&path))?;
            let len = self.disk("read", &path, file.len())?;
            let mut bytes = ReadAhead::new(Arc::clone(&file), len);
            match self.disk("read", &path, bytes.header())? {
                Parsed::Whole(header, _) if !header.is_supported() => {
                    return Err(OpenError::Version { path, found: header.version });
                }
                Parsed::Whole(header, _) if header.writer != self.writer || header.first != first => {
                    return Err(OpenError::Foreign { path });
                }
                Parsed::Whole(header, header_len) => {
                    candidates.push(Candidate { path, file, len, header, header_len: header_len as u64 });
                }
                Parsed::Short(_) | Parsed::Bad => headless.push(Headless { first, path, bytes }),
            }
        }
        for headless in headless {
            let neighbour = candidates.iter().find(|next| next.header.first > headless.first).or(candidates.last());
            let streams = neighbour.map_or(self.streams, |neighbour| &neighbour.header.streams);
            self.set_segment_aside(headless, streams, recovered)?;
        }
        Ok((candidates, newest))
    }

    /// Without its header nobody knows for certain whose rows a segment has: most likely `streams`, those of its neighbour. Its frames tell which
    /// positions are lost, and how many rows.
    fn set_segment_aside(&self, headless: Headless, streams: &[Stream], recovered: &mut Recovered) -> Result<(), OpenError> {
        let Headless { first, path, bytes } = headless;
        let mut scanner = Scanner::new(bytes, Seed::new(self.writer, first), 0);
        let mut lost: Option<Damage> = None;
        while let Some(found) = self.disk("read", &path, scanner.next())? {
            let Found::Frame { head, .. } = found else { continue };
            let damage = lost.get_or_insert(Damage { first: head.position, last: head.position, rows: 0, file: None });
            damage.last = damage.last.max(head.position);
            let name = |entry: u16| streams.get(usize::from(entry)).map(|stream| stream.name.as_str());
            damage.rows += self.lose(&head, head.position, name, recovered);
        }
        let to = self.directory.join(ASIDE).join(path.file_name().unwrap_or_default());
        recovered.repairs.push(Repair::SetAside { path, to: to.clone() });
        if let Some(damage) = lost {
            recovered.given = recovered.given.max(damage.last);
            recovered.damaged.push(Damage { file: Some(to), ..damage });
        }
        Ok(())
    }

    /// Counts the rows of a frame that is lost, as far as they are still held; gives how many.
    fn lose<'a>(&self, head: &Head, at: Position, name: impl Fn(u16) -> Option<&'a str>, recovered: &mut Recovered) -> u64 {
        let mut rows = 0;
        for entry in &head.entries {
            let Some(name) = name(entry.stream).filter(|name| at > self.facts.watermark(name)) else { continue };
            let index = number(self.streams, name).map(|id| usize::from(id.0));
            if let Some(lost) = index.and_then(|index| recovered.damaged_rows.get_mut(index)) {
                *lost += u64::from(entry.rows);
                rows += u64::from(entry.rows);
            }
        }
        rows
    }

    /// Rule 5: the newest segment that was begun is not there. What was in it nobody knows; none of its positions is given again (rule 1).
    fn note_missing(&self, newest: Position, recovered: &mut Recovered) {
        let begun = self.facts.begun;
        if begun <= newest || begun <= self.facts.floor || faults::is(Naive::PositionsAgain) {
            return;
        }
        let (first, last) = (Position(recovered.synced.0 + 1).min(begun), begun.max(recovered.given));
        recovered.damaged.push(Damage { first, last, rows: 0, file: None });
        recovered.synced = last;
        recovered.given = Position(last.0 + MISSING);
    }

    /// Rule 5: positions that were acknowledged and are in no segment.
    fn note_gap(&self, header: &Header, recovered: &mut Recovered) {
        let (first, last) = (Position(recovered.synced.0 + 1), header.after);
        recovered.given = recovered.given.max(last).max(Position(header.first.0.saturating_sub(1)));
        if first > last {
            return;
        }
        let is_known = |(from, to): (Position, Position)| from <= first && last <= to;
        let is_new = !self
            .facts
            .damaged
            .iter()
            .copied()
            .chain(recovered.damaged.iter().map(|damage| (damage.first, damage.last)))
            .any(is_known);
        if is_new {
            recovered.damaged.push(Damage { first, last, rows: 0, file: None });
        }
        recovered.synced = last;
    }

    fn scan(
        &self,
        candidate: &Candidate,
        void_above: Option<Position>,
        window: &mut Window,
        recovered: &mut Recovered,
        unknown: &mut BTreeMap<String, u64>,
    ) -> Result<Scan, OpenError> {
        let Candidate { path, file, len, header, header_len } = candidate;
        let segment = Segment::new(path.clone(), header, *header_len, self.streams);
        let mut scan = Scan {
            good: vec![(0, *header_len)],
            last: header.after,
            shares: vec![Share::default(); self.streams.len()],
            damaged: Vec::new(),
            doubtful: None,
            cut: 0,
        };
        let mut scanner = Scanner::new(ReadAhead::new(Arc::clone(file), *len), header.seed(), *header_len);
        let mut bad: Option<(u64, u64, Option<Head>)> = None;
        while let Some(found) = self.disk("read", path, scanner.next())? {
            match found {
                Found::Bad { at, to, head } => bad = Some((at, to, head)),
                Found::Frame { head, .. }
                    if head.position <= scan.last || void_above.is_some_and(|last| head.position > last) => {}
                Found::Frame { at, to, head } => {
                    if let Some((from, until, bad_head)) = bad.take() {
                        let damage = self.damage(&segment, scan.last, head.position, bad_head.as_ref(), recovered);
                        scan.damaged.push((from, until, damage));
                    }
                    self.count(&segment, &head, header, &mut scan, unknown);
                    window.restore(Remembered { id: head.id, position: head.position, at: head.appended });
                    recovered.records += 1;
                    scan.last = head.position;
                    match scan.good.last_mut() {
                        Some((_, end)) if *end == at => *end = to,
                        _ => scan.good.push((at, to)),
                    }
                }
            }
        }
        if let Some((from, to, Some(head))) = bad {
            let is_there = from + (Head::len_with(head.entries.len()) as u64) + head.body() <= *len;
            if is_there && head.position > scan.last && void_above.is_none() {
                let rows = head.entries.iter().map(|entry| u64::from(entry.rows)).sum();
                scan.doubtful = Some((from, to, Damage { first: head.position, last: head.position, rows, file: None }));
            }
        }
        scan.cut = len - scan.good.last().map_or(0, |(_, end)| *end);
        Ok(scan)
    }

    /// Adds a frame's rows to its streams, or to those that nobody knows.
    fn count(&self, segment: &Segment, head: &Head, header: &Header, scan: &mut Scan, unknown: &mut BTreeMap<String, u64>) {
        for entry in &head.entries {
            let index = usize::from(entry.stream);
            let (Some(local), Some(stream)) = (segment.streams.get(index), header.streams.get(index)) else { continue };
            let is_held = head.position > self.facts.watermark(&stream.name);
            let amount = Amount { rows: u64::from(entry.rows), bytes: u64::from(entry.length) };
            match local.stream.and_then(|id| scan.shares.get_mut(usize::from(id.0))) {
                Some(share) => {
                    share.add(head.position, amount);
                    if !is_held {
                        share.passed.add(amount);
                    }
                }
                None if is_held => *unknown.entry(stream.name.clone()).or_default() += amount.rows,
                None => {}
            }
        }
    }

    /// What was between two frames. Its rows are known if its head is whole.
    fn damage(
        &self,
        segment: &Segment,
        before: Position,
        behind: Position,
        head: Option<&Head>,
        recovered: &mut Recovered,
    ) -> Damage {
        let name =
            |entry: u16| segment.streams.get(usize::from(entry))?.stream.map(|id| self.streams[usize::from(id.0)].name.as_str());
        let between = head.filter(|head| head.position > before && head.position < behind);
        let rows = between.map_or(0, |head| self.lose(head, Position(behind.0 - 1), name, recovered));
        Damage { first: Position(before.0 + 1), last: Position(behind.0 - 1), rows, file: None }
    }

    /// Puts a scanned segment among the others, as it is once its bytes are as they should be.
    fn take_in(&self, candidate: &Candidate, scan: Scan, is_last: bool, recovered: &mut Recovered) {
        let Candidate { path, file, header, header_len, .. } = candidate;
        recovered.given = recovered.given.max(scan.last);
        recovered.synced = recovered.synced.max(scan.last);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut copied = |from: u64, to: u64, damage: Damage| {
            let aside = self.directory.join(ASIDE).join(format!("{name}.{from}-{to}"));
            recovered.repairs.push(Repair::Copy { file: Arc::clone(file), from, to, aside: aside.clone() });
            Damage { file: Some(aside), ..damage }
        };
        let is_damaged = !scan.damaged.is_empty();
        let damaged: Vec<Damage> = scan.damaged.into_iter().map(|(from, to, damage)| copied(from, to, damage)).collect();
        let doubtful = scan.doubtful.map(|(from, to, damage)| copied(from, to, damage));
        recovered.damaged.extend(damaged);
        if let Some(doubtful) = doubtful {
            recovered.given = recovered.given.max(doubtful.last);
            recovered.doubtful = Some(doubtful);
        }
        recovered.cut += if is_last { scan.cut } else { 0 };
        let is_empty = scan.good.len() == 1 && scan.good[0].1 == *header_len;
        let end = if is_last && (is_empty || scan.last <= self.facts.floor) {
            // Nothing of it is needed. It stays until the next segment is there, for the position that it names.
            *header_len
        } else if is_last || is_damaged {
            let end = scan.good.iter().map(|(from, to)| to - from).sum();
            recovered.repairs.push(Repair::Rewrite { path: path.clone(), file: Arc::clone(file), good: scan.good });
            end
        } else {
            scan.good.last().map_or(*header_len, |(_, end)| *end)
        };
        let segment = Arc::new(Segment::new(path.clone(), header, *header_len, self.streams));
        recovered.extents.push_back(Extent { segment, end, last: scan.last, shares: scan.shares });
    }

    #[expect(clippy::unused_self, reason = "reads as what it is about")]
    fn disk<T>(&self, action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, OpenError> {
        result.map_err(|source| OpenError::Disk { action, path: path.to_owned(), source })
    }
}
