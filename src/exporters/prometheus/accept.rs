//! What a scraper asks for: a format, how names are escaped, a coding (Prometheus, "Content negotiation"; RFC 9110, 12.5).

use std::borrow::Cow;
use std::fmt::Write as _;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names::is_legacy;

/// One way to write everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub syntax: Syntax,
    pub escaping: Escaping,
    /// Whether the scraper named an escaping: only then it is told which one it got.
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Prometheus text 0.0.4.
    Text,
    /// Prometheus text 1.0.0: names may be quoted.
    Text1,
    OpenMetrics0,
    OpenMetrics1,
    /// Length-delimited `io.prometheus.client.MetricFamily`.
    Protobuf,
}

/// What becomes of characters that only new scrapers know in names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// They stay.
    AllowUtf8,
    /// `_` for each.
    #[default]
    Underscores,
    /// `_dot_` for a dot, `__` for `_` and everything else.
    Dots,
    /// `U__` before, and the number of each.
    Values,
}

/// The text that is written where a scraper asks for nothing that we have.
const TEXT: Format = Format { syntax: Syntax::Text, escaping: Escaping::Underscores, told: false };

impl Format {
    /// What the `Accept` headers ask for: the greatest weight, and of equals the first. OpenMetrics only if it is allowed.
    pub fn negotiate(headers: &HeaderMap, open_metrics: bool) -> Format {
        let mut best = (TEXT, 0.0);
        for range in Range::all(headers, &ACCEPT) {
            let weight = range.weight();
            if weight > best.1
                && let Some(format) = Format::of(&range).filter(|format| open_metrics || !format.is_open_metrics())
            {
                best = (format, weight);
            }
        }
        best.0
    }

    fn of(range: &Range<'_>) -> Option<Format> {
        let version = range.parameter("version");
        let syntax = match (&*range.name, version.as_deref()) {
            ("text/plain", Some("1.0.0")) => Syntax::Text1,
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Syntax::Text,
            ("application/openmetrics-text", Some("0.0.1")) => Syntax::OpenMetrics0,
            ("application/openmetrics-text", None | Some("1.0.0")) => Syntax::OpenMetrics1,
            ("application/vnd.google.protobuf", _) => {
                let is = |name, value: &str| range.parameter(name).is_none_or(|have| have.eq_ignore_ascii_case(value));
                if !is("proto", "io.prometheus.client.MetricFamily") || !is("encoding", "delimited") {
                    return None;
                }
                Syntax::Protobuf
            }
            _ => return None,
        };
        let escaping = match range.parameter("escaping").as_deref() {
            Some("allow-utf-8") if !matches!(syntax, Syntax::Text | Syntax::OpenMetrics0) => Some(Escaping::AllowUtf8),
            Some("underscores" | "allow-utf-8") => Some(Escaping::Underscores),
            Some("dots") => Some(Escaping::Dots),
            Some("values") => Some(Escaping::Values),
            _ => None,
        };
        Some(Format { syntax, escaping: escaping.unwrap_or_default(), told: escaping.is_some() })
    }

    pub fn content_type(self) -> HeaderValue {
        let base = match self.syntax {
            Syntax::Text => "text/plain; version=0.0.4; charset=utf-8",
            Syntax::Text1 => "text/plain; version=1.0.0; charset=utf-8",
            Syntax::OpenMetrics0 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Syntax::OpenMetrics1 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Syntax::Protobuf => "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        };
        if !self.told {
            return HeaderValue::from_static(base);
        }
        let escaping = match self.escaping {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        };
        // Two constants are always a valid value.
        HeaderValue::try_from(format!("{base}; escaping={escaping}")).unwrap_or_else(|_| HeaderValue::from_static(base))
    }

    pub fn is_open_metrics(self) -> bool {
        matches!(self.syntax, Syntax::OpenMetrics0 | Syntax::OpenMetrics1)
    }
}

/// Whether a reply is to be gzip: it is asked for, and plain text is not liked better.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut plain, mut any) = (None, None, None);
    for range in Range::all(headers, &ACCEPT_ENCODING) {
        let weight = match &*range.name {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut plain,
            "*" => &mut any,
            _ => continue,
        };
        weight.get_or_insert(range.weight());
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= plain.unwrap_or(0.0)
}

/// One element of a header that lists what is wanted: a name in lower case, and its parameters.
struct Range<'a> {
    name: String,
    rest: &'a str,
}

impl<'a> Range<'a> {
    fn all(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Range<'a>> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|range| {
            let (name, rest) = range.split_once(';').unwrap_or((range, ""));
            Range { name: name.trim().to_ascii_lowercase(), rest }
        })
    }

    fn parameter(&self, wanted: &str) -> Option<Cow<'a, str>> {
        self.rest.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| Cow::Borrowed(value.trim().trim_matches('"')))
        })
    }

    /// 0 to 1; 0 where it is no number.
    fn weight(&self) -> f64 {
        match self.parameter("q") {
            None => 1.0,
            Some(q) => q.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
        }
    }
}

impl Escaping {
    /// A name of a metric as the scraper knows names.
    pub fn apply(self, name: &str) -> Cow<'_, str> {
        match self {
            Escaping::AllowUtf8 => Cow::Borrowed(name),
            Escaping::Underscores | Escaping::Values if is_legacy(name) => Cow::Borrowed(name),
            Escaping::Underscores => {
                Cow::Owned(name.char_indices().map(|(at, c)| if is_letter(c, at) { c } else { '_' }).collect())
            }
            Escaping::Dots => Cow::Owned(dots(name)),
            Escaping::Values => Cow::Owned(values(name)),
        }
    }

    /// A name of a label: no colon for those that know no other characters, and none that begins with `__`: those are reserved, and dots make
    /// `__name__` of `_name_`.
    pub fn apply_to_label(self, name: &str) -> Cow<'_, str> {
        match self.apply(name) {
            name if name.starts_with("__") => Cow::Owned(format!("key{name}")),
            name if self == Escaping::AllowUtf8 || !name.contains(':') => name,
            name => Cow::Owned(name.replace(':', "_")),
        }
    }
}

fn dots(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for (at, c) in name.char_indices() {
        match c {
            '_' => out.push_str("__"),
            '.' => out.push_str("_dot_"),
            c if is_letter(c, at) => out.push(c),
            _ => out.push_str("__"),
        }
    }
    out
}

fn values(name: &str) -> String {
    let mut out = "U__".to_owned();
    for (at, c) in name.char_indices() {
        match c {
            '_' => out.push_str("__"),
            c if is_letter(c, at) => out.push(c),
            c => {
                let _ = write!(out, "_{:x}_", u32::from(c));
            }
        }
    }
    out
}

fn is_letter(c: char, at: usize) -> bool {
    c.is_ascii_alphabetic() || c == ':' || (at > 0 && c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_format_is_the_one_with_the_greatest_weight() {
        let check = |accept: &str, expected: &str| {
            let format = Format::negotiate(&headers(ACCEPT, accept), true);
            assert_eq!(format.content_type(), expected, "{accept}");
        };
        let text = "text/plain; version=0.0.4; charset=utf-8";
        let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        check("", text);
        check("*/*", text);
        check("image/png", text);
        check("application/openmetrics-text", open);
        check("APPLICATION/OpenMetrics-Text; Version=1.0.0", open);
        check("application/openmetrics-text; version=1.0.0; q=0", text);
        check("application/openmetrics-text; version=2.0.0", text);
        check("text/plain;q=0.9, application/openmetrics-text;q=0.5", text);
        check("text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8");
        // What Prometheus 2.42 sends, without and with native histograms.
        let since = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        check(since, open);
        check(
            &format!(
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,{}",
                since.replace(',', ";q=0.8,")
            ),
            protobuf,
        );
        // What Prometheus 3 sends.
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        );
        check("text/plain;version=0.0.4;escaping=allow-utf-8", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
        check("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", text);
        check(";;;,,q=x", text);
        check("application/openmetrics-text;q=7", text);
    }

    #[test]
    fn a_coding_is_taken_where_it_is_asked_for() {
        let check = |accept, expected| assert_eq!(takes_gzip(&headers(ACCEPT_ENCODING, accept)), expected, "{accept}");
        check("gzip", true);
        check("deflate, GZIP;q=0.5", true);
        check("gzip;q=0, *", false);
        check("*", true);
        check("identity", false);
        check("gzip;q=0.5, identity;q=1", false);
        check("gzip;q=1.0, identity; q=0.5, *;q=0", true);
        check("*;q=0.1, identity;q=0.5", false);
        check("gzip;q=nan", false);
        check("br, *;q=0.1", true);
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn names_are_escaped_as_prometheus_does() {
        let check = |escaping: Escaping, name, expected| assert_eq!(escaping.apply(name), expected, "{name} {escaping:?}");
        check(Escaping::AllowUtf8, "http.größe", "http.größe");
        check(Escaping::Underscores, "http.größe", "http_gr__e");
        check(Escaping::Underscores, "no:escaping_required", "no:escaping_required");
        check(Escaping::Underscores, "9.lives", "__lives");
        check(Escaping::Dots, "no:escaping_required", "no:escaping__required");
        check(Escaping::Dots, "mysystem.prod.west.cpu.load", "mysystem_dot_prod_dot_west_dot_cpu_dot_load");
        check(Escaping::Values, "no:escaping_required", "no:escaping_required");
        check(Escaping::Values, "mysystem.prod_west", "U__mysystem_2e_prod__west");
        check(Escaping::Values, "花火", "U___82b1__706b_");
    }
}
