//! Bytes of the log to a batch: pure and total.

use std::sync::Arc;

use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, StringArray, new_null_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::SchemaRef;

use super::{ALL_NULL, BITMAP, LayoutError, NO_NULL, StoredColumn, assemble};
use crate::tables::ColumnType;

pub(super) fn batch(columns: &[StoredColumn], schema: &SchemaRef, bytes: &[u8]) -> Result<RecordBatch, LayoutError> {
    let mut input = Input { rest: bytes, column: "rows" };
    let claimed = input.varint()?;
    let too_many = LayoutError::TooManyRows { rows: claimed, bytes: bytes.len() };
    let rows = usize::try_from(claimed).ok().filter(|rows| rows.div_ceil(8) <= input.rest.len()).ok_or(too_many)?;
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        input.column = &column.name;
        arrays.push(input.array(column.kind, rows)?);
    }
    match input.rest.len() {
        0 => Ok(assemble(Arc::clone(schema), arrays, rows)),
        left => Err(LayoutError::Trailing(left)),
    }
}

/// What is left of a batch, and the column that is being read from it.
struct Input<'a> {
    rest: &'a [u8],
    column: &'a str,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], LayoutError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| LayoutError::Cut(self.column.to_owned()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, LayoutError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(LayoutError::Varint(self.column.to_owned()))
    }

    fn bits(&mut self, rows: usize) -> Result<BooleanBuffer, LayoutError> {
        Ok(BooleanBuffer::new(Buffer::from(self.take(rows.div_ceil(8))?), 0, rows))
    }

    fn array(&mut self, kind: ColumnType, rows: usize) -> Result<ArrayRef, LayoutError> {
        let nulls = match self.take(1)?[0] {
            ALL_NULL => return Ok(new_null_array(&kind.arrow(), rows)),
            NO_NULL => None,
            BITMAP => Some(NullBuffer::new(self.bits(rows)?)),
            tag => return Err(LayoutError::Tag { column: self.column.to_owned(), tag }),
        };
        match kind {
            ColumnType::String => self.text(rows, nulls),
            ColumnType::Boolean => Ok(Arc::new(BooleanArray::new(self.bits(rows)?, nulls))),
            ColumnType::Timestamp => self.numbers::<TimestampMicrosecondType, 8>(kind, rows, nulls, i64::from_le_bytes),
            ColumnType::Long => self.numbers::<Int64Type, 8>(kind, rows, nulls, i64::from_le_bytes),
            ColumnType::Double => self.numbers::<Float64Type, 8>(kind, rows, nulls, f64::from_le_bytes),
            ColumnType::Int => self.numbers::<Int32Type, 4>(kind, rows, nulls, i32::from_le_bytes),
            ColumnType::Date => self.numbers::<Date32Type, 4>(kind, rows, nulls, i32::from_le_bytes),
        }
    }

    fn text(&mut self, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, LayoutError> {
        let wrong = || LayoutError::Text(self.column.to_owned());
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0i32);
        let mut end = 0i32;
        let mut lengths = Input { rest: self.rest, column: self.column };
        for row in 0..rows {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                let length = i32::try_from(lengths.varint()?).map_err(|_| wrong())?;
                end = end.checked_add(length).ok_or_else(wrong)?;
            }
            offsets.push(end);
        }
        self.rest = lengths.rest;
        let values = self.take(usize::try_from(end).unwrap_or(0))?;
        let text = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from(values), nulls);
        text.map(|text| Arc::new(text) as ArrayRef).map_err(|_| LayoutError::Text(self.column.to_owned()))
    }

    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        &mut self,
        kind: ColumnType,
        rows: usize,
        nulls: Option<NullBuffer>,
        number: fn([u8; N]) -> T::Native,
    ) -> Result<ArrayRef, LayoutError> {
        let present = rows - nulls.as_ref().map_or(0, NullBuffer::null_count);
        // Eight bytes times a count that is at most eight times a length in memory: no overflow on 64 bits; a cut elsewhere.
        let (stored, _) = self.take(present.saturating_mul(N))?.as_chunks::<N>();
        let mut stored = stored.iter().map(|bytes| number(*bytes));
        let values: Vec<T::Native> = match &nulls {
            None => stored.collect(),
            Some(nulls) => nulls.iter().map(|valid| if valid { stored.next() } else { None }.unwrap_or_default()).collect(),
        };
        let numbers = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
        Ok(Arc::new(numbers.with_data_type(kind.arrow())))
    }
}
