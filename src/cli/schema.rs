//! `floe schema`: the JSON Schema of the configuration.

use std::io::{Write, stdout};
use std::process::ExitCode;

use crate::config::schema;
use crate::gateway::config::Config;

pub(super) fn schema() -> anyhow::Result<ExitCode> {
    writeln!(stdout(), "{}", serde_json::to_string_pretty(&schema::of::<Config>())?)?;
    Ok(ExitCode::SUCCESS)
}
