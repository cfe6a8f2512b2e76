//! What the rooms count themselves, as floe's own metrics: asked for at every scrape.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::clock;
use crate::exporters::iceberg::{IcebergExporter, TableStatus};
use crate::exporters::prometheus::{Dropped, Outcome, Prometheus};
use crate::telemetry::{Commits, DestinationRows, LogState, Sample, SeriesState, Telemetry};
use crate::wal::{StreamLedger, Wal};

/// The log and the second law, for every table of an exporter.
pub fn report_rows(telemetry: &Telemetry, exporter: &Arc<IcebergExporter>, wal: &Wal) {
    let (exporter, wal) = (Arc::downgrade(exporter), wal.clone());
    telemetry.register_source(Box::new(move |samples| rows(&exporter, &wal, samples)));
}

pub fn report_log(telemetry: &Telemetry, wal: &Wal) {
    let wal = wal.clone();
    telemetry.register_source(Box::new(move |samples| {
        let (bytes, max_bytes) = (wal.bytes(), wal.max_bytes());
        let (syncs, fenced, damaged_positions) = (wal.syncs(), wal.fenced().is_some(), wal.damaged_positions());
        LogState { bytes, max_bytes, syncs, fenced, damaged_positions }.samples(samples);
    }));
}

pub fn report_series(telemetry: &Telemetry, id: &str, exporter: &Arc<Prometheus>) {
    let (id, exporter) = (id.to_owned(), Arc::downgrade(exporter));
    telemetry.register_source(Box::new(move |samples| {
        let Some(stats) = exporter.upgrade().map(|exporter| exporter.stats()) else { return };
        let dropped_points = Dropped::ALL.iter().map(|reason| reason.name()).zip(stats.dropped_points).collect();
        let series = SeriesState {
            exporter: id.clone(),
            series: stats.series,
            max_series: stats.max_series,
            streams: stats.streams,
            dropped_labels: stats.dropped_labels,
            overflowed: stats.overflowed,
            expired: stats.expired,
            scrapes: Outcome::ALL.iter().map(|outcome| outcome.name()).zip(stats.scrapes).collect(),
            dropped_points,
        };
        series.samples(samples);
    }));
}

fn rows(exporter: &Weak<IcebergExporter>, wal: &Wal, samples: &mut Vec<Sample>) {
    let Some(exporter) = exporter.upgrade() else { return };
    let ledgers = wal.ledger();
    for status in exporter.status() {
        let stream = stream_name(exporter.id(), &status);
        if let Some(ledger) = ledgers.iter().find(|ledger| ledger.stream == stream) {
            destination(exporter.id(), &status, ledger).samples(samples);
        }
        commits(exporter.id(), &status).samples(samples);
    }
}

/// The name of a table's stream in the log.
pub fn stream_name(exporter: &str, status: &TableStatus) -> String {
    format!("{exporter}:{}", status.table.name())
}

fn destination(exporter: &str, status: &TableStatus, ledger: &StreamLedger) -> DestinationRows {
    let waited = status.held.oldest.map(|oldest| clock::now().saturating_duration_since(oldest));
    DestinationRows {
        exporter: exporter.to_owned(),
        table: status.table.name(),
        logged: ledger.logged,
        committed: ledger.committed,
        held: ledger.held,
        dead_lettered: ledger.dead_lettered,
        letters: ledger.letters,
        damaged: ledger.damaged,
        held_bytes: status.held.bytes,
        oldest_seconds: waited.unwrap_or_default().as_secs_f64(),
    }
}

fn commits(exporter: &str, status: &TableStatus) -> Commits {
    let metrics = &status.metrics;
    Commits {
        exporter: exporter.to_owned(),
        table: status.table.name(),
        stopped: status.state.is_final(),
        applied: metrics.commits.load(Ordering::Relaxed),
        failed: metrics.conflicts.load(Ordering::Relaxed) + metrics.failures.load(Ordering::Relaxed),
        last_applied: status.last_commit.map(|commit| std::time::Duration::from_nanos(commit.at).as_secs_f64()),
    }
}
