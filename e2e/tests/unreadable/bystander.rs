//! A Database of another team, and whether it is answered while others do what they do.

use std::time::{Duration, Instant};

use db_operator::api::RECONCILE_REQUESTED_AT;
use e2e::testing::Fixture;
use serde_json::json;
use tokio::sync::watch;

/// How long an answer may take on a machine that does everything at the same time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Asks for a look at a Database once a second, until `stop`. Returns how long each answer took.
pub(crate) async fn asks(
    fixture: &Fixture,
    database: &str,
    stop: &watch::Receiver<bool>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    let began = Instant::now();
    while !*stop.borrow() {
        let second = tokio::time::sleep(Duration::from_secs(1));
        times.push(ask(fixture, database, &format!("{:?}", began.elapsed())).await);
        second.await;
    }
    times
}

/// Asks once.
async fn ask(fixture: &Fixture, database: &str, value: &str) -> Duration {
    let began = Instant::now();
    let annotation = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: value}}});
    fixture.patch(database, annotation).await;
    fixture
        .until(database, "answered", ANSWERED_WITHIN, |database| {
            let status = database.status.as_ref();
            status
                .and_then(|status| status.handled.get(RECONCILE_REQUESTED_AT))
                .map(String::as_str)
                == Some(value)
        })
        .await;
    began.elapsed()
}

/// Makes one more Database, and takes it away again.
pub(crate) async fn makes_another(fixture: &Fixture, name: &str) {
    let began = Instant::now();
    let made = fixture
        .make_usable(name, json!({"deletionPolicy": "Delete"}))
        .await;
    println!("{made} was CREATED after {:?}", began.elapsed());
    fixture.delete(&made).await;
    fixture.gone(&made).await;
}
