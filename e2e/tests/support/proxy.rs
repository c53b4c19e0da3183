//! A TCP proxy that can be cut (what goes through it stops, and new connections are refused) and made slow.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on between clients and one server.
pub struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
    /// How late answers are.
    late: watch::Sender<Option<Range<Duration>>>,
    requests: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens on a port of its own.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        let (late, delay) = watch::channel(None);
        let requests = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() {
                    let how = (state.clone(), delay.clone());
                    tokio::spawn(pass(client, server, how, Arc::clone(&count)));
                }
            }
        });
        Self {
            address,
            open,
            late,
            requests,
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

    /// Lets each answer wait for a time of this range from now on.
    pub fn slow_down(&self, late: Range<Duration>) {
        self.late.send_replace(Some(late));
    }

    /// How many requests clients have sent, as the sizes of TLS' records tell.
    pub fn requests_sent(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One connection, until either side or the proxy ends it.
async fn pass(
    client: TcpStream,
    server: SocketAddr,
    (mut open, late): (
        watch::Receiver<bool>,
        watch::Receiver<Option<Range<Duration>>>,
    ),
    requests: Arc<AtomicU64>,
) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut records = Records::default();
    let asked = AtomicBool::new(false);
    let upstream = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            requests.fetch_add(records.requests(&buffer[..count]), Ordering::SeqCst);
            asked.store(true, Ordering::SeqCst);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    let downstream = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            let time = late.borrow().clone();
            if let Some(time) = time.filter(|_| asked.swap(false, Ordering::SeqCst)) {
                tokio::time::sleep(rand::random_range(time)).await;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = upstream => {}
        () = downstream => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

/// TLS records on their way (RFC 8446, section 5): a type, a version, a length, and that many bytes.
#[derive(Default)]
struct Records {
    header: Vec<u8>,
    /// Bytes of the record's content that are still to come.
    left: usize,
}

impl Records {
    const HEADER: usize = 5;
    /// The type of all that is encrypted.
    const APPLICATION_DATA: u8 = 23;
    /// A request carries a token of several hundred bytes; the end of a handshake or of a connection takes less than 100.
    const REQUEST: usize = 300;

    /// How many of the records that begin in these bytes are requests.
    fn requests(&mut self, mut bytes: &[u8]) -> u64 {
        let mut requests = 0;
        while !bytes.is_empty() {
            let content = self.left.min(bytes.len());
            self.left -= content;
            bytes = &bytes[content..];
            let header = (Self::HEADER - self.header.len()).min(bytes.len());
            self.header.extend(&bytes[..header]);
            bytes = &bytes[header..];
            if let [kind, _, _, high, low] = self.header[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                requests += u64::from(kind == Self::APPLICATION_DATA && self.left > Self::REQUEST);
                self.header.clear();
            }
        }
        requests
    }
}
