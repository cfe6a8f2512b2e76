//! Names of metrics, by the OpenTelemetry–Prometheus compatibility specification ("Metric Metadata", "Sums", "Gauges").

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::series::Kind;
use crate::signals::MetricKind;
use crate::signals::points::Descriptor;

/// A longer name is cut.
const MAX_NAME_BYTES: usize = 256;

/// How names are made, by the Collector's words. Only the first two are free of characters that old scrapers do not know; of the others
/// each scraper gets what it asks for with `escaping=` in `Accept`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TranslationStrategy {
    /// `faas.invoke_duration` in s is `faas_invoke_duration_seconds`; a counter ends in `_total`.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// `faas_invoke_duration`.
    UnderscoreEscapingWithoutSuffixes,
    /// `faas.invoke_duration_seconds`.
    NoUTF8EscapingWithSuffixes,
    /// `faas.invoke_duration`.
    NoTranslation,
}

/// How names are made by this exporter.
#[derive(Clone, Debug, Default)]
pub(super) struct Naming {
    pub(super) strategy: TranslationStrategy,
    /// Stands before every name; may be empty.
    pub(super) namespace: String,
}

/// The name of a family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    /// Without the `_total` of a counter.
    pub(super) base: Box<str>,
    /// The unit at the end of `base`; may be empty.
    pub(super) unit: Box<str>,
    /// Whether the text formats write `_total` after the name of a counter; OpenMetrics always does.
    pub(super) total: bool,
}

impl TranslationStrategy {
    /// Whether names and labels stay as they were sent.
    pub(super) fn keeps_utf8(self) -> bool {
        matches!(self, TranslationStrategy::NoUTF8EscapingWithSuffixes | TranslationStrategy::NoTranslation)
    }

    fn adds_suffixes(self) -> bool {
        matches!(self, TranslationStrategy::UnderscoreEscapingWithSuffixes | TranslationStrategy::NoUTF8EscapingWithSuffixes)
    }
}

impl Naming {
    /// A name of the exporter's own.
    pub(super) fn own(&self, name: &str) -> String {
        if self.namespace.is_empty() { name.to_owned() } else { format!("{}_{name}", self.namespace) }
    }
}

/// The name of a family from the name and the unit of an OpenTelemetry metric.
pub(super) fn family(metric: &Descriptor, kind: Kind, naming: &Naming) -> Name {
    let Descriptor { name, unit, .. } = metric;
    // Sums of unit 1 count things.
    let ratio = metric.kind == MetricKind::Gauge;
    let strategy = naming.strategy;
    if strategy == TranslationStrategy::UnderscoreEscapingWithSuffixes {
        return with_words(name, units(unit, ratio), kind, &naming.namespace);
    }
    let name = naming.own(name);
    let name = if strategy.keeps_utf8() { Cow::Borrowed(name.as_str()) } else { underscored(&name) };
    let stripped = name.strip_suffix("_total").filter(|base| kind == Kind::Counter && !base.is_empty());
    let total = strategy.adds_suffixes() || stripped.is_some();
    let mut base = stripped.unwrap_or(&name).to_owned();
    let mut written = String::new();
    if strategy.adds_suffixes() {
        written = whole(&units(unit, ratio));
        if !written.is_empty() && !base.ends_with(&written) {
            base.push('_');
            base.push_str(&written);
        }
    }
    if base.is_empty() {
        base.push_str("unnamed");
    }
    base.truncate(base.floor_char_boundary(MAX_NAME_BYTES));
    let unit = at_the_end(&base, written);
    Name { base: base.into(), unit, total }
}

/// What is not a letter, a digit or a colon separates; runs of it become one `_`. The unit is appended unless the name has it.
fn with_words(name: &str, (main, per): (String, Option<String>), kind: Kind, namespace: &str) -> Name {
    let mut words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|word| !word.is_empty()).collect();
    if kind == Kind::Counter && words.len() > 1 && words.last() == Some(&"total") {
        words.pop();
    }
    if main == "ratio" {
        words.retain(|word| *word != "ratio");
    }
    for word in main.split('_').filter(|word| !word.is_empty()) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if let Some(per) = per.as_deref().filter(|per| !words.contains(per)) {
        words.push("per");
        words.push(per);
    }
    if words.is_empty() {
        words.push("unnamed");
    }
    if !namespace.is_empty() {
        words.insert(0, namespace);
    }
    let mut base = words.join("_");
    if base.starts_with(|c: char| c.is_ascii_digit()) {
        base.insert(0, '_');
    }
    base.truncate(MAX_NAME_BYTES);
    let unit = at_the_end(&base, whole(&(main, per)));
    Name { base: base.into(), unit, total: true }
}

/// The words of a unit as one.
fn whole((main, per): &(String, Option<String>)) -> String {
    match per {
        None => main.clone(),
        Some(per) if main.is_empty() => format!("per_{per}"),
        Some(per) => format!("{main}_per_{per}"),
    }
}

/// The unit, if the name ends in it as OpenMetrics wants: with `_` before it.
fn at_the_end(base: &str, unit: String) -> Box<str> {
    let ends = base.strip_suffix(&unit).is_some_and(|name| name.len() > 1 && name.ends_with('_'));
    if ends { unit.into() } else { "".into() }
}

/// The words of a unit, and of what it is per.
fn units(unit: &str, ratio: bool) -> (String, Option<String>) {
    if unit == "1" && ratio {
        return ("ratio".to_owned(), None);
    }
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main, Some(per)),
        None => (unit, None),
    };
    (unit_word(main), per.map(per_word).filter(|word| !word.is_empty()))
}

/// A name that every scraper knows: `_` for every character that it may not have.
fn underscored(name: &str) -> Cow<'_, str> {
    if is_legacy(name) {
        return Cow::Borrowed(name);
    }
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    Cow::Owned(out)
}

/// Whether a name of a metric needs no quotes.
pub(super) fn is_legacy(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// UCUM to the words of Prometheus; annotations in braces are no unit, `1` has no word, an unknown unit stays as it is.
fn unit_word(unit: &str) -> String {
    let word = match unit.trim() {
        "1" => "",
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" | "kBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        other => return plain(other),
    };
    word.to_owned()
}

/// What follows `per`: a time in the singular.
fn per_word(unit: &str) -> String {
    let word = match unit.trim() {
        "s" => "second",
        "m" | "min" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => return plain(other),
    };
    word.to_owned()
}

/// An unknown unit without its annotation, as a part of a name.
fn plain(unit: &str) -> String {
    let unit = unit.split('{').next().unwrap_or_default();
    let words: Vec<&str> = unit.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::Temporality;

    fn metric(name: &str, unit: &str, kind: Kind) -> Descriptor {
        let temporality = Temporality::Cumulative;
        let kind = match kind {
            Kind::Counter => MetricKind::Sum { monotonic: true, temporality },
            Kind::Histogram => MetricKind::Histogram { temporality },
            _ => MetricKind::Gauge,
        };
        Descriptor { name: name.to_owned(), description: String::new(), unit: unit.to_owned(), kind }
    }

    fn check(kind: Kind, cases: &[(&str, &str, &str)]) {
        for (name, unit, expected) in cases {
            assert_eq!(&*family(&metric(name, unit, kind), kind, &Naming::default()).base, *expected, "{name} in {unit}");
        }
    }

    #[test]
    fn units_become_suffixes_once() {
        check(
            Kind::Histogram,
            &[
                ("faas.invoke_duration", "s", "faas_invoke_duration_seconds"),
                ("faas.mem_usage", "By", "faas_mem_usage_bytes"),
                ("http.server.request.duration", "ms", "http_server_request_duration_milliseconds"),
                ("already_in_seconds", "s", "already_in_seconds"),
                ("requests", "{request}", "requests"),
            ],
        );
    }

    #[test]
    fn gauges_of_unit_1_are_ratios_and_rates_are_per_something() {
        check(
            Kind::Gauge,
            &[
                ("cpu.utilization", "1", "cpu_utilization_ratio"),
                ("disk.speed", "By/s", "disk_speed_bytes_per_second"),
                ("disk.speed", "{op}/m", "disk_speed_per_minute"),
                ("temperature", "Cel", "temperature_celsius"),
                ("battery", "%", "battery_percent"),
            ],
        );
    }

    #[test]
    fn a_sum_that_can_fall_is_no_ratio() {
        let kind = MetricKind::Sum { monotonic: false, temporality: Temporality::Cumulative };
        let size = Descriptor { kind, ..metric("queue.size", "1", Kind::Gauge) };
        assert_eq!(&*family(&size, Kind::Gauge, &Naming::default()).base, "queue_size");
    }

    /// OpenMetrics refuses a page in which a name does not end in `_` and its unit.
    #[test]
    fn a_unit_is_told_where_the_name_ends_in_it() {
        use TranslationStrategy::{NoUTF8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes};
        let check = |strategy, name, unit, base: &str, told: &str| {
            let naming = Naming { strategy, namespace: String::new() };
            let made = family(&metric(name, unit, Kind::Gauge), Kind::Gauge, &naming);
            assert_eq!((&*made.base, &*made.unit), (base, told), "{name} in {unit} by {strategy:?}");
        };
        for strategy in [UnderscoreEscapingWithSuffixes, NoUTF8EscapingWithSuffixes] {
            check(strategy, "requests", "{request}/s", "requests_per_second", "per_second");
            check(strategy, "speed", "m/s", "speed_meters_per_second", "meters_per_second");
            check(strategy, "seconds", "s", "seconds", "");
        }
        check(NoUTF8EscapingWithSuffixes, "milliseconds", "s", "milliseconds", "");
        check(UnderscoreEscapingWithSuffixes, "milliseconds", "s", "milliseconds_seconds", "seconds");
    }

    #[test]
    fn total_is_left_to_the_exposition() {
        check(
            Kind::Counter,
            &[
                ("faas.coldstarts", "{coldstart}", "faas_coldstarts"),
                ("cpu.time_total", "s", "cpu_time_seconds"),
                ("cpu.time", "1", "cpu_time"),
            ],
        );
    }

    #[test]
    fn hostile_names_become_valid_ones() {
        check(
            Kind::Gauge,
            &[
                ("", "", "unnamed"),
                ("9lives", "", "_9lives"),
                ("a{b=\"c\"}\n# TYPE", "", "a_b_c_TYPE"),
                ("größe", "x\"}\n", "gr_e_x"),
            ],
        );
        assert_eq!(
            family(&metric(&"x".repeat(9_000), "", Kind::Gauge), Kind::Gauge, &Naming::default()).base.len(),
            MAX_NAME_BYTES
        );
    }

    #[test]
    fn each_strategy_makes_the_names_that_the_collector_makes() {
        use TranslationStrategy::{
            NoTranslation, NoUTF8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes,
        };
        let check = |strategy, name, unit, base: &str, written: &str, total| {
            let expected = Name { base: base.into(), unit: written.into(), total };
            let naming = Naming { strategy, namespace: String::new() };
            assert_eq!(family(&metric(name, unit, Kind::Counter), Kind::Counter, &naming), expected, "{name} by {strategy:?}");
        };
        check(UnderscoreEscapingWithSuffixes, "faas.time", "s", "faas_time_seconds", "seconds", true);
        check(UnderscoreEscapingWithoutSuffixes, "faas.time", "s", "faas_time", "", false);
        check(UnderscoreEscapingWithoutSuffixes, "faas.time_total", "s", "faas_time", "", true);
        check(NoUTF8EscapingWithSuffixes, "faas.time", "s", "faas.time_seconds", "seconds", true);
        check(NoUTF8EscapingWithSuffixes, "faas.time_seconds_total", "s", "faas.time_seconds", "seconds", true);
        check(NoTranslation, "größe", "s", "größe", "", false);
        check(NoTranslation, "", "s", "unnamed", "", false);
    }

    #[test]
    fn a_namespace_stands_before_every_name() {
        let check = |strategy, name, unit, expected: &str| {
            let naming = Naming { strategy, namespace: "shop".to_owned() };
            assert_eq!(&*family(&metric(name, unit, Kind::Gauge), Kind::Gauge, &naming).base, expected, "{name} by {strategy:?}");
        };
        check(TranslationStrategy::UnderscoreEscapingWithSuffixes, "9.lives", "s", "shop_9_lives_seconds");
        check(TranslationStrategy::UnderscoreEscapingWithSuffixes, "", "", "shop_unnamed");
        check(TranslationStrategy::UnderscoreEscapingWithoutSuffixes, "9.lives", "s", "shop_9_lives");
        check(TranslationStrategy::NoUTF8EscapingWithSuffixes, "9.lives", "s", "shop_9.lives_seconds");
        check(TranslationStrategy::NoTranslation, "9.lives", "s", "shop_9.lives");
    }
}
