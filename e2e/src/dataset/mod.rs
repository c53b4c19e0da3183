//! What a backup has to bring back: a database with something of everything, and a way to compare it with its copy.
//!
//! | file | what is in it |
//! |---|---|
//! | `postgresql.sql` `mysql.sql` `mariadb.sql` | the statements of [`fill`], each ended by an empty line |
//! | `postgresql.rs` `mysql.rs` | the [`fingerprint`] of a database, and the rows of [`grow`] |
//! | `definitions.sql` | what is defined in a PostgreSQL database |
//!
//! Each takes a session of the database's own user, in that database.

mod mysql;
mod postgresql;

use sqlx::Error;

use crate::testing::Session;

/// Makes tables of all types and their extreme values, and of every other kind of object what the user may make. Into
/// an empty database, once.
pub async fn fill(session: &mut Session) -> Result<(), Error> {
    match session {
        Session::Postgres(_) => run_all(session, include_str!("postgresql.sql")).await,
        Session::Mysql(_) => {
            run_all(session, include_str!("mysql.sql")).await?;
            if mysql::is_mariadb(session).await? {
                run_all(session, include_str!("mariadb.sql")).await?;
            }
            Ok(())
        }
    }
}

/// Definitions and contents of the whole database as lines in order: equal for a database and for a true copy of it, on
/// the same server, under another name or owner. Any order of rows; rows are counted and hashed, large objects too.
pub async fn fingerprint(session: &mut Session) -> Result<String, Error> {
    let mut lines = match session {
        Session::Postgres(_) => postgresql::fingerprint(session).await?,
        Session::Mysql(_) => mysql::fingerprint(session).await?,
    };
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

/// The rows of each table that has rows of its own, as the server counts them, in the order of a backup's figures.
pub async fn rows(session: &mut Session) -> Result<Vec<(String, u64)>, Error> {
    let counts = match session {
        Session::Postgres(_) => postgresql::COUNTS,
        Session::Mysql(_) => mysql::COUNTS,
    };
    let mut rows = Vec::new();
    for line in session.column(counts).await? {
        let (name, count) = line
            .split_once('\x01')
            .ok_or_else(|| Error::Protocol(line.clone()))?;
        let count = value(session, count).await?;
        let count = count.parse().map_err(|_| Error::Protocol(count))?;
        rows.push((name.to_owned(), count));
    }
    Ok(rows)
}

/// Adds about `bytes` of rows, as a dump counts them, to a table `orders` like an application's: numbers, times, names,
/// JSON, words, and tokens that no compression shortens. The server makes them itself, the same ones each time.
pub async fn grow(session: &mut Session, bytes: u64) -> Result<(), Error> {
    match session {
        Session::Postgres(_) => postgresql::grow(session, bytes).await,
        Session::Mysql(_) => mysql::grow(session, bytes).await,
    }
}

/// Runs the statements of a file; the one that fails is named.
async fn run_all(session: &mut Session, file: &str) -> Result<(), Error> {
    for statement in file.split("\n\n") {
        if let Err(error) = session.run(statement).await {
            return Err(Error::Protocol(format!("{error}, in: {statement}")));
        }
    }
    Ok(())
}

/// The one text that a query answers with.
async fn value(session: &mut Session, sql: &str) -> Result<String, Error> {
    let answer = session.column(sql).await?;
    answer.into_iter().next().ok_or(Error::RowNotFound)
}

/// Rows that are still to be made, when `rows` rows took `taken` bytes.
fn remaining(bytes: u64, rows: u64, taken: u64) -> u64 {
    let left = u128::from(bytes.saturating_sub(taken));
    u64::try_from(left * u128::from(rows) / u128::from(taken.max(1))).unwrap_or(u64::MAX)
}
