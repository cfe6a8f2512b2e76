//! `sanitize`: takes secrets out of every string, before anything is written anywhere.
//!
//! What goes is replaced by a mark that says what it was, `[redacted:github-token]`; what helps stays: the URL without its password, the
//! header with its scheme, the name of the parameter. Ordinary text is untouched, byte for byte.
//!
//! | file | what it holds |
//! |---|---|
//! | [`rules`] | the tables: every rule with its class, its keywords and its examples |
//! | [`custom`] | what the user adds: rules, and texts that stay |
//! | `words` | the rules of one mode: which rows to look at, what to take out |
//! | `keywords`, `hints` | the two passes over every text: where keywords stand, where shapes may stand |
//! | `scan` | one string under the rules: alphabets and runs |
//! | `fields`, `headers`, `spoken` | finders of values behind a name: `password=…`, `Cookie: …`, `-u name:…` |
//! | `separators` | what stands between a name and its value |
//! | `encoded`, `escapes` | text that came as bytes and stands as base64; text behind `%22`, `\u0022`, `&quot;` |
//! | `find`, `pem`, `mail`, `addresses` | finders of tokens and shapes: JWT, URLs, cards; private keys; e-mail; IP addresses |
//! | `issued` | finders of tokens as one service issues them |
//! | `phone` | telephone numbers, a class that is off unless switched on |
//! | `validate` | checksums, decoders, entropy |
//! | `plain`, `placeholders` | what is no secret: words, paths, code, sentences; stop words and masks |
//! | [`mark`] | the mark, and where a text that holds marks may be cut |
//!
//! Two passes look at every byte: one for the keywords of all rules, one for signs of what has no keyword. Over a column they run once through
//! the contiguous values, and only a string with a hit is scanned by itself. A column is rebuilt only if something in it changed.
//!
//! Invariants: no built-in rule runs over a whole value; a scan is linear in its text; what one scan leaves, another scan leaves as well.

mod addresses;
pub mod custom;
mod encoded;
mod escapes;
mod fields;
mod find;
mod headers;
mod hints;
mod issued;
mod keywords;
mod mail;
pub mod mark;
mod pem;
mod phone;
mod placeholders;
mod plain;
pub mod rules;
mod scan;
mod separators;
mod spoken;
mod validate;
mod words;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array as _, StringArray};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::processors::{ColumnStep, Note, Tally};
use crate::signals::points::{Descriptor, Label, OwnedScope, Points};
use crate::tables::{Columns, Raw, TableBatch};
use custom::{Allowed, CustomRule, Pattern};
pub use rules::Class;
use rules::Rule;
use words::Words;

/// No more of a string is read, and so no more of it is stored: a stack trace, and any other text.
const MAX_STACK_BYTES: usize = 256 << 10;
const MAX_TEXT_BYTES: usize = 64 << 10;

/// No more of an error message is stored; cut after it was cleaned.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// What longer values of a column become is not remembered for its next rows.
const MAX_KNOWN_BYTES: usize = 128;

/// More keywords of the user would make every text a suspect.
const MAX_KEYWORDS: usize = 1000;

/// A text is scanned again until nothing is found, at most this often.
const MAX_PASSES: usize = 4;

/// `sanitize: {}` has every class on but `phone`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SanitizeConfig {
    /// Switches by class, for example `{ email: false }`; of those that are not named all but `phone` are on.
    #[serde(serialize_with = "every_class")]
    pub classes: BTreeMap<Class, bool>,
    /// Rules besides the built-in ones; they look at text and at ids.
    pub rules: Vec<CustomRule>,
    /// What a rule finds stays if one of these regular expressions matches all of it.
    pub allow: Vec<Pattern>,
}

impl SanitizeConfig {
    fn is_on(&self, class: Class) -> bool {
        self.classes.get(&class).copied().unwrap_or(class.is_on_by_default())
    }
}

/// Those that are not named too, with what holds for them.
fn every_class<S: Serializer>(classes: &BTreeMap<Class, bool>, serializer: S) -> Result<S::Ok, S::Error> {
    let config = SanitizeConfig { classes: classes.clone(), ..SanitizeConfig::default() };
    let every: BTreeMap<Class, bool> = rules::all().map(|rule| (rule.class, config.is_on(rule.class))).collect();
    every.serialize(serializer)
}

#[derive(Debug, thiserror::Error)]
pub enum SanitizeError {
    #[error("the rules of `sanitize` have {found} keywords, expected at most {MAX_KEYWORDS}")]
    Keywords { found: usize },
}

/// Which rules a string is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All rules.
    Text,
    /// Classes that know a token by its own form: an id may be a number that looks like a card, or a name with `key` in it. What has a
    /// space in it is no id, and all rules look at it.
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

impl Sanitizer {
    /// # Errors
    /// More keywords in `rules` than are sensible.
    pub fn new(config: &SanitizeConfig) -> Result<Sanitizer, SanitizeError> {
        let on = |rule: &Rule| config.is_on(rule.class);
        let ids =
            |rule: &Rule| on(rule) && rule.class.looks_at_ids() && !matches!(rule.id, "aws-secret-key" | "azure-storage-key");
        let found = config.rules.iter().map(|rule| rule.keywords.iter().count()).sum();
        if found > MAX_KEYWORDS {
            return Err(SanitizeError::Keywords { found });
        }
        let custom = Arc::from(config.rules.as_slice());
        let allowed = Allowed::new(&config.allow);
        Ok(Sanitizer {
            text: Words::new(Mode::Text, on, &custom, allowed.clone()),
            ids: Words::new(Mode::Id, ids, &custom, allowed),
        })
    }

    /// Takes the secrets out of one string. Pure; linear in its length; doing it twice changes nothing.
    pub fn clean<'t>(&self, text: &'t str, mode: Mode) -> Clean<'t> {
        let words = match mode {
            Mode::Id if !has_space(text) => &self.ids,
            Mode::Text | Mode::Id => &self.text,
        };
        let mut clean = Clean { text: Cow::Borrowed(text), redactions: 0 };
        for _ in 0..MAX_PASSES {
            let found = words.find(&clean.text);
            if found.is_empty() {
                break;
            }
            let (text, count) = words.redact(&clean.text, found);
            clean = Clean { text: Cow::Owned(text), redactions: clean.redactions + count };
        }
        clean
    }

    /// One column; `None` where nothing in it changes.
    fn column(&self, column: &StringArray, limits: Limits, tally: &mut Tally) -> Option<StringArray> {
        let words = if limits.mode == Mode::Id { &self.ids } else { &self.text };
        let mut changed: Vec<(usize, String)> = Vec::new();
        let mut redactions = 0;
        // The same few names stand in most columns: what a short value became is remembered.
        let mut known: HashMap<&str, Clean<'_>> = HashMap::new();
        for row in words.suspects(column, limits.stored.min(limits.read)) {
            let value = column.value(row);
            let mut fresh = None;
            let clean = if value.len() <= MAX_KNOWN_BYTES {
                known.entry(value).or_insert_with(|| self.clean(value, limits.mode))
            } else {
                fresh.insert(self.clean(cap(value, limits.read), limits.mode))
            };
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
            let found = self.text.find_named(key, cap(value, MAX_TEXT_BYTES));
            if !found.is_empty() {
                let (clean, count) = self.text.redact(cap(value, MAX_TEXT_BYTES), found);
                *value = clean;
                *redactions += count;
            }
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
    const TEXT: Limits = Limits { mode: Mode::Text, read: MAX_TEXT_BYTES, stored: MAX_TEXT_BYTES };

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

fn has_space(text: &str) -> bool {
    memchr::memchr3(b' ', b'\n', b'\t', text.as_bytes()).is_some()
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
        for index in 0..batch.batch.num_columns() {
            // What the configuration added is text of the sender.
            let limits = batch.table.columns().get(index).map_or(Some(Limits::TEXT), Limits::of);
            let Some(limits) = limits else { continue };
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
        let mut scopes: Shared<OwnedScope> = None;
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
            point.scope = shared(&mut scopes, &point.scope, |scope| {
                let mut clean = scope.clone();
                for text in [&mut clean.name, &mut clean.version, &mut clean.schema_url] {
                    self.clean_string(text, &mut redactions);
                }
                self.clean_labels(&mut clean.attributes, &mut redactions);
                (clean != *scope).then(|| Arc::new(clean))
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
