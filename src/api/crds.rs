//! The custom resource definitions, as `db-operator crds` prints them and `crds/` holds them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::Value;

use super::{Backup, Database, DatabaseInstance};

/// All definitions, in the order in which the documentation explains them.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut all = vec![DatabaseInstance::crd(), Database::crd(), Backup::crd()];
    for definition in &mut all {
        for version in &mut definition.spec.versions {
            let schema = version.schema.as_mut();
            if let Some(root) = schema.and_then(|s| s.open_api_v3_schema.as_mut()) {
                forbid_null(root);
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

/// An optional field is either there or not: `null` would count as there in a CEL rule and be no value of its type.
/// Without `nullable` the API server drops it.
fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| value.0 != Value::Null);
    }
    for property in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        forbid_null(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => forbid_null(items),
        Some(JSONSchemaPropsOrArray::Schemas(each)) => each.iter_mut().for_each(forbid_null),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        forbid_null(values);
    }
}
