//! The whole configuration: which components there are, one line each, and what must hold between them.

use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::document::PipelineRefs;
use crate::config::source::Source;
use crate::config::{Component, ConfigError, Document};
use crate::exporters::iceberg::IcebergConfig;
use crate::exporters::prometheus::PrometheusConfig;
use crate::processors::ProcessorConfig;
use crate::receivers::otlp::OtlpConfig;
use crate::signals::Signal;
use crate::telemetry::{HealthCheckConfig, TelemetryConfig};
use crate::wal::WalConfig;

/// A `pipelines.yaml`, checked: every pipeline is of a signal, and every id it names is defined.
pub type Config = Document<ReceiverConfig, ProcessorConfig, ExporterConfig, ExtensionConfig, TelemetryConfig>;

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ReceiverConfig {
    Otlp(OtlpConfig),
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ExporterConfig {
    Iceberg(IcebergConfig),
    Prometheus(PrometheusConfig),
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ExtensionConfig {
    Wal(WalConfig),
    HealthCheck(HealthCheckConfig),
    MemoryLimiter(MemoryLimiterConfig),
    Admin(AdminConfig),
}

/// `extensions.memory_limiter`: how much memory the gateway may take, as in the Collector's extension of that name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryLimiterConfig {
    /// In MiB; 64 at least, 512 by default. Half of it is for requests on their way; the rest is the exporters' and the process's own.
    pub limit_mib: LimitMib,
}

/// 64 MiB or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(extend("minimum" = 64))]
pub struct LimitMib(u64);

/// `extensions.admin`: where `floe status` and `floe flush` find a running gateway.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Loopback by default, 127.0.0.1:13134; whoever reaches it can make the gateway commit.
    pub endpoint: SocketAddr,
}

impl MemoryLimiterConfig {
    /// The share for requests, from admission until their reply.
    pub fn requests(&self) -> crate::config::ByteSize {
        crate::config::ByteSize::mib(self.limit_mib.0 / 2)
    }
}

impl TryFrom<u64> for LimitMib {
    type Error = String;

    fn try_from(mib: u64) -> Result<LimitMib, String> {
        if mib < 64 {
            return Err(format!("expected a limit of 64 MiB or more, found {mib}"));
        }
        Ok(LimitMib(mib))
    }
}

impl Default for MemoryLimiterConfig {
    fn default() -> Self {
        MemoryLimiterConfig { limit_mib: LimitMib(512) }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig { endpoint: SocketAddr::from(([127, 0, 0, 1], 13134)) }
    }
}

impl Component for ReceiverConfig {
    const WHAT: &'static str = "receiver";
    const KINDS: &'static [&'static str] = &["otlp"];

    fn read<'de, D: Deserializer<'de>>(_kind: &str, deserializer: D) -> Result<Self, D::Error> {
        OtlpConfig::deserialize(deserializer).map(ReceiverConfig::Otlp)
    }

    fn schema(_kind: &str, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<OtlpConfig>()
    }
}

impl Component for ExporterConfig {
    const WHAT: &'static str = "exporter";
    const KINDS: &'static [&'static str] = &["iceberg", "prometheus"];

    fn read<'de, D: Deserializer<'de>>(kind: &str, deserializer: D) -> Result<Self, D::Error> {
        match kind {
            "iceberg" => IcebergConfig::deserialize(deserializer).map(ExporterConfig::Iceberg),
            _ => PrometheusConfig::deserialize(deserializer).map(ExporterConfig::Prometheus),
        }
    }

    fn schema(kind: &str, generator: &mut SchemaGenerator) -> Schema {
        match kind {
            "iceberg" => generator.subschema_for::<IcebergConfig>(),
            _ => generator.subschema_for::<PrometheusConfig>(),
        }
    }
}

impl Component for ExtensionConfig {
    const WHAT: &'static str = "extension";
    const KINDS: &'static [&'static str] = &["wal", "health_check", "memory_limiter", "admin"];

    fn read<'de, D: Deserializer<'de>>(kind: &str, deserializer: D) -> Result<Self, D::Error> {
        match kind {
            "wal" => WalConfig::deserialize(deserializer).map(ExtensionConfig::Wal),
            "health_check" => HealthCheckConfig::deserialize(deserializer).map(ExtensionConfig::HealthCheck),
            "memory_limiter" => MemoryLimiterConfig::deserialize(deserializer).map(ExtensionConfig::MemoryLimiter),
            _ => AdminConfig::deserialize(deserializer).map(ExtensionConfig::Admin),
        }
    }

    fn schema(kind: &str, generator: &mut SchemaGenerator) -> Schema {
        match kind {
            "wal" => generator.subschema_for::<WalConfig>(),
            "health_check" => generator.subschema_for::<HealthCheckConfig>(),
            "memory_limiter" => generator.subschema_for::<MemoryLimiterConfig>(),
            _ => generator.subschema_for::<AdminConfig>(),
        }
    }
}

/// The extensions that a configuration has, each with its default where the file does not name it.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    pub wal: WalConfig,
    pub health_check: HealthCheckConfig,
    pub memory_limiter: MemoryLimiterConfig,
    pub admin: AdminConfig,
}

impl Extensions {
    pub fn of(config: &Config) -> Extensions {
        let mut extensions = Extensions::default();
        for (_, extension) in config.extensions.iter() {
            match extension {
                ExtensionConfig::Wal(config) => extensions.wal = config.clone(),
                ExtensionConfig::HealthCheck(config) => extensions.health_check = config.clone(),
                ExtensionConfig::MemoryLimiter(config) => extensions.memory_limiter = config.clone(),
                ExtensionConfig::Admin(config) => extensions.admin = config.clone(),
            }
        }
        extensions
    }
}

/// The signal of a pipeline, from the type of its id.
pub fn signal_of(id: &crate::config::ComponentId) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| signal.name() == id.kind())
}

/// Reads and checks a file.
///
/// # Errors
/// The first thing that is wrong, with its place: YAML, a setting, a name, or a pipeline that refers to nothing.
pub fn read(source: &Source) -> Result<Config, ConfigError> {
    let config: Config = source.parse(|name| std::env::var(name).ok())?;
    check(source, &config)?;
    Ok(config)
}

/// Two exporters that write the same tables would take each other for a stranger.
fn check_destinations(source: &Source, config: &Config) -> Result<(), ConfigError> {
    let mut seen: Vec<(String, &crate::config::ComponentId)> = Vec::new();
    for (id, exporter) in config.exporters.iter() {
        let ExporterConfig::Iceberg(settings) = exporter else { continue };
        let tables = settings.destination();
        if let Some((_, other)) = seen.iter().find(|(have, _)| *have == tables) {
            let message =
                format!("exporters `{other}` and `{id}` write the same tables, {tables}; give one of them another `namespace`");
            return Err(ConfigError::at(&source.path, None, message));
        }
        seen.push((tables, id));
    }
    Ok(())
}

/// Rows are made by `map` only, so a pipeline without one would lose everything on its way to the tables.
fn check_rows(
    source: &Source,
    config: &Config,
    id: &crate::config::ComponentId,
    pipeline: &PipelineRefs,
) -> Result<(), ConfigError> {
    let maps = pipeline.processors.iter().any(|step| matches!(config.processors.get(&step.value), Some(ProcessorConfig::Map(_))));
    let iceberg = |reference: &&serde_saphyr::Spanned<crate::config::ComponentId>| {
        matches!(config.exporters.get(&reference.value), Some(ExporterConfig::Iceberg(_)))
    };
    match pipeline.exporters.iter().find(iceberg) {
        Some(exporter) if !maps => {
            let message = format!("pipeline `{id}` has no `map`, so exporter `{}` would get no rows from it", exporter.value);
            Err(ConfigError::at(&source.path, Some(exporter.referenced), message))
        }
        _ => Ok(()),
    }
}

/// What must hold between the sections.
fn check(source: &Source, config: &Config) -> Result<(), ConfigError> {
    if config.service.pipelines.is_empty() {
        return Err(ConfigError::at(&source.path, None, "service.pipelines is empty, expected traces, logs or metrics"));
    }
    check_destinations(source, config)?;
    for (id, pipeline) in &config.service.pipelines {
        // Where the pipeline stands: at the first component it names.
        let place = pipeline.receivers.first().or(pipeline.exporters.first()).map(|reference| reference.referenced);
        if signal_of(id).is_none() {
            let message = format!("pipeline `{id}` is of no signal, expected traces, logs or metrics, with an optional /name");
            return Err(ConfigError::at(&source.path, place, message));
        }
        let defined: [(_, Vec<_>, &[_]); 3] = [
            ("receiver", config.receivers.ids().collect(), &pipeline.receivers),
            ("processor", config.processors.ids().collect(), &pipeline.processors),
            ("exporter", config.exporters.ids().collect(), &pipeline.exporters),
        ];
        for (what, ids, references) in defined {
            if references.is_empty() && what != "processor" {
                return Err(ConfigError::at(&source.path, place, format!("pipeline `{id}` has no {what}")));
            }
            if let Some(reference) = references.iter().find(|reference| !ids.contains(&&reference.value)) {
                let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
                let wanted = reference.value.to_string();
                let hint = crate::config::error::did_you_mean(&wanted, &names);
                let message = format!(
                    "pipeline `{id}` names {what} `{wanted}`, which is not defined under {what}s: {}{hint}",
                    names.join(", ")
                );
                return Err(ConfigError::at(&source.path, Some(reference.referenced), message));
            }
        }
        check_rows(source, config, id, pipeline)?;
    }
    Ok(())
}
