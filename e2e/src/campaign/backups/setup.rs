//! The objects of a trial in the cluster: a namespace, instances with their Secrets, and a Database with rows.

use std::net::SocketAddr;
use std::path::Path;

use db_operator::api::DatabaseInstance;
use db_operator::store::{Keys, Store, StoreConfig};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::super::operator::NAMESPACE;
use super::super::server::secret;
use super::super::{Engine, Server, eventually, fixture as objects};
use super::fixture::{BUCKET, Fixture, LIMIT};
use crate::dataset;
use crate::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use crate::testing::Session;
use crate::{Error, Result};

/// The Database's size, so that its dump can be killed in the middle.
const SIZE: u64 = 24 << 20;

impl Fixture {
    /// Makes it.
    pub(super) async fn set_up(&self, endpoint: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let labels = json!({"db-operator.dev/e2e": "true"});
        create(
            &namespaces,
            json!({"metadata": {"name": self.name, "labels": labels}}),
        )
        .await?;
        let name = &self.name;
        let keys =
            json!({"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY});
        self.make_secret(&format!("{name}-keys"), keys).await?;
        for (server, tunnel) in &self.servers {
            self.make_instance(server, tunnel.address(), endpoint)
                .await?;
        }
        self.operator.ensure()?;
        let Some((first, _)) = self.servers.first() else {
            return Err(Error::Precondition("there is no server".to_owned()));
        };
        self.make_database(name, first.engine, json!({})).await?;
        let mut session = self.session().await?;
        dataset::grow(&mut session, SIZE)
            .await
            .map_err(Error::trial("fill the Database"))?;
        session.close().await;
        Ok(())
    }

    /// A Secret beside the operator.
    async fn make_secret(&self, name: &str, data: Value) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let secret = json!({"metadata": {"name": name}, "stringData": data});
        create(&secrets, secret).await
    }

    /// An instance whose server is behind a tunnel, for the operator and for pods.
    async fn make_instance(
        &self,
        server: &Server,
        tunnel: SocketAddr,
        endpoint: &str,
    ) -> Result<()> {
        let name = self.instance(server.engine);
        self.make_secret(&format!("{name}-admin"), json!(server.admin))
            .await?;
        self.make_secret(&format!("{name}-ca"), json!({"ca.crt": server.ca}))
            .await?;
        let tls = match server.engine {
            Engine::Postgres | Engine::Mysql => {
                json!({"mode": "verify-ca", "ca": {"secretRef": {"name": format!("{name}-ca"), "key": "ca.crt"}}})
            }
            // Its client checks no authority without the name, which is not the tunnel's.
            Engine::Mariadb => json!({"mode": "require"}),
        };
        let instances: Api<DatabaseInstance> = Api::all(self.client.clone());
        create(&instances, json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance", "metadata": {"name": name},
            "spec": {
                "provider": server.engine.provider(), "host": tunnel.ip().to_string(), "port": tunnel.port(),
                "tls": tls,
                "adminSecretRef": {"name": format!("{name}-admin")},
                "allowedNamespaces": {"all": true},
                "backup": {"s3": {"bucket": BUCKET, "endpoint": endpoint, "pathStyle": true,
                    "credentialsSecretRef": {"name": format!("{}-keys", self.name)}}},
            },
        }))
        .await
    }

    /// Makes a Database on the server of this engine, with what `spec` says besides, and waits until it can be used.
    pub async fn make_database(&self, name: &str, engine: Engine, spec: Value) -> Result<()> {
        let mut spec = spec;
        spec["instanceRef"] = json!({"name": self.instance(engine)});
        spec["deletionPolicy"] = json!("Delete");
        objects::apply(&self.client, &self.name, name, spec).await?;
        eventually("the Database is created", LIMIT, async || {
            self.operator.ensure()?;
            Ok(self.is_at_rest(name).await?.then_some(()))
        })
        .await
    }

    /// A session of the Database's own user.
    pub async fn session(&self) -> Result<Session> {
        self.session_of(&self.name).await
    }

    /// A session with what the Secret of a Database says.
    pub async fn session_of(&self, database: &str) -> Result<Session> {
        let values = secret(&self.client, &self.name, database).await?;
        let mut values = values.unwrap_or_default();
        if let Some((server, _)) = self.servers.first() {
            // All have the same authority, and not each instance names it.
            let named = values.entry("ca.crt".to_owned());
            named.or_insert_with(|| server.ca.clone());
        }
        let opened = Session::open(&self.client, &values).await;
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

    /// Takes it away; what is on the servers goes with the Databases.
    pub(super) async fn take_away(&self) -> Result<()> {
        let _ = self.faults.disarm();
        let databases = self.databases();
        let all = databases.list(&ListParams::default()).await;
        for database in all.map_err(Error::trial("list the Databases"))? {
            self.remove(&databases, &database.name_any()).await?;
        }
        let instances: Api<DatabaseInstance> = Api::all(self.client.clone());
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        for (server, _) in &self.servers {
            let name = self.instance(server.engine);
            self.remove(&instances, &name).await?;
            for part in ["admin", "ca"] {
                delete(&secrets, &format!("{name}-{part}")).await?;
            }
        }
        delete(&secrets, &format!("{}-keys", self.name)).await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        delete(&namespaces, &self.name).await
    }

    /// Deletes an object, and waits until it is gone.
    pub async fn remove<K>(&self, api: &Api<K>, name: &str) -> Result<()>
    where
        K: serde::de::DeserializeOwned + Clone + std::fmt::Debug,
    {
        delete(api, name).await?;
        eventually(&format!("{name} is gone"), LIMIT, async || {
            self.operator.ensure()?;
            let left = api.get_opt(name).await;
            let left = left.map_err(Error::trial(format!("read {name}")))?;
            Ok(left.is_none().then_some(()))
        })
        .await
    }
}

/// Makes an object.
pub(crate) async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
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

/// A client of the store.
pub(super) async fn store(server: &S3Server) -> Result<Store> {
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
pub(super) async fn cluster_id(client: &Client) -> Result<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get("kube-system").await;
    let found = found.map_err(Error::trial("read a namespace"))?;
    Ok(found.uid().unwrap_or_default())
}

pub(super) fn write_kubeconfig(path: &Path, proxy: SocketAddr) -> Result<()> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{proxy}")}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
    });
    std::fs::write(path, config.to_string()).map_err(Error::io("write", path))
}
