//! The seam to the catalog: looking at a table, and sending a commit that asserts exactly what was looked at.
//!
//! | file | what it holds |
//! |---|---|
//! | `columns` | adding the columns that the configuration adds to a table that lacks them |
//! | `pinned` | the version that was looked at, posing as a catalog |
//! | `sql` | the catalog in an SQLite file |
//!
//! The library's own `Transaction::commit` loads the table again, rebases on whatever head it finds, and repeats after a conflict. Handed
//! a `Pinned` catalog it cannot: that one answers "load" with the table that was looked at, and takes a commit once.

mod columns;
mod pinned;
pub(super) mod sql;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use iceberg::spec::TableMetadata;
use iceberg::table::Table as IcebergTable;
use iceberg::transaction::{ApplyTransactionAction as _, Transaction};
use iceberg::{Catalog as IcebergCatalog, Error, ErrorKind, NamespaceIdent, TableIdent};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::committer::{Answer, Attempt, CatalogError, Look, Mark};
use super::config::{CatalogKind, IcebergConfig};
use super::schema::{self, Target};
use crate::faults::{self, Naive};
use crate::tables::Table;
use crate::wal::Position;
use pinned::Pinned;

/// Longer than a catalog takes by its own time-outs; after it nobody knows.
const LOOK_TIMEOUT: Duration = Duration::from_mins(1);
const SEND_TIMEOUT: Duration = Duration::from_secs(90);

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
    /// For loading and creating; never for committing.
    fn catalog(&self) -> &dyn IcebergCatalog;

    /// Makes `location` the table's metadata if it is still at the one that was looked at; false if it is not. After an error nobody knows.
    async fn swap(&self, table: &TableIdent, from: &str, to: &str) -> Result<bool, Error>;
}

/// Connects when it is first needed, and again until it works.
#[derive(Debug)]
pub(super) struct Connector {
    config: IcebergConfig,
    connection: OnceCell<Arc<dyn Connection>>,
    /// Held while a namespace and a table are made.
    creating: tokio::sync::Mutex<()>,
}

impl Connector {
    pub(super) fn new(config: IcebergConfig) -> Connector {
        Connector { config, connection: OnceCell::new(), creating: tokio::sync::Mutex::new(()) }
    }

    async fn get(&self) -> Result<Arc<dyn Connection>, CatalogError> {
        let connect = || async {
            match self.config.catalog.kind {
                CatalogKind::Sql => sql::connect(&self.config.catalog).await,
            }
        };
        self.connection.get_or_try_init(connect).await.cloned()
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
        }
    }

    /// How rows are written into the table, as it was last looked at.
    pub(super) fn target(&self) -> Option<Arc<Target>> {
        self.looked().map(|looked| looked.target)
    }

    fn looked(&self) -> Option<Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load(&self) -> Result<IcebergTable, CatalogError> {
        let connection = self.connector.get().await?;
        let catalog = connection.catalog();
        match catalog.load_table(&self.ident).await {
            Err(error) if is_missing(&error) && self.looked().is_some() => Err(CatalogError::Missing),
            Err(error) if is_missing(&error) => {
                self.create(catalog).await.map_err(|error| unreachable(&error))?;
                // Loaded again, because a catalog may say "created" too early.
                catalog.load_table(&self.ident).await.map_err(|error| unreachable(&error))
            }
            loaded => loaded.map_err(|error| unreachable(&error)),
        }
    }

    async fn create(&self, catalog: &dyn IcebergCatalog) -> Result<(), Error> {
        // The tables of one exporter start at once; a catalog may take two creators of one namespace amiss.
        let _one = self.connector.creating.lock().await;
        let namespace = self.ident.namespace();
        for level in 1..=namespace.len() {
            let namespace = NamespaceIdent::from_vec(namespace[..level].to_vec())?;
            if !catalog.namespace_exists(&namespace).await? {
                unless_there(catalog.create_namespace(&namespace, HashMap::new()).await)?;
            }
        }
        unless_there(catalog.create_table(namespace, schema::creation(self.table, &self.rows)?).await)
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
        let reloaded =
            if faults::is(Naive::RebaseAtCommit) { connection.catalog().load_table(&self.ident).await.ok() } else { None };
        let base = reloaded.as_ref().unwrap_or(&looked.table);
        let pinned = Pinned { looked: base, connection: connection.as_ref() };
        let committed = match self.transaction(base, attempt) {
            Ok(transaction) => transaction.commit(&pinned).await,
            Err(error) => Err(error),
        };
        match committed {
            // What came back is what was sent. What the catalog holds is another question.
            Ok(_) => match connection.catalog().load_table(&self.ident).await {
                Ok(table) => Answer::Committed(watermark(table.metadata(), self.writer)),
                Err(error) => Answer::Unknown(brief(&error)),
            },
            Err(error) => match error.kind() {
                ErrorKind::CatalogCommitConflicts => Answer::Conflict,
                ErrorKind::FeatureUnsupported => Answer::Refused(brief(&error)),
                _ => Answer::Unknown(brief(&error)),
            },
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
        let timed_out = |_| CatalogError::Unreachable(format!("no answer within {} s", LOOK_TIMEOUT.as_secs()));
        let table = tokio::time::timeout(LOOK_TIMEOUT, self.load_widened()).await.map_err(timed_out)??;
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
        tokio::time::timeout(SEND_TIMEOUT, self.commit(&looked, attempt)).await.unwrap_or_else(timed_out)
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

fn namespace(config: &IcebergConfig) -> NamespaceIdent {
    let levels = config.namespace.levels().to_vec();
    let whole = NamespaceIdent::new(config.namespace.to_string());
    NamespaceIdent::from_vec(levels).unwrap_or(whole)
}

fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::NamespaceNotFound)
}

fn unless_there<T>(created: Result<T, Error>) -> Result<(), Error> {
    match created {
        Err(error) if !matches!(error.kind(), ErrorKind::TableAlreadyExists | ErrorKind::NamespaceAlreadyExists) => Err(error),
        _ => Ok(()),
    }
}

fn unreachable(error: &Error) -> CatalogError {
    CatalogError::Unreachable(brief(error))
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
    let connection = match config.catalog.kind {
        CatalogKind::Sql => sql::connect_existing(&config.catalog).await?,
    };
    let mut tables = Vec::new();
    for table in Table::ALL {
        let ident = TableIdent::new(namespace(config), table.name().to_owned());
        match connection.catalog().load_table(&ident).await {
            Ok(table) => tables.push(info(&table)),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(unreachable(&error)),
        }
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
