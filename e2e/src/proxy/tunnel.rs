//! A TCP proxy that counts requests without understanding them: what a client says after the server spoke is one.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Effect, Faults, Moment};
use crate::{Error, Result};

/// Passes bytes on between clients and one server at a time. It ends with this value.
pub struct Tunnel {
    address: SocketAddr,
    server: SocketAddr,
    way: watch::Sender<Way>,
}

/// Where connections lead now; nowhere while the tunnel is cut.
type Way = Option<SocketAddr>;

impl Tunnel {
    /// Listens on a port of its own. `name` is what its requests are called.
    pub async fn to(server: SocketAddr, name: &'static str, faults: Faults) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(Error::trial("listen"))?;
        let address = listener.local_addr().map_err(Error::trial("listen"))?;
        let (way, now) = watch::channel(Some(server));
        tokio::spawn(async move {
            let mut ended = now.clone();
            let accept = async {
                while let Ok((client, _)) = listener.accept().await {
                    let Some(server) = *now.borrow() else {
                        continue;
                    };
                    tokio::spawn(pass(client, server, name, now.clone(), faults.clone()));
                }
            };
            let gone = async { while ended.changed().await.is_ok() {} };
            tokio::select! { () = accept => {}, () = gone => {} }
        });
        Ok(Self {
            address,
            server,
            way,
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

    /// Lets connections through again, to the server that it was made for.
    pub fn mend(&self) {
        self.lead_to(self.server);
    }

    /// Ends all connections to another server than this one, and leads new ones to it.
    pub fn lead_to(&self, server: SocketAddr) {
        self.way.send_replace(Some(server));
    }
}

/// One connection, until either side, the proxy or a fault ends it.
async fn pass(
    client: TcpStream,
    server: SocketAddr,
    name: &'static str,
    mut now: watch::Receiver<Way>,
    faults: Faults,
) {
    let Ok(stream) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = relay(client, stream, name, &faults) => {}
        _ = now.wait_for(|now| *now != Some(server)) => {}
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    name: &'static str,
    faults: &Faults,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut server_spoke_last = true;
    let mut at_the_answer = None;
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                if server_spoke_last {
                    server_spoke_last = false;
                    let fault = faults.next(|| name.to_owned());
                    if let Some((Moment::Before, effect)) = fault
                        && !survives(effect, faults).await
                    {
                        return Ok(());
                    }
                    if let Some((Moment::After, effect)) = fault {
                        at_the_answer = Some(effect);
                    }
                }
                server.write_all(&asked[..count]).await?;
            }
            count = server.read(&mut answered) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                server_spoke_last = true;
                if let Some(effect) = at_the_answer.take()
                    && !survives(effect, faults).await
                {
                    return Ok(());
                }
                client.write_all(&answered[..count]).await?;
            }
        }
    }
}

/// Lets it happen; says whether the connection goes on.
async fn survives(effect: Effect, faults: &Faults) -> bool {
    match effect {
        Effect::Kill => {
            faults.kill();
            false
        }
        Effect::Cut | Effect::Answer(_) => false,
        Effect::Delay(time) => {
            tokio::time::sleep(time).await;
            true
        }
        Effect::DropWatches => true,
    }
}
