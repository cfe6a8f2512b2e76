//! `floe print-config`: what is in effect, so that it can be read again to the same effect; but for secrets, which are `[redacted]`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use crate::gateway::config::{Config, effective};

pub(super) fn print_config(config: &Config) -> anyhow::Result<ExitCode> {
    write!(stdout().lock(), "{}", effective(config)?)?;
    Ok(ExitCode::SUCCESS)
}
