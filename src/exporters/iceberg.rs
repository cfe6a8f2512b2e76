//! The Iceberg exporter: rows of the log to the four tables, each once, whatever is killed and whenever.
//!
//! | file | what it holds |
//! |---|---|
//! | [`config`] | the exporter's section of the configuration |
//! | [`cut`] | when held rows become a batch; pure |
//! | [`committer`] | look, encode, journal, send, record: what to do next; pure |
//! | [`interval`] | how often, and how long to wait after a failure; pure |
//! | `driver` | a task per table that does what the committer says |
//! | `encode` | rows to sorted row groups by partition |
//! | `upload` | one Parquet file, and what the manifest says of it |
//! | `schema` | the tables as Iceberg has them |
//! | `catalog` | looking at a table, and a commit pinned to what was seen |
//! | `together` | a table and the rows above its watermark, for readers; its decisions are pure |
//! | `storage` | the warehouse: local files, synced, or S3 |
//! | `cause` | what kind of thing went wrong, by kinds of errors; pure |
//! | [`check`] | what is wrong with a catalog and its storage, in plain words |
//!
//! Invariants:
//! - A commit adds its rows and advances the watermark in one request, pinned to the head that the watermark was read with.
//! - What cannot be committed stays in the log; nothing here drops a row.
//! - `iceberg::` stands in this room only.

mod catalog;
mod cause;
pub mod check;
pub mod committer;
pub mod config;
pub mod cut;
mod driver;
mod encode;
pub mod interval;
mod schema;
mod storage;
#[cfg(test)]
mod tests;
mod together;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use catalog::TableInfo;
pub use cause::{Cause, Said, Store};
pub use config::IcebergConfig;
pub use driver::{IcebergMetrics, LastCommit, TableState, TableStatus};
pub use together::Together;

use crate::tables::{Schemas, Table, layout};
use crate::wal::{Held, Stream, StreamId, Wal};
use catalog::{Connector, TableCatalog};
use committer::{CatalogError, Committer};
use cut::Cut;
use driver::{Driver, Flush, Shared};
use encode::Encoder;

/// Flushes of one table that wait for its task.
const FLUSHES: usize = 16;
/// Between two tries of a drain.
const DRAIN_PAUSE: Duration = Duration::from_millis(200);

/// What the exporter cannot do.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    #[error("the system gives no thread to encode Parquet on")]
    Thread(#[source] std::io::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the log cannot be read")]
    Log(#[source] std::io::Error),
    /// The rows are still in the log.
    #[error("{table} could not be flushed: {why}")]
    Flush { table: &'static str, why: String },
}

/// The four tables of one exporter, written in the background. Dropped without [`IcebergExporter::drain`] it ends what is under way.
#[derive(Debug)]
pub struct IcebergExporter {
    id: String,
    wal: Wal,
    tables: [Running; 4],
}

struct Running {
    flushes: mpsc::Sender<Flush>,
    held: watch::Receiver<Held>,
    shared: Arc<Shared>,
    stream: StreamId,
    /// For readers; the task has its own, which remembers the version that the next commit is built on.
    catalog: TableCatalog,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("stream", &self.stream).field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// What a drain left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Rows that stay in the log until the next start, by table, with the reason.
    pub left: Vec<(Table, u64, String)>,
}

impl IcebergExporter {
    /// The log's streams of the exporter `id`, one a table in the order of [`Table::ALL`]; what is appended to them is in these schemas.
    pub fn streams(id: &str, schemas: &Schemas) -> Vec<Stream> {
        let stream = |table: Table| {
            let schema = layout::schema_bytes(table, &schemas[table.index()]);
            Stream { name: format!("{id}:{}", table.name()), schema }
        };
        Table::ALL.map(stream).to_vec()
    }

    /// Starts a task per table. Waits for nothing: a catalog that cannot be reached is tried again in the background.
    ///
    /// # Errors
    /// Only when the system gives no thread.
    pub fn start(
        id: &str,
        config: &IcebergConfig,
        wal: &Wal,
        streams: [StreamId; 4],
        schemas: &Schemas,
    ) -> Result<IcebergExporter, ExporterError> {
        let encoder = Encoder::start().map_err(ExporterError::Thread)?;
        if config.catalog.sends_in_clear() {
            tracing::warn!(
                exporter = id,
                "the token of the catalog goes over the network unencrypted: use https:// in `catalog.uri`"
            );
        }
        let connector = Arc::new(Connector::new(config.clone()));
        let cut = Cut { max_age: config.commit.max_age.get(), max_bytes: config.commit.max_bytes.bytes() };
        let tables = Table::ALL.map(|table| {
            let stream = streams[table.index()];
            let shared = Arc::new(Shared::new(table));
            let driver = Driver {
                stream,
                wal: wal.clone(),
                catalog: TableCatalog::new(Arc::clone(&connector), table, &schemas[table.index()], wal.writer_id()),
                encoder: encoder.clone(),
                file: config.file,
                committer: Committer::new(cut, wal.recorded(stream), wal.intents(stream))
                    .knowing(wal.recorded_at_open().to_vec())
                    .moving_out_after(config.dead_letter.after.map(crate::config::Span::get)),
                orphan_grace: config.commit.orphan_grace.get(),
                shared: Arc::clone(&shared),
                name: format!("{id}:{}", table.name()),
            };
            let (flushes, wishes) = mpsc::channel(FLUSHES);
            let catalog = TableCatalog::new(Arc::clone(&connector), table, &schemas[table.index()], wal.writer_id());
            let task = tokio::spawn(driver.run(wishes));
            Running { flushes, held: wal.held(stream), shared, stream, catalog, task }
        });
        Ok(IcebergExporter { id: id.to_owned(), wal: wal.clone(), tables })
    }

    /// Cuts and commits everything that is held now; returns when it is in the tables.
    ///
    /// # Errors
    /// The first failure of a table; the others are flushed all the same, and the rows are still in the log.
    pub async fn flush(&self) -> Result<(), ExporterError> {
        let mut first = Ok(());
        for (table, outcome) in self.flush_each().await {
            if let (Err(why), Ok(())) = (outcome, &first) {
                first = Err(ExporterError::Flush { table: table.name(), why });
            }
        }
        first
    }

    /// Flushes until all is committed or the grace is over, then ends its tasks. What is left stays in the log.
    pub async fn drain(&self, grace: Duration) -> DrainReport {
        let mut last: Vec<(Table, String)> = Vec::new();
        let drained = tokio::time::timeout(grace, async {
            loop {
                let outcomes = self.flush_each().await;
                last = outcomes.into_iter().filter_map(|(table, outcome)| Some((table, outcome.err()?))).collect();
                if last.iter().all(|(table, _)| self.tables[table.index()].shared.status().state.is_final()) {
                    break;
                }
                tokio::time::sleep(DRAIN_PAUSE).await;
            }
        });
        let _ = drained.await;
        let mut left = Vec::new();
        for (table, running) in Table::ALL.into_iter().zip(&self.tables) {
            // A task in the middle of a commit may be ended: its intent is in the journal, and the next start looks.
            running.task.abort();
            let held = *running.held.borrow();
            if held.rows > 0 {
                let why = last
                    .iter()
                    .find(|(failed, _)| *failed == table)
                    .map(|(_, why)| why.clone())
                    .or_else(|| running.shared.status().last_error);
                left.push((table, held.rows, why.unwrap_or_else(|| "the grace period was too short".to_owned())));
            }
        }
        DrainReport { left }
    }

    /// Rule 23: one version of a table, and exactly the rows of the log that it does not have. Rows in another replica's log are not seen.
    ///
    /// # Errors
    /// When the log or the catalog cannot be read.
    pub async fn together(&self, table: Table) -> Result<Together, ExporterError> {
        let running = &self.tables[table.index()];
        together::read(&self.wal, running.stream, &running.catalog).await
    }

    /// As in the configuration, for example `iceberg/lake`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One entry a table, in the order of [`Table::ALL`].
    pub fn status(&self) -> Vec<TableStatus> {
        self.tables.iter().map(|running| TableStatus { held: *running.held.borrow(), ..running.shared.status() }).collect()
    }

    /// The same with the outcome of every table.
    pub async fn flush_each(&self) -> Vec<(Table, Result<(), String>)> {
        let mut answers = Vec::new();
        for (table, running) in Table::ALL.into_iter().zip(&self.tables) {
            let (reply, answer) = oneshot::channel();
            let asked = running.flushes.send(reply).await;
            answers.push((table, asked.map(|()| answer)));
        }
        let gone = || Err("its task has ended".to_owned());
        let mut outcomes = Vec::new();
        for (table, answer) in answers {
            let outcome = match answer {
                Ok(answer) => answer.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            };
            outcomes.push((table, outcome));
        }
        outcomes
    }
}

/// What the tables hold, by the catalog and their metadata alone; creates nothing.
///
/// # Errors
/// When there is no catalog yet, or it cannot be read.
pub async fn describe(config: &IcebergConfig) -> Result<Vec<TableInfo>, ExporterError> {
    Ok(catalog::describe(config).await?)
}
