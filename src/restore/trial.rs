//! Of a test (mode `Test`), which restores no Database: what it waits for, whether its instance is still there for it, and who
//! waits for its end.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::blocked::Blocked;
use super::observe::Found;
use super::pending::{self, Looked, Ready, Waits};
use super::transition::Begun;
use super::{Pass, load, prerequisites, slot, wake};
use crate::api::restore::Destined;
use crate::api::{Restore, RestoreReason};
use crate::controller::Error;
use crate::provider::restore::test_names;

/// Whether a test may begin, and what it waits for otherwise. It needs no Database's word and was not done before, whatever
/// a server remembers: it changes nothing, and may be done any number of times.
pub(super) async fn look(pass: &Pass<'_>, instance: &str) -> Result<Looked, Waits> {
    if let Some(left) = left_over(pass, instance) {
        let message = format!(
            "what the test {left} made on instance {instance} is not removed yet, and goes first (kubectl describe restore {left})"
        );
        return Err(Blocked::new(RestoreReason::WaitingForTurn, message).into());
    }
    let prerequisites = prerequisites::for_test(pass, instance).await?;
    if prerequisites.instance.metadata.deletion_timestamp.is_some() {
        let message = format!("instance {instance} is being deleted: no test on it begins");
        return Err(Blocked::new(RestoreReason::WaitingForDatabase, message).into());
    }
    if let Err(failure) = pending::check(pass, &prerequisites, "") {
        return Ok(Looked::Decided(Found::Failed(Box::new(failure))));
    }
    let most = prerequisites
        .instance
        .spec
        .effective_restore()
        .max_concurrent;
    let remembered = &pass.context.remembered;
    if !remembered.has_source(&pass.uid()) {
        // Who waits for a slot has all else, and the bucket is read once for that.
        if let Err(failure) = pending::choose(pass, &prerequisites).await? {
            return Ok(Looked::Decided(Found::Failed(Box::new(failure))));
        }
        remembered.found_source(&pass.uid());
    }
    slot::check_free(pass, instance, most).map_err(Waits::asking)?;
    let chosen = match pending::choose(pass, &prerequisites).await? {
        Ok(chosen) => chosen,
        Err(failure) => return Ok(Looked::Decided(Found::Failed(Box::new(failure)))),
    };
    let id = load::id(&pass.object, &pass.context.cluster_id);
    let names = test_names(&id).map_err(|error| {
        Waits::from(Blocked::new(RestoreReason::Unsupported, error.to_string()))
    })?;
    let begun = Begun {
        source: chosen.noted(),
        target: prerequisites.target_of_test(&names),
    };
    Ok(Looked::Ready(Box::new(Ready { begun, most })))
}

/// A test of the same namespace on this instance that has ended, and that something is left of: a namespace leaves no more
/// on a server than it may run at a time.
fn left_over(pass: &Pass<'_>, instance: &str) -> Option<String> {
    let all = pass.context.cache.restores.state();
    let mut others = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    let left = others.find(|other| {
        other.metadata.uid != pass.object.metadata.uid
            && other.namespace().as_deref() == Some(&pass.namespace())
            && other.is_unclean_test()
            && is_on(other, instance)
    })?;
    Some(left.name_any())
}

fn is_on(restore: &Restore, instance: &str) -> bool {
    restore.spec.destined() == Destined::Test(instance)
}

/// Whether the instance of a test that runs is gone or going, or does not accept the namespace any more.
pub(super) async fn is_withdrawn(pass: &Pass<'_>, instance: &str) -> Result<bool, Error> {
    let known = pass.context.cache.instance(instance)?;
    let is_there = known.is_some_and(|known| known.metadata.deletion_timestamp.is_none());
    if !is_there {
        return Ok(true);
    }
    Ok(prerequisites::tenancy(pass, instance).await?.is_forbidden())
}

/// After a test is cleaned up: its instance may be waiting for that, to be deleted, and further tests of its namespace.
pub(super) fn tell_who_waits(pass: &Pass<'_>) {
    let Destined::Test(instance) = pass.object.spec.destined() else {
        return;
    };
    let context = pass.context;
    if let Some(object) = context.cache.instances.get(&ObjectRef::new(instance)) {
        let known = object.0.as_ref().ok();
        if known.is_some_and(|known| known.metadata.deletion_timestamp.is_some()) {
            context.triggers.instances.send(&object);
        }
    }
    wake::waiting(context);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_of_a_test_counts_on_its_own_instance() {
        let test = |state: &str, finalizers: &[&str]| -> Restore {
            serde_json::from_value(json!({
                "metadata": {"name": "r", "namespace": "team", "uid": "u", "finalizers": finalizers},
                "spec": {"source": {"backupRef": {"name": "b"}}, "mode": "Test", "instanceRef": {"name": "i"}},
                "status": {"state": state},
            }))
            .unwrap()
        };
        let held: &[&str] = &[crate::api::FINALIZER];
        for state in ["COMPLETED", "FAILED"] {
            let left = test(state, held);
            assert!(left.is_unclean_test() && is_on(&left, "i") && !is_on(&left, "j"));
            assert!(!test(state, &[]).is_unclean_test());
        }
        assert!(!test("LOADING", held).is_unclean_test());
    }
}
