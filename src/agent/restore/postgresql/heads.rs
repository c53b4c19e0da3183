//! Whether the texts of an entry begin as those that `pg_dump` writes. Pure.
//!
//! `pg_restore` sends each text as it is, in a session that acts as the owner, who also owns the database in use. Of what an
//! owner may do, DROP DATABASE alone cannot be taken back, and it works only as a statement of its own: not in a function, and
//! not beside another statement. So it is enough to look at how a text begins.

use super::selection::text;
use crate::agent::dump::completeness::contents::Item;
use crate::agent::dump::completeness::statement::{Token, tokens};

/// An archive holds something that is not loaded.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refused {
    /// A kind of entries that is not known.
    #[error(
        "the archive holds {kind:?} ({name}), which this release of db-operator does not know: restore it with a newer release"
    )]
    Kind {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A statement of its own.
    #[error(
        "the archive makes {kind} {name} by a statement that pg_dump does not write: look at it with pg_restore --file=-, and load it by hand if \
         it is what you want"
    )]
    Statement {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Rows that are statements: each of them would be run.
    #[error(
        "the rows of {kind} {name} are not as COPY writes them, and a Restore runs no other statements: load the dump by hand, and give pg_dump \
         no --inserts"
    )]
    Rows {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
}

/// What definitions begin with.
const FIRST: [&[u8]; 7] = [
    b"CREATE",
    b"ALTER",
    b"COMMENT",
    b"SECURITY",
    b"SELECT",
    b"SET",
    b"REFRESH",
];

/// What is not inside a database, and so in no archive of one.
const OF_THE_SERVER: [&[u8]; 4] = [b"DATABASE", b"ROLE", b"SYSTEM", b"TABLESPACE"];

/// Refuses what `pg_restore` would run although `pg_dump` writes nothing like it.
pub(super) fn looks_like_pg_dump(
    kind: String,
    item: &Item<'_>,
    has_data: bool,
) -> Result<(), Refused> {
    let name = text(item.name);
    if !is_definition(item.definition) {
        return Err(Refused::Statement { kind, name });
    }
    let is_copied = is_copy(item.copy);
    if !(is_copied || item.copy.is_empty()) {
        return Err(Refused::Statement { kind, name });
    }
    // What is neither copied nor in large objects is run, statement by statement.
    if has_data && !is_copied && kind != "BLOBS" {
        return Err(Refused::Rows { kind, name });
    }
    Ok(())
}

/// Whether a definition begins as one of `pg_dump`.
fn is_definition(text: &[u8]) -> bool {
    if is_comment(text) {
        return true;
    }
    let mut all = tokens(text);
    let Some(Token::Word(first)) = all.next() else {
        return false;
    };
    let second = match all.next() {
        Some(Token::Word(second)) => second,
        Some(Token::Quoted(_) | Token::Sign(_)) | None => b"",
    };
    let is_of_the_server = OF_THE_SERVER
        .iter()
        .any(|what| second.eq_ignore_ascii_case(what));
    // The numbers of large objects, of which `pg_restore` makes statements.
    first.iter().all(u8::is_ascii_digit) || FIRST.contains(&first) && !is_of_the_server
}

/// Whether the statement that loads rows begins as one of `pg_dump`.
fn is_copy(text: &[u8]) -> bool {
    tokens(text).next() == Some(Token::Word(b"COPY"))
}

/// Nothing, or comments alone, up to the end of each line: as of rows that go in through a partitioned table.
fn is_comment(text: &[u8]) -> bool {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    text.split(is_end)
        .map(<[u8]>::trim_ascii_start)
        .all(|line| line.is_empty() || line.starts_with(b"--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pg_dump_writes_is_known() {
        for text in [
            "",
            "\n",
            "CREATE TABLE public.orders (\n    id integer\n);\n",
            "CREATE UNLOGGED TABLE public.t ();\n",
            "CREATE USER MAPPING FOR orders SERVER s;\n",
            "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT p PRIMARY KEY (id);\n",
            "COMMENT ON TABLE public.orders IS 'DROP DATABASE orders';\n",
            "SECURITY LABEL FOR x ON TABLE public.orders IS 'y';\n",
            "SELECT pg_catalog.setval('public.numbers', 7, true);\n",
            "SET client_encoding = 'UTF8';\n",
            "REFRESH MATERIALIZED VIEW public.counted;\n",
            "16385\n16386\n",
            "-- *not* creating schema, since initdb creates it",
            "-- load via partition root public.parted\n",
        ] {
            assert!(is_definition(text.as_bytes()), "{text}");
        }
        assert!(is_copy(b"COPY public.orders (id) FROM stdin;\n"));
    }

    #[test]
    fn a_statement_of_its_own_drops_no_database() {
        for text in [
            "DROP DATABASE orders WITH (FORCE)",
            "drop database orders",
            "\t DROP DATABASE orders",
            "; DROP DATABASE orders",
            "/* CREATE */ DROP DATABASE orders",
            "-- CREATE\nDROP DATABASE orders",
            "-- CREATE\rDROP DATABASE orders",
            "\u{b}DROP DATABASE orders",
            "\"CREATE\" x",
            "ALTER DATABASE orders RENAME TO other",
            "alter Database orders RENAME TO other",
            "ALTER SYSTEM SET x = 1",
            "CREATE ROLE other",
            "CALL x()",
            "DO $$ BEGIN END $$",
            "BEGIN",
            "COPY t TO PROGRAM 'x'",
        ] {
            assert!(!is_definition(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "DROP DATABASE orders",
            "-- x\nCOPY t FROM stdin",
            "SELECT 1",
        ] {
            assert!(!is_copy(text.as_bytes()), "{text}");
        }
    }
}
