//! The conditions on rows: a mask over a batch.

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;

use super::FilterConfig;
use crate::processors::condition::{Condition, RowCondition};
use crate::processors::{ColumnStep, Tally};
use crate::tables::TableBatch;

/// The conditions on rows as a step after `map`.
#[derive(Debug)]
pub struct ColumnFilter {
    conditions: Vec<RowCondition>,
}

impl ColumnFilter {
    /// The step, if the filter has conditions on rows.
    pub fn new(config: &FilterConfig) -> Option<ColumnFilter> {
        let conditions: Vec<_> = config
            .drop
            .iter()
            .filter_map(|condition| match condition {
                Condition::Rows(condition) => Some(condition.clone()),
                Condition::Attribute { .. } => None,
            })
            .collect();
        (!conditions.is_empty()).then_some(ColumnFilter { conditions })
    }
}

impl ColumnStep for ColumnFilter {
    fn apply(&self, batch: TableBatch, tally: &mut Tally) -> TableBatch {
        let mut keep = vec![true; batch.batch.num_rows()];
        for holds in self.conditions.iter().filter_map(|condition| condition.holds(&batch)) {
            keep.iter_mut().zip(holds).for_each(|(keep, holds)| *keep &= !holds);
        }
        let dropped = keep.iter().filter(|keep| !**keep).count();
        if dropped == 0 {
            return batch;
        }
        tally.rows_filtered += dropped as u64;
        let TableBatch { table, batch } = batch;
        match filter_record_batch(&batch, &BooleanArray::from(keep)) {
            Ok(batch) => TableBatch { table, batch },
            Err(error) => unreachable!("the mask has one entry for each of the {} rows: {error}", batch.num_rows()),
        }
    }
}
