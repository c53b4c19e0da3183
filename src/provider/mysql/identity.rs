//! Whether a session is with the known server.

use parking_lot::MutexGuard;

use super::connect::Sessions;
use super::error;
use super::session::{self, Session};
use crate::provider::{Expected, ProviderError};

/// Which server these sessions should be with.
pub(super) struct Identity {
    pub(super) expected: Expected,
    /// The identity that is given to a server which has none.
    pub(super) proposed: String,
}

impl Sessions {
    /// Sets which servers may be worked on.
    pub(super) fn expect(&self, expected: Expected) {
        let mut identity = self.identity();
        let differs = identity.expected.differs(&expected);
        identity.expected = expected;
        drop(identity);
        if differs {
            self.pool.retire();
        }
    }

    pub(super) fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock()
    }

    /// Refuses a server with this identity, or with none yet, if it may not be worked on. Then it also retires the open
    /// sessions, which may be with the former one.
    pub(super) fn recognize(&self, found: Option<&str>) -> Result<(), ProviderError> {
        let accepted = match found {
            Some(found) => self.identity().expected.check(found),
            None => self.founding().map(|_| ()),
        };
        accepted.inspect_err(|_| self.pool.retire())
    }

    /// The identity for a server that has none yet, if it may be worked on.
    pub(super) fn founding(&self) -> Result<String, ProviderError> {
        let identity = self.identity();
        identity
            .expected
            .founding(&identity.proposed, session::is_token)
    }
}

/// Reads what only this server has: a random text that was created with the schema. It follows the data to a promoted
/// replica, where MySQL's server UUID would change and stop the operator in the middle of a failover. MariaDB has
/// nothing of the kind. `None` if the schema was never created.
pub(super) async fn read(session: &mut Session) -> Result<Option<String>, ProviderError> {
    let query = sqlx::query("SELECT value FROM db_operator.meta WHERE name = 'identity'");
    match session.rows("reading the server's identity", query).await {
        Ok(rows) => rows.first().map(|row| row.text("value")).transpose(),
        Err(failure) if matches!(failure.number, Some(error::NO_SCHEMA | error::NO_TABLE)) => {
            Ok(None)
        }
        Err(failure) => Err(failure.error),
    }
}
