//! What people do to a table under a running gateway: watermark removed, put back or raised; rolled back, dropped, restored from a backup, partitioned
//! otherwise. And two ways into one log. ("What others do" in docs/exactly-once.md.)

use std::fs;
use std::path::PathBuf;

use super::floe::Floe;
use super::{python, send};

fn export(floe: &Floe, id: &str) {
    let body = send::body(vec![send::invocation(id, "checkout", send::now_nanos())]);
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
}

fn meddle(floe: &Floe, action: &str) {
    python::run("meddle.py", &[action, floe.data().to_str().unwrap(), "invocations"]);
}

fn ids(floe: &Floe) -> Vec<String> {
    python::column(floe, "invocations", "invocation_id")
}

/// A gateway that has committed two rows with a commit each.
fn committed() -> Floe {
    let floe = Floe::start();
    for id in ["first", "second"] {
        export(&floe, id);
        floe.flush();
    }
    floe
}

/// After `action` a third row is committed, and the table has these.
fn check(action: &str, expected: &[&str], said: Option<&str>) {
    let floe = committed();
    meddle(&floe, action);
    export(&floe, "third");
    floe.flush();
    assert_eq!(ids(&floe), expected);
    if let Some(words) = said {
        assert!(floe.log().contains(words), "`{words}` is not in\n{}", floe.log());
    }
    export(&floe, "fourth");
    floe.flush();
    assert_eq!(ids(&floe).len(), expected.len() + 1);
}

#[test]
fn a_watermark_that_is_removed_or_put_back_is_told_and_nothing_is_written_again() {
    let told = "the table's watermark was put back or removed";
    check("remove", &["first", "second", "third"], Some(told));
    check("put_back", &["first", "second", "third"], Some(told));
}

#[test]
fn what_was_rolled_back_stays_away() {
    check("rollback", &["first", "third"], None);
}

#[test]
fn rows_go_on_into_a_table_that_is_partitioned_otherwise_since() {
    check("spec", &["first", "second", "third"], None);
}

#[test]
fn a_watermark_that_is_raised_fences_the_table() {
    let floe = committed();
    meddle(&floe, "raise");
    export(&floe, "third");
    floe.wait_until("the fence", || floe.run("status").contains("fenced"));
    let refused =
        send::export(floe.ports.http, "traces", &send::body(vec![send::invocation("4", "checkout", send::now_nanos())]));
    assert_eq!(refused.unwrap().status, 503);
    assert_eq!(ids(&floe), ["first", "second"]);
}

#[test]
fn a_dropped_table_is_made_again_at_the_next_start_and_gets_what_is_held() {
    let mut floe = committed();
    meddle(&floe, "drop");
    export(&floe, "third");
    let flushed = floe.command("flush").output().unwrap();
    assert!(
        String::from_utf8_lossy(&flushed.stderr).contains("the table is gone; restart floe to create it again"),
        "{flushed:?}"
    );
    floe.terminate();
    floe.restart();
    floe.flush();
    assert_eq!(ids(&floe), ["third"]);
}

/// SQLite's file, and those beside it.
fn catalog_files(floe: &Floe) -> Vec<PathBuf> {
    let files = fs::read_dir(floe.data()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("catalog.db")).collect()
}

#[test]
fn a_catalog_from_a_backup_is_told_of_and_gone_on_with() {
    let mut floe = Floe::start();
    export(&floe, "first");
    floe.flush();
    assert!(floe.terminate().success(), "{}", floe.log());
    let backup: Vec<_> = catalog_files(&floe).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    floe.restart();
    export(&floe, "second");
    floe.flush();
    assert!(floe.terminate().success(), "{}", floe.log());
    for file in catalog_files(&floe) {
        fs::remove_file(file).unwrap();
    }
    for (bytes, file) in backup {
        fs::write(file, bytes).unwrap();
    }
    floe.restart();
    export(&floe, "third");
    floe.flush();
    assert_eq!(ids(&floe), ["first", "third"]);
    let told = "if its metadata was restored from a backup, rows committed between the two are gone from it";
    assert!(floe.log().contains(told), "{}", floe.log());
}

#[test]
fn an_exporter_led_to_a_table_of_another_one_writes_there_what_it_holds() {
    let mut floe = two_ways("catalog: { type: sql, uri: \"sqlite://nowhere/catalog.db\", warehouse: /dev/null/warehouse }");
    let other = second(&floe);
    for (http, id) in [(floe.ports.http, "a1"), (other, "b1"), (floe.ports.http, "a2")] {
        let body = send::body(vec![send::invocation(id, "checkout", send::now_nanos())]);
        assert_eq!(send::export(http, "traces", &body).unwrap().status, 200);
    }
    floe.wait_until("the commit of one", || {
        let _ = floe.command("flush").output();
        floe.run("status").lines().any(|line| line.contains("iceberg:invocations") && line.contains(" 2 = 2 + 0 "))
    });
    floe.kill_9();
    floe.reconfigure(|config| {
        let (head, rest) = config.split_once("  iceberg:\n").unwrap();
        let (_, tail) = rest.split_once("  iceberg/b:").unwrap();
        let b = tail.replacen(
            "catalog: { type: sql, uri: \"sqlite://nowhere/catalog.db\", warehouse: /dev/null/warehouse }",
            CATALOG,
            1,
        );
        format!("{head}  iceberg/b:{b}")
            .replace("[iceberg, prometheus]", "[prometheus]")
            .replace("namespace: second", "namespace: analytics")
    });
    floe.restart();
    floe.flush();
    assert_eq!(ids(&floe), ["a1", "a2", "b1"]);
}

const CATALOG: &str = "catalog: { type: sql, uri: \"sqlite://floe-data/catalog.db\", warehouse: floe-data/warehouse }";

/// Two receivers, each with a pipeline and an exporter of its own; the second exporter has this catalog.
fn two_ways(catalog: &str) -> Floe {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap();
    drop(socket);
    Floe::start_with(|config| {
        config
            .replace("processors:\n  map", &format!("  otlp/b: {{ protocols: {{ http: {{ endpoint: {port} }} }} }}\nprocessors:\n  map"))
            .replace("  prometheus: {", &format!("  iceberg/b:\n    {catalog}\n    namespace: second\n  prometheus: {{"))
            .replace(
                "  pipelines:\n",
                "  pipelines:\n    traces/b: { receivers: [otlp/b], processors: [map, sanitize, hash_ip, truncate_stack], exporters: [iceberg/b] }\n",
            )
    })
}

/// Where the second receiver listens.
fn second(floe: &Floe) -> std::net::SocketAddr {
    let config = fs::read_to_string(floe.directory.join("pipelines.yaml")).unwrap();
    let line = config.lines().find(|line| line.contains("otlp/b: {")).unwrap();
    line.split("endpoint: ").nth(1).unwrap().split_once(' ').unwrap().0.parse().unwrap()
}

#[test]
fn the_same_body_by_another_receiver_is_another_request() {
    let floe = two_ways(CATALOG);
    let body = send::body(vec![send::invocation("both", "checkout", send::now_nanos())]);
    for http in [floe.ports.http, second(&floe), floe.ports.http, second(&floe)] {
        assert_eq!(send::export(http, "traces", &body).unwrap().status, 200);
    }
    floe.flush();
    assert_eq!(ids(&floe), ["both"]);
    assert_eq!(python::column(&floe, "second.invocations", "invocation_id"), ["both"]);
}
