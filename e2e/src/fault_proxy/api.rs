//! In front of an API server, as `kubectl proxy` is one: plain HTTP for the operator, which has no credentials of its
//! own behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::Request;
use kube::Client;

use super::Faults;
use super::http::{Decide, Dialect, HttpProxy, is_watch};
use crate::Result;

/// A proxy that ends with this value.
pub struct ApiProxy(HttpProxy);

impl ApiProxy {
    /// Listens on a port of its own, and asks as this client. Leases and the opening of watches are not counted.
    pub async fn to(client: Client, faults: Faults) -> Result<Self> {
        Self::new(client, faults, None).await
    }

    /// The same, and only requests for what is in this namespace are counted.
    pub async fn within(client: Client, faults: Faults, namespace: &str) -> Result<Self> {
        Self::new(client, faults, Some(format!("/namespaces/{namespace}/"))).await
    }

    async fn new(client: Client, faults: Faults, within: Option<String>) -> Result<Self> {
        let count = faults.clone();
        let decide: Decide = Arc::new(move |request: Request| {
            let path = request.uri().path();
            let counted = !is_watch(&request)
                && !path.contains("/leases")
                && within.as_ref().is_none_or(|within| path.contains(within));
            let fault = if counted {
                count.next(|| format!("{} {path}", request.method()))
            } else {
                None
            };
            (request, fault)
        });
        let here = Ipv4Addr::LOCALHOST.into();
        let proxy = HttpProxy::start(here, client, Dialect::Kubernetes, faults, decide).await?;
        Ok(Self(proxy))
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
