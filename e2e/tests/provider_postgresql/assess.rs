//! What is said of a dump beforehand, against what comes of it: `pg_dump` where this machine has it for the server's
//! series, and everywhere the statements by which it reads.

use std::process::Command;
use std::time::{Duration, Instant};

use db_operator::provider::{Assessment, Provider, ProviderError};
use e2e::sql_servers::postgresql::programs;
use secrecy::ExposeSecret;

use crate::fixture::{Fixture, desired, names, password, run};

/// Locks and reads as `pg_dump` does.
const READ: &str = "
SET row_security = off;
DO $$ DECLARE r record; BEGIN
  FOR r IN SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind AS kind
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LOOP
    IF r.kind <> 'S' THEN EXECUTE 'LOCK TABLE ' || r.name || ' IN ACCESS SHARE MODE'; END IF;
    IF r.kind <> 'p' THEN EXECUTE 'SELECT count(*) FROM ' || r.name; END IF;
  END LOOP;
  FOR r IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP PERFORM pg_catalog.lo_get(r.oid); END LOOP;
END $$";

/// One of each kind that a dump cannot read, and of each kind that looks unreadable but is not.
const OBSTACLES: &str = r#"
CREATE ROLE neighbour;
CREATE SCHEMA closed AUTHORIZATION neighbour;
CREATE TABLE closed."a ""quoted"" one" (id int);
CREATE SEQUENCE closed.numbers;
CREATE TABLE public.theirs (id int GENERATED ALWAYS AS IDENTITY) PARTITION BY RANGE (id);
ALTER TABLE public.theirs OWNER TO neighbour;
CREATE TABLE public.guarded (id int);
ALTER TABLE public.guarded OWNER TO neighbour;
ALTER TABLE public.guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT ON public.guarded TO assess;
CREATE TABLE public.forced (id int);
ALTER TABLE public.forced OWNER TO assess;
ALTER TABLE public.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE TABLE public.enabled (id int);
ALTER TABLE public.enabled OWNER TO assess;
ALTER TABLE public.enabled ENABLE ROW LEVEL SECURITY;
CREATE TABLE public.lent (id int);
GRANT SELECT ON public.lent TO PUBLIC;
CREATE VIEW public.looked_at AS SELECT * FROM closed."a ""quoted"" one";
CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM closed."a ""quoted"" one";
CREATE SCHEMA of_no_tables AUTHORIZATION neighbour;
CREATE VIEW of_no_tables.one AS SELECT 1 AS one;
CREATE TEMPORARY TABLE passing (id int);
SELECT lo_from_bytea(4711, 'theirs');
SELECT lo_from_bytea(4712, 'lent');
GRANT SELECT ON LARGE OBJECT 4712 TO assess;
CREATE SCHEMA many;
GRANT USAGE ON SCHEMA many TO assess;
DO $$ BEGIN FOR n IN 1..25 LOOP EXECUTE format('CREATE TABLE many.t%s (id serial)', n); END LOOP; END $$;
"#;

#[allow(clippy::too_many_lines, reason = "one scenario, from obstacle to dump")]
pub(crate) async fn what_a_dump_cannot_read_is_named_with_its_grant(fixture: &mut Fixture) {
    let provider = fixture.provider("assess");
    let wanted = desired("assess");
    let secret = password("assess");
    fixture.make(&*provider, "assess", &wanted, &secret).await;
    let mut tenant = fixture
        .session("assess", secret.expose_secret(), "assess")
        .await
        .unwrap();
    // Nothing that the tenant makes is called in the place of the catalog's own.
    run(
        &mut tenant,
        "CREATE SCHEMA trap;
         CREATE FUNCTION trap.pg_table_size(oid) RETURNS bigint LANGUAGE sql AS 'SELECT (1/0)::bigint';
         CREATE FUNCTION trap.pg_table_size(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT (1/0)::bigint';
         CREATE TABLE trap.pg_class (oid oid); CREATE VIEW trap.pg_roles AS SELECT 1/0 AS oid;
         CREATE FUNCTION trap.same(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT 1/0 = 0';
         CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = trap.same);
         ALTER DATABASE assess SET search_path = trap, pg_catalog, public",
    )
    .await
    .unwrap();
    assert_eq!(provider.assess(&wanted.names).await.unwrap().unreadable, []);

    fixture
        .run("assess", &format!("SET search_path = public; {OBSTACLES}"))
        .await;
    assert!(run(&mut tenant, READ).await.is_err());
    let found = provider.assess(&wanted.names).await.unwrap();
    let told: Vec<(&str, &str)> = found
        .unreadable
        .iter()
        .map(|missing| (missing.needed_for.as_str(), missing.grant.as_str()))
        .collect();
    assert_eq!(
        told[..2],
        [
            (
                "dumping what is in the schema \"closed\"",
                "GRANT USAGE ON SCHEMA \"closed\" TO \"assess\""
            ),
            (
                "dumping the table \"closed\".\"a \"\"quoted\"\" one\"",
                "GRANT SELECT ON TABLE \"closed\".\"a \"\"quoted\"\" one\" TO \"assess\""
            ),
        ]
    );
    let many = told
        .iter()
        .find(|(what, _)| what.contains("many\".\"t1\""))
        .unwrap();
    assert!(many.0.ends_with(" and 5 more"), "{many:?}");
    assert_eq!(
        many.1,
        "GRANT SELECT ON ALL TABLES IN SCHEMA \"many\" TO \"assess\""
    );
    let text = format!("{told:?}");
    for named in [
        "theirs",
        "guarded",
        "forced",
        "numbers",
        "theirs_id_seq",
        "4711",
        "t1_id_seq",
    ] {
        assert!(text.contains(named), "{named}: {told:#?}");
    }
    for unnamed in [
        "enabled",
        "lent",
        "looked_at",
        "kept",
        "of_no_tables",
        "passing",
        "4712",
        "trap",
    ] {
        assert!(!text.contains(unnamed), "{unnamed}: {told:#?}");
    }
    // Each is necessary, and together they are enough.
    let statements: Vec<String> = told.iter().map(|(_, grant)| (*grant).to_owned()).collect();
    if let Some(pg_dump) = dump_tool(fixture.series()) {
        for (last, grant) in statements.iter().enumerate() {
            assert!(
                dump(fixture, &pg_dump, secret.expose_secret()).is_err(),
                "without {:?}",
                &statements[last..]
            );
            fixture.run("assess", grant).await;
        }
        dump(fixture, &pg_dump, secret.expose_secret()).unwrap();
    } else {
        for grant in &statements {
            assert!(run(&mut tenant, READ).await.is_err(), "without {grant}");
            fixture.run("assess", grant).await;
        }
    }
    run(&mut tenant, READ).await.unwrap();
    assert_eq!(provider.assess(&wanted.names).await.unwrap().unreadable, []);
    fixture
        .run(
            "assess",
            "DROP OWNED BY neighbour CASCADE; DROP ROLE neighbour",
        )
        .await;

    // The visit leaves nothing behind.
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    fixture.assert_no_membership_left().await;
    for missing in [names("nowhere", "assess"), names("assess", "nobody")] {
        let error = provider.assess(&missing).await.unwrap_err();
        assert!(matches!(error, ProviderError::InTheWay(_)), "{error}");
    }
    provider.close().await;
}

pub(crate) async fn the_size_of_a_dump_is_estimated(fixture: &mut Fixture) {
    let provider = fixture.provider("estimate");
    let wanted = desired("estimate");
    let secret = password("estimate");
    fixture.make(&*provider, "estimate", &wanted, &secret).await;
    let mut tenant = fixture
        .session("estimate", secret.expose_secret(), "estimate")
        .await
        .unwrap();
    let empty = bytes(&*provider, "estimate").await;
    assert!((1..20_000).contains(&empty), "{empty}");
    // Never analyzed; three megabytes in rows, two beside them, one as a large object.
    run(
        &mut tenant,
        "CREATE TABLE plain AS SELECT n, md5(n::text) AS text FROM generate_series(1, 60000) n;
         CREATE TABLE toasted (text text); ALTER TABLE toasted ALTER text SET STORAGE EXTERNAL;
         INSERT INTO toasted SELECT repeat(md5(n::text), 1000) FROM generate_series(1, 64) n;
         CREATE INDEX ON plain (text); CREATE MATERIALIZED VIEW again AS SELECT * FROM plain;
         SELECT lo_from_bytea(0, convert_to(repeat('x', 1000000), 'UTF8'))",
    )
    .await
    .unwrap();
    let large_object = 1_000_000;
    let real = 60_000 * 38 + 64 * 32_000 + large_object;
    let estimate = bytes(&*provider, "estimate").await;
    assert!(
        (real / 2..real * 2).contains(&estimate),
        "{estimate} for about {real}"
    );

    // A table that is locked by somebody delays the answer by nothing.
    run(&mut tenant, "BEGIN; LOCK TABLE plain").await.unwrap();
    let began = Instant::now();
    bytes(&*provider, "estimate").await;
    assert!(began.elapsed() < Duration::from_secs(2));
    run(&mut tenant, "COMMIT").await.unwrap();

    // Visits at the same time do not close the door on each other.
    let mut extended = wanted.clone();
    extended.postgresql.schemas = vec![names("reports", "x").database];
    let visits = futures::future::join_all((0..8).map(|_| provider.assess(&wanted.names)));
    let (assessed, made) = tokio::join!(visits, provider.ensure_contents(&extended));
    for outcome in assessed {
        outcome.unwrap();
    }
    made.unwrap();
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    provider.close().await;
}

async fn bytes(provider: &dyn Provider, name: &str) -> u64 {
    let assessed: Assessment = provider.assess(&names(name, name)).await.unwrap();
    assert_eq!(assessed.unreadable, []);
    assessed.bytes
}

/// Debian's, which dumps its own series and the one before.
fn dump_tool(series: u32) -> Option<std::path::PathBuf> {
    (series <= 15).then(|| programs(15).unwrap().join("pg_dump"))
}

fn dump(fixture: &Fixture, pg_dump: &std::path::Path, password: &str) -> Result<(), String> {
    let output = Command::new(pg_dump)
        .args([
            "--format=custom",
            "--compress=0",
            "--host=127.0.0.1",
            "--no-password",
        ])
        .args(["--username=assess", "--dbname=assess"])
        .env("PGPORT", fixture.server.port.to_string())
        .env("PGPASSWORD", password)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
