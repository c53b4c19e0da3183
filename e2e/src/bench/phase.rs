//! Databases made one by one, many at once, held, and deleted.

use std::time::{Duration, Instant};

use db_operator::api::Database;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::environment::Environment;
use super::figures::{Cost, Deletion, Left, Sequential, Storm, Times, Traffic};
use super::meter::Meter;
use super::server::{Engine, read, value};
use crate::servers::superuser;
use crate::{Error, Result, command};

/// How all names begin that a run makes.
pub(super) const PREFIX: &str = "bench";
/// The label of a Database: its server.
const ENGINE: &str = "db-operator.dev/bench";
/// How long a single Database may take.
const ONE_WITHIN: Duration = Duration::from_mins(1);
/// How long all of them may take.
const ALL_WITHIN: Duration = Duration::from_mins(5);
/// After a storm, a login is tried with every one of so many.
const SAMPLE: usize = 10;
/// How long Kubernetes may take to delete what a deleted object owned.
const COLLECTED_WITHIN: Duration = Duration::from_secs(30);
/// Nothing asked for so long is quiet.
const QUIET: Duration = Duration::from_secs(5);

/// A Database that takes everything with it.
pub(super) fn database(engine: Engine, name: &str) -> Value {
    json!({
        "apiVersion": "db-operator.dev/v1alpha1",
        "kind": "Database",
        "metadata": {"name": name, "labels": {ENGINE: engine.name()}},
        "spec": {"instanceRef": {"name": engine.name()}, "deletionPolicy": "Delete"},
    })
}

/// What a run's names begin with: what another run left on a server is neither in the way nor counted.
pub(super) fn of_run() -> String {
    format!("{PREFIX}-{}", std::process::id())
}

fn prefix(engine: Engine, phase: &str) -> String {
    format!("{}-{}-{phase}-", of_run(), engine.name())
}

/// Makes Databases one after the other. The clock begins before the POST.
pub(super) async fn sequential(
    environment: &Environment<'_>,
    meter: &mut Meter,
    engine: Engine,
    count: usize,
) -> Result<Sequential> {
    let api = environment.databases();
    let prefix = prefix(engine, "one");
    let (mut created, mut usable) = (Vec::new(), Vec::new());
    meter.read()?;
    for number in 0..count {
        let name = format!("{prefix}{number}");
        let object: Database = serde_json::from_value(database(engine, &name))
            .map_err(Error::trial("write a Database"))?;
        let began = Instant::now();
        api.create(&PostParams::default(), &object)
            .await
            .map_err(Error::trial("make a Database"))?;
        let at = environment.timeline.created(&name, ONE_WITHIN).await?;
        created.push(at.duration_since(began));
        log_in(environment, engine, &name).await?;
        usable.push(began.elapsed());
    }
    let reading = meter.read()?;
    Ok(Sequential {
        created: Times::of(&created),
        usable: Times::of(&usable),
        each: Cost::of(&reading, engine, count, count),
    })
}

/// Logs in with nothing but the values of the Secret.
async fn log_in(environment: &Environment<'_>, engine: Engine, name: &str) -> Result<()> {
    let secrets: Api<Secret> = environment.namespaced();
    let secret = read(&secrets, name).await?;
    let of = |key| value(&secret, key);
    environment.servers[&engine]
        .log_in(&of("username"), &of("password"), &of("database"))
        .await
}

/// Applies many Databases in one file. The clock begins before kubectl.
pub(super) async fn storm(
    environment: &Environment<'_>,
    meter: &mut Meter,
    engine: Engine,
    count: usize,
) -> Result<Storm> {
    let prefix = prefix(engine, "many");
    let items: Vec<Value> = (0..count)
        .map(|number| database(engine, &format!("{prefix}{number}")))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let mut kubectl = environment.cluster.kubectl();
    kubectl
        .args(["apply", "--server-side", "--filename=-"])
        .args(["--namespace", &environment.namespace]);
    meter.read()?;
    let began = Instant::now();
    let applying = tokio::task::spawn_blocking(move || {
        command::output_with_input(&mut kubectl, &list).map(|_| began.elapsed())
    });
    let created = environment
        .timeline
        .all_created(&prefix, count, ALL_WITHIN)
        .await;
    let applied = applying.await.map_err(Error::trial("run kubectl"))??;
    let created = created?;
    let reading = meter.read()?;
    for number in (0..count).step_by(SAMPLE) {
        log_in(environment, engine, &format!("{prefix}{number}")).await?;
    }
    Ok(Storm {
        count,
        applied_s: applied.as_secs_f64(),
        all_created_s: created.duration_since(began).as_secs_f64(),
        cpu_s: reading.cpu_seconds,
        each: Cost::of(&reading, engine, count, 0),
    })
}

/// Waits until the operator asks for nothing, and says what it asked until then.
pub(super) async fn until_quiet(meter: &mut Meter) -> Result<Traffic> {
    let deadline = Instant::now() + ALL_WITHIN;
    let mut sum = Traffic::default();
    loop {
        tokio::time::sleep(QUIET).await;
        let reading = meter.read()?;
        if reading.is_quiet() {
            return Ok(sum);
        }
        sum.add(&reading);
        if Instant::now() > deadline {
            return Err(Error::Timeout {
                what: "the operator is quiet".to_owned(),
                seconds: ALL_WITHIN.as_secs(),
                tail: String::new(),
            });
        }
    }
}

/// What one resync of everything costs. Each object's comes up to a tenth later.
pub(super) async fn rest(meter: &mut Meter, resync: Duration) -> Result<Traffic> {
    meter.read()?;
    tokio::time::sleep(resync).await;
    let mut traffic = Traffic::default();
    traffic.add(&meter.read()?);
    Ok(traffic)
}

/// Deletes all Databases on a server, and looks for what is left.
pub(super) async fn delete(
    environment: &Environment<'_>,
    meter: &mut Meter,
    engine: Engine,
) -> Result<Deletion> {
    let these = ListParams::default().labels(&format!("{ENGINE}={}", engine.name()));
    let api = environment.databases();
    let all = api
        .list_metadata(&these)
        .await
        .map_err(Error::trial("list the Databases"))?;
    let count = all.items.len();
    meter.read()?;
    let began = Instant::now();
    api.delete_collection(&DeleteParams::default(), &these)
        .await
        .map_err(Error::trial("delete the Databases"))?;
    let gone = format!("{}-{}-", of_run(), engine.name());
    environment.timeline.all_gone(&gone, ALL_WITHIN).await?;
    let all_gone_s = began.elapsed().as_secs_f64();
    let reading = meter.read()?;
    Ok(Deletion {
        count,
        all_gone_s,
        cpu_s: reading.cpu_seconds,
        each: Cost::of(&reading, engine, count, 0),
        left: left(environment, engine).await?,
    })
}

async fn left(environment: &Environment<'_>, engine: Engine) -> Result<Left> {
    let named = format!("LIKE '{}-%'", of_run());
    let (databases, users) = match engine {
        Engine::Postgres => (
            format!("SELECT count(*) FROM pg_database WHERE datname {named}"),
            format!("SELECT count(*) FROM pg_roles WHERE rolname {named}"),
        ),
        Engine::Mariadb => (
            format!("SELECT count(*) FROM information_schema.schemata WHERE schema_name {named}"),
            format!("SELECT count(*) FROM mysql.user WHERE user {named}"),
        ),
    };
    let claims = format!("SELECT count(*) FROM db_operator.claims WHERE database_name {named}");
    let claims = match engine {
        Engine::Postgres => format!("\\connect db_operator\n{claims};"),
        Engine::Mariadb => claims,
    };
    let count = |sql: &str| -> Result<u64> {
        let answer = superuser(environment.cluster, engine.name(), sql)?;
        let answer = answer.lines().last().unwrap_or_default();
        answer
            .trim()
            .parse()
            .map_err(Error::trial("count what is left"))
    };
    Ok(Left {
        databases: count(&databases)?,
        users: count(&users)?,
        claims: count(&claims)?,
        secrets: secrets_left(environment, engine).await?,
    })
}

/// Secrets are deleted with their owner, by Kubernetes, a moment later.
async fn secrets_left(environment: &Environment<'_>, engine: Engine) -> Result<usize> {
    let secrets: Api<Secret> = environment.namespaced();
    let of_these = format!("{}-{}-", of_run(), engine.name());
    let deadline = Instant::now() + COLLECTED_WITHIN;
    loop {
        let all = secrets
            .list_metadata(&ListParams::default())
            .await
            .map_err(Error::trial("list the Secrets"))?;
        let left = all.items.iter().map(ResourceExt::name_any);
        let left = left.filter(|name| name.starts_with(&of_these)).count();
        if left == 0 || Instant::now() > deadline {
            return Ok(left);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
