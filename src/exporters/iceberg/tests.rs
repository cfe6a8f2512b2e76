//! The exporter on real parts: a log, an SQLite file and a local warehouse. Rows are read back through the library's scan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use futures_util::StreamExt as _;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use super::catalog::Catalog as _;
use super::committer::{Answer, Attempt, Event, Step};
use super::*;
use crate::tables::{Clearance, Columns, Raw, TableBatch};
use crate::wal::{Entry, Intent, Payload, Position, WalConfig};

mod added;

/// 2026-11-24T00:00:00Z.
const MIDNIGHT: i64 = 1_795_478_400_000_000;
const HOUR: i64 = 3_600_000_000;

/// A directory with everything in it; parts come and go as a process would.
struct Place {
    directory: TempDir,
    next: u64,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().expect("a directory"), next: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> IcebergConfig {
        let yaml = format!(
            "catalog: {{ uri: \"sqlite://{0}/catalog.db\", warehouse: {0}/warehouse }}\n\
             commit: {{ max_age: 1h }}\nfile: {{ row_group_rows: 100 }}\n",
            self.directory.path().display()
        );
        serde_saphyr::from_str(&yaml).expect("valid")
    }

    fn open(&self, name: &str) -> Wal {
        let config = WalConfig { directory: self.path(name), ..WalConfig::default() };
        Wal::open(&config, IcebergExporter::streams("iceberg", &Table::ALL.map(Table::schema))).expect("opened").0
    }

    /// Appends so many invocations, one request an hour of the day; ids are never used twice.
    async fn append(&mut self, wal: &Wal, hours: std::ops::Range<i64>, rows: usize) {
        for hour in hours {
            self.next += 1;
            let batch = invocations(self.next, hour, rows);
            let clearance =
                Clearance::of(Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]), &Columns::NONE.into(), [].into_iter())
                    .expect("all clear");
            let mut bytes = Vec::new();
            clearance.clear(TableBatch { table: Table::Invocations, batch }).encode(&mut bytes);
            let rows = u32::try_from(rows).expect("few");
            let id = wal.fingerprint("", &self.next.to_le_bytes());
            wal.append(id, Payload { entries: vec![Entry { stream: StreamId(0), rows, bytes: bytes.into() }] })
                .await
                .expect("appended");
        }
    }

    /// The ids in the table with how often they are there.
    async fn ids(&self) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::new();
        for batch in self.rows().await {
            let column = batch.column_by_name("invocation_id").expect("there").as_string::<i32>();
            column.iter().flatten().for_each(|id| *ids.entry(id.to_owned()).or_default() += 1);
        }
        ids
    }

    async fn rows(&self) -> Vec<RecordBatch> {
        let table = self.load().await;
        let scan = table.scan().select_all().build().expect("a scan").to_arrow().await.expect("a stream");
        scan.map(|batch| batch.expect("a batch")).collect().await
    }

    async fn load(&self) -> iceberg::table::Table {
        let connection = catalog::sql::connect_existing(&self.sql()).await.expect("a catalog");
        let ident = iceberg::TableIdent::from_strs(["analytics", "invocations"]).expect("valid");
        connection.load(&ident).await.expect("a catalog").expect("a table")
    }

    fn sql(&self) -> config::SqlCatalogConfig {
        let config::CatalogConfig::Sql(sql) = self.config().catalog else { panic!("an SQLite file") };
        sql
    }

    async fn check(&self, rows: usize) {
        let ids = self.ids().await;
        assert_eq!((ids.len(), ids.values().sum::<usize>()), (rows, rows), "rows that are there, and each once");
    }
}

fn streams() -> [StreamId; 4] {
    [StreamId(0), StreamId(1), StreamId(2), StreamId(3)]
}

fn start(place: &Place, wal: &Wal) -> IcebergExporter {
    IcebergExporter::start("iceberg", &place.config(), wal, streams(), &Table::ALL.map(Table::schema)).expect("started")
}

fn invocations(request: u64, hour: i64, rows: usize) -> RecordBatch {
    let table = Table::Invocations;
    let day = i32::try_from((MIDNIGHT + hour * HOUR).div_euclid(24 * HOUR)).expect("small");
    let schema = table.schema();
    let columns = table.columns().iter().zip(schema.fields()).map(|(column, field)| -> ArrayRef {
        let numbers = 0..rows;
        match column.name {
            "invocation_id" => Arc::new(numbers.map(|n| Some(format!("{request}-{n}"))).collect::<StringArray>()),
            "function_id" => Arc::new(numbers.map(|n| Some(format!("f{}", n % 7))).collect::<StringArray>()),
            "started_at" => {
                let times = (0i64..).take(rows).map(|n| MIDNIGHT + hour * HOUR + (n * 7919) % HOUR);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00"))
            }
            "duration_ms" => Arc::new((0u32..).take(rows).map(|n| Some(f64::from(n))).collect::<Float64Array>()),
            "date" => Arc::new(Date32Array::from(vec![day; rows])),
            "hour" => Arc::new(Int32Array::from(vec![i32::try_from(hour.rem_euclid(24)).expect("small"); rows])),
            _ => new_null_array(field.data_type(), rows),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("valid")
}

fn files_below(directory: &Path, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path(), ending));
        } else if entry.path().to_string_lossy().ends_with(ending) {
            found.push(entry.path().to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_and_log_together_have_every_row_once_before_during_and_after_commits() {
    let mut place = Place::new();
    let wal = place.open("wal");
    let exporter = start(&place, &wal);
    for round in 0..4 {
        place.append(&wal, 0..3, 5).await;
        let committing = exporter.flush();
        let reading = async {
            let mut seen = Vec::new();
            for _ in 0..5 {
                seen.push(exporter.together(Table::Invocations).await.expect("read"));
            }
            seen
        };
        let (committed, seen) = tokio::join!(committing, reading);
        committed.expect("flushed");
        let table = place.load().await;
        for together in seen {
            let held: u64 = together.rows.map(|rows| u64::from(rows.expect("readable").rows)).sum();
            let snapshot = together.snapshot.and_then(|snapshot| table.metadata().snapshot_by_id(snapshot));
            let total = snapshot.and_then(|snapshot| snapshot.summary().additional_properties.get("total-records"));
            let written: u64 = total.map_or(0, |total| total.parse().expect("a number"));
            assert_eq!(held + written, 15 * (round + 1), "{held} held, {written} written");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_committed_and_read_back_sorted_in_their_partitions() {
    let mut place = Place::new();
    let wal = place.open("wal");
    let exporter = start(&place, &wal);
    place.append(&wal, 21..27, 150).await;
    exporter.flush().await.expect("flushed");
    place.check(900).await;
    for batch in place.rows().await {
        let times = batch.column_by_name("started_at").expect("there").as_primitive::<TimestampMicrosecondType>();
        let dates = batch.column_by_name("date").expect("there").as_primitive::<Date32Type>();
        let hours = batch.column_by_name("hour").expect("there").as_primitive::<Int32Type>();
        for row in 0..batch.num_rows() {
            assert_eq!(times.value(row).div_euclid(24 * HOUR), i64::from(dates.value(row)));
            assert_eq!(times.value(row).div_euclid(HOUR).rem_euclid(24), i64::from(hours.value(row)));
        }
        let names = batch.column_by_name("function_id").expect("there").as_string::<i32>();
        let keys: Vec<(&str, i64)> = names.iter().flatten().zip(times.values().iter().copied()).collect();
        assert!(keys.is_sorted(), "a row group is sorted");
    }
    let files = files_below(&place.path("warehouse"), ".parquet");
    assert_eq!(files.len(), 6);
    assert!(files.iter().any(|path| path.contains("/analytics/invocations/data/date=2026-11-25/hour=02/")), "{files:?}");
    let status = exporter.status();
    assert_eq!((status[0].watermark, status[0].held.rows, status[0].state), (Position(6), 0, TableState::Waiting));
    assert_eq!(status[0].last_commit.map(|commit| (commit.rows, commit.files)), Some((900, 6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_carry_bounds_offsets_and_the_sort_order_where_it_holds() {
    let mut place = Place::new();
    let wal = place.open("wal");
    let exporter = start(&place, &wal);
    place.append(&wal, 0..1, 60).await;
    exporter.flush().await.expect("flushed");
    let table = place.load().await;
    let snapshot = table.metadata().current_snapshot().expect("a snapshot");
    let list = table.manifest_list_reader(snapshot).load().await.expect("a list");
    let manifest = list.entries().first().expect("one").load_manifest(table.file_io()).await.expect("a manifest");
    let file = manifest.entries().first().expect("one").data_file();
    let bound = |bounds: &std::collections::HashMap<i32, iceberg::spec::Datum>, id: i32| bounds.get(&id).map(ToString::to_string);
    assert_eq!(bound(file.lower_bounds(), 2), Some("\"f0\"".to_owned()));
    assert_eq!(bound(file.upper_bounds(), 2), Some("\"f6\"".to_owned()));
    // Parquet has a least zero as -0.
    assert_eq!(bound(file.lower_bounds(), 6), Some("-0".to_owned()));
    assert_eq!(bound(file.upper_bounds(), 6), Some("59".to_owned()));
    assert!(file.lower_bounds().get(&1).is_none(), "ids have no bounds");
    assert_eq!((file.record_count(), file.sort_order_id(), file.split_offsets().map(<[i64]>::len)), (60, Some(1), Some(1)));
    assert_eq!(file.null_value_counts().get(&3), Some(&60));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logs_write_the_same_table_and_lose_nothing() {
    let mut place = Place::new();
    let (one, two) = (place.open("one"), place.open("two"));
    let exporters = [start(&place, &one), start(&place, &two)];
    for round in 0..5 {
        place.append(&one, round..round + 1, 10).await;
        place.append(&two, round..round + 1, 10).await;
        let (first, second) = tokio::join!(exporters[0].flush(), exporters[1].flush());
        first.and(second).expect("flushed");
    }
    place.check(100).await;
    let info = describe(&place.config()).await.expect("a catalog");
    assert_eq!(info[0].rows, 100);
    assert_eq!(info[0].watermarks.len(), 2);
    assert_eq!(info.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_catalog_keeps_rows_in_the_log_until_it_is_free() {
    let mut place = Place::new();
    let wal = place.open("wal");
    let exporter = start(&place, &wal);
    place.append(&wal, 0..2, 10).await;
    exporter.flush().await.expect("flushed");
    let options = SqliteConnectOptions::new().filename(place.path("catalog.db"));
    let mut lock = SqliteConnection::connect_with(&options).await.expect("connected");
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut lock).await.expect("locked");
    place.append(&wal, 2..4, 10).await;
    let error = exporter.flush().await.expect_err("locked");
    assert!(matches!(error, ExporterError::Flush { table: "invocations", .. }), "{error}");
    let status = &exporter.status()[0];
    assert_eq!((status.state, status.held.rows, status.watermark), (TableState::Retrying, 20, Position(2)));
    sqlx::query("ROLLBACK").execute(&mut lock).await.expect("unlocked");
    exporter.flush().await.expect("flushed");
    place.check(40).await;
    assert_eq!(exporter.drain(Duration::from_secs(20)).await, DrainReport::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_wait_for_the_warehouse() {
    let mut place = Place::new();
    std::fs::write(place.path("warehouse"), "a file where a directory belongs").expect("written");
    let wal = place.open("wal");
    let exporter = start(&place, &wal);
    place.append(&wal, 0..1, 10).await;
    exporter.flush().await.expect_err("no warehouse");
    std::fs::remove_file(place.path("warehouse")).expect("removed");
    assert_eq!(exporter.drain(Duration::from_secs(20)).await, DrainReport::default());
    place.check(10).await;
}

/// A committer and its catalog by hand, up to the answer of its first commit of rows.
async fn send_by_hand(place: &Place, wal: &Wal) -> (TableCatalog, Attempt, Answer) {
    let connector = Arc::new(Connector::new(place.config()));
    let catalog = TableCatalog::new(connector, Table::Invocations, &Table::Invocations.schema(), wal.writer_id());
    let encoder = Encoder::start().expect("a thread");
    let cut = Cut { max_age: Duration::ZERO, max_bytes: 1 << 30 };
    let mut committer = Committer::new(cut, wal.recorded(StreamId(0)), wal.intents(StreamId(0)));
    let mut event = Event::Flush(*wal.held(StreamId(0)).borrow());
    loop {
        event = match committer.on(event, std::time::Instant::now()) {
            Step::Look => Event::Looked { look: catalog.look().await, fresh: Uuid::new_v4() },
            Step::Journal(intent) => {
                wal.intend(StreamId(0), intent).await.expect("synced");
                Event::Journalled
            }
            Step::Encode(batch) => {
                let rows = wal.read(StreamId(0), batch.above, batch.to);
                let target = catalog.target().expect("looked");
                Event::Encoded(
                    encoder
                        .encode(encode::Job { target, batch, rows, letters: wal.letters(StreamId(0)), file: place.config().file })
                        .await,
                )
            }
            Step::Send(attempt) => {
                let answer = catalog.send(&attempt).await;
                if attempt.files.is_some() {
                    return (catalog, attempt, answer);
                }
                Event::Answered(answer)
            }
            Step::Record(recorded) => {
                wal.record(StreamId(0), recorded).await.expect("synced");
                Event::Recorded(*wal.held(StreamId(0)).borrow())
            }
            step => panic!("not expected here: {step:?}"),
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_record_writes_nothing_twice() {
    let mut place = Place::new();
    let wal = place.open("wal");
    place.append(&wal, 0..3, 20).await;
    let (_, _, answer) = send_by_hand(&place, &wal).await;
    assert!(matches!(answer, Answer::Committed(Some(_))), "{answer:?}");
    place.append(&wal, 3..4, 20).await;
    wal.close().await;
    drop(wal);
    let wal = place.open("wal");
    assert_eq!(wal.intents(StreamId(0)).len(), 1, "the outcome is open");
    let exporter = start(&place, &wal);
    exporter.flush().await.expect("flushed");
    place.check(80).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_on_one_look_exactly_one_commits() {
    let mut place = Place::new();
    let wal = place.open("wal");
    place.append(&wal, 0..1, 20).await;
    let (catalog, attempt, answer) = send_by_hand(&place, &wal).await;
    assert!(matches!(answer, Answer::Committed(Some(_))), "{answer:?}");
    let again = Attempt { intent: Intent { commit: Uuid::new_v4(), ..attempt.intent.clone() }, files: attempt.files.clone() };
    assert_eq!(catalog.send(&again).await, Answer::Conflict);
    catalog.look().await.expect("seen");
    assert!(matches!(catalog.send(&again).await, Answer::Unknown(_)), "its look is gone, so it is not sent");
    place.check(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_are_cut_into_several_commits() {
    let mut place = Place::new();
    let wal = place.open("wal");
    place.append(&wal, 0..100, 2).await;
    let exporter = start(&place, &wal);
    exporter.flush().await.expect("flushed");
    place.check(200).await;
    let commits = &exporter.status()[0].metrics.commits;
    assert_eq!(commits.load(std::sync::atomic::Ordering::Relaxed), 3, "one that enrols, 64 partitions, 36 partitions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_fit_stops_and_says_which_column() {
    let mut place = Place::new();
    let connection = catalog::sql::connect(&place.sql()).await.expect("a catalog");
    let ident = iceberg::TableIdent::from_strs(["analytics", "invocations"]).expect("valid");
    let mut creation = schema::creation(Table::Errors, &Table::Errors.schema()).expect("valid");
    creation.name = "invocations".to_owned();
    connection.create(&ident, creation).await.expect("created");
    let wal = place.open("wal");
    place.append(&wal, 0..1, 2).await;
    let exporter = start(&place, &wal);
    let error = exporter.flush().await.expect_err("does not fit").to_string();
    assert!(error.contains("column `started_at` is missing"), "{error}");
    assert_eq!(exporter.status()[0].state, TableState::Stopped);
    let report = exporter.drain(Duration::from_secs(5)).await;
    assert_eq!(report.left.iter().map(|(table, rows, _)| (*table, *rows)).collect::<Vec<_>>(), [(Table::Invocations, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_catalog_is_described_as_such() {
    let place = Place::new();
    let error = describe(&place.config()).await.expect_err("nothing there").to_string();
    assert!(error.contains("there is no catalog at"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn main_keeps_its_retention_settings() {
    let mut place = Place::new();
    let wal = place.open("wal");
    let exporter = start(&place, &wal);
    place.append(&wal, 0..1, 2).await;
    exporter.flush().await.expect("flushed");
    let path = storage::local(place.load().await.metadata_location().expect("there"));
    let text = std::fs::read_to_string(&path).expect("read");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["refs"]["main"]["min-snapshots-to-keep"] = 5.into();
    std::fs::write(&path, json.to_string()).expect("written");
    place.append(&wal, 1..2, 2).await;
    exporter.flush().await.expect("flushed");
    let json = serde_json::to_value(place.load().await.metadata()).expect("JSON");
    assert_eq!(json["refs"]["main"]["min-snapshots-to-keep"], 5);
    place.check(4).await;
}
