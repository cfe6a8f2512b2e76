//! Sentences of the reference that the other tables of cases do not hold, each with what it was read from.

use super::*;

fn invocations(mapped: &Mapped) -> Vec<&str> {
    mapped.of(Table::Invocations).iter().map(|row| row["function_id"].as_str()).collect()
}

fn handler(number: u8, name: &str, attributes: &[KeyValue]) -> Span {
    let mut attributes = attributes.to_vec();
    attributes.extend([attr("cloudflare.handler_type", "fetch"), attr("faas.name", name)]);
    span(number, SERVER, &attributes)
}

#[test]
fn a_function_is_named_by_its_resource_to_be_one_by_rule_c() {
    let named = [attr("faas.name", "f")];
    assert_eq!(invocations(&map_spans(&named, vec![span(1, SERVER, &[])])), ["f"]);
    assert!(map_spans(&[], vec![span(1, SERVER, &named)]).rows.is_empty());
}

#[test]
fn an_inner_span_of_a_handler_is_no_second_row() {
    let id = |id: &str| attr("faas.invocation_id", id);
    let root = handler(1, "root", &[id("x")]);
    let without_id = below(1, handler(2, "inner", &[]));
    let with_its_id = below(1, handler(3, "inner", &[id("x")]));
    let called = below(1, handler(4, "called", &[id("y")]));
    let mapped = map_spans(&[], vec![without_id, with_its_id, called, root]);
    assert_eq!(invocations(&mapped), ["called", "root"]);
    // A remote parent does not matter.
    let remote = below(9, handler(1, "jsrpc", &[id("z"), attr("cloudflare.invocation.sequence.number", "1")]));
    assert_eq!(invocations(&map_spans(&[], vec![remote])), ["jsrpc"]);
}

#[test]
fn a_clients_error_that_deno_marks_is_a_success_of_its_server() {
    let deno = |kind: i32, attributes: &[KeyValue]| {
        let triggered = [attributes, &[attr("faas.invocation_id", "x")]].concat();
        let mapped = map_spans(&[], vec![failed(span(1, kind, &triggered), "Not Found")]);
        let row = mapped.only(Table::Invocations);
        [row["success"].clone(), row["error_type"].clone(), row["error_message"].clone()]
    };
    let status = |status: &str| [attr("http.response.status_code", status), attr("error.type", status)];
    assert_eq!(deno(SERVER, &status("404")), ["true", "NULL", "NULL"]);
    assert_eq!(deno(SERVER, &status("500")), ["false", "500", "Not Found"]);
    assert_eq!(deno(SERVER, &[attr("http.response.status_code", "404"), attr("error.type", "NotFound")])[0], "false");
    // Whoever sets ERROR and says nothing of the status means it.
    assert_eq!(deno(SERVER, &status("404")[..1]), ["false", "404", "Not Found"]);
    assert_eq!(deno(CONSUMER, &status("404"))[0], "false");
}

#[test]
fn arns_of_every_partition_alias_and_version_name_function_and_region() {
    let cases = [
        ("arn:aws:lambda:eu-west-1:123456789012:function:checkout", "checkout", "eu-west-1"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:checkout:live", "checkout", "eu-west-1"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:checkout:$LATEST", "checkout", "eu-west-1"),
        ("arn:aws-cn:lambda:cn-north-1:123456789012:function:checkout:42", "checkout", "cn-north-1"),
        ("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:checkout", "checkout", "us-gov-west-1"),
        ("arn:aws:lambda:eu-west-1:123456789012", "span 1", "eu-west-1"),
        ("/subscriptions/1/sites/app", "/subscriptions/1/sites/app", "NULL"),
    ];
    for key in ["cloud.resource_id", "faas.id"] {
        for (arn, function, region) in cases {
            let mapped = map_spans(&[], vec![invocation(&[attr(key, arn)])]);
            assert_eq!([mapped.invocation("function_id"), mapped.invocation("region")], [function, region], "{key} = {arn}");
        }
    }
}

#[test]
fn a_colo_is_read_from_every_spelling_of_cf_ray() {
    for key in ["cf-ray", "http.request.header.cf-ray", "http.response.header.cf-ray", "cloudflare.ray_id", "faas.invocation_id"]
    {
        let triggered = [attr("faas.trigger", "http"), attr(key, "8f2b1c9d0e3a4b5c-LHR")];
        let on_record = map_spans(&[], vec![span(1, SERVER, &triggered)]);
        check(on_record.invocation("colo"), "LHR");
        let on_resource = map_spans(&triggered[1..], vec![span(1, SERVER, &triggered[..1])]);
        check(on_resource.invocation("colo"), "LHR");
    }
}

#[test]
fn addresses_come_in_every_dress() {
    let cases = [
        (" 203.0.113.9 ", "203.0.113.9"),
        ("203.0.113.9:443", "203.0.113.9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:443", "2001:db8::9"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0:0::9", "2001:db8::9"),
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=\"[2001:db8::9]:4711\"", "2001:db8::9"),
        ("for=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        ("client.example.com", "NULL"),
        ("/var/run/app.sock", "NULL"),
        ("203.0.113.999", "NULL"),
        ("203.0.113.9, 10.0.0.1", "NULL"),
    ];
    for (sent, expected) in cases {
        let mapped = map_spans(&[], vec![invocation(&[attr("client.address", sent)])]);
        assert_eq!(mapped.invocation("client_ip"), expected, "{sent}");
    }
    // A hop that cannot be read is no value, and the next source is asked.
    let spoiled = [attr("http.request.header.x-forwarded-for", "203.0.113.1, unknown"), attr("net.peer.ip", "203.0.113.7")];
    check(map_spans(&[], vec![invocation(&spoiled)]).invocation("client_ip"), "203.0.113.7");
}

#[test]
fn typed_values_are_read_leniently() {
    let cases = [
        (attr("faas.mem_usage", "70"), "memory_used_bytes", "70"),
        (attr("faas.mem_usage", 70.0), "memory_used_bytes", "70"),
        (attr("faas.coldstart", "TRUE"), "cold_start", "true"),
        (attr("faas.coldstart", 0), "cold_start", "false"),
        (attr("faas.coldstart", "perhaps"), "cold_start", "NULL"),
        (attr("http.response.status_code", 503.0), "error_type", "503"),
        (attr("http.status_code", "503"), "error_type", "503"),
        (attr("queue.batch_success", 0), "success", "false"),
        (attr("faas.version", 7), "version", "7"),
        (attr("faas.name", " f "), "function_id", "f"),
    ];
    for (sent, column, expected) in cases {
        let mapped = map_spans(&[], vec![invocation(std::slice::from_ref(&sent))]);
        assert_eq!(mapped.invocation(column), expected, "{sent:?}");
    }
}

#[test]
fn what_the_record_says_wrong_its_resource_may_say_right() {
    let cases = [
        ("cloud.region", "earth", "eu-west-1", "region", "eu-west-1"),
        ("client.address", "client.example.com", "203.0.113.7", "client_ip", "203.0.113.7"),
        ("faas.coldstart", "perhaps", "true", "cold_start", "true"),
        ("faas.mem_usage", "70 MB", "70", "memory_used_bytes", "70"),
        ("http.response.status_code", "-", "503", "error_type", "503"),
        ("cf-ray", "8f2b1c9d0e3a4b5c", "8f2b1c9d0e3a4b5c-LHR", "colo", "LHR"),
        ("cloud.resource_id", "arn:aws:lambda:eu-west-1:1", "arn:aws:lambda:eu-west-1:1:function:f", "function_id", "f"),
    ];
    for (key, wrong, right, column, expected) in cases {
        let mapped = map_spans(&[attr(key, right)], vec![invocation(&[attr(key, wrong)])]);
        assert_eq!(mapped.invocation(column), expected, "{key}");
    }
    // `earth` is no place, and then the next source is asked.
    let elsewhere = [attr("cloud.region", "earth"), attr("vercel.region", "fra1")];
    check(map_spans(&elsewhere[..1], vec![invocation(&elsewhere)]).invocation("region"), "fra1");
}

#[test]
fn numbers_that_no_column_holds_are_null_and_counted() {
    for sent in [attr("faas.mem_usage", f64::NAN), attr("faas.mem_usage", f64::INFINITY), attr("faas.mem_usage", "1e40")] {
        let mapped = map_spans(&[], vec![invocation(std::slice::from_ref(&sent))]);
        check(mapped.invocation("memory_used_bytes"), "NULL");
        assert_eq!(mapped.tally.noted(Note::OutOfRange), 1, "{sent:?}");
    }
    let limited = [attr("http.response.status_code", 429), attr("http.response.header.x-ratelimit-limit", "5000000000")];
    let mapped = map_spans(&[], vec![invocation(&limited)]);
    check(&mapped.only(Table::RateLimits)["limit_value"], "NULL");
    assert_eq!(mapped.tally.noted(Note::OutOfRange), 1);
}

#[test]
fn spans_with_invalid_ids_are_rejected_and_such_logs_kept_unassociated() {
    for id in [vec![], vec![0; 8], vec![1; 7], vec![1; 9]] {
        let broken = Span { span_id: id.clone(), ..invocation(&[]) };
        let scope_spans = vec![ScopeSpans { spans: vec![broken, invocation(&[])], ..Default::default() }];
        let request = ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
        let keys = Keys::default();
        let body = request.encode_to_vec();
        let records = decode(Signal::Traces, Encoding::Protobuf, &body, &keys).unwrap();
        assert_eq!((records.spans.len(), records.rejected.as_ref().map(|rejected| rejected.count)), (1, Some(1)), "{id:?}");
        let mut unassociated = in_span(1, log(17, "m", &[]));
        unassociated.span_id = id;
        check(map_logs(&[], vec![unassociated]).error("invocation_id"), "NULL");
    }
}

#[test]
fn a_deployments_words_are_those_of_the_table() {
    let sent = |attributes: &[KeyValue]| map_logs(&[], vec![named(log(9, "", attributes), "faas.deployment")]);
    for (status, expected) in
        [("succeeded", "success"), ("SUCCESS", "success"), ("failure", "failed"), ("rolled_back", "rolled_back")]
    {
        let mapped = sent(&[attr("deployment.status", status)]);
        check(&mapped.only(Table::Deployments)["status"], expected);
    }
    assert!(map_logs(&[attr("deployment.id", "dpl_1")], vec![log(9, "", &[])]).rows.is_empty());
    let task = |result: &str| {
        let attributes = [
            attr("cicd.pipeline.task.type", "deploy"),
            attr("cicd.pipeline.task.run.id", "run-1"),
            attr("cicd.pipeline.task.run.result", result),
            attr("service.version", "7"),
        ];
        map_spans(&[], vec![span(1, INTERNAL, &attributes)])
    };
    for (result, expected) in
        [("success", "success"), ("failure", "failed"), ("error", "failed"), ("timeout", "failed"), ("cancellation", "failed")]
    {
        let mapped = task(result);
        let row = mapped.only(Table::Deployments);
        assert_eq!([&row["status"], &row["deployment_id"], &row["version"]], [expected, "run-1", "7"], "{result}");
        check(&row["deployed_at"], (NOW - 60 * SECOND + 20_000_000) / 1_000);
        assert_eq!(mapped.rows.len(), 1);
    }
    assert!(task("skip").rows.is_empty());
}
