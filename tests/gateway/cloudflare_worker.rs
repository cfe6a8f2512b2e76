//! The example Worker under Node, as `tests/emitters/javascript/worker.mjs` calls it: one row in each table, every column read back.
//! The gateway's log is full at first: the sink waits as it is told and sends again.

use serde_json::{Value, json};

use super::emitters::{full, part, refuse_once};
use super::python;

/// What only the clock or chance knows is taken from the row; it has to be there.
fn taken<'a>(row: &'a Value, column: &str) -> &'a Value {
    let value = &row[column];
    assert!(!value.is_null(), "no {column} in {row:#}");
    value
}

#[test]
fn the_example_worker_makes_one_row_in_each_table() {
    let Some(folder) = part("JAVASCRIPT") else { return };
    let (floe, _, before) = full();
    let endpoint = format!("http://{}", floe.ports.http);
    let script = folder.join("worker.mjs");
    let piped = std::process::Stdio::piped;
    let node = std::process::Command::new(folder.join("node"))
        .arg(script)
        .arg(endpoint)
        .stdout(piped())
        .stderr(piped())
        .spawn()
        .unwrap();
    refuse_once(&floe, before);
    let output = node.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && output.stderr.is_empty(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({"failed": "no such customer", "limited": 429, "refused": 401, "deployed": 204}));
    floe.flush();

    let only = |table: &str| {
        let mut rows = python::rows(&floe, table);
        rows.retain(|row| row["function_id"] == "shop");
        assert_eq!(rows.len(), 1, "{table}: {rows:#?}");
        rows[0].clone()
    };
    let row = only("invocations");
    let expected = json!({
        "invocation_id": "8f1d2c3b4a5e6f70-LHR", "function_id": "shop", "language": "javascript", "version": "v7",
        "started_at": taken(&row, "started_at"), "duration_ms": taken(&row, "duration_ms"), "success": false,
        "error_type": "TypeError", "error_message": "no such customer", "cold_start": true, "memory_used_bytes": null,
        "client_ip": taken(&row, "client_ip"), "region": "WEUR", "colo": "LHR", "date": taken(&row, "date"), "hour": taken(&row, "hour"),
    });
    assert_eq!(row, expected);
    let row = only("errors");
    assert!(row["stack_trace"].as_str().is_some_and(|stack| stack.contains("worker.js")), "{row:#}");
    let expected = json!({
        "error_id": taken(&row, "error_id"), "invocation_id": "8f1d2c3b4a5e6f70-LHR", "function_id": "shop",
        "occurred_at": taken(&row, "occurred_at"), "error_type": "TypeError", "error_message": "no such customer",
        "stack_trace": row["stack_trace"], "language": "javascript", "version": "v7", "date": taken(&row, "date"),
    });
    assert_eq!(row, expected);
    let row = only("rate_limits");
    let expected = json!({
        "event_id": taken(&row, "event_id"), "function_id": "shop", "client_ip": taken(&row, "client_ip"),
        "occurred_at": taken(&row, "occurred_at"), "limit_type": "per_ip", "limit_value": 100, "region": "WEUR", "colo": "LHR",
        "date": taken(&row, "date"),
    });
    assert_eq!(row, expected);
    let row = only("deployments");
    let expected = json!({
        "deployment_id": "d-7", "function_id": "shop", "version": "v7", "previous_version": "v6",
        "deployed_at": taken(&row, "deployed_at"), "deployed_by": "ci", "code_size_bytes": 12345, "source_map_size_bytes": 678,
        "status": "success", "rollback_reason": null, "date": taken(&row, "date"),
    });
    assert_eq!(row, expected);
}
