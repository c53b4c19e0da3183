//! Keys of another namespace, in every disguise: none of them is read.

use e2e::testing::{Server, with_fixture};
use serde_json::json;

use super::{backed_up, empty};

#[tokio::test]
async fn a_key_of_another_namespace_is_read_in_no_disguise() {
    with_fixture(Server::Postgres, async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let backup = fixture.backups().get(&backup).await.unwrap();
        let key = backup.status.unwrap().upload.unwrap().key;
        let other = fixture.neighbour().await;
        let copy = empty(&other, "copy").await;
        let (own, foreign) = (&other.namespace, &fixture.namespace);
        let file = key.rsplit('/').next().unwrap();
        let (folder, _) = key.split_once(&format!("/{foreign}/")).unwrap();
        let database = key.split('/').rev().nth(1).unwrap();
        for (index, disguise) in [
            key.clone(),
            key.replace(&format!("/{foreign}/"), &format!("/{own}/../{foreign}/")),
            key.replace(
                &format!("/{foreign}/"),
                &format!("/{own}/%2e%2e/{foreign}/"),
            ),
            key.replace(&format!("/{foreign}/"), &format!("//{foreign}/")),
            format!("{folder}/{own}/../{foreign}/{database}/{file}"),
            format!("{folder}/./{foreign}/{database}/{file}"),
            format!("/{key}"),
            format!("{folder}/{own}/{database}/../../{foreign}/{database}/{file}"),
        ]
        .iter()
        .enumerate()
        {
            let source =
                json!({"manifest": {"instance": "postgres", "key": format!("{disguise}.json")}});
            let name = format!("try-{index}");
            let restore = other
                .ask_restore(&name, &copy, json!({"source": source}))
                .await;
            let message = other
                .restore_waits(&restore, "Stalled", "SourceRefused")
                .await;
            assert!(
                message.starts_with("the key of the backup is not read"),
                "{message}"
            );
            other.delete_restore(&restore).await;
        }
        // A Backup's name is one of the Restore's own namespace, whatever else is called so.
        let source = json!({"backupRef": {"name": fixture.name("nightly")}});
        let restore = other
            .ask_restore("by-name", &copy, json!({"source": source}))
            .await;
        other
            .restore_waits(&restore, "Reconciling", "WaitingForBackup")
            .await;
    })
    .await;
}
