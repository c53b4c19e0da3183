//! Which health an object has, and when: Argo CD runs our scripts, installed as its users install them.

use db_operator::api::{Database, DatabaseState};
use e2e::testing::{History, SOON, Server, eventually, is_ready};
use serde_json::json;

use crate::place::{SYNCED, database, in_place};

#[tokio::test]
async fn it_progresses_while_it_waits_and_is_healthy_only_when_it_can_be_used() {
    in_place(Server::Postgres, async |place| {
        let fixture = place.fixture;
        let (name, late) = (fixture.name("orders"), fixture.name("late"));
        let spec = json!({"instanceRef": {"name": late}, "deletionPolicy": "Delete"});
        place
            .repository
            .write("app/orders.yaml", &database(&name, &spec));
        place
            .repository
            .push("a database on an instance that comes later");
        let history = History::of(&place.applications(), &fixture.name("app")).await;
        let app = place.application("app", &fixture.namespace, "", &[]).await;

        let waits = place
            .until(&app, "synced and progressing", SYNCED, |status| {
                let health = status.health_of("Database", &name);
                status.sync.status == "Synced"
                    && status.health.status == "Progressing"
                    && health.message.starts_with("InstanceNotFound: ")
            })
            .await;
        let health = waits.health_of("Database", &name);
        assert_eq!(health.status, "Progressing");
        assert!(health.message.contains(&late), "{health:?}");

        fixture.make_instance("late", json!({})).await;
        place.healthy(&app).await;
        assert!(is_ready(&fixture.databases().get(&name).await.unwrap()));
        let mut words = history.steps(|app| app.now().health.status).await;
        assert_eq!(words.pop().as_deref(), Some("Healthy"));
        assert!(!words.contains(&"Healthy".to_owned()), "{words:?}");
        assert!(!words.contains(&"Degraded".to_owned()), "{words:?}");
    })
    .await;
}

#[tokio::test]
async fn it_is_degraded_with_our_message_when_a_person_is_needed() {
    in_place(Server::Mariadb, async |place| {
        let fixture = place.fixture;
        let (first, rival) = (fixture.name("first"), fixture.name("rival"));
        let instance = json!({"name": fixture.server.instance()});
        let spec = json!({"instanceRef": instance, "deletionPolicy": "Delete"});
        place
            .repository
            .write("app/first.yaml", &database(&first, &spec));
        place.repository.push("one");
        let app = place.application("app", &fixture.namespace, "", &[]).await;
        place.healthy(&app).await;

        let spec = json!({"instanceRef": instance, "name": first});
        place
            .repository
            .write("app/rival.yaml", &database(&rival, &spec));
        place.commit("another one of the same name", &app).await;
        let degraded = place
            .until(&app, "degraded", SYNCED, |status| {
                status.health.status == "Degraded"
            })
            .await;
        let health = degraded.health_of("Database", &rival);
        assert_eq!(health.status, "Degraded");
        let owner = format!("{}/{first}", fixture.namespace);
        assert!(
            health.message.starts_with("ClaimedByAnother: ") && health.message.contains(&owner),
            "{health:?}"
        );
        // It is as Git says, and its neighbour is well.
        assert_eq!(degraded.sync.status, "Synced");
        assert_eq!(degraded.health_of("Database", &first).status, "Healthy");

        place.repository.remove("app/rival.yaml");
        place.commit("which was a mistake", &app).await;
        place.healthy(&app).await;
        fixture.gone(&rival).await;
        assert!(is_ready(&fixture.databases().get(&first).await.unwrap()));
    })
    .await;
}

#[tokio::test]
async fn a_running_backup_changes_nothing_about_its_database() {
    in_place(Server::Postgres, async |place| {
        let fixture = place.fixture;
        let name = fixture.name("orders");
        let instance = json!({"name": fixture.server.instance()});
        let spec = json!({"instanceRef": instance, "deletionPolicy": "Delete"});
        place
            .repository
            .write("app/orders.yaml", &database(&name, &spec));
        place.repository.push("a database");
        let app = place.application("app", &fixture.namespace, "", &[]).await;
        place.healthy(&app).await;

        let history = History::of(&place.applications(), &app).await;
        let states = History::of(&fixture.databases(), &name).await;
        let lock = fixture.hold_up(&name).await;
        let backup = fixture.back_up("today", &name, json!({})).await;
        fixture.backing_up(&backup).await;
        // Argo CD looks while the dump runs, and once more when it is over.
        place.refresh(&app).await;
        lock.close().await;
        fixture.completed(&backup).await;
        fixture.usable(&name).await;
        place.refresh(&app).await;

        let seen = states.steps(Database::state).await;
        assert!(
            seen.contains(&Some(DatabaseState::BackupInProgress)),
            "{seen:?}"
        );
        let words = history
            .steps(|app| {
                let (sync, health) = app.words();
                [sync, health, app.now().health_of("Database", &name).status]
            })
            .await;
        assert_eq!(words, [["Synced", "Healthy", "Healthy"]]);
    })
    .await;
}

#[tokio::test]
async fn a_backup_in_git_is_healthy_when_it_is_complete() {
    in_place(Server::Mysql, async |place| {
        let fixture = place.fixture;
        let (name, backup) = (fixture.name("orders"), fixture.name("before"));
        let instance = json!({"name": fixture.server.instance()});
        let spec = json!({"instanceRef": instance, "deletionPolicy": "Delete"});
        let wanted = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
            "metadata": {"name": backup}, "spec": {"databaseRef": {"name": name}},
        });
        place
            .repository
            .write("app/orders.yaml", &database(&name, &spec));
        place.repository.write(
            "app/backup.yaml",
            &serde_yaml_ng::to_string(&wanted).unwrap(),
        );
        place.repository.push("a database and a backup of it");
        let history = History::of(&place.applications(), &fixture.name("app")).await;
        let app = place.application("app", &fixture.namespace, "", &[]).await;
        place.healthy(&app).await;
        fixture.completed(&backup).await;
        let words = history
            .steps(|app| app.now().health_of("Backup", &backup).status)
            .await;
        assert!(words.contains(&"Progressing".to_owned()), "{words:?}");
        assert_eq!(words.iter().filter(|word| *word == "Healthy").count(), 1);
    })
    .await;
}

#[tokio::test]
async fn suspended_in_git_it_shows_as_suspended_and_can_still_be_pruned() {
    in_place(Server::Mariadb, async |place| {
        let fixture = place.fixture;
        let (name, stays) = (fixture.name("orders"), fixture.name("stays"));
        let instance = json!({"name": fixture.server.instance()});
        let spec = json!({"instanceRef": instance, "deletionPolicy": "Delete"});
        place
            .repository
            .write("app/orders.yaml", &database(&name, &spec));
        place
            .repository
            .write("app/stays.yaml", &database(&stays, &spec));
        place.repository.push("two databases");
        let app = place.application("app", &fixture.namespace, "", &[]).await;
        place.healthy(&app).await;

        let spec = json!({"instanceRef": instance, "deletionPolicy": "Delete", "suspend": true});
        place
            .repository
            .write("app/orders.yaml", &database(&name, &spec));
        place.commit("hands off for a while", &app).await;
        let suspended = place
            .until(&app, "suspended", SYNCED, |status| {
                status.health_of("Database", &name).status == "Suspended"
            })
            .await;
        assert_eq!(suspended.health_of("Database", &stays).status, "Healthy");

        place.repository.remove("app/orders.yaml");
        place.commit("for ever", &app).await;
        fixture.gone(&name).await;
        eventually("nothing of it is on the server", SOON, async || {
            let left = fixture.server.names(&fixture.client, &name).await;
            left.is_empty().then_some(()).ok_or(format!("{left:?}"))
        })
        .await;
    })
    .await;
}
