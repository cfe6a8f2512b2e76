//! `floe check`: whether the catalogs and their storage do what the gateway will ask of them.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use super::block_on;
use crate::exporters::iceberg::check::{Outcome, Progress, check as find};
use crate::gateway::build::schemas;
use crate::gateway::config::{Config, ExporterConfig};

pub(super) fn check(config: &Config, create: bool) -> anyhow::Result<ExitCode> {
    let mut well = true;
    for (id, exporter) in config.exporters.iter() {
        let ExporterConfig::Iceberg(settings) = exporter else { continue };
        writeln!(stdout(), "{id}: {}", settings.destination())?;
        let schemas = schemas(config, id);
        let mut written = Ok(());
        let tell = |progress| {
            well &= !matches!(&progress, Progress::Found(finding) if matches!(finding.outcome, Outcome::Wrong(_)));
            if written.is_ok() {
                written = show(&progress);
            }
        };
        block_on(async {
            find(settings, &schemas, create, tell).await;
            Ok(())
        })?;
        written?;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line as soon as there is one.
fn show(progress: &Progress) -> std::io::Result<()> {
    let finding = match progress {
        Progress::Found(finding) => finding,
        Progress::Waiting { what, most } => {
            return writeln!(stderr(), "  …         {what}: waiting for an answer, {} s at most", most.as_secs());
        }
    };
    let what = &finding.what;
    match &finding.outcome {
        Outcome::Well(said) => writeln!(stdout(), "  ok        {what}: {said}"),
        Outcome::NotTried(why) => writeln!(stdout(), "  not tried {what}: {why}"),
        Outcome::Wrong(wrong) => writeln!(stdout(), "  wrong     {what}: {wrong}"),
    }
}
