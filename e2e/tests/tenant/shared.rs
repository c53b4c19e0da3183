//! Another namespace's backups: with the platform's word for them, for something else, and without.

use e2e::testing::Server;
use serde_json::{Value, json};

use crate::scene::{Scene, played};

/// An instance beside the shared one, with the same bucket, that shares this.
async fn share(scene: &Scene<'_>, instance: &str, shared: Value) {
    let change = json!({"backup": {"shared": shared}});
    scene.admin.patch_instance(instance, change).await;
    scene.admin.instance_is(instance, "Connected").await;
}

/// What the platform says: the backups of a Database, to a namespace.
fn word(namespace: &str, database: &str, to: &str) -> Value {
    json!([{"namespace": namespace, "database": database, "to": [to]}])
}

/// The rival's backup, the key of its manifest, and the team's own empty Database on an instance of its own.
async fn set(scene: &Scene<'_>) -> (String, String, String) {
    let backup = scene.rival.back_up("b", &scene.owner, json!({})).await;
    let backup = scene.rival.completed(&backup).await;
    let key = format!("{}.json", backup.status.unwrap().upload.unwrap().key);
    let both = json!({"names": [scene.rival.namespace, scene.team.namespace]});
    let instance = scene
        .admin
        .make_instance("shares", json!({"allowedNamespaces": both}))
        .await;
    let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
    let copy = scene.team.make_usable("copy", spec).await;
    (key, instance, copy)
}

/// A Restore that is refused, and gone again.
async fn refused(scene: &Scene<'_>, name: &str, copy: &str, spec: Value) -> String {
    waits(scene, name, copy, spec, "SourceRefused").await
}

/// A Restore that does not begin for this reason, and is gone again.
async fn waits(scene: &Scene<'_>, name: &str, copy: &str, spec: Value, why: &str) -> String {
    let restore = scene.team.ask_restore(name, copy, spec).await;
    let team = &scene.team;
    let message = team.restore_waits(&restore, "Stalled", why).await;
    team.delete_restore(&restore).await;
    team.restore_gone(&restore).await;
    message
}

#[tokio::test]
async fn only_the_platforms_word_opens_another_namespaces_backups() {
    played(Server::Postgres, async |scene| {
        let (key, instance, copy) = set(scene).await;
        let (rival, own) = (&scene.rival.namespace, &scene.team.namespace);
        let by_key =
            |key: &str| json!({"source": {"manifest": {"instance": instance, "key": key}}});
        let latest =
            json!({"source": {"latest": {"database": {"name": scene.owner, "namespace": rival}}}});
        let beside = word(rival, "another", own);
        let to_others = word(rival, &scene.owner, "somebody-else");
        let of_others = word("somebody-else", &scene.owner, own);
        for (index, shared) in [json!([]), beside, to_others, of_others]
            .into_iter()
            .enumerate()
        {
            share(scene, &instance, shared).await;
            let message = refused(scene, &format!("key-{index}"), &copy, by_key(&key)).await;
            assert!(message.contains(rival.as_str()), "{message}");
            let message = refused(scene, &format!("latest-{index}"), &copy, latest.clone()).await;
            assert!(message.contains("spec.backup.shared"), "{message}");
        }
        // A word for those of another cluster: this one's are not read, and of the other there are none.
        let mut elsewhere = word(rival, &scene.owner, own);
        elsewhere[0]["clusterId"] = json!("another-cluster");
        share(scene, &instance, elsewhere).await;
        let message = refused(scene, "key-elsewhere", &copy, by_key(&key)).await;
        assert!(message.contains(rival.as_str()), "{message}");
        let message = waits(scene, "latest-elsewhere", &copy, latest, "NoBackups").await;
        assert!(message.contains("/another-cluster/"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn what_is_shared_is_one_database_and_replaces_nothing() {
    played(Server::Postgres, async |scene| {
        let (key, instance, copy) = set(scene).await;
        let (rival, own) = (&scene.rival.namespace, &scene.team.namespace);
        share(scene, &instance, word(rival, &scene.owner, own)).await;
        let by_key =
            |key: &str| json!({"source": {"manifest": {"instance": instance, "key": key}}});
        // Another Database of the rival's is not shared, whatever the key looks like.
        let other = scene
            .rival
            .make_usable("other", json!({"deletionPolicy": "Delete"}))
            .await;
        let backup = scene.rival.back_up("c", &other, json!({})).await;
        let backup = scene.rival.completed(&backup).await;
        let foreign = format!("{}.json", backup.status.unwrap().upload.unwrap().key);
        let (folder, file) = foreign.rsplit_once('/').unwrap();
        let up = folder.strip_suffix(&other).unwrap();
        let owner = &scene.owner;
        for (index, disguise) in [
            foreign.clone(),
            format!("{up}{owner}/../{other}/{file}"),
            format!("{up}{owner}/%2e%2e/{other}/{file}"),
            format!("{up}{owner}/{other}/{file}"),
            format!("{up}{owner}//{file}"),
            format!("{up}{owner}/./{file}"),
            format!("{up}{owner}%2F{file}"),
            key.replace(&format!("/{owner}/"), &format!("/{owner}/x/")),
            format!("{}/x.json", key.strip_suffix(".json").unwrap()),
            key.replace(&format!("/{rival}/"), &format!("/{own}/../{rival}/")),
            format!("/{key}"),
        ]
        .iter()
        .enumerate()
        {
            let message = refused(scene, &format!("try-{index}"), &copy, by_key(disguise)).await;
            assert!(
                message.starts_with("the key of the backup is not read"),
                "{disguise}: {message}"
            );
        }
        let not_shared =
            json!({"source": {"latest": {"database": {"name": other, "namespace": rival}}}});
        refused(scene, "not-shared", &copy, not_shared).await;
        // Nor does it take the place of what is there.
        let confirm = scene.team.secret(&copy).await["database"].clone();
        let latest = json!({"latest": {"database": {"name": owner, "namespace": rival}}});
        for (name, source) in [
            ("replace-latest", latest.clone()),
            ("replace-key", by_key(&key)["source"].clone()),
        ] {
            let spec = json!({"source": source, "mode": "Replace", "confirm": confirm});
            refused(scene, name, &copy, spec).await;
        }
        // What is shared is read, and the status says whose it was.
        let restore = scene
            .team
            .ask_restore("shared-key", &copy, by_key(&key))
            .await;
        let source = scene
            .team
            .restore_completed(&restore)
            .await
            .status
            .unwrap()
            .source
            .unwrap();
        assert_eq!(source.namespace.as_ref(), Some(rival));
        assert_eq!(
            (&source.database, format!("{}.json", source.key)),
            (owner, key)
        );
        let mut session = scene.log_in(&scene.team.secret(&copy).await).await.unwrap();
        assert_eq!(session.column("SELECT x FROM kept").await.unwrap(), ["7"]);
        session.close().await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let again = scene.team.make_usable("again", spec).await;
        let restore = scene
            .team
            .ask_restore("shared-latest", &again, json!({"source": latest}))
            .await;
        scene.team.restore_completed(&restore).await;
        // Without the word it is as before.
        share(scene, &instance, json!([])).await;
        refused(scene, "taken-back", &again, json!({"source": latest})).await;
    })
    .await;
}
