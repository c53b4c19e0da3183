//! The settings that every session is opened with.

use crate::provider::{Timeouts, ident};

/// The session settings that the meaning and the duration of every statement depend on, in one statement that both
/// servers take: `/*M! … */` is executed by MariaDB and a comment to MySQL, `/*!80000 … */` the other way round.
///
/// - `sql_mode` without `ANSI_QUOTES` and `NO_BACKSLASH_ESCAPES`, so that quoting is certain, and on MariaDB with
///   `NO_AUTO_CREATE_USER`, without which a GRANT makes an account that has no password.
/// - `lc_messages`: a few errors are only distinguished by their text.
/// - Settings of the whole server that would change or hide what is read and written here: read-only
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
