//! What has to be true of a restore that ended, whatever happened on the way.

use db_operator::api::database::InitOutcome;
use db_operator::api::{Restore, RestoreState};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::contents::{Contents, Source};
use super::look;
use super::scenario::{Scenario, Target, former};
use crate::testing::History;
use crate::{Error, Result};

/// Looks at everything: the object, its history, the login, the rows, and the server. The error says what is not as it has
/// to be.
pub async fn check(
    target: &Target<'_>,
    restore: &Restore,
    history: &History<Restore>,
    source: &Source,
) -> Result<()> {
    let mut wrong = Vec::new();
    wrong.extend(contents(target, source).await?);
    let status = json!(restore.status);
    if restore.state() != Some(RestoreState::Completed) {
        // Nothing that can happen to an operator makes a restore fail.
        wrong.push(format!("it failed: {status}"));
        return told(&wrong);
    }
    if target.scenario == Scenario::Init {
        wrong.extend(begun(target, restore).await?);
    } else {
        wrong.extend(steps(history).await);
    }
    wrong.extend(events(target, restore).await?);
    wrong.extend(left(target, restore).await?);
    wrong.extend(jobs(target, restore).await?);
    let remembered = look::remembered(target, &restore.name_any()).await?;
    if remembered != [restore.uid().unwrap_or_default()] {
        wrong.push(format!("the server remembers {remembered:?}"));
    }
    told(&wrong)
}

fn told(wrong: &[String]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::trial("it ended wrongly")(wrong.join("; ")))
}

/// The Secret's login works, and finds all that has to be there; and what was replaced is whole, too.
async fn contents(target: &Target<'_>, source: &Source) -> Result<Option<String>> {
    let found = match Contents::of(target.fixture, &target.name).await {
        Ok(found) => found,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let expected = if target.scenario.ends_restored() {
        &source.contents
    } else {
        &target.before
    };
    if found == *expected {
        return Ok(None);
    }
    let which = if found == target.before {
        "it is the former database"
    } else if found == source.contents {
        "it is the restored database"
    } else {
        "it is neither the former nor the restored database"
    };
    Ok(Some(format!("{which}: {}", expected.difference(&found))))
}

/// The Database says that it began with this Restore, and there was no other one.
async fn begun(target: &Target<'_>, restore: &Restore) -> Result<Option<String>> {
    let init = target.database().await?.status.and_then(|it| it.init);
    let init = init.unwrap_or_default();
    let all = target.restores().list(&ListParams::default()).await;
    let all = all.map_err(Error::trial("list the Restores"))?;
    let its = |found: &&Restore| {
        let of = found.spec.database_ref.as_ref();
        of.is_some_and(|of| of.name == target.name)
    };
    let made = all.iter().filter(its).count();
    let is_right = init.outcome == Some(InitOutcome::Loaded)
        && init.restore_uid == restore.uid()
        && init.source.is_some()
        && made == 1;
    Ok((!is_right).then(|| format!("{made} Restores were made, and it began so: {init:?}")))
}

/// `COMPLETED` once, at the end, and each state after those that come before it.
async fn steps(history: &History<Restore>) -> Option<String> {
    let steps = history.steps(Restore::state).await;
    let rank = |state: &Option<RestoreState>| {
        let place = |state: &RestoreState| RestoreState::ALL.iter().position(|it| it == state);
        state.as_ref().and_then(place).map(|place| place + 1)
    };
    let goes_on = steps
        .windows(2)
        .all(|pair| matches!(pair, [one, next] if rank(one) < rank(next)));
    let ends = steps.last() == Some(&Some(RestoreState::Completed));
    (!goes_on || !ends).then(|| format!("its states were {steps:?}"))
}

/// Its end is told once at the most.
async fn events(target: &Target<'_>, restore: &Restore) -> Result<Option<String>> {
    let events: Api<Event> = Api::namespaced(target.fixture.client.clone(), &target.fixture.name);
    let its = format!("regarding.name={},reason=Completed", restore.name_any());
    let its = ListParams::default().fields(&its);
    let found = events.list(&its).await;
    let found = found.map_err(Error::trial("list the Events"))?;
    let told: i32 = found
        .items
        .iter()
        .map(|event| event.series.as_ref().map_or(1, |series| series.count))
        .sum();
    Ok((told > 1).then(|| format!("its end was told {told} times")))
}

/// On the server there are the database and its user, and the former database where the status names it.
async fn left(target: &Target<'_>, restore: &Restore) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let former = former(restore);
    if former.is_some() != target.scenario.keeps_former() {
        wrong.push(format!("the status names {former:?} as kept"));
    }
    let name = &target.sql_name;
    let mut expected = vec![format!("database {name}"), format!("user {name}")];
    let mut rows = Vec::new();
    if let Some(former) = former {
        expected.push(format!("database {}", former.database));
        rows.push(format!("former {}", former.database));
    }
    expected.sort();
    let server = target.fixture.server_of(target.engine)?;
    let mut found = server.names(name).await?;
    found.sort();
    if found != expected {
        wrong.push(format!("on the server there are {found:?}"));
    }
    let scratch = look::scratch(target).await?;
    if scratch != rows {
        wrong.push(format!("db_operator.scratch has {scratch:?}"));
    }
    Ok(wrong)
}

/// It had one Job: one that was made twice would have loaded twice.
async fn jobs(target: &Target<'_>, restore: &Restore) -> Result<Option<String>> {
    let jobs: Api<Job> = Api::namespaced(target.fixture.client.clone(), &target.fixture.name);
    let all = jobs.list(&ListParams::default()).await;
    let all = all.map_err(Error::trial("list the Jobs"))?;
    let uid = restore.uid();
    let is_its = |job: &Job| {
        let mut owners = job.owner_references().iter();
        owners.any(|owner| Some(&owner.uid) == uid.as_ref())
    };
    let its: Vec<String> = (all.items.iter())
        .filter(|job| is_its(job))
        .map(ResourceExt::name_any)
        .collect();
    Ok((its.len() > 1).then(|| format!("it has the Jobs {its:?}")))
}
