//! The rules of one mode behind their keywords and signs: which rows of a column to look at, what to take out of a string.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array as _, StringArray};

use super::custom::{Allowed, CustomRule};
use super::keywords::{Keyword, Keywords};
use super::rules::{Find, Rule, all};
use super::scan::{Alphabet, Scan};
use super::{encoded, hints, mark};

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
    /// Rules without keywords, with the signs of what they find.
    shapes: Vec<(usize, u8)>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Words({} keywords)", self.keywords.len())
    }
}

/// A part of a string that a rule wants gone.
pub(super) struct Found {
    range: Range<usize>,
    /// Its number among the rules of these words: the lower names what both find.
    pub(super) rule: usize,
}

impl Words {
    pub(super) fn new(on: impl Fn(&Rule) -> bool, custom: &Arc<[CustomRule]>, allowed: Allowed) -> Words {
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
        let keywords = Keywords::new(&words);
        let shapes = numbered().filter_map(|(index, rule)| match rule.find {
            Find::Shape { signs, .. } => Some((index, signs)),
            Find::Head { .. } | Find::At(_) => None,
        });
        let shapes = shapes.collect();
        Words { keywords, rules, custom: Arc::clone(custom), allowed, of_keywords, shapes }
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

        // Hits of one row mostly come together; those of short keywords come first.
        let mut known = 0..0;
        let mut suspect = |at: usize| {
            if !known.contains(&(first + at)) {
                let row = row_at(first + at);
                suspects.push(row);
                known = start_of(row)..start_of(row + 1);
            }
        };
        self.keywords.find(&values[first..last], |hit, _| suspect(hit.start));
        let signs = self.signs();
        hints::find(&values[first..last], |at, found| {
            if found & signs != 0 {
                suspect(at);
            }
        });
        memchr::memchr_iter(b'%', &values[first..last]).for_each(&mut suspect);
        suspects.extend((0..column.len()).filter(|&row| encoded::hint(&values[start_of(row)..start_of(row + 1)])));
        suspects.sort_unstable();
        suspects.dedup();
        suspects.retain(|&row| column.is_valid(row));
        suspects
    }

    /// What the rules want gone, in no order.
    pub(super) fn find(&self, text: &str) -> Vec<Found> {
        let mut found = self.find_in(&mut Scan::new(text));
        if let Some(decoded) = encoded::percent(text) {
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

    /// The signs of all rules without keywords.
    fn signs(&self) -> u8 {
        self.shapes.iter().fold(0, |all, (_, signs)| all | signs)
    }

    /// Tries the rules without keywords where their signs stand.
    fn find_shapes(&self, scan: &mut Scan<'_>, found: &mut Vec<Found>) {
        if self.shapes.is_empty() {
            return;
        }
        hints::find(scan.bytes, |at, signs| {
            for &(rule, of_rule) in &self.shapes {
                let Find::Shape { find, .. } = self.rules[rule].find else { continue };
                if signs & of_rule == 0 {
                    continue;
                }
                let mut starts = hints::starts(at, signs & of_rule);
                let range = starts
                    .find_map(|at| if scan.has(at, Alphabet::Alnum) && scan.starts_word(at) { find(scan, at) } else { None });
                found.extend(self.checked(scan.text, range, rule));
            }
        });
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
