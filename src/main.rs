//! The command line.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use db_operator::agent::install::install;
use db_operator::agent::protocol::restore::RestoreResult;
use db_operator::agent::protocol::result::TaskResult;
use db_operator::agent::protocol::task::paths;
use db_operator::agent::restore::rewrite::{self, Account, Definers, Rename, Report, Wanted};
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
    Dump(PodCommand),
    /// In a restore pod: fetch a dump as the operator asks, feed it to the tool that loads, and check what is there then.
    Restore(PodCommand),
    /// In the pod of a backup or a restore: copy this binary into a folder that is shared with a container of another image.
    Install {
        /// The folder.
        folder: PathBuf,
    },
    /// Rewrite a dump of MySQL or MariaDB, from standard input to standard output, for a database of another name or another user.
    ///
    /// It understands what mysqldump and mariadb-dump write. Anything else is an error: discard the output. Rows, literals, comments and
    /// bodies of routines, triggers and events are not changed; bodies that name the former database are listed on standard error.
    RewriteDump(RewriteDump),
}

/// The host of an account that may come from anywhere.
const ANY_HOST: &str = "%";

/// What to rewrite.
#[derive(Args)]
struct RewriteDump {
    /// The database's name in the dump.
    #[arg(long, requires = "to_database", value_parser = NonEmptyStringValueParser::new())]
    from_database: Option<String>,
    /// The name of the database that the dump is loaded into.
    #[arg(long, requires = "from_database", value_parser = NonEmptyStringValueParser::new())]
    to_database: Option<String>,
    /// The user who loads the dump. Definers other than this user are removed, so that the objects belong to whoever loads them. By
    /// default, definers stay.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    user: Option<String>,
    /// The host of the user's account: by default %, which is any host.
    #[arg(long, requires = "user")]
    user_host: Option<String>,
    /// Put the user in the place of other definers. Only for administrators who load a dump for another user.
    #[arg(long, requires = "user")]
    replace_definers: bool,
}

impl RewriteDump {
    fn wanted(self) -> Wanted {
        let names = self.from_database.zip(self.to_database);
        let definers = self.user.map(|user| Definers {
            account: Account {
                user,
                host: self.user_host.unwrap_or_else(|| ANY_HOST.to_owned()),
            },
            former: None,
            replace: self.replace_definers,
        });
        Wanted {
            rename: names.map(|(from, to)| Rename { from, to }),
            only: None,
            definers,
            hold_events: false,
        }
    }
}

/// The paths in the pod of a backup or a restore, and the command that it runs.
#[derive(Args)]
struct PodCommand {
    /// Folder of the Secret that the operator writes for this Job.
    #[arg(long = "errand", default_value = paths::TASK)]
    task: PathBuf,
    /// Folder of the Secret with the login.
    #[arg(long, default_value = paths::CREDENTIALS)]
    credentials: PathBuf,
    /// Folder in memory for the files that the tool reads.
    #[arg(long, default_value = paths::WORK)]
    work: PathBuf,
    /// File that the kubelet reads the result from.
    #[arg(long, default_value = paths::TERMINATION)]
    termination: PathBuf,
    /// The tool and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Run(config) => operate(*config),
        Command::Crds => print_crds(),
        Command::Dump(arguments) => arguments.run_dump(),
        Command::Restore(arguments) => arguments.run_restore(),
        Command::Install { folder } => copy_to(&folder),
        Command::RewriteDump(arguments) => rewrite_dump(arguments),
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

impl PodCommand {
    fn run_dump(&self) -> ExitCode {
        let result = self.run(async |folders| agent::run::run(folders, &self.command).await);
        self.report(result, |result| {
            (result.message(), matches!(result, TaskResult::Done(_)))
        })
    }

    fn run_restore(&self) -> ExitCode {
        let result =
            self.run(async |folders| agent::restore::run::run(folders, &self.command).await);
        self.report(result, |result| {
            (result.message(), matches!(result, RestoreResult::Done(_)))
        })
    }

    /// Runs the task in this pod.
    fn run<R>(&self, task: impl AsyncFnOnce(&Folders) -> R) -> std::io::Result<R> {
        let folders = Folders {
            task: self.task.clone(),
            credentials: self.credentials.clone(),
            work: self.work.clone(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let result = runtime.block_on(task(&folders));
        // Threads that still read from the tool, or write to it, are not waited for.
        runtime.shutdown_background();
        Ok(result)
    }

    /// Leaves the result where the kubelet finds it.
    fn report<R>(
        &self,
        result: std::io::Result<R>,
        told: impl FnOnce(&R) -> (String, bool),
    ) -> ExitCode {
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                eprintln!("db-operator: cannot start threads: {error}");
                return ExitCode::FAILURE;
            }
        };
        let (message, is_done) = told(&result);
        if let Err(error) = std::fs::write(&self.termination, message) {
            let path = self.termination.display();
            eprintln!(
                "db-operator: cannot write {path}: {error}; the operator cannot see the result"
            );
            return ExitCode::FAILURE;
        }
        if is_done {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
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

fn rewrite_dump(arguments: RewriteDump) -> ExitCode {
    // Not `Stdout`, which writes what it holds even after an error.
    let output = match std::io::stdout().as_fd().try_clone_to_owned() {
        Ok(output) => File::from(output),
        Err(error) => {
            eprintln!("db-operator: cannot write to standard output: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut output = BufWriter::with_capacity(256 * 1024, output);
    match rewrite::copy(
        arguments.wanted(),
        &mut std::io::stdin().lock(),
        &mut output,
    ) {
        Ok(report) => {
            say(&report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            // What is buffered must not follow: it would be loaded.
            let _ = output.into_parts();
            eprintln!("db-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was done to a dump, for people.
fn say(report: &Report) {
    for body in &report.bodies {
        eprintln!("db-operator: the body of {body} names the former database; it stays as it is");
    }
    let more = report.bodies_in_all - report.bodies.len() as u64;
    if more > 0 {
        eprintln!("db-operator: so do the bodies of {more} more");
    }
    eprintln!(
        "db-operator: definers changed: {}, names replaced: {}, statements left out that concern the server: {}, \
         bodies that ended in a comment: {}",
        report.definers, report.names, report.left_out, report.mended
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewriting(arguments: &[&str]) -> Option<RewriteDump> {
        let words = ["db-operator", "rewrite-dump"].iter().chain(arguments);
        match CommandLine::try_parse_from(words).ok()?.command {
            Command::RewriteDump(arguments) => Some(arguments),
            Command::Run(_)
            | Command::Crds
            | Command::Dump(_)
            | Command::Restore(_)
            | Command::Install { .. } => None,
        }
    }

    #[test]
    fn a_host_belongs_to_a_user_and_is_any_by_default() {
        assert!(rewriting(&["--user-host", "h"]).is_none());
        let host = |arguments: &[&str]| {
            let definers = rewriting(arguments)?.wanted().definers;
            definers.map(|definers| definers.account.host)
        };
        assert_eq!(host(&["--user", "u"]).as_deref(), Some("%"));
        let named = host(&["--user", "u", "--user-host", "h"]);
        assert_eq!(named.as_deref(), Some("h"));
    }
}
