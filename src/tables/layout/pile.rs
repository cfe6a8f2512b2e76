//! Rows of many batches in one place, column by column: what the log holds is copied once, and text that repeats is kept once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_buffer::{NullBuffer, NullBufferBuilder};
use arrow_schema::{Field, Schema, SchemaRef};

use super::decode::{Input, Present};
use super::{Layout, LayoutError, Unfit, encode, schema_bytes};
use crate::tables::{ColumnType, Raw, Table};

/// What a distinct text takes beside its bytes: in the list, in the map, and its own counts.
const ENTRY_BYTES: usize = 64;

/// Rows of one table, in the order in which they were appended.
#[derive(Debug)]
pub struct Pile {
    rows: usize,
    columns: Vec<Piled>,
}

/// One column of a pile.
#[derive(Debug)]
pub struct Piled {
    kind: ColumnType,
    values: Values,
    present: NullBufferBuilder,
}

/// One value for each row; what stands where the row has none says nothing.
#[derive(Debug)]
pub enum Values {
    /// Of columns whose text repeats.
    Coded(Coded),
    Text(Text),
    /// Also times.
    Longs(Vec<i64>),
    Doubles(Vec<f64>),
    /// Also dates.
    Ints(Vec<i32>),
    Flags(Vec<bool>),
}

/// Each row's text as an index into the distinct ones.
#[derive(Debug, Default)]
pub struct Coded {
    codes: Vec<u32>,
    entries: Vec<Arc<str>>,
    known: HashMap<Arc<str>, u32>,
    bytes: usize,
}

/// Text one after another, and where each ends.
#[derive(Debug, Default)]
pub struct Text {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

/// Where the columns of a layout go in a pile.
#[derive(Clone, Debug)]
pub struct Places(Vec<usize>);

impl Pile {
    /// `schema` begins with the table's own columns.
    pub fn new(table: Table, schema: &Schema) -> Pile {
        let raws = table.columns().iter().map(|column| column.raw).chain(std::iter::repeat(Raw::Text));
        let column = |(field, raw): (&Arc<Field>, Raw)| {
            // Rows are made from no other types.
            let kind = ColumnType::of(field.data_type()).unwrap_or(ColumnType::String);
            let values = match kind {
                ColumnType::String if matches!(raw, Raw::Id | Raw::Address) => Values::Text(Text::default()),
                ColumnType::String => Values::Coded(Coded::default()),
                ColumnType::Timestamp | ColumnType::Long => Values::Longs(Vec::new()),
                ColumnType::Double => Values::Doubles(Vec::new()),
                ColumnType::Int | ColumnType::Date => Values::Ints(Vec::new()),
                ColumnType::Boolean => Values::Flags(Vec::new()),
            };
            Piled { kind, values, present: NullBufferBuilder::new(0) }
        };
        Pile { rows: 0, columns: schema.fields().iter().zip(raws).map(column).collect() }
    }

    /// Where batches of this layout go, if `schema`, that of the pile, has every column of them with its type.
    pub fn places(layout: &Layout, schema: &Schema) -> Option<Places> {
        let place = |field: &Arc<Field>| {
            schema.index_of(field.name()).ok().filter(|at| schema.field(*at).data_type() == field.data_type())
        };
        layout.schema.fields().iter().map(place).collect::<Option<Vec<usize>>>().map(Places)
    }

    /// Appends a batch; columns that it does not have are NULL in its rows.
    ///
    /// # Errors
    /// When the bytes are no batch of this layout; then nothing was appended.
    pub fn append(&mut self, layout: &Layout, places: &Places, bytes: &[u8]) -> Result<(), LayoutError> {
        let before = self.rows;
        let appended = self.append_columns(layout, places, bytes);
        if appended.is_err() {
            self.truncate(before);
        }
        appended
    }

    /// Appends a batch of a layout whose columns have no places here: what the schema lacks is dropped, and rows with a value whose type is another
    /// one there are given back.
    ///
    /// # Errors
    /// When the bytes are no batch of this layout; then nothing was appended.
    pub fn append_fitting(&mut self, layout: &Layout, schema: &SchemaRef, bytes: &[u8]) -> Result<Option<Unfit>, LayoutError> {
        let (batch, unfit) = layout.divide(bytes, schema)?;
        let layout = Layout::parse(&schema_bytes(layout.table, schema))?;
        if let Some(places) = Pile::places(&layout, schema) {
            let mut fitting = Vec::new();
            encode(&batch, &mut fitting);
            self.append(&layout, &places, &fitting)?;
        }
        Ok(unfit)
    }

    fn append_columns(&mut self, layout: &Layout, places: &Places, bytes: &[u8]) -> Result<(), LayoutError> {
        let (mut input, rows) = Input::of(bytes)?;
        for (stored, place) in layout.columns.iter().zip(&places.0) {
            input.column = &stored.name;
            self.columns[*place].append(&mut input, rows)?;
        }
        input.end()?;
        self.rows += rows;
        for column in &mut self.columns {
            column.append_nulls(self.rows - column.present.len());
        }
        Ok(())
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About what the rows take in memory.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.values.bytes() + self.rows / 8).sum()
    }

    pub fn column(&self, index: usize) -> Option<&Piled> {
        self.columns.get(index)
    }

    /// Forgets the last rows.
    pub fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.values.truncate(rows);
            column.present.truncate(rows);
        }
        self.rows = rows.min(self.rows);
    }

    /// Keeps these rows, in this order.
    pub fn keep(&mut self, rows: &[u32]) {
        for column in &mut self.columns {
            let mut present = NullBufferBuilder::new(rows.len());
            for row in rows {
                present.append(column.is_present(*row));
            }
            column.present = present;
            column.values.keep(rows);
        }
        self.rows = rows.len();
    }
}

impl Piled {
    pub fn kind(&self) -> ColumnType {
        self.kind
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    pub fn is_present(&self, row: u32) -> bool {
        self.present.is_valid(row as usize)
    }

    /// Whether no row is without a value.
    pub fn is_full(&self) -> bool {
        self.present.as_slice().is_none()
    }

    fn append(&mut self, input: &mut Input<'_>, rows: usize) -> Result<(), LayoutError> {
        let nulls = match input.present(rows)? {
            Present::None => {
                self.append_nulls(rows);
                return Ok(());
            }
            Present::All => None,
            Present::Some(nulls) => Some(nulls),
        };
        match &mut self.values {
            Values::Coded(coded) => coded.append(input, rows, nulls.as_ref())?,
            Values::Text(text) => text.append(input, rows, nulls.as_ref())?,
            Values::Longs(values) => spread(values, input.stored(rows, nulls.as_ref())?, nulls.as_ref(), i64::from_le_bytes),
            Values::Doubles(values) => spread(values, input.stored(rows, nulls.as_ref())?, nulls.as_ref(), f64::from_le_bytes),
            Values::Ints(values) => spread(values, input.stored(rows, nulls.as_ref())?, nulls.as_ref(), i32::from_le_bytes),
            Values::Flags(values) => values.extend(input.bits(rows)?.iter()),
        }
        match nulls {
            None => self.present.append_n_non_nulls(rows),
            Some(nulls) => self.present.append_buffer(&nulls),
        }
        Ok(())
    }

    fn append_nulls(&mut self, rows: usize) {
        if rows == 0 {
            return;
        }
        let to = self.present.len() + rows;
        match &mut self.values {
            Values::Coded(coded) => coded.codes.resize(to, 0),
            Values::Text(text) => text.ends.resize(to, text.ends.last().copied().unwrap_or_default()),
            Values::Longs(values) => values.resize(to, 0),
            Values::Doubles(values) => values.resize(to, 0.0),
            Values::Ints(values) => values.resize(to, 0),
            Values::Flags(values) => values.resize(to, false),
        }
        self.present.append_n_nulls(rows);
    }
}

/// Numbers to the rows that have one.
fn spread<T: Default, const N: usize>(
    values: &mut Vec<T>,
    stored: &[[u8; N]],
    nulls: Option<&NullBuffer>,
    number: fn([u8; N]) -> T,
) {
    let mut numbers = stored.iter().map(|bytes| number(*bytes));
    match nulls {
        None => values.extend(numbers),
        Some(nulls) => {
            values.extend(nulls.iter().map(|valid| if valid { numbers.next() } else { None }.unwrap_or_default()));
        }
    }
}

impl Values {
    fn bytes(&self) -> usize {
        match self {
            Values::Coded(coded) => 4 * coded.codes.len() + coded.bytes,
            Values::Text(text) => 4 * text.ends.len() + text.bytes.len(),
            Values::Longs(values) => 8 * values.len(),
            Values::Doubles(values) => 8 * values.len(),
            Values::Ints(values) => 4 * values.len(),
            Values::Flags(values) => values.len(),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Values::Coded(coded) => coded.codes.truncate(rows),
            Values::Text(text) => {
                text.ends.truncate(rows);
                text.bytes.truncate(text.ends.last().map_or(0, |end| *end as usize));
            }
            Values::Longs(values) => values.truncate(rows),
            Values::Doubles(values) => values.truncate(rows),
            Values::Ints(values) => values.truncate(rows),
            Values::Flags(values) => values.truncate(rows),
        }
    }

    fn keep(&mut self, rows: &[u32]) {
        match self {
            Values::Coded(coded) => coded.keep(rows),
            Values::Text(text) => {
                let mut kept = Text::default();
                for row in rows {
                    kept.push(text.value(*row));
                }
                *text = kept;
            }
            Values::Longs(values) => *values = rows.iter().map(|row| values[*row as usize]).collect(),
            Values::Doubles(values) => *values = rows.iter().map(|row| values[*row as usize]).collect(),
            Values::Ints(values) => *values = rows.iter().map(|row| values[*row as usize]).collect(),
            Values::Flags(values) => *values = rows.iter().map(|row| values[*row as usize]).collect(),
        }
    }
}

impl Coded {
    /// One a row.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The distinct texts by code; some may be in no row.
    pub fn entries(&self) -> &[Arc<str>] {
        &self.entries
    }

    fn append(&mut self, input: &mut Input<'_>, rows: usize, nulls: Option<&NullBuffer>) -> Result<(), LayoutError> {
        let mut ends = Vec::with_capacity(rows);
        let text = input.ends(rows, nulls, |end| ends.push(end))?;
        let (mut start, mut last) = (0, None);
        self.codes.reserve(rows);
        for (row, end) in ends.into_iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                self.codes.push(0);
                continue;
            }
            let end = usize::try_from(end).unwrap_or_default();
            let value = text.get(start..end).ok_or_else(|| input.wrong())?;
            start = end;
            // Rows of one resource stand together.
            let code = match last {
                Some((code, before)) if before == value => code,
                _ => self.code(value),
            };
            last = Some((code, value));
            self.codes.push(code);
        }
        Ok(())
    }

    fn code(&mut self, value: &str) -> u32 {
        if let Some(code) = self.known.get(value) {
            return *code;
        }
        // There are no more entries than rows, and those have numbers of 32 bits.
        let code = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let entry: Arc<str> = value.into();
        self.bytes += ENTRY_BYTES + entry.len();
        self.entries.push(Arc::clone(&entry));
        self.known.insert(entry, code);
        code
    }

    /// Entries of other rows are forgotten.
    fn keep(&mut self, rows: &[u32]) {
        let mut kept = Coded::default();
        let mut codes = vec![None; self.entries.len()];
        for row in rows {
            let old = self.codes[*row as usize] as usize;
            // Only a column without any value has no entries.
            let Some(entry) = self.entries.get(old) else { continue };
            let code = *codes[old].get_or_insert_with(|| kept.code(entry));
            kept.codes.push(code);
        }
        kept.codes.resize(rows.len(), 0);
        *self = kept;
    }
}

impl Text {
    /// The text of a row; empty where it has none.
    pub fn value(&self, row: u32) -> &[u8] {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start as usize..self.ends[row] as usize]
    }

    fn append(&mut self, input: &mut Input<'_>, rows: usize, nulls: Option<&NullBuffer>) -> Result<(), LayoutError> {
        let (rows_before, before) = (self.ends.len(), self.bytes.len());
        self.ends.reserve(rows);
        let ends = &mut self.ends;
        // An end that no longer fits is found below.
        let text =
            input.ends(rows, nulls, |end| ends.push(u32::try_from(before).unwrap_or(u32::MAX).wrapping_add_signed(end)))?;
        self.bytes.extend_from_slice(text.as_bytes());
        let fits = u32::try_from(self.bytes.len()).is_ok();
        let is_end = |end: &u32| text.is_char_boundary(*end as usize - before);
        if !fits || !(text.is_ascii() || self.ends[rows_before..].iter().all(is_end)) {
            return Err(input.wrong());
        }
        Ok(())
    }

    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }
}
