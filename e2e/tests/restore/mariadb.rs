//! The real client and a real server of MariaDB: what was dumped comes back under another name.

use std::fs;

use db_operator::agent::protocol::restore::{Level, Query, RestoreCause};
use db_operator::agent::protocol::result::Done;
use db_operator::agent::protocol::task::Flavour;
use e2e::sql_servers::mariadb::LocalMariadb;

use crate::dump::{Fixture, PASSWORD, run};
use crate::fixture::{Restore, compress, decompress, object};

/// A server with the database `or-ders é` of `orders`, and an empty one that `orders` may load into.
async fn server() -> LocalMariadb {
    // Events would run, if they were let.
    let local = LocalMariadb::start(&["--event-scheduler=ON"])
        .await
        .unwrap();
    let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
    local
        .server
        .run(&[
            &format!("CREATE USER orders@'%' IDENTIFIED BY '{password}' REQUIRE SSL"),
            "CREATE USER gone@'%'",
            "CREATE DATABASE `or-ders é`",
            "GRANT SELECT ON `or-ders é`.* TO gone@'%'",
            "CREATE DATABASE `new`",
            "GRANT ALL ON `or-ders é`.* TO orders@'%'",
            "GRANT ALL ON `new`.* TO orders@'%'",
            // Otherwise it cannot dump routines of others before 11.3.
            "GRANT SELECT ON mysql.proc TO orders@'%'",
            "CREATE TABLE `or-ders é`.t (id INT PRIMARY KEY, x LONGBLOB, y TEXT, KEY (y(20)))",
            "INSERT INTO `or-ders é`.t SELECT seq, RANDOM_BYTES(200), CONCAT('it''s; -- \\n', seq) FROM `or-ders é`.seq_1_to_20000",
            "CREATE TABLE `or-ders é`.made (a INT, b INT AS (a * 2) STORED, c VARCHAR(9) CHARACTER SET latin1 DEFAULT 'é', d JSON)",
            "INSERT INTO `or-ders é`.made (a, d) VALUES (1, '{\"x\": \"it''s\"}'), (2, NULL)",
            "CREATE TABLE `or-ders é`.`empty``` (x INT)",
            "CREATE TABLE `or-ders é`.h (id INT PRIMARY KEY, x INT) WITH SYSTEM VERSIONING",
            "INSERT INTO `or-ders é`.h VALUES (1, 1)",
            "UPDATE `or-ders é`.h SET x = 2",
            "CREATE SEQUENCE `or-ders é`.s START WITH 7",
            "CREATE VIEW `or-ders é`.v AS SELECT COUNT(*) AS n FROM `or-ders é`.t",
            "CREATE DEFINER = gone@'%' VIEW `or-ders é`.w AS SELECT n FROM `or-ders é`.v",
            "CREATE DEFINER = gone@'%' PROCEDURE `or-ders é`.p() BEGIN SELECT '-- Dump completed' /* stays */; END",
            "CREATE DEFINER = orders@'%' FUNCTION `or-ders é`.f(i INT) RETURNS INT DETERMINISTIC RETURN i + 1",
            "CREATE DEFINER = gone@'%' TRIGGER `or-ders é`.tr BEFORE INSERT ON `or-ders é`.made FOR EACH ROW SET NEW.a = NEW.a + 0",
            "CREATE DEFINER = gone@'%' EVENT `or-ders é`.`often ``é` ON SCHEDULE EVERY 1 SECOND DO INSERT INTO `empty``` VALUES (1)",
            "CREATE DEFINER = orders@'%' EVENT `or-ders é`.never ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO `empty``` VALUES (2)",
            "ALTER EVENT `or-ders é`.`often ``é` DISABLE",
            "DELETE FROM `or-ders é`.`empty```",
        ])
        .await
        .unwrap();
    local
}

fn aim(fixture: &mut Fixture, local: &LocalMariadb) {
    let source = &mut fixture.task.source;
    "10.11".clone_into(&mut source.series);
    source.port = local.server.port;
    "or-ders é".clone_into(&mut source.database);
    "verify-full".clone_into(&mut source.tls);
    let ca = fixture.folder.0.join("credentials/ca.crt");
    fs::write(ca, &local.server.ca).unwrap();
}

/// Dumps the database; the object is in the store afterwards.
async fn dumped(local: &LocalMariadb) -> (Fixture, Done) {
    let mut fixture = Fixture::new(Flavour::Mariadb).await;
    aim(&mut fixture, local);
    let file = fixture.folder.0.join("work/client.cnf");
    let defaults = format!("--defaults-extra-file={}", file.display());
    let mut words = vec!["mariadb-dump", &defaults];
    let options = "--default-character-set=utf8mb4 --max-allowed-packet=1G --single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces --verbose --loose-dump-history --skip-add-locks --";
    words.extend(options.split(' '));
    words.push("or-ders é");
    let done = fixture.run(&words).await.done();
    fixture.complete(&done).await;
    (fixture, done)
}

fn command(restore: &Restore) -> Vec<String> {
    let file = restore.folder.0.join("work/client.cnf");
    vec![
        "mariadb".to_owned(),
        format!("--defaults-extra-file={}", file.display()),
        "--default-character-set=utf8mb4".to_owned(),
        "--max-allowed-packet=1G".to_owned(),
    ]
}

async fn loaded(restore: &Restore) -> crate::fixture::Ended {
    let command = command(restore);
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    restore.run(&words).await
}

const TABLES: [&str; 5] = [
    "SELECT CAST(SUM(CRC32(CONCAT(id, x, y))) AS CHAR) FROM `{}`.t",
    "SELECT GROUP_CONCAT(CONCAT_WS(' ', a, b, c, d) ORDER BY a) FROM `{}`.made",
    "SELECT GROUP_CONCAT(CONCAT_WS(' ', id, x, ROW_START, ROW_END) ORDER BY ROW_START) FROM `{}`.h FOR SYSTEM_TIME ALL",
    "SELECT CAST(n AS CHAR) FROM `{}`.w",
    "SELECT CAST(NEXTVAL(`{}`.s) AS CHAR)",
];

#[test]
fn all_of_it_comes_back_as_the_users_own() {
    run(async {
        let local = server().await;
        let (from, done) = dumped(&local).await;
        let mut restore = Restore::of(&from, &done, "new", "orders");
        restore.task.queries = vec![
            Query {
                name: "many".to_owned(),
                sql: "SELECT COUNT(*) > 1000 FROM t".to_owned(),
            },
            Query {
                name: "one".to_owned(),
                sql: "SELECT EXISTS (SELECT 1 FROM v)".to_owned(),
            },
        ];
        let ended = loaded(&restore).await;
        assert!(ended.log.contains("query \"one\": true"), "{}", ended.log);
        let result = ended.done();
        assert_eq!(
            result.rows,
            done.totals.as_ref().unwrap().rows,
            "{result:?}"
        );
        let told = result.left_out.join("\n");
        assert!(told.contains("other users as definers of 5 "), "{told}");
        for table in TABLES {
            let of = |database: &str| table.replace("{}", database);
            assert_eq!(
                local.server.value(&of("new")).await.unwrap(),
                local.server.value(&of("or-ders é")).await.unwrap(),
                "{table}"
            );
        }
        // Everything is the user's.
        let others = "SELECT COALESCE(GROUP_CONCAT(d), 'nobody') FROM (SELECT DEFINER AS d FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'new' \
            UNION ALL SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'new' \
            UNION ALL SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'new' \
            UNION ALL SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'new') x WHERE d <> 'orders@%'";
        assert_eq!(
            local.server.value(others).await.unwrap().as_deref(),
            Some("nobody")
        );
        let body = "SELECT ROUTINE_DEFINITION LIKE '%/* stays */%' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'new' AND ROUTINE_NAME = 'p'";
        let stays = format!("SELECT CAST(({body}) AS CHAR)");
        assert_eq!(
            local.server.value(&stays).await.unwrap().as_deref(),
            Some("1")
        );
    });
}

/// An event that runs every second: none of its rows is there when the rows are counted, and some are afterwards.
#[test]
fn an_event_runs_only_after_the_check() {
    run(async {
        let local = server().await;
        local
            .server
            .run(&[
                "ALTER EVENT `or-ders é`.`often ``é` ENABLE",
                "USE `or-ders é`",
                "SET character_set_client = latin1, collation_connection = latin1_german2_ci",
                "CREATE DEFINER = orders@'%' EVENT plain ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO SET @x = 'y'",
            ])
            .await
            .unwrap();
        let (from, done) = dumped(&local).await;
        local
            .server
            .run(&["ALTER EVENT `or-ders é`.`often ``é` DISABLE"])
            .await
            .unwrap();
        let restore = Restore::of(&from, &done, "new", "orders");
        let mut words = command(&restore);
        // The rest of the dump takes its time after the event was made.
        let tool = restore.tool(
            "mariadb from 10.11.6-MariaDB, client 15.2 for debian-linux-gnu (x86_64)",
            "exec sh -c 'mariadb \"$@\" || exit $?; sleep 4' sh \"$@\"",
        );
        words[0] = tool;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = restore.run(&words).await;
        assert!(ended.log.contains("2 events are enabled"), "{}", ended.log);
        ended.done();
        let states = "SELECT GROUP_CONCAT(CONCAT(EVENT_NAME, ' ', STATUS) ORDER BY EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'new'";
        assert_eq!(
            local.server.value(states).await.unwrap().as_deref(),
            Some("never DISABLED,often `é ENABLED,plain ENABLED")
        );
        let read_in = "SELECT CONCAT(CHARACTER_SET_CLIENT, ' ', COLLATION_CONNECTION) FROM information_schema.EVENTS \
            WHERE EVENT_SCHEMA = 'new' AND EVENT_NAME = 'plain'";
        assert_eq!(
            local.server.value(read_in).await.unwrap().as_deref(),
            Some("latin1 latin1_german2_ci")
        );
    });
}

#[test]
fn what_cannot_be_loaded_is_told_and_what_is_odd_is_refused() {
    run(async {
        let local = server().await;
        let (from, done) = dumped(&local).await;
        // Something is there already.
        local
            .server
            .run(&[
                "CREATE VIEW `new`.t AS SELECT 1 AS x",
                "REVOKE DROP ON `new`.* FROM orders@'%'",
            ])
            .await
            .unwrap();
        let restore = Restore::of(&from, &done, "new", "orders");
        let failed = loaded(&restore).await.failed(RestoreCause::LoadFailed);
        assert!(failed.message.contains("ERROR 1142"), "{failed:?}");

        let dump = String::from_utf8_lossy(&decompress(&object(&from))).into_owned();
        for (odd, cause, said) in [
            (
                "DROP DATABASE `or-ders é`;\n",
                RestoreCause::NotADump,
                "drops the database",
            ),
            (
                "\\! touch /tmp/db-operator-hostile-dump\n",
                RestoreCause::NotADump,
                "client",
            ),
            (
                "GRANT ALL ON *.* TO orders@'%';\n",
                RestoreCause::NotADump,
                "not a statement",
            ),
            ("USE mysql;\n", RestoreCause::NotADump, "mysql"),
            (
                "SET PASSWORD = PASSWORD('x');\n",
                RestoreCause::NotADump,
                "not a statement",
            ),
        ] {
            let mut restore = Restore::of(&from, &done, "new", "orders");
            let changed = format!("{odd}{dump}");
            restore.replace(&from.server, &compress(changed.as_bytes()));
            let failed = loaded(&restore).await.failed(cause);
            assert!(failed.message.contains(said), "{failed:?}");
            assert!(!std::path::Path::new("/tmp/db-operator-hostile-dump").exists());
        }
        // Cut before it was stored.
        local
            .server
            .run(&[
                "DROP DATABASE `new`",
                "CREATE DATABASE `new`",
                "GRANT ALL ON `new`.* TO orders@'%'",
                // Otherwise it cannot dump routines of others before 11.3.
                "GRANT SELECT ON mysql.proc TO orders@'%'",
            ])
            .await
            .unwrap();
        let end = dump.rfind("-- Dump completed").unwrap();
        let mut restore = Restore::of(&from, &done, "new", "orders");
        restore.replace(&from.server, &compress(&dump.as_bytes()[..end]));
        let failed = loaded(&restore).await.failed(RestoreCause::NotADump);
        assert!(failed.message.contains("not a whole dump"), "{failed:?}");
    });
}

#[test]
fn rows_that_differ_are_named() {
    run(async {
        let local = server().await;
        let (from, done) = dumped(&local).await;
        let mut restore = Restore::of(&from, &done, "new", "orders");
        let tool = restore.tool(
            "mariadb from 10.11.6-MariaDB, client 15.2 for debian-linux-gnu (x86_64)",
            "mariadb \"$@\" || exit $?\nexec mariadb \"$1\" new -e 'DELETE FROM t WHERE id < 11; DROP TABLE made'",
        );
        let mut words = command(&restore);
        words[0] = tool;
        let command: Vec<&str> = words.iter().map(String::as_str).collect();
        let failed = restore
            .run(&command)
            .await
            .failed(RestoreCause::CheckFailed);
        assert_eq!(failed.differences.len(), 2, "{failed:?}");
        let told = failed.differences.join("\n");
        assert!(
            told.contains("t: 19990 rows, and 20000 in the backup"),
            "{told}"
        );
        assert!(told.contains("made: ") && told.contains("1146"), "{told}");
        restore.task.check = Level::None;
        restore.tool(
            "mariadb from 10.11.6-MariaDB, client 15.2 for debian-linux-gnu (x86_64)",
            "exec mariadb \"$@\"",
        );
        restore.run(&command).await.done();
    });
}
