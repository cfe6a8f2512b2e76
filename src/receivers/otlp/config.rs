//! The configuration of the `otlp` receiver, in the keys of the Collector's.
//!
//! `read_timeout` and `max_connections` under `grpc` are floe's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::cors::CorsConfig;
use crate::config::{ByteSize, Span};
use crate::receivers::auth::{AuthConfig, TlsConfig};
use crate::server::Address;

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

/// Times of `0` have no end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// `127.0.0.1:4317`, `unix:///run/floe.sock`, or a path with `transport: unix`. Default 127.0.0.1:4317.
    #[serde(deserialize_with = "endpoint", serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub endpoint: Address,
    /// `tcp` or `unix`; need not be said.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// In MiB, 1 to 1024, before and after inflating. Default 64.
    #[serde(deserialize_with = "mebibytes", serialize_with = "in_mebibytes")]
    #[schemars(with = "u64", range(min = 1, max = 1024))]
    pub max_recv_msg_size_mib: BodyLimit,
    /// Requests at once on a connection. Default 256.
    pub max_concurrent_streams: u32,
    /// What a connection may have sent that is not read yet, 64 KiB to 16 MiB. Default 2 MiB; less while many are open.
    pub read_buffer_size: BufferSize,
    pub keepalive: KeepaliveConfig,
    /// Connections open at once; more wait. Default 1024.
    pub max_connections: u32,
    /// For a request to come in whole. Default 30s.
    pub read_timeout: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// `grpc.keepalive`. There is no `enforcement_policy`: the HTTP/2 server does not let us count pings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveConfig {
    pub server_parameters: ServerParameters,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerParameters {
    /// Without a call on the connection until it is closed. Default 0.
    pub max_connection_idle: Span,
    /// Until a connection takes no more calls, so that senders spread over new replicas. Default 0.
    pub max_connection_age: Span,
    /// And then until the calls on it are cut off. Default 0.
    pub max_connection_age_grace: Span,
    /// Without a sign of life until the peer is asked for one. Default 60s, the Collector's is 2h.
    pub time: Span,
    /// And then until the connection is closed. Default 20s.
    pub timeout: Span,
}

/// Times of `0` have no end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// `127.0.0.1:4318`, `unix:///run/floe.sock`, or a path with `transport: unix`. Default 127.0.0.1:4318.
    #[serde(deserialize_with = "endpoint", serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub endpoint: Address,
    /// `tcp` or `unix`; need not be said.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// In bytes or with a unit, 1 KiB to 1 GiB, before and after inflating. Default 64 MiB.
    pub max_request_body_size: BodyLimit,
    pub cors: CorsConfig,
    /// From the first byte of a request to the end of its headers, over HTTP/1.1. Default 60s.
    pub read_header_timeout: Span,
    /// For a request to come in whole. Default 30s, the Collector's is 0.
    pub read_timeout: Span,
    /// Without progress in writing a reply. Default 30s.
    pub write_timeout: Span,
    /// Without a request on a connection. Default 90s, the Collector's is 60s.
    pub idle_timeout: Span,
    /// Connections open at once; more wait. Default 1024.
    pub max_connections: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// What the endpoint is; says no more than the endpoint itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    Tcp,
    Unix,
}

/// What a connection may hold unread: 64 KiB to 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "ByteSize")]
pub struct BufferSize(ByteSize);

impl BufferSize {
    pub const DEFAULT: BufferSize = BufferSize(ByteSize::mib(2));

    pub fn bytes(self) -> u32 {
        u32::try_from(self.0.bytes()).unwrap_or(u32::MAX)
    }
}

impl TryFrom<ByteSize> for BufferSize {
    type Error = String;

    fn try_from(size: ByteSize) -> Result<BufferSize, String> {
        if (ByteSize::kib(64)..=ByteSize::mib(16)).contains(&size) {
            Ok(BufferSize(size))
        } else {
            Err(format!("expected a size from 64KiB to 16MiB, found {} bytes", size.bytes()))
        }
    }
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
            endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 4317)).into(),
            transport: Some(Transport::Tcp),
            max_recv_msg_size_mib: BodyLimit::DEFAULT,
            max_concurrent_streams: 256,
            read_buffer_size: BufferSize::DEFAULT,
            keepalive: KeepaliveConfig::default(),
            max_connections: 1024,
            read_timeout: Span::seconds(30),
            auth: None,
            tls: None,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 4318)).into(),
            transport: Some(Transport::Tcp),
            max_request_body_size: BodyLimit::DEFAULT,
            cors: CorsConfig::default(),
            read_header_timeout: Span::seconds(60),
            read_timeout: Span::seconds(30),
            write_timeout: Span::seconds(30),
            idle_timeout: Span::seconds(90),
            max_connections: 1024,
            auth: None,
            tls: None,
        }
    }
}

impl Default for ServerParameters {
    fn default() -> ServerParameters {
        ServerParameters {
            max_connection_idle: Span::seconds(0),
            max_connection_age: Span::seconds(0),
            max_connection_age_grace: Span::seconds(0),
            time: Span::seconds(60),
            timeout: Span::seconds(20),
        }
    }
}

/// `None` for 0, which has no end.
pub fn bounded(time: Span) -> Option<Duration> {
    Some(time.get()).filter(|time| !time.is_zero())
}

/// A key that stands there without a value means its defaults, as in the Collector.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Protocols, D::Error> {
    let Some(mut protocols) = Option::<Protocols>::deserialize(deserializer)? else { return Err(none_named()) };
    let grpc = protocols.grpc.as_mut().map(|grpc| ("grpc", &grpc.endpoint, &mut grpc.transport));
    let http = protocols.http.as_mut().map(|http| ("http", &http.endpoint, &mut http.transport));
    if grpc.is_none() && http.is_none() {
        return Err(none_named());
    }
    for (protocol, endpoint, transport) in [grpc, http].into_iter().flatten() {
        match (*transport, endpoint) {
            (Some(Transport::Unix), Address::Tcp(_)) => {
                let message =
                    format!("expected a path such as /run/floe.sock as `{protocol}.endpoint`, because its transport is unix");
                return Err(de::Error::custom(message));
            }
            (Some(Transport::Tcp), Address::Unix(_)) => {
                let message = format!("expected an address and a port as `{protocol}.endpoint`, because its transport is tcp");
                return Err(de::Error::custom(message));
            }
            (_, Address::Tcp(_)) => *transport = Some(Transport::Tcp),
            (_, Address::Unix(_)) => *transport = Some(Transport::Unix),
        }
    }
    Ok(protocols)
}

fn none_named<E: de::Error>() -> E {
    E::custom("expected `grpc` or `http` under `protocols`, found none")
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

fn as_text<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
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
  grpc:
    endpoint: 'localhost:14317'
    transport: tcp
    max_recv_msg_size_mib: 16
    max_concurrent_streams: 8
    read_buffer_size: 524288
    keepalive:
      server_parameters: { max_connection_idle: 11s, max_connection_age: 12s, max_connection_age_grace: 13s, time: 30s, timeout: 5s }
  http:
    endpoint: '0.0.0.0:14318'
    max_request_body_size: 1048576
    cors: { allowed_origins: ['https://*.shop.example'], allowed_headers: ['*'], max_age: 7200 }
    read_header_timeout: 4s
    read_timeout: 5s
    write_timeout: 6s
    idle_timeout: 7s
";
        let grpc = GrpcConfig {
            endpoint: "127.0.0.1:14317".parse().unwrap(),
            transport: Some(Transport::Tcp),
            max_recv_msg_size_mib: BodyLimit(ByteSize::mib(16)),
            max_concurrent_streams: 8,
            read_buffer_size: BufferSize(ByteSize::kib(512)),
            keepalive: KeepaliveConfig {
                server_parameters: ServerParameters {
                    max_connection_idle: Span::seconds(11),
                    max_connection_age: Span::seconds(12),
                    max_connection_age_grace: Span::seconds(13),
                    time: Span::seconds(30),
                    timeout: Span::seconds(5),
                },
            },
            ..GrpcConfig::default()
        };
        let http = HttpConfig {
            endpoint: "0.0.0.0:14318".parse().unwrap(),
            max_request_body_size: BodyLimit(ByteSize::mib(1)),
            cors: CorsConfig {
                allowed_origins: vec!["https://*.shop.example".to_owned().try_into().unwrap()],
                allowed_headers: vec!["*".to_owned()],
                max_age: 7200,
            },
            read_header_timeout: Span::seconds(4),
            read_timeout: Span::seconds(5),
            write_timeout: Span::seconds(6),
            idle_timeout: Span::seconds(7),
            ..HttpConfig::default()
        };
        check(yaml, Ok(OtlpConfig { protocols: Protocols { grpc: Some(grpc), http: Some(http) } }));
    }

    #[test]
    fn what_is_out_of_range_or_unknown_is_refused_in_words() {
        check("protocols: { grpc: { max_recv_msg_size_mib: 0 } }", Err("expected a number of MiB from 1 to 1024, found 0"));
        check("protocols: { http: { max_request_body_size: 2GiB } }", Err("expected a size from 1KiB to 1GiB"));
        check("protocols: { http: { endpoint: somewhere } }", Err("expected an address and a port"));
        check("protocols: { http: { corse: {} } }", Err("corse"));
        check("protocols: { grpc: { read_buffer_size: 1KiB } }", Err("expected a size from 64KiB to 16MiB"));
        check("protocols: { grpc: { keepalive: { enforcement_policy: {} } } }", Err("enforcement_policy"));
        check("protocols: { http: { cors: { allowed_origins: ['https://*.*'] } } }", Err("one `*` at most"));
        check("protocols: { http: { endpoint: /run/a.sock, transport: tcp } }", Err("its transport is tcp"));
        check("protocols: { http: { transport: unix } }", Err("its transport is unix"));
        check("protocols: { http: { endpoint: 'unix://' } }", Err("expected a path"));
    }

    #[test]
    fn a_unix_socket_is_named_in_either_way() {
        for yaml in ["{ endpoint: 'unix:///run/floe.sock' }", "{ endpoint: /run/floe.sock, transport: unix }"] {
            let config: OtlpConfig = serde_saphyr::from_str(&format!("protocols: {{ http: {yaml} }}")).unwrap();
            assert_eq!(config.protocols.http.unwrap().endpoint, Address::Unix("/run/floe.sock".into()), "{yaml}");
        }
    }
}
