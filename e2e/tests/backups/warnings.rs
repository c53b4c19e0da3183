//! What a backup does not contain stands in its status and in its manifest.

use db_operator::provider::inventory::{Inventory, SettingOf};
use db_operator::store::Manifest;
use e2e::testing::{Bucket, Server, Session, on_every_server};
use serde_json::json;

/// What a database's own user can make that a dump leaves out, or holds as of another moment.
fn made(server: Server) -> &'static [&'static str] {
    match server {
        Server::Postgres => &[
            "CREATE TABLE accounts (id int)",
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, audit', current_database()); END $$",
            "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), E'the\\nledger'); END $$",
        ],
        Server::Mariadb | Server::Mysql => &["CREATE TABLE accounts (id INT) ENGINE = MyISAM"],
    }
}

fn manifest_tells(server: Server, contents: &Inventory) {
    match server {
        Server::Postgres => {
            assert_eq!(contents.created_with["encoding"], "UTF8");
            assert_eq!(contents.comment.as_deref(), Some("the\u{fffd}ledger"));
            let [setting] = &contents.settings[..] else {
                panic!("{:?}", contents.settings);
            };
            assert_eq!(
                (setting.of, &*setting.name),
                (SettingOf::Database, "search_path")
            );
        }
        Server::Mariadb | Server::Mysql => {
            let [tables] = &contents.not_in_snapshot[..] else {
                panic!("{contents:?}");
            };
            assert_eq!((&*tables.kind, tables.count), ("MyISAM tables", 1));
            assert!(contents.settings.iter().any(|it| it.name == "sql_mode"));
        }
    }
}

#[tokio::test]
async fn what_a_backup_does_not_contain_is_told() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("ledger", json!({"deletionPolicy": "Delete"}))
            .await;
        let secret = fixture.secret(&name).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        for sql in made(fixture.server) {
            session.run(sql).await.unwrap();
        }
        session.close().await;

        let backup = fixture.back_up("told", &name, json!({})).await;
        let backup = fixture.completed(&backup).await;
        let status = backup.status.unwrap();
        let expected = match fixture.server {
            Server::Postgres => &["the comment on the database", "settings of the database"][..],
            Server::Mariadb | Server::Mysql => &["MyISAM tables: 1 (`accounts`)"][..],
        };
        assert!(
            status.warnings.len() >= expected.len(),
            "{:?}",
            status.warnings
        );
        for words in expected {
            let told = |warning: &String| warning.starts_with(words);
            assert!(
                status.warnings.iter().any(told),
                "{words}: {:?}",
                status.warnings
            );
        }
        let ready = status
            .conditions
            .iter()
            .find(|it| it.type_ == "Ready")
            .unwrap();
        let count = format!(", with {} warning", status.warnings.len());
        assert!(ready.message.contains(&count), "{}", ready.message);
        let upload = status.upload.unwrap();
        assert_eq!(upload.inventory, None, "the manifest has it");

        let bucket = Bucket::open(&fixture.client).await;
        let text = bucket.get(&Manifest::key(&upload.key)).await.unwrap();
        let manifest: Manifest = serde_json::from_slice(&text).unwrap();
        assert_eq!(manifest.warnings, status.warnings);
        assert_eq!(manifest.source.user, Some(secret["username"].clone()));
        assert!(manifest.source.series.is_some());
        manifest_tells(fixture.server, &manifest.contents.unwrap());
    })
    .await;
}
