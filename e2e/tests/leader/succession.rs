//! Who leads after a leader that stopped, died, froze, or lost the API server.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scene::Scene;
use crate::support::namespace::in_namespace;
use crate::support::operator::LIMIT;
use crate::support::{always, client, eventually};
use crate::{RENEW, TTL};

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
        let proxy = Scene::proxy().await;
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
        let proxy = Scene::proxy().await;
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
        let proxy = Scene::proxy().await;
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

/// The operator's own default: how long a lease lives, and how often it is renewed.
const DEFAULT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));

/// A lease whose last renewal was sent three slow answers ago expires later than this.
const GIVEN_BACK: Duration = Duration::from_secs(17);

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_takes_seconds_to_answer_changes_nothing() {
    let client = client().await;
    in_namespace(&client, "leader-slow", async |namespace| {
        let scene = Scene::new(&client, namespace).await;
        let proxy = Scene::proxy().await;
        let mut a = scene.start_for("a", Some(&proxy), DEFAULT);
        a.leading().await;
        let b = scene.start_for("b", None, DEFAULT);
        b.standing_by().await;

        proxy.slow_down(Duration::from_secs(2)..Duration::from_secs(4));
        always("the first leads", Duration::from_mins(1), async || {
            a.leads().await && !b.leads().await
        })
        .await;
        assert!(a.runs(), "{}", a.log());
        assert_eq!(scene.holder().await.as_deref(), Some("a"));
        assert_eq!(scene.transitions().await, 0);
        // Whoever is asked to stop gives the lease back, at the pace of the API server: three answers, and the second leads
        // before a lease that was renewed just then could expire.
        let asked = Instant::now();
        a.signal(Signal::SIGTERM);
        eventually("the second leads", Duration::from_mins(1), async || {
            b.leads().await.then_some(())
        })
        .await;
        let took = asked.elapsed();
        println!("SIGTERM to the next leader: {took:?}");
        assert!(took < GIVEN_BACK, "{took:?}: {}", a.log());
        assert!(a.ended(LIMIT).await.success(), "{}", a.log());
    })
    .await;
}
