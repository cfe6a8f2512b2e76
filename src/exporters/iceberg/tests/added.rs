//! Columns that the configuration adds, and what becomes of rows and tables when it changes.

use super::*;
use crate::tables::rows::{Cell, InvocationRow, RowBuilders};
use crate::tables::{Additions, ColumnType, Schemas};

fn schemas(columns: &[(&str, ColumnType)]) -> Schemas {
    let mut additions = Additions::default();
    for (name, kind) in columns {
        additions.add(Table::Invocations, name, *kind).expect("new");
    }
    additions.schemas()
}

impl Place {
    fn open_with(&self, schemas: &Schemas) -> Wal {
        let config = WalConfig { directory: self.path("wal"), ..WalConfig::default() };
        Wal::open(&config, IcebergExporter::streams("iceberg", schemas)).expect("opened").0
    }

    fn start_with(&self, wal: &Wal, schemas: &Schemas) -> IcebergExporter {
        IcebergExporter::start("iceberg", &self.config(), wal, streams(), schemas).expect("started")
    }

    /// One invocation of this id, with the values of the added columns.
    async fn append_row(&self, wal: &Wal, schemas: &Schemas, id: &str, added: Vec<Cell<'static>>) {
        let mut rows = RowBuilders::with(schemas);
        let row = InvocationRow { invocation_id: id.into(), started_at: MIDNIGHT, added, ..InvocationRow::default() };
        rows.push_invocation(&row).expect("room");
        let every = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]);
        let clearance = Clearance::of(every, &Columns::NONE.into(), [].into_iter()).expect("all clear");
        let mut bytes = Vec::new();
        clearance.clear(rows.finish().remove(0)).encode(&mut bytes);
        let entry = Entry { stream: StreamId(0), rows: 1, bytes: bytes.into() };
        wal.append(wal.fingerprint("", id.as_bytes()), Payload { entries: vec![entry] }).await.expect("appended");
    }

    /// The text of a column by id; NULL is `NULL`.
    async fn texts(&self, column: &str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for batch in self.rows().await {
            let ids = batch["invocation_id"].as_string::<i32>().iter();
            for (id, text) in ids.zip(batch[column].as_string::<i32>()) {
                texts.insert(id.expect("an id").to_owned(), text.unwrap_or("NULL").to_owned());
            }
        }
        texts
    }

    async fn field_id(&self, column: &str) -> i32 {
        self.load().await.metadata().current_schema().field_by_name(column).expect("there").id
    }
}

fn text(text: &'static str) -> Vec<Cell<'static>> {
    vec![Cell::Text(Some(text.into()))]
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_wait_in_the_log_keep_their_columns_whatever_the_configuration_becomes() {
    let place = Place::new();
    let (plain, tenant, region) =
        (schemas(&[]), schemas(&[("tenant", ColumnType::String)]), schemas(&[("cell", ColumnType::String)]));

    let wal = place.open_with(&plain);
    place.append_row(&wal, &plain, "plain", Vec::new()).await;
    wal.close().await;
    let wal = place.open_with(&tenant);
    place.append_row(&wal, &tenant, "tenant", text("acme")).await;
    let exporter = place.start_with(&wal, &tenant);
    exporter.flush().await.expect("flushed");
    assert_eq!(place.texts("tenant").await, pairs(&[("plain", "NULL"), ("tenant", "acme")]));
    assert_eq!(place.field_id("tenant").await, 17);
    drop(exporter);

    place.append_row(&wal, &tenant, "late", text("globex")).await;
    wal.close().await;
    let wal = place.open_with(&region);
    place.append_row(&wal, &region, "region", text("c-1")).await;
    let exporter = place.start_with(&wal, &region);
    exporter.flush().await.expect("flushed");
    let tenants = [("plain", "NULL"), ("tenant", "acme"), ("late", "globex"), ("region", "NULL")];
    assert_eq!(place.texts("tenant").await, pairs(&tenants));
    let cells = [("plain", "NULL"), ("tenant", "NULL"), ("late", "NULL"), ("region", "c-1")];
    assert_eq!(place.texts("cell").await, pairs(&cells));
    assert_eq!((place.field_id("tenant").await, place.field_id("cell").await), (17, 18));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_there_with_another_type_stops_the_table_and_loses_nothing() {
    let place = Place::new();
    let (string, long) = (schemas(&[("tenant", ColumnType::String)]), schemas(&[("tenant", ColumnType::Long)]));
    let wal = place.open_with(&string);
    place.append_row(&wal, &string, "first", text("acme")).await;
    let exporter = place.start_with(&wal, &string);
    exporter.flush().await.expect("flushed");
    drop(exporter);
    wal.close().await;

    let wal = place.open_with(&long);
    place.append_row(&wal, &long, "second", vec![Cell::Long(Some(7))]).await;
    let exporter = place.start_with(&wal, &long);
    let error = exporter.flush().await.expect_err("does not fit").to_string();
    assert!(error.contains("column `tenant` is string, expected long"), "{error}");
    let status = exporter.status();
    assert_eq!((status[0].state, status[0].held.rows), (TableState::Stopped, 1));
    assert_eq!(status.iter().filter(|status| status.state == TableState::Stopped).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_add_columns_at_once_both_have_theirs_under_ids_of_their_own() {
    let place = Place::new();
    let looks = ["a", "b", "c"].map(|name| {
        let schemas = schemas(&[(name, ColumnType::Double)]);
        let connector = Arc::new(Connector::new(place.config()));
        TableCatalog::new(connector, Table::Invocations, &schemas[0], Uuid::new_v4())
    });
    looks[0].look().await.expect("made");
    let (b, c) = tokio::join!(looks[1].look(), looks[2].look());
    b.expect("widened");
    c.expect("widened");
    let mut ids = [place.field_id("a").await, place.field_id("b").await, place.field_id("c").await];
    ids.sort_unstable();
    assert_eq!(ids, [17, 18, 19]);
}
