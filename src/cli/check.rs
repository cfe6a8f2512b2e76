//! `floe check`: whether the catalogs and their storage do what the gateway will ask of them.

use std::io::{Write, stdout};
use std::process::ExitCode;

use super::block_on;
use crate::exporters::iceberg::check;
use crate::gateway::build::schemas;
use crate::gateway::config::{Config, ExporterConfig};

pub(super) fn check(config: &Config) -> anyhow::Result<ExitCode> {
    let mut out = stdout().lock();
    let mut well = true;
    for (id, exporter) in config.exporters.iter() {
        let ExporterConfig::Iceberg(settings) = exporter else { continue };
        writeln!(out, "{id}: {}", settings.destination())?;
        let schemas = schemas(config, id);
        for finding in block_on(async { Ok(check::check(settings, &schemas).await) })? {
            match &finding.outcome {
                Ok(said) => writeln!(out, "  ok      {}: {said}", finding.what)?,
                Err(wrong) => writeln!(out, "  wrong   {}: {wrong}", finding.what)?,
            }
            well &= finding.outcome.is_ok();
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
