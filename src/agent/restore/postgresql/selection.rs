//! Which entries of an archive are loaded, and which are left out because they are not the owner's to make. Pure.
//!
//! Left out are: what the operator made before (extensions, schemas), what belongs to a server rather than to a database
//! (publications, subscriptions, event triggers), labels and comments on those, what concerns the database itself, and the
//! rows of tables that the archive does not make, since these are an extension's own.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use super::heads::{Refused, looks_like_pg_dump};
use super::only::Choice;
use crate::agent::dump::completeness::contents::{Item, subjects};
use crate::agent::protocol::contents::Contents;

/// Where an entry of an archive goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// `pg_restore` makes it.
    Loaded,
    /// It is a privilege, and is granted afterwards, as far as its role is here.
    Granted,
    /// It is left out.
    LeftOut,
}

/// A kind of entries that `pg_restore` makes for their owner, or that only a superuser can make: then it says so.
const LOADED: &[&str] = &[
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "SCHEMA",
    "TYPE",
    "SHELL TYPE",
    "DOMAIN",
    "FUNCTION",
    "PROCEDURE",
    "AGGREGATE",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "ACCESS METHOD",
    "COLLATION",
    "CONVERSION",
    "CAST",
    "TRANSFORM",
    "PROCEDURAL LANGUAGE",
    "TEXT SEARCH PARSER",
    "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH TEMPLATE",
    "TEXT SEARCH CONFIGURATION",
    "FOREIGN DATA WRAPPER",
    "SERVER",
    "USER MAPPING",
    "TABLE",
    "TABLE ATTACH",
    "VIEW",
    "MATERIALIZED VIEW",
    "FOREIGN TABLE",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "DEFAULT",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "RULE",
    "TRIGGER",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
    "STATISTICS DATA",
    "TABLE DATA",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE SET",
    "BLOB",
    "BLOB METADATA",
    "BLOBS",
    "BLOB COMMENTS",
    "COMMENT",
    "SECURITY LABEL",
];

/// What an archive gives to roles.
const PRIVILEGES: &[&str] = &["ACL", "DEFAULT ACL", "ACL LANGUAGE"];

/// What belongs to a server, to its administrators, or to the database as such: the kinds of entries, and what is told of
/// them.
const LEFT_OUT: &[(&str, Option<&str>)] = &[
    // Made by the operator before.
    ("EXTENSION", None),
    ("DATABASE", None),
    ("DATABASE PROPERTIES", None),
    ("PUBLICATION", Some("publications")),
    ("PUBLICATION TABLE", None),
    ("PUBLICATION TABLES IN SCHEMA", None),
    ("SUBSCRIPTION", Some("subscriptions")),
    ("SUBSCRIPTION TABLE", None),
    ("EVENT TRIGGER", Some("event triggers")),
];

/// What the tags of comments and labels on such things begin with.
const ON_LEFT_OUT: &[&str] = &[
    "EXTENSION ",
    "DATABASE ",
    "PUBLICATION ",
    "SUBSCRIPTION ",
    "EVENT TRIGGER ",
];

/// How many names a sentence has.
const NAMES: usize = 5;
/// How many names are kept of one kind.
pub(super) const KEPT: usize = 100;

/// A table whose rows, or a sequence whose position, an archive holds although it does not make it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Foreign {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

/// Decides about the entries of one archive, in their order.
#[derive(Debug)]
pub(super) struct Selection {
    /// The schemas that are there already.
    existing: HashSet<String>,
    /// The tables and sequences that the archive makes.
    made: HashSet<(Vec<u8>, Vec<u8>)>,
    /// The tables that it does not make.
    pub foreign: HashSet<Foreign>,
    told: Vec<(&'static str, BTreeSet<String>)>,
    tablespaces: BTreeSet<String>,
    /// How many entries are made after the rows.
    pub after_rows: u32,
    /// What the Restore asks for, if that is not all.
    only: Option<Choice>,
    /// The place of the entry that comes next.
    place: usize,
    /// The tables whose rows are loaded, where not all are.
    rows: HashSet<Foreign>,
}

impl Selection {
    /// For a database that has these schemas.
    pub(super) fn new(existing: HashSet<String>) -> Self {
        Self {
            existing,
            made: HashSet::new(),
            foreign: HashSet::new(),
            told: Vec::new(),
            tablespaces: BTreeSet::new(),
            after_rows: 0,
            only: None,
            place: 0,
            rows: HashSet::new(),
        }
    }

    /// The same, of what is chosen alone.
    pub(super) fn only(self, choice: Choice) -> Self {
        Self {
            only: Some(choice),
            ..self
        }
    }

    /// Whether the entry at this place is asked for.
    pub(super) fn asks_for(&self, place: usize) -> bool {
        self.only.as_ref().is_none_or(|only| only.has(place))
    }

    /// The figures of the tables whose rows are loaded.
    pub(super) fn figures(&self, mut all: Contents) -> Contents {
        if self.only.is_some() {
            all.tables.retain(|table| {
                let (schema, name) = (table.schema.clone(), table.name.clone());
                self.rows.contains(&Foreign { schema, name })
            });
        }
        all
    }

    /// Whether an entry is about privileges, of which those of the database itself are not the owner's.
    pub(super) fn is_privilege(item: &Item<'_>) -> bool {
        PRIVILEGES.iter().any(|kind| kind.as_bytes() == item.kind)
            && !item.name.starts_with(b"DATABASE ")
    }

    /// Where an entry goes, of which the archive may hold data.
    pub(super) fn add(&mut self, item: &Item<'_>, has_data: bool) -> Result<Fate, Refused> {
        let place = self.place;
        self.place += 1;
        if !self.asks_for(place) {
            return Ok(Fate::LeftOut);
        }
        let kind = text(item.kind);
        if PRIVILEGES.contains(&&*kind) {
            return Ok(if Self::is_privilege(item) {
                Fate::Granted
            } else {
                Fate::LeftOut
            });
        }
        if let Some((_, told)) = LEFT_OUT.iter().find(|(known, _)| *known == kind) {
            if let Some(what) = told {
                self.tell(what, item.name);
            }
            return Ok(Fate::LeftOut);
        }
        if !LOADED.contains(&&*kind) {
            let name = text(item.name);
            return Err(Refused::Kind { kind, name });
        }
        let fate = self.loaded(&kind, item);
        match fate {
            Fate::Loaded => looks_like_pg_dump(kind, item, has_data)?,
            Fate::Granted | Fate::LeftOut => {}
        }
        Ok(fate)
    }

    fn loaded(&mut self, kind: &str, item: &Item<'_>) -> Fate {
        let on = |prefixes: &[&str]| {
            let begins = |prefix: &&str| item.name.starts_with(prefix.as_bytes());
            prefixes.iter().any(begins)
        };
        match kind {
            "SCHEMA" if self.existing.contains(&text(item.name)) => return Fate::LeftOut,
            // It belongs to whoever administers the server, before PostgreSQL 15.
            "COMMENT" if on(ON_LEFT_OUT) || item.name == b"SCHEMA public" => return Fate::LeftOut,
            "SECURITY LABEL" if on(ON_LEFT_OUT) || item.name == b"SCHEMA public" => {
                self.tell("security labels on", item.name);
                return Fate::LeftOut;
            }
            "TABLE" | "FOREIGN TABLE" | "SEQUENCE" => {
                let key = (item.schema.to_vec(), item.name.to_vec());
                self.made.insert(key);
            }
            "TABLE DATA" | "SEQUENCE SET" if !self.is_made(item) => {
                if kind == "TABLE DATA" {
                    let (schema, name) = (text(item.schema), text(item.name));
                    self.foreign.insert(Foreign { schema, name });
                }
                return Fate::LeftOut;
            }
            "TABLE DATA" if self.only.is_some() => {
                // As the figures have it.
                let exact = |name| String::from_utf8_lossy(name).into_owned();
                let (schema, name) = (exact(item.schema), exact(item.name));
                self.rows.insert(Foreign { schema, name });
            }
            _ => {}
        }
        if !item.tablespace.is_empty() && !item.tablespace.starts_with(b"pg_") {
            let name = text(item.tablespace);
            if self.tablespaces.len() < KEPT {
                self.tablespaces.insert(name);
            }
        }
        if is_after_rows(kind) {
            self.after_rows = self.after_rows.saturating_add(1);
        }
        Fate::Loaded
    }

    fn is_made(&self, item: &Item<'_>) -> bool {
        let key = (item.schema.to_vec(), item.name.to_vec());
        self.made.contains(&key)
    }

    fn tell(&mut self, what: &'static str, name: &[u8]) {
        let at = self.told.iter().position(|(known, _)| *known == what);
        let at = at.unwrap_or_else(|| {
            self.told.push((what, BTreeSet::new()));
            self.told.len() - 1
        });
        let names = &mut self.told[at].1;
        if names.len() < KEPT {
            names.insert(text(name));
        }
    }

    /// What is left out, or is elsewhere than before, a sentence each.
    pub(super) fn left_out(&self) -> Vec<String> {
        let chosen = self.only.iter().flat_map(|only| &only.left_out).cloned();
        let administrators = self.told.iter().map(|(what, names)| {
            format!(
                "{what} {}: only an administrator can make them",
                listed(names)
            )
        });
        let mut all: Vec<String> = chosen.chain(administrators).collect();
        if !self.tablespaces.is_empty() {
            all.push(format!(
                "tablespaces {}: all tables and indexes are in the database's own",
                listed(&self.tablespaces)
            ));
        }
        all
    }
}

/// The role of a policy that is not among those of the server. Without it the policy cannot be made, and leaving that out would
/// show or hide rows.
pub(super) fn missing_role(item: &Item<'_>, roles: &HashSet<String>) -> Option<String> {
    const ALWAYS: [&str; 4] = ["PUBLIC", "CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"];
    if item.kind != b"POLICY" {
        return None;
    }
    subjects(item.definition)
        .into_iter()
        // In another encoding it cannot be compared: the server will say it.
        .filter_map(|role| String::from_utf8(role).ok())
        .find(|role| !ALWAYS.contains(&&**role) && !roles.contains(role))
}

/// Whether `pg_restore` makes such a thing after the rows.
fn is_after_rows(kind: &str) -> bool {
    matches!(
        kind,
        "INDEX"
            | "INDEX ATTACH"
            | "CONSTRAINT"
            | "FK CONSTRAINT"
            | "CHECK CONSTRAINT"
            | "RULE"
            | "TRIGGER"
            | "POLICY"
            | "ROW SECURITY"
            | "STATISTICS"
            | "STATISTICS DATA"
            | "MATERIALIZED VIEW DATA"
    )
}

/// A few names, and how many more there are.
pub(super) fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
    let mut text = shown.join(", ");
    let more = names.len() - shown.len();
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// A name for people, without control characters.
pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(130)
        .collect()
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
