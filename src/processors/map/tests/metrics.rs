//! Rows from metric points.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};

use super::*;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

const RULE: &str = "
metrics:
  - metric: rate_limit.hits
    table: rate_limits
    columns:
      limit_type: { attribute: [limit.kind, rate_limit.type] }
      limit_value: { attribute: limit }
      region: { value: everywhere }
";

fn point(value: i64, attributes: &[KeyValue]) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes.to_vec(),
        start_time_unix_nano: NOW - 20 * SECOND,
        time_unix_nano: NOW - 10 * SECOND,
        value: Some(number_data_point::Value::AsInt(value)),
        ..Default::default()
    }
}

fn sum(temporality: i32, data_points: Vec<NumberDataPoint>) -> metric::Data {
    metric::Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic: true })
}

fn map_metric(config: &MapConfig, data: metric::Data) -> Mapped {
    let metrics = vec![Metric { name: "rate_limit.hits".to_owned(), data: Some(data), ..Default::default() }];
    let scope_metrics = vec![ScopeMetrics { scope: Some(InstrumentationScope::default()), metrics, ..Default::default() }];
    let resource = Some(Resource { attributes: vec![attr("faas.name", "f")], ..Default::default() });
    let request =
        ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }] };
    map_body(config, Signal::Metrics, Encoding::Protobuf, &request.encode_to_vec())
}

#[test]
fn a_point_makes_no_row_by_itself() {
    let mapped = map_metric(&MapConfig::default(), sum(DELTA, vec![point(1, &[])]));
    assert!(mapped.rows.is_empty());
    assert_eq!(mapped.tally.mapped, 1);
}

#[test]
fn a_rule_makes_a_row_of_each_delta_point_that_counted() {
    let attributes = [attr("rate_limit.type", "per_ip"), attr("limit", "100"), attr("client.address", "203.0.113.7")];
    let mapped = map_metric(&config(RULE), sum(DELTA, vec![point(3, &attributes), point(0, &attributes)]));
    let at = ((NOW - 10 * SECOND) / 1_000).to_string();
    let expected = [
        ("limit_type", "per_ip"),
        ("limit_value", "100"),
        ("region", "everywhere"),
        ("occurred_at", &at),
        ("function_id", "f"),
        ("client_ip", "203.0.113.7"),
    ];
    for (column, value) in expected {
        assert_eq!(mapped.only(Table::RateLimits)[column], value, "{column}");
    }
    assert_eq!(mapped.tally.mapped, 2);
}

#[test]
fn cumulative_sums_gauges_and_ended_series_are_no_events() {
    let rows = |data| map_metric(&config(RULE), data).of(Table::RateLimits).len();
    assert_eq!(rows(sum(DELTA, vec![point(1, &[])])), 1);
    assert_eq!(rows(sum(CUMULATIVE, vec![point(1, &[])])), 0);
    assert_eq!(rows(sum(0, vec![point(1, &[])])), 0);
    assert_eq!(rows(metric::Data::Gauge(Gauge { data_points: vec![point(1, &[])] })), 0);
    assert_eq!(rows(sum(DELTA, vec![NumberDataPoint { flags: 1, ..point(1, &[]) }])), 0);
    assert_eq!(rows(sum(DELTA, vec![point(-1, &[])])), 0);
}

#[test]
fn a_point_sent_again_has_its_id_again() {
    let id =
        |point: NumberDataPoint| map_metric(&config(RULE), sum(DELTA, vec![point])).only(Table::RateLimits)["event_id"].clone();
    let one = [attr("limit", 1), attr("rate_limit.type", "global")];
    let turned = [one[1].clone(), one[0].clone()];
    let first = id(point(1, &one));
    assert_eq!(first, id(point(1, &turned)), "the order of attributes does not matter");
    assert_ne!(first, id(point(1, &one[..1])));
    assert_ne!(first, id(NumberDataPoint { time_unix_nano: NOW, ..point(1, &one) }));
    assert_ne!(first, id(NumberDataPoint { start_time_unix_nano: NOW, ..point(1, &one) }));
}

#[test]
fn every_column_of_every_table_can_have_a_source() {
    for table in Table::ALL {
        let filled = ["started_at", "occurred_at", "deployed_at", "date", "hour"];
        for column in table.columns().iter().filter(|column| !filled.contains(&column.name)) {
            let value = match column.kind {
                crate::tables::ColumnType::Boolean => "false",
                crate::tables::ColumnType::String if column.name == "limit_type" => "global",
                crate::tables::ColumnType::String if column.name == "status" => "failed",
                crate::tables::ColumnType::String => "text",
                _ => "5",
            };
            let rule = format!(
                "metrics: [{{ metric: rate_limit.hits, table: {}, columns: {{ {}: {{ value: {value} }} }} }}]",
                table.name(),
                column.name
            );
            let mapped = map_metric(&config(&rule), sum(DELTA, vec![point(1, &[])]));
            assert_eq!(mapped.only(table)[column.name], value, "{}.{}", table.name(), column.name);
        }
    }
}

#[test]
fn a_column_can_have_the_value_of_the_point() {
    let rule = "metrics: [{ metric: rate_limit.hits, table: rate_limits, columns: { limit_value: { point: value } } }]";
    check(&map_metric(&config(rule), sum(DELTA, vec![point(42, &[])])).only(Table::RateLimits)["limit_value"], 42);
    let mapped = map_metric(&config(rule), sum(DELTA, vec![point(i64::MAX, &[])]));
    check(&mapped.only(Table::RateLimits)["limit_value"], "NULL");
    assert_eq!(mapped.tally.noted(Note::OutOfRange), 1);
}

#[test]
fn a_rule_fills_columns_that_the_configuration_adds() {
    let rule = "{ metric: rate_limit.hits, table: rate_limits, columns: { hits: { point: value }, tenant: { attribute: t } } }";
    let columns = "rate_limits: { hits: { type: long }, tenant: { value: none, type: string }, other: { value: 7, type: int } }";
    let config = config(&format!("{{ columns: {{ {columns} }}, metrics: [{rule}] }}"));
    let rows = |value, attributes: &[KeyValue]| {
        let row = map_metric(&config, sum(DELTA, vec![point(value, attributes)])).only(Table::RateLimits).clone();
        [row["hits"].clone(), row["tenant"].clone(), row["other"].clone()]
    };
    assert_eq!(rows(42, &[attr("t", "acme")]), ["42", "acme", "7"]);
    // The rule names the column, so that its sources are the rule's.
    assert_eq!(rows(1, &[]), ["1", "NULL", "7"]);
}

#[test]
fn a_rule_for_a_column_that_is_not_there_is_refused() {
    let refused = |columns: &str| {
        let config = config(&format!("metrics: [{{ metric: m, table: rate_limits, columns: {columns} }}]"));
        Mapping::new(&config, KEY, &mut Keys::default()).unwrap_err().to_string()
    };
    let unknown = refused("{ limit: { value: 1 } }");
    assert!(unknown.contains("`limit`") && unknown.contains("limit_value"), "{unknown}");
    assert!(refused("{ occurred_at: { value: 1 } }").contains("leave it out"));
    assert!(refused("{ date: { value: 1 } }").contains("leave it out"));
}

#[test]
fn a_fixed_value_of_a_rule_has_to_fit_its_column() {
    let rule = |column: &str| format!("metrics:\n  - metric: hits\n    table: rate_limits\n    columns: {{ {column} }}\n");
    for column in ["limit_value: { value: many }", "limit_value: { value: -1 }", "limit_type: { value: per_user }"] {
        let error = serde_saphyr::from_str::<MapConfig>(&rule(column)).unwrap_err().to_string();
        assert!(error.contains("in its range, found ") && error.contains("line 2"), "{error}");
    }
    let added = format!("columns: {{ rate_limits: {{ hits: {{ type: long }} }} }}\n{}", rule("hits: { value: some }"));
    let error = Mapping::new(&config(&added), KEY, &mut Keys::default()).unwrap_err().to_string();
    assert!(error.contains("the rule for the metric `hits`: expected a `value` of `hits`"), "{error}");
    config(&rule("limit_value: { value: 7 }, limit_type: { value: Per-IP }"));
}

#[test]
fn a_value_out_of_range_is_null_whatever_the_preset_reads() {
    let rule = "metrics: [{ metric: rate_limit.hits, table: rate_limits, columns: { limit_value: { attribute: limit } } }]";
    let mapped = map_metric(&config(rule), sum(DELTA, vec![point(1, &[attr("limit", -1), attr("rate_limit.limit", 9)])]));
    check(&mapped.only(Table::RateLimits)["limit_value"], "NULL");
    assert_eq!(mapped.tally.noted(Note::OutOfRange), 1);
}

#[test]
fn a_short_key_is_refused() {
    let error = Mapping::new(&MapConfig::default(), b"short", &mut Keys::default()).unwrap_err();
    check(error, "the key of derived ids must have at least 16 bytes, found 5: make one with `openssl rand -hex 32`");
}
