//! `floe run`: the gateway, until a signal.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::gateway::config::Config;
use crate::gateway::{Ended, Gateway};
use crate::telemetry::logs;

/// The log broke: `EX_IOERR` of sysexits.h, so that a supervisor can tell it from a wrong configuration.
const LOG_BROKEN: u8 = 74;

/// Large bodies are inflated and processed on these threads. Each keeps some memory for itself, so there are few; what waits for one holds
/// its share of the budget.
const BLOCKING_THREADS: usize = 8;

pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    logs::init(&config.service.telemetry.logs);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()?;
    let ended = runtime.block_on(async {
        // Listened for before anything starts: a signal during the start ends it too.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let gateway = Gateway::start(config)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "floe is ready");
        Ok(match gateway.run(stop).await {
            Ended::Drained { left: 0 } => {
                tracing::info!("drained: every row is committed");
                ExitCode::SUCCESS
            }
            Ended::Drained { left } => {
                tracing::warn!(rows = left, "drained: these rows wait in the log and are committed after the next start");
                ExitCode::SUCCESS
            }
            Ended::LogBroken => {
                tracing::error!(
                    "the disk under the log failed: nothing since is acknowledged; start again once the disk is well"
                );
                ExitCode::from(LOG_BROKEN)
            }
        })
    });
    // What still runs is of no use to anyone: nothing after this is acknowledged.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
