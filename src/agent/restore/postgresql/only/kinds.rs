//! What each kind of entries is to a selection.

use crate::agent::dump::completeness::contents::{Item, is_restrictive};

/// What an entry is to a selection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// A setting that each load begins with.
    Always,
    /// It is not of a schema, and made by the operator, or by nobody.
    Elsewhere,
    /// A table or a view.
    Relation,
    /// A sequence that can stand alone, whoever owns it.
    Sequence,
    /// A sequence that is part of its table's statement.
    Identity,
    /// A type, a function, a schema: it is made where something chosen needs it.
    Definition,
    /// It is of one table, view or domain, and may be left out where that is not.
    Part,
    /// A part without which more rows of its table can be seen: where it cannot be made, nothing is.
    Guard,
    /// The same as a part, and of a partition it need not be that of the whole.
    Index,
    /// A part that needs no function for the table to be what it was.
    Trigger,
    /// It makes a table the partition of another one.
    Attach,
    /// It makes an index part of that of the whole.
    IndexAttach,
    /// Rows, comments, privileges, casts of a type: it goes with what it is about, if all that it needs is there.
    About,
    /// It goes with its schema alone.
    Apart,
    /// It belongs to no table.
    LargeObject,
    /// It belongs to a foreign server.
    Mapping,
}

/// A kind of entries.
pub(super) struct Kind {
    /// What the archive calls it.
    pub name: &'static str,
    /// What it is to a selection.
    pub class: Class,
    /// What several of them are called where they are left out.
    pub plural: &'static str,
}

const fn kind(name: &'static str, class: Class, plural: &'static str) -> Kind {
    Kind {
        name,
        class,
        plural,
    }
}

/// Anything that is not known.
pub(super) const UNKNOWN: u8 = 0;

/// A policy that takes rows away from those that others show. The archive calls it a policy.
pub(super) const RESTRICTIVE_POLICY: &str = "RESTRICTIVE POLICY";

/// All that are known.
pub(super) const KINDS: &[Kind] = &[
    kind("", Class::Apart, "others"),
    kind("ENCODING", Class::Always, ""),
    kind("STDSTRINGS", Class::Always, ""),
    kind("SEARCHPATH", Class::Always, ""),
    kind("EXTENSION", Class::Elsewhere, ""),
    kind("DATABASE", Class::Elsewhere, ""),
    kind("DATABASE PROPERTIES", Class::Elsewhere, ""),
    kind("PUBLICATION", Class::Elsewhere, ""),
    kind("PUBLICATION TABLE", Class::Elsewhere, ""),
    kind("PUBLICATION TABLES IN SCHEMA", Class::Elsewhere, ""),
    kind("SUBSCRIPTION", Class::Elsewhere, ""),
    kind("SUBSCRIPTION TABLE", Class::Elsewhere, ""),
    kind("EVENT TRIGGER", Class::Elsewhere, ""),
    kind("TABLE", Class::Relation, "tables"),
    kind("FOREIGN TABLE", Class::Relation, "tables"),
    kind("VIEW", Class::Relation, "views"),
    kind("MATERIALIZED VIEW", Class::Relation, "materialized views"),
    kind("SEQUENCE", Class::Sequence, "sequences"),
    kind("SCHEMA", Class::Definition, "schemas"),
    kind("TYPE", Class::Definition, "types"),
    kind("SHELL TYPE", Class::Definition, "types"),
    kind("DOMAIN", Class::Definition, "types"),
    kind("FUNCTION", Class::Definition, "functions"),
    kind("PROCEDURE", Class::Definition, "functions"),
    kind("AGGREGATE", Class::Definition, "functions"),
    kind("OPERATOR", Class::Definition, "operators"),
    kind("OPERATOR CLASS", Class::Definition, "operators"),
    kind("OPERATOR FAMILY", Class::Definition, "operators"),
    kind("ACCESS METHOD", Class::Definition, "others"),
    kind("COLLATION", Class::Definition, "others"),
    kind("CONVERSION", Class::Definition, "others"),
    kind("CAST", Class::About, ""),
    kind("TRANSFORM", Class::About, ""),
    kind("PROCEDURAL LANGUAGE", Class::Definition, "others"),
    kind("TEXT SEARCH PARSER", Class::Definition, "others"),
    kind("TEXT SEARCH DICTIONARY", Class::Definition, "others"),
    kind("TEXT SEARCH TEMPLATE", Class::Definition, "others"),
    kind("TEXT SEARCH CONFIGURATION", Class::Definition, "others"),
    kind("FOREIGN DATA WRAPPER", Class::Definition, "others"),
    kind("SERVER", Class::Definition, "others"),
    kind("DEFAULT", Class::Part, "defaults"),
    kind("CHECK CONSTRAINT", Class::Part, "constraints"),
    kind("FK CONSTRAINT", Class::Part, "foreign keys"),
    kind("POLICY", Class::Part, "policies"),
    kind(RESTRICTIVE_POLICY, Class::Guard, "policies"),
    kind("RULE", Class::Part, "rules"),
    kind("ROW SECURITY", Class::Part, "row security"),
    kind("STATISTICS", Class::Part, "statistics"),
    kind("INDEX", Class::Index, "indexes"),
    kind("CONSTRAINT", Class::Index, "constraints"),
    kind("TRIGGER", Class::Trigger, "triggers"),
    kind("TABLE ATTACH", Class::Attach, "places among partitions, of"),
    kind("INDEX ATTACH", Class::IndexAttach, ""),
    kind("COMMENT", Class::About, ""),
    kind("SECURITY LABEL", Class::About, ""),
    kind("ACL", Class::About, ""),
    kind("ACL LANGUAGE", Class::About, ""),
    kind("TABLE DATA", Class::About, ""),
    kind("MATERIALIZED VIEW DATA", Class::About, ""),
    kind("SEQUENCE SET", Class::About, ""),
    kind("SEQUENCE OWNED BY", Class::About, ""),
    kind("STATISTICS DATA", Class::About, ""),
    kind("DEFAULT ACL", Class::Apart, "default privileges"),
    kind("BLOB", Class::LargeObject, ""),
    kind("BLOB METADATA", Class::LargeObject, ""),
    kind("BLOBS", Class::LargeObject, ""),
    kind("BLOB COMMENTS", Class::LargeObject, ""),
    kind("USER MAPPING", Class::Mapping, ""),
];

/// The place of an entry's kind in the table.
pub(super) fn place(item: &Item<'_>) -> u8 {
    let name = match item.kind {
        b"POLICY" if is_restrictive(item.definition) => RESTRICTIVE_POLICY.as_bytes(),
        kind => kind,
    };
    let at = KINDS.iter().position(|kind| kind.name.as_bytes() == name);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(UNKNOWN)
}
