//! floe's own metrics: every family that an operator is promised is there, with the numbers that were sent.

use super::floe::Floe;
use super::send;

#[test]
fn own_metrics_count_records_rows_and_the_log() {
    let floe = Floe::start();
    let body = send::body((0..7).map(|n| send::invocation(&format!("i{n}"), "checkout", send::now_nanos())).collect());
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    floe.flush();
    let page = send::get(floe.ports.metrics, "/metrics").unwrap().text();
    let value = |series: &str| {
        let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).map(|value| value.to_string())
    };
    for (series, expected) in [
        ("otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"http\"}", "7"),
        ("floe_pipeline_records_total{pipeline=\"traces\",signal=\"traces\",state=\"mapped\"}", "7"),
        ("floe_destination_rows{exporter=\"iceberg\",table=\"invocations\",state=\"logged\"}", "7"),
        ("floe_destination_rows{exporter=\"iceberg\",table=\"invocations\",state=\"committed\"}", "7"),
        ("floe_destination_rows{exporter=\"iceberg\",table=\"invocations\",state=\"held\"}", "0"),
        ("floe_wal_max_bytes", "10737418240"),
    ] {
        assert_eq!(value(series).as_deref(), Some(expected), "{series} in\n{page}");
    }
    for family in ["floe_commits_total{", "floe_prometheus_series{", "floe_wal_size_bytes ", "otelcol_process_memory_rss"] {
        assert!(page.contains(family), "no {family} in\n{page}");
    }
}
