//! `floe flush`: have a running gateway commit what it holds.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use super::{admin, block_on};
use crate::gateway::admin::proto::FlushRequest;
use crate::gateway::config::Config;

pub(super) fn flush(config: &Config) -> anyhow::Result<ExitCode> {
    let reply = block_on(async { Ok(admin(config).await?.flush(FlushRequest {}).await?.into_inner()) })?;
    if reply.failures.is_empty() || reply.committed_rows > 0 {
        writeln!(stdout(), "committed {} rows", reply.committed_rows)?;
    }
    for failure in &reply.failures {
        writeln!(stderr(), "not committed: {failure}")?;
    }
    Ok(if reply.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
