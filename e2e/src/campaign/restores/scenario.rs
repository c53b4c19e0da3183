//! What is restored into what, and when that is done.

use std::time::Duration;

use db_operator::api::restore::FormerDatabase;
use db_operator::api::{Database, Restore, RestoreState, UNDO_REQUESTED_AT};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::super::backups::Fixture;
use super::super::backups::setup::create;
use super::super::eventually;
use super::super::server::Engine;
use super::contents::{self, Contents, Source};
use super::look;
use crate::{Error, Result};

/// How long a restore may take, whatever happens to the operator: a switch that someone is in the way of is tried again
/// after 5 s and after 20 s.
const LIMIT: Duration = Duration::from_mins(2);
/// The size of what is replaced.
const SIZE: u64 = 64 << 10;
/// What `marker` says in it.
const OLD: &str = "replaced";
/// The value of the annotation that asks for an undo.
const UNDO: &str = "now";

/// One thing that is asked of a Restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A new Database gets what was backed up.
    Empty,
    /// A Database begins with what was backed up.
    Init,
    /// A Database in use is replaced.
    Replace,
    /// A Database that was replaced comes back.
    Undo,
    /// A backup is tried out beside a Database, which nothing happens to.
    Test,
}

impl Scenario {
    /// Those that a server offers.
    #[must_use]
    pub const fn on(engine: Engine) -> &'static [Self] {
        match engine {
            Engine::Postgres => &[
                Self::Empty,
                Self::Init,
                Self::Replace,
                Self::Undo,
                Self::Test,
            ],
            Engine::Mariadb | Engine::Mysql => &[Self::Empty, Self::Init, Self::Test],
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Init => "init",
            Self::Replace => "replace",
            Self::Undo => "undo",
            Self::Test => "test",
        }
    }

    /// Whether the former database stays on the server.
    #[must_use]
    pub const fn keeps_former(self) -> bool {
        match self {
            Self::Replace | Self::Undo => true,
            Self::Empty | Self::Init | Self::Test => false,
        }
    }

    /// Whether the restored database is the one that is used in the end; otherwise the one that was there before is.
    #[must_use]
    pub const fn ends_restored(self) -> bool {
        match self {
            Self::Empty | Self::Init | Self::Replace => true,
            Self::Undo | Self::Test => false,
        }
    }

    /// Whether the server remembers that it was done.
    #[must_use]
    pub const fn is_remembered(self) -> bool {
        match self {
            Self::Empty | Self::Init | Self::Replace | Self::Undo => true,
            Self::Test => false,
        }
    }
}

/// A Database that is restored into, or that a test stands beside, and the Restore, of the same name; one that begins has a
/// Restore of the operator's.
pub struct Target<'a> {
    /// Where.
    pub fixture: &'a Fixture,
    /// On which server.
    pub engine: Engine,
    /// What is asked of it.
    pub scenario: Scenario,
    /// The name of both objects, or of the Database that begins.
    pub name: String,
    /// The name of the SQL database and its user.
    pub sql_name: String,
    /// What it had before.
    pub before: Contents,
}

impl<'a> Target<'a> {
    /// Makes what is there before. The number makes its names.
    pub async fn prepare(
        fixture: &'a Fixture,
        engine: Engine,
        scenario: Scenario,
        number: u32,
        source: &Source,
    ) -> Result<Self> {
        let name = format!("restore-{number:04}");
        let sql_name = format!("{}_{number:04}", fixture.name);
        let spec = json!({"name": sql_name});
        let before = if scenario == Scenario::Init {
            Contents::nothing()
        } else {
            fixture.make_database(&name, engine, spec).await?;
            if scenario.keeps_former() {
                contents::fill(fixture, &name, OLD, SIZE).await?;
            }
            Contents::of(fixture, &name).await?
        };
        let target = Self {
            fixture,
            engine,
            scenario,
            name,
            sql_name,
            before,
        };
        if scenario == Scenario::Undo {
            target.ask(source).await?;
            target.ended(false).await?;
        }
        Ok(target)
    }

    /// Asks for what is on trial.
    pub async fn act(&self, source: &Source) -> Result<()> {
        match self.scenario {
            Scenario::Init => self.begin(source).await,
            Scenario::Empty | Scenario::Replace | Scenario::Test => self.ask(source).await,
            Scenario::Undo => {
                let ask = json!({"metadata": {"annotations": {UNDO_REQUESTED_AT: UNDO}}});
                let params = PatchParams::default();
                self.restores()
                    .patch(&self.name, &params, &Patch::Merge(ask))
                    .await
                    .map(drop)
                    .map_err(Error::trial("ask for an undo"))
            }
        }
    }

    /// Makes the Database, for which the operator makes a Restore.
    async fn begin(&self, source: &Source) -> Result<()> {
        let databases = self.fixture.databases();
        create(&databases, json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database", "metadata": {"name": self.name},
            "spec": {
                "name": self.sql_name, "instanceRef": {"name": self.fixture.instance(self.engine)}, "deletionPolicy": "Delete",
                "initFrom": {"backupRef": {"name": source.backup}},
            },
        }))
        .await
    }

    /// Makes the Restore.
    pub async fn ask(&self, source: &Source) -> Result<()> {
        self.ask_with(source, json!({})).await
    }

    /// Makes the Restore, with what `spec` says besides.
    pub async fn ask_with(&self, source: &Source, spec: serde_json::Value) -> Result<()> {
        let mut spec = spec;
        if self.scenario == Scenario::Test {
            spec["mode"] = json!("Test");
            spec["instanceRef"] = json!({"name": self.fixture.instance(self.engine)});
        } else {
            spec["databaseRef"] = json!({"name": self.name});
        }
        spec["source"] = json!({"backupRef": {"name": source.backup}});
        if self.scenario.keeps_former() {
            spec["mode"] = json!("Replace");
            spec["confirm"] = json!(self.sql_name);
        }
        create(&self.restores(), json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Restore", "metadata": {"name": self.name},
            "spec": spec,
        }))
        .await
    }

    /// Waits until what was asked for is at its end and the Database at rest. An operator that was killed is started again,
    /// after a look at what it left.
    pub async fn done(&self) -> Result<Restore> {
        self.ended(self.scenario == Scenario::Undo).await
    }

    async fn ended(&self, undone: bool) -> Result<Restore> {
        let (mut last, mut looked) = (String::new(), false);
        let found = eventually("the restore's end", LIMIT, async || {
            if self.fixture.faults.happened() && !std::mem::replace(&mut looked, true) {
                look::after_death(self).await?;
            }
            self.fixture.operator.ensure()?;
            let Some(found) = self.find().await? else {
                return Ok(None);
            };
            last = json!(found.status).to_string();
            let over = found.state().is_some_and(RestoreState::is_terminal)
                && found.finalizers().is_empty()
                && (!undone || is_undone(&found));
            let rests = over && self.fixture.is_at_rest(&self.name).await?;
            Ok((rests && self.is_noted(&found).await?).then_some(found))
        });
        let found = found.await;
        found.map_err(|error| match error {
            Error::Timeout { what, seconds, .. } => Error::Timeout {
                what,
                seconds,
                tail: format!("\n  its status: {last}"),
            },
            other => other,
        })
    }

    /// Whether the Database knows of the same former database as the Restore does: it reads that there.
    async fn is_noted(&self, restore: &Restore) -> Result<bool> {
        let database = self.database().await?;
        let noted = database.status.and_then(|status| status.former);
        let kept = former(restore).map(|former| &former.database);
        Ok(noted.as_ref().map(|noted| &noted.database) == kept)
    }

    /// The Database as it is now.
    pub(super) async fn database(&self) -> Result<Database> {
        let found = self.fixture.databases().get(&self.name).await;
        found.map_err(Error::trial("read the Database"))
    }

    /// The Restore as it is now.
    pub async fn restore(&self) -> Result<Restore> {
        let found = self.find().await?;
        found.ok_or_else(|| Error::trial("read the Restore")("there is none"))
    }

    /// The same; `None` while the operator has not made it.
    async fn find(&self) -> Result<Option<Restore>> {
        let name = if self.scenario == Scenario::Init {
            let status = self.database().await?.status;
            status.and_then(|status| status.init).map(|it| it.restore)
        } else {
            Some(self.name.clone())
        };
        let Some(name) = name else {
            return Ok(None);
        };
        let found = self.restores().get_opt(&name).await;
        found.map_err(Error::trial("read the Restore"))
    }

    /// The trials' Restores.
    #[must_use]
    pub fn restores(&self) -> Api<Restore> {
        Api::namespaced(self.fixture.client.clone(), &self.fixture.name)
    }

    /// Takes both objects away, and sees that nothing is left on the server.
    pub async fn finish(&self) -> Result<()> {
        let test = match self.scenario {
            Scenario::Test => self.find().await?,
            Scenario::Empty | Scenario::Init | Scenario::Replace | Scenario::Undo => None,
        };
        if self.scenario != Scenario::Init {
            self.fixture.remove(&self.restores(), &self.name).await?;
        }
        self.fixture
            .remove(&self.fixture.databases(), &self.name)
            .await?;
        let server = self.fixture.server_of(self.engine)?;
        let mut left = server.names(&self.sql_name).await?;
        left.extend(look::scratch(self).await?);
        if let Some(test) = &test {
            left.extend(look::of_test(self, test).await?);
        }
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::trial("its Database is gone")(format!(
            "left on the server: {left:?}"
        )))
    }
}

/// The database that is kept, as the status names it.
pub(super) fn former(restore: &Restore) -> Option<&FormerDatabase> {
    restore.status.as_ref()?.target.as_ref()?.former.as_ref()
}

/// Whether the request for an undo was answered.
fn is_undone(restore: &Restore) -> bool {
    let handled = restore.status.as_ref().map(|status| &status.handled);
    handled.is_some_and(|handled| handled.get(UNDO_REQUESTED_AT).is_some_and(|it| it == UNDO))
}
