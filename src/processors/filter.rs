//! `filter`: drops records by an attribute, before `map`, or rows by a column, after it.
//!
//! ```yaml
//! filter/internal: { drop: [{ attribute: faas.name, equals: internal }, { attribute: user_agent.original, matches: "^kube-probe/" }] }
//! filter/region: { drop: [{ column: invocations.region, matches: "^eu-" }] }
//! ```
//! A record or row is dropped if one of the conditions holds; what is absent or NULL is never dropped. An attribute is looked up on the
//! record, then its scope, then its resource. A span that is dropped is no ancestor of those that stay.

mod columns;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::literal::Literal;
use super::{RecordStep, Tally};
use crate::config::error::did_you_mean;
use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{KeyId, Records, Scope, Slice, Value};
use crate::tables::{ColumnType, Table};

pub use columns::ColumnFilter;

/// The most memory one compiled expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// A record or row is dropped if any of them holds.
    pub drop: Vec<Condition>,
}

/// One condition; its test fits its subject.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "WrittenCondition", into = "WrittenCondition")]
pub enum Condition {
    Attribute { name: String, test: Test },
    Column { table: Table, index: usize, test: Test },
}

#[derive(Clone, Debug)]
pub enum Test {
    /// The same value, read leniently: 200 equals `"200"`.
    Equals(Literal),
    /// The expression is found anywhere in the value's text; anchor it with `^` and `$`.
    Matches(Regex),
}

/// A condition as it stands in the file.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    /// The name of an attribute: asked on the record, then its scope, then its resource; before `map`.
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<String>,
    /// A column, with its table: `invocations.region`; after `map`.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// The same value.
    #[serde(skip_serializing_if = "Option::is_none")]
    equals: Option<Literal>,
    /// A regular expression that is found anywhere in the value's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<String>,
}

impl From<Condition> for WrittenCondition {
    fn from(condition: Condition) -> WrittenCondition {
        let (attribute, column, test) = match condition {
            Condition::Attribute { name, test } => (Some(name), None, test),
            Condition::Column { table, index, test } => {
                (None, Some(format!("{}.{}", table.name(), table.columns()[index].name)), test)
            }
        };
        let (equals, matches) = match test {
            Test::Equals(literal) => (Some(literal), None),
            Test::Matches(regex) => (None, Some(regex.as_str().to_owned())),
        };
        WrittenCondition { attribute, column, equals, matches }
    }
}

impl TryFrom<WrittenCondition> for Condition {
    type Error = String;

    fn try_from(written: WrittenCondition) -> Result<Condition, String> {
        let test = match (written.equals, written.matches) {
            (Some(value), None) => Test::Equals(value),
            (None, Some(pattern)) => Test::Matches(compile(&pattern)?),
            (None, None) => return Err("expected `equals` or `matches` in a condition, found neither".to_owned()),
            (Some(_), Some(_)) => return Err("expected `equals` or `matches` in a condition, found both; write two".to_owned()),
        };
        match (written.attribute, written.column) {
            (Some(name), None) if !name.is_empty() => Ok(Condition::Attribute { name, test }),
            (None, Some(column)) => Condition::on_column(&column, test),
            (Some(_), Some(_)) => Err("expected `attribute` or `column` in a condition, found both; write two".to_owned()),
            _ => Err("expected `attribute` or `column` in a condition, found neither".to_owned()),
        }
    }
}

impl Condition {
    fn on_column(name: &str, test: Test) -> Result<Condition, String> {
        let columns = Table::ALL.into_iter().flat_map(|table| (0..table.columns().len()).map(move |index| (table, index)));
        let full = |(table, index): (Table, usize)| format!("{}.{}", table.name(), table.columns()[index].name);
        let Some((table, index)) = columns.clone().find(|column| full(*column) == name) else {
            let names: Vec<String> = columns.map(full).collect();
            let hint = did_you_mean(name, &names);
            return Err(format!("expected a column such as `invocations.region`, found `{name}`{hint}"));
        };
        let kind = table.columns()[index].kind;
        let fits = matches!(
            (&test, kind),
            (Test::Matches(_) | Test::Equals(Literal::Text(_)), ColumnType::String)
                | (Test::Equals(Literal::Bool(_)), ColumnType::Boolean)
                | (Test::Equals(Literal::Double(_)), ColumnType::Double)
                | (Test::Equals(Literal::Int(_)), ColumnType::Double | ColumnType::Long | ColumnType::Int)
        );
        if fits { Ok(Condition::Column { table, index, test }) } else { Err(misfit(name, kind)) }
    }
}

fn misfit(name: &str, kind: ColumnType) -> String {
    let expected = match kind {
        ColumnType::String => "`equals` with text (in quotes, if it looks like a number) or `matches`",
        ColumnType::Boolean => "`equals: true` or `equals: false`",
        ColumnType::Double => "`equals` with a number",
        ColumnType::Long | ColumnType::Int => "`equals` with a whole number",
        ColumnType::Timestamp | ColumnType::Date => "a column that is no time; times cannot be compared here",
    };
    format!("expected {expected} for `{name}`")
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build();
    compiled.map_err(|error| format!("expected a regular expression in `matches`: {error}"))
}

impl Test {
    fn holds(&self, value: &Value<'_>, attributes: &Attributes<'_>) -> bool {
        match self {
            Test::Equals(literal) => literal.equals(value, attributes),
            Test::Matches(regex) => value.as_str_text(attributes).is_some_and(|text| regex.is_match(&text)),
        }
    }
}

/// The conditions on attributes as a step before `map`.
#[derive(Debug)]
pub struct RecordFilter {
    conditions: Vec<(KeyId, Test)>,
}

impl RecordFilter {
    /// The step, if the filter has conditions on attributes.
    pub fn new(config: &FilterConfig, keys: &mut Keys) -> Option<RecordFilter> {
        let conditions: Vec<_> = config
            .drop
            .iter()
            .filter_map(|condition| match condition {
                Condition::Attribute { name, test } => Some((keys.intern(name), test.clone())),
                Condition::Column { .. } => None,
            })
            .collect();
        (!conditions.is_empty()).then_some(RecordFilter { conditions })
    }

    fn drops(&self, attributes: &Attributes<'_>, owners: [Slice; 3]) -> bool {
        self.conditions.iter().any(|(key, test)| {
            let values = owners.iter().filter_map(|owner| attributes.get(*owner, *key));
            let first = values.into_iter().find(|value| **value != Value::Empty);
            first.is_some_and(|value| test.holds(value, attributes))
        })
    }
}

impl RecordStep for RecordFilter {
    fn apply(&self, records: &mut Records<'_>, tally: &mut Tally) {
        let before = records.len();
        let Records { resources, scopes, spans, logs, points, metrics, attributes, .. } = records;
        let owners = |scopes: &[Scope<'_>], scope: u32, own: Slice| {
            let scope = scopes.get(scope as usize);
            let resource = scope.and_then(|scope| resources.get(scope.resource as usize));
            [
                own,
                scope.map_or(Slice::default(), |scope| scope.attributes),
                resource.map_or(Slice::default(), |resource| resource.attributes),
            ]
        };
        spans.retain(|span| !self.drops(attributes, owners(scopes, span.scope, span.attributes)));
        logs.retain(|log| !self.drops(attributes, owners(scopes, log.scope, log.attributes)));
        points.retain(|point| {
            let scope = metrics.get(point.metric as usize).map_or(u32::MAX, |metric| metric.scope);
            !self.drops(attributes, owners(scopes, scope, point.attributes))
        });
        tally.filtered += (before - records.len()) as u64;
    }
}

#[cfg(test)]
mod tests;
