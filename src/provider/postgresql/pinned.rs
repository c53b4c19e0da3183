//! Settings that are sent in a session's startup packet.
//!
//! A database's owner may set nearly everything for all sessions in it (`ALTER DATABASE … SET`), and a role for its
//! own. The startup packet takes precedence over both. Not pinned is what only a superuser may set
//! (`session_preload_libraries`, `event_triggers`, `session_replication_role`, `log_*`): a tenant cannot set it, and
//! neither may an administrator who is no superuser. Event triggers, those of a login among them, are a superuser's to
//! make. Only what changes what our statements do, or whether they are answered, is named; the driver pins `DateStyle`,
//! `TimeZone`, `client_encoding` and `extra_float_digits` itself.

use std::time::Duration;

use crate::provider::ServerConfig;

/// From this version on, the duration of a whole transaction can be limited.
const TRANSACTION_TIMEOUT_SINCE: u32 = 170_000;

/// Whose settings a session must not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pinned {
    /// Those of no tenant, in a database that is no tenant's. Settings of the server and of the administrator's role
    /// still count: a server that was made read-only stays so.
    Outside,
    /// Those of a tenant's database, on a server of this version.
    Inside { version: u32 },
    /// None: a tenant's own session, which has to experience what its application does.
    Nothing,
    /// The same, but for what one question in it means and how long that may take.
    Question,
}

impl Pinned {
    /// By name and value.
    pub(super) fn settings(self, config: &ServerConfig) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if self == Self::Nothing {
            return settings;
        }
        let mut pin = |name, value: &str| settings.push((name, value.to_owned()));
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let (statement, lock) = (config.timeouts.statement, config.timeouts.lock);
        pin("search_path", "pg_catalog");
        if self == Self::Question {
            pin("statement_timeout", &milliseconds(config.timeouts.connect));
            return settings;
        }
        pin("standard_conforming_strings", "on");
        pin("statement_timeout", &milliseconds(statement));
        pin("lock_timeout", &milliseconds(lock));
        pin(
            "idle_in_transaction_session_timeout",
            &milliseconds(statement),
        );
        let Self::Inside { version } = self else {
            return settings;
        };
        for (name, value) in INSIDE {
            pin(name, value);
        }
        if version >= TRANSACTION_TIMEOUT_SINCE {
            pin("transaction_timeout", "0");
        }
        settings
    }
}

/// Each is the server's own default, and known to every supported version.
const INSIDE: &[(&str, &str)] = &[
    // Whether there is a session at all, and for how long.
    ("local_preload_libraries", ""),
    ("idle_session_timeout", "0"),
    ("exit_on_error", "off"),
    ("tcp_user_timeout", "0"),
    ("client_connection_check_interval", "0"),
    // Who the session is: a superuser would become the role that is named there.
    ("role", "none"),
    // The session is registered in db_operator beforehand, so on a read-only server there is none.
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // What is created: where, and how.
    ("default_tablespace", ""),
    ("temp_tablespaces", ""),
    ("default_table_access_method", "heap"),
    // What our statements mean, and what their answers look like.
    ("row_security", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("backslash_quote", "safe_encoding"),
    ("quote_all_identifiers", "off"),
    ("bytea_output", "hex"),
    ("IntervalStyle", "postgres"),
    ("xmloption", "content"),
    // Which messages we get.
    ("client_min_messages", "warning"),
];

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::provider::{Engine, SqlName, Timeouts, TlsConfig, TlsMode};

    fn names(pinned: Pinned) -> Vec<&'static str> {
        let config = ServerConfig {
            engine: Engine::Postgresql,
            host: "host".to_owned(),
            port: 1,
            tls: TlsConfig {
                mode: TlsMode::Disable,
                ca: None,
            },
            username: "administrator".to_owned(),
            password: SecretString::from("password"),
            max_connections: 1,
            maintenance_database: SqlName::new("postgres").unwrap(),
            timeouts: Timeouts::default(),
        };
        let settings = pinned.settings(&config);
        settings.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_session_inside_pins_what_its_server_knows() {
        let old = names(Pinned::Inside { version: 160_014 });
        let new = names(Pinned::Inside { version: 170_000 });
        assert!(old.contains(&"local_preload_libraries") && old.contains(&"role"));
        assert!(!old.contains(&"transaction_timeout"));
        assert!(new.contains(&"transaction_timeout"));
    }

    #[test]
    fn a_server_that_is_read_only_stays_so() {
        let own = names(Pinned::Outside);
        assert!(own.contains(&"search_path"));
        assert!(!own.contains(&"default_transaction_read_only"));
        assert_eq!(names(Pinned::Nothing), Vec::<&str>::new());
        assert_eq!(
            names(Pinned::Question),
            ["search_path", "statement_timeout"]
        );
    }
}
