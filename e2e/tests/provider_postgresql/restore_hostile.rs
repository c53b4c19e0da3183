//! What a tenant does to its database, or has its dump do, while it is restored: nothing of it stops a restore for ever, or
//! gets a tenant more than it had.

use std::time::{Duration, Instant};

use db_operator::provider::restore::{Ended, Leftover, LoadMode, Swapped};
use db_operator::provider::{Login, ProviderError, Removal, Removed};
use secrecy::ExposeSecret;

use crate::fixture::{Fixture, ask, desired, eventually, password, run};
use crate::restores::{MOST, UID, done, load, made, make_and_fill, properties, settled, tables};

/// The sentence of a swap that somebody is in the way of.
pub(crate) fn blocked(swapped: Result<Swapped, ProviderError>) -> String {
    match swapped {
        Ok(Swapped::Blocked(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

/// An owner may make its database a template, and a template is not dropped.
pub(crate) async fn templates_are_dropped_all_the_same(fixture: &mut Fixture) {
    let provider = fixture.provider("templates");
    let wanted = desired("copied_from");
    let secret = password("copied_from");
    fixture
        .make(&*provider, "templates", &wanted, &secret)
        .await;
    let mut owner = fixture
        .session("copied_from", secret.expose_secret(), "postgres")
        .await
        .unwrap();
    let word = secret.expose_secret();
    let mut inside = fixture
        .session("copied_from", word, "copied_from")
        .await
        .unwrap();
    run(&mut inside, "CREATE TABLE good ()").await.unwrap();
    sqlx::Connection::close(inside).await.unwrap();

    // Closed for a swap that does not come about.
    let mut empty = load("templates", &wanted, "empty", LoadMode::Empty);
    "aaaabbbb-1".clone_into(&mut empty.restore.uid);
    let scratch = make_and_fill(fixture, &*provider, &empty).await;
    let template = format!(
        "ALTER DATABASE {} IS_TEMPLATE true",
        scratch.database.postgresql()
    );
    run(&mut owner, &template).await.unwrap();
    assert!(matches!(
        provider.swap(&empty, &scratch, MOST).await,
        Ok(Swapped::NotEmpty(_))
    ));
    assert_eq!(
        provider.drop_leftover(&empty, Leftover::Scratch).await,
        Ok(Ended::Done)
    );

    let replace = load("templates", &wanted, "replace", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &replace).await;
    for database in [&wanted.names.database, &scratch.database] {
        let template = format!("ALTER DATABASE {} IS_TEMPLATE true", database.postgresql());
        run(&mut owner, &template).await.unwrap();
    }
    done(provider.swap(&replace, &scratch, MOST).await.unwrap());
    for which in [Leftover::Login, Leftover::Former] {
        assert_eq!(
            provider.drop_leftover(&replace, which).await,
            Ok(Ended::Done)
        );
    }
    assert_eq!(made(fixture, "copied_from").await, Vec::<String>::new());
    provider.close().await;
}

/// A comment that is too long to be copied takes no setting along.
pub(crate) async fn a_long_comment_sheds_no_settings(fixture: &mut Fixture) {
    let provider = fixture.provider("lengths");
    let wanted = desired("lengthy");
    let secret = password("lengthy");
    fixture.make(&*provider, "lengths", &wanted, &secret).await;
    let word = secret.expose_secret();
    let mut owner = fixture.session("lengthy", word, "lengthy").await.unwrap();
    run(&mut owner, "CREATE TABLE good ()").await.unwrap();
    fixture
        .run("postgres", "ALTER DATABASE lengthy SET work_mem TO '3MB'")
        .await;
    let before = properties(fixture, "lengthy").await;
    let first = load("lengths", &wanted, "first", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &first).await;
    let comment = format!("COMMENT ON DATABASE lengthy IS '{}'", "x".repeat(300_000));
    run(&mut owner, &comment).await.unwrap();
    let said = blocked(provider.swap(&first, &scratch, MOST).await);
    assert!(said.contains("shorten"), "{said}");
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    assert_eq!(tables(fixture, "lengthy").await, ["good"]);
    // Nor is a place made whose settings are not known.
    let mut second = load("lengths", &wanted, "second", LoadMode::Replace);
    "aaaabbbb-1".clone_into(&mut second.restore.uid);
    let verifier = provider.verifier(&password("load"));
    let error = provider.make_scratch(&second, &verifier).await.unwrap_err();
    assert!(error.to_string().contains("shorten"), "{error}");

    run(&mut owner, "COMMENT ON DATABASE lengthy IS NULL")
        .await
        .unwrap();
    done(provider.swap(&first, &scratch, MOST).await.unwrap());
    assert_eq!(properties(fixture, "lengthy").await, before);
    provider.close().await;
}

/// The database is left alone once it is not ours; the login is ours whatever happens.
pub(crate) async fn a_login_acts_for_nobody_once_the_claim_changed_hands(fixture: &mut Fixture) {
    let provider = fixture.provider("acts");
    let wanted = desired("acted");
    fixture
        .make(&*provider, "acts", &wanted, &password("acted"))
        .await;
    let load = load("acts", &wanted, "away", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let (login, secret) = (scratch.login.as_str(), password("load"));
    let word = secret.expose_secret();
    let mut acting = fixture.session(login, word, "postgres").await.unwrap();
    let change = async |cluster: &str| {
        let sql = format!(
            "UPDATE db_operator.claims SET cluster_id = '{cluster}' WHERE database_name = 'acted'"
        );
        fixture.run("db_operator", &sql).await;
    };
    change("rival").await;
    assert!(matches!(
        provider.drop_leftover(&load, Leftover::Scratch).await,
        Ok(Ended::ChangedHands(_))
    ));
    run(&mut acting, "SELECT 1").await.unwrap_err();
    fixture.session(login, word, "postgres").await.unwrap_err();
    let beside = scratch.database.as_str();
    assert_eq!(tables(fixture, beside).await, ["restored"]);
    change("acts").await;
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Scratch).await,
        Ok(Ended::Done)
    );
    assert_eq!(made(fixture, "acted").await, Vec::<String>::new());
    provider.close().await;
}

/// What is loaded gives its own login what keeps a user from being dropped.
pub(crate) async fn what_a_login_hangs_on_itself_is_taken_away(fixture: &mut Fixture) {
    let provider = fixture.provider("hangs");
    let wanted = desired("hooked");
    fixture
        .make(&*provider, "hangs", &wanted, &password("hooked"))
        .await;
    fixture
        .run("hooked", "SET ROLE hooked; CREATE TABLE good ()")
        .await;
    let load = load("hangs", &wanted, "hostile", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let beside = scratch.database.as_str();
    let word = password("load");
    let mut session = fixture
        .session(scratch.login.as_str(), word.expose_secret(), beside)
        .await
        .unwrap();
    let sql = format!(
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO hooked; SET ROLE hooked;
         GRANT CREATE ON SCHEMA public TO {login}; GRANT CONNECT ON DATABASE hooked, {beside} TO {login};
         RESET ROLE; CREATE TABLE left_behind (a text)",
        login = scratch.login.postgresql(),
        beside = scratch.database.postgresql()
    );
    run(&mut session, &sql).await.unwrap();
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    for database in ["hooked", "hooked__was_0f1e2d3c"] {
        let set = properties(fixture, database).await.remove(0);
        assert!(!set.contains("hooked__r_"), "{set}");
    }
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Login).await,
        Ok(Ended::Done)
    );
    assert_eq!(made(fixture, "hooked").await, ["hooked__was_0f1e2d3c"]);
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'left_behind'";
    assert_eq!(fixture.ask("hooked", owner).await, ["hooked"]);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// It is locked for good, and neither the Restore nor the Database waits for it.
pub(crate) async fn a_login_that_cannot_be_dropped_keeps_nobody(fixture: &mut Fixture) {
    let provider = fixture.provider("clings");
    let wanted = desired("clung");
    fixture
        .make(&*provider, "clings", &wanted, &password("clung"))
        .await;
    let load = load("clings", &wanted, "hostile", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    // On PostgreSQL 14, everyone may make tables there.
    let login = scratch.login.postgresql();
    fixture
        .run(
            "postgres",
            &format!("CREATE TABLE clinging (); ALTER TABLE clinging OWNER TO {login}"),
        )
        .await;
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    let Ok(Ended::ChangedHands(sentence)) = provider.drop_leftover(&load, Leftover::Login).await
    else {
        panic!("something depends on it")
    };
    assert!(
        sentence.contains("left over") && sentence.contains("REASSIGN OWNED"),
        "{sentence}"
    );
    let locked = format!(
        "SELECT rolname FROM pg_roles r WHERE rolname = '{}' AND NOT rolcanlogin
           AND NOT EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid)",
        scratch.login.as_str()
    );
    assert_eq!(
        fixture.ask("postgres", &locked).await,
        [scratch.login.to_string()]
    );
    settled(fixture, "clung").await;
    let removal = Removal {
        names: wanted.names.clone(),
        database: true,
        role: true,
    };
    assert_eq!(provider.remove(&removal).await, Ok(Removed::Done));
    assert_eq!(
        made(fixture, "clung").await,
        [scratch.login.to_string()],
        "nothing else"
    );
    fixture
        .run(
            "postgres",
            &format!("DROP TABLE clinging; DROP ROLE {login}"),
        )
        .await;
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// A prepared transaction has no session that could be ended: it is found while the applications are still served.
pub(crate) async fn what_is_prepared_in_the_loaded_database_is_named_before_anyone_is_ended(
    fixture: &mut Fixture,
) {
    let provider = fixture.provider("prepares");
    let wanted = desired("preparing");
    let secret = password("preparing");
    fixture.make(&*provider, "prepares", &wanted, &secret).await;
    let load = load("prepares", &wanted, "stuck", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let (word, beside) = (secret.expose_secret(), scratch.database.as_str());
    let mut inside = fixture.session("preparing", word, beside).await.unwrap();
    let prepare = "BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'beside'";
    run(&mut inside, prepare).await.unwrap();
    let mut application = fixture
        .session("preparing", word, "preparing")
        .await
        .unwrap();
    let began = Instant::now();
    // Again and again: its user has to get in there.
    for _ in 0..2 {
        let said = blocked(provider.swap(&load, &scratch, MOST).await);
        assert!(
            said.contains("ROLLBACK PREPARED 'beside'") && said.contains(beside),
            "{said}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(ask(&mut application, "SELECT 'served'").await, ["served"]);
    run(&mut inside, "SELECT 1").await.unwrap_err();
    let mut inside = fixture.session("preparing", word, beside).await.unwrap();
    run(&mut inside, "ROLLBACK PREPARED 'beside'")
        .await
        .unwrap();
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert_eq!(tables(fixture, "preparing").await, ["restored"]);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// Someone made the database anew, and nobody has looked since.
pub(crate) async fn another_database_than_the_claims_is_not_replaced(fixture: &mut Fixture) {
    let provider = fixture.provider("others");
    let wanted = desired("anew");
    fixture
        .make(&*provider, "others", &wanted, &password("anew"))
        .await;
    let sessions = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = 'anew'";
    let watched: &Fixture = fixture;
    eventually("nobody is inside", async || {
        watched.ask("postgres", sessions).await == ["0"]
    })
    .await;
    for sql in ["DROP DATABASE anew", "CREATE DATABASE anew OWNER anew"] {
        fixture.run("postgres", sql).await;
    }
    let load = load("others", &wanted, "strange", LoadMode::Replace);
    assert_eq!(load.restore.uid, UID);
    let verifier = provider.verifier(&password("load"));
    let error = provider.make_scratch(&load, &verifier).await.unwrap_err();
    assert!(matches!(error, ProviderError::InTheWay(_)), "{error}");
    assert_eq!(made(fixture, "anew").await, Vec::<String>::new());
    provider.close().await;
}
