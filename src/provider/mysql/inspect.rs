//! Inspects the server as a whole.

use super::catalog::{self, Which};
use super::connect::Sessions;
use super::dialect::{self, Dialect};
use super::session::Session;
use super::{administrator, everybody, exposure, identity, settings};
use crate::provider::{Inspection, ProviderError, Warning, pool};

/// Inspects the server. If it can be written to, the operator's own schema exists afterwards.
pub(super) async fn inspect(sessions: &Sessions) -> Result<Inspection, ProviderError> {
    // A read-only server accepts no registration, so a session that only reads inspects it.
    let (mut session, slot) = sessions.unregistered().await?;
    let mut dialect = dialect::detect(&mut session, sessions.config.tls.mode).await?;
    let (account, held) = administrator::privileges(&mut session).await?;
    let kills_by_procedure = administrator::has_kill_procedure(&mut session).await?;
    let variables = settings::read(&mut session).await?;
    let checks = settings::password_checks(&mut session, &dialect).await?;
    let mut inspection = Inspection {
        flavour: dialect.flavour,
        version: dialect.version.clone(),
        series: format!("{}.{}", dialect.series.0, dialect.series.1),
        tls: tls(&mut session).await?,
        identity: identity::read(&mut session).await?,
        read_only: settings::is_read_only(&variables),
        missing: held.missing(&dialect, &account, kills_by_procedure),
        unsuitable: settings::unsuitable(&variables),
        warnings: Vec::new(),
    };
    // If SELECT is missing, that is reported first.
    if held.may_look() {
        inspection.warnings = warnings(&mut session, &mut dialect, &account)
            .await
            .map_err(|error| administrator::to_look(error, &account))?;
    }
    inspection
        .warnings
        .extend(settings::warnings(&dialect, &variables, &checks));
    pool::Session::close(session).await;
    drop(slot);
    if !inspection.read_only {
        match register(sessions, inspection.identity.as_deref()).await {
            Ok(identity) => inspection.identity = identity,
            // Nothing is created there, and nothing is learned from it.
            Err(ProviderError::IdentityChanged { found, .. }) => {
                inspection.identity = Some(found);
                return Ok(inspection);
            }
            // The inspection names what is missing, with the SQL that grants it.
            Err(ProviderError::NotPermitted { .. }) if !inspection.missing.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    sessions.learn(dialect, held, kills_by_procedure).await;
    Ok(inspection)
}

/// Who can access databases that are not theirs.
async fn warnings(
    session: &mut Session,
    dialect: &mut Dialect,
    account: &str,
) -> Result<Vec<Warning>, ProviderError> {
    everybody::add_roles_of_roles(session, dialect, account).await?;
    let broad = Which::Broad(&dialect.everybody);
    let grants = catalog::grants(session, dialect, &[], broad).await?;
    let global = catalog::global_holders(session, dialect).await?;
    let anonymous = catalog::anonymous(session, dialect).await?;
    Ok(exposure::warnings(dialect, &grants, &global, &anonymous))
}

/// Creates what is missing of the operator's own schema on a server that was found with this identity. Returns the
/// identity that it has then.
async fn register(
    sessions: &Sessions,
    found: Option<&str>,
) -> Result<Option<String>, ProviderError> {
    sessions.recognize(found)?;
    let (mut session, _) = sessions.registered().await?;
    identity::read(&mut session).await
}

/// The protocol and cipher of this session.
async fn tls(session: &mut Session) -> Result<Option<String>, ProviderError> {
    let sql = "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher')";
    let status = session
        .variables("asking for the session's cipher", sql)
        .await?;
    let value = |name: &str| status.get(name).filter(|value| !value.is_empty());
    Ok(match (value("Ssl_version"), value("Ssl_cipher")) {
        (Some(version), Some(cipher)) => Some(format!("{version} {cipher}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    })
}
