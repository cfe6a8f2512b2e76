//! What rooms keep count of themselves, as metrics: a struct a subject, a field a number. The gateway fills them from the rooms.

use std::borrow::Cow;

use super::source::{Labels, Sample};

/// The second law of conservation for one exporter and table, in rows: logged = committed + held + dead-lettered + damaged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DestinationRows {
    pub exporter: String,
    pub table: &'static str,
    pub logged: u64,
    pub committed: u64,
    pub held: u64,
    pub dead_lettered: u64,
    pub damaged: u64,
    /// Rows in files of dead letters that wait for a replay.
    pub letters: u64,
    pub held_bytes: u64,
    /// Seconds that the oldest held row has waited; 0 where none is held.
    pub oldest_seconds: f64,
}

/// The commits of one exporter and table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commits {
    pub exporter: String,
    pub table: &'static str,
    /// Known to be in the table.
    pub applied: u64,
    /// Attempts that ended otherwise.
    pub failed: u64,
    /// Seconds since 1970 of the last one applied; `None` before the first.
    pub last_applied: Option<f64>,
    /// Fenced, ambiguous, or refused for good.
    pub stopped: bool,
}

/// The write-ahead log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    pub bytes: u64,
    pub max_bytes: u64,
    /// Of rows, each shared by all requests that waited.
    pub syncs: u64,
    /// Another process commits rows of this log.
    pub fenced: bool,
    /// Acknowledged positions that are lost, as of the start.
    pub damaged_positions: u64,
}

/// The series of one `prometheus` exporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesState {
    pub exporter: String,
    pub series: u64,
    pub max_series: u64,
    pub streams: u64,
    pub dropped_labels: u64,
    pub overflowed: u64,
    pub expired: u64,
    /// Scrapes by how they ended.
    pub scrapes: Vec<(&'static str, u64)>,
    /// Points by the reason why they are in no series.
    pub dropped_points: Vec<(&'static str, u64)>,
}

/// Prometheus has doubles only; exact to 2^53.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
pub(super) fn double(number: u64) -> f64 {
    number as f64
}

fn destination(exporter: &str, table: &'static str) -> Labels {
    vec![("exporter", Cow::Owned(exporter.to_owned())), ("table", Cow::Borrowed(table))]
}

fn with(labels: &Labels, name: &'static str, value: &'static str) -> Labels {
    let mut labels = labels.clone();
    labels.push((name, Cow::Borrowed(value)));
    labels
}

impl DestinationRows {
    pub fn samples(&self, out: &mut Vec<Sample>) {
        let labels = destination(&self.exporter, self.table);
        let states = [
            ("logged", self.logged),
            ("committed", self.committed),
            ("held", self.held),
            ("dead_lettered", self.dead_lettered),
            ("damaged", self.damaged),
        ];
        for (state, rows) in states {
            let help = "Rows by state; logged = committed + held + dead_lettered + damaged";
            out.push(Sample::gauge("floe_destination_rows", help, with(&labels, "state", state), double(rows)));
        }
        let help = "Rows in files of dead letters that wait for a replay";
        out.push(Sample::gauge("floe_dead_letter_rows", help, labels.clone(), double(self.letters)));
        let bytes = double(self.held_bytes);
        out.push(Sample::gauge("floe_destination_held_bytes", "Bytes in the log that wait for a commit", labels.clone(), bytes));
        let help = "How long the oldest held row has waited";
        out.push(Sample::gauge("floe_destination_oldest_seconds", help, labels.clone(), self.oldest_seconds));
        out.push(Sample::gauge("otelcol_exporter_queue_size", "Rows that wait for a commit", labels, double(self.held)));
    }
}

impl Commits {
    pub fn samples(&self, out: &mut Vec<Sample>) {
        let labels = destination(&self.exporter, self.table);
        for (outcome, count) in [("applied", self.applied), ("failed", self.failed)] {
            let labels = with(&labels, "outcome", outcome);
            out.push(Sample::counter("floe_commits", "Commits by how they ended", labels, double(count)));
        }
        let help = "1 if the table is not written until floe is started again";
        out.push(Sample::gauge("floe_destination_stopped", help, labels.clone(), f64::from(u8::from(self.stopped))));
        if let Some(at) = self.last_applied {
            out.push(Sample::gauge("floe_commit_last_applied_timestamp_seconds", "When a commit was last applied", labels, at));
        }
    }
}

impl LogState {
    pub fn samples(&self, out: &mut Vec<Sample>) {
        out.push(Sample::gauge("floe_wal_size_bytes", "Bytes of the write-ahead log on disk", vec![], double(self.bytes)));
        out.push(Sample::gauge("floe_wal_max_bytes", "The log's bound", vec![], double(self.max_bytes)));
        out.push(Sample::counter("floe_wal_syncs", "Syncs of the log's files", vec![], double(self.syncs)));
        let help = "Acknowledged requests that were lost to damage, and that not every table was past at the start";
        out.push(Sample::gauge("floe_wal_damaged_positions", help, vec![], double(self.damaged_positions)));
        let help = "1 if another process commits rows of this log";
        out.push(Sample::gauge("floe_wal_fenced", help, vec![], f64::from(u8::from(self.fenced))));
    }
}

impl SeriesState {
    pub fn samples(&self, out: &mut Vec<Sample>) {
        let labels: Labels = vec![("exporter", Cow::Owned(self.exporter.clone()))];
        out.push(Sample::gauge(
            "floe_prometheus_series",
            "Series exposed, every bucket counted",
            labels.clone(),
            double(self.series),
        ));
        out.push(Sample::gauge("floe_prometheus_max_series", "The bound of series", labels.clone(), double(self.max_series)));
        out.push(Sample::gauge("floe_prometheus_streams", "Streams of points remembered", labels.clone(), double(self.streams)));
        let help = "Attributes that may not be labels: ids and addresses";
        out.push(Sample::counter("floe_prometheus_dropped_labels", help, labels.clone(), double(self.dropped_labels)));
        for (outcome, count) in &self.scrapes {
            let labels = with(&labels, "outcome", outcome);
            out.push(Sample::counter("floe_prometheus_scrapes", "Scrapes by how they ended", labels, double(*count)));
        }
        let help = "Sets of labels that were silent for too long";
        out.push(Sample::counter("floe_prometheus_expired", help, labels.clone(), double(self.expired)));
        let help = "Points and groups of rows that went to an overflow series";
        out.push(Sample::counter("floe_prometheus_overflowed", help, labels.clone(), double(self.overflowed)));
        for (reason, points) in &self.dropped_points {
            let labels = with(&labels, "reason", reason);
            out.push(Sample::counter("floe_prometheus_dropped_points", "Points that are in no series", labels, double(*points)));
        }
    }
}
