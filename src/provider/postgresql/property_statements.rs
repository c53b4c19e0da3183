//! Statements that make what is set on one database in another one. Pure.

use super::properties::{Grant, Properties, Setting};
use super::quoted;
use crate::provider::SqlName;
use crate::provider::ident::postgresql_literal;

/// Settings whose value is a list of names, each quoted for itself (`GUC_LIST_QUOTE` in the server's sources).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Settings that would end a load, or have it done by someone else.
const NOT_WHILE_LOADING: [&str; 8] = [
    "default_transaction_read_only",
    "transaction_read_only",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "role",
];

impl Properties {
    /// CREATE DATABASE for one like it, closed and with this mark.
    pub(super) fn create(&self, database: &SqlName, mark: i32) -> String {
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT {mark}",
            database.postgresql()
        );
        let mut option = |name: &str, value: &str| {
            sql.extend([" ", name, " ", &postgresql_literal(value)]);
        };
        option("ENCODING", &self.encoding);
        option("LC_COLLATE", &self.collate);
        option("LC_CTYPE", &self.ctype);
        match (self.provider.as_deref(), &self.locale) {
            (Some("i"), locale) => {
                option("LOCALE_PROVIDER", "icu");
                if let Some(locale) = locale {
                    option("ICU_LOCALE", locale);
                }
                if let Some(rules) = &self.icu_rules {
                    option("ICU_RULES", rules);
                }
            }
            (Some("b"), locale) => {
                option("LOCALE_PROVIDER", "builtin");
                if let Some(locale) = locale {
                    option("BUILTIN_LOCALE", locale);
                }
            }
            (Some(_), _) => option("LOCALE_PROVIDER", "libc"),
            (None, _) => {}
        }
        if !self.tablespace.default {
            sql.extend([" TABLESPACE ", &quoted(&self.tablespace.name)]);
        }
        sql
    }

    /// Statements that make the settings of the database itself in one that is to be loaded, except what would end a load.
    pub(super) fn for_loading(&self, database: &SqlName) -> Vec<String> {
        let hinders = |setting: &Setting| {
            let name = setting.entry.split('=').next().unwrap_or_default();
            NOT_WHILE_LOADING
                .iter()
                .any(|other| other.eq_ignore_ascii_case(name))
        };
        self.settings
            .iter()
            .filter(|setting| setting.role.is_none() && !hinders(setting))
            .map(|setting| setting.make(database))
            .collect()
    }

    /// Statements that make all of it in a database that takes the other one's place and belongs to the administrator. This
    /// login is let in nowhere.
    pub(super) fn make(&self, database: &SqlName, login: Option<&str>) -> Vec<String> {
        let name = database.postgresql();
        // Its owner may have let others in meanwhile.
        let mut statements = vec![
            format!("ALTER DATABASE {name} RESET ALL"),
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        ];
        statements.extend(self.settings.iter().map(|setting| setting.make(database)));
        let others = self
            .grants
            .iter()
            .filter(|grant| login != Some(grant.grantee.as_str()));
        statements.extend(others.filter_map(|grant| grant.make(database)));
        // -2 is a database whose DROP was interrupted, which no other one can become.
        statements.push(format!(
            "ALTER DATABASE {name} CONNECTION LIMIT {}",
            self.limit.max(-1)
        ));
        let comment = self.comment.as_deref().map(postgresql_literal);
        let comment = comment.as_deref().unwrap_or("NULL");
        statements.push(format!("COMMENT ON DATABASE {name} IS {comment}"));
        statements
    }

    /// Statements that take from the database that has these properties what others have of it, and settings of roles that
    /// `next` does not have: before `next` is made in it.
    pub(super) fn unmake(&self, database: &SqlName, next: &Self) -> Vec<String> {
        let name = database.postgresql();
        let mut grantees: Vec<&str> = self
            .grants
            .iter()
            .map(|grant| grant.grantee.as_str())
            .collect();
        grantees.dedup();
        let mut statements: Vec<String> = grantees
            .into_iter()
            .map(|grantee| {
                format!(
                    "REVOKE ALL ON DATABASE {name} FROM {} CASCADE",
                    quoted(grantee)
                )
            })
            .collect();
        for setting in &self.settings {
            let stays =
                |other: &Setting| other.role == setting.role && other.name() == setting.name();
            if let Some(role) = &setting.role
                && !next.settings.iter().any(stays)
            {
                statements.push(format!(
                    "ALTER ROLE {} IN DATABASE {name} RESET {}",
                    quoted(role),
                    setting.name()
                ));
            }
        }
        statements
    }
}

impl Setting {
    fn make(&self, database: &SqlName) -> String {
        let (name, value) = self.entry.split_once('=').unwrap_or((&self.entry, ""));
        let value = if LISTS.iter().any(|list| list.eq_ignore_ascii_case(name)) {
            let names: Vec<String> = listed(value)
                .iter()
                .map(|name| postgresql_literal(name))
                .collect();
            if names.is_empty() {
                postgresql_literal("")
            } else {
                names.join(", ")
            }
        } else {
            postgresql_literal(value)
        };
        let of = match &self.role {
            None => format!("ALTER DATABASE {}", database.postgresql()),
            Some(role) => format!(
                "ALTER ROLE {} IN DATABASE {}",
                quoted(role),
                database.postgresql()
            ),
        };
        format!("{of} SET {} TO {value}", self.name())
    }
}

impl Grant {
    fn make(&self, database: &SqlName) -> Option<String> {
        // The words of the server's own, which stand for themselves.
        let word = ["CREATE", "CONNECT", "TEMPORARY"]
            .into_iter()
            .find(|word| *word == self.privilege)?;
        let option = if self.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        Some(format!(
            "GRANT {word} ON DATABASE {} TO {}{option}",
            database.postgresql(),
            quoted(&self.grantee)
        ))
    }
}

/// The names in a list as the server keeps it: separated by commas, in quotation marks where they need them, which are
/// doubled inside.
pub(super) fn listed(value: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let mut name = String::new();
        if let Some(inside) = rest.strip_prefix('"') {
            let mut characters = inside.char_indices().peekable();
            let mut end = inside.len();
            while let Some((at, character)) = characters.next() {
                if character != '"' {
                    name.push(character);
                } else if characters.next_if(|(_, next)| *next == '"').is_some() {
                    name.push('"');
                } else {
                    end = at + 1;
                    break;
                }
            }
            rest = inside.get(end..).unwrap_or_default();
            rest = rest.split_once(',').map_or("", |(_, rest)| rest);
        } else {
            let (first, others) = rest.split_once(',').unwrap_or((rest, ""));
            name.push_str(first.trim_end());
            rest = others;
        }
        names.push(name);
        rest = rest.trim_start();
    }
    names
}
