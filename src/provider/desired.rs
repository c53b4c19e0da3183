//! What a server is asked for, with every default filled in.

use super::{LocaleProvider, SqlName};

/// The SQL names of a database and of the role that owns it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Names {
    /// The database (MySQL: the schema).
    pub database: SqlName,
    /// The role (MySQL: the account's user part; its host is always `%`).
    pub role: SqlName,
}

/// What a `Database` object asks for, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The database and its owner.
    pub names: Names,
    /// Sessions that the role may have at once; `None` is no limit.
    pub connection_limit: Option<u32>,
    /// Settings of PostgreSQL. Empty where the server's defaults are wanted.
    pub postgresql: PostgresqlSettings,
    /// Settings of MySQL and MariaDB. Empty where the server's defaults are wanted.
    pub mysql: MysqlSettings,
}

/// Settings that only PostgreSQL has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresqlSettings {
    /// The database that a new one is a copy of; `None` is `template0`. What an existing one was copied from, no server
    /// remembers.
    pub template: Option<SqlName>,
    /// Character encoding of a new database, such as `UTF8`. An existing database keeps its own.
    pub encoding: Option<String>,
    /// `LC_COLLATE` and `LC_CTYPE` of a new database. An existing database keeps its own.
    pub locale: Option<String>,
    /// The locale provider of a new database. An existing database keeps its own.
    pub locale_provider: Option<LocaleProvider>,
    /// The ICU locale of a new database, with that provider. An existing database keeps its own.
    pub icu_locale: Option<String>,
    /// The builtin locale of a new database, with that provider. An existing database keeps its own.
    pub builtin_locale: Option<String>,
    /// Extensions that must be installed.
    pub extensions: Vec<Extension>,
    /// Schemas that must exist, owned by the role.
    pub schemas: Vec<SqlName>,
    /// Extensions that the server does not trust but the platform team allows.
    pub allowed_extensions: Vec<String>,
    /// Databases that the platform team allows as a template.
    pub allowed_templates: Vec<String>,
}

/// One extension of a PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name in `pg_available_extensions`.
    pub name: SqlName,
    /// The schema that it has to be in; `None` leaves the choice to the server, and an installed one where it is.
    pub schema: Option<SqlName>,
    /// The version that is wanted; `None` is the server's default, and keeps an installed one.
    pub version: Option<String>,
}

/// Settings that only MySQL and MariaDB have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MysqlSettings {
    /// Default character set of the schema; `None` is the server's own.
    pub character_set: Option<String>,
    /// Default collation of the schema; `None` is the character set's own.
    pub collation: Option<String>,
}

impl MysqlSettings {
    /// Whether the collation is named without its character set, as MariaDB takes its newer ones.
    #[must_use]
    pub fn has_short_collation(&self) -> bool {
        let is_short = |name: &String| name.to_ascii_lowercase().starts_with("uca1400_");
        self.collation.as_ref().is_some_and(is_short)
    }

    /// Whether a schema with this default character set and collation, as the server names them, is what is asked for.
    /// MariaDB takes its newer collations without their character set (`uca1400_ai_ci`) and names them with it
    /// (`utf8mb4_uca1400_ai_ci`).
    #[must_use]
    pub fn are(&self, character_set: &str, collation: &str) -> bool {
        let same = |wanted: &str, found: &str| wanted.eq_ignore_ascii_case(found);
        let is_of_set = |wanted: &String| same(canonical(wanted), canonical(character_set));
        let is_collation = |wanted: &String| {
            same(wanted, collation) || same(&format!("{character_set}_{wanted}"), collation)
        };
        self.character_set.as_ref().is_none_or(is_of_set)
            && self.collation.as_ref().is_none_or(is_collation)
    }
}

/// The servers' own name of a character set: `utf8` is an old name of `utf8mb3`.
#[must_use]
pub(super) fn canonical(character_set: &str) -> &str {
    if character_set.eq_ignore_ascii_case("utf8") {
        "utf8mb3"
    } else {
        character_set
    }
}

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The names.
    pub names: Names,
    /// Drop the database.
    pub database: bool,
    /// Drop the role.
    pub role: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_collation_are_the_same() {
        let are = |wanted: (&str, &str), found: (&str, &str)| {
            let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let settings = MysqlSettings {
                character_set: some(wanted.0),
                collation: some(wanted.1),
            };
            settings.are(found.0, found.1)
        };
        let found = ("utf8mb4", "utf8mb4_uca1400_ai_ci");
        for wanted in [
            ("", ""),
            ("utf8mb4", ""),
            ("", "uca1400_ai_ci"),
            ("UTF8MB4", "utf8mb4_UCA1400_ai_ci"),
        ] {
            assert!(are(wanted, found), "{wanted:?}");
        }
        for wanted in [
            ("latin1", ""),
            ("utf8", ""),
            ("", "uca1400_as_ci"),
            ("", "utf8mb3_uca1400_ai_ci"),
            ("", "ai_ci"),
        ] {
            assert!(!are(wanted, found), "{wanted:?}");
        }
        assert!(are(("utf8", "utf8mb3_bin"), ("utf8mb3", "utf8mb3_bin")));
    }
}
