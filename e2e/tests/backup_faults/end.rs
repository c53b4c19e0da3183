//! How a case has to end.

use std::fs;
use std::time::Duration;

use db_operator::api::{
    Backup, BackupState, BackupStatus, ConditionStatus, Database, DatabaseState,
};
use db_operator::store::Manifest;
use e2e::campaign::backups::outcome::sha256;
use e2e::testing::{condition, eventually};
use k8s_openapi::api::batch::v1::Job;

use crate::case::{BUCKET, Case};

/// How long it may take after the end until nothing is left behind.
const TIDY: Duration = Duration::from_secs(45);

impl Case<'_> {
    /// A backup fails for this reason, says these words, and leaves nothing.
    pub(crate) async fn fails(&self, backup: &str, reason: &str, words: &[&str]) -> BackupStatus {
        let status = self.failed(backup, reason, words).await;
        self.leaves_nothing(backup, &status).await;
        status
    }

    /// The part of [`Self::fails`] that is about the status.
    pub(crate) async fn failed(&self, backup: &str, reason: &str, words: &[&str]) -> BackupStatus {
        let found = self.ended(backup).await;
        let status = found.status.unwrap();
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(status.state, Some(BackupState::Failed), "{backup}: {text}");
        let failure = status.failure.clone().expect("a failure says why");
        assert_eq!(failure.reason, reason, "{backup}: {text}");
        for word in words {
            assert!(text.contains(word), "{backup}: no {word:?} in {text}");
        }
        let stalled = condition(&status.conditions, "Stalled").expect("it is stalled");
        assert_eq!(
            (&*stalled.reason, &stalled.message),
            (reason, &failure.message)
        );
        let ready = condition(&status.conditions, "Ready").expect("it says whether it is ready");
        assert_eq!(ready.status, ConditionStatus::False, "{text}");
        let finished = condition(&status.conditions, "Finished").expect("it has ended");
        assert_eq!(
            (finished.status, &*finished.reason),
            (ConditionStatus::True, reason),
            "{text}"
        );
        assert_eq!(
            (status.stored_bytes, &status.sha256),
            (None, &None),
            "{text}"
        );
        assert!(status.finished_at.is_some(), "{text}");
        println!("{backup}: {reason}: {}", failure.message);
        status
    }

    /// Nothing is in the store, open or visible; nothing runs; the Database is at rest.
    pub(crate) async fn leaves_nothing(&self, backup: &str, status: &BackupStatus) {
        self.no_upload(backup, status).await;
        if let Some(upload) = &status.upload {
            for key in [upload.key.clone(), Manifest::key(&upload.key)] {
                let path = self.ground.server.object_path(BUCKET, &key);
                assert!(!path.exists(), "{backup} left {}", path.display());
            }
        }
        let found = self.read(backup).await;
        eventually(&format!("{backup}: nothing runs"), TIDY, async || {
            let job = self.job(&found).await;
            job.filter(|job| !is_over(job))
                .map_or(Ok(()), |job| Err(format!("{:?}", job.status)))
        })
        .await;
        self.database_rests().await;
    }

    /// No upload of this backup is open.
    async fn no_upload(&self, backup: &str, status: &BackupStatus) {
        let Some(upload) = &status.upload else { return };
        let store = self.ground.store().await;
        eventually(&format!("{backup}: no upload is open"), TIDY, async || {
            match store.uploads(&upload.key).await {
                Ok(open) if open.is_empty() => Ok(()),
                Ok(open) => Err(format!("{} are open", open.len())),
                // With a bucket its uploads go.
                Err(db_operator::store::StoreError::NoBucket) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    async fn database_rests(&self) {
        let rests = |database: &Database| {
            let status = database.status.clone().unwrap_or_default();
            status.state == Some(DatabaseState::Created)
                && status.backup.is_none()
                && condition(&status.conditions, "Ready")
                    .is_some_and(|ready| ready.status == ConditionStatus::True)
        };
        let fixture = self.ground.fixture;
        fixture.until(&self.database, "at rest", TIDY, rests).await;
    }

    /// A backup completes, and what the status says of the object is true.
    pub(crate) async fn completes(&self, backup: &str) -> BackupStatus {
        let found: Backup = self.ended(backup).await;
        let status = found.status.unwrap();
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(
            status.state,
            Some(BackupState::Completed),
            "{backup}: {text}"
        );
        let key = status.upload.clone().unwrap().key;
        let object = fs::read(self.ground.server.object_path(BUCKET, &key)).unwrap();
        let sha256 = sha256(&object);
        assert_eq!(status.sha256.as_deref(), Some(&*sha256), "{text}");
        assert_eq!(
            status.stored_bytes,
            i64::try_from(object.len()).ok(),
            "{text}"
        );
        let manifest = self.ground.server.object_path(BUCKET, &Manifest::key(&key));
        let manifest: Manifest = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        assert_eq!(manifest.sha256, sha256);
        self.no_upload(backup, &status).await;
        self.database_rests().await;
        status
    }
}

/// Whether nothing of a Job runs, or it is on its way out.
fn is_over(job: &Job) -> bool {
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    job.metadata.deletion_timestamp.is_some()
        || conditions.into_iter().flatten().any(|condition| {
            matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
        })
}
