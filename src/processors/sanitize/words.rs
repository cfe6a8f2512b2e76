//! The rules of one mode behind their keywords and signs: which rows of a column to look at, what to take out of a string.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array as _, StringArray};

use super::custom::{Allowed, CustomRule};
use super::keywords::{Keyword, Keywords};
use super::rules::{Find, Rule, all};
use super::scan::{Alphabet, Scan};
use super::{Mode, encoded, escapes, hints, mark};

/// No more of a token is given to the check of its rule, in bytes.
const MAX_CHECKED: usize = 1024;

/// The rules of one mode.
#[derive(Clone)]
pub(super) struct Words {
    keywords: Keywords,
    rules: Vec<&'static Rule>,
    /// Their numbers go on where those of the built-in rules end.
    custom: Arc<[CustomRule]>,
    allowed: Allowed,
    /// For each keyword: its rule and the keyword as the rule writes it; that of a custom rule is never asked for.
    of_keywords: Vec<(usize, &'static str)>,
    /// Rules without keywords, with the signs of what they find; the signs of all.
    shapes: Vec<(usize, u8)>,
    signs: u8,
    /// What has a space in it is no id and always a suspect.
    ids: bool,
    /// Nothing is found in lower-case hexadecimal digits and dashes: most ids are made of them.
    hexadecimal_is_clean: bool,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Words({} keywords)", self.keywords.len())
    }
}

/// The rows of a column that are to be looked at.
struct Suspects<'c> {
    column: &'c StringArray,
    rows: Vec<bool>,
    any: bool,
    /// Where the value stands that was noted last: hits of one row mostly come together.
    known: Range<usize>,
}

impl<'c> Suspects<'c> {
    /// Where the value of a row begins among those of all rows.
    fn start(&self, row: usize) -> usize {
        usize::try_from(self.column.value_offsets()[row]).unwrap_or(0)
    }

    fn bytes(&self, rows: Range<usize>) -> &'c [u8] {
        &self.column.value_data()[self.start(rows.start)..self.start(rows.end)]
    }

    fn note_row(&mut self, row: usize) {
        self.rows[row] = true;
        self.any = true;
    }

    /// How many of the next rows are equal to this one. Steps that double: a column of one value costs little more than its bytes.
    fn repeats(&self, row: usize) -> usize {
        let (offsets, data) = (self.column.value_offsets(), self.column.value_data());
        let (start, length) = (self.start(row), offsets[row + 1] - offsets[row]);
        let mut equal = 0;
        let mut step = 1;
        loop {
            let next = row + 1 + equal;
            let step_end = (next + step).min(offsets.len() - 1);
            let same_length = offsets[next..=step_end].windows(2).fold(0, |other, two| other | ((two[1] - two[0]) ^ length)) == 0;
            let bytes = self.start(step_end) - self.start(next);
            if step_end == next || !same_length || data[start..start + bytes] != data[self.start(next)..][..bytes] {
                return equal;
            }
            equal += step_end - next;
            step *= 2;
        }
    }

    /// Notes the row whose value has the byte at `at`.
    fn note(&mut self, at: usize) {
        if !self.known.contains(&at) {
            let row = self.column.value_offsets().partition_point(|&offset| usize::try_from(offset).unwrap_or(0) <= at) - 1;
            self.note_row(row);
            self.known = self.start(row)..self.start(row + 1);
        }
    }
}

/// 0 for a lower-case hexadecimal digit or a dash, else 1.
fn of_no_uuid(byte: u8) -> u8 {
    let digit = byte.wrapping_sub(b'0') < 10;
    let letter = byte.wrapping_sub(b'a') < 6;
    (u8::from(digit) | u8::from(letter) | u8::from(byte == b'-')) ^ 1
}

/// A part of a string that a rule wants gone.
pub(super) struct Found {
    range: Range<usize>,
    /// Its number among the rules of these words: the lower names what both find.
    pub(super) rule: usize,
}

impl Words {
    pub(super) fn new(mode: Mode, on: impl Fn(&Rule) -> bool, custom: &Arc<[CustomRule]>, allowed: Allowed) -> Words {
        let rules: Vec<&'static Rule> = all().filter(|rule| on(rule)).collect();
        let numbered = || rules.iter().enumerate();
        let mut of_keywords: Vec<(usize, &str)> =
            numbered().flat_map(|(index, rule)| rule.keywords.iter().map(move |word| (index, *word))).collect();
        let mut words: Vec<Keyword<'_>> =
            of_keywords.iter().map(|(rule, text)| Keyword { text, next: rules[*rule].find.next() }).collect();
        for (index, rule) in custom.iter().enumerate() {
            of_keywords.extend(rule.keywords.iter().map(|_| (rules.len() + index, "")));
            words.extend(rule.keywords.iter().map(|text| Keyword { text, next: None }));
        }
        // A keyword with something behind it is a head, and stands as it is written.
        let folded = |word: &Keyword<'_>| if word.next.is_some() { word.text.to_owned() } else { word.text.to_ascii_lowercase() };
        let hexadecimal_is_clean =
            mode == Mode::Id && !words.iter().any(|word| folded(word).bytes().all(|byte| of_no_uuid(byte) == 0));
        let keywords = Keywords::new(&words);
        let shapes = numbered().filter_map(|(index, rule)| match rule.find {
            Find::Shape { signs, .. } => Some((index, signs)),
            Find::Head { .. } | Find::At(_) => None,
        });
        let shapes: Vec<(usize, u8)> = shapes.collect();
        let signs = shapes.iter().fold(0, |all, (_, signs)| all | signs);
        Words {
            keywords,
            rules,
            custom: Arc::clone(custom),
            allowed,
            of_keywords,
            shapes,
            signs,
            ids: mode == Mode::Id,
            hexadecimal_is_clean,
        }
    }

    /// Rows that may hold something, or have more than `longest` bytes; ascending. A value equal to the one before it is not looked at again: it is a
    /// suspect if that one is. The others are looked at where they stand, in one pass over all that stand together: what lies across a border of
    /// rows marks the first of them too much, and never one too little.
    pub(super) fn suspects(&self, column: &StringArray, longest: usize) -> Vec<usize> {
        if column.null_count() == column.len() {
            return Vec::new();
        }
        let mut suspects = Suspects { rows: vec![false; column.len()], column, any: false, known: 0..0 };
        let (mut row, mut together) = (0, 0);
        while row < column.len() {
            let value = suspects.bytes(row..row + 1);
            if value.len() > longest || encoded::hint(value) {
                suspects.note_row(row);
            }
            let repeats = suspects.repeats(row);
            if repeats > 0 {
                self.suspect(&mut suspects, together..row + 1);
                let of_value = suspects.rows[row];
                suspects.rows[row + 1..=row + repeats].fill(of_value);
                together = row + 1 + repeats;
            }
            row += 1 + repeats;
        }
        self.suspect(&mut suspects, together..column.len());
        if !suspects.any {
            return Vec::new();
        }
        suspects.rows.iter().enumerate().filter(|&(row, suspect)| *suspect && column.is_valid(row)).map(|(row, _)| row).collect()
    }

    /// Looks at the rows that stand together.
    fn suspect(&self, suspects: &mut Suspects<'_>, rows: Range<usize>) {
        let values = suspects.bytes(rows.clone());
        if self.hexadecimal_is_clean && values.iter().fold(0, |other, byte| other | of_no_uuid(*byte)) == 0 {
            return;
        }
        let first = suspects.start(rows.start);
        self.keywords.find(values, |hit, _| suspects.note(first + hit.start));
        hints::find(values, self.signs, |at, _| suspects.note(first + at));
        memchr::memchr_iter(b'%', values).for_each(|at| suspects.note(first + at));
        for escape in [b"\\u00".as_slice(), b"&#"] {
            memchr::memmem::find_iter(values, escape).for_each(|at| suspects.note(first + at));
        }
        if self.ids {
            memchr::memchr3_iter(b' ', b'\n', b'\t', values).for_each(|at| suspects.note(first + at));
        }
    }

    /// What the rules want gone, in no order.
    pub(super) fn find(&self, text: &str) -> Vec<Found> {
        let mut found = self.find_in(&mut Scan::new(text));
        if let Some(decoded) = escapes::decoded(text) {
            let behind = self.find_in(&mut Scan::new(&decoded.text)).into_iter();
            found.extend(behind.map(|found| Found { range: decoded.place(&found.range), ..found }));
        }
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
        if name.is_empty() || !self.keywords.any_in(name) {
            return Vec::new();
        }
        let head = format!("\"{name}\":");
        // An array, a map and a text that needs no escapes stand there as they are; another text goes as a whole.
        let plain = value.starts_with(['[', '{']);
        let quoted = if plain { value.to_owned() } else { serde_json::Value::from(value).to_string() };
        let first = head.len() + usize::from(!plain);
        let as_is = plain || quoted.len() == value.len() + 2;
        let found = self.find_in(&mut Scan::new(&(head + &quoted))).into_iter();
        let within = found.filter(|found| found.range.start >= first && found.range.end <= first + value.len().max(quoted.len()));
        let place = |range: Range<usize>| if as_is { range.start - first..range.end - first } else { 0..value.len() };
        let within: Vec<Found> = within
            .map(|found| Found { range: place(found.range), ..found })
            .filter(|found| value.get(found.range.clone()).is_some())
            .collect();
        if within.is_empty() && value.starts_with('[') {
            // A header is a list of values: one that would go by itself takes the list with it.
            let elements: Vec<String> = serde_json::from_str(value).unwrap_or_default();
            let found = elements.iter().find_map(|element| self.find_named(name, element).into_iter().next());
            return found.map(|found| Found { range: 0..value.len(), ..found }).into_iter().collect();
        }
        within
    }

    pub(super) fn find_in(&self, scan: &mut Scan<'_>) -> Vec<Found> {
        let text = scan.text;
        let mut found = Vec::new();
        let mut custom: Vec<usize> = Vec::new();
        let bracket = memchr::memchr(b'[', scan.bytes);
        let has_marks = bracket.is_some_and(|at| memchr::memmem::find(&scan.bytes[at..], mark::OPEN.as_bytes()).is_some());
        self.keywords.find(scan.bytes, |hit, keyword| {
            if has_marks && self.is_in_mark(text, hit.start) {
                return;
            }
            let (rule, keyword) = self.of_keywords[keyword];
            if let Some(built_in) = self.rules.get(rule) {
                let range = built_in.find.at(scan, hit, keyword);
                found.extend(self.checked(text, range, rule));
            } else if !custom.contains(&rule) {
                custom.push(rule);
            }
        });
        for rule in custom {
            let ranges = self.custom[rule - self.rules.len()].find(text);
            let ranges =
                ranges.filter(|range| !has_marks || !self.is_in_mark(text, range.start) && !self.is_in_mark(text, range.end));
            found.extend(ranges.filter_map(|range| self.kept(text, range, rule)));
        }
        self.find_shapes(scan, &mut found);
        found
    }

    /// Whether a keyword is part of a mark: the words of marks are keywords too. Only a word of ours makes a mark, so that none hides a secret.
    fn is_in_mark(&self, text: &str, at: usize) -> bool {
        let ours =
            |word: &str| all().any(|rule| rule.class.name() == word) || self.custom.iter().any(|rule| rule.name.as_str() == word);
        mark::word_around(text, at).is_some_and(ours)
    }

    /// Tries the rules without keywords where their signs stand.
    fn find_shapes(&self, scan: &mut Scan<'_>, found: &mut Vec<Found>) {
        if self.shapes.is_empty() {
            return;
        }
        hints::find(scan.bytes, self.signs, |at, signs| {
            for &(rule, of_rule) in &self.shapes {
                let Find::Shape { find, .. } = self.rules[rule].find else { continue };
                if signs & of_rule == 0 {
                    continue;
                }
                let mut starts = hints::starts(at, signs & of_rule);
                let range = starts.find_map(|at| {
                    let begins = scan.has(at, Alphabet::Alnum) && (scan.starts_word(at) || scan.before(at) == Some(b'_'));
                    if begins { find(scan, at) } else { None }
                });
                found.extend(self.checked(scan.text, range, rule));
            }
        });
    }

    fn checked(&self, text: &str, range: Option<Range<usize>>, rule: usize) -> Option<Found> {
        let range = range?;
        let token = text.get(range.clone())?;
        // Longer than any rule asks for, and short enough for a text that holds many heads.
        let token = &token[..token.floor_char_boundary(MAX_CHECKED)];
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
