//! The real pg_dump and a real server: what arrives restores, and whatever is cut off is seen.

use std::fs;
use std::path::Path;
use std::process::Command;

use db_operator::agent::protocol::result::Cause;
use db_operator::agent::protocol::task::Flavour;
use e2e::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD, programs};

use crate::fixture::{Fixture, PASSWORD, run};

/// The series whose client programs are here.
const SERIES: u32 = 15;

pub(crate) const DUMP: [&str; 5] = [
    "pg_dump",
    "--format=custom",
    "--compress=0",
    "--no-password",
    "--verbose",
];

/// Tables of all shapes, large objects, a table without rows, a view, and a name that libpq could misread.
const CONTENT: &str = r#"
    CREATE TABLE rows AS SELECT i AS id, md5(i::text) AS hash, now() AS at FROM generate_series(1, 200000) i;
    CREATE TABLE "quo""te é" (x bytea, y text); INSERT INTO "quo""te é" VALUES ('\x00ff', NULL), ('\x', E'a\nb');
    CREATE TABLE nothing (x int);
    CREATE UNLOGGED TABLE fleeting AS SELECT 1 AS x;
    CREATE SEQUENCE numbers START 7;
    CREATE VIEW sums AS SELECT sum(id) FROM rows;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM rows;
    SELECT lo_from_bytea(0, decode(repeat('ab', 300000), 'hex')), lo_from_bytea(0, ''), lo_from_bytea(0, '\x01');
"#;

/// A server with the database `orders=x`, owned by `orders` with its password.
pub(crate) struct Server {
    server: Postgresql,
    pub psql: std::path::PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let server = Postgresql::start(SERIES).unwrap();
        let psql = programs(SERIES).unwrap().join("psql");
        let this = Self { server, psql };
        let password = PASSWORD.replace('\'', "''");
        this.sql(
            "postgres",
            &format!("CREATE ROLE orders LOGIN PASSWORD '{password}'"),
        );
        this.sql("postgres", "CREATE DATABASE \"orders=x\" OWNER orders");
        this.sql("postgres", "CREATE DATABASE restored");
        this.sql("orders=x", &format!("SET ROLE orders; {CONTENT}"));
        this
    }

    pub(crate) fn command(&self, program: &Path, database: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.server.port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGPASSWORD", SUPERUSER_PASSWORD)
            .env("PGDATABASE", database);
        command
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.command(&self.psql, database);
        let output = psql
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Aims the task at it.
    pub(crate) fn aim(&self, fixture: &mut Fixture) {
        let source = &mut fixture.task.source;
        source.series = SERIES.to_string();
        source.server_version = format!("{SERIES}.0");
        source.port = self.server.port;
        "orders=x".clone_into(&mut source.database);
        "verify-full".clone_into(&mut source.tls);
        fs::write(
            fixture.folder.0.join("credentials/ca.crt"),
            &self.server.certificates.ca,
        )
        .unwrap();
    }
}

/// What is in a database, to be compared.
const SEEN: &str = "SELECT count(*), sum(id), md5(string_agg(hash, ',' ORDER BY id)) FROM rows; \
    SELECT md5(string_agg(x::text || coalesce(y, '-'), ',' ORDER BY x)) FROM \"quo\"\"te é\"; \
    SELECT count(*) FROM nothing; SELECT x FROM fleeting; SELECT * FROM sums; SELECT * FROM counted; SELECT nextval('numbers'); \
    SELECT count(*), sum(length(lo_get(oid))) FROM pg_largeobject_metadata";

#[test]
fn what_arrives_restores_and_whatever_is_cut_off_is_seen() {
    run(async {
        let server = Server::start();
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        let ended = fixture.run(&DUMP).await;
        // The way of the tool is no message of its own.
        for noise in ["pg_dump: pg_dump", "dumping contents", "reading schemas"] {
            assert!(!ended.log.contains(noise), "{}", ended.log);
        }
        let done = ended.done();
        assert!(
            done.tool_version.starts_with("pg_dump (PostgreSQL) 15."),
            "{done:?}"
        );
        let dump = fixture.complete(&done).await;

        let archive = fixture.folder.0.join("whole.dump");
        fs::write(&archive, &dump).unwrap();
        let restore = server.psql.with_file_name("pg_restore");
        let output = server
            .command(&restore, "restored")
            .args(["--no-owner", "--exit-on-error", "--dbname=restored"])
            .arg(&archive)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(server.sql("restored", SEEN), server.sql("orders=x", SEEN));

        every_cut_is_seen(&dump, &archive).await;
    });
}

/// A tool that writes the beginning of a real archive and ends as if all were well.
async fn every_cut_is_seen(dump: &[u8], archive: &Path) {
    let fixture = Fixture::new(Flavour::Postgresql).await;
    let size = dump.len();
    let mut lengths: Vec<usize> = (1..12).map(|step| size * step / 12).collect();
    lengths.extend([0, 3, 40, 2000, size - 1, size - 5, size - 6]);
    for length in lengths {
        let tool = fixture.tool(
            "pg_dump (PostgreSQL) 15.18",
            &format!("head -c {length} {}", archive.display()),
        );
        let failed = fixture.run(&[&tool]).await.failed(Cause::DumpIncomplete);
        assert!(
            failed.message.contains("not a whole dump"),
            "{length}: {failed:?}"
        );
    }
    let tool = fixture.tool(
        "pg_dump (PostgreSQL) 15.18",
        &format!("cat {} -", archive.display()),
    );
    fixture.run(&[&tool]).await.done();
    fixture.nothing_is_visible();
}

#[test]
fn a_wrong_password_and_a_wrong_authority_are_the_tools_own_words() {
    run(async {
        let server = Server::start();
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        fs::write(
            fixture.folder.0.join("credentials/password"),
            "canary-pother",
        )
        .unwrap();
        let failed = fixture.run(&DUMP).await.failed(Cause::DumpFailed);
        assert!(
            failed.message.contains("password authentication failed"),
            "{failed:?}"
        );

        let other = e2e::sql_servers::Certificates::new().unwrap();
        fs::write(fixture.folder.0.join("credentials/ca.crt"), other.ca).unwrap();
        let failed = fixture.run(&DUMP).await.failed(Cause::DumpFailed);
        // OpenSSL's words depend on which of the two authorities' differences it meets first.
        let refused = ["certificate verify failed", "SSL error"];
        assert!(
            refused.iter().any(|words| failed.message.contains(words)),
            "{failed:?}"
        );
    });
}

#[test]
fn a_lock_in_the_server_is_a_stall_and_the_session_ends() {
    run(async {
        let server = Server::start();
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        fixture.task.stall_seconds = 4;
        let mut psql = server.command(&server.psql, "orders=x");
        psql.args(["-X", "-c", "BEGIN; LOCK TABLE rows; SELECT pg_sleep(600)"]);
        let mut holder = psql.spawn().unwrap();
        let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'rows'::regclass AND granted AND mode = 'AccessExclusiveLock'";
        let pod = fixture.start(&["pg_dump", "--version"]);
        pod.until("lock", || server.sql("orders=x", locked).trim() == "1")
            .await;
        drop(pod);
        let failed = fixture.run(&DUMP).await.failed(Cause::NoProgress);
        assert!(failed.message.contains("lock"), "{failed:?}");
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'db-operator backup'";
        assert_eq!(server.sql("postgres", sessions).trim(), "0");
        holder.kill().unwrap();
        holder.wait().unwrap();
    });
}

#[test]
fn a_lock_that_is_waited_for_too_long_is_named_with_its_table() {
    run(async {
        let server = Server::start();
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        let mut psql = server.command(&server.psql, "orders=x");
        psql.args(["-X", "-c", "BEGIN; LOCK TABLE rows; SELECT pg_sleep(600)"]);
        let mut holder = psql.spawn().unwrap();
        let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'rows'::regclass AND granted AND mode = 'AccessExclusiveLock'";
        let pod = fixture.start(&["pg_dump", "--version"]);
        pod.until("lock", || server.sql("orders=x", locked).trim() == "1")
            .await;
        drop(pod);
        let command = [&DUMP[..], &["--lock-wait-timeout=1000"]].concat();
        let failed = fixture.run(&command).await.failed(Cause::NoProgress);
        for words in ["a lock that another session holds", "LOCK TABLE", "rows"] {
            assert!(failed.message.contains(words), "{failed:?}");
        }
        holder.kill().unwrap();
        holder.wait().unwrap();
    });
}

#[test]
fn a_large_object_with_a_high_number_is_dumped() {
    run(async {
        let server = Server::start();
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        let large = "SET ROLE orders; SELECT lo_from_bytea(3000000000, 'x')";
        server.sql("orders=x", large);
        fixture.run(&DUMP).await.done();
    });
}

#[test]
fn another_format_is_refused_with_what_to_do() {
    run(async {
        let server = Server::start();
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        for format in ["plain", "tar"] {
            let command = ["pg_dump", &format!("--format={format}"), "--no-password"];
            let failed = fixture.run(&command).await.failed(Cause::DumpIncomplete);
            assert!(failed.message.contains("--format=custom"), "{failed:?}");
        }
        // Compressed by the tool itself: pieces of other sizes, whole all the same.
        let command = [
            "pg_dump",
            "--format=custom",
            "--compress=5",
            "--no-password",
        ];
        fixture.run(&command).await.done();
    });
}
