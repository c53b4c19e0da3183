//! What a dump holds, table by table: counted as it passes, compared when it is loaded.
//!
//! The figures of each table are in the object itself, behind the dump: JSON, compressed, in one zstd skippable frame, which
//! `zstd -dc` passes over. Their sum, [`Totals`], is in the manifest, with a digest over all of them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The most tables of which a dump keeps figures one by one, and the most sequences.
pub const MOST: usize = 100_000;

/// What the warning begins with that says that there are no [`Totals`].
pub const UNCOUNTED: &str = "rows could not be counted";

/// What a dump holds, table by table.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// Its tables, by schema and name: at most [`MOST`].
    #[serde(deserialize_with = "few")]
    pub tables: Vec<Table>,
    /// Its sequences, by schema and name: at most [`MOST`]. None on MySQL.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "few"
    )]
    pub sequences: Vec<Sequence>,
    /// How many large objects it has: only on PostgreSQL.
    #[serde(default)]
    pub large_objects: u64,
}

/// The rows of one table.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Its schema; empty on MySQL and MariaDB, where a dump is of one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// How many bytes they take in the dump: on PostgreSQL with the line breaks after them, on MySQL and MariaDB with the
    /// parentheses around them.
    pub bytes: u64,
    /// The sum, modulo 2^128, of the XXH3 (128 bits) of each row as the dump writes it, without its line break: 32
    /// hexadecimal digits. It does not depend on the rows' order. Only on PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// The position of one sequence.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sequence {
    /// Its schema; empty on MariaDB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What the dump sets it to.
    pub value: i64,
    /// Whether that value was given out: if not, it is the next one.
    pub is_called: bool,
}

/// What a dump holds in all: what the manifest has.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// How many tables.
    pub tables: u64,
    /// How many rows in all of them.
    pub rows: u64,
    /// How many large objects.
    #[serde(default)]
    pub large_objects: u64,
    /// SHA-256, in hexadecimal digits, of the JSON of [`Contents`] that the object holds; without it, of one that has a single
    /// table without a name, for all of them together.
    pub digest: String,
    /// Whether the object holds the figures of each table. There are none beyond 100,000 tables or 100,000 sequences, 8 MiB of
    /// names (of tables on MySQL and MariaDB 4 MiB), 32 MiB of JSON, or 16 MiB of it compressed.
    pub has_tables: bool,
}

/// A list of at most [`MOST`]: what is read may be anything.
fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                if all.len() == MOST {
                    return Err(A::Error::custom(format_args!("more than {MOST} of a kind")));
                }
                all.push(one);
            }
            Ok(all)
        }
    }
    from.deserialize_seq(Few(PhantomData))
}
