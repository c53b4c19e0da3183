//! What others hung on a user: privileges, default privileges, policies, ownership and memberships, in other databases
//! and on what all databases share. It keeps the user from being dropped, and anybody can do it to anybody.
//!
//! In the databases of this cluster's claims it is taken away. Objects that the user *owns* elsewhere are never dropped:
//! they are in somebody's database. Where something is left, the user is locked for good and left over: its claim stays,
//! released, so that nobody is given the name by surprise, and [`Postgresql::drop_left_over`] drops the user once
//! nothing hangs on it any more.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::catalog::RoleRow;
use super::failure::Failure;
use super::home::column;
use super::membership::{Right, borrow, give_back};
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{Names, ProviderError, Removed, SqlName};

/// For all databases of one user together. What was not reached by then is left over.
const CLEAR_WITHIN: Duration = Duration::from_mins(1);

/// How many users that were left over are tried at a time.
const TRIED_AT_ONCE: i64 = 20;

/// Databases and shared objects that are named.
const NAMED: usize = 10;

/// What hangs on the user `$1`, by database; or the shared object itself. `$2` is the cluster whose claims count.
const HANGING: &str = "SELECT coalesce(json_agg(h), '[]')::text FROM (
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

/// Of the users of this cluster's claims (`$2`) and of the user `$3`, those whose privileges the administrator may
/// borrow and has not: whoever owns the database `$1` or something in it, and `$3` itself.
const TO_BORROW: &str = "SELECT r.rolname FROM pg_roles r CROSS JOIN pg_roles me
WHERE me.rolname = current_user AND NOT pg_has_role(r.oid, 'USAGE') AND NOT r.rolsuper
  AND CASE WHEN current_setting('server_version_num')::int < 160000 THEN me.rolcreaterole
    ELSE pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') END
  AND (r.rolname = $3 OR r.rolname IN (SELECT role_name FROM db_operator.claims WHERE cluster_id = $2)
    AND EXISTS (SELECT FROM pg_database d WHERE d.datname = $1 AND (d.datdba = r.oid
      OR EXISTS (SELECT FROM pg_shdepend s WHERE s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass
        AND s.refobjid = r.oid AND s.deptype = 'o'))))
ORDER BY 1";

/// Memberships that a user which is left over is not to have, nor others in it. What lets the administrator drop it stays.
const MEMBERSHIPS: &str = "SELECT g.rolname AS role, m.rolname AS member, b.rolname AS grantor
FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
LEFT JOIN pg_roles b ON b.oid = a.grantor
WHERE (g.rolname = $1 OR m.rolname = $1) AND m.rolname <> current_user ORDER BY 1, 2, 3";

const NOTE_LEFT_OVER: &str = "UPDATE db_operator.claims SET left_over = true, changed_at = now()
WHERE cluster_id = $1 AND role_name = $2 AND NOT left_over";

/// Those of this cluster that were left over, and on which nothing hangs any more; not another one of that name.
const FREE_AGAIN: &str = "SELECT c.role_name FROM db_operator.claims c LEFT JOIN pg_roles r ON r.rolname = c.role_name
WHERE c.cluster_id = $1 AND c.left_over AND c.released
  AND (r.oid IS NULL OR c.role_id IS NULL OR split_part(c.role_id, '/', 2) = r.oid::text)
  AND NOT EXISTS (SELECT FROM pg_database d WHERE d.datname = c.database_name)
  AND NOT EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid)
ORDER BY c.changed_at LIMIT $2";

/// One database in which something hangs on a user, or one shared object.
#[derive(Debug, Deserialize)]
struct Hanging {
    /// Where it is.
    database: Option<String>,
    /// The database that it is on.
    on_database: Option<String>,
    /// Any other shared object.
    shared: Option<String>,
    /// The user owns it.
    owned: bool,
    /// The user to whom this cluster's claim gives the database.
    claimed_for: Option<String>,
    objects: i64,
}

impl Postgresql {
    /// Takes from the user what others hung on it, where this may be done, and drops it; else locks it for good.
    pub(super) async fn clear_and_drop(&self, role: &RoleRow) -> Result<Removed, ProviderError> {
        let hanging = {
            let mut home = self.home().await?;
            let hanging = self.hanging(&mut home, role).await?;
            self.clear_shared(&mut home, role, &hanging).await?;
            hanging
        };
        // Without a session of one's own, because a visit takes two.
        let began = Instant::now();
        for names in to_visit(&hanging) {
            if began.elapsed() < CLEAR_WITHIN {
                self.clear_inside(&names, role).await?;
            }
        }
        let mut home = self.home().await?;
        let Some(failure) = self.drop_role(&mut home, role).await? else {
            return Ok(Removed::Done);
        };
        self.leave_over(&mut home, role, &failure).await
    }

    async fn hanging(
        &self,
        home: &mut Session,
        role: &RoleRow,
    ) -> Result<Vec<Hanging>, ProviderError> {
        let query = sqlx::query(HANGING)
            .bind(&role.name)
            .bind(self.fence.cluster_id());
        Ok(home.json("list what hangs on a user", query).await?)
    }

    /// Privileges on databases, by their owners; what the user granted itself, by the user.
    async fn clear_shared(
        &self,
        home: &mut Session,
        role: &RoleRow,
        hanging: &[Hanging],
    ) -> Result<(), ProviderError> {
        for names in on_databases(hanging) {
            let look = self.look(home, &names).await?;
            let Some(row) = look.database() else { continue };
            let doing = format!("revoke what is granted on the database {:?}", row.name);
            let revoke = vec![format!(
                "REVOKE ALL ON DATABASE {} FROM {} CASCADE",
                quoted(&row.name),
                quoted(&role.name)
            )];
            give_way(self.as_owner(home, row, &doing, revoke).await)?;
        }
        if hanging.iter().any(|one| one.shared.is_some()) {
            give_way(self.drop_owned(home, None, "db_operator", role).await)?;
        }
        Ok(())
    }

    async fn clear_inside(&self, names: &Names, role: &RoleRow) -> Result<(), ProviderError> {
        let lent = {
            let mut home = self.home().await?;
            self.to_borrow(&mut home, names.database.as_str(), role)
                .await?
        };
        let cleared = async {
            let mut visit = self.visit(names).await?;
            let database = names.database.as_str();
            let result = self
                .drop_owned(&mut visit.session, Some(lent), database, role)
                .await;
            self.leave(visit, result).await
        };
        give_way(cleared.await)?;
        Ok(())
    }

    /// `DROP OWNED BY` in the session's database, in which the user owns nothing: so it drops nothing but takes away
    /// privileges, and the user's part in policies. The server does that only with the privileges of whoever granted
    /// them, so they are borrowed together with the user's.
    async fn drop_owned(
        &self,
        session: &mut Session,
        lent: Option<Vec<String>>,
        database: &str,
        role: &RoleRow,
    ) -> Result<(), ProviderError> {
        let lent = match lent {
            Some(lent) => lent,
            None => self.to_borrow(session, database, role).await?,
        };
        let version = session.version();
        let mut statements: Vec<String> = lent
            .iter()
            .map(|lender| borrow(lender, Right::Use, version))
            .collect();
        statements.push(format!("DROP OWNED BY {}", quoted(&role.name)));
        statements.extend(lent.iter().map(|lender| give_back(lender, version)));
        let doing = format!(
            "take from the user {:?} what was granted to it in database {database:?}",
            role.name
        );
        Ok(session.transaction(&doing, &statements).await?)
    }

    async fn to_borrow(
        &self,
        home: &mut Session,
        database: &str,
        role: &RoleRow,
    ) -> Result<Vec<String>, ProviderError> {
        let query = sqlx::query(TO_BORROW)
            .bind(database)
            .bind(self.fence.cluster_id())
            .bind(&role.name);
        let rows = home.rows("list whose privileges are needed", query).await?;
        rows.iter().map(|row| column(row, "rolname")).collect()
    }

    /// Locks the user for good, and says what is left and what removes it.
    async fn leave_over(
        &self,
        home: &mut Session,
        role: &RoleRow,
        failure: &Failure,
    ) -> Result<Removed, ProviderError> {
        let name = quoted(&role.name);
        let doing = format!("lock the user {:?} for good", role.name);
        let lock = format!("ALTER ROLE {name} NOLOGIN PASSWORD NULL");
        home.statement(&doing, lock).await?;
        let mut left = self.revoke_memberships(home, &role.name).await?;
        let hanging = self.hanging(home, role).await?;
        left.extend(hanging.iter().take(NAMED).map(|one| one.told(&name)));
        let more = hanging.len().saturating_sub(NAMED);
        if more > 0 {
            left.push(format!("there are {more} more of these"));
        }
        if hanging.is_empty() {
            left.extend(self.holders(home, None, Some(&role.name)).await?);
        }
        if left.is_empty() {
            left.push(failure.said());
        }
        let note = sqlx::query(NOTE_LEFT_OVER)
            .bind(self.fence.cluster_id())
            .bind(&role.name);
        home.execute("note that a user is left over", note).await?;
        Ok(Removed::LeftOver(format!(
            "user {:?} is locked and left over, because {}; it is dropped as soon as nothing of this is left",
            role.name,
            left.join("; ")
        )))
    }

    /// One by one, because one that may not be revoked must not keep the others; those are told.
    async fn revoke_memberships(
        &self,
        home: &mut Session,
        user: &str,
    ) -> Result<Vec<String>, ProviderError> {
        let version = home.version();
        let query = sqlx::query(MEMBERSHIPS).bind(user);
        let rows = home.rows("list the memberships of a user", query).await?;
        let mut left = Vec::new();
        for row in &rows {
            let role: String = column(row, "role")?;
            let member: String = column(row, "member")?;
            let grantor: Option<String> = column(row, "grantor")?;
            let by = match grantor {
                Some(grantor) if version >= super::membership::OPTIONS_SINCE => {
                    format!(" GRANTED BY {}", quoted(&grantor))
                }
                Some(_) | None => String::new(),
            };
            let revoke = format!(
                "REVOKE {} FROM {}{by} CASCADE",
                quoted(&role),
                quoted(&member)
            );
            let doing = format!("revoke a membership of the user {user:?}");
            let revoked = home.statement(&doing, revoke.clone()).await;
            if give_way(revoked.map_err(ProviderError::from))?.is_none() {
                left.push(format!(
                    "{member:?} is a member of {role:?}; as a superuser, run: {revoke}"
                ));
            }
        }
        Ok(left)
    }

    /// Drops the users that were left over and on which nothing hangs any more, with their claims.
    pub(super) async fn drop_left_over(&self, home: &mut Session) -> Result<(), ProviderError> {
        let query = sqlx::query(FREE_AGAIN)
            .bind(self.fence.cluster_id())
            .bind(TRIED_AT_ONCE);
        for row in home.rows("list users that were left over", query).await? {
            let user: String = column(&row, "role_name")?;
            let doing = format!("drop the user {user:?}, which was left over");
            // Who may not, or has to wait, tries again with the next look at the server.
            let sql = dropping(&user, self.fence.cluster_id());
            let dropped = home.statement(&doing, sql).await;
            give_way(dropped.map_err(ProviderError::from))?;
        }
        Ok(())
    }
}

/// The claim goes first, and only where it was not taken back meanwhile; both go, or neither. An unforeseen lock is not
/// waited for.
fn dropping(user: &str, cluster_id: &str) -> String {
    let body = format!(
        "BEGIN
  SET LOCAL lock_timeout = '100ms';
  DELETE FROM db_operator.claims WHERE cluster_id = {} AND role_name = {} AND left_over AND released;
  IF FOUND THEN
    DROP ROLE IF EXISTS {};
  END IF;
END",
        postgresql_literal(cluster_id),
        postgresql_literal(user),
        quoted(user)
    );
    format!("DO {}", postgresql_literal(&body))
}

/// `None` for what stands in the way of one step and of no other: a privilege that is missing, a lock, a database that
/// lets nobody in. It is looked for again afterwards, and told.
fn give_way<T>(result: Result<T, ProviderError>) -> Result<Option<T>, ProviderError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(
            ProviderError::NotPermitted { .. }
            | ProviderError::InTheWay(_)
            | ProviderError::Unsupported(_)
            | ProviderError::Busy { .. }
            | ProviderError::InDatabase { .. }
            | ProviderError::Unexpected { .. },
        ) => Ok(None),
        Err(
            error @ (ProviderError::Unreachable { .. }
            | ProviderError::Tls { .. }
            | ProviderError::LoginRefused { .. }
            | ProviderError::TooManyConnections { .. }
            | ProviderError::ReadOnly { .. }
            | ProviderError::IdentityChanged { .. }
            | ProviderError::Timeout { .. }
            | ProviderError::AllInUse { .. }
            | ProviderError::Superseded { .. }
            | ProviderError::NotLeading
            | ProviderError::ClaimMoved { .. }),
        ) => Err(error),
    }
}

/// Databases of this cluster's claims in which something hangs on the user, and nothing belongs to it.
fn to_visit(hanging: &[Hanging]) -> Vec<Names> {
    let owns_there = |database: &str| {
        hanging
            .iter()
            .any(|one| one.owned && one.database.as_deref() == Some(database))
    };
    let inside = hanging
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
fn on_databases(hanging: &[Hanging]) -> Vec<Names> {
    let granted = hanging.iter().filter(|one| !one.owned);
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

impl Hanging {
    /// `user` is quoted already.
    fn told(&self, user: &str) -> String {
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

    fn inside(database: &str, owned: bool, claimed_for: Option<&str>) -> Hanging {
        Hanging {
            database: Some(database.to_owned()),
            on_database: None,
            shared: None,
            owned,
            claimed_for: claimed_for.map(str::to_owned),
            objects: 1,
        }
    }

    #[test]
    fn only_databases_that_are_claimed_and_hold_nothing_of_the_users_are_visited() {
        let hanging = [
            inside("claimed", false, Some("owner")),
            inside("foreign", false, None),
            inside("shared", false, Some("owner")),
            inside("shared", true, Some("owner")),
        ];
        let visited: Vec<String> = to_visit(&hanging)
            .iter()
            .map(|names| names.database.to_string())
            .collect();
        assert_eq!(visited, ["claimed"]);
    }

    #[test]
    fn what_is_left_is_told_with_where_to_run_what() {
        let told = inside("theirs", false, None).told("\"user\"");
        assert!(
            told.contains("in database \"theirs\"") && told.ends_with("DROP OWNED BY \"user\""),
            "{told}"
        );
        let on = Hanging {
            database: None,
            on_database: Some("theirs".to_owned()),
            ..inside("", false, None)
        };
        let told = on.told("\"user\"");
        assert!(
            told.ends_with("REVOKE ALL ON DATABASE \"theirs\" FROM \"user\" CASCADE"),
            "{told}"
        );
    }

    #[test]
    fn a_name_cannot_end_the_statement_that_drops_it() {
        let sql = dropping("x'; $$ \"\\", "c");
        assert!(sql.starts_with("DO E'BEGIN"), "{sql}");
        assert!(
            sql.contains("role_name = E''x''''; $$ \"\\\\\\\\''"),
            "{sql}"
        );
    }
}
