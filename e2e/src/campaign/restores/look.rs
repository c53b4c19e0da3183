//! What the server has, past the operator.

use db_operator::api::database::InitOutcome;

use super::super::server::{Engine, Server, secret};
use super::contents::Source;
use super::scenario::{Scenario, Target};
use crate::{Error, Result};

/// What the operator left when it died: the name belongs to one database, which is the former one or the restored one, if
/// anybody can look into it.
pub(super) async fn after_death(target: &Target<'_>) -> Result<()> {
    let server = target.fixture.server_of(target.engine)?;
    let wrong = |what: String| Err(Error::trial("when the operator was dead")(what));
    let database = format!("database {}", target.sql_name);
    let begins = target.scenario == Scenario::Init;
    if begins && let Some(what) = early_secret(target).await? {
        return wrong(what);
    }
    let names = server.names(&target.sql_name).await?;
    if begins && !names.contains(&database) {
        return Ok(());
    }
    if !names.contains(&database) {
        return wrong(format!("there is no {database} among {names:?}"));
    }
    // The other engines load into the database itself while its user is locked out.
    if target.engine != Engine::Postgres || !is_open(server, &target.sql_name).await? {
        return Ok(());
    }
    let found = match mark(server, &target.sql_name).await {
        // What the operator said last may still have been at work, and closed it.
        Err(_) if !is_open(server, &target.sql_name).await? => return Ok(()),
        found => found?,
    };
    let Some((mark, rows)) = found else {
        return match target.scenario {
            Scenario::Empty | Scenario::Init => Ok(()),
            Scenario::Replace | Scenario::Undo => wrong(format!("{database} is empty")),
        };
    };
    let restored = mark == Source::MARK;
    let was_empty = !target.scenario.keeps_former();
    if rows == 0 || (!restored && was_empty) {
        return wrong(format!("{database} has {rows} orders, and says \"{mark}\""));
    }
    Ok(())
}

/// The Secret of a Database that begins, if it is there before what the Database begins with.
async fn early_secret(target: &Target<'_>) -> Result<Option<String>> {
    let fixture = target.fixture;
    // Read in this order: what came before the Secret is there by then.
    if secret(&fixture.client, &fixture.name, &target.name)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let init = target.database().await?.status.and_then(|it| it.init);
    let outcome = init.and_then(|init| init.outcome);
    Ok((outcome != Some(InitOutcome::Loaded))
        .then(|| format!("there is a Secret, and the Database has begun with {outcome:?}")))
}

/// What `marker` says in a database on PostgreSQL, and how many orders there are; none where nothing is in it.
pub(super) async fn mark(server: &Server, database: &str) -> Result<Option<(String, u64)>> {
    let tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public' AND tablename IN ('marker', 'orders')";
    let tables = server.ask(database, tables).await?.concat();
    if tables == "0" {
        return Ok(None);
    }
    let says = server.ask(database, "SELECT what FROM marker").await?;
    let rows = server
        .ask(database, "SELECT count(*)::text FROM orders")
        .await?;
    let rows = rows.concat().parse();
    Ok(Some((
        says.concat(),
        rows.map_err(Error::trial("count the orders"))?,
    )))
}

async fn is_open(server: &Server, database: &str) -> Result<bool> {
    let sql = format!("SELECT datallowconn::text FROM pg_database WHERE datname = '{database}'");
    Ok(server.ask(server.entrance(), &sql).await?.concat() == "true")
}

/// The rows of `db_operator.scratch` about a target.
pub(super) async fn scratch(target: &Target<'_>) -> Result<Vec<String>> {
    let server = target.fixture.server_of(target.engine)?;
    let column = match target.engine {
        Engine::Postgres => "target_database",
        Engine::Mariadb | Engine::Mysql => "database_name",
    };
    let sql = format!(
        "SELECT concat_ws(' ', purpose, database_name) FROM db_operator.scratch WHERE {column} = '{}'",
        target.sql_name
    );
    server.ask(server.home(), &sql).await
}

/// The UIDs of the restores of this name, of a target, that the server remembers as done.
pub(super) async fn remembered(target: &Target<'_>, name: &str) -> Result<Vec<String>> {
    let server = target.fixture.server_of(target.engine)?;
    let sql = format!(
        "SELECT uid FROM db_operator.restores WHERE namespace = '{}' AND name = '{name}'",
        target.fixture.name
    );
    server.ask(server.home(), &sql).await
}
