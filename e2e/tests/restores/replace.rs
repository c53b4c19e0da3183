//! In the place of a database in use, and back again: PostgreSQL alone.

use db_operator::api::Restore;
use e2e::testing::{RESTORED, Server, Session, condition, eventually, with_fixture};
use serde_json::json;

use super::{backed_up, ids, run};

#[tokio::test]
async fn a_database_in_use_is_replaced_and_comes_back_when_asked_for() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        // What was written since is in the former one alone.
        run(fixture, &name, "INSERT INTO orders VALUES (4)").await;
        let secret = fixture.secret(&name).await;
        let idle = Session::open(&fixture.client, &secret).await.unwrap();
        let spec = json!({
            "source": {"backupRef": {"name": backup}}, "mode": "Replace", "confirm": secret["database"],
        });
        let restore = fixture.ask_restore("back", &name, spec).await;
        let completed = fixture.restore_completed(&restore).await;
        drop(idle);
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3"]);
        let former = former(&completed).unwrap();
        assert!(former.contains("__was_"), "{former}");
        let until = completed.status.unwrap().target.unwrap().former.unwrap().until;
        let noted = fixture.databases().get(&name).await.unwrap();
        let noted = noted.status.unwrap().former.unwrap();
        assert_eq!((noted.database, noted.until), (former.clone(), until));

        fixture.undo_restore(&restore, "once").await;
        let undone = fixture
            .restore_until(&restore, "undone", RESTORED, |restore| {
                ready(restore).as_deref() == Some("Undone")
            })
            .await;
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3", "4"]);
        assert!(self::former(&undone).is_some(), "the restored one is kept");
        fixture.usable(&name).await;

        // With its Database goes what was kept, too.
        let database = secret["database"].clone();
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let left = fixture.server.names(&fixture.client, &database).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn what_was_replaced_is_dropped_when_its_time_is_over_also_without_its_restore() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        let database = fixture.secret(&name).await["database"].clone();
        let spec = json!({
            "source": {"backupRef": {"name": backup}}, "mode": "Replace", "confirm": database,
            "keepReplaced": "1m",
        });
        let restore = fixture.ask_restore("back", &name, spec).await;
        fixture.restore_completed(&restore).await;
        assert!(!fixture.beside(&database).await.is_empty());
        fixture.delete_restore(&restore).await;
        fixture.restore_gone(&restore).await;
        fixture.nothing_beside(&database).await;
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3"]);
        eventually("the Database forgets it", RESTORED, async || {
            let database = fixture.databases().get(&name).await.unwrap();
            let former = database.status.unwrap().former;
            former.map_or(Ok(()), |former| Err(format!("{former:?}")))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn of_two_replacements_the_newest_former_database_is_kept_also_without_their_objects() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        let database = fixture.secret(&name).await["database"].clone();
        let spec = json!({
            "source": {"backupRef": {"name": backup}}, "mode": "Replace", "confirm": database,
        });
        let first = fixture.ask_restore("first", &name, spec.clone()).await;
        let first_former = former(&fixture.restore_completed(&first).await).unwrap();
        fixture.delete_restore(&first).await;
        fixture.restore_gone(&first).await;
        assert_eq!(
            fixture.beside(&database).await,
            [format!("database {first_former}")]
        );
        let second = fixture.ask_restore("second", &name, spec).await;
        let second_former = former(&fixture.restore_completed(&second).await).unwrap();
        fixture.delete_restore(&second).await;
        fixture.restore_gone(&second).await;
        eventually("the older one is dropped", RESTORED, async || {
            let left = fixture.beside(&database).await;
            if left == [format!("database {second_former}")] {
                Ok(())
            } else {
                Err(left.join(", "))
            }
        })
        .await;
        let noted = fixture.databases().get(&name).await.unwrap();
        let noted = noted.status.unwrap().former.unwrap();
        assert_eq!((noted.database, noted.restore), (second_former, second));
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3"]);
    })
    .await;
}

fn former(restore: &Restore) -> Option<String> {
    let target = restore.status.as_ref()?.target.as_ref()?;
    Some(target.former.as_ref()?.database.clone())
}

fn ready(restore: &Restore) -> Option<String> {
    let conditions = &restore.status.as_ref()?.conditions;
    Some(condition(conditions, "Ready")?.reason.clone())
}
