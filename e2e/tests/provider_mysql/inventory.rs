//! What is told of a database beside its rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::ident::mysql_account;
use db_operator::provider::inventory::Objects;
use db_operator::provider::{ProviderError, SqlName};

use crate::context::{Context, create, desired};

/// With `{d}` for the schema and `{user}` for its user.
const MADE: &[&str] = &[
    "CREATE TABLE {d}.kept (i INT) ENGINE = InnoDB",
    "CREATE TABLE {d}.`old``one` (i INT) ENGINE = MyISAM",
    "CREATE TABLE {d}.plain (i INT) ENGINE = MyISAM",
    "CREATE TABLE {d}.fleeting (i INT) ENGINE = MEMORY",
    "CREATE TABLE {d}.gone (i INT) ENGINE = InnoDB",
    "CREATE DEFINER = {user} VIEW {d}.seen AS SELECT * FROM {d}.kept",
    // The definer is told of a view that does not work, too.
    "CREATE DEFINER = 'nobody-2'@'%' VIEW {d}.broken AS SELECT * FROM {d}.gone",
    "DROP TABLE {d}.gone",
    "CREATE DEFINER = 'nobody-2'@'%' TRIGGER {d}.fires BEFORE INSERT ON {d}.kept FOR EACH ROW SET NEW.i = 1",
    "CREATE DEFINER = {user} EVENT {d}.recurs ON SCHEDULE EVERY 1 YEAR DO SELECT 1",
    "CREATE DEFINER = {user} PROCEDURE {d}.own() SELECT 1",
    "CREATE DEFINER = 'nobody-2'@'%' PROCEDURE {d}.theirs() SELECT 1",
];

/// What only MariaDB has.
const MARIADB: &[&str] = &[
    "CREATE TABLE {d}.history (i INT) WITH SYSTEM VERSIONING",
    "CREATE SEQUENCE {d}.numbers",
    "CREATE TABLE {d}.crash_safe (i INT) ENGINE = Aria",
];

fn found<'a>(objects: &'a [Objects], kind: &str) -> &'a Objects {
    let named = objects.iter().find(|objects| objects.kind == kind);
    named.unwrap_or_else(|| panic!("{kind}: {objects:#?}"))
}

pub(crate) async fn what_a_dump_leaves_out_is_told(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("inventory");
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    let empty = provider.take_inventory(&names).await.unwrap();
    assert_eq!(empty.warnings, [""; 0]);
    assert!(!empty.created_with["characterSet"].is_empty());
    let packet = empty
        .settings
        .iter()
        .find(|it| it.name == "max_allowed_packet");
    assert!(
        packet
            .unwrap()
            .value
            .as_ref()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );

    let schema = names.database.mysql();
    let user = mysql_account(names.role.as_str(), "%");
    let mariadb: &[&str] = if context.mariadb { MARIADB } else { &[] };
    let statements: Vec<_> = MADE
        .iter()
        .chain(mariadb)
        .map(|sql| sql.replace("{d}", &schema).replace("{user}", &user))
        .collect();
    context.server.run(&statements).await.unwrap();
    let told = provider.take_inventory(&names).await.unwrap();
    let old = found(&told.not_in_snapshot, "MyISAM tables");
    assert_eq!(
        (old.count, &old.names[..]),
        (2, &["`old``one`".to_owned(), "`plain`".to_owned()][..])
    );
    assert_eq!(
        found(&told.not_in_snapshot, "MEMORY tables").names,
        ["`fleeting`"]
    );
    assert_eq!(found(&told.also, "events").count, 1);
    for kind in [
        "definers of triggers",
        "definers of routines",
        "definers of views",
    ] {
        let definers = found(&told.other_users, kind);
        assert_eq!((definers.count, &*definers.names[0]), (1, "nobody-2@%"));
    }
    let mut expected = vec![
        "MEMORY tables: 1",
        "MyISAM tables: 2",
        "definers of routines: 1",
        "definers of triggers: 1",
        "definers of views: 1",
    ];
    if context.mariadb {
        assert_eq!(
            found(&told.not_in_snapshot, "Aria tables").names,
            ["`crash_safe`"]
        );
        assert_eq!(
            found(&told.also, "system-versioned tables").names,
            ["`history`"]
        );
        assert_eq!(found(&told.also, "sequences").names, ["`numbers`"]);
        expected.insert(0, "Aria tables: 1");
    }
    let said: Vec<_> = told
        .warnings
        .iter()
        .map(|it| it.split(" (").next().unwrap())
        .collect();
    assert_eq!(said, expected, "{:?}", told.warnings);

    let nowhere = crate::context::names("e2e-nowhere", "e2e-nobody");
    let missing = provider.take_inventory(&nowhere).await;
    assert!(
        matches!(missing, Err(ProviderError::InTheWay(_))),
        "{missing:?}"
    );
}

/// A value that fits into a statement, and does not any more when it stands there in hexadecimal digits.
pub(crate) async fn rows_that_no_statement_can_hold_are_told(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("packet");
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    let settings = provider.take_inventory(&names).await.unwrap().settings;
    let packet = settings.iter().find(|it| it.name == "max_allowed_packet");
    let packet: u64 = packet.unwrap().value.as_ref().unwrap().parse().unwrap();
    let bytes = packet / 10 * 6;
    let schema = SqlName::new(names.database.as_str()).unwrap().mysql();
    let statements = [
        format!("CREATE TABLE {schema}.scans (image LONGBLOB)"),
        format!("INSERT INTO {schema}.scans VALUES (REPEAT('x', {bytes}))"),
        format!("ANALYZE TABLE {schema}.scans"),
    ];
    context.server.run(&statements).await.unwrap();
    // The server counts in the background, from time to time.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let told = provider.take_inventory(&names).await.unwrap();
        if let [warning] = &told.warnings[..] {
            assert!(
                warning.starts_with("rows of `scans` have about "),
                "{warning}"
            );
            assert!(
                warning.contains("max_allowed_packet") && warning.contains("an estimate"),
                "{warning}"
            );
            break;
        }
        assert!(Instant::now() < deadline, "{told:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
