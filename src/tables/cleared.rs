//! The proof that a batch holds nothing raw.
//!
//! Which columns a chain clears is known at start: every step says so. [`Clearance::of`] compares that with what can be raw,
//! once, and refuses a pipeline that would write something raw; afterwards only its `Clearance` turns a batch into a [`Cleared`].

use arrow_array::RecordBatch;

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

impl Clearance {
    /// # Errors
    /// Names the columns that are neither cleared nor allowed.
    pub fn of(cleared: Columns, allowed: Columns) -> Result<Clearance, Uncleared> {
        let left = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]).without(cleared).without(allowed);
        if left.is_empty() {
            return Ok(Clearance(()));
        }
        let mut names: Vec<String> = left.iter().map(|(table, column)| format!("{}.{}", table.name(), column.name)).collect();
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

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}
