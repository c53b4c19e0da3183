//! What a database's own user may not read or write of what belongs to others.
//!
//! A user owns a database without owning what is in it. What belongs to an extension is the extension's, and is left out.

use serde::Deserialize;

use super::Postgresql;
use super::quoted;
use crate::printable::{is_printable, printable};
use crate::provider::{Extent, Inaccessible, MissingPrivilege, Names, ProviderError, SqlName};

/// SQL: what the user `$1` may not read or write of what [`extent`] says in `$2`. A sequence of an identity column needs no
/// right, and one of a table that is named goes with it; a partition is read through its table. `closed` is what only a right
/// on its schema is missing for.
macro_rules! inaccessible {
    () => {
        "
WITH tenant AS (
  SELECT oid FROM pg_roles WHERE rolname = $1
), relations AS (
  SELECT c.oid, c.relowner AS owner, n.oid AS namespace, n.nspname AS schema, n.nspowner AS schema_owner,
    c.relname AS name, c.relkind AS kind, t.oid AS tenant, has_schema_privilege(t.oid, n.oid, 'USAGE') AS open
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN tenant t
  WHERE $2 <> 'nothing' AND ($2 = 'everything' OR n.nspname = 'public' OR pg_has_role(t.oid, n.nspowner, 'USAGE'))
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND NOT c.relispartition
    AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
    AND NOT EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND (d.deptype = 'e'
        OR c.relkind = 'S' AND d.refclassid = 'pg_class'::regclass AND (d.deptype = 'i'
          OR d.deptype = 'a' AND NOT has_table_privilege(t.oid, d.refobjid, 'INSERT'))))
), states AS (
  SELECT *, CASE WHEN open THEN inside WHEN inside = 'unreadable' THEN inside ELSE 'closed' END AS state
  FROM (SELECT *, CASE
    WHEN pg_has_role(tenant, owner, 'USAGE') THEN 'usable'
    WHEN kind = 'S' THEN CASE
      WHEN has_sequence_privilege(tenant, oid, 'USAGE, UPDATE') THEN 'usable'
      WHEN has_sequence_privilege(tenant, oid, 'SELECT') THEN 'read_only' ELSE 'unreadable' END
    WHEN NOT has_any_column_privilege(tenant, oid, 'SELECT') THEN 'unreadable'
    WHEN kind IN ('v', 'm') OR has_any_column_privilege(tenant, oid, 'INSERT, UPDATE')
      OR has_table_privilege(tenant, oid, 'DELETE') THEN 'usable'
    ELSE 'read_only' END AS inside
  FROM relations) r
), owners AS (
  SELECT owner, state, count(*) AS count,
    to_json((array_agg(json_build_object('schema', schema, 'name', name, 'kind', kind) ORDER BY schema, name))[1:5])
      AS named,
    to_json((array_agg(DISTINCT schema) FILTER (WHERE NOT open))[1:5]) AS closed,
    to_json((array_agg(DISTINCT schema) FILTER (WHERE NOT open AND schema_owner <> owner))[1:5]) AS closed_by_others,
    row_number() OVER (PARTITION BY state ORDER BY count(*) DESC, owner) AS place
  FROM states WHERE state <> 'usable' GROUP BY owner, state
)"
    };
}
pub(super) use inaccessible;

/// SQL: the parts of a JSON object that are an [`Answer`]. At most five owners of each kind, each with five names. Other
/// databases would change hands with the objects of an owner, and those of the superuser that initdb made
/// (10: `BOOTSTRAP_SUPERUSERID`) cannot.
macro_rules! answer {
    () => {
        "
  'reads_some', EXISTS (SELECT FROM states WHERE state NOT IN ('unreadable', 'closed')),
  'owners', (SELECT coalesce(json_agg(json_build_object('name', r.rolname, 'state', o.state,
      'count', o.count, 'named', o.named, 'closed', coalesce(o.closed, '[]'),
      'closed_by_others', coalesce(o.closed_by_others, '[]'),
      'elsewhere', o.owner = 10 OR EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass
        AND s.refobjid = o.owner AND s.deptype = 'o' AND s.dbid = 0)) ORDER BY o.count DESC, r.rolname), '[]')
    FROM owners o JOIN pg_roles r ON r.oid = o.owner WHERE o.place <= 5),
  'more_unreadable', (SELECT count(*) FROM owners WHERE place > 5 AND state IN ('unreadable', 'closed')),
  'more_read_only', (SELECT count(*) FROM owners WHERE place > 5 AND state = 'read_only')"
    };
}
pub(super) use answer;

const INACCESSIBLE: &str = concat!(
    inaccessible!(),
    "
SELECT json_build_object('exists', EXISTS (SELECT FROM tenant),",
    answer!(),
    ")::text"
);

#[derive(Deserialize)]
pub(super) struct Answer {
    reads_some: bool,
    owners: Vec<Owner>,
    /// How many owners of what cannot be read are not in `owners`.
    more_unreadable: usize,
    /// The same of what cannot be written.
    more_read_only: usize,
}

#[derive(Deserialize)]
struct Owner {
    name: String,
    state: State,
    /// How many of its objects the user may not read, or not write.
    count: usize,
    /// Some of them.
    named: Vec<Relation>,
    /// Schemas of these that the user may not look into.
    closed: Vec<String>,
    /// Those of them that belong to somebody else than the objects do.
    closed_by_others: Vec<String>,
    /// It owns databases or tablespaces, too, or what it owns cannot be given away as a whole.
    elsewhere: bool,
}

/// What is in the user's way to the objects of an owner.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It may read these, if only it could get at their schema.
    Closed,
    /// It may not read them.
    Unreadable,
    /// They can be read, and not written.
    ReadOnly,
}

#[derive(Deserialize)]
struct Relation {
    schema: String,
    name: String,
    /// `pg_class.relkind`.
    kind: char,
}

impl Postgresql {
    pub(super) async fn list_inaccessible(
        &self,
        names: &Names,
        extent: Extent,
    ) -> Result<Inaccessible, ProviderError> {
        let doing = format!("look into the database {:?}", names.database);
        let query = sqlx::query(INACCESSIBLE)
            .bind(names.role.as_str())
            .bind(self::extent(extent));
        let answer: Answer = self.ask_inside(names, &doing, query).await?;
        Ok(answer.described(&names.role))
    }
}

/// The word for `$2`.
pub(super) const fn extent(extent: Extent) -> &'static str {
    match extent {
        Extent::Everything => "everything",
        Extent::OwnSchemas => "own",
        Extent::Nothing => "nothing",
    }
}

impl Answer {
    /// In words, with the statements that help.
    pub(super) fn described(&self, user: &SqlName) -> Inaccessible {
        let read_only = |state: State| match state {
            State::ReadOnly => true,
            State::Closed | State::Unreadable => false,
        };
        Inaccessible {
            unreadable: self.of(user, |state| !read_only(state), self.more_unreadable),
            read_only: self.of(user, read_only, self.more_read_only),
            reads_some: self.reads_some,
        }
    }

    fn of(
        &self,
        user: &SqlName,
        is_meant: impl Fn(State) -> bool,
        more: usize,
    ) -> Vec<MissingPrivilege> {
        let owners = self.owners.iter().filter(|owner| is_meant(owner.state));
        let mut all: Vec<_> = owners.map(|owner| owner.description(user)).collect();
        if more > 0
            && let Some(last) = all.last_mut()
        {
            last.needed_for = format!("{} (and those of {more} more owners)", last.needed_for);
        }
        all
    }
}

/// What is said in the place of statements, none of which can be shown.
const WITHHELD: &str = "(a statement is not shown: names in it have characters that cannot be)";

impl Owner {
    fn description(&self, user: &SqlName) -> MissingPrivilege {
        let names = self.named.iter().map(Relation::written);
        let names: Vec<String> = names.map(|name| printable(&name).into_owned()).collect();
        let more = match self.count.saturating_sub(names.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = if self.count == 1 { "object" } else { "objects" };
        let grant = match self.state {
            State::Closed => told(&looks(&self.closed, user), true),
            State::Unreadable if self.elsewhere => {
                let mut statements = looks(&self.closed, user);
                statements.extend(self.shown().map(|one| one.gift(user)));
                told(&statements, self.shows_all())
            }
            State::Unreadable => {
                let gift = format!(
                    "REASSIGN OWNED BY {} TO {}",
                    quoted(&self.name),
                    user.postgresql()
                );
                let mut statements = vec![gift];
                statements.extend(looks(&self.closed_by_others, user));
                told(&statements, true)
            }
            State::ReadOnly => told(&self.rights_to_write(user), self.shows_all()),
        };
        MissingPrivilege {
            needed_for: format!(
                "{} {what} of {:?}: {}{more}",
                self.count,
                self.name,
                names.join(", ")
            ),
            grant,
        }
    }

    /// Whoever granted the right to read may have meant to grant no more: nothing changes hands.
    fn rights_to_write(&self, user: &SqlName) -> Vec<String> {
        let of = |sequences: bool| {
            let these = self.shown().filter(|one| (one.kind == 'S') == sequences);
            these.map(Relation::written).collect::<Vec<_>>().join(", ")
        };
        let rights = [
            ("INSERT, UPDATE, DELETE ON", of(false)),
            ("USAGE ON SEQUENCE", of(true)),
        ];
        rights
            .into_iter()
            .filter(|(_, these)| !these.is_empty())
            .map(|(right, these)| format!("GRANT {right} {these} TO {}", user.postgresql()))
            .collect()
    }

    /// Those whose names can stand in a statement for people.
    fn shown(&self) -> impl Iterator<Item = &Relation> {
        let these = self.named.iter();
        these.filter(|one| is_printable(&one.schema) && is_printable(&one.name))
    }

    fn shows_all(&self) -> bool {
        self.shown().count() == self.count
    }
}

/// What lets the user look into these schemas. Whose they are stays as it is.
fn looks(schemas: &[String], user: &SqlName) -> Vec<String> {
    let grant = |schema: &String| {
        format!(
            "GRANT USAGE ON SCHEMA {} TO {}",
            quoted(schema),
            user.postgresql()
        )
    };
    schemas.iter().map(grant).collect()
}

/// Statements for people, who have to see what they run. `complete`: they are for everything that is meant.
fn told(statements: &[String], complete: bool) -> String {
    let shown = statements.iter().filter(|sql| is_printable(sql));
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    if shown.is_empty() {
        return WITHHELD.to_owned();
    }
    let rest = if complete && shown.len() == statements.len() {
        ""
    } else {
        "; and the same for the others"
    };
    format!("{}{rest}", shown.join("; "))
}

impl Relation {
    /// What gives it to the user. `REASSIGN OWNED` also gives away the databases and tablespaces of an owner, so it is not
    /// for one that has others.
    fn gift(&self, user: &SqlName) -> String {
        format!(
            "ALTER {} {} OWNER TO {}",
            self.kind(),
            self.written(),
            user.postgresql()
        )
    }

    fn written(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    fn kind(&self) -> &'static str {
        match self.kind {
            'v' => "VIEW",
            'm' => "MATERIALIZED VIEW",
            'f' => "FOREIGN TABLE",
            'S' => "SEQUENCE",
            _ => "TABLE",
        }
    }
}

#[cfg(test)]
#[path = "accessible_tests.rs"]
mod tests;
