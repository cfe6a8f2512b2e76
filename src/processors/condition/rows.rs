//! A condition on rows, bound to the columns that its table has: a mask over a batch.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};

use super::{Expression, RowCondition, RowTest, Test};
use crate::config::error::did_you_mean;
use crate::processors::literal::Literal;
use crate::tables::{ColumnType, Schemas, Table, TableBatch};

/// A condition that does not fit the tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "expected a column of `{table}` in a condition, found `{column}`, which neither the table has nor `map` adds{hint}",
        hint = did_you_mean(column, known)
    )]
    UnknownColumn { table: &'static str, column: String, known: Vec<String> },
    #[error("expected {expected} for `{table}.{column}`")]
    Test { table: &'static str, column: String, expected: &'static str },
}

/// A condition whose columns are found and whose tests fit them.
#[derive(Clone, Debug)]
pub struct BoundCondition {
    table: Table,
    expression: Expression<BoundTest>,
}

#[derive(Clone, Debug)]
enum BoundTest {
    Whole,
    /// The column by its place, with its type.
    Column(usize, ColumnType, Test),
}

impl RowCondition {
    /// `schemas` are those of the tables with what `map` adds.
    ///
    /// # Errors
    /// [`Unfit`] where a column is not there, or is of another type than its test.
    pub fn bind(&self, schemas: &Schemas) -> Result<BoundCondition, Unfit> {
        let table = self.table;
        let schema = &schemas[table.index()];
        let expression = self.expression.try_map(&mut |test| match test {
            RowTest::Whole => Ok(BoundTest::Whole),
            RowTest::Column(column, test) => {
                let known = || schema.fields().iter().map(|field| field.name().clone()).collect();
                let unknown = || Unfit::UnknownColumn { table: table.name(), column: column.clone(), known: known() };
                let (place, field) = schema.column_with_name(column).ok_or_else(unknown)?;
                let kind = ColumnType::of(field.data_type()).ok_or_else(unknown)?;
                fits(test, kind).map_err(|expected| Unfit::Test { table: table.name(), column: column.clone(), expected })?;
                Ok(BoundTest::Column(place, kind, test.clone()))
            }
        })?;
        Ok(BoundCondition { table, expression })
    }
}

impl BoundCondition {
    /// For each row of the batch whether the condition holds; `None` where it holds for none of them: another table.
    pub fn holds(&self, batch: &TableBatch) -> Option<Vec<bool>> {
        (self.table == batch.table).then(|| self.expression.mask(batch))
    }
}

impl Expression<BoundTest> {
    fn mask(&self, batch: &TableBatch) -> Vec<bool> {
        let joined = |inner: &[Expression<BoundTest>], start: bool, join: fn(bool, bool) -> bool| {
            inner.iter().fold(vec![start; batch.batch.num_rows()], |mut holds, inner| {
                holds.iter_mut().zip(inner.mask(batch)).for_each(|(holds, also)| *holds = join(*holds, also));
                holds
            })
        };
        match self {
            Expression::Test(BoundTest::Whole) => vec![true; batch.batch.num_rows()],
            Expression::Test(BoundTest::Column(place, kind, test)) => {
                let mut holds = vec![false; batch.batch.num_rows()];
                if let Some(column) = batch.batch.columns().get(*place) {
                    test_column(&mut holds, column.as_ref(), *kind, test);
                }
                holds
            }
            Expression::All(inner) => joined(inner, true, |holds, also| holds && also),
            Expression::Any(inner) => joined(inner, false, |holds, also| holds || also),
            Expression::Not(inner) => {
                let mut holds = inner.mask(batch);
                for holds in &mut holds {
                    *holds = !*holds;
                }
                holds
            }
        }
    }
}

/// What was expected, where the test does not fit the type.
pub(super) fn fits(test: &Test, kind: ColumnType) -> Result<(), &'static str> {
    let fits = matches!(
        (test, kind),
        (Test::Matches(_) | Test::Equals(Literal::Text(_)), ColumnType::String)
            | (Test::Equals(Literal::Bool(_)), ColumnType::Boolean)
            | (Test::Equals(Literal::Double(_)), ColumnType::Double)
            | (Test::Equals(Literal::Int(_)), ColumnType::Double | ColumnType::Long | ColumnType::Int)
    );
    if fits {
        return Ok(());
    }
    Err(match kind {
        ColumnType::String => "`equals` with text (in quotes, if it looks like a number) or `matches`",
        ColumnType::Boolean => "`equals: true` or `equals: false`",
        ColumnType::Double => "`equals` with a number",
        ColumnType::Long | ColumnType::Int => "`equals` with a whole number",
        ColumnType::Timestamp | ColumnType::Date => "a column that is no time; times cannot be compared here",
    })
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
