//! What can go wrong between the operator and a database server, and what to do about it.

use std::time::Duration;

/// Why a provider could not do what it was asked. No message ever contains a password or a statement with one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No connection: the address does not resolve, nothing listens, the network drops, the server is starting.
    #[error(
        "cannot reach {server}: {detail}; check spec.host, spec.port and that the server is running"
    )]
    Unreachable {
        /// `host:port`.
        server: String,
        /// What the network or the server said.
        detail: String,
    },
    /// No TLS connection in the mode that was asked for.
    #[error(
        "cannot make a TLS connection to {server}: {detail}; check spec.tls, its CA, and the server's certificate"
    )]
    Tls {
        /// `host:port`.
        server: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The server lets nobody log in without TLS, and `spec.tls.mode` disables it.
    #[error(
        "{server} takes no login without TLS: {detail}; set spec.tls.mode to verify-full, verify-ca or require"
    )]
    TlsRequired {
        /// `host:port`.
        server: String,
        /// Why it does not.
        detail: String,
    },
    /// The server refused the administrator. After a rotation the Secret contains the new password: read it again.
    #[error(
        "{server} refused the administrator's login: {detail}; check the Secret in spec.adminSecretRef"
    )]
    LoginRefused {
        /// `host:port`.
        server: String,
        /// What the server said.
        detail: String,
    },
    /// The server has no connection left.
    #[error("{server} has no free connection: {detail}")]
    TooManyConnections {
        /// `host:port`.
        server: String,
        /// What the server said.
        detail: String,
    },
    /// The server is a replica, or set to read-only.
    #[error("{server} is read-only; point spec.host at the primary")]
    ReadOnly {
        /// `host:port`.
        server: String,
    },
    /// Another server answers than the known one. Nothing is changed there until someone acknowledges it.
    #[error(
        "the server was {known} and is now {found}; nothing is changed there until that is acknowledged"
    )]
    IdentityChanged {
        /// The known identity.
        known: String,
        /// The identity of the one that answered.
        found: String,
    },
    /// Something took longer than allowed.
    #[error("{doing} took longer than {limit:?}")]
    Timeout {
        /// What was tried.
        doing: String,
        /// How long it may take.
        limit: Duration,
    },
    /// All connections that this process may have are in use. Says nothing about the server.
    #[error(
        "no connection became free within {limit:?}; all that spec.maxConnections allows are in use"
    )]
    AllInUse {
        /// How long it may take.
        limit: Duration,
    },
    /// Another session holds a lock that is needed. It is tried again.
    #[error("{doing} waits for another session: {detail}")]
    Busy {
        /// What was tried.
        doing: String,
        /// What the server said.
        detail: String,
    },
    /// A newer operator process leads for this cluster. This process must end.
    #[error(
        "a newer leader (epoch {newer}) works on this server; this process (epoch {mine:?}) has to end"
    )]
    Superseded {
        /// The epoch of this process, once it had one.
        mine: Option<i64>,
        /// The epoch that the server holds.
        newer: i64,
    },
    /// This process does not lead, or no longer does, so it may not work on a server. It must end.
    #[error("this process does not hold the lease, so it does not work on this server")]
    NotLeading,
    /// The claim is no longer what was observed.
    #[error("the claim on {database:?} was changed by another writer; it is read again")]
    ClaimMoved {
        /// The claimed database.
        database: String,
    },
    /// The administrator lacks a privilege.
    #[error("the administrator may not {doing}: {detail}; to allow it, run: {grant}")]
    NotPermitted {
        /// What was tried.
        doing: String,
        /// What the server said.
        detail: String,
        /// The statement that grants it.
        grant: String,
    },
    /// This server does not support what is wanted, however often it is tried. The message says what it does support.
    #[error("{0}")]
    Unsupported(String),
    /// Something is in the way that only a person can remove. The message names it.
    #[error("{0}")]
    InTheWay(String),
    /// An unexpected answer.
    #[error("{doing} failed: {detail}")]
    Unexpected {
        /// What was tried.
        doing: String,
        /// What the server or the protocol said.
        detail: String,
    },
    /// A session inside one tenant's database, or as its user, failed. The owner can cause that with settings of its
    /// own, so it says nothing about the server. Created by [`Self::in_database`].
    #[error("database {database:?}: {}", inside(.source))]
    InDatabase {
        /// The database.
        database: String,
        /// The error as it would be if the server as a whole had failed.
        source: Box<ProviderError>,
    },
}

/// Words an error for one database where its own message is about the whole server.
fn inside(error: &ProviderError) -> String {
    match error {
        ProviderError::Unreachable { detail, .. } => format!("the session ended: {detail}"),
        ProviderError::Tls { detail, .. } => format!("the session got no TLS: {detail}"),
        ProviderError::LoginRefused { detail, .. } => format!("the login was refused: {detail}"),
        ProviderError::TooManyConnections { detail, .. } => {
            format!("it has no free connection: {detail}")
        }
        ProviderError::ReadOnly { .. } => {
            "it accepts no writes: a setting of the database or of its user forbids them (PostgreSQL: \
             default_transaction_read_only)"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// What the outcome of a call says about the server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered, even if with a refusal.
    Answers,
    /// It is down, or too slow to be used.
    Down,
    /// It is not the known one.
    Another,
    /// It was not asked.
    Nothing,
}

impl ProviderError {
    /// Marks this as an error from one tenant's database. Use it for every failure of a session there, or as its user,
    /// once the server has accepted the connection.
    ///
    /// Errors about the process or the server as a whole stay as they are, and so do those that are complete sentences.
    #[must_use]
    pub fn in_database(self, database: &str) -> Self {
        match self {
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::LoginRefused { .. }
            | Self::TooManyConnections { .. }
            | Self::ReadOnly { .. }
            | Self::Timeout { .. }
            | Self::Busy { .. }
            | Self::Unexpected { .. } => Self::InDatabase {
                database: database.to_owned(),
                source: Box::new(self),
            },
            Self::InDatabase { .. }
            | Self::TlsRequired { .. }
            | Self::IdentityChanged { .. }
            | Self::AllInUse { .. }
            | Self::Superseded { .. }
            | Self::NotLeading
            | Self::ClaimMoved { .. }
            | Self::NotPermitted { .. }
            | Self::Unsupported(_)
            | Self::InTheWay(_) => self,
        }
    }

    /// The error itself, wherever it came from.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::InDatabase { source, .. } => source.cause(),
            other => other,
        }
    }

    /// Whether trying again later may help without anyone changing anything. Other errors make the object `Stalled`,
    /// except [`Self::Superseded`] and [`Self::NotLeading`], which end the process.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.cause() {
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::LoginRefused { .. }
            | Self::TooManyConnections { .. }
            | Self::ReadOnly { .. }
            | Self::IdentityChanged { .. }
            | Self::Timeout { .. }
            | Self::AllInUse { .. }
            | Self::Busy { .. }
            | Self::ClaimMoved { .. }
            | Self::Unexpected { .. }
            | Self::InDatabase { .. } => true,
            Self::Superseded { .. }
            | Self::NotLeading
            | Self::TlsRequired { .. }
            | Self::NotPermitted { .. }
            | Self::Unsupported(_)
            | Self::InTheWay(_) => false,
        }
    }

    /// What it says about the server as a whole, for its circuit breaker.
    #[must_use]
    pub fn sign(&self) -> Sign {
        match self {
            // Sessions outside tenants' databases find out whether the server is down.
            Self::InDatabase { source, .. } => match source.sign() {
                Sign::Down => Sign::Nothing,
                other @ (Sign::Answers | Sign::Another | Sign::Nothing) => other,
            },
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::TlsRequired { .. }
            | Self::LoginRefused { .. }
            | Self::TooManyConnections { .. }
            | Self::ReadOnly { .. }
            | Self::Timeout { .. } => Sign::Down,
            Self::IdentityChanged { .. } => Sign::Another,
            Self::AllInUse { .. } | Self::NotLeading => Sign::Nothing,
            Self::Busy { .. }
            | Self::Superseded { .. }
            | Self::ClaimMoved { .. }
            | Self::NotPermitted { .. }
            | Self::Unsupported(_)
            | Self::InTheWay(_)
            | Self::Unexpected { .. } => Sign::Answers,
        }
    }

    /// Whether the server as a whole is down, or is another one, so that its instance has to be inspected.
    #[must_use]
    pub fn is_server_down(&self) -> bool {
        matches!(self.sign(), Sign::Down | Sign::Another)
    }

    /// Whether this process has to end.
    #[must_use]
    pub fn ends_process(&self) -> bool {
        matches!(self.cause(), Self::Superseded { .. } | Self::NotLeading)
    }

    /// A stable word for reasons and metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            // Not the word for a failure of the whole server.
            Self::InDatabase { source, .. } => match source.sign() {
                Sign::Down => "InDatabase",
                Sign::Answers | Sign::Another | Sign::Nothing => source.category(),
            },
            Self::Unreachable { .. } => "Unreachable",
            Self::Tls { .. } => "TlsFailed",
            Self::TlsRequired { .. } => "TlsRequired",
            Self::LoginRefused { .. } => "LoginRefused",
            Self::TooManyConnections { .. } => "TooManyConnections",
            Self::ReadOnly { .. } => "ReadOnly",
            Self::IdentityChanged { .. } => "IdentityChanged",
            Self::Timeout { .. } => "Timeout",
            Self::AllInUse { .. } => "AllInUse",
            Self::Busy { .. } => "Busy",
            Self::Superseded { .. } => "Superseded",
            Self::NotLeading => "NotLeading",
            Self::ClaimMoved { .. } => "ClaimMoved",
            Self::NotPermitted { .. } => "NotPermitted",
            Self::Unsupported(_) => "Unsupported",
            Self::InTheWay(_) => "InTheWay",
            Self::Unexpected { .. } => "Unexpected",
        }
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
