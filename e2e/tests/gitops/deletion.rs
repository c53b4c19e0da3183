//! Applications that are deleted with all that they applied: namespace, instance and databases, in any order.

use std::time::Duration;

use e2e::testing::{Fixture, SOON, Server, eventually};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::place::{BACKGROUND, FOREGROUND, Place, database, in_place};

/// How long a deletion may take, with a final backup in it.
const GONE: Duration = Duration::from_mins(4);

/// Who has what in Git.
struct Committed {
    /// Of all of it.
    namespace: String,
    databases: [(&'static str, String); 3],
    instance: String,
}

fn yaml(object: &Value) -> String {
    serde_yaml_ng::to_string(object).unwrap()
}

/// Commits a namespace and an instance to `platform`, and a database of each policy to `team`.
async fn commit(place: &Place<'_>, platform: &str, team: &str) -> Committed {
    let fixture = place.fixture;
    let (namespace, instance) = (fixture.name("team"), fixture.name("i"));
    let labels =
        json!({"db-operator.dev/e2e": "true", "db-operator.dev/e2e-of": fixture.namespace});
    let object = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace, "labels": labels}});
    place
        .repository
        .write(&format!("{platform}/namespace.yaml"), &yaml(&object));
    let shared = fixture
        .instances()
        .get(fixture.server.instance())
        .await
        .unwrap();
    let mut spec = serde_json::to_value(&shared.spec).unwrap();
    spec["allowedNamespaces"] = json!({"names": [namespace]});
    let object = json!({"apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance",
        "metadata": {"name": instance}, "spec": spec});
    place
        .repository
        .write(&format!("{platform}/instance.yaml"), &yaml(&object));
    let policies = [
        ("Retain", "r"),
        ("Delete", "d"),
        ("BackupBeforeDelete", "b"),
    ];
    let databases = policies.map(|(policy, name)| {
        let name = fixture.name(name);
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": policy});
        place
            .repository
            .write(&format!("{team}/{policy}.yaml"), &database(&name, &spec));
        (policy, name)
    });
    place.repository.push("a team with all it has");
    Committed {
        namespace,
        databases,
        instance,
    }
}

impl Committed {
    /// Waits until nothing of it is in the cluster. On the server there is what is to be retained.
    async fn gone(&self, fixture: &Fixture) {
        let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
        eventually("the namespace is gone", GONE, async || {
            let left = namespaces.get_opt(&self.namespace).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
        eventually("the instance is gone", SOON, async || {
            let left = fixture.instances().get_opt(&self.instance).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
        let mut left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        left.sort();
        let (_, retained) = &self.databases[0];
        let kinds = ["claim", "database", "user"];
        assert_eq!(left, kinds.map(|kind| format!("{kind} {retained}")));
    }

    /// Whether the databases are being deleted, or gone.
    async fn leaves(&self, fixture: &Fixture) {
        let databases: Api<db_operator::api::Database> =
            Api::namespaced(fixture.client.clone(), &self.namespace);
        eventually("the databases are being deleted", SOON, async || {
            let left = databases.list(&ListParams::default()).await.unwrap();
            let stays = left
                .iter()
                .find(|database| database.metadata.deletion_timestamp.is_none());
            stays.map_or(Ok(()), |stays| Err(format!("{:?}", stays.metadata)))
        })
        .await;
    }
}

/// One Application of everything, without an order in it.
async fn all_at_once(place: &Place<'_>, finalizer: &str) {
    let committed = commit(place, "all", "all").await;
    let app = place
        .application("all", &committed.namespace, finalizer, &[])
        .await;
    place.healthy(&app).await;
    place.delete(&app).await;
    place.gone(&app, GONE).await;
    committed.gone(place.fixture).await;
}

#[tokio::test]
async fn all_at_once_in_the_foreground() {
    in_place(Server::Postgres, async |place| {
        all_at_once(place, FOREGROUND).await;
    })
    .await;
}

#[tokio::test]
async fn all_at_once_in_the_background() {
    in_place(Server::Mariadb, async |place| {
        all_at_once(place, BACKGROUND).await;
    })
    .await;
}

/// Two Applications, as two teams have them. Returns those of the platform and of the team.
async fn two(place: &Place<'_>) -> (Committed, String, String) {
    let committed = commit(place, "platform", "team").await;
    let namespace = &committed.namespace;
    let platform = place
        .application("platform", namespace, FOREGROUND, &[])
        .await;
    place.healthy(&platform).await;
    let team = place.application("team", namespace, FOREGROUND, &[]).await;
    place.healthy(&team).await;
    (committed, platform, team)
}

#[tokio::test]
async fn the_databases_before_what_they_are_in() {
    in_place(Server::Mysql, async |place| {
        let (committed, platform, team) = two(place).await;
        place.delete(&team).await;
        place.gone(&team, GONE).await;
        place.delete(&platform).await;
        place.gone(&platform, GONE).await;
        committed.gone(place.fixture).await;
    })
    .await;
}

/// The namespace takes the databases along; the instance waits for them.
#[tokio::test]
async fn the_namespace_and_the_instance_before_the_databases() {
    in_place(Server::Postgres, async |place| {
        let (committed, platform, team) = two(place).await;
        place.delete(&platform).await;
        committed.leaves(place.fixture).await;
        place.delete(&team).await;
        place.gone(&team, GONE).await;
        place.gone(&platform, GONE).await;
        committed.gone(place.fixture).await;
    })
    .await;
}

/// By hand, beside Argo CD, which would put it back.
#[tokio::test]
async fn the_namespace_before_everything_else() {
    in_place(Server::Mariadb, async |place| {
        let fixture = place.fixture;
        let (committed, platform, team) = two(place).await;
        let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
        let background = DeleteParams::background();
        namespaces
            .delete(&committed.namespace, &background)
            .await
            .unwrap();
        place.delete(&platform).await;
        place.delete(&team).await;
        place.gone(&team, GONE).await;
        place.gone(&platform, GONE).await;
        committed.gone(fixture).await;
    })
    .await;
}
