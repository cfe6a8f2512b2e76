//! The columns that the configuration adds: one value a row, and the columns as they grow.

use std::borrow::Cow;

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;

use super::buffers::{Booleans, Numbers, Text};
use crate::tables::added::added_fields;
use crate::tables::{ColumnType, Table};

/// A value as the type of its column has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'s> {
    Text(Option<Cow<'s, str>>),
    Double(Option<f64>),
    Bool(Option<bool>),
    Long(Option<i64>),
    Int(Option<i32>),
    /// Microseconds since 1970 in UTC.
    Time(Option<i64>),
}

/// The added columns of one table.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// The table's own where nothing is added.
    schema: Option<SchemaRef>,
    columns: Vec<Growing>,
}

#[derive(Debug)]
enum Growing {
    Text(Text),
    Double(Numbers<f64>),
    Bool(Booleans),
    Long(Numbers<i64>),
    Int(Numbers<i32>),
    Time(Numbers<i64>),
}

impl Added {
    pub(super) fn to(table: Table, schema: &SchemaRef) -> Added {
        let columns = added_fields(table, schema).map(|(_, kind)| Growing::of(kind)).collect();
        Added { schema: Some(SchemaRef::clone(schema)), columns }
    }

    /// One row's values, in the order of the columns; what is missing, or of another type, is NULL.
    pub(super) fn push(&mut self, cells: &[Cell<'_>]) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            column.push(cells.get(at));
        }
    }

    pub(super) fn finish(self, table: Table) -> (SchemaRef, Vec<ArrayRef>) {
        let schema = self.schema.unwrap_or_else(|| table.schema());
        (schema, self.columns.into_iter().map(Growing::finish).collect())
    }
}

impl Growing {
    fn of(kind: ColumnType) -> Growing {
        match kind {
            ColumnType::String => Growing::Text(Text::default()),
            ColumnType::Double => Growing::Double(Numbers::default()),
            ColumnType::Boolean => Growing::Bool(Booleans::default()),
            ColumnType::Long => Growing::Long(Numbers::default()),
            // No date is ever added: a column has one of the types of the configuration.
            ColumnType::Int | ColumnType::Date => Growing::Int(Numbers::default()),
            ColumnType::Timestamp => Growing::Time(Numbers::default()),
        }
    }

    fn push(&mut self, cell: Option<&Cell<'_>>) {
        match (self, cell) {
            (Growing::Text(column), Some(Cell::Text(text))) => column.push(text.as_deref()),
            (Growing::Text(column), _) => column.push(None),
            (Growing::Double(column), Some(Cell::Double(number))) => column.push(*number),
            (Growing::Double(column), _) => column.push(None),
            (Growing::Bool(column), Some(Cell::Bool(flag))) => column.push(*flag),
            (Growing::Bool(column), _) => column.push(None),
            (Growing::Long(column), Some(Cell::Long(number))) | (Growing::Time(column), Some(Cell::Time(number))) => {
                column.push(*number);
            }
            (Growing::Long(column) | Growing::Time(column), _) => column.push(None),
            (Growing::Int(column), Some(Cell::Int(number))) => column.push(*number),
            (Growing::Int(column), _) => column.push(None),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Growing::Text(column) => column.finish(),
            Growing::Double(column) => column.finish(),
            Growing::Bool(column) => column.finish(),
            Growing::Long(column) => column.finish(),
            Growing::Int(column) => column.finish(),
            Growing::Time(column) => column.finish_times(),
        }
    }
}
