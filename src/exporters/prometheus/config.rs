//! The `prometheus` exporter's part of the configuration.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::from_rows::LABELS as ROW_LABELS;
use super::labels::{self, Constant, LabelRules, Promoted};
use super::names::{Naming, TranslationStrategy, is_legacy};
use crate::config::values::Span;
use crate::tables::{Columns, Raw, Table};

/// The columns that become labels or values in any case. No id and no address is among them, and none ever is.
const EXPOSED: [&str; 9] =
    ["function_id", "language", "version", "success", "duration_ms", "cold_start", "error_type", "limit_type", "status"];

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
    /// The same for each metric. Default half of `max_series`.
    pub max_series_per_metric: Option<MaxSeries>,
    /// How long a series of points stays without a new point; `0` is for ever. Default 5m.
    pub metric_expiration: Span,
    /// Stands before every name, with `_` between: letters, digits and `_`, 64 at most. Default none.
    pub namespace: Namespace,
    /// Labels of every series. An attribute of such a name becomes `exported_…`. Default none.
    pub const_labels: ConstLabels,
    pub resource_to_telemetry_conversion: ResourceConversion,
    /// Which attributes of the resource become labels of every series; counts before `resource_to_telemetry_conversion`. Default none.
    pub resource_constant_labels: Option<ResourceConstantLabels>,
    /// Attributes of the resource that become labels of every series, by name. Default none.
    pub promote_resource_attributes: ResourceAttributes,
    /// Leave the labels `otel_scope_…` away: series of scopes with the same attributes add up. Default false.
    pub without_scope_info: bool,
    /// How names are made. Default `UnderscoreEscapingWithSuffixes`.
    pub translation_strategy: TranslationStrategy,
    /// Answer in OpenMetrics where it is asked for. Default true.
    pub enable_open_metrics: bool,
    /// Write `_created` of counters, histograms and summaries in OpenMetrics. Prometheus takes each for a series of its own, which `max_series` does
    /// not count; protobuf has these times in any case. Default false, as in the Collector and Prometheus's client for Go.
    pub created_timestamps: bool,
    pub functions: FunctionsConfig,
    /// What may be exposed without being sanitised: names of columns, or `labels` for the labels of metric points. Default none.
    pub allow_raw: AllowRaw,
}

/// `resource_to_telemetry_conversion`, as the Collector has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceConversion {
    /// Every attribute of the resource becomes a label of every series. Default false.
    pub enabled: bool,
    /// But for those that `job` and `instance` are made of. Default false.
    pub exclude_service_attributes: bool,
}

/// `resource_constant_labels`, as the Collector has it: patterns in which `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceConstantLabels {
    /// Attributes that become labels. Default none, or all if some are excluded.
    pub included: Vec<String>,
    /// Attributes that do not, whatever is included. Default none.
    pub excluded: Vec<String>,
}

/// A prefix of names; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Namespace(String);

/// At most 16 labels, none of them one that the exporter gives itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct ConstLabels(BTreeMap<String, String>);

/// `functions`: the families that are made from rows.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionsConfig {
    /// Columns that become labels where their table has them: `language`, `version`, `region`, `colo`. Default `[language]`.
    pub labels: RowLabels,
    /// Bounds of `function_duration_seconds`, in seconds. Default those that the semantic conventions advise.
    pub duration_buckets: Bounds,
    /// Bounds of `function_memory_used_bytes`, in bytes. Default 64 MiB to 8 GiB, doubling.
    pub memory_buckets: Bounds,
    /// Durations have native buckets, too, for scrapers that take them. Default true.
    pub native_histograms: bool,
    /// How long a function stays without a row; `0` is for ever. Default 24h.
    pub expiration: Span,
}

/// 1 to 10,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u32")]
pub struct MaxSeries(u32);

/// Columns by name, and `labels`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Vec<String>")]
pub struct AllowRaw(Vec<String>);

/// Columns of rows with few values each.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Vec<String>")]
pub struct RowLabels(Vec<String>);

/// Attributes by name; ids of one request and addresses of clients are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Vec<String>")]
pub struct ResourceAttributes(Vec<String>);

/// 1 to 64 bounds, positive, finite and increasing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Vec<f64>")]
pub struct Bounds(Vec<f64>);

impl Default for PrometheusConfig {
    fn default() -> PrometheusConfig {
        PrometheusConfig {
            endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            max_series: MaxSeries(100_000),
            max_series_per_metric: None,
            metric_expiration: Span::seconds(300),
            namespace: Namespace::default(),
            const_labels: ConstLabels::default(),
            resource_to_telemetry_conversion: ResourceConversion::default(),
            resource_constant_labels: None,
            promote_resource_attributes: ResourceAttributes::default(),
            without_scope_info: false,
            translation_strategy: TranslationStrategy::default(),
            enable_open_metrics: true,
            created_timestamps: false,
            functions: FunctionsConfig::default(),
            allow_raw: AllowRaw::default(),
        }
    }
}

impl Default for FunctionsConfig {
    fn default() -> FunctionsConfig {
        const MIB: f64 = 1_048_576.0;
        FunctionsConfig {
            labels: RowLabels(vec!["language".to_owned()]),
            duration_buckets: Bounds(vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]),
            memory_buckets: Bounds([64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0, 8_192.0].map(|size| size * MIB).into()),
            native_histograms: true,
            expiration: Span::seconds(86_400),
        }
    }
}

impl PrometheusConfig {
    /// The columns that a chain need not clear for this exporter: those it never exposes, and those of `allow_raw`.
    pub fn allowed(&self) -> Columns {
        let every = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]);
        let names = EXPOSED.iter().copied().chain(self.functions.labels.0.iter().map(String::as_str));
        let exposed = names.fold(Columns::LABELS, |set, name| set.union(Columns::named(name)));
        every.without(exposed).union(self.allow_raw.columns())
    }

    pub(super) fn max_series_per_metric(&self) -> u64 {
        self.max_series_per_metric.map_or_else(|| self.max_series.get().div_ceil(2), MaxSeries::get)
    }

    pub(super) fn label_rules(&self) -> LabelRules {
        let strategy = self.translation_strategy;
        LabelRules {
            naming: Naming { strategy, namespace: self.namespace.0.clone() },
            without_scope: self.without_scope_info,
            resource: self.promoted(),
            constant: Constant::of(&self.const_labels.0, strategy),
        }
    }

    fn promoted(&self) -> Promoted {
        let every = || vec!["*".to_owned()];
        let all = &self.resource_to_telemetry_conversion;
        let mut promoted = match &self.resource_constant_labels {
            Some(chosen) if chosen.included.is_empty() && !chosen.excluded.is_empty() => {
                Promoted { included: every(), excluded: chosen.excluded.clone() }
            }
            Some(chosen) => Promoted { included: chosen.included.clone(), excluded: chosen.excluded.clone() },
            None if all.enabled && all.exclude_service_attributes => {
                Promoted { included: every(), excluded: labels::IDENTIFYING.map(str::to_owned).into() }
            }
            None if all.enabled => Promoted { included: every(), excluded: Vec::new() },
            None => Promoted::default(),
        };
        promoted.included.extend(self.promote_resource_attributes.0.iter().cloned());
        promoted
    }
}

impl MaxSeries {
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl RowLabels {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|label| label == name)
    }
}

impl Bounds {
    pub(super) fn get(&self) -> &[f64] {
        &self.0
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

impl TryFrom<String> for Namespace {
    type Error = String;

    fn try_from(name: String) -> Result<Namespace, String> {
        if name.is_empty() || (name.len() <= 64 && is_legacy(&name) && !name.contains(':')) {
            Ok(Namespace(name))
        } else {
            Err(format!("expected a namespace of letters, digits and `_`, 64 at most and no digit first, found `{name}`"))
        }
    }
}

impl TryFrom<BTreeMap<String, String>> for ConstLabels {
    type Error = String;

    fn try_from(labels: BTreeMap<String, String>) -> Result<ConstLabels, String> {
        match labels.keys().find(|name| name.is_empty() || labels::OWN.contains(&name.as_str())) {
            Some(name) => Err(format!("`{name}` cannot be a label of every series: the exporter gives it itself")),
            None if labels.len() > 16 => Err(format!("expected at most 16 labels of every series, found {}", labels.len())),
            None => Ok(ConstLabels(labels)),
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

impl TryFrom<Vec<String>> for RowLabels {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<RowLabels, String> {
        for name in &names {
            if ROW_LABELS.contains(&name.as_str()) {
                continue;
            }
            let raw =
                |raw| Table::ALL.into_iter().flat_map(Table::columns).any(|column| column.name == name && column.raw == raw);
            let why = if raw(Raw::Id) {
                "it is an id, and an id is never a label".to_owned()
            } else if raw(Raw::Address) {
                "it is an address, and an address is never a label".to_owned()
            } else {
                format!("expected {}", ROW_LABELS.join(", "))
            };
            return Err(format!("`{name}` cannot be a label: {why}"));
        }
        Ok(RowLabels(names))
    }
}

impl TryFrom<Vec<String>> for ResourceAttributes {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<ResourceAttributes, String> {
        match names.iter().find(|name| labels::never(name)) {
            Some(name) => Err(format!("`{name}` cannot be a label: ids of one request and addresses of clients never are")),
            None => Ok(ResourceAttributes(names)),
        }
    }
}

impl TryFrom<Vec<f64>> for Bounds {
    type Error = String;

    fn try_from(bounds: Vec<f64>) -> Result<Bounds, String> {
        let sound = (1..=64).contains(&bounds.len())
            && bounds.iter().all(|bound| bound.is_finite() && *bound > 0.0)
            && bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if sound {
            Ok(Bounds(bounds))
        } else {
            Err("expected 1 to 64 positive bounds, each greater than the one before".to_owned())
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

    #[test]
    fn what_cannot_be_a_label_is_refused_with_the_reason() {
        let check = |yaml: &str, expected: &str| {
            let error = parse(yaml).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("functions: { labels: [invocation_id] }", "`invocation_id` cannot be a label: it is an id");
        check("functions: { labels: [client_ip] }", "it is an address");
        check("functions: { labels: [error_message] }", "expected language, version, region, colo");
        check("promote_resource_attributes: [client.address]", "`client.address` cannot be a label");
        check("functions: { duration_buckets: [1, 1] }", "each greater than the one before");
        check("functions: { memory_buckets: [] }", "1 to 64");
        check("translation_strategy: Dots", "Dots");
        check("namespace: my-shop", "`my-shop`");
        check("namespace: 9lives", "no digit first");
        check("const_labels: { job: mine }", "`job` cannot be a label of every series");
    }

    #[test]
    fn chosen_labels_have_to_be_cleared() {
        let region = Table::Invocations.column("region").unwrap();
        assert!(PrometheusConfig::default().allowed().contains(Table::Invocations, region));
        assert!(!parse("functions: { labels: [region] }").unwrap().allowed().contains(Table::Invocations, region));
    }
}
