//! The configuration of the `otlp` receiver, in the keys of the Collector's.
//!
//! `read_timeout` and `max_connections` under `grpc` are floe's own.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::{ByteSize, Span};

/// `otlp: { protocols: { grpc: { … }, http: { … } } }`. Without `protocols`: both, with their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    #[serde(deserialize_with = "at_least_one")]
    pub protocols: Protocols,
}

/// A protocol that is not named does not listen; one without a value (`grpc:`) has its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protocols {
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcConfig>,
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpConfig>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Default 127.0.0.1:4317.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: SocketAddr,
    /// In MiB, 1 to 1024, before and after inflating. Default 64.
    #[serde(deserialize_with = "mebibytes", serialize_with = "in_mebibytes")]
    #[schemars(with = "u64", range(min = 1, max = 1024))]
    pub max_recv_msg_size_mib: BodyLimit,
    /// Requests at once on a connection. Default 256.
    pub max_concurrent_streams: u32,
    /// Connections open at once; more wait. Default 1024.
    pub max_connections: u32,
    /// For a request to come in whole. Default 30s.
    pub read_timeout: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Default 127.0.0.1:4318.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: SocketAddr,
    /// In bytes or with a unit, 1 KiB to 1 GiB, before and after inflating. Default 64 MiB.
    pub max_request_body_size: BodyLimit,
    /// Connections open at once; more wait. Default 1024.
    pub max_connections: u32,
    /// For a request to come in whole. Default 30s.
    pub read_timeout: Span,
}

/// The largest body that is taken: 1 KiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "ByteSize")]
pub struct BodyLimit(ByteSize);

impl BodyLimit {
    const DEFAULT: BodyLimit = BodyLimit(ByteSize::mib(64));

    pub fn in_memory(self) -> usize {
        self.0.in_memory()
    }
}

impl TryFrom<ByteSize> for BodyLimit {
    type Error = String;

    fn try_from(size: ByteSize) -> Result<BodyLimit, String> {
        if (ByteSize::kib(1)..=ByteSize::gib(1)).contains(&size) {
            Ok(BodyLimit(size))
        } else {
            Err(format!("expected a size from 1KiB to 1GiB, found {} bytes", size.bytes()))
        }
    }
}

impl Default for Protocols {
    fn default() -> Protocols {
        Protocols { grpc: Some(GrpcConfig::default()), http: Some(HttpConfig::default()) }
    }
}

impl Default for GrpcConfig {
    fn default() -> GrpcConfig {
        GrpcConfig {
            endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 4317)),
            max_recv_msg_size_mib: BodyLimit::DEFAULT,
            max_concurrent_streams: 256,
            max_connections: 1024,
            read_timeout: Span::seconds(30),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 4318)),
            max_request_body_size: BodyLimit::DEFAULT,
            max_connections: 1024,
            read_timeout: Span::seconds(30),
        }
    }
}

/// A key that stands there without a value means its defaults, as in the Collector.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Protocols, D::Error> {
    match Option::deserialize(deserializer)? {
        None | Some(Protocols { grpc: None, http: None }) => {
            Err(de::Error::custom("expected `grpc` or `http` under `protocols`, found none"))
        }
        Some(protocols) => Ok(protocols),
    }
}

/// An address with a port; `localhost` is 127.0.0.1.
fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let address = match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok(),
        None => text.parse().ok(),
    };
    address.ok_or_else(|| de::Error::custom(format!("expected an address and a port such as 127.0.0.1:4317, found `{text}`")))
}

fn mebibytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BodyLimit, D::Error> {
    let number = u64::deserialize(deserializer)?;
    match number {
        1..=1024 => Ok(BodyLimit(ByteSize::mib(number))),
        _ => Err(de::Error::custom(format!("expected a number of MiB from 1 to 1024, found {number}"))),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn in_mebibytes<S: Serializer>(limit: &BodyLimit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(limit.0.bytes() >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, expected: Result<OtlpConfig, &str>) {
        match (serde_saphyr::from_str::<OtlpConfig>(yaml), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{yaml}"),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{yaml}: {error}"),
            (found, _) => panic!("{yaml}: {found:?}"),
        }
    }

    #[test]
    fn without_protocols_both_listen_on_their_defaults() {
        check("{}", Ok(OtlpConfig::default()));
    }

    #[test]
    fn a_protocol_that_is_not_named_does_not_listen() {
        let only = Protocols { grpc: Some(GrpcConfig::default()), http: None };
        check("protocols: { grpc: {} }", Ok(OtlpConfig { protocols: only.clone() }));
        check("protocols:\n  grpc:\n", Ok(OtlpConfig { protocols: only }));
        check("protocols: {}", Err("expected `grpc` or `http`"));
    }

    #[test]
    fn the_keys_are_the_collectors() {
        let yaml = "
protocols:
  grpc: { endpoint: 'localhost:14317', max_recv_msg_size_mib: 16, max_concurrent_streams: 8 }
  http: { endpoint: '0.0.0.0:14318', max_request_body_size: 1048576, read_timeout: 5s }
";
        let grpc = GrpcConfig {
            endpoint: "127.0.0.1:14317".parse().unwrap(),
            max_recv_msg_size_mib: BodyLimit(ByteSize::mib(16)),
            max_concurrent_streams: 8,
            ..GrpcConfig::default()
        };
        let http = HttpConfig {
            endpoint: "0.0.0.0:14318".parse().unwrap(),
            max_request_body_size: BodyLimit(ByteSize::mib(1)),
            read_timeout: Span::seconds(5),
            ..HttpConfig::default()
        };
        check(yaml, Ok(OtlpConfig { protocols: Protocols { grpc: Some(grpc), http: Some(http) } }));
    }

    #[test]
    fn what_is_out_of_range_or_unknown_is_refused_in_words() {
        check("protocols: { grpc: { max_recv_msg_size_mib: 0 } }", Err("expected a number of MiB from 1 to 1024, found 0"));
        check("protocols: { http: { max_request_body_size: 2GiB } }", Err("expected a size from 1KiB to 1GiB"));
        check("protocols: { http: { endpoint: somewhere } }", Err("expected an address and a port"));
        check("protocols: { http: { cors: {} } }", Err("cors"));
    }
}
