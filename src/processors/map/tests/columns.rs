//! Each column's sources, in their order, and what they stumble over.

use super::*;

/// The column of an invocation with these attributes on its span.
#[track_caller]
fn column(name: &str, attributes: &[KeyValue], expected: &str) {
    let mapped = map_spans(&[], vec![invocation(attributes)]);
    assert_eq!(mapped.invocation(name), expected, "{attributes:?}");
}

/// Adds the sources one after the other, the last first: each must win over those after it.
#[track_caller]
fn sources(name: &str, sources: &[(&str, &str)], without: &str) {
    column(name, &[], without);
    let mut sent = Vec::new();
    for (key, value) in sources.iter().rev() {
        sent.push(attr(key, *value));
        column(name, &sent, value);
    }
}

#[test]
fn the_function_is_named_by_the_first_of_its_sources() {
    let keys = ["faas.name", "cloudflare.script_name", "cloud.resource_id", "faas.id", "kn.service.name", "service.name"];
    let named: Vec<(&str, &str)> = keys.iter().map(|key| (*key, *key)).collect();
    sources("function_id", &named, "span 1");
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:checkout:live";
    column("function_id", &[attr("cloud.resource_id", arn)], "checkout");
    column("function_id", &[attr("faas.id", arn)], "checkout");
    column("function_id", &[attr("cloud.resource_id", "arn:aws:s3:::bucket"), attr("service.name", "s")], "s");
}

#[test]
fn the_invocation_has_the_platforms_id_or_one_of_its_own() {
    let with = |attributes: &[KeyValue]| {
        let mut attributes = attributes.to_vec();
        attributes.push(attr("faas.trigger", "http"));
        map_spans(&[], vec![span(1, SERVER, &attributes)]).invocation("invocation_id").to_owned()
    };
    let sources = ["faas.invocation_id", "faas.execution", "cloudflare.ray_id", "vercel.request_id"];
    let mut sent = Vec::new();
    let derived = with(&sent);
    assert_eq!((derived.len(), &derived[14..15]), (36, "8"), "a UUID of version 8, found {derived}");
    for key in sources.iter().rev() {
        sent.push(attr(key, &*format!(" {key} ")));
        check(with(&sent), key);
    }
}

#[test]
fn runtimes_of_javascript_are_one_language() {
    for name in ["nodejs", "js", "webjs", "edge", "JavaScript", "deno", "javascript"] {
        column("language", &[attr("telemetry.sdk.language", name)], "javascript");
    }
    column("language", &[attr("telemetry.sdk.language", "python"), attr("process.runtime.name", "CPython")], "python");
    column("language", &[attr("telemetry.sdk.language", "deno-rust"), attr("process.runtime.name", "deno")], "javascript");
    column("language", &[attr("process.runtime.name", "nodejs")], "javascript");
    column("language", &[], "NULL");
}

#[test]
fn the_version_is_the_first_of_its_sources() {
    let keys = [
        "faas.version",
        "cloudflare.script_version.id",
        "cf.worker.version.id",
        "cf.workers_version_metadata.id",
        "kn.revision.name",
        "service.version",
        "deployment.id",
        "vercel.deployment_id",
        "vercel.deploymentId",
    ];
    let named: Vec<(&str, &str)> = keys.iter().map(|key| (*key, *key)).collect();
    sources("version", &named, "NULL");
}

#[test]
fn on_azure_the_service_version_is_the_hosts() {
    for platform in ["azure_functions", "azure.functions"] {
        let on_azure = [attr("cloud.platform", platform), attr("service.version", "4.1037.0")];
        column("version", &on_azure, "NULL");
        column("version", &[&on_azure[..], &[attr("faas.version", "7")]].concat(), "7");
    }
    column("version", &[attr("cloud.provider", "azure"), attr("service.version", "4")], "NULL");
    column("version", &[attr("cloud.platform", "azure_container_apps"), attr("service.version", "4")], "4");
}

#[test]
fn the_duration_is_that_of_the_span_else_what_it_says() {
    column("duration_ms", &[attr("cloudflare.wall_time_ms", 5)], "20");
    let backwards = |attributes: &[KeyValue]| {
        let mut span = invocation(attributes);
        span.end_time_unix_nano = span.start_time_unix_nano - 1;
        map_spans(&[], vec![span])
    };
    check(backwards(&[]).invocation("duration_ms"), "NULL");
    assert_eq!(backwards(&[]).tally.noted(Note::NegativeDuration), 1);
    let keys = ["cloudflare.wall_time_ms", "cloudflare.wall_time", "wall_time_ms"];
    let mut sent = Vec::new();
    for (millis, key) in (1_i64..).zip(keys.iter().rev()) {
        sent.push(attr(key, millis));
        check(backwards(&sent).invocation("duration_ms"), millis);
    }
    let negative = backwards(&[attr("wall_time_ms", -3)]);
    check(negative.invocation("duration_ms"), "NULL");
    assert_eq!(negative.tally.noted(Note::OutOfRange), 1);
}

#[test]
fn success_is_what_nothing_speaks_against() {
    let success = |attributes: &[KeyValue], expected| column("success", attributes, if expected { "true" } else { "false" });
    success(&[], true);
    success(&[attr("cloudflare.outcome", "ok")], true);
    success(&[attr("cloudflare.outcome", "exceededCpu")], false);
    success(&[attr("error.type", "TimeoutError")], false);
    success(&[attr("http.response.status_code", 503)], false);
    success(&[attr("http.response.status_code", "500")], false);
    success(&[attr("http.status_code", 500.0)], false);
    success(&[attr("http.response.status_code", 404)], true);
    success(&[attr("http.response.status_code", "404"), attr("error.type", "404")], true);
    success(&[attr("http.response.status_code", 404), attr("error.type", "NotFound")], false);
    success(&[attr("queue.batch_success", false)], false);
    success(&[attr("queue.batch_success", "true")], true);
    check(map_spans(&[], vec![failed(invocation(&[]), "")]).invocation("success"), "false");
    let thrown = |escaped: &[KeyValue]| {
        let attributes = [&exception("E", "m")[..], escaped].concat();
        map_spans(&[], vec![with_exception(invocation(&[]), &attributes)]).invocation("success").to_owned()
    };
    check(thrown(&[attr("exception.escaped", true)]), "false");
    check(thrown(&[attr("exception.escaped", "false")]), "true");
    check(thrown(&[]), "true");
}

#[test]
fn a_failure_has_a_type_and_perhaps_a_message() {
    let row = |attributes: &[KeyValue], exceptions: &[(&str, &str)], message: &str| {
        let span = failed(invocation(attributes), message);
        let span = exceptions.iter().fold(span, |span, (kind, message)| with_exception(span, &exception(kind, message)));
        let mapped = map_spans(&[], vec![span]);
        (mapped.invocation("error_type").to_owned(), mapped.invocation("error_message").to_owned())
    };
    let expect = |found: (String, String), kind: &str, message: &str| assert_eq!(found, (kind.to_owned(), message.to_owned()));
    let outcome = attr("cloudflare.outcome", "exception");
    let status = attr("http.response.status_code", 502);
    expect(row(&[], &[], ""), "_OTHER", "NULL");
    expect(row(std::slice::from_ref(&status), &[], "bad gateway"), "502", "bad gateway");
    expect(row(&[outcome.clone(), status], &[], ""), "exception", "NULL");
    expect(row(std::slice::from_ref(&outcome), &[("A", "first"), ("B", " last ")], "status"), "B", " last ");
    expect(row(&[outcome, attr("error.type", "T")], &[("A", "m")], ""), "T", "m");
    expect(row(&[attr("error.message", "said")], &[], ""), "_OTHER", "said");
    let handled = map_spans(&[], vec![with_exception(invocation(&[]), &exception("E", "m"))]);
    check(handled.invocation("error_type"), "NULL");
    check(handled.invocation("error_message"), "NULL");
}

#[test]
fn a_cold_start_that_nobody_reports_is_null() {
    column("cold_start", &[], "NULL");
    for key in ["faas.coldstart", "faas.cold_start", "faas.coldStart", "azure.functions.coldstart_impacted"] {
        column("cold_start", &[attr(key, true)], "true");
        column("cold_start", &[attr(key, "False")], "false");
        column("cold_start", &[attr(key, 1)], "true");
    }
    column("cold_start", &[attr("cloudflare.cold_start_ms", 0)], "false");
    column("cold_start", &[attr("cloudflare.cold_start_ms", "12.5")], "true");
    column("cold_start", &[attr("faas.coldstart", false), attr("cloudflare.cold_start_ms", 9)], "false");
}

#[test]
fn used_memory_is_not_the_limit() {
    column("memory_used_bytes", &[attr("faas.max_memory", 134_217_728)], "NULL");
    column("memory_used_bytes", &[attr("faas.memory_used_bytes", "1024")], "1024");
    column("memory_used_bytes", &[attr("faas.memory_used_bytes", 1), attr("faas.mem_usage", 2.0)], "2");
    for impossible in [-1.0, 1e30] {
        let mapped = map_spans(&[], vec![invocation(&[attr("faas.mem_usage", impossible)])]);
        check(mapped.invocation("memory_used_bytes"), "NULL");
        assert_eq!(mapped.tally.noted(Note::OutOfRange), 1);
    }
}

#[test]
fn the_client_is_the_first_address_that_can_be_read() {
    let keys = [
        "client.address",
        "http.client_ip",
        "http.request.header.cf-connecting-ip",
        "http.request.header.x-real-ip",
        "http.request.header.x-forwarded-for",
        "network.peer.address",
        "net.sock.peer.addr",
        "net.peer.ip",
    ];
    let addresses: Vec<String> = (1..=8).map(|last| format!("203.0.113.{last}")).collect();
    let pairs: Vec<(&str, &str)> = keys.iter().copied().zip(addresses.iter().map(String::as_str)).collect();
    sources("client_ip", &pairs, "NULL");
    let unreadable = [attr("client.address", "client.example.com"), attr("network.peer.address", "/run/app.sock")];
    let mapped = map_spans(&[], vec![invocation(&unreadable)]);
    check(mapped.invocation("client_ip"), "NULL");
    assert_eq!(mapped.tally.noted(Note::UnreadableAddress), 1);
    column("client_ip", &[attr("client.address", "host"), attr("net.peer.ip", "2001:DB8:0::1")], "2001:db8::1");
    for (sent, expected) in
        [("203.0.113.9:443", "203.0.113.9"), ("[2001:db8::9]:443", "2001:db8::9"), ("::ffff:203.0.113.9", "203.0.113.9")]
    {
        column("client_ip", &[attr("client.address", sent)], expected);
    }
    column("client_ip", &[attr("http.request.header.x-real-ip", &["203.0.113.9"][..])], "203.0.113.9");
}

#[test]
fn forwarded_for_is_read_from_the_right() {
    let hops = |hops: usize, header: KeyValue| {
        let config = config(&format!("trusted_hops: {hops}"));
        map_spans_with(&config, &[], vec![invocation(&[header])]).invocation("client_ip").to_owned()
    };
    let header = |value: &str| attr("http.request.header.x-forwarded-for", value);
    check(hops(0, header("198.51.100.1, 203.0.113.2, 10.0.0.3")), "10.0.0.3");
    check(hops(1, header("198.51.100.1, 203.0.113.2, 10.0.0.3")), "203.0.113.2");
    check(hops(1, header("198.51.100.1, unknown, 10.0.0.3")), "NULL");
    check(hops(3, header("198.51.100.1, 203.0.113.2, 10.0.0.3")), "NULL");
    let lines = attr("http.request.header.x-forwarded-for", &["198.51.100.1", "203.0.113.2, 10.0.0.3"][..]);
    check(hops(2, lines), "198.51.100.1");
}

#[test]
fn the_region_is_never_the_whole_earth() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:checkout";
    let mut sent = vec![attr("vercel.region", "fra1")];
    column("region", &sent, "fra1");
    sent.push(attr("faas.id", arn));
    column("region", &sent, "eu-west-1");
    sent.push(attr("faas.invoked_region", "WEUR"));
    column("region", &sent, "WEUR");
    sent.push(attr("cloud.region", "earth"));
    column("region", &sent, "WEUR");
    column("region", &[attr("cloud.region", "us-east-1"), attr("faas.invoked_region", "WEUR")], "us-east-1");
    column("region", &[attr("cloud.region", "earth")], "NULL");
}

#[test]
fn the_data_centre_may_stand_at_the_end_of_a_ray() {
    let ray = attr("http.request.header.cf-ray", &["8f2b1c9d0e3a4b5c-LHR"][..]);
    let edge = attr("vercel.edge_region", "fra1");
    column("colo", std::slice::from_ref(&edge), "fra1");
    column("colo", &[edge.clone(), ray.clone()], "LHR");
    column("colo", &[edge.clone(), ray.clone(), attr("net.colo", "AMS")], "AMS");
    column("colo", &[edge, ray, attr("net.colo", "AMS"), attr("cloudflare.colo", "CDG")], "CDG");
    column("colo", &[attr("cloudflare.ray_id", "8f2b1c9d0e3a4b5c")], "NULL");
    column("colo", &[attr("cloudflare.ray_id", "not-a-ray-LHR")], "NULL");
}

#[test]
fn the_record_wins_over_its_resource_unless_it_says_nothing() {
    let resource = [attr("faas.name", "of the resource")];
    let named =
        |value: &str| map_spans(&resource, vec![invocation(&[attr("faas.name", value)])]).invocation("function_id").to_owned();
    check(named("of the span"), "of the span");
    for nothing in ["", "null", "unknown_service", "unknown_service:node", "  "] {
        check(named(nothing), "of the resource");
    }
}

#[test]
fn a_key_that_stands_twice_with_different_values_is_absent() {
    let copies: Vec<KeyValue> = (0..15).map(|copy| attr("faas.invocation_id", &*format!("copy-{copy}"))).collect();
    let azure = attr("cloud.platform", "azure_functions");
    let mapped = map_spans(&[azure], vec![span(1, SERVER, &copies)]);
    check(mapped.invocation("invocation_id").len(), 36);
    assert!(mapped.tally.noted(Note::RepeatedKey) > 0);
    let same = map_spans(&[], vec![invocation(&[attr("faas.invocation_id", "inv-1")])]);
    check(same.invocation("invocation_id"), "inv-1");
    assert_eq!(same.tally.noted(Note::RepeatedKey), 0);
}
