//! Sorts rows by the table's order: a key of 64 bits for every row where they suffice, then one gather.

use std::collections::{BTreeSet, HashMap};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;

use crate::tables::Table;

/// The rows of all batches, each in the table's schema, in one batch sorted by [`Table::sort_by`]: ascending, nulls first.
pub(super) fn gather(table: Table, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<usize> = table.sort_by().iter().filter_map(|name| table.column(name)).collect();
    let &[text, time] = columns.as_slice() else {
        return Err(ArrowError::SchemaError(format!("{} is not sorted by a text and a time", table.name())));
    };
    let names: BTreeSet<&str> = batches.iter().flat_map(|batch| batch.column(text).as_string::<i32>().iter().flatten()).collect();
    let ranks: HashMap<&str, u64> = names.into_iter().zip(1..).collect();
    let times = || batches.iter().flat_map(|batch| batch.column(time).as_primitive::<TimestampMicrosecondType>().iter());
    let first = times().flatten().min().unwrap_or_default();
    let span = times().flatten().max().unwrap_or_default().abs_diff(first);
    // 0 is NULL for both; the time takes as many bits as the span needs.
    let bits = u64::BITS - span.saturating_add(1).leading_zeros();
    let rank_bits = u64::BITS - (ranks.len() as u64).leading_zeros();
    let mut rows: Vec<(u64, u64, u32, u32)> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    let narrow = bits + rank_bits <= u64::BITS && span < u64::MAX;
    for (batch, number) in batches.iter().zip(0u32..) {
        let (names, times) =
            (batch.column(text).as_string::<i32>(), batch.column(time).as_primitive::<TimestampMicrosecondType>());
        for (row, at) in (0..batch.num_rows()).zip(0u32..) {
            let rank = if names.is_valid(row) { ranks.get(names.value(row)).copied().unwrap_or_default() } else { 0 };
            let time = if times.is_valid(row) { times.value(row).abs_diff(first).saturating_add(1) } else { 0 };
            let key = if !narrow {
                (rank, time)
            } else if bits == u64::BITS {
                (time, 0)
            } else {
                (rank << bits | time, 0)
            };
            rows.push((key.0, key.1, number, at));
        }
    }
    rows.sort_unstable();
    let order: Vec<(usize, usize)> = rows.iter().map(|(_, _, batch, row)| (*batch as usize, *row as usize)).collect();
    interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &order)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray, TimestampMicrosecondArray, new_null_array};
    use proptest::prelude::*;

    use super::*;

    type Row = (Option<String>, Option<i64>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let table = Table::Errors;
        let schema = table.schema();
        let columns = table.columns().iter().zip(schema.fields()).map(|(column, field)| -> ArrayRef {
            match column.name {
                "function_id" => Arc::new(rows.iter().map(|row| row.0.as_deref()).collect::<StringArray>()),
                "occurred_at" => {
                    Arc::new(rows.iter().map(|row| row.1).collect::<TimestampMicrosecondArray>().with_timezone("+00:00"))
                }
                _ => new_null_array(field.data_type(), rows.len()),
            }
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("valid")
    }

    fn check(batches: &[Vec<Row>]) {
        let given: Vec<RecordBatch> = batches.iter().map(|rows| batch(rows)).collect();
        let sorted = gather(Table::Errors, &given).expect("sorted");
        let names = sorted.column(2).as_string::<i32>().iter();
        let times = sorted.column(3).as_primitive::<TimestampMicrosecondType>().iter();
        let found: Vec<Row> = names.map(|name| name.map(str::to_owned)).zip(times).collect();
        let mut expected: Vec<Row> = batches.concat();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_widest_times_are_sorted_too() {
        let names = [None, Some("a".to_owned()), Some("b".to_owned())];
        let times = [None, Some(i64::MIN), Some(-1), Some(0), Some(i64::MAX), Some(i64::MAX - 1)];
        let rows: Vec<Row> = names.iter().flat_map(|name| times.iter().rev().map(|time| (name.clone(), *time))).collect();
        check(&[rows]);
    }

    proptest! {
        #[test]
        fn rows_come_out_as_a_plain_sort_would_give_them(
            batches in prop::collection::vec(prop::collection::vec((prop::option::of("[a-d]{0,2}"), prop::option::of(any::<i32>().prop_map(i64::from))), 1..20), 1..5)
        ) {
            check(&batches);
        }
    }
}
