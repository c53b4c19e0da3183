//! The images of Argo CD and of the Redis that it needs.

use crate::cache::Cache;
use crate::images::{self, Archive, Context};
use crate::{Result, clone_root, tools};

/// The images, built where they are not in the cache.
pub(super) fn build(cache: &Cache) -> Result<[Archive; 2]> {
    let folder = |name: &str| clone_root().join("e2e/images").join(name);
    let mut argocd = Context::of_folder(&folder("argocd"))?;
    let modules = [tools::ARGOCD, tools::KUSTOMIZE];
    for (module, built) in modules.iter().zip(tools::ensure(cache, &modules)?) {
        // Each module is one program of the same name.
        argocd = argocd.with(module.name, &built.join(module.name));
    }
    let redis = Context::of_folder(&folder("redis"))?;
    Ok([
        images::build(cache, "argocd", "db-operator.dev/e2e/argocd:1", &argocd)?,
        images::build(cache, "redis", "db-operator.dev/e2e/redis:1", &redis)?,
    ])
}
