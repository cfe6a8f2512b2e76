//! `route`: to which exporters of the pipeline each row goes.
//!
//! ```yaml
//! route: { rules: [{ column: invocations.region, matches: "^eu-", exporters: [iceberg/eu] }], default: [iceberg], match: first }
//! ```
//! A step after `map`, once in a pipeline; conditions are those of [`super::condition`], on columns and tables. Metric points on their way to
//! Prometheus are no rows: they go to every Prometheus exporter of the pipeline.

use arrow_array::BooleanArray;
use arrow_select::filter::filter_record_batch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{BoundCondition, Condition, RowCondition, Unfit, WrittenCondition};
use super::literal::Literal;
use super::{Destinations, Tally};
use crate::config::{ComponentId, Placed};
use crate::tables::{Schemas, TableBatch};

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// In their order.
    pub rules: Vec<Rule>,
    /// Where rows go that match no rule. Default: every exporter of the pipeline; `[]` drops them, counted as filtered rows.
    pub default: Option<Vec<Placed<ComponentId>>>,
    /// Default `first`.
    #[serde(rename = "match")]
    pub matching: Matching,
}

/// What a row does that matches several rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// It goes where the first of them leads.
    #[default]
    First,
    /// It goes wherever one of them leads, to each exporter once.
    All,
}

/// One condition, and where its rows go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "WrittenRule", into = "WrittenRule")]
pub struct Rule {
    condition: RowCondition,
    exporters: Vec<Placed<ComponentId>>,
}

/// A rule as it stands in the file.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    /// A column, with its table: `invocations.region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// A whole table: `errors`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    /// The same value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<Literal>,
    /// A regular expression that is found anywhere in the value's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matches: Option<String>,
    /// Every one of these holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all: Option<Vec<WrittenCondition>>,
    /// At least one of these holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    any: Option<Vec<WrittenCondition>>,
    /// This one does not hold; so it does where the value is NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not: Option<Box<WrittenCondition>>,
    /// Exporters of the pipeline; one at least.
    exporters: Vec<Placed<ComponentId>>,
}

impl TryFrom<WrittenRule> for Rule {
    type Error = String;

    fn try_from(written: WrittenRule) -> Result<Rule, String> {
        let WrittenRule { column, table, equals, matches, all, any, not, exporters } = written;
        if column.is_none() && table.is_none() && all.is_none() && any.is_none() && not.is_none() {
            return Err("expected `column` or `table` in a rule, found neither".to_owned());
        }
        if exporters.is_empty() {
            return Err("expected an exporter in `exporters`, found none; to drop rows use `filter`".to_owned());
        }
        match Condition::try_from(WrittenCondition { attribute: None, column, table, equals, matches, all, any, not })? {
            Condition::Rows(condition) => Ok(Rule { condition, exporters }),
            Condition::Records(_) => Err("expected `column` or `table` in a rule, found `attribute`: rows are routed".to_owned()),
        }
    }
}

impl From<Rule> for WrittenRule {
    fn from(rule: Rule) -> WrittenRule {
        let WrittenCondition { column, table, equals, matches, all, any, not, .. } = Condition::Rows(rule.condition).into();
        WrittenRule { column, table, equals, matches, all, any, not, exporters: rule.exporters }
    }
}

impl RouteConfig {
    /// Every exporter that it leads to.
    pub fn targets(&self) -> impl Iterator<Item = &Placed<ComponentId>> {
        self.rules.iter().flat_map(|rule| &rule.exporters).chain(self.default.iter().flatten())
    }
}

/// The step.
#[derive(Debug)]
pub struct Route {
    rules: Vec<(BoundCondition, Destinations)>,
    default: Destinations,
    matching: Matching,
}

impl Route {
    /// `exporters` are those of the pipeline. Others are left out: the configuration was checked. `schemas` are those of the tables with what
    /// `map` adds.
    ///
    /// # Errors
    /// [`Unfit`] where a rule asks for what no row has.
    pub fn new(config: &RouteConfig, exporters: &[&ComponentId], schemas: &Schemas) -> Result<Route, Unfit> {
        let destinations =
            |ids: &[Placed<ComponentId>]| Destinations::of(exporters, |id| ids.iter().any(|wanted| wanted.value == *id));
        let rules = config.rules.iter().map(|rule| Ok((rule.condition.bind(schemas)?, destinations(&rule.exporters))));
        Ok(Route {
            rules: rules.collect::<Result<_, _>>()?,
            default: config.default.as_deref().map_or(Destinations::ALL, destinations),
            matching: config.matching,
        })
    }

    /// The rows of a batch by where they go, each row once, in their order; those that go nowhere are counted.
    pub fn apply(&self, batch: &TableBatch, tally: &mut Tally) -> Vec<(Destinations, TableBatch)> {
        let mut of_rows = vec![Destinations::NONE; batch.batch.num_rows()];
        for (condition, destinations) in &self.rules {
            let Some(holds) = condition.holds(batch) else { continue };
            for (of_row, _) in of_rows.iter_mut().zip(holds).filter(|(_, holds)| *holds) {
                if self.matching == Matching::All || *of_row == Destinations::NONE {
                    *of_row = of_row.union(*destinations);
                }
            }
        }
        of_rows.iter_mut().filter(|of_row| **of_row == Destinations::NONE).for_each(|of_row| *of_row = self.default);
        let mut distinct = of_rows.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let mut routed = Vec::with_capacity(distinct.len());
        for destinations in distinct {
            if destinations == Destinations::NONE {
                tally.rows_filtered += of_rows.iter().filter(|of_row| **of_row == destinations).count() as u64;
                continue;
            }
            let mask: BooleanArray = of_rows.iter().map(|of_row| Some(*of_row == destinations)).collect();
            match filter_record_batch(&batch.batch, &mask) {
                Ok(rows) => routed.push((destinations, TableBatch { table: batch.table, batch: rows })),
                Err(error) => unreachable!("the mask has one entry for each of the {} rows: {error}", batch.batch.num_rows()),
            }
        }
        routed
    }
}

#[cfg(test)]
mod tests;
