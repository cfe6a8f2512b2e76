//! Label sets: which attributes become labels, under which names, and how they are written.
//!
//! A set is rendered once, when its series is made: sorted, escaped, without braces. The text is the identity of the series.

use std::borrow::Cow;

use super::names::{TranslationStrategy, is_legacy};
use crate::signals::points::{Label, OwnedPoint};

/// A longer value is cut at a character.
const MAX_VALUE_BYTES: usize = 256;

/// A series whose labels need more goes to the overflow series.
const MAX_SET_BYTES: usize = 2048;

/// `target_info` leaves out what does not fit.
const MAX_TARGET_BYTES: usize = 4096;

/// The labels of the series that takes what finds no room, as the OpenTelemetry SDK specification names it ("Cardinality limits").
pub(super) const OVERFLOW: &str = "otel_metric_overflow=\"true\"";

/// Keys that never become labels, in lower case with `_` for every other character: ids of one request, addresses of a client.
/// docs/mapping.md has their sources.
const NEVER: [&str; 63] = [
    "aws_request_id",
    "cf_connecting_ip",
    "cf_ray",
    "cicd_pipeline_run_id",
    "cicd_pipeline_run_url_full",
    "cicd_pipeline_task_run_id",
    "cicd_pipeline_task_run_url_full",
    "client_address",
    "client_ip",
    "client_port",
    "client_socket_address",
    "cloudflare_ray_id",
    "deployment_id",
    "enduser_id",
    "error_id",
    "event_id",
    "faas_execution",
    "faas_invocation_id",
    "http_client_ip",
    "http_request_header_cf_connecting_ip",
    "http_request_header_cf_connecting_ipv6",
    "http_request_header_cf_pseudo_ipv4",
    "http_request_header_cf_ray",
    "http_request_header_forwarded",
    "http_request_header_traceparent",
    "http_request_header_tracestate",
    "http_request_header_true_client_ip",
    "http_request_header_x_amzn_trace_id",
    "http_request_header_x_client_ip",
    "http_request_header_x_forwarded_for",
    "http_request_header_x_real_ip",
    "http_request_header_x_request_id",
    "http_request_header_x_vercel_forwarded_for",
    "http_request_header_x_vercel_id",
    "http_request_id",
    "http_response_header_cf_ray",
    "http_response_header_x_request_id",
    "http_response_header_x_vercel_id",
    "invocation_id",
    "log_record_uid",
    "messaging_message_conversation_id",
    "messaging_message_id",
    "net_peer_ip",
    "net_peer_port",
    "net_sock_peer_addr",
    "net_sock_peer_port",
    "network_peer_address",
    "network_peer_port",
    "ray_id",
    "request_id",
    "rpc_jsonrpc_request_id",
    "session_id",
    "source_address",
    "source_port",
    "span_id",
    "trace_id",
    "traceparent",
    "user_id",
    "vercel_deployment_id",
    "vercel_deploymentid",
    "vercel_request_id",
    "x_forwarded_for",
    "x_real_ip",
];

/// The labels of one series.
#[derive(Debug, PartialEq)]
pub(super) struct LabelSet {
    /// `a="x",b="y"`; `None` where it would be too long. A name that old scrapers do not know is quoted.
    pub(super) text: Option<String>,
    /// Attributes that may not become labels.
    pub(super) dropped: u64,
}

/// Which attributes beside those of the point become labels, and how names are made.
#[derive(Clone, Debug)]
pub(super) struct LabelRules {
    pub(super) strategy: TranslationStrategy,
    /// Scope labels.
    pub(super) scope: bool,
    pub(super) resource: Promoted,
}

/// Attributes of the resource that become labels of every series.
#[derive(Clone, Debug)]
pub(super) enum Promoted {
    All,
    Named(Vec<String>),
}

/// One label before it is written.
struct Draft<'a> {
    name: String,
    /// The key as it was sent: the order in which values of one name are joined.
    key: &'a str,
    value: &'a str,
}

impl LabelSet {
    /// From names that are known to be valid; an empty value is no label.
    pub(super) fn of(labels: &[(&'static str, &str)]) -> LabelSet {
        let drafts = labels.iter().map(|(name, value)| Draft { name: (*name).to_owned(), key: name, value }).collect();
        write(drafts, 0, true)
    }

    /// From the attributes of a point, its scope and its resource, which `job` and `instance` come from.
    pub(super) fn of_point(point: &OwnedPoint, rules: &LabelRules) -> LabelSet {
        let mut dropped = 0;
        let mut drafts = Vec::with_capacity(point.labels.len() + 4);
        let job = job(&point.resource);
        drafts.push(Draft { name: "job".to_owned(), key: "", value: &job });
        drafts.push(Draft { name: "instance".to_owned(), key: "", value: find(&point.resource, "service.instance.id") });
        let mut add = |key: &str, name: String, value| {
            if never(key) {
                dropped += 1;
                return None;
            }
            Some((name, value))
        };
        for (key, value) in &point.labels {
            let name = label_name(key, rules.strategy);
            drafts.extend(add(key, name, value).map(|(name, value)| Draft { name, key, value }));
        }
        let of_point = |key: &str| point.labels.iter().any(|(own, _)| own == key);
        for (key, value) in point.resource.iter().filter(|(key, _)| rules.resource.takes(key) && !of_point(key)) {
            let name = label_name(key, rules.strategy);
            drafts.extend(add(key, name, value).map(|(name, value)| Draft { name, key, value }));
        }
        if rules.scope {
            let scope = &*point.scope;
            drafts.push(Draft { name: "otel_scope_name".to_owned(), key: "", value: &scope.name });
            drafts.push(Draft { name: "otel_scope_version".to_owned(), key: "", value: &scope.version });
            for (key, value) in scope.attributes.iter().filter(|(key, _)| key != "name" && key != "version") {
                let name = format!("otel_scope_{}", any_name(key, rules.strategy));
                drafts.extend(add(key, name, value).map(|(name, value)| Draft { name, key, value }));
            }
        }
        write(drafts, dropped, false)
    }

    /// What `target_info` says of a resource: `job` and `instance`, and every other attribute that has room. The first part is that by
    /// which the target is known; `None` where it has neither.
    pub(super) fn of_target(resource: &[Label], strategy: TranslationStrategy) -> Option<(String, LabelSet)> {
        let (job, instance) = (job(resource), find(resource, "service.instance.id"));
        if job.is_empty() && instance.is_empty() {
            return None;
        }
        let known_by = LabelSet::of(&[("job", &job), ("instance", instance)]).text?;
        let mut drafts = vec![
            Draft { name: "job".to_owned(), key: "", value: &job },
            Draft { name: "instance".to_owned(), key: "", value: instance },
        ];
        let mut room = MAX_TARGET_BYTES;
        for (key, value) in resource.iter().filter(|(key, _)| !IDENTIFYING.contains(&key.as_str()) && !never(key)) {
            let name = label_name(key, strategy);
            let Some(left) = room.checked_sub(name.len() + cut(value).len() + 4) else { continue };
            room = left;
            drafts.push(Draft { name, key, value });
        }
        Some((known_by, write(drafts, 0, true)))
    }
}

impl Promoted {
    fn takes(&self, key: &str) -> bool {
        match self {
            Promoted::All => true,
            Promoted::Named(names) => names.iter().any(|name| name == key),
        }
    }
}

/// What `job` and `instance` are made of.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

fn find<'a>(resource: &'a [Label], key: &str) -> &'a str {
    resource.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
}

fn job(resource: &[Label]) -> String {
    let (namespace, service) = (find(resource, "service.namespace"), find(resource, "service.name"));
    if namespace.is_empty() || service.is_empty() { service.to_owned() } else { format!("{namespace}/{service}") }
}

/// Attributes of a set in one order, whatever order they were sent in.
pub(super) fn sorted<'a>(labels: &'a [Label], into: &mut Vec<&'a Label>) {
    into.clear();
    into.extend(labels);
    into.sort_unstable();
}

pub(super) fn never(key: &str) -> bool {
    // Longer than any entry: the copy below stays small.
    if key.len() > 64 {
        return false;
    }
    let plain: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    NEVER.binary_search(&plain.as_str()).is_ok()
}

/// A valid label name that none of ours has.
fn label_name(key: &str, strategy: TranslationStrategy) -> String {
    let mut name = any_name(key, strategy);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("__") {
        name.insert_str(0, "key_");
    }
    if ["job", "instance", "le", "quantile", "otel_metric_overflow"].contains(&name.as_str()) || name.starts_with("otel_scope_") {
        name.insert_str(0, "exported_");
    }
    name
}

fn any_name(key: &str, strategy: TranslationStrategy) -> String {
    if strategy.keeps_utf8() {
        return cut(key).to_owned();
    }
    cut(key).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// As much of a value as a label may have.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(text)
}

/// Sorts, joins the values of one name with `;` and escapes. A set that is too long is none, unless it is `always` short enough.
fn write(mut drafts: Vec<Draft<'_>>, dropped: u64, always: bool) -> LabelSet {
    drafts.retain(|draft| !draft.value.is_empty());
    drafts.sort_by(|a, b| (&a.name, a.key).cmp(&(&b.name, b.key)));
    let mut text = String::new();
    for same in drafts.chunk_by(|a, b| a.name == b.name) {
        let Some(first) = same.first() else { continue };
        if !text.is_empty() {
            text.push(',');
        }
        if is_plain(&first.name) {
            text.push_str(&first.name);
        } else {
            text.push('"');
            escape(&first.name, &mut text);
            text.push('"');
        }
        text.push_str("=\"");
        if same.len() == 1 {
            escape(cut(first.value), &mut text);
        } else {
            let values: Vec<&str> = same.iter().map(|draft| cut(draft.value)).collect();
            escape(cut(&values.join(";")), &mut text);
        }
        text.push('"');
        if text.len() > MAX_SET_BYTES && !always {
            return LabelSet { text: None, dropped };
        }
    }
    LabelSet { text: Some(text), dropped }
}

/// Whether the name of a label needs no quotes.
fn is_plain(name: &str) -> bool {
    is_legacy(name) && !name.contains(':')
}

/// The labels of a written set: each name as it is, each value as it was written.
pub(super) fn pairs(set: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut rest = set;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = quoted.split_at_checked(closing(quoted))?;
            (unescape(name), after.strip_prefix("\"=\"")?)
        } else {
            let (name, after) = rest.split_once("=\"")?;
            (Cow::Borrowed(name), after)
        };
        let (value, after) = after.split_at_checked(closing(after))?;
        rest = after.strip_prefix("\",").unwrap_or("");
        Some((name, value))
    })
}

/// Where a quoted text ends.
fn closing(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// A value as it was before it was written.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some(c) => c,
                None => '\\',
            }),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// All formats: a backslash, a quote and a line feed are escaped, everything else stands as it is.
pub(super) fn escape(value: &str, into: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
