//! The real pg_restore and a real server: what was dumped comes back, and whatever is another's is left out and told.

use std::fs;
use std::path::Path;
use std::process::Command;

use db_operator::agent::protocol::restore::{Level, Query, RestoreCause};
use db_operator::agent::protocol::result::Done;
use db_operator::agent::protocol::task::Flavour;
use e2e::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD, programs};

use crate::dump::{Fixture, PASSWORD, run};
use crate::fixture::Restore;

/// The series whose client programs are here.
const SERIES: u32 = 15;

const DUMP: [&str; 5] = [
    "pg_dump",
    "--format=custom",
    "--compress=0",
    "--no-password",
    "--verbose",
];

pub(crate) const RESTORE: [&str; 2] = ["pg_restore", "--no-password"];

/// All kinds of objects that an owner can make.
const CONTENT: &str = r#"
    CREATE SCHEMA audit;
    CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN short AS text CHECK (length(value) < 100);
    CREATE TABLE rows AS SELECT i AS id, md5(i::text) AS hash, now() AS at FROM generate_series(1, 200000) i;
    ALTER TABLE rows ADD PRIMARY KEY (id); CREATE INDEX by_hash ON rows (hash); CREATE STATISTICS of_both ON id, hash FROM rows;
    CREATE TABLE "quo""te é" (x bytea, y text); INSERT INTO "quo""te é" VALUES ('\x00ff', NULL), ('\x', E'a\nb\\t');
    CREATE TABLE nothing (x int, m mood DEFAULT 'ok', s short);
    CREATE UNLOGGED TABLE fleeting AS SELECT 1 AS x;
    CREATE SEQUENCE numbers START 7;
    CREATE TABLE own (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, twice int GENERATED ALWAYS AS (3 * 2) STORED, of int REFERENCES rows);
    INSERT INTO own (of) SELECT i FROM generate_series(1, 100) i;
    CREATE TABLE parted (at date, x int) PARTITION BY RANGE (at);
    CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
    CREATE TABLE audit.parted_b PARTITION OF parted FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
    INSERT INTO parted SELECT '2026-06-01'::date + i, i FROM generate_series(1, 60) i; CREATE INDEX ON parted (x);
    CREATE TABLE parent (x int); CREATE TABLE child (y int) INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3), (4, 5);
    CREATE VIEW sums AS SELECT sum(id) FROM rows;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM rows;
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.x := NEW.x + 1; RETURN NEW; END $$;
    CREATE TRIGGER t BEFORE INSERT ON nothing FOR EACH ROW EXECUTE FUNCTION noted();
    CREATE RULE r AS ON DELETE TO nothing DO INSTEAD NOTHING;
    CREATE TABLE guarded (who text); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON guarded USING (who = current_user);
    INSERT INTO guarded VALUES ('a'), ('b');
    CREATE FUNCTION secret() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION secret() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION secret() TO stranger; GRANT SELECT ON rows TO reader, stranger;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
    COMMENT ON TABLE rows IS 'it''s'; COMMENT ON DATABASE "orders=x" IS 'not of the archive';
    CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
    CREATE COLLATION german (provider = icu, locale = 'de'); CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple);
    SELECT lo_from_bytea(0, decode(repeat('ab', 300000), 'hex')), lo_from_bytea(3000000000, ''), lo_from_bytea(0, '\x01');
"#;

/// What only an administrator can make in the database.
const ADMINISTRATORS: &str = r"
    CREATE EXTENSION hstore; CREATE EXTENSION citext;
    CREATE PUBLICATION news FOR ALL TABLES;
    CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$; ALTER FUNCTION on_ddl() OWNER TO orders;
    CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE FUNCTION on_ddl();
";

/// A server with the database `orders=x`, owned by `orders`, and with a login that may load into scratch databases.
pub(crate) struct Server {
    server: Postgresql,
    psql: std::path::PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let server = Postgresql::start(SERIES).unwrap();
        let psql = programs(SERIES).unwrap().join("psql");
        let this = Self { server, psql };
        let password = PASSWORD.replace('\'', "''");
        for role in [
            &format!("CREATE ROLE orders LOGIN PASSWORD '{password}'"),
            &format!(
                "CREATE ROLE loader LOGIN PASSWORD '{password}' CONNECTION LIMIT 4 IN ROLE orders"
            ),
            "CREATE ROLE reader",
            "CREATE ROLE stranger",
            "CREATE DATABASE \"orders=x\" OWNER orders",
        ] {
            this.sql("postgres", role);
        }
        this
    }

    /// Runs statements as the owner.
    pub(crate) fn as_owner(&self, database: &str, sql: &str) -> String {
        self.sql(database, &format!("SET ROLE orders; {sql}"))
    }

    /// A scratch database, as the operator makes it.
    pub(crate) fn scratch(&self, database: &str) {
        let create = format!("CREATE DATABASE \"{database}\" OWNER orders TEMPLATE template0");
        self.sql("postgres", &create);
    }

    fn command(&self, database: &str) -> Command {
        let mut command = Command::new(&self.psql);
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.server.port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGPASSWORD", SUPERUSER_PASSWORD)
            .env("PGDATABASE", database);
        command
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self
            .command(database)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Holds a lock of a table until the value is dropped.
    pub(crate) fn hold(&self, database: &str, statement: &str) -> std::process::Child {
        let script = format!("BEGIN; {statement}; SELECT pg_sleep(600)");
        self.command(database)
            .args(["-X", "-c", &script])
            .spawn()
            .unwrap()
    }

    fn aim(&self, fixture: &mut Fixture) {
        let source = &mut fixture.task.source;
        source.series = SERIES.to_string();
        source.server_version = format!("{SERIES}.0");
        source.port = self.server.port;
        "orders=x".clone_into(&mut source.database);
        "verify-full".clone_into(&mut source.tls);
        let ca = fixture.folder.0.join("credentials/ca.crt");
        fs::write(ca, &self.server.certificates.ca).unwrap();
    }

    /// Dumps the database; the object is in the store afterwards.
    pub(crate) async fn dumped(&self, options: &[&str]) -> (Fixture, Done) {
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        self.aim(&mut fixture);
        let done = fixture.run(&[&DUMP[..], options].concat()).await.done();
        fixture.complete(&done).await;
        (fixture, done)
    }

    /// A restore into a new scratch database, by the login that is made for it.
    pub(crate) fn restore(&self, from: &Fixture, done: &Done, database: &str) -> Restore {
        self.scratch(database);
        let restore = Restore::of(from, done, database, "orders");
        let username = restore.folder.0.join("credentials/username");
        fs::write(username, "loader").unwrap();
        restore
    }
}

/// What is in a database, to be compared.
const SEEN: &str = r#"SELECT count(*), sum(id), md5(string_agg(hash, ',' ORDER BY id)) FROM rows;
    SELECT md5(string_agg(x::text || coalesce(y, '-'), ',' ORDER BY x)) FROM "quo""te é";
    SELECT count(*) FROM nothing; SELECT x FROM fleeting; SELECT * FROM sums; SELECT * FROM counted;
    SELECT count(*), sum(length(lo_get(oid))) FROM pg_largeobject_metadata; SELECT count(*) FROM guarded;
    SELECT tableoid::regclass::text, count(*) FROM parted GROUP BY 1 ORDER BY 1; SELECT count(*) FROM ONLY parent; SELECT count(*) FROM child;
    SELECT max(id), sum(twice) FROM own; SELECT last_value, is_called FROM numbers;
    SELECT c.relkind, c.relname, pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE n.nspname IN ('public', 'audit') ORDER BY 1, 2;
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2;
    SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1; SELECT polname FROM pg_policy;
    SELECT obj_description('rows'::regclass); SELECT total(x) FROM parent; SELECT stxname FROM pg_statistic_ext;"#;

#[test]
fn all_that_is_the_owners_comes_back_and_the_rest_is_told() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", CONTENT);
        server.sql("orders=x", ADMINISTRATORS);
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "scra'tch\\=x");
        server.sql(
            "scra'tch\\=x",
            "CREATE EXTENSION hstore; CREATE EXTENSION citext",
        );
        restore.task.check = Level::Digest;
        restore.task.roles = vec!["reader".to_owned()];
        restore.task.queries = vec![
            Query {
                name: "many".to_owned(),
                sql: "SELECT count(*) > 1000 FROM rows".to_owned(),
            },
            Query {
                name: "owner".to_owned(),
                sql: "SELECT current_user = 'orders'".to_owned(),
            },
        ];
        let ended = restore.run(&RESTORE).await;
        for said in [
            "loading: fetched ",
            "indexes, constraints and the like",
            "the SHA-256 is the same",
            "query \"many\": true",
        ] {
            assert!(ended.log.contains(said), "{said}: {}", ended.log);
        }
        for noise in [
            "pg_restore: pg_restore",
            "creating TABLE",
            "pg_restore: connecting",
        ] {
            assert!(!ended.log.contains(noise), "{}", ended.log);
        }
        let loaded = ended.done();
        assert_eq!(loaded.sha256, done.sha256);
        assert!(
            loaded
                .tool_version
                .starts_with("pg_restore (PostgreSQL) 15."),
            "{loaded:?}"
        );
        assert_eq!(loaded.checked, Level::Digest);
        assert_eq!(loaded.rows, done.totals.as_ref().unwrap().rows);
        let told = loaded.left_out.join("\n");
        for left_out in ["publications news", "event triggers watched", "stranger"] {
            assert!(told.contains(left_out), "{told}");
        }
        assert!(
            !told.contains("reader") && !told.contains("hstore"),
            "{told}"
        );

        let target = "scra'tch\\=x";
        assert_eq!(server.sql(target, SEEN), server.sql("orders=x", SEEN));
        // Nobody gets more than before.
        let privileges = "SELECT has_function_privilege('public', 'secret()', 'EXECUTE'), has_table_privilege('reader', 'rows', 'SELECT'), \
            has_table_privilege('stranger', 'rows', 'SELECT'), has_function_privilege('stranger', 'secret()', 'EXECUTE')";
        assert_eq!(server.sql(target, privileges).trim(), "f|t|f|f");
        server.as_owner(target, "CREATE TABLE later (x int)");
        let later = "SELECT has_table_privilege('reader', 'later', 'SELECT')";
        assert_eq!(server.sql(target, later).trim(), "t");
        // Statistics are there, and no session is left.
        let statistics = "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'rows'";
        assert_eq!(server.sql(target, statistics).trim(), "t");
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'loader'";
        assert_eq!(server.sql("postgres", sessions).trim(), "0");
    });
}

#[test]
fn rows_that_differ_and_queries_that_are_not_true_are_named() {
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT i FROM generate_series(1, 100) i; CREATE TABLE b AS SELECT 1 AS x; CREATE TABLE c AS SELECT 1 AS x",
        );
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "scratch");
        // Between the load and the check somebody else is in the database.
        let change = "DELETE FROM a WHERE i < 3; DROP TABLE b; UPDATE c SET x = 2;";
        let change = format!(
            "pg_restore \"$@\" || exit $?\ncase \"$*\" in *post-data*) {} -c \"{change}\" ;; esac",
            psql(&server, "scratch")
        );
        let tool = restore.tool("pg_restore (PostgreSQL) 15.18", &change);
        let failed = restore
            .run(&[&tool])
            .await
            .failed(RestoreCause::CheckFailed);
        assert_eq!(
            failed.message,
            "2 tables are not what was dumped, such as public.a: 98 rows, and 100 in the backup"
        );
        assert!(
            failed.differences[0].contains("public.a: 98 rows, and 100 in the backup"),
            "{failed:?}"
        );
        assert!(
            failed.differences[1].contains("\"public.b\" does not exist"),
            "{failed:?}"
        );

        // As many rows, and others.
        let mut restore = server.restore(&from, &done, "other");
        restore.task.check = Level::Digest;
        let change = format!(
            "pg_restore \"$@\" || exit $?\ncase \"$*\" in *post-data*) {} -c \"UPDATE c SET x = 2\" ;; esac",
            psql(&server, "other")
        );
        restore.tool("pg_restore (PostgreSQL) 15.18", &change);
        let tool = restore.folder.0.join("tool").display().to_string();
        std::os::unix::fs::symlink(
            programs(SERIES).unwrap().join("pg_dump"),
            restore.folder.0.join("pg_dump"),
        )
        .unwrap();
        let failed = restore
            .run(&[&tool])
            .await
            .failed(RestoreCause::CheckFailed);
        assert_eq!(
            failed.differences,
            ["public.c: as many rows as in the backup, but not the same"]
        );

        let mut restore = server.restore(&from, &done, "asked");
        let query = |name: &str, sql: &str| Query {
            name: name.to_owned(),
            sql: sql.to_owned(),
        };
        restore.task.queries = vec![
            query("true", "SELECT true"),
            query("false", "SELECT count(*) > 1000 FROM a"),
            query("number", "SELECT 1"),
            query("two", "SELECT true, true"),
            query("rows", "SELECT true FROM a"),
            query("null", "SELECT NULL::bool"),
            query(
                "writes",
                "WITH w AS (DELETE FROM a RETURNING i) SELECT count(*) > 0 FROM w",
            ),
            query("statements", "SELECT true; DROP TABLE a"),
            query("commit", "COMMIT"),
        ];
        let failed = restore
            .run(&RESTORE)
            .await
            .failed(RestoreCause::CheckFailed);
        assert_eq!(failed.differences.len(), 8, "{failed:?}");
        assert_eq!(failed.differences[0], "query \"false\": false");
        assert!(failed.differences[5].contains("read-only"), "{failed:?}");
        assert_eq!(server.sql("asked", "SELECT count(*) FROM a").trim(), "100");
    });
}

/// A command that runs SQL as the superuser.
fn psql(server: &Server, database: &str) -> String {
    format!(
        "env PGHOST=127.0.0.1 PGPORT={} PGUSER={SUPERUSER} PGPASSWORD={SUPERUSER_PASSWORD} PGSSLMODE=prefer PGPASSFILE=/dev/null {} -X -q -v ON_ERROR_STOP=1 -d {database}",
        server.server.port,
        server.psql.display()
    )
}

#[test]
fn rows_of_an_extension_are_refused_unless_they_may_be_left_out() {
    run(async {
        let server = Server::start();
        let share = extension_folder();
        let control = share.join("dbo_test.control");
        let script = share.join("dbo_test--1.sql");
        fs::write(&control, "default_version = '1'\nrelocatable = true\n").unwrap();
        fs::write(
            &script,
            "CREATE TABLE settings (x int); CREATE SEQUENCE ticket; SELECT pg_extension_config_dump('settings', ''); SELECT pg_extension_config_dump('ticket', '');",
        )
        .unwrap();
        let _files = Files(vec![control, script]);
        server.as_owner("orders=x", "CREATE TABLE a AS SELECT 1 AS x");
        server.sql(
            "orders=x",
            "CREATE EXTENSION dbo_test; GRANT SELECT ON settings, ticket TO orders",
        );
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "without");
        server.sql("without", "CREATE EXTENSION dbo_test");
        assert_eq!(restore.run(&RESTORE).await.done().tables, 1);

        server.sql("orders=x", "INSERT INTO settings VALUES (1), (2)");
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "with");
        server.sql("with", "CREATE EXTENSION dbo_test");
        let failed = restore
            .run(&RESTORE)
            .await
            .failed(RestoreCause::ExtensionData);
        assert!(
            failed.message.contains("public.settings (2 rows)"),
            "{failed:?}"
        );

        restore.task.accepts_extension_data = true;
        "again".clone_into(&mut restore.task.target.database);
        server.scratch("again");
        server.sql("again", "CREATE EXTENSION dbo_test");
        let loaded = restore.run(&RESTORE).await.done();
        assert!(
            loaded
                .left_out
                .join(" ")
                .contains("public.settings (2 rows)"),
            "{loaded:?}"
        );
    });
}

#[test]
fn privileges_follow_the_owner_and_what_cannot_be_given_is_told() {
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT 1 AS x; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC; \
             GRANT SELECT ON a TO PUBLIC",
        );
        server.sql(
            "orders=x",
            "GRANT EXECUTE ON FUNCTION pg_stat_reset() TO orders, PUBLIC",
        );
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "scratch");
        server.sql(
            "postgres",
            "CREATE ROLE other; GRANT other TO loader; ALTER DATABASE scratch OWNER TO other",
        );
        "other".clone_into(&mut restore.task.target.owner);
        let loaded = restore.run(&RESTORE).await.done();
        let told = loaded.left_out.join("\n");
        assert!(
            told.contains("what an administrator made") && told.contains("pg_stat_reset"),
            "{told}"
        );
        // The former owner's default privileges are the owner's.
        server.sql("scratch", "SET ROLE other; CREATE TABLE later (x int)");
        let privileges = "SELECT has_table_privilege('public', 'a', 'SELECT'), has_table_privilege('public', 'later', 'SELECT')";
        assert_eq!(server.sql("scratch", privileges).trim(), "t|t");
    });
}

#[test]
fn a_policy_for_a_role_that_is_gone_is_told_before_anything_is_loaded() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", "CREATE TABLE a AS SELECT 1 AS x");
        server.sql(
            "orders=x",
            "CREATE ROLE auditor; CREATE POLICY p ON a TO reader, auditor USING (true)",
        );
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "here");
        restore.run(&RESTORE).await.done();
        for database in ["orders=x", "here"] {
            server.sql(database, "DROP OWNED BY auditor");
        }
        server.sql("postgres", "DROP ROLE auditor");
        let restore = server.restore(&from, &done, "gone");
        let failed = restore.run(&RESTORE).await.failed(RestoreCause::LoadFailed);
        assert!(
            failed.message.contains("\"auditor\"") && failed.message.contains("CREATE ROLE"),
            "{failed:?}"
        );
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'a'";
        assert_eq!(server.sql("gone", tables).trim(), "0");
    });
}

/// Where a server of this series looks for extensions.
fn extension_folder() -> std::path::PathBuf {
    Path::new("/usr/share/postgresql")
        .join(SERIES.to_string())
        .join("extension")
}

/// Files that go with their value.
struct Files(Vec<std::path::PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = fs::remove_file(file);
        }
    }
}

#[test]
fn an_archive_that_the_tool_compressed_or_that_has_no_figures_is_loaded() {
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT i FROM generate_series(1, 1000) i",
        );
        // A manifest of version 1: rows are counted as they pass.
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "one");
        restore.task.totals = None;
        restore.task.check = Level::Digest;
        assert_eq!(restore.run(&RESTORE).await.done().rows, 1000);
        let (from, done) = server.dumped(&["--compress=5"]).await;
        let restore = server.restore(&from, &done, "two");
        restore.run(&RESTORE).await.done();
        let count = "SELECT count(*), sum(i) FROM a";
        assert_eq!(server.sql("two", count), server.sql("orders=x", count));
        // An empty database is a dump, too.
        server.as_owner("orders=x", "DROP TABLE a");
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "three");
        assert_eq!(restore.run(&RESTORE).await.done().tables, 0);
    });
}
