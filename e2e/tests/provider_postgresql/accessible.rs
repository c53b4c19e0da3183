//! What the new user of an adopted database may not read or write.

use db_operator::provider::{Extent, Inaccessible};

use crate::fixture::{CANARY, Fixture, ask, desired, password, run};

/// One of each kind, of a former owner and of the superuser, and what is accessible all the same.
const OBJECTS: &str = r#"
CREATE ROLE former;
GRANT ALL ON SCHEMA public TO former;
CREATE SCHEMA theirs AUTHORIZATION former;
SET ROLE former;
CREATE TABLE public.closed (id serial, made int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE public."read ""only""" (x int);
CREATE VIEW public.looked_at AS SELECT 1 AS one;
CREATE SEQUENCE public.numbers;
CREATE TABLE theirs.hidden (x int);
CREATE TABLE public.lent (id serial, x int);
GRANT SELECT ON public."read ""only""" TO heir;
GRANT SELECT, INSERT ON public.lent TO heir;
GRANT USAGE ON public.lent_id_seq TO heir;
RESET ROLE;
CREATE TABLE public.of_the_platform (x int);
CREATE EXTENSION pg_stat_statements SCHEMA public;
CREATE TEMPORARY TABLE passing (x int);
"#;

pub(crate) async fn what_belongs_to_the_former_owner_is_named_with_what_gives_it_away(
    fixture: &mut Fixture,
) {
    let provider = fixture.provider("heir");
    let wanted = desired("heir");
    fixture
        .make(&*provider, "heir", &wanted, &password("heir"))
        .await;
    let look = async || {
        let everything = provider.inaccessible(&wanted.names, Extent::Everything);
        everything.await.unwrap()
    };
    assert_eq!(look().await, Inaccessible::default());
    fixture.run("heir", OBJECTS).await;
    let found = look().await;
    let [lent] = &found.read_only[..] else {
        panic!("{found:#?}")
    };
    assert_eq!(
        lent.needed_for,
        "1 object of \"former\": \"public\".\"read \"\"only\"\"\""
    );
    let [former, platform] = &found.unreadable[..] else {
        panic!("{found:#?}")
    };
    assert!(
        former.needed_for.starts_with("4 objects of \"former\": "),
        "{former:?}"
    );
    for name in [
        "\"public\".\"closed\"",
        "\"public\".\"looked_at\"",
        "\"public\".\"numbers\"",
        "\"theirs\".\"hidden\"",
    ] {
        assert!(former.needed_for.contains(name), "{former:?}");
    }
    assert!(
        platform.needed_for.contains("\"of_the_platform\""),
        "{platform:?}"
    );

    // The statements help.
    let whole = Inaccessible {
        reads_some: true,
        ..Inaccessible::default()
    };
    fixture.run("heir", &lent.grant).await;
    assert_eq!(look().await.read_only, []);
    for one in &found.unreadable {
        fixture.run("heir", &one.grant).await;
    }
    assert_eq!(look().await, whole);
    let mut tenant = fixture
        .session("heir", &format!("{CANARY}-heir"), "heir")
        .await
        .unwrap();
    run(
        &mut tenant,
        "INSERT INTO closed DEFAULT VALUES; INSERT INTO lent (x) VALUES (7)",
    )
    .await
    .unwrap();
    assert_eq!(
        ask(&mut tenant, "SELECT count(*)::text FROM closed").await,
        ["1"]
    );

    // Who owns other databases keeps them: only the objects are given away.
    fixture
        .run("postgres", "CREATE DATABASE \"formers-own\" OWNER former")
        .await;
    fixture
        .run(
            "heir",
            "CREATE TABLE public.late (id serial); ALTER TABLE public.late OWNER TO former",
        )
        .await;
    let found = look().await.unreadable;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].grant,
        "ALTER TABLE \"public\".\"late\" OWNER TO \"heir\""
    );
    fixture.run("heir", &found[0].grant).await;
    assert_eq!(look().await, whole);
    fixture
        .run("postgres", "DROP DATABASE \"formers-own\"")
        .await;
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// What is only behind a schema that it may not look into is the user's, or was lent to it: whose it is stays as it is.
pub(crate) async fn what_only_a_schema_keeps_from_a_user_does_not_change_hands(
    fixture: &mut Fixture,
) {
    let provider = fixture.provider("lodger");
    let wanted = desired("lodger");
    fixture
        .make(&*provider, "lodger", &wanted, &password("lodger"))
        .await;
    let odd = "CREATE TABLE public.\"odd\u{202e}name\" (x int)";
    let objects =
        "CREATE ROLE landlord; GRANT ALL ON SCHEMA public TO landlord; CREATE SCHEMA house;
         CREATE TABLE house.lent (x int); ALTER TABLE house.lent OWNER TO landlord;
         GRANT SELECT, INSERT ON house.lent TO lodger; CREATE TABLE house.own (x int);
         ALTER TABLE house.own OWNER TO lodger";
    fixture.run("lodger", objects).await;
    let look = async || {
        let everything = provider.inaccessible(&wanted.names, Extent::Everything);
        everything.await.unwrap()
    };
    let found = look().await;
    assert_eq!((found.unreadable.len(), found.reads_some), (2, false));
    for one in &found.unreadable {
        assert_eq!(one.grant, "GRANT USAGE ON SCHEMA \"house\" TO \"lodger\"");
    }
    fixture.run("lodger", &found.unreadable[0].grant).await;
    let found = look().await;
    assert_eq!((found.unreadable.len(), found.reads_some), (0, true));

    // A name that nobody can read stands in no statement.
    fixture.run("lodger", odd).await;
    fixture
        .run(
            "lodger",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO lodger",
        )
        .await;
    let found = look().await;
    let [one] = &found.read_only[..] else {
        panic!("{found:#?}")
    };
    assert!(one.needed_for.contains("\"odd\u{fffd}name\""), "{one:?}");
    assert!(
        one.grant.starts_with("(a statement is not shown"),
        "{one:?}"
    );
    fixture.assert_no_membership_left().await;
    provider.close().await;
}
