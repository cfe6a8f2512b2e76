//! The `prometheus` exporter's part of the configuration.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tables::{Columns, Raw};

/// The columns that become labels or values. No id and no address is among them, and none ever is.
const EXPOSED: [&str; 8] =
    ["function_id", "language", "success", "duration_ms", "cold_start", "error_type", "limit_type", "status"];

/// The word for the labels of metric points in `allow_raw`.
const LABELS: &str = "labels";

/// `exporters.prometheus`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Where `/metrics` is served. Default `127.0.0.1:9464`.
    pub endpoint: SocketAddr,
    /// How many series may be exposed, counted as Prometheus counts them: a histogram of 14 bounds is 17. Default 100000.
    pub max_series: MaxSeries,
    /// What may be exposed without being sanitised: names of columns, or `labels` for the labels of metric points. Default none.
    pub allow_raw: AllowRaw,
}

/// 1 to 10,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u32")]
pub struct MaxSeries(u32);

/// Columns by name, and `labels`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Vec<String>")]
pub struct AllowRaw(Vec<String>);

impl Default for PrometheusConfig {
    fn default() -> PrometheusConfig {
        PrometheusConfig {
            endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            max_series: MaxSeries(100_000),
            allow_raw: AllowRaw::default(),
        }
    }
}

impl PrometheusConfig {
    /// The columns that a chain need not clear for this exporter: those it never exposes, and those of `allow_raw`.
    pub fn allowed(&self) -> Columns {
        let every = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]);
        let exposed = EXPOSED.iter().fold(Columns::LABELS, |set, name| set.union(Columns::named(name)));
        every.without(exposed).union(self.allow_raw.columns())
    }
}

impl MaxSeries {
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl TryFrom<u32> for MaxSeries {
    type Error = String;

    fn try_from(number: u32) -> Result<MaxSeries, String> {
        match number {
            1..=10_000_000 => Ok(MaxSeries(number)),
            _ => Err(format!("expected a number of series from 1 to 10000000, found {number}")),
        }
    }
}

impl TryFrom<Vec<String>> for AllowRaw {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<AllowRaw, String> {
        match names.iter().find(|name| named(name).is_empty()) {
            Some(name) => Err(format!("expected the name of a column, such as error_type, or `{LABELS}`, found `{name}`")),
            None => Ok(AllowRaw(names)),
        }
    }
}

impl AllowRaw {
    fn columns(&self) -> Columns {
        self.0.iter().fold(Columns::NONE, |all, name| all.union(named(name)))
    }
}

/// What one name of `allow_raw` allows.
fn named(name: &str) -> Columns {
    if name == LABELS { Columns::LABELS } else { Columns::named(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Table;

    fn parse(yaml: &str) -> Result<PrometheusConfig, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(parse("{}").unwrap(), PrometheusConfig::default());
    }

    #[test]
    fn an_unknown_key_and_a_number_out_of_range_are_refused() {
        assert!(parse("maxseries: 1").unwrap_err().contains("maxseries"));
        assert!(parse("max_series: 0").unwrap_err().contains("from 1 to 10000000"));
        assert!(parse("allow_raw: [adress]").unwrap_err().contains("`adress`"));
    }

    #[test]
    fn ids_and_addresses_need_no_clearing_but_labels_and_functions_do() {
        let allowed = PrometheusConfig::default().allowed();
        assert!(!allowed.has_labels());
        assert!(allowed.contains(Table::Invocations, Table::Invocations.column("client_ip").unwrap()));
        assert!(!allowed.contains(Table::Invocations, Table::Invocations.column("function_id").unwrap()));
        assert!(!allowed.contains(Table::Errors, Table::Errors.column("error_type").unwrap()));
        let raw = parse("allow_raw: [labels, error_type]").unwrap().allowed();
        assert!(raw.has_labels());
        assert!(raw.contains(Table::Errors, Table::Errors.column("error_type").unwrap()));
    }
}
