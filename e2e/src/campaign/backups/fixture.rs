//! What every trial runs on: an operator between proxies in the real cluster, a store, and a Database.

use std::time::Duration;

use db_operator::api::{BACKUP_LABEL, Backup, BackupState, Database};
use db_operator::store::{Keys, Store, StoreConfig};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::super::operator::{Operator, Start};
use super::super::server::{Engine, Server};
use super::super::{control_plane, eventually, fixture as objects};
use super::installed_operator::InstalledOperator;
use super::setup::create;
use crate::cluster::{Cluster, Settings};
use crate::fault_proxy::{ApiProxy, Faults, S3Proxy, Tunnel};
use crate::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use crate::testing::Session;
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
    start: Start,
    pub(super) sql: Server,
    installed_operator: InstalledOperator,
    _proxies: (ApiProxy, S3Proxy),
}

impl Fixture {
    /// Makes it; the operator has this `environment` besides. To be called on a thread that lives as long as the fixture is needed.
    pub async fn start(cluster: &Cluster, environment: Vec<(String, String)>) -> Result<Self> {
        let name = format!("trial{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("db-operator-{name}"));
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let client = control_plane::client_of(&cluster.kubeconfig()).await?;
        let server = S3Server::start()?;
        server.make_bucket(BUCKET)?;
        let store = store(&server).await?;
        let sql = Server::find(cluster, &client, Engine::Postgres).await?;

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
        let fixture = Self {
            operator,
            faults,
            client,
            server,
            store,
            name,
            way,
            start,
            sql,
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

    /// A session of the Database's own user.
    pub async fn session(&self) -> Result<Session> {
        let secret = super::super::server::secret(&self.client, &self.name, &self.name).await?;
        let opened = Session::open(&self.client, &secret.unwrap_or_default()).await;
        opened.map_err(Error::trial("log in"))
    }

    /// Holds a lock that a dump waits for, until the session ends.
    pub async fn hold(&self) -> Result<Session> {
        let mut holder = self.session().await?;
        holder
            .run("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            .await
            .map_err(Error::trial("lock a table"))?;
        Ok(holder)
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

    /// The trials' Backups.
    #[must_use]
    pub fn backups(&self) -> Api<Backup> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Asks for a backup.
    pub async fn back_up(&self, name: &str) -> Result<()> {
        create(&self.backups(), json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup", "metadata": {"name": name},
            "spec": {"databaseRef": {"name": self.name}},
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

    /// Whether the Database is `CREATED`, and no backup is its affair.
    pub(super) async fn rests(&self) -> Result<bool> {
        let databases: Api<Database> = Api::namespaced(self.client.clone(), &self.name);
        let found = databases
            .get_opt(&self.name)
            .await
            .map_err(Error::trial("read the Database"))?;
        let busy = found
            .as_ref()
            .and_then(|found| found.status.as_ref())
            .is_some_and(|status| status.backup.is_some());
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

async fn store(server: &S3Server) -> Result<Store> {
    let config = StoreConfig {
        s3: server.s3(BUCKET)?,
        keys: Keys::Static {
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.into(),
            session_token: None,
        },
        ca: None,
    };
    Store::open(config)
        .await
        .map_err(Error::trial("open the store"))
}

/// The id under which the installed operator claims databases: that of the cluster.
async fn cluster_id(client: &Client) -> Result<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get("kube-system").await;
    let found = found.map_err(Error::trial("read a namespace"))?;
    Ok(found.uid().unwrap_or_default())
}

fn write_kubeconfig(path: &std::path::Path, proxy: std::net::SocketAddr) -> Result<()> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{proxy}")}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
    });
    std::fs::write(path, config.to_string()).map_err(Error::io("write", path))
}
