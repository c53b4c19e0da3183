//! The database: created closed, and opened only once it belongs to its owner alone.

use super::creation::{created_meanwhile, creation_failed};
use super::grants::{Right, borrow, give_back, permit};
use super::options::create;
use super::rows::{ClaimRow, DatabaseRow, RoleRow};
use super::session::Session;
use super::template::{in_use, template_of};
use super::{Postgresql, quoted};
use crate::provider::{Change, Desired, ProviderError, SqlName};

impl Postgresql {
    pub(super) async fn apply_database(
        &self,
        session: &mut Session,
        desired: &Desired,
    ) -> Result<Vec<Change>, ProviderError> {
        self.refuse_reserved(&desired.names)?;
        let database = &desired.names.database;
        let catalog = self.read_catalog(session, &desired.names).await?;
        let Some(role) = catalog.role() else {
            return Err(ProviderError::InTheWay(format!(
                "the database {database:?} cannot be made: its user {:?} is missing",
                desired.names.role
            )));
        };
        let claim = catalog.claim(&desired.names, self.fence.cluster_id());
        let Some(row) = catalog.database() else {
            let mark = self.create_database(session, desired, claim).await?;
            let fresh = DatabaseRow::fresh(database.as_str(), &self.config.username, mark);
            return self.finish(session, desired, &fresh, role, mark).await;
        };
        match claim.map(|claim| (claim.created_database, claim.database_mark)) {
            Some((false, Some(mark))) if row.ours == Some(true) => {
                return self.finish(session, desired, row, role, Some(mark)).await;
            }
            Some((false, Some(_))) => {
                return Err(created_meanwhile(&format!("database {database:?}")));
            }
            Some((true, _)) if row.ours.is_none() => self.identify(session, &desired.names).await?,
            Some(_) | None => {}
        }
        let said = |text: String| Change(format!("database {database}: {text}"));
        let mut changes: Vec<Change> = row.deviations().into_iter().map(said).collect();
        if row.owner != desired.names.role.as_str() {
            changes.push(said(format!(
                "its owner was {}, is {}",
                row.owner, desired.names.role
            )));
        }
        if !changes.is_empty() {
            self.hand_over(session, desired, row, role, None).await?;
            self.read_back(session, desired).await?;
        }
        Ok(changes)
    }

    /// Does everything that is left to do about a database that was just created, or was created before a crash.
    async fn finish(
        &self,
        session: &mut Session,
        desired: &Desired,
        row: &DatabaseRow,
        role: &RoleRow,
        mark: Option<i32>,
    ) -> Result<Vec<Change>, ProviderError> {
        self.hand_over(session, desired, row, role, mark).await?;
        self.read_back(session, desired).await?;
        let database = &desired.names.database;
        Ok(vec![Change(format!("database {database} was made"))])
    }

    /// From `template0`, unless another template is asked for and allowed. No one can connect until
    /// [`Self::hand_over`] is done, and the claim recognizes the database by its mark.
    async fn create_database(
        &self,
        session: &mut Session,
        desired: &Desired,
        claim: Option<&ClaimRow>,
    ) -> Result<Option<i32>, ProviderError> {
        let database = &desired.names.database;
        let doing = format!("make the database {database:?}");
        let template = template_of(&desired.postgresql)?;
        let mark = match claim {
            Some(claim) => Some(self.mark_for(session, &desired.names, claim).await?),
            None => None,
        };
        let _permit = self.creations.acquire().await;
        let sql = create(desired, mark, session.version())?;
        match session.statement(&doing, sql).await {
            Ok(()) => Ok(mark),
            // object_in_use: the template, as nothing else is used by a CREATE
            Err(failure) if failure.code() == Some("55006") => {
                Err(in_use(desired, template, &failure.said()))
            }
            // invalid_parameter_value, wrong_object_type, undefined_object: an encoding or a locale that the server
            // does not have, or that do not go together
            Err(failure) if matches!(failure.code(), Some("22023" | "42809" | "42704")) => {
                Err(ProviderError::Unsupported(format!(
                    "the server cannot {doing}: {}",
                    failure.said()
                )))
            }
            Err(failure) => Err(failure
                .needing(|| format!("ALTER ROLE {} CREATEDB", quoted(&self.config.username)))),
        }
    }

    /// Corrects whatever differs, in one transaction. If the database was just created, the same transaction records
    /// that in its claim.
    async fn hand_over(
        &self,
        session: &mut Session,
        desired: &Desired,
        row: &DatabaseRow,
        role: &RoleRow,
        mark: Option<i32>,
    ) -> Result<(), ProviderError> {
        let database = &desired.names.database;
        let owner = &desired.names.role;
        if row.connections == -2 {
            return Err(ProviderError::InTheWay(format!(
                "a DROP DATABASE of {database:?} was interrupted, so it can only be dropped"
            )));
        }
        let (administrator, version) = (&self.config.username, session.version());
        if !row.owned && !row.obtainable {
            return Err(ProviderError::NotPermitted {
                doing: format!("alter the database {database:?}"),
                detail: format!("it belongs to {:?}", row.owner),
                grant: format!(
                    "ALTER DATABASE {} OWNER TO {}",
                    database.postgresql(),
                    owner.postgresql()
                ),
            });
        }
        if !role.assumable && !role.alterable {
            return Err(ProviderError::NotPermitted {
                doing: format!("act for the user {owner:?}"),
                detail: "it was made by someone else".to_owned(),
                grant: permit(owner.as_str(), administrator, version),
            });
        }
        let noted = mark.map(|mark| self.record_database(&desired.names, mark));
        let mut statements: Vec<String> = noted.into_iter().flatten().collect();
        statements.extend(handover(row, owner, role.assumable, version));
        session
            .transaction(&format!("put the database {database:?} right"), &statements)
            .await
            .map_err(|failure| {
                creation_failed(failure, &desired.names, |failure| {
                    failure.needing(|| permit(owner.as_str(), administrator, version))
                })
            })
    }

    /// Reads the result back, because a GRANT or REVOKE that is refused is only a warning.
    async fn read_back(
        &self,
        session: &mut Session,
        desired: &Desired,
    ) -> Result<(), ProviderError> {
        let database = &desired.names.database;
        let catalog = self.read_catalog(session, &desired.names).await?;
        let Some(row) = catalog.database() else {
            return Err(ProviderError::Busy {
                doing: format!("read the privileges of the database {database:?}"),
                detail: "it was dropped at this moment".to_owned(),
            });
        };
        let mut left = row.deviations();
        if row.owner != desired.names.role.as_str() {
            left.push(format!("it belonged to {}", row.owner));
        }
        if left.is_empty() {
            return Ok(());
        }
        Err(ProviderError::NotPermitted {
            doing: format!("put the database {database:?} right"),
            detail: left.join(", "),
            grant: format!(
                "ALTER DATABASE {0} OWNER TO {1}; REVOKE ALL ON DATABASE {0} FROM PUBLIC",
                database.postgresql(),
                desired.names.role.postgresql()
            ),
        })
    }
}

/// Statements that give the database to its owner alone.
fn handover(row: &DatabaseRow, owner: &SqlName, assumable: bool, version: u32) -> Vec<String> {
    let database = quoted(&row.name);
    let mut statements = Vec::new();
    if !row.owned {
        statements.push(borrow(&row.owner, Right::Use, version));
    }
    if !row.public_excess().is_empty() {
        statements.push(format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"));
    }
    if !row.administrator.is_empty() {
        statements.push(format!(
            "REVOKE ALL ON DATABASE {database} FROM CURRENT_USER"
        ));
    }
    if !row.own_lacks().is_empty() {
        statements.push(format!(
            "GRANT ALL ON DATABASE {database} TO {}",
            quoted(&row.owner)
        ));
    }
    if row.connections != -1 {
        statements.push(format!("ALTER DATABASE {database} CONNECTION LIMIT -1"));
    }
    if row.template {
        statements.push(format!("ALTER DATABASE {database} IS_TEMPLATE false"));
    }
    if !row.open {
        statements.push(format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"));
    }
    if row.owner != owner.as_str() {
        if !assumable {
            statements.push(borrow(owner.as_str(), Right::Assume, version));
        }
        statements.push(format!(
            "ALTER DATABASE {database} OWNER TO {}",
            owner.postgresql()
        ));
        if !assumable {
            statements.push(give_back(owner.as_str(), version));
        }
    }
    if !row.owned {
        statements.push(give_back(&row.owner, version));
    }
    statements
}
