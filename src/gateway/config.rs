//! The whole configuration: which components there are, one line each, and what must hold between them.

mod check;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, json, to_value};
use tokio::sync::Semaphore;

use crate::config::document::PipelineRefs;
use crate::config::source::Sources;
use crate::config::{Component, ComponentId, ConfigError, Document, Placed, printed};
use crate::exporters::iceberg::IcebergConfig;
use crate::exporters::prometheus::PrometheusConfig;
use crate::processors::ProcessorConfig;
use crate::processors::map::MapConfig;
use crate::receivers::auth::BearerTokenAuthConfig;
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
    Iceberg(Box<IcebergConfig>),
    Prometheus(Box<PrometheusConfig>),
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ExtensionConfig {
    Wal(WalConfig),
    HealthCheck(HealthCheckConfig),
    MemoryLimiter(MemoryLimiterConfig),
    Admin(AdminConfig),
    BearerTokenAuth(BearerTokenAuthConfig),
}

/// `extensions.memory_limiter`: how much memory the gateway may take, as in the Collector's extension of that name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryLimiterConfig {
    /// In MiB; 64 at least, 512 by default. Half of it is for requests on their way, a quarter for what connections hold before it is read; the
    /// rest is the exporters' and the process's own.
    pub limit_mib: LimitMib,
}

/// 64 MiB or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(extend("minimum" = 64))]
pub struct LimitMib(u64);

/// `extensions.admin`: where `floe status`, `floe flush` and `floe replay` find a running gateway.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Loopback by default, 127.0.0.1:13134; whoever reaches it can make the gateway commit.
    pub endpoint: SocketAddr,
}

impl MemoryLimiterConfig {
    /// How many requests above 1 MiB may be processed at once: one for every 128 MiB.
    pub fn large_requests(&self) -> usize {
        usize::try_from(self.limit_mib.0 / 128).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
    }

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
            "iceberg" => IcebergConfig::deserialize(deserializer).map(Box::new).map(ExporterConfig::Iceberg),
            _ => PrometheusConfig::deserialize(deserializer).map(Box::new).map(ExporterConfig::Prometheus),
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
    const KINDS: &'static [&'static str] = &["wal", "health_check", "memory_limiter", "admin", "bearertokenauth"];

    fn read<'de, D: Deserializer<'de>>(kind: &str, deserializer: D) -> Result<Self, D::Error> {
        match kind {
            "wal" => WalConfig::deserialize(deserializer).map(ExtensionConfig::Wal),
            "health_check" => HealthCheckConfig::deserialize(deserializer).map(ExtensionConfig::HealthCheck),
            "memory_limiter" => MemoryLimiterConfig::deserialize(deserializer).map(ExtensionConfig::MemoryLimiter),
            "bearertokenauth" => BearerTokenAuthConfig::deserialize(deserializer).map(ExtensionConfig::BearerTokenAuth),
            _ => AdminConfig::deserialize(deserializer).map(ExtensionConfig::Admin),
        }
    }

    fn schema(kind: &str, generator: &mut SchemaGenerator) -> Schema {
        match kind {
            "wal" => generator.subschema_for::<WalConfig>(),
            "health_check" => generator.subschema_for::<HealthCheckConfig>(),
            "memory_limiter" => generator.subschema_for::<MemoryLimiterConfig>(),
            "bearertokenauth" => generator.subschema_for::<BearerTokenAuthConfig>(),
            _ => generator.subschema_for::<AdminConfig>(),
        }
    }
}

/// The extensions that are on, each with its default where the file does not name it.
#[derive(Clone, Debug, Serialize)]
pub struct Extensions {
    /// What floe stands on, as the memory limit: always on.
    pub wal: WalConfig,
    pub memory_limiter: MemoryLimiterConfig,
    /// Off where `service.extensions` is given and does not list it; so is `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminConfig>,
    /// By their ids.
    #[serde(flatten)]
    pub bearertokenauth: BTreeMap<String, BearerTokenAuthConfig>,
}

impl Extensions {
    pub fn of(config: &Config) -> Extensions {
        let listed = |kind: &str| {
            let list = config.service.extensions.as_ref();
            list.is_none_or(|list| list.iter().any(|id| id.kind() == kind))
        };
        let mut extensions = Extensions {
            wal: WalConfig::default(),
            memory_limiter: MemoryLimiterConfig::default(),
            health_check: listed("health_check").then(HealthCheckConfig::default),
            admin: listed("admin").then(AdminConfig::default),
            bearertokenauth: BTreeMap::new(),
        };
        for (id, extension) in config.extensions.iter() {
            match extension {
                ExtensionConfig::Wal(config) => extensions.wal = config.clone(),
                ExtensionConfig::HealthCheck(config) => {
                    extensions.health_check = extensions.health_check.map(|_| config.clone());
                }
                ExtensionConfig::MemoryLimiter(config) => extensions.memory_limiter = config.clone(),
                ExtensionConfig::Admin(config) => extensions.admin = extensions.admin.map(|_| config.clone()),
                ExtensionConfig::BearerTokenAuth(config) => {
                    drop(extensions.bearertokenauth.insert(id.to_string(), config.clone()));
                }
            }
        }
        extensions
    }
}

/// The signal of a pipeline, from the type of its id.
pub fn signal_of(id: &ComponentId) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| signal.name() == id.kind())
}

/// Every `map` whose rows can come to an exporter, once for each pipeline that both stand in.
pub fn maps_to<'c>(
    config: &'c Config,
    exporter: &'c ComponentId,
) -> impl Iterator<Item = (&'c Placed<ComponentId>, &'c MapConfig)> {
    let feeds = move |pipeline: &&PipelineRefs| pipeline.exporters.iter().any(|other| other.value == *exporter);
    let pipelines = config.service.pipelines.values().filter(feeds);
    pipelines.flat_map(|pipeline| &pipeline.processors).filter_map(|id| match config.processors.get(&id.value) {
        Some(ProcessorConfig::Map(map)) => Some((id, map)),
        _ => None,
    })
}

/// The configuration with every default, as YAML; secrets are `[redacted]`.
///
/// # Errors
/// None that is known: a value that has no form in JSON.
pub fn effective(config: &Config) -> Result<String, serde_json::Error> {
    let extensions = Extensions::of(config);
    let mut listed = vec!["wal", "memory_limiter"];
    listed.extend(extensions.health_check.is_some().then_some("health_check"));
    listed.extend(extensions.admin.is_some().then_some("admin"));
    listed.extend(extensions.bearertokenauth.keys().map(String::as_str));
    let service = json!({
        "extensions": listed,
        "pipelines": config.service.pipelines.iter().map(|(id, pipeline)| (id.to_string(), json!(pipeline))).collect::<Map<_, _>>(),
        "telemetry": to_value(&config.service.telemetry)?,
    });
    let sections = [
        ("receivers", to_value(&config.receivers)?),
        ("processors", to_value(&config.processors)?),
        ("exporters", to_value(&config.exporters)?),
        ("extensions", to_value(&extensions)?),
        ("service", service),
    ];
    Ok(sections.into_iter().map(|(name, section)| printed::yaml(&json!({ name: section }), 0)).collect())
}

/// Reads and checks a configuration.
///
/// # Errors
/// The first thing that is wrong, with its place: YAML, a setting, a name, or a pipeline that refers to nothing.
pub fn read(sources: &Sources) -> Result<Config, ConfigError> {
    let config: Config = sources.parse(|name| std::env::var(name).ok())?;
    check::check(&config)?;
    Ok(config)
}

#[cfg(test)]
mod tests;
