//! What the rows of the catalog mean to the provider API. Pure.

use super::catalog::{ANY_HOST, grantee};
use super::dialect::Dialect;
use super::exposure::{self, Exposure};
use super::index::Catalog;
use super::login_blockers;
use super::rows::{Account, Grant};
use crate::provider::ident::mysql_account;
use crate::provider::{DatabaseFacts, Fingerprint, Ours, RoleFacts, SqlName};

/// Privileges beyond the schema that do not let their holder see or change what belongs to others. For those that show
/// the text of routines, in all schemas, the operator itself recommends the GRANT where a dump needs them.
const HARMLESS: &[&str] = &[
    "BINLOG MONITOR",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "PROCESS",
    "REPLICATION CLIENT",
    "SELECT on mysql.proc",
    "SHOW CREATE ROUTINE",
    "SHOW DATABASES",
    "SHOW_ROUTINE",
];

/// Whoever can write to these can become anyone.
const SYSTEM_SCHEMAS: &[&str] = &["mysql", "sys", "db_operator"];

/// How a row of `mysql.db` stands to a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// For exactly this schema.
    Exact,
    /// Written without escaping the name's `_` and `%`: for this schema, and for others that the pattern reaches.
    Wildcard,
    /// For something else, though its pattern may reach the schema.
    Other,
}

/// How a row of `mysql.db` stands to a schema.
pub(super) fn fit(dialect: &Dialect, grant: &Grant, schema: &SqlName) -> Fit {
    if grant.pattern == dialect.grant_pattern(schema) {
        Fit::Exact
    } else if grant.pattern == schema.as_str() {
        Fit::Wildcard
    } else {
        Fit::Other
    }
}

/// The facts about a schema whose owner should be `role`.
pub(super) fn database(
    dialect: &Dialect,
    catalog: &Catalog,
    schema: &SqlName,
    role: &SqlName,
) -> Option<DatabaseFacts> {
    let found = catalog
        .schemas
        .iter()
        .find(|found| found.name == schema.as_str())?;
    let on_schema: Vec<(&Grant, Fit)> = catalog
        .grants
        .iter()
        .filter(|grant| grant.host == ANY_HOST)
        .map(|grant| (grant, fit(dialect, grant, schema)))
        .filter(|(_, fit)| *fit != Fit::Other)
        .collect();
    let mut holders: Vec<&str> = on_schema
        .iter()
        .filter(|(grant, _)| grant.lacking.is_empty())
        .map(|(grant, _)| grant.user.as_str())
        .collect();
    holders.sort_unstable();
    holders.dedup();
    let owner = if holders.contains(&role.as_str()) {
        Some(role.to_string())
    } else if let [only] = holders[..] {
        Some(only.to_owned())
    } else {
        None
    };
    let mut deviations = Vec::new();
    for (grant, fit) in on_schema {
        if grant.user != role.as_str() {
            continue;
        }
        match fit {
            Fit::Exact => {
                if !grant.lacking.is_empty() {
                    deviations.push(format!("{role} lacked {}", grant.lacking.join(", ")));
                }
                if grant.with_option {
                    deviations.push(format!("{role} could give its privileges to others"));
                }
            }
            Fit::Wildcard => deviations.push(format!(
                "{role} had privileges on {:?}, where _ and % stand for any character",
                grant.pattern
            )),
            Fit::Other => {}
        }
    }
    let exposures = exposure::standing(dialect, &catalog.grants, schema, role);
    Some(DatabaseFacts {
        owner,
        deviations,
        exposures: exposures.iter().map(Exposure::describe).collect(),
        read_only: found
            .read_only
            .then(|| read_only(schema))
            .into_iter()
            .collect(),
        options: None,
        character_set: found.character_set.clone(),
        collation: found.collation.clone(),
        ours: Ours::Unknown,
    })
}

/// What its owner can do about a schema that accepts no writes.
fn read_only(schema: &SqlName) -> String {
    format!(
        "the database {schema} accepts no writes, because its option READ ONLY is on; once writes are wanted again, run: \
         ALTER DATABASE {} READ ONLY = 0",
        schema.mysql()
    )
}

/// The facts about an account at any host.
pub(super) fn role(dialect: &Dialect, catalog: &Catalog, user: &SqlName) -> Option<RoleFacts> {
    let named = |account: &&Account| account.user == user.as_str();
    let mut same_name = catalog.accounts.iter().filter(named);
    if same_name.clone().any(|account| account.is_role) {
        return Some(RoleFacts {
            can_login: false,
            connection_limit: None,
            powers: vec!["the kind of a role, which is no user".to_owned()],
            alterable: false,
            deviations: Vec::new(),
            hindrances: Vec::new(),
            may_be_blocked: false,
            ours: Ours::Unknown,
            password: None,
        });
    }
    let hindrances = same_name
        .clone()
        .filter(|account| account.host != ANY_HOST)
        .map(in_its_place)
        .collect();
    let account = same_name.find(|account| account.host == ANY_HOST)?;
    Some(RoleFacts {
        can_login: !account.locked && !account.expired,
        connection_limit: u32::try_from(account.max_connections)
            .ok()
            .filter(|limit| *limit != 0),
        powers: powers(dialect, catalog, user),
        alterable: true,
        deviations: login_blockers::of(dialect, account)
            .map(|blocker| blocker.describe(account))
            .collect(),
        hindrances,
        may_be_blocked: account.blocked.is_none(),
        password: Some(password(dialect, account)),
        ours: Ours::Unknown,
    })
}

/// The server takes the account with the narrowest host for a login, and asks for that one's password.
fn in_its_place(other: &Account) -> String {
    let name = mysql_account(&other.user, &other.host);
    format!(
        "the account {name} is used instead of {} for clients at that host, with a password of its own; to remove \
         it, run: DROP USER {name}",
        mysql_account(&other.user, ANY_HOST)
    )
}

/// For a hash of the kind that we store, this covers only the hash, which a verifier knows too.
fn password(dialect: &Dialect, account: &Account) -> Fingerprint {
    if account.plugin == dialect.plugin() {
        Fingerprint::of(account.hash.as_str())
    } else {
        Fingerprint::of((&account.plugin, &account.hash))
    }
}

/// Why an account is never touched.
pub(super) fn powers(dialect: &Dialect, catalog: &Catalog, user: &SqlName) -> Vec<String> {
    let grantee = grantee(user.as_str());
    let global = catalog
        .powers
        .iter()
        .filter(|power| power.grantee == grantee && !HARMLESS.contains(&power.power.as_str()))
        .map(|power| power.power.clone());
    let on_system = catalog
        .grants
        .iter()
        .filter(|grant| grant.user == user.as_str() && grant.host == ANY_HOST)
        .flat_map(|grant| {
            SYSTEM_SCHEMAS
                .iter()
                .filter(|schema| dialect.reaches(&grant.pattern, schema))
                .map(|schema| format!("privileges on {schema}"))
        });
    let mut powers: Vec<String> = global.chain(on_system).collect();
    powers.sort_unstable();
    powers.dedup();
    powers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::rows::{Power, Schema, Transport};
    use super::*;
    use crate::provider::{Flavour, Verifier};

    fn dialect() -> Dialect {
        Dialect::new("10.11.19-MariaDB", "", false, false).unwrap()
    }

    fn name(text: &str) -> SqlName {
        SqlName::new(text).unwrap()
    }

    fn grant(user: &str, pattern: &str, lacking: &[&'static str]) -> Grant {
        Grant {
            user: user.to_owned(),
            host: ANY_HOST.to_owned(),
            pattern: pattern.to_owned(),
            held: vec!["SELECT"],
            lacking: lacking.to_vec(),
            with_option: false,
        }
    }

    fn catalog(grants: Vec<Grant>) -> Catalog {
        Catalog {
            schemas: vec![Schema {
                name: "my_db".to_owned(),
                character_set: "utf8mb4".to_owned(),
                collation: "utf8mb4_bin".to_owned(),
                read_only: false,
            }],
            grants,
            ..Catalog::default()
        }
    }

    fn owner(grants: Vec<Grant>) -> (Option<String>, Vec<String>) {
        let facts = database(
            &dialect(),
            &catalog(grants),
            &name("my_db"),
            &name("orders"),
        )
        .unwrap();
        (facts.owner, facts.deviations)
    }

    #[test]
    fn the_owner_holds_all_privileges() {
        let ours = grant("orders", "my\\_db", &[]);
        assert_eq!(
            owner(vec![ours.clone()]),
            (Some("orders".to_owned()), vec![])
        );
        let second = grant("reader", "my\\_db", &[]);
        assert_eq!(
            owner(vec![second.clone(), ours]).0.as_deref(),
            Some("orders")
        );
        assert_eq!(owner(vec![second.clone()]).0.as_deref(), Some("reader"));
        assert_eq!(owner(vec![second, grant("third", "my\\_db", &[])]).0, None);
        assert_eq!(owner(vec![grant("orders", "my%", &[])]).0, None);
        assert_eq!(owner(vec![]).0, None);
    }

    #[test]
    fn what_differs_is_said() {
        let (holder, deviations) = owner(vec![grant("orders", "my\\_db", &["EVENT"])]);
        assert_eq!(holder, None);
        assert_eq!(deviations, ["orders lacked EVENT"]);
        let (holder, deviations) = owner(vec![grant("orders", "my_db", &[])]);
        assert_eq!(holder.as_deref(), Some("orders"));
        assert_eq!(deviations.len(), 1, "{deviations:?}");
    }

    #[test]
    fn names_that_differ_in_case_are_different() {
        let facts = database(
            &dialect(),
            &catalog(vec![]),
            &name("My_db"),
            &name("orders"),
        );
        assert_eq!(facts, None);
    }

    fn account(host: &str, is_role: bool) -> Account {
        Account {
            user: "orders".to_owned(),
            host: host.to_owned(),
            locked: false,
            expired: false,
            lifetime: Some(0),
            max_connections: 5,
            per_hour: [0; 3],
            ends_statements: false,
            has_other_way: false,
            transport: Transport::Any,
            further_factors: 0,
            locks_itself: false,
            blocked: Some(false),
            plugin: String::new(),
            hash: String::new(),
            is_role,
        }
    }

    fn power(grantee: &str, power: &str) -> Power {
        Power {
            grantee: grantee.to_owned(),
            power: power.to_owned(),
        }
    }

    #[test]
    fn an_account_is_the_one_at_any_host() {
        let mut catalog = Catalog {
            accounts: vec![account("localhost", false)],
            ..Catalog::default()
        };
        assert_eq!(role(&dialect(), &catalog, &name("orders")), None);
        catalog.accounts.push(account(ANY_HOST, false));
        let facts = role(&dialect(), &catalog, &name("orders")).unwrap();
        assert_eq!((facts.can_login, facts.connection_limit), (true, Some(5)));
        assert_eq!(facts.powers, [""; 0]);
        // From there, the other one answers.
        assert_eq!(facts.hindrances.len(), 1);
        let remedy = "run: DROP USER 'orders'@'localhost'";
        assert!(facts.hindrances[0].ends_with(remedy), "{facts:?}");
        assert_eq!(role(&dialect(), &catalog, &name("Orders")), None);
    }

    #[test]
    fn a_password_is_told_from_another_one() {
        let mariadb = dialect();
        let verifier = Verifier::mysql_native_password("one");
        let mut account = account(ANY_HOST, false);
        account.plugin = "mysql_native_password".to_owned();
        account.hash = verifier.expose().to_owned();
        let stored = password(&mariadb, &account);
        assert_eq!(stored, verifier.fingerprint(Flavour::Mariadb));
        account.plugin = "ed25519".to_owned();
        assert_ne!(password(&mariadb, &account), stored);
        let other = Verifier::mysql_native_password("two");
        assert_ne!(other.fingerprint(Flavour::Mariadb), stored);
    }

    #[test]
    fn powers_are_named() {
        let catalog = Catalog {
            accounts: vec![account(ANY_HOST, false)],
            grants: vec![
                grant("orders", "m%", &["DROP"]),
                grant("orders", "shop%", &[]),
            ],
            powers: vec![
                power("'orders'@'%'", "CREATE USER"),
                power("'orders'@'%'", "PROCESS"),
                power("'orders'@'localhost'", "SUPER"),
                power("'Orders'@'%'", "SUPER"),
            ],
            ..Catalog::default()
        };
        let facts = role(&dialect(), &catalog, &name("orders")).unwrap();
        assert_eq!(facts.powers, ["CREATE USER", "privileges on mysql"]);
    }

    #[test]
    fn a_role_of_mariadb_is_never_taken_for_a_user() {
        let catalog = Catalog {
            accounts: vec![account("", true)],
            ..Catalog::default()
        };
        let facts = role(&dialect(), &catalog, &name("orders")).unwrap();
        assert_eq!(facts.powers.len(), 1);
    }
}
