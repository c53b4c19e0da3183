//! Backups that the platform shares with another namespace: read by whom it names, for what replaces nothing.

use db_operator::api::{DatabaseState, RestoreState};
use e2e::testing::{RESTORED, Server, with_fixture};
use serde_json::json;

use super::{backed_up, ids};

#[tokio::test]
async fn what_is_shared_is_read_by_whom_the_platform_names() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, _) = backed_up(fixture).await;
        let other = fixture.neighbour().await;
        let mut bucket = fixture.shared_destination().await;
        bucket["shared"] =
            json!([{"namespace": fixture.namespace, "database": name, "to": [other.namespace]}]);
        let instance = fixture
            .make_instance("shares", json!({"backup": bucket}))
            .await;
        let latest =
            json!({"latest": {"database": {"name": name, "namespace": fixture.namespace}}});

        // Nobody shares it there.
        let common = other.server.instance();
        let refused = other
            .ask_test("refused", common, json!({"source": latest}))
            .await;
        let message = other
            .restore_waits(&refused, "Stalled", "SourceRefused")
            .await;
        assert!(message.contains("spec.backup.shared"), "{message}");

        let test = other
            .ask_test("tried", &instance, json!({"source": latest}))
            .await;
        let tested = other.restore_completed(&test).await;
        let source = tested.status.clone().unwrap().source.unwrap();
        assert_eq!(source.namespace.as_ref(), Some(&fixture.namespace));
        other.nothing_of_test(&tested).await;

        // A new Database begins with it.
        let spec = json!({
            "instanceRef": {"name": instance}, "deletionPolicy": "Delete", "initFrom": latest,
        });
        let copy = other.make("copy", spec).await;
        other
            .until(&copy, "begun", RESTORED, |database| {
                database.state() == Some(DatabaseState::Created)
            })
            .await;
        assert_eq!(ids(&other, &copy).await, ["1", "2", "3"]);

        // Good data is replaced by one's own alone.
        let database = other.secret(&copy).await["database"].clone();
        let spec = json!({"source": latest, "mode": "Replace", "confirm": database});
        let restore = other.ask_restore("replaces", &copy, spec).await;
        let message = other
            .restore_waits(&restore, "Stalled", "SourceRefused")
            .await;
        assert!(message.contains("mode Replace"), "{message}");
        let replaces = other.restores().get(&restore).await.unwrap();
        assert_ne!(replaces.state(), Some(RestoreState::Completed));
    })
    .await;
}
