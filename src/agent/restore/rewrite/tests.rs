//! Whole dumps, as the tools write them, and what tenants could put into them.

use proptest::prelude::*;

use super::error::Problem;
use super::*;

/// What a helper of the tests wants: the database `wiki` as `copy`, for the user `reader`.
fn wanted() -> Wanted {
    Wanted {
        rename: Some(Rename {
            from: "wiki".to_owned(),
            to: "co`py".to_owned(),
        }),
        only: None,
        definers: Some(Definers {
            account: Account {
                user: "reader".to_owned(),
                host: "%".to_owned(),
            },
            former: None,
            replace: false,
        }),
        hold_events: false,
    }
}

fn in_pieces(wanted: Wanted, pieces: &[&[u8]]) -> Result<(Vec<u8>, Report), RewriteError> {
    let mut rewriter = Rewriter::new(wanted);
    let mut out = Vec::new();
    for piece in pieces {
        rewriter.push(piece, &mut out)?;
    }
    let report = rewriter.finish(&mut out)?;
    Ok((out, report))
}

fn rewritten(dump: &str) -> String {
    let (out, _) = in_pieces(wanted(), &[dump.as_bytes()]).unwrap();
    String::from_utf8(out).unwrap()
}

fn report(dump: &str) -> Report {
    in_pieces(wanted(), &[dump.as_bytes()]).unwrap().1
}

fn refused(dump: &str) -> Problem {
    match in_pieces(wanted(), &[dump.as_bytes()]) {
        Err(RewriteError::Statement { problem, .. } | RewriteError::Byte { problem, .. }) => {
            problem
        }
        other => panic!("{dump}: {other:?}"),
    }
}

/// Passes each as it is.
fn stays(dump: &str) {
    assert_eq!(rewritten(dump), dump);
}

#[test]
fn definers_of_others_are_left_out_in_every_form() {
    for (before, after) in [
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `t` BEFORE INSERT ON `x` FOR EACH ROW SET @a='DEFINER=`root`@`localhost`' */;",
            "/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER `t` BEFORE INSERT ON `x` FOR EACH ROW SET @a='DEFINER=`root`@`localhost`' */;",
        ),
        (
            "SET sql_mode='ANSI_QUOTES';CREATE DEFINER=\"w\"@\"%\" PROCEDURE \"p\"() SELECT 1;",
            "SET sql_mode='ANSI_QUOTES';CREATE  PROCEDURE \"p\"() SELECT 1;",
        ),
        (
            "CREATE DEFINER='w'@'%' FUNCTION f() RETURNS INT RETURN 1;",
            "CREATE  FUNCTION f() RETURNS INT RETURN 1;",
        ),
        (
            "create /* ' */ definer = w @ db1.example.com procedure p() select 1;",
            "create /* ' */  procedure p() select 1;",
        ),
        (
            "CREATE ALGORITHM=UNDEFINED DEFINER=`a role` SQL SECURITY DEFINER VIEW `v` AS select 1 AS `one`;",
            "CREATE ALGORITHM=UNDEFINED  SQL SECURITY DEFINER VIEW `v` AS select 1 AS `one`;",
        ),
        (
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`w``x`@`%` SQL SECURITY INVOKER */\n/*!50001 VIEW `v` AS select 1 AS `one` */;",
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013  SQL SECURITY INVOKER */\n/*!50001 VIEW `v` AS select 1 AS `one` */;",
        ),
        (
            "/*!50106 CREATE*/ /*!50117 DEFINER=`reader`@`localhost`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;",
            "/*!50106 CREATE*/ /*!50117 */ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;",
        ),
        (
            "CREATE OR REPLACE DEFINER=`w`@10.0.0.1 PACKAGE BODY `k` AS END;",
            "CREATE OR REPLACE  PACKAGE BODY `k` AS END;",
        ),
    ] {
        assert_eq!(rewritten(before), after);
        assert_eq!(report(before).definers, 1);
    }
}

#[test]
fn the_definer_that_loads_and_the_current_one_stay() {
    for definer in [
        "`reader`@`%`",
        "\"reader\"@'%'",
        "reader@'%'",
        "CURRENT_USER",
        "CURRENT_USER()",
        "CURRENT_ROLE",
    ] {
        stays(&format!("CREATE DEFINER={definer} PROCEDURE p() SELECT 1;"));
    }
}

#[test]
fn a_definer_may_be_replaced() {
    let mut wanted = wanted();
    wanted.definers.as_mut().unwrap().replace = true;
    let dump = b"CREATE DEFINER=`w`@`%` PROCEDURE p() SELECT 1;";
    let (out, _) = in_pieces(wanted, &[dump]).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "CREATE DEFINER=`reader`@`%` PROCEDURE p() SELECT 1;"
    );
}

#[test]
fn the_former_name_is_replaced_where_it_names_the_database() {
    for (before, after) in [
        ("USE `wiki`;", "USE `co``py`;"),
        ("USE wiki;", "USE `co``py`;"),
        (
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `wiki` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;",
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `co``py` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;",
        ),
        (
            "ALTER DATABASE `wiki` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;",
            "ALTER DATABASE `co``py` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;",
        ),
        (
            "CREATE TABLE `t` (`a` int DEFAULT nextval(`wiki`.`s`), `b` int DEFAULT (NEXT VALUE FOR wiki.s) COMMENT 'nextval(`wiki`.`s`)');",
            "CREATE TABLE `t` (`a` int DEFAULT nextval(`co``py`.`s`), `b` int DEFAULT (NEXT VALUE FOR `co``py`.s) COMMENT 'nextval(`wiki`.`s`)');",
        ),
        (
            "CREATE TABLE `t` (CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `wiki`.`u` (`id`)) UNION=(`wiki`.`x`,`y`);",
            "CREATE TABLE `t` (CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `co``py`.`u` (`id`)) UNION=(`co``py`.`x`,`y`);",
        ),
        (
            "LOCK TABLES `wiki`.`t` WRITE, u READ LOCAL;",
            "LOCK TABLES `co``py`.`t` WRITE, u READ LOCAL;",
        ),
        (
            "INSERT INTO `wiki`.`t` VALUES ('wiki.t'),('`wiki`.`t`');",
            "INSERT INTO `co``py`.`t` VALUES ('wiki.t'),('`wiki`.`t`');",
        ),
        (
            "DROP TABLE IF EXISTS `wiki`.`t`, `u`;",
            "DROP TABLE IF EXISTS `co``py`.`t`, `u`;",
        ),
        (
            "DO SETVAL(`wiki`.`s`, -5, 0);",
            "DO SETVAL(`co``py`.`s`, -5, 0);",
        ),
        (
            "/*!50003 CREATE*/ /*!50003 trigger wiki . t before insert on `wiki`.x for each row set @a = wiki.f() */;",
            "/*!50003 CREATE*/ /*!50003 trigger `co``py` . t before insert on `co``py`.x for each row set @a = wiki.f() */;",
        ),
    ] {
        assert_eq!(rewritten(before), after);
    }
}

#[test]
fn a_views_names_are_told_from_its_columns() {
    let view = |body: &str| format!("/*!50001 VIEW `v` AS {body} */;");
    for (before, after) in [
        // MariaDB, with another database in it.
        (
            "select `wiki`.`t`.`id` AS `id`,`o`.`x`.`id` AS `x`,`wiki`.`f`(`wiki`.`t`.`id`) AS `z`,(select max(`wiki`.`q`.`id`) from `wiki`.`q`) AS `m` from (`wiki`.`t` join `o`.`x` on(`o`.`x`.`id` = `wiki`.`t`.`id`)) where exists(select 1 from `wiki`.`p` limit 1)",
            "select `N`.`t`.`id` AS `id`,`o`.`x`.`id` AS `x`,`N`.`f`(`N`.`t`.`id`) AS `z`,(select max(`N`.`q`.`id`) from `N`.`q`) AS `m` from (`N`.`t` join `o`.`x` on(`o`.`x`.`id` = `N`.`t`.`id`)) where exists(select 1 from `N`.`p` limit 1)",
        ),
        // An alias with the name of the database.
        (
            "select `wiki`.`id` AS `id`,trim(both 'x' from `wiki`.`s`) AS `a`,extract(year from `wiki`.`d`) AS `y` from (`wiki`.`t` `wiki` join `o`.`x`) where `wiki`.`id` in (1,`wiki`.`k`)",
            "select `wiki`.`id` AS `id`,trim(both 'x' from `wiki`.`s`) AS `a`,extract(year from `wiki`.`d`) AS `y` from (`N`.`t` `wiki` join `o`.`x`) where `wiki`.`id` in (1,`wiki`.`k`)",
        ),
        (
            "with wiki as (select `wiki`.`t`.`id` AS `id` from `wiki`.`t`)select `wiki`.`id` AS `id` from (wiki join `o`.`x`) union select `wiki`.`p`.`id` AS `id` from `wiki`.`p`",
            "with wiki as (select `N`.`t`.`id` AS `id` from `N`.`t`)select `wiki`.`id` AS `id` from (wiki join `o`.`x`) union select `N`.`p`.`id` AS `id` from `N`.`p`",
        ),
        (
            "select nextval(`wiki`.`s`) AS `n`,lastval(`wiki`.`s`) AS `l`,'`wiki`.`f`(1)' AS `wiki` from `wiki`.`a`, `wiki`.`b`",
            "select nextval(`N`.`s`) AS `n`,lastval(`N`.`s`) AS `l`,'`wiki`.`f`(1)' AS `wiki` from `N`.`a`, `N`.`b`",
        ),
    ] {
        let create = "/*!50001 CREATE ALGORITHM=UNDEFINED */\n";
        assert_eq!(
            rewritten(&format!("{create}{}", view(before))),
            format!("{create}{}", view(after)).replace("`N`", "`co``py`")
        );
    }
}

#[test]
fn statements_of_replication_are_left_out() {
    let dump = "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\nSET @@SESSION.SQL_LOG_BIN= 0;\n\
        SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '855bfc7c-ec68-11f1-904e-02fc00000001:1-79';\n\
        CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='vm-bin.000001', SOURCE_LOG_POS=22539;STOP ALL SLAVES;\nUNLOCK TABLES;\n\
        SET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;\n";
    assert_eq!(
        rewritten(dump),
        "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\n\n\n\nUNLOCK TABLES;\n\n"
    );
    assert_eq!(report(dump).left_out, 5);
}

#[test]
fn a_body_that_names_the_database_is_told_and_stays() {
    let dump = "DELIMITER ;;\nCREATE PROCEDURE `p`() BEGIN SELECT 'wiki.t'; -- wiki.t\nEND ;;\n\
        CREATE PROCEDURE `q`() BEGIN DELETE FROM `wiki`.`t`; END ;;\nCREATE TRIGGER t AFTER DELETE ON u FOR EACH ROW CALL wiki.q() ;;\nDELIMITER ;\n";
    stays(dump);
    let report = report(dump);
    assert_eq!(report.bodies, ["PROCEDURE \"q\"", "TRIGGER \"t\""]);
    assert_eq!(report.bodies_in_all, 2);
}

#[test]
fn an_end_that_is_hidden_in_a_comment_is_mended() {
    let dump = |hidden: &str| {
        format!(
            "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER `b` BEFORE INSERT ON `t` FOR EACH ROW SET @x=1 -- c{hidden} */;;\nDELIMITER ;\n\
             COMMIT;\nDELIMITER ;;\n/*!50106 EVENT `c` ON SCHEDULE EVERY 1 DAY DO SELECT 1 # end{hidden} */ ;;\n\
             /*!50003 SET time_zone             = @saved_time_zone */ ;;\nDELIMITER ;\nDELIMITER ;;\n\
             CREATE PROCEDURE `a`() BEGIN SELECT 1; -- it's ;;\nSELECT 2; END -- */{hidden} ;;\nDELIMITER ;\nCOMMIT;\n"
        )
        .replace("/*!50106 EVENT", "/*!50106 CREATE*/ /*!50106 EVENT")
    };
    assert_eq!(rewritten(&dump("")), dump("\n"));
    assert_eq!(report(&dump("")).mended, 3);
    stays(&dump("\n"));
    let bytes: Vec<u8> = dump("").into_bytes();
    let bytes: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(
        in_pieces(wanted(), &bytes).unwrap().0,
        dump("\n").into_bytes()
    );
}

#[test]
fn a_body_in_another_language_stays_byte_for_byte() {
    let body = "// don't\n/* ;; ` */ for (;;) { return /\\d \"/.test(`${n}`) + '*/ -- '; } # $ $x $JAVA$\nDELIMITER ;\n";
    let dump = |definer: &str, database: &str| {
        format!(
            "DROP LIBRARY IF EXISTS `l`;\nDELIMITER ;;\nCREATE LIBRARY `l`\n    COMMENT 'it''s $$'\n    LANGUAGE JAVASCRIPT\nAS $$ {body}$$ ;;\nDELIMITER ;\n\
             DELIMITER ;;\nCREATE {definer}FUNCTION `js`(n INT) RETURNS int\n    DETERMINISTIC\n    LANGUAGE JAVASCRIPT\n    SQL SECURITY INVOKER\n    COMMENT 'AS $$'\n    \
             USING (`{database}`.`l` AS `l`, `other`.`m`)\nAS $JAVASCRIPT$ $$ {body} wiki.t $JAVASCRIPT$ ;;\nDELIMITER ;\nUSE `{database}`;\n"
        )
    };
    let (before, after) = (dump("DEFINER=`w`@`%` ", "wiki"), dump(" ", "co``py"));
    assert_eq!(rewritten(&before), after);
    let told = report(&before);
    assert_eq!((told.definers, told.names), (1, 2));
    assert_eq!(told.bodies, ["FUNCTION \"js\""]);
    let told = report(&before.replace(" wiki.t ", " "));
    assert_eq!((told.names, told.bodies_in_all), (2, 0));
    let bytes: Vec<&[u8]> = before.as_bytes().chunks(1).collect();
    assert_eq!(in_pieces(wanted(), &bytes).unwrap().0, after.into_bytes());
    let cut = &before[..before.find("$JAVASCRIPT$ ;;").unwrap()];
    let told = in_pieces(wanted(), &[cut.as_bytes()]);
    assert!(matches!(told, Err(RewriteError::Truncated)), "{told:?}");
}

#[test]
fn dollars_that_are_a_quote_to_some_clients_alone_are_refused() {
    for statement in [
        // MySQL 8 and MariaDB see names here, and in the middle a literal.
        "CREATE PROCEDURE p() SELECT $a$ ' x $a$; DROP DATABASE prod; ';",
        "CREATE PROCEDURE p() SELECT 1 AS $$ , '; DROP DATABASE prod;' AS $$;",
        "CREATE PROCEDURE p() SELECT 1 AS language, x AS $$ '; DROP DATABASE prod;' $$;",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE SQL AS $$ a $$;",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE X AS $$ a $$ $$ b $$;",
        "CREATE FUNCTION f() RETURNS INT LANGUAGE X AS $$ a $$ b;",
        "CREATE VIEW v AS select t.$$ AS `a`, 1 AS $$;",
        "INSERT INTO t VALUES ($$;$$);",
    ] {
        assert_eq!(refused(statement), Problem::DollarQuote, "{statement}");
    }
    let long = format!("CREATE PROCEDURE p() SELECT ${}$ ", "x".repeat(100));
    assert_eq!(refused(&long), Problem::DollarQuote);
    stays(
        "CREATE PROCEDURE p() SELECT a$$b, $c, 5$, '$$', `$$`, \"$d$\" /* $$ */ FROM é$$ -- $e$\n;",
    );
}

#[test]
fn a_comment_before_delimiter_hides_it_from_mariadbs_client() {
    let dump = |comment: &str| {
        format!("{comment}DELIMITER ;;\nCREATE PROCEDURE p() BEGIN SELECT 1; END ;;\nDELIMITER ;\n")
    };
    for comment in ["/* c */\n", "COMMIT; /* c */\n-- d\n", "/* c */ "] {
        assert_eq!(refused(&dump(comment)), Problem::CommentBeforeDelimiter);
    }
    for comment in [
        "",
        "-- c\n",
        "/* c */ COMMIT;\n",
        "/*M!999999\\- enable the sandbox mode */ \n",
    ] {
        stays(&dump(comment));
    }
}

#[test]
fn what_is_not_for_this_is_refused() {
    for statement in [
        "GRANT ALL ON wiki.* TO x;",
        "CREATE USER x;",
        "INSTALL PLUGIN x SONAME 'y';",
        "SELECT 1;",
        "source /etc/passwd;",
        "INSERT INTO t SELECT 1;",
        "x;",
        "'x';",
        "(1);",
    ] {
        assert_eq!(refused(statement), Problem::Unknown, "{statement}");
    }
    assert_eq!(
        refused("DROP DATABASE IF EXISTS `wiki`;"),
        Problem::DropsDatabase
    );
    for statement in [
        "USE other;",
        "ALTER DATABASE other CHARACTER SET latin1;",
        "CREATE TABLE other.t (id int);",
        "INSERT INTO other.t VALUES (1);",
    ] {
        let other = Problem::OtherDatabase("other".to_owned());
        assert_eq!(refused(statement), other, "{statement}");
    }
    let told = refused("CREATE TABLE `t` (`a` int DEFAULT (`wiki`.`b`));");
    assert!(
        told.to_string()
            .contains("the table \"t\" uses \"wiki\".\"b\""),
        "{told}"
    );
    let told = refused("CREATE VIEW `v` AS select `Wiki`.`f`(1) AS `x` from `t`;");
    assert!(matches!(told, Problem::Ambiguous(_)), "{told}");
    stays("CREATE VIEW `v` AS select `Wiki`.`x` AS `x`,`wiki`.`y` AS `y` from `t` join `u`;");
    assert_eq!(refused("DELIMITER \\\nx"), Problem::Delimiter);
    assert_eq!(refused("DELIMITER\nx"), Problem::Delimiter);
    assert_eq!(
        refused("CREATE PROCEDURE p() \\! id\n;"),
        Problem::ClientCommand
    );
    assert_eq!(refused("\\! id\n"), Problem::ClientCommand);
    assert_eq!(
        refused("/*!99999 \\! id */;                   "),
        Problem::ClientCommand
    );
}

#[test]
fn text_that_client_and_server_read_differently_is_refused() {
    assert_eq!(
        refused("SET sql_mode='ANSI_QUOTES';CREATE PROCEDURE \"a\\\"() SELECT 1;"),
        Problem::BackslashInName
    );
    stays("SET sql_mode='ANSI_QUOTES';CREATE PROCEDURE \"a\"\"\\b\"() SELECT '\\';';");
    let mut dump = b"SET character_set_client = cp932; CREATE PROCEDURE p() SELECT '\x95".to_vec();
    dump.extend_from_slice(b"\\';                       ");
    let told = in_pieces(wanted(), &[&dump]);
    assert!(matches!(told, Err(RewriteError::Truncated)), "{told:?}");
    dump.extend_from_slice(b"';               ");
    let told = in_pieces(wanted(), &[&dump]).unwrap_err().to_string();
    assert!(told.contains("cp932"), "{told}");
}

#[test]
fn a_comment_that_does_not_end_for_the_client_is_refused() {
    let procedure = |body: &str| {
        format!("DELIMITER ;;\nCREATE PROCEDURE p() BEGIN {body} END ;;\nDELIMITER ;\n")
    };
    for body in [
        // To the server, a comment and a literal; to the client, a comment and two statements.
        "SELECT 1 /* /*/ , '*/ ;; DROP DATABASE prod;; -- ';",
        "SELECT 1 /* a /*! b */ , '*/ ;; DROP DATABASE prod;; -- ';",
        "SELECT 1; /*/*/",
    ] {
        assert_eq!(
            refused(&procedure(body)),
            Problem::CommentInComment,
            "{body}"
        );
    }
    for body in [
        "/* a /* b */ SELECT 1;",
        "SELECT 1; /* a / * / b */",
        "/*/ a */ SELECT '/*/';",
    ] {
        stays(&procedure(body));
    }
}

#[test]
fn a_comment_that_the_client_takes_for_longer_is_refused() {
    let trigger = |body: &str| {
        format!(
            "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON u FOR EACH ROW {body} */;;\nDELIMITER ;\n"
        )
    };
    for body in [
        "BEGIN /* c */ SET @x = '*/'; END",
        "BEGIN /* c */ SET @x = 1; -- */ it's\nEND",
        "BEGIN /* c */ SET @x = 1;\nSET @x = `*/`; END",
        "BEGIN /* c */ /* d */ SET @x = /* e */ 1; /*!50003 SET @x = /* f */ '*/' */; END",
    ] {
        assert_eq!(refused(&trigger(body)), Problem::CommentInComment, "{body}");
    }
    for body in [
        "BEGIN /* it's */ SET @x = 'it''s'; END",
        "BEGIN SET @x = '*/'; /* c */ END",
        "BEGIN\n/* c */ SET @x = '*/'; END",
        "BEGIN /* c */ /* d */ SET @x = '*/'; END",
        "BEGIN SET @x = 1; -- a */ b\nEND",
        "BEGIN /* c */ SET @x = 1; -- */ its\nEND",
        "BEGIN SET @x = 1; # a */ it's\nEND",
    ] {
        stays(&trigger(body));
    }
    stays("DELIMITER ;;\nCREATE PROCEDURE p() BEGIN /* c */ SET @x = '*/'; END ;;\nDELIMITER ;\n");
}

#[test]
fn two_dashes_are_a_comment_to_all_or_none() {
    let body = |after: &str| {
        format!(
            "DELIMITER ;;\nCREATE PROCEDURE p() SELECT 1 --{after} ;; DROP DATABASE prod;;\n+1 ;;\nDELIMITER ;\n"
        )
    };
    for after in ["\u{1}", "\0", "\u{7f}", "\u{a0}", "é"] {
        assert_eq!(refused(&body(after)), Problem::ClientComment, "{after:?}");
    }
    assert_eq!(refused("--\u{1} x\n              "), Problem::ClientComment);
    for after in [" ", "\t", "\u{b}", "\u{c}", "\r", "\n"] {
        stays(&format!("CREATE PROCEDURE p() SELECT 1 --{after}+1\n;\n"));
    }
    stays("CREATE PROCEDURE p() SELECT 1--1, '--\u{1}', `--é` /* --\u{1} */;\n");
}

#[test]
fn a_hint_that_clients_read_differently_is_refused() {
    for hint in [
        "\\! id", "it's", "\"", "`t`", "a\nb", "a#b", "a--b", "/* b", "a ; b",
    ] {
        let dump = format!("CREATE PROCEDURE p() SELECT /*+ {hint} */ 1;\n");
        assert_eq!(refused(&dump), Problem::Hint, "{hint}");
    }
    assert_eq!(refused("/*+ a */ COMMIT;            "), Problem::Hint);
    let dump = "CREATE VIEW v AS select /*+ NO_ICP(t) MAX_EXECUTION_TIME(5) * / - */ 1 AS `a`;\n";
    stays(dump);
    let bytes: Vec<&[u8]> = dump.as_bytes().chunks(1).collect();
    assert_eq!(in_pieces(wanted(), &bytes).unwrap().0, dump.as_bytes());
    let told = in_pieces(wanted(), &[b"CREATE VIEW v AS select /*+ NO_ICP(t)"]);
    assert!(matches!(told, Err(RewriteError::Truncated)), "{told:?}");
}

#[test]
fn a_command_behind_what_the_client_takes_for_a_comment_is_refused() {
    let trigger = |body: &str| {
        format!(
            "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON u FOR EACH ROW {body} */;;\nDELIMITER ;\n"
        )
    };
    for dump in [
        "/*!40000 ALTER TABLE `*/ system id #` DISABLE KEYS */;".to_owned(),
        "/*!40000 ALTER TABLE `*/ \\! id` DISABLE KEYS */;".to_owned(),
        "/*!40000 ALTER TABLE `*/ /* a */ source x` DISABLE KEYS */;".to_owned(),
        "/*!40000 ALTER TABLE `*/ some_command x` DISABLE KEYS */;".to_owned(),
        "/*!40000 ALTER TABLE t ENABLE KEYS */ system id;".to_owned(),
        trigger("SET @x = '*/ system id'"),
        trigger("BEGIN /* c */ system : BEGIN END; END"),
        trigger("BEGIN -- */ system id\nEND"),
    ] {
        assert_eq!(refused(&dump), Problem::CommentInComment, "{dump}");
    }
    stays(&trigger(
        "BEGIN SET @every = '*/5 * * * *'; SET @x = 'system'; END",
    ));
    stays(&trigger("BEGIN /* c */ DELETE FROM `system`; END"));
    for name in ["a*/", "a*/b", "*/system"] {
        stays(&format!("/*!40000 ALTER TABLE `{name}` DISABLE KEYS */;"));
    }
}

#[test]
fn what_is_read_differently_on_some_servers_alone_is_refused() {
    for dump in [
        "/*!99999 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */;",
        "/*!50700 SET sql_mode = 'ANSI_QUOTES' */;",
        "/*M!100100 SET sql_mode = 'ANSI_QUOTES' */;",
        "SET @a = 1 /*!80000 , character_set_client = gbk */;",
    ] {
        let told = refused(dump);
        assert!(matches!(told, Problem::Form(_)), "{dump}: {told}");
    }
    stays("/*!50003 SET sql_mode = 'ANSI_QUOTES' */;/*! SET sql_mode = '' */;");
    stays("/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;");
    stays("/*!80000 SET SESSION information_schema_stats_expiry=0 */;");
}

#[test]
fn rows_are_a_list_of_values() {
    for head in [
        "INSERT INTO `t` VALUES ",
        "INSERT IGNORE INTO `t` (`a`, `b``(`,c) VALUES\n",
        "INSERT  IGNORE INTO `t` () VALUES ",
        "REPLACE INTO t (a)VALUES",
    ] {
        let dump = format!("{head}(1,'(',NULL),(2,'x',3);\n");
        stays(&dump);
        let bytes: Vec<&[u8]> = dump.as_bytes().chunks(1).collect();
        assert_eq!(in_pieces(wanted(), &bytes).unwrap().0, dump.as_bytes());
    }
    let dump = "INSERT INTO wiki.t (`a`) VALUES (1);\n";
    assert_eq!(
        rewritten(dump),
        "INSERT INTO `co``py`.t (`a`) VALUES (1);\n"
    );
    assert_eq!(report(dump).names, 1);
    for statement in [
        "INSERT INTO t (a) SELECT (1);",
        "INSERT INTO t (a, (1)) VALUES (1);",
        "REPLACE INTO t SET a = (1);",
    ] {
        let told = refused(statement);
        assert!(matches!(told, Problem::Form(_)), "{statement}: {told}");
    }
    for statement in ["INSERT INTO t (a) SELECT 1;", "INSERT INTO t (SELECT 1);"] {
        assert_eq!(refused(statement), Problem::Unknown, "{statement}");
    }
}

#[test]
fn a_cut_dump_is_noticed() {
    for dump in [
        "CREATE TABLE t (id int)",
        "INSERT INTO t VALUES (1",
        "INSERT INTO t VALUES ('x;\n",
        "/* x",
        "INSERT",
    ] {
        let told = in_pieces(wanted(), &[dump.as_bytes()]);
        assert!(matches!(told, Err(RewriteError::Truncated)), "{dump}");
    }
    stays("");
    stays("-- Dump completed on 2026-11-30");
}

#[test]
fn an_error_says_where_and_holds_no_literal() {
    let dump = format!(
        "{}CREATE USER x@y IDENTIFIED BY 'secret';",
        "-- c\n".repeat(10)
    );
    let told = in_pieces(wanted(), &[dump.as_bytes()])
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with("CREATE USER x@y IDENTIFIED BY, in the statement at byte 50"),
        "{told}"
    );
    assert!(!told.contains("secret"));
    let told = in_pieces(
        wanted(),
        &["GRANT `a\u{1b}[2J\u{202e}b` TO x;           ".as_bytes()],
    );
    let told = told.unwrap_err().to_string();
    assert!(
        told.starts_with("GRANT `a\u{fffd}[2J\u{fffd}b` TO x,"),
        "{told:?}"
    );
    let told = Problem::CharacterSet("\u{1b}[2J\u{202e}".to_owned()).to_string();
    assert!(!told.contains(['\u{1b}', '\u{202e}']), "{told:?}");
}

#[test]
fn the_memory_for_a_definition_is_bounded_and_rows_are_not() {
    let dump = format!("INSERT INTO t VALUES ('{}');\n", "x".repeat(10_000));
    let mut rewriter = Rewriter::with_longest(wanted(), 1000);
    let mut out = Vec::new();
    for piece in dump.as_bytes().chunks(100) {
        rewriter.push(piece, &mut out).unwrap();
    }
    let mut tell = |text: String| {
        text.as_bytes()
            .chunks(100)
            .try_for_each(|piece| rewriter.push(piece, &mut out))
    };
    let told = tell(format!("CREATE TABLE t ({})", "x".repeat(2000)));
    let told = told.unwrap_err().to_string();
    assert!(told.contains("1000 bytes"), "{told}");
}

/// A dump of the shape that the tools write, with one literal in all places where there can be one.
fn dump_with(literal: &str, name: &str) -> String {
    let text = literal
        .replace('\\', "\\\\")
        .replace('\'', "\\'")
        .replace('\n', "\\n");
    let raw = literal.replace('\'', "''");
    let name = name.replace('`', "``");
    format!(
        "/*M!999999\\- enable the sandbox mode */ \n-- Host: localhost    Database: x\n\
         /*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n\
         DROP TABLE IF EXISTS `{name}`;\n\
         CREATE TABLE `{name}` (\n  `id` int DEFAULT '{text}' COMMENT '{text}'\n) COMMENT='{text}';\n\
         LOCK TABLES `{name}` WRITE;\nINSERT INTO `{name}` VALUES (1,'{text}',NULL),(-1.5e10,_binary '{text}',0xFF);\nUNLOCK TABLES;\n\
         /*!50003 SET @saved_sql_mode       = @@sql_mode */ ;\n\
         /*!50003 SET sql_mode              = 'NO_BACKSLASH_ESCAPES' */ ;\nDELIMITER ;;\n\
         /*!50003 CREATE*/ /*!50003 TRIGGER `{name}` BEFORE INSERT ON `{name}` FOR EACH ROW BEGIN\n  -- it's {name}\n  SET @x = '{raw}'; # \" '\n END */;;\n\
         DELIMITER ;\n/*!50003 SET sql_mode              = @saved_sql_mode */ ;\n\
         INSERT INTO `{name}` (`id`) VALUES ('{text}');\n-- Dump completed\n"
    )
}

/// Bytes that mean something to somebody, and what looks like a head.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("DEFINER=`w`@`%` ".to_owned()),
        Just("\nCREATE DEFINER=\"w\"@\"%\" VIEW wiki.v".to_owned()),
        Just(";\nALTER DATABASE `wiki` ;;\n".to_owned()),
        Just("`wiki`.`t`".to_owned()),
        Just("*/".to_owned()),
        Just("/*!50017 ".to_owned()),
        Just("-- ".to_owned()),
        Just("\nDELIMITER ;;\n".to_owned()),
        "[\\\\'\"`;#*/ \n($-]{1,3}",
        Just("$$".to_owned()),
        Just("$x$".to_owned()),
        "[a-zé☃]{1,5}",
    ];
    proptest::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

/// Whether it was refused for what the client would take for the end of a comment, if there is any.
fn may_be_refused<T>(told: &Result<T, RewriteError>, texts: &[&str]) -> bool {
    let refused = matches!(
        told,
        Err(RewriteError::Statement {
            problem: Problem::CommentInComment,
            ..
        })
    );
    refused && texts.iter().any(|text| text.contains("*/"))
}

proptest! {
    #[test]
    fn nothing_to_rewrite_is_nothing_changed(literal in hostile(), name in "[a-z`\"' ;é*/#-]{1,10}") {
        let dump = dump_with(&literal, &name);
        let told = in_pieces(wanted(), &[dump.as_bytes()]);
        if may_be_refused(&told, &[&literal, &name]) {
            return Ok(());
        }
        let (out, report) = told.unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap(), dump);
        prop_assert_eq!((report.definers, report.names, report.left_out, report.mended), (0, 0, 0, 0));
    }

    #[test]
    fn it_does_not_matter_how_it_comes(literal in hostile(), cuts in proptest::collection::vec(1..60_usize, 1..60)) {
        let dump = format!(
            "{}CREATE DEFINER=`w`@`%` FUNCTION f() RETURNS INT RETURN 1;\nALTER DATABASE `wiki` CHARACTER SET latin1 ;\n",
            dump_with(&literal, "t")
        );
        let told = in_pieces(wanted(), &[dump.as_bytes()]);
        if may_be_refused(&told, &[&literal]) {
            return Ok(());
        }
        let (whole, _) = told.unwrap();
        let mut pieces = Vec::new();
        let mut rest = dump.as_bytes();
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let (out, _) = in_pieces(wanted(), &pieces).unwrap();
        prop_assert_eq!(&out, &whole);
        let bytes: Vec<&[u8]> = dump.as_bytes().chunks(1).collect();
        prop_assert_eq!(in_pieces(wanted(), &bytes).unwrap().0, whole);
    }

    #[test]
    fn what_is_no_dump_ends_with_an_error_or_passes(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in hostile()) {
        let _ = in_pieces(wanted(), &[&bytes, text.as_bytes()]);
    }
}

#[test]
fn events_are_held_where_that_is_wanted() {
    let wanted = Wanted {
        hold_events: true,
        ..Wanted::default()
    };
    let event = |state: &str| {
        format!(
            "/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 00:00:00' \
             ON COMPLETION NOT PRESERVE {state} COMMENT 'ENABLE' DO SET @x = 'ENABLE' */ ;;\n"
        )
    };
    for (before, after) in [
        ("ENABLE", "DISABLE ON SLAVE"),
        ("DISABLE", "DISABLE"),
        ("DISABLE ON SLAVE", "DISABLE"),
        ("DISABLE ON REPLICA", "DISABLE"),
    ] {
        let dump = format!("DELIMITER ;;\n{}DELIMITER ;\n", event(before));
        let (out, report) = in_pieces(wanted.clone(), &[dump.as_bytes()]).unwrap();
        let expected = format!("DELIMITER ;;\n{}DELIMITER ;\n", event(after));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(report.events_held, u64::from(before == "ENABLE"));
        assert_eq!(report.events_of_replicas, u64::from(before.contains("ON")));
    }
    let odd = "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SET @x = 1;\n";
    assert!(in_pieces(wanted, &[odd.as_bytes()]).is_err());
    stays("CREATE EVENT e ON SCHEDULE EVERY 1 DAY ENABLE DO SET @x = 1;\n");
}

/// Where the database keeps its name, too, no statement is about another one.
#[test]
fn another_database_is_refused_without_another_name() {
    let only = Wanted {
        only: Some("wiki".to_owned()),
        ..Wanted::default()
    };
    for statement in [
        "USE other;\n",
        "USE Wiki;\n",
        "CREATE DATABASE other;\n",
        "ALTER DATABASE other CHARACTER SET latin1;\n",
        "CREATE TABLE other.t (id INT);\n",
        "INSERT INTO `other`.`t` VALUES (1);\n",
        "DROP TABLE IF EXISTS wiki.t, other.t;\n",
        "LOCK TABLES other.t WRITE;\n",
        "ALTER TABLE other.t DISABLE KEYS;\n",
        "CREATE PROCEDURE other.p() SELECT 1;\n",
        "DO SETVAL(other.s, 5, 0);\n",
    ] {
        let told = in_pieces(only.clone(), &[statement.as_bytes()]);
        let is_refused = matches!(
            told,
            Err(RewriteError::Statement {
                problem: Problem::OtherDatabase(_),
                ..
            })
        );
        assert!(is_refused, "{statement}: {told:?}");
    }
    for statement in [
        "USE wiki;\n",
        "ALTER DATABASE `wiki` CHARACTER SET latin1 COLLATE latin1_swedish_ci;\n",
        "INSERT INTO wiki.t VALUES ('other.t');\n",
        // What it reads elsewhere is its user's to see.
        "CREATE VIEW v AS select `other`.`t`.`id` AS `id` from `other`.`t`;\n",
        "CREATE TABLE t (id INT, FOREIGN KEY (id) REFERENCES other.t (id));\n",
    ] {
        let (out, _) = in_pieces(only.clone(), &[statement.as_bytes()]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), statement);
    }
}

#[test]
fn the_former_owner_is_no_other_definer() {
    let mut wanted = wanted();
    wanted.definers.as_mut().unwrap().former = Some("w".to_owned());
    let dump = "CREATE DEFINER=`w`@`%` VIEW `a` AS select 1 AS `x`;\nCREATE DEFINER=`root`@`localhost` VIEW `b` AS select 1 AS `x`;\n";
    let (_, report) = in_pieces(wanted, &[dump.as_bytes()]).unwrap();
    assert_eq!((report.definers, report.definers_of_others), (2, 1));
}
