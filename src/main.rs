//! The binary: arguments, allocator, exit code.

use std::process::ExitCode;

use clap::Parser;
use floe::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    Cli::parse().run()
}
