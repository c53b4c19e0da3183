//! A table of 2 GB, there and back. It takes minutes: `cargo xtask campaign data` runs it, the tests do not.

use std::time::{Duration, Instant};

use db_operator::api::{Backup, BackupState};
use e2e::dataset;
use e2e::testing::{Bucket, Into, Server, Session, with_fixture};
use serde_json::json;

/// Bytes of rows.
const BYTES: u64 = 2_000_000_000;

/// How long one backup of it may take.
const LIMIT: Duration = Duration::from_mins(10);

#[tokio::test]
#[ignore = "minutes: cargo xtask campaign data"]
async fn a_table_of_two_gigabytes_comes_back_as_it_was() {
    // One after the other: they would fill the machine.
    for server in [Server::Postgres, Server::Mariadb, Server::Mysql] {
        there_and_back(server).await;
    }
}

async fn there_and_back(server: Server) {
    with_fixture(server, async |fixture| {
        let spec = || json!({"deletionPolicy": "Delete"});
        let name = fixture.make_usable("big", spec()).await;
        let secret = fixture.secret(&name).await;
        let mut original = Session::open(&fixture.client, &secret).await.unwrap();
        dataset::grow(&mut original, BYTES).await.unwrap();
        let expected = dataset::fingerprint(&mut original).await.unwrap();
        original.close().await;

        let began = Instant::now();
        let backup = fixture.back_up("big", &name, json!({})).await;
        let ended = |backup: &Backup| backup.state().is_some_and(BackupState::is_terminal);
        let backup = fixture.backup_until(&backup, "ended", LIMIT, ended).await;
        let took = began.elapsed();
        assert_eq!(
            backup.state(),
            Some(BackupState::Completed),
            "{:?}",
            backup.status
        );
        let status = backup.status.unwrap();
        let upload = status.upload.unwrap();
        println!(
            "{server:?}: {:?} bytes dumped, {:?} stored in {took:?}",
            status.dumped_bytes, status.stored_bytes
        );
        assert!(status.dumped_bytes.unwrap() > 1_500_000_000);

        let object = Bucket::open(&fixture.client).await.get(&upload.key).await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture.make_usable("big", spec()).await;
        fixture.restore(&object.unwrap(), &name, Into::ItsOwn).await;
        let secret = fixture.secret(&name).await;
        let mut copy = Session::open(&fixture.client, &secret).await.unwrap();
        let found = dataset::fingerprint(&mut copy).await.unwrap();
        copy.close().await;
        assert!(found == expected, "{expected}\n---\n{found}");
    })
    .await;
}
