//! Where MySQL and MariaDB differ: the whole of it.
//!
//! The rest of this folder speaks the SQL that both understand and asks here for what they do not share. Sources:
//! the MySQL 8.4 and 9.x reference manuals, the MariaDB knowledge base, and both servers themselves.

use super::super::ident::{self, SqlName};
use super::super::{Flavour, ProviderError, Timeouts, Verifier};
use super::catalog::Holder;

/// The session settings that the meaning and the duration of every statement depend on, in one statement that both
/// servers take: `/*M! … */` is executed by MariaDB and a comment to MySQL, `/*!80000 … */` the other way round.
///
/// - `sql_mode` without `ANSI_QUOTES` and `NO_BACKSLASH_ESCAPES`, so that quoting is certain, and on MariaDB with
///   `NO_AUTO_CREATE_USER`, without which a GRANT makes an account that has no password.
/// - `lc_messages`: a few errors are told apart by their text.
/// - What a server may be set to for everybody, and would change or hide what is read and written here: read-only
///   transactions, `sql_select_limit`, `sql_safe_updates`, no checks of keys.
/// - `wait_timeout`, so that the server does not close what the pool keeps.
/// - `lock_wait_timeout`, which is a year (MySQL) or a day (MariaDB) by default.
/// - `information_schema_stats_expiry = 0`: sizes of tables on MySQL as they are, not as they were a day ago.
/// - The named lock is how a session is found again by the next leader (see `fence.rs`).
pub(super) fn pin(limits: &Timeouts, lock_name: &str) -> String {
    let lock_seconds = limits.lock.as_secs().max(1);
    let statement_seconds = limits.statement.as_secs().max(1);
    let kept_seconds = (limits.idle + limits.statement).as_secs() * 2 + 60;
    format!(
        "SET SESSION sql_mode = CONCAT('STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION' \
         /*M! , ',NO_AUTO_CREATE_USER' */ ), autocommit = 1, time_zone = '+00:00', \
         lc_messages = 'en_US', sql_select_limit = 18446744073709551615, sql_safe_updates = 0, sql_big_selects = 1, \
         foreign_key_checks = 1, unique_checks = 1, sql_auto_is_null = 0, wait_timeout = {kept_seconds}, \
         /*M! tx_read_only = 0, */ /*!80000 transaction_read_only = 0, */ \
         lock_wait_timeout = {lock_seconds}, innodb_lock_wait_timeout = {lock_seconds}, \
         /*M! max_statement_time = {statement_seconds}, */ \
         /*!80000 max_execution_time = {}, information_schema_stats_expiry = 0, */ NAMES utf8mb4, @db_operator = GET_LOCK({}, 0)",
        statement_seconds.saturating_mul(1000),
        ident::mysql_literal(lock_name),
    )
}

/// What a connected server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// MySQL or MariaDB.
    pub(super) flavour: Flavour,
    /// As the server says it, without what packagers append: `10.11.19`, `9.7.4`.
    pub(super) version: String,
    /// The first two numbers of it.
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
    /// Tells the servers apart by `VERSION()` and `@@version_comment`.
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

    /// For messages.
    pub(super) fn name(&self) -> &'static str {
        if self.is_mariadb() {
            "MariaDB"
        } else {
            "MySQL"
        }
    }

    /// Characters that a user name may have: `mysql.user.User` is `char(32)` on MySQL; MariaDB documents 80.
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

    /// The clause that sets again what is stored, which takes away that it has expired.
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

    /// The plugin that checks the passwords which are set here.
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

    /// Accounts: `user host locked expired lifetime max_connections queries_per_hour updates_per_hour logins_per_hour
    /// transport locks_itself plugin hash is_role`. `lifetime` is the days after which the password expires, 0 for never,
    /// NULL for the server's default; `transport` is 0 for any, 1 for TLS, 2 and more for a certificate.
    pub(super) fn accounts_sql(&self) -> &'static str {
        if self.is_mariadb() {
            "SELECT CONVERT(User USING utf8mb4) AS user, CONVERT(Host USING utf8mb4) AS host, \
             COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true') AS locked, \
             COALESCE(JSON_VALUE(Priv, '$.password_last_changed'), '1') = '0' AS expired, \
             CAST(JSON_VALUE(Priv, '$.password_lifetime') AS SIGNED) AS lifetime, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_user_connections'), 0) AS SIGNED) AS max_connections, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_questions'), 0) AS SIGNED) AS queries_per_hour, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_updates'), 0) AS SIGNED) AS updates_per_hour, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_connections'), 0) AS SIGNED) AS logins_per_hour, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.ssl_type'), 0) AS SIGNED) AS transport, 0 AS locks_itself, \
             COALESCE(JSON_VALUE(Priv, '$.plugin'), '') AS plugin, \
             COALESCE(JSON_VALUE(Priv, '$.authentication_string'), '') AS hash, \
             COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') IN ('1', 'true') AS is_role \
             FROM mysql.global_priv"
        } else {
            "SELECT CONVERT(User USING utf8mb4) AS user, CONVERT(Host USING utf8mb4) AS host, \
             account_locked = 'Y' AS locked, password_expired = 'Y' AS expired, \
             CAST(password_lifetime AS SIGNED) AS lifetime, \
             CAST(max_user_connections AS SIGNED) AS max_connections, \
             CAST(max_questions AS SIGNED) AS queries_per_hour, CAST(max_updates AS SIGNED) AS updates_per_hour, \
             CAST(max_connections AS SIGNED) AS logins_per_hour, \
             CASE CONVERT(ssl_type USING utf8mb4) WHEN '' THEN 0 WHEN 'ANY' THEN 1 ELSE 2 END AS transport, \
             COALESCE(JSON_EXTRACT(User_attributes, '$.Password_locking.failed_login_attempts') > 0 \
             AND JSON_EXTRACT(User_attributes, '$.Password_locking.password_lock_time_days') <> 0, 0) AS locks_itself, \
             CONVERT(plugin USING utf8mb4) AS plugin, \
             COALESCE(CONVERT(authentication_string USING utf8mb4), '') AS hash, 0 AS is_role \
             FROM mysql.user"
        }
    }

    /// What makes an account more than an ordinary one, whoever holds it: `grantee power`, the grantee written as
    /// `information_schema` does (`'user'@'host'`, nothing escaped).
    pub(super) fn powers_sql(&self) -> &'static str {
        macro_rules! powers {
            ($member:literal, $at:literal, $role:literal, $table:literal) => {
                concat!(
                    "SELECT grantee, power FROM (\
                     SELECT CONVERT(GRANTEE USING utf8mb4) AS grantee, \
                     CONVERT(PRIVILEGE_TYPE USING utf8mb4) AS power \
                     FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE <> 'USAGE' UNION ALL \
                     SELECT CONVERT(GRANTEE USING utf8mb4), CONVERT('GRANT OPTION' USING utf8mb4) \
                     FROM information_schema.USER_PRIVILEGES WHERE IS_GRANTABLE = 'YES' UNION ALL \
                     SELECT CONVERT(CONCAT('''', User, '''@''', Host, '''') USING utf8mb4), \
                     CONVERT('PROXY' USING utf8mb4) FROM mysql.proxies_priv UNION ALL \
                     SELECT CONVERT(CONCAT('''', User, '''@''', Host, '''') USING utf8mb4), \
                     CONVERT(CONCAT(CASE WHEN Db = 'mysql' AND Table_name = 'proc' AND Table_priv = 'Select' \
                     THEN 'SELECT' ELSE 'privileges' END, ' on ', Db, '.', Table_name) USING utf8mb4) \
                     FROM mysql.tables_priv \
                     WHERE Db IN ('mysql', 'sys', 'db_operator') UNION ALL ",
                    "SELECT CONVERT(CONCAT('''', ", $member, ", '''@''', ", $at, ", '''') USING utf8mb4), ",
                    "CONVERT(CONCAT('membership of the role ', ", $role, ") USING utf8mb4) FROM ", $table,
                    ") AS powers",
                )
            };
        }
        if self.is_mariadb() {
            powers!("User", "Host", "Role", "mysql.roles_mapping")
        } else {
            powers!("TO_USER", "TO_HOST", "FROM_USER", "mysql.role_edges")
        }
    }

    /// Which role is had by whom: `role role_host user host`. A role of MariaDB has no host.
    pub(super) fn role_members_sql(&self) -> &'static str {
        if self.is_mariadb() {
            "SELECT CONVERT(Role USING utf8mb4) AS role, '' AS role_host, CONVERT(User USING utf8mb4) AS user, \
             CONVERT(Host USING utf8mb4) AS host FROM mysql.roles_mapping"
        } else {
            "SELECT CONVERT(FROM_USER USING utf8mb4) AS role, CONVERT(FROM_HOST USING utf8mb4) AS role_host, \
             CONVERT(TO_USER USING utf8mb4) AS user, CONVERT(TO_HOST USING utf8mb4) AS host FROM mysql.role_edges"
        }
    }

    /// Who has privileges on all schemas: `user host`. The bits of MariaDB that are left out are PROCESS and SHOW DATABASES.
    pub(super) fn global_holders_sql(&self) -> &'static str {
        if self.is_mariadb() {
            "SELECT CONVERT(User USING utf8mb4) AS user, CONVERT(Host USING utf8mb4) AS host FROM mysql.global_priv \
             WHERE CAST(COALESCE(JSON_VALUE(Priv, '$.access'), 0) AS UNSIGNED) & ~(256 | 16384) <> 0"
        } else {
            "SELECT CONVERT(User USING utf8mb4) AS user, CONVERT(Host USING utf8mb4) AS host FROM mysql.user \
             WHERE 'Y' IN (Select_priv, Insert_priv, Update_priv, Delete_priv, Create_priv, Drop_priv, References_priv, \
             Index_priv, Alter_priv, Create_view_priv, Show_view_priv, Create_routine_priv, Alter_routine_priv, \
             Execute_priv, Event_priv, Trigger_priv, Super_priv, Create_user_priv, File_priv)"
        }
    }

    /// Whether a power, as [`Self::powers_sql`] says it, shows its holder the text of routines of any definer.
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
            super::grants::reaches(pattern, schema)
        }
    }

    /// Which sessions hold a lock on something in a schema, or one that keeps everything as it is: `id`. An error where the
    /// server cannot tell.
    pub(super) fn lock_holders_sql(&self) -> &'static str {
        if self.is_mariadb() {
            // A plugin that is seldom installed; without it the error makes the caller look at the process list.
            "SELECT DISTINCT CAST(THREAD_ID AS SIGNED) AS id FROM information_schema.METADATA_LOCK_INFO \
             WHERE CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY)"
        } else {
            "SELECT DISTINCT CAST(t.PROCESSLIST_ID AS SIGNED) AS id FROM performance_schema.metadata_locks m \
             JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID \
             WHERE (CAST(m.OBJECT_SCHEMA AS BINARY) = CAST(? AS BINARY) \
             OR m.OBJECT_TYPE IN ('GLOBAL', 'BACKUP LOCK') AND m.LOCK_TYPE = 'SHARED') \
             AND m.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_ID IS NOT NULL"
        }
    }

    /// What would make the server tell who holds a lock.
    pub(super) fn lock_instrument(&self) -> &'static str {
        if self.is_mariadb() {
            "INSTALL SONAME 'metadata_lock_info' makes it tell"
        } else {
            "with performance_schema = ON it does"
        }
    }

    /// The statement that lists the prepared XA transactions in a form that can be read.
    pub(super) fn xa_recover(&self) -> &'static str {
        if self.is_mariadb() {
            "XA RECOVER FORMAT='SQL'"
        } else {
            "XA RECOVER CONVERT XID"
        }
    }

    /// Whether a collation exists and which character set it is for: `collation charset`, two parameters.
    pub(super) fn collation_sql(&self) -> &'static str {
        if self.is_mariadb() {
            "SELECT CHARACTER_SET_NAME AS charset FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY \
             WHERE COLLATION_NAME = ? OR FULL_COLLATION_NAME = ?"
        } else {
            "SELECT CHARACTER_SET_NAME AS charset FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY \
             WHERE COLLATION_NAME = ? OR COLLATION_NAME = ?"
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
