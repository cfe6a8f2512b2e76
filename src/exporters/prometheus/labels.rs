//! Label sets: which attributes become labels, under which names, and how they are written.
//!
//! A set is rendered once, when its series is made: sorted, escaped, without braces. The text is the identity of the series. `never` has the
//! keys that are no labels in any set.

mod never;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::accept::Escaping;
use super::names::{Naming, TranslationStrategy, is_legacy};
use crate::signals::points::{Label, OwnedPoint};
pub(super) use never::never;

/// A longer value is cut at a character.
const MAX_VALUE_BYTES: usize = 256;

/// A series whose labels need more goes to the overflow series.
const MAX_SET_BYTES: usize = 2048;

/// `target_info` leaves out what does not fit.
const MAX_TARGET_BYTES: usize = 4096;

/// The labels of the series that takes what finds no room, as the OpenTelemetry SDK specification names it ("Cardinality limits").
pub(super) const OVERFLOW: &str = "otel_metric_overflow=\"true\"";

/// The labels of one series.
#[derive(Debug, PartialEq)]
pub(super) struct LabelSet {
    /// `a="x",b="y"`; `None` where it would be too long. A name that old scrapers do not know is quoted.
    pub(super) text: Option<String>,
    /// Attributes that may not become labels.
    pub(super) dropped: u64,
}

/// Which attributes beside those of the point become labels, and how names are made.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelRules {
    pub(super) naming: Naming,
    /// Leave scope labels away.
    pub(super) without_scope: bool,
    pub(super) resource: Promoted,
    pub(super) constant: Constant,
}

/// Attributes of the resource that become labels of every series: patterns in which `*` stands for any text.
#[derive(Clone, Debug, Default)]
pub(super) struct Promoted {
    pub(super) included: Vec<String>,
    pub(super) excluded: Vec<String>,
}

/// Labels that every series has. They are written with it, and not held by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Constant {
    names: Vec<String>,
    /// As the labels of a set are.
    pub(super) text: String,
}

/// One label before it is written.
struct Draft<'a> {
    name: String,
    /// The key as it was sent: the order in which values of one name are joined.
    key: &'a str,
    value: &'a str,
}

impl LabelSet {
    /// From names that are known to be valid; an empty value is no label.
    pub(super) fn of(labels: &[(&'static str, &str)], constant: &Constant) -> LabelSet {
        let drafts = labels.iter().map(|(name, value)| Draft { name: (*name).to_owned(), key: name, value }).collect();
        write(drafts, 0, true, constant)
    }

    /// From the attributes of a point, its scope and its resource, which `job` and `instance` come from.
    pub(super) fn of_point(point: &OwnedPoint, rules: &LabelRules) -> LabelSet {
        let mut dropped = 0;
        let mut drafts = Vec::with_capacity(point.labels.len() + 4);
        let job = job(&point.resource);
        drafts.push(Draft { name: "job".to_owned(), key: "", value: &job });
        drafts.push(Draft { name: "instance".to_owned(), key: "", value: find(&point.resource, "service.instance.id") });
        let mut add = |key: &str, name: String, value| {
            if never(key) {
                dropped += 1;
                return None;
            }
            Some((name, value))
        };
        let strategy = rules.naming.strategy;
        for (key, value) in &point.labels {
            let name = label_name(key, strategy);
            drafts.extend(add(key, name, value).map(|(name, value)| Draft { name, key, value }));
        }
        let of_point = |key: &str| point.labels.iter().any(|(own, _)| own == key);
        for (key, value) in point.resource.iter().filter(|(key, _)| rules.resource.takes(key) && !of_point(key)) {
            let name = label_name(key, strategy);
            drafts.extend(add(key, name, value).map(|(name, value)| Draft { name, key, value }));
        }
        if !rules.without_scope {
            let scope = &*point.scope;
            for (name, value) in OF_SCOPE.into_iter().zip([&scope.name, &scope.version, &scope.schema_url]) {
                drafts.push(Draft { name: name.to_owned(), key: name, value });
            }
            for (key, value) in &scope.attributes {
                let name = any_name(&format!("otel_scope_{key}"), strategy);
                // The scope itself says what it is called (specification, "Instrumentation Scope").
                if !OF_SCOPE.contains(&name.as_str()) {
                    drafts.extend(add(key, name, value).map(|(name, value)| Draft { name, key, value }));
                }
            }
        }
        write(drafts, dropped, false, &rules.constant)
    }

    /// What `target_info` says of a resource: `job` and `instance`, and every other attribute that has room. The first part is that by
    /// which the target is known; `None` where it has neither.
    pub(super) fn of_target(resource: &[Label], rules: &LabelRules) -> Option<(String, LabelSet)> {
        let (job, instance) = (job(resource), find(resource, "service.instance.id"));
        if job.is_empty() && instance.is_empty() {
            return None;
        }
        let known_by = LabelSet::of(&[("job", &job), ("instance", instance)], &Constant::default()).text?;
        let mut drafts = vec![
            Draft { name: "job".to_owned(), key: "", value: &job },
            Draft { name: "instance".to_owned(), key: "", value: instance },
        ];
        let mut room = MAX_TARGET_BYTES;
        for (key, value) in resource.iter().filter(|(key, _)| !IDENTIFYING.contains(&key.as_str()) && !never(key)) {
            let name = label_name(key, rules.naming.strategy);
            let Some(left) = room.checked_sub(name.len() + cut(value).len() + 4) else { continue };
            room = left;
            drafts.push(Draft { name, key, value });
        }
        Some((known_by, write(drafts, 0, true, &rules.constant)))
    }
}

impl Promoted {
    fn takes(&self, key: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| is_like(key, pattern));
        any(&self.included) && !any(&self.excluded)
    }
}

impl Constant {
    pub(super) fn of(labels: &BTreeMap<String, String>, strategy: TranslationStrategy) -> Constant {
        let drafts = labels.iter().map(|(key, value)| Draft { name: label_name(key, strategy), key, value });
        let drafts: Vec<Draft<'_>> = drafts.collect();
        let names = drafts.iter().map(|draft| draft.name.clone()).collect();
        Constant { names, text: write(drafts, 0, true, &Constant::default()).text.unwrap_or_default() }
    }
}

/// Whether a text is what a pattern says, in which `*` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*');
    let last = parts.next_back().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

/// The labels that say which scope made a series.
const OF_SCOPE: [&str; 3] = ["otel_scope_name", "otel_scope_version", "otel_scope_schema_url"];

/// What `job` and `instance` are made of.
pub(super) const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

fn find<'a>(resource: &'a [Label], key: &str) -> &'a str {
    resource.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
}

fn job(resource: &[Label]) -> String {
    let (namespace, service) = (find(resource, "service.namespace"), find(resource, "service.name"));
    if namespace.is_empty() || service.is_empty() { service.to_owned() } else { format!("{namespace}/{service}") }
}

/// Attributes of a set in one order, whatever order they were sent in.
pub(super) fn sorted<'a>(labels: &'a [Label], into: &mut Vec<&'a Label>) {
    into.clear();
    into.extend(labels);
    into.sort_unstable();
}

/// A valid label name that none of ours has, but for those of the scope: their values are joined, as the specification has it.
fn label_name(key: &str, strategy: TranslationStrategy) -> String {
    let mut name = any_name(key, strategy);
    let hostile = !strategy.keeps_utf8() && name.starts_with(|c: char| c.is_ascii_digit());
    if hostile || name.is_empty() || name.starts_with("__") {
        name.insert_str(0, "key_");
    }
    if OWN.contains(&name.as_str()) {
        name.insert_str(0, EXPORTED);
    }
    name
}

/// The names of labels that the exporter gives itself.
pub(super) const OWN: [&str; 5] = ["job", "instance", "le", "quantile", "otel_metric_overflow"];
/// Stands before the name of a label that has another meaning here, as where Prometheus scrapes a label that it has itself.
const EXPORTED: &str = "exported_";

fn any_name(key: &str, strategy: TranslationStrategy) -> String {
    if strategy.keeps_utf8() {
        return cut(key).to_owned();
    }
    let mut name = String::with_capacity(key.len());
    for c in cut(key).chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c),
            // One `_` for a run of them (specification, "Metric Attributes").
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    name
}

/// As much of a value as a label may have.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(text)
}

/// Sorts, joins the values of one name with `;` and escapes. A set that is too long is none, unless it is `always` short enough.
fn write(mut drafts: Vec<Draft<'_>>, dropped: u64, always: bool, constant: &Constant) -> LabelSet {
    drafts.retain(|draft| !draft.value.is_empty());
    for draft in &mut drafts {
        while constant.names.contains(&draft.name) {
            draft.name.insert_str(0, EXPORTED);
        }
    }
    drafts.sort_by(|a, b| (&a.name, a.key).cmp(&(&b.name, b.key)));
    let mut text = String::new();
    for same in drafts.chunk_by(|a, b| a.name == b.name) {
        let Some(first) = same.first() else { continue };
        if !text.is_empty() {
            text.push(',');
        }
        if is_plain(&first.name) {
            text.push_str(&first.name);
        } else {
            text.push('"');
            escape(&first.name, &mut text);
            text.push('"');
        }
        text.push_str("=\"");
        if same.len() == 1 {
            escape(cut(first.value), &mut text);
        } else {
            let values: Vec<&str> = same.iter().map(|draft| cut(draft.value)).collect();
            escape(cut(&values.join(";")), &mut text);
        }
        text.push('"');
        if text.len() > MAX_SET_BYTES && !always {
            return LabelSet { text: None, dropped };
        }
    }
    LabelSet { text: Some(text), dropped }
}

/// Whether the name of a label needs no quotes.
fn is_plain(name: &str) -> bool {
    is_legacy(name) && !name.contains(':')
}

/// The labels of a series for a scraper that may not know every character: names as it knows them, values as they were written, those of
/// names that meet joined with `;`.
pub(super) fn known_as<'a>(constant: &'a str, labels: &'a str, escaping: Escaping) -> Vec<(String, Cow<'a, str>)> {
    let mut known: Vec<(String, Cow<'_, str>)> = Vec::new();
    for (name, value) in pairs(constant).chain(pairs(labels)) {
        let name = escaping.apply_to_label(&name).into_owned();
        match known.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => *values = Cow::Owned(format!("{values};{value}")),
            None => known.push((name, Cow::Borrowed(value))),
        }
    }
    known
}

/// The labels of a written set: each name as it is, each value as it was written.
pub(super) fn pairs(set: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut rest = set;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = quoted.split_at_checked(closing(quoted))?;
            (unescape(name), after.strip_prefix("\"=\"")?)
        } else {
            let (name, after) = rest.split_once("=\"")?;
            (Cow::Borrowed(name), after)
        };
        let (value, after) = after.split_at_checked(closing(after))?;
        rest = after.strip_prefix("\",").unwrap_or("");
        Some((name, value))
    })
}

/// Where a quoted text ends.
fn closing(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// A value as it was before it was written.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some(c) => c,
                None => '\\',
            }),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// All formats: a backslash, a quote and a line feed are escaped, everything else stands as it is.
pub(super) fn escape(value: &str, into: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
