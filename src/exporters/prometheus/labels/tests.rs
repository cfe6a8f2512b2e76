use std::sync::Arc;

use super::*;
use crate::exporters::prometheus::tests::point;

fn rules() -> LabelRules {
    LabelRules::default()
}

fn check(labels: &[(&str, &str)], expected: &str) {
    assert_eq!(LabelSet::of_point(&point("m", 1).labels(labels).point(), &rules()).text.unwrap(), expected);
}

#[test]
fn labels_are_sorted_and_escaped() {
    check(&[("b", "x\"y\\z\nw"), ("a.c", "1")], "a_c=\"1\",b=\"x\\\"y\\\\z\\nw\"");
}

#[test]
fn values_of_names_that_fall_together_are_joined_in_the_order_of_their_keys() {
    check(&[("a_b", "second"), ("a.b", "first"), ("a..b", "zeroth")], "a_b=\"zeroth;first;second\"");
}

#[test]
fn hostile_names_become_valid_ones() {
    check(
        &[("", "a"), ("__name__", "b"), ("9", "c"), ("le", "d"), ("job", "e"), ("}\n", "f")],
        "_=\"f\",_name_=\"b\",exported_job=\"e\",exported_le=\"d\",key_=\"a\",key_9=\"c\"",
    );
}

#[test]
fn ids_and_addresses_are_dropped_however_they_are_spelt() {
    for key in "faas.invocation_id Client.Address trace-id traceId spanId requestId userId sessionId clientIp awsRequestId x_request_id X-Request-ID \
                correlation_id correlationId client.ip.address remote_addr remoteAddr peer.ip source.ip user.ip enduser.pseudo.id user.email \
                x-client-ip true-client-ip"
        .split_whitespace()
    {
        let point = point("m", 1).labels(&[(key, "1.2.3.4"), ("route", "/")]).point();
        assert_eq!(LabelSet::of_point(&point, &rules()), LabelSet { text: Some("route=\"/\"".to_owned()), dropped: 1 }, "{key}");
    }
    // Of few values, whatever they begin or end with.
    let point = point("m", 1).labels(&[("client", "a"), ("user.role", "b"), ("session", "c"), ("span.kind", "d")]).point();
    let text = "client=\"a\",session=\"c\",span_kind=\"d\",user_role=\"b\"";
    assert_eq!(LabelSet::of_point(&point, &rules()), LabelSet { text: Some(text.to_owned()), dropped: 0 });
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
            assert_eq!(LabelSet::of_point(&point, &rules()), expected, "{key}, a source of {column}");
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
    assert_eq!(LabelSet::of_point(&point, &rules()).text, None);
}

#[test]
fn job_and_instance_come_from_the_resource() {
    let mut point = point("m", 1).point();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    point.resource =
        Arc::from([label("service.namespace", "shop"), label("service.name", "cart"), label("service.instance.id", "i1")]);
    assert_eq!(LabelSet::of_point(&point, &rules()).text.unwrap(), "instance=\"i1\",job=\"shop/cart\"");
}

fn owned(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn unchanged() -> Naming {
    Naming { strategy: TranslationStrategy::NoTranslation, namespace: String::new() }
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
        schema_url: "https://shop.example/1".to_owned(),
        attributes: vec![label("short.name", "h"), label("schema.url", "not mine"), label("name", "nor mine")],
    });
    point
}

#[test]
fn a_scope_is_labels_unless_they_are_not_wanted() {
    let scope = "instance=\"i1\",job=\"cart\",otel_scope_name=\"http\",otel_scope_schema_url=\"https://shop.example/1\",otel_scope_short_name=\"h\",otel_scope_version=\"2\",region=\"eu\"";
    assert_eq!(LabelSet::of_point(&shop(), &rules()).text.unwrap(), scope);
    let without = LabelSet::of_point(&shop(), &LabelRules { without_scope: true, ..rules() });
    assert_eq!(without.text.unwrap(), "instance=\"i1\",job=\"cart\",region=\"eu\"");
}

#[test]
fn an_attribute_with_a_name_of_the_scope_is_joined_to_it() {
    let mut point = shop();
    point.labels = owned(&[("otel.scope.name", "mine"), ("otel_scope_other", "x")]);
    point.resource = Arc::from([]);
    let expected = "otel_scope_name=\"mine;http\",otel_scope_other=\"x\",otel_scope_schema_url=\"https://shop.example/1\",otel_scope_short_name=\"h\",otel_scope_version=\"2\"";
    assert_eq!(LabelSet::of_point(&point, &rules()).text.unwrap(), expected);
}

#[test]
fn promoted_attributes_of_the_resource_give_way_to_those_of_the_point() {
    let check = |included: &[&str], excluded: &[&str], expected: &str, dropped| {
        let of = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let resource = Promoted { included: of(included), excluded: of(excluded) };
        let set = LabelSet::of_point(&shop(), &LabelRules { without_scope: true, resource, ..rules() });
        assert_eq!(set, LabelSet { text: Some(expected.to_owned()), dropped });
    };
    let some = "cloud_region=\"eu-west-1\",instance=\"i1\",job=\"cart\",region=\"eu\"";
    check(&["cloud.region", "region"], &[], some, 0);
    check(&["cloud*"], &[], some, 0);
    check(&["*"], &["service.*", "client.*"], some, 0);
    let all =
        "cloud_region=\"eu-west-1\",instance=\"i1\",job=\"cart\",region=\"eu\",service_instance_id=\"i1\",service_name=\"cart\"";
    check(&["*"], &[], all, 1);
}

#[test]
fn a_star_stands_for_any_text() {
    let check = |pattern, yes: &[&str], no: &[&str]| {
        let found: Vec<&str> = yes.iter().chain(no).copied().filter(|text| is_like(text, pattern)).collect();
        assert_eq!(found, yes, "{pattern}");
    };
    check("a", &["a"], &["", "b", "aa"]);
    check("*", &["", "a"], &[]);
    check("k8s.*.name", &["k8s.pod.name", "k8s..name"], &["k8s.name", "k8s.pod.names"]);
    check("*a*b*", &["ab", "xaybz"], &["ba", "b"]);
    check("a*a", &["aa", "aba"], &["a", "ab"]);
}

#[test]
fn a_label_of_every_series_keeps_its_name() {
    let constant = [("region", "everywhere"), ("a b", "x;\"")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let constant = Constant::of(&constant.into(), TranslationStrategy::default());
    assert_eq!(constant.text, "a_b=\"x;\\\"\",region=\"everywhere\"");
    let rules = LabelRules { without_scope: true, constant, ..rules() };
    let set = LabelSet::of_point(&shop(), &rules);
    assert_eq!(set.text.unwrap(), "exported_region=\"eu\",instance=\"i1\",job=\"cart\"");
    let set = LabelSet::of(&[("function", "f"), ("region", "eu")], &rules.constant);
    assert_eq!(set.text.unwrap(), "exported_region=\"eu\",function=\"f\"");
}

#[test]
fn names_that_meet_where_a_scraper_knows_few_characters_are_one_label() {
    let known = known_as("\"a b\"=\"0\"", "\"a.b\"=\"1\",\"a:b\"=\"2\",c=\"3\"", Escaping::Underscores);
    let read: Vec<(&str, &str)> = known.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
    assert_eq!(read, [("a_b", "0;1;2"), ("c", "3")]);
}

#[test]
fn a_target_is_known_by_job_and_instance_and_tells_the_rest() {
    let (known_by, set) = LabelSet::of_target(&shop().resource, &rules()).unwrap();
    assert_eq!(known_by, "instance=\"i1\",job=\"cart\"");
    let expected = "cloud_region=\"eu-west-1\",instance=\"i1\",job=\"cart\",region=\"us\"";
    assert_eq!(set.text.unwrap(), expected);
    assert_eq!(LabelSet::of_target(&[("host.name".to_owned(), "h".to_owned())], &rules()), None);
}

#[test]
fn names_that_stay_as_they_are_get_quotes_where_they_need_them() {
    let rules = LabelRules { naming: unchanged(), ..rules() };
    let labels = [("a.b", "x"), ("plain", "y"), ("ключ\"", "z\n"), ("le", "1"), ("9", "w")];
    let text = LabelSet::of_point(&point("m", 1).labels(&labels).point(), &rules).text.unwrap();
    assert_eq!(text, "\"9\"=\"w\",\"a.b\"=\"x\",exported_le=\"1\",plain=\"y\",\"ключ\\\"\"=\"z\\n\"");
    let read: Vec<(String, String)> =
        pairs(&text).map(|(name, value)| (name.into_owned(), unescape(value).into_owned())).collect();
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        read,
        [owned("9", "w"), owned("a.b", "x"), owned("exported_le", "1"), owned("plain", "y"), owned("ключ\"", "z\n")]
    );
}
