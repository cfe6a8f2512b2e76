//! The order of rows in a file: by the table's columns, ascending, nulls first; one key of 128 bits for every row.

use crate::tables::Table;
use crate::tables::layout::pile::{Pile, Piled, Values};

/// Sorts rows of a pile by [`Table::sort_by`]: a text, then a time.
pub(super) struct Sorter<'a> {
    text: Option<(&'a Piled, &'a [u32])>,
    /// By code: how many texts are less.
    ranks: Vec<u32>,
    time: Option<(&'a Piled, &'a [i64])>,
}

impl<'a> Sorter<'a> {
    pub(super) fn new(table: Table, pile: &'a Pile) -> Sorter<'a> {
        let mut sorter = Sorter { text: None, ranks: Vec::new(), time: None };
        let columns = table.sort_by().iter().filter_map(|name| pile.column(table.column(name)?));
        for column in columns {
            match column.values() {
                Values::Coded(coded) => {
                    sorter.text = Some((column, coded.codes()));
                    let mut texts: Vec<(&str, usize)> = coded.entries().iter().map(AsRef::as_ref).zip(0..).collect();
                    texts.sort_unstable();
                    sorter.ranks = vec![0; texts.len()];
                    for ((_, code), rank) in texts.into_iter().zip(0..) {
                        sorter.ranks[code] = rank;
                    }
                }
                Values::Longs(times) => sorter.time = Some((column, times)),
                _ => {}
            }
        }
        sorter
    }

    /// The rows in their order; equal ones as they came.
    pub(super) fn sort(&self, rows: &[u32]) -> Vec<u32> {
        let mut keys: Vec<u128> = rows.iter().map(|row| self.key(*row)).collect();
        keys.sort_unstable();
        // The lowest 32 bits are the row.
        let row = |key: u128| {
            let [first, second, third, fourth, ..] = key.to_le_bytes();
            u32::from_le_bytes([first, second, third, fourth])
        };
        keys.into_iter().map(row).collect()
    }

    /// Text: 31 bits, as there are no more than rows; whether there is a time; the time; the row. 0 is NULL for both.
    fn key(&self, row: u32) -> u128 {
        let at = row as usize;
        let text =
            self.text.filter(|(column, _)| column.is_present(row)).map_or(0, |(_, codes)| self.ranks[codes[at] as usize] + 1);
        let time = self.time.filter(|(column, _)| column.is_present(row)).map(|(_, times)| times[at]);
        // The sign turned over: the least time is 0.
        let time = time.map_or(0, |time| 1 << 64 | u128::from(time.cast_unsigned() ^ 1 << 63));
        u128::from(text) << 97 | time << 32 | u128::from(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tables::layout::tests::piled;
    use crate::tables::rows::{ErrorRow, RowBuilders};

    type Row = (Option<String>, i64);

    fn check(batches: &[Vec<Row>]) {
        let mut pile = Pile::new(Table::Errors, &Table::Errors.schema());
        for rows in batches {
            let mut builders = RowBuilders::new();
            for (function, time) in rows {
                let row =
                    ErrorRow { function_id: function.as_deref().map(Into::into), occurred_at: *time, ..ErrorRow::default() };
                builders.push_error(&row).expect("room");
            }
            piled(&mut pile, &builders.finish().remove(0));
        }
        let all: Vec<Row> = batches.concat();
        let order = Sorter::new(Table::Errors, &pile).sort(&(0..).take(all.len()).collect::<Vec<u32>>());
        let found: Vec<&Row> = order.iter().map(|row| &all[*row as usize]).collect();
        let mut expected: Vec<&Row> = all.iter().collect();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_widest_times_are_sorted_too() {
        let names = [None, Some("a".to_owned()), Some("b".to_owned())];
        let times = [i64::MIN, -1, 0, i64::MAX, i64::MAX - 1];
        let rows: Vec<Row> = names.iter().flat_map(|name| times.iter().rev().map(|time| (name.clone(), *time))).collect();
        check(&[rows]);
    }

    proptest! {
        #[test]
        fn rows_come_out_as_a_plain_sort_would_give_them(
            batches in prop::collection::vec(prop::collection::vec((prop::option::of("[a-d]{0,2}"), any::<i32>().prop_map(i64::from)), 1..20), 1..5)
        ) {
            check(&batches);
        }
    }
}
