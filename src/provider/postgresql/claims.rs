//! The claim table: one writer wins, everybody else looks again. And how a claim comes to say that something was made.
//!
//! A role is made in one transaction with its note. CREATE DATABASE may be in none, so what it makes carries a mark: a
//! random connection limit, which the claim holds since before. The note takes the mark off, in the transaction that
//! opens the database and gives it to its owner. After a crash in between, the mark says whose the database is.

use rand::RngExt;

use super::Postgresql;
use super::catalog::ClaimRow;
use super::failure::Failure;
use super::session::Session;
use crate::provider::ident::postgresql_literal;
use crate::provider::{Claim, Names, Origin, ProviderError};

const INSERT: &str =
    "INSERT INTO db_operator.claims (database_name, role_name, cluster_id, namespace, name, uid,
  created_database, created_role, drop_adopted, released, database_mark, role_mark)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";

/// Only over exactly what was seen. What was made stays the same thing; what is being made keeps its mark. Who takes a
/// claim back takes a user that was left over with it.
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

/// What a claim says before its database is made once more.
const BEGIN_DATABASE: &str =
    "UPDATE db_operator.claims SET created_database = false, database_id = NULL,
  database_mark = $4, changed_at = now()
WHERE database_name = $1 AND role_name = $2 AND cluster_id = $3 AND NOT released";

/// What claims of a former version, or from another server, do not say: which database and which role were made.
const IDENTIFY: &str = "UPDATE db_operator.claims c SET changed_at = now(),
  database_id = place.prefix || d.oid, role_id = CASE WHEN c.created_role THEN place.prefix || r.oid END
FROM pg_database d, pg_roles r, (SELECT oid || '.' || 'db_operator.claims'::regclass::oid || '/' AS prefix
  FROM pg_database WHERE datname = current_database()) place
WHERE c.database_name = $1 AND c.role_name = $2 AND c.cluster_id = $3 AND NOT c.released AND c.created_database
  AND d.datname = $1 AND r.rolname = $2";

/// Where the ids of what was made are good. Another server, and a copy of these tables that was restored, number
/// everything anew, these two things too.
const PLACE: &str = "(SELECT oid FROM pg_database WHERE datname = current_database()) || '.' \
                     || 'db_operator.claims'::regclass::oid || '/'";

/// division_by_zero, which stops a transaction whose note found no claim.
const NOTHING_NOTED: &str = "22012";

/// What nobody gives a database by hand.
const MARKS: std::ops::RangeInclusive<i32> = 1_000_000_000..=i32::MAX;

impl Postgresql {
    pub(super) async fn put_claim(
        &self,
        home: &mut Session,
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
        if home.execute("write a claim", query).await? == 1 {
            Ok(())
        } else {
            Err(moved(&claim.names))
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

    /// What a database that is made under this claim has to carry. One that was there before and is gone, or was
    /// adopted, is to be made from now on.
    pub(super) async fn mark_of(
        &self,
        home: &mut Session,
        names: &Names,
        claim: &ClaimRow,
    ) -> Result<i32, ProviderError> {
        if let Some(mark) = claim.database_mark.filter(|_| !claim.created_database) {
            return Ok(mark);
        }
        let mark = mark();
        let query = sqlx::query(BEGIN_DATABASE)
            .bind(names.database.as_str())
            .bind(names.role.as_str())
            .bind(self.fence.cluster_id())
            .bind(mark);
        match home.execute("note what is to be made", query).await? {
            1 => Ok(mark),
            _ => Err(moved(names)),
        }
    }

    /// Notes which database and which role a claim speaks of that says only that they were made.
    pub(super) async fn identify(
        &self,
        home: &mut Session,
        names: &Names,
    ) -> Result<(), ProviderError> {
        let query = sqlx::query(IDENTIFY)
            .bind(names.database.as_str())
            .bind(names.role.as_str())
            .bind(self.fence.cluster_id());
        home.execute("note what was made", query).await?;
        Ok(())
    }

    /// Says in the claim that its database was made, in the transaction that takes the mark off it.
    pub(super) fn note_database(&self, names: &Names, mark: i32) -> [String; 2] {
        let database = postgresql_literal(names.database.as_str());
        let id = format!(
            "{PLACE} || (SELECT oid FROM pg_database WHERE datname = {database} AND datconnlimit = {mark})"
        );
        let note = format!(
            "UPDATE db_operator.claims SET created_database = true, database_mark = NULL, database_id = {id}, \
             changed_at = now() WHERE {} AND database_mark = {mark}",
            self.claimed(names)
        );
        [note, self.assure(names, "database_id")]
    }

    /// Says in the claim that its role was made, in the transaction that makes it.
    pub(super) fn note_role(&self, names: &Names) -> [String; 2] {
        let role = postgresql_literal(names.role.as_str());
        let note = format!(
            "UPDATE db_operator.claims SET created_role = true, role_mark = NULL, role_id = {PLACE} || \
             (SELECT oid FROM pg_roles WHERE rolname = {role}), changed_at = now() WHERE {}",
            self.claimed(names)
        );
        [note, self.assure(names, "role_id")]
    }

    /// Ends the transaction where nothing was noted: the claim is not what it was any more.
    fn assure(&self, names: &Names, noted: &str) -> String {
        format!(
            "SELECT 1 / count(*) FROM db_operator.claims WHERE {} AND {noted} IS NOT NULL",
            self.claimed(names)
        )
    }

    fn claimed(&self, names: &Names) -> String {
        format!(
            "database_name = {} AND role_name = {} AND cluster_id = {} AND NOT released",
            postgresql_literal(names.database.as_str()),
            postgresql_literal(names.role.as_str()),
            postgresql_literal(self.fence.cluster_id())
        )
    }
}

/// What a transaction with a note failed with; `otherwise` where it was not the note.
pub(super) fn not_noted(
    failure: Failure,
    names: &Names,
    otherwise: impl FnOnce(Failure) -> ProviderError,
) -> ProviderError {
    if failure.code() == Some(NOTHING_NOTED) {
        moved(names)
    } else {
        otherwise(failure)
    }
}

/// Something that was to be made was made by somebody else since it was looked for.
pub(super) fn made_meanwhile(what: &str) -> ProviderError {
    ProviderError::Busy {
        doing: format!("make the {what}"),
        detail: "somebody else made it at this moment".to_owned(),
    }
}

fn mark() -> i32 {
    rand::rng().random_range(MARKS)
}

fn moved(names: &Names) -> ProviderError {
    ProviderError::ClaimMoved {
        database: names.database.to_string(),
    }
}
