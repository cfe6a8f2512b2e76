//! Which spans are invocations: rules A to D, what is excluded, and one row an id.

use super::*;

#[track_caller]
fn ids(mapped: &Mapped, expected: &[&str]) {
    let found: Vec<&str> = mapped.of(Table::Invocations).iter().map(|row| row["function_id"].as_str()).collect();
    assert_eq!(found, expected);
}

/// Whether a span alone is an invocation.
#[track_caller]
fn alone(kind: i32, attributes: &[KeyValue], expected: bool) {
    let mapped = map_spans(&[], vec![span(1, kind, attributes)]);
    assert_eq!(mapped.of(Table::Invocations).len(), usize::from(expected), "kind {kind}, {attributes:?}");
    assert_eq!((mapped.tally.mapped, mapped.tally.unmapped), if expected { (1, 0) } else { (0, 1) });
}

#[test]
fn rule_a_takes_servers_and_consumers_with_the_platforms_id() {
    for key in ["faas.invocation_id", "faas.execution"] {
        alone(SERVER, &[attr(key, "x")], true);
        alone(CONSUMER, &[attr(key, "x")], true);
        alone(CLIENT, &[attr(key, "x")], false);
        alone(INTERNAL, &[attr(key, "x")], false);
    }
}

#[test]
fn rule_b_takes_a_handler_of_any_kind_that_is_the_root_of_its_invocation() {
    let handler = attr("cloudflare.handler_type", "scheduled");
    alone(INTERNAL, std::slice::from_ref(&handler), true);
    alone(CLIENT, std::slice::from_ref(&handler), true);
    alone(INTERNAL, &[handler.clone(), attr("cloudflare.invocation.sequence.number", 1)], true);
    alone(INTERNAL, &[handler.clone(), attr("cloudflare.invocation.sequence.number", 4)], false);
    alone(SERVER, &[handler, attr("faas.invocation_id", "x"), attr("cloudflare.invocation.sequence.number", 2)], false);
}

#[test]
fn a_handler_below_a_span_with_its_id_is_no_root() {
    let id = |id: &str| attr("faas.invocation_id", id);
    let handler = attr("cloudflare.handler_type", "fetch");
    let carrier = span(1, CLIENT, &[id("x"), attr("faas.name", "carrier")]);
    let inner = below(1, span(2, INTERNAL, &[id("x"), handler.clone()]));
    ids(&map_spans(&[], vec![inner, carrier]), &[]);

    let outer = span(1, INTERNAL, &[id("x"), handler.clone(), attr("faas.name", "outer")]);
    let other = below(1, span(2, INTERNAL, &[id("y"), handler.clone(), attr("faas.name", "called")]));
    let again = below(2, span(3, INTERNAL, &[id("x"), handler, attr("faas.name", "inner")]));
    ids(&map_spans(&[], vec![again, other, outer]), &["called", "outer"]);
}

#[test]
fn rule_c_takes_servers_on_functions_platforms() {
    alone(SERVER, &[attr("faas.trigger", "http")], true);
    alone(SERVER, &[attr("faas.coldstart", false)], true);
    alone(SERVER, &[attr("cloudflare.cold_start_ms", 0)], true);
    for platform in
        ["aws_lambda", "azure_functions", "azure.functions", "gcp_cloud_functions", "alibaba_cloud_fc", "tencent_cloud_scf"]
    {
        alone(SERVER, &[attr("cloud.platform", platform)], true);
    }
    alone(SERVER, &[attr("cloud.platform", "gcp_cloud_run")], false);
    alone(SERVER, &[attr("cloud.platform", "cloudflare.workers")], false);
    alone(SERVER, &[], false);
    alone(CLIENT, &[attr("faas.trigger", "http")], false);
    ids(&map_spans(&[attr("faas.name", "f")], vec![span(1, SERVER, &[])]), &["f"]);
}

#[test]
fn rule_d_takes_other_kinds_with_a_trigger_and_a_cold_start() {
    let both = [attr("faas.trigger", "timer"), attr("faas.coldstart", true)];
    for kind in [CONSUMER, INTERNAL, 0] {
        alone(kind, &both, true);
        alone(kind, &both[..1], false);
        alone(kind, &both[1..], false);
    }
    alone(CLIENT, &both, false);
}

#[test]
fn nothing_below_an_invocation_is_one_by_c_or_d() {
    let root = span(1, SERVER, &[attr("faas.invocation_id", "x"), attr("faas.name", "root")]);
    let plain = below(1, span(2, CLIENT, &[]));
    let server = below(2, span(3, SERVER, &[attr("faas.trigger", "http"), attr("faas.name", "inner")]));
    let timer = below(3, span(4, INTERNAL, &[attr("faas.trigger", "timer"), attr("faas.coldstart", true)]));
    // Children come first: SDKs send what ended first.
    ids(&map_spans(&[], vec![timer, server.clone(), plain, root]), &["root"]);
    // Without its ancestors, it is the outermost that is known.
    ids(&map_spans(&[], vec![server]), &["inner"]);
}

#[test]
fn an_invocation_below_another_is_one_by_its_own_id() {
    let root = span(1, SERVER, &[attr("faas.invocation_id", "x"), attr("faas.name", "root")]);
    let called = below(1, span(2, SERVER, &[attr("faas.invocation_id", "y"), attr("faas.name", "called")]));
    ids(&map_spans(&[], vec![called, root]), &["called", "root"]);
}

#[test]
fn an_id_makes_one_row_that_of_its_outermost_span() {
    let outer = span(1, SERVER, &[attr("faas.invocation_id", "x"), attr("faas.name", "outer")]);
    let middle = below(1, span(2, INTERNAL, &[]));
    let inner = below(2, span(3, CONSUMER, &[attr("faas.invocation_id", "x"), attr("faas.name", "inner")]));
    ids(&map_spans(&[], vec![inner, middle, outer]), &["outer"]);

    let twice = span(1, SERVER, &[attr("faas.trigger", "http"), attr("faas.name", "twice")]);
    ids(&map_spans(&[], vec![twice.clone(), twice]), &["twice"]);
}

#[test]
fn a_batch_of_messages_is_one_invocation() {
    let root = span(1, SERVER, &[attr("faas.invocation_id", "x"), attr("faas.name", "queue")]);
    let message = |number| below(1, span(number, CONSUMER, &[attr("faas.trigger", "pubsub")]));
    ids(&map_spans(&[attr("cloud.platform", "aws_lambda")], vec![message(2), message(3), root]), &["queue"]);
    alone(CONSUMER, &[attr("faas.trigger", "pubsub"), attr("cloudflare.handler_type", "queue")], false);
}

#[test]
fn calls_pipelines_and_init_are_no_invocations() {
    let handler = attr("cloudflare.handler_type", "fetch");
    alone(CLIENT, &[handler.clone(), attr("faas.invoked_name", "other")], false);
    for key in ["cicd.pipeline.name", "cicd.pipeline.run.queue", "cicd.of.tomorrow"] {
        alone(SERVER, &[attr("faas.trigger", "http"), attr(key, "release")], false);
        ids(&map_spans(&[attr(key, "release")], vec![span(1, SERVER, &[attr("faas.trigger", "http")])]), &[]);
    }
    // Two keys of the family are no key that stands twice.
    let mapped = map_spans(&[], vec![span(1, SERVER, &[attr("faas.trigger", "http"), attr("cicd.a", "1"), attr("cicd.b", "2")])]);
    assert_eq!((mapped.tally.unmapped, mapped.tally.noted(Note::RepeatedKey)), (1, 0));
    alone(SERVER, &[attr("faas.trigger", "http"), attr("cicd.pipeline.name", ""), attr("x.cicd.pipeline", "1")], true);
    alone(SERVER, &[attr("faas.trigger", "http"), attr("cicd", "1")], true);
    let mut init = invocation(&[]);
    "init lambda".clone_into(&mut init.name);
    ids(&map_spans(&[], vec![init]), &[]);
}

#[test]
fn plain_http_servers_are_invocations_only_where_the_configuration_says_so() {
    let plain = || {
        let outer = span(1, SERVER, &[attr("service.name", "deno")]);
        let inner = below(1, span(2, SERVER, &[attr("service.name", "inner")]));
        vec![inner, outer, span(3, CLIENT, &[])]
    };
    ids(&map_spans(&[], plain()), &[]);
    ids(&map_spans_with(&config("invocations: { http_servers: true }"), &[], plain()), &["deno"]);
}

#[test]
fn loops_of_parents_end() {
    let looped = |number, parent| below(parent, span(number, SERVER, &[attr("faas.trigger", "http")]));
    let mapped = map_spans(&[], vec![looped(1, 3), looped(2, 1), looped(3, 2), looped(4, 4)]);
    // Where the loop is cut, one span is outermost.
    assert_eq!(mapped.of(Table::Invocations).len(), 2);
    assert_eq!((mapped.tally.mapped, mapped.tally.unmapped), (2, 2));
}

#[test]
fn long_chains_of_parents_take_linear_time() {
    let chain: Vec<Span> = (1..50_000_u64)
        .map(|number| {
            let mut span = span(1, INTERNAL, &[attr("cloudflare.handler_type", "fetch"), attr("faas.invocation_id", "x")]);
            span.span_id = number.to_be_bytes().to_vec();
            span.parent_span_id = (number + 1).to_be_bytes().to_vec();
            span
        })
        .collect();
    assert_eq!(map_spans(&[], chain).of(Table::Invocations).len(), 1);
}
