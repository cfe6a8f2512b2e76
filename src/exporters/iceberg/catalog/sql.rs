//! The catalog in an SQLite file, in the layout of the Iceberg SQL catalogs: PyIceberg's `SqlCatalog("default", uri=…)` reads the same file.
//!
//! The library loads and creates tables. The commit is ours: the library's drops the error of the SQL commit, so that it may say
//! "committed" when the disk was full, and it loads the table again first.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use iceberg::io::{FileIO, FileIOBuilder};
use iceberg::spec::TableMetadataRef;
use iceberg::table::Table;
use iceberg::{Catalog as _, CatalogBuilder as _, Error, ErrorKind, MetadataLocation, NamespaceIdent, TableCreation, TableIdent};
use iceberg_catalog_sql::{SqlBindStyle, SqlCatalog, SqlCatalogBuilder};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Change, Connection, brief, unreachable};
use crate::exporters::iceberg::committer::{Answer, CatalogError};
use crate::exporters::iceberg::config::SqlCatalogConfig;
use crate::exporters::iceberg::storage::{SyncedStorage, make_directory};
use crate::faults::{self, Point};

/// The catalog's name within the file; PyIceberg's own default.
const NAME: &str = "default";
/// How long a statement waits for another writer of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// One connection a table.
const CONNECTIONS: u32 = 4;

const SWAP: &str = "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ? \
     WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?";

#[derive(Debug)]
struct Sql {
    catalog: SqlCatalog,
    pool: SqlitePool,
    warehouse: String,
}

/// Creates the file and the warehouse where they are missing.
pub(in crate::exporters::iceberg) async fn connect(config: &SqlCatalogConfig) -> Result<Arc<dyn Connection>, CatalogError> {
    let path = config.uri.path().map_err(|error| CatalogError::Unreachable(error.to_string().into()))?;
    let warehouse = config.warehouse.path().map_err(|error| CatalogError::Unreachable(error.to_string().into()))?;
    for directory in path.parent().into_iter().chain([warehouse.as_path()]) {
        let cannot = |error| CatalogError::Unreachable(format!("cannot create {}: {error}", directory.display()).into());
        make_directory(directory).map_err(cannot)?;
    }
    open(&path, &warehouse, true).await
}

/// For reading what is there.
pub(in crate::exporters::iceberg) async fn connect_existing(
    config: &SqlCatalogConfig,
) -> Result<Arc<dyn Connection>, CatalogError> {
    let path = config.uri.path().map_err(|error| CatalogError::Unreachable(error.to_string().into()))?;
    let warehouse = config.warehouse.path().map_err(|error| CatalogError::Unreachable(error.to_string().into()))?;
    if !path.is_file() {
        return Err(CatalogError::Unreachable(format!("there is no catalog at {} yet", path.display()).into()));
    }
    open(&path, &warehouse, false).await
}

async fn open(path: &Path, warehouse: &Path, create: bool) -> Result<Arc<dyn Connection>, CatalogError> {
    let cannot = |error: sqlx::Error| CatalogError::Unreachable(format!("cannot open {}: {error}", path.display()).into());
    // A commit is on the disk when it is answered: the log lets go of its rows then.
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full);
    if create {
        options = options.journal_mode(SqliteJournalMode::Wal);
    }
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await.map_err(cannot)?;
    let catalog = SqlCatalogBuilder::default()
        .uri(uri(path))
        .warehouse_location(format!("file://{}", warehouse.display()))
        .sql_bind_style(SqlBindStyle::QMark)
        .prop("pool.max-connections", CONNECTIONS.to_string())
        .with_storage_factory(Arc::new(SyncedStorage::default()))
        .load(NAME, HashMap::new())
        .await
        .map_err(|error| unreachable(&error))?;
    Ok(Arc::new(Sql { catalog, pool, warehouse: format!("file://{}", warehouse.display()) }))
}

/// A path as the SQL library wants it: percent-encoded.
fn uri(path: &Path) -> String {
    let mut uri = String::from("sqlite://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte => uri.extend(['%', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    uri + "?mode=rw"
}

/// A digit of `0` to `F`.
fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

#[async_trait]
impl Connection for Sql {
    async fn load(&self, table: &TableIdent) -> Result<Option<Table>, CatalogError> {
        match self.catalog.load_table(table).await {
            Ok(table) => Ok(Some(table)),
            Err(error) if matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::NamespaceNotFound) => Ok(None),
            Err(error) => Err(unreachable(&error)),
        }
    }

    async fn create(&self, table: &TableIdent, creation: TableCreation) -> Result<(), CatalogError> {
        self.make(table, creation).await.map_err(|error| unreachable(&error))
    }

    async fn commit(&self, looked: &Table, change: Change) -> Result<TableMetadataRef, Answer> {
        let applied = self.apply(looked, change).await;
        applied.map_err(|error| match error.kind() {
            ErrorKind::CatalogCommitConflicts => Answer::Conflict,
            ErrorKind::FeatureUnsupported => Answer::Refused(brief(&error)),
            _ => Answer::Unknown(brief(&error)),
        })?;
        // What was swapped in is what was sent. What the catalog holds is another question.
        match self.catalog.load_table(looked.identifier()).await {
            Ok(table) => Ok(table.metadata_ref()),
            Err(error) => Err(Answer::Unknown(brief(&error))),
        }
    }

    fn warehouse(&self) -> Option<(String, FileIO)> {
        Some((self.warehouse.clone(), FileIOBuilder::new(Arc::new(SyncedStorage::default())).build()))
    }
}

impl Sql {
    /// The library looks whether something is there and then inserts it; who is overtaken in between is told of a constraint of SQL's.
    async fn make(&self, table: &TableIdent, creation: TableCreation) -> Result<(), Error> {
        let namespace = table.namespace();
        for level in 1..=namespace.len() {
            let namespace = NamespaceIdent::from_vec(namespace[..level].to_vec())?;
            if !self.catalog.namespace_exists(&namespace).await?
                && let Err(error) = self.catalog.create_namespace(&namespace, HashMap::new()).await
                && !self.catalog.namespace_exists(&namespace).await?
            {
                return Err(error);
            }
        }
        match self.catalog.create_table(namespace, creation).await {
            Err(error) if !self.catalog.table_exists(table).await? => Err(error),
            _ => Ok(()),
        }
    }

    /// Applies a change to the version that was looked at, and swaps the result in.
    async fn apply(&self, looked: &Table, change: Change) -> Result<(), Error> {
        let metadata = looked.metadata();
        for requirement in change.requirements {
            requirement.check(Some(metadata))?;
        }
        let from = looked.metadata_location_result()?;
        let mut builder = metadata.clone().into_builder(Some(from.to_owned()));
        for update in change.updates {
            builder = update.apply(builder)?;
        }
        let metadata = builder.build()?.metadata;
        let location = from.parse::<MetadataLocation>()?.with_next_version().with_new_metadata(&metadata);
        metadata.write_to(looked.file_io(), &location).await?;
        faults::pass(Point::CommitSent);
        if self.swap(looked.identifier(), from, &location.to_string()).await? {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::CatalogCommitConflicts, "the table has another version by now"))
        }
    }

    /// Makes `to` the table's metadata if it is still at the one that was looked at; false if it is not. After an error nobody knows.
    async fn swap(&self, table: &TableIdent, from: &str, to: &str) -> Result<bool, Error> {
        let swapped = sqlx::query(SWAP)
            .bind(to)
            .bind(from)
            .bind(NAME)
            .bind(table.namespace().join("."))
            .bind(table.name())
            .bind(from)
            .execute(&self.pool)
            .await;
        match swapped {
            Ok(done) => Ok(done.rows_affected() > 0),
            Err(error) => Err(Error::new(ErrorKind::Unexpected, "the catalog's file cannot be written").with_source(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporters::iceberg::config::CatalogConfig;
    use crate::exporters::iceberg::schema;
    use crate::tables::Table as Kind;

    #[test]
    fn a_path_with_any_character_becomes_a_uri() {
        assert_eq!(uri(Path::new("/a b/c?#%é.db")), "sqlite:///a%20b/c%3F%23%25%C3%A9.db?mode=rw");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_eight_who_make_one_table_at_once_none_fails() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().display();
        let yaml = format!("{{ uri: \"sqlite://{at}/catalog.db\", warehouse: {at}/warehouse }}");
        let CatalogConfig::Sql(config) = serde_saphyr::from_str(&yaml).expect("parses") else { panic!("no sql") };
        let namespace = NamespaceIdent::from_strs(["one", "two"]).expect("a namespace");
        let ident = TableIdent::new(namespace, "invocations".to_owned());
        let makers = (0..8).map(|_| async {
            let connection = connect(&config).await?;
            let rows = Kind::Invocations.schema();
            let creation = schema::creation(Kind::Invocations, &rows).expect("a table");
            connection.create(&ident, creation).await?;
            connection.load(&ident).await
        });
        for made in futures_util::future::join_all(makers).await {
            let made: Result<Option<Table>, CatalogError> = made;
            assert!(matches!(made, Ok(Some(_))), "{made:?}");
        }
    }
}
