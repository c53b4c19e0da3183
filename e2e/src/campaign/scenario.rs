//! What the operator is asked to do, and when it has done it.

use db_operator::api::{Database, RECONCILE_REQUESTED_AT};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::fixture::{Fixture, TRIALS, is_created};
use super::server::Engine;
use crate::{Error, Result};

/// The name of the Database on trial.
pub const NAME: &str = "trial";

/// A password that somebody writes into a Secret. Any character is allowed in one.
const EDITED: &str = r#"p'q"r\s%t&u;v`w$x y/ü€"#;

/// One thing that happens to a Database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// It is made.
    Create,
    /// Somebody edits the password in its Secret.
    Follow,
    /// It is made where a database of this name stands already.
    Adopt,
    /// It is deleted with `Retain`, and made again.
    RetainAndAgain,
    /// It is deleted with `Delete`.
    Delete,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::Follow,
        Self::Adopt,
        Self::RetainAndAgain,
        Self::Delete,
    ];

    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Follow => "follow",
            Self::Adopt => "adopt",
            Self::RetainAndAgain => "retain",
            Self::Delete => "delete",
        }
    }

    /// Whether a table with one row was there before, and has to be there afterwards.
    #[must_use]
    pub const fn keeps_data(self) -> bool {
        matches!(self, Self::Adopt | Self::RetainAndAgain)
    }

    /// Makes what is there before.
    pub async fn prepare(self, fixture: &Fixture, engine: Engine) -> Result<()> {
        match self {
            Self::Create => Ok(()),
            Self::Follow | Self::Delete => make(fixture, engine, "Delete").await,
            Self::Adopt => prepare_adoption(fixture, engine).await,
            Self::RetainAndAgain => {
                make(fixture, engine, "Retain").await?;
                for sql in KEPT {
                    fixture.log_in(engine, TRIALS, NAME, sql).await?;
                }
                Ok(())
            }
        }
    }

    /// Asks for it, and waits until it is done.
    pub async fn act(self, fixture: &Fixture, engine: Engine) -> Result<()> {
        match self {
            Self::Create => make(fixture, engine, "Delete").await,
            Self::Follow => follow(fixture).await,
            Self::Adopt => {
                let spec = json!({"instanceRef": {"name": engine.name()}, "name": sql_name(fixture),
                    "deletionPolicy": "Delete", "adoptionPolicy": "IfUnclaimed"});
                fixture.apply(TRIALS, NAME, spec).await?;
                fixture
                    .until(TRIALS, NAME, "it is adopted", is_created)
                    .await?;
                Ok(())
            }
            Self::RetainAndAgain => {
                remove(fixture).await?;
                make(fixture, engine, "Retain").await
            }
            Self::Delete => remove(fixture).await,
        }
    }
}

/// A table, as its owner makes it.
const KEPT: [&str; 2] = ["CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)"];

/// The SQL database on trial.
#[must_use]
pub fn sql_name(fixture: &Fixture) -> String {
    format!("{}_trial", fixture.prefix)
}

async fn make(fixture: &Fixture, engine: Engine, policy: &str) -> Result<()> {
    let spec = json!({"instanceRef": {"name": engine.name()}, "name": sql_name(fixture), "deletionPolicy": policy,
        "connectionLimit": 5});
    fixture.apply(TRIALS, NAME, spec).await?;
    fixture
        .until(TRIALS, NAME, "it is created", is_created)
        .await?;
    Ok(())
}

/// Deletes the object, waits until it is gone, and collects its Secret.
async fn remove(fixture: &Fixture) -> Result<()> {
    let databases = fixture.databases(TRIALS);
    databases
        .delete(NAME, &DeleteParams::default())
        .await
        .map_err(Error::trial("delete the Database"))?;
    fixture
        .until(TRIALS, NAME, "it is gone", |found| found.is_none())
        .await?;
    fixture.collect(TRIALS, NAME).await
}

async fn follow(fixture: &Fixture) -> Result<()> {
    let params = PatchParams::default();
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), TRIALS);
    let edit = json!({"stringData": {"password": EDITED}});
    secrets
        .patch(NAME, &params, &Patch::Merge(edit))
        .await
        .map_err(Error::trial("edit the Secret"))?;
    let ask = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: "now"}}});
    fixture
        .databases(TRIALS)
        .patch(NAME, &params, &Patch::Merge(ask))
        .await
        .map_err(Error::trial("ask for a look"))?;
    let followed = |database: Option<&Database>| {
        let status = database.and_then(|database| database.status.as_ref());
        is_created(database)
            && status.is_some_and(|status| status.handled.contains_key(RECONCILE_REQUESTED_AT))
    };
    fixture
        .until(TRIALS, NAME, "the edit is followed", followed)
        .await?;
    Ok(())
}

async fn prepare_adoption(fixture: &Fixture, engine: Engine) -> Result<()> {
    let (server, name) = (fixture.server(engine)?, sql_name(fixture));
    let administrator = super::server::text(&server.admin, "username");
    let (statements, kept) = match engine {
        Engine::Postgres => (
            vec![
                format!("CREATE ROLE {name} LOGIN"),
                format!(
                    "GRANT {name} TO {administrator} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
                ),
                format!("CREATE DATABASE {name} OWNER {name}"),
            ],
            vec![format!("SET ROLE {name}; {}; {}", KEPT[0], KEPT[1])],
        ),
        Engine::Mariadb | Engine::Mysql => (
            vec![
                format!("CREATE USER {name}@'%'"),
                format!("CREATE DATABASE {name}"),
                format!("GRANT ALL ON {name}.* TO {name}@'%'"),
            ],
            KEPT.map(str::to_owned).to_vec(),
        ),
    };
    for sql in statements {
        server.ask(server.entrance(), &sql).await?;
    }
    for sql in kept {
        server.ask(&name, &sql).await?;
    }
    Ok(())
}

/// Leaves nothing: the Database goes with what is on the server, whatever its policy was.
pub async fn finish(fixture: &Fixture) -> Result<()> {
    let databases = fixture.databases(TRIALS);
    let found = databases
        .get_opt(NAME)
        .await
        .map_err(Error::trial("read the Database"))?;
    let Some(database) = found else {
        return fixture.collect(TRIALS, NAME).await;
    };
    if database.metadata.deletion_timestamp.is_none() {
        let policy = json!({"spec": {"deletionPolicy": "Delete"}});
        databases
            .patch(
                &database.name_any(),
                &PatchParams::default(),
                &Patch::Merge(policy),
            )
            .await
            .map_err(Error::trial("change the policy"))?;
    }
    remove(fixture).await
}

/// What the edited Secret has to hold.
#[must_use]
pub const fn edited_password() -> &'static str {
    EDITED
}
