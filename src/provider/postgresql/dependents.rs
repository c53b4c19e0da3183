//! What depends on a user and keeps it from being dropped: privileges, default privileges, policies and ownership, in
//! other databases and on what all databases share. Anyone can do that to anyone.

use serde::Deserialize;

use super::rows::RoleRow;
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::{Names, ProviderError, SqlName};

/// What depends on the user `$1`: by database, or the shared object itself. `$2` is the cluster whose claims count.
const DEPENDENTS: &str = "SELECT coalesce(json_agg(h), '[]')::text FROM (
  SELECT d.datname AS database, on_database.datname AS on_database,
    CASE WHEN s.dbid = 0 AND on_database.datname IS NULL THEN pg_describe_object(s.classid, s.objid, 0) END AS shared,
    s.deptype = 'o' AS owned, c.role_name AS claimed_for, count(*) AS objects
  FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
  LEFT JOIN pg_database on_database
    ON s.dbid = 0 AND s.classid = 'pg_database'::regclass AND on_database.oid = s.objid
  LEFT JOIN db_operator.claims c
    ON c.cluster_id = $2 AND c.database_name = coalesce(d.datname, on_database.datname)
  WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
  GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4) h";

/// A database in which something depends on a user, or a shared object that does.
#[derive(Debug, Deserialize)]
pub(super) struct Dependent {
    /// The database that it is in.
    database: Option<String>,
    /// The database that it is a privilege on.
    on_database: Option<String>,
    /// Any other shared object.
    pub(super) shared: Option<String>,
    /// The user owns it.
    owned: bool,
    /// The user to whom this cluster's claim gives the database.
    claimed_for: Option<String>,
    objects: i64,
}

impl Postgresql {
    pub(super) async fn dependents(
        &self,
        session: &mut Session,
        role: &RoleRow,
    ) -> Result<Vec<Dependent>, ProviderError> {
        let query = sqlx::query(DEPENDENTS)
            .bind(&role.name)
            .bind(self.fence.cluster_id());
        Ok(session.json("list what hangs on a user", query).await?)
    }
}

/// Databases of this cluster's claims in which something depends on the user and nothing belongs to it.
pub(super) fn databases_to_clear(dependents: &[Dependent]) -> Vec<Names> {
    let owns_there = |database: &str| {
        dependents
            .iter()
            .any(|one| one.owned && one.database.as_deref() == Some(database))
    };
    let inside = dependents
        .iter()
        .filter(|one| !one.owned)
        .filter_map(|one| Some((one.database.as_deref()?, one.claimed_for.as_deref()?)));
    let mut found: Vec<Names> = inside
        .filter(|(database, _)| !owns_there(database))
        .filter_map(|(database, role)| names(database, role))
        .collect();
    found.dedup();
    found
}

/// Databases of this cluster's claims on which the user has privileges.
pub(super) fn databases_with_grants(dependents: &[Dependent]) -> Vec<Names> {
    let granted = dependents.iter().filter(|one| !one.owned);
    granted
        .filter_map(|one| names(one.on_database.as_deref()?, one.claimed_for.as_deref()?))
        .collect()
}

fn names(database: &str, role: &str) -> Option<Names> {
    Some(Names {
        database: SqlName::new(database).ok()?,
        role: SqlName::new(role).ok()?,
    })
}

impl Dependent {
    /// `user` is quoted already.
    pub(super) fn describe(&self, user: &str) -> String {
        let objects = match self.objects {
            1 => "1 object".to_owned(),
            more => format!("{more} objects"),
        };
        let superuser = "as a superuser, run";
        match (&self.database, &self.on_database, &self.shared, self.owned) {
            (Some(database), _, _, true) => format!(
                "it owns {objects} in database {database:?}; there, {superuser}: REASSIGN OWNED BY {user} TO CURRENT_USER"
            ),
            (Some(database), _, _, false) => format!(
                "it has privileges on {objects} in database {database:?}; there, {superuser}: DROP OWNED BY {user}"
            ),
            (None, Some(database), _, true) => format!(
                "it owns the database {database:?}; {superuser}: ALTER DATABASE {} OWNER TO CURRENT_USER",
                quoted(database)
            ),
            (None, Some(database), _, false) => format!(
                "it has privileges on the database {database:?}; {superuser}: REVOKE ALL ON DATABASE {} FROM {user} CASCADE",
                quoted(database)
            ),
            (None, None, shared, true) => format!(
                "it owns {}; {superuser}: REASSIGN OWNED BY {user} TO CURRENT_USER",
                shared.as_deref().unwrap_or("a shared object")
            ),
            (None, None, shared, false) => format!(
                "it has privileges on {}; {superuser}: DROP OWNED BY {user}",
                shared.as_deref().unwrap_or("a shared object")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(database: &str, owned: bool, claimed_for: Option<&str>) -> Dependent {
        Dependent {
            database: Some(database.to_owned()),
            on_database: None,
            shared: None,
            owned,
            claimed_for: claimed_for.map(str::to_owned),
            objects: 1,
        }
    }

    #[test]
    fn only_databases_that_are_claimed_and_hold_nothing_of_the_users_are_cleared() {
        let dependents = [
            inside("claimed", false, Some("owner")),
            inside("foreign", false, None),
            inside("shared", false, Some("owner")),
            inside("shared", true, Some("owner")),
        ];
        let cleared: Vec<String> = databases_to_clear(&dependents)
            .iter()
            .map(|names| names.database.to_string())
            .collect();
        assert_eq!(cleared, ["claimed"]);
    }

    #[test]
    fn what_is_left_is_named_with_where_to_run_what() {
        let text = inside("theirs", false, None).describe("\"user\"");
        assert!(
            text.contains("in database \"theirs\"") && text.ends_with("DROP OWNED BY \"user\""),
            "{text}"
        );
        let on = Dependent {
            database: None,
            on_database: Some("theirs".to_owned()),
            ..inside("", false, None)
        };
        let text = on.describe("\"user\"");
        assert!(
            text.ends_with("REVOKE ALL ON DATABASE \"theirs\" FROM \"user\" CASCADE"),
            "{text}"
        );
    }
}
