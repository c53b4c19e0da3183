//! The life of a Restore, as its users see it: the API, the store, the servers, and an operator in the cluster.
//! They need the cluster with the operator in it: `cargo xtask load`.
//!
//! | file | what it shows |
//! |---|---|
//! | `life.rs` | from a backup to an equal database, by each way to name the backup; states, report, what is left behind |
//! | `replace.rs` | … in the place of a database in use, and back again (PostgreSQL) |
//! | `once.rs` | the same object again does nothing; another one of its name is refused |
//! | `only.rs` | some tables of a backup, instead of all of it |
//! | `refused.rs` | what is refused before anything is made |
//! | `foreign.rs` | keys of another namespace, in every disguise |
//! | `shared.rs` | what the platform shares with another namespace |
//! | `failed.rs` | a check that fails leaves the database as it was, and nothing else begins before that |
//! | `deleted.rs` | deleted while it runs, itself or its Database |
//! | `init.rs` | a Database that begins with a backup, and what keeps it from that |
//! | `restarts.rs` | … while the operator is killed |
//! | `test_mode.rs` | a backup is tried out beside all Databases, and nothing of it stays |
//! | `turns.rs` | a backup and a restore of one Database exclude each other, and keep nobody else waiting |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod deleted;
mod failed;
mod foreign;
mod init;
mod life;
mod once;
mod only;
mod refused;
mod replace;
mod restarts;
mod shared;
mod test_mode;
mod turns;

use e2e::testing::{Fixture, Session};
use serde_json::json;

/// A Database with a table of three rows, and a backup of it. Returns both names.
async fn backed_up(fixture: &Fixture) -> (String, String) {
    let name = fixture
        .make_usable("orders", json!({"deletionPolicy": "Delete"}))
        .await;
    run(fixture, &name, "CREATE TABLE orders (id INT PRIMARY KEY)").await;
    run(fixture, &name, "INSERT INTO orders VALUES (1), (2), (3)").await;
    let backup = fixture.back_up("nightly", &name, json!({})).await;
    fixture.completed(&backup).await;
    (name, backup)
}

/// An empty Database to restore into. Returns its name.
async fn empty(fixture: &Fixture, name: &str) -> String {
    fixture
        .make_usable(name, json!({"deletionPolicy": "Delete"}))
        .await
}

/// Runs a statement as the Database's own user.
async fn run(fixture: &Fixture, database: &str, sql: &str) {
    let secret = fixture.secret(database).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    session.run(sql).await.unwrap();
    session.close().await;
}

/// What a column holds, asked as the Database's own user.
async fn column(fixture: &Fixture, database: &str, sql: &str) -> Vec<String> {
    let secret = fixture.secret(database).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    let found = session.column(sql).await.unwrap();
    session.close().await;
    found
}

/// The ids in the table `orders`, which every test here has.
async fn ids(fixture: &Fixture, database: &str) -> Vec<String> {
    let text = if fixture.server.is_postgres() {
        "SELECT id::text FROM orders ORDER BY id"
    } else {
        "SELECT CAST(id AS CHAR) FROM orders ORDER BY id"
    };
    column(fixture, database, text).await
}
