//! One leader, with the built binary and a real API server: who leads, when, and how it ends.
//!
//! Each test has a namespace and a lease of its own. The processes may use that lease and nothing else,
//! so that they do not touch what another operator in the cluster looks after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use db_operator::leader::Precondition;
use db_operator::metrics::Metrics;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use support::access::{Access, api_server};
use support::namespace::in_namespace;
use support::operator::{LIMIT, Operator, Start};
use support::proxy::Proxy;
use support::{always, client, eventually};

const TTL: Duration = Duration::from_secs(4);
const RENEW: Duration = Duration::from_secs(1);
const LEASE: &str = "db-operator";

/// A namespace, its lease, and a folder for kubeconfigs and logs.
struct Scene<'a> {
    namespace: &'a str,
    leases: Api<Lease>,
    access: Access,
    folder: PathBuf,
}

impl<'a> Scene<'a> {
    async fn new(client: &Client, namespace: &'a str) -> Self {
        let access = Access::to_leases(client, namespace).await;
        Self::with(client, namespace, access)
    }

    fn with(client: &Client, namespace: &'a str, access: Access) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(namespace);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            namespace,
            leases: Api::namespaced(client.clone(), namespace),
            access,
            folder,
        }
    }

    fn start(&self, identity: &str) -> Operator {
        self.start_behind(identity, None)
    }

    fn start_behind(&self, identity: &str, proxy: Option<&Proxy>) -> Operator {
        let proxy = proxy.map(Proxy::address);
        Operator::start(&Start {
            folder: &self.folder,
            kubeconfig: &self.access.kubeconfig(&self.folder, identity, proxy),
            namespace: self.namespace,
            identity,
            ttl: TTL,
            renew: RENEW,
        })
    }

    /// A leader `a` and a standby `b`.
    async fn pair(&self) -> (Operator, Operator) {
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

    async fn holder(&self) -> Option<String> {
        let lease = self.leases.get_opt(LEASE).await.unwrap()?;
        lease.spec?.holder_identity
    }

    async fn transitions(&self) -> i32 {
        let lease = self.leases.get(LEASE).await.unwrap();
        lease.spec.unwrap().lease_transitions.unwrap_or(0)
    }

    async fn write(&self, spec: Value) {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_hands_over_at_once() {
    let client = client().await;
    in_namespace(&client, "leader-term", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let (mut a, b) = scene.pair().await;

        let asked = Instant::now();
        a.signal(Signal::SIGTERM);
        b.leading().await;
        let took = asked.elapsed();

        println!("SIGTERM to the next leader: {took:?}");
        assert!(took <= Duration::from_secs(2), "{took:?}");
        assert_eq!(scene.holder().await.as_deref(), Some("b"));
        assert!(a.ended(LIMIT).await.success(), "{}", a.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_followed_within_lease_and_renewal() {
    let client = client().await;
    in_namespace(&client, "leader-kill", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let (a, b) = scene.pair().await;

        let killed = Instant::now();
        a.signal(Signal::SIGKILL);
        b.leading().await;
        let took = killed.elapsed();

        println!("SIGKILL to the next leader: {took:?}");
        assert!(took <= TTL + RENEW, "{took:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_wakes_up_to_end() {
    let client = client().await;
    in_namespace(&client, "leader-freeze", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let proxy = Proxy::to(api_server().await).await;
        let mut a = scene.start_behind("a", Some(&proxy));
        a.leading().await;
        let b = scene.start("b");
        b.standing_by().await;

        a.signal(Signal::SIGSTOP);
        b.leading().await;
        let sent_before = proxy.requests_sent();
        assert!(sent_before > 0);
        let transitions = scene.transitions().await;
        a.signal(Signal::SIGCONT);

        let status = a.ended(LIMIT).await;
        assert_eq!(status.code(), Some(1), "{}", a.log());
        assert!(
            a.log()
                .contains("stopped leading: the lease was not renewed in time"),
            "{}",
            a.log()
        );
        let sent = proxy.requests_sent() - sent_before;
        assert_eq!(sent, 0, "requests were sent after waking up");
        assert_eq!(scene.holder().await.as_deref(), Some("b"));
        assert_eq!(scene.transitions().await, transitions);
        assert!(b.leads().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_the_api_server_ends_by_the_clock() {
    let client = client().await;
    in_namespace(&client, "leader-cut", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let proxy = Proxy::to(api_server().await).await;
        let mut a = scene.start_behind("a", Some(&proxy));
        a.leading().await;
        let mut c = scene.start_behind("c", Some(&proxy));
        c.standing_by().await;

        let cut = Instant::now();
        proxy.cut();
        let status = a.ended(TTL).await;
        println!("cut to the leader's end: {:?}", cut.elapsed());
        assert_eq!(status.code(), Some(1), "{}", a.log());
        assert!(
            a.log().contains("the API server cannot be reached"),
            "{}",
            a.log()
        );
        // A standby has nothing to lose: it waits, says that it is not ready, and leads later.
        eventually("the standby is not ready", LIMIT, async || {
            (!c.is_ready().await).then_some(())
        })
        .await;
        assert!(c.runs(), "{}", c.log());
        assert!(!c.leads().await);
        proxy.mend();
        c.leading().await;
        assert_eq!(scene.holder().await.as_deref(), Some("c"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_shorter_than_the_lease_changes_nothing() {
    let client = client().await;
    in_namespace(&client, "leader-blink", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let proxy = Proxy::to(api_server().await).await;
        let a = scene.start_behind("a", Some(&proxy));
        a.leading().await;
        let b = scene.start("b");
        b.standing_by().await;

        proxy.cut();
        a.logged("the lease was not renewed, trying again").await;
        proxy.mend();
        always("the first leads", TTL + RENEW, async || {
            a.leads().await && !b.leads().await
        })
        .await;
        assert_eq!(scene.transitions().await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_holds_never_wedges() {
    let now = jiff::Timestamp::now();
    let now = format!("{now:.6}");
    for (name, spec) in [
        ("no-spec", json!({})),
        (
            "no-holder",
            json!({"leaseDurationSeconds": 4, "leaseTransitions": 3, "renewTime": now}),
        ),
        (
            "no-times",
            json!({"holderIdentity": "", "leaseTransitions": 3}),
        ),
        (
            "released",
            json!({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 3,
                   "renewTime": now, "acquireTime": now}),
        ),
    ] {
        let client = client().await;
        in_namespace(&client, "leader-nobody", async |namespace| {
            let scene = Scene::new(&client, namespace).await;
            scene.write(spec).await;
            let a = scene.start("a");
            a.leading().await;
            assert_eq!(scene.holder().await.as_deref(), Some("a"), "{name}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_holder_is_outwaited_whatever_its_clock_says() {
    let client = client().await;
    in_namespace(&client, "leader-skew", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let future = jiff::Timestamp::now() + Duration::from_hours(1);
        let future = format!("{future:.6}");
        scene
            .write(
                json!({"holderIdentity": "gone", "leaseDurationSeconds": 4, "leaseTransitions": 1,
                          "renewTime": future, "acquireTime": future}),
            )
            .await;
        let began = Instant::now();
        let a = scene.start("a");
        a.leading().await;
        assert!(began.elapsed() >= TTL, "{:?}", began.elapsed());
        assert_eq!(scene.transitions().await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_lease_stays_with_its_leader() {
    let client = client().await;
    in_namespace(&client, "leader-deleted", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let (mut a, b) = scene.pair().await;
        scene
            .leases
            .delete(LEASE, &DeleteParams::default())
            .await
            .unwrap();
        eventually("the leader makes the lease again", LIMIT, async || {
            (scene.holder().await.as_deref() == Some("a")).then_some(())
        })
        .await;
        assert!(a.leads().await && a.runs());
        assert!(!b.leads().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_taken_away_ends_its_leader() {
    let client = client().await;
    in_namespace(&client, "leader-taken", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let mut a = scene.start("a");
        a.leading().await;
        let other = json!({"spec": {"holderIdentity": "someone"}});
        scene
            .leases
            .patch(LEASE, &PatchParams::default(), &Patch::Merge(other))
            .await
            .unwrap();
        assert_eq!(a.ended(LIMIT).await.code(), Some(1));
        assert!(
            a.log().contains("the lease was taken over by \"someone\""),
            "{}",
            a.log()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_candidates_one_leads() {
    let client = client().await;
    in_namespace(&client, "leader-many", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let long_ago = "2020-01-01T00:00:00.000000Z";
        scene
            .write(
                json!({"holderIdentity": "gone", "leaseDurationSeconds": 1, "leaseTransitions": 1,
                          "renewTime": long_ago, "acquireTime": long_ago}),
            )
            .await;
        let all = ["a", "b", "c", "d"].map(|identity| scene.start(identity));
        let leaders = async || {
            let mut count = 0;
            for operator in &all {
                count += usize::from(operator.leads().await);
            }
            count
        };
        eventually("one leads", LIMIT, async || {
            (leaders().await == 1).then_some(())
        })
        .await;
        always("one leads", TTL, async || leaders().await == 1).await;
        assert_eq!(scene.transitions().await, 2);
    })
    .await;
}

/// What keeps two candidates apart that saw the same lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_an_old_look_is_refused() {
    let client = client().await;
    in_namespace(&client, "leader-write", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        scene.write(json!({"holderIdentity": "first"})).await;
        let seen = scene.leases.get(LEASE).await.unwrap();
        let precondition = Precondition::default();
        let config = Config::infer().await.unwrap();
        let client =
            db_operator::client::for_lease(config, precondition.clone(), &Metrics::new()).unwrap();
        let leases: Api<Lease> = Api::namespaced(client, namespace);
        let patch = async |holder: &str| {
            let patch = Patch::Merge(json!({"spec": {"holderIdentity": holder}}));
            leases.patch(LEASE, &PatchParams::default(), &patch).await
        };

        precondition.expect(seen.metadata.resource_version);
        patch("second").await.unwrap();
        let refused = patch("third").await.unwrap_err();
        assert!(
            matches!(&refused, kube::Error::Api(status) if status.code == 409),
            "{refused}"
        );
        assert_eq!(scene.holder().await.as_deref(), Some("second"));
    })
    .await;
}

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
