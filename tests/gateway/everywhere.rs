//! The end-to-end cases that hold on every catalog and store ([`super::warehouses`]): SDKs in, tables out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::acknowledged::Acknowledged;
use super::first_light::{by, send_a_day};
use super::floe::Floe;
use super::readers::{DUCKDB, questions};
use super::warehouses::{Place, Warehouse, everywhere};
use super::{python, send};

everywhere!(
    every_value_is_read_back,
    the_five_questions_have_the_answers_counted_by_hand,
    the_tables_have_the_schema_the_partitions_and_the_order_of_the_design,
    floe_tables_shows_rows_files_watermarks_and_a_line_for_duckdb,
    files_are_what_manifests_say_of_them_and_nothing_else_is_there,
    three_writers_of_one_table_lose_nothing_and_all_go_on,
    columns_that_three_gateways_add_at_once_are_all_there,
);

/// A gateway that has taken and committed the day of `tests/python/emit.py`, and that day.
fn a_day(place: &Place) -> (Floe, String) {
    let floe = place.start();
    let day = send_a_day(&floe);
    floe.settle();
    (floe, day)
}

/// `HH:MM:SS.ffffff` of the day, as PyIceberg's `timestamptz` prints.
fn at(day: &str, time: &str) -> String {
    format!("{day} {time}+00:00")
}

fn every_value_is_read_back(place: &Place) {
    let (floe, day) = &a_day(place);
    let invocations = python::rows(floe, "invocations");
    assert_eq!(invocations.len(), 7);
    let first = by(&invocations, "invocation_id", "c1");
    let expected = json!({
        "invocation_id": "c1", "function_id": "checkout", "language": "python", "version": "2026.11.1",
        "started_at": at(day, "10:00:00"), "duration_ms": 100.0, "success": true, "error_type": null, "error_message": null,
        "cold_start": true, "memory_used_bytes": 67_108_864, "client_ip": first["client_ip"], "region": "eu-west-1", "colo": null,
        "date": day, "hour": 10,
    });
    assert_eq!(first, &expected);
    let address = first["client_ip"].as_str().unwrap();
    assert!(address.len() == 32 && !address.contains('.'), "{address} is no keyed hash");
    let failed = by(&invocations, "invocation_id", "c3");
    assert_eq!((&failed["success"], &failed["error_type"]), (&json!(false), &json!("ValueError")));
    assert_eq!(by(&invocations, "invocation_id", "c4")["cold_start"], Value::Null);
    assert_eq!(by(&invocations, "invocation_id", "c4")["hour"], 23);
    assert_eq!(by(&invocations, "invocation_id", "r1")["language"], "javascript");

    let errors = python::rows(floe, "errors");
    assert_eq!(errors.len(), 2);
    let error = by(&errors, "error_type", "ValueError");
    assert_eq!(error["invocation_id"], "c3");
    assert_eq!(error["occurred_at"], at(day, "10:10:00.001000"));
    let message = error["error_message"].as_str().unwrap();
    assert!(message.contains("card declined") && message.contains("[redacted") && !message.contains("hunter2"), "{message}");
    let stack = error["stack_trace"].as_str().unwrap();
    assert!(stack.contains("Traceback") && stack.contains("ValueError") && !stack.contains("hunter2hunter2 given"), "{stack}");

    let limits = python::rows(floe, "rate_limits");
    assert_eq!(limits.len(), 4);
    let limit = by(&limits, "limit_type", "per_function");
    assert_eq!(
        (&limit["function_id"], &limit["limit_value"], &limit["occurred_at"]),
        (&json!("resize"), &json!(1000), &json!(at(day, "12:00:00")))
    );

    let deployments = python::rows(floe, "deployments");
    let expected = json!({
        "deployment_id": "d-1", "function_id": "checkout", "version": "2026.11.1", "previous_version": "2026.10.9",
        "deployed_at": at(day, "09:00:00"), "deployed_by": "ci", "code_size_bytes": 12345, "source_map_size_bytes": 678,
        "status": "success", "rollback_reason": null, "date": day,
    });
    assert_eq!(deployments, [expected]);
}

fn the_five_questions_have_the_answers_counted_by_hand(place: &Place) {
    let (floe, day) = a_day(place);
    for (query, expected) in questions(&floe, &day) {
        assert_eq!(Value::Array(python::sql(&floe, &DUCKDB.speak(query))), expected, "{query}");
    }
}

fn the_tables_have_the_schema_the_partitions_and_the_order_of_the_design(place: &Place) {
    let (floe, day) = &a_day(place);
    let data = floe.source.as_str();
    let table = &python::json_lines("read.py", &["table", data, "invocations"])[0];
    assert_eq!(table["format"], 2);
    assert_eq!(table["partition"], json!([["date", "identity", "date"], ["hour", "identity", "hour"]]));
    assert_eq!(table["sort"], json!([["function_id", "ASC", "NULLS FIRST"], ["started_at", "ASC", "NULLS FIRST"]]));
    let fields: Vec<(u64, &str, &str)> = table["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field[0].as_u64().unwrap(), field[1].as_str().unwrap(), field[2].as_str().unwrap()))
        .collect();
    assert_eq!(
        fields,
        [
            (1, "invocation_id", "string"),
            (2, "function_id", "string"),
            (3, "language", "string"),
            (4, "version", "string"),
            (5, "started_at", "timestamptz"),
            (6, "duration_ms", "double"),
            (7, "success", "boolean"),
            (8, "error_type", "string"),
            (9, "error_message", "string"),
            (10, "cold_start", "boolean"),
            (11, "memory_used_bytes", "long"),
            (12, "client_ip", "string"),
            (13, "region", "string"),
            (14, "colo", "string"),
            (15, "date", "date"),
            (16, "hour", "int"),
        ]
    );
    assert!(table["fields"].as_array().unwrap().iter().all(|field| field[3].as_str().is_some_and(|doc| !doc.is_empty())));
    for other in ["rate_limits", "deployments", "errors"] {
        let table = &python::json_lines("read.py", &["table", data, other])[0];
        assert_eq!(table["partition"], json!([["date", "identity", "date"]]), "{other}");
    }
    let all = python::json_lines("read.py", &["files", data, "invocations"]);
    let late = python::json_lines("read.py", &["files", data, "invocations", &format!("date = '{day}' and hour = 23")]);
    assert_eq!((all.len(), late.len()), (4, 1), "10 and 23 o'clock, 11 o'clock, and midnight: {all:#?}");
    let path = late[0]["path"].as_str().unwrap();
    assert!(path.starts_with(place.scheme()) && path.contains(&format!("/date={day}/hour=23/")), "{path}");
}

fn floe_tables_shows_rows_files_watermarks_and_a_line_for_duckdb(place: &Place) {
    let (floe, _) = &a_day(place);
    let printed = floe.run("tables");
    let line = format!("SELECT * FROM iceberg_scan('{}", place.scheme());
    for expected in ["invocations", "rate_limits", "deployments", "errors", "watermark", &line] {
        assert!(printed.contains(expected), "no {expected} in\n{printed}");
    }
}

/// Two commits of two partitions each: rows come in any order, 250 to a partition, in row groups of 100.
fn files_are_what_manifests_say_of_them_and_nothing_else_is_there(place: &Place) {
    let floe = place
        .start_with(|config| config.replace("max_bytes: 512MiB }", "max_bytes: 512MiB }\n    file: { row_group_rows: 100 }"));
    // Ten minutes into an hour that is over, and the one before it.
    let hour = 3_600_000_000_000;
    let start = send::now_nanos() / hour * hour - 2 * hour;
    for commit in 0..2 {
        let span = |n: u64| {
            let function = format!("f{}", n * 7 % 13);
            send::invocation(&format!("{commit}-{n}"), &function, start + n % 2 * hour + n * 7_919 % 500 * 1_000_000_000)
        };
        let body = send::body((0..500).map(span).collect());
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
        floe.settle();
    }
    let files = python::json_lines("files.py", &["manifests", &floe.source, "invocations"]);
    let mut a_commit = BTreeMap::new();
    for file in &files {
        *a_commit.entry(file["snapshot"].to_string()).or_insert(0) += 1;
        assert_eq!(file["said"], file["found"], "{file:#}");
        assert_eq!((&file["groups"], &file["sorted"]), (&json!([100, 100, 50]), &json!([true, true, true])), "{file:#}");
        assert_eq!(
            (&file["codecs"], &file["nulls"], &file["sort_order"]),
            (&json!(["ZSTD"]), &json!(true), &json!(1)),
            "{file:#}"
        );
        for column in ["function_id", "started_at", "duration_ms", "date", "hour"] {
            let bounds = &file["bounds"][column];
            assert!(bounds["said"].is_array() && bounds["said"] == bounds["found"], "{column}: {file:#}");
        }
        let ids = file["ids"].as_object().unwrap();
        assert_eq!((ids.len(), &ids["invocation_id"], &ids["started_at"], &ids["hour"]), (16, &json!(1), &json!(5), &json!(16)));
        let path = file["path"].as_str().unwrap();
        assert!(path.starts_with(place.scheme()) && path.contains("/date="), "{path}");
    }
    assert_eq!(a_commit.values().collect::<Vec<_>>(), [&2, &2], "a file a partition and commit");
    // Nessie shows the last snapshot only, and no older metadata.
    if place.warehouse != Warehouse::Nessie {
        assert_eq!(python::json_lines("files.py", &["unnamed", &floe.source]), [json!(null); 0]);
    }
}

/// So many gateways write one table at once, each with a log of its own.
fn writers(place: &Place, count: usize) {
    let start = || place.start_with(|config| config.replace("max_age: 60s", "max_age: 1s"));
    let mut gateways: Vec<Floe> = (0..count).map(|_| start()).collect();
    let mut acknowledged = Acknowledged::default();
    for round in 0..10 {
        for (writer, floe) in gateways.iter().enumerate() {
            acknowledged.send_one(floe, &format!("w{writer}-{round}"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    for floe in &mut gateways {
        assert!(floe.terminate().success(), "{}", floe.log());
    }
    acknowledged.check(&gateways[0], "many writers");
}

fn three_writers_of_one_table_lose_nothing_and_all_go_on(place: &Place) {
    writers(place, 3);
}

#[test]
fn eight_writers_of_one_table_lose_nothing_and_all_go_on() {
    if let Some(place) = Place::open(Warehouse::RestAndS3) {
        writers(&place, 8);
    }
}

/// Each adds a column of its own and one that all add, to a table that is there.
fn columns_that_three_gateways_add_at_once_are_all_there(place: &Place) {
    let (first, mut acknowledged) = (place.start(), Acknowledged::default());
    acknowledged.send_one(&first, "first");
    first.settle();
    let own = ["tenant", "plan", "zone"];
    let mut gateways = own.map(|own| {
        let column = |name: &str| format!("{name}: {{ attribute: app.{name}, type: string }}");
        let columns = format!("max_event_age: 0, columns: {{ invocations: {{ {}, {} }} }}", column("shared"), column(own));
        let mut floe = place.prepare_with(|config| config.replace("max_event_age: 0", &columns));
        floe.spawn();
        floe
    });
    for (floe, own) in gateways.iter_mut().zip(own) {
        floe.wait_until_ready();
        let mut span = send::invocation(own, "checkout", send::now_nanos());
        span.attributes.extend([send::string("app.shared", own), send::string(&format!("app.{own}"), "its own")]);
        assert_eq!(send::export(floe.ports.http, "traces", &send::body(vec![span])).unwrap().status, 200);
        acknowledged.push(own);
    }
    gateways.iter().for_each(Floe::settle);
    acknowledged.check(&first, "columns of three gateways");
    let rows = python::rows(&first, "invocations");
    for row in own {
        let row_of = by(&rows, "invocation_id", row);
        assert_eq!(row_of["shared"], row);
        for column in own {
            assert_eq!(row_of[column], if column == row { json!("its own") } else { Value::Null }, "{row_of}");
        }
    }
    let table = python::json_lines("read.py", &["table", &first.source, "invocations"]).remove(0);
    let mut ids: Vec<u64> = table["fields"].as_array().unwrap().iter().map(|field| field[0].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 16 + 1 + own.len(), "{table:#}");
    // One that knows of none of them goes on.
    acknowledged.send_one(&first, "last");
    first.settle();
    acknowledged.check(&first, "a gateway without them");
}
