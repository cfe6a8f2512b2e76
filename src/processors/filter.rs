//! `filter`: drops records by an attribute, before `map`, or rows by a column, after it.
//!
//! ```yaml
//! filter/internal: { drop: [{ attribute: faas.name, equals: internal }, { attribute: user_agent.original, matches: "^kube-probe/" }] }
//! filter/region: { drop: [{ column: invocations.region, matches: "^eu-" }, { table: deployments }] }
//! ```
//! The conditions are those of [`super::condition`].
//! A record or row is dropped if one of the conditions holds; a test of what is absent or NULL does not. An attribute is looked up on the
//! record, then its scope, then its resource. A span that is dropped is no ancestor of those that stay.

mod columns;

use std::convert::Infallible;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{AttributeTest, Condition, Expression, Test};
use super::{RecordStep, Tally};
use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{KeyId, Records, Scope, Slice, Value};

pub use columns::ColumnFilter;

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// A record or row is dropped if any of them holds.
    pub drop: Vec<Condition>,
}

/// The conditions on attributes as a step before `map`.
#[derive(Debug)]
pub struct RecordFilter {
    conditions: Vec<Expression<(KeyId, Test)>>,
}

impl RecordFilter {
    /// The step, if the filter has conditions on attributes.
    pub fn new(config: &FilterConfig, keys: &mut Keys) -> Option<RecordFilter> {
        let mut interned = |AttributeTest { name, test }: &AttributeTest| Ok::<_, Infallible>((keys.intern(name), test.clone()));
        let conditions: Vec<_> = config
            .drop
            .iter()
            .filter_map(|condition| match condition {
                Condition::Records(expression) => expression.try_map(&mut interned).ok(),
                Condition::Rows(_) => None,
            })
            .collect();
        (!conditions.is_empty()).then_some(RecordFilter { conditions })
    }

    fn drops(&self, attributes: &Attributes<'_>, owners: [Slice; 3]) -> bool {
        let holds = |(key, test): &(KeyId, Test)| {
            let values = owners.iter().filter_map(|owner| attributes.get(*owner, *key));
            let first = values.into_iter().find(|value| **value != Value::Empty);
            first.is_some_and(|value| test.holds(value, attributes))
        };
        self.conditions.iter().any(|condition| condition.holds(&holds))
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
