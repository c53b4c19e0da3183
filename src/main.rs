//! The command line.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use db_operator::agent::install::install;
use db_operator::agent::protocol::result::TaskResult;
use db_operator::agent::protocol::task::paths;
use db_operator::agent::{self, Folders};
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
    /// Run the operator: stand by until elected, then reconcile all objects.
    Run(Box<Config>),
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
    /// In a backup pod: run a dump tool, compress what it writes, and upload it as the operator asks.
    Dump(Dump),
    /// In a backup pod: copy this binary into a folder that is shared with a container of another image.
    Install {
        /// The folder.
        folder: PathBuf,
    },
}

/// The paths in a backup pod, and the command that it runs.
#[derive(Args)]
struct Dump {
    /// Folder of the Secret that the operator writes for this Job.
    #[arg(long = "errand", default_value = paths::TASK)]
    task: PathBuf,
    /// Folder of the database's Secret.
    #[arg(long, default_value = paths::CREDENTIALS)]
    credentials: PathBuf,
    /// Folder in memory for the files that the dump tool reads.
    #[arg(long, default_value = paths::WORK)]
    work: PathBuf,
    /// File that the kubelet reads the result from.
    #[arg(long, default_value = paths::TERMINATION)]
    termination: PathBuf,
    /// The dump tool and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Run(config) => operate(*config),
        Command::Crds => print_crds(),
        Command::Dump(arguments) => run_dump(&arguments),
        Command::Install { folder } => copy_to(&folder),
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

fn run_dump(arguments: &Dump) -> ExitCode {
    let folders = Folders {
        task: arguments.task.clone(),
        credentials: arguments.credentials.clone(),
        work: arguments.work.clone(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("db-operator: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(agent::run::run(&folders, &arguments.command));
    // Threads that still read from the tool are not waited for.
    runtime.shutdown_background();
    if let Err(error) = std::fs::write(&arguments.termination, result.message()) {
        let path = arguments.termination.display();
        eprintln!("db-operator: cannot write {path}: {error}; the operator cannot see the result");
        return ExitCode::FAILURE;
    }
    match result {
        TaskResult::Done(_) => ExitCode::SUCCESS,
        TaskResult::Failed(_) => ExitCode::FAILURE,
    }
}

fn copy_to(folder: &Path) -> ExitCode {
    match install(folder) {
        Ok(target) => {
            println!("db-operator: copied to {}", target.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let folder = folder.display();
            eprintln!("db-operator: cannot copy this binary to {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}
