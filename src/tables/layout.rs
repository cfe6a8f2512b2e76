//! How a batch lies in the write-ahead log: its columns one after another, plainly.
//!
//! ```text
//! batch    rows: varint, then every column of the schema in its order
//! column   tag: 0 all NULL, 1 no NULL, 2 a bitmap follows (one bit a row, lowest first, 1 is a value)
//!          then the values that are not NULL:
//!   string    their lengths as varints, then their bytes
//!   boolean   one bit for every row, lowest first, 0 where NULL
//!   others    little endian, 8 or 4 bytes each
//! ```
//! Varints are LEB128. The first column never has tag 0, so a batch has at most eight rows a byte and a damaged count cannot ask for much memory.
//! The schema stands apart, once in a segment of the log, as JSON: a later version reads what an earlier one wrote ([`Layout::parse`]) and
//! brings it to its own columns ([`conform`]).
//!
//! Invariant: reading is total. Any bytes give a batch or a [`LayoutError`].

mod decode;
pub mod pile;

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::{Cleared, ColumnType, Table};

/// Written into every schema; other numbers are refused.
const VERSION: u32 = 1;

const ALL_NULL: u8 = 0;
const NO_NULL: u8 = 1;
const BITMAP: u8 = 2;

/// Why held rows cannot be read. Permanent: the same bytes will never be readable by this version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error("the schema of held rows is unreadable, expected JSON with `layout`, `table` and `columns`: {0}")]
    Schema(String),
    #[error("held rows have layout {0}, expected {VERSION}: let the version of floe that wrote them drain the log")]
    Version(u32),
    #[error(
        "held rows belong to table `{0}`, which this version of floe does not have: let the version that wrote them drain the log"
    )]
    UnknownTable(String),
    #[error("the schema of held rows names column `{0}` twice")]
    RepeatedColumn(String),
    #[error("a batch of {bytes} bytes claims {rows} rows")]
    TooManyRows { rows: u64, bytes: usize },
    #[error("a batch ends within column `{0}`")]
    Cut(String),
    #[error("column `{column}` has tag {tag}, expected 0, 1 or 2")]
    Tag { column: String, tag: u8 },
    #[error("column `{0}` has a number longer than ten bytes")]
    Varint(String),
    #[error("column `{0}` holds text that is not UTF-8 or longer than 2 GiB")]
    Text(String),
    #[error("a batch has {0} bytes after its last column")]
    Trailing(usize),
    #[error(
        "held rows have column `{column}` as {held}, the table as {wanted}: let the version of floe, or the configuration, that wrote them drain the log, or rename the table's column"
    )]
    TypeChanged { column: String, held: DataType, wanted: DataType },
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredSchema {
    layout: u32,
    table: String,
    columns: Vec<StoredColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    #[serde(rename = "type")]
    kind: ColumnType,
}

/// How rows of a table in this schema are laid out, to stand beside them: JSON, some 50 bytes a column.
pub fn schema_bytes(table: Table, schema: &Schema) -> Vec<u8> {
    let column = |field: &Arc<Field>| Some(StoredColumn { name: field.name().clone(), kind: ColumnType::of(field.data_type())? });
    let columns = schema.fields().iter().filter_map(column).collect();
    let schema = StoredSchema { layout: VERSION, table: table.name().to_owned(), columns };
    // Strings and numbers only: there is nothing in it that JSON could refuse.
    serde_json::to_vec(&schema).unwrap_or_default()
}

/// The layout of some segment's batches, of this version or an earlier one.
#[derive(Clone, Debug)]
pub struct Layout {
    table: Table,
    columns: Vec<StoredColumn>,
    schema: SchemaRef,
}

impl Layout {
    /// Reads what [`schema_bytes`] made.
    pub fn parse(schema_bytes: &[u8]) -> Result<Layout, LayoutError> {
        let stored: StoredSchema =
            serde_json::from_slice(schema_bytes).map_err(|error| LayoutError::Schema(error.to_string()))?;
        if stored.layout != VERSION {
            return Err(LayoutError::Version(stored.layout));
        }
        let table = Table::from_name(&stored.table).ok_or(LayoutError::UnknownTable(stored.table))?;
        let mut names = HashSet::new();
        if let Some(twice) = stored.columns.iter().find(|column| !names.insert(column.name.as_str())) {
            return Err(LayoutError::RepeatedColumn(twice.name.clone()));
        }
        let fields: Vec<Field> =
            stored.columns.iter().map(|column| Field::new(&column.name, column.kind.arrow(), true)).collect();
        Ok(Layout { table, columns: stored.columns, schema: Arc::new(Schema::new(fields)) })
    }

    pub fn table(&self) -> Table {
        self.table
    }

    /// The stored schema, which decoded batches have.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// One batch in the stored schema, from what [`Cleared::encode`] made of it.
    pub fn decode(&self, bytes: &[u8]) -> Result<RecordBatch, LayoutError> {
        decode::batch(&self.columns, &self.schema, bytes)
    }

    /// The same in the schema that the table has now: a column that was not stored is NULL, one that is no more is dropped.
    pub fn decode_conformed(&self, bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch, LayoutError> {
        conform(&self.decode(bytes)?, schema)
    }

    /// The rows that the schema takes, and beside them those that have a value in a column whose type is another one there.
    ///
    /// # Errors
    /// When the bytes are no batch of this layout: then none of its rows fits anywhere.
    pub fn divide(&self, bytes: &[u8], schema: &SchemaRef) -> Result<(RecordBatch, Option<Unfit>), LayoutError> {
        let batch = self.decode(bytes)?;
        let changed = match conform(&batch, schema) {
            Ok(fits) => return Ok((fits, None)),
            Err(changed) => changed,
        };
        let stored = self.schema.fields().iter().zip(batch.columns());
        let clashes = stored
            .filter(|(field, _)| schema.field_with_name(field.name()).is_ok_and(|now| now.data_type() != field.data_type()));
        let clashes: Vec<&ArrayRef> = clashes.map(|(_, array)| array).collect();
        let is_unfit = |row: usize| clashes.iter().any(|array| array.is_valid(row));
        let unfit: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_unfit(row))).collect();
        let fit: BooleanArray = (0..batch.num_rows()).map(|row| Some(!is_unfit(row))).collect();
        let select = |mask: &BooleanArray| {
            arrow_select::filter::filter_record_batch(&batch, mask).map_err(|error| LayoutError::Schema(error.to_string()))
        };
        let unfit = select(&unfit)?;
        let mut bytes = Vec::new();
        encode(&unfit, &mut bytes);
        let rows = u32::try_from(unfit.num_rows()).unwrap_or(u32::MAX);
        Ok((conform(&select(&fit)?, schema)?, Some(Unfit { rows, bytes, reason: changed.to_string() })))
    }
}

/// Rows of the log that do not fit their table, in the layout they have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub rows: u32,
    pub bytes: Vec<u8>,
    /// Names columns and types, never a value.
    pub reason: String,
}

/// Brings a batch to another schema: a missing column is NULL, an unknown one is dropped.
///
/// # Errors
/// [`LayoutError::TypeChanged`] where a column of this name has another type, and values.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LayoutError> {
    if batch.schema_ref().fields() == schema.fields() {
        return Ok(batch.clone());
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let wanted = field.data_type();
        columns.push(match batch.column_by_name(field.name()) {
            Some(array) if array.data_type() == wanted => Arc::clone(array),
            Some(array) if array.null_count() == array.len() => new_null_array(wanted, batch.num_rows()),
            Some(array) => {
                let (held, wanted) = (array.data_type().clone(), wanted.clone());
                return Err(LayoutError::TypeChanged { column: field.name().clone(), held, wanted });
            }
            None => new_null_array(wanted, batch.num_rows()),
        });
    }
    Ok(assemble(Arc::clone(schema), columns, batch.num_rows()))
}

/// Only for columns whose types and lengths are those of the schema and of `rows`.
fn assemble(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    match RecordBatch::try_new_with_options(schema, columns, &options) {
        Ok(batch) => batch,
        Err(error) => unreachable!("every column was made for its field and for {rows} rows: {error}"),
    }
}

impl Cleared {
    /// Appends the rows as they lie in the log, in the layout of [`schema_bytes`] for their table and schema.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode(self.batch(), out);
    }
}

/// Private: what is encoded was cleared, or comes from the log.
fn encode(batch: &RecordBatch, out: &mut Vec<u8>) {
    let rows = batch.num_rows();
    put_varint(out, rows as u64);
    for (index, array) in batch.columns().iter().enumerate() {
        let Some(kind) = ColumnType::of(array.data_type()) else { continue };
        if !put_tag(out, array.as_ref(), index == 0) {
            continue;
        }
        match kind {
            ColumnType::String => put_text(out, array.as_ref()),
            ColumnType::Boolean => {
                let values = array.as_boolean();
                put_bits(out, rows, |row| values.is_valid(row) && values.value(row));
            }
            ColumnType::Timestamp => put_numbers::<TimestampMicrosecondType, 8>(out, array.as_ref(), i64::to_le_bytes),
            ColumnType::Long => put_numbers::<Int64Type, 8>(out, array.as_ref(), i64::to_le_bytes),
            ColumnType::Double => put_numbers::<Float64Type, 8>(out, array.as_ref(), f64::to_le_bytes),
            ColumnType::Int => put_numbers::<Int32Type, 4>(out, array.as_ref(), i32::to_le_bytes),
            ColumnType::Date => put_numbers::<Date32Type, 4>(out, array.as_ref(), i32::to_le_bytes),
        }
    }
}

/// Writes the tag and the bitmap; says whether values follow.
fn put_tag(out: &mut Vec<u8>, array: &dyn Array, first: bool) -> bool {
    let nulls = array.null_count();
    if nulls == array.len() && !first {
        out.push(ALL_NULL);
        return false;
    }
    if nulls == 0 {
        out.push(NO_NULL);
    } else {
        out.push(BITMAP);
        put_bits(out, array.len(), |row| array.is_valid(row));
    }
    true
}

fn put_text(out: &mut Vec<u8>, array: &dyn Array) {
    let text = array.as_string::<i32>();
    if text.null_count() == 0 {
        let offsets = text.value_offsets();
        offsets.windows(2).for_each(|pair| put_varint(out, u64::from(pair[1].abs_diff(pair[0]))));
        if let (Some(first), Some(last)) = (offsets.first(), offsets.last()) {
            let (first, last) = (usize::try_from(*first).unwrap_or(0), usize::try_from(*last).unwrap_or(0));
            out.extend_from_slice(&text.value_data()[first..last]);
        }
        return;
    }
    text.iter().flatten().for_each(|value| put_varint(out, value.len() as u64));
    text.iter().flatten().for_each(|value| out.extend_from_slice(value.as_bytes()));
}

fn put_numbers<T: ArrowPrimitiveType, const N: usize>(out: &mut Vec<u8>, array: &dyn Array, bytes: fn(T::Native) -> [u8; N]) {
    let numbers = array.as_primitive::<T>();
    out.reserve(N * (numbers.len() - numbers.null_count()));
    if numbers.null_count() == 0 {
        numbers.values().iter().for_each(|value| out.extend_from_slice(&bytes(*value)));
    } else {
        numbers.iter().flatten().for_each(|value| out.extend_from_slice(&bytes(value)));
    }
}

fn put_bits(out: &mut Vec<u8>, rows: usize, bit: impl Fn(usize) -> bool) {
    let bits = |start: usize| (start..rows.min(start + 8)).fold(0, |byte, row| byte | u8::from(bit(row)) << (row - start));
    out.extend((0..rows).step_by(8).map(bits));
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
pub(crate) mod tests;
