//! `map`: records to rows of the four tables. The only place where records become columns.
//!
//! The preset `functions` knows what functions platforms and their SDKs send; docs/mapping.md has every column's sources. Spans make
//! rows of all tables, logs too; a metric point makes one only where a rule of the configuration says so.
//!
//! | file | what it holds |
//! |---|---|
//! | [`preset`] | the sources of every column in their order, as data |
//! | [`lookup`] | the attributes of the preset, and reading them: record, scope, resource |
//! | [`request_index`] | spans by id, parents first |
//! | [`window`] | which event times are taken |
//! | [`identity`] | derived ids |
//! | [`origin`], [`client`] | columns that tables share: function, language, version, place; the client's address |
//! | [`rules`], [`selection`] | which spans are invocations: by themselves, and within their request |
//! | [`invocations`], [`log_invocations`], [`report`] | rows of invocations, from spans and from logs; the report of AWS Lambda |
//! | [`errors`], [`severity`], [`body`] | errors from span events and logs; what a log's body tells |
//! | [`deployments`], [`rate_limits`] | the tables that have no convention but ours |
//! | [`metrics`] | rules from metric points to rows |
//! | [`sources`], [`cells`] | sources of columns that the configuration sets or adds; their values |
//!
//! Invariants: rows are a pure function of the request, the configuration and the keys, but for a record without any time. Every
//! record is counted once: mapped, unmapped or rejected. Nothing here fails on any input; work is linear in the request.

mod body;
mod cells;
mod client;
mod deployments;
mod errors;
mod identity;
mod invocations;
mod log_invocations;
mod lookup;
mod metrics;
mod origin;
pub mod preset;
mod rate_limits;
mod report;
mod request_index;
mod rules;
mod selection;
mod severity;
mod sources;
mod window;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::values::{Secret, Span as Length};
use crate::processors::{Note, Tally};
use crate::signals::attributes::Keys;
use crate::signals::{LogRecord, Records, Rejected, Signal, Span, Timestamp};
use crate::tables::rows::{RowBuilders, RowsFull};
use crate::tables::{Additions, Schemas, TableBatch};

use identity::{Identity, Ordinals};
pub use lookup::Attr;
use lookup::{Lookup, SlotsOfKeys};
use metrics::MetricRule;
pub use metrics::{MetricRuleConfig, SourceConfig};
use selection::{Facts, Selection};
pub use sources::{AddedType, ColumnConfig, ColumnsConfig, Otherwise, RecordField, Sourced, TableColumns};
use sources::{Current, Sources};
use window::{Stray, Window};

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MapConfig {
    /// Which sources the columns have. Default and only one: `functions`.
    pub preset: Preset,
    /// Proxies of the operator's own that append to X-Forwarded-For; so many entries are skipped from the right. Default 0.
    pub trusted_hops: usize,
    /// The key of derived ids: at least 16 bytes, the same on every replica, and never changed. Absent: the gateway's own key file.
    #[serde(deserialize_with = "Secret::key")]
    pub id_key: Option<Secret>,
    /// Records with a time further ahead are rejected. Default 24h; 0 takes all.
    pub max_future_skew: Length,
    /// Records with an older time are rejected: every date opens a partition. Default 90d; 0 takes all.
    pub max_event_age: Length,
    pub invocations: InvocationsConfig,
    pub errors: ErrorsConfig,
    /// Sources of columns in the place of the preset's, and columns that the preset does not have. Default none.
    pub columns: ColumnsConfig,
    /// From metric points to rows. Default none.
    pub metrics: Vec<MetricRuleConfig>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    #[default]
    Functions,
}

/// Rules for invocations that are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InvocationsConfig {
    /// Cloudflare's log of a request and Lambda's `platform.report` are invocations: for emitters that export logs only.
    pub from_logs: bool,
    /// Outermost SERVER spans of plain HTTP emitters (Deno, Vercel, Knative, Cloud Run) are invocations.
    pub http_servers: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorsConfig {
    /// Default both: a row of each, with the same id, where an emitter sends an exception both ways.
    pub sources: Vec<ErrorSource>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorSource {
    /// Events of the name `exception`.
    SpanEvent,
    /// Logs with an exception, or of severity ERROR and above.
    Log,
}

impl Default for MapConfig {
    fn default() -> MapConfig {
        MapConfig {
            preset: Preset::Functions,
            trusted_hops: 0,
            id_key: None,
            max_future_skew: Length::seconds(24 * 3_600),
            max_event_age: Length::seconds(90 * 86_400),
            invocations: InvocationsConfig::default(),
            errors: ErrorsConfig::default(),
            columns: ColumnsConfig::default(),
            metrics: Vec::new(),
        }
    }
}

impl Default for ErrorsConfig {
    fn default() -> ErrorsConfig {
        ErrorsConfig { sources: vec![ErrorSource::SpanEvent, ErrorSource::Log] }
    }
}

/// Why a mapping cannot be built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapError {
    #[error(
        "the key of derived ids must have at least {} bytes, found {found}: make one with `openssl rand -hex 32`",
        identity::MIN_KEY_BYTES
    )]
    ShortKey { found: usize },
    #[error(
        "the rule for the metric `{metric}` names the column `{column}`, which `{table}` does not have: expected one of {known}"
    )]
    UnknownColumn { metric: String, column: String, table: &'static str, known: String },
    #[error(
        "the rule for the metric `{metric}` names the column `{column}` of `{table}`, which is the point's time: leave it out"
    )]
    FilledColumn { metric: String, column: &'static str, table: &'static str },
    #[error("the rule for the metric `{metric}`: {reason}")]
    UnfitValue { metric: String, reason: String },
    #[error("`columns` fills `{column}` from a `field`, which is text, expected an `attribute` or a `value`")]
    FieldIsText { column: String },
    #[error("`columns` gives every row the same `{column}`, expected an `attribute` or a `field`: an id tells rows apart")]
    FixedId { column: String },
}

impl MapConfig {
    /// The columns that it adds to the tables.
    pub fn additions(&self) -> Additions {
        self.columns.additions()
    }
}

/// Why a record will never make its rows.
#[derive(Debug, thiserror::Error)]
enum Unmappable {
    #[error(transparent)]
    Stray(#[from] Stray),
    #[error(transparent)]
    Full(#[from] RowsFull),
}

/// A mapping that is ready to run.
#[derive(Debug)]
pub struct Mapping {
    config: MapConfig,
    slots: SlotsOfKeys,
    sources: Sources,
    /// Of the tables with what is added.
    schemas: Schemas,
    identity: Identity,
    trusted_hops: usize,
    error_sources: Vec<ErrorSource>,
    metrics: Vec<MetricRule>,
}

impl Mapping {
    /// Interns every key that the mapping reads. `id_key` is [`MapConfig::id_key`], or the gateway's own key.
    pub fn new(config: &MapConfig, id_key: &[u8], keys: &mut Keys) -> Result<Mapping, MapError> {
        let mut slots = SlotsOfKeys::intern(keys);
        let sources = Sources::new(&config.columns, &mut slots, keys)?;
        let schemas = config.additions().schemas();
        let metrics = config.metrics.iter().map(|rule| MetricRule::new(rule, &schemas, keys)).collect::<Result<_, _>>()?;
        Ok(Mapping {
            config: config.clone(),
            slots,
            sources,
            schemas,
            identity: Identity::new(id_key).ok_or(MapError::ShortKey { found: id_key.len() })?,
            trusted_hops: config.trusted_hops,
            error_sources: config.errors.sources.clone(),
            metrics,
        })
    }

    /// The rows of a request, at most one batch a table. Counts every record as mapped, unmapped or rejected.
    pub fn apply(
        &self,
        records: &Records<'_>,
        now: Timestamp,
        tally: &mut Tally,
        rejected: &mut Option<Rejected>,
    ) -> Vec<TableBatch> {
        let mut pass = Pass {
            mapping: self,
            records,
            lookup: Lookup::new(records, &self.slots),
            current: Current::default(),
            rows: RowBuilders::with(&self.schemas),
            ordinals: Ordinals::default(),
            logged: HashSet::new(),
            window: Window::at(now, &self.config),
            now,
            tally,
            rejected,
        };
        match records.signal {
            Signal::Traces => pass.map_spans(),
            Signal::Logs => pass.map_logs(),
            Signal::Metrics => pass.map_points(),
        }
        let repeated = pass.lookup.repeated();
        pass.tally.note(Note::RepeatedKey, repeated);
        pass.rows.finish()
    }
}

/// One request on its way through the mapping.
struct Pass<'m, 'r, 'a> {
    mapping: &'m Mapping,
    records: &'r Records<'a>,
    lookup: Lookup<'m, 'r, 'a>,
    current: Current<'r>,
    rows: RowBuilders,
    ordinals: Ordinals,
    /// Ids of the invocations that logs of this request have made.
    logged: HashSet<String>,
    window: Window,
    now: Timestamp,
    tally: &'m mut Tally,
    rejected: &'m mut Option<Rejected>,
}

impl<'r> Pass<'_, 'r, '_> {
    /// Two passes: what a span is can depend on spans that come after it.
    fn map_spans(&mut self) {
        let spans = &self.records.spans;
        let facts: Vec<Facts<'r>> = spans.iter().map(|span| self.facts(span)).collect();
        let selection = Selection::of(spans, &facts);
        for (at, span) in (0..).zip(spans) {
            if facts[at as usize].rejected {
                continue;
            }
            let rows = self.push_span(at, span, &facts, &selection);
            self.count(rows);
        }
    }

    fn facts(&mut self, span: &'r Span<'_>) -> Facts<'r> {
        self.lookup.view(span.scope, span.attributes);
        self.current = Current::span(span);
        let native = self.lookup.native_id();
        let takes_events = self.mapping.error_sources.contains(&ErrorSource::SpanEvent);
        let events = self.records.events.get(span.events.range()).unwrap_or(&[]);
        let facts = Facts {
            rejected: false,
            rule: self.lookup.invocation_rule(span, native.as_ref(), self.mapping.config.invocations),
            has_exception: takes_events && events.iter().any(|event| event.name == errors::EXCEPTION),
            is_deployment: self.lookup.is_deployment(),
            sourced_id: self.invocation_id_by_sources(),
            native,
        };
        match self.window.first(&[span.start, span.end]) {
            Err(stray) if facts.rule.is_some() || facts.has_exception || facts.is_deployment => {
                self.reject(&stray.into());
                Facts { rejected: true, ..Facts::default() }
            }
            _ => facts,
        }
    }

    /// The rows of one span; returns how many.
    fn push_span(
        &mut self,
        at: u32,
        span: &'r Span<'_>,
        facts: &[Facts<'r>],
        selection: &Selection,
    ) -> Result<usize, Unmappable> {
        let fact = &facts[at as usize];
        let is_invocation = selection.is_invocation(at);
        if !is_invocation && !fact.has_exception && !fact.is_deployment {
            return Ok(0);
        }
        self.lookup.view_again(span.scope, span.attributes);
        self.current = Current::span(span);
        let mut rows = 0;
        if is_invocation {
            self.push_invocation(span, fact)?;
            rows += 1;
        }
        if fact.is_deployment {
            let ended = self.window.first(&[span.end, span.start])?.unwrap_or_else(|| self.time_of_receipt());
            self.push_deployment_span(span, ended)?;
            rows += 1;
        }
        if fact.has_exception {
            rows += self.push_span_errors(at, facts, selection)?;
        }
        Ok(rows)
    }

    fn map_logs(&mut self) {
        for log in &self.records.logs {
            let rows = self.push_log(log);
            self.count(rows);
        }
    }

    /// The rows of one log; returns how many. Our own events are what they are named, whatever their severity.
    fn push_log(&mut self, log: &'r LogRecord<'_>) -> Result<usize, Unmappable> {
        // A stray clock rejects only what would be a row.
        let time = self.window.first(&[log.time, log.observed]);
        self.lookup.view(log.scope, log.attributes);
        self.current = Current::log(log);
        let event_name = errors::event_name(&self.lookup, log);
        match event_name.as_ref() {
            deployments::DEPLOYMENT => {
                let at = time?.unwrap_or_else(|| self.time_of_receipt());
                self.push_deployment(at)?;
                return Ok(1);
            }
            rate_limits::RATE_LIMIT => {
                let at = time?.unwrap_or_else(|| self.time_of_receipt());
                self.push_rate_limit(log, at)?;
                return Ok(1);
            }
            _ => {}
        }
        let mut rows = 0;
        if self.is_error(log, &event_name) {
            let at = time?.unwrap_or_else(|| self.time_of_receipt());
            self.push_log_error(log, &event_name, at)?;
            rows += 1;
        }
        if self.mapping.config.invocations.from_logs && self.push_log_invocation(log, time)? {
            rows += 1;
        }
        Ok(rows)
    }

    /// Every point feeds Prometheus, so every point is mapped; one whose row can never be made is rejected.
    fn map_points(&mut self) {
        for point in &self.records.points {
            let mapped = self.map_point(point).map(|()| 1);
            self.count(mapped);
        }
    }

    fn count(&mut self, rows: Result<usize, Unmappable>) {
        match rows {
            Ok(0) => self.tally.unmapped += 1,
            Ok(_) => self.tally.mapped += 1,
            Err(reason) => self.reject(&reason),
        }
    }

    fn reject(&mut self, reason: &Unmappable) {
        self.tally.rejected += 1;
        Rejected::add(self.rejected, 1, || reason.to_string());
    }

    fn time_of_receipt(&mut self) -> Timestamp {
        self.tally.note(Note::TimeOfReceipt, 1);
        self.now
    }

    /// A size in bytes.
    fn size(&mut self, attr: Attr) -> Option<i64> {
        self.bounded(attr, 0..=i64::MAX)
    }

    /// A whole number within a range; another number is counted.
    fn bounded(&mut self, attr: Attr, range: RangeInclusive<i64>) -> Option<i64> {
        let tally = &mut *self.tally;
        self.lookup.read(attr, |value| {
            let within = value.as_i64().filter(|number| range.contains(number));
            if within.is_none() && value.is_number() {
                tally.note(Note::OutOfRange, 1);
            }
            within
        })
    }

    /// The first of these that says one of a column's words, as the table has it; another word is counted.
    fn word(&mut self, sources: &[Attr], word: fn(&str) -> Option<&'static str>) -> Option<Cow<'r, str>> {
        let (tally, lookup) = (&mut *self.tally, &self.lookup);
        let mut read = |value| {
            let word = word(&lookup.id_in(value)?);
            tally.note(Note::OutOfRange, u64::from(word.is_none()));
            word
        };
        sources.iter().find_map(|attr| lookup.read(*attr, &mut read)).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests;
