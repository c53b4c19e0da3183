//! The lease as an object that others write, too.

use std::time::{Duration, Instant};

use db_operator::leader::Precondition;
use db_operator::metrics::Metrics;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Config};
use serde_json::json;

use crate::scene::Scene;
use crate::support::namespace::in_namespace;
use crate::support::operator::LIMIT;
use crate::support::{always, client, eventually};
use crate::{LEASE, TTL};

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
            db_operator::client::for_lease(config, precondition.clone(), TTL, &Metrics::new())
                .unwrap();
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
