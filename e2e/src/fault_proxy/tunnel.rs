//! A TCP proxy: it can be cut, be silent and be slow, and it counts requests without understanding them: what a client
//! says after the server spoke is one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::tls_records::Records;
use super::{Effect, Faults, Moment};
use crate::{Error, Result};

const BUFFER: usize = 16 * 1024;

/// Passes bytes on between clients and one server at a time. It ends with this value.
pub struct Tunnel {
    address: SocketAddr,
    server: SocketAddr,
    way: watch::Sender<Way>,
    pace: watch::Sender<Pace>,
    requests: Arc<AtomicU64>,
}

/// Where connections lead now; nowhere while the tunnel is cut.
type Way = Option<SocketAddr>;

/// How what is passed on gets there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pace {
    AtOnce,
    /// Each answer waits for a time of this range.
    Late(Range<Duration>),
    /// Everything is taken, and nothing is handed on.
    Silent,
}

/// What all connections of a tunnel share.
#[derive(Clone)]
struct Shared {
    name: &'static str,
    faults: Faults,
    way: watch::Receiver<Way>,
    pace: watch::Receiver<Pace>,
    requests: Arc<AtomicU64>,
}

impl Tunnel {
    /// Listens on a port of its own. `name` is what its requests are called.
    pub async fn to(server: SocketAddr, name: &'static str, faults: Faults) -> Result<Self> {
        Self::at(Ipv4Addr::LOCALHOST.into(), server, name, faults).await
    }

    /// The same, at another address of this machine, where pods reach it. What they say is no request: those of this
    /// machine's own processes are, which come from that address, too.
    pub async fn at(
        here: IpAddr,
        server: SocketAddr,
        name: &'static str,
        faults: Faults,
    ) -> Result<Self> {
        let listener = TcpListener::bind((here, 0))
            .await
            .map_err(Error::trial("listen"))?;
        let address = listener.local_addr().map_err(Error::trial("listen"))?;
        let way = watch::Sender::new(Some(server));
        let pace = watch::Sender::new(Pace::AtOnce);
        let requests = Arc::default();
        let shared = Shared {
            name,
            faults,
            way: way.subscribe(),
            pace: pace.subscribe(),
            requests: Arc::clone(&requests),
        };
        tokio::spawn(async move {
            let mut ended = shared.way.clone();
            let accept = async {
                while let Ok((client, from)) = listener.accept().await {
                    let Some(server) = *shared.way.borrow() else {
                        continue;
                    };
                    let mut shared = shared.clone();
                    if from.ip() != here {
                        shared.faults = Faults::none();
                    }
                    tokio::spawn(pass(client, server, shared));
                }
            };
            let gone = async { while ended.changed().await.is_ok() {} };
            tokio::select! { () = accept => {}, () = gone => {} }
        });
        Ok(Self {
            address,
            server,
            way,
            pace,
            requests,
        })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and ends new ones at once.
    pub fn cut(&self) {
        self.way.send_replace(None);
    }

    /// Lets everything through again at once, to the server that it was made for.
    pub fn mend(&self) {
        self.lead_to(self.server);
        self.pace.send_replace(Pace::AtOnce);
    }

    /// Ends all connections to another server than this one, and leads new ones to it.
    pub fn lead_to(&self, server: SocketAddr) {
        self.way.send_replace(Some(server));
    }

    /// Lets each answer wait for a time of this range from now on.
    pub fn slow_down(&self, late: Range<Duration>) {
        self.pace.send_replace(Pace::Late(late));
    }

    /// Takes everything from now on, and hands nothing on, like a network that drops packets.
    pub fn fall_silent(&self) {
        self.pace.send_replace(Pace::Silent);
    }

    /// How many requests clients have sent through TLS, as the sizes of its records tell.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One connection, until either side, the proxy or a fault ends it.
async fn pass(client: TcpStream, server: SocketAddr, shared: Shared) {
    let Ok(stream) = TcpStream::connect(server).await else {
        return;
    };
    let mut way = shared.way.clone();
    tokio::select! {
        _ = relay(client, stream, shared) => {}
        _ = way.wait_for(|way| *way != Some(server)) => {}
    }
}

async fn relay(client: TcpStream, server: TcpStream, shared: Shared) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let connection = Connection {
        shared,
        asked: AtomicBool::new(false),
        at_the_answer: Mutex::new(None),
    };
    tokio::select! {
        ended = connection.requests(from_client, to_server) => ended,
        ended = connection.answers(from_server, to_client) => ended,
    }
}

struct Connection {
    shared: Shared,
    /// The client has spoken since the server did.
    asked: AtomicBool,
    /// What happens when the server answers.
    at_the_answer: Mutex<Option<Effect>>,
}

impl Connection {
    /// What the client says, until that is to end.
    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let mut records = Records::default();
        let mut pace = self.shared.pace.clone();
        let mut buffer = vec![0; BUFFER];
        while let count @ 1.. = from.read(&mut buffer).await? {
            let sent = records.requests(&buffer[..count]);
            self.shared.requests.fetch_add(sent, Ordering::SeqCst);
            if !self.asked.swap(true, Ordering::SeqCst) {
                let fault = self.shared.faults.next(|| self.shared.name.to_owned());
                if let Some((Moment::Before, effect)) = fault
                    && !self.survives(effect).await
                {
                    return Ok(());
                }
                if let Some((Moment::After, effect)) = fault {
                    self.plan(Some(effect));
                }
            }
            spoken(&mut pace).await;
            to.write_all(&buffer[..count]).await?;
        }
        Ok(())
    }

    /// What the server says, until that is to end.
    async fn answers(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let mut pace = self.shared.pace.clone();
        let mut buffer = vec![0; BUFFER];
        while let count @ 1.. = from.read(&mut buffer).await? {
            let begins = self.asked.swap(false, Ordering::SeqCst);
            if let Some(effect) = self.plan(None)
                && !self.survives(effect).await
            {
                return Ok(());
            }
            let now = pace.borrow().clone();
            if let Pace::Late(time) = now
                && begins
            {
                tokio::time::sleep(rand::random_range(time)).await;
            }
            spoken(&mut pace).await;
            to.write_all(&buffer[..count]).await?;
        }
        Ok(())
    }

    /// Plans what happens at the next answer. Returns what was planned before.
    fn plan(&self, effect: Option<Effect>) -> Option<Effect> {
        let mut planned = self.at_the_answer.lock();
        std::mem::replace(&mut *planned, effect)
    }

    /// Lets it happen; says whether the connection goes on.
    async fn survives(&self, effect: Effect) -> bool {
        match effect {
            Effect::Kill => {
                self.shared.faults.kill();
                false
            }
            Effect::Cut | Effect::Reset | Effect::Answer(_) | Effect::AnswerAs(..) => false,
            Effect::Delay(time) => {
                tokio::time::sleep(time).await;
                true
            }
            Effect::DropWatches | Effect::Etag(_) | Effect::Flip => true,
        }
    }
}

/// Waits while the tunnel is silent. Its end is the connection's, too.
async fn spoken(pace: &mut watch::Receiver<Pace>) {
    let _ = pace.wait_for(|pace| *pace != Pace::Silent).await;
}
