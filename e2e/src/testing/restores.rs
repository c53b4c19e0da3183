//! Restores: written, read, waited for.

use std::time::Duration;

use db_operator::api::restore::RestoreFailure;
use db_operator::api::{Restore, RestoreState};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Fixture, NEXT_LOOK, condition, eventually, object_until};

/// How long a restore of little may take on a busy machine: a pod has to be started for it.
pub const RESTORED: Duration = Duration::from_mins(3);

impl Fixture {
    /// The Restores of the test's namespace.
    #[must_use]
    pub fn restores(&self) -> Api<Restore> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Asks for a restore into a Database, with what `spec` says besides. Returns its name.
    pub async fn ask_restore(&self, name: &str, database: &str, spec: Value) -> String {
        let mut spec = spec;
        spec["databaseRef"] = json!({"name": database});
        self.ask_for(name, spec).await
    }

    /// Asks whether a backup comes back, on the server of this instance. Returns the Restore's name.
    pub async fn ask_test(&self, name: &str, instance: &str, spec: Value) -> String {
        let mut spec = spec;
        spec["mode"] = json!("Test");
        spec["instanceRef"] = json!({"name": instance});
        self.ask_for(name, spec).await
    }

    async fn ask_for(&self, name: &str, spec: Value) -> String {
        let name = self.name(name);
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Restore",
            "metadata": {"name": name}, "spec": spec,
        });
        let object: Restore = serde_json::from_value(object).unwrap();
        self.restores()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        name
    }

    /// Asks for a Restore that the API server does not take. Returns what it says.
    pub async fn refused_restore(&self, name: &str, spec: Value) -> String {
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Restore",
            "metadata": {"name": self.name(name)}, "spec": spec,
        });
        let object: Restore = serde_json::from_value(object).unwrap();
        let refused = self
            .restores()
            .create(&PostParams::default(), &object)
            .await;
        refused.unwrap_err().to_string()
    }

    /// Waits until a Restore is as wanted.
    pub async fn restore_until(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Restore) -> bool,
    ) -> Restore {
        object_until(&self.restores(), name, what, limit, wanted).await
    }

    /// Waits until a Restore ended, and sees that it is complete.
    pub async fn restore_completed(&self, name: &str) -> Restore {
        let ended = |restore: &Restore| restore.state().is_some_and(RestoreState::is_terminal);
        let restore = self.restore_until(name, "ended", RESTORED, ended).await;
        let status = serde_json::to_string(&restore.status).unwrap();
        assert_eq!(restore.state(), Some(RestoreState::Completed), "{status}");
        restore
    }

    /// Waits until a Restore failed. Returns why.
    pub async fn restore_failed(&self, name: &str) -> RestoreFailure {
        let failed = |restore: &Restore| restore.state() == Some(RestoreState::Failed);
        let restore = self.restore_until(name, "failed", RESTORED, failed).await;
        restore.status.unwrap().failure.unwrap()
    }

    /// Waits until a Restore that has not begun says this of itself. Returns the message.
    pub async fn restore_waits(&self, name: &str, type_: &str, why: &str) -> String {
        let said = |restore: &Restore| {
            let conditions = &restore.status.as_ref()?.conditions;
            let found = condition(conditions, type_)?;
            (found.reason == why).then(|| found.message.clone())
        };
        let waits = |restore: &Restore| restore.state().is_none() && said(restore).is_some();
        let what = format!("{type_} {why}");
        let restore = self.restore_until(name, &what, NEXT_LOOK, waits).await;
        said(&restore).unwrap()
    }

    /// Waits until a Restore says that it waits for this one of its Database.
    pub async fn restore_waits_for(&self, name: &str, other: &str) {
        let what = format!("WaitingForTurn behind {other}");
        let waits = |restore: &Restore| {
            let conditions = restore.status.as_ref().map(|status| &status.conditions[..]);
            let found = condition(conditions.unwrap_or_default(), "Reconciling");
            found.is_some_and(|found| {
                found.reason == "WaitingForTurn" && found.message.contains(other)
            })
        };
        self.restore_until(name, &what, NEXT_LOOK, waits).await;
    }

    /// Asks for the former database.
    pub async fn undo_restore(&self, name: &str, value: &str) {
        let annotation =
            json!({"metadata": {"annotations": {"db-operator.dev/undo-requested-at": value}}});
        self.restores()
            .patch(name, &PatchParams::default(), &Patch::Merge(annotation))
            .await
            .unwrap();
    }

    /// Asks for the deletion of a Restore.
    pub async fn delete_restore(&self, name: &str) {
        self.restores()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until a Restore is gone.
    pub async fn restore_gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), RESTORED, async || {
            let left = self.restores().get_opt(name).await.unwrap();
            left.map_or(Ok(()), |left| {
                Err(serde_json::to_string(&left.status).unwrap())
            })
        })
        .await;
    }

    /// What the test with this UID has on the server: its database, its user, and the operator's row of them.
    pub async fn of_test(&self, uid: &str) -> Vec<String> {
        let end = format!("__r_{}", uid.get(..8).unwrap());
        let all = self.server.names(&self.client, "test-").await;
        let mut found: Vec<String> = all
            .into_iter()
            .filter(|name| name.ends_with(&end))
            .collect();
        found.extend(self.server.scratch_rows(&self.client, uid).await);
        found
    }

    /// Waits until nothing is left of a test on the server, and its finalizer is gone.
    pub async fn nothing_of_test(&self, restore: &Restore) {
        let uid = restore.metadata.uid.clone().unwrap();
        eventually("nothing is left of the test", RESTORED, async || {
            let left = self.of_test(&uid).await;
            let name = restore.metadata.name.as_deref().unwrap();
            let object = self.restores().get_opt(name).await.unwrap();
            let held = object.is_some_and(|object| object.metadata.finalizers.is_some());
            match (left.is_empty(), held) {
                (true, false) => Ok(()),
                (_, _) => Err(format!("{}; finalizer: {held}", left.join(", "))),
            }
        })
        .await;
    }

    /// Databases and users of this name on the server that restores made beside it, for a load or to keep.
    pub async fn beside(&self, database: &str) -> Vec<String> {
        let all = self.server.names(&self.client, database).await;
        all.into_iter()
            .filter(|name| name.contains("__r_") || name.contains("__was_"))
            .collect()
    }

    /// Waits until nothing of a restore is left on the server beside this database.
    pub async fn nothing_beside(&self, database: &str) {
        eventually("nothing is left of the restore", RESTORED, async || {
            let left = self.beside(database).await;
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            }
        })
        .await;
    }
}
