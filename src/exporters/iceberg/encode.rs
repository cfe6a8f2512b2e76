//! Rows of a batch to data files: read from the log, grouped by partition, sorted by row group, written as Parquet.
//!
//! One thread encodes for all tables of an exporter. Memory is bounded: rows wait per partition until they make a row group, and the
//! fullest partition is written early when all together reach [`BUFFERED_BYTES`].
//!
//! Invariant: all rows of a position are in the files or its dead letters, or none; a batch that failed left no file behind that an attempt names.

mod sort;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::{DataType, TimeUnit};
use iceberg::spec::{DataFile, Literal, Struct};
use parquet::file::properties::WriterProperties;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::catalog::brief;
use super::committer::{Batch, EncodeFailure, Files};
use super::config::FileConfig;
use super::schema::Target;
use super::storage::denied;
use super::upload::{Upload, properties};
use crate::faults::{self, Naive, Point};
use crate::tables::ColumnType;
use crate::tables::layout::{Layout, Unfit};
use crate::wal::{Letter, LetterWriter, Position, ReadBatch, ReadError, Reader};

/// Bytes of rows, as the log counts them, that wait to be sorted.
const BUFFERED_BYTES: usize = 64 << 20;
/// Bytes of one partition after which they are sorted and written, however few rows they are.
const ROW_GROUP_BYTES: usize = 32 << 20;
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
    let mut encoding = Encoding::new(job.target, job.file, job.letters, (job.batch.above, job.batch.to));
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
    properties: WriterProperties,
    partitions: BTreeMap<Key, Partition>,
    buffered: usize,
    done: Vec<DataFile>,
    /// Every file that was begun.
    paths: Vec<String>,
    range: (Position, Position),
    layout: Option<(Arc<[u8]>, Layout)>,
    /// Taken when the batch is whole.
    letters: Option<LetterWriter>,
}

/// Rows of one partition that wait, and its open file.
#[derive(Default)]
struct Partition {
    waiting: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    upload: Option<Upload>,
}

impl Encoding {
    fn new(target: Arc<Target>, file: FileConfig, letters: LetterWriter, range: (Position, Position)) -> Encoding {
        let properties = properties(target.table, file.row_group_rows.get());
        Encoding {
            target,
            file,
            properties,
            partitions: BTreeMap::new(),
            buffered: 0,
            done: Vec::new(),
            paths: Vec::new(),
            range,
            layout: None,
            letters: Some(letters),
        }
    }

    async fn run(&mut self, rows: Reader, batch: &Batch) -> Result<Files, EncodeFailure> {
        let (mut to, mut read, mut count) = (batch.above, 0, 0);
        let mut cut = batch.to;
        for held in rows {
            let held = held.map_err(|error| unreadable(&error))?;
            let parts = self.split(&held)?;
            let new = parts.iter().filter(|(key, _)| !self.partitions.contains_key(key)).count();
            let full = self.partitions.len() + new > MAX_PARTITIONS || read >= batch.max_bytes;
            if full && to > batch.above && held.position > to {
                cut = to;
                break;
            }
            to = held.position;
            read += held.bytes.len() as u64;
            let rows = held.rows.max(1) as usize;
            for (key, part) in parts {
                count += part.num_rows() as u64;
                let bytes = held.bytes.len() * part.num_rows() / rows;
                self.push(key, part, bytes).await?;
            }
        }
        let keys: Vec<Key> = self.partitions.keys().cloned().collect();
        let keys = if faults::is(Naive::OnePartitionOnly) { keys.into_iter().take(1).collect() } else { keys };
        for key in keys {
            self.write(&key).await?;
            self.close(&key).await?;
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

    /// Decodes rows of the log, sorts out those that will never fit, and groups the others by partition.
    fn split(&mut self, held: &ReadBatch) -> Result<Vec<(Key, RecordBatch)>, EncodeFailure> {
        let lasting = |error: &dyn std::fmt::Display| EncodeFailure::Lasting(format!("position {}: {error}", held.position.0));
        let layout = match &mut self.layout {
            Some((schema, layout)) if **schema == *held.schema => layout,
            stale => {
                let layout = Layout::parse(&held.schema).map_err(|error| lasting(&error))?;
                &mut stale.insert((Arc::clone(&held.schema), layout)).1
            }
        };
        if layout.table() != self.target.table {
            return Err(lasting(&format_args!("rows of table {}", layout.table().name())));
        }
        let (batch, unfit) = match layout.divide(&held.bytes, &self.target.rows) {
            Ok(divided) => divided,
            Err(error) => {
                let unfit = Unfit { rows: held.rows, bytes: held.bytes.clone(), reason: error.to_string() };
                (RecordBatch::new_empty(Arc::clone(&self.target.rows)), Some(unfit))
            }
        };
        if let (Some(Unfit { rows, bytes, reason }), Some(letters)) = (unfit, &mut self.letters) {
            let letter = Letter { position: held.position, rows, reason, schema: Arc::clone(&held.schema), bytes };
            letters.push(&letter).map_err(|error| unkept(&error))?;
        }
        let keys: Vec<&dyn Array> = self.target.partition.iter().map(|(_, index)| batch.column(*index).as_ref()).collect();
        let key = |row: usize| -> Key { keys.iter().map(|column| value(*column, row)).collect() };
        let Some(first) = (batch.num_rows() > 0).then(|| key(0)) else { return Ok(Vec::new()) };
        if (1..batch.num_rows()).all(|row| keys.iter().zip(&first).all(|(column, first)| value(*column, row) == *first)) {
            return Ok(vec![(first, batch)]);
        }
        let mut rows: BTreeMap<Key, Vec<u32>> = BTreeMap::new();
        for (row, number) in (0..batch.num_rows()).zip(0u32..) {
            rows.entry(key(row)).or_default().push(number);
        }
        let take = |(key, rows): (Key, Vec<u32>)| {
            let taken = arrow_select::take::take_record_batch(&batch, &UInt32Array::from(rows));
            Ok((key, taken.map_err(|error| lasting(&error))?))
        };
        rows.into_iter().map(take).collect()
    }

    async fn push(&mut self, key: Key, rows: RecordBatch, bytes: usize) -> Result<(), EncodeFailure> {
        let partition = self.partitions.entry(key.clone()).or_default();
        partition.rows += rows.num_rows();
        partition.bytes += bytes;
        partition.waiting.push(rows);
        self.buffered += bytes;
        if partition.rows >= self.file.row_group_rows.get() || partition.bytes >= ROW_GROUP_BYTES {
            return self.write(&key).await;
        }
        if self.buffered < BUFFERED_BYTES {
            return Ok(());
        }
        let fullest = self.partitions.iter().max_by_key(|(_, partition)| partition.bytes).map(|(key, _)| key.clone());
        match fullest {
            Some(key) => self.write(&key).await,
            None => Ok(()),
        }
    }

    /// Sorts what waits in a partition and writes it.
    async fn write(&mut self, key: &Key) -> Result<(), EncodeFailure> {
        let target = Arc::clone(&self.target);
        let name = self.name(key);
        let Some(partition) = self.partitions.get_mut(key).filter(|partition| partition.rows > 0) else { return Ok(()) };
        let waiting = std::mem::take(&mut partition.waiting);
        self.buffered -= std::mem::take(&mut partition.bytes);
        partition.rows = 0;
        let sorted = sort::gather(target.table, &waiting).map_err(|error| EncodeFailure::Lasting(error.to_string()))?;
        drop(waiting);
        let rows = project(&target, &sorted).map_err(|error| EncodeFailure::Lasting(error.to_string()))?;
        let upload = match &mut partition.upload {
            Some(upload) => upload,
            none => {
                let path = format!("{}/{}{name}.parquet", target.location, directory(&target, key));
                self.paths.push(path.clone());
                let upload = Upload::create(&target, path, self.properties.clone()).await.map_err(|error| refused(&error))?;
                none.insert(upload)
            }
        };
        upload.append(&rows).await.map_err(|error| refused(&error))?;
        faults::pass(Point::DuringUpload);
        if upload.bytes() >= self.file.target_bytes.bytes() { self.close(key).await } else { Ok(()) }
    }

    /// Rule 11: never the same twice.
    fn name(&self, key: &Key) -> String {
        if faults::is(Naive::NamesFromRange) {
            return format!("{}-{}-{}", self.range.0.0, self.range.1.0, key.iter().flatten().sum::<i32>());
        }
        Uuid::new_v4().to_string()
    }

    /// Ends the open file of a partition.
    async fn close(&mut self, key: &Key) -> Result<(), EncodeFailure> {
        let upload = self.partitions.get_mut(key).and_then(|partition| partition.upload.take());
        if let Some(upload) = upload {
            let file = upload.finish(&self.target, literals(&self.target, key)).await.map_err(|error| refused(&error))?;
            self.done.push(file);
        }
        Ok(())
    }
}

fn value(column: &dyn Array, row: usize) -> Option<i32> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Date32 => Some(column.as_primitive::<Date32Type>().value(row)),
        DataType::Int32 => Some(column.as_primitive::<Int32Type>().value(row)),
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

/// Brings rows to the schema of the table as it is.
fn project(target: &Target, rows: &RecordBatch) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let column = |(source, field): (&Option<usize>, &Arc<arrow_schema::Field>)| -> ArrayRef {
        let Some(index) = source else { return new_null_array(field.data_type(), rows.num_rows()) };
        let column = rows.column(*index);
        match field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Arc::new(column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(zone.clone()))
            }
            _ => Arc::clone(column),
        }
    };
    let columns = target.sources.iter().zip(target.arrow.fields()).map(column).collect();
    RecordBatch::try_new(Arc::clone(&target.arrow), columns)
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
