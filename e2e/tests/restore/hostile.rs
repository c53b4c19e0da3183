//! Archives and dumps that somebody made on purpose: they get what their owner may do, and nothing of the pod or of another
//! role's.

use db_operator::agent::protocol::restore::RestoreCause;
use db_operator::agent::protocol::result::Done;

use crate::dump::{Fixture, run};
use crate::fixture::{Restore, compress, decompress, object};
use crate::postgresql::{RESTORE, Server};

/// A dump, and a scratch database that it is loaded into with some of its bytes replaced by as many others.
async fn with(content: &str, from: &str, to: &str) -> (Server, Restore, Fixture, Done) {
    let server = Server::start();
    server.as_owner("orders=x", content);
    let (fixture, done) = server.dumped(&[]).await;
    let mut restore = server.restore(&fixture, &done, "scratch");
    let mut dump = decompress(&object(&fixture));
    assert_eq!(from.len(), to.len());
    let mut found = 0;
    for at in 0..=dump.len() - from.len() {
        if dump[at..].starts_with(from.as_bytes()) {
            dump[at..at + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from}");
    let changed = compress(&dump);
    restore.replace(&fixture.server, &changed);
    (server, restore, fixture, done)
}

#[test]
fn a_statement_runs_as_the_owner_and_has_no_way_to_more() {
    run(async {
        let filler = "x".repeat(90);
        let body = format!("CREATE TABLE victim (x int); CREATE VIEW v AS SELECT '{filler}' AS x");
        let from = format!("SELECT '{filler}'::text AS x;");
        for to in [
            "SELECT 1; COPY victim FROM PROGRAM 'touch /tmp/db-operator-hostile-archive';",
            "SELECT 1; RESET ROLE; ALTER ROLE loader SUPERUSER;",
            "SELECT 1; SET SESSION AUTHORIZATION super; ALTER ROLE loader SUPERUSER;",
            "SELECT 1;\n\\! touch /tmp/db-operator-hostile-archive\n",
        ] {
            let padded = format!("{to}{}", " ".repeat(from.len() - to.len()));
            let (server, restore, _from, _done) = with(&body, &from, &padded).await;
            let failed = restore.run(&RESTORE).await.failed(RestoreCause::LoadFailed);
            assert!(
                ["permission denied", "must be superuser", "syntax error"]
                    .iter()
                    .any(|words| failed.message.contains(words)),
                "{failed:?}"
            );
            assert!(!std::path::Path::new("/tmp/db-operator-hostile-archive").exists());
            let is_superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'loader'";
            assert_eq!(server.sql("postgres", is_superuser).trim(), "f");
        }
    });
}

/// The load acts as the owner of the database in use, too, and of what it may do there only this cannot be taken back.
#[test]
fn the_database_in_use_is_not_dropped() {
    run(async {
        let name = "x".repeat(50);
        let content =
            format!("CREATE TABLE {name} AS SELECT 1 AS y; CREATE VIEW v AS SELECT '{name}' AS x");
        let drop = "DROP DATABASE \"orders=x\" WITH (FORCE);";
        for (from, before) in [
            (
                format!("CREATE VIEW public.v AS\n SELECT '{name}'::text AS x;"),
                "",
            ),
            (
                format!("CREATE VIEW public.v AS\n SELECT '{name}'::text AS x;"),
                "-- x\n",
            ),
            (format!("COPY public.{name} (y) FROM stdin;"), ""),
        ] {
            let to = format!("{before}{drop}");
            let to = format!("{to}{}", " ".repeat(from.len() - to.len()));
            let (server, restore, _from, _done) = with(&content, &from, &to).await;
            let failed = restore.run(&RESTORE).await.failed(RestoreCause::NotADump);
            assert!(
                failed
                    .message
                    .contains("a statement that pg_dump does not write"),
                "{failed:?}"
            );
            let is_there = "SELECT count(*) FROM pg_database WHERE datname = 'orders=x'";
            assert_eq!(server.sql("postgres", is_there).trim(), "1");
            let tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'xxx%'";
            assert_eq!(server.sql("scratch", tables).trim(), "0");
        }
    });
}

/// The tool would run each of them by itself.
#[test]
fn rows_that_are_statements_are_refused() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", "CREATE TABLE a AS SELECT 1 AS x");
        let (from, done) = server.dumped(&["--inserts"]).await;
        assert!(
            done.warnings
                .iter()
                .any(|told| told.contains("a Restore does not take")),
            "{done:?}"
        );
        let restore = server.restore(&from, &done, "scratch");
        let failed = restore.run(&RESTORE).await.failed(RestoreCause::NotADump);
        assert!(failed.message.contains("no --inserts"), "{failed:?}");
    });
}

#[test]
fn an_entry_of_an_unknown_kind_is_refused_by_name() {
    run(async {
        let (server, restore, _from, _) = with(
            "CREATE TABLE a (x int); CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)",
            "TEXT SEARCH CONFIGURATION",
            "BEST SEARCH CONFIGURATION",
        )
        .await;
        let failed = restore.run(&RESTORE).await.failed(RestoreCause::NotADump);
        assert!(
            failed.message.contains("BEST SEARCH CONFIGURATION"),
            "{failed:?}"
        );
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'a'";
        assert_eq!(server.sql("scratch", tables).trim(), "0");
    });
}

#[test]
fn a_name_is_never_an_option_or_a_connection() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", "CREATE TABLE a AS SELECT 1 AS x");
        let (from, done) = server.dumped(&[]).await;
        for name in [
            "--clean",
            "host=nowhere.invalid",
            "postgresql://nowhere.invalid/x",
            "a;b\\'\"",
        ] {
            let quoted = name.replace('"', "\"\"");
            let restore = server.restore(&from, &done, &quoted);
            let mut restore = restore;
            name.clone_into(&mut restore.task.target.database);
            assert_eq!(restore.run(&RESTORE).await.done().rows, 1, "{name}");
        }
    });
}
