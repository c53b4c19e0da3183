//! Users that could not be dropped because something of others still depends on them.
//!
//! Such a user is locked for good and left over: its claim stays, released, so that no one is given the name by
//! surprise, and [`Postgresql::drop_left_over`] drops the user once nothing depends on it any more.

use super::drop_owned::skip_if_blocked;
use super::error::Failure;
use super::rows::RoleRow;
use super::session::{Session, column};
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{ProviderError, Removed};

/// The most databases and shared objects that are named.
const NAMED: usize = 10;

/// How many left-over users are tried at a time.
const TRIED_AT_ONCE: i64 = 20;

/// Memberships that a left-over user must not have, and memberships in it. Those of the administrator stay, so that it
/// can drop the user.
const MEMBERSHIPS: &str = "SELECT g.rolname AS role, m.rolname AS member, b.rolname AS grantor
FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
LEFT JOIN pg_roles b ON b.oid = a.grantor
WHERE (g.rolname = $1 OR m.rolname = $1) AND m.rolname <> current_user ORDER BY 1, 2, 3";

const NOTE_LEFT_OVER: &str = "UPDATE db_operator.claims SET left_over = true, changed_at = now()
WHERE cluster_id = $1 AND role_name = $2 AND NOT left_over";

/// Left-over users of this cluster on which nothing depends any more; not other users of the same name.
const FREE_AGAIN: &str = "SELECT c.role_name FROM db_operator.claims c LEFT JOIN pg_roles r ON r.rolname = c.role_name
WHERE c.cluster_id = $1 AND c.left_over AND c.released
  AND (r.oid IS NULL OR c.role_id IS NULL OR split_part(c.role_id, '/', 2) = r.oid::text)
  AND NOT EXISTS (SELECT FROM pg_database d WHERE d.datname = c.database_name)
  AND NOT EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid)
ORDER BY c.changed_at LIMIT $2";

impl Postgresql {
    /// Locks the user for good, and says what is left and what removes it.
    pub(super) async fn leave_over(
        &self,
        session: &mut Session,
        role: &RoleRow,
        failure: &Failure,
    ) -> Result<Removed, ProviderError> {
        let name = quoted(&role.name);
        let doing = format!("lock the user {:?} for good", role.name);
        let lock = format!("ALTER ROLE {name} NOLOGIN PASSWORD NULL");
        session.statement(&doing, lock).await?;
        let mut left = self.revoke_memberships(session, &role.name).await?;
        let dependents = self.dependents(session, role).await?;
        left.extend(dependents.iter().take(NAMED).map(|one| one.describe(&name)));
        let more = dependents.len().saturating_sub(NAMED);
        if more > 0 {
            left.push(format!("there are {more} more of these"));
        }
        if dependents.is_empty() {
            left.extend(self.holders(session, None, Some(&role.name)).await?);
        }
        if left.is_empty() {
            left.push(failure.said());
        }
        let note = sqlx::query(NOTE_LEFT_OVER)
            .bind(self.fence.cluster_id())
            .bind(&role.name);
        session
            .execute("note that a user is left over", note)
            .await?;
        Ok(Removed::LeftOver(format!(
            "user {:?} is locked and left over, because {}; it is dropped as soon as nothing of this is left",
            role.name,
            left.join("; ")
        )))
    }

    /// Revokes memberships one by one, so that one that may not be revoked does not block the others. Returns a
    /// sentence for each that is left.
    async fn revoke_memberships(
        &self,
        session: &mut Session,
        user: &str,
    ) -> Result<Vec<String>, ProviderError> {
        let version = session.version();
        let query = sqlx::query(MEMBERSHIPS).bind(user);
        let rows = session
            .rows("list the memberships of a user", query)
            .await?;
        let mut left = Vec::new();
        for row in &rows {
            let role: String = column(row, "role")?;
            let member: String = column(row, "member")?;
            let grantor: Option<String> = column(row, "grantor")?;
            let by = match grantor {
                Some(grantor) if version >= super::grants::OPTIONS_SINCE => {
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
            let revoked = session.statement(&doing, revoke.clone()).await;
            if skip_if_blocked(revoked.map_err(ProviderError::from))?.is_none() {
                left.push(format!(
                    "{member:?} is a member of {role:?}; as a superuser, run: {revoke}"
                ));
            }
        }
        Ok(left)
    }

    /// Drops left-over users on which nothing depends any more, with their claims.
    pub(super) async fn drop_left_over(&self, session: &mut Session) -> Result<(), ProviderError> {
        let query = sqlx::query(FREE_AGAIN)
            .bind(self.fence.cluster_id())
            .bind(TRIED_AT_ONCE);
        for row in session
            .rows("list users that were left over", query)
            .await?
        {
            let user: String = column(&row, "role_name")?;
            let doing = format!("drop the user {user:?}, which was left over");
            // If that is not allowed or has to wait, the next inspection of the server tries again.
            let sql = dropping(&user, self.fence.cluster_id());
            let dropped = session.statement(&doing, sql).await;
            skip_if_blocked(dropped.map_err(ProviderError::from))?;
        }
        Ok(())
    }
}

/// The claim is deleted first, and only if it was not taken back meanwhile; both go, or neither. It does not wait for
/// an unexpected lock.
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

#[cfg(test)]
mod tests {
    use super::*;

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
