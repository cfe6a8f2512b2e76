//! Does what the committer says, for one table: a task that brings each step's event back. It decides nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::catalog::{Catalog, TableCatalog};
use super::committer::{Answer, Attempt, Batch, Behind, Committer, EncodeFailure, Event, Files, Reason, Step};
use super::config::FileConfig;
use super::encode::{Encoder, Job};
use crate::clock;
use crate::faults::{self, Point};
use crate::tables::Table;
use crate::wal::{Held, Letters, Position, StreamId, Wal};

/// While rows come in at full speed the committer is asked no more often than this.
const BREATH: Duration = Duration::from_millis(50);
/// A stopped table is asked again after so long.
const STOPPED: Duration = Duration::from_secs(5);

/// What a table's exporter does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableState {
    /// Has not seen its table yet.
    #[default]
    Starting,
    Waiting,
    Encoding,
    Committing,
    /// After a failure; the rows are in the log.
    Retrying,
    /// For good, until the process is started again; `last_error` says why.
    Stopped,
    /// Stopped, as another process commits rows of this log (rule 19).
    Fenced,
    /// Stopped, as nobody can tell whether a commit was applied (rule 20).
    Ambiguous,
}

impl TableState {
    /// Whether nothing more is done until the process is started again.
    pub fn is_final(self) -> bool {
        matches!(self, TableState::Stopped | TableState::Fenced | TableState::Ambiguous)
    }
}

impl fmt::Display for TableState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableState::Starting => "starting",
            TableState::Waiting => "waiting",
            TableState::Encoding => "encoding",
            TableState::Committing => "committing",
            TableState::Retrying => "retrying",
            TableState::Stopped => "stopped",
            TableState::Fenced => "fenced",
            TableState::Ambiguous => "ambiguous",
        })
    }
}

/// The last commit of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCommit {
    /// Nanoseconds since 1970.
    pub at: u64,
    pub position: Position,
    pub rows: u64,
    pub files: u64,
    /// Parquet bytes.
    pub bytes: u64,
}

/// One table, as the status shows it.
#[derive(Clone, Debug)]
pub struct TableStatus {
    pub table: Table,
    pub state: TableState,
    /// Rows up to this position are in the table.
    pub watermark: Position,
    pub held: Held,
    pub last_commit: Option<LastCommit>,
    /// The failure it waits after now, or stopped for.
    pub last_error: Option<String>,
    pub metrics: Arc<IcebergMetrics>,
}

/// Counters of one table since the start of the process.
#[derive(Debug, Default)]
pub struct IcebergMetrics {
    pub commits: AtomicU64,
    pub rows: AtomicU64,
    pub files: AtomicU64,
    /// Parquet bytes committed.
    pub bytes: AtomicU64,
    /// Times the head had moved.
    pub conflicts: AtomicU64,
    /// Looks, encodings and commits that failed, or whose outcome nobody knows.
    pub failures: AtomicU64,
    /// Microseconds spent on encoding and uploading.
    pub encode_micros: AtomicU64,
}

impl IcebergMetrics {
    fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// Somebody's wish to have everything committed that is held now.
pub(super) type Flush = oneshot::Sender<Result<(), String>>;

/// What others see of the task.
#[derive(Debug)]
pub(super) struct Shared {
    status: Mutex<TableStatus>,
}

impl Shared {
    pub(super) fn new(table: Table) -> Shared {
        let status = TableStatus {
            table,
            state: TableState::default(),
            watermark: Position(0),
            held: Held::default(),
            last_commit: None,
            last_error: None,
            metrics: Arc::default(),
        };
        Shared { status: Mutex::new(status) }
    }

    pub(super) fn status(&self) -> TableStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut TableStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Everything one table's task needs.
pub(super) struct Driver {
    pub(super) stream: StreamId,
    pub(super) wal: Wal,
    pub(super) catalog: TableCatalog,
    pub(super) encoder: Encoder,
    pub(super) file: FileConfig,
    pub(super) committer: Committer,
    pub(super) shared: Arc<Shared>,
    /// How long files of overtaken attempts stay (rule 18).
    pub(super) orphan_grace: Duration,
    /// The table's name in the log lines: `<exporter id>:<table>`.
    pub(super) name: String,
}

/// A flush that waits for a position.
struct Waiter {
    to: Position,
    reply: Flush,
}

impl Driver {
    /// Runs until `flushes` is closed and nothing is under way.
    pub(super) async fn run(mut self, mut flushes: mpsc::Receiver<Flush>) {
        let mut held = self.wal.held(self.stream);
        let metrics = self.shared.status().metrics;
        let mut waiters: Vec<Waiter> = Vec::new();
        let first = *held.borrow_and_update();
        let mut event = Event::Held(first);
        loop {
            let before = self.committer.trouble().map(str::to_owned);
            let step = self.committer.on(event, clock::now());
            if let Some(Behind { recorded, shown }) = self.committer.take_notice() {
                let (recorded, shown) = (recorded.0, shown.map(|position| position.0));
                warn!(
                    table = self.name,
                    recorded,
                    shown,
                    "the table's watermark was put back or removed; if its metadata was restored from a backup, rows committed between the two are gone from it"
                );
            }
            self.publish(&step, before.as_deref(), *held.borrow());
            self.settle(&step, &mut waiters);
            event = match step {
                Step::Wait(until) => match wait(until, &mut held, &mut flushes).await {
                    Woken::Flush(reply) => {
                        let now = *held.borrow_and_update();
                        waiters.push(Waiter { to: if now.rows == 0 { Position(0) } else { now.to }, reply });
                        Event::Flush(now)
                    }
                    Woken::Held(now) => Event::Held(now),
                    Woken::Time => Event::Tick,
                    Woken::Closed => return,
                },
                Step::Look => Event::Looked { look: self.catalog.look().await, fresh: Uuid::new_v4() },
                Step::Encode(batch) => Event::Encoded(self.encode(batch, &metrics).await),
                Step::Journal(intent) => match self.wal.intend(self.stream, intent).await {
                    Ok(()) => {
                        faults::pass(Point::AfterIntent);
                        Event::Journalled
                    }
                    Err(error) => Event::Failed(format!("the commit cannot be written down: {error}")),
                },
                Step::Send(attempt) => Event::Answered(self.send(&attempt, &metrics).await),
                Step::Record(recorded) => match self.wal.record(self.stream, recorded).await {
                    Ok(()) => {
                        self.sweep().await;
                        Event::Recorded(*held.borrow_and_update())
                    }
                    Err(error) => Event::Failed(format!("the commit cannot be recorded: {error}")),
                },
                Step::MoveOut(to, why) => match self.wal.move_out(self.stream, to, &why).await {
                    Ok(()) => Event::MovedOut(*held.borrow_and_update()),
                    Err(error) => {
                        warn!(table = self.name, %error, "rows could not be moved out of the log");
                        Event::Failed(error.to_string())
                    }
                },
                Step::Stop(reason) => {
                    if let Reason::Fenced(_) = reason {
                        self.wal.fence(&format!("{}: {reason}", self.name));
                    }
                    if !stopped(&reason, &mut flushes).await {
                        return;
                    }
                    Event::Held(*held.borrow_and_update())
                }
            };
            if matches!(&event, Event::Looked { look: Err(_), .. } | Event::Encoded(Err(_)) | Event::Failed(_)) {
                IcebergMetrics::add(&metrics.failures, 1);
            }
        }
    }

    async fn encode(&self, batch: Batch, metrics: &IcebergMetrics) -> Result<Files, EncodeFailure> {
        let Some(target) = self.catalog.target() else {
            return Err(EncodeFailure::Passing("the table was not looked at".to_owned()));
        };
        let rows = self.wal.read(self.stream, batch.above, batch.to);
        let start = clock::now();
        let letters = self.wal.letters(self.stream);
        let files = self.encoder.encode(Job { target, batch, rows, letters, file: self.file }).await;
        IcebergMetrics::add(&metrics.encode_micros, u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        if let Err(EncodeFailure::Denied(_)) = &files {
            self.catalog.renew();
        }
        if let Ok(files) = &files {
            if let Some(Letters { file, rows }) = files.letters {
                warn!(table = self.name, rows, %file, "rows do not fit the table: dead letters once the commit is recorded; see `floe replay --list`");
            }
            faults::pass(Point::AfterUpload);
        }
        files
    }

    /// Rule 18: deletes the files of attempts that another one for the same rows overtook long ago.
    async fn sweep(&self) {
        let Some(target) = self.catalog.target() else { return };
        let grace = u64::try_from(self.orphan_grace.as_millis()).unwrap_or(u64::MAX);
        let due = (clock::unix_nanos() / 1_000_000).saturating_sub(grace);
        for orphans in self.wal.orphans(self.stream).await.into_iter().take_while(|orphans| orphans.at <= due) {
            for file in &orphans.files {
                if let Err(error) = target.io.delete(file).await
                    && !target.io.exists(file).await.is_ok_and(|exists| !exists)
                {
                    debug!(table = self.name, file, %error, "an orphaned file could not be deleted; it stays listed");
                    return;
                }
            }
            if let Err(error) = self.wal.swept(self.stream, orphans.at).await {
                debug!(table = self.name, %error, "deleted orphans stay listed");
            }
        }
    }

    async fn send(&self, attempt: &Attempt, metrics: &IcebergMetrics) -> Answer {
        let answer = self.catalog.send(attempt).await;
        match &answer {
            Answer::Committed(_) => {
                faults::pass(if attempt.files.is_some() { Point::AfterCommitBeforeRecord } else { Point::DuringEnrol });
                self.committed(attempt, metrics);
            }
            Answer::Conflict => IcebergMetrics::add(&metrics.conflicts, 1),
            _ => IcebergMetrics::add(&metrics.failures, 1),
        }
        answer
    }

    fn committed(&self, attempt: &Attempt, metrics: &IcebergMetrics) {
        let (rows, files, bytes) =
            attempt.files.as_ref().map_or((0, 0, 0), |files| (files.rows, files.data.len() as u64, files.bytes));
        for (counter, n) in [(&metrics.commits, 1), (&metrics.rows, rows), (&metrics.files, files), (&metrics.bytes, bytes)] {
            IcebergMetrics::add(counter, n);
        }
        let position = attempt.intent.to;
        let commit = LastCommit { at: clock::unix_nanos(), position, rows, files, bytes };
        self.shared.change(|status| status.last_commit = Some(commit));
        info!(table = self.name, rows, files, bytes, position = position.0, "committed");
    }

    fn publish(&self, step: &Step, before: Option<&str>, held: Held) {
        let trouble = self.committer.trouble();
        match step {
            Step::MoveOut(to, why) => {
                let (rows, position) = (held.rows, to.position.0);
                warn!(table = self.name, rows, position, why, "rows are moved to dead letters; `floe replay` brings them back");
            }
            _ if trouble == before => {}
            Step::Stop(reason) => error!(table = self.name, %reason, "the table stopped; its rows stay in the log"),
            _ if trouble.is_some() => {
                warn!(table = self.name, trouble, "the table is not written for now; its rows stay in the log");
            }
            _ => info!(table = self.name, "the table is written again"),
        }
        self.shared.change(|status| {
            status.state = match step {
                Step::Wait(_) if trouble.is_some() => TableState::Retrying,
                Step::MoveOut(..) => status.state,
                Step::Wait(_) => TableState::Waiting,
                Step::Look if status.state == TableState::Starting => TableState::Starting,
                Step::Encode(_) => TableState::Encoding,
                Step::Stop(Reason::Fenced(_)) => TableState::Fenced,
                Step::Stop(Reason::Ambiguous(_)) => TableState::Ambiguous,
                Step::Stop(_) => TableState::Stopped,
                Step::Look | Step::Journal(_) | Step::Send(_) | Step::Record(_) => TableState::Committing,
            };
            status.watermark = self.committer.recorded().map_or(Position(0), |recorded| recorded.position);
            status.held = held;
            status.last_error = trouble.map(str::to_owned);
        });
    }

    /// Answers the flushes that are done, or that met a failure.
    fn settle(&self, step: &Step, waiters: &mut Vec<Waiter>) {
        let committed = self.committer.recorded().map_or(Position(0), |recorded| recorded.position);
        for waiter in std::mem::take(waiters) {
            let outcome = match (step, self.committer.trouble()) {
                _ if waiter.to <= committed => Ok(()),
                (Step::Wait(_) | Step::MoveOut(..) | Step::Stop(_), Some(trouble)) => Err(trouble.to_owned()),
                _ => {
                    waiters.push(waiter);
                    continue;
                }
            };
            // Who asked may be gone.
            let _ = waiter.reply.send(outcome);
        }
    }
}

enum Woken {
    Time,
    Held(Held),
    Flush(Flush),
    Closed,
}

async fn wait(until: Instant, held: &mut watch::Receiver<Held>, flushes: &mut mpsc::Receiver<Flush>) -> Woken {
    let more = async {
        tokio::time::sleep(BREATH).await;
        match held.changed().await {
            Ok(()) => *held.borrow_and_update(),
            // The log is closed: nothing more will come.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        flush = flushes.recv() => flush.map_or(Woken::Closed, Woken::Flush),
        () = tokio::time::sleep_until(until.into()) => Woken::Time,
        held = more => Woken::Held(held),
    }
}

/// A stopped table answers every flush with its reason. False when there will be no more of them; true after a while, when its rows may have
/// waited long enough to be moved out (rule 22).
async fn stopped(reason: &Reason, flushes: &mut mpsc::Receiver<Flush>) -> bool {
    let until = tokio::time::Instant::now() + STOPPED;
    loop {
        match tokio::time::timeout_at(until, flushes.recv()).await {
            Ok(Some(reply)) => drop(reply.send(Err(reason.to_string()))),
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}
