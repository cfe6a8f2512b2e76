//! Growing columns: plain vectors, with a bitmap only once there is a NULL.

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, Date32Array, Int32Array, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{ArrowNativeType, BooleanBufferBuilder, Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};

use crate::tables::ColumnType;

const MICROS_A_DAY: i64 = 86_400_000_000;
const MICROS_AN_HOUR: i64 = 3_600_000_000;

#[derive(Debug)]
pub(super) struct Text {
    offsets: Vec<i32>,
    values: String,
    nulls: NullBufferBuilder,
}

impl Default for Text {
    fn default() -> Text {
        Text { offsets: vec![0], values: String::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl Text {
    pub(super) fn push(&mut self, value: Option<&str>) {
        match value {
            Some(text) => {
                self.values.push_str(text);
                self.nulls.append_non_null();
            }
            None => self.nulls.append_null(),
        }
        // Never the fallback: MAX_TEXT_BYTES is an eighth of it.
        self.offsets.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Arc::new(StringArray::new(offsets, Buffer::from(self.values.into_bytes()), self.nulls.finish()))
    }
}

/// A number type that is a column type.
pub(super) trait Number: ArrowNativeType {
    type Arrow: ArrowPrimitiveType<Native = Self>;
}

impl Number for f64 {
    type Arrow = Float64Type;
}

impl Number for i64 {
    type Arrow = Int64Type;
}

impl Number for i32 {
    type Arrow = Int32Type;
}

#[derive(Debug)]
pub(super) struct Numbers<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

impl<T> Default for Numbers<T> {
    fn default() -> Numbers<T> {
        Numbers { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl<T: Number> Numbers<T> {
    pub(super) fn push(&mut self, value: Option<T>) {
        self.values.push(value.unwrap_or_default());
        self.nulls.append(value.is_some());
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        Arc::new(PrimitiveArray::<T::Arrow>::new(ScalarBuffer::from(self.values), self.nulls.finish()))
    }
}

impl Numbers<i64> {
    /// The numbers as microseconds since 1970.
    pub(super) fn finish_times(mut self) -> ArrayRef {
        let times = TimestampMicrosecondArray::new(ScalarBuffer::from(self.values), self.nulls.finish());
        Arc::new(times.with_data_type(ColumnType::Timestamp.arrow()))
    }
}

#[derive(Debug)]
pub(super) struct Booleans {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Default for Booleans {
    fn default() -> Booleans {
        Booleans { values: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) }
    }
}

impl Booleans {
    pub(super) fn push(&mut self, value: Option<bool>) {
        self.values.append(value.unwrap_or_default());
        self.nulls.append(value.is_some());
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.nulls.finish()))
    }
}

/// Event times; never NULL.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<i64>);

impl Times {
    pub(super) fn push(&mut self, micros: i64) {
        self.0.push(micros);
    }

    pub(super) fn finish(self) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(self.0).with_data_type(ColumnType::Timestamp.arrow()))
    }
}

/// The UTC days of event times, counted from 1970-01-01.
#[derive(Debug, Default)]
pub(super) struct Dates(Vec<i32>);

impl Dates {
    pub(super) fn push(&mut self, micros: i64) {
        // Never the fallback: all of i64 in days fits.
        self.0.push(i32::try_from(micros.div_euclid(MICROS_A_DAY)).unwrap_or(i32::MAX));
    }

    pub(super) fn finish(self) -> ArrayRef {
        Arc::new(Date32Array::from(self.0))
    }
}

/// The UTC hours of event times, 0 to 23.
#[derive(Debug, Default)]
pub(super) struct Hours(Vec<i32>);

impl Hours {
    pub(super) fn push(&mut self, micros: i64) {
        self.0.push(i32::try_from(micros.rem_euclid(MICROS_A_DAY) / MICROS_AN_HOUR).unwrap_or_default());
    }

    pub(super) fn finish(self) -> ArrayRef {
        Arc::new(Int32Array::from(self.0))
    }
}
