//! A condition, as `filter` and `route` ask it: on attributes of a record, on columns of a row, or on a whole table.
//!
//! ```yaml
//! - { attribute: faas.name, equals: internal }
//! - { column: invocations.region, matches: "^eu-" }
//! - { table: errors }
//! - all: [{ column: invocations.success, equals: true }, { not: { column: invocations.tenant, equals: acme } }]
//! ```
//! Attributes are asked before `map`, columns and tables after it; one condition asks one of them, and of one table only: a row of another
//! table never passes. What is absent or NULL passes no test, so that `not` of a test holds for it.
//!
//! | file | what it holds |
//! |---|---|
//! | [`written`] | a condition as it stands in the file |
//! | [`rows`] | a condition on rows, bound to the columns that a table has |

mod rows;
mod written;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::literal::Literal;
use crate::signals::Value;
use crate::signals::attributes::Attributes;
use crate::tables::Table;

pub use rows::{BoundCondition, Unfit};
pub use written::WrittenCondition;

/// The most memory one compiled expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// One condition.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "WrittenCondition", into = "WrittenCondition")]
#[schemars(with = "WrittenCondition")]
pub enum Condition {
    /// Asked of records, before `map`.
    Records(Expression<AttributeTest>),
    /// Asked of rows, after `map`.
    Rows(RowCondition),
}

/// Tests and how they are put together; no list is empty.
#[derive(Clone, Debug)]
pub enum Expression<T> {
    Test(T),
    All(Vec<Expression<T>>),
    Any(Vec<Expression<T>>),
    Not(Box<Expression<T>>),
}

/// The attribute of a record, its scope or its resource.
#[derive(Clone, Debug)]
pub struct AttributeTest {
    pub name: String,
    pub test: Test,
}

/// A condition on the rows of one table.
#[derive(Clone, Debug)]
pub struct RowCondition {
    table: Table,
    expression: Expression<RowTest>,
}

#[derive(Clone, Debug)]
enum RowTest {
    /// Every row.
    Whole,
    /// The column's name: of the table, or added by `map`.
    Column(String, Test),
}

#[derive(Clone, Debug)]
pub enum Test {
    /// The same value, read leniently: 200 equals `"200"`.
    Equals(Literal),
    /// The expression is found anywhere in the value's text; anchor it with `^` and `$`.
    Matches(Regex),
}

impl<T> Expression<T> {
    pub fn holds(&self, test: &impl Fn(&T) -> bool) -> bool {
        match self {
            Expression::Test(one) => test(one),
            Expression::All(inner) => inner.iter().all(|inner| inner.holds(test)),
            Expression::Any(inner) => inner.iter().any(|inner| inner.holds(test)),
            Expression::Not(inner) => !inner.holds(test),
        }
    }

    pub fn try_map<U, E>(&self, map: &mut impl FnMut(&T) -> Result<U, E>) -> Result<Expression<U>, E> {
        Ok(match self {
            Expression::Test(one) => Expression::Test(map(one)?),
            Expression::All(inner) => Expression::All(inner.iter().map(|inner| inner.try_map(map)).collect::<Result<_, E>>()?),
            Expression::Any(inner) => Expression::Any(inner.iter().map(|inner| inner.try_map(map)).collect::<Result<_, E>>()?),
            Expression::Not(inner) => Expression::Not(Box::new(inner.try_map(map)?)),
        })
    }
}

impl Test {
    fn matching(pattern: &str) -> Result<Test, String> {
        let compiled = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build();
        compiled.map(Test::Matches).map_err(|error| format!("expected a regular expression in `matches`: {error}"))
    }

    pub fn holds(&self, value: &Value<'_>, attributes: &Attributes<'_>) -> bool {
        match self {
            Test::Equals(literal) => literal.equals(value, attributes),
            Test::Matches(regex) => value.as_str_text(attributes).is_some_and(|text| regex.is_match(&text)),
        }
    }
}
