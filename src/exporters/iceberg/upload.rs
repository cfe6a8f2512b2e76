//! One data file: Parquet streamed into the warehouse, and what the manifest says of it.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use iceberg::Error;
use iceberg::io::FileWrite;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, PrimitiveType, Struct};
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;

use super::schema::Target;
use crate::tables::{ColumnType, Raw, Table};

/// Characters of a string that a bound keeps: Iceberg's own default.
const BOUND_CHARACTERS: usize = 16;

/// A data file that is being written.
pub(super) struct Upload {
    writer: AsyncArrowWriter<Sink>,
    path: String,
    /// How often sorted rows were appended.
    runs: usize,
    /// NaN values by column of the file.
    nans: HashMap<usize, u64>,
}

struct Sink(Box<dyn FileWrite>);

impl AsyncFileWriter for Sink {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), ParquetError>> {
        Box::pin(async { self.0.write(bytes).await.map_err(|error| ParquetError::External(Box::new(error))) })
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<(), ParquetError>> {
        Box::pin(async { self.0.close().await.map_err(|error| ParquetError::External(Box::new(error))) })
    }
}

/// How the table's columns are encoded; measured, with the figures in docs/performance.md. What is random is not hashed for a dictionary,
/// and zstd above level 1 makes files larger.
pub(super) fn properties(table: Table, row_group_rows: usize) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // A bound must hold for every row group: no group's may be cut short.
        .set_statistics_truncate_length(None)
        .set_created_by(concat!("floe ", env!("CARGO_PKG_VERSION")).to_owned());
    for column in table.columns() {
        let path = ColumnPath::from(column.name);
        properties = match (column.kind, column.raw) {
            (ColumnType::String, Raw::Id) => properties
                .set_column_encoding(path.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            (ColumnType::String, _) if is_long(column.name) => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
            (ColumnType::String, _) if table.sort_by().contains(&column.name) => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::Page)
            }
            (ColumnType::String, _) => properties.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY),
            (ColumnType::Timestamp, _) => properties
                .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::Page),
            (ColumnType::Double, _) => properties
                .set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT)
                .set_column_dictionary_enabled(path, false),
            _ => properties,
        };
    }
    properties.build()
}

/// Free text, whose least and greatest value help nobody.
fn is_long(column: &str) -> bool {
    matches!(column, "error_message" | "stack_trace" | "rollback_reason")
}

impl Upload {
    pub(super) async fn create(target: &Target, path: String, properties: WriterProperties) -> Result<Upload, Error> {
        let sink = Sink(target.io.new_output(&path)?.writer().await?);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = AsyncArrowWriter::try_new_with_options(sink, target.arrow.clone(), options).map_err(parquet)?;
        Ok(Upload { writer, path, runs: 0, nans: HashMap::new() })
    }

    /// Appends sorted rows in the target's schema as row groups of their own.
    pub(super) async fn append(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        for (index, column) in rows.columns().iter().enumerate() {
            if let Some(doubles) = column.as_any().downcast_ref::<arrow_array::Float64Array>() {
                let nans = doubles.iter().flatten().filter(|value| value.is_nan()).count();
                *self.nans.entry(index).or_default() += nans as u64;
            }
        }
        self.runs += 1;
        self.writer.write(rows).await.map_err(parquet)?;
        self.writer.flush().await.map_err(parquet)
    }

    /// Bytes that went out.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Ends the file; it is in the warehouse when this returns.
    pub(super) async fn finish(mut self, target: &Target, partition: Struct) -> Result<DataFile, Error> {
        let metadata = self.writer.finish().await.map_err(parquet)?;
        let size = self.bytes();
        let metrics = Metrics::of(target, &metadata);
        let nans = self.nans.iter().filter_map(|(index, nans)| Some((target.schema.as_struct().fields().get(*index)?.id, *nans)));
        let mut builder = DataFileBuilder::default();
        builder
            .content(DataContentType::Data)
            .file_path(self.path)
            .file_format(DataFileFormat::Parquet)
            .partition(partition)
            .partition_spec_id(target.shape.spec)
            .record_count(u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default())
            .file_size_in_bytes(size)
            .column_sizes(metrics.sizes)
            .value_counts(metrics.values)
            .null_value_counts(metrics.nulls)
            .nan_value_counts(nans.collect())
            .lower_bounds(metrics.lower)
            .upper_bounds(metrics.upper)
            .split_offsets(Some(metadata.row_groups().iter().filter_map(RowGroupMetaData::file_offset).collect()));
        // Row groups are sorted each for itself: only a file of one run is sorted as a whole.
        if let (Some(order), 1) = (target.sort_order, self.runs) {
            builder.sort_order_id(order);
        }
        builder.build().map_err(|error| Error::new(iceberg::ErrorKind::Unexpected, error.to_string()))
    }
}

/// What a manifest tells of a file's columns, by field id.
#[derive(Default)]
struct Metrics {
    sizes: HashMap<i32, u64>,
    values: HashMap<i32, u64>,
    nulls: HashMap<i32, u64>,
    lower: HashMap<i32, Datum>,
    upper: HashMap<i32, Datum>,
}

impl Metrics {
    fn of(target: &Target, metadata: &ParquetMetaData) -> Metrics {
        let mut metrics = Metrics::default();
        for (index, field) in target.schema.as_struct().fields().iter().enumerate() {
            let chunks = || metadata.row_groups().iter().filter_map(move |group| group.columns().get(index));
            let unsigned = |n: i64| u64::try_from(n).unwrap_or_default();
            metrics.sizes.insert(field.id, chunks().map(|chunk| unsigned(chunk.compressed_size())).sum());
            metrics.values.insert(field.id, chunks().map(|chunk| unsigned(chunk.num_values())).sum());
            let Some(statistics) = chunks().map(|chunk| chunk.statistics()).collect::<Option<Vec<&Statistics>>>() else {
                continue;
            };
            if let Some(nulls) = statistics.iter().map(|of| of.null_count_opt()).sum::<Option<u64>>() {
                metrics.nulls.insert(field.id, nulls);
            }
            let Some(kind) = field.field_type.as_primitive_type() else { continue };
            if let Some((lower, upper)) = bounds(kind, &statistics) {
                metrics.lower.insert(field.id, lower);
                metrics.upper.extend(upper.map(|upper| (field.id, upper)));
            }
        }
        metrics
    }
}

/// The least and the greatest value over all row groups. `None` if there is no value, or none that can be ordered.
fn bounds(kind: &PrimitiveType, groups: &[&Statistics]) -> Option<(Datum, Option<Datum>)> {
    let mut bounds: Option<(Datum, Datum)> = None;
    for group in groups {
        let Some((low, high)) = range(kind, group)? else { continue };
        bounds = Some(match bounds {
            None => (low, high),
            Some((lower, upper)) => (if low < lower { low } else { lower }, if high > upper { high } else { upper }),
        });
    }
    let (lower, upper) = bounds?;
    if *kind != PrimitiveType::String {
        return Some((lower, Some(upper)));
    }
    Some((Datum::string(prefix(&text(&lower))), above(&text(&upper)).map(Datum::string)))
}

/// Of one row group: `None` if its statistics do not say, `Some(None)` if it holds NULL only.
#[expect(clippy::option_option, reason = "not known and nothing there are two answers")]
fn range(kind: &PrimitiveType, group: &Statistics) -> Option<Option<(Datum, Datum)>> {
    let both = |low: Option<Datum>, high: Option<Datum>| low.zip(high);
    let found = match (group, kind) {
        (Statistics::Boolean(of), _) => both(of.min_opt().map(|v| Datum::bool(*v)), of.max_opt().map(|v| Datum::bool(*v))),
        (Statistics::Int32(of), PrimitiveType::Date) => {
            both(of.min_opt().map(|v| Datum::date(*v)), of.max_opt().map(|v| Datum::date(*v)))
        }
        (Statistics::Int32(of), _) => both(of.min_opt().map(|v| Datum::int(*v)), of.max_opt().map(|v| Datum::int(*v))),
        (Statistics::Int64(of), PrimitiveType::Timestamptz) => {
            both(of.min_opt().map(|v| Datum::timestamptz_micros(*v)), of.max_opt().map(|v| Datum::timestamptz_micros(*v)))
        }
        (Statistics::Int64(of), PrimitiveType::Timestamp) => {
            both(of.min_opt().map(|v| Datum::timestamp_micros(*v)), of.max_opt().map(|v| Datum::timestamp_micros(*v)))
        }
        (Statistics::Int64(of), _) => both(of.min_opt().map(|v| Datum::long(*v)), of.max_opt().map(|v| Datum::long(*v))),
        (Statistics::Double(of), _) => both(of.min_opt().map(|v| Datum::double(*v)), of.max_opt().map(|v| Datum::double(*v))),
        (Statistics::ByteArray(of), PrimitiveType::String) => {
            let text =
                |bytes: Option<&parquet::data_type::ByteArray>| Some(Datum::string(std::str::from_utf8(bytes?.data()).ok()?));
            both(text(of.min_opt()), text(of.max_opt()))
        }
        _ => None,
    };
    let empty = group.min_bytes_opt().is_none() && group.max_bytes_opt().is_none();
    if found.is_none() && !empty { None } else { Some(found) }
}

fn text(datum: &Datum) -> String {
    match datum.literal() {
        iceberg::spec::PrimitiveLiteral::String(text) => text.clone(),
        _ => String::new(),
    }
}

/// The first characters: not above the whole.
fn prefix(text: &str) -> String {
    text.chars().take(BOUND_CHARACTERS).collect()
}

/// The shortest text of few characters that is not below `text`; `None` if there is none.
fn above(text: &str) -> Option<String> {
    let mut characters: Vec<char> = text.chars().take(BOUND_CHARACTERS).collect();
    if characters.len() == text.chars().count() {
        return Some(text.to_owned());
    }
    while let Some(last) = characters.pop() {
        let next = if last == '\u{D7FF}' { '\u{E000}' as u32 } else { u32::from(last) + 1 };
        if let Some(next) = char::from_u32(next) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

fn parquet(error: ParquetError) -> Error {
    Error::new(iceberg::ErrorKind::Unexpected, "the data file cannot be written").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_long_text_are_cut_to_a_prefix_and_to_what_is_above_it() {
        let long = "a".repeat(20);
        assert_eq!(prefix(&long), "a".repeat(16));
        assert_eq!(above(&long), Some(format!("{}b", "a".repeat(15))));
        assert_eq!(above("short"), Some("short".to_owned()));
        assert_eq!(above(&"\u{10FFFF}".repeat(17)), None);
        assert_eq!(above(&format!("{}\u{D7FF}xx", "a".repeat(15))), Some(format!("{}\u{E000}", "a".repeat(15))));
    }

    #[test]
    fn every_column_of_every_table_has_a_setting_that_parquet_takes() {
        for table in Table::ALL {
            assert_eq!(properties(table, 7).max_row_group_row_count(), Some(7));
        }
    }
}
