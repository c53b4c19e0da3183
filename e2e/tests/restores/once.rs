//! A Restore is done once: the same object again does nothing, and another one of its name is refused.

use e2e::testing::{condition, on_every_server};
use serde_json::json;

use super::{backed_up, empty, ids, run};

#[tokio::test]
async fn the_same_object_again_does_nothing_and_another_of_its_name_is_refused() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        let spec = json!({"source": {"backupRef": {"name": backup}}});
        let restore = fixture.ask_restore("back", &copy, spec.clone()).await;
        fixture.restore_completed(&restore).await;
        run(fixture, &copy, "DELETE FROM orders WHERE id = 2").await;

        // As Git brings it back; with what is the default anyway written out.
        fixture.delete_restore(&restore).await;
        fixture.restore_gone(&restore).await;
        let mut again = spec.clone();
        again["mode"] = json!("Empty");
        fixture.ask_restore("back", &copy, again).await;
        let done = fixture.restore_completed(&restore).await;
        let status = done.status.unwrap();
        assert_eq!(
            condition(&status.conditions, "Ready").unwrap().reason,
            "DoneBefore"
        );
        assert!(status.started_at.is_none() && status.job.is_none());
        assert_eq!(ids(fixture, &copy).await, ["1", "3"]);

        fixture.delete_restore(&restore).await;
        fixture.restore_gone(&restore).await;
        let mut other = spec;
        other["check"] = json!({"level": "None"});
        fixture.ask_restore("back", &copy, other).await;
        assert_eq!(fixture.restore_failed(&restore).await.reason, "NameUsed");
        assert_eq!(ids(fixture, &copy).await, ["1", "3"]);
    })
    .await;
}
