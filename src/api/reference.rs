//! `doc/reference/api.md`: the fields of all kinds for people, made from the definitions that the API server gets.
//!
//! `UPDATE=1 cargo test --lib reference` writes it.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use super::{GROUP, VERSION, crds};
use crate::testing::held_equal;

const BEGINNING: &str = "# API reference

The fields of each kind, as `kubectl explain` shows them. Generated from `src/api`: change it there.
";

fn page() -> String {
    let mut page = BEGINNING.to_owned();
    for definition in crds::all() {
        describe(&mut page, &definition);
    }
    page
}

fn describe(page: &mut String, definition: &CustomResourceDefinition) {
    let names = &definition.spec.names;
    let schema = definition.spec.versions[0].schema.clone().unwrap();
    let root = schema.open_api_v3_schema.unwrap();
    let short = names.short_names.as_deref().unwrap_or_default().join(", ");
    let scope = &definition.spec.scope;
    let _ = writeln!(
        page,
        "\n## {}\n\n`apiVersion: {GROUP}/{VERSION}`, plural `{}`, short `{short}`, scope {scope}.\n\n{}",
        names.kind,
        names.plural,
        root.description.as_deref().unwrap_or_default()
    );
    for part in ["spec", "status"] {
        let Some(part_schema) = root.properties.as_ref().and_then(|p| p.get(part)) else {
            continue;
        };
        let _ = writeln!(page, "\n| field | type | meaning |\n|---|---|---|");
        fields(page, part, part_schema);
        rules(page, part, part_schema);
    }
    let mut rest = root;
    rest.properties = None;
    rules(page, "the object", &rest);
}

/// A row for each field, depth first.
fn fields(page: &mut String, path: &str, schema: &JSONSchemaProps) {
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, property) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let must = if required.contains(name) {
            ", required"
        } else {
            ""
        };
        let default = property.default.as_ref();
        let default = default.map_or_else(String::new, |value| format!(", default `{}`", value.0));
        let meaning = property.description.as_deref().unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{path}` | {}{must}{default} | {} |",
            kind(property),
            cell(meaning)
        );
        fields(page, &path, property);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &property.items {
            fields(page, &format!("{path}[]"), items);
        }
    }
}

/// What a value is: its type, or the words that it may be.
fn kind(schema: &JSONSchemaProps) -> String {
    if let Some(words) = &schema.enum_ {
        let words = words.iter().map(|word| format!("`{}`", word.0));
        return words.collect::<Vec<_>>().join(" or ").replace('"', "");
    }
    let type_ = schema.type_.as_deref().unwrap_or("any");
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        return format!("list of {}", kind(items));
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        return format!("map to {}", kind(values));
    }
    type_.to_owned()
}

/// What the API server refuses, in its own words.
fn rules(page: &mut String, path: &str, schema: &JSONSchemaProps) {
    let mut found = Vec::new();
    gather(path, schema, &mut found);
    if found.is_empty() {
        return;
    }
    let _ = writeln!(page, "\nRefused in {path}, with these words:\n");
    for (path, message) in found {
        let _ = writeln!(page, "- `{path}`: {message}");
    }
}

fn gather(path: &str, schema: &JSONSchemaProps, found: &mut Vec<(String, String)>) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        found.push((path.to_owned(), rule.message.clone().unwrap_or_default()));
    }
    for (name, property) in schema.properties.iter().flatten() {
        gather(&format!("{path}.{name}"), property, found);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        gather(&format!("{path}[]"), items, found);
    }
}

/// One line without what ends a cell.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

#[test]
fn the_committed_page_is_what_the_definitions_say() {
    let page = page();
    for field in [
        "| `spec.backup.s3.maxParts` | integer, default `10000` |",
        "| `spec.databaseRef.name` | string, required |",
        "| `status.conditions[].reason` |",
    ] {
        assert!(page.contains(field), "{field}");
    }
    held_equal("doc/reference/api.md", &page);
}
