//! Rights on a schema that do not come from its own user's row: those of everyone, and those that others have through a
//! pattern. Pure; `catalog.rs` reads the rows.
//!
//! What everyone may do, each tenant may do with every other tenant's data: a row of `mysql.db` without a user counts
//! for all users, and so do the rows of `PUBLIC` (MariaDB) and of the mandatory roles (MySQL). And a row for `app%`
//! counts for each schema that ever gets such a name, whoever owns it.

use std::fmt;

use super::dialect::Dialect;
use super::everybody::{grantee, is_everybody};
use super::facts::{self, Fit};
use super::rows::{Account, Grant, Holder};
use crate::provider::{SqlName, Warning, ident};

/// The most warnings about a server.
const NAMED: usize = 20;

/// A right through which someone else can access a schema.
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
    /// The sentence for a schema that exists already.
    pub(super) fn describe(&self) -> String {
        format!("{self}; to take them away, run: {}", self.remedy)
    }

    /// The sentence for a schema that is not created because of it.
    pub(super) fn refusal(&self, schema: &SqlName) -> String {
        format!(
            "others would get at the database {:?}: {self}; run {}, or choose another name",
            schema.as_str(),
            self.remedy
        )
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
            // This removes such rows, whether or not there is such an account, and nothing else does.
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

/// Whether a row can reach a schema that it does not name, or is for everyone.
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

/// Who else can access a schema that exists. A manual grant on just this schema is what its owner or the platform team
/// wants, even if the name was not escaped in it.
pub(super) fn standing(
    dialect: &Dialect,
    grants: &[Grant],
    schema: &SqlName,
    role: &SqlName,
) -> Vec<Exposure> {
    exposures(dialect, grants, schema, role, |fit| fit == Fit::Other)
}

/// Who else could access a schema that is to be created. Leftovers of an earlier schema of exactly this name do not
/// count: they are revoked when it is created.
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

/// Warns the platform team about a server: who could access databases that do not exist yet. Patterns that only have a
/// `_` are left out, because that is how most people write a name; they are reported once they reach a database.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::everybody::{mandatory_roles, public};
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
        assert!(
            told[2].describe().ends_with("ON `%`.* FROM `team`"),
            "{told:?}"
        );
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
