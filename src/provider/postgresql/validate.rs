//! Refuses what the server does not support, before anything is created.

use serde::Deserialize;

use super::Postgresql;
use super::extensions::{Offers, offers};
use super::session::Session;
use crate::provider::{Desired, ProviderError};

/// What the server offers of the wanted extensions (`$1`), and whether the database (`$2`) is still to be created.
const OFFERS: &str = concat!(
    "SELECT json_build_object('extensions', ",
    offers!(),
    ", 'fresh', NOT EXISTS (SELECT FROM pg_database WHERE datname = $2))::text"
);

#[derive(Deserialize)]
struct Answer {
    extensions: Offers,
    fresh: bool,
}

impl Postgresql {
    pub(super) async fn check_supported(&self, desired: &Desired) -> Result<(), ProviderError> {
        self.refuse_reserved(&desired.names)?;
        refuse_scram_unsafe(desired.names.role.as_str())?;
        let wanted = &desired.postgresql;
        if !wanted.has_options() && wanted.template.is_none() && wanted.extensions.is_empty() {
            return Ok(());
        }
        let mut session = self.session().await?;
        if wanted.has_options() {
            self.check_options(&mut session, desired).await?;
        }
        if let Some(template) = &wanted.template {
            self.check_template(&mut session, desired, template).await?;
        }
        if wanted.extensions.is_empty() {
            return Ok(());
        }
        let answer = ask_offers(&mut session, desired).await?;
        for extension in &wanted.extensions {
            let version = answer.extensions.check(extension, wanted)?;
            // What is in a template, or in a database that exists, is seen once there is a session inside.
            if answer.fresh && wanted.template.is_none() {
                version.refuse_unmet(extension, wanted, |_| false)?;
            }
        }
        Ok(())
    }
}

impl Postgresql {
    /// What the server, or the platform, does not let a new database of these have: a sentence for each extension.
    pub(super) async fn refused_extensions(
        &self,
        session: &mut Session,
        desired: &Desired,
    ) -> Result<Vec<String>, ProviderError> {
        let wanted = &desired.postgresql;
        if wanted.extensions.is_empty() {
            return Ok(Vec::new());
        }
        let answer = ask_offers(session, desired).await?;
        let mut refused = Vec::new();
        for extension in &wanted.extensions {
            let answer = answer
                .extensions
                .check(extension, wanted)
                .and_then(|version| version.refuse_unmet(extension, wanted, |_| false));
            match answer {
                Ok(()) => {}
                Err(ProviderError::Unsupported(sentence)) => refused.push(sentence),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }
}

async fn ask_offers(session: &mut Session, desired: &Desired) -> Result<Answer, ProviderError> {
    let names = desired.postgresql.extensions.iter();
    let names: Vec<&str> = names.map(|extension| extension.name.as_str()).collect();
    let query = sqlx::query(OFFERS)
        .bind(names)
        .bind(desired.names.database.as_str());
    Ok(session.json("ask what the server offers", query).await?)
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
