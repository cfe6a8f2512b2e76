//! From the configuration to the rooms: keys, the log with its streams, exporters, and a chain a pipeline.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::config::{Config, ExporterConfig, Extensions, maps_to, signal_of};
use super::{StartError, keys, report};
use crate::config::document::PipelineRefs;
use crate::config::{ComponentId, Place};
use crate::exporters::iceberg::IcebergExporter;
use crate::exporters::prometheus::Prometheus;
use crate::pipelines::{Destination, Pipeline};
use crate::processors::ProcessorConfig;
use crate::processors::chain::{Chain, ChainError, ChainKeys};
use crate::signals::Signal;
use crate::tables::{Additions, Allowed, Columns, Schemas, Table};
use crate::telemetry::Telemetry;
use crate::wal::{Damage, Opened, StreamId, Wal};

/// Everything a gateway is made of, before it listens.
#[derive(Debug)]
pub struct Built {
    pub wal: Wal,
    pub pipelines: Vec<Arc<Pipeline>>,
    pub exporters: Vec<Arc<IcebergExporter>>,
    pub prometheus: Vec<(SocketAddr, Arc<Prometheus>)>,
}

/// The keys of the configuration, or of their files.
struct Keys {
    id_key: Vec<u8>,
    ip_key: Vec<u8>,
}

/// An exporter as a pipeline sees it.
#[derive(Debug)]
enum Target {
    Iceberg([StreamId; Table::ALL.len()], Schemas),
    Prometheus(Arc<Prometheus>),
}

pub fn build(config: &Config, extensions: &Extensions, telemetry: &Arc<Telemetry>) -> Result<Built, StartError> {
    let keys = load_keys(config, extensions)?;
    let chains = build_chains(config, &ChainKeys { id_key: &keys.id_key, ip_key: &keys.ip_key })?;
    let (wal, mut free) = open_log(config, extensions)?;
    report::report_log(telemetry, &wal);
    let mut exporters = Vec::new();
    let mut prometheus = Vec::new();
    let mut targets: Vec<(&ComponentId, Target)> = Vec::new();
    for (id, exporter) in config.exporters.iter() {
        let target = match exporter {
            ExporterConfig::Iceberg(settings) => {
                let streams = Table::ALL.map(|_| free.next().unwrap_or(StreamId(u16::MAX)));
                let schemas = schemas(config, id);
                let exporter = IcebergExporter::start(&id.to_string(), settings, &wal, streams, &schemas)
                    .map_err(|source| StartError::Exporter { exporter: id.to_string(), source })?;
                let exporter = Arc::new(exporter);
                report::report_rows(telemetry, &exporter, &wal);
                exporters.push(exporter);
                Target::Iceberg(streams, schemas)
            }
            ExporterConfig::Prometheus(settings) => {
                let exporter = Prometheus::new(settings);
                report::report_series(telemetry, &id.to_string(), &exporter);
                prometheus.push((settings.endpoint, Arc::clone(&exporter)));
                Target::Prometheus(exporter)
            }
        };
        targets.push((id, target));
    }
    let pipelines = config
        .service
        .pipelines
        .iter()
        .zip(chains)
        .map(|((id, refs), (signal, chain))| Arc::new(pipeline(id, signal, chain, refs, &targets, telemetry)))
        .collect();
    Ok(Built { wal, pipelines, exporters, prometheus })
}

/// Builds every chain, and throws it away: what `floe validate` checks beyond the file itself.
pub fn validate(config: &Config) -> Result<(), StartError> {
    build_chains(config, &ChainKeys { id_key: &[0; 32], ip_key: &[0; 32] }).map(drop)
}

fn pipeline(
    id: &ComponentId,
    signal: Signal,
    chain: Chain,
    refs: &PipelineRefs,
    targets: &[(&ComponentId, Target)],
    telemetry: &Arc<Telemetry>,
) -> Pipeline {
    let mut destinations = Vec::new();
    let mut prometheus = Vec::new();
    for (at, exporter) in refs.exporters.iter().enumerate() {
        match targets.iter().find(|(id, _)| exporter.value == **id) {
            Some((_, Target::Iceberg(streams, schemas))) => {
                destinations.push(Destination { at, streams: *streams, schemas: schemas.clone() });
            }
            Some((_, Target::Prometheus(exporter))) => prometheus.push((at, Arc::clone(exporter))),
            // `config::read` has checked that every exporter is defined.
            None => {}
        }
    }
    let receivers = refs.receivers.iter().map(|receiver| receiver.value.to_string()).collect();
    let id = id.to_string();
    let metrics = telemetry.pipeline(&id, signal);
    Pipeline { id, signal, receivers, chain, destinations, prometheus, metrics }
}

/// One chain a pipeline, in the order of the pipelines.
fn build_chains(config: &Config, keys: &ChainKeys<'_>) -> Result<Vec<(Signal, Chain)>, StartError> {
    let mut chains = Vec::new();
    for (id, refs) in config.service.pipelines.iter() {
        // `config::read` has checked both: the signal, and every id that a pipeline names.
        let Some(signal) = signal_of(id) else { continue };
        let steps: Vec<(&ComponentId, &ProcessorConfig)> =
            refs.processors.iter().filter_map(|step| Some((&step.value, config.processors.get(&step.value)?))).collect();
        let exporters: Vec<&ComponentId> = refs.exporters.iter().map(|exporter| &exporter.value).collect();
        let chain = Chain::build(signal, &steps, &exporters, &allowed_raw(config, refs), keys)
            .map_err(|source| misbuilt(id, refs, source))?;
        chains.push((signal, chain));
    }
    Ok(chains)
}

fn misbuilt(id: &ComponentId, refs: &PipelineRefs, source: ChainError) -> StartError {
    let first = refs.processors.first().or(refs.exporters.first());
    let place = first.map_or_else(|| Place::whole("service.pipelines"), |reference| reference.place.clone());
    StartError::Chain { place: Box::new(place), pipeline: id.to_string(), source: Box::new(source) }
}

/// What every exporter of the pipeline allows to be written or exposed raw.
fn allowed_raw(config: &Config, refs: &PipelineRefs) -> Allowed {
    let mut allowed =
        refs.exporters.iter().filter_map(|exporter| config.exporters.get(&exporter.value)).map(|exporter| match exporter {
            ExporterConfig::Iceberg(settings) => settings.allowed(),
            ExporterConfig::Prometheus(settings) => settings.allowed().into(),
        });
    let first = allowed.next().unwrap_or(Columns::NONE.into());
    allowed.fold(first, |all, next| all.intersection(&next))
}

/// Of the rows that an exporter is given: every `map` that feeds it may add columns.
pub fn schemas(config: &Config, exporter: &ComponentId) -> Schemas {
    let mut all = Additions::default();
    for (_, map) in maps_to(config, exporter) {
        // `config::read` has checked that no two of them clash.
        let _ = all.join(&map.additions());
    }
    all.schemas()
}

/// Opens the log with one stream for every table of every durable exporter, in the order of the file.
fn open_log(config: &Config, extensions: &Extensions) -> Result<(Wal, impl Iterator<Item = StreamId> + use<>), StartError> {
    let mut streams = Vec::new();
    for (id, exporter) in config.exporters.iter() {
        if let ExporterConfig::Iceberg(_) = exporter {
            streams.extend(IcebergExporter::streams(&id.to_string(), &schemas(config, id)));
        }
    }
    let count = u16::try_from(streams.len()).unwrap_or(u16::MAX);
    let (wal, opened) = Wal::open(&extensions.wal, streams)?;
    tell(&extensions.wal.directory, &opened);
    Ok((wal, (0..count).map(StreamId)))
}

/// What was found when the log was opened, each loss in a line of its own.
fn tell(directory: &Path, opened: &Opened) {
    for Damage { first, last, rows, file } in &opened.damaged {
        let (first, last, kept) = (first.0, last.0, file.as_deref().unwrap_or(Path::new("nowhere")));
        tracing::error!(first, last, rows, kept = %kept.display(), "acknowledged requests of the log are damaged: look at its disk");
    }
    if let Some(Damage { first, rows, file, .. }) = &opened.doubtful {
        let kept = file.as_deref().unwrap_or(Path::new("nowhere"));
        tracing::warn!(position = first.0, rows, kept = %kept.display(), "the last request of the log is not what was written: after a power loss it was never acknowledged, else it is damaged");
    }
    let damaged = opened.damaged.len();
    tracing::info!(directory = %directory.display(), held_rows = opened.held_rows, cut = opened.cut, damaged, "the log is open");
}

/// The keys that processors are given; made at the first start, beside the log's directory.
fn load_keys(config: &Config, extensions: &Extensions) -> Result<Keys, StartError> {
    let directory = extensions.wal.directory.parent().unwrap_or(Path::new(".")).join("keys");
    let mut id_key = None;
    let mut address_key = None;
    for (_, processor) in config.processors.iter() {
        match processor {
            ProcessorConfig::Map(map) => id_key = id_key.or(map.id_key.as_ref()),
            ProcessorConfig::HashIp(hash_ip) => address_key = address_key.or(hash_ip.key.as_ref()),
            _ => {}
        }
    }
    let shared = config
        .exporters
        .iter()
        .any(|(_, exporter)| matches!(exporter, ExporterConfig::Iceberg(settings) if settings.catalog.is_shared()));
    Ok(Keys {
        id_key: keys::load("map.id_key", id_key.map(crate::config::Secret::expose), &directory, "id.key", shared)?,
        ip_key: keys::load("hash_ip.key", address_key.map(crate::config::Secret::expose), &directory, "ip.key", shared)?,
    })
}
