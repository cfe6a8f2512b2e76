use std::sync::Arc;

use super::*;
use crate::exporters::prometheus::tests::point;

const RULES: LabelRules = LabelRules {
    strategy: TranslationStrategy::UnderscoreEscapingWithSuffixes,
    scope: true,
    resource: Promoted::Named(Vec::new()),
};

fn check(labels: &[(&str, &str)], expected: &str) {
    assert_eq!(LabelSet::of_point(&point("m", 1).labels(labels).point(), &RULES).text.unwrap(), expected);
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
    assert_eq!(LabelSet::of_point(&point, &RULES), LabelSet { text: Some("route=\"/\"".to_owned()), dropped: 3 });
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
            assert_eq!(LabelSet::of_point(&point, &RULES), expected, "{key}, a source of {column}");
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
    assert_eq!(LabelSet::of_point(&point, &RULES).text, None);
}

#[test]
fn job_and_instance_come_from_the_resource() {
    let mut point = point("m", 1).point();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    point.resource =
        Arc::from([label("service.namespace", "shop"), label("service.name", "cart"), label("service.instance.id", "i1")]);
    assert_eq!(LabelSet::of_point(&point, &RULES).text.unwrap(), "instance=\"i1\",job=\"shop/cart\"");
}

fn shop() -> OwnedPoint {
    let mut point = point("m", 1).labels(&[("region", "eu")]).point();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    point.resource = Arc::from([
        label("service.name", "cart"),
        label("service.instance.id", "i1"),
        label("cloud.region", "eu-west-1"),
        label("region", "us"),
        label("client.address", "192.0.2.1"),
    ]);
    point.scope = Arc::new(crate::signals::points::OwnedScope {
        name: "http".to_owned(),
        version: "2".to_owned(),
        attributes: vec![label("short.name", "h")],
    });
    point
}

#[test]
fn a_scope_is_labels_unless_they_are_not_wanted() {
    let scope = "instance=\"i1\",job=\"cart\",otel_scope_name=\"http\",otel_scope_short_name=\"h\",otel_scope_version=\"2\",region=\"eu\"";
    assert_eq!(LabelSet::of_point(&shop(), &RULES).text.unwrap(), scope);
    let without = LabelSet::of_point(&shop(), &LabelRules { scope: false, ..RULES });
    assert_eq!(without.text.unwrap(), "instance=\"i1\",job=\"cart\",region=\"eu\"");
}

#[test]
fn promoted_attributes_of_the_resource_give_way_to_those_of_the_point() {
    let check = |resource, expected: &str, dropped| {
        let set = LabelSet::of_point(&shop(), &LabelRules { scope: false, resource, ..RULES });
        assert_eq!(set, LabelSet { text: Some(expected.to_owned()), dropped });
    };
    let named = Promoted::Named(vec!["cloud.region".to_owned(), "region".to_owned()]);
    check(named, "cloud_region=\"eu-west-1\",instance=\"i1\",job=\"cart\",region=\"eu\"", 0);
    let all =
        "cloud_region=\"eu-west-1\",instance=\"i1\",job=\"cart\",region=\"eu\",service_instance_id=\"i1\",service_name=\"cart\"";
    check(Promoted::All, all, 1);
}

#[test]
fn a_target_is_known_by_job_and_instance_and_tells_the_rest() {
    let (known_by, set) = LabelSet::of_target(&shop().resource, RULES.strategy).unwrap();
    assert_eq!(known_by, "instance=\"i1\",job=\"cart\"");
    let expected = "cloud_region=\"eu-west-1\",instance=\"i1\",job=\"cart\",region=\"us\"";
    assert_eq!(set.text.unwrap(), expected);
    assert_eq!(LabelSet::of_target(&[("host.name".to_owned(), "h".to_owned())], RULES.strategy), None);
}

#[test]
fn names_that_stay_as_they_are_get_quotes_where_they_need_them() {
    let rules = LabelRules { strategy: TranslationStrategy::NoTranslation, ..RULES };
    let labels = [("a.b", "x"), ("plain", "y"), ("ключ\"", "z\n"), ("le", "1")];
    let text = LabelSet::of_point(&point("m", 1).labels(&labels).point(), &rules).text.unwrap();
    assert_eq!(text, "\"a.b\"=\"x\",exported_le=\"1\",plain=\"y\",\"ключ\\\"\"=\"z\\n\"");
    let read: Vec<(String, String)> =
        pairs(&text).map(|(name, value)| (name.into_owned(), unescape(value).into_owned())).collect();
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(read, [owned("a.b", "x"), owned("exported_le", "1"), owned("plain", "y"), owned("ключ\"", "z\n")]);
}
