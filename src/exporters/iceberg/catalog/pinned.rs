//! One version of one table, posing as a catalog: it is what "load" answers, and a commit ends in it, so that the library finds the head it was
//! built on and nothing to try again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::table::Table;
use iceberg::transaction::Transaction;
use iceberg::{
    Catalog, Error, ErrorKind, Namespace, NamespaceIdent, Result, TableCommit, TableCreation, TableIdent, TableRequirement,
    TableUpdate,
};
use serde::Deserialize as _;

/// One commit, ready to be asked for: what must hold of the table, and what then changes.
#[derive(Debug)]
pub(in crate::exporters::iceberg) struct Change {
    pub(super) requirements: Vec<TableRequirement>,
    pub(super) updates: Vec<TableUpdate>,
}

impl Change {
    /// What a transaction on `looked` comes to; its manifests are written when this returns.
    pub(super) async fn of(transaction: Transaction, looked: &Table) -> Result<Change> {
        let pinned = Pinned { looked, change: Mutex::default() };
        transaction.commit(&pinned).await?;
        let change = pinned.change.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut change = change.ok_or_else(|| Error::new(ErrorKind::DataInvalid, "the commit changes nothing"))?;
        keep_retention(looked.metadata(), &mut change.updates)?;
        Ok(change)
    }
}

/// For [`Transaction::commit`].
#[derive(Debug)]
struct Pinned<'a> {
    looked: &'a Table,
    change: Mutex<Option<Change>>,
}

/// How long main keeps its snapshots: the library resets it with every append; the table's own is put back.
fn keep_retention(metadata: &TableMetadata, updates: &mut [TableUpdate]) -> Result<()> {
    let Some(retention) = retention(metadata)? else { return Ok(()) };
    for update in updates {
        if let TableUpdate::SetSnapshotRef { ref_name, reference } = update
            && ref_name == MAIN_BRANCH
        {
            reference.retention = retention.clone();
        }
    }
    Ok(())
}

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
        let change = Change { requirements: commit.take_requirements(), updates: commit.take_updates() };
        *self.change.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
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
