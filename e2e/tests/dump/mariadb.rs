//! The real mariadb-dump and a real server, with a password that has every kind of character.

use std::fs;
use std::process::Command;

use db_operator::agent::protocol::result::Cause;
use db_operator::agent::protocol::task::{Flavour, paths};
use e2e::sql_servers::mariadb::LocalMariadb;

use crate::fixture::{Fixture, PASSWORD, run};

pub(crate) async fn server() -> LocalMariadb {
    let local = LocalMariadb::start(&[]).await.unwrap();
    let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
    local
        .server
        .run(&[
            &format!("CREATE USER orders@'%' IDENTIFIED BY '{password}' REQUIRE SSL"),
            "CREATE DATABASE `or-ders é`",
            "GRANT ALL ON `or-ders é`.* TO orders@'%'",
            "CREATE TABLE `or-ders é`.t (id INT PRIMARY KEY, x LONGBLOB, y TEXT)",
            "INSERT INTO `or-ders é`.t SELECT seq, RANDOM_BYTES(400), REPEAT('word ', 40) FROM `or-ders é`.seq_1_to_60000",
            "CREATE VIEW `or-ders é`.v AS SELECT COUNT(*) AS n FROM `or-ders é`.t",
            "CREATE DEFINER = orders@'%' PROCEDURE `or-ders é`.p() SELECT '-- Dump completed'",
        ])
        .await
        .unwrap();
    local
}

pub(crate) fn aim(fixture: &mut Fixture, local: &LocalMariadb) {
    let source = &mut fixture.task.source;
    "10.11".clone_into(&mut source.series);
    source.port = local.server.port;
    "or-ders é".clone_into(&mut source.database);
    "verify-full".clone_into(&mut source.tls);
    fs::write(
        fixture.folder.0.join("credentials/ca.crt"),
        &local.server.ca,
    )
    .unwrap();
}

pub(crate) fn command(fixture: &Fixture) -> Vec<String> {
    let file = fixture
        .folder
        .0
        .join("work")
        .join(std::path::Path::new(paths::CLIENT_CNF).file_name().unwrap());
    let mut words = vec![
        "mariadb-dump".to_owned(),
        format!("--defaults-extra-file={}", file.display()),
    ];
    let options = "--default-character-set=utf8mb4 --max-allowed-packet=1G --single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces --verbose --loose-dump-history --skip-add-locks --";
    words.extend(options.split(' ').map(str::to_owned));
    words.push("or-ders é".to_owned());
    words
}

/// Restores a dump into a new database, as the superuser.
pub(crate) async fn restore(local: &LocalMariadb, fixture: &Fixture, dump: &[u8], database: &str) {
    let path = fixture.folder.0.join("dump.sql");
    fs::write(&path, dump).unwrap();
    let create = format!("CREATE DATABASE {database}");
    local.server.run(&[create]).await.unwrap();
    let (name, password) = &local.server.superuser;
    let restored = Command::new("mariadb")
        .args(["--protocol=tcp", "--host=127.0.0.1", "--comments", database])
        .args([
            format!("--user={name}"),
            format!("--port={}", local.server.port),
        ])
        .env("MYSQL_PWD", password)
        .stdin(fs::File::open(&path).unwrap())
        .output()
        .unwrap();
    assert!(restored.status.success(), "{restored:?}");
}

#[test]
fn what_arrives_restores() {
    run(async {
        let local = server().await;
        let mut fixture = Fixture::new(Flavour::Mariadb).await;
        aim(&mut fixture, &local);
        let command = command(&fixture);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let done = fixture.run(&command).await.done();
        assert!(done.tool_version.contains("10.11"), "{done:?}");
        let dump = fixture.complete(&done).await;
        restore(&local, &fixture, &dump, "restored").await;
        let sum = |database: &str| {
            format!("SELECT CAST(SUM(CRC32(CONCAT(id, x, y))) AS CHAR) FROM `{database}`.t")
        };
        assert_eq!(
            local.server.value(&sum("restored")).await.unwrap(),
            local.server.value(&sum("or-ders é")).await.unwrap()
        );
    });
}

#[test]
fn another_authority_and_a_missing_end_are_seen() {
    run(async {
        let local = server().await;
        let mut fixture = Fixture::new(Flavour::Mariadb).await;
        aim(&mut fixture, &local);
        let words = command(&fixture);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.insert(2, "--skip-comments");
        let failed = fixture.run(&words).await.failed(Cause::DumpIncomplete);
        assert!(failed.message.contains("--skip-comments"), "{failed:?}");
        words.remove(2);

        let other = e2e::sql_servers::Certificates::new().unwrap();
        fs::write(fixture.folder.0.join("credentials/ca.crt"), other.ca).unwrap();
        let failed = fixture.run(&words).await.failed(Cause::DumpFailed);
        assert!(
            failed.message.to_lowercase().contains("certificate"),
            "{failed:?}"
        );
    });
}
