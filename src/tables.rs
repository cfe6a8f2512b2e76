//! The four tables, once: names, columns, types and field docs; rows as structs, columns as Arrow; and [`Cleared`], the only
//! thing that can be written.
//!
//! | file | what it holds |
//! |---|---|
//! | [`columns`] | the schemas: every column's name, type, doc and what it may contain when raw |
//! | [`added`] | columns that the configuration adds behind them |
//! | [`rows`] | a row struct per table and the builders it is pushed into |
//! | [`cleared`] | `Clearance` and `Cleared`: the proof that nothing raw is left in a batch |
//! | [`layout`] | how a batch lies in the write-ahead log: columns laid out plainly |
//!
//! Invariant: bytes for the log are made from a `Cleared` and from nothing else.

pub mod added;
pub mod cleared;
pub mod columns;
pub mod layout;
pub mod rows;

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray as _;
use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

pub use added::{Additions, Clash, Schemas};
pub use cleared::{Allowed, Clearance, Cleared, Uncleared};
pub use columns::{Column, ColumnType, Columns, Raw};

/// One of the four tables. The order is that of the design; it is no wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    Invocations,
    RateLimits,
    Deployments,
    Errors,
}

impl Table {
    pub const ALL: [Table; 4] = [Table::Invocations, Table::RateLimits, Table::Deployments, Table::Errors];

    /// The table's name in the catalog, in YAML and in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Table::Invocations => "invocations",
            Table::RateLimits => "rate_limits",
            Table::Deployments => "deployments",
            Table::Errors => "errors",
        }
    }

    pub fn from_name(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == name)
    }

    pub fn index(self) -> usize {
        self as usize
    }

    /// Its columns in the order of the schema; field ids are 1, 2, 3 … in this order.
    pub fn columns(self) -> &'static [Column] {
        columns::of(self)
    }

    /// The position of a column in the schema.
    pub fn column(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }

    /// The columns it is partitioned by, each with the identity transform.
    pub fn partition_by(self) -> &'static [&'static str] {
        match self {
            Table::Invocations => &["date", "hour"],
            _ => &["date"],
        }
    }

    /// The columns its files are sorted by, ascending, nulls first: what queries select on, then the event time.
    pub fn sort_by(self) -> &'static [&'static str] {
        match self {
            Table::Invocations => &["function_id", "started_at"],
            Table::RateLimits | Table::Errors => &["function_id", "occurred_at"],
            Table::Deployments => &["function_id", "deployed_at"],
        }
    }

    /// The Arrow schema: every column nullable, times as microseconds UTC.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: OnceLock<[SchemaRef; 4]> = OnceLock::new();
        let schemas = SCHEMAS.get_or_init(|| {
            Table::ALL.map(|table| {
                let fields: Vec<Field> =
                    table.columns().iter().map(|column| Field::new(column.name, column.kind.arrow(), true)).collect();
                Arc::new(Schema::new(fields))
            })
        });
        Arc::clone(&schemas[self.index()])
    }
}

impl ColumnType {
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::String => DataType::Utf8,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            ColumnType::Double => DataType::Float64,
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Long => DataType::Int64,
            ColumnType::Int => DataType::Int32,
            ColumnType::Date => DataType::Date32,
        }
    }
}

/// Rows of one table between `map` and the end of the chain; may still hold raw values.
#[derive(Clone, Debug)]
pub struct TableBatch {
    pub table: Table,
    /// Has the table's columns, and those that were added behind them.
    pub batch: RecordBatch,
}

impl TableBatch {
    /// A column of strings; `None` where the index or the type is another.
    pub fn strings(&self, index: usize) -> Option<&StringArray> {
        self.batch.columns().get(index).and_then(|column| column.as_string_opt())
    }

    /// The batch with another column of strings in this place.
    ///
    /// A column of another length, or in the place of another type, leaves no rows: raw ones must not pass because a step went wrong.
    #[must_use]
    pub fn with_strings(self, index: usize, column: StringArray) -> TableBatch {
        let schema = self.batch.schema();
        let mut columns = self.batch.columns().to_vec();
        if let Some(place) = columns.get_mut(index) {
            *place = Arc::new(column);
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
        debug_assert!(batch.is_ok(), "a step made a column that does not fit its table");
        TableBatch { table: self.table, batch: batch.unwrap_or_else(|_| RecordBatch::new_empty(schema)) }
    }
}
