//! Taking away: lock out, end the sessions, drop the database, then the role. Each step looks first, so a call after a
//! crash goes on where the former one stopped.

use sqlx::Row as _;

use super::catalog::{DatabaseRow, RoleRow};
use super::failure::Failure;
use super::home::column;
use super::membership::{Right, borrow, give_back, permit};
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::{ProviderError, Removal, Removed};

/// A session that the administrator may not end.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// A prepared transaction or a replication slot, which FORCE does not end.
const OBJECT_IN_USE: &str = "55006";

/// What keeps the role `$1` from being dropped: by database, or the shared object itself.
const LEFTOVERS: &str = "SELECT d.datname AS database,
  CASE WHEN s.dbid = 0 THEN pg_describe_object(s.classid, s.objid, 0) END AS shared,
  s.deptype = 'o' AS owned, count(*) AS objects
FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";

impl Postgresql {
    pub(super) async fn take_away(
        &self,
        home: &mut Session,
        removal: &Removal,
    ) -> Result<Removed, ProviderError> {
        self.refuse_reserved(&removal.names)?;
        let look = self.look(home, &removal.names).await?;
        let role = look.role().filter(|_| removal.role);
        if let Some(role) = role {
            self.lock_role(home, role).await?;
        }
        if let Some(database) = look.database().filter(|_| removal.database) {
            let (statements, doing) = (
                vec![closing(database)],
                format!("lock the database {:?}", database.name),
            );
            if database.open && database.connections != -2 {
                self.as_owner(home, database, &doing, statements).await?;
            }
            self.end_sessions(
                home,
                Some(&database.name),
                role.map(|role| role.name.as_str()),
            )
            .await?;
            if let Some(blocked) = self.drop_database(home, database).await? {
                return Ok(blocked);
            }
        } else if let Some(role) = role {
            self.end_sessions(home, None, Some(&role.name)).await?;
        }
        match role {
            Some(role) => self.drop_role(home, role).await,
            None => Ok(Removed::Done),
        }
    }

    async fn lock_role(&self, home: &mut Session, role: &RoleRow) -> Result<(), ProviderError> {
        let powers = role.powers();
        if !powers.is_empty() {
            return Err(ProviderError::InTheWay(format!(
                "the user {:?} is never touched, because it has {}",
                role.name,
                powers.join(", ")
            )));
        }
        if !role.login {
            return Ok(());
        }
        let version = home.version();
        let sql = format!("ALTER ROLE {} NOLOGIN", quoted(&role.name));
        home.statement(&format!("lock the user {:?}", role.name), sql)
            .await
            .map_err(|failure| {
                failure.needing(|| permit(&role.name, &self.config.username, version))
            })
    }

    /// Runs these with the rights of the database's owner.
    async fn as_owner(
        &self,
        home: &mut Session,
        database: &DatabaseRow,
        doing: &str,
        mut statements: Vec<String>,
    ) -> Result<(), ProviderError> {
        let version = home.version();
        if !database.owned {
            statements.insert(0, borrow(&database.owner, Right::Use, version));
            statements.push(give_back(&database.owner, version));
        }
        home.transaction(doing, &statements)
            .await
            .map_err(|failure| {
                failure.needing(|| permit(&database.owner, &self.config.username, version))
            })
    }

    /// `None` when it is gone.
    async fn drop_database(
        &self,
        home: &mut Session,
        row: &DatabaseRow,
    ) -> Result<Option<Removed>, ProviderError> {
        if let Some(blocked) = self.blocked_by_sessions(home, row).await? {
            return Ok(Some(blocked));
        }
        if !row.owned {
            // DROP DATABASE cannot be in a transaction, and outside of one a borrowed right would be left behind by a
            // crash. So the database changes hands, in a transaction, and then it is the administrator's to drop.
            let take = vec![format!(
                "ALTER DATABASE {} OWNER TO CURRENT_USER",
                quoted(&row.name)
            )];
            self.as_owner(
                home,
                row,
                &format!("take the database {:?}", row.name),
                take,
            )
            .await?;
        }
        let doing = format!("drop the database {:?}", row.name);
        let plain = format!("DROP DATABASE IF EXISTS {}", quoted(&row.name));
        let forced = format!("{plain} WITH (FORCE)");
        let Err(failure) = home.statement(&doing, forced).await else {
            return Ok(None);
        };
        match failure.code() {
            Some(INSUFFICIENT_PRIVILEGE | OBJECT_IN_USE) => {}
            Some(_) | None => return Err(failure.into()),
        }
        if let Some(blocked) = self.blocked_by_sessions(home, row).await? {
            return Ok(Some(blocked));
        }
        if failure.code() == Some(OBJECT_IN_USE) {
            return Ok(Some(in_use(&failure)));
        }
        // No client holds it, so what FORCE was not allowed to end is a worker of autovacuum. The plain statement
        // cancels those itself, whoever runs it (CountOtherDBBackends in procarray.c, for up to 5 s).
        match home.statement(&doing, plain).await {
            Ok(()) => Ok(None),
            Err(failure) if failure.code() == Some(OBJECT_IN_USE) => Ok(Some(in_use(&failure))),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn drop_role(
        &self,
        home: &mut Session,
        role: &RoleRow,
    ) -> Result<Removed, ProviderError> {
        let version = home.version();
        let doing = format!("drop the user {:?}", role.name);
        let sql = format!("DROP ROLE IF EXISTS {}", quoted(&role.name));
        match home.statement(&doing, sql).await {
            Ok(()) => Ok(Removed::Done),
            // dependent_objects_still_exist
            Err(failure) if failure.code() == Some("2BP01") => self.leftovers(home, role).await,
            Err(failure) => {
                Err(failure.needing(|| permit(&role.name, &self.config.username, version)))
            }
        }
    }

    async fn leftovers(
        &self,
        home: &mut Session,
        role: &RoleRow,
    ) -> Result<Removed, ProviderError> {
        let rows = home
            .rows(
                "list what a user left",
                sqlx::query(LEFTOVERS).bind(&role.name),
            )
            .await?;
        let user = quoted(&role.name);
        let mut found = Vec::new();
        for row in &rows {
            let verb = if column::<bool>(row, "owned")? {
                "owns"
            } else {
                "has privileges on"
            };
            let objects: i64 = column(row, "objects")?;
            let database: Option<String> = row.try_get("database").unwrap_or_default();
            let shared: Option<String> = column(row, "shared")?;
            match (database, shared) {
                (Some(database), _) => found.push(format!(
                    "it {verb} {objects} objects in database {database:?}"
                )),
                (None, shared) => found.push(format!(
                    "it {verb} {}",
                    shared.unwrap_or_else(|| "a shared object".to_owned())
                )),
            }
        }
        Ok(Removed::Blocked(format!(
            "user {:?} cannot be dropped: {}; move what is worth keeping with REASSIGN OWNED BY {user} TO another role, \
             then run DROP OWNED BY {user}, in each of these databases, as a superuser",
            role.name,
            found.join(", ")
        )))
    }
}

fn closing(database: &DatabaseRow) -> String {
    format!(
        "ALTER DATABASE {} ALLOW_CONNECTIONS false",
        quoted(&database.name)
    )
}

fn in_use(failure: &Failure) -> Removed {
    Removed::Blocked(format!(
        "the administrator cannot {} yet: {}",
        failure.doing,
        failure.said()
    ))
}
