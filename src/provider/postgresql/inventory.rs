//! What comes with a database beside its rows, asked of the catalog in one statement.
//!
//! What `pg_dump` leaves out without `--create`, or without a superuser: settings, the comment on the database,
//! subscriptions, rows of foreign tables. And what the dump contains although only a superuser may create it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Postgresql, quoted};
use crate::provider::inventory::{
    EXTENSION_DATA, InstalledExtension, Inventory, LISTED, LargestRows, Objects, Setting,
    SettingOf, mebibytes, shown, value_shown,
};
use crate::provider::{Names, ProviderError};

/// A table's rows are worth a word from this average on, in bytes.
const LARGE_ROW: u64 = 16 * 1024 * 1024;

/// `$1` is the user. Only the catalog is read, and sizes of files of tables that nobody has locked. A role that is named
/// somewhere depends on that in `pg_shdepend`, which has one index for all of it; the server's own roles are not in it.
/// Of a table that was never analyzed the number of rows is not known: each page is taken for one row.
const INVENTORY: &str = "
WITH tenant AS (
  SELECT oid FROM pg_roles WHERE rolname = $1
), db AS (
  SELECT d.*, to_jsonb(d) AS fields FROM pg_database d WHERE d.datname = current_database()
), members AS (
  SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
), settings AS (
  SELECT CASE WHEN s.setrole = 0 THEN 'database' WHEN s.setdatabase = 0 THEN 'user' ELSE 'userInDatabase' END AS of,
    CASE WHEN s.setrole <> t.oid THEN r.rolname END AS role, c.entry
  FROM pg_db_role_setting s CROSS JOIN db CROSS JOIN tenant t CROSS JOIN LATERAL unnest(s.setconfig) AS c(entry)
    LEFT JOIN pg_roles r ON r.oid = s.setrole
  WHERE s.setdatabase = db.oid OR (s.setdatabase = 0 AND s.setrole = t.oid)
), extensions AS (
  SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema, pg_has_role(t.oid, e.extowner, 'USAGE') AS owned
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace CROSS JOIN tenant t WHERE e.oid >= 16384
), relations AS (
  SELECT c.oid, c.relname AS name, n.nspname AS schema, c.relkind AS kind, c.reltablespace AS tablespace,
    c.relpersistence AS persistence, c.reltoastrelid AS toast, c.reltuples AS rows, m.objid IS NOT NULL AS member
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN members m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
  WHERE n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_') AND c.relpersistence <> 't'
), locked AS (
  SELECT l.relation FROM pg_locks l CROSS JOIN db
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.database = db.oid
), large AS (
  SELECT r.schema, r.name, (coalesce(pg_relation_size(r.toast), 0) / CASE WHEN r.rows > 0 THEN r.rows
    ELSE greatest(coalesce(pg_relation_size(r.oid), 0) / current_setting('block_size')::bigint, 1) END)::bigint AS bytes
  FROM relations r WHERE r.kind = 'r' AND r.toast <> 0
    AND NOT EXISTS (SELECT FROM locked l WHERE l.relation IN (r.oid, r.toast))
  ORDER BY 3 DESC LIMIT 1
), found AS (
  SELECT 'eventTriggers' AS kind, '' AS schema, evtname::text AS name FROM pg_event_trigger t
    WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_event_trigger'::regclass AND m.objid = t.oid)
  UNION ALL
  SELECT 'publications', '', pubname FROM pg_publication CROSS JOIN tenant t
    WHERE puballtables OR NOT pg_has_role(t.oid, pubowner, 'USAGE')
  UNION ALL
  SELECT 'subscriptions', '', subname FROM pg_subscription s JOIN db ON db.oid = s.subdbid
  UNION ALL
  SELECT 'tablespaces', '', s.spcname FROM relations r JOIN pg_tablespace s ON s.oid = r.tablespace
  UNION ALL
  SELECT 'unlogged', schema, name FROM relations WHERE persistence = 'u' AND kind IN ('r', 'p')
  UNION ALL
  SELECT 'foreignTables', schema, name FROM relations WHERE kind = 'f' AND NOT member
  UNION ALL
  SELECT 'foreignServers', '', s.srvname FROM pg_foreign_server s CROSS JOIN tenant t
    WHERE NOT pg_has_role(t.oid, s.srvowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_foreign_server'::regclass AND m.objid = s.oid)
  UNION ALL
  SELECT 'functions', n.nspname, p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
      JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.oid >= 16384 AND NOT l.lanpltrusted AND p.prokind <> 'a' AND NOT EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
  UNION ALL
  SELECT 'policies', '', r.rolname FROM pg_shdepend s JOIN db ON db.oid = s.dbid JOIN pg_roles r ON r.oid = s.refobjid
      CROSS JOIN tenant t
    WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'r' AND s.refobjid <> t.oid
  UNION ALL
  SELECT 'policiesTo', n.nspname, c.relname || ' ' || p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN tenant t
    WHERE EXISTS (SELECT FROM unnest(p.polroles) AS role(oid) WHERE role.oid NOT IN (0, t.oid))
  UNION ALL
  SELECT 'grants', '', r.rolname FROM pg_shdepend s JOIN db ON db.oid = s.dbid JOIN pg_roles r ON r.oid = s.refobjid
      CROSS JOIN tenant t
    WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'a' AND s.refobjid <> t.oid
  UNION ALL
  SELECT 'extensionData', r.schema, r.name FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig) AS c(oid)
      JOIN relations r ON r.oid = c.oid CROSS JOIN tenant t
    WHERE r.kind = 'r' AND NOT has_table_privilege(t.oid, r.oid, 'INSERT')
  UNION ALL
  SELECT 'labels', '', l.provider FROM pg_seclabel l
), kinds AS (
  SELECT kind, count(*) AS count FROM found GROUP BY kind
), named AS (
  SELECT kind, schema, name, row_number() OVER (PARTITION BY kind ORDER BY schema, name) AS place
  FROM (SELECT DISTINCT kind, schema, name FROM found) f
)
SELECT json_build_object(
  'exists', EXISTS (SELECT FROM tenant),
  'createdWith', (SELECT json_build_object('encoding', pg_encoding_to_char(encoding), 'collation', datcollate,
    'ctype', datctype, 'localeProvider', fields ->> 'datlocprovider',
    'icuLocale', coalesce(fields ->> 'datlocale', fields ->> 'daticulocale'), 'icuRules', fields ->> 'daticurules',
    'tablespace', (SELECT spcname FROM pg_tablespace s WHERE s.oid = dattablespace)) FROM db),
  'comment', (SELECT shobj_description(oid, 'pg_database') FROM db),
  'settings', (SELECT coalesce(json_agg(s), '[]') FROM (SELECT * FROM settings ORDER BY of, role, entry LIMIT 41) s),
  'extensions', (SELECT coalesce(json_agg(e), '[]') FROM (SELECT * FROM extensions ORDER BY name LIMIT 41) e),
  'found', (SELECT coalesce(json_agg(json_build_object('kind', k.kind, 'count', k.count, 'names',
      (SELECT json_agg(json_build_array(n.schema, n.name) ORDER BY n.place) FROM named n
        WHERE n.kind = k.kind AND n.place <= 10))), '[]') FROM kinds k),
  'largeObjects', (SELECT count(*) FROM pg_largeobject_metadata),
  'largest', (SELECT row_to_json(l) FROM large l WHERE l.bytes > 0))::text";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    created_with: BTreeMap<String, Option<String>>,
    comment: Option<String>,
    settings: Vec<SettingRow>,
    extensions: Vec<ExtensionRow>,
    found: Vec<Found>,
    large_objects: u64,
    largest: Option<Largest>,
}

#[derive(Deserialize)]
struct SettingRow {
    of: SettingOf,
    /// Set for another user than the database's own.
    role: Option<String>,
    /// `name=value`.
    entry: String,
}

#[derive(Deserialize)]
struct ExtensionRow {
    name: String,
    version: String,
    schema: String,
    owned: bool,
}

/// Objects of one kind.
#[derive(Deserialize)]
struct Found {
    kind: Kind,
    count: u64,
    /// Schema, which may be empty, and name.
    names: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Kind {
    EventTriggers,
    Publications,
    Subscriptions,
    Tablespaces,
    Unlogged,
    ForeignTables,
    ForeignServers,
    Functions,
    Policies,
    PoliciesTo,
    Grants,
    ExtensionData,
    Labels,
}

#[derive(Deserialize)]
struct Largest {
    schema: String,
    name: String,
    bytes: u64,
}

impl Postgresql {
    pub(super) async fn inventory_of(&self, names: &Names) -> Result<Inventory, ProviderError> {
        let doing = format!("look at what comes with the database {:?}", names.database);
        let query = sqlx::query(INVENTORY).bind(names.role.as_str());
        let answer: Answer = self.ask_inside(names, &doing, query).await?;
        Ok(inventory(answer))
    }
}

/// What the answer means.
fn inventory(answer: Answer) -> Inventory {
    let mut inventory = Inventory {
        created_with: created_with(answer.created_with),
        comment: answer.comment.as_deref().map(value_shown),
        shortened: answer.extensions.len() > LISTED,
        extensions: answer
            .extensions
            .iter()
            .take(LISTED)
            .map(extension)
            .collect(),
        largest_rows: answer.largest.as_ref().map(largest_rows),
        ..Inventory::default()
    };
    inventory.set_settings(answer.settings.iter().map(setting).collect());
    if inventory.comment.is_some() {
        inventory.warn("the comment on the database is not in the dump; the manifest has it");
    }
    if !inventory.settings.is_empty() {
        let warning = settings_warning(&inventory.settings);
        inventory.warn(&warning);
    }
    for found in answer.found {
        found.tell(&mut inventory);
    }
    inventory
        .also
        .extend(Objects::of("large objects", answer.large_objects, []));
    if let Some(largest) = inventory.largest_rows.clone()
        && largest.average_bytes >= LARGE_ROW
    {
        inventory.warn(&format!(
            "rows of {} have about {} on average (an estimate); the dump tool, and the client that restores them, hold a whole row in \
             memory, twice as long where it is bytea",
            largest.table,
            mebibytes(largest.average_bytes)
        ));
    }
    inventory
}

/// The letters of `pg_database.datlocprovider`, and its other fields as they are.
fn created_with(fields: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    let word = |field: &str, value: String| match (field, value.as_str()) {
        ("localeProvider", "b") => "builtin".to_owned(),
        ("localeProvider", "c") => "libc".to_owned(),
        ("localeProvider", "i") => "icu".to_owned(),
        (_, _) => value_shown(&value),
    };
    fields
        .into_iter()
        .filter_map(|(field, value)| {
            let value = word(&field, value?);
            Some((field, value))
        })
        .collect()
}

fn setting(row: &SettingRow) -> Setting {
    let (name, value) = row.entry.split_once('=').unwrap_or((&row.entry, ""));
    Setting::new(row.of, row.role.as_deref(), name, value)
}

fn extension(row: &ExtensionRow) -> InstalledExtension {
    InstalledExtension {
        name: shown(&row.name),
        version: shown(&row.version),
        schema: shown(&row.schema),
        owned: row.owned,
    }
}

fn largest_rows(largest: &Largest) -> LargestRows {
    LargestRows {
        table: shown(&format!(
            "{}.{}",
            quoted(&largest.schema),
            quoted(&largest.name)
        )),
        average_bytes: largest.bytes,
    }
}

fn settings_warning(settings: &[Setting]) -> String {
    let mut names: Vec<&str> = settings
        .iter()
        .map(|setting| setting.name.as_str())
        .collect();
    names.dedup();
    let more = if names.len() > 3 { ", …" } else { "" };
    names.truncate(3);
    format!(
        "settings of the database and its users ({}{more}) are not in the dump; the manifest lists them",
        names.join(", ")
    )
}

impl Found {
    fn tell(self, inventory: &mut Inventory) {
        let (word, place, meaning) = self.kind.told();
        let names = self.names.into_iter().map(|(schema, name)| {
            if self.kind == Kind::PoliciesTo {
                format!("{schema} {name}")
            } else if schema.is_empty() {
                name
            } else {
                format!("{}.{}", quoted(&schema), quoted(&name))
            }
        });
        let Some(objects) = Objects::of(word, self.count, names) else {
            return;
        };
        if let Some(meaning) = meaning {
            inventory.warn_of(&objects, meaning);
        }
        let group = match place {
            Place::NotInDump => &mut inventory.not_in_dump,
            Place::NeedsAdministrator => &mut inventory.needs_administrator,
            Place::OtherUsers => &mut inventory.other_users,
            Place::Also => &mut inventory.also,
        };
        group.push(objects);
    }
}

/// In which group of an inventory something is told.
#[derive(Clone, Copy)]
enum Place {
    NotInDump,
    NeedsAdministrator,
    OtherUsers,
    Also,
}

impl Kind {
    /// What objects of this kind are called, where they are told, and what they mean, where that is worth a warning.
    fn told(self) -> (&'static str, Place, Option<&'static str>) {
        use Place::{Also, NeedsAdministrator, NotInDump, OtherUsers};
        match self {
            Self::EventTriggers => (
                "event triggers",
                NeedsAdministrator,
                Some(
                    "only a superuser can make them again; the manifest's commands leave them out",
                ),
            ),
            Self::Publications => (
                "publications that are not the user's own, or for all tables",
                NeedsAdministrator,
                Some(
                    "only a superuser can make them again; the manifest's commands leave publications out",
                ),
            ),
            Self::Subscriptions => (
                "subscriptions",
                NotInDump,
                Some("they are not in the dump, because only a superuser can read them"),
            ),
            Self::Tablespaces => (
                "tables and indexes in tablespaces",
                Also,
                Some(
                    "a restore puts them into the default tablespace, as the manifest's commands do",
                ),
            ),
            Self::Unlogged => ("unlogged tables", Also, None),
            Self::ForeignTables => (
                "foreign tables",
                NotInDump,
                Some("only their definitions are in the dump, not their rows"),
            ),
            Self::ForeignServers => (
                "foreign servers of other owners",
                NeedsAdministrator,
                Some(
                    "only an administrator can make them again, and mappings with their passwords are not in the dump",
                ),
            ),
            Self::Functions => (
                "functions in untrusted languages",
                NeedsAdministrator,
                Some("only a superuser can make them again"),
            ),
            Self::Policies => (
                "roles in policies",
                OtherUsers,
                Some(
                    "a restore stops at such a policy on a server that lacks the role: make the role there, or leave the policy out",
                ),
            ),
            // As `pg_restore --list` has them.
            Self::PoliciesTo => ("policies for these roles", OtherUsers, None),
            Self::Grants => ("roles in grants", OtherUsers, None),
            Self::ExtensionData => (
                EXTENSION_DATA,
                NeedsAdministrator,
                Some("their rows are in the dump, and the manifest's commands leave them out"),
            ),
            Self::Labels => (
                "security labels",
                Also,
                Some(
                    "a restore needs the label provider: leave them out with --no-security-labels",
                ),
            ),
        }
    }
}
