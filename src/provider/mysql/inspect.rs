//! Looking at the server as a whole.

use std::collections::HashMap;

use super::super::{Inspection, ProviderError, Warning};
use super::catalog::{self, Which};
use super::contact::{self, Sessions};
use super::dialect::Dialect;
use super::session::Session;
use super::{exposure, grants, home};

/// Looks at the server. On one that can be written to, the operator's own schema is there afterwards.
pub(super) async fn inspect(sessions: &Sessions) -> Result<Inspection, ProviderError> {
    // A server that is read-only takes no registration, so it is looked at by a session that only reads.
    let (mut session, slot) = sessions.unregistered().await?;
    let mut dialect = contact::dialect(&mut session, sessions.config.tls.mode).await?;
    let (account, held) = contact::privileges(&mut session).await?;
    let kills_by_procedure = home::has_kill_procedure(&mut session).await?;
    let mut inspection = Inspection {
        flavour: dialect.flavour,
        version: dialect.version.clone(),
        series: format!("{}.{}", dialect.series.0, dialect.series.1),
        tls: tls(&mut session).await?,
        identity: home::identity(&mut session).await?,
        read_only: is_read_only(&mut session).await?,
        missing: held.missing(&dialect, &account, kills_by_procedure),
        warnings: Vec::new(),
    };
    // Who lacks SELECT is told that first.
    if held.may_look() {
        inspection.warnings = warnings(&mut session, &mut dialect, &account)
            .await
            .map_err(|error| grants::to_look(error, &account))?;
    }
    super::super::pool::Session::close(session).await;
    drop(slot);
    if !inspection.read_only {
        match register(sessions, inspection.identity.as_deref()).await {
            Ok(identity) => inspection.identity = identity,
            // Nothing is made there, and nothing learned from it.
            Err(ProviderError::IdentityChanged { found, .. }) => {
                inspection.identity = Some(found);
                return Ok(inspection);
            }
            // What is missing is told by the inspection, with the SQL that grants it.
            Err(ProviderError::NotPermitted { .. }) if !inspection.missing.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    sessions.learn(dialect, held, kills_by_procedure).await;
    Ok(inspection)
}

/// Who gets at databases that are not theirs.
async fn warnings(
    session: &mut Session,
    dialect: &mut Dialect,
    account: &str,
) -> Result<Vec<Warning>, ProviderError> {
    contact::look_for_everybody(session, dialect, account).await?;
    let broad = Which::Broad(&dialect.everybody);
    let grants = catalog::grants(session, dialect, &[], broad).await?;
    let global = catalog::global_holders(session, dialect).await?;
    let anonymous = catalog::anonymous(session, dialect).await?;
    Ok(exposure::warnings(dialect, &grants, &global, &anonymous))
}

/// Makes what is missing of the operator's own on a server that was found with this identity, and says which it has
/// then.
async fn register(
    sessions: &Sessions,
    found: Option<&str>,
) -> Result<Option<String>, ProviderError> {
    sessions.recognize(found)?;
    let (mut session, _) = sessions.registered().await?;
    home::identity(&mut session).await
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

async fn is_read_only(session: &mut Session) -> Result<bool, ProviderError> {
    let sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'innodb_read_only')";
    let variables = session
        .variables("asking whether the server is read-only", sql)
        .await?;
    Ok(says_read_only(&variables))
}

/// MariaDB 12 has more values than ON and OFF; each of them but OFF refuses writes.
fn says_read_only(variables: &HashMap<String, String>) -> bool {
    variables
        .values()
        .any(|value| !matches!(value.to_ascii_uppercase().as_str(), "OFF" | "0" | ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_read_only_variable_counts() {
        let variables = |value: &str| HashMap::from([("read_only".to_owned(), value.to_owned())]);
        assert!(!says_read_only(&variables("OFF")));
        assert!(says_read_only(&variables("ON")));
        assert!(says_read_only(&variables("NO_LOCK")));
    }
}
