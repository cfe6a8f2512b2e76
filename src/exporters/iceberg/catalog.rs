//! The seam to the catalog: looking at a table, and sending a commit that asserts exactly what was looked at.
//!
//! | file | what it holds |
//! |---|---|
//! | `columns` | adding the columns that the configuration adds to a table that lacks them |
//! | `pinned` | a commit as requirements and updates, built on the version that was looked at |
//! | `sql` | the catalog in an SQLite file |
//! | `rest` | a catalog that speaks the Iceberg REST protocol |
//!
//! The library's own `Transaction::commit` loads the table again, rebases on whatever head it finds, and repeats after a conflict. Handed
//! a pinned version it cannot: that one answers "load" with the table that was looked at, and keeps the commit. A [`Connection`] then asks
//! for it, once.

mod columns;
mod pinned;
mod rest;
pub(super) mod sql;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{TableMetadata, TableMetadataRef};
use iceberg::table::Table as IcebergTable;
use iceberg::transaction::{ApplyTransactionAction as _, Transaction};
use iceberg::{Error, ErrorKind, NamespaceIdent, TableCreation, TableIdent};
use uuid::Uuid;

use super::cause::{Cause, Said};
use super::committer::{Answer, Attempt, CatalogError, Look, Mark};
use super::config::{CatalogConfig, IcebergConfig};
use super::schema::{self, Target};
use super::storage;
use crate::faults::{self, Naive};
use crate::tables::Table;
use crate::wal::Position;
use pinned::Change;
pub(super) use rest::keys_of_token;

/// Longer than a catalog takes by its own time-outs; after it nobody knows.
const LOOK_TIMEOUT: Duration = Duration::from_mins(1);
const SEND_TIMEOUT: Duration = Duration::from_secs(90);
/// After so many failed looks floe connects anew.
const FAILURES: u32 = 3;

/// One table of one catalog, as the committer's driver needs it.
#[async_trait]
pub(super) trait Catalog: Send + Sync {
    /// Loads the table once; creates it if it was never seen.
    async fn look(&self) -> Result<Look, CatalogError>;

    /// Sends a commit built on the last look.
    async fn send(&self, attempt: &Attempt) -> Answer;
}

/// A catalog that answers.
#[async_trait]
pub(super) trait Connection: Send + Sync + fmt::Debug {
    /// The newest version of a table, with storage whose keys are fresh; `None` where there is no such table.
    async fn load(&self, table: &TableIdent) -> Result<Option<IcebergTable>, CatalogError>;

    /// Makes a table and the namespaces above it. One that is there already is as good.
    async fn create(&self, table: &TableIdent, creation: TableCreation) -> Result<(), CatalogError>;

    /// Asks once for a change of the version that was looked at, and gives the version that the catalog then holds; else its answer.
    async fn commit(&self, looked: &IcebergTable, change: Change) -> Result<TableMetadataRef, Answer>;

    /// Seconds by which the catalog's clock was ahead of ours when it last answered.
    fn clock_ahead(&self) -> i64 {
        0
    }

    /// Storage for a location that no table has yet, where the catalog names one.
    fn warehouse(&self) -> Option<(String, FileIO)>;
}

/// A connection that may create what is missing.
pub(super) async fn connect(config: &IcebergConfig) -> Result<Arc<dyn Connection>, CatalogError> {
    match &config.catalog {
        CatalogConfig::Sql(sql) => sql::connect(sql).await,
        CatalogConfig::Rest(_) | CatalogConfig::R2(_) => rest::connect(config).await,
    }
}

/// A connection for reading what is there.
pub(super) async fn connect_existing(config: &IcebergConfig) -> Result<Arc<dyn Connection>, CatalogError> {
    match &config.catalog {
        CatalogConfig::Sql(sql) => sql::connect_existing(sql).await,
        CatalogConfig::Rest(_) | CatalogConfig::R2(_) => rest::connect(config).await,
    }
}

/// Connects when it is first needed, and again until it works; and anew after failures, because certificates, and keys that the catalog hands
/// out when floe connects, may be others now.
#[derive(Debug)]
pub(super) struct Connector {
    config: IcebergConfig,
    connection: tokio::sync::Mutex<Option<Arc<dyn Connection>>>,
    /// Looks without success since the last one with.
    failed: AtomicU32,
    /// Held while a namespace and a table are made.
    creating: tokio::sync::Mutex<()>,
}

impl Connector {
    pub(super) fn new(config: IcebergConfig) -> Connector {
        Connector {
            config,
            connection: tokio::sync::Mutex::default(),
            failed: AtomicU32::new(0),
            creating: tokio::sync::Mutex::default(),
        }
    }

    async fn get(&self) -> Result<Arc<dyn Connection>, CatalogError> {
        let mut connection = self.connection.lock().await;
        match &*connection {
            Some(connection) => Ok(Arc::clone(connection)),
            None => Ok(Arc::clone(connection.insert(connect(&self.config).await?))),
        }
    }

    /// What became of a look, by any of the tables.
    fn met<T>(&self, outcome: &Result<T, CatalogError>) {
        match outcome {
            Ok(_) => self.failed.store(0, Ordering::Relaxed),
            Err(CatalogError::Denied(_)) => self.renew(),
            Err(CatalogError::Unreachable(_)) if self.failed.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES => self.renew(),
            Err(_) => {}
        }
    }

    /// The next request connects anew. An SQLite file stays open: there is nothing about it that is handed out.
    fn renew(&self) {
        // Where somebody has it, somebody is connecting.
        if self.config.catalog.is_shared()
            && let Ok(mut connection) = self.connection.try_lock()
        {
            *connection = None;
            self.failed.store(0, Ordering::Relaxed);
        }
    }
}

/// One of the four tables in a catalog.
pub(super) struct TableCatalog {
    connector: Arc<Connector>,
    table: Table,
    /// Of the rows that come in, with what is added.
    rows: SchemaRef,
    ident: TableIdent,
    writer: Uuid,
    looked: Mutex<Option<Looked>>,
    /// The table whose metadata was seen in the storage.
    stored: Mutex<Option<Uuid>>,
}

/// The version of the table that the next commit is built on.
#[derive(Clone)]
struct Looked {
    table: IcebergTable,
    target: Arc<Target>,
}

/// The property that holds a log's watermark.
pub(super) fn watermark_property(writer: Uuid) -> String {
    format!("floe.watermark.{writer}")
}

impl TableCatalog {
    pub(super) fn new(connector: Arc<Connector>, table: Table, rows: &SchemaRef, writer: Uuid) -> TableCatalog {
        let namespace = namespace(&connector.config);
        TableCatalog {
            ident: TableIdent::new(namespace, table.name().to_owned()),
            connector,
            table,
            rows: Arc::clone(rows),
            writer,
            looked: Mutex::new(None),
            stored: Mutex::new(None),
        }
    }

    /// How rows are written into the table, as it was last looked at.
    pub(super) fn target(&self) -> Option<Arc<Target>> {
        self.looked().map(|looked| looked.target)
    }

    /// The storage has refused its keys: the next look connects anew.
    pub(super) fn renew(&self) {
        self.connector.renew();
    }

    fn looked(&self) -> Option<Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load(&self) -> Result<IcebergTable, CatalogError> {
        let connection = self.connector.get().await?;
        if let Some(table) = connection.load(&self.ident).await? {
            return self.stored(table).await;
        }
        if self.looked().is_some() {
            return Err(CatalogError::Missing);
        }
        let creation = schema::creation(self.table, &self.rows).map_err(|error| CatalogError::Incompatible(brief(&error)))?;
        {
            // The tables of one exporter start at once; a catalog may take two creators of one namespace amiss.
            let _one = self.connector.creating.lock().await;
            connection.create(&self.ident, creation).await?;
        }
        // Loaded again, because a catalog may say "created" too early.
        match connection.load(&self.ident).await? {
            Some(created) => self.stored(created).await,
            None => Err(CatalogError::Unreachable("the catalog made the table and does not have it".into())),
        }
    }

    /// The same table, once its metadata was seen in the storage: files that went elsewhere would be committed, and lost to every reader.
    async fn stored(&self, table: IcebergTable) -> Result<IcebergTable, CatalogError> {
        let seen = || self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let uuid = table.metadata().uuid();
        if *seen() == Some(uuid) {
            return Ok(table);
        }
        if let Err(error) = one_store(&table).await {
            // The metadata of a version that was overtaken since may be removed.
            let newer = self.connector.get().await?.load(&self.ident).await?;
            match newer.filter(|newer| newer.metadata_location() != table.metadata_location()) {
                Some(newer) => {
                    one_store(&newer).await?;
                    return Ok(newer);
                }
                None => return Err(error),
            }
        }
        *seen() = Some(uuid);
        Ok(table)
    }

    fn read(&self, metadata: &TableMetadata, target: &Target) -> Look {
        let mut chain = Vec::new();
        let mut next = metadata.current_snapshot();
        let mut mark = None;
        let mut whole = true;
        while let Some(snapshot) = next {
            chain.push(snapshot.snapshot_id());
            mark = mark.or_else(|| self.mark(&snapshot.summary().additional_properties));
            next = snapshot.parent_snapshot_id().and_then(|parent| metadata.snapshot_by_id(parent));
            whole = next.is_some() || snapshot.parent_snapshot_id().is_none();
        }
        let head = metadata.current_snapshot().and_then(|head| self.mark(&head.summary().additional_properties));
        let look = Look {
            shape: target.shape,
            head: metadata.current_snapshot_id(),
            sequence: metadata.last_sequence_number(),
            watermark: watermark(metadata, self.writer),
            mark,
            chain,
            whole,
        };
        look.sabotaged(head)
    }

    /// The mark in the summary of a snapshot of ours.
    fn mark(&self, summary: &HashMap<String, String>) -> Option<Mark> {
        let ours = summary.get("floe.writer").is_some_and(|writer| *writer == self.writer.to_string());
        let position = summary.get("floe.last").filter(|_| ours)?.parse().ok()?;
        let commit = summary.get("floe.commit-id")?.parse().ok()?;
        Some(Mark { position: Position(position), commit })
    }

    async fn commit(&self, looked: &Looked, attempt: &Attempt) -> Answer {
        let connection = match self.connector.get().await {
            Ok(connection) => connection,
            Err(error) => return Answer::Unknown(error.to_string()),
        };
        let reloaded = if faults::is(Naive::RebaseAtCommit) { connection.load(&self.ident).await.ok().flatten() } else { None };
        let base = reloaded.as_ref().unwrap_or(&looked.table);
        let change = match self.transaction(base, attempt) {
            Ok(transaction) => Change::of(transaction, base).await,
            Err(error) => Err(error),
        };
        let change = match change {
            Ok(change) => change,
            Err(error) if storage::denied(&error) => return Answer::Denied(brief(&error)),
            Err(error) if error.kind() == ErrorKind::FeatureUnsupported => return Answer::Refused(brief(&error)),
            Err(error) => return Answer::Unknown(brief(&error)),
        };
        match connection.commit(base, change).await {
            Ok(metadata) => Answer::Committed(watermark(&metadata, self.writer)),
            Err(answer) => answer,
        }
    }

    /// Files, mark and watermark in one request.
    fn transaction(&self, table: &IcebergTable, attempt: &Attempt) -> Result<Transaction, Error> {
        let intent = &attempt.intent;
        let summary = HashMap::from([
            ("floe.writer".to_owned(), self.writer.to_string()),
            ("floe.first".to_owned(), (intent.above.0 + 1).to_string()),
            ("floe.last".to_owned(), intent.to.0.to_string()),
            ("floe.commit-id".to_owned(), intent.commit.to_string()),
        ]);
        let files = attempt.files.iter().flat_map(|files| files.data.iter().cloned());
        let transaction = Transaction::new(table);
        let append = transaction
            .fast_append()
            .with_check_duplicate(false)
            .set_commit_uuid(intent.commit)
            .set_snapshot_properties(summary)
            .add_data_files(files);
        let transaction = append.apply(transaction)?;
        let value = format!("{}:{}", intent.to.0, intent.commit);
        transaction.update_table_properties().set(watermark_property(self.writer), value).apply(transaction)
    }
}

#[async_trait]
impl Catalog for TableCatalog {
    async fn look(&self) -> Result<Look, CatalogError> {
        let timed_out = |_| CatalogError::Unreachable(format!("no answer within {} s", LOOK_TIMEOUT.as_secs()).into());
        let table = tokio::time::timeout(LOOK_TIMEOUT, self.load_widened()).await.map_err(timed_out).flatten();
        self.connector.met(&table);
        let table = table?;
        let target = Target::of(self.table, &self.rows, table.metadata(), table.file_io()).map_err(CatalogError::Incompatible)?;
        let look = self.read(table.metadata(), &target);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Looked { table, target: Arc::new(target) });
        Ok(look)
    }

    async fn send(&self, attempt: &Attempt) -> Answer {
        let pinned = |looked: &Looked| {
            let metadata = looked.table.metadata();
            metadata.current_snapshot_id() == attempt.intent.parent && metadata.uuid() == attempt.intent.table
        };
        let Some(looked) = self.looked().filter(pinned) else {
            return Answer::Unknown("the version that the commit was built on is not at hand".to_owned());
        };
        let timed_out = |_| Answer::Unknown(format!("no answer within {} s", SEND_TIMEOUT.as_secs()));
        let answer = tokio::time::timeout(SEND_TIMEOUT, self.commit(&looked, attempt)).await.unwrap_or_else(timed_out);
        if let Answer::Denied(_) = answer {
            self.connector.renew();
        }
        answer
    }
}

/// Whether the storage, as it is configured, is the one that the catalog writes metadata to.
pub(super) async fn one_store(table: &IcebergTable) -> Result<(), CatalogError> {
    // Nessie may name metadata by an address of its own.
    let scheme = |location: &str| location.split_once("://").map(|(scheme, _)| scheme.to_owned());
    let location = table.metadata_location().filter(|location| scheme(location) == scheme(table.metadata().location()));
    let Some(location) = location else { return Ok(()) };
    match table.file_io().exists(location).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(CatalogError::OtherStore(location.to_owned())),
        Err(error) if storage::denied(&error) => Err(CatalogError::Denied(Said::new(brief(&error), Cause::of(&error)))),
        Err(error) => Err(unreachable(&error)),
    }
}

/// The watermark of a log in a version of a table.
pub(super) fn watermark(metadata: &TableMetadata, writer: Uuid) -> Option<Mark> {
    parse_watermark(metadata.properties().get(&watermark_property(writer))?)
}

fn parse_watermark(value: &str) -> Option<Mark> {
    let (position, commit) = value.split_once(':')?;
    Some(Mark { position: Position(position.parse().ok()?), commit: commit.parse().ok()? })
}

pub(super) fn namespace(config: &IcebergConfig) -> NamespaceIdent {
    let levels = config.namespace.levels().to_vec();
    let whole = NamespaceIdent::new(config.namespace.to_string());
    NamespaceIdent::from_vec(levels).unwrap_or(whole)
}

fn unreachable(error: &Error) -> CatalogError {
    CatalogError::Unreachable(Said::new(brief(error), Cause::of(error)))
}

/// The library's message in one line, with its source.
pub(super) fn brief(error: &Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What one table holds, by its metadata alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// `<namespace>.<table>`.
    pub name: String,
    pub rows: u64,
    pub files: u64,
    /// Bytes of the data files.
    pub bytes: u64,
    pub snapshot: Option<i64>,
    /// Per log: its writer id and the position up to which its rows are in the table.
    pub watermarks: Vec<(Uuid, Position)>,
    pub metadata_location: String,
    /// Name and Iceberg type, in the order of the schema.
    pub columns: Vec<(String, String)>,
}

/// The tables that exist, in the order of [`Table::ALL`].
pub(super) async fn describe(config: &IcebergConfig) -> Result<Vec<TableInfo>, CatalogError> {
    let connection = connect_existing(config).await?;
    let mut tables = Vec::new();
    for table in Table::ALL {
        let ident = TableIdent::new(namespace(config), table.name().to_owned());
        tables.extend(connection.load(&ident).await?.as_ref().map(info));
    }
    Ok(tables)
}

fn info(table: &IcebergTable) -> TableInfo {
    let metadata = table.metadata();
    let summary = metadata.current_snapshot().map(|snapshot| &snapshot.summary().additional_properties);
    let total = |key: &str| summary.and_then(|summary| summary.get(key)?.parse().ok()).unwrap_or(0);
    let mut watermarks: Vec<(Uuid, Position)> = metadata
        .properties()
        .iter()
        .filter_map(|(key, value)| {
            let writer = key.strip_prefix("floe.watermark.")?.parse().ok()?;
            Some((writer, parse_watermark(value)?.position))
        })
        .collect();
    watermarks.sort_unstable();
    let fields = metadata.current_schema().as_struct().fields();
    TableInfo {
        columns: fields.iter().map(|field| (field.name.clone(), field.field_type.to_string())).collect(),
        name: table.identifier().to_string(),
        rows: total("total-records"),
        files: total("total-data-files"),
        bytes: total("total-files-size"),
        snapshot: metadata.current_snapshot_id(),
        watermarks,
        metadata_location: table.metadata_location().unwrap_or_default().to_owned(),
    }
}
