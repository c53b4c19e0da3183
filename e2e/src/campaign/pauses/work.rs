//! Databases that are created, changed and deleted endlessly, and what has to remain of them.

use std::collections::BTreeMap;

use db_operator::api::Database;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::super::fixture::{TRIALS, apply, is_created};
use super::super::server::{Engine, Server, secret, text};
use super::fixture::Fixture;
use super::plan::Plan;
use crate::{Error, Result};

/// How many Databases of an engine a burst of work leaves, besides the one that stays.
const LEFT: usize = 3;
/// Limits of sessions are below this; each change is to another one.
const LIMITS: u64 = 1000;
/// What the one that stays has in it from the beginning.
const KEPT: [&str; 2] = ["CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)"];

/// What the operators are asked to do, and what is wanted by now.
pub struct Work {
    client: Client,
    prefix: String,
    engines: Vec<Engine>,
    wanted: BTreeMap<String, Wanted>,
    count: u32,
}

/// What a Database is to be like.
#[derive(Clone, Debug)]
struct Wanted {
    engine: Engine,
    /// Its place in the order in which they were made.
    number: u32,
    sql_name: String,
    limit: u64,
}

impl Work {
    /// Nothing yet.
    #[must_use]
    pub fn new(fixture: &Fixture) -> Self {
        Self {
            client: fixture.client.clone(),
            prefix: fixture.prefix.clone(),
            engines: fixture.servers.iter().map(|server| server.engine).collect(),
            wanted: BTreeMap::new(),
            count: 0,
        }
    }

    /// Makes one Database on each server.
    pub async fn add(&mut self, plan: &Plan) -> Result<()> {
        for engine in self.engines.clone() {
            self.make(engine, plan).await?;
        }
        Ok(())
    }

    /// A burst of work on each server: one Database is made, one changed, and the oldest are deleted.
    pub async fn burst(&mut self, plan: &Plan) -> Result<()> {
        for engine in self.engines.clone() {
            self.change(engine, plan).await?;
            self.make(engine, plan).await?;
            for name in self.surplus(engine) {
                self.delete(&name).await?;
            }
        }
        Ok(())
    }

    /// Puts a row into the first Database of each server, which stays, once all are created.
    pub async fn keep(&self, servers: &[Server]) -> Result<()> {
        for (name, wanted) in self.wanted.iter().filter(|(_, wanted)| self.stays(wanted)) {
            for sql in KEPT {
                self.log_in(servers, name, wanted, sql).await?;
            }
        }
        Ok(())
    }

    /// The Databases that are not as wanted yet, with their status.
    pub async fn undone(&self) -> Result<Vec<String>> {
        let found = self.databases().list(&ListParams::default()).await;
        let found = found.map_err(Error::trial("list the Databases"))?.items;
        let is_done = |database: &&Database| is_created(Some(database));
        let undone = found.iter().filter(|database| !is_done(database));
        Ok(undone
            .map(|database| format!("{}: {}", database.name_any(), json!(database.status)))
            .collect())
    }

    /// Looks at everything when nothing is to be done any more, and returns what is not as it has to be.
    pub async fn check(&self, servers: &[Server]) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let found = self.databases().list(&ListParams::default()).await;
        let found = found.map_err(Error::trial("list the Databases"))?.items;
        let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
        let wanted: Vec<String> = self.wanted.keys().cloned().collect();
        if names != wanted {
            wrong.push(format!(
                "the Databases are {names:?} and should be {wanted:?}"
            ));
        }
        for (name, wanted) in &self.wanted {
            let (sql, expected) = match (self.stays(wanted), wanted.engine) {
                (false, _) => ("SELECT 'works'", "works"),
                (true, Engine::Postgres) => ("SELECT n::text FROM kept", "42"),
                (true, Engine::Mariadb | Engine::Mysql) => {
                    ("SELECT CAST(n AS CHAR) FROM kept", "42")
                }
            };
            match self.log_in(servers, name, wanted, sql).await {
                Ok(said) if said == [expected] => {}
                Ok(said) => wrong.push(format!("{name} has {said:?}")),
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
        }
        for server in servers {
            let found = server.facts(&self.prefix, &self.prefix).await?;
            let mut found: Vec<String> = found.iter().filter_map(|fact| essence(fact)).collect();
            found.sort();
            let expected = self.facts(server.engine);
            if found != expected {
                let name = server.engine.name();
                let difference = super::super::outcome::difference(&expected, &found);
                wrong.push(format!("on {name} there is something else:{difference}"));
            }
        }
        Ok(wrong)
    }

    async fn make(&mut self, engine: Engine, plan: &Plan) -> Result<()> {
        self.count += 1;
        let wanted = Wanted {
            engine,
            number: self.count,
            sql_name: format!("{}_{}", self.prefix, self.count),
            limit: limit(plan, self.count),
        };
        let name = format!("db-{:05}", self.count);
        let spec = json!({"instanceRef": {"name": engine.name()}, "name": wanted.sql_name,
            "connectionLimit": wanted.limit, "deletionPolicy": "Delete"});
        self.wanted.insert(name.clone(), wanted);
        apply(&self.client, TRIALS, &name, spec).await?;
        Ok(())
    }

    async fn change(&mut self, engine: Engine, plan: &Plan) -> Result<()> {
        let names = self.of(engine);
        let count = u64::try_from(names.len()).unwrap_or_default();
        let which = plan.random(&format!("change on {}", engine.name()), count);
        let Some(name) = usize::try_from(which).ok().and_then(|at| names.get(at)) else {
            return Ok(());
        };
        let limit = limit(plan, 0);
        let change = json!({"spec": {"connectionLimit": limit}});
        self.databases()
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .map_err(Error::trial(format!("change the Database {name}")))?;
        if let Some(wanted) = self.wanted.get_mut(name) {
            wanted.limit = limit;
        }
        Ok(())
    }

    async fn delete(&mut self, name: &str) -> Result<()> {
        self.databases()
            .delete(name, &DeleteParams::default())
            .await
            .map_err(Error::trial(format!("delete the Database {name}")))?;
        self.wanted.remove(name);
        Ok(())
    }

    /// Of this engine, the oldest first.
    fn of(&self, engine: Engine) -> Vec<String> {
        let all = self.wanted.iter();
        all.filter(|(_, wanted)| wanted.engine == engine)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The oldest but the one that stays.
    fn surplus(&self, engine: Engine) -> Vec<String> {
        let mut names = self.of(engine);
        let count = names.len().saturating_sub(LEFT + 1);
        names.drain(..).skip(1).take(count).collect()
    }

    /// Whether it is the first of its server, which is never deleted.
    fn stays(&self, wanted: &Wanted) -> bool {
        usize::try_from(wanted.number).is_ok_and(|number| number <= self.engines.len())
    }

    async fn log_in(
        &self,
        servers: &[Server],
        name: &str,
        wanted: &Wanted,
        sql: &str,
    ) -> Result<Vec<String>> {
        let server = servers
            .iter()
            .find(|server| server.engine == wanted.engine)
            .ok_or_else(|| Error::Precondition(format!("no server for {name}")))?;
        let secret = secret(&self.client, TRIALS, name).await?;
        let secret = secret.unwrap_or_default();
        server.ask_as(&secret, text(&secret, "database"), sql).await
    }

    /// What there has to be on the server, as [`essence`] puts it.
    fn facts(&self, engine: Engine) -> Vec<String> {
        let all = self
            .wanted
            .values()
            .filter(|wanted| wanted.engine == engine);
        let mut facts: Vec<String> = all
            .flat_map(|wanted| {
                let name = &wanted.sql_name;
                [
                    format!("claim {name}"),
                    format!("database {name}"),
                    format!("user {name} {}", wanted.limit),
                ]
            })
            .collect();
        facts.sort();
        facts
    }

    fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), TRIALS)
    }
}

fn limit(plan: &Plan, number: u32) -> u64 {
    plan.random(&format!("limit {number}"), LIMITS) + 1
}

/// What a fact of the server says of names and limits.
fn essence(fact: &str) -> Option<String> {
    let words: Vec<&str> = fact.split(' ').collect();
    let name = words.get(1)?;
    match *words.first()? {
        kind @ ("claim" | "database") => Some(format!("{kind} {name}")),
        "role" => Some(format!("user {name} {}", words.get(9)?)),
        "user" => Some(format!("user {name} {}", words.get(4)?)),
        _ => None,
    }
}
