//! What lives inside a database: extensions and schemas, created as the owner would create them.

use std::collections::HashMap;

use serde::Deserialize;

use super::Postgresql;
use super::error::Failure;
use super::extensions::{self, Installed, Offers, offers};
use super::grants::{Right, borrow, give_back, permit};
use super::session::Session;
use crate::provider::{Change, Desired, ProviderError, SqlName};

/// What is inside, and what the server offers. `$1` names the wanted extensions, `$2` the database's user, `$3` are the
/// wanted versions, one for each of `$1`. The user also owns what belongs to a role that it is a member of, such as
/// `pg_database_owner`, to which `public` belongs.
const INSIDE: &str = concat!(
    "WITH me AS (SELECT oid FROM pg_roles WHERE rolname = $2),
wanted AS (SELECT name, version FROM unnest($1, $3) AS w (name, version)),
updatable AS (
  SELECT e.oid FROM pg_extension e JOIN wanted w ON w.name = e.extname::text
  CROSS JOIN LATERAL pg_extension_update_paths((
    SELECT x.name FROM pg_available_extensions x WHERE x.name = e.extname AND w.version <> e.extversion)) p
  WHERE p.source = e.extversion AND p.target = w.version AND p.path IS NOT NULL
)
SELECT json_build_object(
  'schemas', (SELECT coalesce(json_object_agg(n.nspname, json_build_object(
      'owner', r.rolname, 'of_user', coalesce(pg_has_role(u.oid, n.nspowner, 'USAGE'), false),
      'creates', coalesce(has_schema_privilege(u.oid, n.oid, 'CREATE'), false))), '{}')
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner LEFT JOIN me u ON true),
  'installed', (SELECT coalesce(json_object_agg(e.extname, json_build_object(
      'version', e.extversion, 'schema', n.nspname, 'relocatable', e.extrelocatable, 'owner', r.rolname,
      'of_user', coalesce(pg_has_role(u.oid, e.extowner, 'USAGE'), false),
      'of_administrator', pg_has_role(e.extowner, 'USAGE'),
      'whole', coalesce(pg_has_role(u.oid, e.extowner, 'USAGE'), false) AND NOT EXISTS (
        SELECT FROM pg_depend d LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
          LEFT JOIN pg_type y ON d.classid = 'pg_type'::regclass AND y.oid = d.objid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
          AND NOT pg_has_role(u.oid, coalesce(p.proowner, y.typowner), 'USAGE')),
      'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), 'updatable', e.oid IN (SELECT oid FROM updatable))), '{}')
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace JOIN pg_roles r ON r.oid = e.extowner
    LEFT JOIN me u ON true),
  'available', ",
    offers!(),
    ")::text"
);

#[derive(Deserialize)]
struct Inside {
    /// By name.
    schemas: HashMap<String, Schema>,
    /// By name.
    installed: HashMap<String, Installed>,
    available: Offers,
}

#[derive(Deserialize)]
struct Schema {
    owner: String,
    /// The database's user is its owner, or a member of it.
    of_user: bool,
    /// The database's user may create objects in it.
    creates: bool,
}

/// One statement inside a database.
enum Step {
    /// As the database's user.
    Owner(String),
    /// As the administrator, with the extension that it is about.
    Administrator(String, String),
}

/// What is to be done inside, in this order.
#[derive(Default)]
pub(super) struct Plan {
    steps: Vec<Step>,
    changes: Vec<Change>,
    /// Whether the database's user may create objects in a schema, for each that exists or is created.
    schemas: HashMap<String, bool>,
    /// What only a person can do once the steps are done: the first of these.
    left: Option<ProviderError>,
}

impl Plan {
    pub(super) fn as_owner(&mut self, sql: String) {
        self.steps.push(Step::Owner(sql));
    }

    pub(super) fn as_administrator(&mut self, sql: String, extension: &SqlName) {
        self.steps
            .push(Step::Administrator(sql, extension.to_string()));
    }

    pub(super) fn leave(&mut self, error: ProviderError) {
        self.left.get_or_insert(error);
    }

    pub(super) fn change(&mut self, sentence: String) {
        self.changes.push(Change(sentence));
    }

    /// Creates a schema that an extension goes into, unless it exists. `by_user`: the database's user has to create
    /// objects in it.
    pub(super) fn need_schema(
        &mut self,
        desired: &Desired,
        schema: &SqlName,
        by_user: bool,
    ) -> Result<(), ProviderError> {
        match self.schemas.get(schema.as_str()) {
            None => {
                self.create_schema(desired, schema);
                Ok(())
            }
            Some(false) if by_user => Err(ProviderError::InTheWay(format!(
                "the user {:?} may not create anything in the schema {schema:?}, where an extension goes; in database {:?}, \
                 as the schema's owner or a superuser, run: GRANT USAGE, CREATE ON SCHEMA {} TO {}",
                desired.names.role,
                desired.names.database,
                schema.postgresql(),
                desired.names.role.postgresql()
            ))),
            Some(_) => Ok(()),
        }
    }

    fn create_schema(&mut self, desired: &Desired, schema: &SqlName) {
        self.as_owner(format!(
            "CREATE SCHEMA {} AUTHORIZATION {}",
            schema.postgresql(),
            desired.names.role.postgresql()
        ));
        self.change(format!("schema {schema} was made"));
        self.schemas.insert(schema.to_string(), true);
    }
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
        let extensions = &desired.postgresql.extensions;
        let names: Vec<&str> = extensions
            .iter()
            .map(|wanted| wanted.name.as_str())
            .collect();
        let versions: Vec<Option<&str>> = extensions
            .iter()
            .map(|wanted| wanted.version.as_deref())
            .collect();
        let doing = format!("look into the database {:?}", desired.names.database);
        let catalog = sqlx::query(INSIDE)
            .bind(names)
            .bind(desired.names.role.as_str())
            .bind(versions);
        let inside: Inside = tenant.json(&doing, catalog).await?;
        let plan = plan(desired, &inside)?;
        let of_owner = |step: &Step| matches!(step, Step::Owner(_));
        for steps in plan
            .steps
            .chunk_by(|one, next| of_owner(one) && of_owner(next))
        {
            self.run_steps(tenant, desired, steps).await?;
        }
        plan.left.map_or(Ok(plan.changes), Err)
    }

    /// Runs either any number of statements as the database's user, in one transaction, or one as the administrator.
    async fn run_steps(
        &self,
        tenant: &mut Session,
        desired: &Desired,
        steps: &[Step],
    ) -> Result<(), ProviderError> {
        if let [Step::Administrator(sql, extension)] = steps {
            let doing = format!("install or alter the extension {extension:?}");
            let result = tenant.statement(&doing, sql.clone()).await;
            return result.map_err(|failure| {
                refused(failure, desired, || {
                    format!(
                        "{sql} (in database {:?}, as a superuser)",
                        desired.names.database.as_str()
                    )
                })
            });
        }
        let doing = format!(
            "make what lives in the database {:?}",
            desired.names.database
        );
        let (owner, version) = (&desired.names.role, tenant.version());
        let mut statements = vec![
            borrow(owner.as_str(), Right::Assume, version),
            format!("SET LOCAL ROLE {}", owner.postgresql()),
        ];
        for step in steps {
            let (Step::Owner(sql) | Step::Administrator(sql, _)) = step;
            statements.push(sql.clone());
        }
        statements.push("RESET ROLE".to_owned());
        statements.push(give_back(owner.as_str(), version));
        let result = tenant.transaction(&doing, &statements).await;
        result.map_err(|failure| {
            refused(failure, desired, || {
                permit(owner.as_str(), &self.config.username, version)
            })
        })
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
            "an extension needs a schema that does not exist ({}): add it to spec.postgresql.schemas, or run CREATE SCHEMA \
             in database {:?}",
            failure.said(),
            desired.names.database
        )),
        // duplicate_function, duplicate_table, duplicate_object (but not the extension itself, which someone else creates
        // at this moment): what the extension brings along is there already
        Some("42723" | "42P07" | "42710") if !failure.raised_in("CreateExtension") => {
            ProviderError::InTheWay(format!(
                "the server cannot {}, because something of the same name is there ({}): drop or rename that in database \
                 {:?}, or write another schema for the extension",
                failure.doing,
                failure.said(),
                desired.names.database
            ))
        }
        Some(_) | None => failure.needing(grant),
    }
}

/// Compares what is inside with what is wanted.
fn plan(desired: &Desired, inside: &Inside) -> Result<Plan, ProviderError> {
    let schemas = inside.schemas.iter();
    let mut plan = Plan {
        schemas: schemas
            .map(|(name, is)| (name.clone(), is.creates))
            .collect(),
        ..Plan::default()
    };
    let owner = &desired.names.role;
    for schema in &desired.postgresql.schemas {
        match inside.schemas.get(schema.as_str()) {
            None => plan.create_schema(desired, schema),
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
    for wanted in inside.available.in_order(&desired.postgresql.extensions) {
        match inside.installed.get(wanted.name.as_str()) {
            Some(is) => extensions::change(&mut plan, desired, &inside.available, wanted, is)?,
            None => extensions::install(&mut plan, desired, &inside.available, wanted, |name| {
                inside.installed.contains_key(name)
            })?,
        }
    }
    Ok(plan)
}
