//! Label sets: which attributes become labels, under which names, and how they are written.
//!
//! A set is rendered once, when its series is made: sorted, escaped, without braces. The text is the identity of the series.

use crate::signals::points::{Label, OwnedPoint};

/// A longer value is cut at a character.
const MAX_VALUE_BYTES: usize = 256;

/// A series whose labels need more goes to the overflow series.
const MAX_SET_BYTES: usize = 2048;

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
    /// `a="x",b="y"`; `None` where it would be too long.
    pub(super) text: Option<String>,
    /// Attributes that may not become labels.
    pub(super) dropped: u64,
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
        write(drafts, 0)
    }

    /// From the attributes of a point; `job` and `instance` come from its resource.
    pub(super) fn of_point(point: &OwnedPoint) -> LabelSet {
        let mut dropped = 0;
        let mut drafts = Vec::with_capacity(point.labels.len() + 2);
        let resource = |key: &str| point.resource.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str());
        let (namespace, service) = (resource("service.namespace"), resource("service.name"));
        let job = if namespace.is_empty() || service.is_empty() { service.to_owned() } else { format!("{namespace}/{service}") };
        drafts.push(Draft { name: "job".to_owned(), key: "", value: &job });
        drafts.push(Draft { name: "instance".to_owned(), key: "", value: resource("service.instance.id") });
        for (key, value) in &point.labels {
            if never(key) {
                dropped += 1;
            } else {
                drafts.push(Draft { name: label_name(key), key, value });
            }
        }
        write(drafts, dropped)
    }
}

/// Attributes of a set in one order, whatever order they were sent in.
pub(super) fn sorted<'a>(labels: &'a [Label], into: &mut Vec<&'a Label>) {
    into.clear();
    into.extend(labels);
    into.sort_unstable();
}

fn never(key: &str) -> bool {
    // Longer than any entry: the copy below stays small.
    if key.len() > 64 {
        return false;
    }
    let plain: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    NEVER.binary_search(&plain.as_str()).is_ok()
}

/// A valid label name that none of ours has.
fn label_name(key: &str) -> String {
    let mut name: String = cut(key).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("__") {
        name.insert_str(0, "key_");
    }
    if ["job", "instance", "le", "quantile"].contains(&name.as_str()) {
        name.insert_str(0, "exported_");
    }
    name
}

/// As much of a value as a label may have.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(text)
}

/// Sorts, joins the values of one name with `;` and escapes.
fn write(mut drafts: Vec<Draft<'_>>, dropped: u64) -> LabelSet {
    drafts.retain(|draft| !draft.value.is_empty());
    drafts.sort_by(|a, b| (&a.name, a.key).cmp(&(&b.name, b.key)));
    let mut text = String::new();
    for same in drafts.chunk_by(|a, b| a.name == b.name) {
        let Some(first) = same.first() else { continue };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.name);
        text.push_str("=\"");
        if same.len() == 1 {
            escape(cut(first.value), &mut text);
        } else {
            let values: Vec<&str> = same.iter().map(|draft| cut(draft.value)).collect();
            escape(cut(&values.join(";")), &mut text);
        }
        text.push('"');
        if text.len() > MAX_SET_BYTES {
            return LabelSet { text: None, dropped };
        }
    }
    LabelSet { text: Some(text), dropped }
}

/// Both formats: a backslash, a quote and a line feed are escaped, everything else stands as it is.
fn escape(value: &str, into: &mut String) {
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exporters::prometheus::tests::point;

    fn check(labels: &[(&str, &str)], expected: &str) {
        assert_eq!(LabelSet::of_point(&point("m", 1).labels(labels).point()).text.unwrap(), expected);
    }

    #[test]
    fn the_list_of_what_never_becomes_a_label_is_sorted() {
        assert!(NEVER.is_sorted());
    }

    #[test]
    fn labels_are_sorted_and_escaped() {
        check(&[("b", "x\"y\\z\nw"), ("a.c", "1")], "a_c=\"1\",b=\"x\\\"y\\\\z\\nw\"");
    }

    #[test]
    fn values_of_names_that_fall_together_are_joined_in_the_order_of_their_keys() {
        check(&[("a_b", "second"), ("a.b", "first")], "a_b=\"first;second\"");
    }

    #[test]
    fn hostile_names_become_valid_ones() {
        check(
            &[("", "a"), ("__name__", "b"), ("9", "c"), ("le", "d"), ("job", "e"), ("}\n", "f")],
            "exported_job=\"e\",exported_le=\"d\",key_=\"a\",key_9=\"c\",key___=\"f\",key___name__=\"b\"",
        );
    }

    #[test]
    fn ids_and_addresses_are_dropped_however_they_are_spelt() {
        let point = point("m", 1)
            .labels(&[("faas.invocation_id", "1"), ("Client.Address", "1.2.3.4"), ("trace-id", "x"), ("route", "/")])
            .point();
        assert_eq!(LabelSet::of_point(&point), LabelSet { text: Some("route=\"/\"".to_owned()), dropped: 3 });
    }

    #[test]
    fn every_source_of_an_id_or_an_address_is_dropped() {
        let sources = [
            ("invocation_id", "faas.invocation_id faas.execution cloudflare.ray_id vercel.request_id"),
            ("error_id, event_id", "log.record.uid"),
            (
                "deployment_id",
                "deployment.id vercel.deployment_id vercel.deploymentId cicd.pipeline.run.id cicd.pipeline.task.run.id \
                 cicd.pipeline.run.url.full cicd.pipeline.task.run.url.full",
            ),
            ("colo, by a ray id", "cf-ray http.request.header.cf-ray http.response.header.cf-ray"),
            (
                "client_ip",
                "client.address http.client_ip http.request.header.cf-connecting-ip http.request.header.x-real-ip \
                 http.request.header.x-forwarded-for network.peer.address net.sock.peer.addr net.peer.ip",
            ),
        ];
        for (column, keys) in sources {
            for key in keys.split_whitespace() {
                let point = point("m", 1).labels(&[(key, "1"), ("faas.name", "f")]).point();
                let expected = LabelSet { text: Some("faas_name=\"f\"".to_owned()), dropped: 1 };
                assert_eq!(LabelSet::of_point(&point), expected, "{key}, a source of {column}");
            }
        }
    }

    #[test]
    fn an_empty_value_is_no_label() {
        check(&[("a", ""), ("b", "1")], "b=\"1\"");
    }

    #[test]
    fn a_long_value_is_cut_at_a_character_and_a_long_set_is_refused() {
        let long = "é".repeat(400);
        check(&[("a", &long)], &format!("a=\"{}\"", "é".repeat(128)));
        let many: Vec<(String, String)> = (0..20).map(|n| (format!("k{n}"), long.clone())).collect();
        let mut point = point("m", 1).point();
        point.labels = many;
        assert_eq!(LabelSet::of_point(&point).text, None);
    }

    #[test]
    fn job_and_instance_come_from_the_resource() {
        let mut point = point("m", 1).point();
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        point.resource =
            Arc::from([label("service.namespace", "shop"), label("service.name", "cart"), label("service.instance.id", "i1")]);
        assert_eq!(LabelSet::of_point(&point).text.unwrap(), "instance=\"i1\",job=\"shop/cart\"");
    }
}
