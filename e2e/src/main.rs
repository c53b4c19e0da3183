//! `cargo xtask`: the commands of someone who works on db-operator.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use e2e::Result;
use e2e::cluster::Cluster;

/// db-operator's cluster for demonstration, development and tests. Progress goes to stderr, results to stdout.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Print the path of the cluster's kubeconfig, alone: export KUBECONFIG=$(cargo xtask kubeconfig)
    Kubeconfig,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    match task {
        Task::Kubeconfig => println!("{}", Cluster::main().kubeconfig().display()),
    }
    Ok(())
}
