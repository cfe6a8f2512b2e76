//! `floe replay`: dead letters back into the log of a running gateway.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use super::{admin, block_on};
use crate::gateway::admin::proto::{DeadLettersReply, DeadLettersRequest, ReplayRequest};
use crate::gateway::config::Config;

pub(super) fn replay(config: &Config, files: &[String]) -> anyhow::Result<ExitCode> {
    let request = ReplayRequest { files: files.to_vec() };
    let reply = block_on(async { Ok(admin(config).await?.replay(request).await?.into_inner()) })?;
    writeln!(stdout(), "replayed {} rows", reply.rows)?;
    failed("not replayed", &reply.failures)
}

pub(super) fn list(config: &Config) -> anyhow::Result<ExitCode> {
    let reply = block_on(async { Ok(admin(config).await?.dead_letters(DeadLettersRequest {}).await?.into_inner()) })?;
    print(&mut stdout().lock(), &reply)?;
    failed("not readable", &reply.failures)
}

fn print(out: &mut impl Write, reply: &DeadLettersReply) -> std::io::Result<()> {
    if reply.files.is_empty() {
        writeln!(out, "no dead letters")?;
    }
    for file in &reply.files {
        let (first, last) = (file.first_position, file.last_position);
        writeln!(out, "{}  {}:{}, {} rows of positions {first} to {last}", file.file, file.exporter, file.table, file.rows)?;
        for reason in &file.reasons {
            writeln!(out, "  {} rows: {}", reason.rows, reason.reason)?;
        }
    }
    Ok(())
}

fn failed(what: &str, failures: &[String]) -> anyhow::Result<ExitCode> {
    for failure in failures {
        writeln!(stderr(), "{what}: {failure}")?;
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
