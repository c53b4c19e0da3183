//! What each test has for itself: a namespace, a lease, and processes that may use it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::fault_proxy::{Faults, Tunnel};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::support::access::{Access, api_server};
use crate::support::eventually;
use crate::support::operator::{LIMIT, Operator, Start};
use crate::{LEASE, RENEW, TTL};

/// A namespace, its lease, and a folder for kubeconfigs and logs.
pub(crate) struct Scene<'a> {
    pub namespace: &'a str,
    pub leases: Api<Lease>,
    pub access: Access,
    pub folder: PathBuf,
}

impl<'a> Scene<'a> {
    pub(crate) async fn new(client: &Client, namespace: &'a str) -> Self {
        let access = Access::to_leases(client, namespace).await;
        Self::with(client, namespace, access)
    }

    pub(crate) fn with(client: &Client, namespace: &'a str, access: Access) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(namespace);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            namespace,
            leases: Api::namespaced(client.clone(), namespace),
            access,
            folder,
        }
    }

    pub(crate) fn start(&self, identity: &str) -> Operator {
        self.start_behind(identity, None)
    }

    pub(crate) fn start_behind(&self, identity: &str, proxy: Option<&Tunnel>) -> Operator {
        self.start_for(identity, proxy, (TTL, RENEW))
    }

    /// With another lease than the tests' short one: how long it lives, and how often it is renewed.
    pub(crate) fn start_for(
        &self,
        identity: &str,
        proxy: Option<&Tunnel>,
        (ttl, renew): (Duration, Duration),
    ) -> Operator {
        let proxy = proxy.map(Tunnel::address);
        Operator::start(&Start {
            folder: &self.folder,
            kubeconfig: &self.access.kubeconfig(&self.folder, identity, proxy),
            namespace: self.namespace,
            identity,
            ttl,
            renew,
        })
    }

    /// What can be put between an operator and the API server.
    pub(crate) async fn proxy() -> Tunnel {
        Tunnel::to(api_server().await, "api", Faults::none())
            .await
            .unwrap()
    }

    /// A leader `a` and a standby `b`.
    pub(crate) async fn pair(&self) -> (Operator, Operator) {
        let a = self.start("a");
        a.leading().await;
        let b = self.start("b");
        b.standing_by().await;
        eventually("the standby is ready", LIMIT, async || {
            b.is_ready().await.then_some(())
        })
        .await;
        (a, b)
    }

    pub(crate) async fn holder(&self) -> Option<String> {
        let lease = self.leases.get_opt(LEASE).await.unwrap()?;
        lease.spec?.holder_identity
    }

    pub(crate) async fn transitions(&self) -> i32 {
        let lease = self.leases.get(LEASE).await.unwrap();
        lease.spec.unwrap().lease_transitions.unwrap_or(0)
    }

    pub(crate) async fn write(&self, spec: Value) {
        let lease = json!({"metadata": {"name": LEASE}, "spec": spec});
        let lease = serde_json::from_value(lease).unwrap();
        self.leases
            .create(&PostParams::default(), &lease)
            .await
            .unwrap();
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // The logs of a failed test stay.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
