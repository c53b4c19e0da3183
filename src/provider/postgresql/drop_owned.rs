//! Takes from a user what others granted it or hung on it, so that it can be dropped.
//!
//! This happens in the databases of this cluster's claims. Objects that the user *owns* elsewhere are never dropped:
//! they are in someone's database. If something is left, see `leftovers.rs`.

use std::time::{Duration, Instant};

use super::dependents::{Dependent, databases_to_clear, databases_with_grants};
use super::grants::{Right, borrow, give_back};
use super::rows::RoleRow;
use super::session::{Session, column};
use super::{Postgresql, quoted};
use crate::provider::{Names, ProviderError, Removed};

/// The time limit for all databases of one user together. What was not reached by then is left over.
const CLEAR_WITHIN: Duration = Duration::from_mins(1);

/// Of the users of this cluster's claims (`$2`) and of the user `$3`, those whose privileges the administrator may
/// borrow and does not have: owners of the database `$1` or of something in it, and `$3` itself.
const TO_BORROW: &str = "SELECT r.rolname FROM pg_roles r CROSS JOIN pg_roles me
WHERE me.rolname = current_user AND NOT pg_has_role(r.oid, 'USAGE') AND NOT r.rolsuper
  AND CASE WHEN current_setting('server_version_num')::int < 160000 THEN me.rolcreaterole
    ELSE pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') END
  AND (r.rolname = $3 OR r.rolname IN (SELECT role_name FROM db_operator.claims WHERE cluster_id = $2)
    AND EXISTS (SELECT FROM pg_database d WHERE d.datname = $1 AND (d.datdba = r.oid
      OR EXISTS (SELECT FROM pg_shdepend s WHERE s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass
        AND s.refobjid = r.oid AND s.deptype = 'o'))))
ORDER BY 1";

impl Postgresql {
    /// Takes from the user what others granted it, where that is allowed, and drops it. Otherwise locks it for good.
    pub(super) async fn clear_and_drop(&self, role: &RoleRow) -> Result<Removed, ProviderError> {
        let dependents = {
            let mut session = self.session().await?;
            let dependents = self.dependents(&mut session, role).await?;
            self.clear_shared(&mut session, role, &dependents).await?;
            dependents
        };
        // Without holding a session here, because one inside a tenant's database takes two slots.
        let began = Instant::now();
        for names in databases_to_clear(&dependents) {
            if began.elapsed() < CLEAR_WITHIN {
                self.clear_inside(&names, role).await?;
            }
        }
        let mut session = self.session().await?;
        let Some(failure) = self.drop_role(&mut session, role).await? else {
            return Ok(Removed::Done);
        };
        self.leave_over(&mut session, role, &failure).await
    }

    /// Revokes privileges on databases, as their owners, and what the user granted itself, as the user.
    async fn clear_shared(
        &self,
        session: &mut Session,
        role: &RoleRow,
        dependents: &[Dependent],
    ) -> Result<(), ProviderError> {
        for names in databases_with_grants(dependents) {
            let catalog = self.read_catalog(session, &names).await?;
            let Some(row) = catalog.database() else {
                continue;
            };
            let doing = format!("revoke what is granted on the database {:?}", row.name);
            let revoke = vec![format!(
                "REVOKE ALL ON DATABASE {} FROM {} CASCADE",
                quoted(&row.name),
                quoted(&role.name)
            )];
            skip_if_blocked(self.as_owner(session, row, &doing, revoke).await)?;
        }
        if dependents.iter().any(|one| one.shared.is_some()) {
            skip_if_blocked(self.drop_owned(session, None, "db_operator", role).await)?;
        }
        Ok(())
    }

    async fn clear_inside(&self, names: &Names, role: &RoleRow) -> Result<(), ProviderError> {
        let lent = {
            let mut session = self.session().await?;
            self.to_borrow(&mut session, names.database.as_str(), role)
                .await?
        };
        let cleared = async {
            let mut tenant = self.open_tenant_session(names).await?;
            let database = names.database.as_str();
            let result = self
                .drop_owned(&mut tenant.session, Some(lent), database, role)
                .await;
            self.close_tenant_session(tenant, result).await
        };
        skip_if_blocked(cleared.await)?;
        Ok(())
    }

    /// Runs `DROP OWNED BY` in the session's database, where the user owns nothing. So it drops nothing, and only takes
    /// away privileges and the user's part in policies. The server does that only with the privileges of their
    /// grantors, so these are borrowed along with the user's.
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
        session: &mut Session,
        database: &str,
        role: &RoleRow,
    ) -> Result<Vec<String>, ProviderError> {
        let query = sqlx::query(TO_BORROW)
            .bind(database)
            .bind(self.fence.cluster_id())
            .bind(&role.name);
        let rows = session
            .rows("list whose privileges are needed", query)
            .await?;
        rows.iter().map(|row| column(row, "rolname")).collect()
    }
}

/// Turns an error that blocks one step but none of the others into `None`: a missing privilege, a lock, a database that
/// lets no one in. What is left is looked up again afterwards and reported.
pub(super) fn skip_if_blocked<T>(
    result: Result<T, ProviderError>,
) -> Result<Option<T>, ProviderError> {
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
            | ProviderError::TlsRequired { .. }
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
