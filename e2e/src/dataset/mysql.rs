//! MySQL's and MariaDB's side of it.

use db_operator::provider::ident::{mysql_identifier, mysql_literal};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Error, Row};

use super::{remaining, value};
use crate::testing::Session;

const TABLES: &str = "SELECT CONVERT(TABLE_NAME USING utf8mb4), CONVERT(TABLE_TYPE USING utf8mb4) \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";

/// Schema, which is empty, and name of each table, and the query that counts its rows.
pub(super) const COUNTS: &str = "SELECT CONVERT(CONCAT('.', TABLE_NAME, CHAR(1 USING utf8mb4), 'SELECT CAST(COUNT(*) AS CHAR) FROM `', \
    REPLACE(TABLE_NAME, '`', '``'), '`', IF(TABLE_TYPE = 'SYSTEM VERSIONED', ' FOR SYSTEM_TIME ALL', '')) USING utf8mb4) \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') \
    ORDER BY CAST(CONVERT(TABLE_NAME USING utf8mb4) AS BINARY)";

/// What SHOW CREATE takes, names, and which column of its answer is the definition.
const DEFINED: [(&str, &str, usize); 4] = [
    (
        "PROCEDURE",
        "SELECT CONVERT(ROUTINE_NAME USING utf8mb4) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'PROCEDURE'",
        2,
    ),
    (
        "FUNCTION",
        "SELECT CONVERT(ROUTINE_NAME USING utf8mb4) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'FUNCTION'",
        2,
    ),
    (
        "TRIGGER",
        "SELECT CONVERT(TRIGGER_NAME USING utf8mb4) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
        2,
    ),
    (
        "EVENT",
        "SELECT CONVERT(EVENT_NAME USING utf8mb4) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
        3,
    ),
];

/// The order of triggers of one table and event, and the settings of routines, which their definitions do not say.
const ASIDE: [&str; 2] = [
    "SELECT CONVERT(CONCAT('order of trigger ', TRIGGER_NAME, ': ', ACTION_ORDER, ' ', SQL_MODE) USING utf8mb4) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
    "SELECT CONVERT(CONCAT('mode of routine ', ROUTINE_NAME, ': ', SQL_MODE, ' ', CHARACTER_SET_CLIENT, ' ', DATABASE_COLLATION) USING utf8mb4) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()",
];

const ORDERS: &str = "CREATE TABLE IF NOT EXISTS orders (
  id BIGINT AUTO_INCREMENT PRIMARY KEY, placed_at DATETIME(3) NOT NULL, shipped_at DATETIME(3), customer VARCHAR(100) NOT NULL,
  email VARCHAR(100) NOT NULL, state VARCHAR(20) NOT NULL, total DECIMAL(12, 2) NOT NULL, items JSON NOT NULL, note TEXT, token VARCHAR(64) NOT NULL
) DEFAULT CHARACTER SET utf8mb4";

/// Numbers from 0 up, with no setting that limits how far: digits times digits. Between these two parts, the limit.
///
/// Numbers in JSON are floating: MySQL keeps an exact one apart, but no dump says so.
const ROWS: [&str; 2] = [
    "INSERT INTO orders (placed_at, shipped_at, customer, email, state, total, items, note, token)
SELECT '2023-01-01' + INTERVAL n * 17 SECOND, IF(n MOD 5 > 0, '2023-01-03' + INTERVAL n * 18 SECOND, NULL), CONCAT(first, ' ', last),
  CONCAT(LOWER(first), '.', LOWER(last), n MOD 9973, '@example.com'), ELT(1 + n MOD 4, 'placed', 'paid', 'shipped', 'returned'), (n * 7919 MOD 1000000) / 100,
  JSON_ARRAY(JSON_OBJECT('sku', LEFT(hash, 8), 'quantity', 1 + n MOD 5, 'price', (n * 31 MOD 9999) / 100e0), JSON_OBJECT('sku', RIGHT(hash, 8), 'quantity', 1, 'gift', n MOD 2)),
  LEFT(CONCAT_WS(' ', ELT(1 + ASCII(SUBSTR(hash, 1)) MOD 8, 'please', 'deliver', 'to', 'the', 'back', 'door', 'after', 'noon'),
    ELT(1 + ASCII(SUBSTR(hash, 2)) MOD 8, 'and ring twice', 'if nobody', 'is home', 'today or', 'tomorrow', 'at the', 'latest', 'thank you'),
    ELT(1 + ASCII(SUBSTR(hash, 3)) MOD 8, 'leave it with', 'the neighbour', 'in the garden', 'under the roof', 'but not', 'in the rain', 'and call', 'before noon'),
    ELT(1 + ASCII(SUBSTR(hash, 4)) MOD 8, 'because', 'the dog', 'sleeps until', 'ten', 'and the bell', 'is', 'broken', 'sorry')), 20 + n MOD 60),
  TO_BASE64(UNHEX(SHA2(hash, 256)))
FROM (SELECT n, SHA2(n, 224) AS hash, ELT(1 + n MOD 8, 'Anna', 'Björn', 'Chloé', 'Dmitri', 'Élise', 'Farid', 'Grace', 'Hiro') AS first,
    ELT(1 + n MOD 11, 'Åberg', 'Brown', 'Costa', 'Dubois', 'Evans', 'Fischer', 'García', 'Haddad', 'Ito', 'Jones', 'Kim') AS last
  FROM (WITH d AS (SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7
      UNION ALL SELECT 8 UNION ALL SELECT 9)
    SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n FROM d a, d b, d c, d e, d f) AS digits WHERE n < ",
    ") AS numbers",
];

/// Rows of which the size of the others is estimated, and rows of one statement.
const SAMPLE: u64 = 2_000;
const AT_ONCE: u64 = 100_000;

pub(super) async fn is_mariadb(session: &mut Session) -> Result<bool, Error> {
    Ok(value(session, "SELECT VERSION()")
        .await?
        .contains("MariaDB"))
}

pub(super) async fn fingerprint(session: &mut Session) -> Result<Vec<String>, Error> {
    session
        .run("SET SESSION time_zone = '+00:00', SESSION sql_quote_show_create = 1")
        .await?;
    let names = Names::of(session).await?;
    let mut lines = Vec::new();
    for row in rows(session, TABLES).await? {
        let (name, kind): (String, String) = (text(&row, 0)?, text(&row, 1)?);
        let table = mysql_identifier(&name);
        let shown = rows(session, &format!("SHOW CREATE TABLE {table}")).await?;
        lines.push(format!(
            "table {table}: {}",
            names.neutral(&text(first(&shown)?, 1)?)
        ));
        match kind.as_str() {
            "VIEW" => {}
            "SEQUENCE" => {
                let state = format!("SELECT CONVERT(next_not_cached_value, CHAR) FROM {table}");
                lines.push(format!(
                    "state of {table}: {}",
                    value(session, &state).await?
                ));
            }
            _ => {
                let query = contents(session, &name).await?;
                lines.push(format!(
                    "rows of {table}: {}",
                    value(session, &query).await?
                ));
            }
        }
    }
    for (kind, list, column) in DEFINED {
        for name in session.column(list).await? {
            let shown = rows(
                session,
                &format!("SHOW CREATE {kind} {}", mysql_identifier(&name)),
            )
            .await?;
            let text = names.neutral(&text(first(&shown)?, column)?);
            lines.push(format!("{kind} {name}: {text}"));
        }
    }
    for query in ASIDE {
        lines.extend(session.column(query).await?);
    }
    Ok(lines)
}

/// Counts the rows and adds up a hash of each. Values are hashed as the bytes of their text.
async fn contents(session: &mut Session, table: &str) -> Result<String, Error> {
    let columns = format!(
        "SELECT CONVERT(COLUMN_NAME USING utf8mb4), CONVERT(DATA_TYPE USING utf8mb4) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        mysql_literal(table)
    );
    let mut hashes = Vec::new();
    for row in rows(session, &columns).await? {
        let column = mysql_identifier(&text(&row, 0)?);
        let bytes = match text(&row, 1)?.as_str() {
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geomcollection" | "geometrycollection" => {
                format!("ST_AsBinary({column})")
            }
            "uuid" | "inet6" | "inet4" => format!("CAST({column} AS CHAR)"),
            "bit" => format!("HEX({column})"),
            _ => format!("CAST({column} AS BINARY)"),
        };
        hashes.push(format!("COALESCE(SHA2({bytes}, 256), 'NULL')"));
    }
    Ok(format!(
        "SELECT CONCAT(COUNT(*), ', ', COALESCE(SUM(CAST(CONV(LEFT(SHA2(CONCAT({}), 256), 15), 16, 10) AS UNSIGNED)), 0)) FROM {}",
        hashes.join(", "),
        mysql_identifier(table)
    ))
}

/// What differs between a database and its copy under another name.
struct Names {
    schema: String,
    /// In the quotes of each mode.
    users: [String; 2],
}

impl Names {
    async fn of(session: &mut Session) -> Result<Self, Error> {
        let account = value(session, "SELECT CURRENT_USER()").await?;
        let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
        Ok(Self {
            schema: format!(
                "{}.",
                mysql_identifier(&value(session, "SELECT DATABASE()").await?)
            ),
            users: [
                format!("{}@{}", mysql_identifier(user), mysql_identifier(host)),
                format!("\"{user}\"@\"{host}\""),
            ],
        })
    }

    fn neutral(&self, definition: &str) -> String {
        self.users
            .iter()
            .fold(definition.replace(&self.schema, ""), |text, user| {
                text.replace(user, "OWNER")
            })
    }
}

pub(super) async fn grow(session: &mut Session, bytes: u64) -> Result<(), Error> {
    session.run(ORDERS).await?;
    let insert = |rows: u64| format!("{}{rows}{}", ROWS[0], ROWS[1]);
    session.run(&insert(SAMPLE)).await?;
    // A dump writes each value with a comma and perhaps quotes, and a backslash before each quote of the JSON.
    let taken = format!(
        "SELECT CAST(CAST(SUM(60 + LENGTH(CONCAT_WS(',', id, placed_at, COALESCE(shipped_at, ''), customer, email, state, total, items, note, token))) AS UNSIGNED) AS CHAR) \
         FROM (SELECT * FROM orders LIMIT {SAMPLE}) AS sample"
    );
    let taken = value(session, &taken).await?.parse().unwrap_or(1);
    let mut left = remaining(bytes, SAMPLE, taken);
    while left > 0 {
        let rows = left.min(AT_ONCE);
        session.run(&insert(rows)).await?;
        left -= rows;
    }
    session.run("ANALYZE TABLE orders").await
}

async fn rows(session: &mut Session, sql: &str) -> Result<Vec<MySqlRow>, Error> {
    match session {
        Session::Mysql(connection) => {
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                .fetch_all(&mut **connection)
                .await
        }
        Session::Postgres(_) => Err(Error::Protocol(
            "this is a session with PostgreSQL".to_owned(),
        )),
    }
}

fn first(rows: &[MySqlRow]) -> Result<&MySqlRow, Error> {
    rows.first().ok_or(Error::RowNotFound)
}

fn text(row: &MySqlRow, column: usize) -> Result<String, Error> {
    row.try_get_unchecked(column)
}
