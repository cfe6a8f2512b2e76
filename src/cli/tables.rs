//! `floe tables`: what stands in the catalog, and how to read it.

use std::io::{Write, stdout};
use std::process::ExitCode;

use super::block_on;
use crate::exporters::iceberg;
use crate::gateway::config::{Config, ExporterConfig};

pub(super) fn tables(config: &Config) -> anyhow::Result<ExitCode> {
    let mut out = stdout().lock();
    for (id, exporter) in config.exporters.iter() {
        let ExporterConfig::Iceberg(settings) = exporter else { continue };
        let tables = block_on(async { Ok(iceberg::describe(settings).await?) })?;
        writeln!(out, "{id}: {} tables", tables.len())?;
        for table in &tables {
            writeln!(out, "\n  {}", table.name)?;
            writeln!(out, "    rows       {}", table.rows)?;
            writeln!(out, "    files      {} ({} bytes)", table.files, table.bytes)?;
            let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
            writeln!(out, "    columns    {}", columns.join(", "))?;
            for (writer, watermark) in &table.watermarks {
                writeln!(out, "    watermark  {} of writer {writer}", watermark.0)?;
            }
            writeln!(out, "    metadata   {}", table.metadata_location)?;
            writeln!(out, "    duckdb     SELECT * FROM iceberg_scan('{}') LIMIT 10;", table.metadata_location)?;
        }
        if tables.is_empty() {
            writeln!(out, "  none yet: the gateway makes them when it starts")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
