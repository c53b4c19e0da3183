//! What every trial runs on: a control plane, the cluster's servers, an operator, and proxies between them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use db_operator::api::{Database, DatabaseInstance};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::operator::{NAMESPACE, Operator, Start};
use super::server::{self, Engine, Server, text};
use super::{ControlPlane, control_plane, eventually};
use crate::cluster::Cluster;
use crate::fault_proxy::{ApiProxy, Faults, Tunnel};
use crate::{Error, Result};

/// Where the trials' objects are.
pub const TRIALS: &str = "trials";
/// Where somebody else's are.
pub const RIVALS: &str = "rivals";
/// How long an operator that died may take to reach the same end on a busy machine.
pub const LIMIT: Duration = Duration::from_mins(1);

/// The fixture. Everything that runs ends with it; [`Fixture::clear`] also takes what is on the servers.
pub struct Fixture {
    /// The operator under trial.
    pub operator: Operator,
    /// Its faults.
    pub faults: Faults,
    /// A client past the proxies.
    pub client: Client,
    /// What the names of everything of this fixture begin with, in SQL.
    pub prefix: String,
    servers: Vec<Server>,
    folder: PathBuf,
    _proxies: (ApiProxy, Vec<Tunnel>),
    _control_plane: ControlPlane,
}

impl Fixture {
    /// Makes it, with a bystander on each server that no fault of a trial may harm, and a rival who wants its names.
    pub async fn start(cluster: &Cluster, engines: &[Engine]) -> Result<Self> {
        let prefix = format!("trial{}", std::process::id());
        let namespaces = [NAMESPACE, TRIALS, RIVALS];
        let control_plane = ControlPlane::for_trial(cluster, &prefix, &namespaces).await?;
        let folder = control_plane.folder().to_owned();
        let client = control_plane.client().await?;

        // The operator is told the proxy's address, and the proxy whom to kill: one has to be named first.
        let start = Start {
            kubeconfig: folder.join("operator.kubeconfig"),
            identity: "operator".to_owned(),
            cluster_id: prefix.clone(),
            arguments: ["--lease-ttl", "6s", "--lease-renew", "2s"]
                .map(str::to_owned)
                .to_vec(),
            environment: Vec::new(),
            folder: folder.clone(),
        };
        let operator = Operator::new(start.clone());
        let faults = Faults::new({
            let operator = operator.clone();
            move || operator.kill()
        });
        let api = ApiProxy::to(client.clone(), faults.clone()).await?;
        let plain = control_plane.kubeconfig_plain(api.address())?;
        std::fs::rename(&plain, &start.kubeconfig).map_err(Error::io("rename", &plain))?;

        let cluster_client = control_plane::client_of(&cluster.kubeconfig()).await?;
        let (mut servers, mut tunnels) = (Vec::new(), Vec::new());
        for engine in engines {
            let server = Server::find(cluster, &cluster_client, *engine).await?;
            let tunnel = Tunnel::to(server.address, engine.name(), faults.clone()).await?;
            let trial = format!("{prefix}_trial");
            let adoptable =
                json!([{"database": trial, "user": trial, "namespace": TRIALS, "drop": true}]);
            instance(
                &client,
                &server,
                engine.name(),
                tunnel.address().port(),
                adoptable,
            )
            .await?;
            servers.push(server);
            tunnels.push(tunnel);
        }
        let fixture = Self {
            operator,
            faults,
            client,
            prefix,
            servers,
            folder,
            _proxies: (api, tunnels),
            _control_plane: control_plane,
        };
        fixture.operator.ensure()?;
        for engine in engines {
            fixture.add_bystander(*engine).await?;
        }
        Ok(fixture)
    }

    /// The server of an engine.
    pub fn server(&self, engine: Engine) -> Result<&Server> {
        let server = self.servers.iter().find(|server| server.engine == engine);
        server.ok_or_else(|| Error::Precondition(format!("no server {}", engine.name())))
    }

    /// The trials' Databases.
    #[must_use]
    pub fn databases(&self, namespace: &str) -> Api<Database> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes a Database.
    pub async fn apply(&self, namespace: &str, name: &str, spec: Value) -> Result<Database> {
        apply(&self.client, namespace, name, spec).await
    }

    /// Waits until a Database, or its absence, is as wanted. An operator that was killed is started again meanwhile.
    pub async fn until(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        mut wanted: impl FnMut(Option<&Database>) -> bool,
    ) -> Result<Option<Database>> {
        let databases = self.databases(namespace);
        let found = eventually(what, LIMIT, async || {
            self.operator.ensure()?;
            let found = databases
                .get_opt(name)
                .await
                .map_err(Error::trial(format!("read the Database {name}")))?;
            Ok(wanted(found.as_ref()).then_some(found))
        });
        match found.await {
            Err(Error::Timeout { what, seconds, .. }) => {
                let now = databases.get_opt(name).await.ok().flatten();
                let status = now.map(|database| json!(database.status).to_string());
                let tail = format!("\n  its status: {}", status.unwrap_or_default());
                Err(Error::Timeout {
                    what,
                    seconds,
                    tail,
                })
            }
            other => other,
        }
    }

    /// Removes a Secret, as the garbage collector would.
    pub async fn collect(&self, namespace: &str, name: &str) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        match secrets.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(Error::trial(format!("delete the Secret {name}"))(error)),
        }
    }

    /// Logs in with the values of a Database's Secret and asks something.
    pub async fn log_in(
        &self,
        engine: Engine,
        namespace: &str,
        name: &str,
        sql: &str,
    ) -> Result<Vec<String>> {
        let secret = server::secret(&self.client, namespace, name)
            .await?
            .unwrap_or_default();
        let database = text(&secret, "database").to_owned();
        self.server(engine)?.ask_as(&secret, &database, sql).await
    }

    /// Takes everything of this fixture from the servers, and its files unless they are to be `kept`.
    pub async fn clear(self, keep_files: bool) -> Result<()> {
        self.operator.kill();
        for server in &self.servers {
            server.sweep(&self.prefix, &self.prefix).await?;
        }
        let folder = self.folder.clone();
        drop(self);
        if keep_files {
            return Ok(());
        }
        std::fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))
    }

    /// Where logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    async fn add_bystander(&self, engine: Engine) -> Result<()> {
        let name = engine.name();
        let spec =
            json!({"instanceRef": {"name": name}, "name": format!("{}_bystander", self.prefix)});
        self.apply(TRIALS, name, spec.clone()).await?;
        self.until(TRIALS, name, "the bystander is created", is_created)
            .await?;
        self.apply(RIVALS, name, spec).await?;
        let refused = |database: Option<&Database>| reason(database) == "ClaimedByAnother";
        self.until(RIVALS, name, "the rival is refused", refused)
            .await?;
        Ok(())
    }
}

/// Makes a `DatabaseInstance` for a server behind a proxy, and its Secrets.
pub async fn instance(
    client: &Client,
    server: &Server,
    name: &str,
    port: u16,
    adoptable: Value,
) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    for (part, data) in [
        ("admin", json!(server.admin)),
        ("ca", json!({"ca.crt": server.ca})),
    ] {
        let secret =
            object(json!({"metadata": {"name": format!("{name}-{part}")}, "stringData": data}))?;
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .map_err(Error::trial("make a Secret"))?;
    }
    let instance: DatabaseInstance = object(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance", "metadata": {"name": name},
        "spec": {
            "provider": server.engine.provider(), "host": "127.0.0.1", "port": port,
            "tls": {"mode": "verify-ca", "ca": {"secretRef": {"name": format!("{name}-ca"), "key": "ca.crt"}}},
            "adminSecretRef": {"name": format!("{name}-admin")},
            "allowedNamespaces": {"all": true}, "adoptable": adoptable,
        },
    }))?;
    let instances: Api<DatabaseInstance> = Api::all(client.clone());
    instances
        .create(&PostParams::default(), &instance)
        .await
        .map_err(Error::trial(format!("make the DatabaseInstance {name}")))?;
    Ok(())
}

/// Makes a Database.
pub async fn apply(client: &Client, namespace: &str, name: &str, spec: Value) -> Result<Database> {
    let databases: Api<Database> = Api::namespaced(client.clone(), namespace);
    let database = object(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    }))?;
    databases
        .create(&PostParams::default(), &database)
        .await
        .map_err(Error::trial(format!("make the Database {name}")))
}

/// Whether it is `CREATED` and nothing is to be done about it.
#[must_use]
pub fn is_created(database: Option<&Database>) -> bool {
    let Some(database) = database else {
        return false;
    };
    let status = database.status.clone().unwrap_or_default();
    status
        .state
        .is_some_and(|state| state.as_str() == "CREATED")
        && status.observed_generation == database.metadata.generation
        && database.metadata.deletion_timestamp.is_none()
        && reason(Some(database)) == "Created"
}

/// The reason of its condition `Ready`.
#[must_use]
pub fn reason(database: Option<&Database>) -> String {
    let status = json!(database.and_then(|database| database.status.as_ref()));
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready");
    let reason = ready.and_then(|condition| condition["reason"].as_str().map(str::to_owned));
    reason.unwrap_or_default()
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(Error::trial("write an object"))
}
