//! Rights on a schema that do not come from its own user's row: those of nobody in particular, and those that others have
//! by a pattern. Pure; the rows come from `catalog.rs`.
//!
//! What everybody may do, every tenant may do with every other one's data: a row of `mysql.db` without a user counts for
//! all users, and so do the rows of `PUBLIC` (MariaDB) and of the mandatory roles (MySQL). And a row for `app%` is for
//! each schema that is called so one day, whoever its owner is.

use std::fmt;

use super::super::{SqlName, Warning, ident};
use super::catalog::{Account, Grant, Holder};
use super::dialect::Dialect;
use super::facts::{self, Fit};

/// How many are named of a server.
const NAMED: usize = 20;

/// MariaDB's role that everybody has.
const PUBLIC: &str = "PUBLIC";

/// A right by which somebody else gets at a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exposure {
    who: String,
    on: On,
    remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum On {
    Pattern(String),
    Everything,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, on, .. } = self;
        match on {
            On::Pattern(pattern) => write!(
                f,
                "{who} has privileges on every database whose name matches {pattern:?}"
            ),
            On::Everything => write!(f, "{who} has privileges on all databases"),
        }
    }
}

impl Exposure {
    /// What is said where the schema is there already.
    pub(super) fn told(&self) -> String {
        format!("{self}; to take them away, run: {}", self.remedy)
    }

    /// What is said of a schema that is not made because of it.
    pub(super) fn refusal(&self, schema: &SqlName) -> String {
        format!(
            "others would get at the database {:?}: {self}; run {}, or choose another name",
            schema.as_str(),
            self.remedy
        )
    }
}

/// Whether a holder of rights stands for everybody who can log in.
fn is_everybody(dialect: &Dialect, holder: &Holder) -> bool {
    holder.user.is_empty() || dialect.everybody.contains(holder)
}

/// A holder as statements name it. A role of MariaDB has no host, and takes none.
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

fn who(dialect: &Dialect, holder: &Holder) -> String {
    let name = grantee(dialect, holder);
    if holder.user.is_empty() {
        format!("everybody ({name}, the user without a name)")
    } else if is_everybody(dialect, holder) {
        format!("everybody ({name}, a role that all users have)")
    } else {
        name
    }
}

fn of_grant(dialect: &Dialect, grant: &Grant) -> Exposure {
    let holder = grant.holder();
    let on = ident::mysql_identifier(&grant.pattern);
    Exposure {
        who: who(dialect, &holder),
        remedy: if holder.user.is_empty() {
            // Whether or not there is such an account: it takes such rows along, and nothing else does.
            format!("DROP USER {}", grantee(dialect, &holder))
        } else {
            format!(
                "REVOKE ALL PRIVILEGES ON {on}.* FROM {}",
                grantee(dialect, &holder)
            )
        },
        on: On::Pattern(grant.pattern.clone()),
    }
}

fn of_everything(dialect: &Dialect, holder: &Holder) -> Exposure {
    let name = grantee(dialect, holder);
    Exposure {
        who: who(dialect, holder),
        on: On::Everything,
        remedy: format!("REVOKE ALL PRIVILEGES ON *.* FROM {name}"),
    }
}

/// Whether a row can reach a schema that it does not name, or is for everybody.
pub(super) fn is_broad(dialect: &Dialect, grant: &Grant) -> bool {
    is_everybody(dialect, &grant.holder())
        || !dialect.literal_grants && wildcards(&grant.pattern).next().is_some()
}

/// The wildcards of a pattern.
fn wildcards(pattern: &str) -> impl Iterator<Item = char> {
    let mut escaped = false;
    pattern.chars().filter(move |c| {
        let literal = escaped;
        escaped = !literal && *c == '\\';
        !literal && matches!(c, '%' | '_')
    })
}

/// Who else gets at a schema that is there. What was granted by hand on just this schema is its owner's or the platform's
/// own wish, also where it was written without escaping the name.
pub(super) fn standing(
    dialect: &Dialect,
    grants: &[Grant],
    schema: &SqlName,
    role: &SqlName,
) -> Vec<Exposure> {
    exposures(dialect, grants, schema, role, |fit| fit == Fit::Other)
}

/// Who else would get at a schema that is to be made. What is left of an earlier one of exactly this name is taken back
/// when it is made.
pub(super) fn beforehand(
    dialect: &Dialect,
    grants: &[Grant],
    global: &[Holder],
    schema: &SqlName,
    role: &SqlName,
) -> Vec<Exposure> {
    let mut found = exposures(dialect, grants, schema, role, |fit| fit != Fit::Exact);
    found.extend(
        global
            .iter()
            .filter(|holder| is_everybody(dialect, holder))
            .map(|holder| of_everything(dialect, holder)),
    );
    found
}

fn exposures(
    dialect: &Dialect,
    grants: &[Grant],
    schema: &SqlName,
    role: &SqlName,
    counts: impl Fn(Fit) -> bool,
) -> Vec<Exposure> {
    grants
        .iter()
        .filter(|grant| !grant.held.is_empty() && grant.user != role.as_str())
        .filter(|grant| dialect.reaches(&grant.pattern, schema.as_str()))
        .filter(|grant| {
            is_everybody(dialect, &grant.holder()) || counts(facts::fit(dialect, grant, schema))
        })
        .map(|grant| of_grant(dialect, grant))
        .collect()
}

/// What the platform team is told of a server: who gets at databases that are not there yet. Patterns with nothing but a
/// `_` are left out, since that is how most people write a name: they are told where they reach a database.
pub(super) fn warnings(
    dialect: &Dialect,
    grants: &[Grant],
    global: &[Holder],
    anonymous: &[Account],
) -> Vec<Warning> {
    let nameless = anonymous
        .iter()
        .filter(|account| account.user.is_empty() && !account.is_role && !account.locked)
        .map(|account| {
            let name = ident::mysql_account("", &account.host);
            Warning {
                what: format!("anybody may log in without a user's name ({name})"),
                sql: format!("DROP USER {name}"),
            }
        });
    let of_all = global
        .iter()
        .filter(|holder| is_everybody(dialect, holder))
        .map(|holder| of_everything(dialect, holder));
    let of_patterns = grants
        .iter()
        .filter(|grant| !grant.held.is_empty())
        .filter(|grant| {
            is_everybody(dialect, &grant.holder())
                || !dialect.literal_grants && wildcards(&grant.pattern).any(|c| c == '%')
        })
        .map(|grant| of_grant(dialect, grant));
    let exposures = of_all.chain(of_patterns).map(|exposure| Warning {
        what: exposure.to_string(),
        sql: exposure.remedy,
    });
    let mut warnings: Vec<Warning> = nameless.chain(exposures).collect();
    let more = warnings.len().saturating_sub(NAMED);
    warnings.truncate(NAMED);
    if more > 0
        && let Some(last) = warnings.last_mut()
    {
        last.what = format!("{} (and {more} more like these)", last.what);
    }
    warnings
}

/// The roles that all users have, with the roles that those have: `edges` are from a role to who has it.
pub(super) fn everybody(given: Vec<Holder>, edges: &[(Holder, Holder)]) -> Vec<Holder> {
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
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn holder(user: &str, host: &str) -> Holder {
        Holder {
            user: user.to_owned(),
            host: host.to_owned(),
        }
    }

    fn mariadb() -> Dialect {
        let mut dialect = Dialect::new("11.8.3-MariaDB", "", false, false).unwrap();
        dialect.everybody = vec![public()];
        dialect
    }

    fn mysql() -> Dialect {
        let mut dialect = Dialect::new("9.7.4", "", false, false).unwrap();
        dialect.everybody = mandatory_roles("`readers`@`%`");
        dialect
    }

    fn grant(user: &str, host: &str, pattern: &str) -> Grant {
        Grant {
            user: user.to_owned(),
            host: host.to_owned(),
            pattern: pattern.to_owned(),
            held: vec!["SELECT"],
            lacking: vec![],
            with_option: false,
        }
    }

    fn name(text: &str) -> SqlName {
        SqlName::new(text).unwrap()
    }

    fn before(dialect: &Dialect, grants: &[Grant], schema: &str) -> Vec<String> {
        beforehand(dialect, grants, &[], &name(schema), &name("orders"))
            .iter()
            .map(|exposure| exposure.refusal(&name(schema)))
            .collect()
    }

    #[test]
    fn a_name_that_everybody_gets_at_is_refused_with_what_mends_it() {
        for (dialect, grant, remedy) in [
            (mariadb(), grant("", "%", "test"), "run DROP USER ''@'%',"),
            (
                mariadb(),
                grant("PUBLIC", "", "test"),
                "run REVOKE ALL PRIVILEGES ON `test`.* FROM PUBLIC,",
            ),
            (
                mysql(),
                grant("readers", "%", "te%"),
                "run REVOKE ALL PRIVILEGES ON `te%`.* FROM 'readers'@'%',",
            ),
        ] {
            let refused = before(&dialect, std::slice::from_ref(&grant), "test");
            assert_eq!(refused.len(), 1, "{grant:?}");
            assert!(refused[0].contains("everybody"), "{refused:?}");
            assert!(refused[0].contains(remedy), "{refused:?}");
            assert_eq!(before(&dialect, &[grant], "orders"), [""; 0]);
        }
    }

    #[test]
    fn patterns_of_others_count_and_ones_own_do_not() {
        let all = [
            grant("bi", "%", "app\\_%"),
            grant("bi", "10.%", "app%"),
            grant("team", "", "%"),
            grant("orders", "%", "app%"),
            grant("other", "%", "shop%"),
            grant("other", "%", "app\\_x"),
        ];
        assert_eq!(before(&mariadb(), &all, "app_x").len(), 3);
        let told = standing(&mariadb(), &all, &name("app_x"), &name("orders"));
        assert_eq!(told.len(), 3);
        assert!(told[2].told().ends_with("ON `%`.* FROM `team`"), "{told:?}");
        let literal = Dialect::new("9.7.4", "", false, true).unwrap();
        assert_eq!(before(&literal, &all, "app_x"), [""; 0]);
    }

    #[test]
    fn what_was_granted_on_just_this_database_is_left_to_who_did() {
        let unescaped = [grant("bi", "%", "app_x")];
        assert_eq!(
            standing(&mysql(), &unescaped, &name("app_x"), &name("orders")),
            []
        );
        assert_eq!(before(&mysql(), &unescaped, "app_x").len(), 1);
        assert_eq!(before(&mysql(), &unescaped, "appyx").len(), 1);
        let public = [grant("PUBLIC", "", "app\\_x")];
        let told = standing(&mariadb(), &public, &name("app_x"), &name("orders"));
        assert_eq!(told.len(), 1, "everybody is nobody's wish");
    }

    #[test]
    fn a_server_is_told_of_what_is_for_everybody_and_of_broad_patterns() {
        let dialect = mysql();
        let grants = [
            grant("", "%", "test"),
            grant("readers", "%", "app"),
            grant("bi", "%", "app\\_%"),
            grant("hand", "%", "app_x"),
            grant("ours", "%", "a\\_\\%"),
        ];
        let global = [holder("readers", "%"), holder("backup", "%")];
        let found = warnings(&dialect, &grants, &global, &[]);
        let sql: Vec<&str> = found.iter().map(|warning| warning.sql.as_str()).collect();
        assert_eq!(
            sql,
            [
                "REVOKE ALL PRIVILEGES ON *.* FROM 'readers'@'%'",
                "DROP USER ''@'%'",
                "REVOKE ALL PRIVILEGES ON `app`.* FROM 'readers'@'%'",
                "REVOKE ALL PRIVILEGES ON `app\\_%`.* FROM 'bi'@'%'",
            ]
        );
        let many: Vec<Grant> = (0..30)
            .map(|n| grant("bi", "%", &format!("a{n}%")))
            .collect();
        let found = warnings(&dialect, &many, &[], &[]);
        assert_eq!(found.len(), NAMED);
        assert!(found[NAMED - 1].what.ends_with("(and 10 more like these)"));
    }

    #[test]
    fn roles_of_roles_are_everybodys() {
        let edges = [
            (holder("b", "%"), holder("a", "%")),
            (holder("c", "%"), holder("b", "%")),
            (holder("a", "%"), holder("c", "%")),
            (holder("d", "%"), holder("person", "%")),
        ];
        let all = everybody(vec![holder("a", "%")], &edges);
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

    #[test]
    fn escaped_wildcards_are_none() {
        for (pattern, broad) in [
            ("app", false),
            ("app\\_x", false),
            ("app_x", true),
            ("app%", true),
            ("a\\\\_", true),
        ] {
            assert_eq!(
                is_broad(&mysql(), &grant("bi", "%", pattern)),
                broad,
                "{pattern}"
            );
        }
    }
}
