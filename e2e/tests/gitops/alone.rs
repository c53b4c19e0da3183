//! What needs the operator to itself: all of it in one go, from nothing; and objects whose operator is not there.

use std::time::Duration;

use db_operator::api::{Database, DatabaseInstance, RELEASE};
use e2e::cache::Cache;
use e2e::cluster::Cluster;
use e2e::operator::{self, DEPLOYMENT};
use e2e::servers::{self, OPERATOR_NAMESPACE};
use e2e::testing::{Fixture, SOON, Server, catch, eventually, is_ready};
use e2e::{clone_root, command};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::place::{FOREGROUND, SYNCED, database, in_place};

/// What the definitions are named after.
const GROUP: &str = ".db-operator.dev";
/// How long a deletion may take.
const GONE: Duration = Duration::from_mins(2);

fn definitions(fixture: &Fixture) -> Api<CustomResourceDefinition> {
    Api::all(fixture.client.clone())
}

/// The uids of our definitions: an object of the same name may be another one.
async fn served(fixture: &Fixture) -> Vec<String> {
    let all = definitions(fixture)
        .list(&ListParams::default())
        .await
        .unwrap();
    let ours = all.iter().filter(|it| it.name_any().ends_with(GROUP));
    ours.map(Fixture::uid).collect()
}

/// When something was made.
fn made(object: &impl Resource) -> i64 {
    let made = object.meta().creation_timestamp.as_ref();
    made.map(|time| time.0.as_second()).unwrap_or_default()
}

/// Takes the operator and its definitions away; the namespace stays, with the Secrets that are in no Git repository.
async fn without_operator(fixture: &Fixture) {
    // Other people's databases stay on their servers.
    let databases: Api<Database> = Api::all(fixture.client.clone());
    for database in databases.list(&ListParams::default()).await.unwrap() {
        let own: Api<Database> =
            Api::namespaced(fixture.client.clone(), &database.namespace().unwrap());
        let (name, params) = (database.name_any(), PatchParams::default());
        let release = json!({"metadata": {"annotations": {RELEASE: database.sql_name()}}});
        own.patch(&name, &params, &Patch::Merge(release))
            .await
            .unwrap();
        own.delete(&name, &DeleteParams::default()).await.unwrap();
    }
    let instances: Api<DatabaseInstance> = Api::all(fixture.client.clone());
    let (all, background) = (ListParams::default(), DeleteParams::background());
    instances
        .delete_collection(&background, &all)
        .await
        .unwrap();
    eventually("no object is left", GONE, async || {
        let databases = databases.list(&all).await.unwrap().items.len();
        let instances = instances.list(&all).await.unwrap().items.len();
        if databases + instances == 0 {
            return Ok(());
        }
        Err(format!("{databases} databases, {instances} instances"))
    })
    .await;
    tokio::task::spawn_blocking(|| {
        let overlay = clone_root().join("kustomize/overlays/development");
        let mut render = Cluster::main().kubectl();
        let rendered = command::output(render.arg("kustomize").arg(overlay)).unwrap();
        let rest: Vec<_> = rendered
            .split("\n---\n")
            .filter(|object| !object.contains("\nkind: Namespace\n"))
            .collect();
        let mut delete = Cluster::main().kubectl();
        delete.args(["delete", "--ignore-not-found", "--timeout=90s", "-f", "-"]);
        command::output_with_input(&mut delete, &rest.join("\n---\n")).unwrap();
    })
    .await
    .unwrap();
    assert!(served(fixture).await.is_empty());
}

/// Brings the operator and the servers' instances back.
async fn with_operator() {
    tokio::task::spawn_blocking(|| {
        let (cluster, cache) = (Cluster::main(), Cache::open().unwrap());
        operator::load(&cluster, &cache).unwrap();
        servers::apply_instances(&cluster).unwrap();
    })
    .await
    .unwrap();
}

/// The definitions, the operator, an instance and a database in one Application: each wave waits until the one before is healthy.
#[tokio::test]
async fn definitions_operator_instances_and_databases_come_in_one_go_and_go_in_turn() {
    in_place(Server::Postgres, async |place| {
        let fixture = place.fixture;
        let (instance, name) = (fixture.name("i"), fixture.name("orders"));
        let shared = fixture.instances().get(fixture.server.instance()).await.unwrap();
        let wave = |number: &str| json!({"argocd.argoproj.io/sync-wave": number});
        let object = json!({"apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance",
            "metadata": {"name": instance, "annotations": wave("1")}, "spec": shared.spec});
        let text = serde_yaml_ng::to_string(&object).unwrap();
        place.repository.write("all/instance.yaml", &text);
        let limited = |limit| {
            let object = json!({"apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
                "metadata": {"name": name, "namespace": fixture.namespace, "annotations": wave("2")},
                "spec": {"instanceRef": {"name": instance}, "deletionPolicy": "Delete",
                    "connectionLimit": limit}});
            let text = serde_yaml_ng::to_string(&object).unwrap();
            place.repository.write("all/database.yaml", &text);
        };
        limited(5);
        for part in ["crds", "kustomize"] {
            place.repository.copy(&clone_root().join(part));
        }
        let page = std::fs::read_to_string(clone_root().join("doc/how-to/gitops.md")).unwrap();
        let mut blocks = page
            .split("```yaml\n")
            .skip(1)
            .map(|rest| rest.split("```").next());
        let documented = blocks.find(|block| block.unwrap().contains("sync-wave"));
        let documented = documented.unwrap().unwrap();
        let here = documented.replace("overlays/production", "overlays/development");
        place.repository.write("all/kustomization.yaml", &here);
        place.repository.push("all of it");

        let result = catch(async {
            without_operator(fixture).await;
            let app = place
                .application("all", &fixture.namespace, FOREGROUND, &[])
                .await;
            place.healthy(&app).await;
            let synced = place.applications().get(&app).await.unwrap().now();
            assert_eq!(synced.operation_state.unwrap().retry_count, 0);
            assert!(is_ready(&fixture.databases().get(&name).await.unwrap()));
            let deployments: Api<Deployment> =
                Api::namespaced(fixture.client.clone(), OPERATOR_NAMESPACE);
            let definition = "databases.db-operator.dev";
            let order = [
                made(&definitions(fixture).get(definition).await.unwrap()),
                made(&deployments.get(DEPLOYMENT).await.unwrap()),
                made(&fixture.instances().get(&instance).await.unwrap()),
                made(&fixture.databases().get(&name).await.unwrap()),
            ];
            assert!(order.is_sorted(), "{order:?}");

            // With a definition goes every object of its kind: what leaves Git by mistake stays.
            let before = served(fixture).await;
            assert_eq!(before.len(), 3);
            let without = "  - target: {kind: CustomResourceDefinition}\n    patch: |\n      \
                $patch: delete\n      apiVersion: apiextensions.k8s.io/v1\n      \
                kind: CustomResourceDefinition\n      metadata: {name: any}\n";
            let text = format!("{here}{without}");
            place.repository.write("all/kustomization.yaml", &text);
            // Something for a sync to do, which prunes as it goes.
            limited(7);
            let commit = place.repository.push("without the definitions");
            place.refresh(&app).await;
            place
                .until(&app, "synced without them", SYNCED, |status| {
                    let ended = status.operation_state.as_ref();
                    ended.is_some_and(|it| {
                        it.phase == "Succeeded" && it.sync_result.revision == commit
                    })
                })
                .await;
            assert_eq!(served(fixture).await, before);
            assert_eq!(fixture.usable(&name).await.spec.connection_limit, Some(7));

            place.delete(&app).await;
            place.gone(&app, GONE).await;
            // The operator went last, so that it could do what the databases were deleted for.
            let left = fixture.server.names(&fixture.client, &fixture.prefix).await;
            assert!(left.is_empty(), "{left:?}");
            assert!(deployments.get_opt(DEPLOYMENT).await.unwrap().is_none());
            assert_eq!(served(fixture).await, before);
            let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
            let home = namespaces.get(OPERATOR_NAMESPACE).await.unwrap();
            assert!(home.metadata.deletion_timestamp.is_none());
        })
        .await;
        place.leave(result.is_err()).await;
        with_operator().await;
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}

/// Has the operator run with as many replicas, and waits until it does.
async fn scaled(fixture: &Fixture, replicas: usize) {
    let deployments: Api<Deployment> = Api::namespaced(fixture.client.clone(), OPERATOR_NAMESPACE);
    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let params = PatchParams::default();
    deployments
        .patch(DEPLOYMENT, &params, &scale)
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), OPERATOR_NAMESPACE);
    let own = ListParams::default().labels("app.kubernetes.io/name=db-operator");
    eventually("the operator is scaled", GONE, async || {
        let found = pods.list(&own).await.unwrap().items.len();
        let status = deployments.get(DEPLOYMENT).await.unwrap().status;
        let ready = status.and_then(|it| it.ready_replicas).unwrap_or_default();
        if found == replicas && usize::try_from(ready) == Ok(replicas) {
            return Ok(());
        }
        Err(format!("{found} pods, {ready} ready"))
    })
    .await;
}

/// An Application whose operator was removed first: what is new and what is deleted waits, and goes on when it is back.
#[tokio::test]
async fn without_an_operator_objects_wait_and_finish_when_it_is_back() {
    in_place(Server::Mariadb, async |place| {
        let fixture = place.fixture;
        let (old, new) = (fixture.name("old"), fixture.name("new"));
        let instance = json!({"name": fixture.server.instance()});
        let spec = json!({"instanceRef": instance, "deletionPolicy": "Delete"});
        place
            .repository
            .write("leaves/old.yaml", &database(&old, &spec));
        place.repository.push("an old one");
        let leaves = place
            .application("leaves", &fixture.namespace, FOREGROUND, &[])
            .await;
        place.healthy(&leaves).await;

        let result = catch(async {
            scaled(fixture, 0).await;
            place.delete(&leaves).await;
            place
                .repository
                .write("comes/new.yaml", &database(&new, &spec));
            place.repository.push("a new one");
            let comes = place
                .application("comes", &fixture.namespace, "", &[])
                .await;
            place
                .until(&comes, "waiting", SYNCED, |status| {
                    let health = status.health_of("Database", &new);
                    status.sync.status == "Synced"
                        && (health.status, health.message)
                            == ("Progressing".into(), "Waiting for db-operator".into())
                })
                .await;
            fixture
                .until(&old, "marked as deleted", SOON, |database| {
                    database.metadata.deletion_timestamp.is_some()
                })
                .await;
            place.refresh(&leaves).await;
            let left = fixture.server.names(&fixture.client, &old).await;
            assert_eq!(left.len(), 3, "{left:?}");
            assert!(fixture.databases().get_opt(&old).await.unwrap().is_some());

            scaled(fixture, 2).await;
            place.gone(&leaves, GONE).await;
            let left = fixture.server.names(&fixture.client, &old).await;
            assert!(left.is_empty(), "{left:?}");
            place.healthy(&comes).await;
        })
        .await;
        scaled(fixture, 2).await;
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}
