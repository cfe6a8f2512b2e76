//! `floe status`: both laws of conservation and every destination of a running gateway.

use std::io::{Write, stdout};
use std::process::ExitCode;

use super::{admin, block_on};
use crate::clock;
use crate::gateway::admin::proto::{StatusReply, StatusRequest};
use crate::gateway::config::Config;

pub(super) fn status(config: &Config) -> anyhow::Result<ExitCode> {
    let reply = block_on(async { Ok(admin(config).await?.status(StatusRequest {}).await?.into_inner()) })?;
    print(&mut stdout().lock(), &reply)?;
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, reply: &StatusReply) -> std::io::Result<()> {
    writeln!(out, "floe {}, writer {}", reply.version, reply.writer_id)?;
    writeln!(out, "log: {} of {} bytes\n", reply.wal_bytes, reply.wal_max_bytes)?;
    writeln!(out, "records since start: received = refused + duplicate + rejected + filtered + unmapped + mapped")?;
    for p in &reply.pipelines {
        writeln!(
            out,
            "  {:<12} {} = {} + {} + {} + {} + {} + {}",
            p.pipeline, p.received, p.refused, p.duplicate, p.rejected, p.filtered, p.unmapped, p.mapped
        )?;
    }
    writeln!(out, "\nrows since start: logged = committed + held + dead-lettered + damaged")?;
    for d in &reply.destinations {
        let name = format!("{}:{}", d.exporter, d.table);
        writeln!(
            out,
            "  {name:<24} {} = {} + {} + {} + {}  watermark {}, {}",
            d.logged_rows, d.committed_rows, d.held_rows, d.dead_lettered_rows, d.damaged_rows, d.watermark, d.state
        )?;
        if d.held_rows > 0 {
            let seconds = d.oldest_millis / 1000;
            writeln!(out, "  {:<24} {} bytes held, the oldest row for {seconds} s", "", d.held_bytes)?;
        }
        if d.last_commit_millis > 0 {
            let ago = (clock::unix_nanos() / 1_000_000).saturating_sub(d.last_commit_millis) / 1000;
            writeln!(out, "  {:<24} last commit {ago} s ago", "")?;
        }
        if d.waiting_letters > 0 {
            writeln!(out, "  {:<24} {} rows in dead letters, see `floe replay --list`", "", d.waiting_letters)?;
        }
        if !d.last_error.is_empty() {
            writeln!(out, "  {:<24} {}", "", d.last_error)?;
        }
    }
    Ok(())
}
