//! Reads the catalog in one query: what concerns two names, or everything that is claimed.

use std::collections::HashMap;

use serde::Deserialize;

use super::Postgresql;
use super::rows::{ClaimRow, DatabaseRow, RoleRow};
use super::session::Session;
use crate::provider::{Names, Observed, ProviderError, Survey};

/// For both names, or for everything that is claimed if both are NULL. `powerful` are the roles that are never touched,
/// with all their members. `place` is where the ids in the claims are valid (see `creation.rs`). `newer` are columns that
/// not every version has: `datlocprovider` and `daticulocale` came with 15, `datlocale` in the place of the latter with 17.
const CATALOG: &str = "
WITH RECURSIVE me AS (
  SELECT oid, rolname, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user
), claims AS (
  SELECT * FROM db_operator.claims WHERE $1::text IS NULL OR database_name = $1 OR role_name = $2
), place AS (
  SELECT oid || '.' || 'db_operator.claims'::regclass::oid || '/' AS prefix
  FROM pg_database WHERE datname = current_database()
), powerful AS (
  SELECT r.oid AS member, r.oid AS role FROM pg_roles r
  WHERE r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls OR r.rolname IN (
    'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
    'rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
  UNION
  SELECT m.member, p.role FROM pg_auth_members m JOIN powerful p ON m.roleid = p.member
), databases AS (
  SELECT d.datname AS name, o.rolname AS owner, d.datallowconn AS open, d.datconnlimit AS connections,
    d.datistemplate AS template, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collation,
    d.datctype AS ctype, newer.locale_provider, newer.provider_locale,
    (SELECT json_build_object('entry', entry, 'of_database', s.setdatabase <> 0, 'of_role', s.setrole <> 0,
        'role', u.rolname)
      FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS entry
      WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, coalesce(u.oid, 0))
        AND starts_with(entry, 'default_transaction_read_only=')
      ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1) AS read_only,
    pg_has_role(d.datdba, 'USAGE') AS owned,
    CASE WHEN me.rolsuper THEN true
      WHEN current_setting('server_version_num')::int < 160000 THEN me.rolcreaterole AND NOT o.rolsuper
      ELSE pg_has_role(d.datdba, 'MEMBER WITH ADMIN OPTION') END AS obtainable,
    ARRAY(SELECT privilege_type FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba)))
      WHERE grantee = 0) AS public,
    ARRAY(SELECT privilege_type FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba)))
      WHERE grantee = d.datdba) AS own,
    ARRAY(SELECT privilege_type FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba)))
      WHERE grantee = me.oid AND me.oid <> d.datdba) AS administrator,
    CASE WHEN c.created_database AND starts_with(c.database_id, place.prefix)
        THEN c.database_id = place.prefix || d.oid
      WHEN c.database_mark IS NOT NULL THEN d.datconnlimit = c.database_mark AND NOT d.datallowconn END AS ours
  FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba CROSS JOIN me CROSS JOIN place
    LEFT JOIN claims c ON c.database_name = d.datname::text
    LEFT JOIN pg_roles u ON u.rolname::text = coalesce($2, c.role_name)
    CROSS JOIN LATERAL (SELECT
      CASE coalesce(column_of ->> 'datlocprovider', 'c') WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin'
        ELSE column_of ->> 'datlocprovider' END AS locale_provider,
      coalesce(column_of ->> 'datlocale', column_of ->> 'daticulocale') AS provider_locale
      FROM to_jsonb(d) AS column_of) newer
  WHERE d.datname = $1 OR ($1::text IS NULL AND d.datname IN (SELECT database_name FROM claims))
), roles AS (
  SELECT r.rolname AS name, r.rolcanlogin AS login, r.rolconnlimit AS connections, r.rolcreatedb AS creates_databases,
    coalesce(r.rolvaliduntil <> 'infinity', false) AS expires,
    r.rolsuper AS superuser, r.rolcreaterole AS creates_roles, r.rolreplication AS replication,
    r.rolbypassrls AS bypasses_rls,
    ARRAY(SELECT g.rolname FROM powerful p JOIN pg_roles g ON g.oid = p.role
      WHERE p.member = r.oid AND p.role <> r.oid) AS member_of,
    CASE WHEN me.rolsuper THEN true
      WHEN current_setting('server_version_num')::int < 160000 THEN me.rolcreaterole
      ELSE me.rolcreaterole AND pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') END AS alterable,
    CASE WHEN current_setting('server_version_num')::int < 160000 THEN pg_has_role(r.oid, 'MEMBER')
      ELSE pg_has_role(r.oid, 'SET') END AS assumable,
    CASE WHEN c.created_role AND starts_with(c.role_id, place.prefix) THEN c.role_id = place.prefix || r.oid
      WHEN c.role_mark IS NOT NULL THEN false END AS ours
  FROM pg_roles r CROSS JOIN me CROSS JOIN place LEFT JOIN claims c ON c.role_name = r.rolname::text
  WHERE r.rolname = $2 OR ($2::text IS NULL AND r.rolname IN (SELECT role_name FROM claims))
)
SELECT json_build_object(
  'claims', (SELECT coalesce(json_agg(c), '[]') FROM claims c),
  'databases', (SELECT coalesce(json_agg(d), '[]') FROM databases d),
  'roles', (SELECT coalesce(json_agg(r), '[]') FROM roles r))::text";

/// The answer to [`CATALOG`].
#[derive(Deserialize)]
pub(super) struct Catalog {
    claims: Vec<ClaimRow>,
    databases: Vec<DatabaseRow>,
    roles: Vec<RoleRow>,
}

impl Postgresql {
    /// Reads what concerns two names.
    pub(super) async fn read_catalog(
        &self,
        session: &mut Session,
        names: &Names,
    ) -> Result<Catalog, ProviderError> {
        let query = sqlx::query(CATALOG)
            .bind(names.database.as_str())
            .bind(names.role.as_str());
        Ok(session.json("look at the catalog", query).await?)
    }

    /// Reads everything that is claimed.
    pub(super) async fn survey_claims(
        &self,
        session: &mut Session,
    ) -> Result<Survey, ProviderError> {
        let query = sqlx::query(CATALOG).bind(None::<&str>).bind(None::<&str>);
        let catalog: Catalog = session.json("look at the catalog", query).await?;
        catalog.survey()
    }
}

impl Catalog {
    /// The database, if it exists.
    pub(super) fn database(&self) -> Option<&DatabaseRow> {
        self.databases.first()
    }

    /// The role, if it exists.
    pub(super) fn role(&self) -> Option<&RoleRow> {
        self.roles.first()
    }

    /// The claim of this cluster on exactly these names.
    pub(super) fn claim(&self, names: &Names, cluster_id: &str) -> Option<&ClaimRow> {
        self.claims.iter().find(|claim| {
            claim.database_name == names.database.as_str()
                && claim.role_name == names.role.as_str()
                && claim.cluster_id == cluster_id
                && !claim.released
        })
    }

    pub(super) fn observed(self) -> Result<Observed, ProviderError> {
        Ok(Observed {
            claims: self
                .claims
                .into_iter()
                .map(ClaimRow::claim)
                .collect::<Result<_, _>>()?,
            database: self.databases.first().map(DatabaseRow::facts),
            role: self.roles.first().map(RoleRow::facts),
        })
    }

    fn survey(self) -> Result<Survey, ProviderError> {
        let databases = self
            .databases
            .iter()
            .map(|row| (row.name.clone(), row.facts()));
        let roles = self.roles.iter().map(|row| (row.name.clone(), row.facts()));
        Ok(Survey {
            databases: databases.collect::<HashMap<_, _>>(),
            roles: roles.collect::<HashMap<_, _>>(),
            claims: self
                .claims
                .into_iter()
                .map(ClaimRow::claim)
                .collect::<Result<_, _>>()?,
        })
    }
}
