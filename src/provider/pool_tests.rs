use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

struct Sound;

impl Session for Sound {
    fn is_reusable(&self) -> bool {
        true
    }

    async fn pulse(&mut self) -> Pulse {
        Pulse::Alive
    }

    async fn close(self) {}
}

#[tokio::test]
async fn a_one_off_connection_costs_no_idle_session_its_slot_and_keeps_the_limit() {
    let pool: Pool<Sound> = Pool::new(3, Timeouts::default());
    let open = || async { Ok(Sound) };
    let one = pool.session(pool.slot().await.unwrap(), open()).await;
    let two = pool.session(pool.slot().await.unwrap(), open()).await;
    assert_eq!(pool.shared.slots.taken(Kind::Kept), 2);
    let usage = |busy, idle| Usage {
        busy,
        idle,
        limit: 3,
    };
    assert_eq!(pool.usage(), usage(2, 0));
    drop((one.unwrap(), two.unwrap()));

    let one_off = pool.one_off_slot().await.unwrap();
    assert_eq!(pool.usage(), usage(1, 2));
    assert_eq!(pool.shared.lock().sessions.len(), 2);
    assert_eq!(pool.shared.slots.taken(Kind::OneOff), 1);
    drop(one_off);
}

/// A session with a server from which nothing comes back.
struct Mute(Arc<AtomicUsize>);

impl Session for Mute {
    fn is_reusable(&self) -> bool {
        true
    }

    async fn pulse(&mut self) -> Pulse {
        self.0.fetch_add(1, Ordering::Relaxed);
        pulse(std::future::pending::<Result<(), ()>>()).await
    }

    async fn close(self) {}
}

#[tokio::test]
async fn a_silent_server_is_pinged_once_and_not_for_each_idle_session() {
    let pool: Pool<Mute> = Pool::new(5, Timeouts::default());
    let pings = Arc::new(AtomicUsize::new(0));
    let mut leases = Vec::new();
    for _ in 0..3 {
        let slot = pool.slot().await.unwrap();
        let open = async { Ok(Mute(Arc::clone(&pings))) };
        leases.push(pool.session(slot, open).await.unwrap());
    }
    drop(leases);
    assert_eq!(pool.usage().idle, 3);

    let started = Instant::now();
    let slot = pool.slot().await.unwrap();
    let refused = async {
        Err(ProviderError::Unreachable {
            server: "db:5432".to_owned(),
            detail: String::new(),
        })
    };
    let error = pool.session(slot, refused).await.err().unwrap();
    assert!(error.is_server_down(), "{error}");
    assert_eq!(pings.load(Ordering::Relaxed), 1);
    assert!(started.elapsed() < PING * 2, "{:?}", started.elapsed());
    assert_eq!(pool.usage().idle, 0);
}

#[tokio::test]
async fn sessions_that_were_given_up_do_not_come_back() {
    let pool: Pool<Sound> = Pool::new(3, Timeouts::default());
    let open = || async { Ok(Sound) };
    let idle = pool.session(pool.slot().await.unwrap(), open()).await;
    let used = pool.session(pool.slot().await.unwrap(), open()).await;
    drop(idle.unwrap());
    pool.retire();
    assert_eq!(pool.usage().idle, 0);
    drop(used.unwrap());
    assert_eq!(pool.usage().idle, 0);
    let new = pool.session(pool.slot().await.unwrap(), open()).await;
    drop(new.unwrap());
    assert_eq!(pool.usage().idle, 1);
}

#[tokio::test]
async fn the_only_connection_is_given_up_for_a_one_off_one() {
    let pool: Pool<Sound> = Pool::new(1, Timeouts::default());
    let slot = pool.slot().await.unwrap();
    drop(pool.session(slot, async { Ok(Sound) }).await.unwrap());
    let _one_off = pool.one_off_slot().await.unwrap();
    assert!(pool.shared.lock().sessions.is_empty());
    assert!(pool.slots_for_tenant().await.is_err());
}

#[tokio::test]
async fn half_of_the_slots_are_one_off() {
    for (limit, kept, one_off) in [(2, 1, 1), (3, 2, 1), (4, 2, 2), (5, 3, 2)] {
        let pool: Pool<Sound> = Pool::new(limit, Timeouts::default());
        assert_eq!(pool.shared.slots.size(Kind::Kept), kept, "{limit}");
        let mut held = Vec::new();
        for _ in 0..one_off {
            held.push(pool.one_off_slot().await.unwrap());
        }
        assert_eq!(pool.shared.slots.size(Kind::OneOff), one_off, "{limit}");
        assert_eq!(pool.usage().busy, one_off, "{limit}");
        assert_eq!(pool.usage().limit, kept + one_off, "{limit}");
    }
}
