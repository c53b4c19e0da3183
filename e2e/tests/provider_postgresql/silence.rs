//! A server from which nothing comes back any more: a network that drops packets, a machine that hangs.

use std::time::{Duration, Instant};

use db_operator::provider::{Fence, ProviderError, open};
use e2e::fault_proxy::{Faults, Tunnel};

use crate::fixture::{Fixture, desired, eventually};

pub(crate) async fn a_silent_server_is_given_up_soon(fixture: &mut Fixture) {
    let server = ([127, 0, 0, 1], fixture.server.port).into();
    let way = Tunnel::to(server, "postgres", Faults::none())
        .await
        .unwrap();
    let mut config = fixture.config();
    config.port = way.address().port();
    // Half of them are for sessions that are kept.
    config.max_connections = 6;
    config.timeouts.connect = Duration::from_secs(5);
    let provider = open(config, Fence::new("silent", || true));
    let names = desired("silent").names;
    // Shorter than the fixture's patience, so it may take a second try on a machine with much to do.
    eventually("three sessions are open", async || {
        let looks = tokio::join!(
            provider.observe(&names),
            provider.observe(&names),
            provider.observe(&names)
        );
        looks.0.is_ok() && looks.1.is_ok() && looks.2.is_ok() && provider.usage().idle == 3
    })
    .await;
    way.fall_silent();
    let began = Instant::now();
    let error = provider.observe(&names).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::Unreachable { .. }) && error.is_server_down(),
        "{error}"
    );
    // A second for the first idle session, none for the others, then the time to connect.
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    way.mend();
    eventually("it is asked again", async || {
        provider.observe(&names).await.is_ok()
    })
    .await;
    provider.close().await;
}
