//! The text formats: Prometheus 0.0.4 and 1.0.0, OpenMetrics 0.0.1 and 1.0.0.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{Item, Style, sample_name};
use crate::exporters::prometheus::accept::{Escaping, Format};
use crate::exporters::prometheus::labels::{escape, known_as};
use crate::exporters::prometheus::names::is_legacy;
use crate::exporters::prometheus::series::{Family, Kind, Series};
use crate::exporters::prometheus::values::{Exemplars, Histogram, Summary, Value};
use crate::signals::{Exemplar, Timestamp};

/// Appends series of a family until `end`; whether these were all.
pub(super) fn family<'a>(
    family: &Family,
    begins: bool,
    series: impl Iterator<Item = Item<'a>>,
    style: Style<'_>,
    end: usize,
    out: &mut Vec<u8>,
) -> bool {
    let mut writer = Writer::new(family, style);
    if begins {
        writer.head(family);
    }
    let start = out.len();
    for (labels, series) in series {
        writer.series(labels, series);
        if start + writer.out.len() >= end {
            out.extend_from_slice(writer.out.as_bytes());
            return false;
        }
    }
    out.extend_from_slice(writer.out.as_bytes());
    true
}

struct Writer<'a> {
    style: Style<'a>,
    kind: Kind,
    /// Escaped; as it stands in the samples, before suffixes of histograms and summaries.
    sample: String,
    /// The name of the family in OpenMetrics, for comments and `_created`.
    base: String,
    out: String,
}

/// The label that a sample has beside those of its series.
#[derive(Clone, Copy)]
enum Own {
    None,
    Le(f64),
    Quantile(f64),
}

impl<'a> Writer<'a> {
    fn new(family: &Family, style: Style<'a>) -> Writer<'a> {
        let escaping = style.format.escaping;
        let sample = escaping.apply(&sample_name(family, style.format)).into_owned();
        // What is escaped is the whole name: dots make `a__total` of `a_total`, and `a_` is what OpenMetrics then calls the family.
        let suffix = match family.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            _ => "",
        };
        let base = sample.strip_suffix(suffix).unwrap_or(&sample).to_owned();
        Writer { style, kind: family.kind, sample, base, out: String::new() }
    }

    fn format(&self) -> Format {
        self.style.format
    }

    fn head(&mut self, family: &Family) {
        let open = self.format().is_open_metrics();
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::Info if open => "info",
            Kind::Gauge | Kind::Info => "gauge",
        };
        let name = quoted(if open { &self.base } else { &self.sample });
        let _ = write!(self.out, "# HELP {name} ");
        help(&family.help, open, &mut self.out);
        let _ = writeln!(self.out, "\n# TYPE {name} {kind}");
        // OpenMetrics refuses a page in which a name, as it is escaped, does not end in `_` and its unit.
        let unit = &*family.name.unit;
        if open && !unit.is_empty() && self.base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')) {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    fn series(&mut self, labels: &str, series: &Series) {
        let labels = &*escaped(self.style.constant, labels, self.format().escaping);
        let exemplars = series.exemplars.as_deref().filter(|_| self.format().is_open_metrics());
        match &series.value {
            Value::Number(number) => {
                self.sample("", labels, Own::None, *number);
                let newest = exemplars.filter(|_| self.kind == Kind::Counter);
                self.end(newest.and_then(|held| held.within(f64::NEG_INFINITY, f64::INFINITY)));
            }
            Value::Histogram(histogram) => self.histogram(labels, histogram, exemplars),
            Value::Summary(summary) => self.summary(labels, summary),
        }
        if self.style.created
            && self.format().is_open_metrics()
            && matches!(self.kind, Kind::Counter | Kind::Histogram | Kind::Summary)
        {
            self.created(labels, series.created);
        }
    }

    fn histogram(&mut self, labels: &str, histogram: &Histogram, exemplars: Option<&Exemplars>) {
        let bounds = histogram.cumulative();
        let count = histogram.count();
        let negative = bounds.first().is_some_and(|(bound, _)| *bound < 0.0) || histogram.sum().is_some_and(|sum| sum < 0.0);
        let mut above = f64::NEG_INFINITY;
        for (bound, count) in bounds.into_iter().chain([(f64::INFINITY, count)]) {
            self.count("_bucket", labels, Own::Le(bound), count);
            self.end(exemplars.and_then(|held| held.within(above, bound)));
            above = bound;
        }
        // OpenMetrics has no sum where values can be negative, and no count without a sum.
        let sum = histogram.sum().filter(|_| !(negative && self.format().is_open_metrics()));
        if let Some(sum) = sum {
            self.sample("_sum", labels, Own::None, sum);
            self.end(None);
        }
        if sum.is_some() || !self.format().is_open_metrics() {
            self.count("_count", labels, Own::None, count);
            self.end(None);
        }
    }

    fn summary(&mut self, labels: &str, summary: &Summary) {
        // OpenMetrics has no quantile and no sum below zero.
        let open = self.format().is_open_metrics();
        let has = |value: f64| !(open && value < 0.0);
        for (quantile, value) in summary.quantiles.iter().filter(|(_, value)| has(*value)) {
            self.sample("", labels, Own::Quantile(*quantile), *value);
            self.end(None);
        }
        if has(summary.sum) {
            self.sample("_sum", labels, Own::None, summary.sum);
            self.end(None);
        }
        self.count("_count", labels, Own::None, summary.count);
        self.end(None);
    }

    fn created(&mut self, labels: &str, created: Timestamp) {
        let sample = std::mem::replace(&mut self.sample, self.base.clone());
        self.name("_created", labels, Own::None);
        self.sample = sample;
        seconds(created, &mut self.out);
        self.out.push('\n');
    }

    fn sample(&mut self, suffix: &str, labels: &str, own: Own, value: f64) {
        self.name(suffix, labels, own);
        number(value, &mut self.out);
    }

    fn count(&mut self, suffix: &str, labels: &str, own: Own, count: u64) {
        self.name(suffix, labels, own);
        let _ = write!(self.out, "{count}");
    }

    /// The part of a line before its value.
    fn name(&mut self, suffix: &str, labels: &str, own: Own) {
        let (open, out) = (self.style.format.is_open_metrics(), &mut self.out);
        let plain = is_legacy(&self.sample);
        let mut separator = "";
        if plain {
            out.push_str(&self.sample);
            out.push_str(suffix);
        }
        if plain && labels.is_empty() && matches!(own, Own::None) {
            out.push(' ');
            return;
        }
        out.push('{');
        if !plain {
            out.push('"');
            escape(&self.sample, out);
            out.push_str(suffix);
            out.push('"');
            separator = ",";
        }
        if !labels.is_empty() {
            out.push_str(separator);
            out.push_str(labels);
            separator = ",";
        }
        if let Own::Le(bound) | Own::Quantile(bound) = own {
            let name = if matches!(own, Own::Le(_)) { "le" } else { "quantile" };
            let _ = write!(out, "{separator}{name}=\"");
            if open && bound.is_finite() {
                // OpenMetrics wants `1.0` where text has `1`.
                let _ = write!(out, "{bound:?}");
            } else {
                number(bound, out);
            }
            out.push('"');
        }
        out.push_str("} ");
    }

    fn end(&mut self, exemplar: Option<&Exemplar>) {
        if let Some(exemplar) = exemplar {
            let _ = write!(self.out, " # {{trace_id=\"{}\"", exemplar.trace_id);
            if let Some(span_id) = exemplar.span_id {
                let _ = write!(self.out, ",span_id=\"{span_id}\"");
            }
            self.out.push_str("} ");
            number(exemplar.value, &mut self.out);
            if exemplar.time.0 != 0 {
                self.out.push(' ');
                seconds(exemplar.time, &mut self.out);
            }
        }
        self.out.push('\n');
    }
}

/// A name of a family for a comment.
fn quoted(name: &str) -> Cow<'_, str> {
    if is_legacy(name) {
        return Cow::Borrowed(name);
    }
    let mut out = "\"".to_owned();
    escape(name, &mut out);
    out.push('"');
    Cow::Owned(out)
}

/// All labels of a series, with their names as the scraper knows names.
fn escaped<'a>(constant: &str, labels: &'a str, escaping: Escaping) -> Cow<'a, str> {
    let is_plain = |labels: &str| !labels.starts_with('"') && !labels.contains(",\"");
    let as_they_are = match escaping {
        Escaping::AllowUtf8 => true,
        Escaping::Dots => false,
        Escaping::Underscores | Escaping::Values => is_plain(constant) && is_plain(labels),
    };
    if as_they_are {
        return match (constant, labels) {
            ("", labels) => Cow::Borrowed(labels),
            (constant, "") => Cow::Owned(constant.to_owned()),
            (constant, labels) => Cow::Owned(format!("{constant},{labels}")),
        };
    }
    let mut out = String::with_capacity(constant.len() + labels.len() + 16);
    for (name, value) in known_as(constant, labels, escaping) {
        let separator = if out.is_empty() { "" } else { "," };
        let _ = write!(out, "{separator}{name}=\"{value}\"");
    }
    Cow::Owned(out)
}

fn seconds(time: Timestamp, out: &mut String) {
    let _ = write!(out, "{}.{:03}", time.0 / 1_000_000_000, time.0 / 1_000_000 % 1_000);
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

fn help(text: &str, open: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if open => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn names_of_labels_are_escaped_where_they_must_be() {
        let check = |labels, escaping, expected: &str| assert_eq!(escaped("", labels, escaping), expected, "{escaping:?}");
        let labels = "\"a.b\"=\"x,\\\"y\\\"\",c_d=\"\"";
        check(labels, Escaping::AllowUtf8, labels);
        check(labels, Escaping::Underscores, "a_b=\"x,\\\"y\\\"\",c_d=\"\"");
        check(labels, Escaping::Dots, "a_dot_b=\"x,\\\"y\\\"\",c__d=\"\"");
        check(labels, Escaping::Values, "U__a_2e_b=\"x,\\\"y\\\"\",c_d=\"\"");
        // Names that meet are one label, and no name of a label has a colon where a scraper knows no other characters.
        check("\"a.b\"=\"1\",\"a:b\"=\"2\",a_b=\"3\"", Escaping::Underscores, "a_b=\"1;2;3\"");
        check("\"a:b\"=\"2\"", Escaping::Values, "a_b=\"2\"");
        check("_name_=\"x\",\"9\"=\"y\"", Escaping::Dots, "key__name__=\"x\",key__=\"y\"");
    }

    #[test]
    fn labels_of_every_series_stand_first() {
        let check = |labels, escaping, expected: &str| {
            assert_eq!(escaped("\"a b\"=\"1\"", labels, escaping), expected, "{labels} {escaping:?}");
        };
        check("c=\"2\"", Escaping::AllowUtf8, "\"a b\"=\"1\",c=\"2\"");
        check("", Escaping::AllowUtf8, "\"a b\"=\"1\"");
        check("c=\"2\"", Escaping::Underscores, "a_b=\"1\",c=\"2\"");
        check("a_b=\"2\"", Escaping::Underscores, "a_b=\"1;2\"");
    }
}
