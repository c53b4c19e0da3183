//! A server from which nothing comes back any more: a network that drops packets, a machine that hangs.

use std::time::{Duration, Instant};

use db_operator::provider::{Fence, ProviderError, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::bed::{Bed, desired, eventually};

/// A way to the server that takes everything and, while it is closed, hands nothing on.
struct Way {
    port: u16,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (open, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, state.clone()));
                tokio::spawn(pass(from_server, to_client, state.clone()));
            }
        });
        Self { port: own, open }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if open.wait_for(|open| *open).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}

pub async fn a_silent_server_is_given_up_soon(bed: &mut Bed) {
    let way = Way::to(bed.server.port).await;
    let mut config = bed.config();
    config.port = way.port;
    // Half of them are for sessions that are kept.
    config.max_connections = 6;
    config.timeouts.connect = Duration::from_secs(5);
    let provider = open(config, Fence::new("silent", || true));
    let names = desired("silent").names;
    // Shorter than the bed's patience, so it may take a second try on a machine with much to do.
    eventually("three sessions are open", async || {
        let looks = tokio::join!(
            provider.observe(&names),
            provider.observe(&names),
            provider.observe(&names)
        );
        looks.0.is_ok() && looks.1.is_ok() && looks.2.is_ok() && provider.usage().idle == 3
    })
    .await;
    way.open.send_replace(false);
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
    way.open.send_replace(true);
    eventually("it is asked again", async || {
        provider.observe(&names).await.is_ok()
    })
    .await;
    provider.close().await;
}
