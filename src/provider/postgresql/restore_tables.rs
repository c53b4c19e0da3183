//! The operator's tables about restores, and how what concerns one restore is read from them and from the catalog.
//!
//! A row of `scratch` is a database or a login that was made beside a tenant's, or the tenant's former database. It is
//! written before anything is made, and deleted after that is gone, so a crash leaves a row without a thing and never a
//! thing without a row. A row of `restores` is written in the transaction of the swap, and stays.

use serde::Deserialize;

use super::Postgresql;
use super::checks::Claimed;
use super::session::Session;
use crate::provider::restore::RestoreId;
use crate::provider::{Names, ProviderError, SqlName};

/// They run any number of times, and older operators do without. People read them too.
pub(super) const TABLES_OF_RESTORES: &str = "
CREATE TABLE IF NOT EXISTS db_operator.scratch (
  database_name text PRIMARY KEY,
  role_name text UNIQUE,
  purpose text NOT NULL,
  cluster_id text NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  uid text NOT NULL,
  target_database text NOT NULL,
  target_role text NOT NULL,
  target_id text NOT NULL,
  other_name text UNIQUE,
  database_id text,
  database_mark integer,
  role_id text,
  adopted boolean NOT NULL DEFAULT false,
  locked_at timestamptz,
  until timestamptz,
  made_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS db_operator.restores (
  cluster_id text NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  uid text NOT NULL,
  spec_hash text NOT NULL,
  target_database text NOT NULL,
  restored_id text NOT NULL,
  former_database text,
  former_id text,
  downtime_ms bigint NOT NULL,
  done_at timestamptz NOT NULL DEFAULT now(),
  undone_at timestamptz,
  undo_downtime_ms bigint,
  PRIMARY KEY (cluster_id, namespace, name)
)";

/// What concerns one restore: `$1` and `$2` are the target's names, `$3` to `$5` whose claim counts (no object: of
/// whichever), `$6` to `$8` the restore (none: all of this target).
const STATE: &str = "WITH place AS (
  SELECT oid || '.' || 'db_operator.claims'::regclass::oid || '/' AS prefix
  FROM pg_database WHERE datname = current_database()
), rows AS (
  SELECT s.* FROM db_operator.scratch s
  WHERE CASE WHEN $7::text IS NULL THEN s.target_database = $1 AND s.target_role = $2
    ELSE s.cluster_id = ANY ($6) AND s.namespace = $7 AND s.name = $8 END
), found AS (
  SELECT d.datname::text AS name, place.prefix || d.oid AS id, o.rolname AS owner, d.datallowconn AS open,
    d.datconnlimit AS connections, d.datdba = me.oid AS mine, pg_has_role(d.datdba, 'USAGE') AS owned
  FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba CROSS JOIN place CROSS JOIN pg_roles me
  WHERE me.rolname = current_user AND (d.datname = $1 OR d.datname IN (SELECT database_name FROM rows))
)
SELECT json_build_object(
  'claim', (SELECT row_to_json(c) FROM (
    SELECT created_database, drop_adopted, database_id FROM db_operator.claims
    WHERE database_name = $1 AND role_name = $2 AND NOT released AND cluster_id = ANY ($3)
      AND ($4::text IS NULL OR namespace = $4 AND name = $5)) c),
  'target', (SELECT row_to_json(f) FROM found f WHERE f.name = $1),
  'assumable', coalesce((SELECT CASE WHEN current_setting('server_version_num')::int < 160000
      THEN pg_has_role(oid, 'MEMBER') ELSE pg_has_role(oid, 'SET') END FROM pg_roles WHERE rolname = $2), false),
  'made', EXISTS (SELECT FROM db_operator.restores r JOIN found f ON f.name = $1 AND f.id = r.restored_id),
  'rows', (SELECT coalesce(json_agg(r), '[]') FROM (
    SELECT s.database_name, s.role_name, s.purpose, s.uid, s.target_id, s.other_name, s.database_id, s.database_mark,
      s.role_id, s.adopted, s.locked_at IS NOT NULL AS locked,
      s.until IS NULL AS kept,
      (SELECT row_to_json(f) FROM found f WHERE f.name = s.database_name) AS found,
      (SELECT place.prefix || r.oid FROM pg_roles r WHERE r.rolname = s.role_name) AS found_role
    FROM rows s CROSS JOIN place ORDER BY s.purpose = 'former', s.made_at, s.database_name) r),
  'record', (SELECT row_to_json(r) FROM (
    SELECT r.uid, r.restored_id, r.downtime_ms, r.undone_at IS NOT NULL AS undone, r.undo_downtime_ms,
      NOT EXISTS (SELECT FROM db_operator.restores n WHERE n.target_database = r.target_database
        AND n.done_at > r.done_at) AS newest
    FROM db_operator.restores r
    WHERE r.cluster_id = ANY ($6) AND r.namespace = $7 AND r.name = $8 ORDER BY r.done_at DESC LIMIT 1) r))::text";

/// What the tables and the catalog say of one restore.
#[derive(Debug, Deserialize)]
pub(super) struct RestoreState {
    /// The claim on the target, if it is unreleased and the claimant's.
    pub(super) claim: Option<ClaimState>,
    /// The database under the target's name.
    pub(super) target: Option<FoundDatabase>,
    /// Whether the administrator may act as the target's user now.
    pub(super) assumable: bool,
    /// Whether a restore made the database under the target's name.
    pub(super) made: bool,
    pub(super) rows: Vec<ScratchRow>,
    pub(super) record: Option<Record>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ClaimState {
    pub(super) created_database: bool,
    pub(super) drop_adopted: bool,
    pub(super) database_id: Option<String>,
}

/// A database that exists.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FoundDatabase {
    pub(super) id: String,
    pub(super) owner: String,
    pub(super) open: bool,
    pub(super) connections: i32,
    /// The administrator owns it itself.
    pub(super) mine: bool,
    /// The administrator has its owner's privileges.
    pub(super) owned: bool,
}

/// What something beside a tenant's database is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Purpose {
    /// A database that is loaded into, and its login.
    Load,
    /// The login of a load that is done.
    Login,
    /// A database that was replaced.
    Former,
    /// The database of a test, with the user that owns it: nobody's, and dropped by the test itself.
    Test,
}

/// A row of `db_operator.scratch`, with what exists of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ScratchRow {
    pub(super) database_name: String,
    pub(super) role_name: Option<String>,
    pub(super) purpose: Purpose,
    pub(super) uid: String,
    /// The target when the row was written.
    pub(super) target_id: String,
    /// Of a load: what the former database is going to be called. Of a former database: a name that is free for an undo.
    pub(super) other_name: Option<String>,
    /// Which database it is.
    pub(super) database_id: Option<String>,
    /// The mark that the database carries while it is created, as its connection limit.
    pub(super) database_mark: Option<i32>,
    /// Which role it is.
    pub(super) role_id: Option<String>,
    /// The database was adopted, or made by someone else.
    pub(super) adopted: bool,
    /// The target is locked for a swap, or was when a crash came.
    pub(super) locked: bool,
    /// It stays until it is asked for its end; otherwise it goes as soon as it can.
    pub(super) kept: bool,
    /// The database of this name.
    pub(super) found: Option<FoundDatabase>,
    /// The role of this name.
    pub(super) found_role: Option<String>,
}

/// A row of `db_operator.restores`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    pub(super) uid: String,
    pub(super) restored_id: String,
    pub(super) downtime_ms: u64,
    pub(super) undone: bool,
    pub(super) undo_downtime_ms: Option<u64>,
    /// No restore of the same database came later.
    pub(super) newest: bool,
}

impl Postgresql {
    /// Reads what concerns one restore.
    pub(super) async fn restore_state(
        &self,
        session: &mut Session,
        claimed: &Claimed,
        restore: &RestoreId,
        take_over_from: &[String],
    ) -> Result<RestoreState, ProviderError> {
        let clusters = clusters(restore, take_over_from);
        let query = claimed
            .bind(sqlx::query(STATE))
            .bind(clusters)
            .bind(&restore.namespace)
            .bind(&restore.name);
        Ok(session
            .json("look at what concerns a restore", query)
            .await?)
    }

    /// Reads what restores have left beside a database.
    pub(super) async fn restores_beside(
        &self,
        session: &mut Session,
        claimed: &Claimed,
    ) -> Result<RestoreState, ProviderError> {
        let query = claimed
            .bind(sqlx::query(STATE))
            .bind(Vec::<String>::new())
            .bind(None::<&str>)
            .bind(None::<&str>);
        Ok(session
            .json("look at what restores left beside a database", query)
            .await?)
    }
}

impl RestoreState {
    /// The row of this object, or of any object of the restore's name.
    pub(super) fn row(&self, purpose: Purpose, uid: Option<&str>) -> Option<&ScratchRow> {
        let is = |row: &&ScratchRow| row.purpose == purpose && uid.is_none_or(|uid| row.uid == uid);
        self.rows.iter().find(is)
    }

    /// The former database that was kept for this object, if it is there.
    pub(super) fn former(&self, uid: &str) -> Option<&ScratchRow> {
        self.row(Purpose::Former, Some(uid))
            .filter(|row| row.kept && row.is_there())
    }

    /// Whether the target was adopted, or made by someone else. One that a restore made is our own, whatever the claim says
    /// of the one that was there before.
    pub(super) fn is_adopted(&self, target_id: &str) -> bool {
        let created = self.claim.as_ref().is_some_and(|claim| {
            claim.created_database && claim.database_id.as_deref() == Some(target_id)
        });
        !created && !self.made
    }

    /// Whether the claim describes another database than this one. Ids of another server, or of a copy of these tables, say
    /// nothing.
    pub(super) fn is_another(&self, target_id: &str) -> bool {
        let place = |id: &str| id.rsplit_once('/').map(|(place, _)| place.to_owned());
        let created = self.claim.as_ref().filter(|claim| claim.created_database);
        created
            .and_then(|claim| claim.database_id.as_deref())
            .is_some_and(|id| id != target_id && place(id) == place(target_id))
    }
}

impl ScratchRow {
    /// Whether the database of this name is the noted one.
    pub(super) fn is_there(&self) -> bool {
        match (&self.found, &self.database_id, self.database_mark) {
            (Some(found), Some(id), _) => found.id == *id,
            // It was created, and a crash came before that was noted.
            (Some(found), None, Some(mark)) => found.connections == mark && !found.open,
            (Some(_) | None, _, _) => false,
        }
    }

    /// Whether the noted login exists.
    pub(super) fn has_login(&self) -> bool {
        self.role_id.is_some() && self.role_id == self.found_role
    }

    /// The database's name.
    pub(super) fn database(&self) -> Result<SqlName, ProviderError> {
        name(&self.database_name)
    }
}

/// A name from a table.
pub(super) fn name(text: &str) -> Result<SqlName, ProviderError> {
    SqlName::new(text).map_err(|error| {
        ProviderError::InTheWay(format!(
            "the table db_operator.scratch was edited by hand: {error}"
        ))
    })
}

/// The clusters whose restores of this name are the same one.
pub(super) fn clusters(restore: &RestoreId, take_over_from: &[String]) -> Vec<String> {
    let mut clusters = vec![restore.cluster_id.clone()];
    clusters.extend_from_slice(take_over_from);
    clusters
}

/// The names of something of a restore's and of the target's user: for what is asked about any database and its user.
pub(super) fn beside(database: &SqlName, target: &Names) -> Names {
    Names {
        database: database.clone(),
        role: target.role.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(created_database: bool, database_id: Option<&str>) -> RestoreState {
        RestoreState {
            claim: Some(ClaimState {
                created_database,
                drop_adopted: false,
                database_id: database_id.map(str::to_owned),
            }),
            target: None,
            assumable: false,
            made: false,
            rows: Vec::new(),
            record: None,
        }
    }

    #[test]
    fn another_database_than_the_claims_is_told() {
        assert!(state(true, Some("1.2/3")).is_another("1.2/4"));
        for (created, noted) in [
            (true, Some("1.2/4")),
            // Another place.
            (true, Some("1.9/3")),
            (true, None),
            // Adopted.
            (false, Some("1.2/3")),
        ] {
            assert!(!state(created, noted).is_another("1.2/4"), "{noted:?}");
        }
        let mut unclaimed = state(true, None);
        unclaimed.claim = None;
        assert!(!unclaimed.is_another("1.2/4"));
    }
}
