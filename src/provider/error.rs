//! What can go wrong between the operator and a database server, and what to do about it.

use std::time::Duration;

/// Why a provider could not do what it was asked. No message ever holds a password or a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No connection: the address does not resolve, nothing listens, the network drops, the server is starting.
    #[error("cannot reach {server}: {detail}; check spec.host, spec.port and that the server runs")]
    Unreachable {
        /// `host:port`.
        server: String,
        /// What the network or the server said.
        detail: String,
    },
    /// No TLS connection under the mode that was asked for.
    #[error(
        "cannot make a TLS connection to {server}: {detail}; check spec.tls, its CA, and the server's certificate"
    )]
    Tls {
        /// `host:port`.
        server: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The server refused the administrator. After a rotation the Secret holds the new password: read it again.
    #[error(
        "{server} refused the administrator's login: {detail}; check the Secret in spec.adminSecretRef"
    )]
    LoginRefused {
        /// `host:port`.
        server: String,
        /// What the server said.
        detail: String,
    },
    /// The server has no connection slot left.
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
    /// Another server answers than the one that is known. Nothing is changed there until somebody acknowledged it.
    #[error(
        "the server was {known} and is {found} now; nothing is changed there until that is acknowledged"
    )]
    IdentityChanged {
        /// The identity that is known.
        known: String,
        /// The identity of the one that answered.
        found: String,
    },
    /// Something took longer than it may.
    #[error("{doing} took longer than {limit:?}")]
    Timeout {
        /// What was tried.
        doing: String,
        /// How long it may take.
        limit: Duration,
    },
    /// All connections that this process may have are in use. Says nothing of the server.
    #[error(
        "no connection came free within {limit:?}; all that spec.maxConnections allows are at work"
    )]
    AllInUse {
        /// How long it may take.
        limit: Duration,
    },
    /// Another session holds a lock that is needed; it is tried again.
    #[error("{doing} waits for another session: {detail}")]
    Busy {
        /// What was tried.
        doing: String,
        /// What the server said.
        detail: String,
    },
    /// A newer process leads this cluster's operator. This process must end.
    #[error(
        "a newer leader (epoch {newer}) works on this server; this process (epoch {mine:?}) has to end"
    )]
    Superseded {
        /// The epoch of this process, once it had one.
        mine: Option<i64>,
        /// The epoch that the server holds.
        newer: i64,
    },
    /// This process does not lead (any more), so it may not work on a server. It must end.
    #[error("this process does not hold the lease, so it does not work on this server")]
    NotLeading,
    /// The claim is no longer what was observed.
    #[error("the claim on {database:?} was changed by another writer; it is looked at again")]
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
    /// This server cannot hold what is wanted, however often it is tried. The message says what it can.
    #[error("{0}")]
    Unsupported(String),
    /// Something stands in the way that only a person can move. The message names it.
    #[error("{0}")]
    InTheWay(String),
    /// An answer that nobody expected.
    #[error("{doing} failed: {detail}")]
    Unexpected {
        /// What was tried.
        doing: String,
        /// What the server or the protocol said.
        detail: String,
    },
    /// A session inside one tenant's database, or as its user, failed. Its owner can bring that about by settings of its
    /// own, so it says nothing of the server. Made by [`Self::in_database`].
    #[error("database {database:?}: {}", inside(.source))]
    InDatabase {
        /// The database.
        database: String,
        /// What would be said if the server as a whole had failed so.
        source: Box<ProviderError>,
    },
}

/// What is true of one database where an error is worded for a whole server.
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

/// What the outcome of a call tells of the server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered, be it with a refusal.
    Answers,
    /// It is out of order, or too slow to be asked.
    Down,
    /// It is not the one that is known.
    Another,
    /// It was not asked.
    Nothing,
}

impl ProviderError {
    /// Says that this came out of one tenant's database. To be used for everything that a session there, or one as its
    /// user, answers once the server has taken the connection.
    ///
    /// What is true of the process or of the server as a whole stays as it is, and so does what is a sentence of its own.
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

    /// Whether trying again later, without anybody changing anything, may help. What is not is `Stalled`, except
    /// [`Self::Superseded`] and [`Self::NotLeading`], which end the process.
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
            | Self::NotPermitted { .. }
            | Self::Unsupported(_)
            | Self::InTheWay(_) => false,
        }
    }

    /// What it tells of the server as a whole, for its circuit breaker.
    #[must_use]
    pub fn sign(&self) -> Sign {
        match self {
            // A server that is down is found by the sessions that are in no tenant's database.
            Self::InDatabase { source, .. } => match source.sign() {
                Sign::Down => Sign::Nothing,
                other @ (Sign::Answers | Sign::Another | Sign::Nothing) => other,
            },
            Self::Unreachable { .. }
            | Self::Tls { .. }
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

    /// Whether the server as a whole is out of order, or is another one, so that its instance has to be looked at.
    #[must_use]
    pub fn is_server_down(&self) -> bool {
        matches!(self.sign(), Sign::Down | Sign::Another)
    }

    /// Whether this process has to end.
    #[must_use]
    pub fn ends_process(&self) -> bool {
        matches!(self.cause(), Self::Superseded { .. } | Self::NotLeading)
    }

    /// One stable word for reasons and metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            // A word for a failure of the server would be wrong here.
            Self::InDatabase { source, .. } => match source.sign() {
                Sign::Down => "InDatabase",
                Sign::Answers | Sign::Another | Sign::Nothing => source.category(),
            },
            Self::Unreachable { .. } => "Unreachable",
            Self::Tls { .. } => "TlsFailed",
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
mod tests {
    use super::*;

    const SERVER: &str = "db.example:5432";

    /// What a server that is down, full or read-only gives.
    fn of_a_server() -> Vec<ProviderError> {
        let (server, detail) = (SERVER.to_owned(), "its words".to_owned());
        vec![
            ProviderError::Unreachable {
                server: server.clone(),
                detail: detail.clone(),
            },
            ProviderError::Tls {
                server: server.clone(),
                detail: detail.clone(),
            },
            ProviderError::LoginRefused {
                server: server.clone(),
                detail: detail.clone(),
            },
            ProviderError::TooManyConnections {
                server: server.clone(),
                detail,
            },
            ProviderError::ReadOnly { server },
            ProviderError::Timeout {
                doing: "look at the schemas".to_owned(),
                limit: Duration::from_secs(60),
            },
        ]
    }

    #[test]
    fn a_databases_fault_says_nothing_of_the_server() {
        for error in of_a_server() {
            assert!(error.is_server_down(), "{error}");
            let inside = error.clone().in_database("app");
            assert_eq!(inside.sign(), Sign::Nothing, "{inside}");
            assert!(!inside.is_server_down() && inside.is_retryable());
            assert_eq!(inside.category(), "InDatabase");
            let text = inside.to_string();
            assert!(text.starts_with("database \"app\": "), "{text}");
            for lie in [SERVER, "spec.", "primary", "administrator"] {
                assert!(!text.contains(lie), "{text}");
            }
            assert_eq!(*inside.cause(), error);
            assert_eq!(inside.clone().in_database("app"), inside);
        }
    }

    #[test]
    fn what_the_server_answered_inside_is_an_answer() {
        let busy = ProviderError::Busy {
            doing: "create the schema".to_owned(),
            detail: "a lock".to_owned(),
        };
        let inside = busy.in_database("app");
        assert_eq!((inside.sign(), inside.category()), (Sign::Answers, "Busy"));
    }

    #[test]
    fn what_is_true_everywhere_keeps_its_meaning_inside() {
        let changed = ProviderError::IdentityChanged {
            known: "one".to_owned(),
            found: "two".to_owned(),
        };
        let superseded = ProviderError::Superseded {
            mine: Some(1),
            newer: 2,
        };
        for error in [
            changed.clone(),
            superseded.clone(),
            ProviderError::NotLeading,
            ProviderError::Unsupported("why".to_owned()),
        ] {
            assert_eq!(error.clone().in_database("app"), error);
            // Also where somebody put it inside by hand.
            let inside = ProviderError::InDatabase {
                database: "app".to_owned(),
                source: Box::new(error.clone()),
            };
            assert_eq!(inside.sign(), error.sign());
            assert_eq!(inside.ends_process(), error.ends_process());
            assert_eq!(inside.is_retryable(), error.is_retryable());
            assert_eq!(inside.category(), error.category());
        }
        assert!(superseded.ends_process() && changed.is_server_down());
    }
}
