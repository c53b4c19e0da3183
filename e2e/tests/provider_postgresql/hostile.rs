//! Names and passwords that break others.

use std::time::{SystemTime, UNIX_EPOCH};

use db_operator::provider::ident::{postgresql_identifier, postgresql_literal};
use db_operator::provider::{Login, ProviderError, Removal, Removed, SqlName, Verifier};
use secrecy::{ExposeSecret, SecretString};
use sqlx::AssertSqlSafe;

use crate::fixture::{CANARY, Fixture, ask, desired, names, password};

const NAMES: &[&str] = &[
    "MyDataBase",
    "with-dash",
    "with.dot",
    " leading and trailing ",
    "dätä-基",
    "we'ird",
    "we\"ird",
    "back`tick",
    "back\\slash",
    "x\"; create role pwned superuser; --",
    "'; drop table claims; --",
    "p_c%t$1{0}?",
    "select",
    "user",
    "$$",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
];

const ALPHABET: &[char] = &[
    'a', 'B', '0', '_', '-', '.', ' ', '"', '\'', '`', '\\', '$', '%', ';', ':', '/', '@', '?',
    '#', '&', '+', '=', '(', ')', '{', '}', '[', ']', '<', '>', '|', '~', '^', '!', '*', 'é', 'ß',
    'Ж', '中', 'ﬁ', '½', '\u{a0}', '\u{300}',
];

/// Numbers that look random, from a seed that a failure prints.
struct Dice(u64);

impl Dice {
    fn new(what: &str) -> Self {
        let seed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .subsec_nanos();
        eprintln!("{what}: seed {seed}");
        Self(u64::from(seed) | 1)
    }

    /// xorshift64*, Vigna 2014.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(
            (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % u64::try_from(limit).unwrap(),
        )
        .unwrap()
    }

    fn text(&mut self, longest: usize) -> String {
        let length = 1 + self.below(longest);
        (0..length)
            .map(|_| ALPHABET[self.below(ALPHABET.len())])
            .collect()
    }
}

pub(crate) async fn names_are_kept_as_they_are(fixture: &mut Fixture) {
    let provider = fixture.provider("names");
    let mut dice = Dice::new("names");
    let mut all: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    all.extend((0..6).map(|n| format!("{n}{}", dice.text(14))));
    let before = fixture
        .ask("postgres", "SELECT count(*)::text FROM pg_roles")
        .await;
    for name in &all {
        let wanted = desired(name);
        assert_eq!(provider.validate(&wanted).await, Ok(()), "{name}");
        fixture
            .make(&*provider, "names", &wanted, &password("names"))
            .await;
        let mut superuser = fixture.superuser("postgres").await;
        for catalog in [
            "SELECT datname::text FROM pg_database WHERE datname = $1",
            "SELECT rolname::text FROM pg_roles WHERE rolname = $1",
        ] {
            let found: Option<String> = sqlx::query_scalar(catalog)
                .bind(name)
                .fetch_optional(&mut superuser)
                .await
                .unwrap();
            assert_eq!(found.as_ref(), Some(name));
        }
        assert_eq!(
            provider.ensure_database(&wanted).await,
            Ok(vec![]),
            "{name}"
        );
    }
    assert_eq!(provider.survey().await.unwrap().databases.len(), {
        let count = fixture
            .ask(
                "db_operator",
                "SELECT count(*)::text FROM db_operator.claims",
            )
            .await;
        let missing = fixture
            .ask("db_operator", "SELECT count(*)::text FROM db_operator.claims c WHERE NOT EXISTS (SELECT FROM pg_database d WHERE d.datname = c.database_name)")
            .await;
        count[0].parse::<usize>().unwrap() - missing[0].parse::<usize>().unwrap()
    });
    for name in &all {
        let removal = Removal {
            names: names(name, name),
            database: true,
            role: true,
        };
        assert_eq!(
            provider.remove(&removal).await.unwrap(),
            Removed::Done,
            "{name}"
        );
        let observed = provider.observe(&removal.names).await.unwrap();
        assert_eq!((observed.database, observed.role), (None, None), "{name}");
        provider.forget_claim(&observed.claims[0]).await.unwrap();
    }
    assert_eq!(
        fixture
            .ask("postgres", "SELECT count(*)::text FROM pg_roles")
            .await,
        before,
        "no other role was made"
    );
    provider.close().await;
}

pub(crate) async fn literals_come_back_as_they_were(fixture: &mut Fixture) {
    let mut dice = Dice::new("literals");
    let mut session = fixture.superuser("postgres").await;
    for setting in ["on", "off"] {
        sqlx::raw_sql(AssertSqlSafe(format!(
            "SET standard_conforming_strings = {setting}; SET escape_string_warning = off"
        )))
        .execute(&mut session)
        .await
        .unwrap();
        for _ in 0..200 {
            let text = dice.text(40);
            assert_eq!(
                ask(
                    &mut session,
                    &format!("SELECT {}", postgresql_literal(&text))
                )
                .await,
                [text.as_str()]
            );
            if let Ok(name) = SqlName::new(text.chars().take(12).collect::<String>()) {
                let sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'pg_temp.t'::regclass AND attnum = 1";
                let make = format!("CREATE TEMPORARY TABLE t ({} int)", name.postgresql());
                sqlx::raw_sql(AssertSqlSafe(make))
                    .execute(&mut session)
                    .await
                    .unwrap();
                assert_eq!(ask(&mut session, sql).await, [name.as_str()]);
                sqlx::raw_sql("DROP TABLE pg_temp.t")
                    .execute(&mut session)
                    .await
                    .unwrap();
                assert_eq!(postgresql_identifier(name.as_str()), name.postgresql());
            }
        }
    }
}

pub(crate) async fn passwords_of_any_character_log_in(fixture: &mut Fixture) {
    let provider = fixture.provider("passwords");
    let wanted = desired("passwords");
    fixture
        .make(&*provider, "passwords", &wanted, &password("passwords"))
        .await;
    let mut dice = Dice::new("passwords");
    let fixed = [
        "p@ss/w:rd%#?&=+ '\"\\ é$1",
        "'",
        "\\",
        "x' WITH SUPERUSER -- ",
        " ",
        "ﬁ½ª\u{a0}\u{300}",
        "{{handlebars}}",
    ];
    let mut all: Vec<String> = fixed.iter().map(|rest| format!("{CANARY}{rest}")).collect();
    all.extend((0..8).map(|_| format!("{CANARY}{}", dice.text(60))));
    for text in all {
        let secret = SecretString::from(text.clone());
        let verifier = provider.verifier(&secret);
        provider
            .ensure_role(&wanted, Some(&verifier))
            .await
            .unwrap();
        assert_eq!(
            provider.login(&wanted.names, &secret).await.unwrap(),
            Login::Accepted,
            "{text}"
        );
    }
    // What SASLprep prohibits is hashed byte by byte by server and verifier alike; the driver cannot log in with it,
    // and that is said.
    let odd = SecretString::from(format!("{CANARY}\u{7}bell 🦀"));
    let verifier = provider.verifier(&odd);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    let answer = provider.login(&wanted.names, &odd).await.unwrap();
    let Login::Unusable(sentence) = answer else {
        panic!("{answer:?}")
    };
    assert!(sentence.contains("U+0007"), "{sentence}");
    assert!(!sentence.contains(CANARY), "{sentence}");
    assert!(!format!("{odd:?}{verifier:?}").contains(odd.expose_secret()));
    provider.close().await;
}

pub(crate) async fn reserved_and_powerful_names_are_never_touched(fixture: &mut Fixture) {
    let provider = fixture.provider("reserved");
    let verifier = Verifier::scram_sha_256("never-used");
    let state = "SELECT md5(string_agg(r::text, ',' ORDER BY rolname)) FROM pg_authid r";
    fixture.run("postgres", "CREATE ROLE powerful REPLICATION; CREATE ROLE chief SUPERUSER; CREATE ROLE member IN ROLE chief").await;
    let before = fixture.ask("postgres", state).await;
    for (database, role) in [
        ("postgres", "x"),
        ("template1", "x"),
        ("db_operator", "x"),
        ("x", "postgres"),
        ("x", "pg_monitor"),
        ("x", "the-operator"),
        ("rdsadmin", "x"),
        ("x", "powerful"),
        ("x", "chief"),
        ("x", "member"),
    ] {
        let mut wanted = desired("x");
        wanted.names = names(database, role);
        let made = provider.ensure_role(&wanted, Some(&verifier)).await;
        let owned = if made.is_ok() {
            provider.ensure_database(&wanted).await
        } else {
            made.clone()
        };
        assert!(
            matches!(
                owned,
                Err(ProviderError::Unsupported(_) | ProviderError::InTheWay(_))
            ),
            "{database} {role}: {made:?} {owned:?}"
        );
        if role != "x" || database != "x" {
            let removal = Removal {
                names: wanted.names.clone(),
                database: true,
                role: true,
            };
            let removed = provider.remove(&removal).await;
            assert!(
                matches!(
                    removed,
                    Err(ProviderError::Unsupported(_) | ProviderError::InTheWay(_))
                ),
                "{removed:?}"
            );
        }
    }
    assert_eq!(fixture.ask("postgres", state).await, before);
    let powers = provider
        .observe(&names("x", "member"))
        .await
        .unwrap()
        .role
        .unwrap()
        .powers;
    assert_eq!(powers, ["membership in chief"]);
    fixture
        .run("postgres", "DROP ROLE powerful, member, chief")
        .await;
    provider.close().await;
}

/// Runs last: every password of every scenario holds the canary, and statement logging is on, failures included.
pub(crate) async fn no_log_holds_a_password(fixture: &mut Fixture) {
    // A statement that fails is logged even where logging is off.
    let provider = fixture.provider("logs");
    fixture.run("postgres", "CREATE ROLE immovable LOGIN").await;
    let verifier = provider.verifier(&password("failed"));
    let failed = provider
        .ensure_role(&desired("immovable"), Some(&verifier))
        .await;
    assert_eq!(failed.is_err(), fixture.series() >= 16, "{failed:?}");
    let log = fixture.server.log().unwrap();
    assert!(log.contains("SCRAM-SHA-256$4096:"), "statements are logged");
    for (number, line) in log.lines().enumerate() {
        assert!(
            !line.contains(CANARY),
            "line {number} of the server's log holds a password: {line}"
        );
    }
    provider.close().await;
}
