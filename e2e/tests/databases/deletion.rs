//! How a Database ends: kept, dropped, held back, or let go.

use e2e::testing::{
    Bed, NEXT_LOOK, SOON, Server, Session, eventually, in_bed, on_every_server, password,
};
use serde_json::json;

/// Nothing of this test's is left on the server.
async fn nothing_is_left(bed: &Bed) {
    let left = bed.server.names(&bed.client, &bed.prefix).await;
    assert!(left.is_empty(), "{left:?}");
}

/// Makes a table with a row in it. Returns the password.
pub async fn write(bed: &Bed, name: &str) -> String {
    let secret = bed.secret(name).await;
    let mut session = Session::open(&bed.client, &secret).await.unwrap();
    session.run("CREATE TABLE kept (x INT)").await.unwrap();
    session.run("INSERT INTO kept VALUES (7)").await.unwrap();
    session.close().await;
    password(&secret)
}

#[tokio::test]
async fn retained_it_continues_when_its_object_comes_again() {
    on_every_server(async |bed| {
        let name = bed.make_usable("orders", json!({})).await;
        let before = write(bed, &name).await;
        bed.delete(&name).await;
        bed.gone(&name).await;
        bed.told(&name, "Kept").await;
        let left = bed.server.names(&bed.client, &bed.prefix).await;
        assert_eq!(left.len(), 3, "{left:?}");

        // One that is made again before its Secret was collected keeps that and its password.
        eventually("the Secret is collected", SOON, async || {
            let left = bed.secrets().get_opt(&name).await.unwrap();
            left.map_or(Ok(()), |_| Err("it is there".to_owned()))
        })
        .await;

        // A stranger does not get it, not even asking to adopt.
        let stranger = json!({"name": name, "adoptionPolicy": "IfUnclaimed"});
        let stranger = bed.make("stranger", stranger).await;
        bed.stalled(&stranger, "NotAdoptable").await;

        bed.make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        bed.told(&name, "TakenBack").await;
        let secret = bed.secret(&name).await;
        assert_ne!(password(&secret), before);
        let mut session = Session::open(&bed.client, &secret).await.unwrap();
        let found = session.column("SELECT x FROM kept").await.unwrap();
        assert_eq!(found, ["7"]);
        session.run("INSERT INTO kept VALUES (8)").await.unwrap();
        session.close().await;
        let old = [("password".to_owned(), before)];
        let old = secret.into_iter().chain(old).collect();
        assert!(Session::open(&bed.client, &old).await.is_err());
        // It was made by the operator, once: it may be dropped.
        bed.delete(&stranger).await;
        bed.gone(&stranger).await;
        bed.delete(&name).await;
        bed.gone(&name).await;
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn delete_drops_both_and_ends_the_sessions_that_are_open() {
    on_every_server(async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        write(bed, &name).await;
        let secret = bed.secret(&name).await;
        let mut idle = Session::open(&bed.client, &secret).await.unwrap();
        let mut busy = Session::open(&bed.client, &secret).await.unwrap();
        busy.run("BEGIN").await.unwrap();
        busy.run("INSERT INTO kept VALUES (8)").await.unwrap();
        bed.delete(&name).await;
        bed.gone(&name).await;
        nothing_is_left(bed).await;
        idle.run("SELECT 1").await.unwrap_err();
        busy.run("COMMIT").await.unwrap_err();
        bed.told(&name, "Dropped").await;
        assert!(
            bed.secrets().get_opt(&name).await.unwrap().is_none_or(|s| s
                .metadata
                .deletion_timestamp
                .is_some()
                || s.metadata.owner_references.is_some())
        );
    })
    .await;
}

/// What a user owns in somebody else's database is not the operator's to drop, and keeps no object either.
#[tokio::test]
async fn a_user_that_owns_something_elsewhere_is_left_over_until_it_does_not() {
    in_bed(Server::Postgres, async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let elsewhere = bed.make_usable("elsewhere", json!({})).await;
        let mut root = bed.server.superuser(&bed.client, &elsewhere).await;
        let user = bed.server.user(&name);
        let table = "CREATE TABLE public.left_behind (x INT)";
        root.run(table).await.unwrap();
        let owner = format!("ALTER TABLE public.left_behind OWNER TO {user}");
        root.run(&owner).await.unwrap();
        bed.delete(&name).await;
        bed.gone(&name).await;
        let note = bed.told(&name, "LeftOver").await;
        assert!(
            note.contains(&elsewhere) && note.contains("REASSIGN OWNED BY"),
            "{note}"
        );
        root.run("DROP TABLE public.left_behind").await.unwrap();
        root.close().await;
        eventually("the user is dropped", NEXT_LOOK, async || {
            let left = bed.server.names(&bed.client, &name).await;
            left.is_empty().then_some(()).ok_or(format!("{left:?}"))
        })
        .await;
    })
    .await;
}

/// What another team grants to a user in its own database keeps neither the object nor the user.
#[tokio::test]
async fn what_another_team_grants_to_a_user_does_not_keep_it() {
    in_bed(Server::Postgres, async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let other = bed.make_usable("other", json!({})).await;
        let secret = bed.secret(&other).await;
        let mut session = Session::open(&bed.client, &secret).await.unwrap();
        let user = bed.server.user(&name);
        for sql in [
            "CREATE TABLE public.bait (x INT)".to_owned(),
            format!("GRANT SELECT ON public.bait TO {user} WITH GRANT OPTION"),
            format!("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {user}"),
        ] {
            session.run(&sql).await.unwrap();
        }
        bed.delete(&name).await;
        bed.gone(&name).await;
        bed.told(&name, "Dropped").await;
        let left = bed.server.names(&bed.client, &name).await;
        assert!(left.is_empty(), "{left:?}");
        session.close().await;
    })
    .await;
}

#[tokio::test]
async fn deleted_while_it_is_made_it_leaves_nothing() {
    on_every_server(async |bed| {
        let delete = json!({"deletionPolicy": "Delete"});
        let mut names = Vec::new();
        for number in 0..4 {
            names.push(bed.make(&number.to_string(), delete.clone()).await);
        }
        let stuck =
            json!({"deletionPolicy": "Delete", "secretTemplate": {"data": {"X": "{{nothing}}"}}});
        names.push(bed.make("stuck", stuck).await);
        bed.until(&names[1], "begun", SOON, |database| {
            database.state().is_some()
        })
        .await;
        for name in &names {
            bed.delete(name).await;
        }
        for name in &names {
            bed.gone(name).await;
        }
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_destination_the_policy_is_complained_about_when_it_is_written() {
    on_every_server(async |bed| {
        let instance = bed.make_instance("nowhere", json!({"backup": null})).await;
        let spec =
            json!({"instanceRef": {"name": instance}, "deletionPolicy": "BackupBeforeDelete"});
        let name = bed.make("orders", spec).await;
        let message = bed.stalled(&name, "NoBackupDestination").await;
        assert!(message.contains(&instance), "{message}");
        // It can be used all the same.
        Session::open(&bed.client, &bed.secret(&name).await)
            .await
            .unwrap()
            .close()
            .await;
        bed.patch(&name, json!({"spec": {"deletionPolicy": "Delete"}}))
            .await;
        bed.usable(&name).await;
    })
    .await;
}

#[tokio::test]
async fn suspended_nothing_is_repaired_and_a_deletion_still_works() {
    on_every_server(async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        bed.patch(&name, json!({"spec": {"suspend": true}})).await;
        bed.until(&name, "suspended", SOON, |database| {
            let conditions = database.status.iter().flat_map(|status| &status.conditions);
            conditions
                .into_iter()
                .any(|c| c.type_ == "Ready" && c.reason == "Suspended")
        })
        .await;
        let uid = Bed::uid(&bed.secrets().get(&name).await.unwrap());
        let secrets = bed.secrets();
        bed.delete_secret(&name).await;
        bed.ask_for_a_look(&name, "1").await;
        assert!(secrets.get_opt(&name).await.unwrap().is_none());
        bed.patch(&name, json!({"spec": {"suspend": false}})).await;
        bed.usable(&name).await;
        assert_ne!(Bed::uid(&secrets.get(&name).await.unwrap()), uid);
        bed.patch(&name, json!({"spec": {"suspend": true}})).await;
        bed.delete(&name).await;
        bed.gone(&name).await;
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn without_an_instance_there_was_nothing_made_and_nothing_is_waited_for() {
    in_bed(Server::Postgres, async |bed| {
        let mut names = Vec::new();
        for policy in ["Delete", "BackupBeforeDelete"] {
            let spec = json!({"instanceRef": {"name": bed.name("none")}, "deletionPolicy": policy});
            names.push(bed.make(&policy.to_lowercase(), spec).await);
        }
        for name in &names {
            bed.reconciling(name, "InstanceNotFound").await;
            bed.delete(name).await;
            bed.gone(name).await;
            bed.told(name, "NothingDropped").await;
        }
    })
    .await;
}
