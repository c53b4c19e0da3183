//! `cargo xtask gitops`: Argo CD in the cluster, and the tests of what it makes of our objects.
//!
//! - `images`: Argo CD, Redis and a Git server as images, out of pinned sources and Debian packages
//! - `install`: Argo CD's own manifests, with our health beside its settings; and away again
//!
//! The tests are in `e2e/tests/gitops`. They are not among those of `cargo xtask test`: what is built for them takes long.

mod images;
mod install;

use crate::cache::Cache;
use crate::check::cargo;
use crate::cluster::Cluster;
use crate::suite::{self, Tally};
use crate::{Error, Result, tools};

pub(crate) use install::take_away;
pub use install::{GIT, NAMESPACE, REPOSITORY};

/// Of the tests that do not disturb each other, so many run at a time: most of their time they wait.
const THREADS: &str = "--test-threads=6";
/// Tests whose names begin like this take the operator away, so they run one by one when the others are through.
const ALONE: &str = "alone::";
const ONE: &str = "--test-threads=1";

/// Builds Argo CD and what it renders with, where they are not in the cache. The cluster is not needed for what takes longest.
pub fn build(cache: &Cache) -> Result<()> {
    tools::ensure(cache, &[tools::ARGOCD, tools::KUSTOMIZE]).map(drop)
}

/// Installs Argo CD in the cluster that is up with the operator in it, runs the tests, or only those whose names contain `only`,
/// and takes Argo CD away.
pub fn run(cluster: &Cluster, cache: &Cache, only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let archives = images::build(cache)?;
    crate::images::import(cluster, &archives)?;
    // What an interrupted run left would get in the way.
    take_away(cluster)?;
    let result = install::install(cluster).and_then(|()| tests(cluster, only, tally));
    let away = take_away(cluster);
    result.and(away)
}

fn tests(cluster: &Cluster, only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let mut run = |what: &str, arguments: &[&str]| {
        let mut tests = cargo();
        tests
            .args(["test", "--package", "e2e", "--test", suite::GITOPS, "--"])
            .args(arguments)
            .env("KUBECONFIG", cluster.kubeconfig());
        suite::run(what, &mut tests, tally)
    };
    if let Some(only) = only {
        return run("chosen tests with Argo CD", &[only, ONE]);
    }
    let together = run("tests with Argo CD", &["--skip", ALONE, THREADS]);
    let what = "tests with Argo CD that need the operator to themselves";
    together.and(run(what, &[ALONE, ONE]))
}

/// The folder of Argo CD's sources.
fn sources() -> Result<std::path::PathBuf> {
    let folder = tools::sources(tools::ARGOCD, "github.com/argoproj/argo-cd/v3")?;
    if folder.join(install::MANIFESTS).is_file() {
        return Ok(folder);
    }
    Err(Error::Precondition(format!(
        "{} has no {}: this version of Argo CD is laid out in another way.",
        folder.display(),
        install::MANIFESTS
    )))
}
