//! What a person does to a log while no gateway has it: look, settle a commit whose outcome nobody can tell, and give a copied log a name of its
//! own (rules 19 and 20); make a damaged journal anew. The directory is locked meanwhile.
//!
//! Nothing here deletes a row. [`rehome`] leaves the old directory as it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::config::WalConfig;
use super::dead_letters::{self, LetterFile, LettersError, copy_synced};
use super::directory::Directory;
use super::error::{OfflineError, OpenError};
use super::frame::{Header, Parsed};
use super::journal::{Fact, Facts, Failure, Journal};
use super::segment::{self, Found, ReadAhead, Scanner};
use super::storage::{Disk, LogFile, Storage};
use super::window::Window;
use super::{Intent, Orphans, Position, Recorded};
use crate::faults::{self, Point};

/// What stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub writer: Uuid,
    /// Every position up to here was released.
    pub floor: Position,
    pub segments: Vec<SegmentInfo>,
    pub streams: Vec<StreamInfo>,
    /// Positions that were lost to damage.
    pub damaged: Vec<(Position, Position)>,
    /// Requests of released segments that are remembered.
    pub requests: usize,
}

/// What stands beside a log: files of its tables that no snapshot names, and rows that are in none.
#[derive(Debug)]
pub struct Leftovers {
    /// By stream, the oldest first (rule 18).
    pub orphans: Vec<(String, Orphans)>,
    pub letters: Vec<Result<LetterFile, LettersError>>,
}

/// One segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    pub path: PathBuf,
    pub bytes: u64,
    pub records: u64,
    /// 0 when it has none.
    pub first: Position,
    pub last: Position,
    /// Bytes that are no record: a torn tail, or damage.
    pub unreadable: u64,
}

/// One table of one exporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// `<exporter id>:<table>`.
    pub name: String,
    pub recorded: Option<Recorded>,
    /// Commits whose outcome is open.
    pub intents: Vec<Intent>,
    /// Rows above the recorded position.
    pub held_rows: u64,
    pub held_bytes: u64,
}

/// The verdict of a person who has looked for the files of open commits in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its files are in the table: its rows count as written.
    Committed(Uuid),
    /// None of them are: the rows are written again.
    Replay,
}

/// The property `floe.watermark.<writer id>` of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// `<exporter id>:<table>`.
    pub stream: String,
    pub table: Uuid,
    pub position: Position,
    pub commit: Uuid,
}

impl FromStr for Watermark {
    type Err = String;

    /// `<exporter id>:<table>=<table uuid>:<position>:<commit>`.
    fn from_str(text: &str) -> Result<Watermark, String> {
        let parsed = || {
            let (stream, rest) = text.split_once('=')?;
            let mut parts = rest.split(':');
            let (table, position, commit) = (parts.next()?, parts.next()?, parts.next()?);
            let (table, position, commit) = (table.parse().ok()?, position.parse().ok()?, commit.parse().ok()?);
            let stream = Some(stream.to_owned()).filter(|stream| stream.contains(':') && parts.next().is_none())?;
            Some(Watermark { stream, table, position: Position(position), commit })
        };
        parsed().ok_or_else(|| "expected EXPORTER:TABLE=TABLE_UUID:POSITION:COMMIT".to_owned())
    }
}

/// Reads a log without changing it.
pub fn inspect(config: &WalConfig) -> Result<Inspection, OfflineError> {
    let directory = existing(config)?;
    let facts = Journal::read_only(&Disk, &directory.path, directory.writer)?;
    let mut streams: BTreeMap<String, StreamInfo> = BTreeMap::new();
    for (name, progress) in &facts.streams {
        let info = streams.entry(name.clone()).or_default();
        (info.recorded, info.intents) = (progress.recorded.clone(), progress.intents.clone());
    }
    let paths = segment_paths(&directory.path)?;
    let mut segments = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        // A neighbour that cannot be read says nothing about this one.
        let next = paths.get(index + 1).map(|next| scanner(next)).transpose()?.flatten();
        segments.push(inspect_segment(path, next.map(|next| next.header.after), &facts, &mut streams)?);
    }
    let streams = streams.into_iter().map(|(name, info)| StreamInfo { name, ..info }).collect();
    let (writer, floor, requests) = (directory.writer, facts.floor, facts.requests.len());
    Ok(Inspection { writer, floor, segments, streams, damaged: facts.damaged, requests })
}

/// Reads what stands beside a log without changing it.
pub fn leftovers(config: &WalConfig) -> Result<Leftovers, OfflineError> {
    let directory = existing(config)?;
    let facts = Journal::read_only(&Disk, &directory.path, directory.writer)?;
    Ok(Leftovers { orphans: facts.orphans, letters: dead_letters::read_all(&Disk, &directory.path) })
}

/// Settles the open commits of one stream (rule 20).
pub fn resolve(config: &WalConfig, stream: &str, verdict: Verdict) -> Result<(), OfflineError> {
    let directory = existing(config)?;
    let mut window = Window::new(config.retry_window.age.get(), config.retry_window.entries);
    let mut journal = Journal::open(&Disk, &directory.path, directory.writer, &mut window)?;
    let open = journal.facts().streams.get(stream).map(|progress| progress.intents.clone()).unwrap_or_default();
    if open.is_empty() {
        return Err(OfflineError::NothingOpen { stream: stream.to_owned() });
    }
    let fact = match verdict {
        Verdict::Replay => Fact::Void { stream: stream.to_owned() },
        Verdict::Committed(commit) => {
            let intent = open.iter().find(|intent| intent.commit == commit);
            let Some(Intent { to, table, letters, .. }) = intent.cloned() else {
                return Err(OfflineError::UnknownCommit { commit, open: open.iter().map(|intent| intent.commit).collect() });
            };
            let (recorded, floor) = (Recorded { position: to, commit, table }, journal.facts().floor);
            Fact::Recorded { stream: stream.to_owned(), recorded, floor, letters: letters.into_iter().collect() }
        }
    };
    journal.write(vec![fact], &window).map_err(|failure| match failure {
        Failure::Write(source) | Failure::Sync(source) => disk("write the journal in", &directory.path)(source),
        Failure::Full(_) => disk("write the journal in", &directory.path)(io::ErrorKind::StorageFull.into()),
    })
}

/// Makes the commit journal anew from all entries of it that can be read; the damaged files go to `damaged/`. What an entry said that cannot be read
/// is not believed: the next look at the table finds the commit by its open intent (rule 12b), or fences the log (rule 12c). `known` is what a person
/// read in the tables' watermark properties.
pub fn salvage(config: &WalConfig, known: &[Watermark]) -> Result<Inspection, OfflineError> {
    let directory = existing(config)?;
    let (mut facts, generation) = Journal::salvage(&Disk, &directory.path, directory.writer)?;
    for Watermark { stream, table, position, commit } in known {
        let progress = facts.streams.entry(stream.clone()).or_default();
        let is_news = progress.recorded.as_ref().is_none_or(|recorded| recorded.position < *position);
        if is_news {
            let recorded = Recorded { position: *position, commit: *commit, table: *table };
            (progress.recorded, progress.letters) = (Some(recorded), Vec::new());
            progress.intents.retain(|intent| intent.to > *position);
        }
    }
    let aside = directory.path.join("damaged");
    fs::create_dir_all(&aside).map_err(disk("create", &aside))?;
    for name in ["journal.0", "journal.1"] {
        let (from, to) = (directory.path.join(name), aside.join(format!("{name}.{generation}")));
        match copy_synced(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk("set aside", &from)(error)),
            _ => {}
        }
    }
    Journal::make(&Disk, &directory.path, directory.writer, &facts, generation)
        .map_err(disk("write the journal in", &directory.path))?;
    let other = directory.path.join("journal.1");
    match fs::remove_file(&other) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk("remove", &other)(error)),
        _ => Disk.sync_directory(&directory.path).map_err(disk("put in order", &directory.path))?,
    }
    drop(directory);
    inspect(config)
}

/// Writes the log anew into `target`, which must not be there, under a writer id of its own; gives that. Rows at or below `from`, and those that
/// this log has recorded, count as written; the rest is committed when a gateway is started on `target` (rule 19). It is made beside its place and
/// put there when it is whole and synced: one that failed half way is never opened.
pub fn rehome(config: &WalConfig, from: Option<Position>, target: &Path) -> Result<Uuid, OfflineError> {
    let directory = existing(config)?;
    let facts = Journal::read_only(&Disk, &directory.path, directory.writer)?;
    let last = last_position(&segment_paths(&directory.path)?, &facts)?;
    if let Some(from) = from.filter(|from| *from > last) {
        return Err(OfflineError::BeyondTheLog { from, last });
    }
    if target.exists() {
        return Err(disk("create", target)(io::ErrorKind::AlreadyExists.into()));
    }
    let unfinished = segment::unfinished(target);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(disk("remove", &unfinished))?;
    }
    let made = write_anew(&directory, facts, from, &unfinished);
    let writer = made.inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))?;
    faults::pass(Point::DuringRehome);
    fs::rename(&unfinished, target).map_err(disk("put in its place", target))?;
    let parent = fs::canonicalize(target).ok().and_then(|path| path.parent().map(Path::to_owned));
    Disk.sync_directory(parent.as_deref().unwrap_or(Path::new("."))).map_err(disk("put in its place", target))?;
    Ok(writer)
}

/// The log in a directory of its own, synced.
fn write_anew(directory: &Directory, mut facts: Facts, from: Option<Position>, target: &Path) -> Result<Uuid, OfflineError> {
    fs::create_dir(target).map_err(disk("create", target))?;
    let new = Directory::open(target).map_err(OfflineError::Open)?;
    copy_synced(&directory.path.join("key"), &target.join("key")).map_err(disk("copy the key to", target))?;
    dead_letters::copy_all(&directory.path, target, &facts).map_err(disk("copy the dead letters to", target))?;
    let mut names: Vec<String> = facts.streams.keys().cloned().collect();
    let mut sources = dead_letters::decided(&Disk, &directory.path, &facts).map_err(disk("list", &directory.path))?;
    for path in segment_paths(&directory.path)? {
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        sources.push((path, name));
    }
    for (path, name) in sources {
        // One whose header cannot be read stays behind, and is a gap in the new log.
        let Some(segment) = scanner(&path)? else { continue };
        names.extend(segment.header.streams.iter().map(|stream| stream.name.clone()));
        copy_segment(segment, new.writer, &target.join(name))?;
    }
    facts.replayed.clear();
    for name in names {
        let progress = facts.streams.entry(name).or_default();
        progress.intents.clear();
        let recorded = progress.recorded.as_ref().map_or(Position(0), |recorded| recorded.position);
        if let Some(from) = from.filter(|from| *from > recorded) {
            let table = progress.recorded.as_ref().map_or(Uuid::nil(), |recorded| recorded.table);
            progress.recorded = Some(Recorded { position: from, commit: Uuid::new_v4(), table });
        }
    }
    Journal::make(&Disk, target, new.writer, &facts, 1).map_err(disk("write the journal in", target))?;
    Ok(new.writer)
}

fn existing(config: &WalConfig) -> Result<Directory, OfflineError> {
    let path = &config.directory;
    let is_log = |name: &String| name == "writer" || name == "journal.0" || segment::first_position(name).is_some();
    if !Disk.list(path).unwrap_or_default().iter().any(is_log) {
        return Err(OfflineError::NoLog { directory: path.clone() });
    }
    Directory::open(path).map_err(OfflineError::Open)
}

fn disk(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OfflineError + use<> {
    let path = path.to_owned();
    move |source| OfflineError::Disk { action, path: path.clone(), source }
}

fn segment_paths(directory: &Path) -> Result<Vec<PathBuf>, OfflineError> {
    let names = Disk.list(directory).map_err(disk("list", directory))?;
    let mut paths: Vec<PathBuf> =
        names.iter().filter(|name| segment::first_position(name).is_some()).map(|name| directory.join(name)).collect();
    paths.sort();
    Ok(paths)
}

/// A segment that can be read from its first frame on.
struct Readable {
    file: Arc<dyn LogFile>,
    header: Header,
    scanner: Scanner,
}

/// `None` where the header cannot be read.
fn scanner(path: &Path) -> Result<Option<Readable>, OfflineError> {
    let file = Disk.read(path).map_err(disk("open", path))?;
    let len = file.len().map_err(disk("read", path))?;
    let mut bytes = ReadAhead::new(Arc::clone(&file), len);
    match bytes.header().map_err(disk("read", path))? {
        Parsed::Whole(header, _) if !header.is_supported() => {
            Err(OpenError::Version { path: path.to_owned(), found: header.version }.into())
        }
        Parsed::Whole(header, at) => {
            let scanner = Scanner::new(bytes, header.seed(), at as u64);
            Ok(Some(Readable { file, header, scanner }))
        }
        Parsed::Short(_) | Parsed::Bad => Ok(None),
    }
}

/// `void_above`: where the next segment says that this one ends.
fn inspect_segment(
    path: &Path,
    void_above: Option<Position>,
    facts: &Facts,
    streams: &mut BTreeMap<String, StreamInfo>,
) -> Result<SegmentInfo, OfflineError> {
    let bytes = fs::metadata(path).map_err(disk("read", path))?.len();
    let mut info = SegmentInfo { path: path.to_owned(), bytes, records: 0, first: Position(0), last: Position(0), unreadable: 0 };
    let Some(Readable { mut scanner, header, .. }) = scanner(path)? else {
        info.unreadable = bytes;
        return Ok(info);
    };
    while let Some(found) = scanner.next().map_err(disk("read", path))? {
        match found {
            Found::Bad { at, to, .. } => info.unreadable += to - at,
            Found::Frame { head, .. } if head.position <= info.last || void_above.is_some_and(|last| head.position > last) => {}
            Found::Frame { head, .. } => {
                info.records += 1;
                info.first = if info.first == Position(0) { head.position } else { info.first };
                info.last = head.position;
                for entry in &head.entries {
                    let Some(stream) = header.streams.get(usize::from(entry.stream)) else { continue };
                    let held = streams.entry(stream.name.clone()).or_default();
                    if head.position > facts.watermark(&stream.name) {
                        held.held_rows += u64::from(entry.rows);
                        held.held_bytes += u64::from(entry.length);
                    }
                }
            }
        }
    }
    Ok(info)
}

fn last_position(paths: &[PathBuf], facts: &Facts) -> Result<Position, OfflineError> {
    let mut last = facts.highest();
    for path in paths {
        let Some(Readable { mut scanner, .. }) = scanner(path)? else { continue };
        while let Some(found) = scanner.next().map_err(disk("read", path))? {
            if let Found::Frame { head, .. } = found {
                last = last.max(head.position);
            }
        }
    }
    Ok(last)
}

/// Every whole frame under the seed of another writer; what is unreadable stays behind in the old directory.
fn copy_segment(segment: Readable, writer: Uuid, target: &Path) -> Result<(), OfflineError> {
    let Readable { file, header, mut scanner } = segment;
    let header = Header { writer, ..header };
    let copied = segment::create(&Disk, target, |out| {
        let mut bytes = header.encode();
        out.write_all_at(&bytes, 0)?;
        let mut at = bytes.len() as u64;
        while let Some(found) = scanner.next()? {
            let Found::Frame { at: from, to, head } = found else { continue };
            bytes.clear();
            head.encode(header.seed(), &mut bytes);
            let head_len = bytes.len();
            bytes.resize(usize::try_from(to - from).unwrap_or(usize::MAX), 0);
            file.read_at(&mut bytes[head_len..], from + head_len as u64)?;
            out.write_all_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        Ok(())
    });
    copied.map_err(disk("write", target))
}
