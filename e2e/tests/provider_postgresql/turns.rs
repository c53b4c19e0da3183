//! Turns at the connections: whoever waits for locks inside its own database keeps nobody else waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::SqlName;
use db_operator::queue::caller::Caller;
use secrecy::ExposeSecret;

use crate::fixture::{Fixture, desired, eventually, password, run};

/// Databases whose users hold a lock.
const FLOOD: usize = 8;

/// What is promised to somebody else's new database.
const MADE_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn a_bystander_is_served_while_others_wait_for_locks(fixture: &mut Fixture) {
    let provider = fixture.provider("turns");
    let (mut holders, mut flood) = (Vec::new(), Vec::new());
    for number in 0..FLOOD {
        let name = format!("turns-flood-{number}");
        let (mut wanted, secret) = (desired(&name), password(&name));
        fixture.make(&*provider, "turns", &wanted, &secret).await;
        let holder = fixture.session(&name, secret.expose_secret(), &name);
        let mut holder = holder.await.unwrap();
        run(&mut holder, "BEGIN; CREATE SCHEMA s1").await.unwrap();
        holders.push(holder);
        wanted.postgresql.schemas = vec![SqlName::new("s1").unwrap()];
        let provider = Arc::clone(&provider);
        let tenant = Arc::new(Caller::new(Arc::from("flood"), false));
        flood.push(tokio::spawn(tenant.scope(async move {
            loop {
                provider.ensure_contents(&wanted).await.unwrap_err();
            }
        })));
    }
    let waits = "SELECT count(*)::text FROM pg_stat_activity
        WHERE application_name LIKE 'db-operator%' AND wait_event_type = 'Lock'";
    for number in 0..5 {
        eventually("somebody waits for a lock", async || {
            fixture.ask("postgres", waits).await != ["0"]
        })
        .await;
        let name = format!("turns-new-{number}");
        let (wanted, secret) = (desired(&name), password(&name));
        let tenant = Arc::new(Caller::new(Arc::from("bystander"), false));
        let began = Instant::now();
        tenant
            .scope(fixture.make(&*provider, "turns", &wanted, &secret))
            .await;
        assert!(began.elapsed() < MADE_WITHIN, "{:?}", began.elapsed());
    }
    for task in flood {
        assert!(!task.is_finished(), "the flood went on");
        task.abort();
    }
    for holder in holders {
        sqlx::Connection::close(holder).await.unwrap();
    }
}
