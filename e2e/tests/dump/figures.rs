//! What is counted while a dump passes is what the server counts, and what a copy of the database gives again.

use std::fs;

use db_operator::agent::protocol::contents::{Contents, Table};
use db_operator::agent::protocol::result::Done;
use db_operator::agent::protocol::task::Flavour;
use e2e::sql_servers::mariadb::LocalMariadb;

use crate::fixture::{Fixture, run};
use crate::mariadb::{aim, command, restore, server};
use crate::postgresql::{DUMP, Server};

/// As the tenant, beside what the other tests have: partitions, inheritance, generated columns, row security, odd names, rows that
/// look like the end of rows, text that depends on settings.
const CONTENT: &str = r#"
    CREATE SCHEMA "o'd d"; CREATE SCHEMA zz;
    CREATE TABLE "o'd d".parts (i int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
    CREATE TABLE "o'd d"."par""t
1" PARTITION OF "o'd d".parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    CREATE TABLE zz.late PARTITION OF "o'd d".parts DEFAULT;
    INSERT INTO "o'd d".parts SELECT i, '2020-12-20'::timestamptz + i * interval '1 h' FROM generate_series(1, 500) i;
    CREATE TABLE base (x int, y int GENERATED ALWAYS AS (x * 2) STORED); INSERT INTO base VALUES (1), (2);
    CREATE TABLE derived (z text) INHERITS (base); INSERT INTO derived (x, z) VALUES (3, '\.'), (4, E'a\nb\\.\tc'), (5, NULL);
    CREATE TABLE secret (x int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY; INSERT INTO secret VALUES (1), (1), (1);
    CREATE TABLE lines (t text); INSERT INTO lines VALUES (''), (''), (E'\n'), ('\.'), (repeat('long ', 500000));
    CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
    CREATE SEQUENCE zz."se'q" AS smallint INCREMENT -1 START -5; SELECT nextval('zz."se''q"');
    CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY (START 100));
"#;

/// Each table's rows as the server counts them, in the order of the figures.
const COUNTS: &str = r#"
    SELECT format(E'SELECT %L, count(*) FROM ONLY %I.%I', n.nspname || '.' || replace(c.relname, E'\n', '?'), n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
    ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"#;

/// Puts the rows of a table into another order, and writes each anew.
const REORDERED: &str = "CREATE TABLE t AS SELECT * FROM rows; TRUNCATE rows; INSERT INTO rows SELECT * FROM t ORDER BY hash; DROP TABLE t; \
    UPDATE lines SET t = t; UPDATE base SET x = x WHERE x = 1";

/// What the text of some values depends on, and must not.
const ZONE: &str = "ALTER DATABASE restored SET timezone = 'Asia/Kathmandu'; ALTER DATABASE restored SET datestyle = 'German'";

fn counted(server: &Server, database: &str) -> Vec<String> {
    // Statements of several lines, because of a name.
    let statements = server
        .sql(database, COUNTS)
        .replace("\nSELECT '", ";\nSELECT '");
    let counts = server.sql(database, &statements);
    counts.lines().map(str::to_owned).collect()
}

fn shown(tables: &[Table]) -> Vec<String> {
    let shown = |table: &Table| {
        let name = table.name.replace('\n', "?");
        format!("{}.{name}|{}", table.schema, table.rows)
    };
    tables.iter().map(shown).collect()
}

async fn dumped(server: &Server, database: &str) -> (Fixture, Done, Contents, Vec<u8>) {
    let mut fixture = Fixture::new(Flavour::Postgresql).await;
    server.aim(&mut fixture);
    database.clone_into(&mut fixture.task.source.database);
    let done = fixture.run(&DUMP).await.done();
    let dump = fixture.complete(&done).await;
    let contents = fixture.contents(&done);
    (fixture, done, contents, dump)
}

#[test]
fn postgresql_counts_the_same_and_a_copy_in_another_order_has_the_same_digests() {
    run(async {
        let server = Server::start();
        server.sql("orders=x", &format!("SET ROLE orders; {CONTENT}"));
        server.sql("postgres", "ALTER DATABASE restored OWNER TO orders");
        let (fixture, done, contents, dump) = dumped(&server, "orders=x").await;
        assert_eq!(shown(&contents.tables), counted(&server, "orders=x"));
        let totals = done.totals.unwrap();
        assert_eq!(totals.tables, contents.tables.len() as u64);
        assert!(
            totals.rows > 200_500 && totals.large_objects == 3,
            "{totals:?}"
        );
        let sequence = |name: &str| {
            let found = contents.sequences.iter().find(|of| of.name == name);
            found.map(|of| (of.schema.as_str(), of.value, of.is_called))
        };
        assert_eq!(sequence("numbers"), Some(("public", 7, false)));
        assert_eq!(sequence("se'q"), Some(("zz", -5, true)));
        assert_eq!(sequence("numbered_id_seq"), Some(("public", 100, false)));
        let bytes: u64 = contents.tables.iter().map(|table| table.bytes).sum();
        assert!(bytes < done.dumped_bytes && bytes > done.dumped_bytes / 2);

        let archive = fixture.folder.0.join("whole.dump");
        fs::write(&archive, &dump).unwrap();
        let restore = server.psql.with_file_name("pg_restore");
        let output = server
            .command(&restore, "restored")
            .args([
                "--no-owner",
                "--role=orders",
                "--exit-on-error",
                "--dbname=restored",
            ])
            .arg(&archive)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        server.sql("restored", REORDERED);
        server.sql("postgres", ZONE);
        let (_, again, copy, _) = dumped(&server, "restored").await;
        assert_eq!(copy, contents);
        assert_eq!(again.totals.as_ref(), Some(&totals));

        server.sql("restored", "UPDATE rows SET hash = 'x' WHERE id = 100000");
        let (_, _, changed, _) = dumped(&server, "restored").await;
        let differ: Vec<&str> = changed
            .tables
            .iter()
            .zip(&contents.tables)
            .filter(|(one, other)| one != other)
            .map(|(one, _)| &*one.name)
            .collect();
        assert_eq!(differ, ["rows"]);
    });
}

#[test]
fn what_pg_dump_writes_otherwise_is_not_counted_and_told() {
    run(async {
        let server = Server::start();
        for (option, why) in [("--compress=1", "--compress=0"), ("--inserts", "--inserts")] {
            let mut fixture = Fixture::new(Flavour::Postgresql).await;
            server.aim(&mut fixture);
            let command = [
                "pg_dump",
                "--format=custom",
                "--compress=0",
                "--no-password",
                option,
            ];
            let done = fixture.run(&command).await.done();
            assert_eq!(done.totals, None);
            let warning = format!("{:?}", done.warnings);
            assert!(
                warning.contains("could not be counted") && warning.contains(why),
                "{warning}"
            );
            fixture.complete(&done).await;
        }
    });
}

/// Everything that a row can hold, in all the ways in which tables can be.
const MARIADB: [&str; 17] = [
    "USE `or-ders é`",
    "CREATE TABLE `a'``\"(b);` (`c(1` TEXT, b BLOB, j JSON, g POINT, v INT AS (1) STORED, h INT INVISIBLE DEFAULT 1) DEFAULT CHARACTER SET utf8mb4",
    r#"INSERT INTO `a'``"(b);` (`c(1`, b, j, g) VALUES ('it''s \\ "', 0x00275C22290A, '{"a": "),("}', POINT(1, 2)), ('),(', NULL, NULL, NULL), ('\\', '\\', NULL, NULL), ('INSERT INTO `t` VALUES (1);\n', ';', NULL, NULL)"#,
    "CREATE TABLE nothing (i INT)",
    "CREATE TABLE parts (i INT) PARTITION BY HASH (i) PARTITIONS 3",
    "INSERT INTO parts SELECT seq FROM seq_1_to_1000",
    "CREATE TABLE old (i INT) ENGINE = MyISAM",
    "INSERT INTO old VALUES (1), (2)",
    "CREATE TABLE several (i INT) ENGINE = MRG_MyISAM UNION = (old)",
    "CREATE TABLE kept (i INT) WITH SYSTEM VERSIONING",
    "INSERT INTO kept VALUES (1), (2)",
    "UPDATE kept SET i = 3 WHERE i = 1",
    "CREATE SEQUENCE `nu``m` START -5 INCREMENT -1 MINVALUE -100",
    "CREATE VIEW seen AS SELECT * FROM parts",
    "CREATE TRIGGER fires BEFORE INSERT ON nothing FOR EACH ROW INSERT INTO parts VALUES (1), (2) -- );",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    "CREATE DEFINER = orders@'%' PROCEDURE \"p\"\"\"() BEGIN INSERT INTO parts VALUES (1), (2); SELECT '\\'; END",
];

async fn mariadb_counts(local: &LocalMariadb, database: &str) -> Vec<String> {
    let statements = format!(
        "SELECT CONCAT('SELECT CONCAT(', QUOTE(CONCAT(TABLE_NAME, ' ')), ', COUNT(*)) FROM `{database}`.`', REPLACE(TABLE_NAME, '`', '``'), '`', \
         IF(TABLE_TYPE = 'SYSTEM VERSIONED', ' FOR SYSTEM_TIME ALL', '')) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' \
         AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND ENGINE <> 'MRG_MyISAM' ORDER BY CAST(TABLE_NAME AS BINARY)"
    );
    let mut counts = Vec::new();
    for statement in local.server.column(&statements).await.unwrap() {
        counts.push(local.server.value(&statement).await.unwrap().unwrap());
    }
    counts
}

#[test]
fn mariadb_counts_the_same_rows() {
    run(async {
        let local = server().await;
        local.server.run(&MARIADB).await.unwrap();
        for option in ["", "--skip-extended-insert", "--complete-insert"] {
            let mut fixture = Fixture::new(Flavour::Mariadb).await;
            aim(&mut fixture, &local);
            let mut words = command(&fixture);
            words.insert(2, option.to_owned());
            words.retain(|word| !word.is_empty());
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let done = fixture.run(&words).await.done();
            let dump = fixture.complete(&done).await;
            let contents = fixture.contents(&done);
            let tables = contents.tables.iter();
            let tables: Vec<String> = tables
                .map(|table| format!("{} {}", table.name, table.rows))
                .collect();
            assert_eq!(tables, mariadb_counts(&local, "or-ders é").await);
            assert!(
                tables.contains(&"kept 3".to_owned()) && tables.len() == 6,
                "{tables:?}"
            );
            assert!(contents.tables.iter().all(|table| table.digest.is_none()));
            let [sequence] = &contents.sequences[..] else {
                panic!("{:?}", contents.sequences);
            };
            assert_eq!((&*sequence.name, sequence.value), ("nu`m", -5));
            if option.is_empty() {
                restore(&local, &fixture, &dump, "restored").await;
                assert_eq!(mariadb_counts(&local, "restored").await, tables);
            }
        }
    });
}
