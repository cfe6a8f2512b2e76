//! The pages of a column chunk, compressed one by one, and what the footer says of them.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use crate::tables::layout::pile::{Piled, Values};

/// Of what the least and the greatest value are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoundsOf {
    Nothing,
    Chunk,
    /// And of each of its pages.
    Pages,
}

/// A column of a row group, as it is in a file.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// The chunk under way.
pub(super) struct Pages<'a> {
    sink: TrackedWrite<Vec<u8>>,
    descr: &'a ColumnDescPtr,
    bounds_of: BoundsOf,
    encodings: Vec<PageEncodingStats>,
    dictionary_at: Option<i64>,
    data_at: Option<i64>,
    uncompressed: usize,
    nulls: usize,
    bounds: Option<(Bound, Bound)>,
    /// Of the last page with a value.
    last: Option<(Bound, Bound)>,
    /// Whether the bounds of pages only rise.
    is_ascending: bool,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
}

/// A least or greatest value; those of one column are of one kind.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Bound {
    Flag(bool),
    Int(i32),
    Long(i64),
    /// A number.
    Double(f64),
    Text(Bytes),
}

impl<'a> Pages<'a> {
    pub(super) fn new(descr: &'a ColumnDescPtr, bounds_of: BoundsOf) -> Pages<'a> {
        let mut column_index = ColumnIndexBuilder::new(descr.physical_type());
        if bounds_of != BoundsOf::Pages {
            column_index.to_invalid();
        }
        Pages {
            sink: TrackedWrite::new(Vec::new()),
            descr,
            bounds_of,
            encodings: Vec::new(),
            dictionary_at: None,
            data_at: None,
            uncompressed: 0,
            nulls: 0,
            bounds: None,
            last: None,
            is_ascending: true,
            column_index,
            offset_index: OffsetIndexBuilder::new(),
        }
    }

    /// The dictionary, PLAIN; before any data.
    pub(super) fn dictionary(&mut self, compressor: &mut Compressor<'_>, page: &[u8], entries: u32) -> Result<()> {
        let buf = compressor.compress(page)?.into();
        let dictionary = Page::DictionaryPage { buf, num_values: entries, encoding: Encoding::PLAIN, is_sorted: false };
        let (at, _) = self.write(dictionary, page.len())?;
        self.dictionary_at = Some(at);
        Ok(())
    }

    /// A page of rows, of which some are NULL: its levels and values, and its bounds if they are kept and it has any.
    pub(super) fn data(
        &mut self,
        compressor: &mut Compressor<'_>,
        page: &[u8],
        encoding: Encoding,
        (rows, nulls): (usize, usize),
        bounds: Option<(Bound, Bound)>,
    ) -> Result<()> {
        let data = Page::DataPage {
            buf: compressor.compress(page)?.into(),
            num_values: u32::try_from(rows).unwrap_or(u32::MAX),
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (at, size) = self.write(data, page.len())?;
        self.data_at.get_or_insert(at);
        self.offset_index.append_row_count(signed(rows));
        self.offset_index.append_offset_and_size(at, i32::try_from(size).unwrap_or(i32::MAX));
        self.nulls += nulls;
        if self.bounds_of == BoundsOf::Pages {
            let (low, high) = bounds.as_ref().map_or_else(Default::default, |(low, high)| (low.bytes(), high.bytes()));
            self.column_index.append(bounds.is_none(), low, high, signed(nulls));
        }
        if let Some((low, high)) = bounds {
            self.is_ascending &= self.last.as_ref().is_none_or(|(before, above)| *before <= low && *above <= high);
            self.last = Some((low.clone(), high.clone()));
            self.bounds = Some(match self.bounds.take() {
                None => (low, high),
                Some((least, most)) => (if low < least { low } else { least }, if high > most { high } else { most }),
            });
        }
        Ok(())
    }

    /// Where a page was written, and its size there.
    fn write(&mut self, page: Page, uncompressed: usize) -> Result<(i64, usize)> {
        let (page_type, encoding) = (page.page_type(), page.encoding());
        let spec = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, uncompressed))?;
        self.uncompressed += spec.uncompressed_size;
        match self.encodings.last_mut() {
            Some(last) if last.page_type == page_type && last.encoding == encoding => last.count += 1,
            _ => self.encodings.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
        Ok((i64::try_from(spec.offset).unwrap_or(i64::MAX), spec.compressed_size))
    }

    pub(super) fn finish(mut self, rows: usize) -> Result<Chunk> {
        let bytes = Bytes::from(self.sink.into_inner()?);
        let mut encodings: Vec<Encoding> = self.encodings.iter().map(|of| of.encoding).chain([Encoding::RLE]).collect();
        encodings.sort_unstable();
        encodings.dedup();
        let metadata = ColumnChunkMetaData::builder(self.descr.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(encodings)
            .set_page_encoding_stats(self.encodings)
            .set_total_compressed_size(signed(bytes.len()))
            .set_total_uncompressed_size(signed(self.uncompressed))
            .set_num_values(signed(rows))
            .set_data_page_offset(self.data_at.unwrap_or_default())
            .set_dictionary_page_offset(self.dictionary_at)
            .set_statistics(statistics(self.descr, self.bounds, self.nulls));
        let order = if self.is_ascending { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED };
        self.column_index.set_boundary_order(order);
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: if self.column_index.valid() { Some(self.column_index.build()?) } else { None },
            offset_index: Some(self.offset_index.build()),
        };
        Ok(Chunk { bytes, close })
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Bound {
    /// As the index of a column has it.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Bound::Flag(flag) => vec![u8::from(*flag)],
            Bound::Int(number) => number.to_le_bytes().to_vec(),
            Bound::Long(number) => number.to_le_bytes().to_vec(),
            Bound::Double(number) => number.to_le_bytes().to_vec(),
            Bound::Text(text) => text.to_vec(),
        }
    }
}

/// Of a chunk; one without any value says how many are NULL.
fn statistics(descr: &ColumnDescPtr, bounds: Option<(Bound, Bound)>, nulls: usize) -> Statistics {
    let nulls = Some(nulls as u64);
    match bounds {
        Some((Bound::Flag(low), Bound::Flag(high))) => Statistics::boolean(Some(low), Some(high), None, nulls, false),
        Some((Bound::Int(low), Bound::Int(high))) => Statistics::int32(Some(low), Some(high), None, nulls, false),
        Some((Bound::Long(low), Bound::Long(high))) => Statistics::int64(Some(low), Some(high), None, nulls, false),
        Some((Bound::Double(low), Bound::Double(high))) => Statistics::double(Some(low), Some(high), None, nulls, false),
        Some((Bound::Text(low), Bound::Text(high))) => {
            Statistics::byte_array(Some(low.into()), Some(high.into()), None, nulls, false)
        }
        _ => match descr.physical_type() {
            Type::BOOLEAN => Statistics::boolean(None, None, None, nulls, false),
            Type::INT32 => Statistics::int32(None, None, None, nulls, false),
            Type::INT64 => Statistics::int64(None, None, None, nulls, false),
            Type::INT96 => Statistics::int96(None, None, None, nulls, false),
            Type::FLOAT => Statistics::float(None, None, None, nulls, false),
            Type::DOUBLE => Statistics::double(None, None, None, nulls, false),
            Type::BYTE_ARRAY => Statistics::byte_array(None, None, None, nulls, false),
            Type::FIXED_LEN_BYTE_ARRAY => Statistics::fixed_len_byte_array(None, None, None, nulls, false),
        },
    }
}

/// The least and the greatest of the rows' values; what is not a number is neither.
pub(super) fn bounds(column: &Piled, rows: &[u32]) -> Option<(Bound, Bound)> {
    let present = rows.iter().copied().filter(|row| column.is_full() || column.is_present(*row));
    let numbers = present.clone().map(|row| row as usize);
    match column.values() {
        Values::Flags(values) => both(numbers.map(|row| values[row]), bool::cmp, Bound::Flag),
        Values::Ints(values) => both(numbers.map(|row| values[row]), i32::cmp, Bound::Int),
        Values::Longs(values) => both(numbers.map(|row| values[row]), i64::cmp, Bound::Long),
        // The format has a least zero as -0 and a greatest one as 0.
        Values::Doubles(values) => {
            let numbers = numbers.map(|row| values[row]).filter(|number| !number.is_nan());
            let (Bound::Double(low), Bound::Double(high)) = both(numbers, f64::total_cmp, Bound::Double)? else { return None };
            let zero = |number: f64, zero| if number == 0.0 { zero } else { number };
            Some((Bound::Double(zero(low, -0.0)), Bound::Double(zero(high, 0.0))))
        }
        Values::Text(text) => {
            both(present.map(|row| text.value(row)), Ord::cmp, |text| Bound::Text(Bytes::copy_from_slice(text)))
        }
        Values::Coded(texts) => {
            let (codes, entries) = (texts.codes(), texts.entries());
            let mut is_there = vec![false; entries.len()];
            numbers.for_each(|row| is_there[codes[row] as usize] = true);
            let texts = entries.iter().zip(is_there).filter(|(_, is_there)| *is_there).map(|(entry, _)| entry.as_bytes());
            both(texts, Ord::cmp, |text| Bound::Text(Bytes::copy_from_slice(text)))
        }
    }
}

fn both<V: Copy>(
    mut values: impl Iterator<Item = V>,
    order: impl Fn(&V, &V) -> std::cmp::Ordering,
    bound: impl Fn(V) -> Bound,
) -> Option<(Bound, Bound)> {
    let first = values.next()?;
    let (low, high) = values.fold((first, first), |(low, high), value| {
        (if order(&value, &low).is_lt() { value } else { low }, if order(&value, &high).is_gt() { value } else { high })
    });
    Some((bound(low), bound(high)))
}
