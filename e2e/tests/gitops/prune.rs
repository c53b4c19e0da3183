//! What leaves Git goes, by each deletion policy, with each way of deleting that Argo CD has.

use db_operator::api::BackupState;
use e2e::testing::{BACKED_UP, Server, Session};
use serde_json::json;

use crate::place::{Place, database, in_place};

const POLICIES: [&str; 3] = ["Retain", "Delete", "BackupBeforeDelete"];

async fn pruned(place: &Place<'_>, propagation: &str) {
    let fixture = place.fixture;
    let instance = json!({"name": fixture.server.instance()});
    let file = |policy: &str| format!("app/{policy}.yaml");
    let name = |policy: &str| fixture.name(&policy[..1].to_lowercase());
    for policy in POLICIES {
        let spec = json!({"instanceRef": instance, "deletionPolicy": policy});
        place
            .repository
            .write(&file(policy), &database(&name(policy), &spec));
    }
    // Argo CD never prunes all that there is.
    let note = "{apiVersion: v1, kind: ConfigMap, metadata: {name: note}}\n";
    place.repository.write("app/note.yaml", note);
    place.repository.push("a database of each policy");
    let option = format!("PrunePropagationPolicy={propagation}");
    let app = place
        .application("app", &fixture.namespace, "", &[&option])
        .await;
    place.healthy(&app).await;
    for policy in POLICIES {
        let secret = fixture.secret(&name(policy)).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        session.run("CREATE TABLE kept (x INT)").await.unwrap();
        session.close().await;
    }

    for policy in POLICIES {
        place.repository.remove(&file(policy));
    }
    place.repository.push("none of them");
    place.refresh(&app).await;
    for policy in POLICIES {
        fixture.gone_after_a_backup(&name(policy)).await;
    }
    place
        .until(&app, "synced without them", BACKED_UP, |status| {
            status.sync.status == "Synced"
                && status.resources.iter().all(|it| it.kind != "Database")
                && status
                    .operation_state
                    .as_ref()
                    .is_some_and(|it| it.phase == "Succeeded")
        })
        .await;
    let retained = name("Retain");
    let mut left = fixture.server.names(&fixture.client, &fixture.prefix).await;
    left.sort();
    let kinds = ["claim", "database", "user"];
    assert_eq!(left, kinds.map(|kind| format!("{kind} {retained}")));
    for policy in POLICIES {
        let finals = fixture.final_backups(&name(policy)).await;
        let complete = finals
            .iter()
            .filter(|backup| backup.state() == Some(BackupState::Completed));
        let expected = usize::from(policy == "BackupBeforeDelete");
        assert_eq!(complete.count(), expected, "{policy}: {finals:?}");
    }
}

#[tokio::test]
async fn each_policy_is_kept_when_the_foreground_is_asked_for() {
    in_place(Server::Postgres, async |place| {
        pruned(place, "foreground").await;
    })
    .await;
}

#[tokio::test]
async fn each_policy_is_kept_when_the_background_is_asked_for() {
    in_place(Server::Mysql, async |place| {
        pruned(place, "background").await;
    })
    .await;
}
