//! The claim table: one writer wins, everybody else looks again.

use super::Postgresql;
use super::session::Session;
use crate::provider::{Claim, ProviderError};

const INSERT: &str =
    "INSERT INTO db_operator.claims (database_name, role_name, cluster_id, namespace, name, uid,
  created_database, created_role, drop_adopted, released)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";

/// Only over exactly what was seen. Who takes a claim back takes a user that was left over with it.
const UPDATE: &str = "UPDATE db_operator.claims SET cluster_id = $3, namespace = $4, name = $5, uid = $6,
  created_database = $7, created_role = $8, drop_adopted = $9, released = $10,
  left_over = left_over AND $10, changed_at = now()
WHERE database_name = $1 AND role_name = $2 AND cluster_id = $11 AND namespace = $12 AND name = $13 AND uid = $14
  AND created_database = $15 AND created_role = $16 AND drop_adopted = $17 AND released = $18";

const DELETE: &str = "DELETE FROM db_operator.claims WHERE database_name = $1 AND role_name = $2
  AND cluster_id = $3 AND namespace = $4 AND name = $5";

impl Postgresql {
    pub(super) async fn put_claim(
        &self,
        home: &mut Session,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError> {
        let moved = || ProviderError::ClaimMoved {
            database: claim.names.database.to_string(),
        };
        if standing.is_some_and(|standing| standing.names != claim.names) {
            return Err(moved());
        }
        let query = sqlx::query(if standing.is_some() { UPDATE } else { INSERT })
            .bind(claim.names.database.as_str())
            .bind(claim.names.role.as_str())
            .bind(&claim.claimant.cluster_id)
            .bind(&claim.claimant.namespace)
            .bind(&claim.claimant.name)
            .bind(&claim.uid)
            .bind(claim.created_database)
            .bind(claim.created_role)
            .bind(claim.drop_adopted)
            .bind(claim.released);
        let query = match standing {
            None => query,
            Some(seen) => query
                .bind(&seen.claimant.cluster_id)
                .bind(&seen.claimant.namespace)
                .bind(&seen.claimant.name)
                .bind(&seen.uid)
                .bind(seen.created_database)
                .bind(seen.created_role)
                .bind(seen.drop_adopted)
                .bind(seen.released),
        };
        if home.execute("write a claim", query).await? == 1 {
            Ok(())
        } else {
            Err(moved())
        }
    }

    /// Only the claimant's own: what somebody else took over meanwhile stays.
    pub(super) async fn delete_claim(
        &self,
        home: &mut Session,
        claim: &Claim,
    ) -> Result<(), ProviderError> {
        let query = sqlx::query(DELETE)
            .bind(claim.names.database.as_str())
            .bind(claim.names.role.as_str())
            .bind(&claim.claimant.cluster_id)
            .bind(&claim.claimant.namespace)
            .bind(&claim.claimant.name);
        home.execute("remove a claim", query).await?;
        Ok(())
    }
}
