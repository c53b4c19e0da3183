//! What the server remembers of restores that were done.

use super::Postgresql;
use super::restore_tables::{clusters, name};
use super::session::column;
use crate::provider::ProviderError;
use crate::provider::restore::{RestoreId, Restored};

/// The latest record of the restore `$2`, `$3` of one of the clusters `$1`, with its former database if that is still there
/// and stays.
const RESTORED: &str = "SELECT r.uid, r.spec_hash, extract(epoch FROM r.done_at)::bigint AS done_at, r.downtime_ms,
  (SELECT s.database_name FROM db_operator.scratch s JOIN pg_database d ON d.datname = s.database_name
    WHERE s.purpose = 'former' AND s.until IS NULL AND (s.cluster_id, s.namespace, s.name, s.uid)
      = (r.cluster_id, r.namespace, r.name, r.uid)
      AND s.database_id = (SELECT oid || '.' || 'db_operator.claims'::regclass::oid || '/'
        FROM pg_database WHERE datname = current_database()) || d.oid) AS former
FROM db_operator.restores r WHERE r.cluster_id = ANY ($1) AND r.namespace = $2 AND r.name = $3
ORDER BY r.done_at DESC LIMIT 1";

impl Postgresql {
    pub(super) async fn find_restored(
        &self,
        restore: &RestoreId,
        take_over_from: &[String],
    ) -> Result<Option<Restored>, ProviderError> {
        let mut session = self.session().await?;
        let query = sqlx::query(RESTORED)
            .bind(clusters(restore, take_over_from))
            .bind(&restore.namespace)
            .bind(&restore.name);
        let Some(row) = session
            .row("look for a restore that was done", query)
            .await?
        else {
            return Ok(None);
        };
        let former: Option<String> = column(&row, "former")?;
        Ok(Some(Restored {
            spec_hash: column(&row, "spec_hash")?,
            uid: column(&row, "uid")?,
            at: column(&row, "done_at")?,
            former: former.as_deref().map(name).transpose()?,
            downtime_millis: u64::try_from(column::<i64>(&row, "downtime_ms")?).unwrap_or_default(),
        }))
    }
}
