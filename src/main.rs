//! The binary: arguments, allocator, exit code.

use std::io::{Write, stderr};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use floe::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    refuse_huge_pages();
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(stderr(), "floe: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Zeroing huge pages cost a quarter of all CPU and a third of the memory (docs/performance.md). The allocator reads its options from the
/// environment, before `main`; so the process becomes itself once more, under the same pid. Where that fails, it runs as it is.
fn refuse_huge_pages() {
    const OPTION: &str = "MIMALLOC_ALLOW_THP";
    if std::env::var_os(OPTION).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let _ = Command::new(program).args(std::env::args_os().skip(1)).env(OPTION, "0").exec();
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
