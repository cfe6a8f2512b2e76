//! Deployments from our own event and from pipelines.

use super::*;

#[track_caller]
fn row(mapped: &Mapped, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(mapped.only(Table::Deployments)[*column], *value, "{column}");
    }
}

#[test]
fn our_event_is_a_deployment_whatever_its_severity() {
    let attributes = [
        attr("deployment.id", "d-1"),
        attr("faas.name", "f"),
        attr("faas.version", "8"),
        attr("deployment.previous_version", "7"),
        attr("deployment.deployed_by", "ci"),
        attr("deployment.code_size_bytes", "2048"),
        attr("deployment.source_map_size_bytes", 4096),
        attr("deployment.status", "rolled_back"),
        attr("deployment.rollback_reason", " too many errors "),
    ];
    let mapped = map_logs(&[], vec![named(log(17, "", &attributes), "faas.deployment")]);
    let at = ((NOW - 30 * SECOND) / 1_000).to_string();
    row(
        &mapped,
        &[
            ("deployment_id", "d-1"),
            ("function_id", "f"),
            ("version", "8"),
            ("previous_version", "7"),
            ("deployed_at", &at),
            ("deployed_by", "ci"),
            ("code_size_bytes", "2048"),
            ("source_map_size_bytes", "4096"),
            ("status", "rolled_back"),
            ("rollback_reason", " too many errors "),
        ],
    );
    assert!(mapped.of(Table::Errors).is_empty());
}

#[test]
fn the_id_of_a_deployment_is_no_version_of_it() {
    let sent = [attr("deployment.id", "d-1")];
    row(&map_logs(&[], vec![named(log(9, "", &sent), "faas.deployment")]), &[("version", "NULL")]);
}

#[test]
fn the_words_of_the_conventions_become_those_of_the_table() {
    let cases = [
        ("succeeded", "success", 0),
        ("success", "success", 0),
        ("failed", "failed", 0),
        ("Rolled-Back", "rolled_back", 0),
        ("pending", "NULL", 1),
    ];
    for (sent, expected, counted) in cases {
        let mapped = map_logs(&[], vec![named(log(9, "", &[attr("deployment.status", sent)]), "faas.deployment")]);
        row(&mapped, &[("status", expected)]);
        assert_eq!(mapped.tally.noted(Note::OutOfRange), counted, "{sent}");
    }
    let pending = named(log(9, "", &[attr("deployment.status", "pending")]), "faas.deployment");
    row(&map_logs(&[attr("deployment.status", "success")], vec![pending]), &[("status", "success")]);
}

#[test]
fn a_task_of_a_pipeline_that_deploys_is_a_deployment() {
    let task = |result: &str| {
        let attributes = [
            attr("cicd.pipeline.task.type", "deploy"),
            attr("cicd.pipeline.task.run.id", "run-1"),
            attr("cicd.pipeline.task.run.result", result),
            attr("vcs.ref.head.revision", "abc"),
            attr("service.version", "1"),
        ];
        map_spans(&[attr("service.name", "f")], vec![span(1, INTERNAL, &attributes)])
    };
    let at = ((NOW - 60 * SECOND + 20_000_000) / 1_000).to_string();
    let expected =
        [("deployment_id", "run-1"), ("function_id", "f"), ("version", "abc"), ("status", "success"), ("deployed_at", &at)];
    row(&task("success"), &expected);
    for result in ["failure", "error", "timeout", "cancellation"] {
        row(&task(result), &[("status", "failed")]);
    }
    assert_eq!(task("skip").tally.unmapped, 1);
}

#[test]
fn a_deployment_on_a_resource_is_none() {
    let mapped = map_logs(&[attr("deployment.id", "d-1")], vec![log(9, "", &[])]);
    assert!(mapped.rows.is_empty());
}
