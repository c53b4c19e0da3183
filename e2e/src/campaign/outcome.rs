//! What a trial ends in, as lines that are compared.

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::fixture::{Fixture, RIVALS, TRIALS, reason};
use super::scenario::{self, NAME, Scenario};
use super::server::{self, Engine, text};
use crate::{Error, Result};

/// Looks at everything: the object, its Secret, the server, and those who have nothing to do with it.
pub async fn look(fixture: &Fixture, engine: Engine, scenario: Scenario) -> Result<Vec<String>> {
    let mut lines = object(fixture).await?;
    lines.extend(secrets(fixture).await?);
    let server = fixture.server(engine)?;
    lines.extend(server.facts(&fixture.prefix, &fixture.prefix).await?);
    lines.extend(others(fixture, engine).await?);
    if scenario != Scenario::Delete {
        lines.push(login(fixture, engine, scenario).await);
    }
    Ok(lines)
}

/// The lines that differ, for a person.
#[must_use]
pub fn difference(expected: &[String], found: &[String]) -> String {
    let missing = expected.iter().filter(|line| !found.contains(line));
    let surplus = found.iter().filter(|line| !expected.contains(line));
    let missing = missing.map(|line| format!("\n    - {line}"));
    missing
        .chain(surplus.map(|line| format!("\n    + {line}")))
        .collect()
}

async fn object(fixture: &Fixture) -> Result<Vec<String>> {
    let found = fixture
        .databases(TRIALS)
        .get_opt(NAME)
        .await
        .map_err(Error::trial("read the Database"))?;
    let Some(database) = found else {
        return Ok(vec!["no object".to_owned()]);
    };
    let status = json!(database.status);
    let mut lines = vec![format!("finalizers {:?}", database.finalizers())];
    for field in [
        "state", "name", "user", "claim", "deletion", "binding", "handled",
    ] {
        lines.push(format!("{field} {}", status[field]));
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{} {} {}",
            condition["type"], condition["status"], condition["reason"]
        ));
    }
    Ok(lines)
}

async fn secrets(fixture: &Fixture) -> Result<Vec<String>> {
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), TRIALS);
    let all = secrets
        .list(&ListParams::default())
        .await
        .map_err(Error::trial("list the Secrets"))?;
    Ok(all
        .items
        .iter()
        .map(|secret| {
            let keys: Vec<_> = secret
                .data
                .iter()
                .flatten()
                .map(|(key, _)| key.as_str())
                .collect();
            format!(
                "secret {} {:?} {keys:?} {:?}",
                secret.name_any(),
                secret.type_,
                secret.labels()
            )
        })
        .collect())
}

/// The bystander's password works, and the rival is refused still.
async fn others(fixture: &Fixture, engine: Engine) -> Result<Vec<String>> {
    let name = engine.name();
    let bystander = fixture
        .log_in(engine, TRIALS, name, "SELECT 'unharmed'")
        .await;
    let rival = fixture.databases(RIVALS).get_opt(name).await;
    let rival = rival.map_err(Error::trial("read the rival"))?;
    Ok(vec![
        format!("bystander {}", said(bystander)),
        format!("rival {}", reason(rival.as_ref())),
    ])
}

/// The password works, on the same data as before.
async fn login(fixture: &Fixture, engine: Engine, scenario: Scenario) -> String {
    let sql = match (scenario.keeps_data(), engine) {
        (false, _) => "SELECT 'works'",
        (true, Engine::Postgres) => "SELECT count(*)::text FROM kept",
        (true, Engine::Mariadb | Engine::Mysql) => "SELECT CAST(count(*) AS CHAR) FROM kept",
    };
    let login = said(fixture.log_in(engine, TRIALS, NAME, sql).await);
    let secret = server::secret(&fixture.client, TRIALS, NAME).await;
    let secret = secret.ok().flatten().unwrap_or_default();
    let is_edited = text(&secret, "password") == scenario::edited_password();
    format!("login {login}, password edited: {is_edited}")
}

fn said(answer: Result<Vec<String>>) -> String {
    answer.map_or_else(|error| error.to_string(), |rows| rows.join(","))
}
