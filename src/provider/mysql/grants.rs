//! Privileges on a schema: granted to its user, and revoked from others.

use super::catalog::{self, ANY_HOST, Which};
use super::connect::ServerProfile;
use super::dialect::Dialect;
use super::error;
use super::everybody::grantee;
use super::facts::{self, Fit};
use super::rows::Grant;
use super::session::Session;
use crate::provider::{Change, Desired, ProviderError, SqlName, ident};

/// Grants the account what it lacks on the schema, revokes what it has beyond that, and reads the result back.
pub(super) async fn apply(
    session: &mut Session,
    profile: &ServerProfile,
    desired: &Desired,
    created: bool,
    changes: &mut Vec<Change>,
) -> Result<(), ProviderError> {
    let (schema, user) = (&desired.names.database, &desired.names.role);
    let dialect = &profile.dialect;
    let to_give = profile.held.to_give(dialect);
    let read = Which::Concerning(schema, user);
    let grants = catalog::grants(session, dialect, &to_give, read).await?;
    let ours = |grant: &&Grant, wanted: Fit| {
        grant.user == user.as_str()
            && grant.host == ANY_HOST
            && facts::fit(dialect, grant, schema) == wanted
    };
    if created {
        // Neither server drops privileges with a schema: leftovers of an earlier one would give access to this one.
        for grant in grants.iter().filter(|grant| {
            !ours(grant, Fit::Exact) && facts::fit(dialect, grant, schema) == Fit::Exact
        }) {
            revoke_all(session, dialect, grant).await?;
            changes.push(Change(format!(
                "privileges of {}@{} on an earlier database {schema} are revoked",
                grant.user, grant.host
            )));
        }
    }
    if created {
        revoke_parts(session, dialect, schema).await?;
    }
    let exact = grants.iter().find(|grant| ours(grant, Fit::Exact));
    if exact.is_none_or(|grant| !grant.lacking.is_empty()) {
        let names: Vec<_> = to_give.iter().map(|privilege| privilege.name).collect();
        let grant = format!(
            "GRANT {} ON {}.* TO {}",
            names.join(", "),
            ident::mysql_identifier(&dialect.grant_pattern(schema)),
            account_of(user)
        );
        session
            .run("giving the user its privileges on the database", grant)
            .await?;
        let was = exact.map_or_else(
            || "none".to_owned(),
            |grant| format!("all but {}", grant.lacking.join(", ")),
        );
        if !created {
            changes.push(Change(format!(
                "privileges of user {user} on database {schema} were {was}, are all"
            )));
        }
    }
    if exact.is_some_and(|grant| grant.with_option) {
        let revoke = format!(
            "REVOKE GRANT OPTION ON {}.* FROM {}",
            ident::mysql_identifier(&dialect.grant_pattern(schema)),
            account_of(user)
        );
        session.run("taking back GRANT OPTION", revoke).await?;
        changes.push(Change(format!(
            "user {user} could give its privileges to others, cannot any more"
        )));
    }
    if let Some(wildcard) = grants.iter().find(|grant| ours(grant, Fit::Wildcard)) {
        revoke_all(session, dialect, wildcard).await?;
        changes.push(Change(format!(
            "privileges of user {user} reached every database like {:?}, reach this one only",
            wildcard.pattern
        )));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let grants = catalog::grants(session, dialect, &to_give, read).await?;
    match grants.iter().find(|grant| ours(grant, Fit::Exact)) {
        Some(grant) if grant.lacking.is_empty() && !grant.with_option => Ok(()),
        Some(_) | None => Err(ProviderError::NotPermitted {
            doing: format!("give {user} all privileges on {schema}"),
            detail: "the server accepted the GRANT and does not show it".to_owned(),
            grant: profile.grant.to_string(),
        }),
    }
}

/// Revokes whatever a row of `mysql.db` grants. By name, because MariaDB accepts ALL PRIVILEGES only from an account
/// that has every privilege.
pub(super) async fn revoke_all(
    session: &mut Session,
    dialect: &Dialect,
    grant: &Grant,
) -> Result<(), ProviderError> {
    let account = grantee(dialect, &grant.holder());
    let pattern = ident::mysql_identifier(&grant.pattern);
    let mut statements = Vec::new();
    if grant.with_option {
        statements.push(format!("REVOKE GRANT OPTION ON {pattern}.* FROM {account}"));
    }
    if !grant.held.is_empty() {
        let names = grant.held.join(", ");
        statements.push(format!("REVOKE {names} ON {pattern}.* FROM {account}"));
    }
    for statement in statements {
        match session.run("taking back privileges", statement).await {
            Ok(_) => {}
            Err(failure)
                if failure.number.is_some_and(|number| {
                    number == error::NO_GRANT || error::NO_SUBJECT.contains(&number)
                }) => {}
            Err(failure) => return Err(failure.error),
        }
    }
    Ok(())
}

/// Revokes what is left of privileges on the tables and routines of a schema that is gone.
pub(super) async fn revoke_parts(
    session: &mut Session,
    dialect: &Dialect,
    schema: &SqlName,
) -> Result<(), ProviderError> {
    for part in catalog::parts(session, schema).await? {
        let revoke = format!(
            "REVOKE ALL PRIVILEGES ON {} {}.{} FROM {}",
            part.kind,
            schema.mysql(),
            ident::mysql_identifier(&part.name),
            grantee(dialect, &part.holder)
        );
        match session.run("taking back privileges", revoke).await {
            Ok(_) => {}
            Err(failure)
                if failure.number.is_some_and(|number| {
                    error::NO_PART_GRANT.contains(&number) || error::NO_SUBJECT.contains(&number)
                }) => {}
            Err(failure) => return Err(failure.error),
        }
    }
    Ok(())
}

/// The account of a role as it is written in statements.
pub(super) fn account_of(user: &SqlName) -> String {
    ident::mysql_account(user.as_str(), ANY_HOST)
}
