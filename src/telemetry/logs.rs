//! floe's own logs: text or JSON on standard error. Nothing of a request stands in them.
//!
//! Libraries are heard from `info` up only, whatever `RUST_LOG` says: below that they log what they are sent. `h2` writes the path and the
//! authority of a request that it refuses.

use std::io::{self, IsTerminal as _};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use super::config::{LogEncoding, LogsConfig};

/// Sets up logging for the process, once; a second call changes nothing.
pub fn init(config: &LogsConfig) {
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = match config.encoding {
        LogEncoding::Console => lines.boxed(),
        LogEncoding::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails only where logging is set up already, as in tests.
    let _ = registry().with(filter(config)).with(filter_fn(may_speak)).with(lines).try_init();
}

fn may_speak(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || event.target() == "floe" || event.target().starts_with("floe::")
}

/// `RUST_LOG` where it is set and can be read, else the configured level.
fn filter(config: &LogsConfig) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(config.level.name()))
}
