//! What the table of contents of a PostgreSQL archive says of its restore: what only a superuser can create, and what the
//! other server must have before.
//!
//! Everything in it is the tenant's: it is looked at, counted, and named within limits, never interpreted further.

use std::collections::BTreeSet;

use super::statement::{Token, tokens};

/// One entry, as `pg_dump` writes it.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) struct Item<'a> {
    /// Its schema; empty for what is in none.
    pub schema: &'a [u8],
    /// Its name; of comments and grants, the kind and name of what they are about.
    pub name: &'a [u8],
    /// Its kind: `TABLE`, `EVENT TRIGGER`.
    pub kind: &'a [u8],
    /// The statement that creates it.
    pub definition: &'a [u8],
    /// The `COPY` statement that loads its rows; empty for what has none.
    pub copy: &'a [u8],
    /// The tablespace that it is in; empty for the database's own.
    pub tablespace: &'a [u8],
    /// Its owner.
    pub owner: &'a [u8],
}

/// What a restore needs, as far as the entries so far say.
#[derive(Debug, Default)]
pub(super) struct Contents {
    superuser: Vec<(Kind, Names)>,
    extensions: Names,
    tablespaces: Names,
    servers: Names,
    policies: Names,
    grants: Names,
    mappings: Names,
}

/// Kinds of objects that only a superuser can create.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    EventTriggers,
    Publications,
    Subscriptions,
    Languages,
    Wrappers,
    AccessMethods,
    OperatorClasses,
    TextSearch,
    Types,
    Functions,
    Casts,
    Labels,
}

impl Kind {
    const fn plural(self) -> &'static str {
        match self {
            Self::EventTriggers => "event triggers",
            Self::Publications => "publications that are not the user's own, or for all tables",
            Self::Subscriptions => "subscriptions",
            Self::Languages => "procedural languages",
            Self::Wrappers => "foreign-data wrappers",
            Self::AccessMethods => "access methods",
            Self::OperatorClasses => "operator classes and families",
            Self::TextSearch => "text search parsers and templates",
            Self::Types => "base types",
            Self::Functions => "functions in untrusted languages",
            Self::Casts => "casts without a function",
            Self::Labels => "security labels",
        }
    }
}

/// Extensions that the contrib package marks as trusted: the owner of a database may create them.
const TRUSTED: &[&str] = &[
    "bool_plperl",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "fuzzystrmatch",
    "hstore",
    "hstore_plperl",
    "intarray",
    "isn",
    "jsonb_plperl",
    "lo",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "plperl",
    "plpgsql",
    "pltcl",
    "seg",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
];

/// Languages in which only a superuser may write functions. Those of other names that end in `u` are, too, by convention.
const UNTRUSTED: &[&str] = &["c", "internal"];

impl Contents {
    /// Takes note of an entry.
    pub(super) fn add(&mut self, item: &Item<'_>) {
        if let Some(kind) = superuser(item) {
            self.names_of(kind).add(item.name);
        }
        match item.kind {
            b"EXTENSION" if !TRUSTED.iter().any(|name| name.as_bytes() == item.name) => {
                self.extensions.add(item.name);
            }
            b"SERVER" => self.servers.add(item.name),
            // Those of the database itself are restored with --create only.
            b"ACL" if item.name.starts_with(b"DATABASE ") => {}
            b"ACL" | b"DEFAULT ACL" => self.grants.add_roles(item, &grantees(item.definition)),
            b"POLICY" => self.policies.add_roles(item, &subjects(item.definition)),
            b"USER MAPPING" => self.mappings.add_roles(item, &mapped(item.definition)),
            _ => {}
        }
        if !item.tablespace.is_empty() && !item.tablespace.starts_with(b"pg_") {
            self.tablespaces.add(item.tablespace);
        }
    }

    fn names_of(&mut self, kind: Kind) -> &mut Names {
        let at = self.superuser.iter().position(|(known, _)| *known == kind);
        let at = at.unwrap_or_else(|| {
            self.superuser.push((kind, Names::default()));
            self.superuser.len() - 1
        });
        &mut self.superuser[at].1
    }

    /// A sentence for each kind of thing: `event triggers: audit: only a superuser can restore them`. The kinds are called what
    /// the operator calls them when it looks at the catalog, so that the same is not told twice.
    #[must_use]
    pub(super) fn warnings(&self) -> Vec<String> {
        let superuser = self.superuser.iter().map(|(kind, names)| {
            format!(
                "{}: {names}: only a superuser can restore them",
                kind.plural()
            )
        });
        let roles = "a restore needs them on its server, or has to leave these out";
        let needed = [
            (
                "extensions that are not trusted",
                &self.extensions,
                "a restore needs a superuser, or finds them installed",
            ),
            (
                "tables and indexes in tablespaces",
                &self.tablespaces,
                "a restore needs tablespaces of these names, or pg_restore --no-tablespaces",
            ),
            (
                "foreign servers of other owners",
                &self.servers,
                "a restore needs USAGE on their foreign-data wrappers",
            ),
            ("roles in policies", &self.policies, roles),
            ("roles in grants", &self.grants, roles),
            ("roles in user mappings", &self.mappings, roles),
        ];
        let needed = needed
            .into_iter()
            .filter(|(_, names, _)| !names.is_empty())
            .map(|(kind, names, meaning)| format!("{kind}: {names}: {meaning}"));
        superuser.chain(needed).collect()
    }
}

/// What of an entry only a superuser can create.
fn superuser(item: &Item<'_>) -> Option<Kind> {
    let says = |words: &[u8]| contains(item.definition, words);
    match item.kind {
        b"EVENT TRIGGER" => Some(Kind::EventTriggers),
        b"PUBLICATION" if says(b" FOR ALL TABLES") => Some(Kind::Publications),
        b"PUBLICATION TABLES IN SCHEMA" => Some(Kind::Publications),
        b"SUBSCRIPTION" => Some(Kind::Subscriptions),
        b"PROCEDURAL LANGUAGE" => Some(Kind::Languages),
        b"FOREIGN DATA WRAPPER" => Some(Kind::Wrappers),
        b"ACCESS METHOD" => Some(Kind::AccessMethods),
        b"OPERATOR CLASS" | b"OPERATOR FAMILY" => Some(Kind::OperatorClasses),
        b"TEXT SEARCH PARSER" | b"TEXT SEARCH TEMPLATE" => Some(Kind::TextSearch),
        b"TYPE" if says(b"\n    INPUT = ") => Some(Kind::Types),
        b"FUNCTION" | b"PROCEDURE" if is_untrusted(item.definition) => Some(Kind::Functions),
        b"CAST" if says(b" WITHOUT FUNCTION") => Some(Kind::Casts),
        b"SECURITY LABEL" => Some(Kind::Labels),
        _ => None,
    }
}

/// Whether a function is in an untrusted language. `pg_dump` writes `LANGUAGE` at the beginning of a line, after the
/// arguments and before the body.
fn is_untrusted(definition: &[u8]) -> bool {
    const LANGUAGE: &[u8] = b"\n    LANGUAGE ";
    let Some(at) = find(definition, LANGUAGE) else {
        return false;
    };
    let language = &definition[at + LANGUAGE.len()..];
    let end = language.iter().position(|byte| b" \n".contains(byte));
    let language = &language[..end.unwrap_or(language.len())];
    UNTRUSTED.iter().any(|name| name.as_bytes() == language)
        || language.starts_with(b"pl") && language.ends_with(b"u")
}

/// The roles of grants: what follows the last `TO` or `FROM` of each statement.
fn grantees(definition: &[u8]) -> Vec<Vec<u8>> {
    let mut roles = Vec::new();
    let mut last = None;
    let mut tokens = tokens(definition);
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(b"TO" | b"FROM") => last = tokens.next().and_then(Token::name),
            Token::Sign(b';') => roles.extend(last.take()),
            _ => {}
        }
    }
    roles.extend(last);
    roles
}

/// The roles of a policy: the list that follows `TO`, before its expressions.
pub(in crate::agent) fn subjects(definition: &[u8]) -> Vec<Vec<u8>> {
    tokens(definition)
        .take_while(|token| !matches!(token, Token::Word(b"USING" | b"WITH")))
        .skip_while(|token| !matches!(token, Token::Word(b"TO")))
        .skip(1)
        .filter_map(Token::name)
        .collect()
}

/// Whether a policy takes rows away from those that others show: `CREATE POLICY name ON table AS RESTRICTIVE …`.
pub(in crate::agent) fn is_restrictive(definition: &[u8]) -> bool {
    tokens(definition)
        .take_while(|token| !matches!(token, Token::Word(b"USING" | b"WITH")))
        .any(|token| matches!(token, Token::Word(b"RESTRICTIVE")))
}

/// The role of `CREATE USER MAPPING FOR role SERVER …`.
fn mapped(definition: &[u8]) -> Vec<Vec<u8>> {
    tokens(definition)
        .skip_while(|token| !matches!(token, Token::Word(b"FOR")))
        .nth(1)
        .and_then(Token::name)
        .into_iter()
        .collect()
}

fn find(text: &[u8], words: &[u8]) -> Option<usize> {
    text.windows(words.len()).position(|window| window == words)
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    find(text, words).is_some()
}

/// Different names, of which a few are kept.
#[derive(Debug, Default)]
struct Names {
    kept: BTreeSet<String>,
    more: bool,
}

/// How many names are kept, and how many of them are told.
const KEPT: usize = 100;
const TOLD: usize = 5;

impl Names {
    fn add(&mut self, name: &[u8]) {
        let name: String = String::from_utf8_lossy(name)
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .take(63)
            .collect();
        if self.kept.len() < KEPT {
            self.kept.insert(name);
        } else if !self.kept.contains(&name) {
            self.more = true;
        }
    }

    /// Roles that are not there by themselves: not the owner, `PUBLIC`, or predefined ones.
    fn add_roles(&mut self, item: &Item<'_>, roles: &[Vec<u8>]) {
        for role in roles {
            let is_there = role == item.owner
                || role.starts_with(b"pg_")
                || [&b"PUBLIC"[..], b"CURRENT_USER", b"SESSION_USER"].contains(&&role[..]);
            if !is_there {
                self.add(role);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told: Vec<&str> = self.kept.iter().take(TOLD).map(String::as_str).collect();
        f.write_str(&told.join(", "))?;
        match self.kept.len() - told.len() {
            0 => Ok(()),
            more if self.more => write!(f, " and more than {more} others"),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
