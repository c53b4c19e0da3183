//! What is chosen of entries that few archives have.

use super::*;
use crate::agent::dump::completeness::contents::Item;
use crate::agent::protocol::restore::TableName;

/// Kind, schema, name, statement, and the numbers that it depends on. The first one has the number 1.
type Entry = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [i64],
);

/// The names of what is chosen, and what is told; or why it is refused.
fn choice(
    entries: &[Entry],
    schemas: &[&str],
    tables: &[&str],
) -> Result<(Vec<&'static str>, Vec<String>), String> {
    let table = |table: &&str| {
        let (schema, name) = table.split_once('.').unwrap();
        TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        }
    };
    let only = Only {
        schemas: schemas.iter().map(ToString::to_string).collect(),
        tables: tables.iter().map(table).collect(),
    };
    let choice = Choice::of(&only, |look: &mut Look<'_>| -> Result<(), Failure> {
        for (id, (kind, schema, name, definition, on)) in (1..).zip(entries) {
            let item = Item {
                schema: schema.as_bytes(),
                name: name.as_bytes(),
                kind: kind.as_bytes(),
                definition: definition.as_bytes(),
                copy: b"",
                tablespace: b"",
                owner: b"orders",
            };
            look(id, &item, &mut on.iter().copied())?;
        }
        Ok(())
    });
    let choice = choice.map_err(|failure| failure.message)?;
    let chosen = entries.iter().enumerate();
    let chosen = chosen.filter(|(place, _)| choice.has(*place));
    Ok((
        chosen.map(|(_, (_, _, name, ..))| *name).collect(),
        choice.left_out,
    ))
}

/// Without it, whoever reads the table would see more rows than before.
#[test]
fn a_table_does_not_come_without_a_policy_that_takes_rows_away() {
    let policy = |definition| -> [Entry; 3] {
        [
            ("TABLE", "public", "invoices", "", &[]),
            ("TABLE", "public", "members", "", &[]),
            ("POLICY", "public", "invoices p", definition, &[1, 2]),
        ]
    };
    let shows = policy("CREATE POLICY p ON public.invoices USING (true);\n");
    let (chosen, told) = choice(&shows, &[], &["public.invoices"]).unwrap();
    assert_eq!(chosen, ["invoices"]);
    assert!(
        told[0].starts_with("policies public.invoices p: "),
        "{told:?}"
    );
    let hides =
        policy("CREATE POLICY p ON public.invoices AS RESTRICTIVE TO reader USING (true);\n");
    let refused = choice(&hides, &[], &["public.invoices"]).unwrap_err();
    assert!(
        refused.contains("the restrictive policy public.invoices p needs table public.members"),
        "{refused}"
    );
    let both = ["public.invoices", "public.members"];
    let (chosen, told) = choice(&hides, &[], &both).unwrap();
    assert_eq!(chosen, ["invoices", "members", "invoices p"]);
    assert_eq!(told, [""; 0]);
    // Nobody asks for its table.
    let (chosen, told) = choice(&hides, &[], &["public.members"]).unwrap();
    assert_eq!((chosen, told), (vec!["members"], Vec::new()));
}

#[test]
fn a_part_of_a_table_is_not_left_out_in_silence() {
    let identity = "ALTER TABLE public.a ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (";
    let entries: [Entry; 3] = [
        ("TABLE", "public", "a", "", &[]),
        ("SEQUENCE", "public", "a_id_seq", identity, &[1]),
        ("SEQUENCE SET", "public", "a_id_seq", "", &[2]),
    ];
    let refused = choice(&entries, &[], &["public.a_id_seq"]).unwrap_err();
    assert!(
        refused.contains("public.a_id_seq needs table public.a"),
        "{refused}"
    );
    let both = ["public.a", "public.a_id_seq"];
    let (chosen, _) = choice(&entries, &[], &both).unwrap();
    assert_eq!(chosen, ["a", "a_id_seq", "a_id_seq"]);
}

#[test]
fn who_inherits_from_what_is_made_is_told() {
    let child = "CREATE TABLE public.child (\n    y integer\n)\nINHERITS (public.parent);\n";
    let entries: [Entry; 3] = [
        ("TABLE", "public", "parent", "", &[]),
        ("TABLE", "public", "child", child, &[1]),
        // A column is of the type of its rows.
        (
            "TABLE",
            "public",
            "other",
            "CREATE TABLE public.other (\n    x public.parent\n);\n",
            &[1],
        ),
    ];
    let (chosen, told) = choice(&entries, &[], &["public.parent"]).unwrap();
    assert_eq!(chosen, ["parent"]);
    assert_eq!(
        told,
        [
            "tables public.child: they inherit from what is brought back, and spec.only does not name them"
        ]
    );
    let both = ["public.parent", "public.child"];
    assert_eq!(choice(&entries, &[], &both).unwrap().1, [""; 0]);
}

#[test]
fn a_cast_goes_with_its_type() {
    let entries: [Entry; 7] = [
        ("TYPE", "types", "mood", "", &[]),
        ("FUNCTION", "types", "read(text)", "", &[1]),
        ("CAST", "", "CAST (integer AS types.mood)", "", &[1]),
        ("CAST", "", "CAST (text AS types.mood)", "", &[1, 2]),
        ("COMMENT", "", "CAST (integer AS types.mood)", "", &[3]),
        ("TABLE", "public", "a", "", &[1]),
        ("TABLE", "public", "b", "", &[]),
    ];
    let (chosen, told) = choice(&entries, &[], &["public.a"]).unwrap();
    let cast = "CAST (integer AS types.mood)";
    assert_eq!(chosen, ["mood", cast, cast, "a"]);
    assert_eq!(told, [""; 0]);
    assert_eq!(choice(&entries, &["types"], &[]).unwrap().0.len(), 5);
    assert_eq!(choice(&entries, &[], &["public.b"]).unwrap().0, ["b"]);
}

#[test]
fn names_may_begin_as_others_do_and_be_written_twice() {
    let entries: [Entry; 3] = [
        ("TABLE", "public", "a", "", &[]),
        ("SEQUENCE", "public", "a b", "", &[]),
        ("DEFAULT", "public", "a b c", "", &[1, 2]),
    ];
    // `"public"."a"` is the same.
    let (chosen, _) = choice(&entries, &[], &["public.a", "public.a"]).unwrap();
    assert_eq!(chosen, ["a", "a b", "a b c"]);
}

#[test]
fn a_view_that_needs_a_key_is_told_its_table() {
    let entries: [Entry; 3] = [
        ("TABLE", "public", "a", "", &[]),
        ("CONSTRAINT", "public", "a a_pkey", "", &[1]),
        ("MATERIALIZED VIEW", "public", "by_key", "", &[2, 1]),
    ];
    let refused = choice(&entries, &[], &["public.by_key"]).unwrap_err();
    assert!(
        refused.contains("public.by_key needs table public.a;"),
        "{refused}"
    );
    let both = ["public.a", "public.by_key"];
    assert_eq!(choice(&entries, &[], &both).unwrap().0.len(), 3);
}
