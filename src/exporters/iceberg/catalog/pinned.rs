//! One version of one table, posing as a catalog: it is what "load" answers, and a commit is applied to it or not at all.

use std::collections::HashMap;

use async_trait::async_trait;
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::table::Table;
use iceberg::{
    Catalog, Error, ErrorKind, MetadataLocation, Namespace, NamespaceIdent, Result, TableCommit, TableCreation, TableIdent,
    TableRequirement, TableUpdate,
};

use serde::Deserialize as _;

use super::Connection;
use crate::faults::{self, Point};

/// For [`iceberg::transaction::Transaction::commit`]: it finds the head it was built on, and nothing to try again.
#[derive(Debug)]
pub(super) struct Pinned<'a> {
    pub(super) looked: &'a Table,
    pub(super) connection: &'a dyn Connection,
}

impl Pinned<'_> {
    /// Applies the updates to the version that was looked at, if it meets the requirements, and swaps the result in.
    pub(super) async fn apply(&self, requirements: Vec<TableRequirement>, updates: Vec<TableUpdate>) -> Result<()> {
        let looked = self.looked.metadata();
        for requirement in requirements {
            requirement.check(Some(looked))?;
        }
        let from = self.looked.metadata_location_result()?;
        let retention = retention(looked)?;
        let mut builder = looked.clone().into_builder(Some(from.to_owned()));
        for mut update in updates {
            if let (TableUpdate::SetSnapshotRef { ref_name, reference }, Some(retention)) = (&mut update, &retention)
                && ref_name == MAIN_BRANCH
            {
                reference.retention = retention.clone();
            }
            builder = update.apply(builder)?;
        }
        let metadata = builder.build()?.metadata;
        let location = from.parse::<MetadataLocation>()?.with_next_version().with_new_metadata(&metadata);
        metadata.write_to(self.looked.file_io(), &location).await?;
        faults::pass(Point::CommitSent);
        if self.connection.swap(self.looked.identifier(), from, &location.to_string()).await? {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::CatalogCommitConflicts, "the table has another version by now"))
        }
    }
}

/// How long main keeps its snapshots. The library resets it with every append; the table's own is put back.
fn retention(metadata: &TableMetadata) -> Result<Option<SnapshotRetention>> {
    let json = serde_json::to_value(metadata)?;
    let Some(main) = json.get("refs").and_then(|refs| refs.get(MAIN_BRANCH)) else { return Ok(None) };
    Ok(Some(SnapshotReference::deserialize(main)?.retention))
}

/// Nothing but load and commit is asked of it.
fn unsupported<T>() -> Result<T> {
    Err(Error::new(ErrorKind::FeatureUnsupported, "a pinned table can only be loaded and committed to"))
}

#[async_trait]
impl Catalog for Pinned<'_> {
    async fn load_table(&self, _: &TableIdent) -> Result<Table> {
        Ok(self.looked.clone())
    }

    async fn update_table(&self, mut commit: TableCommit) -> Result<Table> {
        let applied = self.apply(commit.take_requirements(), commit.take_updates());
        applied.await.map_err(|error| error.with_retryable(false))?;
        Ok(self.looked.clone())
    }

    async fn list_namespaces(&self, _: Option<&NamespaceIdent>) -> Result<Vec<NamespaceIdent>> {
        unsupported()
    }

    async fn create_namespace(&self, _: &NamespaceIdent, _: HashMap<String, String>) -> Result<Namespace> {
        unsupported()
    }

    async fn get_namespace(&self, _: &NamespaceIdent) -> Result<Namespace> {
        unsupported()
    }

    async fn namespace_exists(&self, _: &NamespaceIdent) -> Result<bool> {
        unsupported()
    }

    async fn update_namespace(&self, _: &NamespaceIdent, _: HashMap<String, String>) -> Result<()> {
        unsupported()
    }

    async fn drop_namespace(&self, _: &NamespaceIdent) -> Result<()> {
        unsupported()
    }

    async fn list_tables(&self, _: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        unsupported()
    }

    async fn create_table(&self, _: &NamespaceIdent, _: TableCreation) -> Result<Table> {
        unsupported()
    }

    async fn drop_table(&self, _: &TableIdent) -> Result<()> {
        unsupported()
    }

    async fn purge_table(&self, _: &TableIdent) -> Result<()> {
        unsupported()
    }

    async fn table_exists(&self, _: &TableIdent) -> Result<bool> {
        unsupported()
    }

    async fn rename_table(&self, _: &TableIdent, _: &TableIdent) -> Result<()> {
        unsupported()
    }

    async fn register_table(&self, _: &TableIdent, _: String) -> Result<Table> {
        unsupported()
    }
}
