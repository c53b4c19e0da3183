//! Processes that never lead.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::TTL;
use crate::scene::Scene;
use crate::support::access::Access;
use crate::support::client;
use crate::support::namespace::in_namespace;
use crate::support::operator::{LIMIT, Operator, Start};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_stops_when_asked() {
    let client = client().await;
    in_namespace(&client, "leader-standby", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let (a, mut b) = scene.pair().await;
        b.signal(Signal::SIGTERM);
        assert!(b.ended(LIMIT).await.success(), "{}", b.log());
        assert_eq!(scene.holder().await.as_deref(), Some("a"));
        assert!(a.leads().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_use_the_lease_says_what_is_missing() {
    let client = client().await;
    in_namespace(&client, "leader-rbac", async |namespace| {
        for (access, sentence) in [
            (
                Access::to_nothing(&client, namespace).await,
                "the service account needs get, create and patch on leases",
            ),
            (
                Access::unknown(namespace),
                "check the service account's token",
            ),
        ] {
            let scene = Scene::with(&client, namespace, access);
            let mut a = scene.start("a");
            a.logged(sentence).await;
            assert!(a.runs() && !a.is_ready().await && !a.leads().await);
            assert_eq!(a.log().matches(sentence).count(), 1, "{}", a.log());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_in_the_settings_is_said_at_once() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut a = Operator::start(&Start {
        folder,
        kubeconfig: folder,
        namespace: "default",
        identity: "contradiction",
        ttl: TTL,
        renew: TTL,
    });
    assert_eq!(a.ended(LIMIT).await.code(), Some(1));
    assert!(a.log().contains("renew more often"), "{}", a.log());
}
