//! A TCP proxy that can be cut: what goes through it stops, and new connections are refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on between clients and one server.
pub struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
    sent: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens on a port of its own.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() {
                    tokio::spawn(pass(client, server, state.clone(), Arc::clone(&count)));
                }
            }
        });
        Self {
            address,
            open,
            sent,
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections and refuses new ones.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Accepts connections again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }

    /// How many bytes clients have sent.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

/// One connection, until either side or the proxy ends it.
async fn pass(
    client: TcpStream,
    server: SocketAddr,
    mut open: watch::Receiver<bool>,
    sent: Arc<AtomicU64>,
) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            sent.fetch_add(count as u64, Ordering::SeqCst);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
