//! `cargo xtask`: the commands of someone who works on db-operator.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use e2e::alerts;
use e2e::bench;
use e2e::book;
use e2e::cache::Cache;
use e2e::campaign;
use e2e::check;
use e2e::cluster::{Cluster, Settings, Up};
use e2e::command::say;
use e2e::host;
use e2e::operator::{self, Load};
use e2e::suite::{self, Tally};
use e2e::{Result, demo, gitops, servers, test_one, tree};

/// db-operator's cluster for demonstration, development and tests. Progress goes to stderr, results to stdout.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Arguments {
    /// The cluster's name. There is one per machine; the other name is for tests of the cluster itself.
    #[arg(long, global = true, hide = true, value_parser = ["e2e", "beside"], default_value = "e2e")]
    cluster: String,
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start a Kubernetes cluster with database servers on this machine; does nothing if it is running
    Up,
    /// Start everything with the operator in it, show what it does, and leave it running
    Demo,
    /// Rebuild the operator if its sources changed, import its image, install and restart it
    Load,
    /// Check everything that must hold before a change lands: formatting, lints, dependencies, all tests
    Test,
    /// Build and run one test in the cluster that KUBECONFIG names, or else in this machine's
    TestOne {
        /// The test's name, or a part of it, as in "succession::a_killed_leader"
        name: String,
    },
    /// Make one thing fail at each request of the operator, and check that the result is the same as without
    #[command(subcommand)]
    Campaign(Campaign),
    /// Measure the operator that is loaded; nothing else should run on the machine
    #[command(subcommand)]
    Bench(Bench),
    /// Have Argo CD sync the samples from a Git repository, and check how it handles our objects; removes Argo CD afterwards
    Gitops {
        /// Only tests whose names contain this, as in "health"
        #[arg(long)]
        only: Option<String>,
    },
    /// Check the alerts of kustomize/components/monitoring with promtool: their syntax, and when they fire
    Alerts,
    /// Build the documentation as a book into target/book, and check its links; needs no cluster
    Book,
    /// Print each file of src/ with what its job is
    Tree,
    /// Remove the cluster, with everything it left on the machine
    Down,
    /// Show the cluster's parts, its node, and who uses it
    Status,
    /// Print only the path of the cluster's kubeconfig: export KUBECONFIG=$(cargo xtask kubeconfig)
    Kubeconfig,
}

#[derive(Subcommand)]
enum Campaign {
    /// Kill the operator before and after each request of create, follow, adopt, retain and delete, on each server
    Databases {
        /// Only these: engine/scenario/fault, as in "postgres/create" or "//kill before 3"
        #[arg(long)]
        only: Option<String>,
        /// Also inject API server errors, and end connections and watches
        #[arg(long)]
        errors: bool,
        /// The order of the plans; the same number is the same order
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// One of several equal parts, as in 1/4
        #[arg(long)]
        slice: Option<campaign::Slice>,
    },
    /// Kill the operator before and after each request of a backup, and the dump tool at random points; replaces
    /// the operator in the cluster
    Backups {
        /// Only this kill of the operator, as in "kill before 3"
        #[arg(long)]
        only: Option<String>,
        /// How often the dump tool is killed
        #[arg(long, default_value_t = 200)]
        tool: u32,
        /// The order of the plans, and where the tool is killed; the same number is the same order
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// One of several equal parts of the operator's kills, as in 1/4
        #[arg(long)]
        slice: Option<campaign::Slice>,
    },
    /// Kill the operator before and after each request of a restore, to the database server as well; replaces the
    /// operator in the cluster
    Restores {
        /// Only these: engine/scenario/fault, as in "postgres/replace" or "//kill before 3"
        #[arg(long)]
        only: Option<String>,
        /// The order of the plans; the same number is the same order
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// One of several equal parts of each scenario's kills, as in 1/4
        #[arg(long)]
        slice: Option<campaign::Slice>,
    },
    /// Stop the leader at random moments of its work, let another process take over, and check the servers' logs for
    /// what the first does when it continues
    Pauses {
        /// Only on this server, as in "postgres"; by default on all at once
        #[arg(long)]
        only: Option<String>,
        /// How often
        #[arg(long, default_value_t = 500)]
        count: u32,
        /// At which moments; the same number is the same moments
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// One of several equal parts, as in 1/4
        #[arg(long)]
        slice: Option<campaign::Slice>,
    },
    /// Back up a table of 2 GB on each server, restore it, and compare
    Data,
}

#[derive(Subcommand)]
enum Bench {
    /// How soon a Database can be used on PostgreSQL and MariaDB, and at what cost
    Databases(bench::Plan),
    /// How fast a backup is compared with shell pipes; nothing else should run on the machine
    Backup(bench::backup::Plan),
    /// How fast a restore is compared with shell pipes, and what a replacement costs in downtime; nothing else should run
    /// on the machine
    Restore(bench::restore::Plan),
    /// How soon a namespace is served while another one floods the operator, compared with no flood; replaces the
    /// operator in the cluster
    Bystander(bench::bystander::Plan),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let settings = if arguments.cluster == "beside" {
        Settings::neighbour()
    } else {
        Settings::main()
    };
    let cluster = Cluster::new(settings);
    match &arguments.command {
        Task::Up => {
            let _lock = cluster.lock()?;
            up(&cluster, &Cache::open()?)?;
        }
        Task::Demo => {
            let _lock = cluster.lock()?;
            let cache = Cache::open()?;
            while_building(|| operator::build(&cache), || up(&cluster, &cache))?;
            println!("{}", demo::demo(&cluster, &cache)?);
        }
        Task::Load => {
            let _lock = cluster.lock()?;
            let cache = Cache::open()?;
            ready(&cluster, &cache)?;
        }
        Task::Test => test(&cluster)?,
        Task::Campaign(what) => campaign(&cluster, what)?,
        Task::TestOne { name } => test_one::run(&cluster, name)?,
        Task::Bench(what) => println!("{}", bench(&cluster, what)?),
        Task::Gitops { only } => gitops(&cluster, only.as_deref())?,
        Task::Alerts => alerts::check(&Cache::open()?)?,
        Task::Tree => print!("{}", tree::describe()?),
        Task::Book => println!("{}", book::build(&Cache::open()?)?.display()),
        Task::Down => {
            let _lock = cluster.lock()?;
            cluster.down()?;
            say("The cluster is down.");
        }
        Task::Status => println!("{}", cluster.status()?),
        Task::Kubeconfig => {
            if !cluster.kubeconfig().is_file() {
                say("The cluster is down: bring it up with `cargo xtask up`.");
            }
            println!("{}", cluster.kubeconfig().display());
        }
    }
    Ok(())
}

/// Runs a campaign to its end. Those of databases and pauses have API servers of their own and disturb nobody.
fn campaign(cluster: &Cluster, what: &Campaign) -> Result<()> {
    let cache = Cache::open()?;
    match what {
        Campaign::Databases {
            only,
            errors,
            seed,
            slice,
        } => {
            up_beside_the_binary(cluster, &cache)?;
            let options = campaign::Options {
                only: only.clone(),
                errors: *errors,
                seed: *seed,
                slice: *slice,
                budget: None,
            };
            passed(campaign::run(cluster, &options))?;
        }
        Campaign::Backups {
            only,
            tool,
            seed,
            slice,
        } => {
            let _lock = cluster.lock()?;
            ready(cluster, &cache)?;
            let options = campaign::backups::Options {
                only: only.clone(),
                tool: *tool,
                seed: *seed,
                slice: *slice,
                budget: None,
            };
            passed(campaign::backups::run(cluster, &options))?;
        }
        Campaign::Restores { only, seed, slice } => {
            let _lock = cluster.lock()?;
            ready(cluster, &cache)?;
            let options = campaign::restores::Options {
                only: only.clone(),
                seed: *seed,
                slice: *slice,
                budget: None,
            };
            passed(campaign::restores::run(cluster, &options))?;
        }
        Campaign::Pauses {
            only,
            count,
            seed,
            slice,
        } => {
            up_beside_the_binary(cluster, &cache)?;
            let options = campaign::pauses::Options {
                only: only.clone(),
                count: *count,
                seed: *seed,
                slice: *slice,
                budget: None,
            };
            passed(campaign::pauses::run(cluster, &options))?;
        }
        Campaign::Data => {
            let _lock = cluster.lock()?;
            let runner = check::nextest(&cache)?;
            ready(cluster, &cache)?;
            suite::big(cluster, &runner)?;
        }
    }
    Ok(())
}

/// Measures, and returns the table or the JSON.
fn bench(cluster: &Cluster, what: &Bench) -> Result<String> {
    let cache = Cache::open()?;
    match what {
        Bench::Databases(plan) => {
            let _lock = cluster.lock()?;
            ready(cluster, &cache)?;
            bench::databases(cluster, &cache, plan)
        }
        Bench::Bystander(plan) => {
            let _lock = cluster.lock()?;
            ready(cluster, &cache)?;
            bench::bystander::bystander(cluster, &cache, plan)
        }
        // They need no cluster.
        Bench::Backup(plan) => bench::backup::backup(cluster, &cache, plan),
        Bench::Restore(plan) => bench::restore::restore(cluster, &cache, plan),
    }
}

/// The cluster and the servers in it; the caller holds the lock.
fn up(cluster: &Cluster, cache: &Cache) -> Result<()> {
    let start = Instant::now();
    let up = cluster.up()?;
    // The cluster beside is for tests of the cluster itself.
    let servers_changed = cluster.settings() == &Settings::main() && servers::up(cluster, cache)?;
    match up {
        Up::Started => say(&format!(
            "The cluster is up after {} s, with its servers.",
            start.elapsed().as_secs()
        )),
        Up::Repaired(parts) => say(&format!(
            "The cluster is whole again; started: {}.",
            parts.join(", ")
        )),
        Up::AlreadyRunning if servers_changed => {
            say("The cluster is up already; its servers were brought up to date.");
        }
        Up::AlreadyRunning => say("The cluster is up already; nothing was changed."),
    }
    Ok(())
}

/// The cluster with its servers, and the operator's binary; others may use the cluster from then on.
fn up_beside_the_binary(cluster: &Cluster, cache: &Cache) -> Result<()> {
    let lock_and_up = || {
        let _lock = cluster.lock()?;
        up(cluster, cache)
    };
    while_building(|| operator::build(cache), lock_and_up).map(drop)
}

/// The cluster with its servers, and in it the operator of these sources; the caller holds the lock.
fn ready(cluster: &Cluster, cache: &Cache) -> Result<()> {
    while_building(|| operator::build(cache), || up(cluster, cache))?;
    load(cluster, cache)
}

fn load(cluster: &Cluster, cache: &Cache) -> Result<()> {
    let load = operator::load(cluster, cache)?;
    servers::apply_instances(cluster)?;
    say(match load {
        Load::Installed => "The operator is installed and ready.",
        Load::Restarted => "The operator was restarted from its new image and is ready.",
        Load::Unchanged => "The operator runs from these sources already; nothing was restarted.",
    });
    Ok(())
}

/// Prints how a campaign ended, which is an error if something did not end as it should.
fn passed(campaign: impl Future<Output = Result<campaign::Tally>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(e2e::Error::trial("start a runtime"))?;
    let tally = runtime.block_on(campaign)?;
    println!("{tally}");
    if tally.failures.is_empty() {
        return Ok(());
    }
    Err(e2e::Error::Precondition(
        "some plans did not end as they should".to_owned(),
    ))
}

/// What Argo CD makes of our objects; ends in the number of tests that passed.
fn gitops(cluster: &Cluster, only: Option<&str>) -> Result<()> {
    let cache = Cache::open()?;
    gitops::build(&cache)?;
    let runner = check::nextest(&cache)?;
    let _lock = cluster.lock()?;
    ready(cluster, &cache)?;
    let mut tally = Tally::default();
    let result = gitops::run(cluster, &cache, &runner, only, &mut tally);
    println!("\n{tally}");
    result
}

/// Builds something on a thread of its own while something else, which waits for the network, for images and for pods as
/// well, is done here.
fn while_building<T: Send>(
    build: impl FnOnce() -> Result<T> + Send,
    something: impl FnOnce() -> Result<()>,
) -> Result<T> {
    std::thread::scope(|scope| {
        let built = scope.spawn(build);
        something()?;
        match built.join() {
            Ok(built) => built,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Everything that must hold, from quick to slow; ends in the number of tests that passed.
fn test(cluster: &Cluster) -> Result<()> {
    // The first half needs none, and takes minutes: who lacks it should not have to wait for the second to hear so.
    host::require_root()?;
    let cache = Cache::open()?;
    let mut tally = Tally::default();
    let result = check::without_cluster(&cache, &mut tally).and_then(|()| {
        let _lock = cluster.lock()?;
        let runner = while_building(|| check::nextest(&cache), || ready(cluster, &cache))?;
        suite::with_cluster(cluster, &cache, &runner, &mut tally)
    });
    println!("\n{tally}");
    result
}
