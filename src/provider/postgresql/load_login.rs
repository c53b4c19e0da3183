//! The login that was made for one load: dropped with whatever it owns or was granted.
//!
//! A load acts as the owner, but what is loaded can leave that role again (`RESET ROLE`), so the login may own something in
//! the loaded database: that becomes the owner's.

use super::Postgresql;
use super::checks::{Checked, Checks};
use super::drop_leftover::forget_row;
use super::drop_owned::skip_if_blocked;
use super::error::Failure;
use super::grants::{OPTIONS_SINCE, Right, borrow, give_back, permit};
use super::quoted;
use super::restore_tables::{ScratchRow, name};
use super::rows::RoleRow;
use super::session::{Session, column};
use super::sessions::Ending;
use super::swap_lock::is_in_use;
use crate::provider::ident::postgresql_literal;
use crate::provider::restore::Ended;
use crate::provider::{Names, ProviderError, Removed, SqlName, Verifier};

/// The most sessions of a login: a restore builds up to 8 indexes at the same time (as the API has it), and looks whether the
/// server works.
pub(super) const LOGIN_CONNECTIONS: u32 = 10;

/// Whether the role `$2` owns something in the database `$1`, and whether the administrator has the rights of its user `$3`
/// for good: these are not borrowed, since what is borrowed is given back.
const OWNED: &str = "SELECT EXISTS (SELECT FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
    JOIN pg_roles r ON r.oid = s.refobjid
    WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND d.datname = $1 AND r.rolname = $2) AS owns,
  coalesce((SELECT CASE WHEN current_setting('server_version_num')::int < 160000 THEN pg_has_role(oid, 'MEMBER')
    ELSE pg_has_role(oid, 'USAGE') AND pg_has_role(oid, 'SET') END FROM pg_roles WHERE rolname = $3), false) AS standing";

/// What a login owns.
struct Owned {
    /// Something in the target.
    inside: bool,
    /// The administrator has the rights of the target's user.
    standing: bool,
}

impl Postgresql {
    /// Drops the login of a row, and the row. `target` is what was loaded, once it has its name. Another role of the
    /// login's name is left alone.
    pub(super) async fn drop_login(
        &self,
        target: &Names,
        row: &ScratchRow,
    ) -> Result<Ended, ProviderError> {
        let mut session = self.session().await?;
        let (Some(login), true) = (&row.role_name, row.has_login()) else {
            forget_row(&mut session, row).await?;
            return Ok(Ended::Done);
        };
        let names = Names {
            database: target.database.clone(),
            role: name(login)?,
        };
        let Some(role) = self.drop_if_free(&mut session, &names).await? else {
            forget_row(&mut session, row).await?;
            return Ok(Ended::Done);
        };
        let owned = self.owned_inside(&mut session, target, login).await?;
        // A session inside a tenant's database takes two slots.
        drop(session);
        let mut waits = false;
        if owned.inside {
            let passed_on = self.reassign(target, login, owned.standing).await;
            waits = passed_on
                .as_ref()
                .is_err_and(|error| matches!(error.cause(), ProviderError::Busy { .. }));
            skip_if_blocked(passed_on)?;
        }
        match self.clear_and_drop(&role).await? {
            Removed::Done => {
                let mut session = self.session().await?;
                forget_row(&mut session, row).await?;
                Ok(Ended::Done)
            }
            Removed::Blocked(sentence) => Ok(Ended::Blocked(sentence)),
            // Someone holds a lock on what it owns.
            Removed::LeftOver(sentence) if waits => Ok(Ended::Blocked(sentence)),
            // It is locked for good, and a member of nothing: nobody has to wait for it. Its row keeps the name.
            Removed::LeftOver(sentence) => Ok(Ended::ChangedHands(sentence)),
        }
    }

    /// Drops the login of a row, and the row, unless something depends on the login. It is locked out in any case.
    pub(super) async fn drop_free_login(
        &self,
        session: &mut Session,
        target: &Names,
        row: &ScratchRow,
    ) -> Result<(), ProviderError> {
        if let (Some(login), true) = (&row.role_name, row.has_login()) {
            let names = Names {
                database: target.database.clone(),
                role: name(login)?,
            };
            if self.drop_if_free(session, &names).await?.is_some() {
                return Ok(());
            }
        }
        forget_row(session, row).await
    }

    /// Locks a login of ours out, and ends its sessions.
    pub(super) async fn lock_login(
        &self,
        session: &mut Session,
        login: &str,
    ) -> Result<(), ProviderError> {
        let checks = Checks {
            claimed: None,
            databases: &[],
        };
        let lock = vec![format!("ALTER ROLE {} NOLOGIN", quoted(login))];
        let doing = format!("lock the login {login:?} of a restore");
        match self.checked(session, &doing, checks, lock).await? {
            Checked::Done => {}
            Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                return Err(ProviderError::InTheWay(sentence));
            }
            Checked::Failed(failure) => {
                let version = session.version();
                let administrator = &self.config.username;
                return Err(failure.needing(|| permit(login, administrator, version)));
            }
        }
        self.end_sessions(session, None, Some(login), Ending::Awaited)
            .await
    }

    /// Locks the login out and drops it, unless something depends on it: then it is returned.
    async fn drop_if_free(
        &self,
        session: &mut Session,
        names: &Names,
    ) -> Result<Option<RoleRow>, ProviderError> {
        self.lock_login(session, names.role.as_str()).await?;
        let catalog = self.read_catalog(session, names).await?;
        let Some(role) = catalog.role() else {
            return Ok(None);
        };
        let kept = self.drop_role(session, role).await?;
        Ok(kept.map(|_| role.clone()))
    }

    async fn owned_inside(
        &self,
        session: &mut Session,
        target: &Names,
        login: &str,
    ) -> Result<Owned, ProviderError> {
        let query = sqlx::query(OWNED)
            .bind(target.database.as_str())
            .bind(login)
            .bind(target.role.as_str());
        match session.row("look for what a login owns", query).await? {
            Some(row) => Ok(Owned {
                inside: column(&row, "owns")?,
                standing: column(&row, "standing")?,
            }),
            None => Ok(Owned {
                inside: false,
                standing: false,
            }),
        }
    }

    /// Gives what the login owns in the target to the target's user. Where what others granted cannot be taken from it, at
    /// least that.
    async fn reassign(
        &self,
        target: &Names,
        login: &str,
        standing: bool,
    ) -> Result<(), ProviderError> {
        let mut tenant = self.open_tenant_session(target).await?;
        let version = tenant.session.version();
        let doing = format!("give what the login {login:?} owns to {:?}", target.role);
        let mut result = Ok(());
        for clear in [true, false] {
            let statements = reassigning(target.role.as_str(), login, clear, standing, version);
            result = tenant.session.transaction(&doing, &statements).await;
            let refused = |failure: &Failure| failure.code().is_some() && !is_in_use(failure);
            if !result.as_ref().is_err_and(refused) {
                break;
            }
        }
        self.close_tenant_session(tenant, result.map_err(Into::into))
            .await
    }
}

/// It may become the owner, and has none of the owner's rights before that: not even that to connect elsewhere.
pub(super) fn create_login(
    login: &SqlName,
    owner: &SqlName,
    verifier: &Verifier,
    version: u32,
) -> [String; 2] {
    let options = if version >= OPTIONS_SINCE {
        " WITH INHERIT FALSE, SET TRUE"
    } else {
        ""
    };
    let login = login.postgresql();
    [
        format!(
            "CREATE ROLE {login} LOGIN NOINHERIT PASSWORD {} CONNECTION LIMIT {LOGIN_CONNECTIONS}",
            postgresql_literal(verifier.expose())
        ),
        format!("GRANT {} TO {login}{options}", owner.postgresql()),
    ]
}

/// Statements that give what a login owns to the owner of the database, and then `clear` what cannot be given.
fn reassigning(owner: &str, login: &str, clear: bool, standing: bool, version: u32) -> Vec<String> {
    let mut statements = vec![borrow(login, Right::Use, version)];
    if !standing {
        statements.push(borrow(owner, Right::Both, version));
    }
    statements.push(format!(
        "REASSIGN OWNED BY {} TO {}",
        quoted(login),
        quoted(owner)
    ));
    if clear {
        // Default privileges and user mappings. Nothing else is its own any more.
        statements.push(format!("DROP OWNED BY {}", quoted(login)));
    }
    if !standing {
        statements.push(give_back(owner, version));
    }
    statements.push(give_back(login, version));
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_for_good_is_neither_borrowed_nor_given_back() {
        assert_eq!(
            reassigning("own\"er", "lg", true, false, 150_000),
            [
                "GRANT \"lg\" TO CURRENT_USER",
                "GRANT \"own\"\"er\" TO CURRENT_USER",
                "REASSIGN OWNED BY \"lg\" TO \"own\"\"er\"",
                "DROP OWNED BY \"lg\"",
                "REVOKE \"own\"\"er\" FROM CURRENT_USER",
                "REVOKE \"lg\" FROM CURRENT_USER",
            ]
        );
        assert_eq!(
            reassigning("owner", "lg", false, true, 150_000),
            [
                "GRANT \"lg\" TO CURRENT_USER",
                "REASSIGN OWNED BY \"lg\" TO \"owner\"",
                "REVOKE \"lg\" FROM CURRENT_USER",
            ]
        );
    }

    /// Beside those that build indexes, one that reads the archive and one that looks whether the server works.
    #[test]
    fn a_login_has_sessions_for_all_jobs_that_the_api_lets_one_ask_for() {
        const BESIDE: u32 = 2;
        let definition = include_str!("../../../crds/restores.db-operator.dev.yaml");
        let (_, jobs) = definition.split_once(" jobs:\n").unwrap();
        let (_, most) = jobs.split_once("maximum: ").unwrap();
        let (most, _) = most.split_once(".0\n").unwrap();
        assert!(most.parse::<u32>().unwrap() + BESIDE <= LOGIN_CONNECTIONS);
    }
}
