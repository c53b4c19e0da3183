//! When a part does its work, and when the whole cluster does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::Cluster;
use crate::{Error, Result, command};

/// How long a part may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

impl Cluster {
    /// Waits until a part does its work. Fails at once if it ends.
    pub(super) fn wait_for_part(&self, part: &'static str) -> Result<()> {
        let kubectl = |arguments: &[&str]| command::output(self.kubectl().args(arguments)).is_ok();
        let healthy =
            |port: u16, path: &str| http_ok((self.settings().node_address(), port).into(), path);
        self.wait_while_running(part, &format!("{part} is ready"), || match part {
            "containerd" => command::output(self.ctr().args(["images", "list", "-q"])).is_ok(),
            "kube-apiserver" => kubectl(&["get", "--raw", "/readyz"]),
            // It makes this object, and no pod can be made without it.
            "kube-controller-manager" => kubectl(&["get", "serviceaccount", "default"]),
            "kubelet" => healthy(10248, "/healthz"),
            "kube-proxy" => healthy(10256, "/healthz"),
            "coredns" => healthy(8181, "/ready"),
            // Their work shows in what others can do: the API server stores, pods get their node.
            _ => true,
        })
    }

    /// Waits until pods can be started and reach Services.
    pub(super) fn wait_for_whole(&self) -> Result<()> {
        let condition = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}";
        self.wait_while_running("kubelet", "the node is Ready", || {
            let status = command::output(self.kubectl().args(["get", "nodes", "-o", condition]));
            status.is_ok_and(|status| status == "True")
        })?;
        let service = SocketAddr::from((self.settings().api_service_address(), 443));
        self.wait_while_running("kube-proxy", "Services are reachable", || {
            TcpStream::connect_timeout(&service, Duration::from_secs(1)).is_ok()
        })
    }

    /// Waits for a condition that a part is to bring about. Fails at once if the part ends.
    pub(super) fn wait_while_running(
        &self,
        part: &str,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) -> Result<()> {
        let log = self.logs_dir().join(format!("{part}.log"));
        command::wait_until(what, PATIENCE, Some(&log), || match self.process(part) {
            Some(_) => Ok(condition()),
            None => Err(ended(part, &log)),
        })
    }
}

/// A process that should run has ended.
pub(super) fn ended(name: &str, log: &Path) -> Error {
    Error::Failed {
        what: name.to_owned(),
        status: "it ended".to_owned(),
        tail: command::tail(log),
    }
}

/// Whether a GET of this path is answered with 200.
fn http_ok(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
