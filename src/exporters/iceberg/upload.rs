//! One data file: Parquet streamed into the warehouse, and what the manifest says of it.
//!
//! | file | what it holds |
//! |---|---|
//! | `chunk` | one column of a row group: which encoding, and its values |
//! | `pages` | its pages, compressed, and what the footer says of them |
//! | `packed` | the encodings of Parquet that are written |

mod chunk;
mod packed;
mod pages;

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::Error;
use iceberg::io::FileWrite;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, PrimitiveType, Struct};
use parquet::arrow::ArrowSchemaConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::schema::Target;
use crate::tables::layout::pile::{Pile, Values};
use crate::tables::{ColumnType, Raw, Table};
pub(super) use chunk::Chunks;
use chunk::Style;
use pages::BoundsOf;

/// Characters of a string that a bound keeps: Iceberg's own default.
const BOUND_CHARACTERS: usize = 16;

/// A data file that is being written.
pub(super) struct Upload {
    /// What is written stands in its buffer until it is sent.
    writer: SerializedFileWriter<Vec<u8>>,
    columns: SchemaDescriptor,
    file: Box<dyn FileWrite>,
    path: String,
    /// How often sorted rows were appended.
    runs: usize,
    /// NaN values by field of the schema.
    nans: HashMap<usize, u64>,
}

/// How a column is written; measured, with the figures in docs/performance.md. What is random is not hashed for a dictionary.
fn style(table: Table, name: &str, kind: ColumnType) -> Style {
    let raw = table.column(name).map_or(Raw::Text, |index| table.columns()[index].raw);
    match (kind, raw) {
        (ColumnType::String, Raw::Id) => Style { is_distinct: true, bounds: BoundsOf::Nothing },
        (ColumnType::String, Raw::Address) => Style { is_distinct: false, bounds: BoundsOf::Nothing },
        (ColumnType::String, _) if is_long(name) => Style { is_distinct: false, bounds: BoundsOf::Nothing },
        (ColumnType::Timestamp, _) => Style { is_distinct: true, bounds: BoundsOf::Pages },
        _ if table.sort_by().contains(&name) => Style { is_distinct: false, bounds: BoundsOf::Pages },
        _ => Style { is_distinct: false, bounds: BoundsOf::Chunk },
    }
}

/// Free text, whose least and greatest value help nobody.
fn is_long(column: &str) -> bool {
    matches!(column, "error_message" | "stack_trace" | "rollback_reason")
}

impl Upload {
    pub(super) async fn create(target: &Target, path: String) -> Result<Upload, Error> {
        let file = target.io.new_output(&path)?.writer().await?;
        let columns = ArrowSchemaConverter::new().convert(&target.arrow).map_err(parquet)?;
        let properties =
            WriterProperties::builder().set_created_by(concat!("floe version ", env!("CARGO_PKG_VERSION")).to_owned()).build();
        let writer = SerializedFileWriter::new(Vec::new(), columns.root_schema_ptr(), Arc::new(properties)).map_err(parquet)?;
        Ok(Upload { writer, columns, file, path, runs: 0, nans: HashMap::new() })
    }

    /// Appends row groups: rows of a pile in the schema [`Target::rows`], sorted all together.
    pub(super) async fn append(
        &mut self,
        target: &Target,
        chunks: &mut Chunks,
        pile: &Pile,
        groups: impl Iterator<Item = &[u32]>,
    ) -> Result<(), Error> {
        self.runs += 1;
        for rows in groups {
            self.group(target, chunks, pile, rows).map_err(parquet)?;
            self.send().await?;
        }
        Ok(())
    }

    fn group(&mut self, target: &Target, chunks: &mut Chunks, pile: &Pile, rows: &[u32]) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (index, descr) in self.columns.columns().iter().enumerate() {
            let field = self.columns.get_column_root_idx(index);
            let column = target.sources.get(field).copied().flatten().and_then(|source| pile.column(source));
            let name = target.arrow.fields().get(field).map_or("", |field| field.name());
            let style =
                column.map_or(style(target.table, name, ColumnType::String), |column| style(target.table, name, column.kind()));
            let chunk = chunks.encode(column, rows, descr, style)?;
            group.append_column(&chunk.bytes, chunk.close)?;
            if let Some((column, Values::Doubles(values))) = column.map(|column| (column, column.values())) {
                let nans = rows.iter().filter(|row| column.is_present(**row) && values[**row as usize].is_nan()).count();
                *self.nans.entry(field).or_default() += nans as u64;
            }
        }
        group.close()?;
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|error| parquet(error.into()))?;
        let bytes = std::mem::take(self.writer.inner_mut());
        self.file.write(bytes.into()).await
    }

    /// Bytes that went out.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Ends the file; it is in the warehouse when this returns.
    pub(super) async fn finish(mut self, target: &Target, partition: Struct) -> Result<DataFile, Error> {
        let metadata = self.writer.finish().map_err(parquet)?;
        self.send().await?;
        self.file.close().await?;
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
mod tests;
