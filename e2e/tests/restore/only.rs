//! Some schemas and tables of a dump: what belongs to them comes with them, and what needs others is left out and told.

use db_operator::agent::protocol::restore::{Level, Only, RestoreCause, TableName};

use crate::dump::run;
use crate::postgresql::{RESTORE, Server};

const CONTENT: &str = r#"
    CREATE SCHEMA audit; CREATE SCHEMA types; CREATE TYPE types.mood AS ENUM ('sad', 'ok');
    CREATE FUNCTION types.level() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
    CREATE TABLE customers AS SELECT i AS id FROM generate_series(1, 1000) i; ALTER TABLE customers ADD PRIMARY KEY (id);
    CREATE TABLE invoices (id serial PRIMARY KEY, customer int REFERENCES customers, mood types.mood DEFAULT 'ok', level int DEFAULT types.level(),
      number int GENERATED ALWAYS AS IDENTITY, CHECK (level > 0));
    INSERT INTO invoices (customer) SELECT i FROM generate_series(1, 500) i; CREATE INDEX by_mood ON invoices (mood);
    CREATE FUNCTION audit.noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit.log VALUES (NEW.id); RETURN NEW; END $$;
    CREATE TABLE audit.log (invoice int); INSERT INTO audit.log VALUES (1), (2);
    CREATE TRIGGER noted BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION audit.noted();
    CREATE TABLE audit."odd.""name" (x int); INSERT INTO audit."odd.""name" VALUES (7);
    CREATE VIEW audit.dear AS SELECT id FROM public.invoices;
    ALTER TABLE invoices ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON invoices USING (customer = 1);
    COMMENT ON TABLE invoices IS 'what is due'; GRANT SELECT ON invoices TO reader;
    CREATE TABLE parted (at int) PARTITION BY RANGE (at); CREATE TABLE audit.parted_a PARTITION OF parted FOR VALUES FROM (0) TO (100);
    INSERT INTO parted SELECT i FROM generate_series(0, 99) i; CREATE INDEX ON parted (at);
    CREATE TABLE guarded (x int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY shows ON guarded USING (true);
    CREATE POLICY hides ON guarded AS RESTRICTIVE USING (EXISTS (SELECT FROM customers));
    CREATE TABLE parent (x int); CREATE TABLE child (y int) INHERITS (parent); INSERT INTO child VALUES (1, 2);
    CREATE TABLE zoo (x int); INSERT INTO zoo VALUES (1); SELECT lo_from_bytea(0, '\x01');
"#;

/// What there is, as `kind schema.name`.
const SEEN: &str = "SELECT string_agg(c.relkind::text || ' ' || n.nspname || '.' || c.relname, ', ' ORDER BY c.relkind, n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE n.nspname IN ('public', 'audit', 'types')";

fn only(schemas: &[&str], tables: &[(&str, &str)]) -> Only {
    let table = |&(schema, name): &(&str, &str)| TableName {
        schema: schema.to_owned(),
        name: name.to_owned(),
    };
    Only {
        schemas: schemas.iter().map(ToString::to_string).collect(),
        tables: tables.iter().map(table).collect(),
    }
}

#[test]
fn a_table_comes_back_whole_and_what_needs_others_is_told() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", CONTENT);
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "one");
        restore.task.check = Level::Digest;
        restore.task.roles = vec!["reader".to_owned()];
        restore.task.only = Some(only(&[], &[("public", "invoices")]));
        let loaded = restore.run(&RESTORE).await.done();
        assert_eq!((loaded.tables, loaded.rows), (1, 500));
        assert_eq!(loaded.checked, Level::Digest);
        let told = loaded.left_out.join("\n");
        for part in [
            "foreign keys public.invoices invoices_customer_fkey",
            "triggers public.invoices noted",
            "large objects",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(
            server.sql("one", SEEN).trim(),
            "S public.invoices_id_seq, S public.invoices_number_seq, i public.by_mood, i public.invoices_pkey, r public.invoices"
        );
        for (question, answer) in [
            ("SELECT polname FROM pg_policy", "own"),
            (
                "SELECT obj_description('invoices'::regclass)",
                "what is due",
            ),
            (
                "SELECT has_table_privilege('reader', 'invoices', 'SELECT')",
                "t",
            ),
            (
                "SELECT relrowsecurity FROM pg_class WHERE relname = 'invoices'",
                "t",
            ),
        ] {
            assert_eq!(server.sql("one", question).trim(), answer, "{question}");
        }
        // What it counts with goes on.
        server.as_owner("one", "INSERT INTO invoices (customer) VALUES (1)");
        let last = "SELECT max(id) || ' ' || max(number) || ' ' || max(level) || ' ' || max(mood) FROM invoices";
        assert_eq!(server.sql("one", last).trim(), "501 501 1 ok");
    });
}

#[test]
fn schemas_partitions_and_odd_names_come_back() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", CONTENT);
        let (from, done) = server.dumped(&[]).await;
        let mut restore = server.restore(&from, &done, "schema");
        restore.task.only = Some(only(&["audit"], &[]));
        let loaded = restore.run(&RESTORE).await.done();
        assert_eq!((loaded.tables, loaded.rows), (3, 103));
        let told = loaded.left_out.join("\n");
        assert!(told.contains("views audit.dear: "), "{told}");
        assert!(told.contains("partitions, of audit.parted_a: "), "{told}");
        assert_eq!(
            server.sql("schema", SEEN).trim(),
            "i audit.parted_a_at_idx, r audit.log, r audit.odd.\"name, r audit.parted_a"
        );

        let mut restore = server.restore(&from, &done, "parts");
        restore.task.only = Some(only(&[], &[("public", "parted"), ("audit", "odd.\"name")]));
        let loaded = restore.run(&RESTORE).await.done();
        assert_eq!((loaded.tables, loaded.rows), (2, 101));
        let partitions = "SELECT count(*) FROM parted WHERE tableoid = 'audit.parted_a'::regclass";
        assert_eq!(server.sql("parts", partitions).trim(), "100");

        let mut restore = server.restore(&from, &done, "parent");
        restore.task.only = Some(only(&[], &[("public", "parent")]));
        let loaded = restore.run(&RESTORE).await.done();
        assert_eq!((loaded.tables, loaded.rows), (1, 0));
        let told = loaded.left_out.join("\n");
        assert!(told.contains("tables public.child: they inherit"), "{told}");

        // All of it that is in schemas: no less than a whole restore.
        let mut restore = server.restore(&from, &done, "all");
        restore.task.only = Some(only(&["public", "audit", "types"], &[]));
        let loaded = restore.run(&RESTORE).await.done();
        assert_eq!(loaded.rows, done.totals.as_ref().unwrap().rows);
        assert_eq!(server.sql("all", SEEN), server.sql("orders=x", SEEN));
    });
}

#[test]
fn what_is_not_there_or_needs_more_is_refused_before_anything_is_loaded() {
    run(async {
        let server = Server::start();
        server.as_owner("orders=x", CONTENT);
        let (from, done) = server.dumped(&[]).await;
        for (index, (wanted, says)) in [
            (only(&["Audit"], &[("public", "invoices")]), "schema Audit"),
            (
                only(&[], &[("public", "Invoices")]),
                "table public.Invoices",
            ),
            (
                only(&[], &[("public", "x; DROP TABLE invoices")]),
                "table public.x; DROP TABLE invoices",
            ),
            (
                only(&[], &[("audit", "dear")]),
                "audit.dear needs table public.invoices",
            ),
            (
                only(&[], &[("public", "guarded")]),
                "the restrictive policy public.guarded hides needs table public.customers",
            ),
            (
                only(&[], &[("public", "invoices_number_seq")]),
                "public.invoices_number_seq needs table public.invoices",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let database = format!("refused{index}");
            let mut restore = server.restore(&from, &done, &database);
            restore.task.only = Some(wanted);
            let failed = restore
                .run(&RESTORE)
                .await
                .failed(RestoreCause::OnlyRefused);
            assert!(failed.message.contains(says), "{failed:?}");
            assert_eq!(server.sql(&database, SEEN).trim(), "", "{says}");
        }
    });
}
