//! `floe wal`: look at the log and repair it by hand, while no gateway has it.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::gateway::config::{Config, Extensions};
use crate::wal::offline::{self, Inspection, Leftovers, StreamInfo, Verdict, Watermark};
use crate::wal::{Position, WalConfig};

#[derive(Debug, Subcommand)]
pub(super) enum WalCommand {
    /// Show the log's segments, and for each table what is recorded, held, and open with its files
    Inspect,
    /// Write the log anew under a writer id of its own
    ///
    /// For a log whose tables say "fenced": another process, started on a copy or on a restored backup of this directory, commits under the same
    /// writer id. Stop both, keep the one that goes on, and rehome the other: its rows above the fork go to the tables once it is started on the
    /// new directory. The old directory is not changed.
    Rehome {
        /// The last position that both logs have in common; when in doubt leave it out: every row that this log has not recorded is then written,
        /// and rows of the common part that the other one wrote are there twice, with the same id
        #[arg(long, value_name = "POSITION")]
        from: Option<u64>,
        /// The new directory, which must not exist yet; put it into `extensions.wal.directory`. Default: the old one with `-rehomed`
        #[arg(long, value_name = "DIRECTORY")]
        to: Option<PathBuf>,
    },
    /// Settle the commits of one table whose outcome nobody can tell
    ///
    /// For a table that says "ambiguous": its watermark was removed, and the snapshot that a commit was built on has expired. `floe wal inspect` lists
    /// the files of that commit; look whether the table has them (in PyIceberg: table.inspect.files()), then say so here.
    Resolve(Resolve),
    /// Make a damaged commit journal anew, from all of it that can be read
    ///
    /// The damaged files go to `damaged/` in the log's directory. What cannot be read any more is asked of the tables at the next start. A table that then
    /// says "fenced", though no other process has this log, or one whose journal is gone, needs its watermark named: the property
    /// floe.watermark.WRITER of the table, with the table's uuid (in PyIceberg: table.properties and table.metadata.table_uuid).
    Salvage {
        /// What a table says; once for each table
        #[arg(long = "watermark", value_name = "EXPORTER:TABLE=UUID:POSITION:COMMIT")]
        watermarks: Vec<Watermark>,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Resolve {
    /// The exporter and the table, as `floe wal inspect` shows them, such as iceberg:errors
    #[arg(long, value_name = "EXPORTER:TABLE")]
    table: String,
    /// The files of this commit are in the table: its rows are not written again
    #[arg(long, value_name = "COMMIT", required_unless_present = "replay", conflicts_with = "replay")]
    committed: Option<Uuid>,
    /// No file of an open commit is in the table: the rows are written again
    #[arg(long)]
    replay: bool,
}

pub(super) fn wal(config: &Config, command: &WalCommand) -> anyhow::Result<ExitCode> {
    let config = Extensions::of(config).wal;
    let mut out = stdout().lock();
    match command {
        WalCommand::Inspect => {
            print(&mut out, &offline::inspect(&config)?)?;
            print_leftovers(&mut out, &offline::leftovers(&config)?)?;
        }
        WalCommand::Rehome { from, to } => rehome(&mut out, &config, *from, to.clone())?,
        WalCommand::Resolve(Resolve { table, committed, .. }) => {
            let verdict = committed.map_or(Verdict::Replay, Verdict::Committed);
            offline::resolve(&config, table, verdict)?;
            writeln!(out, "{table}: resolved; start floe again")?;
        }
        WalCommand::Salvage { watermarks } => {
            print(&mut out, &offline::salvage(&config, watermarks)?)?;
            writeln!(out, "the journal is made anew; start floe again")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rehome(out: &mut impl Write, config: &WalConfig, from: Option<u64>, to: Option<PathBuf>) -> anyhow::Result<()> {
    let to = to.unwrap_or_else(|| {
        let mut name = config.directory.clone().into_os_string();
        name.push("-rehomed");
        PathBuf::from(name)
    });
    let writer = offline::rehome(config, from.map(Position), &to)?;
    writeln!(out, "{} is the log of writer {writer}: set `extensions.wal.directory` to it and start floe", to.display())?;
    Ok(())
}

fn print(out: &mut impl Write, log: &Inspection) -> std::io::Result<()> {
    writeln!(out, "writer {}, released up to {}, {} requests remembered", log.writer, log.floor.0, log.requests)?;
    for segment in &log.segments {
        let (first, last) = (segment.first.0, segment.last.0);
        writeln!(out, "  {}: {} bytes, {} records, {first} to {last}", segment.path.display(), segment.bytes, segment.records)?;
        if segment.unreadable > 0 {
            writeln!(out, "    {} bytes are no record: a torn tail, or damage", segment.unreadable)?;
        }
    }
    for (first, last) in &log.damaged {
        writeln!(out, "  damaged: {} to {}", first.0, last.0)?;
    }
    log.streams.iter().try_for_each(|stream| print_stream(out, stream))
}

fn print_leftovers(out: &mut impl Write, left: &Leftovers) -> std::io::Result<()> {
    for (stream, orphans) in &left.orphans {
        writeln!(out, "{stream}: {} files of overtaken commits, in no snapshot", orphans.files.len())?;
        for file in &orphans.files {
            writeln!(out, "    {file}")?;
        }
    }
    for letters in &left.letters {
        match letters {
            Ok(file) => {
                writeln!(out, "{}: {} rows in dead letters {}", file.stream, file.letters.rows, file.letters.file)?;
                for (reason, rows) in &file.reasons {
                    writeln!(out, "    {rows} rows: {reason}")?;
                }
            }
            Err(error) => writeln!(out, "{error}")?,
        }
    }
    Ok(())
}

fn print_stream(out: &mut impl Write, stream: &StreamInfo) -> std::io::Result<()> {
    writeln!(out, "{}: {} rows held in {} bytes", stream.name, stream.held_rows, stream.held_bytes)?;
    match &stream.recorded {
        Some(recorded) => {
            writeln!(out, "  recorded up to {} by commit {}, table {}", recorded.position.0, recorded.commit, recorded.table)?;
        }
        None => writeln!(out, "  nothing recorded")?,
    }
    for intent in &stream.intents {
        let parent = intent.parent.map_or_else(|| "an empty table".to_owned(), |parent| format!("snapshot {parent}"));
        writeln!(out, "  open: commit {}, rows {} to {}, on {parent}", intent.commit, intent.above.0 + 1, intent.to.0)?;
        for file in &intent.files {
            writeln!(out, "    {file}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Cli;

    fn parses(arguments: &[&str]) -> bool {
        Cli::try_parse_from(["floe", "wal", "resolve", "--table", "iceberg:errors"].iter().chain(arguments)).is_ok()
    }

    #[test]
    fn a_watermark_names_its_table() {
        let parses = |watermark: &str| Cli::try_parse_from(["floe", "wal", "salvage", "--watermark", watermark]).is_ok();
        let (table, commit) = ("00000000-0000-0000-0000-000000000005", "00000000-0000-0000-0000-000000000009");
        assert!(parses(&format!("iceberg/lake:errors={table}:12:{commit}")));
        for wrong in [
            "",
            "errors=1",
            &format!("errors={table}:12:{commit}"),
            &format!("a:b={table}:x:{commit}"),
            &format!("a:b={table}:1:{commit}:1"),
        ] {
            assert!(!parses(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_verdict_is_one_of_two() {
        let commit = ["--committed", "00000000-0000-0000-0000-000000000009"];
        assert!(parses(&["--replay"]) && parses(&commit));
        assert!(!parses(&[]) && !parses(&[commit[0], commit[1], "--replay"]));
    }
}
