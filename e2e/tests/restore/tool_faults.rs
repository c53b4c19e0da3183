//! Tools and servers that fail, stall or are ended.

use std::time::{Duration, Instant};

use db_operator::agent::protocol::restore::RestoreCause;
use nix::sys::signal::Signal;

use crate::dump::run;
use crate::postgresql::{RESTORE, Server};

const VERSION: &str = "pg_restore (PostgreSQL) 15.18";

#[test]
fn what_the_tool_says_is_told_without_its_statements() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", "CREATE TABLE a AS SELECT 1 AS canary_column");
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "scratch");
        server.as_owner("scratch", "CREATE TABLE a (x int)");
        let ended = restore.run(&RESTORE).await;
        assert!(!ended.log.contains("canary_column"), "{}", ended.log);
        let failed = ended.failed(RestoreCause::LoadFailed);
        assert!(
            failed.message.contains("relation \"a\" already exists"),
            "{failed:?}"
        );
        assert!(failed.tool_version.unwrap().contains("15."));

        // In the middle of the rows.
        let restore = server.restore(&from, &done, "rows");
        let tool = restore.tool(
            VERSION,
            "case \"$*\" in *section=data*) head -c 100 >/dev/null; echo 'pg_restore: error: no room' >&2; exit 1;; esac\nexec pg_restore \"$@\"",
        );
        let failed = restore.run(&[&tool]).await.failed(RestoreCause::LoadFailed);
        assert!(failed.message.contains("no room"), "{failed:?}");
        // It is content, and says something else.
        let restore = server.restore(&from, &done, "content");
        let tool = restore.tool(VERSION, "echo 'pg_restore: error: lost' >&2; exit 0");
        let failed = restore.run(&[&tool]).await.failed(RestoreCause::LoadFailed);
        assert!(failed.message.contains("as if all were well"), "{failed:?}");
        // It is killed.
        let restore = server.restore(&from, &done, "killed");
        let tool = restore.tool(VERSION, "kill -9 $$");
        let failed = restore.run(&[&tool]).await.failed(RestoreCause::LoadFailed);
        assert!(failed.message.contains("memory limit"), "{failed:?}");
    });
}

#[test]
fn a_tool_that_does_not_fit_is_refused_before_anything_is_made() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", "CREATE TABLE a AS SELECT 1 AS x");
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "scratch");
        let tool = restore.tool("pg_restore (PostgreSQL) 14.1", "exit 1");
        let failed = restore
            .run(&[&tool])
            .await
            .failed(RestoreCause::ToolMismatch);
        assert!(
            failed.message.contains("older than the server"),
            "{failed:?}"
        );
        "pg_dump (PostgreSQL) 18.1".clone_into(&mut restore.task.source.tool_version);
        let failed = restore
            .run(&RESTORE)
            .await
            .failed(RestoreCause::ToolMismatch);
        assert!(failed.message.contains("series 18 or newer"), "{failed:?}");
        let failed = restore
            .run(&["pg_dump"])
            .await
            .failed(RestoreCause::ToolMismatch);
        assert!(failed.message.contains("pg_restore"), "{failed:?}");
        let failed = restore.run(&["no-such-tool"]).await;
        failed.failed(RestoreCause::Misconfigured);
        assert_eq!(
            server
                .sql(
                    "scratch",
                    "SELECT count(*) FROM pg_class WHERE relname = 'a'"
                )
                .trim(),
            "0"
        );
    });
}

#[test]
fn a_signal_ends_tool_and_session() {
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT 1 AS x; CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_catalog.pg_sleep(CASE WHEN pg_catalog.current_database() = 'scratch' THEN 600 ELSE 0 END); RETURN $1; END $$; \
             CREATE INDEX i ON a (slow(x))",
        );
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "scratch");
        let pod = restore.start(&RESTORE);
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'loader' AND query LIKE 'CREATE INDEX%' AND state = 'active'";
        pod.until("index", || server.sql("postgres", busy).trim() == "1")
            .await;
        // The server works: that is progress, although nothing else moves.
        pod.says("at work for 1").await;
        let start = Instant::now();
        pod.signal(Signal::SIGTERM);
        let failed = pod.ended().await.failed(RestoreCause::Terminated);
        assert!(failed.message.contains("SIGTERM"), "{failed:?}");
        assert!(start.elapsed() < Duration::from_secs(15));
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'loader'";
        assert_eq!(server.sql("postgres", sessions).trim(), "0");
    });
}

#[test]
fn a_lock_that_another_session_holds_is_a_stall() {
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT 1 AS x; CREATE INDEX i ON a (x)",
        );
        let (from, done) = server.dumped(&[]).await;
        // Before the rows.
        let mut restore = server.restore(&from, &done, "scratch");
        restore.task.stall_seconds = 4;
        let tool = restore.tool(
            VERSION,
            "case \"$*\" in *section=data*) exec sleep 600;; esac\nexec pg_restore \"$@\"",
        );
        let failed = restore.run(&[&tool]).await.failed(RestoreCause::NoProgress);
        assert!(failed.message.contains("for 4 seconds"), "{failed:?}");
        // When indexes are made.
        let mut restore = server.restore(&from, &done, "other");
        restore.task.stall_seconds = 12;
        let go = restore.folder.0.join("go");
        let tool = restore.tool(
            VERSION,
            &format!(
                "case \"$*\" in *post-data*) while [ ! -e {} ]; do sleep 0.1; done;; esac\nexec pg_restore \"$@\"",
                go.display()
            ),
        );
        let pod = restore.start(&[&tool]);
        pod.says("indexes, constraints and the like").await;
        let mut holder = server.hold("other", "LOCK TABLE a");
        let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'a'::regclass AND granted AND mode = 'AccessExclusiveLock'";
        pod.until("lock", || server.sql("other", locked).trim() == "1")
            .await;
        std::fs::write(&go, "").unwrap();
        let failed = pod.ended().await.failed(RestoreCause::NoProgress);
        assert!(
            failed.message.contains("a lock in the database"),
            "{failed:?}"
        );
        holder.kill().unwrap();
        holder.wait().unwrap();
    });
}

#[test]
fn a_server_that_goes_in_the_middle_is_told() {
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT i, md5(i::text) FROM generate_series(1, 200000) i",
        );
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "scratch");
        let tool = restore.tool(
            VERSION,
            "case \"$*\" in *section=data*) (head -c 3000000; sleep 3; cat) | exec pg_restore \"$@\";; *) exec pg_restore \"$@\";; esac",
        );
        let pod = restore.start(&[&tool]);
        let busy =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'loader' AND query LIKE 'COPY%'";
        pod.until("rows", || server.sql("postgres", busy).trim() == "1")
            .await;
        server.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'loader' AND query LIKE 'COPY%'",
        );
        let failed = pod.ended().await.failed(RestoreCause::LoadFailed);
        // What the server said last, or that it said nothing any more.
        let told = ["terminat", "closed unexpectedly"];
        assert!(
            told.iter().any(|told| failed.message.contains(told)),
            "{failed:?}"
        );
    });
}

/// What `pg_restore` says from 17 on to an older server, before it does its work: it sets `transaction_timeout`, whatever the server.
const UNKNOWN_SETTING: &str = r#"case "$*" in *exit-on-error*) echo 'pg_restore: error: ended' >&2; exit 1;; esac
echo 'pg_restore: while INITIALIZING:' >&2
echo 'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"' >&2
echo 'Command was: SET transaction_timeout = 0;' >&2
"#;

#[test]
fn a_newer_tool_loads_into_an_older_server() {
    const NEWER: &str = "pg_restore (PostgreSQL) 17.6";
    run(async {
        let server = Server::start();
        server.as_owner(
            "orders=x",
            "CREATE TABLE a AS SELECT i FROM generate_series(1, 1000) i; CREATE INDEX i ON a (i)",
        );
        let (from, done) = server.dumped(&[]).await;
        let restore = server.restore(&from, &done, "scratch");
        let end = "echo 'pg_restore: warning: errors ignored on restore: 1' >&2; exit 1";
        let does = format!("{UNKNOWN_SETTING}pg_restore \"$@\" || exit $?\n{end}");
        let tool = restore.tool(NEWER, &does);
        let loaded = restore.run(&[&tool]).await.done();
        assert_eq!((loaded.rows, loaded.left_out), (1000, vec![]));

        // After any other error it is ended, and does not go on.
        let restore = server.restore(&from, &done, "error");
        let does =
            format!("{UNKNOWN_SETTING}echo 'pg_restore: error: no room' >&2\nexec sleep 600");
        let tool = restore.tool(NEWER, &does);
        let start = Instant::now();
        let failed = restore.run(&[&tool]).await.failed(RestoreCause::LoadFailed);
        assert!(failed.message.contains("no room"), "{failed:?}");
        assert!(start.elapsed() < Duration::from_secs(30));

        // It did not come to its end.
        let restore = server.restore(&from, &done, "end");
        let does = format!("{UNKNOWN_SETTING}echo 'out of memory' >&2; exit 1");
        let tool = restore.tool(NEWER, &does);
        let failed = restore.run(&[&tool]).await.failed(RestoreCause::LoadFailed);
        assert!(failed.message.contains("exit status 1"), "{failed:?}");
    });
}

#[test]
fn a_server_that_works_on_definitions_is_no_stall() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", "CREATE TABLE a AS SELECT 1 AS x");
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "scratch");
        restore.task.stall_seconds = 12;
        server.sql(
            "scratch",
            "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(30); END $$; \
             CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION slow()",
        );
        assert_eq!(restore.run(&RESTORE).await.done().rows, 1);
    });
}
