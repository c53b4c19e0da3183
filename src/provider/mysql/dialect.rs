//! Everything in which MySQL and MariaDB differ.
//!
//! The rest of this folder uses SQL that both understand, and asks this file (and `dialect_sql.rs`) for the rest.
//! Sources: the MySQL 8.4 and 9.x reference manuals, the MariaDB knowledge base, and both servers themselves.

use super::rows::Holder;
use super::session::Session;
use super::{error, everybody};
use crate::provider::ident::{self, SqlName};
use crate::provider::{Flavour, ProviderError, TlsMode, Verifier};

/// What a connected server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// MySQL or MariaDB.
    pub(super) flavour: Flavour,
    /// The version that the server reports, without what packagers append: `10.11.19`, `9.7.4`.
    pub(super) version: String,
    /// Its first two numbers.
    pub(super) series: (u32, u32),
    /// `lower_case_table_names` is not 0: the server folds the names of schemas.
    pub(super) folds_names: bool,
    /// MySQL's `partial_revokes` is on: `_` and `%` in a GRANT are no wildcards and nothing is escaped.
    pub(super) literal_grants: bool,
    /// The roles that all users have: MariaDB's PUBLIC, MySQL's mandatory ones.
    pub(super) everybody: Vec<Holder>,
    /// Connections are made with TLS.
    pub(super) encrypted: bool,
}

impl Dialect {
    /// Tells the servers apart by `VERSION()` and `super::superversion_comment`.
    pub(super) fn new(
        version: &str,
        comment: &str,
        folds_names: bool,
        literal_grants: bool,
    ) -> Result<Self, ProviderError> {
        let mariadb = |text: &str| text.to_ascii_lowercase().contains("mariadb");
        let flavour = if mariadb(version) || mariadb(comment) {
            Flavour::Mariadb
        } else {
            Flavour::Mysql
        };
        let numbers = version
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .unwrap_or_default();
        let mut parts = numbers.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return Err(ProviderError::Unsupported(format!(
                "the server calls its version {version:?}, which is neither MySQL's nor MariaDB's notation"
            )));
        };
        let oldest = match flavour {
            Flavour::Mariadb => (10, 6),
            Flavour::Mysql | Flavour::Postgresql => (8, 0),
        };
        if (major, minor) < oldest {
            return Err(ProviderError::Unsupported(format!(
                "the server is {version}; MySQL 8.4 and 9, and MariaDB 10.11 and 11 are supported, so upgrade it"
            )));
        }
        Ok(Self {
            flavour,
            version: numbers.to_owned(),
            series: (major, minor),
            folds_names,
            literal_grants,
            everybody: Vec::new(),
            encrypted: true,
        })
    }

    /// Whether this is MariaDB.
    pub(super) fn is_mariadb(&self) -> bool {
        self.flavour == Flavour::Mariadb
    }

    /// The most characters of a user name: `mysql.user.User` is `char(32)` on MySQL; MariaDB documents 80.
    pub(super) fn user_name_limit(&self) -> usize {
        if self.is_mariadb() { 80 } else { 32 }
    }

    /// How the server writes the schema in `mysql.db`, and how GRANT and REVOKE name it.
    pub(super) fn grant_pattern(&self, schema: &SqlName) -> String {
        if self.literal_grants {
            schema.as_str().to_owned()
        } else {
            ident::mysql_grant_pattern(schema)
        }
    }

    /// The clause of CREATE USER and ALTER USER that sets the stored hash. No password ever stands in it.
    pub(super) fn identified(&self, verifier: &Verifier) -> String {
        if self.is_mariadb() {
            let hash = ident::mysql_literal(verifier.expose_for_mariadb());
            format!("IDENTIFIED VIA mysql_native_password USING {hash}")
        } else {
            let hash = ident::mysql_literal(verifier.expose());
            format!("IDENTIFIED WITH caching_sha2_password AS {hash}")
        }
    }

    /// The clause that sets the stored hash again, after which the password has no longer expired.
    pub(super) fn identified_again(&self, plugin: &str, hash: &str) -> String {
        let (plugin, hash) = (ident::mysql_literal(plugin), ident::mysql_literal(hash));
        if self.is_mariadb() {
            format!("IDENTIFIED VIA {plugin} USING {hash}")
        } else {
            format!("IDENTIFIED WITH {plugin} AS {hash}")
        }
    }

    /// The plugin and the hash that [`Self::identified`] makes the server store.
    pub(super) fn stored<'v>(&self, verifier: &'v Verifier) -> (&'static str, &'v str) {
        let hash = if self.is_mariadb() {
            verifier.expose_for_mariadb()
        } else {
            verifier.expose()
        };
        (self.plugin(), hash)
    }

    /// The plugin that checks the passwords that are set here.
    pub(super) fn plugin(&self) -> &'static str {
        if self.is_mariadb() {
            "mysql_native_password"
        } else {
            "caching_sha2_password"
        }
    }

    /// A collation for utf8mb4 under which two texts are equal only if they have the same bytes: also with trailing
    /// spaces, which `utf8mb4_bin` ignores.
    pub(super) fn exact_collation(&self) -> &'static str {
        if self.is_mariadb() {
            "utf8mb4_nopad_bin"
        } else {
            "utf8mb4_0900_bin"
        }
    }

    /// Whether a power, as [`Self::powers_sql`] returns it, shows its holder the text of routines of any definer.
    pub(super) fn shows_routines(&self, power: &str) -> bool {
        if self.is_mariadb() {
            power == "SELECT" || power == "SHOW CREATE ROUTINE" || power.ends_with(" on mysql.proc")
        } else {
            power == "SELECT" || power == "SHOW_ROUTINE"
        }
    }

    /// The statement that shows an account the text of the routines in a schema, whoever defined them.
    pub(super) fn routine_grant(&self, schema: &SqlName, account: &str) -> String {
        if !self.is_mariadb() {
            format!("GRANT SHOW_ROUTINE ON *.* TO {account}")
        } else if self.series >= (11, 3) {
            let pattern = ident::mysql_identifier(&self.grant_pattern(schema));
            format!("GRANT SHOW CREATE ROUTINE ON {pattern}.* TO {account}")
        } else {
            format!("GRANT SELECT ON mysql.proc TO {account}")
        }
    }

    /// Whether privileges on a pattern of `mysql.db` reach a schema.
    pub(super) fn reaches(&self, pattern: &str, schema: &str) -> bool {
        if self.literal_grants {
            pattern == schema
        } else {
            super::privileges::reaches(pattern, schema)
        }
    }

    /// What would make the server say who holds a lock.
    pub(super) fn lock_instrument(&self) -> &'static str {
        if self.is_mariadb() {
            "INSTALL SONAME 'metadata_lock_info' makes it tell"
        } else {
            "with performance_schema = ON it does"
        }
    }

    /// The privilege that lets a session end other accounts' sessions.
    pub(super) fn kill_privilege(&self) -> &'static str {
        if self.is_mariadb() {
            "CONNECTION ADMIN"
        } else {
            "CONNECTION_ADMIN"
        }
    }
}

/// Detects which server answered, and refuses MySQL without TLS.
pub(super) async fn detect(session: &mut Session, mode: TlsMode) -> Result<Dialect, ProviderError> {
    let doing = "asking the server for its version";
    let sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
               ('version', 'version_comment', 'lower_case_table_names', 'partial_revokes', 'mandatory_roles')";
    let variables = session.variables(doing, sql).await?;
    let value = |name: &str| variables.get(name).map_or("", String::as_str);
    let folds = value("lower_case_table_names") != "0";
    let literal = value("partial_revokes") == "ON";
    let mut dialect = Dialect::new(value("version"), value("version_comment"), folds, literal)?;
    dialect.everybody = if dialect.is_mariadb() {
        vec![everybody::public()]
    } else {
        everybody::mandatory_roles(value("mandatory_roles"))
    };
    dialect.encrypted = mode != TlsMode::Disable;
    if dialect.flavour == Flavour::Mysql && mode == TlsMode::Disable {
        return Err(error::needs_tls(session.server().to_owned()));
    }
    Ok(dialect)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn dialect(version: &str, comment: &str) -> Dialect {
        Dialect::new(version, comment, false, false).unwrap()
    }

    #[test]
    fn servers_are_told_apart() {
        let debian = dialect("10.11.19-MariaDB-0+deb12u1-log", "Debian 12");
        assert!(debian.is_mariadb());
        assert_eq!(debian.version, "10.11.19");
        assert_eq!(debian.series, (10, 11));
        let renamed = dialect("11.8.3", "mariadb.org binary distribution");
        assert!(renamed.is_mariadb());
        let mysql = dialect("9.7.4-2", "(Debian)");
        assert!(!mysql.is_mariadb());
        assert_eq!((mysql.version.as_str(), mysql.series), ("9.7.4", (9, 7)));
    }

    #[test]
    fn what_is_too_old_or_unknown_is_refused() {
        for version in ["5.7.44", "10.5.29-MariaDB", "Dolt", ""] {
            let refused = Dialect::new(version, "", false, false);
            assert!(
                matches!(refused, Err(ProviderError::Unsupported(_))),
                "{version:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn grants_are_escaped_unless_the_server_takes_them_literally() {
        let name = SqlName::new("a_b%").unwrap();
        let escaping = dialect("9.7.4", "");
        assert_eq!(escaping.grant_pattern(&name), "a\\_b\\%");
        let literal = Dialect::new("9.7.4", "", false, true).unwrap();
        assert_eq!(literal.grant_pattern(&name), "a_b%");
    }
}
