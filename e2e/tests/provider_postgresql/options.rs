//! Options of creation: which locale provider a database gets, and how one that exists differs from what is asked for.

use db_operator::provider::{
    CreationOptions, Desired, LocaleProvider, PostgresqlSettings, Provider, ProviderError,
};

use crate::fixture::{CANARY, Fixture, ask, desired, password};

fn asking(name: &str, postgresql: PostgresqlSettings) -> Desired {
    Desired {
        postgresql,
        ..desired(name)
    }
}

fn locale(locale: &str) -> PostgresqlSettings {
    PostgresqlSettings {
        locale: Some(locale.to_owned()),
        ..PostgresqlSettings::default()
    }
}

fn icu(locale: &str) -> PostgresqlSettings {
    PostgresqlSettings {
        locale_provider: Some(LocaleProvider::Icu),
        icu_locale: Some(locale.to_owned()),
        ..PostgresqlSettings::default()
    }
}

fn builtin(locale: &str) -> PostgresqlSettings {
    PostgresqlSettings {
        locale_provider: Some(LocaleProvider::Builtin),
        builtin_locale: Some(locale.to_owned()),
        ..PostgresqlSettings::default()
    }
}

async fn options(provider: &dyn Provider, wanted: &Desired) -> CreationOptions {
    let observed = provider.observe(&wanted.names).await.unwrap();
    observed.database.unwrap().options.unwrap()
}

/// What is refused is refused before anything is made.
async fn refused(provider: &dyn Provider, wanted: &Desired) -> String {
    match provider.validate(wanted).await {
        Err(ProviderError::Unsupported(sentence)) => sentence,
        other => panic!("{:?}: {other:?}", wanted.postgresql),
    }
}

/// Makes the database, and returns its options. Nothing of what was asked for differs from them.
async fn made(fixture: &Fixture, provider: &dyn Provider, wanted: &Desired) -> CreationOptions {
    assert_eq!(provider.validate(wanted).await, Ok(()));
    let name = wanted.names.database.as_str();
    fixture.make(provider, name, wanted, &password(name)).await;
    let options = options(provider, wanted).await;
    let none: [String; 0] = [];
    assert_eq!(options.differences(&wanted.postgresql), none, "{options:?}");
    options
}

/// How a database orders words: `B` before `a` is the order of C.
async fn order(fixture: &Fixture, database: &str) -> String {
    let secret = format!("{CANARY}-{database}");
    let mut session = fixture.session(database, &secret, database).await.unwrap();
    let words = "SELECT string_agg(word, '' ORDER BY word) FROM (VALUES ('a'), ('B')) AS w (word)";
    ask(&mut session, words).await.remove(0)
}

pub(crate) async fn a_server_of_icu_makes_what_is_asked_for(fixture: &mut Fixture) {
    let server = &*fixture;
    for (name, postgresql, provider_is, locale_is, order_is) in [
        (
            "icu-own",
            PostgresqlSettings::default(),
            "icu",
            Some("en-US"),
            "aB",
        ),
        ("icu-c", locale("C"), "libc", None, "Ba"),
        ("icu-de", icu("de-DE"), "icu", Some("de-DE"), "aB"),
        (
            "icu-book",
            icu("de-DE-u-co-phonebk-kn-true"),
            "icu",
            None,
            "aB",
        ),
    ] {
        let provider = server.provider(name);
        let wanted = asking(name, postgresql);
        let options = made(server, &*provider, &wanted).await;
        assert_eq!(options.locale_provider, provider_is, "{name}");
        if let Some(expected) = locale_is {
            assert_eq!(options.provider_locale.as_deref(), Some(expected), "{name}");
        }
        assert_eq!(order(server, name).await, order_is, "{name}");
        provider.close().await;
    }
}

pub(crate) async fn each_version_has_its_locale_providers(fixture: &mut Fixture) {
    let series = fixture.series();
    let provider = fixture.provider("providers");
    for (name, postgresql, since, order_is) in [
        ("provider-libc", locale("C"), 14, "Ba"),
        ("provider-icu", icu("de-DE"), 15, "aB"),
        ("provider-builtin", builtin("C.UTF-8"), 17, "Ba"),
        ("provider-fast", builtin("PG_UNICODE_FAST"), 18, "Ba"),
    ] {
        let wanted = asking(name, postgresql);
        if series < since {
            let sentence = refused(&*provider, &wanted).await;
            assert!(
                sentence.contains(&format!("PostgreSQL {since}")),
                "{sentence}"
            );
            continue;
        }
        let provider = fixture.provider(name);
        made(fixture, &*provider, &wanted).await;
        assert_eq!(order(fixture, name).await, order_is, "{name}");
        provider.close().await;
    }
    if series >= 15 {
        for unknown in ["xx-XX", "nonsense", "c"] {
            let sentence = refused(&*provider, &asking("refused-icu", icu(unknown))).await;
            assert!(sentence.contains("does not know"), "{sentence}");
        }
        let mut wanted = asking("refused-icu", icu("de-DE"));
        wanted.postgresql.encoding = Some("SQL_ASCII".to_owned());
        wanted.postgresql.locale = Some("C".to_owned());
        let sentence = refused(&*provider, &wanted).await;
        assert!(sentence.contains("SQL_ASCII"), "{sentence}");
    }
    if series >= 17 {
        let mut wanted = asking("refused-builtin", builtin("C.UTF-8"));
        wanted.postgresql.encoding = Some("LATIN1".to_owned());
        wanted.postgresql.locale = Some("C".to_owned());
        let sentence = refused(&*provider, &wanted).await;
        assert!(sentence.contains("LATIN1"), "{sentence}");
    }
    // An encoding of clients alone.
    let mut wanted = asking("refused-encoding", locale("C"));
    wanted.postgresql.encoding = Some("SJIS".to_owned());
    refused(&*provider, &wanted).await;
    let roles = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'refused-%'";
    assert_eq!(fixture.ask("postgres", roles).await, [""; 0]);
    provider.close().await;
}

pub(crate) async fn what_exists_is_compared_with_what_is_asked_for(fixture: &mut Fixture) {
    let provider = fixture.provider("compared");
    let mut wanted = asking("compared", locale("C"));
    wanted.postgresql.encoding = Some("unicode".to_owned());
    let options = made(fixture, &*provider, &wanted).await;
    wanted.postgresql.encoding = Some("LATIN1".to_owned());
    wanted.postgresql.locale = Some("C.UTF-8".to_owned());
    assert_eq!(
        options.differences(&wanted.postgresql),
        [
            "its encoding is UTF8, not LATIN1",
            "its locale is C, not C.UTF-8"
        ]
    );
    let survey = provider.survey().await.unwrap();
    assert_eq!(
        survey.of(&wanted.names).database.unwrap().options,
        Some(options)
    );
    provider.close().await;
}
