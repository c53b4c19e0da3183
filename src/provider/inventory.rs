//! What comes with a database beside its rows: what a dump of it does not contain, and what its owner cannot make again.
//!
//! A tenant chooses names, comments and settings. What is shown of them is made printable and limited in number and
//! length; the counts beside them are exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::printable::shortened;

/// What [`Objects`] of tables are called that belong to an extension and have rows in the dump, which the user may not write.
pub const EXTENSION_DATA: &str = "tables of extensions, with rows, that the user may not write";

/// The most names of a group that are told.
pub const NAMED: usize = 10;

/// The most settings that are told, and the most extensions.
pub const LISTED: usize = 40;

/// The most characters of a name that are shown.
const NAME_LENGTH: usize = 80;

/// The most characters of a setting's value, or of a comment.
const VALUE_LENGTH: usize = 200;

/// The most characters of a warning.
const WARNING_LENGTH: usize = 300;

/// What a look at one database found, as the administrator.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inventory {
    /// What the database was created with, by the server's words: `encoding`, `collation`, `characterSet`, …
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub created_with: BTreeMap<String, String>,
    /// The comment on the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Settings of the database and of its user, which no dump contains; on MySQL and MariaDB those of the server that the
    /// meaning of the dump depends on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// The extensions that are installed (PostgreSQL).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<InstalledExtension>,
    /// What the dump does not contain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_in_dump: Vec<Objects>,
    /// What the dump contains, but not as of the moment that everything else in it is of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_in_snapshot: Vec<Objects>,
    /// What the dump contains and only an administrator can restore.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_administrator: Vec<Objects>,
    /// Other users that are named in policies and grants, or as definers: another server may lack them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_users: Vec<Objects>,
    /// What else is worth knowing before a restore.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Objects>,
    /// The table with the largest rows, if they are large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_rows: Option<LargestRows>,
    /// Some names, settings or extensions were left out for their number.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
    /// What a person should know, one sentence or two each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// A setting.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// What it is a setting of.
    pub of: SettingOf,
    /// The user, where it is another one than the database's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value. `None` where it may be a secret: names with a dot are an application's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What a setting is a setting of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SettingOf {
    /// The database, for everyone.
    Database,
    /// A user, in every database.
    User,
    /// A user in this database.
    UserInDatabase,
    /// The whole server.
    Server,
}

/// An extension of PostgreSQL.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledExtension {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The schema that it is in.
    pub schema: String,
    /// The database's user owns it, so the user can drop and comment on it.
    pub owned: bool,
}

/// Objects of one kind.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objects {
    /// The kind, in the plural: `event triggers`.
    pub kind: String,
    /// How many there are.
    pub count: u64,
    /// The first of them by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// A table with large rows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LargestRows {
    /// The table.
    pub table: String,
    /// About how many bytes each row has on average, as stored. A single row may be much larger.
    pub average_bytes: u64,
}

impl Objects {
    /// Objects with these names, some of which may be missing; `None` if there is none.
    pub(super) fn of(
        kind: &str,
        count: u64,
        names: impl IntoIterator<Item = String>,
    ) -> Option<Self> {
        (count > 0).then(|| Self {
            kind: kind.to_owned(),
            count,
            names: names
                .into_iter()
                .take(NAMED)
                .map(|name| shown(&name))
                .collect(),
        })
    }

    /// `2 event triggers (a, b)`, with at most three names.
    fn listed(&self) -> String {
        let mut names: Vec<&str> = self.names.iter().take(3).map(String::as_str).collect();
        if (names.len() as u64) < self.count && !names.is_empty() {
            names.push("…");
        }
        let names = match names.len() {
            0 => String::new(),
            _ => format!(" ({})", names.join(", ")),
        };
        format!("{}: {}{names}", self.kind, self.count)
    }
}

impl Inventory {
    /// An inventory of a database that could not be looked at.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        let mut unknown = Self::default();
        unknown.warn(&format!(
            "what a dump of this database leaves out is not known, because the look at it failed: {why}"
        ));
        unknown
    }

    /// Adds a warning about these objects: what they are, then what that means.
    pub(super) fn warn_of(&mut self, objects: &Objects, meaning: &str) {
        self.warn(&format!("{}: {meaning}", objects.listed()));
    }

    /// Adds a warning.
    pub(super) fn warn(&mut self, warning: &str) {
        self.warnings.push(shortened(warning, WARNING_LENGTH));
    }

    /// Adds settings, as many as are told.
    pub(super) fn set_settings(&mut self, settings: Vec<Setting>) {
        self.shortened |= settings.len() > LISTED;
        self.settings = settings.into_iter().take(LISTED).collect();
    }

    /// The same with fewer names, settings and extensions, until its JSON has at most so many bytes.
    #[must_use]
    pub fn within(mut self, bytes: usize) -> Self {
        let length = |of: &Self| serde_json::to_vec(of).map_or(usize::MAX, |text| text.len());
        let mut most = LISTED;
        while length(&self) > bytes && most > 0 {
            most /= 2;
            self.shortened = true;
            self.settings.truncate(most);
            self.extensions.truncate(most);
            let groups = [
                &mut self.not_in_dump,
                &mut self.not_in_snapshot,
                &mut self.needs_administrator,
                &mut self.other_users,
                &mut self.also,
            ];
            for objects in groups.into_iter().flatten() {
                objects.names.truncate(most);
            }
        }
        self
    }
}

impl Setting {
    /// A setting as it is told.
    pub(super) fn new(of: SettingOf, user: Option<&str>, name: &str, value: &str) -> Self {
        Self {
            of,
            user: user.map(shown),
            name: shown(name),
            value: (!name.contains('.')).then(|| value_shown(value)),
        }
    }
}

/// A name as it is shown.
pub(super) fn shown(name: &str) -> String {
    shortened(name, NAME_LENGTH)
}

/// A value or a comment as it is shown.
pub(super) fn value_shown(value: &str) -> String {
    shortened(value, VALUE_LENGTH)
}

/// A number of bytes for people: `200 MiB`.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_a_tenant_wrote_is_made_printable_and_short() {
        assert_eq!(shown("a\nb\u{202e}c"), "a\u{fffd}b\u{fffd}c");
        let long = shown(&"ä".repeat(500));
        assert_eq!(long.chars().count(), NAME_LENGTH);
    }

    #[test]
    fn a_value_that_may_be_a_secret_is_not_told() {
        let of = |name| Setting::new(SettingOf::Database, None, name, "v").value;
        assert_eq!(of("search_path").as_deref(), Some("v"));
        assert_eq!(of("app.jwt_secret"), None);
    }

    #[test]
    fn a_warning_names_a_few() {
        let names = (1..=12).map(|n| format!("t{n}"));
        let objects = Objects::of("event triggers", 12, names).unwrap();
        assert_eq!(objects.names.len(), NAMED);
        let mut inventory = Inventory::default();
        inventory.warn_of(&objects, "only a superuser can make them again");
        assert_eq!(
            inventory.warnings,
            ["event triggers: 12 (t1, t2, t3, …): only a superuser can make them again"]
        );
        inventory.warn(&"x".repeat(1000));
        assert_eq!(inventory.warnings[1].chars().count(), WARNING_LENGTH);
        assert_eq!(Objects::of("event triggers", 0, []), None);
    }

    #[test]
    fn it_is_made_to_fit() {
        let objects = |kind: &str| {
            let names = (0..NAMED).map(|n| format!("{n}{}", "ä".repeat(200)));
            Objects::of(kind, 1_000_000, names).unwrap()
        };
        let large = Inventory {
            settings: vec![
                Setting::new(
                    SettingOf::Database,
                    None,
                    &"n".repeat(200),
                    &"v".repeat(500)
                );
                LISTED
            ],
            not_in_dump: ["a", "b", "c"].map(objects).to_vec(),
            needs_administrator: ["a", "b", "c", "d", "e", "f"].map(objects).to_vec(),
            ..Inventory::default()
        };
        let small = large.clone().within(8_000);
        assert!(serde_json::to_vec(&small).unwrap().len() <= 8_000);
        assert!(small.shortened);
        assert_eq!(small.needs_administrator[5].count, 1_000_000);
        let text = serde_json::to_string(&small).unwrap();
        assert_eq!(serde_json::from_str::<Inventory>(&text).unwrap(), small);
        assert!(!Inventory::default().within(2).shortened);
    }
}
