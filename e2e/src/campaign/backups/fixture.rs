//! What every trial runs on: an operator between proxies in the real cluster, a store, database servers, and a Database.

use std::time::Duration;

use db_operator::api::{BACKUP_LABEL, Backup, BackupState, Database, RestoreState};
use db_operator::store::Store;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::super::operator::{Operator, Start};
use super::super::server::{Engine, Server};
use super::super::{control_plane, eventually, fixture as objects};
use super::installed_operator::InstalledOperator;
use super::setup::{cluster_id, create, store, write_kubeconfig};
use crate::cluster::{Cluster, Settings};
use crate::fault_proxy::{ApiProxy, Faults, S3Proxy, Tunnel};
use crate::s3::S3Server;
use crate::{Error, Result};

/// The store's bucket.
pub const BUCKET: &str = "backups";
/// How long a backup may take, whatever happens to the operator.
pub const LIMIT: Duration = Duration::from_mins(2);

/// The fixture. Everything that runs ends with it; [`Fixture::clear`] also takes away what is in the cluster.
pub struct Fixture {
    /// The operator under trial.
    pub operator: Operator,
    /// Its faults.
    pub faults: Faults,
    /// A client past the proxies.
    pub client: Client,
    /// The store.
    pub server: S3Server,
    /// A client of it, past the proxy.
    pub store: Store,
    /// The trials' namespace; everything of the fixture has its name.
    pub name: String,
    /// The operator's way to the API server, which can be cut.
    pub way: Tunnel,
    /// Of what the operator asks of database servers: it does not count unless that is asked for.
    pub statements: Faults,
    start: Start,
    pub(super) servers: Vec<(Server, Tunnel)>,
    installed_operator: InstalledOperator,
    _proxies: (ApiProxy, S3Proxy),
}

impl Fixture {
    /// Makes it with these servers, of which the first has the Database that is backed up; the operator has this
    /// `environment` besides. To be called on a thread that lives as long as the fixture is needed.
    pub async fn start(
        cluster: &Cluster,
        engines: &[Engine],
        environment: Vec<(String, String)>,
    ) -> Result<Self> {
        let name = format!("trial{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("db-operator-{name}"));
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let client = control_plane::client_of(&cluster.kubeconfig()).await?;
        let server = S3Server::start()?;
        server.make_bucket(BUCKET)?;
        let store = store(&server).await?;

        let installed_operator = InstalledOperator::begin(cluster, &client).await?;
        let start = Start {
            kubeconfig: folder.join("operator.kubeconfig"),
            identity: name.clone(),
            cluster_id: cluster_id(&client).await?,
            arguments: [
                "--lease-ttl",
                "6s",
                "--lease-renew",
                "2s",
                "--image",
                &installed_operator.image,
            ]
            .map(str::to_owned)
            .to_vec(),
            environment,
            folder,
        };
        let operator = Operator::new(start.clone());
        let faults = Faults::new({
            let operator = operator.clone();
            move || operator.kill()
        });
        let api = ApiProxy::within(client.clone(), faults.clone(), &name).await?;
        // It counts nothing.
        let way = Tunnel::to(api.address(), "api", Faults::new(|| ())).await?;
        write_kubeconfig(&start.kubeconfig, way.address())?;
        let here = Settings::main().host_address().into();
        // Parts are sent by the pods.
        let counted = |method: &http::Method, uri: &http::Uri| {
            *method != http::Method::PUT || !uri.query().unwrap_or_default().contains("partNumber")
        };
        let s3 = S3Proxy::at(here, &server, faults.clone(), counted).await?;
        let endpoint = s3.endpoint();
        let statements = faults.aside();
        let mut servers = Vec::new();
        for engine in engines {
            let server = Server::find(cluster, &client, *engine).await?;
            let counted = statements.clone();
            let tunnel = Tunnel::at(here, server.address, engine.name(), counted).await?;
            servers.push((server, tunnel));
        }
        let fixture = Self {
            operator,
            faults,
            client,
            server,
            store,
            name,
            way,
            statements,
            start,
            servers,
            installed_operator,
            _proxies: (api, s3),
        };
        // From here on the installed operator has to come back, whatever fails.
        match fixture.set_up(&endpoint).await {
            Ok(()) => Ok(fixture),
            Err(error) => {
                let _ = fixture.clear(true).await;
                Err(error)
            }
        }
    }

    /// The server of an engine.
    pub fn server_of(&self, engine: Engine) -> Result<&Server> {
        let mut servers = self.servers.iter().map(|(server, _)| server);
        let server = servers.find(|server| server.engine == engine);
        server.ok_or_else(|| Error::Precondition(format!("no server {}", engine.name())))
    }

    /// The name of the `DatabaseInstance` of an engine.
    #[must_use]
    pub fn instance(&self, engine: Engine) -> String {
        format!("{}-{}", self.name, engine.name())
    }

    /// Another operator, which does not run yet, on the same way.
    #[must_use]
    pub fn another(&self, identity: &str, environment: Vec<(String, String)>) -> Operator {
        Operator::new(Start {
            identity: format!("{}-{identity}", self.name),
            environment,
            ..self.start.clone()
        })
    }

    /// The same, with another lease, which is a long one.
    #[must_use]
    pub fn another_with_a_lease_of_its_own(&self, identity: &str) -> Operator {
        let image = &self.installed_operator.image;
        let arguments = [
            "--lease-name",
            identity,
            "--lease-ttl",
            "10m",
            "--image",
            image,
        ];
        Operator::new(Start {
            identity: format!("{}-{identity}", self.name),
            arguments: arguments.map(str::to_owned).to_vec(),
            ..self.start.clone()
        })
    }

    /// The operators' cluster id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.start.cluster_id
    }

    /// The trials' Backups.
    #[must_use]
    pub fn backups(&self) -> Api<Backup> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Asks for a backup.
    pub async fn back_up(&self, name: &str) -> Result<()> {
        self.back_up_of(&self.name, name).await
    }

    /// Asks for a backup of this Database.
    pub async fn back_up_of(&self, database: &str, name: &str) -> Result<()> {
        create(&self.backups(), json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup", "metadata": {"name": name},
            "spec": {"databaseRef": {"name": database}},
        }))
        .await
    }

    /// Waits until a backup is at its end and the Database at rest. An operator that was killed is started again.
    pub async fn ended(&self, name: &str) -> Result<Backup> {
        let mut last = String::new();
        let found = eventually("the backup's end", LIMIT, async || {
            self.operator.ensure()?;
            let found = self
                .backups()
                .get(name)
                .await
                .map_err(Error::trial("read the Backup"))?;
            last = json!(found.status).to_string();
            let over = found.state().is_some_and(BackupState::is_terminal);
            let tidy = found.finalizers().is_empty();
            Ok((over && tidy && self.rests().await?).then_some(found))
        });
        let found = found.await;
        found.map_err(|error| match error {
            Error::Timeout { what, seconds, .. } => Error::Timeout {
                what,
                seconds,
                tail: format!("\n  its status: {last}"),
            },
            other => other,
        })
    }

    /// The pod of a backup, if it is there.
    pub async fn pod(&self, backup: &str) -> Result<Option<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.name);
        let its = ListParams::default().labels(&format!("{BACKUP_LABEL}={backup}"));
        let found = pods
            .list(&its)
            .await
            .map_err(Error::trial("list the pods"))?;
        Ok(found.items.into_iter().next())
    }

    /// The trials' Databases.
    #[must_use]
    pub fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub(super) async fn rests(&self) -> Result<bool> {
        self.is_at_rest(&self.name).await
    }

    /// Whether a Database is `CREATED`, and no backup or restore is at work.
    pub async fn is_at_rest(&self, database: &str) -> Result<bool> {
        let found = self
            .databases()
            .get_opt(database)
            .await
            .map_err(Error::trial("read the Database"))?;
        let busy = found
            .as_ref()
            .and_then(|found| found.status.as_ref())
            .is_some_and(|status| {
                // The restore that ended last stays in it.
                let restore = status.restore.as_ref();
                let restores =
                    restore.is_some_and(|it| !it.state.is_some_and(RestoreState::is_terminal));
                status.backup.is_some() || restores
            });
        Ok(objects::is_created(found.as_ref()) && !busy)
    }

    /// Where logs are.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.start.folder
    }

    /// Takes everything of this fixture from the cluster and the server, and brings the installed operator back. The files
    /// go unless they are to be `kept`.
    pub async fn clear(self, keep_files: bool) -> Result<()> {
        let taken = self.take_away().await;
        self.operator.kill();
        let back = self.installed_operator.end().await;
        let folder = self.start.folder.clone();
        drop(self);
        if !keep_files {
            std::fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        taken.and(back)
    }
}
