//! The server as a whole, and whether it can hold what is wanted.

use serde::Deserialize;

use super::identity::identity;
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::pool::Session as _;
use crate::provider::{Desired, Flavour, Inspection, MissingPrivilege, ProviderError};

const FACTS: &str = "SELECT json_build_object(
  'version', current_setting('server_version'),
  'number', current_setting('server_version_num')::int,
  'tls', (SELECT s.version || ' ' || s.cipher FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl),
  'read_only', pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
  'superuser', r.rolsuper, 'creates_databases', r.rolcreatedb, 'creates_roles', r.rolcreaterole,
  'inherits', r.rolinherit)::text
FROM pg_roles r WHERE r.rolname = current_user";

/// `lc_monetary` takes any locale that the server's operating system has and refuses others.
const TRY_LOCALE: &str = "SELECT to_json(set_config('lc_monetary', $1, true))::text";

const OFFERS: &str = "SELECT json_build_object(
  'encoding', $1::text IS NULL OR pg_char_to_encoding($1) >= 0,
  'extensions', (SELECT coalesce(json_object_agg(x.name, coalesce(v.trusted, false) OR NOT coalesce(v.superuser, true)), '{}')
    FROM pg_available_extensions x
    LEFT JOIN pg_available_extension_versions v ON v.name = x.name AND v.version = x.default_version
    WHERE x.name = ANY ($2)))::text";

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of the catalog")]
struct Facts {
    version: String,
    number: u32,
    tls: Option<String>,
    read_only: bool,
    superuser: bool,
    creates_databases: bool,
    creates_roles: bool,
    inherits: bool,
}

#[derive(Deserialize)]
struct Offers {
    encoding: bool,
    /// Whether it is trusted, by extension.
    extensions: std::collections::HashMap<String, bool>,
}

impl Postgresql {
    pub(super) async fn find_out(&self) -> Result<Inspection, ProviderError> {
        match self.home().await {
            Ok(mut home) => {
                self.forget_ended(&mut home).await?;
                self.examine(&mut home).await
            }
            // Where the operator's own database cannot be made, or must not, there is no fence, and nothing is written.
            Err(
                reason @ (ProviderError::ReadOnly { .. }
                | ProviderError::NotPermitted { .. }
                | ProviderError::IdentityChanged { .. }),
            ) => {
                let _slot = self.pool.visit().await?;
                let mut session = self
                    .connect(self.config.maintenance_database.as_str())
                    .await?;
                let result = self.examine(&mut session).await;
                session.close().await;
                result.map(|inspection| Self::with(inspection, reason))
            }
            Err(error) => Err(error),
        }
    }

    async fn examine(&self, session: &mut Session) -> Result<Inspection, ProviderError> {
        let facts: Facts = session
            .json("look at the server", sqlx::query(FACTS))
            .await?;
        Ok(Inspection {
            flavour: Flavour::Postgresql,
            series: (facts.number / 10_000).to_string(),
            tls: facts.tls.clone(),
            identity: identity(session).await?,
            read_only: facts.read_only,
            missing: self.missing(&facts),
            // "15.18 (Debian 15.18-0+deb12u1)"
            version: facts
                .version
                .split(' ')
                .next()
                .unwrap_or(&facts.version)
                .to_owned(),
        })
    }

    fn missing(&self, facts: &Facts) -> Vec<MissingPrivilege> {
        let administrator = quoted(&self.config.username);
        let needs = [
            (facts.creates_databases, "make databases", "CREATEDB"),
            (facts.creates_roles, "make users", "CREATEROLE"),
            // From 16 on each membership says itself whether it is inherited.
            (
                facts.inherits || facts.number >= 160_000,
                "act for the owners of databases",
                "INHERIT",
            ),
        ];
        needs
            .into_iter()
            .filter(|(has, ..)| !has && !facts.superuser)
            .map(|(_, needed_for, attribute)| MissingPrivilege {
                needed_for: needed_for.to_owned(),
                grant: format!("ALTER ROLE {administrator} {attribute}"),
            })
            .collect()
    }

    /// Adds why the operator's own database could not be used, unless that is known by now.
    fn with(mut inspection: Inspection, reason: ProviderError) -> Inspection {
        if let ProviderError::NotPermitted { doing, grant, .. } = reason
            && !inspection
                .missing
                .iter()
                .any(|missing| missing.grant == grant)
        {
            inspection.missing.push(MissingPrivilege {
                needed_for: doing,
                grant,
            });
        }
        inspection
    }

    pub(super) async fn check(&self, desired: &Desired) -> Result<(), ProviderError> {
        self.refuse_reserved(&desired.names)?;
        refuse_scram_unsafe(desired.names.role.as_str())?;
        let wanted = &desired.postgresql;
        if wanted.encoding.is_none() && wanted.locale.is_none() && wanted.extensions.is_empty() {
            return Ok(());
        }
        let mut home = self.home().await?;
        if wanted.encoding.is_some() || !wanted.extensions.is_empty() {
            let names: Vec<&str> = wanted
                .extensions
                .iter()
                .map(|extension| extension.name.as_str())
                .collect();
            let query = sqlx::query(OFFERS)
                .bind(wanted.encoding.as_deref())
                .bind(names);
            let offers: Offers = home.json("ask what the server offers", query).await?;
            compare(desired, &offers)?;
        }
        if let Some(locale) = &wanted.locale {
            let query = sqlx::query(TRY_LOCALE).bind(locale);
            match home.json::<String>("try a locale", query).await {
                Ok(_) => {}
                Err(failure) if failure.code() == Some("22023") => {
                    return Err(ProviderError::Unsupported(format!(
                        "the server's operating system has no locale {locale:?}: choose one of `locale -a` there"
                    )));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(())
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

/// The login of the driver puts the user's name into a SCRAM message as it is, where a comma ends it.
fn refuse_scram_unsafe(role: &str) -> Result<(), ProviderError> {
    if role.contains(',') || stringprep::saslprep(role).is_err() {
        return Err(ProviderError::Unsupported(format!(
            "the user name {role:?} cannot log in with SCRAM: leave out commas and what SASLprep (RFC 4013) prohibits"
        )));
    }
    Ok(())
}
