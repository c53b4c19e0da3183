//! The operator ends without a word while a Database begins with a backup.

use db_operator::api::database::InitOutcome;
use db_operator::api::{Database, RestoreState};
use e2e::testing::{SOON, Server, with_fixture};
use serde_json::json;

use super::ids;
use super::init::{begin, begun, large, restore_until, runs};

#[tokio::test]
async fn an_operator_that_is_killed_in_the_middle_is_made_up_for() {
    // Each container that is killed is started later than the time before: on the other servers, it is the campaign that does this.
    with_fixture(Server::Mysql, async |fixture| {
        let (_, backup) = large(fixture).await;
        let named = json!({"backupRef": {"name": backup}});
        let copy = begin(fixture, "copy", named).await;
        fixture
            .until(&copy, "noted", SOON, Database::has_yet_to_begin)
            .await;
        fixture.kill_the_leader().await;
        restore_until(fixture, &copy, "running", |restore| {
            runs(restore) || restore.state() == Some(RestoreState::Completed)
        })
        .await;
        fixture.kill_the_leader().await;
        begun(fixture, &copy, InitOutcome::Loaded).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);
        let database = fixture.secret(&copy).await["database"].clone();
        fixture.nothing_beside(&database).await;
    })
    .await;
}
