//! A namespace of a test's own, on one server, that leaves nothing behind.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use db_operator::api::{Database, DatabaseInstance, RELEASE};
use db_operator::client::lenient::Readable;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::{Server, client, eventually};
use crate::servers::OPERATOR_NAMESPACE;

/// How long a namespace with all that is in it may take to go.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// Where a test does what it does: in a namespace, on a server, under names that begin like no other's.
pub struct Fixture {
    /// Administrator of the cluster.
    pub client: Client,
    /// The test's own.
    pub namespace: String,
    /// What all names begin with, in the cluster and on the server; it is enough for a sweep to know.
    pub prefix: String,
    /// Where the databases are.
    pub server: Server,
}

/// Runs a test on each of the servers at the same time, in a namespace each.
pub async fn on_every_server(test: impl AsyncFn(&Fixture)) {
    let (postgres, mariadb, mysql) = tokio::join!(
        run(Server::Postgres, &test),
        run(Server::Mariadb, &test),
        run(Server::Mysql, &test),
    );
    for result in [postgres, mariadb, mysql] {
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Runs a test on one server.
pub async fn with_fixture(server: Server, test: impl AsyncFn(&Fixture)) {
    if let Err(panic) = run(server, &test).await {
        std::panic::resume_unwind(panic);
    }
}

async fn run(server: Server, test: &impl AsyncFn(&Fixture)) -> Result<(), Box<dyn Any + Send>> {
    let fixture = Fixture::set_up(server).await;
    let result = catch(test(&fixture)).await;
    if result.is_err() {
        eprintln!("--- {server:?}, namespace {}", fixture.namespace);
        fixture.let_go().await;
    }
    let cleared = catch(fixture.clear()).await;
    result.and(cleared)
}

impl Fixture {
    async fn set_up(server: Server) -> Self {
        let client = client().await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted = json!({"metadata": {
            "generateName": "e2e-", "labels": {"db-operator.dev/e2e": "true"}}});
        let wanted = serde_json::from_value(wanted).unwrap();
        let made = namespaces
            .create(&PostParams::default(), &wanted)
            .await
            .unwrap();
        Self {
            client,
            namespace: made.name_any(),
            prefix: made.name_any(),
            server,
        }
    }

    /// The same test's place in another namespace, which is made, and goes with this one.
    pub async fn neighbour(&self) -> Self {
        let other = Self::set_up(self.server).await;
        let owner = json!({"metadata": {"labels": {"db-operator.dev/e2e-of": self.namespace}}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .patch(
                &other.namespace,
                &PatchParams::default(),
                &Patch::Merge(owner),
            )
            .await
            .unwrap();
        Self {
            prefix: self.prefix.clone(),
            ..other
        }
    }

    /// A name of this test's own: of an object, and of a database and a user.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Deletes everything, also on the server. The namespaces, empty by then, go by themselves, which takes seconds.
    async fn clear(&self) {
        // Its test may have made them hard to read.
        let namespaces: Api<Readable<Namespace>> = Api::all(self.client.clone());
        let of = format!("db-operator.dev/e2e-of={}", self.namespace);
        let mut all = vec![self.namespace.clone()];
        for neighbour in namespaces
            .list(&ListParams::default().labels(&of))
            .await
            .unwrap()
        {
            all.push(neighbour.name_any());
        }
        for namespace in &all {
            self.drop_databases(namespace).await;
        }
        for namespace in &all {
            let databases: Api<Database> = Api::namespaced(self.client.clone(), namespace);
            eventually("the Databases are gone", GONE_WITHIN, async || {
                let left = databases.list(&ListParams::default()).await.unwrap();
                left.items.first().map_or(Ok(()), |left| {
                    Err(format!("{}: {:?}", left.name_any(), left.status))
                })
            })
            .await;
            // It may have been the test's own doing.
            let _ = namespaces.delete(namespace, &DeleteParams::default()).await;
        }
        self.clear_final_backups().await;
        self.clear_instances().await;
        self.server.sweep(&self.client, &self.prefix).await;
    }

    /// Has Pod Security's strictest level enforced on the pods of the test's namespace.
    pub async fn restrict(&self) {
        let label =
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .patch(
                &self.namespace,
                &PatchParams::default(),
                &Patch::Merge(label),
            )
            .await
            .unwrap();
    }

    /// Asks for the deletion of the test's namespace.
    pub async fn delete_namespace(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Deletes all that the test made in the cluster, each Database by its own policy, and waits until it is gone.
    pub async fn gone_with_all(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let _ = namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await;
        self.without_namespace(&self.namespace).await;
        self.clear_instances().await;
    }

    async fn without_namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        eventually("the namespace is gone", GONE_WITHIN, async || {
            let left = namespaces.get_opt(name).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
    }

    /// Deletes each Database of a namespace, with a policy that drops it.
    async fn drop_databases(&self, namespace: &str) {
        let databases: Api<Database> = Api::namespaced(self.client.clone(), namespace);
        let drop = Patch::Merge(json!({"spec": {"deletionPolicy": "Delete"}}));
        for database in databases.list(&ListParams::default()).await.unwrap() {
            let name = database.name_any();
            // It may be gone by now.
            let _ = databases.patch(&name, &PatchParams::default(), &drop).await;
            let _ = databases.delete(&name, &DeleteParams::default()).await;
        }
    }

    /// The instances and the Secrets in the operator's namespace that the test made.
    async fn clear_instances(&self) {
        let instances: Api<DatabaseInstance> = Api::all(self.client.clone());
        for instance in instances.list(&ListParams::default()).await.unwrap() {
            let name = instance.name_any();
            if !name.starts_with(&self.prefix) {
                continue;
            }
            let _ = instances.delete(&name, &DeleteParams::default()).await;
            eventually("the instance is gone", GONE_WITHIN, async || {
                let left = instances.get_opt(&name).await.unwrap();
                left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
            })
            .await;
        }
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        for secret in secrets.list(&ListParams::default()).await.unwrap() {
            if secret.name_any().starts_with(&self.prefix) {
                let _ = secrets
                    .delete(&secret.name_any(), &DeleteParams::default())
                    .await;
            }
        }
    }

    /// After a failure, nothing is to wait for what the test did not bring about.
    async fn let_go(&self) {
        let databases: Api<Database> = Api::all(self.client.clone());
        for database in databases.list(&ListParams::default()).await.unwrap() {
            let namespace = database.namespace().unwrap_or_default();
            if namespace != self.namespace && !database.name_any().starts_with(&self.prefix) {
                continue;
            }
            eprintln!(
                "--- {}: {}",
                database.name_any(),
                serde_json::to_string(&database.status).unwrap()
            );
            let release = json!({"metadata": {"annotations": {RELEASE: database.sql_name()}}});
            let api: Api<Database> = Api::namespaced(self.client.clone(), &namespace);
            let _ = api
                .patch(
                    &database.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(release),
                )
                .await;
        }
    }
}

/// Waits for a future and catches its panic.
///
/// # Errors
/// What it panicked with.
pub async fn catch(future: impl Future<Output = ()>) -> Result<(), Box<dyn Any + Send>> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(move |context| {
        std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))).map_or_else(
            |panic| std::task::Poll::Ready(Err(panic)),
            |poll| poll.map(Ok),
        )
    })
    .await
}
