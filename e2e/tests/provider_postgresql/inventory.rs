//! What is told of a database beside its rows, and whether the lines that are documented restore it to another server.

use std::fs;
use std::path::Path;
use std::process::Command;

use db_operator::agent::protocol::task::Flavour;
use db_operator::provider::inventory::{Inventory, Objects, SettingOf};
use db_operator::provider::{Provider, ProviderError};
use db_operator::store::Restore;
use e2e::clone_root;
use e2e::sql_servers::Scratch;
use e2e::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD, programs};
use secrecy::ExposeSecret;

use crate::fixture::{Fixture, ask, desired, names, password, run, session_at};

/// What a superuser and others make in a database, all of which a dump has.
const MADE: &str = r#"
CREATE ROLE auditor;
CREATE EXTENSION citext; CREATE EXTENSION pageinspect;
CREATE TABLE accounts (id int PRIMARY KEY, name citext, held bigint);
INSERT INTO accounts SELECT n, 'Account ' || n, n FROM generate_series(1, 100) n;
ALTER TABLE accounts OWNER TO inventory;
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY auditors ON accounts FOR SELECT TO auditor USING (true);
CREATE POLICY everyone ON accounts USING (id > 0);
GRANT SELECT ON accounts TO auditor;
CREATE UNLOGGED TABLE cache (x int); ALTER TABLE cache OWNER TO inventory;
CREATE TABLE elsewhere (x int) TABLESPACE fast; ALTER TABLE elsewhere OWNER TO inventory;
INSERT INTO elsewhere VALUES (7);
CREATE FUNCTION no_drops() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
ALTER FUNCTION no_drops() OWNER TO inventory;
CREATE EVENT TRIGGER "no
drops" ON sql_drop EXECUTE FUNCTION no_drops();
COMMENT ON EVENT TRIGGER "no
drops" IS 'ours';
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE SUBSCRIPTION upstream CONNECTION 'host=nowhere dbname=x' PUBLICATION p
  WITH (connect = false, slot_name = NONE, enabled = false, create_slot = false);
COMMENT ON DATABASE inventory IS 'the ledger';
ALTER DATABASE inventory SET search_path = public, audit;
ALTER DATABASE inventory SET app.jwt_secret = 'sealed-by-an-application';
ALTER ROLE inventory SET work_mem = '8MB';
ALTER ROLE auditor IN DATABASE inventory SET statement_timeout = '5s';
"#;

/// What only an administrator can bring back, beyond what the documented lines leave out.
const ODD: &str = "
CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE remote (x int) SERVER far;
CREATE FUNCTION public.plus(int, int) RETURNS int LANGUAGE internal AS 'int4pl';
CREATE TYPE public.span AS RANGE (subtype = int); -- Its constructors are internal functions, too.
";

fn found<'a>(objects: &'a [Objects], kind: &str) -> &'a Objects {
    let named = objects.iter().find(|objects| objects.kind == kind);
    named.unwrap_or_else(|| panic!("{kind}: {objects:#?}"))
}

#[allow(
    clippy::too_many_lines,
    reason = "one database, from its making to its copy"
)]
pub(crate) async fn what_a_dump_leaves_out_is_told(fixture: &mut Fixture) {
    let provider = fixture.provider("inventory");
    let wanted = desired("inventory");
    let secret = password("inventory");
    fixture
        .make(&*provider, "inventory", &wanted, &secret)
        .await;
    let empty = provider.take_inventory(&wanted.names).await.unwrap();
    assert_eq!(empty.warnings, [""; 0]);
    assert_eq!(empty.created_with["encoding"], "UTF8");
    assert_eq!(empty.created_with["collation"], "C.UTF-8");
    assert_eq!((empty.settings.len(), empty.extensions.len()), (0, 0));

    let mut superuser = fixture.superuser("inventory").await;
    for sql in [
        "SET allow_in_place_tablespaces = on",
        "CREATE TABLESPACE fast LOCATION ''",
        MADE,
    ] {
        run(&mut superuser, sql).await.unwrap();
    }
    let told = provider.take_inventory(&wanted.names).await.unwrap();
    told_of_everything(&told);
    // The visit leaves nothing behind.
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    fixture.assert_no_membership_left().await;

    if fixture.series() == 15 {
        run(&mut superuser, "ANALYZE").await.unwrap();
        comes_back(fixture.server.port, secret.expose_secret(), &told).await;
    }

    run(&mut superuser, ODD).await.unwrap();
    let told = provider.take_inventory(&wanted.names).await.unwrap();
    assert_eq!(found(&told.not_in_dump, "foreign tables").count, 1);
    let servers = found(&told.needs_administrator, "foreign servers of other owners");
    assert_eq!(servers.names, ["far"]);
    let functions = found(
        &told.needs_administrator,
        "functions in untrusted languages",
    );
    assert_eq!(
        (functions.count, &*functions.names[0]),
        (1, "\"public\".\"plus\"")
    );
    large_rows(&mut superuser, &*provider).await;

    run(
        &mut superuser,
        "DROP SUBSCRIPTION upstream; DROP OWNED BY auditor; ALTER ROLE auditor IN DATABASE inventory RESET ALL",
    )
    .await
    .unwrap();
    run(&mut superuser, "DROP ROLE auditor").await.unwrap();
    let error = provider
        .take_inventory(&names("nowhere", "inventory"))
        .await;
    assert!(
        matches!(error, Err(ProviderError::InTheWay(_))),
        "{error:?}"
    );
    provider.close().await;
}

fn told_of_everything(told: &Inventory) {
    assert_eq!(told.comment.as_deref(), Some("the ledger"));
    let settings: Vec<_> = told
        .settings
        .iter()
        .map(|it| {
            (
                it.of,
                it.user.as_deref(),
                it.name.as_str(),
                it.value.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        settings,
        [
            // What an application keeps there may be a secret.
            (SettingOf::Database, None, "app.jwt_secret", None),
            (
                SettingOf::Database,
                None,
                "search_path",
                Some("public, audit")
            ),
            (SettingOf::User, None, "work_mem", Some("8MB")),
            (
                SettingOf::UserInDatabase,
                Some("auditor"),
                "statement_timeout",
                Some("5s")
            ),
        ]
    );
    let extensions: Vec<_> = told
        .extensions
        .iter()
        .map(|it| (it.name.as_str(), it.schema.as_str(), it.owned))
        .collect();
    assert_eq!(
        extensions,
        [
            ("citext", "public", false),
            ("pageinspect", "public", false)
        ]
    );
    let administrator = &told.needs_administrator;
    // No name breaks a line.
    assert_eq!(
        found(administrator, "event triggers").names,
        ["no\u{fffd}drops"]
    );
    let publications = "publications that are not the user's own, or for all tables";
    assert_eq!(found(administrator, publications).names, ["everything"]);
    assert_eq!(
        found(&told.not_in_dump, "subscriptions").names,
        ["upstream"]
    );
    let roles = &told.other_users;
    assert_eq!(found(roles, "roles in policies").names, ["auditor"]);
    assert_eq!(found(roles, "roles in grants").names, ["auditor"]);
    assert_eq!(
        found(roles, "policies for these roles").names,
        ["public accounts auditors"]
    );
    let tablespaces = found(&told.also, "tables and indexes in tablespaces");
    assert_eq!((tablespaces.count, &*tablespaces.names[0]), (1, "fast"));
    assert_eq!(
        found(&told.also, "unlogged tables").names,
        ["\"public\".\"cache\""]
    );
    let warnings = told.warnings.join("\n");
    for word in [
        "comment on the database",
        "search_path",
        "event triggers: 1 (no\u{fffd}drops): only a superuser",
        "publications",
        "subscriptions: 1 (upstream)",
        "roles in policies: 1 (auditor)",
        "tables and indexes in tablespaces: 1 (fast)",
    ] {
        assert!(warnings.contains(word), "{word}: {warnings}");
    }
    assert!(!serde_json::to_string(told).unwrap().contains("sealed"));
    assert!(
        told.warnings
            .iter()
            .all(|it| it.chars().count() <= 300 && !it.contains('\n'))
    );
}

/// Dumps it, and restores it to a server that has none of its roles but the user: by the lines of the page for people,
/// and by the command of the manifest.
async fn comes_back(port: u16, password: &str, told: &Inventory) {
    let other = Postgresql::start(15).unwrap();
    let folder = Scratch::new("inventory").unwrap();
    let at = folder.path();
    let dump =
        "pg_dump --format=custom --compress=0 --dbname=inventory | zstd -q > orders.dump.zst";
    shell(at, dump, port, password).unwrap();

    let superuser = async |database| {
        let session = session_at(other.port, SUPERUSER, SUPERUSER_PASSWORD, database);
        session.await.unwrap()
    };
    let mut postgres = superuser("postgres").await;
    for sql in [
        format!("CREATE ROLE inventory LOGIN PASSWORD '{password}'"),
        "CREATE DATABASE copy OWNER inventory".to_owned(),
        "CREATE DATABASE inventory OWNER inventory".to_owned(),
    ] {
        run(&mut postgres, &sql).await.unwrap();
    }
    let mut copy = superuser("copy").await;
    run(
        &mut copy,
        "CREATE EXTENSION citext; CREATE EXTENSION pageinspect",
    )
    .await
    .unwrap();
    let mut same = superuser("inventory").await;
    run(&mut same, "CREATE EXTENSION citext").await.unwrap();

    // The page's lines stop at the policy, as the warning said, and go on without the line that the manifest names.
    let page = fs::read_to_string(clone_root().join("doc/how-to/restore.md")).unwrap();
    let line = |is: &dyn Fn(&str) -> bool| page.lines().find(|line| is(line)).unwrap().to_owned();
    let list = [
        line(&|line| line.starts_with("LEFT_OUT=")),
        line(&|line| line.ends_with(" > orders.list")),
    ]
    .join("\n");
    let load = line(&|line| line.contains("--use-list=orders.list --no-owner --no-privileges"));
    let uri = format!("URI=postgresql://inventory@127.0.0.1:{}/copy", other.port);
    let stopped = shell(at, &format!("{uri}\n{list}\n{load}"), other.port, password).unwrap_err();
    assert!(
        stopped.contains("role \"auditor\" does not exist"),
        "{stopped}"
    );
    run(
        &mut copy,
        "DROP OWNED BY inventory; GRANT ALL ON SCHEMA public TO inventory",
    )
    .await
    .unwrap();
    let policies = found(&told.other_users, "policies for these roles");
    let without = format!(
        "grep -v ' POLICY {} ' orders.list > fewer; mv fewer orders.list",
        policies.names[0]
    );
    shell(
        at,
        &format!("{uri}\n{list}\n{without}\n{load}"),
        other.port,
        password,
    )
    .unwrap();
    assert_eq!(rows(&mut copy).await, "100 7 1");

    // The manifest's command, where the role was made, and an extension that nothing needs was not.
    run(&mut postgres, "CREATE ROLE auditor").await.unwrap();
    let restore = Restore::new(
        Flavour::Postgresql,
        "s3://backups/orders.dump.zst",
        None,
        "inventory",
        Some(told),
    );
    shell(at, &restore.load, other.port, password).unwrap();
    assert_eq!(rows(&mut same).await, "100 7 2");
}

/// Rows of two tables, and the number of policies.
async fn rows(session: &mut sqlx::postgres::PgConnection) -> String {
    let sql = "SELECT concat_ws(' ', (SELECT count(*) FROM public.accounts), (SELECT x FROM public.elsewhere), \
               (SELECT count(*) FROM pg_policy))";
    ask(session, sql).await.remove(0)
}

/// Runs lines as a person does, with PostgreSQL 15's own tools, as the database's user.
fn shell(folder: &Path, script: &str, port: u16, password: &str) -> Result<(), String> {
    let tools = programs(15).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-e", "-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", "inventory")
        .env("PGPASSWORD", password)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

/// One row of 40 MB.
async fn large_rows(superuser: &mut sqlx::postgres::PgConnection, provider: &dyn Provider) {
    run(
        superuser,
        "CREATE TABLE scans (image text); ALTER TABLE scans ALTER image SET STORAGE EXTERNAL;
         INSERT INTO scans SELECT repeat('0123456789', 4000000); ANALYZE scans",
    )
    .await
    .unwrap();
    let told = provider
        .take_inventory(&names("inventory", "inventory"))
        .await
        .unwrap();
    let rows = told.largest_rows.unwrap();
    assert_eq!(rows.table, "\"public\".\"scans\"");
    assert!(
        (40_000_000..44_000_000).contains(&rows.average_bytes),
        "{rows:?}"
    );
    let warnings = told.warnings.join("\n");
    assert!(
        warnings.contains("rows of \"public\".\"scans\" have about 4"),
        "{warnings}"
    );

    // A table that is locked by somebody delays the answer by nothing.
    run(superuser, "BEGIN; LOCK TABLE scans").await.unwrap();
    let began = std::time::Instant::now();
    provider
        .take_inventory(&names("inventory", "inventory"))
        .await
        .unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(2));
    run(superuser, "COMMIT").await.unwrap();
}
