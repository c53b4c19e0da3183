//! Who stands for every user of a server: the user without a name, MariaDB's `PUBLIC`, and MySQL's mandatory roles.

use super::administrator::to_look;
use super::catalog;
use super::dialect::Dialect;
use super::rows::Holder;
use super::session::Session;
use crate::provider::{ProviderError, ident};

/// MariaDB's role that every user has.
const PUBLIC: &str = "PUBLIC";

/// Whether a holder of rights stands for everyone who can log in.
pub(super) fn is_everybody(dialect: &Dialect, holder: &Holder) -> bool {
    holder.user.is_empty() || dialect.everybody.contains(holder)
}

/// A holder as it is written in statements. A role of MariaDB has no host.
pub(super) fn grantee(dialect: &Dialect, holder: &Holder) -> String {
    let Holder { user, host } = holder;
    if !dialect.is_mariadb() || !host.is_empty() || user.is_empty() {
        ident::mysql_account(user, host)
    } else if user == PUBLIC {
        PUBLIC.to_owned()
    } else {
        ident::mysql_identifier(user)
    }
}

/// Adds the roles that the roles of all users have. If the administrator may not read them, the error names the missing
/// privilege: without it, it is unknown who has access to a database.
pub(super) async fn add_roles_of_roles(
    session: &mut Session,
    dialect: &mut Dialect,
    account: &str,
) -> Result<(), ProviderError> {
    if dialect.everybody.is_empty() {
        return Ok(());
    }
    let edges = catalog::role_members(session, dialect)
        .await
        .map_err(|error| to_look(error, account))?;
    dialect.everybody = with_their_roles(std::mem::take(&mut dialect.everybody), &edges);
    Ok(())
}

/// Adds to the roles that all users have the roles that those have. Each of `edges` leads from a role to who has it.
pub(super) fn with_their_roles(given: Vec<Holder>, edges: &[(Holder, Holder)]) -> Vec<Holder> {
    let mut all = given;
    let mut next = 0;
    while let Some(holder) = all.get(next).cloned() {
        next += 1;
        for (role, to) in edges {
            if *to == holder && !all.contains(role) {
                all.push(role.clone());
            }
        }
    }
    all
}

/// Reads the value of MySQL's `mandatory_roles`: a list of accounts, with or without quotes, with or without a host.
pub(super) fn mandatory_roles(value: &str) -> Vec<Holder> {
    let mut parts = vec![(String::new(), None::<String>)];
    let mut quote = None;
    for c in value.chars() {
        let Some((user, host)) = parts.last_mut() else {
            break;
        };
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '`' | '\'' | '"') => quote = Some(c),
            (None, ',') => parts.push((String::new(), None)),
            (None, '@') => *host = Some(String::new()),
            (None, c) if c.is_whitespace() => {}
            (_, c) => host.as_mut().unwrap_or(user).push(c),
        }
    }
    parts
        .into_iter()
        .filter(|(user, _)| !user.is_empty())
        .map(|(user, host)| Holder {
            user,
            host: host.unwrap_or_else(|| "%".to_owned()),
        })
        .collect()
}

/// The role `PUBLIC` of MariaDB.
pub(super) fn public() -> Holder {
    Holder {
        user: PUBLIC.to_owned(),
        host: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(user: &str, host: &str) -> Holder {
        Holder {
            user: user.to_owned(),
            host: host.to_owned(),
        }
    }

    #[test]
    fn roles_of_roles_are_everybodys() {
        let edges = [
            (holder("b", "%"), holder("a", "%")),
            (holder("c", "%"), holder("b", "%")),
            (holder("a", "%"), holder("c", "%")),
            (holder("d", "%"), holder("person", "%")),
        ];
        let all = with_their_roles(vec![holder("a", "%")], &edges);
        assert_eq!(all, [holder("a", "%"), holder("b", "%"), holder("c", "%")]);
    }

    #[test]
    fn mandatory_roles_are_read() {
        for (value, expected) in [
            ("", vec![]),
            ("a", vec![holder("a", "%")]),
            (
                "`a,b`@`%`, 'c'@10.0.0.1 ,d@localhost",
                vec![
                    holder("a,b", "%"),
                    holder("c", "10.0.0.1"),
                    holder("d", "localhost"),
                ],
            ),
        ] {
            assert_eq!(mandatory_roles(value), expected, "{value}");
        }
    }
}
