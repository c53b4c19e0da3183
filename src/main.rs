//! The command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use db_operator::config::Config;
use db_operator::{run, telemetry};

/// A Kubernetes operator for databases inside existing PostgreSQL, MySQL and MariaDB instances.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator: stand by until elected, then look after all objects.
    Run(Box<Config>),
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Run(config) => operate(*config),
        Command::Crds => print_crds(),
    }
}

fn operate(config: Config) -> ExitCode {
    if let Err(error) = telemetry::init(config.log_format, &config.log_filter) {
        eprintln!("db-operator: {error}");
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start threads");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run::run(config));
    // Whatever still runs must not go on: nothing is waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> ExitCode {
    let printed = db_operator::api::crds::yaml()
        .map_err(std::io::Error::other)
        .and_then(|yaml| std::io::stdout().write_all(yaml.as_bytes()));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("db-operator: cannot print the definitions: {error}");
            ExitCode::FAILURE
        }
    }
}
