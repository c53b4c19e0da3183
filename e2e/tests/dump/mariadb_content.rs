//! What mariadb-dump leaves out by itself, or stumbles over: it is in the dump, or the result says that it is not.

use std::time::{Duration, Instant};

use db_operator::agent::protocol::result::{Cause, Done};
use db_operator::agent::protocol::task::Flavour;
use e2e::sql_servers::mariadb::LocalMariadb;

use crate::fixture::{Fixture, run};
use crate::mariadb::{aim, command, restore, server};

/// A small database, with what these statements make.
async fn with(statements: &[&str]) -> (LocalMariadb, Fixture) {
    let local = server().await;
    local
        .server
        .run(&["DELETE FROM `or-ders é`.t WHERE id > 100"])
        .await
        .unwrap();
    local.server.run(statements).await.unwrap();
    let mut fixture = Fixture::new(Flavour::Mariadb).await;
    aim(&mut fixture, &local);
    (local, fixture)
}

/// Dumps, and returns the result with the dump and the log.
async fn dump(fixture: &Fixture) -> (Done, Vec<u8>, String) {
    let words = command(fixture);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = fixture.run(&words).await;
    let log = ended.log.clone();
    let done = ended.done();
    let dump = fixture.complete(&done).await;
    (done, dump, log)
}

const BROKEN: [&str; 5] = [
    "CREATE TABLE `or-ders é`.gone (i INT)",
    "CREATE VIEW `or-ders é`.`bro``ken é` AS SELECT i, 'it''s\n-- x' AS t FROM `or-ders é`.gone",
    "CREATE VIEW `or-ders é`.on_broken AS SELECT i FROM `or-ders é`.`bro``ken é`",
    "CREATE VIEW `or-ders é`.works AS SELECT id FROM `or-ders é`.t",
    "DROP TABLE `or-ders é`.gone",
];

#[test]
fn views_on_what_is_gone_are_left_out_named_and_kept_as_comments() {
    run(async {
        let (local, _) = with(&BROKEN).await;
        for known in [false, true] {
            let mut fixture = Fixture::new(Flavour::Mariadb).await;
            aim(&mut fixture, &local);
            fixture.task.has_broken_views = known;
            let (done, sql, log) = dump(&fixture).await;
            assert_eq!(done.warnings.len(), 1, "{done:?}");
            assert!(
                done.warnings[0].contains("views bro`ken é, on_broken"),
                "{done:?}"
            );
            assert!(log.contains("left out: bro`ken é: CREATE "), "{log}");
            // What is known beforehand is no failed attempt.
            assert_eq!(log.contains("Couldn't execute"), !known, "{log}");
            let text = String::from_utf8_lossy(&sql);
            assert!(
                text.starts_with("-- Left out by db-operator"),
                "{}",
                &text[..200]
            );
            assert!(text.contains("\n-- bro`ken é: CREATE "), "{}", &text[..900]);
            let database = format!("restored_{known}");
            restore(&local, &fixture, &sql, &database).await;
            let views = format!(
                "SELECT GROUP_CONCAT(TABLE_NAME ORDER BY 1) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{database}'"
            );
            assert_eq!(
                local.server.value(&views).await.unwrap().as_deref(),
                Some("v,works")
            );
        }
    });
}

/// `mariadb-dump` 10.11 computes for ever on such an event; the template may do without events.
#[test]
fn an_event_that_the_tool_never_gets_past_is_named_at_once() {
    run(async {
        let (_local, mut fixture) =
            with(&["CREATE EVENT `or-ders é`.e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 'a;;b'"])
                .await;
        fixture.task.endless_events = vec!["`e`".to_owned()];
        let words = command(&fixture);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        let began = Instant::now();
        let failed = fixture.run(&words).await.failed(Cause::DumpFailed);
        assert!(failed.message.ends_with(": `e`"), "{failed:?}");
        assert!(!failed.passing, "{failed:?}");
        let stall = Duration::from_secs(fixture.task.stall_seconds);
        assert!(began.elapsed() < stall / 2, "{:?}", began.elapsed());
        words.retain(|word| *word != "--events");
        fixture.run(&words).await.done();
    });
}

#[test]
fn former_rows_of_a_system_versioned_table_come_back() {
    run(async {
        let (local, fixture) = with(&[
            "CREATE TABLE `or-ders é`.h (id INT PRIMARY KEY, x INT) WITH SYSTEM VERSIONING",
            "INSERT INTO `or-ders é`.h VALUES (1, 1)",
            "UPDATE `or-ders é`.h SET x = 2",
            "DELETE FROM `or-ders é`.h",
            "INSERT INTO `or-ders é`.h VALUES (2, 3)",
        ])
        .await;
        let (done, sql, _) = dump(&fixture).await;
        assert_eq!(done.warnings, [""; 0]);
        restore(&local, &fixture, &sql, "restored").await;
        let rows = |database: &str| {
            format!(
                "SELECT GROUP_CONCAT(CONCAT_WS(' ', id, x, ROW_START, ROW_END) ORDER BY ROW_START) FROM `{database}`.h FOR SYSTEM_TIME ALL"
            )
        };
        let before = local.server.value(&rows("or-ders é")).await.unwrap();
        assert_eq!(before.as_ref().unwrap().split(',').count(), 3, "{before:?}");
        let after = local.server.value(&rows("restored")).await.unwrap();
        assert_eq!(after, before);
    });
}

#[test]
fn history_that_the_tool_cannot_read_is_left_out_and_told() {
    run(async {
        let (_local, fixture) = with(&[
            "CREATE TABLE `or-ders é`.h (id INT PRIMARY KEY, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, \
             e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
            "INSERT INTO `or-ders é`.h (id) VALUES (1)",
        ])
        .await;
        let (done, sql, _) = dump(&fixture).await;
        assert_eq!(done.warnings.len(), 1);
        assert!(
            done.warnings[0].contains("the history of system-versioned tables")
                && done.warnings[0].contains("the table h"),
            "{done:?}"
        );
        assert!(String::from_utf8_lossy(&sql).contains("CREATE TABLE `h`"));
    });
}

/// Sequences, generated and invisible columns, checks, triggers, events, routines, packages.
const KINDS: &[&str] = &[
    "USE `or-ders é`",
    "CREATE SEQUENCE `or-ders é`.s START 5",
    "SELECT NEXTVAL(`or-ders é`.s)",
    "CREATE TABLE `or-ders é`.d (id BIGINT PRIMARY KEY, inv INT INVISIBLE DEFAULT 7, st INT AS (id + 1) STORED, vi INT AS (id + 2) VIRTUAL, CHECK (id > 0))",
    "INSERT INTO `or-ders é`.d (id, inv) VALUES (1, 8)",
    "CREATE TRIGGER tr BEFORE INSERT ON d FOR EACH ROW SET NEW.inv = 9",
    "CREATE EVENT `or-ders é`.ev ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1",
    "CREATE DEFINER = orders@'%' FUNCTION `or-ders é`.f() RETURNS INT RETURN 1",
    "SET sql_mode = ORACLE",
    "CREATE DEFINER = orders@'%' PACKAGE `or-ders é`.pk AS FUNCTION a RETURN INT; END",
    "CREATE DEFINER = orders@'%' PACKAGE BODY `or-ders é`.pk AS FUNCTION a RETURN INT AS BEGIN RETURN 1; END; END",
];

#[test]
fn each_kind_of_object_comes_back() {
    run(async {
        let (local, fixture) = with(KINDS).await;
        let (done, sql, _) = dump(&fixture).await;
        assert_eq!(done.warnings, [""; 0]);
        restore(&local, &fixture, &sql, "restored").await;
        for query in [
            "SELECT GROUP_CONCAT(CONCAT_WS(' ', TABLE_NAME, TABLE_TYPE) ORDER BY 1) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{d}'",
            "SELECT GROUP_CONCAT(CONCAT_WS(' ', COLUMN_NAME, EXTRA, GENERATION_EXPRESSION) ORDER BY 1) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{d}' AND TABLE_NAME = 'd'",
            "SELECT GROUP_CONCAT(CONCAT_WS(' ', ROUTINE_NAME, ROUTINE_TYPE) ORDER BY ROUTINE_NAME, ROUTINE_TYPE) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{d}'",
            "SELECT GROUP_CONCAT(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{d}'",
            "SELECT GROUP_CONCAT(EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{d}'",
            "SELECT CONCAT_WS(' ', id, inv, st, vi) FROM `{d}`.d",
            "SELECT CAST(next_not_cached_value AS CHAR) FROM `{d}`.s",
        ] {
            let of = |database: &str| query.replace("{d}", database);
            let before = local.server.value(&of("or-ders é")).await.unwrap();
            let after = local.server.value(&of("restored")).await.unwrap();
            assert!(before.is_some(), "{query}");
            assert_eq!(after, before, "{query}");
        }
    });
}

#[test]
fn a_view_that_breaks_when_parts_are_on_their_way_is_a_failure_in_the_tools_words() {
    run(async {
        let local = server().await;
        local
            .server
            .run(&[
                "CREATE TABLE `or-ders é`.gone (i INT)",
                "CREATE VIEW `or-ders é`.zz AS SELECT i FROM `or-ders é`.gone",
                "DROP TABLE `or-ders é`.gone",
            ])
            .await
            .unwrap();
        let mut fixture = Fixture::new(Flavour::Mariadb).await;
        aim(&mut fixture, &local);
        let words = command(&fixture);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let failed = fixture.run(&words).await.failed(Cause::DumpFailed);
        assert!(failed.message.contains("zz"), "{failed:?}");
        // The next look at the catalog finds it.
        assert!(failed.passing, "{failed:?}");
        fixture.task.has_broken_views = true;
        let ended = fixture.run(&words).await;
        assert!(ended.done().warnings[0].contains("views zz"));
    });
}
