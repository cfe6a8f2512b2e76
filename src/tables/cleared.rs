//! The proof that a batch holds nothing raw.
//!
//! Which columns a chain clears is known at start: every step says so. [`Clearance::of`] compares that with what can be raw,
//! once, and refuses a pipeline that would write something raw; afterwards only its `Clearance` turns a batch into a [`Cleared`].

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::layout::{self, LayoutError};
use super::{Columns, Raw, Table, TableBatch};

/// What some pipeline would write or expose raw, without a word of the user that it may.
#[derive(Debug, thiserror::Error)]
#[error(
    "{columns} would be written or exposed raw: add `sanitize` for text and labels and `hash_ip` for addresses, \
     or name the columns in the exporter's `allow_raw`"
)]
pub struct Uncleared {
    /// `table.column` or `labels of metric points`, separated by commas.
    pub columns: String,
}

/// A chain's permission to write: every raw column is cleared by one of its steps, or allowed by every exporter it feeds.
#[derive(Clone, Copy, Debug)]
pub struct Clearance(());

/// What exporters allow to be written or exposed raw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    pub columns: Columns,
    /// Added columns, as `table.column`.
    pub added: BTreeSet<String>,
}

impl From<Columns> for Allowed {
    fn from(columns: Columns) -> Allowed {
        Allowed { columns, added: BTreeSet::new() }
    }
}

impl Allowed {
    /// Whether an added column, as `table.column`, may be raw.
    pub fn allows(&self, added: &str) -> bool {
        self.columns.has_added() || self.added.contains(added)
    }

    /// What both allow.
    #[must_use]
    pub fn intersection(self, other: &Allowed) -> Allowed {
        let both = |name: &&String| self.allows(name) && other.allows(name);
        let added = self.added.union(&other.added).filter(both).cloned().collect();
        Allowed { columns: self.columns.intersection(other.columns), added }
    }
}

impl Clearance {
    /// `added` are the added columns of text, as `table.column`, that the chain makes.
    ///
    /// # Errors
    /// Names the columns that are neither cleared nor allowed.
    pub fn of(cleared: Columns, allowed: &Allowed, added: impl Iterator<Item = String>) -> Result<Clearance, Uncleared> {
        let left = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]).without(cleared).without(allowed.columns);
        let mut added: Vec<String> = added.filter(|name| left.has_added() && !allowed.allows(name)).collect();
        let left = left.without(Columns::ADDED);
        if left.is_empty() && added.is_empty() {
            return Ok(Clearance(()));
        }
        let mut names: Vec<String> = left.iter().map(|(table, column)| format!("{}.{}", table.name(), column.name)).collect();
        names.append(&mut added);
        if left.has_labels() {
            names.push("labels of metric points".to_owned());
        }
        Err(Uncleared { columns: names.join(", ") })
    }

    pub fn clear(self, batch: TableBatch) -> Cleared {
        Cleared { table: batch.table, batch: batch.batch }
    }
}

/// Rows that may be written: sanitised, with hashed addresses. Made by a [`Clearance`] only.
#[derive(Clone, Debug)]
pub struct Cleared {
    table: Table,
    batch: RecordBatch,
}

impl Cleared {
    pub fn table(&self) -> Table {
        self.table
    }

    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The same rows in another schema of their table: what the schema lacks is dropped, what the rows lack is NULL.
    ///
    /// # Errors
    /// [`LayoutError::TypeChanged`] where a column of this name has another type.
    pub fn conformed(&self, schema: &SchemaRef) -> Result<Cleared, LayoutError> {
        Ok(Cleared { table: self.table, batch: layout::conform(&self.batch, schema)? })
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}
