//! Which attributes never become labels.

/// Keys that never become labels, in lower case without anything between the words: ids of one request or one person, addresses of a client.
/// docs/mapping.md has the sources of most.
const NEVER: [&str; 98] = [
    "awsrequestid",
    "cfconnectingip",
    "cfconnectingipv6",
    "cfpseudoipv4",
    "cfray",
    "cicdpipelinerunid",
    "cicdpipelinerunurlfull",
    "cicdpipelinetaskrunid",
    "cicdpipelinetaskrunurlfull",
    "clientaddr",
    "clientaddress",
    "clientip",
    "clientipaddress",
    "clientport",
    "clientsocketaddress",
    "cloudflarerayid",
    "correlationid",
    "deploymentid",
    "enduserid",
    "enduserpseudoid",
    "errorid",
    "eventid",
    "faasexecution",
    "faasinvocationid",
    "httpclientaddress",
    "httpclientip",
    "httprequestheadercfconnectingip",
    "httprequestheadercfconnectingipv6",
    "httprequestheadercfpseudoipv4",
    "httprequestheadercfray",
    "httprequestheaderforwarded",
    "httprequestheadertraceparent",
    "httprequestheadertracestate",
    "httprequestheadertrueclientip",
    "httprequestheaderxamznrequestid",
    "httprequestheaderxamzntraceid",
    "httprequestheaderxclientip",
    "httprequestheaderxcorrelationid",
    "httprequestheaderxforwardedfor",
    "httprequestheaderxrealip",
    "httprequestheaderxrequestid",
    "httprequestheaderxvercelforwardedfor",
    "httprequestheaderxvercelid",
    "httprequestid",
    "httpresponseheadercfray",
    "httpresponseheaderxamznrequestid",
    "httpresponseheaderxrequestid",
    "httpresponseheaderxvercelid",
    "invocationid",
    "ipaddress",
    "logrecorduid",
    "messagingmessageconversationid",
    "messagingmessageid",
    "netpeeraddr",
    "netpeerip",
    "netpeerport",
    "netsockpeeraddr",
    "netsockpeerport",
    "networkpeeraddress",
    "networkpeerport",
    "parentspanid",
    "peeraddress",
    "peerip",
    "rayid",
    "remoteaddr",
    "remoteaddress",
    "remoteip",
    "requestid",
    "rpcjsonrpcrequestid",
    "sessionid",
    "sessionpreviousid",
    "sourceaddress",
    "sourceip",
    "sourceipaddress",
    "sourceport",
    "spanid",
    "traceid",
    "traceparent",
    "tracestate",
    "trueclientip",
    "useremail",
    "userid",
    "userip",
    "useripaddress",
    "usersessionid",
    "verceldeploymentid",
    "vercelrequestid",
    "xamznrequestid",
    "xamzntraceid",
    "xb3spanid",
    "xb3traceid",
    "xclientip",
    "xcorrelationid",
    "xforwardedfor",
    "xrealip",
    "xrequestid",
    "xvercelforwardedfor",
    "xvercelid",
];

/// Whether a key, however it is spelt (`trace.id`, `trace-id`, `traceId`), is that of an id or an address.
pub(in crate::exporters::prometheus) fn never(key: &str) -> bool {
    // Longer than any entry: the copy below stays small.
    if key.len() > 64 {
        return false;
    }
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
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
