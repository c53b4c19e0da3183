//! What the tools of MySQL and MariaDB write down that another user cannot load, or nobody: rewritten by the line of the documentation.

use db_operator::provider::ident::mysql_identifier;
use e2e::dataset;
use e2e::testing::{Bucket, Fixture, Into, Server, Session, with_fixture};
use serde_json::json;

/// Made by the database's user. `{database}` is the database, in backticks.
const OBJECTS: [&str; 8] = [
    "CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(100) DEFAULT 'DEFINER=`x`@`y` VIEW')",
    "CREATE FUNCTION one() RETURNS INT DETERMINISTIC NO SQL RETURN 1",
    // `mysqldump` puts the delimiter behind such a comment, where its own client does not see it.
    "CREATE PROCEDURE ends_in_a_comment() SELECT 1 -- it's the end",
    "CREATE TRIGGER ends_in_a_comment_too BEFORE INSERT ON t FOR EACH ROW SET @x = 1 # it's */ the end",
    "CREATE EVENT ends_as_well ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 03:00:00' DISABLE DO DELETE FROM t WHERE id < 0 -- it's the end",
    // Servers keep the database's name before a function that was called by its full name.
    "CREATE VIEW calls AS SELECT {database}.one() AS one, t.id FROM t",
    "CREATE VIEW named AS SELECT calls.one AS `DEFINER=``x``@``y`` FROM a.t` FROM calls",
    "ALTER DATABASE CHARACTER SET latin1",
];

/// What only MySQL from 9 on has. The server keeps the text as it is, whether or not it can run it.
const OF_MYSQL: [&str; 2] = [
    "CREATE LIBRARY lib LANGUAGE JAVASCRIPT AS $$ export function f(n) { for (;;) { return n; } } // it's; `\n$$",
    "CREATE FUNCTION js(n INT) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT AS $$ return /\\d \"/.test(n) ? ';;' : '*/'; // don't\n$$",
];

async fn open(fixture: &Fixture, database: &str) -> Session {
    let secret = fixture.secret(database).await;
    Session::open(&fixture.client, &secret).await.unwrap()
}

async fn is_loaded_by_another_user(fixture: &Fixture) {
    let delete = json!({"deletionPolicy": "Delete"});
    let name = fixture.make_usable("orders", delete.clone()).await;
    let dumped = fixture.secret(&name).await["database"].clone();
    let mut original = open(fixture, &name).await;
    for object in OBJECTS {
        let statement = object.replace("{database}", &mysql_identifier(&dumped));
        original.run(&statement).await.unwrap();
    }
    let other = if fixture.server == Server::Mysql {
        &OF_MYSQL[..]
    } else {
        &[]
    };
    for statement in other {
        original.run(statement).await.unwrap();
    }
    let libraries = "SELECT LIBRARY_DEFINITION FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = DATABASE()";
    let expected = dataset::fingerprint(&mut original).await.unwrap();
    original.close().await;

    let backup = fixture.back_up("nightly", &name, json!({})).await;
    let backup = fixture.completed(&backup).await;
    let bucket = Bucket::open(&fixture.client).await;
    let key = backup.status.unwrap().upload.unwrap().key;
    let object = bucket.get(&key).await.unwrap();

    let copy = fixture.make_usable("copy", delete).await;
    fixture
        .restore(&object, &copy, Into::Another(&dumped))
        .await;
    let mut restored = open(fixture, &copy).await;
    let found = dataset::fingerprint(&mut restored).await.unwrap();
    assert_eq!(found, expected);
    if fixture.server == Server::Mysql {
        let restored = restored.column(libraries).await.unwrap();
        assert!(restored[0].contains("// it's; `\n"), "{restored:?}");
    }
    // Nothing of the copy needs the former database.
    fixture.delete(&name).await;
    fixture.gone(&name).await;
    let ran = restored
        .column("SELECT CAST(COUNT(*) AS CHAR) FROM named")
        .await;
    assert_eq!(ran.unwrap(), ["0"]);
    restored.close().await;
}

#[tokio::test]
async fn a_dump_of_mysql_is_loaded_under_another_name_by_another_user() {
    with_fixture(Server::Mysql, is_loaded_by_another_user).await;
}

#[tokio::test]
async fn a_dump_of_mariadb_is_loaded_under_another_name_by_another_user() {
    with_fixture(Server::Mariadb, is_loaded_by_another_user).await;
}
