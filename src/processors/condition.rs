//! A simple condition, as `filter` and `route` ask it: on an attribute of a record, a column of a row, or a whole table.
//!
//! ```yaml
//! [{ attribute: faas.name, equals: internal }, { column: invocations.region, matches: "^eu-" }, { table: errors }]
//! ```
//! An attribute is asked before `map`, columns and tables after it. What is absent or NULL passes no test.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::literal::Literal;
use crate::config::error::did_you_mean;
use crate::signals::Value;
use crate::signals::attributes::Attributes;
use crate::tables::{ColumnType, Table, TableBatch};

/// The most memory one compiled expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// One condition; its test fits its subject.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "WrittenCondition", into = "WrittenCondition")]
pub enum Condition {
    /// Asked of records, before `map`.
    Attribute { name: String, test: Test },
    /// Asked of rows, after `map`.
    Rows(RowCondition),
}

/// A condition on rows: every row of a table, or those whose column passes a test.
#[derive(Clone, Debug)]
pub struct RowCondition {
    pub table: Table,
    /// The column by its index, with a test that fits its type.
    column: Option<(usize, Test)>,
}

#[derive(Clone, Debug)]
pub enum Test {
    /// The same value, read leniently: 200 equals `"200"`.
    Equals(Literal),
    /// The expression is found anywhere in the value's text; anchor it with `^` and `$`.
    Matches(Regex),
}

/// A condition as it stands in the file.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenCondition {
    /// The name of an attribute: asked on the record, then its scope, then its resource; before `map`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// A column, with its table: `invocations.region`; after `map`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// A whole table: `errors`; after `map`, and without a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The same value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<Literal>,
    /// A regular expression that is found anywhere in the value's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
}

impl From<Condition> for WrittenCondition {
    fn from(condition: Condition) -> WrittenCondition {
        let (subject, test) = match condition {
            Condition::Attribute { name, test } => (WrittenCondition { attribute: Some(name), ..Self::default() }, Some(test)),
            Condition::Rows(RowCondition { table, column: None }) => {
                (WrittenCondition { table: Some(table.name().to_owned()), ..Self::default() }, None)
            }
            Condition::Rows(RowCondition { table, column: Some((index, test)) }) => {
                let column = format!("{}.{}", table.name(), table.columns()[index].name);
                (WrittenCondition { column: Some(column), ..Self::default() }, Some(test))
            }
        };
        match test {
            Some(Test::Equals(literal)) => WrittenCondition { equals: Some(literal), ..subject },
            Some(Test::Matches(regex)) => WrittenCondition { matches: Some(regex.as_str().to_owned()), ..subject },
            None => subject,
        }
    }
}

impl TryFrom<WrittenCondition> for Condition {
    type Error = String;

    fn try_from(written: WrittenCondition) -> Result<Condition, String> {
        let test = match (written.equals, written.matches) {
            (Some(value), None) => Some(Test::Equals(value)),
            (None, Some(pattern)) => Some(Test::Matches(compile(&pattern)?)),
            (None, None) => None,
            (Some(_), Some(_)) => return Err("expected `equals` or `matches` in a condition, found both; write two".to_owned()),
        };
        match (written.attribute.filter(|name| !name.is_empty()), written.column, written.table, test) {
            (None, None, Some(table), None) => on_table(&table),
            (None, None, Some(table), Some(_)) => {
                Err(format!("expected no test of the whole table `{table}`; test a `column` of it instead"))
            }
            (Some(name), None, None, Some(test)) => Ok(Condition::Attribute { name, test }),
            (None, Some(column), None, Some(test)) => on_column(&column, test),
            (None, None, None, _) => Err("expected `attribute`, `column` or `table` in a condition, found neither".to_owned()),
            (Some(_), None, None, None) | (None, Some(_), None, None) => {
                Err("expected `equals` or `matches` in a condition, found neither".to_owned())
            }
            _ => {
                Err("expected `attribute`, `column` or `table` in a condition, found two of them; write two conditions"
                    .to_owned())
            }
        }
    }
}

fn on_table(name: &str) -> Result<Condition, String> {
    let names = Table::ALL.map(Table::name);
    match Table::from_name(name) {
        Some(table) => Ok(Condition::Rows(RowCondition { table, column: None })),
        None => Err(format!("expected one of the tables {}, found `{name}`{}", names.join(", "), did_you_mean(name, &names))),
    }
}

fn on_column(name: &str, test: Test) -> Result<Condition, String> {
    let columns = Table::ALL.into_iter().flat_map(|table| (0..table.columns().len()).map(move |index| (table, index)));
    let full = |(table, index): (Table, usize)| format!("{}.{}", table.name(), table.columns()[index].name);
    let Some((table, index)) = columns.clone().find(|column| full(*column) == name) else {
        let names: Vec<String> = columns.map(full).collect();
        let hint = did_you_mean(name, &names);
        return Err(format!("expected a column such as `invocations.region`, found `{name}`{hint}"));
    };
    let kind = table.columns()[index].kind;
    let fits = matches!(
        (&test, kind),
        (Test::Matches(_) | Test::Equals(Literal::Text(_)), ColumnType::String)
            | (Test::Equals(Literal::Bool(_)), ColumnType::Boolean)
            | (Test::Equals(Literal::Double(_)), ColumnType::Double)
            | (Test::Equals(Literal::Int(_)), ColumnType::Double | ColumnType::Long | ColumnType::Int)
    );
    if !fits {
        return Err(misfit(name, kind));
    }
    Ok(Condition::Rows(RowCondition { table, column: Some((index, test)) }))
}

fn misfit(name: &str, kind: ColumnType) -> String {
    let expected = match kind {
        ColumnType::String => "`equals` with text (in quotes, if it looks like a number) or `matches`",
        ColumnType::Boolean => "`equals: true` or `equals: false`",
        ColumnType::Double => "`equals` with a number",
        ColumnType::Long | ColumnType::Int => "`equals` with a whole number",
        ColumnType::Timestamp | ColumnType::Date => "a column that is no time; times cannot be compared here",
    };
    format!("expected {expected} for `{name}`")
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build();
    compiled.map_err(|error| format!("expected a regular expression in `matches`: {error}"))
}

impl Test {
    pub fn holds(&self, value: &Value<'_>, attributes: &Attributes<'_>) -> bool {
        match self {
            Test::Equals(literal) => literal.equals(value, attributes),
            Test::Matches(regex) => value.as_str_text(attributes).is_some_and(|text| regex.is_match(&text)),
        }
    }
}

impl RowCondition {
    /// For each row of the batch whether the condition holds; `None` where it holds for none of them: another table.
    pub fn holds(&self, batch: &TableBatch) -> Option<Vec<bool>> {
        if self.table != batch.table {
            return None;
        }
        let mut holds = vec![self.column.is_none(); batch.batch.num_rows()];
        if let Some((index, test)) = &self.column {
            test_column(&mut holds, batch.batch.column(*index).as_ref(), self.table.columns()[*index].kind, test);
        }
        Some(holds)
    }
}

/// Marks the rows for which the test holds; a NULL passes none. A test that does not fit the column's type was refused at start.
fn test_column(holds: &mut [bool], array: &dyn Array, kind: ColumnType, test: &Test) {
    match (kind, test) {
        (ColumnType::String, Test::Equals(Literal::Text(wanted))) => mark(holds, array.as_string::<i32>(), |text| text == wanted),
        (ColumnType::String, Test::Matches(regex)) => mark(holds, array.as_string::<i32>(), |text| regex.is_match(text)),
        (ColumnType::Boolean, Test::Equals(Literal::Bool(wanted))) => mark(holds, array.as_boolean(), |truth| truth == *wanted),
        #[allow(clippy::float_cmp, reason = "the user asks for this very number")]
        (ColumnType::Double, Test::Equals(Literal::Double(wanted))) => {
            mark(holds, array.as_primitive::<Float64Type>(), |number| number == *wanted);
        }
        #[allow(clippy::float_cmp, clippy::cast_precision_loss, reason = "a whole number stands for the nearest double")]
        (ColumnType::Double, Test::Equals(Literal::Int(wanted))) => {
            mark(holds, array.as_primitive::<Float64Type>(), |number| number == *wanted as f64);
        }
        (ColumnType::Long, Test::Equals(Literal::Int(wanted))) => {
            mark(holds, array.as_primitive::<Int64Type>(), |number| number == *wanted);
        }
        (ColumnType::Int, Test::Equals(Literal::Int(wanted))) => {
            mark(holds, array.as_primitive::<Int32Type>(), |number| i64::from(number) == *wanted);
        }
        _ => {}
    }
}

fn mark<T>(holds: &mut [bool], values: impl IntoIterator<Item = Option<T>>, test: impl Fn(T) -> bool) {
    for (holds, value) in holds.iter_mut().zip(values) {
        *holds = value.is_some_and(&test);
    }
}
