//! What is set up for a run, and put back after it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use db_operator::api::Database;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde_json::{Value, json};

use super::meter::Meter;
use super::operator::{IDENTITY, Operator, Start};
use super::phase;
use super::server::{Engine, Server};
use super::timeline::Timeline;
use crate::cluster::Cluster;
use crate::command::say;
use crate::operator::DEPLOYMENT;
use crate::servers::OPERATOR_NAMESPACE;
use crate::{Error, Result, command};

/// How long the operator may take until it leads, and its first Databases until they are created.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A namespace for the Databases, the operator outside the cluster in the place of the one inside.
pub(super) struct Environment<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: String,
    pub(super) servers: BTreeMap<Engine, Server>,
    pub(super) timeline: Timeline,
    client: Client,
    binary: PathBuf,
    /// Of the operator in the cluster; none where it is not installed as a Deployment.
    replicas: Option<String>,
}

impl<'a> Environment<'a> {
    /// Sets everything up but the operator.
    pub(super) async fn set(cluster: &'a Cluster, binary: PathBuf) -> Result<Self> {
        let replicas = replicas(cluster)?;
        let client = client(cluster).await?;
        let mut servers = BTreeMap::new();
        for engine in Engine::ALL {
            servers.insert(engine, Server::find(&client, engine).await?);
        }
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted = json!({"metadata": {
            "generateName": format!("{}-", phase::PREFIX),
            "labels": {"db-operator.dev/e2e": "true"},
        }});
        let wanted = serde_json::from_value(wanted).map_err(Error::trial("write a namespace"))?;
        let made = namespaces.create(&PostParams::default(), &wanted).await;
        let namespace = made.map_err(Error::trial("make a namespace"))?.name_any();
        let timeline = Timeline::of(&client, &namespace);
        let environment = Self {
            cluster,
            namespace,
            servers,
            timeline,
            client,
            binary,
            replicas,
        };
        if environment.replicas.is_some()
            && let Err(error) = scale(cluster, "0")
        {
            environment.clear()?;
            return Err(error);
        }
        Ok(environment)
    }

    /// Gives the place back to the operator in the cluster, which also deletes what an interrupted run left.
    pub(super) fn clear(&self) -> Result<()> {
        let replicas = self.replicas.as_deref();
        let scaled = replicas.map_or(Ok(()), |replicas| scale(self.cluster, replicas));
        let mut delete = self.cluster.kubectl();
        delete.args(["delete", "namespace", &self.namespace, "--timeout=120s"]);
        command::run(
            "Deleting the namespace",
            &mut delete,
            &self.cluster.logs_dir().join("bench-clear.log"),
        )?;
        scaled
    }

    /// Starts the operator and waits until it leads.
    pub(super) async fn start_operator(&self, resync: Option<Duration>) -> Result<Operator> {
        let folder = self.cluster.logs_dir();
        let kubeconfig = folder.join("bench-kubeconfig");
        let access = kubeconfig_of(self.cluster)?.to_string();
        let resolv_conf = folder.join("bench-resolv.conf");
        let dns = format!(
            "nameserver {}\nsearch svc.cluster.local cluster.local\noptions ndots:5\n",
            self.cluster.settings().node_address()
        );
        for (path, text) in [(&kubeconfig, access), (&resolv_conf, dns)] {
            std::fs::write(path, text).map_err(Error::io("write", path))?;
        }
        let log = folder.join("bench-operator.log");
        let operator = Operator::start(&Start {
            binary: &self.binary,
            kubeconfig: &kubeconfig,
            resolv_conf: &resolv_conf,
            namespace: OPERATOR_NAMESPACE,
            log: &log,
            resync,
            image: image(self.cluster)?,
        });
        let operator = operator?;
        self.until_leading(&log).await?;
        // One was read and the other is mounted. A token does not stay behind.
        for path in [&kubeconfig, &resolv_conf] {
            std::fs::remove_file(path).map_err(Error::io("remove", path))?;
        }
        Ok(operator)
    }

    async fn until_leading(&self, log: &std::path::Path) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let leads = async {
            loop {
                let lease = leases.get_opt(DEPLOYMENT).await;
                let lease = lease.map_err(Error::trial("read the lease"))?;
                let holder = lease.and_then(|lease| lease.spec?.holder_identity);
                if holder.as_deref() == Some(IDENTITY) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, leads)
            .await
            .unwrap_or_else(|_| {
                Err(Error::Timeout {
                    what: "the operator leads".to_owned(),
                    seconds: READY_WITHIN.as_secs(),
                    tail: command::tail(log),
                })
            })
    }

    /// One Database on each server, so that what follows is not about a process that just began.
    pub(super) async fn warm_up(&self) -> Result<()> {
        for engine in Engine::ALL {
            let name = format!("{}-{}-first", phase::of_run(), engine.name());
            let object = serde_json::from_value(phase::database(engine, &name))
                .map_err(Error::trial("write a Database"))?;
            self.databases()
                .create(&PostParams::default(), &object)
                .await
                .map_err(Error::trial("make a Database"))?;
            self.timeline.created(&name, READY_WITHIN).await?;
        }
        Ok(())
    }

    /// A client of the cluster, as its administrator.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Counts what the operator does.
    pub(super) fn meter(&self) -> Meter {
        Meter::new(self.cluster, account(), &self.servers)
    }

    /// The Databases of the run.
    pub(super) fn databases(&self) -> Api<Database> {
        self.namespaced()
    }

    /// The objects of a kind in the run's namespace.
    pub(super) fn namespaced<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// The operator's own user: it may do what it may do in the cluster, and its requests are told from all others.
fn account() -> String {
    format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{DEPLOYMENT}")
}

/// A kubeconfig with a token of the operator's service account.
fn kubeconfig_of(cluster: &Cluster) -> Result<Value> {
    let mut create = cluster.kubectl();
    create
        .args(["create", "token", DEPLOYMENT, "--duration=2h"])
        .args(["--namespace", OPERATOR_NAMESPACE]);
    let token = command::output(&mut create)?;
    let path = cluster.kubeconfig();
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let mut config: Value =
        serde_yaml_ng::from_str(&text).map_err(Error::trial("read the kubeconfig"))?;
    config["users"][0]["user"] = json!({"token": token});
    Ok(config)
}

/// A client of the cluster, as its administrator.
pub(super) async fn client(cluster: &Cluster) -> Result<Client> {
    let doing = || Error::trial("connect to the cluster");
    let kubeconfig =
        Kubeconfig::read_from(cluster.kubeconfig()).map_err(Error::trial("read the kubeconfig"))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(Error::trial("read the kubeconfig"))?;
    Client::try_from(config).map_err(doing())
}

/// How many replicas the Deployment asks for, if there is one.
fn replicas(cluster: &Cluster) -> Result<Option<String>> {
    let mut get = cluster.kubectl();
    get.args(["get", &format!("deployment/{DEPLOYMENT}")])
        .args(["--namespace", OPERATOR_NAMESPACE])
        .args(["--ignore-not-found", "--output=jsonpath={.spec.replicas}"]);
    let replicas = command::output(&mut get)?;
    Ok((!replicas.is_empty()).then_some(replicas))
}

/// The operator's own image, which the pods of backups need; none where it is not installed as a Deployment.
fn image(cluster: &Cluster) -> Result<Option<String>> {
    let mut get = cluster.kubectl();
    let image = "--output=jsonpath={.spec.template.spec.containers[0].image}";
    get.args(["get", &format!("deployment/{DEPLOYMENT}")])
        .args(["--namespace", OPERATOR_NAMESPACE])
        .args(["--ignore-not-found", image]);
    let image = command::output(&mut get)?;
    Ok((!image.is_empty()).then_some(image))
}

/// Scales the operator in the cluster, and waits until no pod of it is left when that is none.
fn scale(cluster: &Cluster, replicas: &str) -> Result<()> {
    say(&format!("The operator in the cluster: {replicas} replicas"));
    let target = format!("deployment/{DEPLOYMENT}");
    let mut scale = cluster.kubectl();
    scale
        .args(["scale", &target, "--namespace", OPERATOR_NAMESPACE])
        .arg(format!("--replicas={replicas}"));
    command::output(&mut scale)?;
    if replicas != "0" {
        return Ok(());
    }
    let mut wait = cluster.kubectl();
    wait.args(["wait", "pod", "--for=delete", "--timeout=60s"])
        .args(["--namespace", OPERATOR_NAMESPACE])
        .args([
            "--selector",
            &format!("app.kubernetes.io/name={DEPLOYMENT}"),
        ]);
    command::output(&mut wait).map(drop)
}
