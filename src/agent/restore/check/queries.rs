//! Asks the team's questions: one statement each, in a transaction that can only read, for at most a minute.
//!
//! Only the name, and whether the answer is true, leave this file; of an error its first words.

use std::time::Duration;

use futures::TryStreamExt;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement, TypeInfo};
use tokio::time::timeout;

use super::cannot;
use super::compare::Differences;
use crate::agent::protocol::restore::Query;
use crate::agent::protocol::task::Flavour;
use crate::agent::restore::failure::Failure;
use crate::agent::restore::load::Load;
use crate::agent::restore::postgresql::Session;
use crate::agent::restore::pulse::with_pulse;
use crate::provider::dial;

/// How long the server may work on one question.
const LIMIT: Duration = Duration::from_secs(60);
/// The server says more about it than we can.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// The server's words.
    #[error("{0}")]
    Server(#[from] sqlx::Error),
    /// It took too long.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Late,
    /// It is no question of this kind.
    #[error("its answer has to be one row with one boolean")]
    Form,
}

/// Asks all of them.
pub(super) async fn ask(load: &Load, differences: &mut Differences) -> Result<(), Failure> {
    for query in &load.task.queries {
        load.meter.at(format_args!("query {:?}", query.name));
        let answer = with_pulse(&load.login, &load.meter, async {
            match load.task.target.flavour {
                Flavour::Postgresql => postgresql(load, query).await,
                Flavour::Mysql | Flavour::Mariadb => mysql(load, query).await,
            }
        })
        .await?;
        differences.query(&query.name, answer);
        load.meter.step();
    }
    Ok(())
}

/// In a session of its own, with the settings that an application has.
async fn postgresql(load: &Load, query: &Query) -> Result<Result<bool, Unanswered>, Failure> {
    let session = Session::open(&load.login, false).await;
    let mut session = session.map_err(|error| cannot("log in to the database", error))?;
    let answer = timeout(
        LIMIT + PATIENCE,
        of_postgresql(session.connection(), &query.sql),
    )
    .await;
    // Whatever it left behind goes with it.
    drop(session);
    Ok(answer.unwrap_or(Err(Unanswered::Late)))
}

async fn of_postgresql(connection: &mut PgConnection, sql: &str) -> Result<bool, Unanswered> {
    for statement in [
        "SET SESSION statement_timeout = '60s'",
        "START TRANSACTION READ ONLY",
    ] {
        sqlx::raw_sql(statement).execute(&mut *connection).await?;
    }
    // The extended protocol takes one statement.
    let statement = connection
        .prepare(AssertSqlSafe(sql.to_owned()).into_sql_str())
        .await?;
    let is_boolean = match statement.columns() {
        [column] => column.type_info().name() == "BOOL",
        _ => false,
    };
    if !is_boolean {
        return Err(Unanswered::Form);
    }
    let mut rows = statement.query().fetch(connection);
    let first: Option<PgRow> = rows.try_next().await?;
    let second = rows.try_next().await?;
    let (Some(row), None) = (first, second) else {
        return Err(Unanswered::Form);
    };
    let answer: Option<bool> = row.try_get(0)?;
    answer.ok_or(Unanswered::Form)
}

async fn mysql(load: &Load, query: &Query) -> Result<Result<bool, Unanswered>, Failure> {
    let connection = dial::mysql(&load.login.mysql()).await;
    let mut connection = connection.map_err(|error| cannot("log in to the database", error))?;
    let limit = match load.task.target.flavour {
        Flavour::Mariadb => "SET SESSION max_statement_time = 60",
        Flavour::Mysql | Flavour::Postgresql => "SET SESSION max_execution_time = 60000",
    };
    let answer = timeout(
        LIMIT + PATIENCE,
        of_mysql(&mut connection, limit, &query.sql),
    )
    .await;
    drop(connection);
    Ok(answer.unwrap_or(Err(Unanswered::Late)))
}

async fn of_mysql(
    connection: &mut MySqlConnection,
    limit: &'static str,
    sql: &str,
) -> Result<bool, Unanswered> {
    for statement in [limit, "START TRANSACTION READ ONLY"] {
        sqlx::raw_sql(statement).execute(&mut *connection).await?;
    }
    // A prepared statement is one statement.
    let statement = connection
        .prepare(AssertSqlSafe(sql.to_owned()).into_sql_str())
        .await?;
    let is_number = match statement.columns() {
        [column] => {
            let name = column.type_info().name();
            name.contains("INT") || name == "BOOLEAN"
        }
        _ => false,
    };
    if !is_number {
        return Err(Unanswered::Form);
    }
    let mut rows = statement.query().fetch(connection);
    let first: Option<MySqlRow> = rows.try_next().await?;
    let second = rows.try_next().await?;
    let (Some(row), None) = (first, second) else {
        return Err(Unanswered::Form);
    };
    // These servers know no booleans, only the numbers 0 and 1.
    match row.try_get_unchecked::<Option<i64>, _>(0)? {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) | None => Err(Unanswered::Form),
    }
}
