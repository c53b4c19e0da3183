//! `cargo xtask`: the commands of someone who works on db-operator.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use e2e::Result;
use e2e::cluster::{Cluster, Up};
use e2e::command::say;

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
    /// Bring a Kubernetes cluster up on this machine; does nothing if it is up
    Up,
    /// Take the cluster away, with everything it left on the machine
    Down,
    /// Show the cluster's parts, its node, and who uses it
    Status,
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
    let cluster = Cluster::main();
    match task {
        Task::Up => up(&cluster)?,
        Task::Down => {
            let _lock = cluster.lock()?;
            cluster.down()?;
            say("The cluster is down.");
        }
        Task::Status => println!("{}", cluster.status()?),
        Task::Kubeconfig => println!("{}", cluster.kubeconfig().display()),
    }
    Ok(())
}

fn up(cluster: &Cluster) -> Result<()> {
    let start = Instant::now();
    let _lock = cluster.lock()?;
    match cluster.up()? {
        Up::Started => say(&format!(
            "The cluster is up after {} s.",
            start.elapsed().as_secs()
        )),
        Up::Repaired(parts) => say(&format!(
            "The cluster is whole again; started: {}.",
            parts.join(", ")
        )),
        Up::AlreadyRunning => say("The cluster is up already; nothing was changed."),
    }
    Ok(())
}
