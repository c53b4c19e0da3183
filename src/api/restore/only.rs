//! Which part of a backup is brought back: `spec.only` of a `Restore`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The schema and the name of a table.
type Names = (String, String);

/// Some schemas and tables of a backup, with what belongs to them and what that needs.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("has(self.schemas) && size(self.schemas) > 0 || has(self.tables) && size(self.tables) > 0")
    .message("only names nothing: write schemas, for example [audit], or tables, for example [public.invoices], or remove it"))]
pub struct RestoreOnly {
    /// All that is in these schemas, for example `[audit]`. Names are as the database has them, in upper and lower case. At
    /// most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub schemas: Vec<String>,

    /// Tables with their schemas, for example `[public.invoices]`; views, materialized views and sequences as well. Names
    /// are as the database has them, in upper and lower case; one with a dot or a quote in it is written as in SQL:
    /// `public."odd.name"`. At most 300. One that needs a table that is not named is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 300), inner(length(min = 3, max = 260)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r#"self.all(name, name.matches('^("([^"]|"")+"|[^".]+)[.]("([^"]|"")+"|[^".]+)$'))"#)
        .message("tables are named with their schemas, for example public.invoices; a name with a dot or a quote in it is written as in SQL: public.\"odd.name\""))]
    pub tables: Vec<String>,
}

impl RestoreOnly {
    /// The schema and the name of each table; `None` for what is not written as it should be.
    pub fn table_names(&self) -> impl Iterator<Item = Option<Names>> {
        self.tables.iter().map(|text| {
            let (schema, rest) = name(text)?;
            let (name, rest) = name(rest.strip_prefix('.')?)?;
            rest.is_empty().then_some((schema, name))
        })
    }
}

/// A name at the beginning of a text, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let read = |text: &str| {
            let only = RestoreOnly {
                tables: vec![text.to_owned()],
                ..RestoreOnly::default()
            };
            only.table_names().next().unwrap()
        };
        for (text, schema, name) in [
            ("public.invoices", "public", "invoices"),
            ("Public.In Voices é", "Public", "In Voices é"),
            ("public.\"odd.name\"", "public", "odd.name"),
            ("\"a.b\".\"c\"\"d\"", "a.b", "c\"d"),
            ("\"\"\"\".x", "\"", "x"),
        ] {
            let expected = Some((schema.to_owned(), name.to_owned()));
            assert_eq!(read(text), expected, "{text}");
        }
        for odd in [
            "",
            "invoices",
            ".invoices",
            "public.",
            "a.b.c",
            "\"a.b",
            "\"\".a",
            "a.\"b",
            "a\"b.c",
            "a.\"b\"c",
            "a.b\"",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
