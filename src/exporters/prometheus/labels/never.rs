//! Which attributes never become labels.

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

/// Whether a key, however it is spelt, is that of an id or an address.
pub(in crate::exporters::prometheus) fn never(key: &str) -> bool {
    // Longer than any entry: the copy below stays small.
    if key.len() > 64 {
        return false;
    }
    let plain: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    NEVER.binary_search(&plain.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(NEVER.is_sorted());
    }
}
