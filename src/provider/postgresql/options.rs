//! Options of CREATE DATABASE: what this server supports of them, and the statement.

use serde::Deserialize;

use super::session::Session;
use super::template::{DEFAULT_TEMPLATE, template_of};
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{Desired, LocaleProvider, PostgresqlSettings, ProviderError};

/// From this version on, a database has a locale provider.
const ICU_SINCE: u32 = 150_000;

/// From this version on, PostgreSQL has locales of its own.
const BUILTIN_SINCE: u32 = 170_000;

/// From this version on, `PG_UNICODE_FAST` is one of them.
const UNICODE_FAST_SINCE: u32 = 180_000;

/// Encodings that a server can have but ICU cannot (`pg_enc2icu_tbl` in src/common/encnames.c), in upper case.
const NOT_FOR_ICU: [&str; 3] = ["SQL_ASCII", "MULE_INTERNAL", "EUC_JIS_2004"];

/// `lc_monetary` accepts any locale that the server's operating system has, and no other.
const TRY_LOCALE: &str = "SELECT to_json(set_config('lc_monetary', $1, true))::text";

/// An encoding (`$1`), which may be one that only clients have (from 35 on: `PG_ENCODING_BE_LAST` in pg_wchar.h), and an
/// ICU locale (`$2`); whether the database (`$3`) is still to be created. initdb makes a collation for each locale that ICU has, and ICU takes any language that it does not
/// know for its root.
const KNOWN: &str = "SELECT json_build_object(
  'encoding', $1::text IS NULL OR pg_char_to_encoding($1) BETWEEN 0 AND 34,
  'used', pg_encoding_to_char(coalesce(nullif(pg_char_to_encoding($1), -1), t.encoding)),
  'fresh', NOT EXISTS (SELECT FROM pg_database WHERE datname = $3),
  'icu', EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i'),
  'language', EXISTS (SELECT FROM pg_collation
    WHERE collprovider = 'i' AND collname = lower(split_part($2::text, '-', 1)) || '-x-icu'))::text
FROM pg_database t WHERE t.datname = 'template0'";

/// An encoding (`$1`) and a locale (`$2`) that do not match; either is the server's own if not given. Most locales name
/// their encoding. For one that does not (`C` matches any, `de_DE` does not), the server only says so when the database
/// is created.
const MISMATCH: &str = "WITH wanted AS (
  SELECT coalesce(pg_char_to_encoding($1::text), t.encoding) AS encoding, l.locale
  FROM pg_database t, unnest(ARRAY[coalesce($2::text, t.datctype), coalesce($2::text, t.datcollate)]) AS l (locale)
  WHERE t.datname = 'template0'
), pairs AS (
  SELECT w.encoding, w.locale, nullif(pg_char_to_encoding(substring(w.locale FROM '[.]([^@]+)')), -1) AS locales
  FROM wanted w
)
SELECT coalesce((SELECT json_build_object('encoding', pg_encoding_to_char(p.encoding), 'locale', p.locale,
    'locales', pg_encoding_to_char(p.locales))
  FROM pairs p CROSS JOIN pg_roles me
  WHERE me.rolname = current_user AND p.locales <> p.encoding
    AND NOT (me.rolsuper AND pg_encoding_to_char(p.encoding) = 'SQL_ASCII') LIMIT 1), 'null')::text";

#[derive(Deserialize)]
struct Known {
    encoding: bool,
    /// The encoding that the database would have.
    used: String,
    /// The database is still to be created.
    fresh: bool,
    /// The server has ICU.
    icu: bool,
    /// ICU knows the language.
    language: bool,
}

#[derive(Deserialize)]
struct Mismatch {
    encoding: String,
    locale: String,
    /// The encoding that the locale is for.
    locales: String,
}

impl Postgresql {
    /// Checks encoding, locale and locale provider of a database that is to be created. Those of one that exists cannot be
    /// changed, whatever the server has now.
    pub(super) async fn check_options(
        &self,
        session: &mut Session,
        desired: &Desired,
    ) -> Result<(), ProviderError> {
        let wanted = &desired.postgresql;
        let query = sqlx::query(KNOWN)
            .bind(wanted.encoding.as_deref())
            .bind(wanted.icu_locale.as_deref())
            .bind(desired.names.database.as_str());
        let known: Known = session.json("ask what the server offers", query).await?;
        if !known.fresh {
            return Ok(());
        }
        refuse_provider(wanted, session.version())?;
        refuse_unknown(wanted, &known)?;
        if let Some(locale) = &wanted.locale {
            try_locale(session, locale).await?;
        }
        match_encoding(session, wanted).await
    }
}

/// CREATE DATABASE, closed to everyone, and with this mark.
pub(super) fn create(
    desired: &Desired,
    mark: Option<i32>,
    version: u32,
) -> Result<String, ProviderError> {
    let wanted = &desired.postgresql;
    let template = template_of(wanted)?;
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE {} ALLOW_CONNECTIONS false",
        desired.names.database.postgresql(),
        quoted(template)
    );
    if let Some(mark) = mark {
        sql.extend([" CONNECTION LIMIT ", &mark.to_string()]);
    }
    // The options of any other template are as asked already, if in another spelling.
    if template != DEFAULT_TEMPLATE {
        return Ok(sql);
    }
    let mut option = |name: &str, value: &str| {
        sql.extend([" ", name, " ", &postgresql_literal(value)]);
    };
    if let Some(encoding) = &wanted.encoding {
        option("ENCODING", encoding);
    }
    if let Some(locale) = &wanted.locale {
        option("LC_COLLATE", locale);
        option("LC_CTYPE", locale);
    }
    if let Some(locale) = &wanted.icu_locale {
        option("ICU_LOCALE", locale);
    }
    if let Some(locale) = &wanted.builtin_locale {
        option("BUILTIN_LOCALE", locale);
    }
    // Without it, the database would have the provider of the template, whatever LC_COLLATE is.
    if let Some(provider) = wanted.effective_provider()
        && version >= ICU_SINCE
    {
        sql.extend([" LOCALE_PROVIDER ", provider.as_str()]);
    }
    Ok(sql)
}

/// Refuses a locale provider, or one of its locales, that came with a later version.
fn refuse_provider(wanted: &PostgresqlSettings, version: u32) -> Result<(), ProviderError> {
    let too_old = |what: &str, since: u32, instead: &str| {
        Err(ProviderError::Unsupported(format!(
            "{what} came with PostgreSQL {}, and this server is PostgreSQL {}: {instead}",
            since / 10_000,
            version / 10_000
        )))
    };
    match wanted.locale_provider {
        Some(LocaleProvider::Icu) if version < ICU_SINCE => too_old(
            "the locale provider icu of a database",
            ICU_SINCE,
            "leave out localeProvider and icuLocale, and use ICU collations for single columns",
        ),
        Some(LocaleProvider::Builtin)
            if wanted.builtin_locale.as_deref() == Some("PG_UNICODE_FAST")
                && version < UNICODE_FAST_SINCE =>
        {
            too_old(
                "the builtin locale PG_UNICODE_FAST",
                UNICODE_FAST_SINCE,
                "use C.UTF-8",
            )
        }
        Some(LocaleProvider::Builtin) if version < BUILTIN_SINCE => too_old(
            "the locale provider builtin",
            BUILTIN_SINCE,
            "leave out localeProvider and builtinLocale, and write locale: C for the same order",
        ),
        Some(LocaleProvider::Libc | LocaleProvider::Icu | LocaleProvider::Builtin) | None => Ok(()),
    }
}

fn refuse_unknown(wanted: &PostgresqlSettings, known: &Known) -> Result<(), ProviderError> {
    let refuse = |sentence: String| Err(ProviderError::Unsupported(sentence));
    if !known.encoding {
        return refuse(format!(
            "the server has no encoding {:?}: use UTF8, or see \"Character Set Support\" in its manual",
            wanted.encoding.as_deref().unwrap_or_default()
        ));
    }
    let encoding = known.used.as_str();
    if let Some(locale) = &wanted.icu_locale {
        if !known.icu {
            return refuse(
                "the server was built without ICU: use localeProvider libc or builtin".to_owned(),
            );
        }
        if !known.language {
            return refuse(format!(
                "the server's ICU does not know the language of {locale:?}: use one that begins like a collation in SELECT \
                 collname FROM pg_collation WHERE collprovider = 'i', for example de-DE, or und for none"
            ));
        }
        if NOT_FOR_ICU.contains(&encoding) {
            return refuse(format!(
                "ICU does not support the encoding {encoding}: use UTF8, or localeProvider libc"
            ));
        }
    }
    if let Some(locale) = wanted.builtin_locale.as_deref()
        && locale != "C"
        && encoding != "UTF8"
    {
        return refuse(format!(
            "the builtin locale {locale} is for the encoding UTF8 and not for {encoding}: set encoding to UTF8, or \
             builtinLocale to C"
        ));
    }
    Ok(())
}

async fn try_locale(session: &mut Session, locale: &str) -> Result<(), ProviderError> {
    let query = sqlx::query(TRY_LOCALE).bind(locale);
    match session.json::<String>("try a locale", query).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.code() == Some("22023") => {
            Err(ProviderError::Unsupported(format!(
                "the server's operating system has no locale {locale:?}: choose one of `locale -a` there, or an ICU locale \
                 with localeProvider icu and icuLocale"
            )))
        }
        Err(failure) => Err(failure.into()),
    }
}

async fn match_encoding(
    session: &mut Session,
    wanted: &PostgresqlSettings,
) -> Result<(), ProviderError> {
    let query = sqlx::query(MISMATCH)
        .bind(wanted.encoding.as_deref())
        .bind(wanted.locale.as_deref());
    let doing = "compare an encoding with a locale";
    match session.json::<Option<Mismatch>>(doing, query).await? {
        None => Ok(()),
        Some(Mismatch {
            encoding,
            locale,
            locales,
        }) => Err(ProviderError::Unsupported(format!(
            "the locale {locale:?} is for the encoding {locales} and not for {encoding}: set spec.postgresql.locale to C, \
             or to one of `locale -a` on the server that is for {encoding}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{MysqlSettings, Names, SqlName};

    fn desired(postgresql: PostgresqlSettings) -> Desired {
        Desired {
            names: Names {
                database: SqlName::new("orders").unwrap(),
                role: SqlName::new("orders").unwrap(),
            },
            connection_limit: None,
            postgresql,
            mysql: MysqlSettings::default(),
        }
    }

    #[test]
    fn a_locale_alone_is_one_of_libc_where_there_are_others() {
        let wanted = desired(PostgresqlSettings {
            locale: Some("C".to_owned()),
            ..PostgresqlSettings::default()
        });
        let new = create(&wanted, None, 150_000).unwrap();
        assert!(
            new.ends_with("LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc"),
            "{new}"
        );
        let old = create(&wanted, Some(7), 140_000).unwrap();
        assert!(
            old.ends_with("CONNECTION LIMIT 7 LC_COLLATE 'C' LC_CTYPE 'C'"),
            "{old}"
        );
        let nothing = create(&desired(PostgresqlSettings::default()), None, 180_000).unwrap();
        assert!(
            nothing.ends_with("TEMPLATE \"template0\" ALLOW_CONNECTIONS false"),
            "{nothing}"
        );
    }

    #[test]
    fn a_template_is_only_copied_where_the_platform_allows_it() {
        let mut settings = PostgresqlSettings {
            template: Some(SqlName::new("base").unwrap()),
            encoding: Some("UTF8".to_owned()),
            allowed_templates: vec!["other".to_owned()],
            ..PostgresqlSettings::default()
        };
        let error = create(&desired(settings.clone()), None, 170_000).unwrap_err();
        assert!(error.to_string().contains("allowedTemplates"), "{error}");
        settings.allowed_templates.push("base".to_owned());
        let sql = create(&desired(settings), None, 170_000).unwrap();
        assert!(
            sql.contains("TEMPLATE \"base\"") && !sql.contains("ENCODING"),
            "{sql}"
        );
    }

    #[test]
    fn what_came_with_a_later_version_is_refused_with_both_versions() {
        let of = |locale_provider, builtin_locale: Option<&str>| PostgresqlSettings {
            locale_provider: Some(locale_provider),
            builtin_locale: builtin_locale.map(str::to_owned),
            ..PostgresqlSettings::default()
        };
        for (wanted, since) in [
            (of(LocaleProvider::Libc, None), 0),
            (of(LocaleProvider::Icu, None), 15),
            (of(LocaleProvider::Builtin, Some("C.UTF-8")), 17),
            (of(LocaleProvider::Builtin, Some("PG_UNICODE_FAST")), 18),
        ] {
            for series in 14..=18 {
                let answer = refuse_provider(&wanted, series * 10_000 + 3);
                assert_eq!(answer.is_ok(), series >= since, "{series}: {answer:?}");
                if let Err(error) = answer {
                    let text = error.to_string();
                    assert!(text.contains(&since.to_string()), "{text}");
                    assert!(text.contains(&series.to_string()), "{text}");
                }
            }
        }
    }
}
