//! Rows that fit no table, and rows that were moved out of the log: set aside, counted, and brought back.

use std::fs;

use super::floe::{Floe, files_below};
use super::{python, send};

const TEXT: &str = "columns: { invocations: { tenant: { attribute: app.tenant, type: string } } }";
const NUMBER: &str = "columns: { invocations: { tenant: { attribute: app.tenant, type: long } } }";

/// Six held rows of one request, four of them with a tenant that is text; the table of the next start has numbers there.
pub fn with_rows_that_do_not_fit() -> Floe {
    let mut floe = Floe::start_with(|config| {
        config
            .replace("max_event_age: 0 }", &format!("max_event_age: 0, {TEXT} }}"))
            .replace("namespace: analytics", "namespace: before")
    });
    let span = |n: usize| {
        let mut span = send::invocation(&format!("i{n}"), "checkout", send::now_nanos());
        if n < 4 {
            span.attributes.push(send::string("app.tenant", &format!("tenant {n}, password=hunter2-{n}")));
        }
        span
    };
    let body = send::body((0..6).map(span).collect());
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    floe.kill_9();
    floe.reconfigure(|config| config.replace(TEXT, NUMBER).replace("namespace: before", "namespace: analytics"));
    floe
}

/// From now on the tables have text there again; gives the ids that a replay brings to them.
pub fn replayed(floe: &mut Floe) -> Vec<String> {
    floe.reconfigure(|config| config.replace(NUMBER, TEXT).replace("namespace: analytics", "namespace: after"));
    floe.restart();
    assert_eq!(floe.run("replay"), "replayed 4 rows\n");
    assert_eq!(floe.run("replay"), "replayed 0 rows\n");
    floe.flush();
    python::column(floe, "after.invocations", "invocation_id")
}

#[test]
fn rows_that_do_not_fit_are_dead_letters_and_come_back_when_they_do() {
    let mut floe = with_rows_that_do_not_fit();
    floe.restart();
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["i4", "i5"]);
    let status = floe.run("status");
    assert!(status.contains("logged = committed + held + dead-lettered + damaged"), "{status}");
    assert!(status.contains("iceberg:invocations      6 = 2 + 0 + 4 + 0"), "{status}");
    assert!(status.contains("4 rows in dead letters"), "{status}");
    let rows = |state: &str| {
        floe.metric(&format!("floe_destination_rows{{exporter=\"iceberg\",table=\"invocations\",state=\"{state}\"}}")).unwrap()
    };
    let [logged, committed, held, dead, damaged] = ["logged", "committed", "held", "dead_lettered", "damaged"].map(rows);
    assert_eq!((logged, committed + held + dead + damaged, dead), (6.0, 6.0, 4.0));
    let waiting = |floe: &Floe| floe.metric("floe_dead_letter_rows{exporter=\"iceberg\",table=\"invocations\"}");
    assert_eq!(waiting(&floe), Some(4.0));

    let listed = floe.run_with("replay", &["--list"]);
    assert!(listed.contains("iceberg:invocations, 4 rows of positions 1 to 1"), "{listed}");
    assert!(listed.contains("4 rows: held rows have column `tenant` as Utf8, the table as Int64"), "{listed}");
    let files = files_below(&floe.data().join("wal/dead"));
    assert_eq!(files.len(), 1);
    let bytes = fs::read(&files[0]).unwrap();
    assert!(bytes.windows(8).any(|bytes| bytes == b"tenant 1") && !bytes.windows(7).any(|bytes| bytes == b"hunter2"));

    assert!(floe.terminate().success(), "{}", floe.log());
    assert!(floe.run_with("wal", &["inspect"]).contains("4 rows in dead letters"));
    assert_eq!(replayed(&mut floe), ["i0", "i1", "i2", "i3"]);
    assert_eq!(waiting(&floe), Some(0.0));
    let tenants = python::column(&floe, "after.invocations", "tenant");
    assert!(tenants.iter().all(|tenant| tenant.contains("password=[redacted")), "{tenants:?}");
}

#[test]
fn what_still_does_not_fit_is_a_dead_letter_again() {
    let mut floe = with_rows_that_do_not_fit();
    floe.restart();
    floe.flush();
    let replay = |floe: &Floe| {
        assert_eq!(floe.run("replay"), "replayed 4 rows\n");
        floe.flush();
        assert_eq!(floe.metric("floe_dead_letter_rows{exporter=\"iceberg\",table=\"invocations\"}"), Some(4.0));
    };
    replay(&floe);
    replay(&floe);
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["i4", "i5"]);
    let wrong = floe.command("replay").arg("no-file").output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("expected a UUID"), "{wrong:?}");
}

/// A table that cannot be written holds the log: unless it may be moved out of the way.
#[test]
fn rows_of_a_table_that_is_away_are_moved_out_and_make_room() {
    let mut floe = Floe::prepare(|config| {
        config
            .replace("directory: floe-data/wal", "directory: floe-data/wal, max_bytes: 1MiB")
            .replace("    namespace: analytics", "    namespace: analytics\n    dead_letter: { after: 2s }")
            .replace("max_age: 60s", "max_age: 1s")
    });
    let warehouse = floe.data().join("warehouse");
    fs::create_dir_all(floe.data()).unwrap();
    fs::write(&warehouse, b"not a directory").unwrap();
    floe.restart();
    let mut sent = 0;
    let mut send_some = |floe: &Floe| {
        let body =
            send::body((0..100).map(|n| send::invocation(&format!("{sent:05}-{n}"), "checkout", send::now_nanos())).collect());
        let status = send::export(floe.ports.http, "traces", &body).unwrap().status;
        sent += usize::from(status == 200);
        status
    };
    while send_some(&floe) == 200 {}
    floe.wait_until("room in the log", || send_some(&floe) == 200);
    floe.wait_until("an empty log", || {
        floe.metric("floe_destination_rows{exporter=\"iceberg\",table=\"invocations\",state=\"held\"}") == Some(0.0)
    });
    assert!(floe.run_with("replay", &["--list"]).contains("the catalog or its warehouse cannot be reached"), "{}", floe.log());

    fs::remove_file(&warehouse).unwrap();
    floe.wait_until("the table", || {
        let _ = floe.command("flush").output();
        warehouse.exists()
    });
    // All of it may be more than the log takes at once.
    floe.wait_until("all rows back", || {
        let _ = floe.command("replay").output();
        let _ = floe.command("flush").output();
        floe.metric("floe_dead_letter_rows{exporter=\"iceberg\",table=\"invocations\"}") == Some(0.0)
    });
    assert!(floe.terminate().success(), "{}", floe.log());
    let ids = python::column(&floe, "invocations", "invocation_id");
    let expected: Vec<String> = (0..sent).flat_map(|request| (0..100).map(move |n| format!("{request:05}-{n}"))).collect();
    let mut expected = expected;
    expected.sort();
    assert!(ids == expected, "{} rows of {}", ids.len(), expected.len());
}
