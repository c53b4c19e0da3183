//! A dump of the real mariadb-dump, rewritten by the process for a database of another name, and loaded by another user who may do
//! nothing else.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use e2e::dataset::fingerprint;
use e2e::sql_servers::mariadb::LocalMariadb;
use e2e::testing::Session;
use sqlx::ConnectOptions;

use crate::fixture::{Folder, binary, run};

/// A name that needs quotes, and that everything else could be taken for.
const FORMER: &str = "wi`ki old";

/// Made by an administrator, in the database of somebody else.
const OBJECTS: [&str; 27] = [
    "CREATE USER owner@'%' IDENTIFIED BY 'owner'",
    "CREATE USER reader@'%' IDENTIFIED BY 'reader'",
    "CREATE ROLE team",
    "CREATE DATABASE `wi``ki old` CHARACTER SET latin1",
    "CREATE DATABASE shared",
    "CREATE TABLE shared.x (id INT PRIMARY KEY)",
    "CREATE DATABASE copy",
    "GRANT ALL ON `wi``ki old`.* TO owner@'%', team",
    "GRANT ALL ON copy.* TO reader@'%'",
    "GRANT SELECT ON shared.* TO owner@'%', reader@'%'",
    "USE `wi``ki old`",
    "CREATE SEQUENCE s",
    "CREATE TABLE t (id INT PRIMARY KEY DEFAULT NEXT VALUE FOR s, text VARCHAR(200) DEFAULT 'DEFINER=`x`@`y` `wi``ki old` . `t`' COMMENT '`wi``ki old` . `t`', \
     doubled INT AS (id * 2) STORED, CHECK (text <> 'USE `wi``ki old`;'))",
    "INSERT INTO t (text) VALUES ('a'), ('CREATE DEFINER=`owner`@`%` VIEW `wi``ki old`.v;'), ('\\\\'), ('it''s\\n;;\\nDELIMITER ;;\\n')",
    "CREATE TABLE parent (id INT PRIMARY KEY)",
    "CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES `wi``ki old`.parent (id))",
    "CREATE TABLE versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned VALUES (1)",
    "CREATE DEFINER = owner@'%' FUNCTION f(n INT) RETURNS INT DETERMINISTIC NO SQL RETURN n + 1",
    "CREATE DEFINER = team VIEW of_a_role AS SELECT 1 AS one",
    "CREATE DEFINER = owner@'%' VIEW over_two AS SELECT `wi``ki old`.t.id, x.id AS other, `wi``ki old`.f(t.id) AS more, NEXTVAL(s) AS next, \
     'DEFINER=`x`@`y`' AS text FROM t JOIN shared.x ON EXTRACT(YEAR FROM t.text) = x.id WHERE EXISTS (SELECT 1 FROM parent)",
    "CREATE TRIGGER `wi``ki old`.tr BEFORE INSERT ON `wi``ki old`.t FOR EACH ROW SET NEW.text = CONCAT(NEW.text, ';')",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    "CREATE DEFINER = \"owner\"@'%' PROCEDURE \"in \"\"quotes\"\"\"() COMMENT 'DEFINER=\"x\"@\"y\"' BEGIN SELECT \"id\", '\\', 'it''s' FROM \"t\"; -- it's;;\nEND",
    "CREATE DEFINER = \"owner\"@'%' EVENT \"e\" ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM \"t\" WHERE \"id\" < 0",
    "ALTER DATABASE `wi``ki old` CHARACTER SET utf8mb4",
    "CREATE PROCEDURE latest() /* DEFINER=`x`@`y` */ SELECT 'USE `wi``ki old`'",
];

fn tool(local: &LocalMariadb, name: &str, user: &str, password: &str) -> Command {
    let mut tool = Command::new(Path::new("/usr/bin").join(name));
    tool.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1"])
        .arg("--default-character-set=utf8mb4")
        .arg(format!("--user={user}"))
        .arg(format!("--port={}", local.server.port))
        .env("MYSQL_PWD", password);
    tool
}

/// With the options of the template.
fn dump(local: &LocalMariadb, into: &Path) {
    let (name, password) = &local.server.superuser;
    let options = "--single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces --skip-add-locks";
    let dumped = tool(local, "mariadb-dump", name, password)
        .args(options.split(' '))
        .args(["--", FORMER])
        .stdout(File::create(into).unwrap())
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{dumped:?}");
}

fn rewrite(from: &Path, into: &Path, arguments: &[&str]) -> Output {
    Command::new(binary())
        .arg("rewrite-dump")
        .args(arguments)
        .stdin(File::open(from).unwrap())
        .stdout(File::create(into).unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap()
}

async fn lines(local: &LocalMariadb, database: &str) -> BTreeSet<String> {
    let (name, password) = &local.server.superuser;
    let options = local.server.options().username(name).password(password);
    let connection = options.database(database).connect().await.unwrap();
    let found = fingerprint(&mut Session::Mysql(Box::new(connection)))
        .await
        .unwrap();
    // Whoever defined it, now it is the reader.
    let definers = [
        &format!("`{name}`@`%`"),
        "`owner`@`%`",
        "\"owner\"@\"%\"",
        "\"reader\"@\"%\"",
        "`reader`@`%`",
        "`team`",
    ];
    let neutral = definers
        .iter()
        .fold(found, |text, definer| text.replace(definer, "OWNER"));
    neutral.lines().map(str::to_owned).collect()
}

#[test]
fn a_rewritten_dump_is_loaded_under_another_name_by_another_user() {
    run(async {
        let local = LocalMariadb::start(&[]).await.unwrap();
        local.server.run(&OBJECTS).await.unwrap();
        let folder = Folder::new();
        let (dumped, rewritten) = (folder.0.join("dump.sql"), folder.0.join("copy.sql"));
        dump(&local, &dumped);

        let names = ["--from-database", FORMER, "--to-database", "copy"];
        let done = rewrite(
            &dumped,
            &rewritten,
            &[&names[..], &["--user", "reader"]].concat(),
        );
        assert!(done.status.success(), "{done:?}");
        let loaded = tool(&local, "mariadb", "reader", "reader")
            .args(["--comments", "copy"])
            .stdin(File::open(&rewritten).unwrap())
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{loaded:?}");
        let (former, copy) = (lines(&local, FORMER).await, lines(&local, "copy").await);
        let differ: Vec<_> = former.symmetric_difference(&copy).collect();
        assert!(differ.is_empty(), "{differ:#?}");

        // Nothing of the copy needs the former database.
        local
            .server
            .run(&[
                "DROP DATABASE `wi``ki old`",
                "INSERT INTO shared.x VALUES (1)",
            ])
            .await
            .unwrap();
        for query in [
            "SELECT COUNT(*) FROM copy.over_two",
            "SELECT one FROM copy.of_a_role",
            "INSERT INTO copy.t (text) VALUES ('1 new')",
        ] {
            let asked = tool(&local, "mariadb", "reader", "reader")
                .args(["--execute", query])
                .output()
                .unwrap();
            assert!(asked.status.success(), "{query}: {asked:?}");
        }
    });
}

#[test]
fn nothing_asked_is_nothing_changed_and_what_is_no_dump_is_an_error() {
    run(async {
        let local = LocalMariadb::start(&[]).await.unwrap();
        local.server.run(&OBJECTS).await.unwrap();
        let folder = Folder::new();
        let (dumped, rewritten) = (folder.0.join("dump.sql"), folder.0.join("copy.sql"));
        dump(&local, &dumped);
        let done = rewrite(&dumped, &rewritten, &[]);
        assert!(done.status.success(), "{done:?}");
        let bytes = std::fs::read(&dumped).unwrap();
        assert!(std::fs::read(&rewritten).unwrap() == bytes);

        let cut = bytes.len() / 2;
        std::fs::write(
            &dumped,
            [&bytes[..cut], b"';\nGRANT ALL ON *.* TO x;"].concat(),
        )
        .unwrap();
        let refused = rewrite(&dumped, &rewritten, &[]);
        assert!(!refused.status.success(), "{refused:?}");
        let written = std::fs::read(&rewritten).unwrap();
        assert!(!String::from_utf8_lossy(&written).contains("GRANT ALL"));
    });
}
