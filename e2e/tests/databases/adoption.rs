//! What stands on a server already: taken over with both sides' consent, and continued from a cluster that is gone.

use std::time::Duration;

use db_operator::api::RELEASE;
use e2e::testing::{
    Fixture, NEXT_LOOK, Server, Session, condition, on_every_server, password, unchanged,
    with_fixture,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

/// Two resyncs of the overlay `development`.
const TWO_RESYNCS: Duration = Duration::from_secs(45);

/// Makes a database with a row in it and a user that owns it, as somebody did before there was an operator.
async fn legacy(fixture: &Fixture, name: &str) -> String {
    let name = fixture.name(name);
    let (database, user) = (fixture.server.quote(&name), fixture.server.user(&name));
    let mut root = fixture.server.root(&fixture.client).await;
    let made: Vec<String> = if fixture.server.is_postgres() {
        vec![
            format!("CREATE ROLE {user} LOGIN PASSWORD 'before'"),
            format!("CREATE DATABASE {database} OWNER {user}"),
            // What a managed server's administrator has on the roles that it made.
            format!("GRANT {user} TO dboperator_admin WITH ADMIN OPTION"),
        ]
    } else {
        vec![
            format!("CREATE DATABASE {database}"),
            format!("CREATE USER {user} IDENTIFIED BY 'before'"),
            format!("GRANT ALL ON {database}.* TO {user}"),
        ]
    };
    for statement in made {
        root.run(&statement).await.unwrap();
    }
    root.close().await;
    let mut root = fixture.server.superuser(&fixture.client, &name).await;
    if fixture.server.is_postgres() {
        root.run(&format!("SET ROLE {user}")).await.unwrap();
    }
    root.run("CREATE TABLE kept (x INT)").await.unwrap();
    root.run("INSERT INTO kept VALUES (7)").await.unwrap();
    root.close().await;
    name
}

/// The database's user still has what was there, and can go on.
async fn continues(fixture: &Fixture, name: &str) {
    let secret = fixture.secret(name).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    let found = session.column("SELECT x FROM kept").await.unwrap();
    assert_eq!(found, ["7"]);
    session.run("ALTER TABLE kept ADD y INT").await.unwrap();
    session.close().await;
}

/// Makes another object that controls a Secret, as what puts Secrets into clusters does. Returns its UID.
async fn controlled(fixture: &Fixture, secret: &str) -> String {
    let owners: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let owner = serde_json::from_value(json!({"metadata": {"name": "sealed"}})).unwrap();
    let owner = owners.create(&PostParams::default(), &owner).await.unwrap();
    let reference = owner.controller_owner_ref(&()).unwrap();
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": [reference]}}));
    fixture
        .secrets()
        .patch(secret, &PatchParams::default(), &patch)
        .await
        .unwrap();
    reference.uid
}

fn adopting(instance: &str) -> Value {
    json!({"instanceRef": {"name": instance}, "adoptionPolicy": "IfUnclaimed", "deletionPolicy": "Delete"})
}

#[tokio::test]
async fn both_sides_have_to_agree_to_an_adoption() {
    on_every_server(async |fixture| {
        let mut list = Vec::new();
        for (name, drop) in [("kept", false), ("dropped", true), ("unasked", false)] {
            let name = legacy(fixture, name).await;
            list.push(
                json!({"database": name, "user": name, "namespace": fixture.namespace, "drop": drop}),
            );
        }
        legacy(fixture, "unlisted").await;
        let instance = fixture.make_instance("i", json!({"adoptable": list})).await;

        let unlisted = fixture.make("unlisted", adopting(&instance)).await;
        let unasked = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let unasked = fixture.make("unasked", unasked).await;
        for name in [&unlisted, &unasked] {
            fixture.stalled(name, "NotAdoptable").await;
            assert!(fixture.secrets().get_opt(name).await.unwrap().is_none());
            fixture.delete(name).await;
            fixture.gone(name).await;
        }

        let kept = fixture.make("kept", adopting(&instance)).await;
        let dropped = fixture.make("dropped", adopting(&instance)).await;
        for name in [&kept, &dropped] {
            let claim = fixture.usable(name).await.status.unwrap().claim.unwrap();
            assert!(!claim.created_database && !claim.created_user);
            fixture.told(name, "Adopted").await;
            continues(fixture, name).await;
            fixture.delete(name).await;
            fixture.gone(name).await;
        }
        let mut left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        left.retain(|name| !name.starts_with("claim"));
        left.sort();
        let expected = ["database", "user"]
            .map(|kind| [&kept, &unasked, &unlisted].map(|name| format!("{kind} {name}")));
        assert_eq!(left, expected.concat());
    })
    .await;
}

#[tokio::test]
async fn a_user_with_more_rights_than_an_application_is_not_adopted() {
    on_every_server(async |fixture| {
        let name = legacy(fixture, "boss").await;
        let user = fixture.server.user(&name);
        let mut root = fixture.server.root(&fixture.client).await;
        let raise = if fixture.server.is_postgres() {
            format!("ALTER ROLE {user} CREATEROLE")
        } else {
            format!("GRANT CREATE USER ON *.* TO {user}")
        };
        root.run(&raise).await.unwrap();
        root.close().await;
        let list =
            json!([{"database": name, "user": name, "namespace": fixture.namespace, "drop": true}]);
        let instance = fixture.make_instance("i", json!({"adoptable": list})).await;
        let name = fixture.make("boss", adopting(&instance)).await;
        let message = fixture.stalled(&name, "ReservedName").await;
        assert!(message.contains(&name), "{message}");
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert_eq!(left, [format!("database {name}"), format!("user {name}")]);
    })
    .await;
}

#[tokio::test]
async fn a_role_that_the_administrator_may_not_alter_is_stalled_with_the_grant() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = legacy(fixture, "alien").await;
        let user = fixture.server.user(&name);
        let mut root = fixture.server.root(&fixture.client).await;
        let revoke = format!("REVOKE {user} FROM dboperator_admin");
        root.run(&revoke).await.unwrap();
        let list = json!([{"database": name, "user": name, "namespace": fixture.namespace}]);
        let instance = fixture.make_instance("i", json!({"adoptable": list})).await;
        fixture.make("alien", adopting(&instance)).await;
        let message = fixture.stalled(&name, "MissingPrivileges").await;
        // The very statement is run by somebody who may.
        let from = message
            .find("GRANT ")
            .unwrap_or_else(|| panic!("{message}"));
        let grant = &message[from..];
        assert!(
            grant.contains(&name) && grant.contains("ADMIN TRUE"),
            "{message}"
        );
        root.run(grant).await.unwrap();
        root.close().await;
        fixture
            .annotate(&name, "db-operator.dev/reconcile-requested-at", "1")
            .await;
        fixture.usable(&name).await;
        continues(fixture, &name).await;
    })
    .await;
}

/// A new user owns the database, but not what is in it: a login works, and no query.
#[tokio::test]
async fn tables_of_the_former_owner_are_named_with_what_gives_them_away() {
    with_fixture(Server::Postgres, async |fixture| {
        let database = legacy(fixture, "former").await;
        let user = fixture.name("heir");
        let list = json!([{"database": database, "user": user, "namespace": fixture.namespace}]);
        let instance = fixture.make_instance("i", json!({"adoptable": list})).await;
        let mut spec = adopting(&instance);
        spec["user"] = json!(user);
        let name = fixture.make("former", spec).await;
        let message = fixture.stalled(&name, "ObjectsNotAccessible").await;
        assert!(message.contains("\"public\".\"kept\""), "{message}");
        let (_, statement) = message.split_once("run: ").unwrap();
        assert!(statement.starts_with("REASSIGN OWNED BY"), "{message}");
        let mut root = fixture.server.superuser(&fixture.client, &database).await;
        root.run(statement).await.unwrap();
        root.close().await;
        fixture
            .annotate(&name, "db-operator.dev/reconcile-requested-at", "1")
            .await;
        fixture.usable(&name).await;
        continues(fixture, &name).await;
    })
    .await;
}

/// Whoever grants the right to read and no more may mean it: the database can be used, and says what cannot be written.
#[tokio::test]
async fn tables_that_the_former_owner_lets_be_read_leave_a_database_usable() {
    with_fixture(Server::Postgres, async |fixture| {
        let database = legacy(fixture, "lender").await;
        let user = fixture.name("reader");
        let mut root = fixture.server.superuser(&fixture.client, &database).await;
        let role = fixture.server.user(&user);
        for statement in [
            format!("CREATE ROLE {role} LOGIN"),
            format!("GRANT {role} TO dboperator_admin WITH ADMIN OPTION"),
            format!("GRANT SELECT ON kept TO {role}"),
        ] {
            root.run(&statement).await.unwrap();
        }
        let list = json!([{"database": database, "user": user, "namespace": fixture.namespace}]);
        let instance = fixture.make_instance("i", json!({"adoptable": list})).await;
        let mut spec = adopting(&instance);
        spec["user"] = json!(user);
        let name = fixture.make("lender", spec).await;
        let message = fixture
            .stalled_within(&name, "ObjectsNotAccessible", NEXT_LOOK)
            .await;
        let told = fixture.databases().get(&name).await.unwrap();
        let conditions = told.status.unwrap().conditions;
        let ready = condition(&conditions, "Ready");
        assert!(
            ready.is_some_and(|it| it.reason == "Created"),
            "{conditions:?}"
        );
        let (_, statement) = message.split_once("run: ").unwrap();
        assert!(
            statement.starts_with("GRANT INSERT, UPDATE, DELETE ON"),
            "{message}"
        );
        // It stays told, and nothing is written meanwhile.
        unchanged("the object", TWO_RESYNCS, async || {
            let found = fixture.databases().get(&name).await.unwrap();
            found.resource_version()
        })
        .await;
        root.run(statement).await.unwrap();
        root.close().await;
        fixture
            .until(&name, "nothing to tell", NEXT_LOOK, |database| {
                let status = database.status.as_ref();
                status.is_some_and(|s| condition(&s.conditions, "Stalled").is_none())
            })
            .await;
        fixture.usable(&name).await;
    })
    .await;
}

/// Kept with one encoding and asked for with another one: it is taken back as it is, or not at all.
#[tokio::test]
async fn what_was_kept_is_not_taken_back_as_something_else() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let secret = fixture.secret(&name).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        session.run("CREATE TABLE kept (x INT)").await.unwrap();
        session.run("INSERT INTO kept VALUES (7)").await.unwrap();
        session.close().await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;

        let other = json!({"postgresql": {"encoding": "LATIN1", "locale": "C"}});
        fixture.make("orders", other).await;
        let message = fixture.stalled(&name, "OptionsDiffer").await;
        assert!(message.contains("not LATIN1"), "{message}");
        let database = fixture.databases().get(&name).await.unwrap();
        let conditions = &database.status.unwrap().conditions;
        let ready = condition(conditions, "Ready").unwrap();
        assert_eq!(ready.reason, "OptionsDiffer");
        fixture
            .patch(&name, json!({"spec": {"postgresql": null}}))
            .await;
        fixture.usable(&name).await;
        fixture.told(&name, "TakenBack").await;
        continues(fixture, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_rebuilt_cluster_continues_the_databases_of_the_one_that_is_gone() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let secret = fixture.secret(&name).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        session.run("CREATE TABLE kept (x INT)").await.unwrap();
        session.run("INSERT INTO kept VALUES (7)").await.unwrap();
        session.close().await;
        // The cluster goes without a word to the server.
        fixture.annotate(&name, RELEASE, &name).await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture.without_secret(&name).await;
        let gone = fixture.name("gone");
        let mut claims = fixture.server.claims(&fixture.client).await;
        let sql = format!(
            "UPDATE db_operator.claims SET cluster_id = '{gone}' WHERE database_name = '{name}'"
        );
        claims.run(&sql).await.unwrap();
        claims.close().await;

        let alone = fixture.make("orders", json!({})).await;
        let message = fixture.stalled(&alone, "ClaimedByAnother").await;
        assert!(message.contains(&gone), "{message}");
        fixture.delete(&alone).await;
        fixture.gone(&alone).await;

        // The Secret came along, out of a sealed one, which controls it and keeps a key of its own in it.
        let labels = json!({"db-operator.dev/adopt": "true"});
        let data = json!({"password": password(&secret), "sealed": "x"});
        fixture.make_secret(&name, labels, data).await;
        let sealed = controlled(fixture, &name).await;
        let instance = fixture
            .make_instance("i", json!({"takeOverClaimsFrom": [gone]}))
            .await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        fixture.make_usable("orders", spec).await;
        fixture.told(&name, "TakenOver").await;
        let kept = fixture.secret(&name).await;
        assert_eq!(
            (password(&kept), &kept["uri"]),
            (password(&secret), &secret["uri"])
        );
        assert_eq!(kept["sealed"], "x");
        let owners = fixture.secrets().get(&name).await.unwrap();
        let owners = owners.owner_references();
        assert_eq!(owners.len(), 2, "{owners:?}");
        let controller = owners.iter().find(|owner| owner.controller == Some(true));
        assert_eq!(controller.unwrap().uid, sealed);
        continues(fixture, &name).await;
        // It was made by an operator: it may be dropped by one.
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}
