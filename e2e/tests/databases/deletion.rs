//! How a Database ends: kept, dropped, held back, or let go.

use e2e::testing::{
    Fixture, NEXT_LOOK, SOON, Server, Session, eventually, on_every_server, password, with_fixture,
};
use serde_json::json;

/// Nothing of this test's is left on the server.
async fn nothing_is_left(fixture: &Fixture) {
    let left = fixture.server.names(&fixture.client, &fixture.prefix).await;
    assert!(left.is_empty(), "{left:?}");
}

/// Makes a table with a row in it. Returns the password.
pub(crate) async fn write(fixture: &Fixture, name: &str) -> String {
    let secret = fixture.secret(name).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    session.run("CREATE TABLE kept (x INT)").await.unwrap();
    session.run("INSERT INTO kept VALUES (7)").await.unwrap();
    session.close().await;
    password(&secret)
}

#[tokio::test]
async fn retained_it_continues_when_its_object_comes_again() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let before = write(fixture, &name).await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture.told(&name, "Kept").await;
        let left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        assert_eq!(left.len(), 3, "{left:?}");

        // One that is made again before its Secret was collected keeps that and its password.
        eventually("the Secret is collected", SOON, async || {
            let left = fixture.secrets().get_opt(&name).await.unwrap();
            left.map_or(Ok(()), |_| Err("it is there".to_owned()))
        })
        .await;

        // A stranger does not get it, not even asking to adopt.
        let stranger = json!({"name": name, "adoptionPolicy": "IfUnclaimed"});
        let stranger = fixture.make("stranger", stranger).await;
        fixture.stalled(&stranger, "NotAdoptable").await;

        fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        fixture.told(&name, "TakenBack").await;
        let secret = fixture.secret(&name).await;
        assert_ne!(password(&secret), before);
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        let found = session.column("SELECT x FROM kept").await.unwrap();
        assert_eq!(found, ["7"]);
        session.run("INSERT INTO kept VALUES (8)").await.unwrap();
        session.close().await;
        let old = [("password".to_owned(), before)];
        let old = secret.into_iter().chain(old).collect();
        assert!(Session::open(&fixture.client, &old).await.is_err());
        // It was made by the operator, once: it may be dropped.
        fixture.delete(&stranger).await;
        fixture.gone(&stranger).await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn delete_drops_both_and_ends_the_sessions_that_are_open() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        write(fixture, &name).await;
        let secret = fixture.secret(&name).await;
        let mut idle = Session::open(&fixture.client, &secret).await.unwrap();
        let mut busy = Session::open(&fixture.client, &secret).await.unwrap();
        busy.run("BEGIN").await.unwrap();
        busy.run("INSERT INTO kept VALUES (8)").await.unwrap();
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        nothing_is_left(fixture).await;
        idle.run("SELECT 1").await.unwrap_err();
        busy.run("COMMIT").await.unwrap_err();
        fixture.told(&name, "Dropped").await;
        assert!(
            fixture
                .secrets()
                .get_opt(&name)
                .await
                .unwrap()
                .is_none_or(|s| s.metadata.deletion_timestamp.is_some()
                    || s.metadata.owner_references.is_some())
        );
    })
    .await;
}

/// What a user owns in somebody else's database is not the operator's to drop, and keeps no object either.
#[tokio::test]
async fn a_user_that_owns_something_elsewhere_is_left_over_until_it_does_not() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let elsewhere = fixture.make_usable("elsewhere", json!({})).await;
        let mut root = fixture.server.superuser(&fixture.client, &elsewhere).await;
        let user = fixture.server.user(&name);
        let table = "CREATE TABLE public.left_behind (x INT)";
        root.run(table).await.unwrap();
        let owner = format!("ALTER TABLE public.left_behind OWNER TO {user}");
        root.run(&owner).await.unwrap();
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let note = fixture.told(&name, "LeftOver").await;
        assert!(
            note.contains(&elsewhere) && note.contains("REASSIGN OWNED BY"),
            "{note}"
        );
        root.run("DROP TABLE public.left_behind").await.unwrap();
        root.close().await;
        eventually("the user is dropped", NEXT_LOOK, async || {
            let left = fixture.server.names(&fixture.client, &name).await;
            left.is_empty().then_some(()).ok_or(format!("{left:?}"))
        })
        .await;
    })
    .await;
}

/// What another team grants to a user in its own database keeps neither the object nor the user.
#[tokio::test]
async fn what_another_team_grants_to_a_user_does_not_keep_it() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let other = fixture.make_usable("other", json!({})).await;
        let secret = fixture.secret(&other).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        let user = fixture.server.user(&name);
        for sql in [
            "CREATE TABLE public.bait (x INT)".to_owned(),
            format!("GRANT SELECT ON public.bait TO {user} WITH GRANT OPTION"),
            format!("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {user}"),
        ] {
            session.run(&sql).await.unwrap();
        }
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture.told(&name, "Dropped").await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.is_empty(), "{left:?}");
        session.close().await;
    })
    .await;
}

#[tokio::test]
async fn deleted_while_it_is_made_it_leaves_nothing() {
    on_every_server(async |fixture| {
        let delete = json!({"deletionPolicy": "Delete"});
        let mut names = Vec::new();
        for number in 0..4 {
            names.push(fixture.make(&number.to_string(), delete.clone()).await);
        }
        let stuck =
            json!({"deletionPolicy": "Delete", "secretTemplate": {"data": {"X": "{{nothing}}"}}});
        names.push(fixture.make("stuck", stuck).await);
        fixture
            .until(&names[1], "begun", SOON, |database| {
                database.state().is_some()
            })
            .await;
        for name in &names {
            fixture.delete(name).await;
        }
        for name in &names {
            fixture.gone(name).await;
        }
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_destination_the_policy_is_complained_about_when_it_is_written() {
    on_every_server(async |fixture| {
        let instance = fixture
            .make_instance("nowhere", json!({"backup": null}))
            .await;
        let spec =
            json!({"instanceRef": {"name": instance}, "deletionPolicy": "BackupBeforeDelete"});
        let name = fixture.make("orders", spec).await;
        let message = fixture.stalled(&name, "NoBackupDestination").await;
        assert!(message.contains(&instance), "{message}");
        // It can be used all the same.
        Session::open(&fixture.client, &fixture.secret(&name).await)
            .await
            .unwrap()
            .close()
            .await;
        fixture
            .patch(&name, json!({"spec": {"deletionPolicy": "Delete"}}))
            .await;
        fixture.usable(&name).await;
    })
    .await;
}

#[tokio::test]
async fn suspended_nothing_is_repaired_and_a_deletion_still_works() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        fixture
            .patch(&name, json!({"spec": {"suspend": true}}))
            .await;
        fixture
            .until(&name, "suspended", SOON, |database| {
                let conditions = database.status.iter().flat_map(|status| &status.conditions);
                conditions
                    .into_iter()
                    .any(|c| c.type_ == "Ready" && c.reason == "Suspended")
            })
            .await;
        let uid = Fixture::uid(&fixture.secrets().get(&name).await.unwrap());
        let secrets = fixture.secrets();
        fixture.delete_secret(&name).await;
        fixture.ask_for_a_look(&name, "1").await;
        assert!(secrets.get_opt(&name).await.unwrap().is_none());
        fixture
            .patch(&name, json!({"spec": {"suspend": false}}))
            .await;
        fixture.usable(&name).await;
        assert_ne!(Fixture::uid(&secrets.get(&name).await.unwrap()), uid);
        fixture
            .patch(&name, json!({"spec": {"suspend": true}}))
            .await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn without_an_instance_there_was_nothing_made_and_nothing_is_waited_for() {
    with_fixture(Server::Postgres, async |fixture| {
        let mut names = Vec::new();
        for policy in ["Delete", "BackupBeforeDelete"] {
            let spec =
                json!({"instanceRef": {"name": fixture.name("none")}, "deletionPolicy": policy});
            names.push(fixture.make(&policy.to_lowercase(), spec).await);
        }
        for name in &names {
            fixture.reconciling(name, "InstanceNotFound").await;
            fixture.delete(name).await;
            fixture.gone(name).await;
            fixture.told(name, "NothingDropped").await;
        }
    })
    .await;
}
