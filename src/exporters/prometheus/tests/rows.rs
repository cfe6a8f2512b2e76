//! Rows to series.

use super::*;
use crate::tables::rows::{DeploymentRow, ErrorRow, InvocationRow, RateLimitRow, RowBuilders};
use crate::tables::{Clearance, Columns, Raw};

/// One batch a table: three invocations, two errors, a rate limit, a deployment.
pub(super) fn rows() -> Vec<Cleared> {
    let mut rows = RowBuilders::new();
    for (duration_ms, success, cold_start) in
        [(Some(30.0), true, Some(true)), (Some(5.0), true, None), (None, false, Some(false))]
    {
        let (function_id, language) = (Some("checkout".into()), Some("python".into()));
        let row = InvocationRow {
            function_id,
            language,
            duration_ms,
            success,
            cold_start,
            memory_used_bytes: Some(64 << 20),
            version: Some("7".into()),
            region: Some("eu".into()),
            invocation_id: "secret-id".into(),
            client_ip: Some("192.0.2.1".into()),
            ..InvocationRow::default()
        };
        rows.push_invocation(&row).unwrap();
    }
    for error_type in ["ValueError", "a \"b\"\n"] {
        let row = ErrorRow { function_id: Some("checkout".into()), error_type: Some(error_type.into()), ..ErrorRow::default() };
        rows.push_error(&row).unwrap();
    }
    rows.push_rate_limit(&RateLimitRow {
        function_id: Some("checkout".into()),
        limit_type: Some("per_ip".into()),
        ..RateLimitRow::default()
    })
    .unwrap();
    for (version, deployed_at) in [("7", 1_700_000_000_500_000), ("6", 1_600_000_000_000_000)] {
        let (function_id, version) = (Some("checkout".into()), Some(version.into()));
        let row = DeploymentRow { function_id, version, deployed_at, status: Some("success".into()), ..DeploymentRow::default() };
        rows.push_deployment(&row).unwrap();
    }
    let clearance =
        Clearance::of(Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]), &Columns::NONE.into(), [].into_iter()).unwrap();
    rows.finish().into_iter().map(|batch| clearance.clear(batch)).collect()
}

#[test]
fn rows_are_counted_by_function() {
    let exporter = exporter(1_000);
    for batch in rows().iter().chain(&rows()) {
        exporter.observe_rows(batch, after(&exporter, 0));
    }
    let text = super::text(&exporter);
    for line in [
        "# TYPE function_invocations_total counter",
        "function_invocations_total{function=\"checkout\",language=\"python\",outcome=\"success\"} 4",
        "function_invocations_total{function=\"checkout\",language=\"python\",outcome=\"failure\"} 2",
        "function_starts_total{function=\"checkout\",language=\"python\",start=\"cold\"} 2",
        "function_starts_total{function=\"checkout\",language=\"python\",start=\"warm\"} 2",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"0.005\"} 2",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"0.025\"} 2",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"0.05\"} 4",
        "function_duration_seconds_bucket{function=\"checkout\",language=\"python\",le=\"+Inf\"} 4",
        "function_duration_seconds_count{function=\"checkout\",language=\"python\"} 4",
        "function_errors_total{function=\"checkout\",type=\"ValueError\"} 2",
        "function_errors_total{function=\"checkout\",type=\"a \\\"b\\\"\\n\"} 2",
        "function_rate_limits_total{function=\"checkout\",type=\"per_ip\"} 2",
        "function_memory_used_bytes_bucket{function=\"checkout\",language=\"python\",le=\"67108864\"} 6",
        "function_memory_used_bytes_sum{function=\"checkout\",language=\"python\"} 402653184",
        "function_deployments_total{function=\"checkout\",status=\"success\"} 4",
        "function_deployment_timestamp_seconds{function=\"checkout\",status=\"success\",version=\"7\"} 1700000000.5",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(!text.contains("secret-id") && !text.contains("192.0.2.1"));
}

#[test]
fn the_labels_and_buckets_of_rows_are_chosen() {
    let functions = "{ labels: [region, version], duration_buckets: [0.02, 1], native_histograms: false }";
    let exporter = yaml(&format!("functions: {functions}"));
    for batch in rows() {
        exporter.observe_rows(&batch, after(&exporter, 0));
    }
    let text = super::text(&exporter);
    let of = "function=\"checkout\",region=\"eu\",version=\"7\"";
    for line in [
        format!("function_duration_seconds_bucket{{{of},le=\"0.02\"}} 1"),
        "function_invocations_total{function=\"checkout\",outcome=\"failure\",region=\"eu\",version=\"7\"} 1".to_owned(),
        "function_errors_total{function=\"checkout\",type=\"ValueError\"} 1".to_owned(),
        "function_rate_limits_total{function=\"checkout\",type=\"per_ip\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(!text.contains("language="));
}

/// Deployments come in any order; the newest of each status tells its version.
#[test]
fn a_newer_deployment_takes_the_place_of_the_older() {
    let exporter = exporter(1_000);
    let clearance =
        Clearance::of(Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]), &Columns::NONE.into(), [].into_iter()).unwrap();
    for (version, status, deployed_at) in [("1", "success", 10), ("3", "failed", 30), ("2", "success", 20), ("0", "success", 5)] {
        let mut builders = RowBuilders::new();
        let (function_id, deployed_at) = (Some("f".into()), deployed_at * 1_000_000);
        let row = DeploymentRow {
            function_id,
            version: Some(version.into()),
            deployed_at,
            status: Some(status.into()),
            ..DeploymentRow::default()
        };
        builders.push_deployment(&row).unwrap();
        for batch in builders.finish() {
            exporter.observe_rows(&clearance.clear(batch), after(&exporter, 0));
        }
    }
    let text = super::text(&exporter);
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("function_deployment_timestamp_seconds{")).collect();
    let expected = [
        "function_deployment_timestamp_seconds{function=\"f\",status=\"failed\",version=\"3\"} 30",
        "function_deployment_timestamp_seconds{function=\"f\",status=\"success\",version=\"2\"} 20",
    ];
    assert_eq!(told, expected);
}
