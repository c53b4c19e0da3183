//! Names and passwords that break what is not quoted.

use std::sync::Arc;

use db_operator::provider::{Login, Provider, ProviderError, Removal, Removed, SqlName, ident};
use futures::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Column, Connection, Row};

use crate::context::{CANARY, Context, create, desired};

const ODD: &[&str] = &[
    "MyDataBase",
    "with-dash",
    "with.dot",
    "a b",
    "dätä",
    "we'ird",
    "we\"ird",
    "tick`",
    "back\\slash",
    "p_c%t",
    "select",
    "a@b",
    "-- x",
    "/*x*/",
    "?",
    "a'@'b",
    "\\'",
    "x`; DROP DATABASE mysql; -- ",
    "漢字",
    "#hash",
    "end\\",
];

pub(crate) async fn odd_names_and_passwords_work(context: Arc<Context>) {
    let provider = context.provider().await;
    // As many at once as the provider has sessions.
    futures::stream::iter(ODD)
        .for_each_concurrent(2, |odd| odd_name(&context, provider.as_ref(), odd))
        .await;
    let system = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'mysql'";
    assert_eq!(
        context.server.value(system).await.unwrap().as_deref(),
        Some("1")
    );
}

async fn odd_name(context: &Context, provider: &dyn Provider, odd: &str) {
    // Short enough for a user of MySQL (32 characters), unique at the front.
    let name: String = format!("{}{odd}", context.unique(""))
        .chars()
        .take(32)
        .collect();
    let name = name.trim_end().to_owned();
    let names = context.named(&name, &name);
    let wanted = desired(&names);
    let password = context.password();
    provider.validate(&wanted).await.unwrap();
    create(provider, &wanted, &password).await;
    assert_eq!(
        provider.login(&names, &password).await.unwrap(),
        Login::Accepted,
        "{name}"
    );
    let observed = provider.observe(&names).await.unwrap();
    let database = observed
        .database
        .unwrap_or_else(|| panic!("{name} is not there"));
    assert_eq!(database.owner.as_deref(), Some(name.as_str()));
    assert_eq!(database.deviations, [""; 0], "{name}");
    assert_eq!(observed.role.unwrap().powers, [""; 0], "{name}");
    assert_eq!(
        provider.ensure_database(&wanted).await.unwrap(),
        [],
        "{name}"
    );
    let mut tenant = context.tenant(&names, &password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (a INT)")
        .execute(&mut tenant)
        .await
        .unwrap();
    tenant.close().await.unwrap();
    let removal = Removal {
        names: names.clone(),
        database: true,
        role: true,
    };
    assert_eq!(
        provider.remove(&removal).await.unwrap(),
        Removed::Done,
        "{name}"
    );
    let left = provider.observe(&names).await.unwrap();
    assert_eq!((left.database, left.role), (None, None), "{name}");
}

pub(crate) async fn names_that_differ_never_meet(context: Arc<Context>) {
    let provider = context.provider().await;
    let stem = context.unique("");
    let mut all = Vec::new();
    for end in ["a", "A", "ä", "á", "a_", "a%"] {
        let name = format!("{stem}{end}");
        let names = context.named(&name, &name);
        let password = context.password();
        assert_eq!(
            provider.observe(&names).await.unwrap().database,
            None,
            "{name}"
        );
        create(provider.as_ref(), &desired(&names), &password).await;
        all.push((names, password));
    }
    for (number, (names, password)) in all.iter().enumerate() {
        let mut tenant = context.tenant(names, password).await.unwrap();
        sqlx::raw_sql("CREATE TABLE mine (a INT)")
            .execute(&mut tenant)
            .await
            .unwrap();
        for (other, (others, _)) in all.iter().enumerate() {
            let sql = format!("SELECT * FROM {}.mine", others.database.mysql());
            let seen = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut tenant).await;
            assert!(
                number == other || seen.is_err(),
                "{names:?} sees {others:?}"
            );
        }
        tenant.close().await.unwrap();
    }
}

pub(crate) async fn wildcards_in_names_reach_nothing_else(context: Arc<Context>) {
    let provider = context.provider().await;
    let stem = context.unique("");
    let wild = context.named(&format!("{stem}p_c%t\\"), &context.unique("wild"));
    let near = context.named(&format!("{stem}pXcYYt\\"), &context.unique("near"));
    let password = context.password();
    create(provider.as_ref(), &desired(&near), &context.password()).await;
    create(provider.as_ref(), &desired(&wild), &password).await;
    let mut tenant = context.tenant(&wild, &password).await.unwrap();
    let sql = format!("CREATE TABLE {}.t (a INT)", near.database.mysql());
    assert!(
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut tenant)
            .await
            .is_err()
    );
    sqlx::raw_sql("CREATE TABLE t (a INT)")
        .execute(&mut tenant)
        .await
        .unwrap();
    tenant.close().await.unwrap();
}

pub(crate) async fn what_the_server_cannot_hold_is_refused(context: Arc<Context>) {
    let provider = context.provider().await;
    let long = "u".repeat(33);
    let ordinary = context.unique("x");
    let mut cases = vec![
        ("emoji😀".to_owned(), ordinary.clone()),
        (ordinary.clone(), "emoji😀".to_owned()),
        ("trailing ".to_owned(), ordinary.clone()),
        (ordinary.clone(), " leading".to_owned()),
    ];
    if !context.mariadb {
        cases.push((ordinary.clone(), long));
    }
    if !context.literal_grants {
        cases.push(("_".repeat(33), ordinary.clone()));
    }
    for (database, role) in cases {
        let names = crate::context::names(&database, &role);
        let wanted = desired(&names);
        let verifier = provider.verifier(&context.password());
        for refused in [
            provider.validate(&wanted).await.err(),
            provider.ensure_role(&wanted, Some(&verifier)).await.err(),
            provider.ensure_database(&wanted).await.err(),
            provider
                .write_claim(&crate::context::claim(&names, "c"), None)
                .await
                .err(),
        ] {
            assert!(
                matches!(refused, Some(ProviderError::Unsupported(_))),
                "{names:?}: {refused:?}"
            );
        }
        let observed = provider.observe(&names).await.unwrap();
        assert_eq!((observed.database, observed.role), (None, None));
    }
    // The longest that both servers hold.
    let mut database = context.unique("");
    database.push_str(&"d".repeat(63 - database.len()));
    let mut role = context.unique("");
    role.push_str(&"é".repeat(32 - role.len()));
    let names = context.named(&database, &role);
    let password = context.password();
    provider.validate(&desired(&names)).await.unwrap();
    create(provider.as_ref(), &desired(&names), &password).await;
    assert_eq!(
        provider.login(&names, &password).await.unwrap(),
        Login::Accepted
    );
}

/// Property: whatever text, the server reads the identifier and the literal as that text, under the session settings
/// that the provider pins.
pub(crate) async fn identifiers_and_literals_come_back_as_they_were(context: Arc<Context>) {
    let mut root = context.server.root().await.unwrap();
    sqlx::raw_sql("SET SESSION sql_mode = 'STRICT_ALL_TABLES', NAMES utf8mb4")
        .execute(&mut root)
        .await
        .unwrap();
    for _ in 0..300 {
        let text = random_text(20);
        let Ok(name) = SqlName::new(text.clone()) else {
            continue;
        };
        if text.trim() != text {
            // An alias may not end in a space; names that do are refused before.
            continue;
        }
        let sql = format!("SELECT {} AS {}", ident::mysql_literal(&text), name.mysql());
        let row = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_one(&mut root)
            .await
            .unwrap();
        assert_eq!(row.columns()[0].name(), text);
        assert_eq!(row.try_get_unchecked::<String, _>(0).unwrap(), text);
    }
    root.close().await.unwrap();
}

/// Property: a password of any characters logs in by its hash.
pub(crate) async fn any_password_logs_in(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("anypass");
    let wanted = desired(&names);
    create(provider.as_ref(), &wanted, &context.password()).await;
    for length in [0, 1, 2, 7, 15, 16, 31, 32, 33, 64, 255] {
        let mut text = format!("{CANARY}{}", random_text(length));
        // As long as MySQL takes them.
        while text.len() > 255 {
            text.pop();
        }
        let password = SecretString::from(text);
        let verifier = provider.verifier(&password);
        provider
            .ensure_role(&wanted, Some(&verifier))
            .await
            .unwrap();
        let login = provider.login(&names, &password).await.unwrap();
        assert_eq!(login, Login::Accepted, "{:?}", password.expose_secret());
        let wrong = SecretString::from(format!("{}x", password.expose_secret()));
        assert!(matches!(
            provider.login(&names, &wrong).await.unwrap(),
            Login::Refused(_)
        ));
    }
}

pub(crate) async fn a_password_that_is_too_long_is_told(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("longpass");
    let password = SecretString::from(format!("{CANARY}{}", "x".repeat(300)));
    create(provider.as_ref(), &desired(&names), &password).await;
    let login = provider.login(&names, &password).await.unwrap();
    if context.mariadb {
        assert_eq!(login, Login::Accepted);
    } else {
        assert!(
            matches!(&login, Login::Refused(text) if text.contains("255")),
            "{login:?}"
        );
    }
}

/// Characters that quoting and encodings stumble over, and some that they do not.
fn random_text(length: usize) -> String {
    const ALPHABET: &[char] = &[
        '\'', '"', '`', '\\', '%', '_', ' ', ';', '-', '#', '/', '*', '?', '@', '$', '{', '}',
        '\u{1f}', 'a', 'Z', '0', 'ä', 'ß', '漢', '\u{301}', '\u{200b}', '\u{ffee}',
    ];
    (0..length)
        .map(|_| ALPHABET[usize::from(rand::random::<u8>()) % ALPHABET.len()])
        .collect()
}
