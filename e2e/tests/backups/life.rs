//! From the object to a restored copy of the database.

use std::str::FromStr;

use db_operator::agent::contents::ContentsReader;
use db_operator::agent::protocol::contents::Totals;
use db_operator::agent::protocol::progress::Progress;
use db_operator::api::backup::size;
use db_operator::api::{Backup, BackupState, ConditionStatus, Database, DatabaseState};
use db_operator::store::Manifest;
use e2e::cluster::Cluster;
use e2e::testing::{
    Bucket, Fixture, History, Into, Server, Session, condition, is_ready, on_every_server,
};
use e2e::{command, dataset};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Rows beside those of all types: enough for a dump that is not over at once.
const ROWS: u64 = 3_000_000;

#[tokio::test]
async fn what_was_backed_up_is_restored_to_an_equal_database() {
    on_every_server(async |fixture| {
        fixture.restrict().await;
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let mut original = Session::open(&fixture.client, &fixture.secret(&name).await)
            .await
            .unwrap();
        dataset::fill(&mut original).await.unwrap();
        dataset::grow(&mut original, ROWS).await.unwrap();

        let databases = History::of(&fixture.databases(), &name).await;
        let backups = History::of(&fixture.backups(), &fixture.name("nightly")).await;
        let backup = fixture.back_up("nightly", &name, json!({})).await;
        let backup = fixture.completed(&backup).await;
        fixture.usable(&name).await;
        it_went_through_its_states(&databases, &backups).await;
        the_status_is_complete(fixture, &name, &backup);
        the_log_is_for_people(fixture, &backup).await;
        let object = the_store_has_it(fixture, &backup).await;

        the_figures_are_the_servers(&mut original, &backup, &object).await;
        let expected = dataset::fingerprint(&mut original).await.unwrap();
        original.close().await;
        let dumped = fixture.secret(&name).await["database"].clone();
        let copy = fixture
            .make_usable("copy", json!({"deletionPolicy": "Delete"}))
            .await;
        let found = restored(fixture, &object, &copy, Into::Another(&dumped)).await;
        assert_equal(&without_grants(&expected), &without_grants(&found));

        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let found = restored(fixture, &object, &name, Into::ItsOwn).await;
        assert_equal(&expected, &found);
    })
    .await;
}

/// Restores an object into a Database, as its user. Returns its fingerprint.
async fn restored(fixture: &Fixture, object: &[u8], database: &str, into: Into<'_>) -> String {
    fixture.restore(object, database, into).await;
    let secret = fixture.secret(database).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    let found = dataset::fingerprint(&mut session).await.unwrap();
    session.close().await;
    found
}

/// A fingerprint without what PostgreSQL's users may do. Of columns and defaults, that is all there is.
fn without_grants(fingerprint: &str) -> String {
    let lines = fingerprint.lines().filter_map(|line| {
        let grants = ["column ", "defaults "]
            .iter()
            .any(|it| line.starts_with(it));
        match line.split_once("; {") {
            Some(_) if grants => None,
            Some((what, _)) => Some(what),
            None => Some(line),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

async fn it_went_through_its_states(databases: &History<Database>, backups: &History<Backup>) {
    assert_eq!(
        backups.steps(Backup::state).await,
        [
            None,
            Some(BackupState::Starting),
            Some(BackupState::BackingUp),
            Some(BackupState::Completed)
        ]
    );
    // Its key is known before anything is begun, and never another one.
    let destinations = backups
        .steps(|backup| {
            let status = backup.status.clone()?;
            status.state?;
            Some(status.destination.unwrap())
        })
        .await;
    assert_eq!(destinations.len(), 2, "{destinations:?}");
    let uploaded = backups
        .steps(|backup| {
            let progress = backup.status.clone()?.progress?;
            Some((progress.bytes_dumped, progress.bytes_uploaded))
        })
        .await;
    assert!(uploaded.is_sorted(), "{uploaded:?}");
    assert_eq!(
        databases.steps(Database::state).await,
        [
            Some(DatabaseState::Created),
            Some(DatabaseState::BackupRequested),
            Some(DatabaseState::BackupInProgress),
            Some(DatabaseState::BackupCompleted),
            Some(DatabaseState::Created)
        ]
    );
    assert_eq!(databases.steps(is_ready).await, [true]);
}

fn the_status_is_complete(fixture: &Fixture, name: &str, backup: &Backup) {
    let status = backup.status.clone().unwrap();
    let instance = fixture.server.instance();
    let (kind, tool) = match fixture.server {
        Server::Postgres => ("PostgreSQL 17.", "pg_dump (PostgreSQL) 17."),
        Server::Mariadb => ("MariaDB 11.8.", "mariadb-dump"),
        Server::Mysql => ("MySQL 9.7.", "mysqldump"),
    };
    let source = status.source.unwrap();
    assert_eq!(source.instance, instance);
    assert_eq!(source.database, name);
    assert!(source.server_version.starts_with(kind), "{source:?}");
    let version = status.tool_version.unwrap();
    assert!(version.starts_with(tool), "{version}");

    let begin = format!("s3://backups/{instance}/");
    let destination = status.destination.unwrap();
    assert!(destination.starts_with(&begin), "{destination}");
    let place = format!("/{}/{name}/", fixture.namespace);
    assert!(destination.contains(&place), "{destination}");
    let (dumped, stored) = (status.dumped_bytes.unwrap(), status.stored_bytes.unwrap());
    assert!(dumped > i64::try_from(ROWS).unwrap() / 2, "{dumped}");
    assert!(0 < stored && stored < dumped, "{stored} of {dumped}");
    let progress = status.progress.unwrap();
    assert_eq!(progress.percent, Some(100));
    assert_eq!(progress.shown.as_deref(), Some("100%"));
    assert_eq!(status.size, Some(size(stored)));
    let finished = condition(&status.conditions, "Finished").unwrap();
    assert_eq!(
        (finished.status, &*finished.reason),
        (ConditionStatus::True, "Completed")
    );
    assert_eq!(progress.bytes_dumped, dumped);
    assert_eq!(progress.bytes_uploaded, stored);
    let (started, finished) = (status.started_at.unwrap(), status.finished_at.unwrap());
    let seconds = finished.duration_since(started).as_secs();
    assert_eq!(status.duration_seconds, Some(seconds));
    assert!(status.failure.is_none());
}

async fn the_log_is_for_people(fixture: &Fixture, backup: &Backup) {
    let status = backup.status.clone().unwrap();
    let job = status.upload.unwrap().job_name.unwrap();
    let mut logs = Cluster::main().kubectl();
    logs.args([
        "logs",
        "--namespace",
        &fixture.namespace,
        &format!("job/{job}"),
    ]);
    let log = tokio::task::spawn_blocking(move || command::output(&mut logs))
        .await
        .unwrap()
        .unwrap();
    for part in [
        status.destination.unwrap(),
        status.tool_version.unwrap(),
        status.sha256.unwrap(),
    ] {
        assert!(log.contains(&part), "{part}: {log}");
    }
    let mut progress = log.lines().filter_map(|line| Progress::from_str(line).ok());
    let last = progress.next_back().unwrap_or_else(|| panic!("{log}"));
    let exact = |bytes: u64| i64::try_from(bytes).ok();
    assert_eq!(exact(last.dumped), status.dumped_bytes, "{log}");
    assert_eq!(exact(last.uploaded), status.stored_bytes, "{log}");
}

/// Returns the object.
async fn the_store_has_it(fixture: &Fixture, backup: &Backup) -> Vec<u8> {
    let bucket = Bucket::open(&fixture.client).await;
    let status = backup.status.clone().unwrap();
    let upload = status.upload.unwrap();
    let manifest_key = Manifest::key(&upload.key);
    let (folder, _) = upload.key.rsplit_once('/').unwrap();
    assert_eq!(
        bucket.keys(folder).await,
        [upload.key.clone(), manifest_key.clone()]
    );
    assert_eq!(bucket.uploads(folder).await, [""; 0]);

    let object = bucket.get(&upload.key).await.unwrap();
    let sha256 = hex::encode(Sha256::digest(&object));
    assert_eq!(Some(sha256.clone()), status.sha256);
    let stored = status.stored_bytes.unwrap();
    assert_eq!(i64::try_from(object.len()).unwrap(), stored);
    let manifest = bucket.get(&manifest_key).await.unwrap();
    let manifest = Manifest::from_json(&manifest).unwrap();
    assert_eq!(Some(manifest.object), status.destination);
    assert_eq!(manifest.sha256, sha256);
    assert_eq!(manifest.bytes, u64::try_from(object.len()).unwrap());
    assert_eq!(
        manifest.dumped_bytes,
        u64::try_from(status.dumped_bytes.unwrap()).unwrap()
    );
    assert_eq!(Some(manifest.tool_version), status.tool_version);
    let digest = status.totals.unwrap().digest;
    assert_eq!(manifest.totals.unwrap().digest, digest);
    assert_eq!(manifest.backup.uid, Fixture::uid(backup));
    assert_eq!(manifest.source.instance, fixture.server.instance());
    object
}

/// What was counted is what the server counts.
async fn the_figures_are_the_servers(session: &mut Session, backup: &Backup, object: &[u8]) {
    let totals = backup.status.clone().unwrap().totals.unwrap();
    let number = |number: i64| u64::try_from(number).unwrap();
    let totals = Totals {
        tables: number(totals.tables),
        rows: number(totals.rows),
        large_objects: number(totals.large_objects),
        digest: totals.digest,
        has_tables: totals.has_tables,
    };
    let mut reader = ContentsReader::new();
    reader.observe(object);
    let contents = reader.finish(&totals).unwrap().unwrap();
    let figures = contents.tables.iter();
    let figures = figures.map(|table| (format!("{}.{}", table.schema, table.name), table.rows));
    let figures: Vec<(String, u64)> = figures.collect();
    assert_eq!(figures, dataset::rows(session).await.unwrap());
    assert!(figures.len() > 5, "{figures:?}");
}

fn assert_equal(original: &str, copy: &str) {
    let only = |of: &str, other: &str| {
        let other: std::collections::HashSet<_> = other.lines().collect();
        let lines = of.lines().filter(|line| !other.contains(line));
        lines.take(20).collect::<Vec<_>>().join("\n")
    };
    assert!(
        original == copy,
        "only in the original:\n{}\nonly in the copy:\n{}",
        only(original, copy),
        only(copy, original)
    );
}
