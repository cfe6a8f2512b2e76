//! `map.columns` as it stands in the file, checked while it is read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::error::did_you_mean;
use crate::processors::literal::Literal;
use crate::processors::map::cells::{check_added, check_fixed};
use crate::processors::map::metrics::OneOrMore;
use crate::tables::added::is_name;
use crate::tables::{Additions, Column, ColumnType, Table};

/// Added columns of one table.
const MAX_ADDED: usize = 64;

/// Sources of columns by table. Default none: the preset's.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnsConfig {
    pub invocations: TableColumns<0>,
    pub rate_limits: TableColumns<1>,
    pub deployments: TableColumns<2>,
    pub errors: TableColumns<3>,
}

/// Columns of the table at this place of [`Table::ALL`]; a name that the table does not have adds a column, and needs a `type`, or a `field`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "BTreeMap<Sourced<TABLE>, ColumnConfig>")]
pub struct TableColumns<const TABLE: usize>(BTreeMap<Sourced<TABLE>, ColumnConfig>);

/// The name of a column whose sources can be set, or of one to be added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum Sourced<const TABLE: usize> {
    /// By its place in the table.
    Preset(usize),
    Added(String),
}

/// Where a column's value is from: the first of `attribute`, `field`, `value` that has one; NULL where none has. With none of them, the
/// column is never filled.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnConfig {
    /// The first of these attributes that the record, its scope or its resource has; for an error on a span its event comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<OneOrMore>,
    /// Something of the record that is no attribute; for columns of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<RecordField>,
    /// A fixed text, number or bool; not for ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Literal>,
    /// What follows the last source: `preset` for the preset's value instead of NULL. Only for columns of the preset.
    #[serde(rename = "else", skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Otherwise>,
    /// The type of an added column. Default `string` where there is a `field`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<AddedType>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    Preset,
}

/// What an added column can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AddedType {
    String,
    /// 64 bits.
    Long,
    /// 32 bits.
    Int,
    Double,
    Boolean,
    /// Microseconds in UTC; read from RFC 3339, or from seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
    Timestamp,
}

/// A part of a record; one that the record does not have is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordField {
    /// 32 hexadecimal digits in lower case.
    TraceId,
    /// 16 hexadecimal digits in lower case.
    SpanId,
    ParentSpanId,
    /// Of the span, of the log's event, of the metric.
    Name,
    /// The message of a span's status.
    StatusMessage,
    /// Of a log.
    SeverityText,
    ScopeName,
    ScopeVersion,
}

impl ColumnsConfig {
    /// Every column that is named: its table, its place in it or its name, its sources.
    pub(super) fn named(&self) -> impl Iterator<Item = (Table, Result<&'static Column, &str>, &ColumnConfig)> {
        let ColumnsConfig { invocations, rate_limits, deployments, errors } = self;
        invocations.named().chain(rate_limits.named()).chain(deployments.named()).chain(errors.named())
    }

    /// The columns that it adds.
    pub fn additions(&self) -> Additions {
        let mut additions = Additions::default();
        for (table, column, config) in self.named() {
            if let (Err(name), Some(kind)) = (column, config.added_type()) {
                // One table names a column once, so nothing clashes here.
                let _ = additions.add(table, name, kind);
            }
        }
        additions
    }
}

impl<const TABLE: usize> TableColumns<TABLE> {
    fn named(&self) -> impl Iterator<Item = (Table, Result<&'static Column, &str>, &ColumnConfig)> {
        let table = Table::ALL[TABLE];
        self.0.iter().map(move |(column, config)| match column {
            Sourced::Preset(index) => (table, Ok(&table.columns()[*index]), config),
            Sourced::Added(name) => (table, Err(name.as_str()), config),
        })
    }
}

impl ColumnConfig {
    /// `None` where nothing says what it is.
    pub(super) fn added_type(&self) -> Option<ColumnType> {
        match self.kind {
            Some(AddedType::String) => Some(ColumnType::String),
            Some(AddedType::Long) => Some(ColumnType::Long),
            Some(AddedType::Int) => Some(ColumnType::Int),
            Some(AddedType::Double) => Some(ColumnType::Double),
            Some(AddedType::Boolean) => Some(ColumnType::Boolean),
            Some(AddedType::Timestamp) => Some(ColumnType::Timestamp),
            None => self.field.map(|_| ColumnType::String),
        }
    }

    /// What is wrong with it for an added column.
    fn check_added(&self, table: Table, name: &str) -> Result<(), String> {
        let Some(kind) = self.added_type() else {
            let known = sourced(table);
            let hint = did_you_mean(name, &known);
            return Err(format!(
                "`{}` has no column `{name}`, expected one of {}, or a `type` to add it{hint}",
                table.name(),
                known.join(", ")
            ));
        };
        if self.otherwise.is_some() {
            return Err(format!("the preset does not know `{name}`, which is added: leave `else` out"));
        }
        if self.field.is_some() && kind != ColumnType::String {
            return Err(format!("`{name}` is filled from a `field`, which is text, expected `type: string`, found {kind}"));
        }
        self.value.as_ref().map_or(Ok(()), |value| check_added(name, kind, value))
    }

    /// What is wrong with it for a column of the preset.
    fn check_preset(&self, table: Table, column: &Column) -> Result<(), String> {
        if self.kind.is_some() {
            let name = column.name;
            return Err(format!("`{}` has a column `{name}` with a type of its own: leave `type` out", table.name()));
        }
        self.value.as_ref().map_or(Ok(()), |value| check_fixed(column, value))
    }
}

/// Why a column's sources cannot be set: what it follows from.
fn fixed_by(column: &Column) -> Option<&'static str> {
    match column.kind {
        ColumnType::Timestamp => Some("the record's time, which is checked before anything else"),
        ColumnType::Date => Some("the event time, and files are partitioned by it"),
        _ if column.name == "hour" => Some("the event time, and files are partitioned by it"),
        _ => None,
    }
}

/// The columns of a table whose sources can be set.
fn sourced(table: Table) -> Vec<&'static str> {
    table.columns().iter().filter(|column| fixed_by(column).is_none()).map(|column| column.name).collect()
}

impl<const TABLE: usize> TryFrom<BTreeMap<Sourced<TABLE>, ColumnConfig>> for TableColumns<TABLE> {
    type Error = String;

    fn try_from(columns: BTreeMap<Sourced<TABLE>, ColumnConfig>) -> Result<TableColumns<TABLE>, String> {
        let table = Table::ALL[TABLE];
        let mut added = 0;
        for (column, config) in &columns {
            match column {
                Sourced::Added(name) => {
                    config.check_added(table, name)?;
                    added += 1;
                }
                Sourced::Preset(index) => config.check_preset(table, &table.columns()[*index])?,
            }
        }
        if added > MAX_ADDED {
            return Err(format!("expected at most {MAX_ADDED} added columns of `{}`, found {added}", table.name()));
        }
        Ok(TableColumns(columns))
    }
}

impl<const TABLE: usize> TryFrom<String> for Sourced<TABLE> {
    type Error = String;

    fn try_from(name: String) -> Result<Sourced<TABLE>, String> {
        let table = Table::ALL[TABLE];
        let Some(index) = table.column(&name) else {
            if !is_name(&name) {
                return Err(format!(
                    "`{}` has no column `{name}`, and an added one has at most 64 lower-case letters, digits and `_`, no digit first",
                    table.name()
                ));
            }
            return Ok(Sourced::Added(name));
        };
        match fixed_by(&table.columns()[index]) {
            Some(origin) => Err(format!("`{name}` follows from {origin}: its source cannot be set, leave it out")),
            None => Ok(Sourced::Preset(index)),
        }
    }
}

impl<const TABLE: usize> From<Sourced<TABLE>> for String {
    fn from(column: Sourced<TABLE>) -> String {
        match column {
            Sourced::Preset(index) => {
                Table::ALL[TABLE].columns().get(index).map_or_else(String::new, |column| column.name.to_owned())
            }
            Sourced::Added(name) => name,
        }
    }
}
