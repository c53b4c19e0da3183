//! What the administrator needs to be allowed, what it is allowed, and the SQL in between.
//!
//! The smallest set, as tried on both servers: the privileges that the owner of a schema gets (except the optional
//! ones), globally and WITH GRANT OPTION; `CREATE USER`; `PROCESS`, to see who is in the way; and `CONNECTION_ADMIN`
//! (MariaDB: `CONNECTION ADMIN`), to end sessions of others. `SUPER` is not needed.

use super::dialect::Dialect;
use super::error;
use super::privileges::{SCHEMA_PRIVILEGES, SchemaPrivilege};
use super::session::Session;
use crate::provider::{MissingPrivilege, ProviderError, ident};

/// The global privileges of the administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    names: Vec<String>,
    all: bool,
    grant_option: bool,
}

impl Held {
    /// Parses the answer to SHOW GRANTS.
    pub(super) fn parse<'l>(lines: impl IntoIterator<Item = &'l str>) -> Self {
        let mut held = Self::default();
        for line in lines {
            let Some((privileges, _)) = line
                .strip_prefix("GRANT ")
                .and_then(|rest| rest.split_once(" ON *.* TO "))
            else {
                continue;
            };
            let before = held.names.len();
            held.names.extend(privileges.split(", ").map(str::to_owned));
            let of_schemas = held.names[before..].iter().any(|name| {
                name == "ALL PRIVILEGES" || SCHEMA_PRIVILEGES.iter().any(|p| p.name == *name)
            });
            held.all |= held.names[before..]
                .iter()
                .any(|name| name == "ALL PRIVILEGES");
            held.grant_option |= of_schemas && line.ends_with("WITH GRANT OPTION");
        }
        held
    }

    /// Whether it can read the server's own tables.
    pub(super) fn may_look(&self) -> bool {
        self.has("SELECT")
    }

    /// Whether it can end sessions of others by KILL.
    pub(super) fn may_kill(&self, dialect: &Dialect) -> bool {
        self.has(dialect.kill_privilege()) || self.has("SUPER")
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|held| held == name)
    }

    /// What the owner of a schema gets from this administrator.
    pub(super) fn to_give(&self, dialect: &Dialect) -> Vec<&'static SchemaPrivilege> {
        SCHEMA_PRIVILEGES
            .iter()
            .filter(|privilege| privilege.is_known_to(dialect))
            .filter(|privilege| !privilege.is_optional() || self.has(privilege.name))
            .collect()
    }

    /// What is missing. `kills_by_procedure`: the server has `mysql.rds_kill`.
    pub(super) fn missing(
        &self,
        dialect: &Dialect,
        account: &str,
        kills_by_procedure: bool,
    ) -> Vec<MissingPrivilege> {
        let mut missing = Vec::new();
        let lacking: Vec<_> = self
            .to_give(dialect)
            .into_iter()
            .map(|privilege| privilege.name)
            .filter(|name| !self.has(name))
            .collect();
        if !lacking.is_empty() || !self.grant_option {
            let names = if lacking.is_empty() {
                self.to_give(dialect).iter().map(|p| p.name).collect()
            } else {
                lacking
            };
            missing.push(MissingPrivilege {
                needed_for: "giving a database's owner its privileges".to_owned(),
                grant: format!(
                    "GRANT {} ON *.* TO {account} WITH GRANT OPTION",
                    names.join(", ")
                ),
            });
        }
        let kill = dialect.kill_privilege();
        let single = [
            (
                "CREATE USER",
                "creating and dropping the databases' users",
                false,
            ),
            (
                "PROCESS",
                "naming the sessions that stand in the way of a removal",
                false,
            ),
            (
                kill,
                "ending sessions of a database that is removed",
                kills_by_procedure,
            ),
        ];
        for (name, needed_for, otherwise) in single {
            if !otherwise && !self.has(name) {
                missing.push(MissingPrivilege {
                    needed_for: needed_for.to_owned(),
                    grant: format!("GRANT {name} ON *.* TO {account}"),
                });
            }
        }
        missing
    }
}

/// Reads the administrator's account, as written in statements, and its global privileges, including those of active
/// roles.
pub(super) async fn privileges(session: &mut Session) -> Result<(String, Held), ProviderError> {
    let doing = "asking for the administrator's privileges";
    let who = sqlx::query("SELECT CURRENT_USER() AS account, CURRENT_ROLE() AS roles");
    let (account, roles) = match session.rows(doing, who).await?.first() {
        Some(row) => (row.text("account")?, row.text("roles")?),
        None => (String::new(), String::new()),
    };
    let own = || "SHOW GRANTS".to_owned();
    // MySQL answers with the roles' names, and with their privileges only when they are named. The list is the
    // server's own and quoted by it; MariaDB includes the active role by itself and quotes nothing.
    let rows = if roles.starts_with('`') {
        let with_roles = format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}");
        match session.show(doing, with_roles).await {
            // A role was revoked since the session began; the session keeps it.
            Err(failure) if failure.number == Some(error::NO_ROLE) => {
                session.show(doing, own()).await?
            }
            answer => answer?,
        }
    } else {
        session.show(doing, own()).await?
    };
    let lines: Vec<String> = rows
        .iter()
        .map(|row| row.text_at(0))
        .collect::<Result<_, _>>()?;
    let held = Held::parse(lines.iter().map(String::as_str));
    Ok((self::account(&account), held))
}

/// Whether the server has RDS's procedure for ending sessions.
pub(super) async fn has_kill_procedure(session: &mut Session) -> Result<bool, ProviderError> {
    let query = sqlx::query(
        "SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME = 'rds_kill'",
    );
    Ok(!session
        .rows("looking for mysql.rds_kill", query)
        .await?
        .is_empty())
}

/// One statement that grants everything that may be needed, for errors.
pub(super) fn everything(dialect: &Dialect, account: &str) -> String {
    let mut names: Vec<_> = SCHEMA_PRIVILEGES
        .iter()
        .filter(|privilege| privilege.is_known_to(dialect))
        .map(|privilege| privilege.name)
        .collect();
    names.extend(["CREATE USER", "PROCESS", dialect.kill_privilege()]);
    let names = names.join(", ");
    format!("GRANT {names} ON *.* TO {account} WITH GRANT OPTION")
}

/// Adds the missing grant to an error because the administrator may not read the server's own tables, which managed
/// servers can exclude from SELECT ON *.*.
pub(super) fn to_look(error: ProviderError, account: &str) -> ProviderError {
    match error {
        ProviderError::NotPermitted { doing, detail, .. } => ProviderError::NotPermitted {
            doing,
            detail,
            grant: format!("GRANT SELECT ON mysql.* TO {account}"),
        },
        other => other,
    }
}

/// An account as it is written in statements, from the server's own `user@host`.
pub(super) fn account(current_user: &str) -> String {
    let (user, host) = current_user.rsplit_once('@').unwrap_or((current_user, "%"));
    ident::mysql_account(user, host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn mysql() -> Dialect {
        Dialect::new("9.7.4", "", false, false).unwrap()
    }

    fn mariadb() -> Dialect {
        Dialect::new("10.11.19-MariaDB", "", false, false).unwrap()
    }

    const BASE: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, PROCESS, REFERENCES, INDEX, ALTER, CREATE \
                        TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER \
                        ROUTINE, CREATE USER, EVENT, TRIGGER";

    #[test]
    fn the_least_administrator_lacks_nothing() {
        let lines = [
            format!("GRANT {BASE} ON *.* TO `adm`@`%` WITH GRANT OPTION"),
            "GRANT CONNECTION_ADMIN ON *.* TO `adm`@`%`".to_owned(),
        ];
        let held = Held::parse(lines.iter().map(String::as_str));
        assert_eq!(held.missing(&mysql(), "'adm'@'%'", false), []);

        let line = format!(
            "GRANT {BASE}, DELETE HISTORY, CONNECTION ADMIN ON *.* TO `adm`@`%` IDENTIFIED BY PASSWORD '*3D' \
             WITH GRANT OPTION"
        );
        let held = Held::parse([line.as_str()]);
        assert_eq!(held.missing(&mariadb(), "'adm'@'%'", false), []);
        assert_eq!(held.to_give(&mariadb()).len(), 19);
    }

    /// The privileges are those of "Master user account privileges" in the user guide of Amazon RDS.
    #[test]
    fn the_master_user_of_rds_lacks_nothing() {
        let lines = [format!(
            "GRANT {BASE}, RELOAD, SHOW DATABASES, REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO `admin`@`%` WITH GRANT \
             OPTION"
        )];
        let held = Held::parse(lines.iter().map(String::as_str));
        for dialect in [mysql(), mariadb()] {
            assert_eq!(held.missing(&dialect, "'admin'@'%'", true), []);
            assert_eq!(held.to_give(&dialect).len(), 18);
        }
    }

    #[test]
    fn all_privileges_are_enough() {
        let held =
            Held::parse(["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert_eq!(held.missing(&mysql(), "'root'@'localhost'", false), []);
        assert_eq!(held.missing(&mariadb(), "'root'@'localhost'", false), []);
    }

    #[test]
    fn what_is_missing_is_named_with_its_grant() {
        let lines = [
            format!(
                "GRANT {} ON *.* TO `adm`@`%`",
                BASE.replace("PROCESS, ", "")
            ),
            "GRANT ALL PRIVILEGES ON `x`.* TO `adm`@`%` WITH GRANT OPTION".to_owned(),
        ];
        let held = Held::parse(lines.iter().map(String::as_str));
        let grants: Vec<_> = held
            .missing(&mysql(), "'adm'@'%'", false)
            .into_iter()
            .map(|missing| missing.grant)
            .collect();
        assert!(grants[0].starts_with("GRANT SELECT, INSERT"), "{grants:?}");
        assert!(
            grants[0].ends_with("ON *.* TO 'adm'@'%' WITH GRANT OPTION"),
            "{grants:?}"
        );
        assert_eq!(
            grants[1..],
            [
                "GRANT PROCESS ON *.* TO 'adm'@'%'",
                "GRANT CONNECTION_ADMIN ON *.* TO 'adm'@'%'"
            ]
        );
        assert_eq!(held.missing(&mysql(), "'adm'@'%'", true).len(), 2);
    }

    #[test]
    fn dynamic_privileges_with_grant_option_do_not_count_for_schemas() {
        let lines = [
            format!("GRANT {BASE} ON *.* TO `adm`@`%`"),
            "GRANT CONNECTION_ADMIN ON *.* TO `adm`@`%` WITH GRANT OPTION".to_owned(),
        ];
        let held = Held::parse(lines.iter().map(String::as_str));
        assert_eq!(held.missing(&mysql(), "'adm'@'%'", false).len(), 1);
    }

    #[test]
    fn accounts_are_quoted() {
        assert_eq!(account("o'b@x@10.0.0.%"), "'o''b@x'@'10.0.0.%'");
    }
}
