//! Rights of other roles that the administrator borrows for the duration of one transaction.
//!
//! An administrator with CREATEROLE that is no superuser acts on a tenant's database as a member of its owner. The
//! membership is granted and revoked within the transaction that needs it, so no one ever sees it, and neither an
//! error nor a crash leaves it behind. On PostgreSQL 16 and later the creator of a role also has an implicit
//! membership with ADMIN OPTION only, which stays and is needed.

use super::rows::DatabaseRow;
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::ProviderError;

/// From this version on, a membership has options, and each grantor has its own.
pub(super) const OPTIONS_SINCE: u32 = 160_000;

/// What is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Act with the role's privileges.
    Use,
    /// Become the role by `SET ROLE`, and give a database to it.
    Assume,
    /// Both, which it takes to give it what is inside a database.
    Both,
}

/// `GRANT role TO CURRENT_USER` with just that right.
pub(super) fn borrow(role: &str, right: Right, version: u32) -> String {
    let role = quoted(role);
    match (version >= OPTIONS_SINCE, right) {
        (true, Right::Use) => format!("GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET FALSE"),
        (true, Right::Assume) => {
            format!("GRANT {role} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE")
        }
        (true, Right::Both) => format!("GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"),
        (false, Right::Use | Right::Assume | Right::Both) => {
            format!("GRANT {role} TO CURRENT_USER")
        }
    }
}

/// Returns what [`borrow`] took.
pub(super) fn give_back(role: &str, version: u32) -> String {
    let role = quoted(role);
    if version >= OPTIONS_SINCE {
        format!("REVOKE {role} FROM CURRENT_USER GRANTED BY CURRENT_USER")
    } else {
        format!("REVOKE {role} FROM CURRENT_USER")
    }
}

/// The statement by which someone with the right to lets `administrator` alter and borrow `role`.
pub(super) fn permit(role: &str, administrator: &str, version: u32) -> String {
    if version >= OPTIONS_SINCE {
        format!(
            "GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
            quoted(role),
            quoted(administrator)
        )
    } else {
        format!("ALTER ROLE {} CREATEROLE", quoted(administrator))
    }
}

/// The statement by which someone with the right to gives `administrator` the rights of `role` for good.
pub(super) fn lend(role: &str, administrator: &str, version: u32) -> String {
    let inherit = if version >= OPTIONS_SINCE {
        " WITH INHERIT TRUE"
    } else {
        ""
    };
    format!(
        "GRANT {} TO {}{inherit}",
        quoted(role),
        quoted(administrator)
    )
}

/// To run before CREATE ROLE: a server may be set to make the creator a member with more than ADMIN OPTION.
pub(super) fn no_self_grant(version: u32) -> Option<String> {
    (version >= OPTIONS_SINCE).then(|| "SET LOCAL createrole_self_grant = ''".to_owned())
}

impl Postgresql {
    /// Runs these statements with the rights of the database's owner.
    pub(super) async fn as_owner(
        &self,
        session: &mut Session,
        database: &DatabaseRow,
        doing: &str,
        mut statements: Vec<String>,
    ) -> Result<(), ProviderError> {
        let version = session.version();
        if !database.owned {
            statements.insert(0, borrow(&database.owner, Right::Use, version));
            statements.push(give_back(&database.owner, version));
        }
        session
            .transaction(doing, &statements)
            .await
            .map_err(|failure| {
                failure.needing(|| permit(&database.owner, &self.config.username, version))
            })
    }
}
