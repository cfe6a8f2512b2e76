//! `floe validate`: what can be known without starting.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::gateway::build;
use crate::gateway::config::Config;

pub(super) fn validate(paths: &[PathBuf], config: &Config) -> anyhow::Result<ExitCode> {
    build::validate(config)?;
    let pipelines: Vec<String> = config.service.pipelines.keys().map(ToString::to_string).collect();
    let files: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let verb = if files.len() == 1 { "is" } else { "are" };
    writeln!(stdout(), "{} {verb} valid; pipelines: {}", files.join(" and "), pipelines.join(", "))?;
    Ok(ExitCode::SUCCESS)
}
