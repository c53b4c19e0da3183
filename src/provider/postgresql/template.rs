//! The database that a new one is a copy of: whether that is allowed, and whether it can be copied now.

use serde::Deserialize;

use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::{CreationOptions, Desired, PostgresqlSettings, ProviderError, SqlName};

/// What a database is a copy of unless another template is asked for: it has no sessions, and nothing undeclared in it.
pub(super) const DEFAULT_TEMPLATE: &str = "template0";

/// The template (`$1`), unless the database (`$2`) exists. Whoever makes a copy has to own a database that is no
/// template; a prepared transaction counts as a session. Of sessions of others, not everyone sees what they are.
const TEMPLATE: &str = "SELECT json_build_object(
  'needed', NOT EXISTS (SELECT FROM pg_database WHERE datname = $2),
  'template', (SELECT json_build_object(
    'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
    'locale_provider', CASE coalesce(column_of ->> 'datlocprovider', 'c') WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu'
      WHEN 'b' THEN 'builtin' ELSE column_of ->> 'datlocprovider' END,
    'provider_locale', coalesce(column_of ->> 'datlocale', column_of ->> 'daticulocale'),
    'copyable', d.datistemplate OR pg_has_role(d.datdba, 'USAGE'),
    'interrupted', d.datconnlimit = -2,
    'sessions', (SELECT count(*) FROM pg_stat_activity a
        WHERE a.datid = d.oid AND a.backend_type IS DISTINCT FROM 'autovacuum worker')
      + (SELECT count(*) FROM pg_prepared_xacts p WHERE p.database = d.datname))
    FROM pg_database d CROSS JOIN LATERAL to_jsonb(d) AS column_of WHERE d.datname = $1))::text";

#[derive(Deserialize)]
struct TemplateAnswer {
    needed: bool,
    template: Option<Template>,
}

#[derive(Deserialize)]
struct Template {
    encoding: String,
    collate: String,
    ctype: String,
    locale_provider: String,
    provider_locale: Option<String>,
    copyable: bool,
    /// Its DROP DATABASE was.
    interrupted: bool,
    sessions: u64,
}

impl Postgresql {
    /// Checks the template of a database that does not exist yet.
    pub(super) async fn check_template(
        &self,
        session: &mut Session,
        desired: &Desired,
        template: &SqlName,
    ) -> Result<(), ProviderError> {
        let query = sqlx::query(TEMPLATE)
            .bind(template.as_str())
            .bind(desired.names.database.as_str());
        let answer: TemplateAnswer = session.json("look at the template", query).await?;
        if !answer.needed {
            return Ok(());
        }
        let name = template_of(&desired.postgresql)?;
        if name == DEFAULT_TEMPLATE {
            return Ok(());
        }
        let Some(found) = answer.template else {
            return Err(ProviderError::Unsupported(format!(
                "the server has no database {name:?} to make a copy of: correct spec.postgresql.template, or leave it out"
            )));
        };
        found.refuse_unusable(name, &self.config.username, &desired.postgresql)?;
        if found.sessions > 0 {
            return Err(in_use(
                desired,
                name,
                &format!("it has {} of them", found.sessions),
            ));
        }
        Ok(())
    }
}

impl Template {
    fn refuse_unusable(
        &self,
        name: &str,
        administrator: &str,
        wanted: &PostgresqlSettings,
    ) -> Result<(), ProviderError> {
        let identifier = quoted(name);
        if self.interrupted {
            return Err(ProviderError::Unsupported(format!(
                "a DROP DATABASE of the template {name:?} was interrupted, so it can only be dropped: choose another one"
            )));
        }
        if !self.copyable {
            return Err(ProviderError::NotPermitted {
                doing: format!("make a copy of the database {name:?}"),
                detail: format!("it is not a template and does not belong to {administrator:?}"),
                grant: format!("ALTER DATABASE {identifier} IS_TEMPLATE true"),
            });
        }
        let differences = self.options().differences(wanted);
        if differences.is_empty() {
            return Ok(());
        }
        Err(ProviderError::Unsupported(format!(
            "a copy of the template {name:?} has its options, and {}: leave them out of spec.postgresql, or leave out \
             spec.postgresql.template",
            differences.join(", ")
        )))
    }

    fn options(&self) -> CreationOptions {
        CreationOptions {
            encoding: self.encoding.clone(),
            locale_provider: self.locale_provider.clone(),
            collate: self.collate.clone(),
            ctype: self.ctype.clone(),
            provider_locale: self.provider_locale.clone(),
        }
    }
}

/// The template of a new database, if the platform team allows it.
pub(super) fn template_of(wanted: &PostgresqlSettings) -> Result<&str, ProviderError> {
    let Some(template) = &wanted.template else {
        return Ok(DEFAULT_TEMPLATE);
    };
    let name = template.as_str();
    let mut allowed = wanted.allowed_templates.iter();
    if name == DEFAULT_TEMPLATE || allowed.any(|allowed| allowed == name) {
        return Ok(name);
    }
    Err(ProviderError::Unsupported(format!(
        "the instance does not allow {name:?} as a template: have the platform team list it in the instance's \
         spec.postgresql.allowedTemplates, or leave out spec.postgresql.template"
    )))
}

/// The template has sessions. They may end at any time, so it is tried again.
pub(super) fn in_use(desired: &Desired, template: &str, detail: &str) -> ProviderError {
    let identifier = quoted(template);
    ProviderError::Busy {
        doing: format!(
            "making the database {:?} as a copy of {template:?}",
            desired.names.database
        ),
        detail: format!(
            "a template is copied while no one has a session in it ({detail}); to keep it so, run: ALTER DATABASE {identifier} \
             ALLOW_CONNECTIONS false"
        ),
    }
}
