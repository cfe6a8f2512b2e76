//! floe's own logs: text or JSON on standard error. Nothing of a record stands in them.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::config::{LogEncoding, LogsConfig};

/// Sets up logging for the process, once; a second call changes nothing.
pub fn init(config: &LogsConfig) {
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(config)).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Fails only where logging is set up already, as in tests.
    let _ = match config.encoding {
        LogEncoding::Console => builder.try_init(),
        LogEncoding::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// `RUST_LOG` where it is set and can be read, else the configured level.
fn filter(config: &LogsConfig) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(config.level.name()))
}
