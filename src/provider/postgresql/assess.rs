//! What a dump of one database will be like: what `pg_dump` reads, asked of the catalog.
//!
//! As the database's own user, `pg_dump` locks every table that is not temporary (extensions' tables too), copies those
//! that hold data under `row_security = off`, reads every sequence, and opens every large object; each of these fails
//! without the right to it. It reads no views, no materialized views and no foreign tables, only their definitions.

use serde::Deserialize;

use super::Postgresql;
use super::quoted;
use crate::provider::{Assessment, MissingPrivilege, Names, ProviderError, SqlName};

/// The most groups that are reported; one group is any number of objects of one kind in one schema.
const GROUPS: usize = 20;

/// The most objects of a group that are named.
const NAMED: usize = 20;

/// `$1` is the user. For tables that are exclusively locked, the size is what the last VACUUM saw, because asking for
/// it would wait for the lock. A definition counts as 1000 bytes.
const ASSESS: &str = "
WITH tenant AS (
  SELECT oid, rolsuper, rolsuper OR rolbypassrls AS sees_all_rows FROM pg_roles WHERE rolname = $1
), members AS (
  SELECT d.objid, d.objid = ANY (e.extconfig) AS configures
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
), locked AS (
  SELECT l.relation FROM pg_locks l JOIN pg_database d ON d.oid = l.database
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND d.datname = current_database()
), relations AS (
  SELECT c.oid, c.relname AS name, c.relnamespace AS namespace, n.nspname AS schema, c.relkind AS kind,
    c.relpages AS pages, m.objid IS NULL OR coalesce(m.configures, false) AS has_data,
    t.oid AS tenant,
    c.relkind = 'r' AND c.relrowsecurity AND NOT t.sees_all_rows
      AND (c.relforcerowsecurity OR NOT pg_has_role(t.oid, c.relowner, 'USAGE')) AS hides_rows,
    pg_has_role(t.oid, c.relowner, 'USAGE') AS owned
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN members m ON m.objid = c.oid
  CROSS JOIN tenant t
  WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
), needed AS (
  SELECT * FROM relations WHERE kind IN ('r', 'p') OR has_data
), large AS (
  SELECT l.oid FROM pg_largeobject_metadata l CROSS JOIN tenant t
  WHERE NOT t.rolsuper AND current_setting('lo_compat_privileges') = 'off'
    AND (l.lomacl IS NOT NULL OR NOT pg_has_role(t.oid, l.lomowner, 'USAGE'))
    AND NOT EXISTS (SELECT FROM aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) a
      WHERE a.privilege_type = 'SELECT'
        AND CASE WHEN a.grantee = 0 THEN true ELSE pg_has_role(t.oid, a.grantee, 'USAGE') END)
), unreadable AS (
  SELECT 1 AS rank, 'schema' AS kind, schema, schema AS name, namespace AS oid FROM needed
    WHERE NOT has_schema_privilege(tenant, namespace, 'USAGE') GROUP BY schema, namespace
  UNION ALL
  SELECT 2, 'table', schema, name, oid FROM needed
    WHERE kind IN ('r', 'p') AND NOT (hides_rows AND has_data) AND NOT has_table_privilege(tenant, oid, 'SELECT')
  UNION ALL
  SELECT 3, 'rows', schema, name, oid FROM needed WHERE hides_rows AND has_data AND NOT owned
  UNION ALL
  SELECT 4, 'forced', schema, name, oid FROM needed WHERE hides_rows AND has_data AND owned
  UNION ALL
  SELECT 5, 'sequence', schema, name, oid FROM needed
    WHERE kind = 'S' AND NOT has_table_privilege(tenant, oid, 'SELECT')
  UNION ALL
  SELECT 6, 'large', '', oid::text, oid FROM large
), groups AS (
  SELECT rank, kind, CASE kind WHEN 'schema' THEN '' ELSE schema END AS schema, count(*) AS count,
    (array_agg(name ORDER BY name, oid))[1:20] AS names
  FROM unreadable GROUP BY 1, 2, 3
)
SELECT json_build_object(
  'exists', EXISTS (SELECT FROM tenant),
  'bytes', (SELECT coalesce(sum(1000 + CASE
      WHEN kind <> 'r' OR NOT has_data THEN 0
      WHEN oid IN (SELECT relation FROM locked)
        THEN greatest(pages, 0)::bigint * current_setting('block_size')::bigint
      ELSE coalesce(pg_table_size(oid), 0) END), 0)::bigint FROM relations)
    + pg_table_size('pg_largeobject'::regclass) + 1000,
  'groups', (SELECT count(*) FROM groups),
  'unreadable', (SELECT coalesce(json_agg(g), '[]')
    FROM (SELECT kind, schema, count, names FROM groups ORDER BY rank, schema LIMIT 20) g))::text";

#[derive(Deserialize)]
struct Answer {
    bytes: u64,
    /// How many there are, including those that are not in `unreadable`.
    groups: usize,
    unreadable: Vec<Group>,
}

/// Objects of one kind in one schema.
#[derive(Deserialize)]
struct Group {
    kind: Kind,
    /// Empty for schemas and for large objects.
    schema: String,
    /// How many there are, including those that are not in `names`.
    count: usize,
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Without USAGE, nothing in it can be reached.
    Schema,
    /// No SELECT.
    Table,
    /// Another owner's row security.
    Rows,
    /// Its own row security, which is forced on the owner.
    Forced,
    /// No SELECT.
    Sequence,
    /// No SELECT.
    Large,
}

impl Postgresql {
    pub(super) async fn assess_dump(&self, names: &Names) -> Result<Assessment, ProviderError> {
        let doing = format!("look into the database {:?}", names.database);
        let query = sqlx::query(ASSESS).bind(names.role.as_str());
        let answer: Answer = self.ask_inside(names, &doing, query).await?;
        Ok(Assessment {
            bytes: answer.bytes,
            unreadable: reported(&answer, &names.role),
            // A view keeps what it refers to.
            has_broken_views: false,
            endless_events: Vec::new(),
        })
    }
}

fn reported(answer: &Answer, user: &SqlName) -> Vec<MissingPrivilege> {
    let mut reported: Vec<_> = answer
        .unreadable
        .iter()
        .take(GROUPS)
        .map(|group| group.description(user))
        .collect();
    let more = answer.groups.saturating_sub(reported.len());
    if more > 0
        && let Some(last) = reported.last_mut()
    {
        last.needed_for = format!(
            "{}; and objects of {more} more kinds and schemas",
            last.needed_for
        );
    }
    reported
}

impl Group {
    fn description(&self, user: &SqlName) -> MissingPrivilege {
        let names: Vec<String> = self.names.iter().map(|name| self.written(name)).collect();
        let what = match (self.kind, self.count) {
            (Kind::Schema, 1) => "what is in the schema",
            (Kind::Schema, _) => "what is in the schemas",
            (Kind::Table, 1) => "the table",
            (Kind::Table, _) => "the tables",
            (Kind::Rows | Kind::Forced, 1) => "all rows, past row-level security, of the table",
            (Kind::Rows | Kind::Forced, _) => "all rows, past row-level security, of the tables",
            (Kind::Sequence, 1) => "the sequence",
            (Kind::Sequence, _) => "the sequences",
            (Kind::Large, 1) => "the large object",
            (Kind::Large, _) => "the large objects",
        };
        let more = match self.count.saturating_sub(names.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        MissingPrivilege {
            needed_for: format!("dumping {what} {}{more}", names.join(", ")),
            grant: self.grant(&names, user),
        }
    }

    /// The name as it is written in statements.
    fn written(&self, name: &str) -> String {
        match self.kind {
            Kind::Schema => quoted(name),
            Kind::Table | Kind::Rows | Kind::Forced | Kind::Sequence => {
                format!("{}.{}", quoted(&self.schema), quoted(name))
            }
            // A number.
            Kind::Large => name.to_owned(),
        }
    }

    /// The fix for those that are named, or for all of them if one statement can do that.
    fn grant(&self, names: &[String], user: &SqlName) -> String {
        let user = user.postgresql();
        let listed = names.join(", ");
        let each = |change: &str| {
            let statements: Vec<String> = names
                .iter()
                .map(|name| format!("ALTER TABLE {name} {change}"))
                .collect();
            statements.join("; ")
        };
        match self.kind {
            Kind::Schema => format!("GRANT USAGE ON SCHEMA {listed} TO {user}"),
            Kind::Table if self.count > NAMED => format!(
                "GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {user}",
                quoted(&self.schema)
            ),
            Kind::Table => format!("GRANT SELECT ON TABLE {listed} TO {user}"),
            // With BYPASSRLS, the operator would no longer touch the user.
            Kind::Rows => each(&format!("OWNER TO {user}, NO FORCE ROW LEVEL SECURITY")),
            Kind::Forced => each("NO FORCE ROW LEVEL SECURITY"),
            Kind::Sequence if self.count > NAMED => format!(
                "GRANT SELECT ON ALL SEQUENCES IN SCHEMA {} TO {user}",
                quoted(&self.schema)
            ),
            Kind::Sequence => format!("GRANT SELECT ON SEQUENCE {listed} TO {user}"),
            Kind::Large => format!("GRANT SELECT ON LARGE OBJECT {listed} TO {user}"),
        }
    }
}
