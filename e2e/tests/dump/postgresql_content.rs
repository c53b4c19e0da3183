//! What of PostgreSQL's dump only a superuser can restore, and what its restore needs: the result says so.

use db_operator::agent::protocol::task::Flavour;

use crate::fixture::{Fixture, run};
use crate::postgresql::{DUMP, Server};

/// As the superuser, in the tenant's database.
const CONTENT: &str = r#"
    CREATE FUNCTION public.stop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION public.stop();
    CREATE PUBLICATION everything FOR ALL TABLES;
    CREATE PUBLICATION one FOR TABLE rows;
    CREATE SUBSCRIPTION elsewhere CONNECTION 'host=nowhere.invalid' PUBLICATION x WITH (connect = false);
    CREATE ROLE reader; CREATE ROLE "Wri""ter";
    GRANT SELECT ON rows TO reader;
    ALTER TABLE nothing ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON nothing TO "Wri""ter" USING (x IN (SELECT 1 FROM rows));
    CREATE EXTENSION pgcrypto;
    CREATE FUNCTION public.c(internal) RETURNS internal LANGUAGE internal AS 'int4out';
    ALTER ROLE orders BYPASSRLS;
"#;

#[test]
fn what_a_restore_needs_is_told_by_name() {
    run(async {
        let server = Server::start();
        for statement in CONTENT.trim().split_terminator(';') {
            server.sql("orders=x", statement);
        }
        let mut fixture = Fixture::new(Flavour::Postgresql).await;
        server.aim(&mut fixture);
        let ended = fixture.run(&DUMP).await;
        let log = ended.log.clone();
        let done = ended.done();
        for warning in [
            "event triggers: audit: only a superuser can restore them",
            "publications that are not the user's own, or for all tables: everything: only a superuser can restore them",
            "functions in untrusted languages: c(internal): only a superuser can restore them",
            "roles in policies: Wri\"ter: a restore needs them on its server, or has to leave these out",
            "roles in grants: reader: a restore needs them on its server, or has to leave these out",
            "subscriptions not dumped because current user is not a superuser",
        ] {
            assert!(
                done.warnings.contains(&warning.to_owned()),
                "{warning}: {done:?}"
            );
            assert!(log.contains(&format!("Z warning: {warning}\n")), "{log}");
        }
        assert_eq!(done.warnings.len(), 6, "{done:?}");
        fixture.complete(&done).await;
    });
}
