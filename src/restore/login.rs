//! Logging in with the Database's own Secret after a switch: what an application does next.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::Pass;
use super::prerequisites::Prerequisites;
use crate::credentials::secret::{self, Found};
use crate::credentials::verifier;
use crate::provider::Login;
use crate::provider::restore::Load;

/// Logs in as the application does; what does not work is a sentence. A password that the server does not have is set, as
/// the Database's own passes do it.
pub(super) async fn check(
    pass: &Pass<'_>,
    prerequisites: &Prerequisites,
    load: &Load,
) -> Option<String> {
    let names = &load.target;
    let why_not = |detail: String| {
        format!(
            "the restored database has its name, but logging in as {} with the Database's Secret does not work: {detail}",
            names.role
        )
    };
    let database = prerequisites.database.as_ref()?;
    let server = &prerequisites.server;
    let secrets: Api<Secret> = pass.beside();
    let secret = match secret::read(&secrets, database).await {
        Ok(Found::Usable(secret)) => secret,
        Ok(Found::Absent | Found::Foreign) => {
            return Some(why_not("there is no such Secret".to_owned()));
        }
        Err(error) => return Some(why_not(error.to_string())),
    };
    let password = match secret::password(Some(&secret), server.flavour()) {
        Ok(Ok(password)) => password,
        Ok(Err(missing)) => return Some(why_not(missing.sentence().to_owned())),
        Err(unusable) => return Some(why_not(format!("its password {unusable}"))),
    };
    let login = || server.ask("login", |provider| provider.login(names, &password));
    let mut answer = login().await;
    if let Ok(Login::Refused(_) | Login::Blocked(_)) = answer {
        let verifier = verifier(server, &password).await;
        let set = server
            .ask("ensure_role", |provider| {
                provider.ensure_role(&load.desired, Some(&verifier))
            })
            .await;
        if let Err(error) = set {
            return Some(why_not(error.to_string()));
        }
        server.note_password(&names.role, Some(&verifier));
        answer = login().await;
    }
    match answer {
        Ok(Login::Accepted | Login::AtConnectionLimit) => None,
        Ok(
            Login::Refused(detail)
            | Login::Blocked(detail)
            | Login::Barred(detail)
            | Login::NoDatabase(detail)
            | Login::Ended(detail)
            | Login::Unusable(detail),
        ) => Some(why_not(detail)),
        Err(error) => Some(why_not(error.to_string())),
    }
}
