//! Creates an account, or changes what differs about it: look, change, read back.

use super::catalog::{self, ANY_HOST, Which};
use super::claims::Claimed;
use super::connect::ServerProfile;
use super::creation::{self, Part, meanwhile, record_or_refuse};
use super::dialect::Dialect;
use super::grants::account_of;
use super::login_blockers::{self, LoginBlocker};
use super::rows::Account;
use super::session::Session;
use super::validate;
use crate::provider::{Change, Desired, Origin, ProviderError, Verifier};

/// Creates the account, or changes what differs about it.
pub(super) async fn apply(
    session: &mut Session,
    profile: &ServerProfile,
    desired: &Desired,
    verifier: Option<&Verifier>,
    claimed: Option<&Claimed>,
) -> Result<Vec<Change>, ProviderError> {
    let dialect = &profile.dialect;
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
        creation::begin(session, claimed, Part::Role).await?;
        let outcome = session.run("creating the user", create).await;
        creation::ended(session, claimed, Part::Role, outcome)
            .await?
            .map_err(meanwhile)?;
        return Ok(vec![Change(format!("user {user} was missing, is created"))]);
    };
    if let Some(claimed) = claimed.filter(|claimed| claimed.claim.role == Origin::Creating) {
        let read = Which::Concerning(&desired.names.database, user);
        let grants = catalog::grants(session, dialect, &[], read).await?;
        let ours = creation::ours_of_account(std::slice::from_ref(claimed), user, &grants);
        record_or_refuse(session, claimed, Part::Role, ours).await?;
    }
    let (clauses, changes) = differences(dialect, account, limit, verifier);
    let statements = [drop_factors(account), clauses.join(" ")];
    if statements.iter().all(String::is_empty) {
        return Ok(changes);
    }
    for clauses in statements.iter().filter(|clauses| !clauses.is_empty()) {
        let alter = format!("ALTER USER {} {clauses}", account_of(user));
        session
            .run("altering the user", alter)
            .await
            .map_err(meanwhile)?;
    }
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

/// What leaves an account with its password alone. The grammar has it in a statement of its own.
fn drop_factors(account: &Account) -> String {
    let factors = (2..).zip(0..account.further_factors);
    let drops: Vec<String> = factors
        .map(|(number, _)| format!("DROP {number} FACTOR"))
        .collect();
    drops.join(" ")
}

/// The clauses of ALTER USER, in the order of its grammar, and what they change.
pub(super) fn differences(
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
    } else if account.expired || account.has_other_way {
        clauses.push(dialect.identified_again(&account.plugin, &account.hash));
    }
    if account.expired {
        changes.push(Change(format!("the password of {user} had expired")));
    }
    let blockers: Vec<LoginBlocker> = login_blockers::of(dialect, account).collect();
    if blockers.contains(&LoginBlocker::Transport) {
        clauses.push("REQUIRE NONE".to_owned());
    }
    let mut limits = Vec::new();
    if blockers.contains(&LoginBlocker::PerHour) {
        limits.push(
            "MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0".to_owned(),
        );
    }
    if blockers.contains(&LoginBlocker::EndsStatements) {
        limits.push("MAX_STATEMENT_TIME 0".to_owned());
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
    if blockers.contains(&LoginBlocker::Expires) {
        clauses.push("PASSWORD EXPIRE NEVER".to_owned());
    }
    if blockers.contains(&LoginBlocker::LocksItself) {
        clauses.push("FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0".to_owned());
    }
    changes.extend(
        blockers
            .iter()
            .map(|blocker| Change(format!("{}; corrected", blocker.describe(account)))),
    );
    // Where the server does not say whether wrong passwords have blocked the user: a password is set after a login was refused.
    let may_be_blocked = account.blocked.unwrap_or(verifier.is_some());
    if account.locked || may_be_blocked {
        clauses.push("ACCOUNT UNLOCK".to_owned());
    }
    if account.locked {
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
