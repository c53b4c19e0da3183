//! The statements that differ between MySQL and MariaDB.

use super::dialect::Dialect;

impl Dialect {
    /// Accounts: `user host locked expired lifetime max_connections queries_per_hour updates_per_hour logins_per_hour
    /// transport locks_itself plugin hash is_role`. `lifetime` is the days after which the password expires, 0 for
    /// never, NULL for the server's default; `transport` is 0 for any, 1 for TLS, 2 and more for a certificate.
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

    /// What makes an account more than an ordinary one, for all holders: `grantee power`, the grantee written as
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

    /// Who has privileges on all schemas: `user host`. The bits of MariaDB that are left out are PROCESS and SHOW
    /// DATABASES.
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

    /// Which sessions hold a lock on something in a schema, or one that keeps everything as it is: `id`. An error where
    /// the server cannot tell.
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
}
