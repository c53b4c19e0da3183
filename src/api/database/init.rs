//! `spec.initFrom` of a `Database`, and how it went.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{KubeSchema, Resource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Database;
use crate::restore::{
    BackupRef, LatestBackup, ManifestRef, Restore, RestoreSource, RestoreState, RestoredFrom,
};

/// The backup that a new database begins with.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.backupRef) ? 1 : 0) + (has(self.latest) ? 1 : 0) + (has(self.manifest) ? 1 : 0) == 1")
        .message("initFrom needs exactly one of backupRef, latest and manifest: write one of them, for example latest: {database: {name: orders}}"),
    validation = Rule::new("self.otherwise != 'Empty' || has(self.latest)")
        .message("otherwise: Empty goes with latest, since a backup that is named has to be there: remove it, or name the Database with latest")
)]
pub struct InitFrom {
    /// A Backup of the same namespace. The Database waits until it is COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupRef>,

    /// The newest backup of a Database in the bucket of this one's instance, by the manifests there. It may be this Database's own
    /// name: then it begins with its last backup when it is made again, in another cluster too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<LatestBackup>,

    /// One manifest in an instance's bucket, by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestRef>,

    /// What to do if `latest` finds no backup: `Fail` (default) waits for one, `Empty` begins with an empty database. Only a
    /// complete list of the bucket without one manifest counts as none: not a bucket that does not answer, nor a backup that is
    /// damaged.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// What to do if there is no backup.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Otherwise {
    /// Wait for one, and say so.
    #[default]
    Fail,
    /// Begin with an empty database.
    Empty,
}

impl InitFrom {
    /// The same as a Restore asks for it.
    #[must_use]
    pub fn source(&self) -> RestoreSource {
        RestoreSource {
            backup_ref: self.backup_ref.clone(),
            latest: self.latest.clone(),
            manifest: self.manifest.clone(),
        }
    }
}

/// How a database begins, or began, with `spec.initFrom`.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseInit {
    /// Name of the Restore that the operator makes to load the backup, in the Database's namespace: another one for each try.
    pub restore: String,

    /// Which value of `recreate-requested-at` it follows, as the first digits of its SHA-256; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,

    /// The Restore's metadata.uid, so that another one of that name is not mistaken for it; absent until it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_uid: Option<String>,

    /// The backup that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RestoredFrom>,

    /// What came of it: `Loaded`, `Empty` (there was no backup), `Existing` (the database was there already) or `Failed`;
    /// absent until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<InitOutcome>,
}

/// How a database began.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum InitOutcome {
    /// With the backup.
    Loaded,
    /// Empty, because there was no backup.
    Empty,
    /// It was there already, and was left as it was.
    Existing,
    /// It did not: the Restore failed.
    Failed,
}

impl DatabaseInit {
    /// Whether the database is what was asked for. Until then nobody may log in, and there is nothing to back up.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        match self.outcome {
            Some(InitOutcome::Loaded | InitOutcome::Empty | InitOutcome::Existing) => true,
            Some(InitOutcome::Failed) | None => false,
        }
    }

    fn is_by(&self, restore: &Restore) -> bool {
        let uid = restore.metadata.uid.as_ref();
        self.restore == restore.name_any()
            && self.outcome.is_none()
            && self.restore_uid.as_ref().is_none_or(|own| Some(own) == uid)
    }
}

impl Database {
    /// Whether it is to begin with a backup, and that is not loaded yet.
    #[must_use]
    pub fn has_yet_to_begin(&self) -> bool {
        let init = self.status.as_ref().and_then(|status| status.init.as_ref());
        init.is_some_and(|init| !init.has_begun())
    }

    /// Whether it is about to begin with this Restore: in `CREATING`, no other one is let in.
    #[must_use]
    pub fn begins_with(&self, restore: &Restore) -> bool {
        let init = self.status.as_ref().and_then(|status| status.init.as_ref());
        init.is_some_and(|init| init.restore_uid.is_some() && init.is_by(restore))
    }

    /// The same, or it may come to that: the operator has made the Restore, and not noted its UID yet.
    #[must_use]
    pub fn may_begin_with(&self, restore: &Restore) -> bool {
        let init = self.status.as_ref().and_then(|status| status.init.as_ref());
        init.is_some_and(|init| init.is_by(restore))
    }

    /// Whether this Restore has its turn here, or had it last.
    #[must_use]
    pub fn names_restore(&self, restore: &Restore) -> bool {
        let named = self.status.as_ref().and_then(|it| it.restore.as_ref());
        named.is_some_and(|named| Some(&named.uid) == restore.metadata.uid.as_ref())
    }

    /// Whether it is to begin empty if there is no backup.
    #[must_use]
    pub fn may_begin_empty(&self) -> bool {
        let asked = self.spec.init_from.as_ref();
        asked.is_some_and(|asked| asked.otherwise == Otherwise::Empty)
    }
}

impl Restore {
    /// Whether a Database's controller made it, for the beginning of that Database.
    #[must_use]
    pub fn is_for_beginning(&self) -> bool {
        self.beginning_of().is_some()
    }

    /// The name of that Database.
    #[must_use]
    pub fn beginning_of(&self) -> Option<&str> {
        let mut owners = self.owner_references().iter();
        // Others have kinds of this name, too.
        let is_ours = |owner: &&OwnerReference| {
            let group = owner.api_version.split('/').next();
            owner.kind == Database::kind(&()) && group == Some(&*Database::group(&()))
        };
        let owner = owners.find(|it| it.controller == Some(true) && is_ours(it));
        owner.map(|owner| owner.name.as_str())
    }

    /// Whether it is done because a server or a bucket remembers that it was: it did nothing itself.
    #[must_use]
    pub fn was_done_before(&self) -> bool {
        let started = self.status.as_ref().and_then(|status| status.started_at);
        self.state() == Some(RestoreState::Completed) && started.is_none()
    }

    /// Whether it failed because there is no backup at all.
    #[must_use]
    pub fn found_no_backups(&self) -> bool {
        let failure = self.status.as_ref().and_then(|it| it.failure.as_ref());
        self.state() == Some(RestoreState::Failed)
            && failure.is_some_and(|failure| failure.reason == "NoBackups")
    }
}

/// CEL: what is being loaded is what was asked for. Before its turn and after its end it may be corrected.
pub(super) fn fixed_while_loading() -> String {
    let (own, old) = ("self.spec.initFrom", "oldSelf.spec.initFrom");
    let (init, named) = ("oldSelf.status.init", "oldSelf.status.restore");
    format!(
        "!has(oldSelf.status) || !has({init}) || has({init}.outcome) || !has({init}.restoreUid) || !has({named}) || \
         {named}.uid != {init}.restoreUid || (has({own}) == has({old}) && (!has({own}) || {own} == {old}))"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Reason, RestoreReason};

    fn database(init: &serde_json::Value) -> Database {
        serde_json::from_value(json!({
            "metadata": {"name": "orders", "uid": "d"}, "spec": {"instanceRef": {"name": "i"}},
            "status": {"state": "CREATING", "init": init},
        }))
        .unwrap()
    }

    #[test]
    fn a_database_begins_with_the_restore_that_it_notes_and_no_other() {
        let restore: Restore = serde_json::from_value(json!({
            "metadata": {"name": "r", "uid": "u"},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
        }))
        .unwrap();
        let of = |init: serde_json::Value| {
            let database = database(&init);
            (
                database.begins_with(&restore),
                database.may_begin_with(&restore),
            )
        };
        assert_eq!(of(json!({"restore": "r", "restoreUid": "u"})), (true, true));
        assert_eq!(of(json!({"restore": "r"})), (false, true));
        for other in [
            serde_json::Value::Null,
            json!({"restore": "s", "restoreUid": "u"}),
            json!({"restore": "r", "restoreUid": "v"}),
            json!({"restore": "r", "restoreUid": "u", "outcome": "Failed"}),
            json!({"restore": "r", "restoreUid": "u", "outcome": "Loaded"}),
        ] {
            assert_eq!(of(other.clone()), (false, false), "{other}");
        }
    }

    #[test]
    fn a_restore_of_another_ones_database_is_for_no_beginning() {
        let of = |api_version: &str, controller: bool| {
            let restore: Restore = serde_json::from_value(json!({
                "metadata": {"name": "r", "ownerReferences": [
                    {"apiVersion": api_version, "kind": "Database", "name": "orders", "uid": "d", "controller": controller},
                ]},
                "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
            }))
            .unwrap();
            restore.beginning_of().map(str::to_owned)
        };
        assert_eq!(
            of("db-operator.dev/v1alpha1", true).as_deref(),
            Some("orders")
        );
        assert_eq!(of("db-operator.dev/v1", true).as_deref(), Some("orders"));
        assert_eq!(of("db-operator.dev/v1alpha1", false), None);
        assert_eq!(of("other.example/v1", true), None);
    }

    #[test]
    fn one_that_did_nothing_itself_was_done_before() {
        let of = |state: &str, started: &serde_json::Value| {
            let restore: Restore = serde_json::from_value(json!({
                "metadata": {"name": "r"},
                "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
                "status": {"state": state, "startedAt": started},
            }))
            .unwrap();
            restore.was_done_before()
        };
        let started = json!("2026-11-24T02:00:00Z");
        assert!(of("COMPLETED", &serde_json::Value::Null));
        assert!(!of("COMPLETED", &started) && !of("FAILED", &serde_json::Value::Null));
    }

    #[test]
    fn what_is_not_loaded_has_yet_to_begin() {
        let of = |init| database(&init).has_yet_to_begin();
        assert!(!of(serde_json::Value::Null));
        assert!(of(json!({"restore": "r"})));
        assert!(of(json!({"restore": "r", "outcome": "Failed"})));
        for outcome in ["Loaded", "Empty", "Existing"] {
            assert!(
                !of(json!({"restore": "r", "outcome": outcome})),
                "{outcome}"
            );
        }
    }

    #[test]
    fn only_a_complete_list_without_a_manifest_is_none() {
        let failed = |state: &str, reason: &str| -> bool {
            let restore: Restore = serde_json::from_value(json!({
                "metadata": {"name": "r"},
                "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
                "status": {"state": state, "failure": {"reason": reason, "message": ""}},
            }))
            .unwrap();
            restore.found_no_backups()
        };
        for reason in RestoreReason::ALL {
            let expected = *reason == RestoreReason::NoBackups;
            assert_eq!(failed("FAILED", reason.as_str()), expected, "{reason:?}");
            assert!(!failed("COMPLETED", reason.as_str()));
        }
    }
}
