//! The binary: arguments, allocator, exit code.

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use floe::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(stderr(), "floe: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, each said once: some messages tell their cause themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        _ if text.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}
