//! `service.telemetry` and `extensions.health_check`.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `service.telemetry`: what floe says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    pub logs: LogsConfig,
    pub metrics: MetricsConfig,
}

/// `service.telemetry.logs`: written to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogsConfig {
    /// Default `info`; the environment variable `RUST_LOG` goes before it, and can name floe's modules.
    pub level: LogLevel,
    /// Default `console`.
    pub encoding: LogEncoding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogEncoding {
    /// One line of text an event.
    #[default]
    Console,
    /// One JSON object an event.
    Json,
}

/// `service.telemetry.metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Where floe's own `/metrics` is served. Default `127.0.0.1:8888`.
    pub address: SocketAddr,
}

/// `extensions.health_check`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheckConfig {
    /// Default `127.0.0.1:13133`.
    pub endpoint: SocketAddr,
}

impl Default for MetricsConfig {
    fn default() -> MetricsConfig {
        MetricsConfig { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8888)) }
    }
}

impl Default for HealthCheckConfig {
    fn default() -> HealthCheckConfig {
        HealthCheckConfig { endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 13133)) }
    }
}

impl LogLevel {
    pub(super) fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_collector() {
        let yaml = "{ logs: { level: warn, encoding: json }, metrics: { address: 127.0.0.1:9999 } }";
        let config: TelemetryConfig = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(config.logs, LogsConfig { level: LogLevel::Warn, encoding: LogEncoding::Json });
        assert_eq!(config.metrics.address.port(), 9999);
        assert_eq!(serde_saphyr::from_str::<TelemetryConfig>("{}").unwrap(), TelemetryConfig::default());
        assert!(serde_saphyr::from_str::<TelemetryConfig>("{ logs: { level: loud } }").is_err());
        assert!(serde_saphyr::from_str::<HealthCheckConfig>("{ path: /x }").is_err());
    }
}
