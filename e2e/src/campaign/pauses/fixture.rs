//! What every trial runs on: a control plane, the cluster's servers behind tunnels, and leaders that follow each other.

use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::json;

use super::super::fixture::{TRIALS, instance};
use super::super::operator::{NAMESPACE, Operator, Start};
use super::super::server::{Engine, Server};
use super::super::{ControlPlane, control_plane};
use super::plan::Way;
use crate::cluster::Cluster;
use crate::fault_proxy::{Faults, Tunnel};
use crate::{Error, Result};

/// The fixture. Everything that runs ends with it; [`Fixture::clear`] also takes what is on the servers.
pub struct Fixture {
    /// A client of the control plane.
    pub client: Client,
    /// The servers.
    pub servers: Vec<Server>,
    /// The operators' cluster id, and what the names of all SQL databases begin with.
    pub prefix: String,
    folder: PathBuf,
    control_plane: ControlPlane,
    _tunnels: Vec<Tunnel>,
}

/// The fence of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// The epoch that stands; 0 where there is none yet.
    pub epoch: i64,
    /// Sessions that are registered under a former one.
    pub former: i64,
}

impl Fixture {
    /// Makes it, with the cluster's servers of these engines and without an operator.
    pub async fn start(cluster: &Cluster, engines: &[Engine]) -> Result<Self> {
        let prefix = format!("pauses{}", std::process::id());
        let namespaces = [NAMESPACE, TRIALS];
        let control_plane = ControlPlane::for_trial(cluster, &prefix, &namespaces).await?;
        let folder = control_plane.folder().to_owned();
        let client = control_plane.client().await?;
        let cluster_client = control_plane::client_of(&cluster.kubeconfig()).await?;
        let (mut servers, mut tunnels) = (Vec::new(), Vec::new());
        for engine in engines {
            let server = Server::find(cluster, &cluster_client, *engine).await?;
            let name = engine.name();
            // It lets nothing go wrong.
            let tunnel = Tunnel::to(server.address, name, Faults::new(|| ())).await?;
            let port = tunnel.address().port();
            instance(&client, &server, name, port, json!([])).await?;
            servers.push(server);
            tunnels.push(tunnel);
        }
        Ok(Self {
            client,
            servers,
            prefix,
            folder,
            control_plane,
            _tunnels: tunnels,
        })
    }

    /// Starts a process that asks for this lease. `paused` says how another one comes to lead when this one is paused.
    pub fn operator(&self, name: &str, lease: &str, paused: Way) -> Result<Operator> {
        let (ttl, renew) = match paused {
            Way::Servers => ("10m", "2s"),
            Way::Lease => ("2s", "500ms"),
        };
        let arguments = [
            "--lease-name",
            lease,
            "--lease-ttl",
            ttl,
            "--lease-renew",
            renew,
        ];
        let operator = Operator::new(Start {
            kubeconfig: self.control_plane.kubeconfig(),
            identity: name.to_owned(),
            cluster_id: self.prefix.clone(),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            folder: self.folder.clone(),
        });
        operator.ensure()?;
        Ok(operator)
    }

    /// How each server's fence stands.
    pub async fn fences(&self) -> Result<Vec<Fence>> {
        let sql = format!(
            "SELECT concat(e.epoch, ' ', (SELECT count(*) FROM db_operator.sessions s
               WHERE s.cluster_id = e.cluster_id AND s.epoch < e.epoch)) FROM db_operator.epochs e
             WHERE e.cluster_id = '{}'",
            self.prefix
        );
        let mut fences = Vec::new();
        for server in &self.servers {
            let said = server.ask(server.home(), &sql).await?;
            let numbers: Vec<i64> = said
                .iter()
                .flat_map(|row| row.split(' '))
                .filter_map(|number| number.parse().ok())
                .collect();
            fences.push(match numbers.as_slice() {
                [epoch, former] => Fence {
                    epoch: *epoch,
                    former: *former,
                },
                _ => Fence::default(),
            });
        }
        Ok(fences)
    }

    /// Where logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes everything of this fixture from the servers, and its files unless they are to be kept.
    pub async fn clear(self, keep_files: bool) -> Result<()> {
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
}
