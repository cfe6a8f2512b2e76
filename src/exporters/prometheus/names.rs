//! Names of metrics, by the OpenTelemetry–Prometheus compatibility specification ("Metric Metadata", "Sums", "Gauges").

use super::series::Kind;

/// A longer name is cut.
const MAX_NAME_BYTES: usize = 256;

/// The name of a family from the name and the unit of an OpenTelemetry metric, without the `_total` of a counter.
///
/// What is not a letter, a digit or a colon separates; runs of it become one `_`. The unit is appended unless the name has it.
pub(super) fn family(name: &str, unit: &str, kind: Kind) -> String {
    let mut words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|word| !word.is_empty()).collect();
    if kind == Kind::Counter && words.last() == Some(&"total") {
        words.pop();
    }
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main, Some(per)),
        None => (unit, None),
    };
    let main = unit_word(main);
    let per = per.map(per_word).filter(|word| !word.is_empty());
    if unit == "1" && kind == Kind::Gauge {
        words.retain(|word| *word != "ratio");
        words.push("ratio");
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
    let mut family = words.join("_");
    if family.is_empty() {
        family.push_str("unnamed");
    }
    if family.starts_with(|c: char| c.is_ascii_digit()) {
        family.insert(0, '_');
    }
    family.truncate(MAX_NAME_BYTES);
    family
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

    fn check(kind: Kind, cases: &[(&str, &str, &str)]) {
        for (name, unit, expected) in cases {
            assert_eq!(family(name, unit, kind), *expected, "{name} in {unit}");
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
        assert_eq!(family(&"x".repeat(9_000), "", Kind::Gauge).len(), MAX_NAME_BYTES);
    }
}
