//! `floe components`: what this build is made of.

use std::io::{Write, stdout};
use std::process::ExitCode;

use serde_json::json;

use crate::config::{Component, printed};
use crate::gateway::config::{ExporterConfig, ExtensionConfig, ReceiverConfig};
use crate::processors::ProcessorConfig;

pub(super) fn components() -> anyhow::Result<ExitCode> {
    let mut out = stdout().lock();
    let version = json!({ "buildinfo": { "command": "floe", "description": env!("CARGO_PKG_DESCRIPTION"), "version": env!("CARGO_PKG_VERSION") } });
    write!(out, "{}", printed::yaml(&version, 0))?;
    let sections = [
        ("receivers", ReceiverConfig::KINDS),
        ("processors", ProcessorConfig::KINDS),
        ("exporters", ExporterConfig::KINDS),
        ("extensions", ExtensionConfig::KINDS),
    ];
    for (section, kinds) in sections {
        let components: Vec<_> = kinds.iter().map(|kind| json!({ "name": kind })).collect();
        write!(out, "{}", printed::yaml(&json!({ section: components }), 0))?;
    }
    Ok(ExitCode::SUCCESS)
}
