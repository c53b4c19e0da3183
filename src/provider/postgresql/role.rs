//! The role: read first, so that only what differs is changed.

use super::creation::{created_meanwhile, creation_failed};
use super::grants::{no_self_grant, permit};
use super::rows::RoleRow;
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{Change, Desired, ProviderError, Verifier};

impl Postgresql {
    pub(super) async fn apply_role(
        &self,
        session: &mut Session,
        desired: &Desired,
        verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError> {
        self.refuse_reserved(&desired.names)?;
        let catalog = self.read_catalog(session, &desired.names).await?;
        let role = &desired.names.role;
        let claim = catalog.claim(&desired.names, self.fence.cluster_id());
        match catalog.role() {
            None => {
                let Some(verifier) = verifier else {
                    return Err(ProviderError::InTheWay(format!(
                        "the user {role:?} is missing: someone dropped it, and it is only made again with a password"
                    )));
                };
                let mut statements: Vec<String> =
                    no_self_grant(session.version()).into_iter().collect();
                statements.push(create(desired, verifier));
                if claim.is_some() {
                    statements.extend(self.record_role(&desired.names));
                }
                session
                    .transaction(&format!("make the user {role:?}"), &statements)
                    .await
                    .map_err(|failure| {
                        creation_failed(failure, &desired.names, |failure| {
                            failure.needing(|| {
                                format!("ALTER ROLE {} CREATEROLE", quoted(&self.config.username))
                            })
                        })
                    })?;
                Ok(vec![Change(format!("user {role} was made"))])
            }
            Some(_) if claim.is_some_and(|claim| claim.role_mark.is_some()) => {
                Err(created_meanwhile(&format!("user {role:?}")))
            }
            Some(row) => {
                row.refuse_powerful()?;
                let (options, changes) = differences(row, desired, verifier);
                if options.is_empty() {
                    return Ok(changes);
                }
                let sql = format!("ALTER ROLE {} {}", role.postgresql(), options.join(" "));
                let (version, administrator) = (session.version(), &self.config.username);
                session
                    .statement(&format!("alter the user {role:?}"), sql)
                    .await
                    .map_err(|failure| {
                        failure.needing(|| permit(role.as_str(), administrator, version))
                    })?;
                Ok(changes)
            }
        }
    }
}

fn create(desired: &Desired, verifier: &Verifier) -> String {
    format!(
        "CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}",
        desired.names.role.postgresql(),
        postgresql_literal(verifier.expose()),
        limit(desired)
    )
}

/// The options of an ALTER ROLE, and the changes to report. Attributes that are as they should be are never named,
/// because only a superuser may name NOSUPERUSER.
fn differences(
    row: &RoleRow,
    desired: &Desired,
    verifier: Option<&Verifier>,
) -> (Vec<String>, Vec<Change>) {
    let role = &desired.names.role;
    let mut options = Vec::new();
    let mut changes: Vec<Change> = row
        .deviations()
        .into_iter()
        .map(|deviation| Change(format!("user {role}: {deviation}")))
        .collect();
    if !row.login {
        options.push("LOGIN".to_owned());
    }
    if row.creates_databases {
        options.push("NOCREATEDB".to_owned());
    }
    if row.expires {
        options.push("VALID UNTIL 'infinity'".to_owned());
    }
    if row.connections != limit(desired) {
        options.push(format!("CONNECTION LIMIT {}", limit(desired)));
        changes.push(Change(format!(
            "user {role}: its connection limit was {}, is {}",
            said(row.connections),
            said(limit(desired))
        )));
    }
    if let Some(verifier) = verifier {
        options.push(format!(
            "PASSWORD {}",
            postgresql_literal(verifier.expose())
        ));
        changes.push(Change(format!("user {role}: its password was set")));
    }
    (options, changes)
}

/// The limit as the catalog counts: -1 is no limit. The API allows no more than an `i32` holds.
fn limit(desired: &Desired) -> i32 {
    desired
        .connection_limit
        .map_or(-1, |limit| i32::try_from(limit).unwrap_or(i32::MAX))
}

fn said(limit: i32) -> String {
    if limit < 0 {
        "none".to_owned()
    } else {
        limit.to_string()
    }
}
