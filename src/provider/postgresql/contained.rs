//! What is in a database that its owner put there, by name: whether anything would be lost with it.

use serde::Deserialize;

use super::Postgresql;
use super::quoted;
use super::session::Session;
use crate::provider::ProviderError;

/// The most names that are told.
const NAMED: usize = 10;

/// Tables, views, sequences, routines, types and large objects outside of extensions, wherever they are; empty schemas do
/// not count. What belongs to another one of these (the row type of a table, the sequence of an identity column) is not
/// told twice. `$1` is how many names are read.
const CONTAINED: &str = "WITH members AS (
  SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
), schemas AS (
  SELECT oid, nspname FROM pg_namespace
  WHERE nspname <> 'information_schema' AND nspname !~ '^pg_(catalog$|toast|temp_)'
), objects AS (
  SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
      WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END AS kind,
    n.nspname AS schema, c.relname AS name, 'pg_class'::regclass AS classid, c.oid
  FROM pg_class c JOIN schemas n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.deptype = 'i' AND d.refclassid = 'pg_class'::regclass)
  UNION ALL
  SELECT 'routine', n.nspname, p.proname, 'pg_proc'::regclass, p.oid
  FROM pg_proc p JOIN schemas n ON n.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
  UNION ALL
  SELECT 'type', n.nspname, t.typname, 'pg_type'::regclass, t.oid
  FROM pg_type t JOIN schemas n ON n.oid = t.typnamespace
  WHERE t.typrelid = 0 AND t.typcategory <> 'A' AND t.typtype <> 'm'
), found AS (
  SELECT kind, schema, name FROM objects o
  WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = o.classid AND m.objid = o.oid)
  UNION ALL
  SELECT 'large object', '', oid::text FROM pg_largeobject_metadata l
  WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_largeobject'::regclass AND m.objid = l.oid)
)
SELECT json_build_object(
  'count', (SELECT count(*) FROM found),
  'first', (SELECT coalesce(json_agg(f), '[]') FROM (SELECT * FROM found ORDER BY kind, schema, name LIMIT $1) f),
  'bytes', pg_database_size(current_database()))::text";

#[derive(Debug, Deserialize)]
pub(super) struct Contained {
    count: u64,
    first: Vec<Object>,
    /// What the whole database takes on disk.
    pub(super) bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Object {
    kind: String,
    schema: String,
    name: String,
}

impl Postgresql {
    /// Looks, in a session inside the database, at what is in it.
    pub(super) async fn contained(&self, inside: &mut Session) -> Result<Contained, ProviderError> {
        let names = i64::try_from(NAMED).unwrap_or(i64::MAX);
        let query = sqlx::query(CONTAINED).bind(names);
        Ok(inside
            .json("look at what is in the database", query)
            .await?)
    }
}

impl Contained {
    /// Names for people, and one that counts the rest. Empty: nothing is in it.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.first.iter().map(Object::describe).collect();
        let told = u64::try_from(names.len()).unwrap_or(u64::MAX);
        let more = self.count.saturating_sub(told);
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        names
    }
}

impl Object {
    fn describe(&self) -> String {
        let name: String = if self.schema.is_empty() {
            self.name.clone()
        } else {
            format!("{}.{}", quoted(&self.schema), quoted(&self.name))
        };
        let shown: String = name.chars().filter(|c| !c.is_control()).collect();
        format!("{} {shown}", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_and_the_rest_is_counted() {
        let object = |name: &str| Object {
            kind: "table".to_owned(),
            schema: "public".to_owned(),
            name: name.to_owned(),
        };
        let mut contained = Contained {
            count: 2,
            first: vec![object("a"), object("b\"\n")],
            bytes: 0,
        };
        assert_eq!(
            contained.names(),
            ["table \"public\".\"a\"", "table \"public\".\"b\"\"\""]
        );
        contained.count = 12;
        assert_eq!(contained.names()[2], "and 10 more");
        contained = Contained {
            count: 0,
            first: Vec::new(),
            bytes: 0,
        };
        assert_eq!(contained.names(), Vec::<String>::new());
    }
}
