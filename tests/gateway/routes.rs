//! Several Iceberg exporters and a route between them: every row in the tables it belongs to, once, though the process is killed.

use super::floe::Floe;
use super::{python, send};

/// Four namespaces' worth of decisions: `eu` gets what is of eu-west, `errors` gets nothing here, `analytics` the rest, `copy` everything.
fn start() -> Floe {
    Floe::start_with(|config| {
        config
            .replace("  sanitize: {}\n", "  sanitize: {}\n  route: { rules: [{ column: invocations.region, matches: '^eu-', exporters: [iceberg/eu, iceberg/copy] }], default: [iceberg, iceberg/copy, prometheus] }\n")
            .replace("  prometheus: {", "  iceberg/eu: { namespace: eu, commit: { max_age: 1s } }\n  iceberg/copy: { namespace: copy, commit: { max_age: 60s } }\n  prometheus: {")
            .replace("truncate_stack], exporters: [iceberg, prometheus]", "truncate_stack, route], exporters: [prometheus, iceberg, iceberg/eu, iceberg/copy]")
    })
}

/// An invocation that ran in this region.
fn invocation(id: &str, region: &str) -> opentelemetry_proto::tonic::trace::v1::Span {
    let mut span = send::invocation(id, region, send::now_nanos());
    span.attributes.push(send::string("cloud.region", region));
    span
}

#[test]
fn every_row_is_once_in_each_table_it_was_routed_to() {
    let mut floe = start();
    let (mut eu, mut us) = (Vec::new(), Vec::new());
    for request in 0..6 {
        let ids = |region: &str| (0..5).map(|n| format!("{region}-{request}-{n}")).collect::<Vec<_>>();
        let (in_eu, in_us) = (ids("eu-west"), ids("us-east"));
        let of_eu = in_eu.iter().map(|id| invocation(id, "eu-west"));
        let of_us = in_us.iter().map(|id| invocation(id, "us-east"));
        let body = send::body(of_eu.chain(of_us).collect());
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
        eu.extend(in_eu);
        us.extend(in_us);
        if request % 2 == 1 {
            floe.kill_9();
            floe.restart();
            // A sender that missed its reply sends again; it adds nothing anywhere.
            assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
        }
    }
    // Prometheus counts from the start of the process: one more request, of which it sees what goes to it.
    let body = send::body(vec![invocation("eu-west-last", "eu-west"), invocation("us-east-last", "us-east")]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    eu.push("eu-west-last".into());
    us.push("us-east-last".into());
    let exposed = send::get(floe.ports.prometheus, "/metrics").unwrap().text();
    assert!(exposed.contains("us-east") && !exposed.contains("eu-west"), "{exposed}");

    assert!(floe.terminate().success(), "{}", floe.log());
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(python::column(&floe, "eu.invocations", "invocation_id"), sorted(eu.clone()));
    assert_eq!(python::column(&floe, "analytics.invocations", "invocation_id"), sorted(us.clone()));
    assert_eq!(python::column(&floe, "copy.invocations", "invocation_id"), sorted([eu, us].concat()));
}

#[test]
fn both_laws_hold_for_each_destination() {
    let floe = start();
    let body = send::body(vec![invocation("a", "eu-west"), invocation("b", "us-east"), invocation("c", "us-east")]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    floe.flush();
    let status = floe.run("status");
    for (destination, rows) in [("iceberg", 2), ("iceberg/eu", 1), ("iceberg/copy", 3)] {
        let line = status.lines().find(|line| line.trim_start().starts_with(&format!("{destination}:invocations "))).unwrap();
        assert!(line.contains(&format!(" {rows} = {rows} + 0 + 0 ")), "{status}");
    }
    let records = status.lines().find(|line| line.trim_start().starts_with("traces ")).unwrap();
    assert!(records.contains(" 3 = 0 + 0 + 0 + 0 + 0 + 3"), "{status}");
}
