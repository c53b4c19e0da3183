//! What every trial runs on: an operator between proxies in the real cluster, a store, and a Database.

use std::time::Duration;

use db_operator::api::{BACKUP_LABEL, Backup, BackupState, Database};
use db_operator::store::{Keys, Store, StoreConfig};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::super::operator::{NAMESPACE, Operator, Start};
use super::super::server::{Engine, Server};
use super::super::{bed as objects, eventually, plane};
use super::stand_in::StandIn;
use crate::cluster::{Cluster, Settings};
use crate::dataset;
use crate::proxy::{ApiProxy, Faults, Tunnel};
use crate::s3::{ACCESS_KEY_ID, S3Proxy, S3Server, SECRET_ACCESS_KEY};
use crate::testing::Session;
use crate::{Error, Result};

/// The store's bucket.
pub const BUCKET: &str = "backups";
/// How long a backup may take, whatever happens to the operator.
pub const LIMIT: Duration = Duration::from_mins(2);
/// The Database's size, so that its dump can be killed in the middle.
const SIZE: u64 = 24 << 20;

/// The bed. Everything that runs ends with it; [`Bed::clear`] also takes away what is in the cluster.
pub struct Bed {
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
    /// The trials' namespace; everything of the bed has its name.
    pub name: String,
    /// The operator's way to the API server, which can be cut.
    pub way: Tunnel,
    start: Start,
    sql: Server,
    stand_in: StandIn,
    _proxies: (ApiProxy, S3Proxy),
}

impl Bed {
    /// Makes it. To be called on a thread that lives as long as the bed is needed.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let name = format!("trial{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("db-operator-{name}"));
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let client = plane::client_of(&cluster.kubeconfig()).await?;
        let server = S3Server::start()?;
        server.make_bucket(BUCKET)?;
        let store = store(&server).await?;
        let sql = Server::find(cluster, &client, Engine::Postgres).await?;

        let stand_in = StandIn::begin(cluster, &client).await?;
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
                &stand_in.image,
            ]
            .map(str::to_owned)
            .to_vec(),
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
        let bed = Self {
            operator,
            faults,
            client,
            server,
            store,
            name,
            way,
            start,
            sql,
            stand_in,
            _proxies: (api, s3),
        };
        // From here on the installed operator has to come back, whatever fails.
        match bed.furnish(&endpoint).await {
            Ok(()) => Ok(bed),
            Err(error) => {
                let _ = bed.clear(true).await;
                Err(error)
            }
        }
    }

    async fn furnish(&self, endpoint: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let labels = json!({"db-operator.dev/e2e": "true"});
        create(
            &namespaces,
            json!({"metadata": {"name": self.name, "labels": labels}}),
        )
        .await?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let name = &self.name;
        for (part, data) in [
            ("admin", json!(self.sql.admin)),
            ("ca", json!({"ca.crt": self.sql.ca})),
            (
                "keys",
                json!({"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}),
            ),
        ] {
            let secret =
                json!({"metadata": {"name": format!("{name}-{part}")}, "stringData": data});
            create(&secrets, secret).await?;
        }
        let instances: Api<db_operator::api::DatabaseInstance> = Api::all(self.client.clone());
        create(&instances, json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance", "metadata": {"name": name},
            "spec": {
                // Its address: its name is known in the cluster alone.
                "provider": self.sql.engine.provider(), "host": self.sql.address.ip().to_string(),
                "tls": {"mode": "verify-ca", "ca": {"secretRef": {"name": format!("{name}-ca"), "key": "ca.crt"}}},
                "adminSecretRef": {"name": format!("{name}-admin")},
                "allowedNamespaces": {"all": true},
                "backup": {"s3": {"bucket": BUCKET, "endpoint": endpoint, "pathStyle": true,
                    "credentialsSecretRef": {"name": format!("{name}-keys")}}},
            },
        }))
        .await?;
        self.operator.ensure()?;
        let spec = json!({"instanceRef": {"name": name}, "deletionPolicy": "Delete"});
        objects::apply(&self.client, name, name, spec).await?;
        eventually("the Database is created", LIMIT, async || {
            self.operator.ensure()?;
            Ok(self.rests().await?.then_some(()))
        })
        .await?;
        let mut session = self.session().await?;
        dataset::grow(&mut session, SIZE)
            .await
            .map_err(Error::trial("fill the Database"))?;
        session.close().await;
        Ok(())
    }

    /// A session of the Database's own user.
    pub async fn session(&self) -> Result<Session> {
        let secret = super::super::server::secret(&self.client, &self.name, &self.name).await?;
        let opened = Session::open(&self.client, &secret.unwrap_or_default()).await;
        opened.map_err(Error::trial("log in"))
    }

    /// Another operator, which does not run yet, on the same way.
    #[must_use]
    pub fn another(&self, identity: &str) -> Operator {
        Operator::new(Start {
            identity: format!("{}-{identity}", self.name),
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
    async fn rests(&self) -> Result<bool> {
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

    /// Takes everything of this bed from the cluster and the server, and brings the installed operator back. The files
    /// go unless they are to be `kept`.
    pub async fn clear(self, keep_files: bool) -> Result<()> {
        let taken = self.take_away().await;
        self.operator.kill();
        let back = self.stand_in.end().await;
        let folder = self.start.folder.clone();
        drop(self);
        if !keep_files {
            std::fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        taken.and(back)
    }

    async fn take_away(&self) -> Result<()> {
        let _ = self.faults.disarm();
        let databases: Api<Database> = Api::namespaced(self.client.clone(), &self.name);
        delete(&databases, &self.name).await?;
        eventually("the Database is gone", LIMIT, async || {
            self.operator.ensure()?;
            let left = databases.get_opt(&self.name).await;
            Ok(left
                .map_err(Error::trial("read the Database"))?
                .is_none()
                .then_some(()))
        })
        .await?;
        let instances: Api<db_operator::api::DatabaseInstance> = Api::all(self.client.clone());
        delete(&instances, &self.name).await?;
        eventually("the DatabaseInstance is gone", LIMIT, async || {
            self.operator.ensure()?;
            let left = instances.get_opt(&self.name).await;
            Ok(left
                .map_err(Error::trial("read the instance"))?
                .is_none()
                .then_some(()))
        })
        .await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        delete(&namespaces, &self.name).await?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        for part in ["admin", "ca", "keys"] {
            delete(&secrets, &format!("{}-{part}", self.name)).await?;
        }
        Ok(())
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

async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: serde::de::DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).map_err(Error::trial("write an object"))?;
    api.create(&PostParams::default(), &object)
        .await
        .map(drop)
        .map_err(Error::trial("make an object"))
}

async fn delete<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: serde::de::DeserializeOwned + Clone + std::fmt::Debug,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::trial(format!("delete {name}"))(error)),
    }
}
