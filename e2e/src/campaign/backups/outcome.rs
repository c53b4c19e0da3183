//! What has to be true of a backup that ended, whatever happened on the way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use db_operator::api::{Backup, BackupState};
use db_operator::store::Manifest;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::eventually;
use super::fixture::{BUCKET, Fixture};
use crate::{Error, Result};

/// How long the Job's controller may take to see that a pod has ended.
const TIDY: Duration = Duration::from_secs(30);

/// The store, as all trials up to now should have left it.
#[derive(Default)]
pub struct Store {
    expected: BTreeSet<String>,
}

impl Store {
    /// From now on, what is in the store belongs there: others put it there on purpose.
    pub fn note_present(&mut self, fixture: &Fixture) -> Result<()> {
        self.expected = files(&fixture.server.object_path(BUCKET, ""))?;
        Ok(())
    }

    /// Looks at a backup that ended, and at all that is in the store. The error says what is not as it has to be.
    pub async fn check(&mut self, fixture: &Fixture, backup: &Backup) -> Result<()> {
        let wrong = |what: String| Err(Error::trial("it ended wrongly")(what));
        let status = backup.status.clone().unwrap_or_default();
        let text = json!(status).to_string();
        let key = status.upload.as_ref().map(|upload| upload.key.clone());
        match (status.state, key) {
            (Some(BackupState::Completed), Some(key)) => {
                let path = fixture.server.object_path(BUCKET, &key);
                let object = fs::read(&path).map_err(Error::io("read", &path))?;
                if status.sha256 != Some(sha256(&object)) {
                    return wrong(format!("the object is another one: {text}"));
                }
                self.expected.insert(Manifest::key(&key));
                self.expected.insert(key);
            }
            (Some(BackupState::Failed), _) if status.failure.is_some() => {}
            _ => return wrong(text),
        }
        let found = files(&fixture.server.object_path(BUCKET, ""))?;
        if found != self.expected {
            let stray: Vec<_> = found.symmetric_difference(&self.expected).collect();
            let what = format!("stray or missing in the store: {stray:?}; {text}");
            // Said once.
            self.expected = found;
            return wrong(what);
        }
        let open = fixture.store.uploads("").await;
        let open = open.map_err(Error::trial("list the uploads"))?;
        if !open.is_empty() {
            return wrong(format!("{} uploads are open; {text}", open.len()));
        }
        let jobs: Api<Job> = Api::namespaced(fixture.client.clone(), &fixture.name);
        let name = db_operator::job::name(backup);
        eventually("its Job is over", TIDY, async || {
            let job = jobs.get_opt(&name).await;
            let job = job.map_err(Error::trial("read the Job"))?;
            let runs = job.and_then(|job| job.status?.active).unwrap_or_default();
            Ok((runs == 0).then_some(()))
        })
        .await
    }
}

/// The SHA-256 of a content, as a status says it.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The objects of a bucket that is a folder; the store keeps what is not one yet in a folder with a dot.
fn files(bucket: &Path) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let mut folders = vec![bucket.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(key) = path.strip_prefix(bucket) {
                all.insert(key.to_string_lossy().into_owned());
            }
        }
    }
    Ok(all)
}
