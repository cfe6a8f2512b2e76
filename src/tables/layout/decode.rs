//! Bytes of the log to a batch: pure and total.

use std::sync::Arc;

use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, StringArray, new_null_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::SchemaRef;

use super::{ALL_NULL, BITMAP, LayoutError, NO_NULL, StoredColumn, assemble};
use crate::tables::ColumnType;

pub(super) fn batch(columns: &[StoredColumn], schema: &SchemaRef, bytes: &[u8]) -> Result<RecordBatch, LayoutError> {
    let (mut input, rows) = Input::of(bytes)?;
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        input.column = &column.name;
        arrays.push(input.array(column.kind, rows)?);
    }
    input.end()?;
    Ok(assemble(Arc::clone(schema), arrays, rows))
}

/// Which rows of a column have values.
pub(super) enum Present {
    None,
    All,
    Some(NullBuffer),
}

/// What is left of a batch, and the column that is being read from it.
pub(super) struct Input<'a> {
    rest: &'a [u8],
    pub(super) column: &'a str,
}

impl<'a> Input<'a> {
    /// A batch, and how many rows it has.
    pub(super) fn of(bytes: &'a [u8]) -> Result<(Input<'a>, usize), LayoutError> {
        let mut input = Input { rest: bytes, column: "rows" };
        let claimed = input.varint()?;
        let too_many = LayoutError::TooManyRows { rows: claimed, bytes: bytes.len() };
        let rows = usize::try_from(claimed).ok().filter(|rows| rows.div_ceil(8) <= input.rest.len()).ok_or(too_many)?;
        Ok((input, rows))
    }

    pub(super) fn end(&self) -> Result<(), LayoutError> {
        if self.rest.is_empty() { Ok(()) } else { Err(LayoutError::Trailing(self.rest.len())) }
    }

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

    pub(super) fn bits(&mut self, rows: usize) -> Result<BooleanBuffer, LayoutError> {
        Ok(BooleanBuffer::new(Buffer::from(self.take(rows.div_ceil(8))?), 0, rows))
    }

    /// Which of a column's rows have values.
    pub(super) fn present(&mut self, rows: usize) -> Result<Present, LayoutError> {
        match self.take(1)?[0] {
            ALL_NULL => Ok(Present::None),
            NO_NULL => Ok(Present::All),
            BITMAP => Ok(Present::Some(NullBuffer::new(self.bits(rows)?))),
            tag => Err(LayoutError::Tag { column: self.column.to_owned(), tag }),
        }
    }

    /// The numbers that are there, as they are stored.
    pub(super) fn stored<const N: usize>(
        &mut self,
        rows: usize,
        nulls: Option<&NullBuffer>,
    ) -> Result<&'a [[u8; N]], LayoutError> {
        let present = rows - nulls.map_or(0, NullBuffer::null_count);
        // Eight bytes times a count that is at most eight times a length in memory: no overflow on 64 bits; a cut elsewhere.
        Ok(self.take(present.saturating_mul(N))?.as_chunks::<N>().0)
    }

    /// Where each row's text ends in that of all rows, counted from the end of those before; a row without a value is empty.
    pub(super) fn ends(
        &mut self,
        rows: usize,
        nulls: Option<&NullBuffer>,
        mut end: impl FnMut(i32),
    ) -> Result<&'a str, LayoutError> {
        let mut sum = 0i32;
        for row in 0..rows {
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                let length = i32::try_from(self.varint()?).ok();
                sum = length.and_then(|length| sum.checked_add(length)).ok_or_else(|| self.wrong())?;
            }
            end(sum);
        }
        let bytes = self.take(usize::try_from(sum).unwrap_or(0))?;
        simdutf8::basic::from_utf8(bytes).map_err(|_| self.wrong())
    }

    pub(super) fn wrong(&self) -> LayoutError {
        LayoutError::Text(self.column.to_owned())
    }

    fn array(&mut self, kind: ColumnType, rows: usize) -> Result<ArrayRef, LayoutError> {
        let nulls = match self.present(rows)? {
            Present::None => return Ok(new_null_array(&kind.arrow(), rows)),
            Present::All => None,
            Present::Some(nulls) => Some(nulls),
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
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0i32);
        let text = self.ends(rows, nulls.as_ref(), |end| offsets.push(end))?;
        let text = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from(text.as_bytes()), nulls);
        text.map(|text| Arc::new(text) as ArrayRef).map_err(|_| self.wrong())
    }

    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        &mut self,
        kind: ColumnType,
        rows: usize,
        nulls: Option<NullBuffer>,
        number: fn([u8; N]) -> T::Native,
    ) -> Result<ArrayRef, LayoutError> {
        let mut stored = self.stored::<N>(rows, nulls.as_ref())?.iter().map(|bytes| number(*bytes));
        let values: Vec<T::Native> = match &nulls {
            None => stored.collect(),
            Some(nulls) => nulls.iter().map(|valid| if valid { stored.next() } else { None }.unwrap_or_default()).collect(),
        };
        let numbers = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
        Ok(Arc::new(numbers.with_data_type(kind.arrow())))
    }
}
