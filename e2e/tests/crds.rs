//! The custom resources as a real API server serves and judges them: each rule with an object that passes, one that is
//! refused, and the sentence it is refused with.
//!
//! Nothing is kept: objects are created with a dry run, or in a namespace that goes with the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

#[path = "crds/cases/mod.rs"]
mod cases;
#[path = "crds/cluster.rs"]
mod cluster;

use std::collections::BTreeSet;

use cases::{Case, creations, fixture, updates};
use cluster::{Scratch, refusal, said};
use db_operator::api::crds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

/// Every case, and then: is there a rule that no case was refused by?
#[tokio::test]
async fn each_rule_passes_what_is_right_and_refuses_what_is_not_with_its_sentence() {
    let scratch = Scratch::new("rules").await;
    let mut failures = Vec::new();
    let mut refused_by = BTreeSet::new();

    for case in creations() {
        for (good, object) in case.passing() {
            if let Err(error) = scratch.create(case.kind, &object).await {
                failures.push(format!(
                    "{} = {good} should pass: {}",
                    case.field,
                    said(&error)
                ));
            }
        }
        let answer = scratch.create(case.kind, &case.refused()).await;
        judge(&case, answer, &mut refused_by, &mut failures);
    }
    for case in updates() {
        let name = scratch
            .keep(case.kind, &case.before, case.had().as_ref())
            .await;
        for (good, change) in case.passing_changes() {
            if let Err(error) = scratch.change(case.kind, &name, &change).await {
                failures.push(format!(
                    "{} → {good} should pass: {}",
                    case.field,
                    said(&error)
                ));
            }
        }
        let answer = scratch
            .change_in(
                case.kind,
                &name,
                &case.refused_change(),
                case.had().as_ref(),
            )
            .await;
        judge(&case, answer, &mut refused_by, &mut failures);
        scratch.remove(case.kind, &name).await;
    }

    let untested: Vec<_> = rules().difference(&refused_by).cloned().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(untested.is_empty(), "no case is refused by: {untested:#?}");
}

/// Notes which rules refused the object of a case, and whether its own was among them.
fn judge(
    case: &Case,
    answer: Result<Value, kube::Error>,
    refused_by: &mut BTreeSet<Rule>,
    failures: &mut Vec<String>,
) {
    let Err(error) = answer else {
        failures.push(format!("{}: {} was accepted", case.field, case.bad));
        return;
    };
    let causes = refusal(case.kind, &error);
    let expected =
        |rule: &Rule| rule.field == case.rule_field() && rule.message.contains(case.sentence);
    if causes.iter().any(expected) {
        refused_by.extend(causes);
    } else {
        failures.push(format!(
            "{} = {} should be refused with “{}”, not: {}",
            case.field,
            case.bad,
            case.sentence,
            said(&error)
        ));
    }
}

/// One rule (or limit) of the definitions: where it is, and what it says.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rule {
    kind: String,
    /// Path from the root of the object; empty for a rule at the root.
    field: String,
    message: String,
}

/// All CEL rules of all definitions.
fn rules() -> BTreeSet<Rule> {
    fn walk(kind: &str, field: &str, schema: &JSONSchemaProps, found: &mut BTreeSet<Rule>) {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            found.insert(Rule {
                kind: kind.to_owned(),
                field: field.to_owned(),
                message: rule.message.clone().unwrap(),
            });
        }
        for (name, property) in schema.properties.iter().flatten() {
            let path = format!("{field}.{name}");
            walk(kind, path.trim_start_matches('.'), property, found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            walk(kind, &format!("{field}[]"), items, found);
        }
    }
    let mut found = BTreeSet::new();
    for definition in crds::all() {
        let schema = definition.spec.versions[0].schema.clone().unwrap();
        let kind = &definition.spec.names.kind;
        walk(kind, "", &schema.open_api_v3_schema.unwrap(), &mut found);
    }
    found
}

/// The fixtures that every case starts from are accepted as they are, and keep what they say.
#[tokio::test]
async fn full_objects_are_accepted_and_keep_every_field() {
    let scratch = Scratch::new("fixtures").await;
    for kind in ["DatabaseInstance", "Database", "Backup", "Restore"] {
        let object = fixture(kind);
        let accepted = scratch.create(kind, &object).await.unwrap();
        assert_eq!(
            accepted["spec"], object["spec"],
            "{kind}: a field was pruned or changed"
        );
    }
}

/// What a person need not write is filled in, where it depends on nothing else.
#[tokio::test]
async fn defaults_are_filled_in() {
    let scratch = Scratch::new("defaults").await;
    let accepted = |kind: &'static str, spec: Value| {
        let scratch = &scratch;
        async move {
            let object =
                serde_json::json!({"metadata": {"name": "e2e-crds-defaults"}, "spec": spec});
            scratch.create(kind, &object).await.unwrap()
        }
    };
    let database = accepted(
        "Database",
        serde_json::json!({"instanceRef": {"name": "postgres"}}),
    )
    .await;
    assert_eq!(database["spec"]["deletionPolicy"], "Retain");
    assert_eq!(database["spec"]["adoptionPolicy"], "Never");
    assert_eq!(database["spec"]["suspend"], false);
    assert_eq!(database["spec"].get("name"), None);

    let backup = accepted(
        "Backup",
        serde_json::json!({"databaseRef": {"name": "orders"}}),
    )
    .await;
    assert_eq!(backup["spec"]["deadlineSeconds"], 21_600);
    assert_eq!(backup["spec"]["stallSeconds"], 600);

    let restore = accepted(
        "Restore",
        serde_json::json!({"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}}),
    )
    .await;
    let spec = &restore["spec"];
    assert_eq!((&spec["mode"], &spec["jobs"]), (&"Empty".into(), &2.into()));
    assert_eq!(spec["check"]["level"], "Rows");
    assert_eq!(spec["maxDowntimeSeconds"], 15);
    assert_eq!(spec.get("keepReplaced"), None);

    let instance = accepted(
        "DatabaseInstance",
        serde_json::json!({
            "provider": "mysql", "host": "mysql.databases.svc", "adminSecretRef": {"name": "mysql-admin"},
            "allowedNamespaces": {"all": true},
            "backup": {"s3": {"bucket": "backups", "region": "eu-west-1"}},
        }),
    )
    .await;
    assert_eq!(instance["spec"]["tls"]["mode"], "verify-full");
    assert_eq!(instance["spec"]["maxConnections"], 4);
    assert_eq!(instance["spec"]["suspend"], false);
    let s3 = &instance["spec"]["backup"]["s3"];
    assert_eq!(
        (&s3["maxParts"], &s3["conditionalWrites"]),
        (&10_000.into(), &true.into())
    );
}

/// The definitions in the cluster are those in `crds/` (which a unit test holds equal to the types).
#[tokio::test]
async fn the_served_definitions_are_the_generated_ones() {
    let client = Client::try_default().await.unwrap();
    let served_api: Api<CustomResourceDefinition> = Api::all(client);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for definition in crds::all() {
        let name = definition.name_any();
        let served = served_api.get(&name).await.unwrap();
        // The API server fills its own defaults into both.
        let mut wanted = served.clone();
        wanted.spec = definition.spec;
        let filled = served_api.replace(&name, &dry_run, &wanted).await.unwrap();
        let lines = |spec| serde_yaml_ng::to_string(spec).unwrap();
        let (served, generated) = (lines(&served.spec), lines(&filled.spec));
        let differs = served.lines().zip(generated.lines()).find(|(a, b)| a != b);
        assert!(
            served == generated,
            "{name} is not the one in crds/: apply that again. First difference (served, generated): {differs:?}"
        );
    }
}

#[tokio::test]
async fn kubectl_finds_them_by_category_and_short_name_and_explains_them() {
    let scratch = Scratch::new("discovery").await;
    let list = scratch.get("/apis/db-operator.dev/v1alpha1").await;
    let resources = list["resources"].as_array().unwrap();
    for (plural, short, namespaced) in [
        ("databaseinstances", "dbi", false),
        ("databases", "db", true),
        ("backups", "dbb", true),
    ] {
        let resource = resources.iter().find(|r| r["name"] == plural).unwrap();
        assert_eq!(resource["shortNames"], serde_json::json!([short]));
        assert_eq!(resource["categories"], serde_json::json!(["db-operator"]));
        assert_eq!(resource["namespaced"], namespaced);
        assert!(
            resources
                .iter()
                .any(|r| r["name"] == format!("{plural}/status"))
        );
    }
    let explained = scratch
        .get("/openapi/v3/apis/db-operator.dev/v1alpha1")
        .await;
    let schemas = explained["components"]["schemas"].as_object().unwrap();
    let (_, database) = schemas
        .iter()
        .find(|(name, _)| name.ends_with(".v1alpha1.Database"))
        .unwrap();
    let policy = &database["properties"]["spec"]["properties"]["deletionPolicy"];
    assert!(
        policy["description"]
            .as_str()
            .unwrap()
            .contains("`BackupBeforeDelete` drops both after")
    );
}

#[tokio::test]
async fn kubectl_get_shows_the_columns_that_a_person_reads() {
    let scratch = Scratch::new("columns").await;
    let expected = [
        (
            "databaseinstances",
            vec![
                "Name",
                "Provider",
                "Host",
                "Version",
                "Ready",
                "Databases",
                "Age",
            ],
        ),
        (
            "databases",
            vec!["Name", "State", "Ready", "Instance", "Age"],
        ),
        (
            "backups",
            vec![
                "Name",
                "Database",
                "State",
                "Destination",
                "Progress",
                "Size",
                "Age",
            ],
        ),
    ];
    for (plural, columns) in expected {
        let table = scratch
            .table(&format!("/apis/db-operator.dev/v1alpha1/{plural}"))
            .await;
        let shown: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|column| column["priority"] == 0)
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(shown, columns, "{plural}");
    }
}

/// A status is written on its own, and a condition of one writer does not disturb another's.
#[tokio::test]
async fn a_status_is_a_subresource_and_conditions_merge_by_type() {
    let scratch = Scratch::new("status").await;
    let name = scratch.keep("Database", &fixture("Database"), None).await;
    let condition = |type_: &str| {
        serde_json::json!({"status": {"conditions": [{
            "type": type_, "status": "True", "reason": "Test", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}})
    };
    scratch
        .apply_status("Database", &name, "first", &condition("Tested"))
        .await
        .unwrap();
    let both = scratch
        .apply_status("Database", &name, "second", &condition("Audited"))
        .await
        .unwrap();
    // The operator may have said something of its own meanwhile, so these are types that it does not write.
    let conditions = both["status"]["conditions"].as_array().unwrap();
    for type_ in ["Tested", "Audited"] {
        let of_type = conditions.iter().filter(|c| c["type"] == type_).count();
        assert_eq!(of_type, 1, "{type_} in {conditions:?}");
    }
    assert_eq!(both["metadata"]["generation"], 1);

    let wrong = serde_json::json!({"status": {"deletion": "Dream"}});
    let error = scratch
        .apply_status("Database", &name, "first", &wrong)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("supported values"), "{error}");
    scratch.remove("Database", &name).await;
}
