//! The claim table: one writer wins, and the others read it again.

use super::Postgresql;
use super::creation::mark;
use super::session::Session;
use crate::provider::{Claim, Names, Origin, ProviderError};

const INSERT: &str =
    "INSERT INTO db_operator.claims (database_name, role_name, cluster_id, namespace, name, uid,
  created_database, created_role, drop_adopted, released, database_mark, role_mark)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";

/// Only writes over exactly what was seen. What was created stays the same thing; what is being created keeps its mark.
/// Taking a claim back takes back a left-over user too.
const UPDATE: &str = "UPDATE db_operator.claims SET cluster_id = $3, namespace = $4, name = $5, uid = $6,
  created_database = $7, created_role = $8, drop_adopted = $9, released = $10,
  left_over = left_over AND $10, changed_at = now(),
  database_id = CASE WHEN $7 THEN database_id END, role_id = CASE WHEN $8 THEN role_id END,
  database_mark = CASE WHEN $11::integer IS NOT NULL THEN coalesce(database_mark, $11) END,
  role_mark = CASE WHEN $12::integer IS NOT NULL THEN coalesce(role_mark, $12) END
WHERE database_name = $1 AND role_name = $2 AND cluster_id = $13 AND namespace = $14 AND name = $15 AND uid = $16
  AND created_database = $17 AND created_role = $18 AND drop_adopted = $19 AND released = $20
  AND (database_mark IS NOT NULL) = $21 AND (role_mark IS NOT NULL) = $22";

const DELETE: &str = "DELETE FROM db_operator.claims WHERE database_name = $1 AND role_name = $2
  AND cluster_id = $3 AND namespace = $4 AND name = $5";

impl Postgresql {
    pub(super) async fn upsert_claim(
        &self,
        session: &mut Session,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError> {
        if standing.is_some_and(|standing| standing.names != claim.names) {
            return Err(moved(&claim.names));
        }
        let creating = |origin| origin == Origin::Creating;
        let mark = |origin| creating(origin).then(mark);
        let query = sqlx::query(if standing.is_some() { UPDATE } else { INSERT })
            .bind(claim.names.database.as_str())
            .bind(claim.names.role.as_str())
            .bind(&claim.claimant.cluster_id)
            .bind(&claim.claimant.namespace)
            .bind(&claim.claimant.name)
            .bind(&claim.uid)
            .bind(claim.database == Origin::Created)
            .bind(claim.role == Origin::Created)
            .bind(claim.drop_adopted)
            .bind(claim.released)
            .bind(mark(claim.database))
            .bind(mark(claim.role));
        let query = match standing {
            None => query,
            Some(seen) => query
                .bind(&seen.claimant.cluster_id)
                .bind(&seen.claimant.namespace)
                .bind(&seen.claimant.name)
                .bind(&seen.uid)
                .bind(seen.database == Origin::Created)
                .bind(seen.role == Origin::Created)
                .bind(seen.drop_adopted)
                .bind(seen.released)
                .bind(creating(seen.database))
                .bind(creating(seen.role)),
        };
        if session.execute("write a claim", query).await? == 1 {
            Ok(())
        } else {
            Err(moved(&claim.names))
        }
    }

    /// Deletes only the claimant's own claim: one that was taken over meanwhile stays.
    pub(super) async fn delete_claim(
        &self,
        session: &mut Session,
        claim: &Claim,
    ) -> Result<(), ProviderError> {
        let query = sqlx::query(DELETE)
            .bind(claim.names.database.as_str())
            .bind(claim.names.role.as_str())
            .bind(&claim.claimant.cluster_id)
            .bind(&claim.claimant.namespace)
            .bind(&claim.claimant.name);
        session.execute("remove a claim", query).await?;
        Ok(())
    }
}

pub(super) fn moved(names: &Names) -> ProviderError {
    ProviderError::ClaimMoved {
        database: names.database.to_string(),
    }
}
