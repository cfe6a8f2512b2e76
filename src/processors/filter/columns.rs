//! The conditions on rows: a mask over a batch.

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;

use super::FilterConfig;
use crate::processors::condition::{BoundCondition, Condition, Unfit};
use crate::processors::{ColumnStep, Tally};
use crate::tables::{Schemas, TableBatch};

/// The conditions on rows as a step after `map`.
#[derive(Debug)]
pub struct ColumnFilter {
    conditions: Vec<BoundCondition>,
}

impl ColumnFilter {
    /// The step, if the filter has conditions on rows. `schemas` are those of the tables with what `map` adds.
    ///
    /// # Errors
    /// [`Unfit`] where a condition asks for what no row has.
    pub fn new(config: &FilterConfig, schemas: &Schemas) -> Result<Option<ColumnFilter>, Unfit> {
        let rows = config.drop.iter().filter_map(|condition| match condition {
            Condition::Rows(condition) => Some(condition.bind(schemas)),
            Condition::Records(_) => None,
        });
        let conditions: Vec<_> = rows.collect::<Result<_, _>>()?;
        Ok((!conditions.is_empty()).then_some(ColumnFilter { conditions }))
    }

    /// Whether the filter has conditions on rows.
    pub fn is_asked_for(config: &FilterConfig) -> bool {
        config.drop.iter().any(|condition| matches!(condition, Condition::Rows(_)))
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
