//! `attributes`: inserts, updates and deletes attributes of spans, log records and metric points, as the Collector's processor does.
//!
//! ```yaml
//! attributes:
//!   actions:
//!     - { key: deployment.environment.name, action: insert, value: production }
//!     - { key: faas.name, action: upsert, from_attribute: kn.service.name }
//!     - { key: user.email, action: delete }
//! ```
//! Actions run in their order, each on the record's own attributes: not on those of its scope, its resource or its events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::literal::Literal;
use super::{RecordStep, Tally};
use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{KeyId, Records, Slice, Value};

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttributesConfig {
    pub actions: Vec<Action>,
}

/// One edit. Says what to set only where something is set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "WrittenAction", into = "WrittenAction")]
pub enum Action {
    Set { key: String, when: When, to: Source },
    Delete { key: String },
}

/// On which records an attribute is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `insert`: where it is absent.
    Absent,
    /// `update`: where it is there.
    Present,
    /// `upsert`.
    Always,
}

/// What an attribute is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Value(Literal),
    /// The value of another attribute of the record; where that is absent nothing is done.
    Attribute(String),
}

/// An action as it stands in the file.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenAction {
    key: String,
    action: Verb,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Literal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_attribute: Option<String>,
}

impl From<Action> for WrittenAction {
    fn from(action: Action) -> WrittenAction {
        let (key, when, to) = match action {
            Action::Delete { key } => return WrittenAction { key, action: Verb::Delete, value: None, from_attribute: None },
            Action::Set { key, when, to } => (key, when, to),
        };
        let action = match when {
            When::Absent => Verb::Insert,
            When::Present => Verb::Update,
            When::Always => Verb::Upsert,
        };
        match to {
            Source::Value(value) => WrittenAction { key, action, value: Some(value), from_attribute: None },
            Source::Attribute(name) => WrittenAction { key, action, value: None, from_attribute: Some(name) },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Insert,
    Update,
    Upsert,
    Delete,
}

impl TryFrom<WrittenAction> for Action {
    type Error = String;

    fn try_from(written: WrittenAction) -> Result<Action, String> {
        let WrittenAction { key, action, value, from_attribute } = written;
        if key.is_empty() {
            return Err("expected the name of an attribute as `key`, found an empty one".to_owned());
        }
        let when = match action {
            Verb::Insert => When::Absent,
            Verb::Update => When::Present,
            Verb::Upsert => When::Always,
            Verb::Delete if value.is_none() && from_attribute.is_none() => return Ok(Action::Delete { key }),
            Verb::Delete => return Err(format!("`delete` of `{key}` takes neither `value` nor `from_attribute`; remove it")),
        };
        let to = match (value, from_attribute) {
            (Some(value), None) => Source::Value(value),
            (None, Some(name)) => Source::Attribute(name),
            (None, None) => return Err(format!("expected `value` or `from_attribute` to set `{key}` to, found neither")),
            (Some(_), Some(_)) => return Err(format!("expected `value` or `from_attribute` to set `{key}` to, found both")),
        };
        Ok(Action::Set { key, when, to })
    }
}

/// The step.
#[derive(Debug)]
pub struct AttributesStep {
    edits: Vec<Edit>,
}

#[derive(Debug)]
enum Edit {
    Value(KeyId, When, Literal),
    Copy(KeyId, When, KeyId),
    Delete(KeyId),
}

impl AttributesStep {
    pub fn new(config: &AttributesConfig, keys: &mut Keys) -> AttributesStep {
        let edit = |action: &Action| match action {
            Action::Set { key, when, to: Source::Value(value) } => Edit::Value(keys.intern(key), *when, value.clone()),
            Action::Set { key, when, to: Source::Attribute(name) } => Edit::Copy(keys.intern(key), *when, keys.intern(name)),
            Action::Delete { key } => Edit::Delete(keys.intern(key)),
        };
        AttributesStep { edits: config.actions.iter().map(edit).collect() }
    }

    fn edit(&self, attributes: &mut Attributes<'_>, slice: &mut Slice) {
        for edit in &self.edits {
            match edit {
                Edit::Value(key, when, value) => set(attributes, slice, *key, *when, |_, _| Some(value.to_value())),
                Edit::Copy(key, when, from) => {
                    set(attributes, slice, *key, *when, |attributes, slice| attributes.get(slice, *from).cloned());
                }
                Edit::Delete(key) => {
                    attributes.delete(*slice, *key);
                }
            }
        }
    }
}

fn set<'a>(
    attributes: &mut Attributes<'a>,
    slice: &mut Slice,
    key: KeyId,
    when: When,
    value: impl FnOnce(&Attributes<'a>, Slice) -> Option<Value<'a>>,
) {
    let due = match when {
        When::Absent => attributes.get(*slice, key).is_none(),
        When::Present => attributes.get(*slice, key).is_some(),
        When::Always => true,
    };
    if due && let Some(value) = value(attributes, *slice) {
        attributes.set(slice, key, value);
    }
}

impl RecordStep for AttributesStep {
    fn apply(&self, records: &mut Records<'_>, _tally: &mut Tally) {
        let attributes = &mut records.attributes;
        let spans = records.spans.iter_mut().map(|span| &mut span.attributes);
        let logs = records.logs.iter_mut().map(|log| &mut log.attributes);
        let points = records.points.iter_mut().map(|point| &mut point.attributes);
        for slice in spans.chain(logs).chain(points) {
            self.edit(attributes, slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::{LogRecord, Signal};

    fn config(actions: &str) -> Result<AttributesConfig, String> {
        serde_saphyr::from_str(&format!("actions:\n  - {actions}\n")).map_err(|error| error.to_string())
    }

    /// Runs one action on a record with `a: 1` and `b: two`; says what the record then has, as `key=value`, in key order.
    fn check(action: &str, expected: &str) {
        let mut keys = Keys::default();
        let step = AttributesStep::new(&config(action).unwrap(), &mut keys);
        keys.keep_all();
        let mut records = Records::new(Signal::Logs, &keys);
        let mark = records.attributes.mark();
        for (name, value) in [("a", Value::Int(1)), ("b", Value::Str("two".into()))] {
            let key = records.attributes.key(name.into()).unwrap();
            records.attributes.push(key, value);
        }
        let attributes = records.attributes.since(mark);
        records.logs.push(LogRecord { attributes, ..empty_log() });
        step.apply(&mut records, &mut Tally::default());
        let run = records.attributes.of(records.logs[0].attributes);
        let mut left: Vec<String> = run
            .iter()
            .filter(|attribute| attribute.key != KeyId::DELETED)
            .map(|attribute| (records.attributes.name(attribute.key), attribute.value.as_str_text(&records.attributes).unwrap()))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        left.sort();
        assert_eq!(left.join(" "), expected, "after {action}");
    }

    fn empty_log() -> LogRecord<'static> {
        LogRecord {
            scope: 0,
            time: crate::signals::Timestamp(0),
            observed: crate::signals::Timestamp(0),
            severity: 0,
            severity_text: "".into(),
            event_name: "".into(),
            body: Value::Empty,
            attributes: Slice::default(),
            trace_id: None,
            span_id: None,
        }
    }

    #[test]
    fn an_insert_adds_only_what_is_absent() {
        check("{ key: c, action: insert, value: 3 }", "a=1 b=two c=3");
        check("{ key: a, action: insert, value: 3 }", "a=1 b=two");
    }

    #[test]
    fn an_update_changes_only_what_is_there() {
        check("{ key: a, action: update, value: true }", "a=true b=two");
        check("{ key: c, action: update, value: 3 }", "a=1 b=two");
    }

    #[test]
    fn an_upsert_does_both() {
        check("{ key: a, action: upsert, value: one }", "a=one b=two");
        check("{ key: c, action: upsert, value: 0.5 }", "a=1 b=two c=0.5");
    }

    #[test]
    fn a_value_can_come_from_another_attribute_if_that_is_there() {
        check("{ key: c, action: insert, from_attribute: b }", "a=1 b=two c=two");
        check("{ key: a, action: upsert, from_attribute: z }", "a=1 b=two");
    }

    #[test]
    fn a_delete_takes_it_away() {
        check("{ key: a, action: delete }", "b=two");
        check("{ key: z, action: delete }", "a=1 b=two");
    }

    #[test]
    fn an_action_that_cannot_be_meant_is_refused() {
        let check = |action: &str, expected: &str| {
            let said = config(action).unwrap_err();
            assert!(said.contains(expected), "`{said}` does not say `{expected}`");
        };
        check("{ key: a, action: insert }", "found neither");
        check("{ key: a, action: insert, value: 1, from_attribute: b }", "found both");
        check("{ key: a, action: delete, value: 1 }", "takes neither");
        check("{ key: '', action: delete }", "found an empty one");
        check("{ key: a, action: insrt, value: 1 }", "insert");
        check("{ key: a, action: insert, valeu: 1 }", "value");
    }
}
