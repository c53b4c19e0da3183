use super::*;
use crate::agent::protocol::contents::Contents;
use proptest::prelude::*;

fn counted(pieces: &[&[u8]]) -> Result<Contents, String> {
    let mut inserts = Inserts::default();
    for piece in pieces {
        inserts.observe(piece);
    }
    Ok(inserts.finish()?.contents().unwrap())
}

fn shown(contents: &Contents) -> Vec<String> {
    let tables = contents.tables.iter();
    let tables = tables.map(|table| format!("{} {} {}", table.name, table.rows, table.bytes));
    let sequences = contents.sequences.iter();
    let sequences = sequences.map(|of| format!("{} {} {}", of.name, of.value, of.is_called));
    tables.chain(sequences).collect()
}

/// As `mysqldump` and `mariadb-dump` write them, with what could be mistaken for rows.
const DUMP: &str = r#"/*M!999999\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: h    Database: orders
-- ------------------------------------------------------

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8mb4 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;

--
-- Sequence structure for `num``bers`
--

DROP SEQUENCE IF EXISTS `num``bers`;
CREATE SEQUENCE `num``bers` start with 1 minvalue 1 maxvalue 9223372036854775806 increment by 1 cache 1000 nocycle ENGINE=InnoDB;
DO SETVAL(`num``bers`, -1001, 0);

--
-- Table structure for table `a'b`
--

DROP TABLE IF EXISTS `a'b`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `a'b` (
  `id` int(11) NOT NULL COMMENT 'INSERT INTO `x` VALUES (1);',
  `a(b` text DEFAULT ');'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `a'b`
--

LOCK TABLES `a'b` WRITE;
/*!40000 ALTER TABLE `a'b` DISABLE KEYS */;
INSERT INTO `a'b` (`id`, `a(b`) VALUES (1,'it''s'),(2,NULL);
INSERT INTO `a'b` (`id`, `a(b`) VALUES
(3,'\');'),
(4,0x00);
/*!40000 ALTER TABLE `a'b` ENABLE KEYS */;
UNLOCK TABLES;
/*!50003 SET @saved_sql_mode       = @@sql_mode */ ;
/*!50003 SET sql_mode              = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`orders`@`%`*/ /*!50003 TRIGGER "t" BEFORE INSERT ON "a'b" FOR EACH ROW BEGIN
INSERT INTO "empty" VALUES (1),(2);
SET sql_mode = '\'; INSERT INTO "empty" VALUES (3);
END */;;
DELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;
DROP TABLE IF EXISTS `empty`;
CREATE TABLE `empty` (`i` int);
/*!40000 ALTER TABLE `empty` DISABLE KEYS */;
/*!40000 ALTER TABLE `empty` ENABLE KEYS */;
CREATE TABLE `elsewhere` (`i` int) ENGINE=MRG_MyISAM UNION=(`empty`);
/*!50001 CREATE TABLE `view` (`n` tinyint NOT NULL) ENGINE=MyISAM */;
INSERT  IGNORE INTO orders.plain VALUES (1);
/*!50001 DROP TABLE IF EXISTS `view`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`orders`@`%` SQL SECURITY DEFINER */
/*!50001 VIEW `view` AS select count(0) AS `n` from `a'b` */;

-- Dump completed on 2026-11-24  2:10:31
"#;

#[test]
fn rows_are_counted_for_the_table_that_is_named() {
    let contents = counted(&[DUMP.as_bytes()]).unwrap();
    assert_eq!(
        shown(&contents),
        ["a'b 4 37", "empty 0 0", "plain 1 3", "num`bers -1001 false"]
    );
    for cut in [1, 2, 5, 13, 100] {
        let pieces: Vec<&[u8]> = DUMP.as_bytes().chunks(cut).collect();
        assert_eq!(counted(&pieces), Ok(contents.clone()), "{cut}");
    }
    // A dump without the marks has all tables.
    let bare = DUMP.replace("ALTER TABLE", "ALTER VIEW");
    let tables = counted(&[bare.as_bytes()]).unwrap().tables;
    let names: Vec<&str> = tables.iter().map(|table| &*table.name).collect();
    assert_eq!(names, ["a'b", "elsewhere", "empty", "plain"]);
}

#[test]
fn what_is_not_understood_is_not_counted() {
    for (dump, why) in [
        ("INSERT INTO t SELECT 1;", "no list of values"),
        ("INSERT INTO t VALUES (f(1));", "as the dump tool writes"),
        ("INSERT INTO t VALUES (1),('x", "has no end"),
        ("CREATE TABLE t (i int", "has no end"),
        ("SET NAMES gbk;", "gbk"),
        ("SET sql_mode = @elsewhere;", "sql_mode"),
        (
            "INSERT INTO t ($a$) VALUES (1);\nINSERT INTO t ($a$) VALUES (2);",
            "\"$\"",
        ),
        ("INSERT INTO t VALUES (1);DROP TABLE t;", "dropped"),
        (
            "INSERT INTO t VALUES (1);INSERT INTO u VALUES (1);DROP TABLE t;",
            "dropped",
        ),
        ("ALTER TABLE t DISABLE KEYS;DROP TABLE t;", "dropped"),
        ("DELIMITER \n", "DELIMITER"),
    ] {
        let said = counted(&[dump.as_bytes()]).unwrap_err();
        assert!(said.contains(why), "{dump}: {said}");
    }
    let long = format!("SET @a = '{}';", "x".repeat(2 * LONGEST));
    assert!(counted(&[long.as_bytes()]).is_err());
    let long = format!("INSERT INTO {}", "x ".repeat(LONGEST));
    assert!(counted(&[long.as_bytes()]).is_err());
    let long = format!("INSERT INTO t ({}) VALUES (1);", "x".repeat(LONGEST));
    assert!(counted(&[long.as_bytes()]).is_err());
}

#[test]
fn a_long_set_is_understood_wherever_it_is_cut() {
    let long = format!("SET @a = '{}';", "x".repeat(200_000));
    for cut in [1_000, 70_000, 1_000_000] {
        let pieces: Vec<&[u8]> = long.as_bytes().chunks(cut).collect();
        assert!(counted(&pieces).is_ok(), "{cut}");
    }
}

/// Clients and servers before MySQL 9 know no texts between dollars: there the third `$a$` opens none.
#[test]
fn dollars_in_a_body_hide_no_table() {
    let body = |name: &str| {
        format!(
            "DELIMITER ;;\nCREATE TRIGGER `{name}` BEFORE INSERT ON `a` FOR EACH ROW BEGIN DECLARE $a$ INT; SET $a$ = 1; \
             SET @x = $a$; END ;;\nDELIMITER ;\n"
        )
    };
    let rows = "CREATE TABLE `b` (`i` int);\nINSERT INTO `b` VALUES (1);\n";
    let dump = format!("{}{rows}{}", body("t"), body("u"));
    let said = counted(&[dump.as_bytes()]).unwrap_err();
    assert!(said.contains("\"$\""), "{said}");
    // What MySQL 9 writes for other languages is what it seems to be.
    let script = "DELIMITER ;;\nCREATE FUNCTION `f`() RETURNS int LANGUAGE JAVASCRIPT AS $js$ ;; INSERT INTO b VALUES (1); $js$ ;;\n\
                  DELIMITER ;\n";
    let dump = [script, rows].concat();
    for cut in [1, 7, 1_000] {
        let pieces: Vec<&[u8]> = dump.as_bytes().chunks(cut).collect();
        assert_eq!(shown(&counted(&pieces).unwrap()), ["b 1 3"], "{cut}");
    }
}

/// What comes before a dollar and a line break counts, also where it is held no more.
#[test]
fn a_long_body_may_be_cut_anywhere() {
    let head = format!(
        "CREATE TABLE `t` (`i` int);\nDELIMITER ;;\nCREATE PROCEDURE `p`() BEGIN SELECT '{}';",
        "x".repeat(LONGEST)
    );
    let tail =
        b" SET x$a$ = 1; END -- ;;\nDELIMITER ;\nINSERT INTO `t` VALUES (1);\n-- Dump completed\n";
    for cut in 0..=tail.len() {
        let (first, last) = tail.split_at(cut);
        let contents = counted(&[head.as_bytes(), first, last]);
        assert_eq!(
            contents.map(|contents| shown(&contents)),
            Ok(vec!["t 1 3".to_owned()]),
            "{cut}"
        );
    }
    let mut pieces = vec![head.as_bytes()];
    pieces.extend(tail.chunks(1));
    assert_eq!(shown(&counted(&pieces).unwrap()), ["t 1 3"]);
}

#[test]
fn a_table_in_the_place_of_a_view_leaves_no_trace_and_no_sequence_costs_the_rows() {
    let dump = "DO SETVAL(`large`, 18446744073709551614, 0);DO SETVAL(`s`, 1.5, 0);DO SETVAL(`t`, 5, 1);\
                DROP TABLE IF EXISTS `v`;CREATE TABLE `v` (i int);DROP TABLE `v`;DROP TABLE `v`;INSERT INTO a VALUES (1);";
    let contents = counted(&[dump.as_bytes()]).unwrap();
    assert_eq!(shown(&contents), ["a 1 3", "t 5 true"]);
}

#[test]
fn long_statements_pass_and_little_is_held() {
    let comment = "x".repeat(2 * LONGEST);
    let dump = format!(
        "CREATE TABLE `t` (`i` int COMMENT '{comment}');\nINSERT INTO `t` VALUES (1,'{comment}'),(2,'');\n"
    );
    let mut inserts = Inserts::default();
    for piece in dump.as_bytes().chunks(1000) {
        inserts.observe(piece);
        assert!(inserts.held.len() <= LONGEST + 1000);
    }
    let contents = inserts.finish().unwrap().contents().unwrap();
    assert_eq!(shown(&contents), [format!("t 2 {}", comment.len() + 12)]);
}

#[test]
fn beyond_a_number_of_tables_only_their_sum_is_kept() {
    let mut inserts = Inserts::default();
    for number in 0..=MOST {
        let statements = format!(
            "CREATE TABLE `{number}` (i int);/*!40000 ALTER TABLE `{number}` DISABLE KEYS */;INSERT INTO `{number}` VALUES (1);"
        );
        inserts.observe(statements.as_bytes());
    }
    assert_eq!(inserts.tables.known.capacity(), 0);
    let totals = inserts.finish().unwrap().finish().totals;
    let number = MOST as u64 + 1;
    assert_eq!((totals.tables, totals.rows), (number, number));
    assert!(!totals.has_tables);
}

/// A value as the tools write it under these rules, from any bytes.
fn literal(bytes: &[u8], escapes: bool) -> Vec<u8> {
    let mut text = vec![b'\''];
    for &byte in bytes {
        match byte {
            b'\'' if !escapes => text.extend(b"''"),
            b'\'' | b'\\' | b'"' if escapes => text.extend([b'\\', byte]),
            b'\n' if escapes => text.extend(b"\\n"),
            0 if escapes => text.extend(b"\\0"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
    text
}

proptest! {
    #[test]
    fn any_rows_cut_anywhere_are_counted_right(
        rows in proptest::collection::vec(
            proptest::collection::vec(
                proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\''), Just(b'\\'), Just(b')'), Just(b';')], 0..12),
                1..4,
            ),
            1..30,
        ),
        name in "[a-z`'\"();\\\\ é]{1,8}",
        escapes: bool,
        each in 1..10_usize,
        cuts in proptest::collection::vec(1..60_usize, 0..80),
    ) {
        let mut dump = b"/*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n".to_vec();
        if !escapes {
            dump.extend(b"SET sql_mode = 'NO_BACKSLASH_ESCAPES';\n");
        }
        let quoted = format!("`{}`", name.replace('`', "``"));
        let mut bytes = 0;
        for rows in rows.chunks(each) {
            dump.extend(format!("INSERT INTO {quoted} VALUES ").into_bytes());
            let rows: Vec<Vec<u8>> = rows
                .iter()
                .map(|row| {
                    let values: Vec<Vec<u8>> = row.iter().map(|value| literal(value, escapes)).collect();
                    [&b"("[..], &values.join(&b','), b")"].concat()
                })
                .collect();
            bytes += rows.iter().map(Vec::len).sum::<usize>();
            dump.extend(rows.join(&b','));
            dump.extend(b";\n");
        }
        dump.extend(b"-- Dump completed\n");
        let (mut pieces, mut rest) = (Vec::new(), &dump[..]);
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            pieces.push(now);
            rest = later;
        }
        pieces.push(rest);
        let contents = counted(&pieces).unwrap();
        prop_assert_eq!(shown(&contents), [format!("{name} {} {bytes}", rows.len())]);
    }

    #[test]
    fn noise_is_not_counted_and_does_no_harm(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = counted(&[&noise]);
        let _ = counted(&[b"INSERT INTO t VALUES (", &noise]);
    }
}
