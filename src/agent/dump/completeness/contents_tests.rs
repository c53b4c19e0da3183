use super::*;

fn item<'a>(kind: &'a str, name: &'a str, definition: &'a str) -> Item<'a> {
    Item {
        schema: b"public",
        name: name.as_bytes(),
        kind: kind.as_bytes(),
        definition: definition.as_bytes(),
        copy: b"",
        tablespace: b"",
        owner: b"orders",
    }
}

fn warnings(items: &[Item<'_>]) -> Vec<String> {
    let mut contents = Contents::default();
    for item in items {
        contents.add(item);
    }
    contents.warnings()
}

#[test]
fn what_an_owner_can_restore_is_not_told() {
    let table = "CREATE TABLE public.t (id integer);\n";
    assert_eq!(
        warnings(&[
            item("TABLE", "t", table),
            item(
                "EXTENSION",
                "pgcrypto",
                "CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;\n"
            ),
            item(
                "PUBLICATION",
                "p",
                "CREATE PUBLICATION p WITH (publish = 'insert');\n"
            ),
            item(
                "ACL",
                "DATABASE orders",
                "GRANT ALL ON DATABASE orders TO other;\n"
            ),
            item(
                "ACL",
                "SCHEMA public",
                "REVOKE USAGE ON SCHEMA public FROM PUBLIC;\nGRANT ALL ON SCHEMA public TO orders;\n"
            ),
            item(
                "POLICY",
                "t p",
                "CREATE POLICY p ON public.t USING ((x IN ( SELECT 1 FROM other)));\n"
            ),
            item(
                "FUNCTION",
                "f()",
                "CREATE FUNCTION public.f() RETURNS integer\n    LANGUAGE sql\n    AS $$ select 1 \n    LANGUAGE c $$;\n"
            ),
        ]),
        Vec::<String>::new()
    );
}

#[test]
fn what_only_a_superuser_can_restore_is_told_by_name() {
    let said = warnings(&[
        item("EVENT TRIGGER", "audit", ""),
        item("EVENT TRIGGER", "block\n", ""),
        item(
            "PUBLICATION",
            "all",
            "CREATE PUBLICATION \"all\" FOR ALL TABLES WITH (publish = 'insert');\n",
        ),
        item("SUBSCRIPTION", "s", ""),
        item("PROCEDURAL LANGUAGE", "plpython3u", ""),
        item(
            "FUNCTION",
            "f(integer)",
            "CREATE FUNCTION public.f(integer) RETURNS integer\n    LANGUAGE c STRICT\n    AS '$libdir/x', 'f';\n",
        ),
        item(
            "TYPE",
            "t",
            "CREATE TYPE public.t (\n    INTERNALLENGTH = variable,\n    INPUT = public.t_in,\n",
        ),
        item("EXTENSION", "postgis", ""),
    ]);
    assert_eq!(
        said,
        [
            "event triggers: audit, block : only a superuser can restore them",
            "publications that are not the user's own, or for all tables: all: only a superuser can restore them",
            "subscriptions: s: only a superuser can restore them",
            "procedural languages: plpython3u: only a superuser can restore them",
            "functions in untrusted languages: f(integer): only a superuser can restore them",
            "base types: t: only a superuser can restore them",
            "extensions that are not trusted: postgis: a restore needs a superuser, or finds them installed",
        ]
    );
}

#[test]
fn roles_and_tablespaces_that_the_other_server_must_have_are_told() {
    let mut table = item("TABLE", "t", "");
    table.tablespace = b"fast";
    let said = warnings(&[
        table,
        item(
            "POLICY",
            "t p",
            "CREATE POLICY p ON public.t FOR SELECT TO reader, \"Wri\"\"ter\" USING ((tenant = 'TO me'::text));\n",
        ),
        item(
            "ACL",
            "TABLE t",
            "GRANT SELECT ON TABLE public.t TO reader;\nGRANT SELECT(id) ON TABLE public.\"TO x; y\" TO lister WITH GRANT OPTION;\n",
        ),
        item(
            "DEFAULT ACL",
            "TABLES",
            "ALTER DEFAULT PRIVILEGES FOR ROLE orders IN SCHEMA public GRANT SELECT ON TABLES TO later;\n",
        ),
        item(
            "USER MAPPING",
            "USER MAPPING away SERVER s",
            "CREATE USER MAPPING FOR away SERVER s OPTIONS (\n    password 'secret'\n);\n",
        ),
    ]);
    assert_eq!(
        said,
        [
            "tables and indexes in tablespaces: fast: a restore needs tablespaces of these names, or pg_restore --no-tablespaces",
            "roles in policies: Wri\"ter, reader: a restore needs them on its server, or has to leave these out",
            "roles in grants: later, lister, reader: a restore needs them on its server, or has to leave these out",
            "roles in user mappings: away: a restore needs them on its server, or has to leave these out",
        ]
    );
}

#[test]
fn names_are_limited_in_number_and_length() {
    let long = "x".repeat(500);
    let names: Vec<String> = (0..1000).map(|number| format!("e{number:03}")).collect();
    let mut items: Vec<_> = names
        .iter()
        .map(|name| item("EVENT TRIGGER", name, ""))
        .collect();
    assert_eq!(
        warnings(&items),
        [
            "event triggers: e000, e001, e002, e003, e004 and more than 95 others: only a superuser can restore them"
        ]
    );
    items = vec![item("EVENT TRIGGER", &long, "")];
    assert!(warnings(&items)[0].len() < 120);
}
