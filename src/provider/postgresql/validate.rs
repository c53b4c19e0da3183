//! Refuses what the server does not support, before anything is created.

use serde::Deserialize;

use super::Postgresql;
use super::session::Session;
use crate::provider::{Desired, ProviderError};

/// `lc_monetary` accepts any locale that the server's operating system has, and no other.
const TRY_LOCALE: &str = "SELECT to_json(set_config('lc_monetary', $1, true))::text";

const OFFERS: &str = "SELECT json_build_object(
  'encoding', $1::text IS NULL OR pg_char_to_encoding($1) >= 0,
  'extensions', (SELECT coalesce(json_object_agg(x.name, coalesce(v.trusted, false) OR NOT coalesce(v.superuser, true)), '{}')
    FROM pg_available_extensions x
    LEFT JOIN pg_available_extension_versions v ON v.name = x.name AND v.version = x.default_version
    WHERE x.name = ANY ($2)))::text";

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
struct Offers {
    encoding: bool,
    /// Whether it is trusted, by extension.
    extensions: std::collections::HashMap<String, bool>,
}

#[derive(Deserialize)]
struct Mismatch {
    encoding: String,
    locale: String,
    /// The encoding that the locale is for.
    locales: String,
}

impl Postgresql {
    pub(super) async fn check_supported(&self, desired: &Desired) -> Result<(), ProviderError> {
        self.refuse_reserved(&desired.names)?;
        refuse_scram_unsafe(desired.names.role.as_str())?;
        let wanted = &desired.postgresql;
        if wanted.encoding.is_none() && wanted.locale.is_none() && wanted.extensions.is_empty() {
            return Ok(());
        }
        let mut session = self.session().await?;
        if wanted.encoding.is_some() || !wanted.extensions.is_empty() {
            let names: Vec<&str> = wanted
                .extensions
                .iter()
                .map(|extension| extension.name.as_str())
                .collect();
            let query = sqlx::query(OFFERS)
                .bind(wanted.encoding.as_deref())
                .bind(names);
            let offers: Offers = session.json("ask what the server offers", query).await?;
            compare(desired, &offers)?;
        }
        if let Some(locale) = &wanted.locale {
            try_locale(&mut session, locale).await?;
        }
        if wanted.encoding.is_some() || wanted.locale.is_some() {
            match_encoding(&mut session, desired).await?;
        }
        Ok(())
    }
}

async fn try_locale(session: &mut Session, locale: &str) -> Result<(), ProviderError> {
    let query = sqlx::query(TRY_LOCALE).bind(locale);
    match session.json::<String>("try a locale", query).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.code() == Some("22023") => {
            Err(ProviderError::Unsupported(format!(
                "the server's operating system has no locale {locale:?}: choose one of `locale -a` there"
            )))
        }
        Err(failure) => Err(failure.into()),
    }
}

async fn match_encoding(session: &mut Session, desired: &Desired) -> Result<(), ProviderError> {
    let wanted = &desired.postgresql;
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

fn compare(desired: &Desired, offers: &Offers) -> Result<(), ProviderError> {
    let wanted = &desired.postgresql;
    if !offers.encoding {
        return Err(ProviderError::Unsupported(format!(
            "the server has no encoding {:?}: use UTF8, or see \"Character Set Support\" in its manual",
            wanted.encoding.as_deref().unwrap_or_default()
        )));
    }
    for extension in &wanted.extensions {
        let name = extension.name.as_str();
        match offers.extensions.get(name) {
            Some(true) => {}
            Some(false)
                if wanted
                    .allowed_extensions
                    .iter()
                    .any(|allowed| allowed == name) => {}
            Some(false) => {
                return Err(ProviderError::Unsupported(format!(
                    "the extension {name:?} is not trusted by the server: have the platform team list it in the \
                     instance's spec.postgresql.allowedExtensions, or take it out of spec.postgresql.extensions"
                )));
            }
            None => {
                return Err(ProviderError::Unsupported(format!(
                    "the server has no extension {name:?}: install its package there, or take it out of \
                     spec.postgresql.extensions"
                )));
            }
        }
    }
    Ok(())
}

/// The driver puts the user's name into a SCRAM message unescaped, where a comma would end it.
fn refuse_scram_unsafe(role: &str) -> Result<(), ProviderError> {
    if role.contains(',') || stringprep::saslprep(role).is_err() {
        return Err(ProviderError::Unsupported(format!(
            "the user name {role:?} cannot log in with SCRAM: leave out commas and what SASLprep (RFC 4013) prohibits"
        )));
    }
    Ok(())
}
