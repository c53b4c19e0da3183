//! The custom resource definitions, as `db-operator crds` prints them and `crds/` holds them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::Value;

use super::{Backup, Database, DatabaseInstance, Restore};

/// All definitions, in the order in which the documentation explains them.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        DatabaseInstance::crd(),
        Database::crd(),
        Backup::crd(),
        Restore::crd(),
    ];
    for definition in &mut all {
        for version in &mut definition.spec.versions {
            let schema = version.schema.as_mut();
            if let Some(root) = schema.and_then(|s| s.open_api_v3_schema.as_mut()) {
                each_schema(root, &mut forbid_null);
                each_schema(root, &mut unwrap_paragraphs);
            }
        }
    }
    all
}

/// All definitions as one stream of YAML documents.
pub fn yaml() -> Result<String, serde_yaml_ng::Error> {
    let mut documents = String::new();
    for definition in all() {
        documents.push_str("---\n");
        documents.push_str(&serde_yaml_ng::to_string(&definition)?);
    }
    Ok(documents)
}

/// Calls `change` with a schema and everything in it.
fn each_schema(schema: &mut JSONSchemaProps, change: &mut impl FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for property in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        each_schema(property, change);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => each_schema(items, change),
        Some(JSONSchemaPropsOrArray::Schemas(each)) => {
            for schema in each {
                each_schema(schema, change);
            }
        }
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        each_schema(values, change);
    }
}

/// An optional field is either there or not: `null` would count as there in a CEL rule and be no value of its type.
/// Without `nullable` the API server drops it.
fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| value.0 != Value::Null);
    }
}

/// Makes each paragraph of the documentation one line: `kubectl explain` wraps them to the reader's terminal, and would
/// keep the line breaks of the source.
fn unwrap_paragraphs(schema: &mut JSONSchemaProps) {
    if let Some(text) = &mut schema.description {
        let paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        *text = paragraphs.join("\n\n");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::held_equal;

    #[test]
    fn the_committed_files_are_what_the_types_say() {
        for definition in all() {
            let name = definition.metadata.name.clone().unwrap();
            let text = format!(
                "# Generated from src/api: change it there.\n{}",
                serde_yaml_ng::to_string(&definition).unwrap()
            );
            held_equal(&format!("crds/{name}.yaml"), &text);
        }
    }

    /// Calls `look` with each field's path and schema.
    fn walk(path: &str, schema: &JSONSchemaProps, look: &mut impl FnMut(&str, &JSONSchemaProps)) {
        for (name, property) in schema.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            look(&path, property);
            walk(&path, property, look);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            walk(&format!("{path}[]"), items, look);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            look(&format!("{path}{{}}"), values);
        }
    }

    fn fields() -> Vec<(String, JSONSchemaProps)> {
        let mut fields = Vec::new();
        for definition in all() {
            let kind = definition.spec.names.kind.clone();
            let schema = definition.spec.versions[0].schema.clone().unwrap();
            walk(
                &kind,
                &schema.open_api_v3_schema.unwrap(),
                &mut |path, s| {
                    fields.push((path.to_owned(), s.clone()));
                },
            );
        }
        assert!(fields.len() > 120, "{}", fields.len());
        fields
    }

    #[test]
    fn every_field_is_explained() {
        for (path, schema) in fields() {
            if path.ends_with("{}") {
                continue;
            }
            let text = schema.description.unwrap_or_default();
            assert!(text.len() > 10, "{path} has no description");
            assert!(text.ends_with('.') || text.ends_with('`'), "{path}: {text}");
            for paragraph in text.split("\n\n") {
                assert!(!paragraph.contains('\n'), "{path}: {text}");
            }
            assert!(
                !text.contains("[`"),
                "{path} shows a link of rustdoc: {text}"
            );
        }
    }

    #[test]
    fn no_field_may_be_null_and_none_is_unsigned() {
        for (path, schema) in fields() {
            assert_eq!(schema.nullable, None, "{path}");
            assert!(
                !schema.format.unwrap_or_default().starts_with("uint"),
                "{path}"
            );
            for value in schema.enum_.unwrap_or_default() {
                assert_ne!(value.0, Value::Null, "{path}");
            }
        }
    }

    #[test]
    fn every_rule_says_what_to_write() {
        let mut messages = BTreeSet::new();
        for definition in all() {
            let schema = definition.spec.versions[0].schema.clone().unwrap();
            let root = schema.open_api_v3_schema.unwrap();
            let mut look = |path: &str, schema: &JSONSchemaProps| {
                for rule in schema.x_kubernetes_validations.iter().flatten() {
                    let message = rule.message.clone().unwrap_or_default();
                    assert!(message.len() > 30, "{path}: {}", rule.rule);
                    messages.insert(message);
                }
            };
            look("root", &root);
            walk("", &root, &mut look);
        }
        assert!(messages.len() >= 40, "{}", messages.len());
    }

    /// The API server compiles no rule that calls what it iterates over by one of these
    /// (<https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax>).
    #[test]
    fn no_rule_names_a_variable_by_a_reserved_word() {
        const RESERVED: &str = "as break const continue else false for function if import in let loop namespace null \
                                package return true var void while";
        let mut look = |path: &str, schema: &JSONSchemaProps| {
            for rule in schema.x_kubernetes_validations.iter().flatten() {
                for macro_ in ["all(", "exists(", "exists_one(", "filter(", "map("] {
                    for variable in rule.rule.split(macro_).skip(1) {
                        let variable = variable.split(',').next().unwrap_or_default().trim();
                        let reserved = RESERVED.split(' ').any(|word| word == variable);
                        assert!(!reserved, "{path}: {}", rule.rule);
                    }
                }
            }
        };
        for definition in all() {
            let schema = definition.spec.versions[0].schema.clone().unwrap();
            walk("", &schema.open_api_v3_schema.unwrap(), &mut look);
        }
    }

    #[test]
    fn conditions_are_merged_by_type() {
        for (path, schema) in fields() {
            if path.ends_with(".status.conditions") {
                assert_eq!(
                    schema.x_kubernetes_list_type.as_deref(),
                    Some("map"),
                    "{path}"
                );
                assert_eq!(
                    schema.x_kubernetes_list_map_keys,
                    Some(vec!["type".to_owned()])
                );
            }
        }
    }
}
