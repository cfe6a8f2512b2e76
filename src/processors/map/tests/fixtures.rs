//! Recorded payloads of Cloudflare Workers make the rows that their README names.

use super::*;

fn map_fixture(config: &MapConfig, signal: Signal, name: &str) -> Mapped {
    let path = format!("{}/tests/fixtures/cloudflare-workers/{name}", env!("CARGO_MANIFEST_DIR"));
    map_body(config, signal, Encoding::Json, &std::fs::read(path).unwrap())
}

#[track_caller]
fn row<'m>(rows: &'m [Row], column: &str, value: &str) -> &'m Row {
    rows.iter().find(|row| row[column] == value).unwrap_or_else(|| panic!("no row with {column} = {value} in {rows:#?}"))
}

#[track_caller]
fn has(row: &Row, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(row[*column], *value, "{column}");
    }
}

#[test]
fn traces_make_two_invocations_and_one_error() {
    let mapped = map_fixture(&MapConfig::default(), Signal::Traces, "traces.json");
    let invocations = mapped.of(Table::Invocations);
    assert_eq!(invocations.len(), 2);
    let crashed = row(invocations, "invocation_id", "6f0e1b7f37245f2a9334ee564c4d1749");
    has(
        crashed,
        &[
            ("function_id", "telemetry-spike-producer"),
            ("language", "javascript"),
            ("version", "ea4ed790-bb4e-4a0f-9c8f-30328336f811"),
            ("started_at", "1790774697686000"),
            ("duration_ms", "19"),
            ("success", "false"),
            ("error_type", "Error"),
            ("error_message", "producer crash crash-16"),
            ("cold_start", "NULL"),
            ("region", "WEUR"),
            ("colo", "LHR"),
        ],
    );
    let called = row(invocations, "invocation_id", "9e587341d6744bc91a302006863bdf20");
    has(called, &[("success", "true"), ("error_type", "NULL"), ("duration_ms", "2")]);
    has(
        mapped.only(Table::Errors),
        &[
            ("invocation_id", "6f0e1b7f37245f2a9334ee564c4d1749"),
            ("error_type", "Error"),
            ("error_message", "producer crash crash-16"),
            ("stack_trace", "    at Object.fetch (index.js:80:13)"),
        ],
    );
    assert_eq!((mapped.tally.mapped, mapped.tally.unmapped), (2, 3));
    assert_eq!(mapped.rows.len(), 2);
}

#[test]
fn the_log_of_the_exception_is_the_error_of_the_span() {
    let traces = map_fixture(&MapConfig::default(), Signal::Traces, "traces.json");
    let logs = map_fixture(&MapConfig::default(), Signal::Logs, "logs.json");
    let errors = logs.of(Table::Errors);
    assert_eq!((errors.len(), logs.rows.len()), (2, 1));
    check(&row(errors, "error_message", "producer crash crash-16")["error_id"], traces.error("error_id"));
    assert_ne!(row(errors, "error_message", "dyn threw")["error_id"], traces.error("error_id"));
}

#[test]
fn without_spans_the_logs_of_requests_are_invocations() {
    let logs = map_fixture(&config("invocations: { from_logs: true }"), Signal::Logs, "logs.json");
    let invocations = logs.of(Table::Invocations);
    assert_eq!(invocations.len(), 2);
    has(row(invocations, "invocation_id", "6f0e1b7f37245f2a9334ee564c4d1749"), &[("success", "false"), ("error_type", "500")]);
    has(row(invocations, "invocation_id", "b1542b86ba05bdd638554fdadbf8fa97"), &[("success", "true"), ("error_type", "NULL")]);
}

#[test]
fn a_preflight_makes_no_row() {
    for (signal, name) in [(Signal::Traces, "preflight-traces.json"), (Signal::Logs, "preflight-logs.json")] {
        let mapped = map_fixture(&MapConfig::default(), signal, name);
        assert!(mapped.rows.is_empty());
        assert_eq!(mapped.tally.unmapped, 1);
    }
}
