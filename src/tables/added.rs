//! Columns that the configuration adds to the tables, behind those that every table has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{ColumnType, Table};

/// The schema of every table, added columns included, in the order of [`Table::ALL`]. The table's own columns come first, in their places.
pub type Schemas = [SchemaRef; Table::ALL.len()];

/// The added columns of every table, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions([BTreeMap<String, ColumnType>; Table::ALL.len()]);

/// One name for two things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{table}.{column}` is added as {one} and as {other}")]
pub struct Clash {
    pub table: &'static str,
    pub column: String,
    pub one: ColumnType,
    pub other: ColumnType,
}

impl Additions {
    /// # Errors
    /// [`Clash`] where the column was added with another type.
    pub fn add(&mut self, table: Table, name: &str, kind: ColumnType) -> Result<(), Clash> {
        let one = *self.0[table.index()].entry(name.to_owned()).or_insert(kind);
        if one == kind {
            return Ok(());
        }
        Err(Clash { table: table.name(), column: name.to_owned(), one, other: kind })
    }

    /// Adds what the others add.
    ///
    /// # Errors
    /// [`Clash`] where both add a column, with different types.
    pub fn join(&mut self, others: &Additions) -> Result<(), Clash> {
        others.iter().try_for_each(|(table, name, kind)| self.add(table, name, kind))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Table, &str, ColumnType)> {
        let of = |table: Table| self.0[table.index()].iter().map(move |(name, kind)| (table, name.as_str(), *kind));
        Table::ALL.into_iter().flat_map(of)
    }

    /// `table.column` of every added column of text: what a sender can fill with anything.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let texts = self.iter().filter(|(_, _, kind)| *kind == ColumnType::String);
        texts.map(|(table, name, _)| format!("{}.{name}", table.name()))
    }

    pub fn schemas(&self) -> Schemas {
        Table::ALL.map(|table| {
            let added = &self.0[table.index()];
            if added.is_empty() {
                return table.schema();
            }
            let own = table.schema();
            let added = added.iter().map(|(name, kind)| Arc::new(Field::new(name, kind.arrow(), true)));
            Arc::new(Schema::new(own.fields().iter().cloned().chain(added).collect::<Vec<_>>()))
        })
    }
}

/// The fields of a schema that were added to the table's own.
pub fn added_fields(table: Table, schema: &Schema) -> impl Iterator<Item = (&str, ColumnType)> {
    let added = schema.fields().iter().skip(table.columns().len());
    added.filter_map(|field| Some((field.name().as_str(), ColumnType::of(field.data_type())?)))
}

/// Whether a column may be called so in every engine: lower-case letters, digits and `_`, no digit first, 64 at most.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= 64 && name.bytes().next().is_some_and(plain) && name.bytes().all(|byte| plain(byte) || byte.is_ascii_digit())
}

impl ColumnType {
    /// The type whose Arrow type this is; `None` for those that no column has.
    pub fn of(arrow: &DataType) -> Option<ColumnType> {
        use ColumnType::{Boolean, Date, Double, Int, Long, String, Timestamp};
        [String, Timestamp, Double, Boolean, Long, Int, Date].into_iter().find(|kind| kind.arrow() == *arrow)
    }
}

/// As in YAML.
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnType::String => "string",
            ColumnType::Timestamp => "timestamp",
            ColumnType::Double => "double",
            ColumnType::Boolean => "boolean",
            ColumnType::Long => "long",
            ColumnType::Int => "int",
            ColumnType::Date => "date",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(columns: &[(&str, ColumnType)]) -> Additions {
        let mut additions = Additions::default();
        for (name, kind) in columns {
            additions.add(Table::Errors, name, *kind).unwrap();
        }
        additions
    }

    #[test]
    fn added_columns_stand_behind_the_tables_own_by_name() {
        let schemas = added(&[("tenant", ColumnType::String), ("attempt", ColumnType::Int)]).schemas();
        let schema = &schemas[Table::Errors.index()];
        let own = Table::Errors.columns().len();
        assert_eq!(schema.fields()[..own], Table::Errors.schema().fields()[..]);
        let behind: Vec<_> = added_fields(Table::Errors, schema).collect();
        assert_eq!(behind, [("attempt", ColumnType::Int), ("tenant", ColumnType::String)]);
        assert_eq!(schemas[Table::Invocations.index()], Table::Invocations.schema());
    }

    #[test]
    fn one_column_has_one_type() {
        let mut additions = added(&[("tenant", ColumnType::String)]);
        assert_eq!(additions.join(&added(&[("tenant", ColumnType::String), ("n", ColumnType::Long)])), Ok(()));
        let clash = additions.join(&added(&[("n", ColumnType::Double)])).unwrap_err();
        assert_eq!(clash.to_string(), "`errors.n` is added as long and as double");
        assert_eq!(additions.texts().collect::<Vec<_>>(), ["errors.tenant"]);
    }

    #[test]
    fn every_type_is_known_by_its_arrow_type() {
        for column in Table::ALL.iter().flat_map(|table| table.columns()) {
            assert_eq!(ColumnType::of(&column.kind.arrow()), Some(column.kind));
        }
        assert_eq!(ColumnType::of(&DataType::Binary), None);
    }

    #[test]
    fn names_are_plain() {
        assert!(["tenant", "_x", "trace_id2"].into_iter().all(is_name));
        assert!(!["", "2x", "Tenant", "a.b", "a b", "é"].into_iter().any(is_name));
        assert!(!is_name(&"x".repeat(65)));
    }
}
