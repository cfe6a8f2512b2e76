//! Columns that the configuration adds: in new tables and in tables that are there, through restarts and a kill.

use std::fs;

use serde_json::Value;

use super::floe::Floe;
use super::{python, send};

const FIRST: &str = "columns: { invocations: { trace_id: { field: trace_id }, span_id: { field: span_id }, tenant: { attribute: app.tenant, type: string } } }";
const SECOND: &str =
    "columns: { invocations: { trace_id: { field: trace_id }, attempt: { attribute: app.attempt, type: int } } }";
const WRONG: &str = "columns: { invocations: { tenant: { attribute: app.tenant, type: long } } }";

fn start(columns: &str) -> Floe {
    Floe::start_with(|config| config.replace("max_event_age: 0 }", &format!("max_event_age: 0, {columns} }}")))
}

fn change(floe: &Floe, from: &str, to: &str) {
    let path = floe.directory.join("pipelines.yaml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(path, config.replace(from, to)).unwrap();
}

fn export(floe: &Floe, id: &str) {
    let mut span = send::invocation(id, "checkout", send::now_nanos());
    span.attributes.push(send::string("app.tenant", &format!("tenant of {id}, password=hunter2-{id}")));
    span.attributes.push(send::string("app.attempt", "3"));
    let body = send::body(vec![span]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
}

fn row<'r>(rows: &'r [Value], id: &str) -> &'r Value {
    rows.iter().find(|row| row["invocation_id"] == id).unwrap_or_else(|| panic!("no {id} in {rows:?}"))
}

#[test]
fn columns_are_added_to_a_live_table_and_rows_in_the_log_keep_theirs() {
    let mut floe = start(FIRST);
    export(&floe, "committed");
    floe.flush();
    export(&floe, "held");
    floe.kill_9();
    change(&floe, FIRST, SECOND);
    floe.restart();
    export(&floe, "new");
    floe.flush();

    let rows = python::rows(&floe, "invocations");
    assert_eq!(rows.len(), 3);
    for id in ["committed", "held", "new"] {
        let trace_id = row(&rows, id)["trace_id"].as_str().unwrap();
        assert!(trace_id.len() == 32 && trace_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{trace_id}");
    }
    for id in ["committed", "held"] {
        let row = row(&rows, id);
        assert_eq!(row["span_id"].as_str().unwrap().len(), 16);
        let tenant = row["tenant"].as_str().unwrap();
        assert!(tenant.starts_with(&format!("tenant of {id}, password=[redacted")) && !tenant.contains("hunter2"), "{tenant}");
        assert_eq!(row["attempt"], Value::Null);
    }
    let new = row(&rows, "new");
    assert_eq!((&new["tenant"], &new["span_id"], &new["attempt"]), (&Value::Null, &Value::Null, &Value::from(3)));

    let table = python::json_lines("read.py", &["table", floe.data().to_str().unwrap(), "invocations"]).remove(0);
    let fields: Vec<(i64, &str, &str)> = table["fields"].as_array().unwrap()[15..]
        .iter()
        .map(|field| (field[0].as_i64().unwrap(), field[1].as_str().unwrap(), field[2].as_str().unwrap()))
        .collect();
    let added = [(17, "span_id", "string"), (18, "tenant", "string"), (19, "trace_id", "string"), (20, "attempt", "int")];
    assert_eq!(fields, [&[(16, "hour", "int")], &added[..]].concat());
    assert!(floe.run("tables").contains("hour int, span_id string, tenant string, trace_id string, attempt int"));
    assert_eq!(python::sql(&floe, "SELECT count(tenant) AS n FROM {invocations}")[0]["n"], 2);
}

#[test]
fn another_type_of_a_live_column_stops_its_table_until_the_configuration_is_mended() {
    let mut floe = start(FIRST);
    export(&floe, "first");
    floe.flush();
    assert!(floe.terminate().success(), "{}", floe.log());
    change(&floe, FIRST, WRONG);
    floe.restart();
    export(&floe, "second");
    let output = floe.command("flush").output().unwrap();
    assert!(!output.status.success());
    assert!(floe.log().contains("column `tenant` is string, expected long"), "{}", floe.log());
    floe.kill_9();
    change(&floe, WRONG, SECOND);
    floe.restart();
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["first", "second"]);
}

#[test]
fn a_column_that_somebody_dropped_stops_its_table_by_name_until_it_is_there_again() {
    let mut floe = start(FIRST);
    export(&floe, "first");
    floe.flush();
    python::run("meddle.py", &["drop_column", &floe.source, "invocations", "tenant"]);
    export(&floe, "second");
    assert!(!floe.command("flush").output().unwrap().status.success());
    let why = "column `tenant` was dropped or renamed by somebody else: add it to the table again, optional, as string";
    assert!(floe.run("status").contains(why), "{}", floe.run("status"));
    floe.wait_until("the column in the health", || {
        let health = send::get(floe.ports.health, "/").unwrap();
        let words = ["\"table\":\"invocations\",\"state\":\"stopped\"", why];
        health.status == 200 && words.iter().all(|words| health.text().contains(words))
    });
    let said = floe.command("check").output().unwrap();
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stdout).contains(why), "{said:?}");
    python::run("meddle.py", &["add_column", &floe.source, "invocations", "tenant"]);
    assert!(floe.terminate().success(), "{}", floe.log());
    floe.restart();
    floe.settle();
    let rows = python::rows(&floe, "invocations");
    assert_eq!(row(&rows, "first")["tenant"], Value::Null, "under another id");
    assert!(row(&rows, "second")["tenant"].as_str().unwrap().starts_with("tenant of second"));
}
