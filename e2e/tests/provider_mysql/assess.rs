//! What is said of a dump beforehand, against what its user meets: by the statements that the dump tools send, and on
//! the local server by the tool.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::ident::mysql_account;
use db_operator::provider::{Names, ProviderError, open};
use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::context::{Context, create, desired};

/// Routines and views, with `{d}` for the schema. A definer that does not exist is no obstacle to a dump of anything
/// but routines.
const DEFINED: &[&str] = &[
    "CREATE TABLE {d}.base (i INT)",
    "CREATE TABLE {d}.gone (i INT)",
    "CREATE VIEW {d}.works AS SELECT * FROM {d}.base",
    "CREATE VIEW {d}.`bro``ken` AS SELECT * FROM {d}.gone",
    "DROP TABLE {d}.gone",
    "CREATE DEFINER = 'nobody-1'@'%' TRIGGER {d}.fires BEFORE INSERT ON {d}.base FOR EACH ROW SET NEW.i = 1",
    "CREATE DEFINER = 'nobody-1'@'%' EVENT {d}.recurs ON SCHEDULE EVERY 1 YEAR DO SELECT 1",
    "CREATE DEFINER = 'nobody-1'@'%' PROCEDURE {d}.theirs() SELECT 1",
    "CREATE DEFINER = 'nobody-1'@'%' FUNCTION {d}.`their``fun`() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE DEFINER = {user} PROCEDURE {d}.own() SELECT 1",
    "CREATE EVENT {d}.one ON SCHEDULE EVERY 1 YEAR DISABLE COMMENT '; ;' DO SELECT ';'",
    "CREATE EVENT {d}.`semi``colons` ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 'a;;b'",
];

pub(crate) async fn what_a_dump_cannot_read_is_named_with_its_grant(context: Arc<Context>) {
    // One that has SHOW CREATE ROUTINE gives it to each user, and routines can be dumped.
    let grants: Vec<_> = context
        .least()
        .iter()
        .map(|grant| grant.replace(", SHOW CREATE ROUTINE", ""))
        .collect();
    let administrator = context.administrator_with(&grants).await;
    let provider = open(context.config(&administrator), context.fence());
    let names = context.names("assess");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    assert_eq!(provider.assess(&names).await.unwrap().unreadable, []);

    let (schema, user) = (
        names.database.mysql(),
        mysql_account(names.role.as_str(), "%"),
    );
    let statements: Vec<_> = DEFINED
        .iter()
        .map(|sql| sql.replace("{d}", &schema).replace("{user}", &user))
        .collect();
    context.server.run(&statements).await.unwrap();
    let assessed = provider.assess(&names).await.unwrap();
    // The pod leaves such views out.
    assert!(assessed.has_broken_views);
    // The pod tries whether its tool gets past this one.
    assert_eq!(assessed.endless_events, ["`semi``colons`"]);
    let drop_event = format!("DROP EVENT {schema}.`semi``colons`");
    context.server.run(&[drop_event]).await.unwrap();
    let [routines] = &assessed.unreadable[..] else {
        panic!("{assessed:?}");
    };
    assert_eq!(
        routines.needed_for,
        format!("dumping the routines of other definers: {schema}.`their``fun`, {schema}.`theirs`")
    );
    // Both are in a dump's way, and nothing else is.
    let drop_view = format!("DROP VIEW {schema}.`bro``ken`");
    for statement in [&routines.grant, &drop_view] {
        let obstacle = read(&context, &names, &password).await;
        assert!(obstacle.is_err(), "without {statement}");
        context.server.run(&[statement]).await.unwrap();
    }
    read(&context, &names, &password).await.unwrap();
    let assessed = provider.assess(&names).await.unwrap();
    assert_eq!(
        (assessed.unreadable, assessed.has_broken_views),
        (vec![], false)
    );
    assert_eq!(assessed.endless_events, [""; 0]);
    // Who was granted what the operator told to grant is still its user.
    let observed = provider.observe(&names).await.unwrap();
    assert_eq!(observed.role.unwrap().powers, [""; 0]);
    assert_eq!(
        provider.ensure_database(&desired(&names)).await.unwrap(),
        []
    );

    let missing = provider
        .assess(&crate::context::names("e2e-nowhere", "e2e-nobody"))
        .await;
    assert!(
        matches!(missing, Err(ProviderError::InTheWay(_))),
        "{missing:?}"
    );
}

pub(crate) async fn the_size_of_a_dump_is_estimated(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("size");
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    assert_eq!(provider.assess(&names).await.unwrap().bytes, 0);
    let schema = names.database.mysql();
    let mut statements = vec![
        format!("CREATE TABLE {schema}.rows_ (id INT AUTO_INCREMENT PRIMARY KEY, text LONGTEXT)"),
        format!("INSERT INTO {schema}.rows_ (text) VALUES (REPEAT('x', 2000))"),
    ];
    for _ in 0..11 {
        statements.push(format!(
            "INSERT INTO {schema}.rows_ (text) SELECT text FROM {schema}.rows_"
        ));
    }
    context.server.run(&statements).await.unwrap();
    let real = 2048 * 2000;
    // The server counts in the background, from time to time.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let bytes = provider.assess(&names).await.unwrap().bytes;
        if (real / 2..real * 3).contains(&bytes) {
            break;
        }
        assert!(Instant::now() < deadline, "{bytes} for {real}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads as the dump tools do.
async fn read(context: &Context, names: &Names, password: &SecretString) -> Result<(), String> {
    let mut tenant = context.tenant(names, password).await.unwrap();
    let mut result = Ok(());
    for (list, show) in [
        (
            "SELECT CONVERT(TABLE_NAME USING utf8mb4) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
            "SHOW FIELDS FROM",
        ),
        (
            "SELECT CONVERT(ROUTINE_NAME USING utf8mb4) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'PROCEDURE'",
            "SHOW CREATE PROCEDURE",
        ),
        (
            "SELECT CONVERT(ROUTINE_NAME USING utf8mb4) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'FUNCTION'",
            "SHOW CREATE FUNCTION",
        ),
    ] {
        for row in rows(&mut tenant, list).await? {
            let name: String = row.try_get_unchecked(0).unwrap();
            let name = db_operator::provider::ident::mysql_identifier(&name);
            match rows(&mut tenant, &format!("{show} {name}")).await {
                Err(error) => result = Err(error),
                Ok(shown) => {
                    let text: Option<String> = shown[0].try_get_unchecked(2).unwrap();
                    if text.is_none() {
                        result = Err(format!("{show} {name} shows nothing"));
                    }
                }
            }
        }
    }
    if context.server.verifies_host {
        // The tool of this machine goes with the server of this machine.
        let output = Command::new("mariadb-dump")
            .args([
                "--no-defaults",
                "--protocol=tcp",
                "--host=127.0.0.1",
                "--single-transaction",
                "--quick",
            ])
            .args([
                "--routines",
                "--events",
                "--triggers",
                "--hex-blob",
                "--no-tablespaces",
            ])
            .arg(format!("--port={}", context.server.port))
            .arg(format!("--user={}", names.role))
            .arg(names.database.as_str())
            .env("MYSQL_PWD", password.expose_secret())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), result.is_ok(), "{said}{result:?}");
    }
    result
}

async fn rows(
    session: &mut MySqlConnection,
    sql: &str,
) -> Result<Vec<sqlx::mysql::MySqlRow>, String> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(session)
        .await
        .map_err(|error| format!("{sql}: {error}"))
}
