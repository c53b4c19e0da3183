CREATE TABLE everything (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  tiny TINYINT, tiny_ TINYINT UNSIGNED, small SMALLINT, medium MEDIUMINT, whole INT, whole_ INT UNSIGNED, large BIGINT, large_ BIGINT UNSIGNED,
  exact DECIMAL(65, 30), single FLOAT, double_ DOUBLE, bits BIT(64), truth BOOLEAN,
  day DATE, moment TIME(6), instant DATETIME(6), stamp TIMESTAMP(3) NULL, year_ YEAR,
  padded CHAR(5), limited VARCHAR(50) CHARACTER SET latin1, exactly VARCHAR(50) COLLATE utf8mb4_bin, free TEXT, longest LONGTEXT,
  fixed BINARY(16), bytes VARBINARY(300), tiny_blob TINYBLOB, blob_ BLOB, longest_blob LONGBLOB,
  feeling ENUM('sad', 'it''s ok', 'happy ☃'), flags SET('a', 'b,', 'ç') , document JSON, spot POINT, shape GEOMETRY,
  doubled INT GENERATED ALWAYS AS (whole DIV 2 * 2) VIRTUAL, kept VARCHAR(60) GENERATED ALWAYS AS (CONCAT(exactly, '!')) STORED,
  made_at TIMESTAMP NOT NULL DEFAULT '2024-02-29 12:00:00' COMMENT 'it''s a comment \\ ☃',
  CONSTRAINT not_42 CHECK (small IS NULL OR small <> 42)
) AUTO_INCREMENT = 7 COMMENT = 'a comment with ''quotes'' and a line
break' DEFAULT CHARACTER SET utf8mb4

INSERT INTO everything () VALUES ()

INSERT INTO everything (tiny, tiny_, small, medium, whole, whole_, large, large_, exact, single, double_, bits, truth, day, moment, instant, stamp, year_,
  padded, limited, exactly, free, longest, fixed, bytes, tiny_blob, blob_, longest_blob, feeling, flags, document, spot, shape)
VALUES (-128, 0, -32768, -8388608, -2147483648, 0, -9223372036854775808, 0, -99999999999999999999999999999999999.999999999999999999999999999999, -1.5, -1.7976931348623157e308, b'0', FALSE,
  '1000-01-01', '-838:59:59.000000', '1000-01-01 00:00:00.000000', '1970-01-01 00:00:01.000', 1901,
  'a', 'latin é ÿ', 'trailing  ', 'tab\tquote\'\"back\\slash\nline %_ -- ☃ \Z \0 zero', REPEAT('☃ text ', 100000),
  X'00', UNHEX('000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F606162636465666768696A6B6C6D6E6F707172737475767778797A7B7C7D7E7F'),
  X'', UNHEX('808182838485868788898A8B8C8D8E8F909192939495969798999A9B9C9D9E9FA0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBFC0C1C2C3C4C5C6C7C8C9CACBCCCDCECFD0D1D2D3D4D5D6D7D8D9DADBDCDDDEDFE0E1E2E3E4E5E6E7E8E9EAEBECEDEEEFF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF'),
  REPEAT(X'00FF5C27220A1A', 100000), 'it''s ok', 'a,ç', '{"a": [1, null, "☃ \\" \\\\"], "b": 1.10}', ST_GeomFromText('POINT(1.5 -2)'), ST_GeomFromText('POLYGON((0 0,1 1,2 0,0 0))'))

INSERT INTO everything (tiny, tiny_, small, medium, whole, whole_, large, large_, exact, single, double_, bits, truth, day, moment, instant, stamp, year_,
  padded, limited, exactly, free, longest, fixed, bytes, blob_, longest_blob, feeling, flags, document)
VALUES (127, 255, 32767, 8388607, 2147483646, 4294967295, 9223372036854775807, 18446744073709551615, 0.000000000000000000000000000001, 3.40282e38, 2.2250738585072014e-308, ~0, TRUE,
  '9999-12-31', '838:59:59.000000', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.000', 2155,
  '', '', '', '', '', REPEAT(X'FF', 16), X'', X'', X'', 'happy ☃', '', 'null')

SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'

INSERT INTO everything (id, day, instant, stamp, year_, feeling) VALUES (0, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', 0, '')

SET SESSION sql_mode = DEFAULT

CREATE TABLE `the ``quoted`` "ta'ble; --` (`a `` column` TEXT, `select` INT, `ключ` INT UNIQUE)

INSERT INTO `the ``quoted`` "ta'ble; --` VALUES ('x', 1, 2), (NULL, NULL, NULL), (NULL, NULL, NULL)

CREATE TABLE `заказы` (id INT AUTO_INCREMENT PRIMARY KEY, `имя` VARCHAR(100) DEFAULT 'безымянный')

INSERT INTO `заказы` () VALUES (), (), ()

CREATE TABLE empty_ (id INT, text TEXT)

CREATE TABLE parts (id INT NOT NULL, at DATE NOT NULL, what VARCHAR(50), PRIMARY KEY (id, at), KEY (what(10)))
PARTITION BY RANGE (YEAR(at)) (PARTITION p2023 VALUES LESS THAN (2024), PARTITION p2024 VALUES LESS THAN (2025), PARTITION rest VALUES LESS THAN MAXVALUE)

INSERT INTO parts VALUES (1, '2022-01-01', 'one'), (2, '2024-02-29', 'two'), (3, '2030-01-01', 'three')

CREATE TABLE hashed (id INT PRIMARY KEY, text TEXT, FULLTEXT KEY (text)) PARTITION BY KEY (id) PARTITIONS 3

ALTER TABLE hashed REMOVE PARTITIONING

CREATE TABLE hens (id INT PRIMARY KEY, egg INT)

CREATE TABLE eggs (id INT PRIMARY KEY, hen INT, CONSTRAINT laid_by FOREIGN KEY (hen) REFERENCES hens (id) ON DELETE CASCADE)

INSERT INTO hens VALUES (1, 2), (2, 1)

INSERT INTO eggs VALUES (1, 1), (2, 2)

ALTER TABLE hens ADD CONSTRAINT hatched_from FOREIGN KEY (egg) REFERENCES eggs (id)

CREATE TABLE log_ (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200))

CREATE TRIGGER hatches AFTER INSERT ON eggs FOR EACH ROW INSERT INTO log_ (text) VALUES (CONCAT('it''s `', NEW.id, '` ☃'))

CREATE TRIGGER hatches_again AFTER INSERT ON eggs FOR EACH ROW FOLLOWS hatches
BEGIN
  IF NEW.id > 100 THEN
    SET @seen = 'x;'; -- a comment; with a semicolon
  END IF;
END

INSERT INTO eggs VALUES (3, 1)

CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC NO SQL COMMENT 'it''s twice' RETURN n * 2

CREATE PROCEDURE clear(IN kind VARCHAR(20) CHARACTER SET latin1, OUT n INT) MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
  DECLARE done INT DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
  DELETE FROM log_ WHERE text = kind; /* ☃; */
  SET n = ROW_COUNT();
END

CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 03:00:00' DISABLE COMMENT 'it''s late' DO DELETE FROM log_ WHERE id < 0

CREATE VIEW happy AS SELECT id, twice(whole) AS twice, 'it''s' AS text FROM everything WHERE feeling = 'happy ☃'

CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW `a ``view`` of views` AS SELECT h.id, e.hen FROM happy h JOIN eggs e ON e.id = h.id

CREATE VIEW checked AS SELECT * FROM hens WHERE id > 0 WITH CASCADED CHECK OPTION
