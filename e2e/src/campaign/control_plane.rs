//! A bare control plane: etcd and an API server, with the definitions of `crds/` and nothing that runs in it.
//!
//! The operator looks after every object that it can see, and so does any other operator. With an API server of its
//! own a trial disturbs nobody, and nobody disturbs it. Nothing collects garbage here: a trial does that itself.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use super::eventually;
use crate::cluster::{Authority, Cluster, signing_key};
use crate::{Error, Result, clone_root, command, kubeconfig, objects};

/// How long an API server may take to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A control plane. It ends with this value, or with the thread that started it.
pub struct ControlPlane {
    folder: PathBuf,
    port: u16,
    processes: Vec<Child>,
}

impl ControlPlane {
    /// Starts one for a trial with this name, in a folder of its own, with these namespaces.
    pub async fn for_trial(cluster: &Cluster, name: &str, namespaces: &[&str]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("db-operator-{name}"));
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let control_plane = Self::start(cluster, &folder).await?;
        for namespace in namespaces {
            control_plane.namespace(namespace).await?;
        }
        Ok(control_plane)
    }

    /// Starts one with the programs of the cluster, which must be up; it keeps everything in `folder`.
    pub async fn start(cluster: &Cluster, folder: &Path) -> Result<Self> {
        let ports = free_ports()?;
        let authority = Authority::open(&folder.join("pki"), "control-plane")?;
        let server = authority.server(&["127.0.0.1", "localhost"])?;
        let admin = authority.client("campaign", &["system:masters"])?;
        write(&folder.join("server.crt"), &server.certificate)?;
        write(&folder.join("server.key"), &server.key)?;
        let (private, public) = signing_key()?;
        write(&folder.join("accounts.key"), &private)?;
        write(&folder.join("accounts.pub"), &public)?;
        let url = format!("https://127.0.0.1:{}", ports[2]);
        let text = kubeconfig::render(&url, &authority.certificate()?, &admin);
        write(&folder.join("kubeconfig"), &text)?;

        let mut control_plane = Self {
            folder: folder.to_owned(),
            port: ports[2],
            processes: Vec::new(),
        };
        let here = folder.display();
        let (etcd, peer) = (ports[0], ports[1]);
        control_plane.launch(cluster, "etcd", &format!(
            "--data-dir={here}/etcd --unsafe-no-fsync --log-level=error --listen-client-urls=http://127.0.0.1:{etcd} \
             --advertise-client-urls=http://127.0.0.1:{etcd} --listen-peer-urls=http://127.0.0.1:{peer} \
             --initial-advertise-peer-urls=http://127.0.0.1:{peer} --initial-cluster=default=http://127.0.0.1:{peer}"
        ))?;
        control_plane.launch(cluster, "kube-apiserver", &format!(
            "--etcd-servers=http://127.0.0.1:{etcd} --bind-address=127.0.0.1 --secure-port={port} \
             --advertise-address=192.0.2.1 --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/24 \
             --authorization-mode=RBAC --disable-admission-plugins=ServiceAccount \
             --client-ca-file={ca} --tls-cert-file={here}/server.crt --tls-private-key-file={here}/server.key \
             --service-account-issuer=https://kubernetes.default.svc \
             --service-account-key-file={here}/accounts.pub --service-account-signing-key-file={here}/accounts.key",
            port = control_plane.port,
            ca = authority.certificate_path().display(),
        ))?;
        control_plane.wait_until_ready().await?;
        control_plane.define(cluster)?;
        Ok(control_plane)
    }

    /// A kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Where its logs and files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The API server's address.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A client of an administrator.
    pub async fn client(&self) -> Result<Client> {
        client_of(&self.kubeconfig()).await
    }

    /// A kubeconfig with the API server behind a TCP proxy.
    pub fn kubeconfig_through(&self, proxy: std::net::SocketAddr) -> Result<PathBuf> {
        let path = self.kubeconfig();
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let through = self.folder.join(format!("kubeconfig-{}", proxy.port()));
        write(
            &through,
            &text.replace(&self.address().to_string(), &proxy.to_string()),
        )?;
        Ok(through)
    }

    /// A kubeconfig for a proxy that needs no credentials.
    pub fn kubeconfig_plain(&self, proxy: std::net::SocketAddr) -> Result<PathBuf> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{proxy}")}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        let path = self.folder.join(format!("kubeconfig-{}", proxy.port()));
        write(&path, &config.to_string())?;
        Ok(path)
    }

    /// Makes a namespace.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client().await?);
        let mut wanted = Namespace::default();
        wanted.metadata.name = Some(name.to_owned());
        namespaces
            .create(&PostParams::default(), &wanted)
            .await
            .map_err(Error::trial(format!("make the namespace {name}")))?;
        Ok(())
    }

    fn launch(&mut self, cluster: &Cluster, name: &str, arguments: &str) -> Result<()> {
        let program = cluster.tools_dir().join(name);
        if !program.is_file() {
            return Err(Error::Precondition(
                "the cluster is not up: run `cargo xtask up`".to_owned(),
            ));
        }
        let log = self.folder.join(format!("{name}.log"));
        let output = File::create(&log).map_err(Error::io("create", &log))?;
        let mut command = dying_with_us(&program);
        command
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        let child = command.spawn().map_err(|source| Error::Spawn {
            program: name.to_owned(),
            source,
        })?;
        self.processes.push(child);
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let client = self.client().await?;
        eventually("the API server of the campaign", START, async || {
            for child in &mut self.processes {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(Error::Failed {
                        what: "the control plane of the campaign".to_owned(),
                        status: status.to_string(),
                        tail: command::tail(&self.folder.join("kube-apiserver.log")),
                    });
                }
            }
            let request = http::Request::get("/readyz").body(Vec::new());
            let request = request.map_err(Error::trial("ask whether it is ready"))?;
            Ok(client.request_text(request).await.ok())
        })
        .await?;
        Ok(())
    }

    fn define(&self, cluster: &Cluster) -> Result<()> {
        let kubectl = || {
            let mut kubectl = Command::new(cluster.tools_dir().join("kubectl"));
            kubectl.arg("--kubeconfig").arg(self.kubeconfig());
            kubectl
        };
        let mut apply = kubectl();
        apply
            .args(["apply", "--server-side", "--kustomize"])
            .arg(clone_root().join("crds"));
        command::output(&mut apply)?;
        objects::wait_until_established(kubectl)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().rev() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        // etcd's files are of no use any more; the logs stay where a failure keeps the folder.
        let _ = std::fs::remove_dir_all(self.folder.join("etcd"));
    }
}

/// A client from a kubeconfig file.
pub async fn client_of(path: &Path) -> Result<Client> {
    let trial = || format!("read {}", path.display());
    let file = Kubeconfig::read_from(path).map_err(Error::trial(trial()))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(Error::trial(trial()))?;
    // A fault must reach whoever asked.
    config.default_retry = false;
    Client::try_from(config).map_err(Error::trial("make a client"))
}

/// A command that is killed when the thread that starts it ends.
#[must_use]
pub fn dying_with_us(program: &Path) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .env_clear();
    command
}

fn free_ports() -> Result<Vec<u16>> {
    // All are held until the last is known, so that they differ.
    let listeners: std::io::Result<Vec<TcpListener>> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let listeners = listeners.map_err(Error::trial("find a free port"))?;
    let ports: std::io::Result<Vec<u16>> = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect();
    ports.map_err(Error::trial("find a free port"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::io("write", path))
}
