//! What somebody changed on the server or in the cluster is put back; what somebody dropped is not made again unasked.

use std::time::Duration;

use db_operator::api::conditions::is_true;
use db_operator::api::{Database, RECREATE_REQUESTED_AT};
use e2e::testing::{
    Fixture, NEXT_LOOK, Server, Session, condition, eventually, on_every_server, password,
    with_fixture,
};
use serde_json::json;

/// A difference, made by the superuser, and what says that it is gone: a query with the answer `ok`.
struct Drift {
    make: String,
    name: &'static str,
    repaired: String,
}

fn drifts(fixture: &Fixture, name: &str) -> Vec<Drift> {
    let (database, user) = (fixture.server.quote(name), fixture.server.user(name));
    let drift = |name, make: String, repaired: String| Drift {
        make,
        name,
        repaired,
    };
    if fixture.server.is_postgres() {
        let role = |what: &str| {
            format!(
                "SELECT CASE WHEN {what} THEN 'ok' ELSE 'no' END FROM pg_roles WHERE rolname = '{name}'"
            )
        };
        let base = |what: &str| {
            format!(
                "SELECT CASE WHEN {what} THEN 'ok' ELSE 'no' END FROM pg_database WHERE datname = '{name}'"
            )
        };
        return vec![
            drift(
                "owner",
                format!("ALTER DATABASE {database} OWNER TO dboperator_admin"),
                base(&format!("datdba = '{user}'::regrole")),
            ),
            drift(
                "public",
                format!("GRANT CONNECT ON DATABASE {database} TO PUBLIC"),
                base("NOT EXISTS (SELECT FROM aclexplode(datacl) a WHERE a.grantee = 0)"),
            ),
            drift(
                "limit",
                format!("ALTER ROLE {user} CONNECTION LIMIT 1"),
                role("rolconnlimit = 5"),
            ),
            drift(
                "nologin",
                format!("ALTER ROLE {user} NOLOGIN"),
                role("rolcanlogin"),
            ),
            drift(
                "attribute",
                format!("ALTER ROLE {user} CREATEDB"),
                role("NOT rolcreatedb"),
            ),
        ];
    }
    let grants = format!(
        "SELECT CASE WHEN COUNT(*) > 10 THEN 'ok' ELSE 'no' END FROM information_schema.schema_privileges WHERE grantee LIKE '%{name}%' AND is_grantable = 'NO'"
    );
    let account = |what: &str| {
        format!(
            "SELECT CASE WHEN {what} THEN 'ok' ELSE 'no' END FROM mysql.user WHERE user = '{name}'"
        )
    };
    let locked = if fixture.server.instance() == "mysql" {
        account("account_locked = 'N'")
    } else {
        format!(
            "SELECT CASE WHEN JSON_VALUE(priv, '$.account_locked') = 1 THEN 'no' ELSE 'ok' END FROM mysql.global_priv WHERE user = '{name}'"
        )
    };
    vec![
        drift(
            "privileges",
            format!("REVOKE ALL PRIVILEGES ON {database}.* FROM {user}"),
            grants.clone(),
        ),
        drift(
            "grant option",
            format!("GRANT SELECT ON {database}.* TO {user} WITH GRANT OPTION"),
            grants,
        ),
        drift(
            "limit",
            format!("ALTER USER {user} WITH MAX_USER_CONNECTIONS 1"),
            account("max_user_connections = 5"),
        ),
        drift("locked", format!("ALTER USER {user} ACCOUNT LOCK"), locked),
    ]
}

#[tokio::test]
async fn differences_are_put_back_within_one_resync_and_told() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"connectionLimit": 5}))
            .await;
        let other = fixture.make_usable("secretless", json!({})).await;
        let lost = password(&fixture.secret(&other).await);
        fixture.delete_secret(&other).await;
        let drifts = drifts(fixture, &name);
        let mut root = fixture.server.root(&fixture.client).await;
        for drift in &drifts {
            root.run(&drift.make).await.unwrap();
        }
        for drift in &drifts {
            let what = format!("{:?}: {} is repaired", fixture.server, drift.name);
            eventually(&what, NEXT_LOOK, async || {
                let answer = root.column(&drift.repaired).await.unwrap();
                if answer == ["ok"] {
                    Ok(())
                } else {
                    Err(format!("{answer:?}"))
                }
            })
            .await;
        }
        root.close().await;
        fixture.told(&name, "Repaired").await;
        fixture.usable(&name).await;
        let session = Session::open(&fixture.client, &fixture.secret(&name).await).await;
        session.unwrap().close().await;

        // A Secret is not watched; this is when its absence is noticed.
        eventually("the Secret is there again", NEXT_LOOK, async || {
            let found = fixture.secrets().get_opt(&other).await.unwrap();
            found.map(drop).ok_or_else(|| "none".to_owned())
        })
        .await;
        fixture.usable(&other).await;
        let secret = fixture.secret(&other).await;
        assert_ne!(password(&secret), lost);
        eventually("the user follows", NEXT_LOOK, async || {
            let session = Session::open(&fixture.client, &secret).await;
            session.map(drop).map_err(|error| error.to_string())
        })
        .await;
    })
    .await;
}

/// What keeps a user out, and a password that somebody set on the server: seen at each look, without a login.
#[tokio::test]
async fn a_user_of_mysql_that_cannot_log_in_any_more_can_again_within_one_resync() {
    for server in [Server::Mariadb, Server::Mysql] {
        with_fixture(server, async |fixture| {
            let name = fixture.make_usable("orders", json!({})).await;
            let secret = fixture.secret(&name).await;
            let account = fixture.server.user(&name);
            for (change, event) in [
                (format!("ALTER USER {account} PASSWORD EXPIRE"), "Repaired"),
                (format!("ALTER USER {account} REQUIRE X509"), "Repaired"),
                (
                    format!("ALTER USER {account} IDENTIFIED BY 'another-0'"),
                    "PasswordSet",
                ),
            ] {
                let mut root = fixture.server.root(&fixture.client).await;
                root.run(&change).await.unwrap();
                root.close().await;
                eventually(&change, NEXT_LOOK, async || {
                    let mut session = Session::open(&fixture.client, &secret)
                        .await
                        .map_err(|error| error.to_string())?;
                    let answer = session.column("SELECT 1").await;
                    answer.map(drop).map_err(|error| error.to_string())
                })
                .await;
                fixture.told(&name, event).await;
            }
            fixture.usable(&name).await;
        })
        .await;
    }
}

/// PostgreSQL shows no stored password and nothing of what is inside: a login at each look does.
#[tokio::test]
async fn a_user_of_postgresql_that_cannot_log_in_any_more_can_again_within_one_resync() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let secret = fixture.secret(&name).await;
        let mut root = fixture.server.root(&fixture.client).await;
        let user = fixture.server.user(&name);
        root.run(&format!("ALTER ROLE {user} PASSWORD 'another-0'"))
            .await
            .unwrap();
        root.close().await;
        eventually("the Secret works", NEXT_LOOK, async || {
            let session = Session::open(&fixture.client, &secret).await;
            session.map(drop).map_err(|error| error.to_string())
        })
        .await;
        fixture.told(&name, "PasswordSet").await;
        fixture.usable(&name).await;
    })
    .await;
}

/// A lock that each login in the database waits for: no application gets in, and the server answers everybody else.
#[tokio::test]
async fn a_database_whose_logins_get_no_answer_is_not_ready_within_one_resync() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let neighbour = fixture.make_usable("neighbour", json!({})).await;
        let mut inside = fixture.server.superuser(&fixture.client, &name).await;
        inside
            .run("BEGIN; LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let ready = |database: &Database| {
            let conditions = database.status.as_ref().map(|status| &status.conditions);
            conditions.and_then(|all| condition(all, "Ready").map(|ready| ready.reason.clone()))
        };
        // Two logins are given up before it is said.
        let told = NEXT_LOOK + Duration::from_secs(15);
        fixture
            .until(&name, "nobody gets in", told, |database| {
                ready(database).as_deref() == Some("LoginFailed")
            })
            .await;
        fixture.usable(&neighbour).await;
        inside.run("ROLLBACK").await.unwrap();
        inside.close().await;
        fixture
            .until(&name, "it is let in again", NEXT_LOOK, |database| {
                ready(database).as_deref() == Some("Created")
            })
            .await;
    })
    .await;
}

/// A schema that was asked for, and tables: told within one resync, and so is that it is over.
#[tokio::test]
async fn what_came_to_belong_to_others_inside_a_database_is_told_within_one_resync() {
    with_fixture(Server::Postgres, async |fixture| {
        let spec = json!({"postgresql": {"schemas": [{"name": "audit"}]}});
        let name = fixture.make_usable("orders", spec).await;
        let secret = fixture.secret(&name).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        for table in ["audit.kept", "public.taken"] {
            let create = format!("CREATE TABLE {table} (x INT)");
            session.run(&create).await.unwrap();
        }
        session.close().await;
        let mut inside = fixture.server.superuser(&fixture.client, &name).await;
        let over = |database: &Database| {
            let status = database.status.as_ref();
            status.is_some_and(|s| {
                condition(&s.conditions, "Stalled").is_none() && is_true(&s.conditions, "Ready")
            })
        };
        for (changes, reason, is_ready) in [
            (
                ["ALTER SCHEMA audit OWNER TO dboperator_admin"].as_slice(),
                "InTheWay",
                true,
            ),
            // One of two: it can be used all the same.
            (
                ["ALTER TABLE public.taken OWNER TO dboperator_admin"].as_slice(),
                "ObjectsNotAccessible",
                true,
            ),
            (
                [
                    "ALTER TABLE public.taken OWNER TO dboperator_admin",
                    "ALTER TABLE audit.kept OWNER TO dboperator_admin",
                ]
                .as_slice(),
                "ObjectsNotAccessible",
                false,
            ),
        ] {
            for change in changes {
                inside.run(change).await.unwrap();
            }
            fixture.stalled_within(&name, reason, NEXT_LOOK).await;
            fixture
                .until(&name, reason, NEXT_LOOK, |database| {
                    let status = database.status.as_ref();
                    status.is_some_and(|s| is_true(&s.conditions, "Ready") == is_ready)
                })
                .await;
            let message = fixture.stalled(&name, reason).await;
            fixture.told(&name, reason).await;
            let (_, statements) = message.rsplit_once("run: ").unwrap();
            for statement in statements.split("; ") {
                inside.run(statement).await.unwrap();
            }
            let what = format!("{changes:?} is over");
            fixture.until(&name, &what, NEXT_LOOK, over).await;
        }
        inside.close().await;
    })
    .await;
}

/// Default character set and collation, by hand: put back where they were asked for, in whichever spelling.
#[tokio::test]
async fn a_character_set_that_was_changed_by_hand_is_put_back() {
    for server in [Server::Mariadb, Server::Mysql] {
        with_fixture(server, async |fixture| {
            let (wanted, named) = if server == Server::Mariadb {
                ("uca1400_ai_ci", "utf8mb4_uca1400_ai_ci")
            } else {
                ("utf8mb4_0900_as_cs", "utf8mb4_0900_as_cs")
            };
            let spec = json!({"mysql": {"characterSet": "utf8mb4", "collation": wanted}});
            let name = fixture.make_usable("orders", spec).await;
            let mut root = fixture.server.root(&fixture.client).await;
            let alter = format!(
                "ALTER DATABASE {} CHARACTER SET latin1",
                fixture.server.quote(&name)
            );
            root.run(&alter).await.unwrap();
            let now = format!(
                "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = '{name}'"
            );
            eventually("the collation is put back", NEXT_LOOK, async || {
                let found = root.column(&now).await.unwrap();
                if found == [named] { Ok(()) } else { Err(format!("{found:?}")) }
            })
            .await;
            root.close().await;
            let told = fixture.told(&name, "Repaired").await;
            assert!(told.contains("latin1"), "{told}");
            // The other spelling asks for nothing.
            fixture
                .patch(&name, json!({"spec": {"mysql": {"collation": named}}}))
                .await;
            fixture.usable(&name).await;
            let events = fixture.events(&name).await;
            let changed = events.iter().filter(|event| event.starts_with("Changed"));
            assert_eq!(changed.count(), 0, "{events:?}");
        })
        .await;
    }
}

/// The server asks the account with the narrowest host for its password. It is somebody's, and told of.
#[tokio::test]
async fn an_account_that_answers_in_the_place_of_the_user_is_told() {
    for server in [Server::Mariadb, Server::Mysql] {
        with_fixture(server, async |fixture| {
            let name = fixture.make_usable("orders", json!({})).await;
            let mut root = fixture.server.root(&fixture.client).await;
            let create = format!("CREATE USER {}@'192.0.2.%'", fixture.server.quote(&name));
            root.run(&create).await.unwrap();
            let message = fixture.stalled_within(&name, "InTheWay", NEXT_LOOK).await;
            let database = fixture.databases().get(&name).await.unwrap();
            let conditions = &database.status.unwrap().conditions;
            let ready = condition(conditions, "Ready").unwrap();
            assert_eq!(ready.reason, "Created", "others can log in");
            let (_, remedy) = message.rsplit_once("run: ").unwrap();
            root.run(remedy).await.unwrap();
            root.close().await;
            fixture
                .until(
                    &name,
                    "nobody answers in its place",
                    NEXT_LOOK,
                    |database| {
                        let status = database.status.as_ref();
                        status.is_some_and(|s| condition(&s.conditions, "Stalled").is_none())
                    },
                )
                .await;
            fixture.usable(&name).await;
        })
        .await;
    }
}

/// A right of everybody, or of a pattern, is nobody's to take back but the platform team's.
#[tokio::test]
async fn a_database_that_others_get_at_is_refused_or_says_so() {
    for server in [Server::Mariadb, Server::Mysql] {
        with_fixture(server, async |fixture| {
            let name = fixture.make_usable("orders", json!({})).await;
            let other = fixture.server.user(&fixture.name("bi"));
            let pattern = format!("`{}%`.*", fixture.prefix);
            let mut root = fixture.server.root(&fixture.client).await;
            for statement in [
                format!("CREATE USER {other}"),
                format!("GRANT SELECT ON {pattern} TO {other}"),
            ] {
                root.run(&statement).await.unwrap();
            }
            let message = fixture.stalled_within(&name, "Exposed", NEXT_LOOK).await;
            assert!(message.contains("REVOKE ALL PRIVILEGES ON"), "{message}");
            let database = fixture.databases().get(&name).await.unwrap();
            let conditions = &database.status.unwrap().conditions;
            let ready = condition(conditions, "Ready").unwrap();
            assert_eq!(ready.reason, "Created", "it can be used all the same");
            fixture.told(&name, "Exposed").await;

            let late = fixture.make("late", json!({})).await;
            let message = fixture.stalled(&late, "InTheWay").await;
            assert!(message.contains("REVOKE ALL PRIVILEGES ON"), "{message}");
            let left = fixture.server.names(&fixture.client, &late).await;
            assert!(left.is_empty(), "{left:?}");

            let revoke = format!("REVOKE ALL PRIVILEGES ON {pattern} FROM {other}");
            root.run(&revoke).await.unwrap();
            root.close().await;
            for name in [&late, &name] {
                fixture
                    .until(name, "no longer exposed", NEXT_LOOK, |database| {
                        let status = database.status.as_ref();
                        status.is_some_and(|s| condition(&s.conditions, "Stalled").is_none())
                    })
                    .await;
                fixture.usable(name).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_database_that_somebody_dropped_is_made_again_only_when_that_is_asked_for() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let mut root = fixture.server.root(&fixture.client).await;
        let drop = format!("DROP DATABASE {}", fixture.server.quote(&name));
        root.run(&drop).await.unwrap();
        root.close().await;
        let message = fixture
            .stalled_within(&name, "DatabaseMissing", NEXT_LOOK)
            .await;
        assert!(
            message.contains(&name) && message.contains(RECREATE_REQUESTED_AT),
            "{message}"
        );
        fixture
            .annotate(&name, "db-operator.dev/reconcile-requested-at", "1")
            .await;
        fixture
            .patch(&name, json!({"spec": {"connectionLimit": 5}}))
            .await;
        fixture
            .until(&name, "looked at", NEXT_LOOK, |database| {
                database
                    .status
                    .as_ref()
                    .and_then(|status| status.observed_generation)
                    == database.metadata.generation
            })
            .await;
        fixture.stalled(&name, "DatabaseMissing").await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(!left.contains(&format!("database {name}")), "{left:?}");

        fixture.annotate(&name, RECREATE_REQUESTED_AT, "1").await;
        fixture.usable(&name).await;
        let session = Session::open(&fixture.client, &fixture.secret(&name).await).await;
        session.unwrap().close().await;

        // Once per value: the next time, it is asked for again.
        let mut root = fixture.server.root(&fixture.client).await;
        root.run(&drop).await.unwrap();
        root.close().await;
        fixture
            .annotate(&name, "db-operator.dev/reconcile-requested-at", "2")
            .await;
        fixture.stalled(&name, "DatabaseMissing").await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

/// A login works, but no write: that is not ready. Whoever set it may have meant it, so it is not taken back.
#[tokio::test]
async fn a_database_that_accepts_no_writes_is_not_ready() {
    with_fixture(Server::Postgres, async |fixture| {
        says_that_it_is_read_only(fixture, "SET default_transaction_read_only = on").await;
    })
    .await;
}

#[tokio::test]
async fn a_database_of_mysql_that_accepts_no_writes_is_not_ready() {
    with_fixture(Server::Mysql, async |fixture| {
        says_that_it_is_read_only(fixture, "READ ONLY = 1").await;
    })
    .await;
}

async fn says_that_it_is_read_only(fixture: &Fixture, option: &str) {
    let name = fixture.make_usable("orders", json!({})).await;
    let mut root = fixture.server.root(&fixture.client).await;
    let database = fixture.server.quote(&name);
    root.run(&format!("ALTER DATABASE {database} {option}"))
        .await
        .unwrap();
    let message = fixture.stalled_within(&name, "ReadOnly", NEXT_LOOK).await;
    // To suspend it makes it no better.
    let suspend = |suspend: bool| json!({"spec": {"suspend": suspend}});
    fixture.patch(&name, suspend(true)).await;
    let seen = |database: &Database| {
        let status = database.status.as_ref();
        status.is_some_and(|s| s.observed_generation == database.metadata.generation)
    };
    let found = fixture.until(&name, "seen", NEXT_LOOK, seen).await;
    let conditions = found.status.unwrap().conditions;
    assert!(!is_true(&conditions, "Ready"), "{conditions:?}");
    fixture.patch(&name, suspend(false)).await;
    let (_, reset) = message.split_once("run: ").unwrap();
    root.run(reset).await.unwrap();
    root.close().await;
    fixture
        .until(&name, "accepts writes", NEXT_LOOK, |database| {
            let status = database.status.as_ref();
            status.is_some_and(|s| condition(&s.conditions, "Stalled").is_none())
        })
        .await;
    fixture.usable(&name).await;
}
