//! How a server is reached, and the provider for it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::mysql::Mysql;
use super::postgresql::Postgresql;
use super::{Fence, Provider, SqlName, TlsConfig};

/// Where a server is, and how to log in as its administrator.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Which provider speaks to it.
    pub engine: Engine,
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsConfig,
    /// The administrator's name.
    pub username: String,
    /// The administrator's password.
    pub password: SecretString,
    /// The most connections that this process has to the server at any time.
    pub max_connections: u32,
    /// PostgreSQL: the database through which `db_operator` is created on first contact.
    pub maintenance_database: SqlName,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// The engines that [`open`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
    /// MySQL or MariaDB: the connected server tells which.
    Mysql,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first packet to a session that can be used.
    pub connect: Duration,
    /// Waiting for one of the `max_connections`.
    pub acquire: Duration,
    /// One statement, on the server and on our side.
    pub statement: Duration,
    /// Waiting for a lock that another session holds. This keeps a connection busy, and the lock may be held by anyone.
    pub lock: Duration,
    /// A session that was not used for this long is closed.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            acquire: Duration::from_secs(30),
            statement: Duration::from_mins(1),
            lock: Duration::from_secs(2),
            idle: Duration::from_mins(1),
        }
    }
}

/// Returns the provider for this server. Does not connect yet.
#[must_use]
pub fn open(config: ServerConfig, fence: Fence) -> Arc<dyn Provider> {
    match config.engine {
        Engine::Postgresql => Arc::new(Postgresql::new(config, fence)),
        Engine::Mysql => Arc::new(Mysql::new(config, fence)),
    }
}
