//! Connects to a server without the 40 ms that sqlx 0.9.0 would wait each time.
//!
//! That release leaves Nagle's algorithm on (transact-rs/sqlx#4335, fixed after it): the end of a TLS handshake is a
//! small packet that no answer follows, so the login behind it is held back until the server's delayed acknowledgement
//! (RFC 896; Linux delays it by 40 ms). sqlx accepts no socket from its caller, but it accepts the name of a Unix
//! socket: so the TCP connection is made here, with `TCP_NODELAY`, and sqlx speaks through a Unix socket of this
//! process to it. TLS stays sqlx's, from end to end, for the host that the options name. Where a container may have no
//! such socket, sqlx connects by itself, which is only slower.
//!
//! With the next release of sqlx this file goes, and its callers call `options.connect()`: see
//! `doc/decisions/0020-a-connection-that-sends-at-once.md`.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixListener, UnixStream};

use super::mysql_greeting;

/// sqlx takes its end of the relay right away; after this time it has been given up.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(5);

/// Logs in to PostgreSQL.
///
/// # Errors
///
/// Those of [`sqlx::ConnectOptions::connect`].
pub async fn postgresql(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let port = options.get_port();
    let far = reach(options.get_host(), port).await?;
    let directory = fresh_name();
    // What libpq calls the socket in a directory, and sqlx after it.
    let name = format!("{directory}/.s.PGSQL.{port}");
    let through = options.clone().socket(abstract_path(&directory));
    connect(far.into(), &name, &through, options).await
}

/// Logs in to MySQL or MariaDB. Without TLS, a server that greets as MySQL is left before anything is sent to it: its
/// authentication (`caching_sha2_password`) needs TLS, and MariaDB's does not.
///
/// # Errors
///
/// Those of [`sqlx::ConnectOptions::connect`], and [`sqlx::Error::Configuration`] for MySQL without TLS.
pub async fn mysql(options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
    let far = reach(options.get_host(), options.get_port()).await?;
    let mut far = Far::from(far);
    if matches!(options.get_ssl_mode(), MySqlSslMode::Disabled) {
        far.heard = mysql_greeting::read(&mut far.stream).await?;
        if mysql_greeting::is_of_mysql(&far.heard) {
            return Err(sqlx::Error::Configuration("MySQL without TLS".into()));
        }
    }
    let name = fresh_name();
    let through = options.clone().socket(abstract_path(&name));
    connect(far, &name, &through, options).await
}

/// A connection to a server.
struct Far {
    stream: TcpStream,
    /// What the server has said on it already, which sqlx has to hear.
    heard: Vec<u8>,
}

impl From<TcpStream> for Far {
    fn from(stream: TcpStream) -> Self {
        Self {
            stream,
            heard: Vec::new(),
        }
    }
}

/// Connects through a socket of this name and the connection `far`, or directly if that is impossible.
async fn connect<O>(
    far: Far,
    name: &str,
    through: &O,
    directly: &O,
) -> Result<O::Connection, sqlx::Error>
where
    O: ConnectOptions<Connection: Sized>,
{
    match relay(name, far, TAKEN_UP_WITHIN) {
        Ok(end) => through.connect().await.map_err(|error| end.explain(error)),
        Err(_) => directly.connect().await,
    }
}

async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let far = TcpStream::connect((host, port)).await?;
    far.set_nodelay(true)?;
    Ok(far)
}

/// A name in Linux's abstract namespace (unix(7)): no file, and gone with its socket.
fn fresh_name() -> String {
    format!("db-operator/{:032x}", rand::random::<u128>())
}

/// Such a name as a path.
fn abstract_path(name: &str) -> String {
    format!("\0{name}")
}

/// Whether the server has hung up.
#[derive(Clone, Debug, Default)]
struct End(Arc<AtomicBool>);

impl End {
    fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Where sqlx waits for a single byte, it takes the end of the connection for an unknown byte.
    fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        match error {
            sqlx::Error::Protocol(_) if self.has_come() => {
                sqlx::Error::Io(io::ErrorKind::UnexpectedEof.into())
            }
            error => error,
        }
    }
}

/// Listens under a name, and joins the one connection that comes from this process `within` this time to the server.
fn relay(name: &str, far: Far, within: Duration) -> io::Result<End> {
    let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let end = End::default();
    let told = end.clone();
    tokio::spawn(async move {
        if let Ok(Ok(near)) = tokio::time::timeout(within, accept(listener)).await {
            carry(near, far, &told).await;
        }
    });
    Ok(end)
}

/// The first connection of this process; those of others, who share its network, are closed.
async fn accept(listener: UnixListener) -> io::Result<UnixStream> {
    loop {
        let (near, _) = listener.accept().await?;
        if is_ours(near.peer_cred()?.pid()) {
            return Ok(near);
        }
    }
}

/// If the kernel does not say who it is, it is taken to be us: otherwise no connection would ever be let in.
fn is_ours(peer: Option<i32>) -> bool {
    peer.is_none_or(|pid| u32::try_from(pid) == Ok(std::process::id()))
}

/// Copies in both directions until our side ends. The server's end is passed on, and sqlx may still write: after the
/// server has answered its goodbye, it sends that of TLS.
async fn carry(mut near: UnixStream, mut far: Far, end: &End) {
    let (mut from_near, mut to_near) = near.split();
    let (mut from_far, mut to_far) = far.stream.split();
    // sqlx learns how either direction ended from the end itself.
    let hear = async {
        let _ = to_near.write_all(&far.heard).await;
        let _ = tokio::io::copy(&mut from_far, &mut to_near).await;
        // Before sqlx can see it.
        end.0.store(true, Ordering::SeqCst);
        let _ = to_near.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
        () = hear => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// A server, our end of the connection to it, and sqlx's.
    async fn joined() -> (TcpStream, UnixStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let far = reach("localhost", port).await.unwrap();
        assert!(far.nodelay().unwrap(), "it sends at once");
        let (server, _) = listener.accept().await.unwrap();
        let name = fresh_name();
        relay(&name, far.into(), TAKEN_UP_WITHIN).unwrap();
        let near = UnixStream::connect(abstract_path(&name)).await;
        (server, near.unwrap())
    }

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let (mut server, mut near) = joined().await;
        let mut read = [0; 4];
        near.write_all(b"ping").await.unwrap();
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
        server.write_all(b"pong").await.unwrap();
        near.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"pong");
    }

    #[tokio::test]
    async fn what_a_server_says_before_it_hangs_up_arrives() {
        let (mut server, mut near) = joined().await;
        server.write_all(b"too many connections").await.unwrap();
        drop(server);
        let mut said = String::new();
        near.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "too many connections");
        near.write_all(b"goodbye").await.unwrap();
    }

    /// A server with this greeting, after which it hangs up; and what comes of a login there without TLS.
    async fn greeted(greeting: &'static [u8]) -> (sqlx::Error, Vec<u8>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut session, _) = listener.accept().await.unwrap();
            session.write_all(greeting).await.unwrap();
            let mut said = Vec::new();
            let mut buffer = [0; 256];
            let read = session.read(&mut buffer).await.unwrap_or_default();
            said.extend_from_slice(&buffer[..read]);
            said
        });
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(port)
            .username("orders")
            .password("secret")
            .ssl_mode(MySqlSslMode::Disabled);
        let error = mysql(&options).await.err().unwrap();
        (error, server.await.unwrap())
    }

    #[tokio::test]
    async fn mysql_hears_nothing_without_tls_and_mariadb_does() {
        let (error, heard) = greeted(mysql_greeting::tests::MYSQL).await;
        assert!(matches!(error, sqlx::Error::Configuration(_)), "{error}");
        assert!(heard.is_empty(), "{heard:?}");
        let (error, heard) = greeted(mysql_greeting::tests::MARIADB).await;
        assert!(!matches!(error, sqlx::Error::Configuration(_)), "{error}");
        let user = b"orders";
        assert!(heard.windows(user.len()).any(|part| part == user));
    }

    #[tokio::test]
    async fn a_server_hears_that_we_left_and_what_we_said_before() {
        let (mut server, mut near) = joined().await;
        near.write_all(b"goodbye").await.unwrap();
        drop(near);
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "goodbye");
    }

    #[tokio::test]
    async fn a_connection_that_sqlx_gave_up_is_closed() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let far = reach("127.0.0.1", port).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        relay(&fresh_name(), far.into(), Duration::ZERO).unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error_of_the_network() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port);
        let error = postgresql(&options).await.err().unwrap();
        assert!(matches!(error, sqlx::Error::Io(_)), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_an_error_of_the_network() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut session, _) = listener.accept().await.unwrap();
            // PostgreSQL's SSLRequest, which is answered with one byte.
            session.read_exact(&mut [0; 8]).await.unwrap();
        });
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .ssl_mode(sqlx::postgres::PgSslMode::Require);
        let error = postgresql(&options).await.err().unwrap();
        assert!(matches!(error, sqlx::Error::Io(_)), "{error}");
        server.await.unwrap();
    }

    #[test]
    fn only_this_process_is_let_in() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(is_ours(Some(own)));
        assert!(!is_ours(Some(own + 1)));
        assert!(is_ours(None));
    }
}
