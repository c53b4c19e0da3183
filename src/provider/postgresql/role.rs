//! The role: looked at first, and only what differs is changed.

use super::catalog::RoleRow;
use super::claims::{made_meanwhile, not_noted};
use super::membership::{no_self_grant, permit};
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{Change, Desired, ProviderError, Verifier};

impl Postgresql {
    pub(super) async fn make_role(
        &self,
        home: &mut Session,
        desired: &Desired,
        verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError> {
        self.refuse_reserved(&desired.names)?;
        let look = self.look(home, &desired.names).await?;
        let role = &desired.names.role;
        let claim = look.claim(&desired.names, self.fence.cluster_id());
        match look.role() {
            None => {
                let Some(verifier) = verifier else {
                    return Err(ProviderError::InTheWay(format!(
                        "the user {role:?} is missing: it was dropped by somebody, and is made again only with a password"
                    )));
                };
                let mut statements: Vec<String> =
                    no_self_grant(home.version()).into_iter().collect();
                statements.push(create(desired, verifier));
                if claim.is_some() {
                    statements.extend(self.note_role(&desired.names));
                }
                home.transaction(&format!("make the user {role:?}"), &statements)
                    .await
                    .map_err(|failure| {
                        not_noted(failure, &desired.names, |failure| {
                            failure.needing(|| {
                                format!("ALTER ROLE {} CREATEROLE", quoted(&self.config.username))
                            })
                        })
                    })?;
                Ok(vec![Change(format!("user {role} was made"))])
            }
            Some(_) if claim.is_some_and(|claim| claim.role_mark.is_some()) => {
                Err(made_meanwhile(&format!("user {role:?}")))
            }
            Some(row) => {
                let powers = row.powers();
                if !powers.is_empty() {
                    return Err(ProviderError::InTheWay(format!(
                        "the user {role:?} is never touched, because it has {}",
                        powers.join(", ")
                    )));
                }
                let (options, changes) = differences(row, desired, verifier);
                if options.is_empty() {
                    return Ok(changes);
                }
                let sql = format!("ALTER ROLE {} {}", role.postgresql(), options.join(" "));
                let (version, administrator) = (home.version(), &self.config.username);
                home.statement(&format!("alter the user {role:?}"), sql)
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

/// The options of an ALTER ROLE, and what to tell about them. An attribute that is as it should be is never named:
/// to name NOSUPERUSER takes a superuser.
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

/// As the catalog counts: -1 is no limit. The API allows no more than an `i32` holds.
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
