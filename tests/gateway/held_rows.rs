//! The configuration changes while rows are held: they go where their exporter's id points now, and if it points nowhere the start is refused with the ways
//! out.

use super::floe::Floe;
use super::{python, send};

fn export(floe: &Floe, id: &str) {
    let body = send::body(vec![send::invocation(id, "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
}

/// One row is held, and the process is dead.
fn holding() -> Floe {
    let mut floe = Floe::start();
    export(&floe, "held");
    floe.kill_9();
    floe
}

fn check_refused(rename: impl Fn(String) -> String) {
    let mut floe = holding();
    let path = floe.directory.join("pipelines.yaml");
    let before = std::fs::read_to_string(&path).unwrap();
    floe.reconfigure(rename);
    let said = floe.refuses_to_start();
    for words in
        ["1 rows are held for iceberg:invocations", "put that exporter back until they are committed", "floe-data/wal away"]
    {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    std::fs::write(&path, before).unwrap();
    floe.restart();
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["held"]);
}

#[test]
fn a_renamed_exporter_with_held_rows_is_refused_until_they_are_committed() {
    check_refused(|config| config.replace("  iceberg:\n", "  iceberg/lake:\n").replace("[iceberg, ", "[iceberg/lake, "));
}

#[test]
fn a_removed_exporter_with_held_rows_is_refused_until_they_are_committed() {
    check_refused(|config| {
        let (head, rest) = config.split_once("  iceberg:\n").unwrap();
        let (_, tail) = rest.split_once("  prometheus:").unwrap();
        format!("{head}  prometheus:{tail}").replace("[iceberg, ", "[")
    });
}

#[test]
fn held_rows_go_to_the_namespace_that_their_exporter_has_now() {
    let mut floe = Floe::start();
    export(&floe, "committed");
    floe.flush();
    export(&floe, "held");
    floe.kill_9();
    floe.reconfigure(|config| config.replace("namespace: analytics", "namespace: moved.here"));
    floe.restart();
    export(&floe, "new");
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["committed"]);
    assert_eq!(python::column(&floe, "moved.here.invocations", "invocation_id"), ["held", "new"]);
    // And back: nothing is written again.
    assert!(floe.terminate().success(), "{}", floe.log());
    floe.reconfigure(|config| config.replace("namespace: moved.here", "namespace: analytics"));
    floe.restart();
    export(&floe, "back");
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["back", "committed"]);
}

#[test]
fn an_exporter_that_is_added_gets_what_comes_from_now_on() {
    let mut floe = holding();
    floe.reconfigure(|config| {
        config
            .replace(
                "  prometheus: {",
                "  iceberg/second:\n    catalog: { type: sql, uri: \"sqlite://floe-data/catalog.db\", warehouse: floe-data/warehouse }\n    \
                 namespace: second\n  prometheus: {",
            )
            .replace("[iceberg, ", "[iceberg, iceberg/second, ")
    });
    floe.restart();
    export(&floe, "new");
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["held", "new"]);
    assert_eq!(python::column(&floe, "second.invocations", "invocation_id"), ["new"]);
}
