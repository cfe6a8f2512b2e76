//! The exposition formats: Prometheus text 0.0.4, and OpenMetrics 1.0 where the scraper asks for it.

use std::fmt::Write as _;

use super::series::{Kind, Store, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// What the `Accept` header of a scrape asks for; text where it asks for nothing we have.
    pub fn negotiate(accept: Option<&str>) -> Format {
        let mut best = (Format::Text, 0.0);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => Format::OpenMetrics,
                "text/plain" | "text/*" | "*/*" => Format::Text,
                _ => continue,
            };
            let weight =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f64>().ok()).unwrap_or(0.0);
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Appends every family to `out`, sorted by name, then by labels.
pub(super) fn render(store: &Store, format: Format, out: &mut String) {
    for family in store.families() {
        let total = if family.kind == Kind::Counter { "_total" } else { "" };
        let described = if format == Format::Text { total } else { "" };
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = &*family.name;
        let _ = write!(out, "# HELP {name}{described} ");
        help(&family.help, format, out);
        let _ = writeln!(out, "\n# TYPE {name}{described} {kind}");
        for (labels, value) in store.series(family) {
            match value {
                Value::Number(number) => {
                    sample(out, name, total, labels, None);
                    value_of(*number, out);
                }
                Value::Histogram(buckets) => {
                    for (bound, count) in buckets.cumulative() {
                        sample(out, name, "_bucket", labels, Some((bound, format)));
                        let _ = writeln!(out, "{count}");
                    }
                    sample(out, name, "_bucket", labels, Some((f64::INFINITY, format)));
                    let _ = writeln!(out, "{}", buckets.count());
                    if let Some(sum) = buckets.sum() {
                        sample(out, name, "_sum", labels, None);
                        value_of(sum, out);
                    }
                    sample(out, name, "_count", labels, None);
                    let _ = writeln!(out, "{}", buckets.count());
                }
            }
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
}

/// The part of a line before its value.
fn sample(out: &mut String, name: &str, suffix: &str, labels: &str, le: Option<(f64, Format)>) {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() || le.is_some() {
        out.push('{');
        out.push_str(labels);
        if let Some((bound, format)) = le {
            out.push_str(if labels.is_empty() { "le=\"" } else { ",le=\"" });
            if format == Format::OpenMetrics && bound.is_finite() {
                // OpenMetrics wants `1.0` where text has `1`.
                let _ = write!(out, "{bound:?}");
            } else {
                number(bound, out);
            }
            out.push('"');
        }
        out.push('}');
    }
    out.push(' ');
}

fn value_of(value: f64, out: &mut String) {
    number(value, out);
    out.push('\n');
}

/// A float as Go and OpenMetrics read it.
fn number(value: f64, out: &mut String) {
    let size = value.abs();
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}", if value > 0.0 { "+Inf" } else { "-Inf" })
    } else if size != 0.0 && !(1e-6..1e18).contains(&size) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
}

fn help(text: &str, format: Format, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if format == Format::OpenMetrics => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_with_the_greatest_weight() {
        let check = |accept, expected| assert_eq!(Format::negotiate(accept), expected, "{accept:?}");
        check(None, Format::Text);
        check(Some("*/*"), Format::Text);
        check(Some("application/openmetrics-text"), Format::OpenMetrics);
        check(Some("application/openmetrics-text; version=1.0.0; q=0"), Format::Text);
        check(Some("text/plain;q=0.9, application/openmetrics-text;q=0.5"), Format::Text);
        // What Prometheus 2.42 sends.
        check(
            Some(
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ),
            Format::OpenMetrics,
        );
        check(Some("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"), Format::Text);
        check(Some(";;;,,q=x"), Format::Text);
    }

    #[test]
    fn numbers_are_written_as_go_reads_them() {
        let check = |value, expected: &str| {
            let mut out = String::new();
            number(value, &mut out);
            assert_eq!(out, expected);
        };
        check(0.0, "0");
        check(0.005, "0.005");
        check(1e300, "1e300");
        check(-2.5e-9, "-2.5e-9");
        check(123_456_789_012.0, "123456789012");
        check(f64::NAN, "NaN");
        check(f64::NEG_INFINITY, "-Inf");
    }
}
