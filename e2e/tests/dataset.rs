//! The dataset of the tests of backups, on local servers: what the dump tools bring back is equal, and what is not
//! equal shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use db_operator::agent::restore::rewrite::{self, Account, Definers, Rename, Wanted};
use e2e::dataset::{fill, fingerprint, grow};
use e2e::sql_servers::mariadb::LocalMariadb;
use e2e::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD, programs};
use e2e::testing::Session;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What a dump of ten million bytes of `orders` may differ by.
const ABOUT: std::ops::Range<usize> = 8_000_000..12_500_000;

/// Pipes one program into another; how many bytes there were.
fn pipe(dump: &mut Command, restore: &mut Command) -> usize {
    let dumped = output(dump);
    load(&dumped, restore);
    dumped.len()
}

fn output(dump: &mut Command) -> Vec<u8> {
    let dumped = dump.output().unwrap();
    let said = String::from_utf8_lossy(&dumped.stderr);
    assert!(dumped.status.success(), "{said}");
    dumped.stdout
}

fn load(dump: &[u8], restore: &mut Command) {
    let mut restoring = restore.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut restoring.stdin.take().unwrap(), dump).unwrap();
    assert!(restoring.wait().unwrap().success());
}

/// A dump of `original`, for a database of another name and another user.
fn renamed(dump: &[u8], to: &str, user: &str) -> Vec<u8> {
    let wanted = Wanted {
        only: None,
        rename: Some(Rename {
            from: "original".to_owned(),
            to: to.to_owned(),
        }),
        definers: Some(Definers {
            account: Account {
                user: user.to_owned(),
                host: "%".to_owned(),
            },
            former: None,
            replace: false,
        }),
        hold_events: false,
    };
    let mut renamed = Vec::new();
    let report = rewrite::copy(wanted, &mut &*dump, &mut renamed).unwrap();
    assert!(report.definers > 5 && report.names > 5, "{report:?}");
    renamed
}

/// Runs each statement, which changes one thing, and sees that the fingerprint is another one.
async fn notices(session: &mut Session, changes: &[&str]) {
    let mut before = fingerprint(session).await.unwrap();
    for change in changes {
        session.run(change).await.unwrap();
        let after = fingerprint(session).await.unwrap();
        assert_ne!(after, before, "{change}");
        before = after;
    }
}

fn assert_equal(original: &str, copy: &str) {
    let lines = |of: &str, other: &str| {
        let other: std::collections::HashSet<_> = other.lines().collect();
        let only = of.lines().filter(|line| !other.contains(line));
        only.take(20).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        original,
        copy,
        "only in the original:\n{}\nonly in the copy:\n{}",
        lines(original, copy),
        lines(copy, original)
    );
}

async fn postgresql(port: u16, database: &str) -> Session {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("tenant")
        .password("tenant")
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging();
    Session::Postgres(Box::new(options.connect().await.unwrap()))
}

async fn superuser(port: u16) -> Session {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(SUPERUSER)
        .password(SUPERUSER_PASSWORD)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable);
    Session::Postgres(Box::new(options.connect().await.unwrap()))
}

fn on_postgresql(series: u32) {
    let server = Postgresql::start(series).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut admin = superuser(server.port).await;
        for sql in [
            "CREATE ROLE tenant LOGIN PASSWORD 'tenant'",
            "CREATE DATABASE original OWNER tenant",
            "CREATE DATABASE copy OWNER tenant",
        ] {
            admin.run(sql).await.unwrap();
        }
        let mut original = postgresql(server.port, "original").await;
        fill(&mut original).await.unwrap();
        let mut copy = postgresql(server.port, "copy").await;
        if series == 15 {
            let tool = |name: &str| {
                let mut tool = Command::new(programs(series).unwrap().join(name));
                tool.args(["--host=127.0.0.1", "--username=tenant", "--no-password"])
                    .env("PGPORT", server.port.to_string())
                    .env("PGPASSWORD", "tenant");
                tool
            };
            let mut dump = tool("pg_dump");
            dump.args(["--format=custom", "--compress=0", "--dbname=original"]);
            let mut restore = tool("pg_restore");
            restore.args(["--dbname=copy", "--exit-on-error"]);
            let small = pipe(&mut dump, &mut restore);
            let expected = fingerprint(&mut original).await.unwrap();
            assert_equal(&expected, &fingerprint(&mut copy).await.unwrap());
            grow(&mut original, 10_000_000).await.unwrap();
            let grown = dump.output().unwrap().stdout.len();
            assert!(ABOUT.contains(&(grown - small)), "{grown} - {small}");
        } else {
            // Twice the same statements make the same database.
            fill(&mut copy).await.unwrap();
            let expected = fingerprint(&mut original).await.unwrap();
            assert_equal(&expected, &fingerprint(&mut copy).await.unwrap());
        }
        notices(
            &mut copy,
            &[
                "UPDATE big SET noise = noise || 'x' WHERE id = 7",
                "INSERT INTO no_columns DEFAULT VALUES",
                "SELECT nextval('untouched')",
                "SELECT lo_put(100002, 999999, '\\x00')",
                "ALTER TABLE parts ALTER what SET DEFAULT 'x'",
                "CREATE OR REPLACE VIEW countdown_ AS SELECT 1 AS one",
                "REVOKE INSERT ON eggs FROM PUBLIC",
                "COMMENT ON COLUMN everything.free IS 'another'",
            ],
        )
        .await;
    });
}

#[test]
fn postgresql_comes_back_as_it_was() {
    on_postgresql(15);
}

#[test]
fn every_postgresql_takes_it() {
    for series in [14, 16, 17, 18] {
        on_postgresql(series);
    }
}

#[tokio::test]
async fn mariadb_comes_back_as_it_was() {
    let local = LocalMariadb::start(&[]).await.unwrap();
    let server = &local.server;
    let statements = ["CREATE DATABASE original", "CREATE DATABASE copy"].map(str::to_owned);
    server.run(&statements).await.unwrap();
    let statements = [
        "CREATE USER tenant@'%' IDENTIFIED BY 'tenant'",
        "GRANT ALL ON original.* TO tenant@'%'",
        "CREATE USER another@'%' IDENTIFIED BY 'tenant'",
        "GRANT ALL ON copy.* TO another@'%'",
    ];
    server.run(&statements).await.unwrap();
    let session = async |database: &str, user: &str| {
        let options = server.options().username(user).password("tenant");
        Session::Mysql(Box::new(
            options.database(database).connect().await.unwrap(),
        ))
    };
    let mut original = session("original", "tenant").await;
    fill(&mut original).await.unwrap();
    let tool = |name: &str, user: &str| {
        let mut tool = Command::new(Path::new("/usr/bin").join(name));
        tool.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1"])
            .args(["--default-character-set=utf8mb4"])
            .arg(format!("--user={user}"))
            .arg(format!("--port={}", server.port))
            .env("MYSQL_PWD", "tenant");
        tool
    };
    let mut dump = tool("mariadb-dump", "tenant");
    dump.args([
        "--single-transaction",
        "--quick",
        "--routines",
        "--events",
        "--triggers",
        "--hex-blob",
        "--skip-add-locks",
    ])
    .args(["--no-tablespaces", "original"]);
    // Without `--comments`, the client takes the comments out of routines.
    let mut restore = tool("mariadb", "another");
    let dumped = output(&mut dump);
    let small = dumped.len();
    load(
        &renamed(&dumped, "copy", "another"),
        restore.args(["--comments", "copy"]),
    );
    let mut copy = session("copy", "another").await;
    let expected = fingerprint(&mut original).await.unwrap();
    assert_equal(&expected, &fingerprint(&mut copy).await.unwrap());
    grow(&mut original, 10_000_000).await.unwrap();
    let grown = dump.output().unwrap().stdout.len();
    assert!(ABOUT.contains(&(grown - small)), "{grown} - {small}");
    notices(
        &mut copy,
        &[
            "UPDATE everything SET free = CONCAT(free, 'x') WHERE large < 0",
            "UPDATE everything SET exactly = 'trailing' WHERE large < 0",
            "UPDATE everything SET bits = 1 WHERE large < 0",
            "UPDATE everything SET spot = ST_GeomFromText('POINT(1.5 -3)') WHERE large < 0",
            "SELECT NEXT VALUE FOR numbers",
            "ALTER TABLE parts ALTER what SET DEFAULT 'x'",
            "CREATE VIEW another AS SELECT 1 AS one",
            "DROP TRIGGER hatches",
        ],
    )
    .await;
}
