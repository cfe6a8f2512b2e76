//! `sanitize`: takes secrets out of every string, before anything is written anywhere.
//!
//! What goes is replaced by a mark that says what it was, `[redacted:github-token]`; what helps stays: the URL without its password, the
//! header with its scheme, the name of the parameter. Ordinary text is untouched, byte for byte.
//!
//! | file | what it holds |
//! |---|---|
//! | [`rules`] | the table: every rule with its class, its keywords and its examples |
//! | `scan` | one string under the rules: alphabets and runs |
//! | `fields` | finders of values behind a name: `password=…`, headers, cookies, queries |
//! | `find` | finders of tokens and shapes: JWT, PEM, URLs, e-mail, cards, addresses |
//! | `validate` | checksums, decoders, entropy, stop words |
//! | [`mark`] | the mark, and where a text that holds marks may be cut |
//!
//! One automaton finds the keywords of all rules; over a column it runs once through the contiguous values, as a hint, and only a
//! string with a hit is scanned by itself. A column is rebuilt only if something in it changed.
//!
//! Invariants: no rule runs over a whole value; a scan is linear in its text; what one scan leaves, another scan leaves as well.

mod fields;
mod find;
pub mod mark;
pub mod rules;
mod scan;
mod validate;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError, Input};
use arrow_array::builder::StringBuilder;
use arrow_array::{Array as _, StringArray};
use serde::Deserialize;

use crate::processors::{ColumnStep, Note, Tally};
use crate::signals::points::{Descriptor, Label, Points};
use crate::tables::{Columns, Raw, TableBatch};
pub use rules::Class;
use rules::{Find, RULES, Rule};
use scan::{Alphabet, Scan};

/// No more of a string is read, and so no more of it is stored: a stack trace, and any other text.
const MAX_STACK_BYTES: usize = 256 << 10;
const MAX_TEXT_BYTES: usize = 64 << 10;

/// No more of an error message is stored; cut after it was cleaned.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// A text is scanned again until nothing is found, at most this often.
const MAX_PASSES: usize = 4;

/// `sanitize: {}` has every class on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SanitizeConfig {
    /// Switches by class, for example `{ email: false }`; a class that is not named is on.
    pub classes: BTreeMap<Class, bool>,
}

#[derive(Debug, thiserror::Error)]
pub enum SanitizeError {
    #[error("the keywords of `sanitize` do not fit one automaton")]
    Keywords(#[from] BuildError),
}

/// Which rules a string is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All rules.
    Text,
    /// Classes that know a token by its own form: an id may be a number that looks like a card, or a name with `key` in it.
    Id,
}

/// A string without secrets, and how many were in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean<'t> {
    /// Borrowed where nothing was found.
    pub text: Cow<'t, str>,
    pub redactions: u64,
}

/// The step. Built once, shared by all requests.
#[derive(Clone, Debug)]
pub struct Sanitizer {
    text: Words,
    ids: Words,
}

/// The rules of one mode behind their automaton.
#[derive(Clone)]
struct Words {
    automaton: AhoCorasick,
    /// For each pattern: its rule and the keyword as the rule writes it.
    patterns: Vec<(usize, &'static str)>,
    /// Rules without keywords.
    shapes: Vec<usize>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Words({} keywords)", self.patterns.len())
    }
}

/// A part of a string that a rule wants gone.
struct Found {
    range: Range<usize>,
    rule: usize,
}

impl Sanitizer {
    /// # Errors
    /// Only if the table of rules outgrows its automaton.
    pub fn new(config: &SanitizeConfig) -> Result<Sanitizer, SanitizeError> {
        let on = |rule: &Rule| config.classes.get(&rule.class).copied().unwrap_or(true);
        let ids = |rule: &Rule| on(rule) && rule.class.is_token() && !matches!(rule.id, "aws-secret-key" | "azure-storage-key");
        Ok(Sanitizer { text: Words::new(on)?, ids: Words::new(ids)? })
    }

    /// Takes the secrets out of one string. Pure; linear in its length; doing it twice changes nothing.
    pub fn clean<'t>(&self, text: &'t str, mode: Mode) -> Clean<'t> {
        let words = self.words(mode);
        let mut clean = Clean { text: Cow::Borrowed(text), redactions: 0 };
        for _ in 0..MAX_PASSES {
            let found = words.find(&clean.text);
            if found.is_empty() {
                break;
            }
            let (text, count) = redact(&clean.text, found);
            clean = Clean { text: Cow::Owned(text), redactions: clean.redactions + count };
        }
        clean
    }

    fn words(&self, mode: Mode) -> &Words {
        match mode {
            Mode::Text => &self.text,
            Mode::Id => &self.ids,
        }
    }

    /// One column; `None` where nothing in it changes.
    fn column(&self, column: &StringArray, limits: Limits, tally: &mut Tally) -> Option<StringArray> {
        let suspects = self.words(limits.mode).suspects(column, limits);
        let mut changed: Vec<(usize, String)> = Vec::new();
        let mut redactions = 0;
        for row in suspects {
            let value = column.value(row);
            let clean = self.clean(cap(value, limits.read), limits.mode);
            redactions += clean.redactions;
            let stored = &clean.text[..mark::floor(&clean.text, limits.stored)];
            if stored != value {
                changed.push((row, stored.to_owned()));
            }
        }
        if redactions > 0 {
            tally.note(Note::Redaction, redactions);
        }
        if changed.is_empty() {
            return None;
        }
        let mut out = StringBuilder::with_capacity(column.len(), column.value_data().len());
        let mut changed = changed.into_iter().peekable();
        for (row, value) in column.iter().enumerate() {
            match changed.next_if(|(changed, _)| *changed == row) {
                Some((_, clean)) => out.append_value(clean),
                None => out.append_option(value),
            }
        }
        Some(out.finish())
    }

    /// Cleans a string in place and counts.
    fn clean_string(&self, text: &mut String, redactions: &mut u64) {
        let read = cap(text, MAX_TEXT_BYTES);
        let clean = self.clean(read, Mode::Text);
        *redactions += clean.redactions;
        if clean.text.len() != text.len() || clean.redactions > 0 {
            *text = clean.text.into_owned();
        }
    }

    fn clean_labels(&self, labels: &mut [Label], redactions: &mut u64) {
        for (key, value) in labels {
            self.clean_string(key, redactions);
            self.clean_string(value, redactions);
        }
    }
}

/// How much of a column's strings is read and stored, in bytes.
#[derive(Clone, Copy)]
struct Limits {
    mode: Mode,
    read: usize,
    stored: usize,
}

impl Limits {
    /// `None` for a column that is not this step's.
    fn of(column: &crate::tables::Column) -> Option<Limits> {
        let mode = match column.raw {
            Raw::Text => Mode::Text,
            Raw::Id => Mode::Id,
            Raw::Nothing | Raw::Address => return None,
        };
        let read = if column.name == "stack_trace" { MAX_STACK_BYTES } else { MAX_TEXT_BYTES };
        let stored = if column.name == "error_message" { MAX_MESSAGE_BYTES } else { read };
        Some(Limits { mode, read, stored })
    }
}

impl Words {
    fn new(on: impl Fn(&Rule) -> bool) -> Result<Words, BuildError> {
        let rules = || RULES.iter().enumerate().filter(|(_, rule)| on(rule));
        let patterns: Vec<(usize, &str)> =
            rules().flat_map(|(index, rule)| rule.keywords.iter().map(move |word| (index, *word))).collect();
        let shapes = rules().filter(|(_, rule)| matches!(rule.find, Find::Shape(_))).map(|(index, _)| index).collect();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(patterns.iter().map(|(_, word)| word))?;
        Ok(Words { automaton, patterns, shapes })
    }

    /// Rows that may hold something, or that are too long; ascending. One pass over the values of all rows: what lies across a border
    /// of rows marks the first of them too much, and never one too little.
    fn suspects(&self, column: &StringArray, limits: Limits) -> Vec<usize> {
        let offsets = column.value_offsets();
        let values = column.value_data();
        let start_of = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
        let (first, last) = (start_of(0), start_of(column.len()));
        let mut suspects: Vec<usize> =
            (0..column.len()).filter(|&row| start_of(row + 1) - start_of(row) > limits.stored.min(limits.read)).collect();
        let row_at = |at: usize| offsets.partition_point(|&offset| usize::try_from(offset).unwrap_or(0) <= at) - 1;

        let mut at = first;
        while let Some(hit) = self.automaton.find(Input::new(values).range(at..last).earliest(true)) {
            let row = row_at(hit.start());
            suspects.push(row);
            at = start_of(row + 1);
        }
        if !self.shapes.is_empty() {
            let mut at = first;
            while let Some(hit) = shape_hint(&values[at..last]) {
                let row = row_at(at + hit);
                suspects.push(row);
                at = start_of(row + 1);
            }
        }
        suspects.sort_unstable();
        suspects.dedup();
        suspects.retain(|&row| column.is_valid(row));
        suspects
    }

    /// What the rules want gone, in no order.
    fn find(&self, text: &str) -> Vec<Found> {
        let mut scan = Scan::new(text);
        let mut found = Vec::new();
        for hit in self.automaton.find_overlapping_iter(text) {
            let (rule, keyword) = self.patterns[hit.pattern().as_usize()];
            let range = RULES[rule].find.at(&mut scan, hit.range(), keyword);
            found.extend(checked(text, range, rule));
        }
        if !self.shapes.is_empty() && shape_hint(scan.bytes).is_some() {
            self.find_shapes(&mut scan, &mut found);
        }
        found
    }

    /// Tries the rules without keywords at the start of every word.
    fn find_shapes(&self, scan: &mut Scan<'_>, found: &mut Vec<Found>) {
        let mut at = 0;
        while at < scan.bytes.len() {
            if !scan.has(at, Alphabet::Alnum) || !scan.starts_word(at) {
                at += 1;
                continue;
            }
            for &rule in &self.shapes {
                let Find::Shape(find) = RULES[rule].find else { continue };
                let range = find(scan, at);
                found.extend(checked(scan.text, range, rule));
            }
            at += 1;
        }
    }
}

fn checked(text: &str, range: Option<Range<usize>>, rule: usize) -> Option<Found> {
    let range = range.filter(|range| !range.is_empty())?;
    text.get(range.clone()).filter(|token| (RULES[rule].check)(token)).map(|_| Found { range, rule })
}

/// Whether some card, IBAN or address can be in here, and where the sign of it ends: four digits in a row, a dot between digits, or a
/// colon after four hexadecimal digits.
fn shape_hint(values: &[u8]) -> Option<usize> {
    let mut digits = 0_usize;
    let mut hex = 0_usize;
    for (at, &byte) in values.iter().enumerate() {
        if byte.is_ascii_digit() {
            digits += 1;
            hex += 1;
            if digits >= 4 {
                return Some(at);
            }
            continue;
        }
        if byte == b'.' && digits > 0 && values.get(at + 1).is_some_and(u8::is_ascii_digit) {
            return Some(at);
        }
        if byte == b':' && hex >= 4 {
            return Some(at);
        }
        digits = 0;
        hex = if byte.is_ascii_hexdigit() { hex + 1 } else { 0 };
    }
    None
}

/// Replaces what was found; where finds overlap, all of them go under the name of the longest, or of the first rule.
fn redact(text: &str, mut found: Vec<Found>) -> (String, u64) {
    found.sort_unstable_by_key(|found| (found.range.start, found.range.end));
    let mut out = String::with_capacity(text.len());
    let mut count = 0;
    let mut kept = 0;
    let mut rest = found.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut end = first.range.end;
        let mut best = first;
        let start = best.range.start;
        while let Some(next) = rest.next_if(|next| next.range.start < end) {
            end = end.max(next.range.end);
            let (length, other) = (best.range.len(), next.range.len());
            if other > length || (other == length && next.rule < best.rule) {
                best = next;
            }
        }
        out.push_str(&text[kept..start]);
        out.push_str(mark::OPEN);
        out.push_str(RULES[best.rule].class.name());
        out.push(']');
        kept = end;
        count += 1;
    }
    out.push_str(&text[kept..]);
    (out, count)
}

/// The head of a text that is too long, back to its last delimiter: the head of a token that was cut is no token any rule would find.
fn cap(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let head = &text[..text.floor_char_boundary(limit)];
    let delimiter = |byte: &u8| byte.is_ascii_whitespace() || b",;&|<>(){}[]\"'`".contains(byte);
    &head[..head.as_bytes().iter().rposition(delimiter).map_or(0, |at| at + 1)]
}

impl ColumnStep for Sanitizer {
    fn apply(&self, batch: TableBatch, tally: &mut Tally) -> TableBatch {
        let mut batch = batch;
        for (index, column) in batch.table.columns().iter().enumerate() {
            let Some(limits) = Limits::of(column) else { continue };
            let clean = batch.strings(index).and_then(|values| self.column(values, limits, tally));
            if let Some(values) = clean {
                batch = batch.with_strings(index, values);
            }
        }
        batch
    }

    fn clears(&self) -> Columns {
        Columns::with_raw(&[Raw::Text, Raw::Id])
    }

    /// Names, units and descriptions, keys and values of labels: each can be the sender's.
    fn apply_to_points(&self, points: &mut Points, tally: &mut Tally) {
        let mut redactions = 0;
        let mut metrics: Shared<Descriptor> = None;
        let mut resources: Shared<[Label]> = None;
        for point in &mut points.list {
            point.metric = shared(&mut metrics, &point.metric, |metric| {
                let mut clean = metric.clone();
                for text in [&mut clean.name, &mut clean.description, &mut clean.unit] {
                    self.clean_string(text, &mut redactions);
                }
                (clean != *metric).then(|| Arc::new(clean))
            });
            point.resource = shared(&mut resources, &point.resource, |labels| {
                let mut clean = labels.to_vec();
                self.clean_labels(&mut clean, &mut redactions);
                (clean != labels).then(|| Arc::from(clean))
            });
            self.clean_labels(&mut point.labels, &mut redactions);
        }
        if redactions > 0 {
            tally.note(Note::Redaction, redactions);
        }
    }
}

/// What the last shared value was, and what it became. Holding both keeps their addresses from being used again.
type Shared<T> = Option<(Arc<T>, Arc<T>)>;

/// Points of one metric or resource share it and stand together: it is cleaned once.
fn shared<T: ?Sized>(last: &mut Shared<T>, value: &Arc<T>, clean: impl FnOnce(&T) -> Option<Arc<T>>) -> Arc<T> {
    if let Some((_, after)) = last.as_ref().filter(|(before, _)| Arc::ptr_eq(before, value)) {
        return Arc::clone(after);
    }
    let after = clean(value).unwrap_or_else(|| Arc::clone(value));
    *last = Some((Arc::clone(value), Arc::clone(&after)));
    after
}

#[cfg(test)]
mod tests;
