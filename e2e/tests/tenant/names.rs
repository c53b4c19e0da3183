//! A rival's name in every disguise, names of the servers, and what stands there already.

use db_operator::api::Database;
use e2e::testing::{Fixture, Session, condition};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::scene::{Scene, played_on_every_server};

/// What became of a Database that a team wrote.
#[derive(Debug)]
enum Outcome {
    /// The API server did not take it.
    Refused(String),
    /// The operator says that it cannot be, and why.
    Stalled(String),
    /// It is there: another one than the rival's.
    Made,
}

/// Writes a Database and waits for what becomes of it.
async fn attempt(team: &Fixture, name: &str, mut spec: Value) -> Outcome {
    if spec["instanceRef"].is_null() {
        spec["instanceRef"] = json!({"name": team.server.instance()});
    }
    let object = json!({"metadata": {"name": name}, "spec": spec});
    let object: Database = serde_json::from_value(object).unwrap();
    let made = team
        .databases()
        .create(&PostParams::default(), &object)
        .await;
    match made {
        Err(kube::Error::Api(status)) if status.code == 422 => {
            return Outcome::Refused(status.message);
        }
        Err(error) => panic!("{name}: {error}"),
        Ok(_) => {}
    }
    let settled = |database: &Database| {
        let conditions = &database.status.as_ref()?.conditions;
        if let Some(stalled) = condition(conditions, "Stalled") {
            return Some(Outcome::Stalled(format!(
                "{}: {}",
                stalled.reason, stalled.message
            )));
        }
        e2e::testing::is_ready(database).then_some(Outcome::Made)
    };
    let found = team
        .until(name, "settled", e2e::testing::NEXT_LOOK, |database| {
            settled(database).is_some()
        })
        .await;
    settled(&found).unwrap()
}

/// Names that a person, a collation or a pattern may take for the rival's.
fn disguises(owner: &str) -> Vec<String> {
    let (prefix, _) = owner.split_once("-rival").unwrap();
    vec![
        owner.to_owned(),
        owner.to_uppercase(),
        owner.replace("rival", "Rival"),
        format!("{owner} "),
        format!("{owner}\u{a0}"),
        format!("{owner}\u{200b}"),
        format!("{owner}\0"),
        format!("{owner}\n"),
        owner.replace("rival", "r\u{131}val"),
        owner.replace("rival", "ri\u{301}val"),
        owner.replace("rival", "ｒival"),
        // What a GRANT on MySQL would take for a pattern.
        owner.replace('-', "_"),
        format!("{prefix}-riva_"),
        format!("{prefix}-%"),
        format!("{prefix}-rival\\"),
        format!("{prefix}-rival`.*"),
        format!("{prefix}-rival\"; --"),
        format!("{prefix}-rival'@'%"),
        // One byte more than fits, beginning like it.
        format!("{owner}{}", "x".repeat(64 - owner.len())),
    ]
}

#[tokio::test]
async fn a_rivals_name_in_every_disguise() {
    played_on_every_server(async |scene| {
        let mut attempts = Vec::new();
        for (number, disguise) in disguises(&scene.owner).into_iter().enumerate() {
            // A name that begins as all names of the test do is swept with them.
            let (team, own) = (&scene.team, scene.team.name(&format!("t{number}")));
            attempts.push(async move {
                let spec = json!({"name": disguise, "deletionPolicy": "Delete", "adoptionPolicy": "IfUnclaimed"});
                let both = attempt(team, &format!("{own}-both"), spec).await;
                let user = json!({"name": format!("{own}d"), "user": disguise, "deletionPolicy": "Delete", "adoptionPolicy": "IfUnclaimed"});
                let user = attempt(team, &format!("{own}-user"), user).await;
                (own, disguise, [("both", both), ("user", user)])
            });
        }
        for (own, disguise, outcomes) in futures::future::join_all(attempts).await {
            for (what, outcome) in outcomes {
                let name = format!("{own}-{what}");
                match &outcome {
                    Outcome::Refused(words) => assert!(words.contains("SQL name") || words.contains("Too long"), "{disguise:?}: {words}"),
                    Outcome::Stalled(words) if disguise == scene.owner => {
                        assert!(words.starts_with("ClaimedByAnother") && words.contains(&scene.rival.namespace), "{words}");
                    }
                    Outcome::Stalled(words) => {
                        assert!(words.starts_with("Unsupported") || words.starts_with("ClaimedByAnother"), "{disguise:?}: {words}");
                        assert!(scene.team.secrets().get_opt(&name).await.unwrap().is_none(), "{disguise:?}");
                    }
                    Outcome::Made => {
                        assert_ne!(disguise, scene.owner);
                        scene.is_no_way_in(&name).await;
                    }
                }
            }
        }
        // All of them go, with their databases, and the rival's stays.
        for database in scene.team.databases().list(&kube::api::ListParams::default()).await.unwrap() {
            scene.team.delete(&database.name_any()).await;
        }
        scene.rival_is_untouched().await;
    })
    .await;
}

/// Whoever makes the rival's object again in a namespace of its own gets nothing of it: neither while it is there, nor
/// when it was kept.
#[tokio::test]
async fn the_same_object_in_another_namespace_is_another_one() {
    played_on_every_server(async |scene| {
        let kept = scene.rival.make_usable("kept", json!({})).await;
        let before = scene.rival.secret(&kept).await;
        scene.rival.delete(&kept).await;
        scene.rival.gone(&kept).await;
        let spec = |name: &str| json!({"name": name, "user": name, "adoptionPolicy": "IfUnclaimed", "deletionPolicy": "Delete"});
        for name in [&kept, &scene.owner] {
            let outcome = attempt(&scene.team, name, spec(name)).await;
            let Outcome::Stalled(words) = outcome else { panic!("{name}: {outcome:?}") };
            assert!(words.contains(&scene.rival.namespace), "{words}");
            assert!(scene.team.secrets().get_opt(name).await.unwrap().is_none());
            scene.team.delete(name).await;
            scene.team.gone(name).await;
        }
        let mut session = scene.log_in(&before).await.unwrap();
        session.run("CREATE TABLE still (x INT)").await.unwrap();
        session.close().await;
    })
    .await;
}

/// The Secret of the operator's administrator on this server holds this name, which nobody else's user may have.
const ADMINISTRATOR: &str = "dboperator_admin";

#[tokio::test]
async fn what_belongs_to_a_server_is_nobodys() {
    played_on_every_server(async |scene| {
        let superuser = if scene.rival.server.is_postgres() { "postgres" } else { "root" };
        let names = [
            "db_operator", "DB_Operator", "postgres", "Postgres", "template0", "template1", "mysql", "MySQL", "sys",
            "information_schema", "performance_schema", "root", "ROOT", "mariadb.sys", "mysql.sys", "mysql.infoschema",
            "pg_monitor", "PG_x", "pg_database_owner", "rdsadmin", "rds_superuser", "RDS_x", "cloudsqladmin",
            "azure_superuser", "azuresu", "public", "current_user", "session_user", "none", "#mysql50#x", superuser,
        ];
        for (number, reserved) in names.into_iter().enumerate() {
            for (what, spec) in [
                ("d", json!({"name": reserved, "user": scene.team.name("user")})),
                ("u", json!({"name": scene.team.name("database"), "user": reserved})),
            ] {
                let name = scene.team.name(&format!("{what}{number}"));
                let outcome = attempt(&scene.team, &name, spec).await;
                let Outcome::Refused(words) = outcome else { panic!("{reserved}: {outcome:?}") };
                assert!(words.contains("belongs to the database server"), "{reserved}: {words}");
            }
        }
        // The administrator's name is the server's own to know.
        let spec = json!({"name": scene.team.name("boss"), "user": ADMINISTRATOR, "adoptionPolicy": "IfUnclaimed"});
        let outcome = attempt(&scene.team, &scene.team.name("boss"), spec).await;
        let Outcome::Stalled(words) = outcome else { panic!("{outcome:?}") };
        assert!(words.contains("administrator"), "{words}");
        let left = scene.rival.server.names(&scene.rival.client, &scene.team.name("boss")).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

/// Makes a database with a user that owns it, as somebody did before there was an operator.
async fn legacy(fixture: &Fixture, name: &str) -> String {
    let name = fixture.name(name);
    let (database, user) = (fixture.server.quote(&name), fixture.server.user(&name));
    let statements = if fixture.server.is_postgres() {
        vec![
            format!("CREATE ROLE {user} LOGIN PASSWORD 'before'"),
            format!("CREATE DATABASE {database} OWNER {user}"),
            format!("GRANT {user} TO {ADMINISTRATOR} WITH ADMIN OPTION"),
        ]
    } else {
        vec![
            format!("CREATE DATABASE {database}"),
            format!("CREATE USER {user} IDENTIFIED BY 'before'"),
            format!("GRANT ALL ON {database}.* TO {user}"),
        ]
    };
    let mut root = fixture.server.root(&fixture.client).await;
    for statement in statements {
        root.run(&statement).await.unwrap();
    }
    root.close().await;
    name
}

/// Logs in as that user did.
async fn as_before(scene: &Scene<'_>, name: &str) -> Session {
    let mut values = scene.rival.secret(&scene.owner).await;
    for (key, value) in [
        ("database", name),
        ("username", name),
        ("password", "before"),
    ] {
        values.insert(key.to_owned(), value.to_owned());
    }
    scene.log_in(&values).await.unwrap()
}

#[tokio::test]
async fn what_stands_there_is_adopted_by_whom_it_is_listed_for_and_as_it_is_listed() {
    played_on_every_server(async |scene| {
        let mut names = Vec::new();
        for name in ["unlisted", "rivals", "one", "two"] {
            names.push(legacy(scene.rival, name).await);
        }
        let [unlisted, rivals, one, two] = names.as_slice() else {
            panic!()
        };
        let own = &scene.team.namespace;
        let list = json!([
            {"database": rivals, "user": rivals, "namespace": scene.rival.namespace, "drop": true},
            {"database": one, "user": one, "namespace": own},
            {"database": two, "user": two, "namespace": own},
        ]);
        let instance = scene
            .admin
            .make_instance("i", json!({"adoptable": list}))
            .await;
        let free = scene.team.name("free");
        for (number, (database, user)) in [
            (unlisted, unlisted),
            (rivals, rivals),
            // Half of what is listed, and two halves.
            (one, &free),
            (&free, two),
            (one, two),
            (unlisted, &free),
            (&free, unlisted),
        ]
        .into_iter()
        .enumerate()
        {
            let spec = json!({"instanceRef": {"name": instance}, "name": database, "user": user,
                "adoptionPolicy": "IfUnclaimed", "deletionPolicy": "Delete"});
            let name = scene.team.name(&format!("a{number}"));
            let outcome = attempt(&scene.team, &name, spec).await;
            let Outcome::Stalled(words) = outcome else {
                panic!("{database} {user}: {outcome:?}")
            };
            assert!(words.starts_with("NotAdoptable"), "{words}");
            assert!(scene.team.secrets().get_opt(&name).await.unwrap().is_none());
            scene.team.delete(&name).await;
            scene.team.gone(&name).await;
        }
        for name in &names {
            as_before(scene, name).await.close().await;
        }
    })
    .await;
}
