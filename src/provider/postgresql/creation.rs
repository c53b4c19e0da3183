//! How a claim comes to say that its database or its role was created.
//!
//! A role is created in one transaction with its note. CREATE DATABASE cannot run in a transaction, so the new database
//! carries a mark: a random connection limit, which the claim has recorded beforehand. The note takes the mark off, in
//! the transaction that opens the database and gives it to its owner. After a crash in between, the mark says whose the
//! database is.

use rand::RngExt;

use super::Postgresql;
use super::claims::moved;
use super::error::Failure;
use super::rows::ClaimRow;
use super::session::Session;
use crate::provider::ident::postgresql_literal;
use crate::provider::{Names, ProviderError};

/// What a claim says before its database is created again.
const BEGIN_DATABASE: &str =
    "UPDATE db_operator.claims SET created_database = false, database_id = NULL,
  database_mark = $4, changed_at = now()
WHERE database_name = $1 AND role_name = $2 AND cluster_id = $3 AND NOT released";

/// What claims of a former version, or from another server, do not say: which database and which role were created.
const IDENTIFY: &str = "UPDATE db_operator.claims c SET changed_at = now(),
  database_id = place.prefix || d.oid, role_id = CASE WHEN c.created_role THEN place.prefix || r.oid END
FROM pg_database d, pg_roles r, (SELECT oid || '.' || 'db_operator.claims'::regclass::oid || '/' AS prefix
  FROM pg_database WHERE datname = current_database()) place
WHERE c.database_name = $1 AND c.role_name = $2 AND c.cluster_id = $3 AND NOT c.released AND c.created_database
  AND d.datname = $1 AND r.rolname = $2";

/// Where the ids in the claims are valid. Another server, or a restored copy of these tables, numbers everything anew,
/// including these two things.
pub(super) const PLACE: &str = "(SELECT oid FROM pg_database WHERE datname = current_database()) || '.' \
                     || 'db_operator.claims'::regclass::oid || '/'";

/// division_by_zero, which aborts a transaction whose note found no claim.
const NOTHING_NOTED: &str = "22012";

/// Connection limits that no one sets by hand.
const MARKS: std::ops::RangeInclusive<i32> = 1_000_000_000..=i32::MAX;

impl Postgresql {
    /// The mark that a database has to carry which is created under this claim. If the former one is gone, or was
    /// adopted, the claim says from now on that it is to be created.
    pub(super) async fn mark_for(
        &self,
        session: &mut Session,
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
        match session.execute("note what is to be made", query).await? {
            1 => Ok(mark),
            _ => Err(moved(names)),
        }
    }

    /// Records which database and which role a claim describes that only says that they were created.
    pub(super) async fn identify(
        &self,
        session: &mut Session,
        names: &Names,
    ) -> Result<(), ProviderError> {
        let query = sqlx::query(IDENTIFY)
            .bind(names.database.as_str())
            .bind(names.role.as_str())
            .bind(self.fence.cluster_id());
        session.execute("note what was made", query).await?;
        Ok(())
    }

    /// Statements that record the creation of the database in its claim, for the transaction that takes the mark off.
    pub(super) fn record_database(&self, names: &Names, mark: i32) -> [String; 2] {
        let database = postgresql_literal(names.database.as_str());
        let id = format!(
            "{PLACE} || (SELECT oid FROM pg_database WHERE datname = {database} AND datconnlimit = {mark})"
        );
        let note = format!(
            "UPDATE db_operator.claims SET created_database = true, database_mark = NULL, database_id = {id}, \
             changed_at = now() WHERE {} AND database_mark = {mark}",
            self.claimed(names)
        );
        [note, self.assert_recorded(names, "database_id")]
    }

    /// Statements that record the creation of the role in its claim, for the transaction that creates it.
    pub(super) fn record_role(&self, names: &Names) -> [String; 2] {
        let role = postgresql_literal(names.role.as_str());
        let note = format!(
            "UPDATE db_operator.claims SET created_role = true, role_mark = NULL, role_id = {PLACE} || \
             (SELECT oid FROM pg_roles WHERE rolname = {role}), changed_at = now() WHERE {}",
            self.claimed(names)
        );
        [note, self.assert_recorded(names, "role_id")]
    }

    /// A statement that aborts the transaction if nothing was recorded, because the claim has changed.
    fn assert_recorded(&self, names: &Names, noted: &str) -> String {
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

/// Why a transaction that records a creation failed; `otherwise` if it was not the record.
pub(super) fn creation_failed(
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

/// Someone else created something since it was looked for.
pub(super) fn created_meanwhile(what: &str) -> ProviderError {
    ProviderError::Busy {
        doing: format!("make the {what}"),
        detail: "someone else made it at this moment".to_owned(),
    }
}

/// A new mark.
pub(super) fn mark() -> i32 {
    rand::rng().random_range(MARKS)
}
