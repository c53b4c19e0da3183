//! `cargo xtask gitops`: Argo CD in the cluster, and the tests of how it handles our objects.
//!
//! - `images`: Argo CD, Redis and a Git server as images, out of pinned sources and Debian packages
//! - `install`: Argo CD's own manifests, with our health beside its settings; and away again
//!
//! The tests are in `e2e/tests/gitops`. They are not among those of `cargo xtask test`: what is built for them takes long.

mod images;
mod install;

use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::suite::{self, Tally};
use crate::{Error, Result, tools};

pub(crate) use install::take_away;
pub use install::{GIT, NAMESPACE, REPOSITORY};

/// Builds Argo CD and what it renders with, where they are not in the cache. The cluster is not needed for what takes longest.
pub fn build(cache: &Cache) -> Result<()> {
    tools::ensure(cache, &[tools::ARGOCD, tools::KUSTOMIZE]).map(drop)
}

/// Installs Argo CD in the cluster that is up with the operator in it, runs the tests, or only those whose names contain `only`,
/// and takes Argo CD away.
pub fn run(
    cluster: &Cluster,
    cache: &Cache,
    runner: &Path,
    only: Option<&str>,
    tally: &mut Tally,
) -> Result<()> {
    let archives = images::build(cache)?;
    crate::images::import(cluster, &archives)?;
    // What an interrupted run left would get in the way.
    take_away(cluster)?;
    let mut tests = suite::nextest(runner, cluster);
    tests.args(["--test", suite::GITOPS]).args(only);
    let result = install::install(cluster)
        .and_then(|()| suite::run("tests with Argo CD", &mut tests, tally));
    let away = take_away(cluster);
    result.and(away)
}

/// The folder of Argo CD's sources.
fn sources() -> Result<PathBuf> {
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
