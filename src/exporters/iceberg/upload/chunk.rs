//! One column of a row group: pages of values in the order of the rows, compressed, and what the footer says of them.
//!
//! The library's writer takes Arrow arrays, gathers every value, hashes it, and sees each row four times. Here a value goes from the pile into its
//! page at once; text that repeats has its codes already, and what is constant in a page costs a run.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use parquet::basic::{Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::packed::{put_bits, put_deltas, put_run, put_runs, put_streams, width};
use super::pages::{BoundsOf, Chunk, Pages, bounds};
use crate::tables::layout::pile::{Piled, Values};

/// Rows of a page: what a reader skips by the page's bounds.
const PAGE_ROWS: usize = 20_000;
/// Bytes of text after which a page ends earlier.
const PAGE_BYTES: usize = 1 << 20;
/// A larger dictionary is none.
const DICTIONARY_BYTES: usize = 1 << 20;
/// Rows that are asked whether a column repeats.
const SAMPLE: usize = 1024;

/// What is known about a column beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Values do not repeat: no dictionary.
    pub(super) is_distinct: bool,
    pub(super) bounds: BoundsOf,
}

/// Makes chunks; keeps its buffers between them.
pub struct Chunks {
    compressor: Compressor<'static>,
    /// A page before it is compressed.
    page: Vec<u8>,
    /// Dictionary codes, one a row of the chunk.
    codes: Vec<u32>,
    few: Vec<u32>,
    longs: Vec<i64>,
    doubles: Vec<f64>,
}

struct Dictionary {
    /// Its entries, PLAIN.
    page: Vec<u8>,
    entries: u32,
}

impl Chunks {
    /// # Errors
    /// When the compressor gets no memory.
    pub fn new() -> std::io::Result<Chunks> {
        let compressor = Compressor::new(ZstdLevel::default().compression_level())?;
        Ok(Chunks { compressor, page: Vec::new(), codes: Vec::new(), few: Vec::new(), longs: Vec::new(), doubles: Vec::new() })
    }

    /// The rows of a column in this order; no column is one of NULL.
    pub(super) fn encode(&mut self, column: Option<&Piled>, rows: &[u32], descr: &ColumnDescPtr, style: Style) -> Result<Chunk> {
        let mut pages = Pages::new(descr, style.bounds);
        let Some(column) = column else {
            self.page.clear();
            put_nulls(&mut self.page, rows.len(), descr.max_rep_level());
            put_nulls(&mut self.page, rows.len(), descr.max_def_level());
            pages.data(&mut self.compressor, &self.page, Encoding::PLAIN, (rows.len(), rows.len()), None)?;
            return pages.finish(rows.len());
        };
        let dictionary = if style.is_distinct { None } else { self.dictionary(column, rows) };
        if let Some(dictionary) = &dictionary {
            pages.dictionary(&mut self.compressor, &dictionary.page, dictionary.entries)?;
        }
        let mut from = 0;
        while from < rows.len() {
            let left = &rows[from..rows.len().min(from + PAGE_ROWS)];
            let part = if dictionary.is_some() { left } else { &left[..page_len(column, left)] };
            self.page.clear();
            let nulls = self.put_levels(column, part);
            let encoding = match &dictionary {
                Some(dictionary) => self.put_codes(column, part, from, dictionary),
                None if nulls == part.len() => Encoding::PLAIN,
                None => self.put_values(column, part),
            };
            let bounds = if style.bounds == BoundsOf::Nothing { None } else { bounds(column, part) };
            pages.data(&mut self.compressor, &self.page, encoding, (part.len(), nulls), bounds)?;
            from += part.len();
        }
        pages.finish(rows.len())
    }

    /// Which rows have a value; says how many have none.
    fn put_levels(&mut self, column: &Piled, rows: &[u32]) -> usize {
        let start = self.page.len();
        self.page.extend_from_slice(&[0; 4]);
        let nulls = if column.is_full() {
            put_run(&mut self.page, 1, rows.len(), 1);
            0
        } else {
            self.few.clear();
            self.few.extend(rows.iter().map(|row| u32::from(column.is_present(*row))));
            put_runs(&mut self.page, &self.few, 1);
            rows.len() - self.few.iter().sum::<u32>() as usize
        };
        set_length(&mut self.page, start);
        nulls
    }

    fn put_codes(&mut self, column: &Piled, rows: &[u32], from: usize, dictionary: &Dictionary) -> Encoding {
        let codes = &self.codes[from..from + rows.len()];
        let width = width(u64::from(dictionary.entries.saturating_sub(1)));
        self.page.push(width);
        if column.is_full() {
            put_runs(&mut self.page, codes, width);
        } else {
            self.few.clear();
            let present = codes.iter().zip(rows).filter(|(_, row)| column.is_present(**row));
            self.few.extend(present.map(|(code, _)| *code));
            put_runs(&mut self.page, &self.few, width);
        }
        Encoding::RLE_DICTIONARY
    }

    fn put_values(&mut self, column: &Piled, rows: &[u32]) -> Encoding {
        let present = rows.iter().copied().filter(|row| column.is_full() || column.is_present(*row));
        match column.values() {
            Values::Text(text) => self.put_text(present.map(|row| text.value(row))),
            Values::Coded(texts) => {
                let (codes, entries) = (texts.codes(), texts.entries());
                self.put_text(present.map(|row| entries[codes[row as usize] as usize].as_bytes()))
            }
            Values::Longs(values) => {
                self.longs.clear();
                self.longs.extend(present.map(|row| values[row as usize]));
                put_deltas(&mut self.page, &self.longs);
                Encoding::DELTA_BINARY_PACKED
            }
            Values::Doubles(values) => {
                self.doubles.clear();
                self.doubles.extend(present.map(|row| values[row as usize]));
                put_streams(&mut self.page, &self.doubles);
                Encoding::BYTE_STREAM_SPLIT
            }
            Values::Ints(values) => {
                present.for_each(|row| self.page.extend_from_slice(&values[row as usize].to_le_bytes()));
                Encoding::PLAIN
            }
            Values::Flags(values) => {
                put_bits(&mut self.page, present.map(|row| u64::from(values[row as usize])), 1);
                Encoding::PLAIN
            }
        }
    }

    fn put_text<'v>(&mut self, values: impl Iterator<Item = &'v [u8]> + Clone) -> Encoding {
        self.longs.clear();
        // Lengths are below 4 GiB.
        self.longs.extend(values.clone().map(|value| i64::try_from(value.len()).unwrap_or_default()));
        put_deltas(&mut self.page, &self.longs);
        values.for_each(|value| self.page.extend_from_slice(value));
        Encoding::DELTA_LENGTH_BYTE_ARRAY
    }

    /// Fills the codes of the rows, if their values repeat.
    fn dictionary(&mut self, column: &Piled, rows: &[u32]) -> Option<Dictionary> {
        self.codes.clear();
        match column.values() {
            Values::Coded(texts) => {
                let (codes, entries) = (texts.codes(), texts.entries());
                let mut numbers = vec![None; entries.len()];
                let mut dictionary = Dictionary { page: Vec::new(), entries: 0 };
                for row in rows {
                    let old = codes[*row as usize] as usize;
                    // Where the row has no value, its code is not written.
                    let code = match numbers.get_mut(old) {
                        Some(number) if column.is_full() || column.is_present(*row) => {
                            *number.get_or_insert_with(|| dictionary.push_text(entries[old].as_bytes()))
                        }
                        _ => 0,
                    };
                    self.codes.push(code);
                }
                dictionary.worth(rows.len())
            }
            Values::Text(text) if repeats(rows.iter().map(|row| text.value(*row))) => {
                self.number(column, rows, |row| text.value(row), Dictionary::push_text)
            }
            Values::Longs(values) if repeats(rows.iter().map(|row| values[*row as usize])) => {
                self.number(column, rows, |row| values[row as usize], |dictionary, value| dictionary.push(&value.to_le_bytes()))
            }
            Values::Ints(values) if repeats(rows.iter().map(|row| values[*row as usize])) => {
                self.number(column, rows, |row| values[row as usize], |dictionary, value| dictionary.push(&value.to_le_bytes()))
            }
            _ => None,
        }
    }

    fn number<V: Copy + Eq + Hash>(
        &mut self,
        column: &Piled,
        rows: &[u32],
        value: impl Fn(u32) -> V,
        push: impl Fn(&mut Dictionary, V) -> u32,
    ) -> Option<Dictionary> {
        let mut dictionary = Dictionary { page: Vec::new(), entries: 0 };
        let mut numbers: HashMap<V, u32> = HashMap::new();
        let mut last = None;
        for row in rows {
            if !column.is_full() && !column.is_present(*row) {
                self.codes.push(0);
                continue;
            }
            let value = value(*row);
            let code = match last {
                Some((code, before)) if before == value => code,
                _ => *numbers.entry(value).or_insert_with(|| push(&mut dictionary, value)),
            };
            last = Some((code, value));
            self.codes.push(code);
            if dictionary.page.len() > DICTIONARY_BYTES {
                return None;
            }
        }
        dictionary.worth(rows.len())
    }
}

/// Whether most values of some rows were seen before.
fn repeats<V: Eq + Hash>(values: impl ExactSizeIterator<Item = V>) -> bool {
    let step = (values.len() / SAMPLE).max(1);
    let mut count = 0;
    let seen: HashSet<V> = values.step_by(step).inspect(|_| count += 1).collect();
    2 * seen.len() <= count + 1
}

impl Dictionary {
    fn push(&mut self, bytes: &[u8]) -> u32 {
        self.page.extend_from_slice(bytes);
        self.entries += 1;
        self.entries - 1
    }

    fn push_text(&mut self, text: &[u8]) -> u32 {
        self.page.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.push(text)
    }

    /// `None` if it holds almost as much as the rows do.
    fn worth(self, rows: usize) -> Option<Dictionary> {
        let is_worth = self.entries > 0 && self.page.len() <= DICTIONARY_BYTES && 2 * self.entries as usize <= rows + 1;
        is_worth.then_some(self)
    }
}

/// How many of these rows go into the next page; one at least.
fn page_len(column: &Piled, rows: &[u32]) -> usize {
    let len = |row: &u32| match column.values() {
        Values::Text(text) => text.value(*row).len(),
        Values::Coded(coded) => {
            coded.codes().get(*row as usize).and_then(|code| coded.entries().get(*code as usize)).map_or(0, |entry| entry.len())
        }
        _ => 0,
    };
    let mut bytes = 0;
    let fits = rows.iter().take_while(|row| {
        let before = bytes;
        bytes += len(row);
        before < PAGE_BYTES
    });
    fits.count()
}

/// So many levels of 0, if there is any level.
fn put_nulls(page: &mut Vec<u8>, rows: usize, max: i16) {
    if max > 0 {
        let start = page.len();
        page.extend_from_slice(&[0; 4]);
        put_run(page, 0, rows, width(u64::from(max.unsigned_abs())));
        set_length(page, start);
    }
}

/// Puts the length of what follows into the four bytes at `start`.
fn set_length(page: &mut [u8], start: usize) {
    let length = u32::try_from(page.len() - start - 4).unwrap_or(u32::MAX);
    page[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
