//! A condition as it stands in the file, and the checks that need no more than it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttributeTest, Condition, Expression, RowCondition, RowTest, Test, rows};
use crate::config::error::did_you_mean;
use crate::processors::literal::Literal;
use crate::tables::Table;
use crate::tables::added::is_name;

/// A test of an attribute, a column or a whole table, or conditions put together: one of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WrittenCondition {
    /// The name of an attribute: asked on the record, then its scope, then its resource; before `map`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// A column, with its table: `invocations.region`; after `map`. Also one that `map` adds.
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
    /// Every one of these holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<WrittenCondition>>,
    /// At least one of these holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<WrittenCondition>>,
    /// This one does not hold; so it does where the value is absent or NULL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<WrittenCondition>>,
}

impl From<Condition> for WrittenCondition {
    fn from(condition: Condition) -> WrittenCondition {
        match condition {
            Condition::Records(expression) => write(&expression, &|AttributeTest { name, test }| {
                with_test(WrittenCondition { attribute: Some(name.clone()), ..WrittenCondition::default() }, test)
            }),
            Condition::Rows(RowCondition { table, expression }) => write(&expression, &|test| match test {
                RowTest::Whole => WrittenCondition { table: Some(table.name().to_owned()), ..WrittenCondition::default() },
                RowTest::Column(name, test) => {
                    let column = Some(format!("{}.{name}", table.name()));
                    with_test(WrittenCondition { column, ..WrittenCondition::default() }, test)
                }
            }),
        }
    }
}

fn write<T>(expression: &Expression<T>, leaf: &impl Fn(&T) -> WrittenCondition) -> WrittenCondition {
    let every = |inner: &[Expression<T>]| Some(inner.iter().map(|inner| write(inner, leaf)).collect());
    match expression {
        Expression::Test(test) => leaf(test),
        Expression::All(inner) => WrittenCondition { all: every(inner), ..WrittenCondition::default() },
        Expression::Any(inner) => WrittenCondition { any: every(inner), ..WrittenCondition::default() },
        Expression::Not(inner) => WrittenCondition { not: Some(Box::new(write(inner, leaf))), ..WrittenCondition::default() },
    }
}

fn with_test(subject: WrittenCondition, test: &Test) -> WrittenCondition {
    match test {
        Test::Equals(literal) => WrittenCondition { equals: Some(literal.clone()), ..subject },
        Test::Matches(regex) => WrittenCondition { matches: Some(regex.as_str().to_owned()), ..subject },
    }
}

impl TryFrom<WrittenCondition> for Condition {
    type Error = String;

    fn try_from(mut written: WrittenCondition) -> Result<Condition, String> {
        let parts = (written.all.take(), written.any.take(), written.not.take());
        let is_leaf = written.attribute.is_some()
            || written.column.is_some()
            || written.table.is_some()
            || written.equals.is_some()
            || written.matches.is_some();
        match parts {
            (None, None, None) => leaf(written),
            (Some(inner), None, None) if !is_leaf => together("all", inner, Expression::All, Expression::All),
            (None, Some(inner), None) if !is_leaf => together("any", inner, Expression::Any, Expression::Any),
            (None, None, Some(inner)) if !is_leaf => Ok(match Condition::try_from(*inner)? {
                Condition::Records(inner) => Condition::Records(Expression::Not(Box::new(inner))),
                Condition::Rows(RowCondition { table, expression }) => {
                    Condition::Rows(RowCondition { table, expression: Expression::Not(Box::new(expression)) })
                }
            }),
            _ => {
                Err("expected `all`, `any`, `not` or a test in a condition, found two of them; put one into the other".to_owned())
            }
        }
    }
}

fn together(
    name: &str,
    written: Vec<WrittenCondition>,
    of_records: impl Fn(Vec<Expression<AttributeTest>>) -> Expression<AttributeTest>,
    of_rows: impl Fn(Vec<Expression<RowTest>>) -> Expression<RowTest>,
) -> Result<Condition, String> {
    let (mut records, mut rows) = (Vec::new(), Vec::new());
    let mut tables: Vec<Table> = Vec::new();
    for written in written {
        match Condition::try_from(written)? {
            Condition::Records(expression) => records.push(expression),
            Condition::Rows(RowCondition { table, expression }) => {
                tables.push(table);
                rows.push(expression);
            }
        }
    }
    match (records.is_empty(), tables.first()) {
        (true, None) => Err(format!("expected a condition in `{name}`, found none")),
        (false, None) => Ok(Condition::Records(of_records(records))),
        (false, Some(_)) => Err(format!(
            "expected attributes or columns in `{name}`, found both: attributes are asked before `map`, columns after it; write two processors"
        )),
        (true, Some(&table)) => match tables.iter().find(|other| **other != table) {
            None => Ok(Condition::Rows(RowCondition { table, expression: of_rows(rows) })),
            Some(other) => Err(format!(
                "expected one table in `{name}`, found `{}` and `{}`: no row is of both, write two conditions",
                table.name(),
                other.name()
            )),
        },
    }
}

fn leaf(written: WrittenCondition) -> Result<Condition, String> {
    let test = match (written.equals, written.matches) {
        (Some(value), None) => Some(Test::Equals(value)),
        (None, Some(pattern)) => Some(Test::matching(&pattern)?),
        (None, None) => None,
        (Some(_), Some(_)) => return Err("expected `equals` or `matches` in a condition, found both; write two".to_owned()),
    };
    match (written.attribute.filter(|name| !name.is_empty()), written.column, written.table, test) {
        (None, None, Some(table), None) => on_table(&table),
        (None, None, Some(table), Some(_)) => {
            Err(format!("expected no test of the whole table `{table}`; test a `column` of it instead"))
        }
        (Some(name), None, None, Some(test)) => Ok(Condition::Records(Expression::Test(AttributeTest { name, test }))),
        (None, Some(column), None, Some(test)) => on_column(&column, test),
        (None, None, None, _) => Err("expected `attribute`, `column` or `table` in a condition, found neither".to_owned()),
        (Some(_), None, None, None) | (None, Some(_), None, None) => {
            Err("expected `equals` or `matches` in a condition, found neither".to_owned())
        }
        _ => Err("expected `attribute`, `column` or `table` in a condition, found two of them; write two conditions".to_owned()),
    }
}

fn on_table(name: &str) -> Result<Condition, String> {
    let names = Table::ALL.map(Table::name);
    match Table::from_name(name) {
        Some(table) => Ok(Condition::Rows(RowCondition { table, expression: Expression::Test(RowTest::Whole) })),
        None => Err(format!("expected one of the tables {}, found `{name}`{}", names.join(", "), did_you_mean(name, &names))),
    }
}

/// A column of the table is checked here; one that `map` may add, where the chain is built.
fn on_column(name: &str, test: Test) -> Result<Condition, String> {
    let split = name.split_once('.').and_then(|(table, column)| Some((Table::from_name(table)?, column)));
    let Some((table, column)) = split.filter(|(_, column)| is_name(column)) else {
        let all = Table::ALL.into_iter().flat_map(|table| table.columns().iter().map(move |column| (table, column)));
        let names: Vec<String> = all.map(|(table, column)| format!("{}.{}", table.name(), column.name)).collect();
        let hint = did_you_mean(name, &names);
        return Err(format!("expected a column such as `invocations.region`, found `{name}`{hint}"));
    };
    if let Some(index) = table.column(column) {
        rows::fits(&test, table.columns()[index].kind).map_err(|expected| format!("expected {expected} for `{name}`"))?;
    }
    Ok(Condition::Rows(RowCondition { table, expression: Expression::Test(RowTest::Column(column.to_owned(), test)) }))
}
