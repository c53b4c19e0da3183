//! What the catalog says, in one query: of two names, or of everything that is claimed.

use std::collections::HashMap;

use serde::Deserialize;

use super::Postgresql;
use super::session::Session;
use crate::provider::{
    Claim, Claimant, DatabaseFacts, Names, Observed, Origin, Ours, ProviderError, RoleFacts,
    SqlName, Survey,
};

/// Both names, or (both NULL) everything that is claimed. `powerful` are the roles that are never touched, with
/// everybody who is a member of one. `place` is where the ids in the claims are good (see `claims.rs`).
const LOOK: &str = "
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

/// The answer to [`LOOK`].
#[derive(Deserialize)]
pub(super) struct Look {
    claims: Vec<ClaimRow>,
    databases: Vec<DatabaseRow>,
    roles: Vec<RoleRow>,
}

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of a table")]
pub(super) struct ClaimRow {
    database_name: String,
    role_name: String,
    cluster_id: String,
    namespace: String,
    name: String,
    uid: String,
    pub(super) created_database: bool,
    created_role: bool,
    drop_adopted: bool,
    released: bool,
    /// What the database carries that is being made, as its connection limit.
    pub(super) database_mark: Option<i32>,
    /// Set while the role is to be made.
    pub(super) role_mark: Option<i32>,
}

/// One database.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of the catalog")]
pub(super) struct DatabaseRow {
    pub(super) name: String,
    pub(super) owner: String,
    /// Connections are allowed at all.
    pub(super) open: bool,
    /// -1 is no limit, -2 a database whose DROP was interrupted.
    pub(super) connections: i32,
    pub(super) template: bool,
    pub(super) encoding: String,
    pub(super) collation: String,
    /// The administrator has the owner's privileges now.
    pub(super) owned: bool,
    /// The administrator may grant itself the owner's role.
    pub(super) obtainable: bool,
    /// What PUBLIC may.
    pub(super) public: Vec<String>,
    /// What the owner may.
    pub(super) own: Vec<String>,
    /// What was granted to the administrator.
    pub(super) administrator: Vec<String>,
    /// It is the one that its claim speaks of.
    pub(super) ours: Option<bool>,
}

/// One role.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of the catalog")]
pub(super) struct RoleRow {
    pub(super) name: String,
    pub(super) login: bool,
    /// -1 is no limit.
    pub(super) connections: i32,
    pub(super) creates_databases: bool,
    pub(super) expires: bool,
    superuser: bool,
    creates_roles: bool,
    replication: bool,
    bypasses_rls: bool,
    /// The powerful roles that it is a member of.
    member_of: Vec<String>,
    pub(super) alterable: bool,
    /// The administrator may `SET ROLE` to it now.
    pub(super) assumable: bool,
    /// It is the one that its claim speaks of.
    ours: Option<bool>,
}

impl Postgresql {
    /// Looks at two names.
    pub(super) async fn look(
        &self,
        home: &mut Session,
        names: &Names,
    ) -> Result<Look, ProviderError> {
        let query = sqlx::query(LOOK)
            .bind(names.database.as_str())
            .bind(names.role.as_str());
        Ok(home.json("look at the catalog", query).await?)
    }

    /// Looks at everything that is claimed.
    pub(super) async fn look_at_all(&self, home: &mut Session) -> Result<Survey, ProviderError> {
        let query = sqlx::query(LOOK).bind(None::<&str>).bind(None::<&str>);
        let look: Look = home.json("look at the catalog", query).await?;
        look.survey()
    }
}

impl Look {
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

impl ClaimRow {
    fn claim(self) -> Result<Claim, ProviderError> {
        let name = |name: String| {
            SqlName::new(name).map_err(|error| {
                ProviderError::InTheWay(format!(
                    "the table db_operator.claims was edited by hand: {error}"
                ))
            })
        };
        Ok(Claim {
            names: Names {
                database: name(self.database_name)?,
                role: name(self.role_name)?,
            },
            claimant: Claimant {
                cluster_id: self.cluster_id,
                namespace: self.namespace,
                name: self.name,
            },
            uid: self.uid,
            database: origin(self.created_database, self.database_mark),
            role: origin(self.created_role, self.role_mark),
            drop_adopted: self.drop_adopted,
            released: self.released,
        })
    }
}

fn origin(created: bool, mark: Option<i32>) -> Origin {
    match (created, mark) {
        (true, _) => Origin::Created,
        (false, Some(_)) => Origin::Creating,
        (false, None) => Origin::Adopted,
    }
}

fn ours(answer: Option<bool>) -> Ours {
    match answer {
        Some(true) => Ours::Yes,
        Some(false) => Ours::No,
        None => Ours::Unknown,
    }
}

impl DatabaseRow {
    /// What CREATE DATABASE … ALLOW_CONNECTIONS false makes: the administrator's, with the default privileges.
    pub(super) fn fresh(name: &str, administrator: &str, mark: Option<i32>) -> Self {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            name: name.to_owned(),
            owner: administrator.to_owned(),
            open: false,
            connections: mark.unwrap_or(-1),
            template: false,
            encoding: String::new(),
            collation: String::new(),
            owned: true,
            obtainable: true,
            public: all(&["CONNECT", "TEMPORARY"]),
            own: all(&["CREATE", "CONNECT", "TEMPORARY"]),
            administrator: Vec::new(),
            ours: mark.map(|_| true),
        }
    }

    /// What PUBLIC may and should not.
    pub(super) fn public_excess(&self) -> &[String] {
        &self.public
    }

    /// What the owner should be able to do and may not.
    pub(super) fn own_lacks(&self) -> Vec<&'static str> {
        let lacks = |privilege: &&str| !self.own.iter().any(|own| own == privilege);
        ["CREATE", "CONNECT", "TEMPORARY"]
            .into_iter()
            .filter(lacks)
            .collect()
    }

    /// Everything that differs from what the operator makes, apart from the owner.
    pub(super) fn deviations(&self) -> Vec<String> {
        let mut deviations = Vec::new();
        if self.connections == -2 {
            deviations
                .push("a DROP DATABASE was interrupted, so it can only be dropped".to_owned());
        } else if self.connections != -1 {
            deviations.push(format!(
                "it was limited to {} connections",
                self.connections
            ));
        }
        if !self.open {
            deviations.push("connections to it were switched off".to_owned());
        }
        if self.template {
            deviations.push("it was a template that others may copy".to_owned());
        }
        if !self.public.is_empty() {
            deviations.push(format!("PUBLIC had {} on it", self.public.join(", ")));
        }
        if !self.own_lacks().is_empty() {
            deviations.push(format!(
                "its owner had no {} on it",
                self.own_lacks().join(", ")
            ));
        }
        if !self.administrator.is_empty() {
            deviations.push(format!(
                "the administrator had {} on it",
                self.administrator.join(", ")
            ));
        }
        deviations
    }

    fn facts(&self) -> DatabaseFacts {
        DatabaseFacts {
            owner: Some(self.owner.clone()),
            deviations: self.deviations(),
            exposures: Vec::new(),
            character_set: self.encoding.clone(),
            collation: self.collation.clone(),
            ours: ours(self.ours),
        }
    }
}

impl RoleRow {
    /// Why it is never touched; empty for an ordinary role.
    pub(super) fn powers(&self) -> Vec<String> {
        let attributes = [
            (self.superuser, "SUPERUSER"),
            (self.creates_roles, "CREATEROLE"),
            (self.replication, "REPLICATION"),
            (self.bypasses_rls, "BYPASSRLS"),
        ];
        let own = attributes
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, name)| name.to_owned());
        let lent = self
            .member_of
            .iter()
            .map(|role| format!("membership in {role}"));
        own.chain(lent).collect()
    }

    /// Everything that differs from what the operator makes, apart from the connection limit.
    pub(super) fn deviations(&self) -> Vec<String> {
        let found = [
            (!self.login, "it could not log in"),
            (self.creates_databases, "it could create databases"),
            (self.expires, "its password had an expiry date"),
        ];
        found
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, text)| text.to_owned())
            .collect()
    }

    fn facts(&self) -> RoleFacts {
        RoleFacts {
            can_login: self.login,
            connection_limit: u32::try_from(self.connections).ok(),
            powers: self.powers(),
            alterable: self.alterable,
            deviations: self.deviations(),
            ours: ours(self.ours),
            password: None,
        }
    }
}
