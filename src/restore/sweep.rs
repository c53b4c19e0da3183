//! From time to time: what tests of backups have left on a server that no Restore looks after any more is dropped. Whoever may
//! write a Restore may take its finalizer off, and a cluster may be lost in the middle of a test.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Resource, ResourceExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Context, load};
use crate::api::{DatabaseInstance, FINALIZER, Restore};
use crate::client::lenient::Readable;
use crate::controller::{self, Error};
use crate::provider::restore::{Ended, RestoreId};
use crate::server::Server;
use crate::server::registry::Availability;

/// What one server may take.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Sweeps until `stop`.
pub(super) async fn run(context: Arc<Context>, stop: CancellationToken) {
    controller::sweep::run(&stop, || sweep_all(&context)).await;
}

async fn sweep_all(context: &Context) {
    for guarded in context.cache.instances.state() {
        let name = guarded.name_any();
        let Some(entry) = context.instances.get(&name) else {
            continue;
        };
        let Availability::Usable(server) = &entry.availability else {
            continue;
        };
        if !context.leadership.is_held() {
            return;
        }
        match timeout(TIMEOUT, sweep_one(context, &entry.object, server)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed(context, &name, &error),
            Err(_) => tracing::debug!(instance = name, "the sweep took too long"),
        }
    }
}

async fn sweep_one(
    context: &Context,
    instance: &DatabaseInstance,
    server: &Server,
) -> Result<(), Error> {
    let mut clusters = vec![context.cluster_id.clone()];
    clusters.extend(instance.spec.take_over_claims_from.iter().cloned());
    let tests = server
        .ask("tests", |provider| provider.tests(&clusters))
        .await?;
    for test in tests {
        // One that cannot be dropped keeps none of the others.
        if let Err(error) = sweep_test(context, &instance.name_any(), server, test).await {
            failed(context, &instance.name_any(), &error);
        }
    }
    Ok(())
}

fn failed(context: &Context, instance: &str, error: &Error) {
    if let Error::Server(error) = error {
        context.note_failure(instance, error);
    }
    tracing::debug!(instance, %error, "cannot drop what tests have left");
}

async fn sweep_test(
    context: &Context,
    instance: &str,
    server: &Server,
    test: RestoreId,
) -> Result<(), Error> {
    // The object as it is now, and not as the cache has it: it has begun before its row is written.
    let restores: Api<Readable<Restore>> = Api::namespaced(context.client.clone(), &test.namespace);
    let found = restores.get_opt(&test.name).await;
    let found = found.map_err(Error::api("look for the Restore of a test"))?;
    if is_looked_after(found.as_ref(), &test.uid) {
        return Ok(());
    }
    drop_test(instance, server, test).await
}

/// Whether what the object with this UID has on a server is still in use, or its own to remove. `found` is what has its name.
fn is_looked_after(found: Option<&Readable<Restore>>, uid: &str) -> bool {
    let same = found.filter(|found| found.meta().uid.as_deref() == Some(uid));
    same.is_some_and(|same| match &same.0 {
        Ok(restore) => {
            restore.is_active() || restore.finalizers().iter().any(|name| name == FINALIZER)
        }
        // Nobody knows how far it is.
        Err(_) => true,
    })
}

async fn drop_test(instance: &str, server: &Server, test: RestoreId) -> Result<(), Error> {
    let (namespace, name) = (test.namespace.clone(), test.name.clone());
    let load = match load::abandoned(test) {
        Ok(load) => load,
        Err(error) => {
            tracing::warn!(instance, namespace, name, %error, "cannot drop what a test has left");
            return Ok(());
        }
    };
    let _alone = server.alone(&load.target).await;
    let ended = server
        .ask("drop_test", |provider| provider.drop_test(&load))
        .await?;
    match ended {
        Ended::Done => tracing::info!(
            instance,
            namespace,
            name,
            "dropped what a test has left that no Restore looks after"
        ),
        Ended::Blocked(why) | Ended::ChangedHands(why) | Ended::Adopted(why) => tracing::warn!(
            instance,
            namespace,
            name,
            why,
            "what a test has left, and no Restore looks after, stays for now"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn restore(state: &Value, finalizers: &[&str]) -> Readable<Restore> {
        serde_json::from_value(json!({
            "metadata": {"name": "r", "namespace": "team", "uid": "u", "finalizers": finalizers},
            "spec": {"source": {"backupRef": {"name": "b"}}, "mode": "Test", "instanceRef": {"name": "i"}},
            "status": {"state": state},
        }))
        .unwrap()
    }

    #[test]
    fn what_a_restore_still_uses_or_removes_itself_is_not_swept() {
        let held: &[&str] = &[FINALIZER];
        for (state, finalizers) in [
            (json!("PREPARING"), held),
            // It is put on again.
            (json!("LOADING"), &[]),
            (json!("COMPLETED"), held),
            (json!("FAILED"), held),
            // It is about to begin.
            (Value::Null, held),
        ] {
            let found = restore(&state, finalizers);
            assert!(is_looked_after(Some(&found), "u"), "{state}");
            assert!(!is_looked_after(Some(&found), "another"), "{state}");
        }
        for state in [json!("COMPLETED"), json!("FAILED"), Value::Null] {
            assert!(
                !is_looked_after(Some(&restore(&state, &[])), "u"),
                "{state}"
            );
        }
        assert!(!is_looked_after(None, "u"));
    }

    #[test]
    fn one_that_cannot_be_read_may_still_run() {
        let odd: Readable<Restore> = serde_json::from_value(json!({
            "metadata": {"name": "r", "namespace": "team", "uid": "u"}, "spec": {"mode": 5},
        }))
        .unwrap();
        assert!(odd.ok().is_none());
        assert!(is_looked_after(Some(&odd), "u") && !is_looked_after(Some(&odd), "v"));
    }

    #[test]
    fn what_is_dropped_has_the_names_that_the_test_gave_it() {
        let test = RestoreId {
            cluster_id: "gone".to_owned(),
            namespace: "team".to_owned(),
            name: "weekly".to_owned(),
            uid: "0f1e2d3c-1111-4222-8333-444455556666".to_owned(),
            spec_hash: String::new(),
        };
        let load = load::abandoned(test.clone()).unwrap();
        assert_eq!(load.target.database.as_str(), "test-weekly__r_0f1e2d3c");
        assert_eq!(load.desired.names, load.target);
        assert_eq!(load.restore, test);
        assert!(load.take_over_from.is_empty());
    }
}
