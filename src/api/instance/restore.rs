//! How restores into an instance's databases are made: `spec.restore` of a `DatabaseInstance`.

use jiff::SignedDuration;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::destination::{BackupDestination, BackupJob};
use crate::quantity;
use crate::restore::{duration, duration_between};

/// How long a database that was replaced may be kept, if the instance sets no limit: a week.
const MAX_KEEP_REPLACED: SignedDuration = SignedDuration::from_hours(168);

/// How restores into an instance's databases are made.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSettings {
    /// How many restores may run on this server at the same time: each one needs as much room as its database, and writes
    /// as fast as it can. Those with mode `Test` count, too. From 1 to 16. Default: 1.
    #[serde(default = "default_max_concurrent")]
    #[schemars(range(min = 1, max = 16))]
    pub max_concurrent: i32,

    /// The longest that a database that was replaced is kept beside the restored one, on this server's disk; the shorter of
    /// this and a Restore's spec.keepReplaced applies. From `1m` to `720h` (30 days). Default: `168h` (a week).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(validation = Rule::new(duration_between("1m", "720h"))
        .message("maxKeepReplaced must be a duration from 1m to 720h, for example 168h"))]
    pub max_keep_replaced: Option<String>,

    /// The largest backup that may be restored into this server's databases, in bytes before compression as its manifest says
    /// (`dumpedBytes`), for example `500Gi`: a Restore of a larger one is refused before anything is made. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24))]
    #[x_kube(validation = quantity::rule("maxBytes must be a number of bytes with a unit, and more than nothing, for example 500Gi"))]
    pub max_bytes: Option<String>,

    /// How the Jobs are created. Default: as `spec.backup.job` says, but with the operator's own template for restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<BackupJob>,
}

const fn default_max_concurrent() -> i32 {
    1
}

impl Default for RestoreSettings {
    fn default() -> Self {
        Self {
            max_concurrent: default_max_concurrent(),
            max_keep_replaced: None,
            max_bytes: None,
            job: None,
        }
    }
}

impl RestoreSettings {
    /// The longest that a database that was replaced is kept.
    #[must_use]
    pub fn effective_max_keep_replaced(&self) -> SignedDuration {
        let asked = self.max_keep_replaced.as_deref().and_then(duration);
        asked.unwrap_or(MAX_KEEP_REPLACED)
    }

    /// The most bytes before compression that a backup may have to be restored; `None`: any number.
    #[must_use]
    pub fn effective_max_bytes(&self) -> Option<u64> {
        let asked = self.max_bytes.as_deref()?;
        // The API server refuses what cannot be read. Where it came in nevertheless, a limit was meant.
        Some(quantity::bytes(asked).unwrap_or_default())
    }

    /// How the Jobs of restores are created: as for backups unless something else is said, since both run the same image
    /// under the same limits of the cluster. A template for a backup is none for a restore.
    #[must_use]
    pub fn effective_job(&self, backup: Option<&BackupDestination>) -> BackupJob {
        if let Some(job) = &self.job {
            return job.clone();
        }
        let job = backup.and_then(|backup| backup.job.clone());
        BackupJob {
            template_ref: None,
            ..job.unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn jobs_of_restores_are_made_as_those_of_backups_but_for_the_template() {
        let backup: BackupDestination = serde_json::from_value(json!({
            "s3": {"bucket": "backups", "region": "r"},
            "job": {"image": "registry.example/postgres:17", "templateRef": {"name": "t", "key": "k"}},
        }))
        .unwrap();
        let mut settings = RestoreSettings::default();
        let job = settings.effective_job(Some(&backup));
        assert_eq!(job.image.as_deref(), Some("registry.example/postgres:17"));
        assert_eq!(job.template_ref, None);
        assert_eq!(settings.effective_job(None), BackupJob::default());
        settings.job = Some(BackupJob::default());
        assert_eq!(settings.effective_job(Some(&backup)), BackupJob::default());
    }

    #[test]
    fn what_was_replaced_is_kept_for_a_week_at_most_unless_the_platform_says_otherwise() {
        let mut settings = RestoreSettings::default();
        assert_eq!(settings.max_concurrent, 1);
        let kept = |settings: &RestoreSettings| settings.effective_max_keep_replaced().as_hours();
        assert_eq!(kept(&settings), 168);
        settings.max_keep_replaced = Some("24h".to_owned());
        assert_eq!(kept(&settings), 24);
    }

    #[test]
    fn backups_of_any_size_are_restored_unless_the_platform_says_otherwise() {
        let mut settings = RestoreSettings::default();
        assert_eq!(settings.effective_max_bytes(), None);
        settings.max_bytes = Some("500Gi".to_owned());
        assert_eq!(settings.effective_max_bytes(), Some(500 << 30));
        settings.max_bytes = Some("much".to_owned());
        assert_eq!(settings.effective_max_bytes(), Some(0));
    }
}
