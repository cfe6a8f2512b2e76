use proptest::prelude::*;

use super::*;
use crate::tables::rows::{Cell, DeploymentRow, ErrorRow, InvocationRow, RateLimitRow, RowBuilders};
use crate::tables::{Additions, Clearance, Columns, Raw, TableBatch};

fn cleared(batch: TableBatch) -> Cleared {
    Clearance::of(Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]), &Columns::NONE.into(), [].into_iter())
        .unwrap()
        .clear(batch)
}

fn layout(table: Table) -> Layout {
    Layout::parse(&schema_bytes(table, &table.schema())).unwrap()
}

fn encoded(batch: &TableBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    cleared(batch.clone()).encode(&mut bytes);
    bytes
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
struct AnyRow {
    id: String,
    text: Option<String>,
    more: Option<String>,
    time: i64,
    number: Option<i64>,
    double: Option<f64>,
    flag: Option<bool>,
}

fn any_row() -> impl Strategy<Value = AnyRow> {
    let text = || proptest::option::of(".{0,12}");
    (".{0,40}", text(), text(), any::<i64>(), any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<bool>>())
        .prop_map(|(id, text, more, time, number, double, flag)| AnyRow { id, text, more, time, number, double, flag })
}

/// The same random rows in all four tables.
fn batches_of(rows: &[AnyRow]) -> Vec<TableBatch> {
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
