//! Settings of a server that forbid what is done here, and those that applications will meet.
//!
//! Sources: "Server System Variables" of the MySQL 8.4 and 9.x reference manuals and of MariaDB's documentation, and both
//! servers themselves. What is not listed here does no harm: a session's own settings are pinned (`pinned.rs`), an
//! account's own takes precedence over `default_password_lifetime` (`role.rs`), and MySQL's `validate_password`,
//! `password_history` and `password_reuse_interval` let hashes pass.

use std::collections::HashMap;

use super::dialect::Dialect;
use super::session::Session;
use crate::provider::{ProviderError, Warning};

/// The values of the variables that are read here, by name. A server has only some of them.
pub(super) type Variables = HashMap<String, String>;

/// What makes a server refuse to write: any value but OFF or 0. MariaDB 12 has more values than ON for `read_only`; each
/// `innodb_force_recovery` may refuse a write.
const READ_ONLY: [&str; 4] = [
    "read_only",
    "super_read_only",
    "innodb_read_only",
    "innodb_force_recovery",
];

/// MariaDB's default for `max_password_errors`, which no one reaches.
const NO_PASSWORD_ERRORS: &str = "4294967295";

/// Reads the variables that matter here.
pub(super) async fn read(session: &mut Session) -> Result<Variables, ProviderError> {
    const SQL: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', \
                       'innodb_read_only', 'innodb_force_recovery', 'strict_password_validation', 'offline_mode', \
                       'authentication_policy', 'log_bin', 'log_bin_trust_function_creators', 'max_password_errors', \
                       'max_execution_time')";
    session
        .variables("reading the server's settings", SQL)
        .await
}

/// The plugins of MariaDB that check passwords, by name. MySQL's component checks no hash.
pub(super) async fn password_checks(
    session: &mut Session,
    dialect: &Dialect,
) -> Result<Vec<String>, ProviderError> {
    if !dialect.is_mariadb() {
        return Ok(Vec::new());
    }
    let query = sqlx::query(
        "SELECT PLUGIN_NAME AS name FROM information_schema.PLUGINS \
         WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE' ORDER BY PLUGIN_NAME",
    );
    let rows = session
        .rows("looking for plugins that check passwords", query)
        .await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// Whether the server accepts no writes.
pub(super) fn is_read_only(variables: &Variables) -> bool {
    READ_ONLY.iter().any(|name| is_on(variables, name))
}

/// The settings with which no database of the server can be used.
pub(super) fn unsuitable(variables: &Variables) -> Vec<Warning> {
    if !is_on(variables, "offline_mode") {
        return Vec::new();
    }
    vec![warning(
        "the server lets in administrators only (offline_mode is ON), so no database's user can log in",
        "SET GLOBAL offline_mode = OFF",
    )]
}

/// The settings with which no user can be created or given a password. What exists goes on, and is looked after. `checks`:
/// the plugins that check passwords.
fn against_new_users(dialect: &Dialect, variables: &Variables, checks: &[String]) -> Vec<Warning> {
    let mut found = Vec::new();
    if !checks.is_empty() && is_on(variables, "strict_password_validation") {
        found.push(warning(
            format!(
                "the server refuses every password that is given as a hash, because {} cannot check it and \
                 strict_password_validation is ON; the operator gives no other",
                checks.join(", ")
            ),
            "SET GLOBAL strict_password_validation = OFF",
        ));
    }
    if let Some(policy) = variables.get("authentication_policy")
        && !takes_one_password(policy, dialect.plugin())
    {
        found.push(warning(
            format!(
                "the server takes no user that logs in with {} alone (authentication_policy is '{policy}')",
                dialect.plugin()
            ),
            "SET GLOBAL authentication_policy = '*,,'",
        ));
    }
    found
}

/// The settings that new users, applications or their backups will meet. `checks`: the plugins that check passwords.
pub(super) fn warnings(
    dialect: &Dialect,
    variables: &Variables,
    checks: &[String],
) -> Vec<Warning> {
    let mut found = against_new_users(dialect, variables, checks);
    if is_on(variables, "log_bin") && !is_on(variables, "log_bin_trust_function_creators") {
        found.push(warning(
            "applications cannot create triggers and functions (error 1419): the server writes a binary log, and \
             log_bin_trust_function_creators is OFF",
            "SET GLOBAL log_bin_trust_function_creators = ON",
        ));
    }
    if let Some(most) = variables
        .get("max_password_errors")
        .filter(|most| *most != NO_PASSWORD_ERRORS)
    {
        found.push(warning(
            format!(
                "anyone who knows a user's name can lock that user with {most} wrong passwords (max_password_errors), \
                 until FLUSH PRIVILEGES"
            ),
            &format!("SET GLOBAL max_password_errors = {NO_PASSWORD_ERRORS}"),
        ));
    }
    if let Some(most) = variables
        .get("max_execution_time")
        .filter(|_| !dialect.is_mariadb() && is_on(variables, "max_execution_time"))
    {
        found.push(warning(
            format!("a dump fails at a table that takes longer than {most} ms to read (max_execution_time)"),
            "SET GLOBAL max_execution_time = 0",
        ));
    }
    found
}

/// Whether a variable has a value other than those that switch it off. One that the server lacks is off.
fn is_on(variables: &Variables, name: &str) -> bool {
    variables
        .get(name)
        .is_some_and(|value| !matches!(value.to_ascii_uppercase().as_str(), "OFF" | "0" | ""))
}

/// Whether MySQL's `authentication_policy` takes an account with this plugin and no other factor. The value has an element
/// for each of three factors: empty for one that may be left out, `*` (also with a default, `*:plugin`) for any plugin, or
/// the plugin that is required.
fn takes_one_password(policy: &str, plugin: &str) -> bool {
    let mut factors = policy.split(',').map(str::trim);
    let first = factors.next().unwrap_or_default();
    (first.is_empty() || first == plugin || first.starts_with('*')) && factors.all(str::is_empty)
}

fn warning(what: impl Into<String>, sql: &str) -> Warning {
    Warning {
        what: what.into(),
        sql: sql.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn dialect(version: &str) -> Dialect {
        Dialect::new(version, "", false, false).unwrap()
    }

    fn variables(values: &[(&str, &str)]) -> Variables {
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn statements(found: &[Warning]) -> Vec<&str> {
        found.iter().map(|warning| warning.sql.as_str()).collect()
    }

    #[test]
    fn any_read_only_variable_counts() {
        let says = |name: &str, value: &str| is_read_only(&variables(&[(name, value)]));
        assert!(!says("read_only", "OFF") && !says("innodb_force_recovery", "0"));
        assert!(says("read_only", "ON") && says("read_only", "NO_LOCK"));
        assert!(says("super_read_only", "ON") && says("innodb_force_recovery", "4"));
        assert!(!says("offline_mode", "ON"));
    }

    #[test]
    fn a_check_of_passwords_forbids_hashes_only_where_it_is_strict() {
        let strict = variables(&[("strict_password_validation", "ON")]);
        let lax = variables(&[("strict_password_validation", "OFF")]);
        let checks = ["cracklib_password_check".to_owned()];
        let mariadb = dialect("11.8.3-MariaDB");
        let found = against_new_users(&mariadb, &strict, &checks);
        assert_eq!(
            statements(&found),
            ["SET GLOBAL strict_password_validation = OFF"]
        );
        assert!(found[0].what.contains("cracklib_password_check"));
        assert_eq!(against_new_users(&mariadb, &strict, &[]), []);
        assert_eq!(against_new_users(&mariadb, &lax, &checks), []);
    }

    #[test]
    fn what_keeps_users_out_is_found() {
        let mysql = dialect("9.7.4");
        for (policy, suits) in [
            ("*,,", true),
            ("*:caching_sha2_password,,", true),
            ("caching_sha2_password, ,", true),
            ("", true),
            ("sha256_password,,", false),
            ("*,*,", false),
            ("*,authentication_webauthn", false),
        ] {
            let policy_only = variables(&[("authentication_policy", policy)]);
            let found = against_new_users(&mysql, &policy_only, &[]);
            assert_eq!(found.is_empty(), suits, "{policy}: {found:?}");
        }
        let found = unsuitable(&variables(&[("offline_mode", "ON")]));
        assert_eq!(statements(&found), ["SET GLOBAL offline_mode = OFF"]);
    }

    #[test]
    fn what_applications_will_meet_is_told() {
        let mysql = dialect("9.7.4");
        let usual = variables(&[
            ("log_bin", "OFF"),
            ("log_bin_trust_function_creators", "OFF"),
            ("max_password_errors", NO_PASSWORD_ERRORS),
            ("max_execution_time", "0"),
        ]);
        assert_eq!(warnings(&mysql, &usual, &[]), []);
        let trusting = [("log_bin", "ON"), ("log_bin_trust_function_creators", "ON")];
        assert_eq!(warnings(&mysql, &variables(&trusting), &[]), []);
        let changed = variables(&[
            ("log_bin", "ON"),
            ("log_bin_trust_function_creators", "OFF"),
            ("max_password_errors", "3"),
            ("max_execution_time", "1000"),
        ]);
        let expected = [
            "SET GLOBAL log_bin_trust_function_creators = ON",
            "SET GLOBAL max_password_errors = 4294967295",
            "SET GLOBAL max_execution_time = 0",
        ];
        assert_eq!(statements(&warnings(&mysql, &changed, &[])), expected);
        let found = warnings(&dialect("11.8.3-MariaDB"), &changed, &[]);
        assert_eq!(
            statements(&found),
            expected[..2],
            "its dump tool sets that itself"
        );
    }
}
