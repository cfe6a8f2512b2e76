//! Which processors there are: one variant each, one arm to read it. [`super::chain`] has the arm that builds it.

use serde::{Deserialize, Deserializer, de};

use super::attributes::AttributesConfig;
use super::filter::FilterConfig;
use super::map::MapConfig;
use crate::config::Component;

/// The settings of one processor.
#[derive(Clone, Debug)]
pub enum ProcessorConfig {
    Attributes(AttributesConfig),
    Filter(FilterConfig),
    Map(MapConfig),
}

impl Component for ProcessorConfig {
    const WHAT: &'static str = "processor";
    const KINDS: &'static [&'static str] = &["attributes", "filter", "map"];

    fn read<'de, D: Deserializer<'de>>(kind: &str, settings: D) -> Result<ProcessorConfig, D::Error> {
        match kind {
            "attributes" => AttributesConfig::deserialize(settings).map(ProcessorConfig::Attributes),
            "filter" => FilterConfig::deserialize(settings).map(ProcessorConfig::Filter),
            "map" => MapConfig::deserialize(settings).map(ProcessorConfig::Map),
            other => Err(de::Error::unknown_variant(other, Self::KINDS)),
        }
    }
}
