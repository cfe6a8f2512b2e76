//! The command line: one file a command.

mod check;
mod components;
mod flush;
mod print_config;
mod replay;
mod run;
mod sanitize;
mod schema;
mod status;
mod tables;
mod validate;
mod wal;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ComponentId;
use crate::config::source::{Source, Sources};
use crate::gateway::config::{self, Config};

const DEFAULT_CONFIG: &str = "pipelines.yaml";

/// An OpenTelemetry gateway: OTLP in, four Apache Iceberg tables and a Prometheus endpoint out.
///
/// Without a command it runs the gateway.
#[derive(Debug, Parser)]
#[command(name = "floe", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file; given several times, a later one is merged over an earlier one
    #[arg(short, long, global = true, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// A setting that goes before every file, such as exporters.prometheus.endpoint=127.0.0.1:9465; can be given several times
    #[arg(long, global = true, value_name = "KEY.KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or ctrl-c, then commit what is held and exit
    Run,
    /// Check the configuration: every setting, name and pipeline, and that nothing raw would be written
    Validate,
    /// Try the catalog and the storage as they are configured, say what is wrong and what to do
    Check {
        /// Make the namespace and the tables that are not there, as the gateway would
        #[arg(long)]
        create: bool,
    },
    /// Show the tables in the catalog: rows, files, watermark, metadata, and a line to paste into DuckDB
    Tables,
    /// Show what a running gateway received, holds and committed
    Status,
    /// Have a running gateway commit what it holds, now
    Flush,
    /// Bring dead letters back into the log of a running gateway: rows that did not fit their table, or were moved out of the log
    Replay {
        /// Files to bring back, as `--list` names them; else all
        #[arg(value_name = "FILE", conflicts_with = "list")]
        files: Vec<String>,
        /// Show the files, with the reasons why their rows are there
        #[arg(long)]
        list: bool,
    },
    /// Print the configuration that is in effect, with every default, and without secrets
    PrintConfig,
    /// List the receivers, processors, exporters and extensions of this build
    Components,
    /// Read text from standard input and print what would be stored of it
    Sanitize {
        /// The `sanitize` processor to take the settings of; else the first of the file, or the defaults where there is no file
        #[arg(long, value_name = "ID")]
        processor: Option<ComponentId>,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Look at the write-ahead log, and repair it by hand, while no gateway has it
    #[command(subcommand)]
    Wal(wal::WalCommand),
}

impl Cli {
    /// Runs the command. What goes wrong is for the user to read.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = || -> anyhow::Result<Config> { Ok(config::read(&self.sources()?)?) };
        match self.command.as_ref().unwrap_or(&Command::Run) {
            Command::Run => run::run(&config()?),
            Command::Validate => validate::validate(&self.config, &config()?),
            Command::Check { create } => check::check(&config()?, *create),
            Command::Tables => tables::tables(&config()?),
            Command::Status => status::status(&config()?),
            Command::Flush => flush::flush(&config()?),
            Command::Replay { list: true, .. } => replay::list(&config()?),
            Command::Replay { files, .. } => replay::replay(&config()?, files),
            Command::PrintConfig => print_config::print_config(&config()?),
            Command::Components => components::components(),
            Command::Sanitize { processor } => {
                let without_file =
                    self.set.is_empty() && self.config == [PathBuf::from(DEFAULT_CONFIG)] && !Path::new(DEFAULT_CONFIG).exists();
                let config = if without_file { None } else { Some(config()?) };
                sanitize::sanitize(config.as_ref(), processor.as_ref())
            }
            Command::Schema => schema::schema(),
            Command::Wal(command) => wal::wal(&config()?, command),
        }
    }

    fn sources(&self) -> anyhow::Result<Sources> {
        let files = self.config.iter().map(|path| Source::read(path)).collect::<Result<_, _>>()?;
        Ok(Sources { files, sets: self.set.clone() })
    }
}

/// A runtime for commands that ask a running gateway or a catalog.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(future)
}

/// A connection to the gateway that runs with this configuration.
async fn admin(config: &Config) -> anyhow::Result<AdminClient> {
    let admin = config::Extensions::of(config).admin;
    let endpoint = admin.map(|admin| admin.endpoint).ok_or_else(|| {
        anyhow::anyhow!("the extension `admin` is off: `service.extensions` does not list it, so no gateway answers")
    })?;
    let client = AdminClient::connect(format!("http://{endpoint}")).await;
    client.map_err(|_| {
        anyhow::anyhow!("no gateway answers on {endpoint}: is it running, with the same `extensions.admin.endpoint`?")
    })
}

type AdminClient = crate::gateway::admin::proto::admin_client::AdminClient<tonic::transport::Channel>;
