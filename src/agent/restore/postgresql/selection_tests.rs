use super::super::only::Look;
use super::*;
use crate::agent::protocol::contents::Table;
use crate::agent::protocol::restore::{Only, TableName};

fn item<'a>(kind: &'a str, schema: &'a str, name: &'a str) -> Item<'a> {
    Item {
        schema: schema.as_bytes(),
        name: name.as_bytes(),
        kind: kind.as_bytes(),
        definition: b"",
        copy: b"",
        tablespace: b"",
        owner: b"orders",
    }
}

fn selection() -> Selection {
    Selection::new(["public", "audit"].map(str::to_owned).into())
}

#[test]
fn what_is_not_the_owners_is_left_out_and_told() {
    let mut selection = selection();
    let mut fate = |kind: &str, name: &str| selection.add(&item(kind, "", name), false).unwrap();
    for (kind, name) in [
        ("EXTENSION", "postgis"),
        ("COMMENT", "EXTENSION postgis"),
        ("COMMENT", "SCHEMA public"),
        ("DATABASE", "orders"),
        ("ACL", "DATABASE orders"),
        ("SCHEMA", "public"),
        ("SCHEMA", "audit"),
        ("PUBLICATION", "p"),
        ("PUBLICATION TABLE", "p t"),
        ("SUBSCRIPTION", "s"),
        ("EVENT TRIGGER", "e"),
        ("SECURITY LABEL", "EVENT TRIGGER e"),
    ] {
        assert_eq!(fate(kind, name), Fate::LeftOut, "{kind} {name}");
    }
    for (kind, name) in [
        ("SCHEMA", "sales"),
        ("TABLE", "t"),
        ("COMMENT", "TABLE t"),
        ("SECURITY LABEL", "TABLE t"),
        ("BLOBS", "BLOBS"),
    ] {
        assert_eq!(fate(kind, name), Fate::Loaded, "{kind} {name}");
    }
    for (kind, name) in [("ACL", "TABLE t"), ("DEFAULT ACL", "DEFAULT PRIVILEGES")] {
        assert_eq!(fate(kind, name), Fate::Granted, "{kind} {name}");
    }
    let told = selection.left_out();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("publications p: "), "{told:?}");
    assert!(!told.join(" ").contains("postgis"));
}

#[test]
fn rows_of_a_table_that_the_archive_does_not_make_are_an_extensions_own() {
    let mut selection = selection();
    for (kind, schema, name, fate) in [
        ("TABLE", "public", "orders", Fate::Loaded),
        ("SEQUENCE", "public", "numbers", Fate::Loaded),
        ("TABLE DATA", "public", "orders", Fate::Loaded),
        ("TABLE DATA", "sales", "orders", Fate::LeftOut),
        ("TABLE DATA", "public", "spatial_ref_sys", Fate::LeftOut),
        ("SEQUENCE SET", "public", "numbers", Fate::Loaded),
        ("SEQUENCE SET", "cron", "jobid_seq", Fate::LeftOut),
    ] {
        let found = selection.add(&item(kind, schema, name), false).unwrap();
        assert_eq!(found, fate, "{kind} {schema} {name}");
    }
    let mut foreign: Vec<&str> = selection.foreign.iter().map(|table| &*table.name).collect();
    foreign.sort_unstable();
    assert_eq!(foreign, ["orders", "spatial_ref_sys"]);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let error = selection().add(&item("TELEPATHY", "public", "x\ny"), false);
    let said = error.unwrap_err().to_string();
    assert!(said.contains("\"TELEPATHY\" (x y)"), "{said}");
}

#[test]
fn tablespaces_are_told_and_steps_after_the_rows_are_counted() {
    let mut selection = selection();
    let table = Item {
        tablespace: b"fast",
        ..item("TABLE", "public", "t")
    };
    selection.add(&table, false).unwrap();
    for kind in ["INDEX", "FK CONSTRAINT", "TRIGGER", "VIEW"] {
        selection.add(&item(kind, "public", "x"), false).unwrap();
    }
    assert_eq!(selection.after_rows, 3);
    assert!(selection.left_out()[0].starts_with("tablespaces fast: "));
}

#[test]
fn a_long_list_is_counted() {
    let names: BTreeSet<String> = (0..8).map(|number| format!("n{number}")).collect();
    assert_eq!(listed(&names), "n0, n1, n2, n3, n4 and 3 more");
}

#[test]
fn what_is_run_is_as_pg_dump_writes_it() {
    let table = item("TABLE", "public", "t");
    let data = item("TABLE DATA", "public", "t");
    let of = |definition: &'static str, copy: &'static str| {
        let mut selection = selection();
        selection.add(&table, false).unwrap();
        move |item: Item<'static>, has_data| {
            let item = Item {
                definition: definition.as_bytes(),
                copy: copy.as_bytes(),
                ..item
            };
            selection.add(&item, has_data)
        }
    };
    let drop = "DROP DATABASE orders WITH (FORCE)";
    let is_statement = |refused| matches!(refused, Err(Refused::Statement { .. }));
    for kind in ["TABLE", "SEARCHPATH", "BLOBS", "COMMENT"] {
        let entry = item(kind, "public", "t");
        assert!(is_statement(of(drop, "")(entry, false)), "{kind}");
    }
    assert!(is_statement(of("", drop)(data, true)));
    let copy = "COPY public.t (x) FROM stdin;\n";
    assert_eq!(of("", copy)(data, true), Ok(Fate::Loaded));
    assert_eq!(
        of("", "")(item("BLOBS", "", "BLOBS"), true),
        Ok(Fate::Loaded)
    );
    for entry in [data, table, item("BLOB COMMENTS", "", "x")] {
        let refused = of("", "")(entry, true).unwrap_err();
        assert!(matches!(refused, Refused::Rows { .. }), "{refused}");
    }
    // What is left out is not run.
    assert_eq!(
        of(drop, "")(item("DATABASE", "", "orders"), false),
        Ok(Fate::LeftOut)
    );
}

#[test]
fn a_policy_whose_role_is_not_here_is_found() {
    let roles = ["auditor", "Re\"ader"].map(str::to_owned).into();
    let missing = |kind, definition: &str| {
        let policy = Item {
            definition: definition.as_bytes(),
            ..item(kind, "public", "t p")
        };
        missing_role(&policy, &roles)
    };
    for here in [
        "CREATE POLICY p ON public.t USING (true);\n",
        "CREATE POLICY p ON public.t FOR SELECT TO auditor, \"Re\"\"ader\" USING (x = other);\n",
        "CREATE POLICY p ON public.t TO CURRENT_USER, PUBLIC WITH CHECK (true);\n",
    ] {
        assert_eq!(missing("POLICY", here), None, "{here}");
    }
    let gone = "CREATE POLICY p ON public.t TO auditor, gone USING (true);\n";
    assert_eq!(missing("POLICY", gone).as_deref(), Some("gone"));
    assert_eq!(missing("TABLE", gone), None);
}

#[test]
fn only_what_is_asked_for_is_loaded_and_compared() {
    let only = Only {
        tables: vec![TableName {
            schema: "public".to_owned(),
            name: "a".to_owned(),
        }],
        ..Only::default()
    };
    let entries = [
        (1, "TABLE", "a", 0),
        (2, "TABLE", "b", 0),
        (3, "PUBLICATION TABLE", "p a", 1),
        (4, "TABLE DATA", "a", 1),
        (5, "TABLE DATA", "b", 2),
        (6, "TELEPATHY", "x", 0),
        (7, "ACL", "TABLE b", 2),
        (8, "ACL", "TABLE a", 1),
    ];
    let choice = Choice::of(&only, |look: &mut Look<'_>| {
        for (id, kind, name, on) in entries {
            look(id, &item(kind, "public", name), &mut std::iter::once(on))?;
        }
        Ok(())
    });
    let mut selection = selection().only(choice.unwrap());
    let fates = entries.map(|(_, kind, name, _)| {
        let fate = selection.add(&item(kind, "public", name), false);
        fate.unwrap()
    });
    let (loaded, left_out) = (Fate::Loaded, Fate::LeftOut);
    let expected = [
        loaded,
        left_out,
        left_out,
        loaded,
        left_out,
        left_out,
        left_out,
        Fate::Granted,
    ];
    assert_eq!(fates, expected);
    assert!(selection.asks_for(7) && !selection.asks_for(6));
    let table = |name: &str| Table {
        schema: "public".to_owned(),
        name: name.to_owned(),
        rows: 1,
        bytes: 1,
        digest: None,
    };
    let all = Contents {
        tables: vec![table("a"), table("b")],
        ..Contents::default()
    };
    let figures = selection.figures(all);
    assert_eq!(figures.tables, [table("a")]);
}
