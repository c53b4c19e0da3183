//! Failures that pass by themselves: the tool is started again, as long as the store has seen nothing.

use db_operator::agent::protocol::result::Cause;
use db_operator::agent::protocol::task::Flavour;
use e2e::sql_servers::mariadb::LocalMariadb;
use sqlx::Executor;

use crate::fixture::{Fixture, run};
use crate::mariadb::{aim, command, server};
use crate::postgresql::{DUMP, Server};

async fn small() -> (LocalMariadb, Fixture) {
    let local = server().await;
    let statements = ["DELETE FROM `or-ders é`.t WHERE id > 100"];
    local.server.run(&statements).await.unwrap();
    let mut fixture = Fixture::new(Flavour::Mariadb).await;
    aim(&mut fixture, &local);
    (local, fixture)
}

#[test]
fn a_table_that_is_renamed_during_a_dump_begins_it_again() {
    run(async {
        let (local, fixture) = small().await;
        local
            .server
            .run(&[
                "CREATE TABLE `or-ders é`.a (i INT)",
                "CREATE TABLE `or-ders é`.z (i INT)",
                "INSERT INTO `or-ders é`.z VALUES (1)",
            ])
            .await
            .unwrap();
        // The tool waits at the first table, in its transaction, while the last one changes.
        let mut holder = local.server.root().await.unwrap();
        holder
            .execute("LOCK TABLES `or-ders é`.a WRITE")
            .await
            .unwrap();
        let words = command(&fixture);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let pod = fixture.start(&words);
        waits_for_a_lock(&local).await;
        local
            .server
            .run(&["RENAME TABLE `or-ders é`.z TO `or-ders é`.zz"])
            .await
            .unwrap();
        holder.execute("UNLOCK TABLES").await.unwrap();
        let ended = pod.ended().await;
        assert!(
            ended.log.contains("1146") && ended.log.contains("trying again in 5 s"),
            "{}",
            ended.log
        );
        let done = ended.done();
        let dump = fixture.complete(&done).await;
        assert!(String::from_utf8_lossy(&dump).contains("CREATE TABLE `zz`"));
    });
}

async fn waits_for_a_lock(local: &LocalMariadb) {
    let waits = "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.PROCESSLIST WHERE USER = 'orders' AND STATE LIKE 'Waiting for table metadata lock'";
    let start = std::time::Instant::now();
    while local.server.value(waits).await.unwrap().as_deref() != Some("1") {
        assert!(start.elapsed().as_secs() < 60, "the tool never waits");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn a_connection_limit_that_is_used_up_is_waited_for() {
    run(async {
        let (local, _) = small().await;
        local
            .server
            .run(&["ALTER USER orders@'%' WITH MAX_USER_CONNECTIONS 1"])
            .await
            .unwrap();
        let mut user = local.server.clone();
        user.superuser = ("orders".to_owned(), crate::fixture::PASSWORD.to_owned());
        // In the dump, and in the look for broken views before it.
        for looks in [false, true] {
            let mut fixture = Fixture::new(Flavour::Mariadb).await;
            aim(&mut fixture, &local);
            fixture.task.has_broken_views = looks;
            let held = user.root().await.unwrap();
            let words = command(&fixture);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let pod = fixture.start(&words);
            pod.says("trying again in 5 s").await;
            drop(held);
            let ended = pod.ended().await;
            assert!(ended.log.contains("max_user_connections"), "{}", ended.log);
            assert_eq!(
                ended.log.contains("looking for the views"),
                looks,
                "{}",
                ended.log
            );
            fixture.complete(&ended.done()).await;
        }
    });
}

#[test]
fn a_connection_limit_of_postgresql_is_waited_for_a_few_times() {
    run(async {
        let server = Server::start();
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        server.sql("postgres", "ALTER ROLE orders CONNECTION LIMIT 0");
        let pod = fixture.start(&DUMP);
        pod.says("trying again in 5 s").await;
        server.sql("postgres", "ALTER ROLE orders CONNECTION LIMIT -1");
        fixture.complete(&pod.ended().await.done()).await;

        server.sql("postgres", "ALTER ROLE orders CONNECTION LIMIT 0");
        // A quarter of it is the longest pause.
        fixture.task.stall_seconds = 4;
        let ended = fixture.run(&DUMP).await;
        assert_eq!(ended.log.matches("trying again in 1 s").count(), 3);
        let failed = ended.failed(Cause::DumpFailed);
        assert!(
            failed.passing && failed.message.contains("too many connections for role"),
            "{failed:?}"
        );
    });
}
