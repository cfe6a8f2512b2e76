//! Requests in the style of each emitter make the rows of their golden files: every column of all four tables, NULLs too.
//!
//! `tests/fixtures/README.md` says how the files are named and how to write them anew.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use serde_json::{Map, Value as Json, json};

use super::*;

/// Set to write the golden files instead of comparing with them: look at the difference before it is kept.
const WRITE: &str = "FLOE_WRITE_GOLDENS";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// The rows of a request as lines of JSON: table after table, columns as they stand in the table, times as PyIceberg prints them.
fn golden(config: &MapConfig, signal: Signal, body: &[u8]) -> String {
    let mut keys = keys_for(signal);
    let mapping = Mapping::new(config, KEY, &mut keys).unwrap();
    let records = decode(signal, Encoding::Json, body, &keys).unwrap();
    let mut tally = Tally { received: records.len() as u64, ..Tally::default() };
    let mut batches = mapping.apply(&records, Timestamp(NOW), &mut tally, &mut None);
    assert!(tally.balances(), "{tally:?}");
    batches.sort_by_key(|batch| Table::ALL.iter().position(|table| *table == batch.table));
    let mut lines = String::new();
    for batch in &batches {
        for row in 0..batch.batch.num_rows() {
            let mut cells = Map::new();
            cells.insert("table".to_owned(), json!(batch.table.name()));
            for (column, values) in batch.table.columns().iter().zip(batch.batch.columns()) {
                cells.insert(column.name.to_owned(), json_cell(values, row));
            }
            lines += &Json::Object(cells).to_string();
            lines.push('\n');
        }
    }
    lines
}

fn json_cell(values: &ArrayRef, row: usize) -> Json {
    if values.is_null(row) {
        return Json::Null;
    }
    match values.data_type() {
        DataType::Utf8 => json!(values.as_string::<i32>().value(row)),
        DataType::Float64 => json!(values.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(values.as_boolean().value(row)),
        DataType::Int64 => json!(values.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => json!(values.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => {
            let date = date32_to_datetime(values.as_primitive::<Date32Type>().value(row)).unwrap();
            json!(date.format("%Y-%m-%d").to_string())
        }
        DataType::Timestamp(..) => {
            let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
            let fraction = if micros % 1_000_000 == 0 { "" } else { "%.6f" };
            let time = timestamp_us_to_datetime(micros).unwrap();
            json!(time.format(&format!("%Y-%m-%d %H:%M:%S{fraction}+00:00")).to_string())
        }
        other => panic!("no column is {other}"),
    }
}

/// The configuration of an emitter's folder; recorded times are old, so no limit of time holds.
fn config_of(emitter: &Path) -> MapConfig {
    let yaml = fs::read_to_string(emitter.join("map.yaml")).unwrap_or_else(|_| "{}".to_owned());
    let off = config("{ max_future_skew: 0, max_event_age: 0 }");
    MapConfig { max_future_skew: off.max_future_skew, max_event_age: off.max_event_age, ..config(&yaml) }
}

fn signal_of(request: &Path) -> Signal {
    let name = request.file_stem().unwrap().to_str().unwrap();
    match name.rsplit('-').next() {
        Some("traces") => Signal::Traces,
        Some("logs") => Signal::Logs,
        _ => panic!("{name}: the name of a request ends in its signal"),
    }
}

#[test]
fn every_emitter_makes_the_rows_of_its_golden_files() {
    let mut compared = 0;
    for emitter in sorted(&fixtures()).into_iter().filter(|path| path.is_dir()) {
        for request in sorted(&emitter).into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
            let found = golden(&config_of(&emitter), signal_of(&request), &fs::read(&request).unwrap());
            let expected = request.with_extension("rows.jsonl");
            if std::env::var_os(WRITE).is_some() {
                fs::write(&expected, &found).unwrap();
            }
            let expected = fs::read_to_string(&expected).unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
            assert_eq!(found, expected, "{}: set {WRITE}=1 if the new rows are meant", request.display());
            compared += 1;
        }
    }
    assert!(compared >= 15, "only {compared} requests found");
}
