//! The conditions on columns: a mask over the rows of a batch.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, BooleanArray};
use arrow_select::filter::filter_record_batch;

use super::{Condition, FilterConfig, Test};
use crate::processors::literal::Literal;
use crate::processors::{ColumnStep, Tally};
use crate::tables::{ColumnType, Table, TableBatch};

/// The conditions on columns as a step after `map`.
#[derive(Debug)]
pub struct ColumnFilter {
    conditions: Vec<(Table, usize, Test)>,
}

impl ColumnFilter {
    /// The step, if the filter has conditions on columns.
    pub fn new(config: &FilterConfig) -> Option<ColumnFilter> {
        let conditions: Vec<_> = config
            .drop
            .iter()
            .filter_map(|condition| match condition {
                Condition::Column { table, index, test } => Some((*table, *index, test.clone())),
                Condition::Attribute { .. } => None,
            })
            .collect();
        (!conditions.is_empty()).then_some(ColumnFilter { conditions })
    }
}

impl ColumnStep for ColumnFilter {
    fn apply(&self, batch: TableBatch, tally: &mut Tally) -> TableBatch {
        let TableBatch { table, batch } = batch;
        let mut keep = vec![true; batch.num_rows()];
        for (_, index, test) in self.conditions.iter().filter(|condition| condition.0 == table) {
            strike(&mut keep, batch.column(*index).as_ref(), table.columns()[*index].kind, test);
        }
        let dropped = keep.iter().filter(|keep| !**keep).count();
        if dropped == 0 {
            return TableBatch { table, batch };
        }
        tally.rows_filtered += dropped as u64;
        match filter_record_batch(&batch, &BooleanArray::from(keep)) {
            Ok(batch) => TableBatch { table, batch },
            Err(error) => unreachable!("the mask has one entry for each of the {} rows: {error}", batch.num_rows()),
        }
    }
}

/// Takes out of `keep` the rows for which the test holds. A test that does not fit the column's type was refused at start.
fn strike(keep: &mut [bool], array: &dyn Array, kind: ColumnType, test: &Test) {
    match (kind, test) {
        (ColumnType::String, Test::Equals(Literal::Text(wanted))) => mark(keep, array.as_string::<i32>(), |text| text == wanted),
        (ColumnType::String, Test::Matches(regex)) => mark(keep, array.as_string::<i32>(), |text| regex.is_match(text)),
        (ColumnType::Boolean, Test::Equals(Literal::Bool(wanted))) => mark(keep, array.as_boolean(), |truth| truth == *wanted),
        #[allow(clippy::float_cmp, reason = "the user asks for this very number")]
        (ColumnType::Double, Test::Equals(Literal::Double(wanted))) => {
            mark(keep, array.as_primitive::<Float64Type>(), |number| number == *wanted);
        }
        #[allow(clippy::float_cmp, clippy::cast_precision_loss, reason = "a whole number stands for the nearest double")]
        (ColumnType::Double, Test::Equals(Literal::Int(wanted))) => {
            mark(keep, array.as_primitive::<Float64Type>(), |number| number == *wanted as f64);
        }
        (ColumnType::Long, Test::Equals(Literal::Int(wanted))) => {
            mark(keep, array.as_primitive::<Int64Type>(), |number| number == *wanted);
        }
        (ColumnType::Int, Test::Equals(Literal::Int(wanted))) => {
            mark(keep, array.as_primitive::<Int32Type>(), |number| i64::from(number) == *wanted);
        }
        _ => {}
    }
}

fn mark<T>(keep: &mut [bool], values: impl IntoIterator<Item = Option<T>>, drop: impl Fn(T) -> bool) {
    for (keep, value) in keep.iter_mut().zip(values) {
        *keep &= !value.is_some_and(&drop);
    }
}
