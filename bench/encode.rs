//! What a row costs from the log to a committed Parquet file, by itself: rows are laid out as the log holds them, appended, and flushed.
//!
//! `cargo run --release --example encode`. The corpus is that of docs/performance.md, after `map`: 500 rows a request, random ids and hashed
//! addresses, start times over three hours, 2 % of rows failed, with a stack trace of 2 KB in `errors`. Instructions do not depend on
//! what else the machine does, so what counts is
//! `CARGO_PROFILE_RELEASE_DEBUG=1 CARGO_PROFILE_RELEASE_STRIP=none` and `valgrind --tool=callgrind` around the binary.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a bench: its numbers are small, and it reports on stdout"
)]

use std::path::Path;
use std::time::Instant;

use floe::exporters::iceberg::{IcebergConfig, IcebergExporter};
use floe::tables::rows::{ErrorRow, InvocationRow, RowBuilders};
use floe::tables::{Clearance, Columns, Raw, Table};
use floe::wal::{Entry, Fsync, Payload, StreamId, Wal, WalConfig};

/// 2026-11-24T00:30:00Z.
const START: u64 = 1_795_480_200_000_000;
const ROWS_A_REQUEST: usize = 500;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}

/// A table, how many rows, and their bytes in the log.
type Batch = (Table, u32, Vec<u8>);

/// The rows of one request: five functions, one after another.
fn request(random: &mut Random) -> Result<Vec<Batch>, Box<dyn std::error::Error>> {
    let mut rows = RowBuilders::new();
    let mut resource = Vec::new();
    for row in 0..ROWS_A_REQUEST {
        if row % (ROWS_A_REQUEST / 5) == 0 {
            let language = ["python", "nodejs", "go", "java", "rust"][random.below(5) as usize];
            resource =
                vec![format!("function-{}", random.below(40)), format!("2026.11.{}", random.below(9)), language.to_owned()];
        }
        let [function, version, language] = resource.as_slice() else { continue };
        let (id, failed) = (random.hex(), random.below(50) == 0);
        let started_at = (START + random.below(3 * 3_600_000_000)) as i64;
        let shared = |text: &'static str| failed.then_some(text.into());
        rows.push_invocation(&InvocationRow {
            invocation_id: id.as_str().into(),
            function_id: Some(function.as_str().into()),
            language: Some(language.as_str().into()),
            version: Some(version.as_str().into()),
            started_at,
            duration_ms: Some((1_000_000 + random.below(500_000_000)) as f64 / 1e6),
            success: !failed,
            error_type: shared("ValueError"),
            error_message: shared("order could not be processed"),
            cold_start: Some(random.below(20) == 0),
            memory_used_bytes: Some((32 + random.below(96) as i64) << 20),
            client_ip: Some(random.hex().into()),
            region: Some("eu-west-1".into()),
            ..InvocationRow::default()
        })?;
        if failed {
            let error_id = random.hex();
            let line = |line| format!("  File \"/srv/app/handlers/orders_{line}.py\", line {line}, in handle_{line}\n");
            let stack: String = (0..30).map(|_| line(random.below(900))).collect();
            rows.push_error(&ErrorRow {
                error_id: error_id.into(),
                invocation_id: Some(id.as_str().into()),
                function_id: Some(function.as_str().into()),
                occurred_at: started_at,
                error_type: shared("ValueError"),
                error_message: shared("order could not be processed"),
                stack_trace: Some(stack.into()),
                language: Some(language.as_str().into()),
                version: Some(version.as_str().into()),
                ..ErrorRow::default()
            })?;
        }
    }
    let all = Columns::with_raw(&[Raw::Text, Raw::Id, Raw::Address]);
    let clearance = Clearance::of(all, &Columns::NONE.into(), std::iter::empty())?;
    let batches = rows.finish().into_iter().map(|batch| {
        let cleared = clearance.clear(batch);
        let mut bytes = Vec::new();
        cleared.encode(&mut bytes);
        (cleared.table(), cleared.rows() as u32, bytes)
    });
    Ok(batches.collect())
}

fn files(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            bytes += files(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            bytes += path.metadata()?.len();
        }
    }
    Ok(bytes)
}

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(200_000), |rows| rows.parse())?;
    let directory = tempfile::tempdir()?;
    let place = directory.path().display();
    let yaml =
        format!("catalog: {{ uri: \"sqlite://{place}/catalog.db\", warehouse: {place}/warehouse }}\ncommit: {{ max_age: 1h }}\n");
    let config: IcebergConfig = serde_saphyr::from_str(&yaml)?;
    let schemas = Table::ALL.map(Table::schema);
    let log = WalConfig { directory: directory.path().join("wal"), fsync: Fsync::Never, ..WalConfig::default() };
    let (wal, _) = Wal::open(&log, IcebergExporter::streams("iceberg", &schemas))?;
    let exporter =
        IcebergExporter::start("iceberg", &config, &wal, Table::ALL.map(|table| StreamId(table.index() as u16)), &schemas)?;
    let mut random = Random(1);
    let mut logged = 0;
    for number in 0..rows / ROWS_A_REQUEST {
        let entry = |(table, rows, bytes): Batch| {
            logged += bytes.len();
            Entry { stream: StreamId(table.index() as u16), rows, bytes: bytes.into() }
        };
        let entries = request(&mut random)?.into_iter().map(entry).collect();
        wal.append(wal.fingerprint("bench", &number.to_le_bytes()), Payload { entries }).await?;
    }
    let started = Instant::now();
    exporter.flush().await?;
    let spent = started.elapsed().as_secs_f64();
    let written = files(&directory.path().join("warehouse/analytics/invocations"))?;
    println!(
        "{rows} rows: {:.0} ns a row to the commit, {:.2} bytes a row of invocations, {:.0} bytes of log a row",
        spent * 1e9 / rows as f64,
        written as f64 / rows as f64,
        logged as f64 / rows as f64,
    );
    wal.close().await;
    Ok(())
}
