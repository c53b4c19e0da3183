//! A view of MySQL or MariaDB that refers to something that is gone loses no data: its backup is made without it.

use e2e::testing::{Bucket, Fixture, Into, Server, Session, with_fixture};
use serde_json::json;

#[tokio::test]
async fn a_database_of_mysql_with_a_broken_view() {
    with_fixture(Server::Mysql, backed_up_without_it).await;
}

#[tokio::test]
async fn a_database_of_mariadb_with_a_broken_view() {
    with_fixture(Server::Mariadb, backed_up_without_it).await;
}

async fn backed_up_without_it(fixture: &Fixture) {
    let name = fixture
        .make_usable("orders", json!({"deletionPolicy": "Delete"}))
        .await;
    let dumped = fixture.secret(&name).await["database"].clone();
    let mut session = open(fixture, &name).await;
    for statement in [
        "CREATE TABLE kept (i INT)",
        "INSERT INTO kept VALUES (5)",
        "CREATE TABLE gone (i INT)",
        "CREATE VIEW broken AS SELECT i FROM gone",
        "CREATE VIEW works AS SELECT i FROM kept",
        "DROP TABLE gone",
    ] {
        session.run(statement).await.unwrap();
    }
    session.close().await;

    let backup = fixture.back_up("a", &name, json!({})).await;
    let backup = fixture.completed(&backup).await;
    let key = backup.status.unwrap().upload.unwrap().key;
    let bucket = Bucket::open(&fixture.client).await;
    let object = bucket.get(&key).await.unwrap();
    let copy = fixture
        .make_usable("copy", json!({"deletionPolicy": "Delete"}))
        .await;
    fixture
        .restore(&object, &copy, Into::Another(&dumped))
        .await;
    let mut session = open(fixture, &copy).await;
    let views = "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()";
    assert_eq!(session.column(views).await.unwrap(), ["works"]);
    let rows = "SELECT CAST(i AS CHAR) FROM works";
    assert_eq!(session.column(rows).await.unwrap(), ["5"]);
    session.close().await;
}

async fn open(fixture: &Fixture, database: &str) -> Session {
    let secret = fixture.secret(database).await;
    Session::open(&fixture.client, &secret).await.unwrap()
}
