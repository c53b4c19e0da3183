//! What is chosen of the entries of a real archive.

use super::*;
use crate::agent::dump::completeness::contents::Item;
use crate::agent::protocol::restore::TableName;

const ENTRIES: &str = include_str!("entries.txt");

/// The entries' kinds, schemas and names.
fn entries() -> Vec<[&'static str; 5]> {
    let lines = ENTRIES.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split('|').collect::<Vec<_>>().try_into().unwrap());
    fields.collect()
}

fn each(look: &mut Look<'_>) -> Result<(), Failure> {
    for [id, kind, schema, name, dependencies] in entries() {
        let is_identity = name == "invoices_own_seq" && kind == "SEQUENCE";
        let item = Item {
            schema: schema.as_bytes(),
            name: name.as_bytes(),
            kind: kind.as_bytes(),
            definition: if is_identity {
                b"ALTER TABLE public.invoices ALTER COLUMN own"
            } else {
                b""
            },
            copy: b"",
            tablespace: b"",
            owner: b"orders",
        };
        let mut all = dependencies
            .split_whitespace()
            .map(|id| id.parse().unwrap());
        look(id.parse().unwrap(), &item, &mut all)?;
    }
    Ok(())
}

fn only(schemas: &[&str], tables: &[&str]) -> Only {
    let table = |table: &&str| {
        let (schema, name) = table.split_once('.').unwrap();
        TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        }
    };
    Only {
        schemas: schemas.iter().map(ToString::to_string).collect(),
        tables: tables.iter().map(table).collect(),
    }
}

/// What is chosen, as `KIND schema name`, and what is told.
fn choice(schemas: &[&str], tables: &[&str]) -> (BTreeSet<String>, Vec<String>) {
    let choice = Choice::of(&only(schemas, tables), each).unwrap();
    let chosen = entries().into_iter().enumerate();
    let chosen = chosen.filter(|(place, _)| choice.has(*place));
    let names = chosen.map(|(_, [_, kind, schema, name, _])| format!("{kind} {schema} {name}"));
    (names.collect(), choice.left_out)
}

fn refusal(schemas: &[&str], tables: &[&str]) -> String {
    let failure = Choice::of(&only(schemas, tables), each).unwrap_err();
    assert_eq!(failure.cause, RestoreCause::OnlyRefused);
    failure.message
}

#[test]
fn a_table_comes_with_what_belongs_to_it_and_what_it_needs() {
    let (chosen, told) = choice(&[], &["public.invoices"]);
    let expected = [
        "ENCODING  ENCODING",
        "STDSTRINGS  STDSTRINGS",
        "SEARCHPATH  SEARCHPATH",
        "SCHEMA  types",
        "TYPE types mood",
        "DOMAIN types short",
        "FUNCTION types dflt()",
        "SEQUENCE public shared_seq",
        "SEQUENCE SET public shared_seq",
        "TABLE public invoices",
        "COMMENT public TABLE invoices",
        "COMMENT public COLUMN invoices.n",
        "ACL public TABLE invoices",
        "ACL public COLUMN invoices.n",
        "SEQUENCE public invoices_id_seq",
        "SEQUENCE OWNED BY public invoices_id_seq",
        "SEQUENCE SET public invoices_id_seq",
        "SEQUENCE public invoices_own_seq",
        "SEQUENCE SET public invoices_own_seq",
        "DEFAULT public invoices id",
        "TABLE DATA public invoices",
        "CONSTRAINT public invoices invoices_pkey",
        "COMMENT public CONSTRAINT invoices_pkey ON invoices",
        "INDEX public inv_m",
        "COMMENT public INDEX inv_m",
        "STATISTICS public st",
        "ROW SECURITY public invoices",
        "POLICY public invoices p",
    ];
    let expected: BTreeSet<String> = expected.map(str::to_owned).into();
    assert_eq!(chosen, expected);
    let said = told.join("\n");
    for part in [
        "foreign keys public.invoices invoices_customer_fkey: they need",
        "policies public.invoices p2: ",
        "rules public.invoices r: ",
        "triggers public.invoices t1: ",
        "large objects: ",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(told.len(), 5, "{said}");
}

#[test]
fn a_schema_comes_with_all_that_can_be_made() {
    let (chosen, told) = choice(&["audit"], &[]);
    for part in [
        "SCHEMA  audit",
        "ACL  SCHEMA audit",
        "DEFAULT ACL audit DEFAULT PRIVILEGES FOR TABLES",
        "TABLE audit log",
        "TABLE DATA audit log",
        "FUNCTION audit trg()",
        "TRIGGER audit log t2",
        "SCHEMA  types",
        "TYPE types mood",
        // Partitions are tables of their own, with their indexes.
        "TABLE audit parted_b",
        "TABLE audit parted_b1",
        "TABLE ATTACH audit parted_b1",
        "TABLE DATA audit parted_b1",
        "CONSTRAINT audit parted_b parted_b_pkey",
        "INDEX audit parted_b1_at_idx",
        "INDEX ATTACH audit parted_b1_at_idx",
        "INDEX ATTACH audit parted_b1_pkey",
    ] {
        assert!(chosen.contains(part), "{part} in {chosen:#?}");
    }
    for other in [
        "VIEW audit own",
        "TABLE ATTACH audit parted_b",
        "INDEX ATTACH audit parted_b_at_idx",
        "INDEX ATTACH audit parted_b_pkey",
        "TABLE public invoices",
        "DOMAIN types short",
        "TRIGGER public invoices t1",
    ] {
        assert!(!chosen.contains(other), "{other}");
    }
    let said = told.join("\n");
    assert!(said.contains("views audit.own: they need"), "{said}");
    assert!(said.contains("partitions, of audit.parted_b: "), "{said}");
    assert_eq!(told.len(), 3, "{said}");
}

#[test]
fn the_rows_of_a_partitioned_table_are_in_its_partitions() {
    let (chosen, told) = choice(&[], &["public.parted"]);
    for part in [
        "TABLE public parted",
        "TABLE public parted_a",
        "TABLE audit parted_b",
        "TABLE audit parted_b1",
        "TABLE ATTACH public parted_a",
        "TABLE ATTACH audit parted_b",
        "TABLE ATTACH audit parted_b1",
        "TABLE DATA public parted_a",
        "TABLE DATA audit parted_b1",
        "INDEX ATTACH audit parted_b1_pkey",
        "SCHEMA  audit",
    ] {
        assert!(chosen.contains(part), "{part} in {chosen:#?}");
    }
    for other in [
        "TABLE audit log",
        "FUNCTION audit trg()",
        "DEFAULT ACL audit DEFAULT PRIVILEGES FOR TABLES",
        "TABLE public fk_part",
    ] {
        assert!(!chosen.contains(other), "{other}");
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn what_is_needed_is_named_or_refused() {
    let message = refusal(&[], &["public.v", "public.invoices"]);
    assert!(
        message.contains("public.v needs table public.customers"),
        "{message}"
    );
    let message = refusal(&[], &["public.child"]);
    assert!(
        message.contains("public.child needs table public.parent"),
        "{message}"
    );
    // A view that is completed by a rule, since it groups by a key.
    let message = refusal(&[], &["public.grouped", "public.tags"]);
    assert!(
        message.contains("public.grouped needs table public.lines"),
        "{message}"
    );
    // The row of another table.
    let message = refusal(&[], &["public.usesrow"]);
    assert!(
        message.contains("needs table public.customers"),
        "{message}"
    );
    let tables = [
        "public.grouped",
        "public.tags",
        "public.lines",
        "public.v",
        "public.customers",
        "public.invoices",
    ];
    let (chosen, _) = choice(&[], &tables);
    for part in [
        "VIEW public grouped",
        "RULE public grouped _RETURN",
        "RULE public invoices r",
        "VIEW public v",
        "FK CONSTRAINT public invoices invoices_customer_fkey",
        "FK CONSTRAINT public lines lines_inv_fkey",
        "POLICY public invoices p2",
    ] {
        assert!(chosen.contains(part), "{part}");
    }
    assert!(!chosen.contains("FUNCTION public atomic()"));
}

#[test]
fn names_that_are_not_there_are_refused_by_name() {
    let message = refusal(
        &["audit", "Audit"],
        &["public.invoices", "public.Invoices", "sales.x\ny"],
    );
    assert!(
        message
            .contains(": schema Audit, table public.Invoices, table sales.x y; nothing was loaded"),
        "{message}"
    );
    // Rows, comments and the like are no proof.
    let message = refusal(&[], &["public.TABLE invoices", "public.inv_m"]);
    assert!(
        message.contains("public.TABLE invoices") && message.contains("public.inv_m"),
        "{message}"
    );
    let many: Vec<String> = (0..50).map(|number| format!("x.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(refusal(&[], &many).contains(" and 30 more"));
}

#[test]
fn all_schemas_are_everything_but_what_is_of_none() {
    let (chosen, told) = choice(&["public", "audit", "types"], &[]);
    for [_, kind, schema, name, _] in entries() {
        let is_of_none = matches!(
            kind,
            "DATABASE" | "BLOB" | "BLOBS" | "PUBLICATION" | "PUBLICATION TABLE"
        );
        let whole = format!("{kind} {schema} {name}");
        assert_eq!(chosen.contains(&whole), !is_of_none, "{whole}");
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn an_archive_without_an_order_is_refused() {
    let of = |numbers: &[(i64, i64)]| {
        let each = |look: &mut Look<'_>| -> Result<(), Failure> {
            for &(id, on) in numbers {
                let item = Item {
                    schema: b"s",
                    name: b"t",
                    kind: b"TABLE",
                    definition: b"",
                    copy: b"",
                    tablespace: b"",
                    owner: b"",
                };
                look(id, &item, &mut std::iter::once(on))?;
            }
            Ok(())
        };
        Choice::of(&only(&["s"], &[]), each).map_err(|failure| failure.message)
    };
    assert!(of(&[(1, 1), (1, 2)]).unwrap_err().contains("the number 1"));
    assert!(of(&[(1, -2)]).unwrap_err().contains("the number -2"));
    // In a circle, and what is not there.
    let choice = of(&[(1, 2), (2, 1), (3, 99)]).unwrap();
    assert!((0..3).all(|place| choice.has(place)));
}
