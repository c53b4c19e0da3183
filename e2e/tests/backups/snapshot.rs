//! A backup is of one moment, however much is written while it runs.

use std::sync::atomic::{AtomicBool, Ordering};

use db_operator::api::Backup;
use e2e::dataset;
use e2e::testing::{Bucket, Fixture, Into, Session, on_every_server};
use serde_json::json;

/// Rows between the two tables, in bytes: time for others to write.
const ROWS: u64 = 20_000_000;

async fn open(fixture: &Fixture, name: &str) -> Session {
    let secret = fixture.secret(name).await;
    Session::open(&fixture.client, &secret).await.unwrap()
}

/// How many rows there are in the first table and in the last, which nobody ever saw differ.
async fn count(session: &mut Session) -> [usize; 2] {
    let mut counts = [0; 2];
    for (count, table) in counts.iter_mut().zip(["a_first", "z_last"]) {
        let rows = session.column(&format!("SELECT id FROM {table}")).await;
        *count = rows.unwrap().len();
    }
    counts
}

/// Adds a row to each table, both or none, for as long as the backup runs.
async fn write(session: &mut Session, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        session.run("BEGIN").await.unwrap();
        for table in ["a_first", "z_last"] {
            let insert = format!("INSERT INTO {table} (text) VALUES ('x')");
            session.run(&insert).await.unwrap();
        }
        session.run("COMMIT").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_written_together_is_restored_together() {
    on_every_server(async |fixture| {
        let delete = json!({"deletionPolicy": "Delete"});
        let name = fixture.make_usable("orders", delete.clone()).await;
        let mut session = open(fixture, &name).await;
        let id = if fixture.server.is_postgres() {
            "BIGSERIAL"
        } else {
            "BIGINT AUTO_INCREMENT"
        };
        for table in ["a_first", "z_last"] {
            let table = format!("CREATE TABLE {table} (id {id} PRIMARY KEY, text TEXT)");
            session.run(&table).await.unwrap();
        }
        dataset::grow(&mut session, ROWS).await.unwrap();

        let done = AtomicBool::new(false);
        let back_up = async {
            let backup = fixture.back_up("a", &name, json!({})).await;
            let backup = fixture.completed(&backup).await;
            done.store(true, Ordering::Relaxed);
            backup
        };
        let (backup, ()): (Backup, ()) = tokio::join!(back_up, write(&mut session, &done));
        let [first, last] = count(&mut session).await;
        assert_eq!(first, last);
        session.close().await;
        let dumped = fixture.secret(&name).await["database"].clone();

        let bucket = Bucket::open(&fixture.client).await;
        let key = backup.status.unwrap().upload.unwrap().key;
        let object = bucket.get(&key).await.unwrap();
        let copy = fixture.make_usable("copy", delete).await;
        fixture
            .restore(&object, &copy, Into::Another(&dumped))
            .await;
        let mut restored = open(fixture, &copy).await;
        let [restored_first, restored_last] = count(&mut restored).await;
        assert_eq!(restored_first, restored_last);
        assert!(
            0 < restored_first && restored_first < first,
            "{restored_first} of {first}"
        );
        restored.close().await;
    })
    .await;
}
