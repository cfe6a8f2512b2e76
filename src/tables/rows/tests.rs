use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, TimestampMicrosecondType};

use super::*;

/// 2026-11-24T23:59:59.999999Z
const LATE: i64 = 1_795_564_799_999_999;

fn one_of_each(rows: &mut RowBuilders) {
    rows.push_invocation(&InvocationRow { invocation_id: "i".into(), started_at: LATE, ..Default::default() }).unwrap();
    rows.push_rate_limit(&RateLimitRow { event_id: "r".into(), occurred_at: LATE, ..Default::default() }).unwrap();
    rows.push_deployment(&DeploymentRow { deployment_id: "d".into(), deployed_at: LATE, ..Default::default() }).unwrap();
    rows.push_error(&ErrorRow { error_id: "e".into(), occurred_at: LATE, ..Default::default() }).unwrap();
}

#[test]
fn every_table_gets_the_columns_of_its_schema() {
    let mut rows = RowBuilders::new();
    one_of_each(&mut rows);
    let batches = rows.finish();
    assert_eq!(batches.iter().map(|batch| batch.table).collect::<Vec<_>>(), Table::ALL);
    for TableBatch { table, batch } in batches {
        assert_eq!(batch.schema(), table.schema());
        assert_eq!(batch.num_rows(), 1);
    }
}

#[test]
fn a_table_without_rows_gets_no_batch() {
    let mut rows = RowBuilders::new();
    rows.push_error(&ErrorRow::default()).unwrap();
    let tables: Vec<Table> = rows.finish().iter().map(|batch| batch.table).collect();
    assert_eq!(tables, [Table::Errors]);
    assert!(RowBuilders::new().finish().is_empty());
}

#[test]
fn date_and_hour_are_those_of_the_event_in_utc() {
    let mut rows = RowBuilders::new();
    for started_at in [LATE, LATE + 1, -1] {
        rows.push_invocation(&InvocationRow { started_at, ..Default::default() }).unwrap();
    }
    let batch = rows.finish().remove(0).batch;
    assert_eq!(batch["date"].as_primitive::<Date32Type>().values().to_vec(), [20_781, 20_782, -1]);
    assert_eq!(batch["hour"].as_primitive::<Int32Type>().values().to_vec(), [23, 0, 23]);
    assert_eq!(batch["started_at"].as_primitive::<TimestampMicrosecondType>().value(0), LATE);
}

#[test]
fn what_is_absent_is_null_and_what_is_there_stands_in_its_row() {
    let mut rows = RowBuilders::new();
    let full = InvocationRow {
        invocation_id: "id".into(),
        function_id: Some("checkout".into()),
        duration_ms: Some(1.5),
        success: true,
        cold_start: Some(true),
        error_message: Some("".into()),
        ..Default::default()
    };
    rows.push_invocation(&InvocationRow::default()).unwrap();
    rows.push_invocation(&full).unwrap();
    let batch = rows.finish().remove(0).batch;
    for column in ["function_id", "duration_ms", "cold_start", "error_message"] {
        assert!(batch[column].is_null(0) && batch[column].is_valid(1), "{column}");
    }
    assert_eq!(batch["function_id"].as_string::<i32>().value(1), "checkout");
    assert_eq!(batch["duration_ms"].as_primitive::<Float64Type>().value(1).to_bits(), 1.5f64.to_bits());
    assert_eq!(batch["error_message"].as_string::<i32>().value(1), "");
    assert!(!batch["success"].as_boolean().value(0) && batch["success"].as_boolean().value(1));
    assert_eq!(batch["colo"].null_count(), 2);
}

#[test]
fn a_request_that_asks_for_too_much_text_is_cut_and_told() {
    let mut rows = RowBuilders::new();
    let half = "x".repeat(MAX_TEXT_BYTES / 2);
    let row = ErrorRow { stack_trace: Some(half.as_str().into()), ..Default::default() };
    assert_eq!(rows.push_error(&row), Ok(()));
    assert_eq!(rows.push_error(&row), Ok(()));
    assert_eq!(rows.push_error(&ErrorRow { error_id: "one more byte".into(), ..Default::default() }), Err(RowsFull));
    assert_eq!(rows.push_error(&ErrorRow::default()), Ok(()));
    assert_eq!(rows.finish()[0].batch.num_rows(), 3);
}
