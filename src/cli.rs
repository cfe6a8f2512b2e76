//! The command line: one file a command.

mod flush;
mod run;
mod schema;
mod status;
mod tables;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::source::Source;
use crate::gateway::config::{self, Config};

/// An OpenTelemetry gateway: OTLP in, four Apache Iceberg tables and a Prometheus endpoint out.
///
/// Without a command it runs the gateway.
#[derive(Debug, Parser)]
#[command(name = "floe", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file
    #[arg(short, long, global = true, default_value = "pipelines.yaml", value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or ctrl-c, then commit what is held and exit
    Run,
    /// Check the configuration: every setting, name and pipeline, and that nothing raw would be written
    Validate,
    /// Show the tables in the catalog: rows, files, watermark, metadata, and a line to paste into DuckDB
    Tables,
    /// Show what a running gateway received, holds and committed
    Status,
    /// Have a running gateway commit what it holds, now
    Flush,
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

impl Cli {
    /// Runs the command. What goes wrong is for the user to read.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(Command::Schema) = self.command {
            return schema::schema();
        }
        let config = self.read_config()?;
        match self.command.unwrap_or(Command::Run) {
            Command::Run => run::run(&config),
            Command::Validate => validate::validate(&self.config, &config),
            Command::Tables => tables::tables(&config),
            Command::Status => status::status(&config),
            Command::Flush => flush::flush(&config),
            Command::Schema => schema::schema(),
        }
    }

    fn read_config(&self) -> anyhow::Result<Config> {
        let source = Source::read(&self.config)?;
        Ok(config::read(&source)?)
    }
}

/// A runtime for commands that ask a running gateway or a catalog.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(future)
}

/// A connection to the gateway that runs with this configuration.
async fn admin(config: &Config) -> anyhow::Result<AdminClient> {
    let endpoint = config::Extensions::of(config).admin.endpoint;
    let client = AdminClient::connect(format!("http://{endpoint}")).await;
    client.map_err(|_| {
        anyhow::anyhow!("no gateway answers on {endpoint}: is it running, with the same `extensions.admin.endpoint`?")
    })
}

type AdminClient = crate::gateway::admin::proto::admin_client::AdminClient<tonic::transport::Channel>;
