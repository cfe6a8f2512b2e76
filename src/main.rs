//! The binary: arguments, allocator, exit code.

use std::io::{Write, stderr};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use floe::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    set_allocator_options();
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(stderr(), "floe: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// What the allocator is told, unless the environment says otherwise. Zeroing huge pages cost a quarter of all CPU and a third of the memory;
/// and what is freed goes back at once, because a second's worth of it would stand beside what requests were promised (docs/performance.md).
const ALLOCATOR_OPTIONS: [(&str, &str); 2] = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];

/// The allocator reads its options from the environment, before `main`; so the process becomes itself once more, under the same pid. Where
/// that fails, it runs as it is.
fn set_allocator_options() {
    let unset = ALLOCATOR_OPTIONS.into_iter().filter(|(option, _)| std::env::var_os(option).is_none());
    let unset: Vec<_> = unset.collect();
    if !unset.is_empty()
        && let Ok(program) = std::env::current_exe()
    {
        let _ = Command::new(program).args(std::env::args_os().skip(1)).envs(unset).exec();
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
