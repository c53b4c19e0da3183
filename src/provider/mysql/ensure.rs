//! Making accounts and schemas as desired: look, change what differs, read back.

use super::super::ident;
use super::super::{Change, Desired, Origin, Ours, ProviderError, SqlName, Verifier};
use super::catalog::{self, ANY_HOST, Account, Grant, Which};
use super::claims::{self, Claimed, Part};
use super::contact::Contact;
use super::dialect::Dialect;
use super::error;
use super::exposure;
use super::facts::{self, Fit};
use super::hindrance::{self, Hindrance};
use super::session::Session;
use super::validate;

/// Makes the account, or changes what differs about it.
pub(super) async fn role(
    session: &mut Session,
    contact: &Contact,
    desired: &Desired,
    verifier: Option<&Verifier>,
    claimed: Option<&Claimed>,
) -> Result<Vec<Change>, ProviderError> {
    let dialect = &contact.dialect;
    let user = &desired.names.role;
    let limit = desired.connection_limit.unwrap_or(0);
    let accounts = catalog::accounts(session, dialect, Some(user)).await?;
    let Some(account) = accounts.iter().find(|account| account.host == ANY_HOST) else {
        validate::no_other_host(&accounts, user)?;
        let Some(verifier) = verifier else {
            return Err(ProviderError::Unexpected {
                doing: format!("creating the user {user:?}"),
                detail: "it does not exist and no password was given".to_owned(),
            });
        };
        let create = format!(
            "CREATE USER {} {} WITH MAX_USER_CONNECTIONS {limit} PASSWORD EXPIRE NEVER",
            account_of(user),
            dialect.identified(verifier),
        );
        claims::begin(session, claimed, Part::Role).await?;
        let outcome = session.run("creating the user", create).await;
        claims::ended(session, claimed, Part::Role, outcome)
            .await?
            .map_err(meanwhile)?;
        return Ok(vec![Change(format!("user {user} was missing, is created"))]);
    };
    if let Some(claimed) = claimed.filter(|claimed| claimed.claim.role == Origin::Creating) {
        let read = Which::Concerning(&desired.names.database, user);
        let grants = catalog::grants(session, dialect, &[], read).await?;
        let ours = claims::ours_of_account(std::slice::from_ref(claimed), user, &grants);
        note_or_refuse(session, claimed, Part::Role, ours).await?;
    }
    let (clauses, changes) = differences(dialect, account, limit, verifier);
    if clauses.is_empty() {
        return Ok(changes);
    }
    let alter = format!("ALTER USER {} {}", account_of(user), clauses.join(" "));
    session
        .run("altering the user", alter)
        .await
        .map_err(meanwhile)?;
    let accounts = catalog::accounts(session, dialect, Some(user)).await?;
    let read = accounts.iter().find(|account| account.host == ANY_HOST);
    match read.map(|account| differences(dialect, account, limit, None).1) {
        Some(left) if left.is_empty() => Ok(changes),
        left => Err(ProviderError::Unexpected {
            doing: format!("altering the user {user}"),
            detail: match left.as_deref() {
                Some([Change(first), ..]) => {
                    format!("the server accepted the statement, and yet: {first}")
                }
                Some([]) | None => "it is gone".to_owned(),
            },
        }),
    }
}

/// The clauses of ALTER USER, in the order of its grammar, and what they change.
fn differences(
    dialect: &Dialect,
    account: &Account,
    limit: u32,
    verifier: Option<&Verifier>,
) -> (Vec<String>, Vec<Change>) {
    let user = &account.user;
    let mut clauses = Vec::new();
    let mut changes = Vec::new();
    let stored = verifier.map(|verifier| dialect.stored(verifier));
    if let Some(verifier) = verifier
        && stored != Some((account.plugin.as_str(), account.hash.as_str()))
    {
        clauses.push(dialect.identified(verifier));
        changes.push(Change(format!("password of user {user} is set")));
    } else if account.expired {
        clauses.push(dialect.identified_again(&account.plugin, &account.hash));
        changes.push(Change(format!("the password of {user} had expired")));
    }
    let hindrances: Vec<Hindrance> = hindrance::of(dialect, account).collect();
    if hindrances.contains(&Hindrance::Transport) {
        clauses.push("REQUIRE NONE".to_owned());
    }
    let mut limits = Vec::new();
    if hindrances.contains(&Hindrance::PerHour) {
        limits.push(
            "MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0".to_owned(),
        );
    }
    if account.max_connections != i64::from(limit) {
        limits.push(format!("MAX_USER_CONNECTIONS {limit}"));
        changes.push(Change(format!(
            "connection limit of user {user} was {}, is {}",
            unlimited(account.max_connections),
            unlimited(i64::from(limit)),
        )));
    }
    if !limits.is_empty() {
        clauses.push(format!("WITH {}", limits.join(" ")));
    }
    if hindrances.contains(&Hindrance::Expires) {
        clauses.push("PASSWORD EXPIRE NEVER".to_owned());
    }
    if hindrances.contains(&Hindrance::LocksItself) {
        clauses.push("FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0".to_owned());
    }
    changes.extend(
        hindrances
            .iter()
            .map(|hindrance| Change(format!("{}, is not so any more", hindrance.said(account)))),
    );
    if account.locked {
        clauses.push("ACCOUNT UNLOCK".to_owned());
        changes.push(Change(format!("user {user} was locked, may log in")));
    }
    (clauses, changes)
}

fn unlimited(limit: i64) -> String {
    if limit == 0 {
        "unlimited".to_owned()
    } else {
        limit.to_string()
    }
}

/// Makes the schema, or changes what differs about it, and gives the account all privileges on it.
pub(super) async fn database(
    session: &mut Session,
    contact: &Contact,
    desired: &Desired,
    claimed: Option<&Claimed>,
) -> Result<Vec<Change>, ProviderError> {
    let schema = &desired.names.database;
    let mut changes = Vec::new();
    let found = catalog::schemas(session, Some(schema)).await?;
    let mut created = found.is_empty();
    if let Some(found) = found.first() {
        if let Some(claimed) = claimed.filter(|claimed| claimed.claim.database == Origin::Creating)
        {
            let one = std::slice::from_ref(claimed);
            let ours = claims::ours_of_schema(session, one, schema).await?;
            note_or_refuse(session, claimed, Part::Database, ours).await?;
            created = true;
        }
        let wanted = &desired.mysql;
        let differs = |wanted: &Option<String>, is: &str| {
            wanted
                .as_ref()
                .is_some_and(|wanted| !wanted.eq_ignore_ascii_case(is))
        };
        if differs(&wanted.character_set, &found.character_set)
            || differs(&wanted.collation, &found.collation)
        {
            let alter = format!(
                "ALTER DATABASE {}{}",
                schema.mysql(),
                text_settings(desired)
            );
            session.run("altering the database", alter).await?;
            changes.push(Change(format!(
                "default character set of database {schema} was {} ({})",
                found.character_set, found.collation
            )));
        }
    } else {
        let create = format!(
            "CREATE DATABASE {}{}",
            schema.mysql(),
            text_settings(desired)
        );
        claims::begin(session, claimed, Part::Database).await?;
        let outcome = session.run("creating the database", create).await;
        claims::ended(session, claimed, Part::Database, outcome)
            .await?
            .map_err(meanwhile)?;
        changes.push(Change(format!("database {schema} was missing, is created")));
    }
    privileges(session, contact, desired, created, &mut changes).await?;
    Ok(changes)
}

fn text_settings(desired: &Desired) -> String {
    let mut clauses = String::new();
    // Both are names of the server's own; as literals they can be nothing else.
    if let Some(character_set) = &desired.mysql.character_set {
        clauses.push_str(" CHARACTER SET ");
        clauses.push_str(&ident::mysql_literal(character_set));
    }
    if let Some(collation) = &desired.mysql.collation {
        clauses.push_str(" COLLATE ");
        clauses.push_str(&ident::mysql_literal(collation));
    }
    clauses
}

/// Gives the account what it lacks on the schema and takes what it has too much, then reads back.
async fn privileges(
    session: &mut Session,
    contact: &Contact,
    desired: &Desired,
    created: bool,
    changes: &mut Vec<Change>,
) -> Result<(), ProviderError> {
    let (schema, user) = (&desired.names.database, &desired.names.role);
    let dialect = &contact.dialect;
    let to_give = contact.held.to_give(dialect);
    let read = Which::Concerning(schema, user);
    let grants = catalog::grants(session, dialect, &to_give, read).await?;
    let ours = |grant: &&Grant, wanted: Fit| {
        grant.user == user.as_str()
            && grant.host == ANY_HOST
            && facts::fit(dialect, grant, schema) == wanted
    };
    if created {
        // Neither server drops privileges with a schema: what is left of an earlier one would open this one.
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
            grant: contact.grant.to_string(),
        }),
    }
}

/// Takes back whatever a row of `mysql.db` gives. By name: MariaDB lets only somebody who holds all privileges that
/// there are say ALL PRIVILEGES.
pub(super) async fn revoke_all(
    session: &mut Session,
    dialect: &Dialect,
    grant: &Grant,
) -> Result<(), ProviderError> {
    let account = exposure::grantee(dialect, &grant.holder());
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

/// Takes back what is left of privileges on the tables and routines of a schema that is gone.
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
            exposure::grantee(dialect, &part.holder)
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

/// The account of a role as statements name it.
pub(super) fn account_of(user: &SqlName) -> String {
    ident::mysql_account(user.as_str(), ANY_HOST)
}

/// What stands there while a claim says that it is being made: by us before a crash, or by somebody else since it was
/// looked for.
async fn note_or_refuse(
    session: &mut Session,
    claimed: &Claimed,
    part: Part,
    ours: Ours,
) -> Result<(), ProviderError> {
    match ours {
        Ours::Yes => claims::made(session, &claimed.claim, part).await,
        Ours::No | Ours::Unknown => Err(made_or_dropped()),
    }
}

/// Somebody else made or dropped it between our look and our statement: look again.
fn meanwhile(failure: super::session::Failure) -> ProviderError {
    match failure.number {
        Some(error::CANNOT_USER | error::SCHEMA_EXISTS) => made_or_dropped(),
        Some(_) | None => failure.error,
    }
}

fn made_or_dropped() -> ProviderError {
    ProviderError::Busy {
        doing: "making what was missing".to_owned(),
        detail: "somebody else made or dropped it at the same moment".to_owned(),
    }
}
