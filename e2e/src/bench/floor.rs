//! What a server itself needs for a user, a database and a first login, by plain SQL: no operator can be faster.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::Verifier;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::Plan;
use super::figures::{Floor, Times};
use super::server::{Engine, Server, Session};
use crate::{Error, Result};

/// The password of the users that are made here: gone after a moment.
const PASSWORD: &str = "floor-of-the-bench";

/// How many sessions take the databases away again.
const CLEANERS: usize = 4;

/// Measures with each number of lanes.
pub(super) async fn measure(server: &Server, plan: &Plan) -> Result<Vec<Floor>> {
    let mut floors = Vec::new();
    for lanes in &plan.lanes {
        let names: Vec<String> = (0..plan.floor)
            .map(|number| format!("{}-floor-{number}", super::phase::PREFIX))
            .collect();
        let began = Instant::now();
        let made = in_lanes(server, *lanes, &names, Task::Make).await;
        let total = began.elapsed();
        // What was made goes also when something failed.
        let cleaned = in_lanes(server, CLEANERS, &names, Task::Drop).await;
        let made = made?;
        cleaned?;
        floors.push(Floor::new(*lanes, total, Times::of(&made)));
    }
    Ok(floors)
}

#[derive(Clone, Copy)]
enum Task {
    Make,
    Drop,
}

/// How long each name took.
async fn in_lanes(
    server: &Server,
    lanes: usize,
    names: &[String],
    task: Task,
) -> Result<Vec<Duration>> {
    let todo = Arc::new(Mutex::new(VecDeque::from(names.to_vec())));
    let mut running = JoinSet::new();
    for _ in 0..lanes {
        let (server, todo) = (server.clone(), Arc::clone(&todo));
        running.spawn(async move {
            let mut session = server.administer().await?;
            let mut times = Vec::new();
            let next = || todo.lock().pop_front();
            while let Some(name) = next() {
                let began = Instant::now();
                match task {
                    Task::Make => make(&server, &mut session, &name).await?,
                    Task::Drop => drop_all(&server, &mut session, &name).await?,
                }
                times.push(began.elapsed());
            }
            session.close().await?;
            Ok::<_, Error>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(lane) = running.join_next().await {
        all.extend(lane.map_err(Error::trial("run a lane"))??);
    }
    Ok(all)
}

async fn make(server: &Server, session: &mut Session, name: &str) -> Result<()> {
    let quoted = server.engine.quoted(name)?;
    let statements = match server.engine {
        Engine::Postgres => vec![
            format!(
                "CREATE ROLE {quoted} LOGIN PASSWORD '{}'",
                Verifier::scram_sha_256(PASSWORD).expose()
            ),
            format!("GRANT {quoted} TO CURRENT_USER"),
            format!("CREATE DATABASE {quoted} TEMPLATE template0 OWNER {quoted}"),
        ],
        Engine::Mariadb => vec![
            format!(
                "CREATE USER {quoted}@'%' IDENTIFIED BY PASSWORD '{}'",
                Verifier::mysql_native_password(PASSWORD).expose()
            ),
            format!("CREATE DATABASE {quoted}"),
            format!("GRANT ALL PRIVILEGES ON {quoted}.* TO {quoted}@'%'"),
        ],
    };
    for statement in statements {
        session.run(statement).await?;
    }
    server.log_in(name, PASSWORD, name).await
}

async fn drop_all(server: &Server, session: &mut Session, name: &str) -> Result<()> {
    let quoted = server.engine.quoted(name)?;
    session
        .run(format!("DROP DATABASE IF EXISTS {quoted}"))
        .await?;
    session
        .run(match server.engine {
            Engine::Postgres => format!("DROP ROLE IF EXISTS {quoted}"),
            Engine::Mariadb => format!("DROP USER IF EXISTS {quoted}@'%'"),
        })
        .await
}
