use proptest::prelude::*;

use super::pile::Pile;
use super::*;
use arrow_array::StringArray;

use crate::tables::rows::{Cell, DeploymentRow, ErrorRow, InvocationRow, RateLimitRow, RowBuilders};
use crate::tables::{Additions, Clearance, Columns, Raw, TableBatch};

fn cleared(batch: TableBatch) -> Cleared {
    Clearance::of(Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]), &Columns::NONE.into(), [].into_iter())
        .unwrap()
        .clear(batch)
}

pub(crate) fn layout(table: Table) -> Layout {
    Layout::parse(&schema_bytes(table, &table.schema())).unwrap()
}

pub(crate) fn encoded(batch: &TableBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    cleared(batch.clone()).encode(&mut bytes);
    bytes
}

/// Appends a batch as the log has it.
pub(crate) fn piled(pile: &mut Pile, batch: &TableBatch) {
    let layout = layout(batch.table);
    let places = Pile::places(&layout, &batch.table.schema()).unwrap();
    pile.append(&layout, &places, &encoded(batch)).unwrap();
}

/// As large as a row of a usual request: derived id, hashed address, no error.
fn usual(row: usize) -> InvocationRow<'static> {
    InvocationRow {
        invocation_id: format!("1f0c8a52-6f35-8b1e-9d3a-{row:012x}").into(),
        function_id: Some("checkout-api".into()),
        language: Some("javascript".into()),
        version: Some("v1.42.0".into()),
        started_at: 1_795_564_799_999_999,
        duration_ms: Some(12.345),
        success: true,
        cold_start: Some(false),
        memory_used_bytes: Some(134_217_728),
        client_ip: Some(format!("{row:032x}").into()),
        region: Some("eu-central-1".into()),
        colo: Some("FRA".into()),
        ..InvocationRow::default()
    }
}

fn usual_batch(rows: usize) -> TableBatch {
    let mut builders = RowBuilders::new();
    (0..rows).for_each(|row| builders.push_invocation(&usual(row)).unwrap());
    builders.finish().remove(0)
}

#[derive(Clone, Debug)]
pub(crate) struct AnyRow {
    id: String,
    text: Option<String>,
    more: Option<String>,
    time: i64,
    number: Option<i64>,
    double: Option<f64>,
    flag: Option<bool>,
}

pub(crate) fn any_row() -> impl Strategy<Value = AnyRow> {
    let text = || proptest::option::of(".{0,12}");
    (".{0,40}", text(), text(), any::<i64>(), any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<bool>>())
        .prop_map(|(id, text, more, time, number, double, flag)| AnyRow { id, text, more, time, number, double, flag })
}

/// The same random rows in all four tables.
pub(crate) fn batches_of(rows: &[AnyRow]) -> Vec<TableBatch> {
    let mut builders = RowBuilders::new();
    for row in rows {
        let (id, text, more) = (&*row.id, row.text.as_deref().map(Into::into), row.more.as_deref().map(Into::into));
        let invocation = InvocationRow {
            invocation_id: id.into(),
            function_id: text.clone(),
            started_at: row.time,
            duration_ms: row.double,
            success: row.flag.unwrap_or_default(),
            cold_start: row.flag,
            memory_used_bytes: row.number,
            colo: more.clone(),
            ..Default::default()
        };
        builders.push_invocation(&invocation).unwrap();
        let limit_value = row.number.and_then(|number| i32::try_from(number >> 32).ok());
        let limit = RateLimitRow {
            event_id: id.into(),
            limit_value,
            client_ip: more.clone(),
            occurred_at: row.time,
            ..Default::default()
        };
        builders.push_rate_limit(&limit).unwrap();
        let deployment =
            DeploymentRow { deployment_id: id.into(), code_size_bytes: row.number, status: text.clone(), ..Default::default() };
        builders.push_deployment(&deployment).unwrap();
        builders
            .push_error(&ErrorRow { error_id: id.into(), error_type: text, stack_trace: more, ..Default::default() })
            .unwrap();
    }
    builders.finish()
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_whatever_the_rows(rows in prop::collection::vec(any_row(), 1..40), from in 0..40usize) {
        for TableBatch { table, batch } in batches_of(&rows) {
            // A filter leaves batches whose arrays begin in the middle of their buffers.
            let from = from.min(batch.num_rows() - 1);
            for batch in [batch.slice(from, batch.num_rows() - from), batch] {
                let batch = TableBatch { table, batch };
                let read = layout(table).decode(&encoded(&batch)).unwrap();
                prop_assert_eq!(read, batch.batch);
            }
        }
    }

    #[test]
    fn any_bytes_give_a_batch_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for table in Table::ALL {
            if let Ok(batch) = layout(table).decode(&bytes) {
                prop_assert!(batch.num_rows() <= 8 * bytes.len());
            }
        }
        let _ = Layout::parse(&bytes);
    }
}

#[test]
fn a_batch_that_ends_anywhere_is_an_error_and_so_is_one_that_goes_on() {
    let bytes = encoded(&usual_batch(3));
    let layout = layout(Table::Invocations);
    for cut in 0..bytes.len() {
        assert!(layout.decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(layout.decode(&longer), Err(LayoutError::Trailing(1)));
}

#[test]
fn a_flipped_bit_never_panics_and_never_makes_rows() {
    let bytes = encoded(&usual_batch(3));
    let layout = layout(Table::Invocations);
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(batch) = layout.decode(&flipped) {
            assert!(batch.num_rows() <= 3, "bit {bit}");
        }
    }
}

#[test]
fn a_count_without_the_bytes_for_it_is_refused_before_anything_is_made() {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, u64::MAX);
    bytes.extend([ALL_NULL; 16]);
    let refused = Err(LayoutError::TooManyRows { rows: u64::MAX, bytes: bytes.len() });
    assert_eq!(layout(Table::Invocations).decode(&bytes), refused);
}

#[test]
fn a_row_alone_and_a_row_of_many_are_small() {
    assert!(encoded(&usual_batch(1)).len() < 250, "{}", encoded(&usual_batch(1)).len());
    assert!(encoded(&usual_batch(500)).len() / 500 < 180, "{}", encoded(&usual_batch(500)).len() / 500);
}

#[test]
fn rows_of_an_earlier_version_get_the_columns_of_this_one() {
    let stored = br#"{"layout":1,"table":"errors","columns":[{"name":"error_id","type":"string"},{"name":"gone","type":"int"}]}"#;
    let layout = Layout::parse(stored).unwrap();
    let bytes = [1, NO_NULL, 1, b'e', NO_NULL, 7, 0, 0, 0];
    let batch = layout.decode_conformed(&bytes, &Table::Errors.schema()).unwrap();
    assert_eq!(batch.schema(), Table::Errors.schema());
    assert_eq!(batch["error_id"].as_string::<i32>().value(0), "e");
    assert_eq!(batch["stack_trace"].null_count(), 1);
    assert!(batch.column_by_name("gone").is_none());
}

#[test]
fn added_columns_lie_behind_the_tables_own_and_come_and_go_with_the_schema() {
    let mut additions = Additions::default();
    for (name, kind) in [("tenant", ColumnType::String), ("seen", ColumnType::Timestamp), ("vip", ColumnType::Boolean)] {
        additions.add(Table::Errors, name, kind).unwrap();
    }
    let schemas = additions.schemas();
    let schema = &schemas[Table::Errors.index()];
    let mut rows = RowBuilders::with(&schemas);
    let added = vec![Cell::Time(Some(7)), Cell::Text(Some("acme".into())), Cell::Bool(None)];
    rows.push_error(&ErrorRow { error_id: "a".into(), added, ..ErrorRow::default() }).unwrap();
    rows.push_error(&ErrorRow { error_id: "b".into(), ..ErrorRow::default() }).unwrap();
    let batch = rows.finish().remove(0);
    assert_eq!(batch.batch.schema(), *schema);

    let bytes = encoded(&batch);
    let layout = Layout::parse(&schema_bytes(Table::Errors, schema)).unwrap();
    assert_eq!(layout.decode(&bytes).unwrap(), batch.batch);
    let plain = layout.decode_conformed(&bytes, &Table::Errors.schema()).unwrap();
    assert_eq!(plain.schema(), Table::Errors.schema());
    let wider = cleared(TableBatch { table: Table::Errors, batch: plain }).conformed(schema).unwrap();
    assert_eq!((wider.batch().schema(), wider.batch()["tenant"].null_count()), (Arc::clone(schema), 2));
}

#[test]
fn a_schema_that_this_version_cannot_read_says_so() {
    let check = |schema: &str, expected: &str| {
        let said = Layout::parse(schema.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(expected), "`{said}` does not say `{expected}`");
    };
    check("{", "expected JSON with `layout`, `table` and `columns`");
    check(r#"{"layout":2,"table":"errors","columns":[]}"#, "layout 2, expected 1");
    check(r#"{"layout":1,"table":"visits","columns":[]}"#, "table `visits`");
    check(r#"{"layout":1,"table":"errors","columns":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#, "column `a` twice");

    let changed = br#"{"layout":1,"table":"errors","columns":[{"name":"error_id","type":"int"}]}"#;
    let said = Layout::parse(changed)
        .unwrap()
        .decode_conformed(&[1, NO_NULL, 7, 0, 0, 0], &Table::Errors.schema())
        .unwrap_err()
        .to_string();
    assert!(said.contains("column `error_id` as Int32, the table as Utf8"), "{said}");
}

/// What a pile holds, as one batch.
fn unpiled(table: Table, pile: &Pile) -> RecordBatch {
    use crate::tables::layout::pile::Values;
    let schema = table.schema();
    let columns = schema.fields().iter().enumerate().map(|(index, field)| -> ArrayRef {
        let column = pile.column(index).unwrap();
        let rows = || (0..).take(pile.rows()).map(|row: u32| column.is_present(row).then_some(row));
        let at = |row: u32| row as usize;
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        match column.values() {
            Values::Text(texts) => Arc::new(rows().map(|row| Some(text(texts.value(row?)))).collect::<StringArray>()),
            Values::Coded(coded) => {
                let entry = |row| &*coded.entries()[coded.codes()[at(row)] as usize];
                Arc::new(rows().map(|row| Some(entry(row?))).collect::<StringArray>())
            }
            Values::Longs(values) if column.kind() == ColumnType::Timestamp => {
                let times = rows().map(|row| Some(values[at(row?)])).collect::<arrow_array::TimestampMicrosecondArray>();
                Arc::new(times.with_data_type(field.data_type().clone()))
            }
            Values::Longs(values) => Arc::new(rows().map(|row| Some(values[at(row?)])).collect::<arrow_array::Int64Array>()),
            Values::Doubles(values) => Arc::new(rows().map(|row| Some(values[at(row?)])).collect::<arrow_array::Float64Array>()),
            Values::Ints(values) if column.kind() == ColumnType::Date => {
                Arc::new(rows().map(|row| Some(values[at(row?)])).collect::<arrow_array::Date32Array>())
            }
            Values::Ints(values) => Arc::new(rows().map(|row| Some(values[at(row?)])).collect::<arrow_array::Int32Array>()),
            Values::Flags(values) => Arc::new(rows().map(|row| Some(values[at(row?)])).collect::<BooleanArray>()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn all_of(table: Table, batches: &[Vec<AnyRow>]) -> RecordBatch {
    let of = |rows: &Vec<AnyRow>| batches_of(rows).into_iter().filter(|batch| batch.table == table).map(|batch| batch.batch);
    let batches: Vec<RecordBatch> = batches.iter().flat_map(of).collect();
    arrow_select::concat::concat_batches(&table.schema(), &batches).unwrap()
}

proptest! {
    #[test]
    fn a_pile_holds_what_was_appended_and_keeps_what_it_is_told(
        batches in prop::collection::vec(prop::collection::vec(any_row(), 1..12), 1..5),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        for table in Table::ALL {
            let mut pile = Pile::new(table, &table.schema());
            for rows in &batches {
                batches_of(rows).iter().filter(|batch| batch.table == table).for_each(|batch| piled(&mut pile, batch));
            }
            let all = all_of(table, &batches);
            prop_assert_eq!(&unpiled(table, &pile), &all);
            let picks: Vec<u32> = picks.iter().map(|pick| u32::try_from(pick.index(all.num_rows())).unwrap()).collect();
            pile.keep(&picks);
            let kept = arrow_select::take::take_record_batch(&all, &arrow_array::UInt32Array::from(picks)).unwrap();
            prop_assert_eq!(unpiled(table, &pile), kept);
        }
    }

    #[test]
    fn bytes_that_are_no_batch_leave_a_pile_as_it_was(
        rows in prop::collection::vec(any_row(), 1..12), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()
    ) {
        for batch in batches_of(&rows) {
            let table = batch.table;
            let mut pile = Pile::new(table, &table.schema());
            piled(&mut pile, &batch);
            let layout = layout(table);
            let places = Pile::places(&layout, &table.schema()).unwrap();
            let mut bytes = encoded(&batch);
            prop_assert!(pile.append(&layout, &places, &bytes[..cut.index(bytes.len())]).is_err());
            prop_assert_eq!(unpiled(table, &pile), batch.batch.clone());
            let bit = flip.index(8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The two ways to read a batch agree on what is one.
            let read = layout.decode(&bytes);
            prop_assert_eq!(pile.append(&layout, &places, &bytes).err(), read.err());
            pile.truncate(batch.batch.num_rows());
            prop_assert_eq!(unpiled(table, &pile), batch.batch);
        }
    }
}
