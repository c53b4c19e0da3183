//! Restores: a place beside the database, the swap, and the way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use db_operator::provider::restore::{
    Ended, Leftover, Load, LoadMode, RestoreId, Scratch, Swapped,
};
use db_operator::provider::{
    Claim, Desired, Extension, Login, Origin, Ours, Provider, ProviderError, Removal, Removed,
    SqlName,
};
use e2e::sql_servers::postgresql::SUPERUSER;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use crate::fixture::{
    ADMINISTRATOR, CANARY, Fixture, ask, claimant, desired, eventually, names, password, run,
    session_at,
};

/// As long as a swap may take here.
pub(crate) const MOST: Duration = Duration::from_secs(15);

pub(crate) const UID: &str = "0f1e2d3c-1111-4222-8333-444455556666";

/// What a Restore of this name asks for.
pub(crate) fn load(cluster: &str, wanted: &Desired, name: &str, mode: LoadMode) -> Load {
    Load {
        restore: RestoreId {
            cluster_id: cluster.to_owned(),
            namespace: "team-a".to_owned(),
            name: name.to_owned(),
            uid: UID.to_owned(),
            spec_hash: "5bec".to_owned(),
        },
        target: wanted.names.clone(),
        claimant: claimant(cluster, "object"),
        take_over_from: vec!["a-cluster-that-is-gone".to_owned()],
        extensions: Vec::new(),
        desired: wanted.clone(),
        mode,
    }
}

/// A session of the login that loads.
pub(crate) async fn as_login(
    fixture: &Fixture,
    scratch: &Scratch,
    secret: &SecretString,
) -> PgConnection {
    let (login, database) = (scratch.login.as_str(), scratch.database.as_str());
    let session = fixture.session(login, secret.expose_secret(), database);
    session.await.unwrap()
}

/// What the tool in the pod does: it logs in as the login, becomes the owner, and makes something.
pub(crate) async fn fill(fixture: &Fixture, scratch: &Scratch, secret: &SecretString) {
    let mut session = as_login(fixture, scratch, secret).await;
    let sql = format!(
        "SET ROLE {}; CREATE TABLE restored AS SELECT 42 AS answer",
        scratch.owner.postgresql()
    );
    run(&mut session, &sql).await.unwrap();
    sqlx::Connection::close(session).await.unwrap();
}

/// A place to load into, loaded.
pub(crate) async fn make_and_fill(
    fixture: &Fixture,
    provider: &dyn Provider,
    load: &Load,
) -> Scratch {
    let secret = password("load");
    let scratch = provider
        .make_scratch(load, &provider.verifier(&secret))
        .await
        .unwrap();
    fill(fixture, &scratch, &secret).await;
    scratch
}

pub(crate) async fn tables(fixture: &Fixture, database: &str) -> Vec<String> {
    let sql = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1";
    let tables = fixture.ask(database, sql).await;
    settled(fixture, database).await;
    tables
}

/// Waits until the superuser's sessions in the database are over, which the administrator may not end.
pub(crate) async fn settled(fixture: &Fixture, database: &str) {
    let sessions = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{database}' AND usename = '{SUPERUSER}'"
    );
    eventually("the superuser's sessions are over", async || {
        fixture.ask("postgres", &sessions).await == ["0"]
    })
    .await;
}

pub(crate) fn done(swapped: Swapped) -> (Duration, Option<SqlName>) {
    match swapped {
        Swapped::Done { downtime, former } => (downtime, former),
        other => panic!("{other:?}"),
    }
}

/// What is set on a database from outside.
pub(crate) async fn properties(fixture: &Fixture, database: &str) -> Vec<String> {
    let sql = format!(
        "SELECT concat_ws('|', pg_get_userbyid(datdba), datallowconn, datistemplate, datconnlimit, encoding, datcollate,
           datctype, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),
           shobj_description(oid, 'pg_database'),
           (SELECT array_agg(setrole::regrole || c ORDER BY setrole, c) FROM pg_db_role_setting s
             CROSS JOIN unnest(s.setconfig) c WHERE setdatabase = d.oid))
         FROM pg_database d WHERE datname = '{database}'"
    );
    fixture.ask("postgres", &sql).await
}

/// The operator's databases and roles that restores make.
pub(crate) async fn made(fixture: &Fixture, base: &str) -> Vec<String> {
    let sql = format!(
        "SELECT datname FROM pg_database WHERE datname LIKE '{base}\\_\\_%'
         UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE '{base}\\_\\_%' ORDER BY 1"
    );
    fixture.ask("postgres", &sql).await
}

pub(crate) async fn what_was_loaded_takes_the_databases_place(fixture: &mut Fixture) {
    let provider = fixture.provider("swaps");
    let mut wanted = desired("swapped");
    wanted.connection_limit = Some(30);
    wanted.postgresql.schemas = vec![SqlName::new("audit").unwrap()];
    let secret = password("swapped");
    fixture.make(&*provider, "swaps", &wanted, &secret).await;
    with_settings_of_its_own(fixture).await;
    let before = properties(fixture, "swapped").await;
    let id = "SELECT oid::text FROM pg_database WHERE datname = 'swapped'";
    let first_id = fixture.ask("postgres", id).await;

    let load = load("swaps", &wanted, "monday", LoadMode::Replace);
    let facts = provider.look_at_target(&load).await.unwrap();
    assert_eq!(facts.obstacles, Vec::<String>::new());
    assert_eq!(
        facts.contents,
        ["table \"public\".\"good\"", "view \"public\".\"seen\""]
    );
    assert!(facts.bytes > 1_000_000 && facts.free_bytes.is_none());
    assert!((1..1000).contains(&facts.free_connections.unwrap()));
    assert_eq!(provider.restored(&load.restore, &[]).await, Ok(None));

    let scratch = make_and_fill(fixture, &*provider, &load).await;
    assert_eq!(scratch.database.as_str(), "swapped__r_0f1e2d3c");
    assert_eq!(scratch.owner, wanted.names.role);
    let loads = password("load");
    nobody_else_is_let_in(fixture, &scratch, &loads).await;
    let settings = properties(fixture, "swapped__r_0f1e2d3c").await.remove(0);
    assert!(
        settings.contains("DateStyle=SQL, DMY") && !settings.contains("statement_timeout"),
        "{settings}"
    );
    assert_eq!(tables(fixture, "swapped").await, ["good"]);
    assert_eq!(properties(fixture, "swapped").await, before);

    let (downtime, former) = done(provider.swap(&load, &scratch, MOST).await.unwrap());
    eprintln!("PostgreSQL {}: downtime {downtime:?}", fixture.series());
    assert_eq!(former.as_ref().unwrap().as_str(), "swapped__was_0f1e2d3c");
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    assert_eq!(tables(fixture, "swapped").await, ["restored"]);
    assert_eq!(properties(fixture, "swapped").await, before);
    assert_ne!(fixture.ask("postgres", id).await, first_id);
    let schema = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'audit'";
    assert_eq!(fixture.ask("swapped", schema).await, ["swapped"]);
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(observed.claims[0].database, Origin::Created);
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap(), []);

    // The former one is closed, and the administrator's.
    let closed = properties(fixture, "swapped__was_0f1e2d3c").await.remove(0);
    assert!(
        closed.starts_with(&format!("{ADMINISTRATOR}|f|")),
        "{closed}"
    );
    let again = provider.swap(&load, &scratch, MOST).await.unwrap();
    assert_eq!(done(again), (downtime, former.clone()));
    let record = provider
        .restored(&load.restore, &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!((record.former, record.uid.as_str()), (former.clone(), UID));
    assert_eq!(u128::from(record.downtime_millis), downtime.as_millis());
    let mut rebuilt = load.restore.clone();
    "rebuilt".clone_into(&mut rebuilt.cluster_id);
    assert_eq!(provider.restored(&rebuilt, &[]).await, Ok(None));
    let taken_over = ["swaps".to_owned()];
    assert!(
        provider
            .restored(&rebuilt, &taken_over)
            .await
            .unwrap()
            .is_some()
    );
    provider
        .make_scratch(&load, &provider.verifier(&loads))
        .await
        .unwrap_err();

    // Back, once.
    let undone = done(provider.undo(&load, MOST).await.unwrap());
    assert_eq!(undone.1, former);
    assert_eq!(done(provider.undo(&load, MOST).await.unwrap()), undone);
    assert_eq!(tables(fixture, "swapped").await, ["good"]);
    assert_eq!(properties(fixture, "swapped").await, before);
    assert_eq!(fixture.ask("postgres", id).await, first_id);
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);

    nothing_is_left(fixture, &*provider, &load).await;
    provider.close().await;
}

/// While it is loaded: its login gets nowhere else, and nobody but it and the owner into it.
async fn nobody_else_is_let_in(fixture: &Fixture, scratch: &Scratch, loads: &SecretString) {
    let elsewhere = fixture
        .session(scratch.login.as_str(), loads.expose_secret(), "swapped")
        .await
        .unwrap_err();
    assert!(
        elsewhere.to_string().contains("permission denied"),
        "{elsewhere}"
    );
    fixture
        .set_password("reports", &format!("{CANARY}-reports"))
        .await;
    fixture
        .session(
            "reports",
            &format!("{CANARY}-reports"),
            "swapped__r_0f1e2d3c",
        )
        .await
        .unwrap_err();
}

/// What a platform team sets of a database, in all quotings; and rows.
async fn with_settings_of_its_own(fixture: &Fixture) {
    for sql in [
        "CREATE ROLE reports LOGIN",
        "GRANT CONNECT, TEMPORARY ON DATABASE swapped TO reports WITH GRANT OPTION",
        "ALTER DATABASE swapped SET search_path TO \"$user\", public, \"a,b\"\"c\"",
        "ALTER DATABASE swapped SET statement_timeout TO '77s'",
        "ALTER DATABASE swapped SET DateStyle TO 'SQL, DMY'",
        "ALTER ROLE swapped IN DATABASE swapped SET work_mem TO '5MB'",
        "ALTER ROLE swapped SET application_name TO 'everywhere'",
        "COMMENT ON DATABASE swapped IS 'it''s \"ours\" \\'",
    ] {
        fixture.run("postgres", sql).await;
    }
    fixture
        .run(
            "swapped",
            "SET ROLE swapped; CREATE TABLE good (a text); CREATE VIEW seen AS SELECT 1",
        )
        .await;
}

/// Everything that a restore made goes, but for its record.
async fn nothing_is_left(fixture: &Fixture, provider: &dyn Provider, load: &Load) {
    for which in [
        Leftover::Login,
        Leftover::Scratch,
        Leftover::Former,
        Leftover::Former,
        Leftover::Login,
    ] {
        assert_eq!(
            provider.drop_leftover(load, which).await,
            Ok(Ended::Done),
            "{which:?}"
        );
    }
    assert_eq!(made(fixture, "swapped").await, Vec::<String>::new());
    let record = provider
        .restored(&load.restore, &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.former, None);
    assert!(matches!(
        provider.undo(load, MOST).await,
        Ok(Swapped::Done { former: None, .. })
    ));
    fixture.assert_no_membership_left().await;
    let version = "SELECT schema_version::text FROM db_operator.meta";
    assert_eq!(fixture.ask("db_operator", version).await, ["3"]);
}

/// Nothing was in it: nothing of it is left.
pub(crate) async fn an_empty_database_is_filled(fixture: &mut Fixture) {
    let provider = fixture.provider("empties");
    let mut wanted = desired("emptied");
    let secret = password("emptied");
    wanted.postgresql.schemas = vec![SqlName::new("kept").unwrap()];
    fixture.make(&*provider, "empties", &wanted, &secret).await;
    let load = load("empties", &wanted, "first", LoadMode::Empty);
    let facts = provider.look_at_target(&load).await.unwrap();
    assert_eq!(facts.contents, Vec::<String>::new());
    let scratch = make_and_fill(fixture, &*provider, &load).await;

    // Something comes meanwhile.
    fixture
        .run("emptied", "SET ROLE emptied; CREATE SEQUENCE late")
        .await;
    let swapped = provider.swap(&load, &scratch, MOST).await.unwrap();
    assert_eq!(
        swapped,
        Swapped::NotEmpty(vec!["sequence \"public\".\"late\"".to_owned()])
    );
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    fixture.run("emptied", "DROP SEQUENCE late").await;

    let (_, former) = done(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert_eq!(former, None);
    assert_eq!(tables(fixture, "emptied").await, ["restored"]);
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    assert_eq!(made(fixture, "emptied").await, [scratch.login.to_string()]);
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Login).await,
        Ok(Ended::Done)
    );
    assert_eq!(made(fixture, "emptied").await, Vec::<String>::new());
    assert!(matches!(
        provider.undo(&load, MOST).await,
        Ok(Swapped::ChangedHands(_))
    ));
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// Whoever writes while an empty database is swapped is refused, or what it wrote is seen: nothing is lost.
pub(crate) async fn nothing_is_lost_that_is_written_at_the_last_moment(fixture: &mut Fixture) {
    let provider = fixture.provider("races");
    let secret = password("raced");
    let (mut lost, mut seen) = (0, 0);
    for round in 0..6_u64 {
        let wanted = desired(&format!("raced{round}"));
        let database = wanted.names.database.to_string();
        fixture.make(&*provider, "races", &wanted, &secret).await;
        let load = load("races", &wanted, &database, LoadMode::Empty);
        let scratch = make_and_fill(fixture, &*provider, &load).await;
        let (port, user, word) = (
            fixture.server.port,
            database.clone(),
            secret.expose_secret().to_owned(),
        );
        // It connects again and again, and makes a table at some moment.
        let writer = tokio::spawn(async move {
            let mut tries = 0;
            loop {
                let Ok(mut session) = session_at(port, &user, &word, &user).await else {
                    return false;
                };
                if tries == 3 * round {
                    return run(&mut session, "CREATE TABLE written (a text)")
                        .await
                        .is_ok();
                }
                tries += 1;
            }
        });
        let swapped = provider.swap(&load, &scratch, MOST).await.unwrap();
        let written = writer.await.unwrap();
        match swapped {
            Swapped::NotEmpty(contents) => {
                seen += 1;
                assert_eq!(contents, ["table \"public\".\"written\""]);
                assert_eq!(tables(fixture, &database).await, ["written"]);
            }
            Swapped::Done { .. } => {
                let now = tables(fixture, &database).await;
                // Written before: lost. Written afterwards: it is in the new one.
                assert!(now.contains(&"restored".to_owned()));
                lost += u32::from(written && !now.contains(&"written".to_owned()));
            }
            other @ (Swapped::Blocked(_) | Swapped::ChangedHands(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(lost, 0, "{seen} were seen");
    provider.close().await;
}

/// Applications that connect again and again, as they do behind a pool.
pub(crate) async fn applications_are_cut_off_for_a_moment(fixture: &mut Fixture) {
    let provider = fixture.provider("crowds");
    let wanted = desired("crowded");
    let secret = password("crowded");
    fixture.make(&*provider, "crowds", &wanted, &secret).await;
    fixture
        .run("crowded", "SET ROLE crowded; CREATE TABLE good ()")
        .await;
    let load = load("crowds", &wanted, "rush", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let over = Arc::new(AtomicBool::new(false));
    let port = fixture.server.port;
    let applications: Vec<_> = (0..20)
        .map(|_| {
            let over = Arc::clone(&over);
            let word = secret.expose_secret().to_owned();
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                let mut last = Instant::now();
                let mut served = 0_u32;
                while !over.load(Ordering::SeqCst) {
                    let Ok(mut session) = session_at(port, "crowded", &word, "crowded").await
                    else {
                        continue;
                    };
                    while run(&mut session, "SELECT pg_sleep(0.005)").await.is_ok() {
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                        served += 1;
                        if over.load(Ordering::SeqCst) {
                            break;
                        }
                    }
                }
                (longest, served)
            })
        })
        .collect();
    let crowd = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = 'crowded'";
    let watched: &Fixture = fixture;
    eventually("all are there", async || {
        watched.ask("postgres", crowd).await == ["20"]
    })
    .await;
    let (downtime, _) = done(provider.swap(&load, &scratch, MOST).await.unwrap());
    eventually("all are back", async || {
        watched.ask("postgres", crowd).await == ["20"]
    })
    .await;
    over.store(true, Ordering::SeqCst);
    let mut longest = Duration::ZERO;
    for application in applications {
        let (gap, served) = application.await.unwrap();
        assert!(served > 0);
        longest = longest.max(gap);
    }
    eprintln!(
        "PostgreSQL {}: 20 applications: downtime {downtime:?}, the longest gap {longest:?}",
        fixture.series()
    );
    assert!(downtime < Duration::from_secs(5), "{downtime:?}");
    assert_eq!(tables(fixture, "crowded").await, ["restored"]);
    provider.close().await;
}

pub(crate) async fn who_is_in_the_way_of_a_swap_is_named(fixture: &mut Fixture) {
    let provider = fixture.provider("ways");
    let wanted = desired("way");
    let secret = password("way");
    fixture.make(&*provider, "ways", &wanted, &secret).await;
    let load = load("ways", &wanted, "stuck", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let mut user = fixture
        .session("way", secret.expose_secret(), "way")
        .await
        .unwrap();
    run(
        &mut user,
        "BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'way'",
    )
    .await
    .unwrap();
    let mut superuser = fixture.superuser("way").await;
    let facts = provider.look_at_target(&load).await.unwrap();
    let said = facts.obstacles.join("\n");
    assert!(said.contains("ROLLBACK PREPARED 'way'"), "{said}");
    assert!(said.contains("pg_terminate_backend"), "{said}");
    let blocked = |swapped: Swapped| match swapped {
        Swapped::Blocked(sentence) => sentence,
        other => panic!("{other:?}"),
    };
    let said = blocked(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert!(said.contains("ROLLBACK PREPARED"), "{said}");
    run(&mut user, "ROLLBACK PREPARED 'way'").await.unwrap();
    let said = blocked(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert!(said.contains("pg_terminate_backend"), "{said}");
    // It is open all the time, and nobody was ended.
    run(&mut user, "SELECT 1").await.unwrap();
    run(&mut superuser, "SELECT 1").await.unwrap();
    sqlx::Connection::close(superuser).await.unwrap();

    // A setting that only a superuser may make; the swap finds it out in time.
    fixture
        .run("postgres", "ALTER DATABASE way SET log_statement TO 'all'")
        .await;
    let facts = provider.look_at_target(&load).await.unwrap();
    assert!(
        facts.obstacles.join("\n").contains("\"log_statement\""),
        "{facts:?}"
    );
    let error = provider.swap(&load, &scratch, MOST).await.unwrap_err();
    assert!(error.to_string().contains("log_statement"), "{error}");
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    fixture
        .run("postgres", "ALTER DATABASE way RESET log_statement")
        .await;

    // An open transaction on the catalog is ended.
    let mut owner = fixture
        .session("way", secret.expose_secret(), "postgres")
        .await
        .unwrap();
    run(
        &mut owner,
        "BEGIN; ALTER DATABASE way SET work_mem TO '3MB'",
    )
    .await
    .unwrap();
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    run(&mut user, "SELECT 1").await.unwrap_err();
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// Whose it is, and which one, is asked in the moment of each step.
pub(crate) async fn what_changed_hands_is_left_alone(fixture: &mut Fixture) {
    let provider = fixture.provider("hands");
    let wanted = desired("handed");
    let secret = password("handed");
    fixture.make(&*provider, "hands", &wanted, &secret).await;
    fixture
        .run("handed", "SET ROLE handed; CREATE TABLE good ()")
        .await;
    let load = load("hands", &wanted, "away", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let change = async |set: &str| {
        let sql = format!("UPDATE db_operator.claims SET {set} WHERE database_name = 'handed'");
        fixture.run("db_operator", &sql).await;
    };
    let hands =
        |swapped: Result<Swapped, ProviderError>| matches!(swapped, Ok(Swapped::ChangedHands(_)));
    for (there, back) in [
        ("released = true", "released = false"),
        ("cluster_id = 'rival'", "cluster_id = 'hands'"),
        ("name = 'other'", "name = 'object'"),
    ] {
        change(there).await;
        assert!(hands(provider.swap(&load, &scratch, MOST).await), "{there}");
        assert!(matches!(
            provider.drop_leftover(&load, Leftover::Scratch).await,
            Ok(Ended::ChangedHands(_))
        ));
        change(back).await;
    }
    assert_eq!(tables(fixture, "handed").await, ["good"]);
    // That of a cluster whose claims are ours is ours.
    change("cluster_id = 'a-cluster-that-is-gone'").await;
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    change("cluster_id = 'hands'").await;
    for (there, back) in [
        ("released = true", "released = false"),
        ("namespace = 'team-b'", "namespace = 'team-a'"),
    ] {
        change(there).await;
        assert!(hands(provider.undo(&load, MOST).await), "{there}");
        assert!(matches!(
            provider.drop_leftover(&load, Leftover::Former).await,
            Ok(Ended::ChangedHands(_))
        ));
        change(back).await;
    }
    // The former database is another one.
    for sql in [
        "DROP DATABASE handed__was_0f1e2d3c",
        "CREATE DATABASE handed__was_0f1e2d3c",
    ] {
        fixture.run("postgres", sql).await;
    }
    assert!(hands(provider.undo(&load, MOST).await));
    assert!(matches!(
        provider.drop_leftover(&load, Leftover::Former).await,
        Ok(Ended::ChangedHands(_))
    ));
    fixture
        .run("postgres", "DROP DATABASE handed__was_0f1e2d3c")
        .await;
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Former).await,
        Ok(Ended::Done)
    );
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Login).await,
        Ok(Ended::Done)
    );

    // The target is another one.
    let mut next = load.clone();
    "again".clone_into(&mut next.restore.name);
    let scratch = make_and_fill(fixture, &*provider, &next).await;
    for sql in [
        "DROP DATABASE handed",
        "CREATE DATABASE handed OWNER handed",
    ] {
        fixture.run("postgres", sql).await;
    }
    assert!(hands(provider.swap(&next, &scratch, MOST).await));
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    assert_eq!(
        provider.drop_leftover(&next, Leftover::Scratch).await,
        Ok(Ended::Done)
    );
    assert_eq!(made(fixture, "handed").await, Vec::<String>::new());
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// What was there before us stays until the platform drops it.
pub(crate) async fn what_was_adopted_is_never_dropped(fixture: &mut Fixture) {
    fixture.run("postgres", "CREATE ROLE elder LOGIN").await;
    fixture
        .run("postgres", "CREATE DATABASE elder OWNER elder")
        .await;
    fixture
        .run("elder", "SET ROLE elder; CREATE TABLE t ()")
        .await;
    if fixture.series() >= 16 {
        let grant =
            format!("GRANT elder TO \"{ADMINISTRATOR}\" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
        fixture.run("postgres", &grant).await;
    }
    let provider = fixture.provider("elders");
    let wanted = desired("elder");
    let claim = Claim {
        names: wanted.names.clone(),
        claimant: claimant("elders", "object"),
        uid: "uid-1".to_owned(),
        database: Origin::Adopted,
        role: Origin::Adopted,
        drop_adopted: false,
        released: false,
    };
    provider.write_claim(&claim, None).await.unwrap();
    let secret = password("elder");
    let verifier = provider.verifier(&secret);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    provider.ensure_database(&wanted).await.unwrap();
    let first = load("elders", &wanted, "first", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &first).await;
    let (_, former) = done(provider.swap(&first, &scratch, MOST).await.unwrap());
    let former = former.unwrap();
    assert_eq!(
        provider.observe(&wanted.names).await.unwrap().claims,
        [claim]
    );
    let Ok(Ended::Adopted(sentence)) = provider.drop_leftover(&first, Leftover::Former).await
    else {
        panic!("it was adopted")
    };
    assert!(
        sentence.contains(&format!("DROP DATABASE {}", former.postgresql())),
        "{sentence}"
    );

    // What the first restore made is our own, and may be dropped once another one has replaced it.
    let mut second = first.clone();
    "second".clone_into(&mut second.restore.name);
    "aaaabbbb-1".clone_into(&mut second.restore.uid);
    let scratch = make_and_fill(fixture, &*provider, &second).await;
    done(provider.swap(&second, &scratch, MOST).await.unwrap());
    assert!(matches!(
        provider.undo(&first, MOST).await,
        Ok(Swapped::ChangedHands(_))
    ));
    // Also for an object that was made anew since, and is known to be done before.
    let mut anew = second.clone();
    "ccccdddd-2".clone_into(&mut anew.restore.uid);
    assert!(matches!(
        provider.undo(&anew, MOST).await,
        Ok(Swapped::ChangedHands(_))
    ));
    assert_eq!(
        provider.drop_leftover(&anew, Leftover::Former).await,
        Ok(Ended::Done)
    );
    let record = provider.restored(&second.restore, &[]).await.unwrap();
    assert_eq!(record.unwrap().former, None);
    assert_eq!(tables(fixture, "elder").await, ["restored"]);
    let drop = format!("DROP DATABASE {}", former.postgresql());
    fixture.run("postgres", &drop).await;
    assert_eq!(
        provider.drop_leftover(&first, Leftover::Former).await,
        Ok(Ended::Done)
    );
    for load in [first, second] {
        assert_eq!(
            provider.drop_leftover(&load, Leftover::Login).await,
            Ok(Ended::Done)
        );
    }
    assert_eq!(made(fixture, "elder").await, Vec::<String>::new());
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

pub(crate) async fn names_are_cut_or_refused(fixture: &mut Fixture) {
    let provider = fixture.provider("cuts");
    let long = "x".repeat(63);
    let wanted = desired(&long);
    let secret = password("cut");
    fixture.make(&*provider, "cuts", &wanted, &secret).await;
    let first = load("cuts", &wanted, "long", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &first).await;
    assert_eq!(scratch.database.as_str().len(), 63);
    let (_, former) = done(provider.swap(&first, &scratch, MOST).await.unwrap());
    assert!(former.unwrap().as_str().ends_with("__was_0f1e2d3c"));
    for which in [Leftover::Login, Leftover::Former] {
        assert_eq!(provider.drop_leftover(&first, which).await, Ok(Ended::Done));
    }

    // A name that is somebody else's.
    let wanted = desired("cut");
    fixture.make(&*provider, "cuts", &wanted, &secret).await;
    let load = load("cuts", &wanted, "short", LoadMode::Replace);
    let verifier = provider.verifier(&secret);
    for (make, remove) in [
        (
            "CREATE DATABASE cut__r_0f1e2d3c",
            "DROP DATABASE cut__r_0f1e2d3c",
        ),
        (
            "CREATE DATABASE cut__was_0f1e2d3c",
            "DROP DATABASE cut__was_0f1e2d3c",
        ),
        ("CREATE ROLE cut__r_0f1e2d3c", "DROP ROLE cut__r_0f1e2d3c"),
    ] {
        fixture.run("postgres", make).await;
        let before = made(fixture, "cut").await;
        let error = provider.make_scratch(&load, &verifier).await.unwrap_err();
        assert!(matches!(error, ProviderError::InTheWay(_)), "{error}");
        assert_eq!(
            provider.drop_leftover(&load, Leftover::Scratch).await,
            Ok(Ended::Done)
        );
        assert_eq!(made(fixture, "cut").await, before, "left alone");
        fixture.run("postgres", remove).await;
    }
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    // Made anew: what was loaded is gone.
    let again = provider.make_scratch(&load, &verifier).await.unwrap();
    assert_eq!(again, scratch);
    assert_eq!(
        tables(fixture, scratch.database.as_str()).await,
        Vec::<String>::new()
    );
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Scratch).await,
        Ok(Ended::Done)
    );
    assert_eq!(made(fixture, "cut").await, Vec::<String>::new());
    provider.close().await;
}

/// What is loaded may try to stay whoever it logged in as.
pub(crate) async fn what_a_login_left_becomes_the_owners(fixture: &mut Fixture) {
    let provider = fixture.provider("logins");
    let wanted = desired("logged");
    fixture
        .make(&*provider, "logins", &wanted, &password("logged"))
        .await;
    let load = load("logins", &wanted, "hostile", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let mut session = as_login(fixture, &scratch, &password("load")).await;
    let sql = format!(
        "SET ROLE logged; GRANT CREATE, USAGE ON SCHEMA public TO {0}; GRANT SELECT ON restored TO {0}; RESET ROLE;
         CREATE TABLE left_behind (a text)",
        scratch.login.postgresql()
    );
    run(&mut session, &sql).await.unwrap();
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Login).await,
        Ok(Ended::Done)
    );
    let owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class
        WHERE relname IN ('left_behind', 'restored')";
    assert_eq!(fixture.ask("logged", owners).await, ["logged"]);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// A Database that is deleted takes along what restores have left beside it.
pub(crate) async fn a_removal_takes_along_what_restores_left(fixture: &mut Fixture) {
    let provider = fixture.provider("gone");
    let wanted = desired("gone");
    fixture
        .make(&*provider, "gone", &wanted, &password("gone"))
        .await;
    let first = load("gone", &wanted, "done", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &first).await;
    done(provider.swap(&first, &scratch, MOST).await.unwrap());
    let mut second = first.clone();
    "begun".clone_into(&mut second.restore.name);
    "aaaabbbb-1".clone_into(&mut second.restore.uid);
    make_and_fill(fixture, &*provider, &second).await;
    assert_eq!(made(fixture, "gone").await.len(), 4);
    let removal = Removal {
        names: wanted.names.clone(),
        database: true,
        role: true,
    };
    assert_eq!(provider.remove(&removal).await, Ok(Removed::Done));
    assert_eq!(made(fixture, "gone").await, Vec::<String>::new());
    let rows = "SELECT count(*)::text FROM db_operator.scratch WHERE target_database = 'gone'";
    assert_eq!(fixture.ask("db_operator", rows).await, ["0"]);
    // What was done stays done.
    assert!(
        provider
            .restored(&first.restore, &[])
            .await
            .unwrap()
            .is_some()
    );
    provider.close().await;
}

/// Extensions that only an administrator can make are there before anything is loaded.
pub(crate) async fn extensions_are_there_beforehand(fixture: &mut Fixture) {
    let provider = fixture.provider("extends");
    let wanted = desired("extended");
    fixture
        .make(&*provider, "extends", &wanted, &password("extended"))
        .await;
    let mut load = load("extends", &wanted, "hstore", LoadMode::Empty);
    let extension = |name: &str| Extension {
        name: SqlName::new(name).unwrap(),
        schema: None,
        version: None,
    };
    load.extensions = vec![
        extension("hstore"),
        extension("pg_buffercache"),
        extension("nope"),
    ];
    let facts = provider.look_at_target(&load).await.unwrap();
    let said = facts.obstacles.join("\n");
    assert!(
        said.contains("\"pg_buffercache\"") && said.contains("\"nope\""),
        "{said}"
    );
    assert!(!said.contains("\"hstore\""), "{said}");
    let verifier = provider.verifier(&password("load"));
    provider.make_scratch(&load, &verifier).await.unwrap_err();
    assert_eq!(made(fixture, "extended").await, Vec::<String>::new());
    load.extensions.truncate(1);
    let scratch = provider.make_scratch(&load, &verifier).await.unwrap();
    let sql = "SELECT extname FROM pg_extension WHERE oid >= 16384";
    let beside = scratch.database.as_str();
    assert_eq!(fixture.ask(beside, sql).await, ["hstore"]);
    settled(fixture, beside).await;
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Scratch).await,
        Ok(Ended::Done)
    );
    provider.close().await;
}

/// A process that another one has followed can do nothing of it.
pub(crate) async fn a_former_leader_swaps_nothing(fixture: &mut Fixture) {
    let former = fixture.provider("followed");
    let wanted = desired("followed");
    fixture
        .make(&*former, "followed", &wanted, &password("followed"))
        .await;
    let load = load("followed", &wanted, "late", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*former, &load).await;
    let leader = fixture.provider("followed");
    leader.inspect().await.unwrap();
    let verifier = former.verifier(&password("load"));
    let before = made(fixture, "followed").await;
    for result in [
        former.swap(&load, &scratch, MOST).await.map(|_| ()),
        former.make_scratch(&load, &verifier).await.map(|_| ()),
        former.undo(&load, MOST).await.map(|_| ()),
        former.reopen(&load).await,
        former
            .drop_leftover(&load, Leftover::Scratch)
            .await
            .map(|_| ()),
        former.look_at_target(&load).await.map(|_| ()),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, ProviderError::Superseded { .. }), "{error}");
    }
    assert_eq!(made(fixture, "followed").await, before);
    done(leader.swap(&load, &scratch, MOST).await.unwrap());
    leader.close().await;
}

/// Two operators: the epoch is raised while the swap waits for its turn.
pub(crate) async fn the_epoch_counts_in_the_transaction_of_the_swap(fixture: &mut Fixture) {
    let provider = fixture.provider("epochs");
    let wanted = desired("epoch");
    let secret = password("epoch");
    fixture.make(&*provider, "epochs", &wanted, &secret).await;
    let load = load("epochs", &wanted, "late", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    // A session that keeps the swap waiting, and one that raises the epoch and does not end the others.
    let mut holder = fixture.superuser("db_operator").await;
    run(
        &mut holder,
        "BEGIN; UPDATE db_operator.epochs SET epoch = epoch + 1, process = 'newer' WHERE cluster_id = 'epochs'",
    )
    .await
    .unwrap();
    let swapping = tokio::spawn({
        let (provider, load) = (Arc::clone(&provider), load.clone());
        async move { provider.swap(&load, &scratch, MOST).await }
    });
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND application_name = 'db-operator'";
    let watched: &Fixture = fixture;
    eventually("it waits for the epoch", async || {
        watched.ask("postgres", waits).await == ["1"]
    })
    .await;
    run(&mut holder, "COMMIT").await.unwrap();
    let error = swapping.await.unwrap().unwrap_err();
    assert!(matches!(error, ProviderError::Superseded { .. }), "{error}");
    assert_eq!(tables(fixture, "epoch").await, Vec::<String>::new());
    let answer = ask(
        &mut fixture
            .session("epoch", secret.expose_secret(), "epoch")
            .await
            .unwrap(),
        "SELECT 'open'",
    )
    .await;
    assert_eq!(answer, ["open"]);
    provider.close().await;
}

/// Version 2 of the tables knows of no restores. They are added once, and older operators go on until a database is kept.
pub(crate) async fn tables_about_restores_are_added(fixture: &mut Fixture) {
    let first = fixture.provider("added");
    first.inspect().await.unwrap();
    first.close().await;
    for sql in [
        "DROP TABLE db_operator.scratch, db_operator.restores",
        "ALTER TABLE db_operator.meta DROP COLUMN additions",
        "UPDATE db_operator.meta SET schema_version = 2",
    ] {
        fixture.run("db_operator", sql).await;
    }
    let provider = fixture.provider("added");
    let nothing = names("nothing", "nothing");
    provider.observe(&nothing).await.unwrap();
    let state = "SELECT schema_version || '.' || additions FROM db_operator.meta";
    assert_eq!(fixture.ask("db_operator", state).await, ["2.1"]);
    let wanted = desired("added");
    fixture
        .make(&*provider, "added", &wanted, &password("added"))
        .await;
    let empty = load("added", &wanted, "empty", LoadMode::Empty);
    let scratch = make_and_fill(fixture, &*provider, &empty).await;
    done(provider.swap(&empty, &scratch, MOST).await.unwrap());
    assert_eq!(
        provider.drop_leftover(&empty, Leftover::Login).await,
        Ok(Ended::Done)
    );
    assert_eq!(fixture.ask("db_operator", state).await, ["2.1"]);
    let mut replace = load("added", &wanted, "replace", LoadMode::Replace);
    "aaaabbbb-1".clone_into(&mut replace.restore.uid);
    let scratch = make_and_fill(fixture, &*provider, &replace).await;
    done(provider.swap(&replace, &scratch, MOST).await.unwrap());
    assert_eq!(fixture.ask("db_operator", state).await, ["3.1"]);
    // The next process finds it so.
    let next = fixture.provider("added");
    next.observe(&nothing).await.unwrap();
    next.close().await;
}
