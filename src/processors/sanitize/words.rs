//! The rules of one mode behind one automaton: which rows of a column to look at, what to take out of a string.

use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError, Input};
use arrow_array::{Array as _, StringArray};

use super::custom::{Allowed, CustomRule};
use super::rules::{Find, Rule, all};
use super::scan::{Alphabet, Scan};
use super::{encoded, mark};

/// The rules of one mode behind their automaton.
#[derive(Clone)]
pub(super) struct Words {
    automaton: AhoCorasick,
    rules: Vec<&'static Rule>,
    /// Their numbers go on where those of the built-in rules end.
    custom: Arc<[CustomRule]>,
    allowed: Allowed,
    /// For each pattern: its rule and the keyword as the rule writes it; that of a custom rule is never asked for.
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
pub(super) struct Found {
    range: Range<usize>,
    /// Its number among the rules of these words: the lower names what both find.
    pub(super) rule: usize,
}

impl Words {
    pub(super) fn new(on: impl Fn(&Rule) -> bool, custom: &Arc<[CustomRule]>, allowed: Allowed) -> Result<Words, BuildError> {
        let rules: Vec<&'static Rule> = all().filter(|rule| on(rule)).collect();
        let numbered = || rules.iter().enumerate();
        let mut patterns: Vec<(usize, &str)> =
            numbered().flat_map(|(index, rule)| rule.keywords.iter().map(move |word| (index, *word))).collect();
        let mut words: Vec<&str> = patterns.iter().map(|(_, word)| *word).collect();
        for (index, rule) in custom.iter().enumerate() {
            patterns.extend(rule.keywords.iter().map(|_| (rules.len() + index, "")));
            words.extend(rule.keywords.iter());
        }
        let shapes = numbered().filter(|(_, rule)| matches!(rule.find, Find::Shape(_))).map(|(index, _)| index).collect();
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(words)?;
        Ok(Words { automaton, rules, custom: Arc::clone(custom), allowed, patterns, shapes })
    }

    /// Rows that may hold something, or have more than `longest` bytes; ascending. One pass over the values of all rows: what lies across a border
    /// of rows marks the first of them too much, and never one too little.
    pub(super) fn suspects(&self, column: &StringArray, longest: usize) -> Vec<usize> {
        let offsets = column.value_offsets();
        let values = column.value_data();
        let start_of = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
        let (first, last) = (start_of(0), start_of(column.len()));
        let mut suspects: Vec<usize> = (0..column.len()).filter(|&row| start_of(row + 1) - start_of(row) > longest).collect();
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
        suspects.extend((0..column.len()).filter(|&row| encoded::hint(&values[start_of(row)..start_of(row + 1)])));
        suspects.sort_unstable();
        suspects.dedup();
        suspects.retain(|&row| column.is_valid(row));
        suspects
    }

    /// What the rules want gone, in no order.
    pub(super) fn find(&self, text: &str) -> Vec<Found> {
        let mut found = self.find_in(&mut Scan::new(text));
        if encoded::hint(text.as_bytes()) {
            for (range, hidden) in encoded::texts(text) {
                let first = self.find_in(&mut Scan::new(&hidden)).into_iter().map(|found| found.rule).min();
                found.extend(first.map(|rule| Found { range, rule }));
            }
        }
        found
    }

    /// What goes of a value because of its name, as in `password` with `hunter2`: the name and the value are read as if they stood in JSON.
    pub(super) fn find_named(&self, name: &str, value: &str) -> Vec<Found> {
        if name.is_empty() || !self.automaton.is_match(name) {
            return Vec::new();
        }
        let head = format!("\"{name}\":");
        if value.starts_with('[') {
            // A list of headers; what is found in it stands in the value at the same place.
            let found = self.find_in(&mut Scan::new(&format!("{head}{value}"))).into_iter();
            let within = found.filter(|found| found.range.start >= head.len());
            return within
                .map(|found| Found { range: found.range.start - head.len()..found.range.end - head.len(), ..found })
                .collect();
        }
        let quoted = format!("{head}{}", serde_json::Value::from(value));
        let whole = head.len() + 1..quoted.len() - 1;
        let found = self.find_in(&mut Scan::new(&quoted)).into_iter();
        found.filter(|found| found.range == whole).map(|found| Found { range: 0..value.len(), ..found }).collect()
    }

    pub(super) fn find_in(&self, scan: &mut Scan<'_>) -> Vec<Found> {
        let text = scan.text;
        let mut found = Vec::new();
        let mut custom: Vec<usize> = Vec::new();
        let has_marks = memchr::memmem::find(scan.bytes, mark::OPEN.as_bytes()).is_some();
        for hit in self.automaton.find_overlapping_iter(text) {
            if has_marks && self.is_in_mark(text, hit.start()) {
                continue;
            }
            let (rule, keyword) = self.patterns[hit.pattern().as_usize()];
            if let Some(built_in) = self.rules.get(rule) {
                let range = built_in.find.at(scan, hit.range(), keyword);
                found.extend(self.checked(text, range, rule));
            } else if !custom.contains(&rule) {
                custom.push(rule);
            }
        }
        for rule in custom {
            let ranges = self.custom[rule - self.rules.len()].find(text);
            found.extend(ranges.filter_map(|range| self.kept(text, range, rule)));
        }
        if !self.shapes.is_empty() && shape_hint(scan.bytes).is_some() {
            self.find_shapes(scan, &mut found);
        }
        found
    }

    /// Whether a keyword is part of a mark: the words of marks are keywords too. Only a word of ours makes a mark, so that none hides a secret.
    fn is_in_mark(&self, text: &str, at: usize) -> bool {
        let ours =
            |word: &str| all().any(|rule| rule.class.name() == word) || self.custom.iter().any(|rule| rule.name.as_str() == word);
        mark::word_around(text, at).is_some_and(ours)
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
                let Find::Shape(find) = self.rules[rule].find else { continue };
                let range = find(scan, at);
                found.extend(self.checked(scan.text, range, rule));
            }
            at += 1;
        }
    }

    fn checked(&self, text: &str, range: Option<Range<usize>>, rule: usize) -> Option<Found> {
        let range = range?;
        let token = text.get(range.clone())?;
        if (self.rules[rule].check)(token) { self.kept(text, range, rule) } else { None }
    }

    /// A find, unless it is empty, allowed, or within a mark of an earlier pass.
    fn kept(&self, text: &str, range: Range<usize>, rule: usize) -> Option<Found> {
        let token = text.get(range.clone()).filter(|token| !token.is_empty())?;
        (!self.allowed.holds(token)).then_some(Found { range, rule })
    }

    /// The word in the mark.
    pub(super) fn name(&self, rule: usize) -> &str {
        match self.rules.get(rule) {
            Some(rule) => rule.class.name(),
            None => self.custom[rule - self.rules.len()].name.as_str(),
        }
    }

    /// Replaces what was found; where finds overlap, all of them go under the name of the longest, or of the first rule.
    pub(super) fn redact(&self, text: &str, mut found: Vec<Found>) -> (String, u64) {
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
            out.push_str(self.name(best.rule));
            out.push(']');
            kept = end;
            count += 1;
        }
        out.push_str(&text[kept..]);
        (out, count)
    }
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
