//! What is set on a database from outside of it: settings, privileges, limit and comment. A database that takes another
//! one's place gets the same.

use serde::Deserialize;

use super::Postgresql;
use super::quoted;
use super::session::Session;
use crate::provider::{ProviderError, SqlName};

/// The most bytes of settings and comment that are copied. A tenant can make them as long as it likes.
const LONGEST: i64 = 256 * 1024;

/// Of the database `$1`. What PUBLIC, the owner and the administrator may is not copied, since the operator sets that
/// itself. A setting of a role in the database can be made again by who may alter the role; one that the server keeps to
/// superusers, by who was given it. Of a setting whose name is unknown here (of an extension), the server lets a superuser
/// alone set it. `$2` is as many bytes as are read.
macro_rules! properties {
    ($may_set:literal) => {
        concat!(
            "WITH db AS (
  SELECT d.* FROM pg_database d WHERE d.datname = $1
), me AS (
  SELECT oid, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user
), settings AS (
  SELECT r.rolname AS role, c.entry, c.place, CASE WHEN me.rolsuper THEN true
      WHEN s.setrole NOT IN (0, me.oid) AND (r.rolsuper OR NOT me.rolcreaterole) THEN false
      WHEN s.setrole NOT IN (0, me.oid) AND current_setting('server_version_num')::int >= 160000
        AND NOT pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') THEN false
      WHEN p.context IN ('user', 'backend') THEN true
      ELSE ",
            $may_set,
            " END AS allowed
  FROM pg_db_role_setting s CROSS JOIN db CROSS JOIN me LEFT JOIN pg_roles r ON r.oid = s.setrole
    CROSS JOIN LATERAL unnest(s.setconfig) WITH ORDINALITY AS c(entry, place)
    LEFT JOIN pg_settings p ON lower(p.name) = lower(split_part(c.entry, '=', 1))
  WHERE s.setdatabase = db.oid AND (s.setrole = 0 OR r.oid IS NOT NULL)
), bytes AS (
  SELECT coalesce((SELECT sum(octet_length(entry)) FROM settings), 0)
    + coalesce(octet_length(shobj_description(db.oid, 'pg_database')), 0) AS sum FROM db
)
SELECT json_build_object(
  'bytes', bytes.sum,
  'limit', db.datconnlimit,
  'comment', CASE WHEN bytes.sum <= $2 THEN shobj_description(db.oid, 'pg_database') END,
  'settings', (SELECT coalesce(json_agg(s ORDER BY s.role NULLS FIRST, s.place), '[]') FROM settings s
    WHERE bytes.sum <= $2),
  'grants', (SELECT coalesce(json_agg(g), '[]') FROM (
    SELECT DISTINCT r.rolname AS grantee, a.privilege_type AS privilege, a.is_grantable AS grantable
    FROM aclexplode(db.datacl) a JOIN pg_roles r ON r.oid = a.grantee CROSS JOIN me
    WHERE a.grantee NOT IN (db.datdba, me.oid) ORDER BY 1, 2) g),
  'encoding', pg_encoding_to_char(db.encoding), 'collate', db.datcollate, 'ctype', db.datctype,
  'provider', to_jsonb(db) ->> 'datlocprovider',
  'locale', coalesce(to_jsonb(db) ->> 'datlocale', to_jsonb(db) ->> 'daticulocale'),
  'icu_rules', to_jsonb(db) ->> 'daticurules',
  'tablespace', (SELECT json_build_object('name', t.spcname,
      'default', t.oid = (SELECT dattablespace FROM pg_database WHERE datname = 'template0'),
      'allowed', has_tablespace_privilege(t.oid, 'CREATE')) FROM pg_tablespace t WHERE t.oid = db.dattablespace)
)::text FROM db, bytes"
        )
    };
}

const PROPERTIES: &str = properties!("has_parameter_privilege(split_part(c.entry, '=', 1), 'SET')");

/// Before version 15, nobody but a superuser is given the right to a setting.
const PROPERTIES_14: &str = properties!("false");

/// From this version on, the right to a setting can be granted.
const PARAMETERS_SINCE: u32 = 150_000;

/// What is set on a database from outside.
#[derive(Debug, Deserialize)]
pub(super) struct Properties {
    pub(super) bytes: i64,
    pub(super) limit: i32,
    pub(super) comment: Option<String>,
    pub(super) settings: Vec<Setting>,
    pub(super) grants: Vec<Grant>,
    pub(super) encoding: String,
    pub(super) collate: String,
    pub(super) ctype: String,
    /// The letter of its locale provider, from version 15 on.
    pub(super) provider: Option<String>,
    /// The locale of a provider other than libc.
    pub(super) locale: Option<String>,
    pub(super) icu_rules: Option<String>,
    pub(super) tablespace: Tablespace,
}

#[derive(Debug, Deserialize)]
pub(super) struct Setting {
    /// `None`: for the database itself.
    pub(super) role: Option<String>,
    /// `name=value`.
    pub(super) entry: String,
    /// Whether the administrator may make it.
    pub(super) allowed: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Grant {
    pub(super) grantee: String,
    pub(super) privilege: String,
    pub(super) grantable: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tablespace {
    pub(super) name: String,
    pub(super) default: bool,
    /// Whether the administrator may make a database in it.
    pub(super) allowed: bool,
}

impl Postgresql {
    /// Reads what is set on a database from outside; `None` if there is no such database.
    pub(super) async fn properties(
        &self,
        session: &mut Session,
        database: &SqlName,
    ) -> Result<Option<Properties>, ProviderError> {
        let sql = if session.version() >= PARAMETERS_SINCE {
            PROPERTIES
        } else {
            PROPERTIES_14
        };
        let query = sqlx::query(sql).bind(database.as_str()).bind(LONGEST);
        Ok(session
            .optional_json("look at what is set on a database", query)
            .await?)
    }
}

impl Properties {
    /// Whether there is more than is read: then nothing of it is.
    pub(super) fn too_long(&self, database: &SqlName) -> Option<String> {
        (self.bytes > LONGEST).then(|| {
            format!(
                "the settings and the comment of database {database:?} take {} bytes, and {LONGEST} can be copied: shorten them",
                self.bytes
            )
        })
    }

    /// What the administrator may not make again, each with what to do.
    pub(super) fn obstacles(&self, database: &SqlName) -> Vec<String> {
        let mut obstacles = self.not_copied(database);
        if !self.tablespace.default && !self.tablespace.allowed {
            let tablespace = &self.tablespace.name;
            obstacles.push(format!(
                "database {database:?} is in the tablespace {tablespace:?}, where the administrator may not make another one; as \
                 a superuser, run: GRANT CREATE ON TABLESPACE {} TO the administrator",
                quoted(tablespace)
            ));
        }
        obstacles
    }

    /// The same of what a database gets that is there already.
    pub(super) fn not_copied(&self, database: &SqlName) -> Vec<String> {
        let mut obstacles: Vec<String> = self.too_long(database).into_iter().collect();
        for setting in self.settings.iter().filter(|setting| !setting.allowed) {
            let name = setting.name();
            let (of, reset) = match &setting.role {
                None => (
                    String::new(),
                    format!("ALTER DATABASE {} RESET {name}", database.postgresql()),
                ),
                Some(role) => (
                    format!(" of user {role:?}"),
                    format!(
                        "ALTER ROLE {} IN DATABASE {} RESET {name}",
                        quoted(role),
                        database.postgresql()
                    ),
                ),
            };
            obstacles.push(format!(
                "the administrator may not make the setting {name}{of} again, which database {database:?} has; as a superuser, \
                 run GRANT SET ON PARAMETER {name} (from PostgreSQL 15 on) or {reset}",
            ));
        }
        obstacles
    }
}

impl Setting {
    /// Its name, as an identifier: a name of an extension's has a dot.
    pub(super) fn name(&self) -> String {
        let name = self.entry.split('=').next().unwrap_or_default();
        let parts: Vec<String> = name.split('.').map(quoted).collect();
        parts.join(".")
    }
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
