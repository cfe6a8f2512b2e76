//! What is written is read back by the library's reader: values, pages by their bounds, and what the footer says.

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::basic::Encoding;
use parquet::file::metadata::PageIndexPolicy;
use proptest::prelude::*;

use super::*;
use crate::tables::TableBatch;
use crate::tables::layout::tests::{any_row, batches_of, encoded, layout, piled};
use crate::tables::rows::{InvocationRow, RowBuilders};

/// A file with these row groups of a pile in the table's own schema.
fn file(table: Table, pile: &Pile, groups: &[&[u32]]) -> Bytes {
    let columns = ArrowSchemaConverter::new().convert(&table.schema()).expect("valid");
    let mut writer = SerializedFileWriter::new(Vec::new(), columns.root_schema_ptr(), Arc::default()).expect("a file");
    let mut chunks = Chunks::new().expect("memory");
    for rows in groups {
        let mut group = writer.next_row_group().expect("a group");
        for (index, descr) in columns.columns().iter().enumerate() {
            let column = pile.column(index);
            let style = style(table, descr.name(), table.columns()[index].kind);
            let chunk = chunks.encode(column, rows, descr, style).expect("a chunk");
            group.append_column(&chunk.bytes, chunk.close).expect("appended");
        }
        group.close().expect("closed");
    }
    writer.into_inner().expect("written").into()
}

fn reader(file: Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("a file of Parquet")
}

fn read(table: Table, builder: ParquetRecordBatchReaderBuilder<Bytes>) -> RecordBatch {
    let batches: Vec<RecordBatch> = builder.build().expect("a reader").map(|batch| batch.expect("rows")).collect();
    let all = arrow_select::concat::concat_batches(&batches[0].schema(), &batches).expect("one schema");
    // Parquet says UTC, the tables +00:00.
    let columns = all.columns().iter().zip(table.columns()).map(|(column, of)| -> arrow_array::ArrayRef {
        match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => Arc::new(times.clone().with_data_type(of.kind.arrow())),
            None => Arc::clone(column),
        }
    });
    RecordBatch::try_new(table.schema(), columns.collect()).expect("the table's schema")
}

proptest! {
    #[test]
    fn rows_are_read_back_in_the_order_they_were_written(
        rows in prop::collection::vec(any_row(), 1..60), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..80), split in any::<prop::sample::Index>()
    ) {
        let picks: Vec<u32> = picks.iter().map(|pick| u32::try_from(pick.index(rows.len())).expect("few")).collect();
        for batch in batches_of(&rows) {
            let table = batch.table;
            let mut pile = Pile::new(table, &table.schema());
            piled(&mut pile, &batch);
            let (one, other) = picks.split_at(split.index(picks.len()));
            let groups: Vec<&[u32]> = [one, other].into_iter().filter(|group| !group.is_empty()).collect();
            let read = read(table, reader(file(table, &pile, &groups)));
            let stored = layout(table).decode(&encoded(&batch)).expect("a batch");
            prop_assert_eq!(read, take_record_batch(&stored, &UInt32Array::from(picks.clone())).expect("taken"));
        }
    }
}

/// Rows of several pages: some columns repeat, some never, some now and then, one is NULL.
fn many(rows: u32) -> TableBatch {
    let mut builders = RowBuilders::new();
    for row in 0..rows {
        let noise = row.wrapping_mul(2_654_435_761);
        let invocation = InvocationRow {
            invocation_id: format!("{noise:08x}-{row}").into(),
            function_id: (row % 1000 != 7).then(|| format!("function-{:02}", row / 1500).into()),
            version: Some(["1", "2", "3"][noise as usize % 3].into()),
            started_at: 1_795_564_800_000_000 + i64::from(noise >> 8),
            duration_ms: (noise % 5 > 0).then(|| f64::from(noise) / 1e6),
            success: noise % 50 > 0,
            error_message: (noise % 9 == 0).then(|| format!("{row} is not {noise}").into()),
            memory_used_bytes: Some(i64::from(noise % 96) << 20),
            client_ip: Some(if row % 2 == 0 { "same".into() } else { format!("{noise:032x}").into() }),
            region: Some("eu-west-1".into()),
            ..InvocationRow::default()
        };
        builders.push_invocation(&invocation).expect("room");
    }
    builders.finish().remove(0)
}

#[test]
fn many_rows_are_read_back_whole_and_by_page() {
    let (table, batch) = (Table::Invocations, many(70_000));
    let mut pile = Pile::new(table, &table.schema());
    piled(&mut pile, &batch);
    let rows: Vec<u32> = (0..70_000).collect();
    let file = file(table, &pile, &[&rows]);
    assert_eq!(read(table, reader(file.clone())), batch.batch);
    let some = RowSelection::from(vec![
        RowSelector::skip(41_234),
        RowSelector::select(100),
        RowSelector::skip(20_000),
        RowSelector::select(5),
    ]);
    let picked: Vec<u32> = (41_234..41_334).chain(61_334..61_339).collect();
    let expected = take_record_batch(&batch.batch, &UInt32Array::from(picked)).expect("taken");
    assert_eq!(read(table, reader(file).with_row_selection(some)), expected);
}

#[test]
fn the_footer_says_how_columns_are_encoded_and_what_their_pages_hold() {
    let (table, batch) = (Table::Invocations, many(70_000));
    let mut pile = Pile::new(table, &table.schema());
    piled(&mut pile, &batch);
    let rows: Vec<u32> = (0..70_000).collect();
    let metadata = Arc::clone(reader(file(table, &pile, &[&rows])).metadata());
    let column = |name: &str| {
        let index = table.column(name).expect("a column");
        (metadata.row_group(0).column(index).clone(), &metadata.column_index().expect("an index")[0][index])
    };
    let is_encoded = |name: &str, encoding: Encoding| column(name).0.encodings().any(|of| of == encoding);
    assert!(
        is_encoded("invocation_id", Encoding::DELTA_LENGTH_BYTE_ARRAY) && !is_encoded("invocation_id", Encoding::RLE_DICTIONARY)
    );
    assert!(is_encoded("client_ip", Encoding::DELTA_LENGTH_BYTE_ARRAY), "half of them are distinct");
    assert!(is_encoded("memory_used_bytes", Encoding::RLE_DICTIONARY) && is_encoded("region", Encoding::RLE_DICTIONARY));
    assert!(is_encoded("started_at", Encoding::DELTA_BINARY_PACKED) && is_encoded("duration_ms", Encoding::BYTE_STREAM_SPLIT));
    let (function, pages) = column("function_id");
    let statistics = function.statistics().expect("statistics");
    assert_eq!(statistics.min_bytes_opt(), Some(&b"function-00"[..]));
    assert_eq!(statistics.max_bytes_opt(), Some(&b"function-46"[..]));
    assert_eq!(statistics.null_count_opt(), Some(70));
    let parquet::file::page_index::column_index::ColumnIndexMetaData::BYTE_ARRAY(pages) = pages else { panic!("{pages:?}") };
    assert_eq!(pages.min_value(1), Some(&b"function-13"[..]));
    assert_eq!(pages.max_value(3), Some(&b"function-46"[..]));
    assert_eq!(column("colo").0.statistics().and_then(Statistics::null_count_opt), Some(70_000));
    assert_eq!(column("duration_ms").0.statistics().and_then(Statistics::null_count_opt), Some(13_999));
    assert!(column("invocation_id").0.statistics().is_some_and(|of| of.min_bytes_opt().is_none()), "ids have no bounds");
}

#[test]
fn bounds_of_long_text_are_cut_to_a_prefix_and_to_what_is_above_it() {
    let long = "a".repeat(20);
    assert_eq!(prefix(&long), "a".repeat(16));
    assert_eq!(above(&long), Some(format!("{}b", "a".repeat(15))));
    assert_eq!(above("short"), Some("short".to_owned()));
    assert_eq!(above(&"\u{10FFFF}".repeat(17)), None);
    assert_eq!(above(&format!("{}\u{D7FF}xx", "a".repeat(15))), Some(format!("{}\u{E000}", "a".repeat(15))));
}
