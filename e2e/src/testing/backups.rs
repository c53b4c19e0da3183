//! Backups: written, read, waited for; and those that the operator makes before a deletion.

use std::time::Duration;

use db_operator::api::backup::Failure;
use db_operator::api::{
    Backup, BackupState, ConditionStatus, DATABASE_LABEL, DATABASE_NAMESPACE_LABEL,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{Fixture, NEXT_LOOK, Session, condition, eventually, object_until};
use crate::servers::OPERATOR_NAMESPACE;

/// How long a backup of next to nothing may take on a busy machine: a pod has to be started for it.
pub const BACKED_UP: Duration = Duration::from_mins(2);

/// Why a condition of a Backup is true, if it is.
#[must_use]
pub fn reason(backup: &Backup, type_: &str) -> Option<String> {
    let found = condition(&backup.status.as_ref()?.conditions, type_)?;
    (found.status == ConditionStatus::True).then(|| found.reason.clone())
}

impl Fixture {
    /// The Backups of the test's namespace.
    #[must_use]
    pub fn backups(&self) -> Api<Backup> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Asks for a backup of a Database, with what `limits` adds to its spec. Returns its name.
    pub async fn back_up(&self, name: &str, database: &str, limits: Value) -> String {
        let name = self.name(name);
        let mut spec = limits;
        spec["databaseRef"] = json!({"name": database});
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
            "metadata": {"name": name}, "spec": spec,
        });
        let object: Backup = serde_json::from_value(object).unwrap();
        self.backups()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        name
    }

    /// Waits until a Backup is as wanted.
    pub async fn backup_until(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Backup) -> bool,
    ) -> Backup {
        object_until(&self.backups(), name, what, limit, wanted).await
    }

    /// Waits until a Backup ended, and sees that it is complete.
    pub async fn completed(&self, name: &str) -> Backup {
        let ended = |backup: &Backup| backup.state().is_some_and(BackupState::is_terminal);
        let backup = self.backup_until(name, "ended", BACKED_UP, ended).await;
        let status = serde_json::to_string(&backup.status).unwrap();
        assert_eq!(backup.state(), Some(BackupState::Completed), "{status}");
        backup
    }

    /// Waits until a Backup's pod is at work.
    pub async fn backing_up(&self, name: &str) -> Backup {
        self.backup_until(name, "running", BACKED_UP, |backup| {
            backup.state() == Some(BackupState::BackingUp)
        })
        .await
    }

    /// Waits until a Backup failed. Returns why.
    pub async fn failed(&self, name: &str, limit: Duration) -> Failure {
        let failed = |backup: &Backup| backup.state() == Some(BackupState::Failed);
        let backup = self.backup_until(name, "failed", limit, failed).await;
        backup.status.unwrap().failure.unwrap()
    }

    /// Waits until a Backup that has not begun says this of itself. Returns the message.
    pub async fn waits(&self, name: &str, type_: &str, why: &str) -> String {
        let what = format!("{type_} {why}");
        let waits = |backup: &Backup| {
            backup.state().is_none() && reason(backup, type_).as_deref() == Some(why)
        };
        let backup = self.backup_until(name, &what, NEXT_LOOK, waits).await;
        let conditions = backup.status.unwrap().conditions;
        condition(&conditions, type_).unwrap().message.clone()
    }

    /// Takes a lock in a Database which a dump of it waits for, until the session ends.
    pub async fn hold_up(&self, database: &str) -> Session {
        let secret = self.secret(database).await;
        let mut own = Session::open(&self.client, &secret).await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS locked (x INT)";
        own.run(table).await.unwrap();
        own.close().await;
        let mut holder = self.server.superuser(&self.client, database).await;
        let lock = if self.server.is_postgres() {
            "BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"
        } else {
            "LOCK TABLES locked WRITE"
        };
        holder.run(lock).await.unwrap();
        holder
    }

    /// Asks for the deletion of a Backup.
    pub async fn delete_backup(&self, name: &str) {
        self.backups()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// The final backups of a Database, the first attempt first.
    pub async fn final_backups(&self, database: &str) -> Vec<Backup> {
        let api: Api<Backup> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let labels = format!(
            "{DATABASE_LABEL}={database},{DATABASE_NAMESPACE_LABEL}={}",
            self.namespace
        );
        let list = ListParams::default().labels(&labels);
        let mut all = api.list(&list).await.unwrap().items;
        all.sort_by_key(|backup| backup.metadata.creation_timestamp.clone().map(|t| t.0));
        all
    }

    /// Waits until no Secret of a final backup of this Database is left.
    pub async fn without_final_secret(&self, database: &str) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let list = ListParams::default().labels(&format!("{DATABASE_LABEL}={database}"));
        eventually("the final backup's Secret is gone", BACKED_UP, async || {
            let left = api.list(&list).await.unwrap().items;
            left.first().map_or(Ok(()), |left| Err(left.name_any()))
        })
        .await;
    }

    /// Waits until a Database is gone that is backed up before.
    pub async fn gone_after_a_backup(&self, name: &str) {
        eventually(&format!("{name} is gone"), BACKED_UP, async || {
            let left = self.databases().get_opt(name).await.unwrap();
            let finals = self.final_backups(name).await;
            let status = |backup: &Backup| serde_json::to_string(&backup.status).unwrap();
            left.map_or(Ok(()), |left| {
                Err(format!(
                    "{} with {:?}",
                    serde_json::to_string(&left.status).unwrap(),
                    finals.iter().map(status).collect::<Vec<_>>()
                ))
            })
        })
        .await;
    }

    /// An instance like the shared one whose backups go to a bucket that is not there. Returns its name.
    pub async fn instance_without_bucket(&self, name: &str) -> String {
        let mut backup = self.shared_destination().await;
        backup["s3"]["bucket"] = "there-is-no-such-bucket".into();
        self.make_instance(name, json!({"backup": backup})).await
    }

    /// `spec.backup` of the shared instance.
    pub async fn shared_destination(&self) -> Value {
        let shared = self.instances().get(self.server.instance()).await.unwrap();
        serde_json::to_value(shared.spec.backup.unwrap()).unwrap()
    }

    /// Writes a template for Jobs where the operator looks for it. Returns the name of its ConfigMap; its key is `job`.
    pub async fn job_template(&self, name: &str, text: &str) -> String {
        let name = self.name(name);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"job": text}});
        let params = PatchParams::apply("e2e").force();
        maps.patch(&name, &params, &Patch::Apply(map))
            .await
            .unwrap();
        name
    }

    /// Backups and templates in the operator's namespace that the test brought about.
    pub(super) async fn clear_final_backups(&self) {
        let api: Api<Backup> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        for backup in api.list(&ListParams::default()).await.unwrap() {
            let name = backup.name_any();
            if name.starts_with(&self.prefix) {
                let _ = api.delete(&name, &DeleteParams::default()).await;
            }
        }
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        for map in maps.list(&ListParams::default()).await.unwrap() {
            let name = map.name_any();
            if name.starts_with(&self.prefix) {
                let _ = maps.delete(&name, &DeleteParams::default()).await;
            }
        }
    }
}
