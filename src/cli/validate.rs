//! `floe validate`: what can be known without starting.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use crate::gateway::build;
use crate::gateway::config::Config;

pub(super) fn validate(path: &Path, config: &Config) -> anyhow::Result<ExitCode> {
    build::validate(config).map_err(|error| anyhow::anyhow!("{}:{error}", path.display()))?;
    let pipelines: Vec<String> = config.service.pipelines.keys().map(ToString::to_string).collect();
    writeln!(stdout(), "{} is valid; pipelines: {}", path.display(), pipelines.join(", "))?;
    Ok(ExitCode::SUCCESS)
}
