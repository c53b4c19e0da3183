//! The samples as they are synced: an Application for each environment, and one for what its platform team has there.

use std::path::Path;
use std::time::Duration;

use db_operator::api::{Backup, DATABASE_NAMESPACE_LABEL, Database, DatabaseInstance};
use e2e::clone_root;
use e2e::servers::OPERATOR_NAMESPACE;
use e2e::testing::{Fixture, History, Server, eventually, unchanged};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::application::Application;
use crate::place::{FOREGROUND, Place, in_place};

/// Those whose instances are their own, with their namespaces.
const OWN: [(&str, &str); 2] = [
    ("development", "team-a-development"),
    ("staging", "team-a-staging"),
];
/// How long nothing may happen.
const REST: Duration = Duration::from_mins(5);
/// How often Argo CD looks by itself in this time, at the least.
const LOOKS: usize = 5;
/// How long a deletion may take, with a final backup in it.
const GONE: Duration = Duration::from_mins(4);

/// Takes away what somebody left in an environment, so that nothing of it stays on a server.
async fn clear(fixture: &Fixture, environment: &str, namespace: &str) {
    let databases: Api<Database> = Api::namespaced(fixture.client.clone(), namespace);
    let drop = Patch::Merge(json!({"spec": {"deletionPolicy": "Delete"}}));
    for database in databases.list(&ListParams::default()).await.unwrap() {
        let name = database.name_any();
        // It may be gone by now.
        let _ = databases.patch(&name, &PatchParams::default(), &drop).await;
        let _ = databases.delete(&name, &DeleteParams::default()).await;
    }
    let instances: Api<DatabaseInstance> = Api::all(fixture.client.clone());
    for server in ["postgres", "mariadb", "mysql"] {
        let name = format!("{environment}-{server}");
        let _ = instances.delete(&name, &DeleteParams::default()).await;
    }
    let backups: Api<Backup> = Api::namespaced(fixture.client.clone(), OPERATOR_NAMESPACE);
    let (background, of) = (
        DeleteParams::background(),
        format!("{DATABASE_NAMESPACE_LABEL}={namespace}"),
    );
    let finals = ListParams::default().labels(&of);
    backups
        .delete_collection(&background, &finals)
        .await
        .unwrap();
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    let _ = namespaces.delete(namespace, &DeleteParams::default()).await;
    eventually(&format!("{namespace} is gone"), GONE, async || {
        let left = namespaces.get_opt(namespace).await.unwrap();
        left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
    })
    .await;
}

/// Production's instances are the demo's, and so would be its databases: it gets a namespace and SQL names of the test's own.
fn production(place: &Place<'_>) {
    let fixture = place.fixture;
    let patch = ["orders", "invoices", "wiki"].map(|name| {
        let sql = fixture.name(name);
        let user = if name == "wiki" {
            format!("\n      - {{op: replace, path: /spec/user, value: {sql}}}")
        } else {
            String::new()
        };
        format!(
            "  - target: {{kind: Database, name: {name}}}\n    patch: |\n      \
             - {{op: add, path: /spec/name, value: {sql}}}{user}\n"
        )
    });
    let text = format!(
        "namespace: {}\nresources: [../samples/overlays/production]\npatches:\n{}",
        fixture.namespace,
        patch.concat()
    );
    place
        .repository
        .write("production/kustomization.yaml", &text);
}

/// Applications of all environments, healthy.
async fn synced(place: &Place<'_>) -> Vec<String> {
    place
        .repository
        .copy(&clone_root().join("kustomize/samples"));
    production(place);
    place.repository.push("three environments");
    let mut applications = Vec::new();
    for (environment, namespace) in OWN {
        let path = Path::new("samples").join("platform").join(environment);
        let app = place
            .application(path.to_str().unwrap(), namespace, FOREGROUND, &[])
            .await;
        place.healthy(&app).await;
        applications.push(app);
    }
    for (environment, namespace) in OWN {
        let path = format!("samples/overlays/{environment}");
        applications.push(place.application(&path, namespace, FOREGROUND, &[]).await);
    }
    let namespace = &place.fixture.namespace;
    applications.push(
        place
            .application("production", namespace, FOREGROUND, &[])
            .await,
    );
    for app in &applications {
        place.healthy(app).await;
    }
    applications
}

/// Nothing but the time of the last look differs between any two versions of an Application.
async fn rests(place: &Place<'_>, applications: &[String]) {
    let api = place.applications();
    let mut histories = Vec::new();
    for app in applications {
        histories.push((app, History::<Application>::of(&api, app).await));
    }
    unchanged("the Applications", REST, async || {
        let mut words = Vec::new();
        for app in applications {
            words.push(api.get(app).await.unwrap().words());
        }
        words
    })
    .await;
    for (app, history) in histories {
        let seen = history
            .steps(|app| {
                let objects = app.now().resources.into_iter();
                let objects = objects.map(|it| (it.kind, it.name, it.status, it.health.status));
                (app.words(), objects.collect::<Vec<_>>())
            })
            .await;
        assert_eq!(seen.len(), 1, "{app}: {seen:?}");
        let looks = history.steps(|app| app.now().reconciled_at).await.len();
        assert!(looks >= LOOKS, "Argo CD looked at {app} {looks} times");
    }
}

#[tokio::test]
async fn each_is_healthy_rests_for_five_minutes_and_goes_as_a_whole() {
    in_place(Server::Postgres, async |place| {
        let fixture = place.fixture;
        for (environment, namespace) in OWN {
            clear(fixture, environment, namespace).await;
        }
        let result = e2e::testing::catch(async {
            let applications = synced(place).await;
            rests(place, &applications).await;
            // The platform first, as nobody should.
            for app in &applications {
                place.delete(app).await;
            }
            for app in &applications {
                place.gone(app, GONE).await;
            }
            for (_, namespace) in OWN {
                let databases: Api<Database> = Api::namespaced(fixture.client.clone(), namespace);
                let left = databases.list(&ListParams::default()).await.unwrap();
                assert!(left.items.is_empty(), "{:?}", left.items);
                // What else is in it is not in Git: neither a prune nor a deletion takes it.
                let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
                assert!(namespaces.get_opt(namespace).await.unwrap().is_some());
            }
        })
        .await;
        // Argo CD would put back what is taken away here.
        place.leave(result.is_err()).await;
        for (environment, namespace) in OWN {
            clear(fixture, environment, namespace).await;
        }
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}
