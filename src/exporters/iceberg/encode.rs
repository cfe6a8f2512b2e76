//! Rows of a batch to data files: read from the log, heaped up by column, sorted by partition, written as Parquet.
//!
//! One thread encodes for all tables of an exporter. Memory is bounded: when a partition has the rows of a row group, or all together
//! reach [`PILE_BYTES`], the fullest partitions are written until half of the rows are.
//!
//! Invariant: all rows of a position are in the files or its dead letters, or none; a batch that failed left no file behind that an attempt names.

mod sort;

use std::sync::Arc;

use iceberg::spec::{DataFile, Literal, Struct};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::catalog::brief;
use super::committer::{Batch, EncodeFailure, Files};
use super::config::FileConfig;
use super::schema::Target;
use super::storage::denied;
use super::upload::{Chunks, Upload};
use crate::faults::{self, Naive, Point};
use crate::tables::ColumnType;
use crate::tables::layout::pile::{Pile, Piled, Places, Values};
use crate::tables::layout::{Layout, Unfit};
use crate::wal::{Letter, LetterWriter, Position, ReadBatch, ReadError, Reader};
use sort::Sorter;

/// Bytes of rows that wait to be sorted; then at least half of them are written.
const PILE_BYTES: usize = 48 << 20;
/// Partitions of one cut: each has a file open.
const MAX_PARTITIONS: usize = 64;
/// Jobs that wait for the thread: one a table.
const JOBS: usize = 4;

/// A batch to be encoded.
pub(super) struct Job {
    pub(super) target: Arc<Target>,
    pub(super) batch: Batch,
    /// The rows in (`batch.above`, `batch.to`].
    pub(super) rows: Reader,
    /// For those that do not fit (rule 21).
    pub(super) letters: LetterWriter,
    pub(super) file: FileConfig,
}

/// The thread that encodes; it ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    jobs: mpsc::Sender<(Job, oneshot::Sender<Result<Files, EncodeFailure>>)>,
}

impl Encoder {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start() -> std::io::Result<Encoder> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (jobs, mut queue) = mpsc::channel::<(Job, oneshot::Sender<_>)>(JOBS);
        std::thread::Builder::new().name("floe-parquet".to_owned()).spawn(move || {
            runtime.block_on(async {
                while let Some((job, reply)) = queue.recv().await {
                    // The asker may be gone; its files then stay behind as orphans.
                    let _ = reply.send(encode(job).await);
                }
            });
        })?;
        Ok(Encoder { jobs })
    }

    pub(super) async fn encode(&self, job: Job) -> Result<Files, EncodeFailure> {
        let gone = || EncodeFailure::Passing("the encoder has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        self.jobs.send((job, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Encodes one batch. If that fails, what it wrote is deleted: no attempt names it.
async fn encode(job: Job) -> Result<Files, EncodeFailure> {
    let io = job.target.io.clone();
    for path in &job.batch.instead_of {
        let _ = io.delete(path).await;
    }
    let range = (job.batch.above, job.batch.to);
    let mut encoding = Encoding::new(job.target, job.file, job.letters, range)
        .map_err(|error| EncodeFailure::Passing(format!("no memory to compress with: {error}")))?;
    match encoding.run(job.rows, &job.batch).await {
        Ok(files) => Ok(files),
        Err(error) => {
            for path in encoding.paths {
                let _ = io.delete(path).await;
            }
            Err(error)
        }
    }
}

/// The values of a row's partition, in the order of the partition fields.
type Key = Vec<Option<i32>>;

/// A batch under way.
struct Encoding {
    target: Arc<Target>,
    file: FileConfig,
    chunks: Chunks,
    /// Rows that wait to be sorted.
    pile: Pile,
    /// Where in `partitions` each of them belongs.
    places: Vec<u32>,
    partitions: Vec<Partition>,
    done: Vec<DataFile>,
    /// Every file that was begun.
    paths: Vec<String>,
    range: (Position, Position),
    layout: Option<Read>,
    /// Taken when the batch is whole.
    letters: Option<LetterWriter>,
}

/// How rows of the log are read.
struct Read {
    schema: Arc<[u8]>,
    layout: Layout,
    /// Where their columns go; `None` if they have to be brought to the table's schema first.
    places: Option<Places>,
}

/// A partition, its rows that wait, and its open file.
struct Partition {
    key: Key,
    rows: usize,
    upload: Option<Upload>,
}

impl Encoding {
    fn new(
        target: Arc<Target>,
        file: FileConfig,
        letters: LetterWriter,
        range: (Position, Position),
    ) -> std::io::Result<Encoding> {
        Ok(Encoding {
            pile: Pile::new(target.table, &target.rows),
            target,
            file,
            chunks: Chunks::new()?,
            places: Vec::new(),
            partitions: Vec::new(),
            done: Vec::new(),
            paths: Vec::new(),
            range,
            layout: None,
            letters: Some(letters),
        })
    }

    async fn run(&mut self, rows: Reader, batch: &Batch) -> Result<Files, EncodeFailure> {
        let (mut to, mut read, mut count) = (batch.above, 0, 0);
        let mut cut = batch.to;
        for held in rows {
            let held = held.map_err(|error| unreadable(&error))?;
            let (rows, partitions) = (self.pile.rows(), self.partitions.len());
            let unfit = self.append(&held)?;
            let full = self.partitions.len() > MAX_PARTITIONS || read >= batch.max_bytes;
            if full && to > batch.above && held.position > to {
                self.pile.truncate(rows);
                self.places.truncate(rows);
                self.partitions.truncate(partitions);
                cut = to;
                break;
            }
            if let (Some(Unfit { rows, bytes, reason }), Some(letters)) = (unfit, &mut self.letters) {
                let letter = Letter { position: held.position, rows, reason, schema: Arc::clone(&held.schema), bytes };
                letters.push(&letter).map_err(|error| unkept(&error))?;
            }
            to = held.position;
            read += held.bytes.len() as u64;
            count += (self.pile.rows() - rows) as u64;
            self.places[rows..].iter().for_each(|place| self.partitions[*place as usize].rows += 1);
            let fullest = self.partitions.iter().map(|partition| partition.rows).max().unwrap_or_default();
            if fullest >= self.file.row_group_rows.get() || self.pile.bytes() >= PILE_BYTES {
                self.write(self.pile.rows() / 2).await?;
            }
        }
        self.write(0).await?;
        for place in 0..self.partitions.len() {
            self.close(place).await?;
        }
        let data: Arc<[DataFile]> = std::mem::take(&mut self.done).into();
        let bytes = data.iter().map(DataFile::file_size_in_bytes).sum();
        // Last: what fails before it leaves no letters behind.
        let letters = self.letters.take().map_or(Ok(None), LetterWriter::finish).map_err(|error| unkept(&error))?;
        if letters.is_some() {
            faults::pass(Point::AfterDeadLetter);
        }
        Ok(Files { shape: self.target.shape, above: batch.above, to: cut, rows: count, bytes, data, letters })
    }

    /// Appends rows of the log to the pile, all but those that will never fit, and finds their partitions.
    fn append(&mut self, held: &ReadBatch) -> Result<Option<Unfit>, EncodeFailure> {
        let lasting = |error: &dyn std::fmt::Display| EncodeFailure::Lasting(format!("position {}: {error}", held.position.0));
        let read = match &mut self.layout {
            Some(read) if *read.schema == *held.schema => read,
            stale => {
                let layout = Layout::parse(&held.schema).map_err(|error| lasting(&error))?;
                let places = Pile::places(&layout, &self.target.rows);
                stale.insert(Read { schema: Arc::clone(&held.schema), layout, places })
            }
        };
        if read.layout.table() != self.target.table {
            return Err(lasting(&format_args!("rows of table {}", read.layout.table().name())));
        }
        let appended = match &read.places {
            Some(places) => self.pile.append(&read.layout, places, &held.bytes).map(|()| None),
            None => self.pile.append_fitting(&read.layout, &self.target.rows, &held.bytes),
        };
        let unfit = appended
            .unwrap_or_else(|error| Some(Unfit { rows: held.rows, bytes: held.bytes.clone(), reason: error.to_string() }));
        self.place();
        Ok(unfit)
    }

    /// Finds the partitions of the rows that have none yet.
    fn place(&mut self) {
        let columns: Vec<&Piled> = self.target.partition.iter().filter_map(|(_, index)| self.pile.column(*index)).collect();
        let mut last = 0;
        for row in (0..).take(self.pile.rows()).skip(self.places.len()) {
            let is_in =
                |partition: &Partition| columns.iter().zip(&partition.key).all(|(column, value)| number(column, row) == *value);
            if !self.partitions.get(last).is_some_and(is_in) {
                last = self.partitions.iter().position(is_in).unwrap_or_else(|| {
                    let key = columns.iter().map(|column| number(column, row)).collect();
                    self.partitions.push(Partition { key, rows: 0, upload: None });
                    self.partitions.len() - 1
                });
            }
            // There are no more partitions than rows.
            self.places.push(u32::try_from(last).unwrap_or(u32::MAX));
        }
    }

    /// Sorts and writes what waits, the fullest partitions first, until no more than `left` rows wait.
    async fn write(&mut self, left: usize) -> Result<(), EncodeFailure> {
        let mut rows: Vec<Vec<u32>> = self.partitions.iter().map(|partition| Vec::with_capacity(partition.rows)).collect();
        for (row, place) in (0..).zip(&self.places) {
            rows[*place as usize].push(row);
        }
        let mut order: Vec<usize> = (0..self.partitions.len()).filter(|place| !rows[*place].is_empty()).collect();
        order.sort_by_key(|place| std::cmp::Reverse(rows[*place].len()));
        if faults::is(Naive::OnePartitionOnly) {
            order.truncate(1);
        }
        let sorter = Sorter::new(self.target.table, &self.pile);
        let mut files: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut waiting = self.pile.rows();
        for place in order {
            if waiting <= left {
                break;
            }
            waiting -= rows[place].len();
            files.push((place, sorter.sort(&std::mem::take(&mut rows[place]))));
        }
        for (place, rows) in &files {
            self.write_partition(*place, rows).await?;
        }
        let keep: Vec<u32> =
            (0..).zip(&self.places).filter(|(_, place)| !rows[**place as usize].is_empty()).map(|(row, _)| row).collect();
        self.places = keep.iter().map(|row| self.places[*row as usize]).collect();
        self.pile.keep(&keep);
        Ok(())
    }

    /// Appends sorted rows to the file of their partition.
    async fn write_partition(&mut self, place: usize, rows: &[u32]) -> Result<(), EncodeFailure> {
        let target = Arc::clone(&self.target);
        let name = self.name(place);
        let Some(partition) = self.partitions.get_mut(place) else { return Ok(()) };
        partition.rows = 0;
        let upload = match &mut partition.upload {
            Some(upload) => upload,
            none => {
                let path = format!("{}/{}{name}.parquet", target.location, directory(&target, &partition.key));
                self.paths.push(path.clone());
                none.insert(Upload::create(&target, path).await.map_err(|error| refused(&error))?)
            }
        };
        let groups = rows.chunks(self.file.row_group_rows.get());
        upload.append(&target, &mut self.chunks, &self.pile, groups).await.map_err(|error| refused(&error))?;
        faults::pass(Point::DuringUpload);
        if upload.bytes() >= self.file.target_bytes.bytes() { self.close(place).await } else { Ok(()) }
    }

    /// Rule 11: never the same twice.
    fn name(&self, place: usize) -> String {
        if faults::is(Naive::NamesFromRange) {
            let key = self.partitions[place].key.iter().flatten().sum::<i32>();
            return format!("{}-{}-{key}", self.range.0.0, self.range.1.0);
        }
        Uuid::new_v4().to_string()
    }

    /// Ends the open file of a partition.
    async fn close(&mut self, place: usize) -> Result<(), EncodeFailure> {
        let Some(partition) = self.partitions.get_mut(place) else { return Ok(()) };
        if let Some(upload) = partition.upload.take() {
            let file = upload.finish(&self.target, literals(&self.target, &partition.key)).await;
            self.done.push(file.map_err(|error| refused(&error))?);
        }
        Ok(())
    }
}

/// A value that a partition can have.
fn number(column: &Piled, row: u32) -> Option<i32> {
    match column.values() {
        Values::Ints(values) if column.is_present(row) => values.get(row as usize).copied(),
        _ => None,
    }
}

fn is_date(target: &Target, index: usize) -> bool {
    target.table.columns()[index].kind == ColumnType::Date
}

fn literals(target: &Target, key: &Key) -> Struct {
    let literal = |((_, index), value): (&(String, usize), &Option<i32>)| {
        value.map(|value| if is_date(target, *index) { Literal::date(value) } else { Literal::int(value) })
    };
    target.partition.iter().zip(key).map(literal).collect()
}

/// `date=2026-11-24/hour=07/`, with `null` for no value.
fn directory(target: &Target, key: &Key) -> String {
    let level = |((name, index), value): (&(String, usize), &Option<i32>)| match value {
        None => format!("{name}=null/"),
        Some(days) if is_date(target, *index) => format!("{name}={}/", iceberg::spec::Datum::date(*days)),
        Some(number) => format!("{name}={number:02}/"),
    };
    target.partition.iter().zip(key).map(level).collect()
}

/// The log's disk may recover; a damaged segment is set aside at the next start.
fn unreadable(error: &ReadError) -> EncodeFailure {
    match error {
        ReadError::Disk { .. } => EncodeFailure::Passing(error.to_string()),
        ReadError::Damaged { .. } => EncodeFailure::Lasting(error.to_string()),
    }
}

/// Infrastructure never dead-letters: the batch is tried again.
fn unkept(error: &std::io::Error) -> EncodeFailure {
    EncodeFailure::Passing(format!("rows that do not fit could not be set aside: {error}"))
}

fn refused(error: &iceberg::Error) -> EncodeFailure {
    if denied(error) { EncodeFailure::Denied(brief(error)) } else { EncodeFailure::Passing(brief(error)) }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("table", &self.target.table).field("batch", &self.batch).finish_non_exhaustive()
    }
}
