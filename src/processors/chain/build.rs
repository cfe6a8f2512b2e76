//! From a pipeline's list of processors to its chain: their order, and what they clear.

use super::{Chain, ChainStep};
use crate::config::ComponentId;
use crate::processors::attributes::AttributesStep;
use crate::processors::condition::Unfit;
use crate::processors::config::ProcessorConfig;
use crate::processors::filter::{ColumnFilter, FilterConfig, RecordFilter};
use crate::processors::hash_ip::{HashIp, HashIpError};
use crate::processors::map::{MapError, Mapping};
use crate::processors::route::{Route, RouteConfig};
use crate::processors::sanitize::{SanitizeError, Sanitizer};
use crate::processors::truncate_stack::TruncateStack;
use crate::processors::{ColumnStep, Destinations, RecordStep};
use crate::signals::Signal;
use crate::signals::attributes::Keys;
use crate::tables::{Additions, Allowed, Clearance, Columns, Raw, Uncleared};

/// The gateway's own keys, for processors whose settings name none.
#[derive(Clone, Copy)]
pub struct ChainKeys<'a> {
    /// For derived ids; at least 16 bytes.
    pub id_key: &'a [u8],
    /// For hashed addresses; at least 16 bytes.
    pub ip_key: &'a [u8],
}

impl std::fmt::Debug for ChainKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKeys([secret])")
    }
}

/// Why a pipeline's processors make no chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("`{id}` is a second `map`, expected one at most: keep one of them")]
    SecondMap { id: ComponentId },
    #[error("`{id}` works on records, expected it before `{after}`, which works on what they have become: move it to the front")]
    RecordsTooLate { id: ComponentId, after: ComponentId },
    #[error("`{id}` works on the columns that `map` makes, expected it after a `map`: move it behind one")]
    ColumnsTooEarly { id: ComponentId },
    #[error(
        "`{id}` has conditions on attributes, which are asked before `map`, and on columns, which are asked after it: make two filters of it"
    )]
    MixedFilter { id: ComponentId },
    #[error("`{id}`: {reason}")]
    Condition { id: ComponentId, reason: Unfit },
    #[error("`{id}` is a second `route`, expected one at most: put their rules together")]
    SecondRoute { id: ComponentId },
    #[error("the pipeline has {found} exporters, expected at most {}", Destinations::MAX)]
    ManyExporters { found: usize },
    #[error(
        "`{id}` stands after `{after}`, expected the order `sanitize`, `hash_ip`, `truncate_stack`: a secret that was cut is not found any more"
    )]
    Order { id: ComponentId, after: ComponentId },
    #[error("`{id}`: {reason}")]
    Map { id: ComponentId, reason: Box<MapError> },
    #[error("`{id}`: {reason}")]
    Sanitize { id: ComponentId, reason: SanitizeError },
    #[error("`{id}`: {reason}")]
    HashIp { id: ComponentId, reason: HashIpError },
    #[error(transparent)]
    Uncleared(#[from] Uncleared),
}

/// The order of the steps that protect: a later one never stands before an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Sanitize,
    HashIp,
    TruncateStack,
}

impl Chain {
    /// The chain of these processors, in their order.
    ///
    /// `exporters` are those of the pipeline, in its order: [`Destinations`] are places among them. `allowed_raw` is what every exporter of the pipeline may have raw.
    ///
    /// # Errors
    /// [`ChainError`]: an order that cannot be meant, a step that cannot be built, or something raw that would be written.
    pub fn build(
        signal: Signal,
        processors: &[(&ComponentId, &ProcessorConfig)],
        exporters: &[&ComponentId],
        allowed_raw: &Allowed,
        secrets: &ChainKeys<'_>,
    ) -> Result<Chain, ChainError> {
        if exporters.len() > Destinations::MAX {
            return Err(ChainError::ManyExporters { found: exporters.len() });
        }
        let mut builder = Builder::new(processors, exporters, secrets);
        // Every attribute of a point can become a label, and every attribute of a log goes into the id of an error without a span.
        if signal != Signal::Traces {
            builder.keys.keep_all();
        }
        for (id, config) in processors {
            builder.add(id, config)?;
        }
        let Builder { keys, record_steps, map, additions, column_steps, .. } = builder;
        let cleared = column_steps.iter().fold(Columns::NONE, |cleared, step| match step {
            ChainStep::Column(step) => cleared.union(step.clears()),
            ChainStep::Route(_) => cleared,
        });
        let clearance = Clearance::of(cleared.union(never_made(signal, map.is_some())), allowed_raw, additions.texts())?;
        Ok(Chain { signal, keys, record_steps, map: map.map(|map| (map, clearance)), column_steps })
    }
}

/// What such a chain has nothing of, so that nobody has to clear it: labels without points, columns without `map`.
fn never_made(signal: Signal, has_map: bool) -> Columns {
    let labels = if signal == Signal::Metrics { Columns::NONE } else { Columns::LABELS };
    let columns =
        if has_map { Columns::NONE } else { Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]).without(Columns::LABELS) };
    labels.union(columns)
}

struct Builder<'a> {
    exporters: &'a [&'a ComponentId],
    secrets: &'a ChainKeys<'a>,
    /// Whether there is a `map` anywhere in the list.
    has_map: bool,
    keys: Keys,
    record_steps: Vec<Box<dyn RecordStep>>,
    map: Option<Mapping>,
    additions: Additions,
    column_steps: Vec<ChainStep>,
    /// The first step that does not work on records.
    past_records: Option<ComponentId>,
    /// The last of the steps that protect.
    protected: Option<(Rank, ComponentId)>,
}

impl<'a> Builder<'a> {
    fn new(
        processors: &[(&ComponentId, &ProcessorConfig)],
        exporters: &'a [&'a ComponentId],
        secrets: &'a ChainKeys<'a>,
    ) -> Builder<'a> {
        Builder {
            exporters,
            secrets,
            has_map: processors.iter().any(|(_, config)| matches!(config, ProcessorConfig::Map(_))),
            keys: Keys::default(),
            record_steps: Vec::new(),
            map: None,
            additions: Additions::default(),
            column_steps: Vec::new(),
            past_records: None,
            protected: None,
        }
    }

    fn add(&mut self, id: &ComponentId, config: &ProcessorConfig) -> Result<(), ChainError> {
        match config {
            ProcessorConfig::Attributes(config) => {
                let step = AttributesStep::new(config, &mut self.keys);
                self.record_step(id, step)
            }
            ProcessorConfig::Filter(config) => self.filter(id, config),
            ProcessorConfig::Map(config) => {
                if self.map.is_some() {
                    return Err(ChainError::SecondMap { id: id.clone() });
                }
                let key = config.id_key.as_ref().map_or(self.secrets.id_key, |key| key.expose().as_bytes());
                let map = Mapping::new(config, key, &mut self.keys);
                self.map = Some(map.map_err(|reason| ChainError::Map { id: id.clone(), reason: Box::new(reason) })?);
                self.additions = config.additions();
                self.past_records.get_or_insert_with(|| id.clone());
                Ok(())
            }
            ProcessorConfig::Route(config) => self.route(id, config),
            ProcessorConfig::Sanitize(config) => {
                let step = Sanitizer::new(config).map_err(|reason| ChainError::Sanitize { id: id.clone(), reason })?;
                self.protection(id, Rank::Sanitize, step)
            }
            ProcessorConfig::HashIp(config) => {
                let key = config.key.as_ref().map_or(self.secrets.ip_key, |key| key.expose().as_bytes());
                let step = HashIp::new(config, Some(key)).map_err(|reason| ChainError::HashIp { id: id.clone(), reason })?;
                self.protection(id, Rank::HashIp, step)
            }
            ProcessorConfig::TruncateStack(config) => self.protection(id, Rank::TruncateStack, TruncateStack::new(config)),
        }
    }

    fn filter(&mut self, id: &ComponentId, config: &FilterConfig) -> Result<(), ChainError> {
        let records = RecordFilter::new(config, &mut self.keys);
        match (records, ColumnFilter::is_asked_for(config)) {
            (Some(records), false) => self.record_step(id, records),
            (Some(_), true) => Err(ChainError::MixedFilter { id: id.clone() }),
            (None, true) if self.map.is_none() => Err(ChainError::ColumnsTooEarly { id: id.clone() }),
            (None, _) => {
                let columns = ColumnFilter::new(config, &self.additions.schemas());
                let columns = columns.map_err(|reason| ChainError::Condition { id: id.clone(), reason })?;
                columns.map_or(Ok(()), |columns| self.column_step(id, columns))
            }
        }
    }

    fn route(&mut self, id: &ComponentId, config: &RouteConfig) -> Result<(), ChainError> {
        if self.map.is_none() {
            return Err(ChainError::ColumnsTooEarly { id: id.clone() });
        }
        if self.column_steps.iter().any(|step| matches!(step, ChainStep::Route(_))) {
            return Err(ChainError::SecondRoute { id: id.clone() });
        }
        let route = Route::new(config, self.exporters, &self.additions.schemas());
        let route = route.map_err(|reason| ChainError::Condition { id: id.clone(), reason })?;
        self.column_steps.push(ChainStep::Route(route));
        Ok(())
    }

    fn record_step(&mut self, id: &ComponentId, step: impl RecordStep + 'static) -> Result<(), ChainError> {
        if let Some(after) = &self.past_records {
            return Err(ChainError::RecordsTooLate { id: id.clone(), after: after.clone() });
        }
        self.record_steps.push(Box::new(step));
        Ok(())
    }

    /// Without any `map` a step on columns is welcome for what it does to points.
    fn column_step(&mut self, id: &ComponentId, step: impl ColumnStep + 'static) -> Result<(), ChainError> {
        if self.has_map && self.map.is_none() {
            return Err(ChainError::ColumnsTooEarly { id: id.clone() });
        }
        self.past_records.get_or_insert_with(|| id.clone());
        self.column_steps.push(ChainStep::Column(Box::new(step)));
        Ok(())
    }

    fn protection(&mut self, id: &ComponentId, rank: Rank, step: impl ColumnStep + 'static) -> Result<(), ChainError> {
        match &self.protected {
            Some((last, after)) if *last > rank => return Err(ChainError::Order { id: id.clone(), after: after.clone() }),
            _ => self.protected = Some((rank, id.clone())),
        }
        self.column_step(id, step)
    }
}
