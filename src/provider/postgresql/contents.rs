//! What lives inside a database: extensions and schemas, created as the owner would create them.

use std::collections::HashMap;

use serde::Deserialize;

use super::Postgresql;
use super::error::Failure;
use super::grants::{Right, borrow, give_back, permit};
use super::session::Session;
use crate::provider::ident::postgresql_literal;
use crate::provider::{Change, Desired, Extension, ProviderError};

/// What is inside, and what the server offers. `$1` names the wanted extensions, `$2` the database's user. The user
/// also owns what belongs to a role that it is a member of, such as `pg_database_owner`, to which `public` belongs.
const INSIDE: &str = "SELECT json_build_object(
  'schemas', (SELECT coalesce(json_object_agg(n.nspname, json_build_object(
      'owner', r.rolname, 'of_user', coalesce(pg_has_role(u.oid, n.nspowner, 'USAGE'), false))), '{}')
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner LEFT JOIN pg_roles u ON u.rolname = $2),
  'installed', (SELECT coalesce(json_object_agg(e.extname, e.extversion), '{}') FROM pg_extension e),
  'available', (SELECT coalesce(json_object_agg(x.name, json_build_object(
      'trusted', coalesce(v.trusted, false) OR NOT coalesce(v.superuser, true), 'schema', v.schema)), '{}')
    FROM pg_available_extensions x
    LEFT JOIN pg_available_extension_versions v ON v.name = x.name AND v.version = x.default_version
    WHERE x.name = ANY ($1)))::text";

#[derive(Deserialize)]
struct Inside {
    /// By name.
    schemas: HashMap<String, Schema>,
    /// Versions by extension.
    installed: HashMap<String, String>,
    available: HashMap<String, Available>,
}

#[derive(Deserialize)]
struct Schema {
    owner: String,
    /// The database's user is its owner, or a member of it.
    of_user: bool,
}

#[derive(Deserialize)]
struct Available {
    /// Anyone with CREATE on the database may install it.
    trusted: bool,
    /// The schema that it requires.
    schema: Option<String>,
}

/// What is to be done inside.
#[derive(Default)]
struct Plan {
    as_owner: Vec<String>,
    as_administrator: Vec<(String, String)>,
    changes: Vec<Change>,
}

impl Postgresql {
    pub(super) async fn apply_contents(
        &self,
        desired: &Desired,
    ) -> Result<Vec<Change>, ProviderError> {
        self.refuse_reserved(&desired.names)?;
        if desired.postgresql.extensions.is_empty() && desired.postgresql.schemas.is_empty() {
            return Ok(Vec::new());
        }
        let mut tenant = self.open_tenant_session(&desired.names).await?;
        let result = self.create_contents(&mut tenant.session, desired).await;
        self.close_tenant_session(tenant, result).await
    }

    async fn create_contents(
        &self,
        tenant: &mut Session,
        desired: &Desired,
    ) -> Result<Vec<Change>, ProviderError> {
        let wanted: Vec<&str> = desired
            .postgresql
            .extensions
            .iter()
            .map(|wanted| wanted.name.as_str())
            .collect();
        let doing = format!("look into the database {:?}", desired.names.database);
        let catalog = sqlx::query(INSIDE)
            .bind(wanted)
            .bind(desired.names.role.as_str());
        let inside: Inside = tenant.json(&doing, catalog).await?;
        let plan = plan(desired, &inside)?;
        let doing = format!(
            "make what lives in the database {:?}",
            desired.names.database
        );
        if !plan.as_owner.is_empty() {
            let (owner, version) = (&desired.names.role, tenant.version());
            let mut statements = vec![
                borrow(owner.as_str(), Right::Assume, version),
                format!("SET LOCAL ROLE {}", owner.postgresql()),
            ];
            statements.extend(plan.as_owner);
            statements.push("RESET ROLE".to_owned());
            statements.push(give_back(owner.as_str(), version));
            tenant
                .transaction(&doing, &statements)
                .await
                .map_err(|failure| {
                    refused(failure, desired, || {
                        permit(owner.as_str(), &self.config.username, version)
                    })
                })?;
        }
        for (statement, name) in plan.as_administrator {
            let doing = format!("install the extension {name:?}");
            tenant
                .statement(&doing, statement.clone())
                .await
                .map_err(|failure| {
                    refused(failure, desired, || {
                        format!(
                            "{statement} (in database {:?}, as a superuser)",
                            desired.names.database.as_str()
                        )
                    })
                })?;
        }
        Ok(plan.changes)
    }
}

/// Why the server does not create something inside.
fn refused(failure: Failure, desired: &Desired, grant: impl FnOnce() -> String) -> ProviderError {
    match failure.code() {
        // undefined_object: another extension is needed first; feature_not_supported, invalid_parameter_value: a
        // version or schema that it cannot have
        Some("42704" | "0A000" | "22023") => ProviderError::Unsupported(format!(
            "the server cannot {}: {}",
            failure.doing,
            failure.said()
        )),
        // invalid_schema_name: an extension goes into a schema that does not exist, such as a public that was dropped
        Some("3F000") => ProviderError::InTheWay(format!(
            "an extension needs a schema that is not there ({}): list that in spec.postgresql.schemas, or in database {:?} \
             run CREATE SCHEMA",
            failure.said(),
            desired.names.database
        )),
        Some(_) | None => failure.needing(grant),
    }
}

/// Compares what is inside with what is wanted.
fn plan(desired: &Desired, inside: &Inside) -> Result<Plan, ProviderError> {
    let mut plan = Plan::default();
    let owner = &desired.names.role;
    for schema in &desired.postgresql.schemas {
        match inside.schemas.get(schema.as_str()) {
            None => {
                plan.as_owner.push(format!(
                    "CREATE SCHEMA {} AUTHORIZATION {}",
                    schema.postgresql(),
                    owner.postgresql()
                ));
                plan.changes
                    .push(Change(format!("schema {schema} was made")));
            }
            Some(is) if is.of_user => {}
            Some(Schema { owner: is, .. }) => {
                return Err(ProviderError::InTheWay(format!(
                    "the schema {schema:?} belongs to {is:?}; in database {:?}, as that role or a superuser, run: \
                     ALTER SCHEMA {} OWNER TO {}",
                    desired.names.database,
                    schema.postgresql(),
                    owner.postgresql()
                )));
            }
        }
    }
    for wanted in &desired.postgresql.extensions {
        extension(&mut plan, desired, inside, wanted)?;
    }
    Ok(plan)
}

fn extension(
    plan: &mut Plan,
    desired: &Desired,
    inside: &Inside,
    wanted: &Extension,
) -> Result<(), ProviderError> {
    let name = &wanted.name;
    let statement = match (inside.installed.get(name.as_str()), &wanted.version) {
        (Some(is), Some(version)) if is != version => {
            plan.changes.push(Change(format!(
                "extension {name} was version {is}, is {version}"
            )));
            format!(
                "ALTER EXTENSION {} UPDATE TO {}",
                name.postgresql(),
                postgresql_literal(version)
            )
        }
        (Some(_), _) => return Ok(()),
        (None, version) => {
            plan.changes
                .push(Change(format!("extension {name} was installed")));
            let mut sql = format!("CREATE EXTENSION {}", name.postgresql());
            let insists = inside
                .available
                .get(name.as_str())
                .and_then(|available| available.schema.as_ref());
            match (&wanted.schema, insists) {
                (Some(schema), _) => sql.extend([" SCHEMA ", &schema.postgresql()]),
                (None, Some(_)) => {}
                // Otherwise it would go where `search_path` points, which is pinned to pg_catalog.
                (None, None) => sql.push_str(" SCHEMA public"),
            }
            if let Some(version) = version {
                sql.extend([" VERSION ", &postgresql_literal(version)]);
            }
            sql
        }
    };
    let Some(available) = inside.available.get(name.as_str()) else {
        return Err(ProviderError::Unsupported(format!(
            "the server has no extension {name:?}: install its package there, or take it out of spec.postgresql.extensions"
        )));
    };
    if available.trusted {
        plan.as_owner.push(statement);
    } else if desired
        .postgresql
        .allowed_extensions
        .iter()
        .any(|allowed| allowed == name.as_str())
    {
        plan.as_administrator.push((statement, name.to_string()));
    } else {
        return Err(ProviderError::Unsupported(format!(
            "the extension {name:?} is not trusted by the server: have the platform team list it in the instance's \
             spec.postgresql.allowedExtensions, or take it out of spec.postgresql.extensions"
        )));
    }
    Ok(())
}
