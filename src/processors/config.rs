//! Which processors there are: one variant each, one arm to read it. [`super::chain`] has the arm that builds it.

use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::attributes::AttributesConfig;
use super::filter::FilterConfig;
use super::hash_ip::HashIpConfig;
use super::map::MapConfig;
use super::route::RouteConfig;
use super::sanitize::SanitizeConfig;
use super::truncate_stack::TruncateStackConfig;
use crate::config::Component;

/// The settings of one processor.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ProcessorConfig {
    Attributes(AttributesConfig),
    Filter(FilterConfig),
    Map(MapConfig),
    Route(RouteConfig),
    Sanitize(SanitizeConfig),
    HashIp(HashIpConfig),
    TruncateStack(TruncateStackConfig),
}

impl Component for ProcessorConfig {
    const WHAT: &'static str = "processor";
    const KINDS: &'static [&'static str] = &["attributes", "filter", "map", "route", "sanitize", "hash_ip", "truncate_stack"];

    fn read<'de, D: Deserializer<'de>>(kind: &str, settings: D) -> Result<ProcessorConfig, D::Error> {
        match kind {
            "attributes" => AttributesConfig::deserialize(settings).map(ProcessorConfig::Attributes),
            "filter" => FilterConfig::deserialize(settings).map(ProcessorConfig::Filter),
            "map" => MapConfig::deserialize(settings).map(ProcessorConfig::Map),
            "route" => RouteConfig::deserialize(settings).map(ProcessorConfig::Route),
            "sanitize" => SanitizeConfig::deserialize(settings).map(ProcessorConfig::Sanitize),
            "hash_ip" => HashIpConfig::deserialize(settings).map(ProcessorConfig::HashIp),
            "truncate_stack" => TruncateStackConfig::deserialize(settings).map(ProcessorConfig::TruncateStack),
            other => Err(de::Error::unknown_variant(other, Self::KINDS)),
        }
    }

    fn schema(kind: &str, generator: &mut SchemaGenerator) -> Schema {
        match kind {
            "attributes" => generator.subschema_for::<AttributesConfig>(),
            "filter" => generator.subschema_for::<FilterConfig>(),
            "map" => generator.subschema_for::<MapConfig>(),
            "route" => generator.subschema_for::<RouteConfig>(),
            "sanitize" => generator.subschema_for::<SanitizeConfig>(),
            "hash_ip" => generator.subschema_for::<HashIpConfig>(),
            _ => generator.subschema_for::<TruncateStackConfig>(),
        }
    }
}
