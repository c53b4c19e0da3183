//! The statements that differ between MySQL and MariaDB.

use super::dialect::Dialect;

/// The accounts of MariaDB, with whether wrong passwords have blocked each, and what is joined to tell that.
macro_rules! mariadb_accounts {
    ($blocked:literal, $joined:literal) => {
        concat!(
            "SELECT CONVERT(User USING utf8mb4) AS user, CONVERT(Host USING utf8mb4) AS host, \
             COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true') AS locked, \
             COALESCE(JSON_VALUE(Priv, '$.password_last_changed'), '1') = '0' AS expired, \
             CAST(JSON_VALUE(Priv, '$.password_lifetime') AS SIGNED) AS lifetime, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_user_connections'), 0) AS SIGNED) AS max_connections, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_questions'), 0) AS SIGNED) AS queries_per_hour, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_updates'), 0) AS SIGNED) AS updates_per_hour, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_connections'), 0) AS SIGNED) AS logins_per_hour, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.max_statement_time'), 0) AS DOUBLE) <> 0 AS ends_statements, \
             COALESCE(JSON_LENGTH(Priv, '$.auth_or'), 0) > 1 AS has_other_way, \
             CAST(COALESCE(JSON_VALUE(Priv, '$.ssl_type'), 0) AS SIGNED) AS transport, 0 AS further_factors, 0 AS locks_itself, ",
            $blocked,
            " AS blocked, COALESCE(JSON_VALUE(Priv, '$.plugin'), '') AS plugin, \
             COALESCE(JSON_VALUE(Priv, '$.authentication_string'), '') AS hash, \
             COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') IN ('1', 'true') AS is_role \
             FROM mysql.global_priv",
            $joined
        )
    };
}

impl Dialect {
    /// Accounts: `user host locked expired lifetime max_connections queries_per_hour updates_per_hour logins_per_hour
    /// ends_statements has_other_way transport further_factors locks_itself blocked plugin hash is_role`. `lifetime` is the days after which the
    /// password expires, 0 for never, NULL for the server's default; `transport` is 0 for any, 1 for TLS, 2 and more for a certificate;
    /// `blocked` is NULL where the server counts wrong passwords and does not say whose: MySQL, where `connection_control` makes users
    /// wait for them.
    pub(super) fn accounts_sql(&self) -> &'static str {
        if self.is_mariadb() && self.series >= (11, 5) {
            // A table has how often others got a password wrong.
            mariadb_accounts!(
                "COALESCE(e.PASSWORD_ERRORS, 0) >= @@GLOBAL.max_password_errors",
                " LEFT JOIN (SELECT USER AS grantee, PASSWORD_ERRORS FROM information_schema.USERS) e \
                 ON CAST(e.grantee AS BINARY) = CAST(CONCAT('''', User, '''@''', Host, '''') AS BINARY)"
            )
        } else if self.is_mariadb() {
            mariadb_accounts!("IF(@@GLOBAL.max_password_errors < 4294967295, NULL, 0)", "")
        } else {
            "SELECT CONVERT(User USING utf8mb4) AS user, CONVERT(Host USING utf8mb4) AS host, \
             account_locked = 'Y' AS locked, password_expired = 'Y' AS expired, \
             CAST(password_lifetime AS SIGNED) AS lifetime, \
             CAST(max_user_connections AS SIGNED) AS max_connections, \
             CAST(max_questions AS SIGNED) AS queries_per_hour, CAST(max_updates AS SIGNED) AS updates_per_hour, \
             CAST(max_connections AS SIGNED) AS logins_per_hour, 0 AS ends_statements, 0 AS has_other_way, \
             CASE CONVERT(ssl_type USING utf8mb4) WHEN '' THEN 0 WHEN 'ANY' THEN 1 ELSE 2 END AS transport, \
             COALESCE(JSON_EXTRACT(User_attributes, '$.Password_locking.failed_login_attempts') > 0 \
             AND JSON_EXTRACT(User_attributes, '$.Password_locking.password_lock_time_days') <> 0, 0) AS locks_itself, \
             IF(EXISTS (SELECT 1 FROM performance_schema.global_variables WHERE VARIABLE_NAME IN \
             ('connection_control_failed_connections_threshold', \
             'component_connection_control.failed_connections_threshold') AND VARIABLE_VALUE <> '0'), NULL, 0) AS blocked, \
             CAST(COALESCE(JSON_LENGTH(User_attributes, '$.multi_factor_authentication'), 0) AS SIGNED) AS further_factors, \
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

    /// Which sessions hold a lock that a change of a schema, an account or privileges waits for: `id kept`, one parameter, the
    /// schema. `kept` is one that was taken to be kept, and lasts beyond any transaction. An error where the server cannot tell.
    pub(super) fn change_holders_sql(&self) -> &'static str {
        if self.is_mariadb() {
            // The plugin again, which does not say for how long a lock was taken.
            "SELECT CAST(THREAD_ID AS SIGNED) AS id, CAST(MAX(LOCK_TYPE = 'Backup lock') AS SIGNED) AS kept \
             FROM information_schema.METADATA_LOCK_INFO \
             WHERE LOCK_TYPE = 'Schema metadata lock' AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) \
             OR LOCK_TYPE = 'Table metadata lock' AND TABLE_SCHEMA = 'mysql' AND LOCK_MODE IN ('MDL_SHARED_WRITE', \
             'MDL_SHARED_UPGRADABLE', 'MDL_SHARED_READ_ONLY', 'MDL_SHARED_NO_WRITE', 'MDL_SHARED_NO_READ_WRITE', 'MDL_EXCLUSIVE') \
             OR LOCK_TYPE = 'Backup lock' AND (LOCK_MODE LIKE '%FTWRL%' OR LOCK_MODE LIKE '%BLOCK%') GROUP BY THREAD_ID"
        } else {
            "SELECT CAST(t.PROCESSLIST_ID AS SIGNED) AS id, CAST(MAX(m.LOCK_DURATION = 'EXPLICIT') AS SIGNED) AS kept \
             FROM performance_schema.metadata_locks m \
             JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID \
             WHERE (m.OBJECT_TYPE = 'SCHEMA' AND CAST(m.OBJECT_SCHEMA AS BINARY) = CAST(? AS BINARY) \
             OR m.OBJECT_TYPE IN ('GLOBAL', 'BACKUP LOCK') AND m.LOCK_TYPE = 'SHARED' \
             OR m.OBJECT_TYPE = 'ACL CACHE' AND m.LOCK_TYPE = 'EXCLUSIVE' \
             OR m.OBJECT_TYPE = 'TABLE' AND m.OBJECT_SCHEMA = 'mysql' AND m.LOCK_TYPE IN ('SHARED_WRITE', \
             'SHARED_READ_ONLY', 'SHARED_NO_WRITE', 'SHARED_NO_READ_WRITE', 'EXCLUSIVE')) \
             AND m.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_ID IS NOT NULL GROUP BY t.PROCESSLIST_ID"
        }
    }

    /// Who waits for whose metadata lock in a schema: `waiter name holder exclusive`, one parameter. `None` if the server
    /// has no such table.
    pub(super) fn lock_waits_sql(&self) -> Option<&'static str> {
        // MariaDB's plugin lists the locks that are had, not who waits for them.
        (!self.is_mariadb()).then_some(
            "SELECT CAST(wt.PROCESSLIST_ID AS SIGNED) AS waiter, CONVERT(w.OBJECT_NAME USING utf8mb4) AS name, \
             CAST(ht.PROCESSLIST_ID AS SIGNED) AS holder, \
             h.LOCK_TYPE IN ('SHARED_NO_READ_WRITE', 'EXCLUSIVE') AS exclusive \
             FROM performance_schema.metadata_locks w \
             JOIN performance_schema.threads wt ON wt.THREAD_ID = w.OWNER_THREAD_ID \
             JOIN performance_schema.metadata_locks h ON h.OBJECT_TYPE = w.OBJECT_TYPE \
             AND h.OBJECT_SCHEMA = w.OBJECT_SCHEMA AND h.OBJECT_NAME = w.OBJECT_NAME \
             AND h.LOCK_STATUS = 'GRANTED' AND h.OWNER_THREAD_ID <> w.OWNER_THREAD_ID \
             JOIN performance_schema.threads ht ON ht.THREAD_ID = h.OWNER_THREAD_ID \
             WHERE w.LOCK_STATUS = 'PENDING' AND w.OBJECT_TYPE = 'TABLE' \
             AND CAST(w.OBJECT_SCHEMA AS BINARY) = CAST(? AS BINARY) AND wt.PROCESSLIST_ID IS NOT NULL \
             AND ht.PROCESSLIST_ID IS NOT NULL ORDER BY exclusive DESC, holder LIMIT 50",
        )
    }

    /// Who has a lock on a table of a schema that no reader goes beside: `name holder`, one parameter. For servers that do not say who waits for
    /// whom; an error where it cannot tell either.
    pub(super) fn exclusive_locks_sql(&self) -> Option<&'static str> {
        self.is_mariadb().then_some(
            "SELECT DISTINCT CONVERT(TABLE_NAME USING utf8mb4) AS name, CAST(THREAD_ID AS SIGNED) AS holder \
             FROM information_schema.METADATA_LOCK_INFO WHERE CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) \
             AND LOCK_TYPE = 'Table metadata lock' AND LOCK_MODE IN ('MDL_EXCLUSIVE', 'MDL_SHARED_NO_READ_WRITE') LIMIT 50",
        )
    }

    /// The statement that lists the prepared XA transactions in a form that can be read.
    pub(super) fn xa_recover(&self) -> &'static str {
        if self.is_mariadb() {
            "XA RECOVER FORMAT='SQL'"
        } else {
            "XA RECOVER CONVERT XID"
        }
    }

    /// The schemas. Only MySQL has options of them.
    pub(super) fn schemas_sql(&self) -> &'static str {
        if self.is_mariadb() {
            "SELECT s.SCHEMA_NAME AS name, s.DEFAULT_CHARACTER_SET_NAME AS character_set, \
             s.DEFAULT_COLLATION_NAME AS collation, '' AS options FROM information_schema.SCHEMATA s"
        } else {
            "SELECT s.SCHEMA_NAME AS name, s.DEFAULT_CHARACTER_SET_NAME AS character_set, \
             s.DEFAULT_COLLATION_NAME AS collation, COALESCE(e.OPTIONS, '') AS options \
             FROM information_schema.SCHEMATA s \
             LEFT JOIN information_schema.SCHEMATA_EXTENSIONS e ON e.SCHEMA_NAME = s.SCHEMA_NAME"
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
