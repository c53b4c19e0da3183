//! How soon another namespace is served.

use std::time::{Duration, Instant};

use db_operator::api::{Backup, Database};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use super::place::Place;
use crate::{Error, Result};

/// A Database that takes longer counts as this.
const ONE_WITHIN: Duration = Duration::from_mins(1);

/// A Backup that takes longer to begin counts as this.
const BEGUN_WITHIN: Duration = Duration::from_mins(2);

/// A flood in which so many are not served at all is not measured further.
const UNSERVED: usize = 3;

const LOOK_EACH: Duration = Duration::from_millis(20);

/// A Database that Backups are made of.
pub(super) async fn keep(place: &Place) -> Result<String> {
    let name = place.objects.name("kept");
    place.objects.database(&name, json!({})).await?;
    place.timeline.created(&name, ONE_WITHIN).await?;
    Ok(name)
}

/// Makes Databases one after the other. The clock begins before the POST and ends when CREATED is seen.
pub(super) async fn databases(place: &Place, flood: &str, count: u32) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let databases: Api<Database> = place.objects.api();
    for number in 0..count {
        let name = place.objects.name(named(flood, number));
        let began = Instant::now();
        place.objects.database(&name, json!({})).await?;
        // One that never comes is a figure, too.
        let created = place.timeline.created(&name, ONE_WITHIN).await;
        times.push(created.map_or(ONE_WITHIN, |at| at.duration_since(began)));
        databases
            .delete(&name, &DeleteParams::default())
            .await
            .map_err(Error::trial("delete a Database"))?;
        if times.iter().filter(|time| **time >= ONE_WITHIN).count() >= UNSERVED {
            break;
        }
    }
    Ok(times)
}

/// Asks for Backups one after the other, each deleted once it has begun. The clock ends when it has a state.
pub(super) async fn backups(
    place: &Place,
    flood: &str,
    kept: &str,
    count: u32,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let backups: Api<Backup> = place.objects.api();
    for number in 0..count {
        let name = place.objects.name(named(flood, number));
        let began = Instant::now();
        place.objects.backup(&name, kept, json!({})).await?;
        times.push(begun(&backups, &name, began).await?);
        backups
            .delete(&name, &DeleteParams::default())
            .await
            .map_err(Error::trial("delete a Backup"))?;
        gone(&backups, &name).await?;
    }
    Ok(times)
}

async fn begun(backups: &Api<Backup>, name: &str, began: Instant) -> Result<Duration> {
    while began.elapsed() < BEGUN_WITHIN {
        let backup = backups.get(name).await;
        let backup = backup.map_err(Error::trial("read a Backup"))?;
        if backup.state().is_some() {
            return Ok(began.elapsed());
        }
        tokio::time::sleep(LOOK_EACH).await;
    }
    Ok(BEGUN_WITHIN)
}

async fn gone(backups: &Api<Backup>, name: &str) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < BEGUN_WITHIN {
        let left = backups.get_opt(name).await;
        if left.map_err(Error::trial("read a Backup"))?.is_none() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EACH).await;
    }
    Err(Error::Timeout {
        what: format!("the Backup {name} is gone"),
        seconds: BEGUN_WITHIN.as_secs(),
        tail: String::new(),
    })
}

/// A name that no other flood gives.
fn named(flood: &str, number: u32) -> String {
    let flood: String = flood
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase();
    format!("{flood}-{number}")
}
