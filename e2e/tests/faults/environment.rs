//! A control plane, one of the cluster's servers behind a tunnel, and operators that the test starts and stops.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use db_operator::api::Database;
use e2e::campaign::fixture::{self, is_created};
use e2e::campaign::operator::{NAMESPACE, Start};
use e2e::campaign::{ControlPlane, Engine, Operator, Server, control_plane, eventually};
use e2e::cluster::Cluster;
use e2e::fault_proxy::{Faults, Tunnel};
use e2e::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// The namespace of the test's Databases.
const TENANT: &str = "tenant";

pub(crate) struct Environment {
    pub client: Client,
    pub control_plane: ControlPlane,
    pub server: Server,
    /// Between operators and the server.
    pub tunnel: Tunnel,
    /// The operators' cluster id, and what the names of all SQL databases begin with.
    pub prefix: String,
    pub folder: PathBuf,
}

impl Environment {
    /// With one of the cluster's servers.
    pub(crate) async fn with(engine: Engine) -> Self {
        let cluster = Cluster::main();
        let client = control_plane::client_of(&cluster.kubeconfig())
            .await
            .unwrap();
        let server = Server::find(&cluster, &client, engine).await.unwrap();
        Self::of(server).await
    }

    /// With a server of the test's own, to which anything may happen.
    pub(crate) async fn on(server: &Postgresql) -> Self {
        let account = [("username", SUPERUSER), ("password", SUPERUSER_PASSWORD)];
        let account = account.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let address = ([127, 0, 0, 1], server.port).into();
        let ca = server.certificates.ca.clone();
        Self::of(Server::own(Engine::Postgres, address, account.into(), ca)).await
    }

    async fn of(server: Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("faults{}x{count}", std::process::id());
        let namespaces = [NAMESPACE, TENANT];
        let control_plane = ControlPlane::for_trial(&Cluster::main(), &prefix, &namespaces)
            .await
            .unwrap();
        let folder = control_plane.folder().to_owned();
        let client = control_plane.client().await.unwrap();
        let tunnel = Tunnel::to(server.address, server.engine.name(), Faults::new(|| ()))
            .await
            .unwrap();
        fixture::instance(
            &client,
            &server,
            "server",
            tunnel.address().port(),
            json!([]),
        )
        .await
        .unwrap();
        Self {
            client,
            control_plane,
            server,
            tunnel,
            prefix,
            folder,
        }
    }

    /// An operator with a short lease, started.
    pub(crate) fn operator(&self, identity: &str, kubeconfig: PathBuf) -> Operator {
        self.operator_with(identity, kubeconfig, &[])
    }

    /// An operator with a short lease, if the arguments do not say otherwise, started.
    pub(crate) fn operator_with(
        &self,
        identity: &str,
        kubeconfig: PathBuf,
        more: &[&str],
    ) -> Operator {
        let mut arguments = vec!["--lease-renew", "2s"];
        if !more.contains(&"--lease-ttl") {
            arguments.extend(["--lease-ttl", "6s"]);
        }
        arguments.extend(more);
        let operator = Operator::new(Start {
            kubeconfig,
            identity: identity.to_owned(),
            cluster_id: self.prefix.clone(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            environment: Vec::new(),
            folder: self.folder.clone(),
        });
        operator.ensure().unwrap();
        operator
    }

    /// Makes Databases, all with the policy `Delete`.
    pub(crate) async fn apply(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let spec = json!({"instanceRef": {"name": "server"}, "name": format!("{}_{number}", self.prefix),
                "deletionPolicy": "Delete"});
            fixture::apply(&self.client, TENANT, &format!("db-{number}"), spec)
                .await
                .unwrap();
        }
    }

    /// How many Databases are usable, as far as the API server tells: one that is busy says that nobody knows yet.
    pub(crate) async fn created(&self) -> usize {
        let databases = match self.databases().list(&ListParams::default()).await {
            Ok(databases) => databases,
            Err(kube::Error::Api(status)) if status.code == 429 => return 0,
            Err(error) => panic!("cannot list the Databases: {error}"),
        };
        let created = databases
            .items
            .iter()
            .filter(|database| is_created(Some(database)));
        created.count()
    }

    /// Waits until so many Databases are usable.
    pub(crate) async fn until_created(&self, count: usize, limit: Duration) {
        let what = format!("{count} Databases are created");
        let done = eventually(&what, limit, async || {
            Ok((self.created().await >= count).then_some(()))
        });
        if let Err(error) = done.await {
            panic!("{error}; it is {}", self.created().await);
        }
    }

    /// Each Secret logs in, and there is on the server what there are objects for: no more.
    pub(crate) async fn check_all(&self, count: usize) {
        let databases = self.databases().list(&ListParams::default()).await.unwrap();
        assert_eq!(databases.items.len(), count);
        for database in &databases.items {
            let secret = e2e::campaign::server::secret(&self.client, TENANT, &database.name_any())
                .await
                .unwrap()
                .unwrap();
            let name = e2e::campaign::server::text(&secret, "database").to_owned();
            let said = self.server.ask_as(&secret, &name, "SELECT 'works'").await;
            assert_eq!(said.unwrap(), ["works"], "{name}");
        }
        let facts = self.server.facts(&self.prefix, &self.prefix).await.unwrap();
        for kind in ["database ", "claim "] {
            let found = facts.iter().filter(|fact| fact.starts_with(kind)).count();
            assert_eq!(found, count, "{kind}: {facts:#?}");
        }
    }

    /// Deletes all Databases through the operator, and sees that nothing is left.
    pub(crate) async fn delete_all(&self, limit: Duration) {
        let databases = self.databases();
        databases
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .unwrap();
        eventually("all Databases are gone", limit, async || {
            let left = databases.list(&ListParams::default()).await.unwrap();
            Ok(left.items.is_empty().then_some(()))
        })
        .await
        .unwrap();
        let left = self.server.facts(&self.prefix, &self.prefix).await.unwrap();
        assert!(left.is_empty(), "{left:#?}");
    }

    /// Takes what the fence keeps for this test's cluster id from the server, and the files.
    pub(crate) async fn clear(self) {
        self.server.sweep(&self.prefix, &self.prefix).await.unwrap();
        let folder = self.folder.clone();
        drop(self);
        std::fs::remove_dir_all(folder).unwrap();
    }

    pub(crate) fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), TENANT)
    }
}
