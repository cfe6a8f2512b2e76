//! What is found on the disk at open: torn tails are cut, damage is set aside, the last segment is written anew.
//!
//! Everything that is held is read once and checked; memory is one frame.

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
use super::state::{Amount, Extent, Segment, Share};
use super::storage::{LogFile, Storage};
use super::window::{Remembered, Window};
use super::{Damage, Position, Stream};
use crate::clock;
use crate::faults::{self, Naive, Point};

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
}

/// A segment file whose header could be read.
struct Candidate {
    path: PathBuf,
    file: Arc<dyn LogFile>,
    len: u64,
    header: Header,
    header_len: u64,
}

/// What a segment's frames come to.
struct Scan {
    /// The bytes that count, the header's first.
    good: Vec<(u64, u64)>,
    last: Position,
    shares: Vec<Share>,
    damaged: Vec<(u64, u64, Damage)>,
    /// Bytes at the end that are no frame, or void.
    cut: u64,
}

impl Recovery<'_> {
    pub(super) fn run(&self, window: &mut Window) -> Result<Recovered, OpenError> {
        let streams = self.streams.len();
        let mut recovered = Recovered {
            extents: VecDeque::new(),
            synced: self.facts.floor,
            given: if faults::is(Naive::PositionsAgain) { Position(0) } else { self.facts.highest() },
            damaged: Vec::new(),
            damaged_rows: vec![0; streams],
            records: 0,
            cut: 0,
        };
        let mut unknown = BTreeMap::new();
        let candidates = self.candidates(&mut recovered)?;
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
            self.take_in(&candidate, scan, void_above.is_none(), &mut recovered)?;
        }
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

    /// All segments in order. Those without a header are set aside, or removed when nothing is in them.
    fn candidates(&self, recovered: &mut Recovered) -> Result<Vec<Candidate>, OpenError> {
        let names = self.disk("list", self.directory, self.storage.list(self.directory))?;
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
            let path = self.directory.join(name);
            self.disk("remove", &path, self.storage.remove(&path))?;
        }
        let mut firsts: Vec<Position> = names.iter().filter_map(|name| segment::first_position(name)).collect();
        firsts.sort_unstable();
        let mut candidates = Vec::with_capacity(firsts.len());
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
                Parsed::Short(_) | Parsed::Bad => self.set_segment_aside(first, &path, bytes, recovered)?,
            }
        }
        Ok(candidates)
    }

    /// Without its header nobody knows whose rows a segment has. Its frames still tell which positions are lost.
    fn set_segment_aside(
        &self,
        first: Position,
        path: &Path,
        bytes: ReadAhead,
        recovered: &mut Recovered,
    ) -> Result<(), OpenError> {
        let mut scanner = Scanner::new(bytes, Seed::new(self.writer, first), 0);
        let mut lost: Option<(Position, Position)> = None;
        while let Some(found) = self.disk("read", path, scanner.next())? {
            if let Found::Frame { head, .. } = found {
                lost = Some((lost.map_or(head.position, |(oldest, _)| oldest), head.position));
            }
        }
        let Some((oldest, newest)) = lost else {
            return self.disk("remove", path, self.storage.remove(path));
        };
        let aside = self.aside()?.join(path.file_name().unwrap_or_default());
        self.disk("set aside", path, self.storage.rename(path, &aside))?;
        recovered.given = recovered.given.max(newest);
        recovered.damaged.push(Damage { first: oldest, last: newest, rows: 0, file: Some(aside) });
        Ok(())
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
        let mut rows = 0;
        for entry in
            head.into_iter().filter(|head| head.position > before && head.position < behind).flat_map(|head| &head.entries)
        {
            let id = segment.streams.get(usize::from(entry.stream)).and_then(|local| local.stream);
            let Some(index) = id.map(|id| usize::from(id.0)) else { continue };
            let is_held = self.streams.get(index).is_some_and(|stream| behind > self.facts.watermark(&stream.name));
            if let (true, Some(lost)) = (is_held, recovered.damaged_rows.get_mut(index)) {
                *lost += u64::from(entry.rows);
                rows += u64::from(entry.rows);
            }
        }
        Damage { first: Position(before.0 + 1), last: Position(behind.0 - 1), rows, file: None }
    }

    /// Puts a scanned segment among the others, after its bytes are as they should be.
    fn take_in(&self, candidate: &Candidate, scan: Scan, is_last: bool, recovered: &mut Recovered) -> Result<(), OpenError> {
        let Candidate { path, file, header, header_len, .. } = candidate;
        recovered.given = recovered.given.max(scan.last);
        let is_empty = scan.good.len() == 1 && scan.good[0].1 == *header_len;
        if is_last && (is_empty || scan.last <= self.facts.floor) {
            // Nothing of it is needed. It stays until the next segment is there, for the position that it names.
            recovered.synced = recovered.synced.max(scan.last);
            recovered.cut += scan.cut;
            let segment = Arc::new(Segment::new(path.clone(), header, *header_len, self.streams));
            recovered.extents.push_back(Extent { segment, end: *header_len, last: scan.last, shares: scan.shares });
            return Ok(());
        }
        for (from, to, mut damage) in scan.damaged.iter().cloned() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let aside = self.aside()?.join(format!("{name}.{from}-{to}"));
            let copied = segment::create(self.storage, &aside, |target| copy(&**file, &[(from, to)], target));
            self.disk("set aside bytes of", path, copied)?;
            damage.file = Some(aside);
            recovered.damaged.push(damage);
        }
        let end = if is_last || !scan.damaged.is_empty() {
            self.write_anew(path, &**file, &scan.good)?
        } else {
            scan.good.last().map_or(*header_len, |(_, end)| *end)
        };
        if is_last {
            recovered.cut += scan.cut;
        }
        recovered.synced = recovered.synced.max(scan.last);
        let segment = Arc::new(Segment::new(path.clone(), header, *header_len, self.streams));
        recovered.extents.push_back(Extent { segment, end, last: scan.last, shares: scan.shares });
        Ok(())
    }

    /// Rule 3: what was read may be in memory only. A new file in the place of the old one is on the disk. Without room for one, the
    /// same bytes are written over themselves, which brings them there as well.
    fn write_anew(&self, path: &Path, file: &dyn LogFile, good: &[(u64, u64)]) -> Result<u64, OpenError> {
        let end = good.iter().map(|(from, to)| to - from).sum();
        let anew = |target: &dyn LogFile| {
            copy(file, good, target)?;
            faults::pass(Point::DuringReopenRewrite);
            Ok(())
        };
        let made = match segment::create(self.storage, path, anew) {
            Err(error) if is_full(&error) && good.len() == 1 => {
                copy(file, good, file).and_then(|()| file.set_len(end)).and_then(|()| file.sync())
            }
            made => made,
        };
        self.disk("rewrite", path, made)?;
        Ok(end)
    }

    fn aside(&self) -> Result<PathBuf, OpenError> {
        let path = self.directory.join("damaged");
        self.disk("create", &path, self.storage.create_directory(&path))?;
        Ok(path)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is about")]
    fn disk<T>(&self, action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, OpenError> {
        result.map_err(|source| OpenError::Disk { action, path: path.to_owned(), source })
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
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
