//! Whether a session is with the known server.

use parking_lot::MutexGuard;

use super::Postgresql;
use super::session::Session;
use super::session::column;
use crate::provider::{Expected, ProviderError};

/// PostgreSQL's own number for its data. A standby and a physical copy share it.
const IDENTITY: &str = "SELECT system_identifier::text AS identity FROM pg_control_system()";

impl Postgresql {
    pub(super) fn set_expected(&self, expected: Expected) {
        let mut current = self.expectation();
        let differs = current.differs(&expected);
        *current = expected;
        drop(current);
        if differs {
            self.pool.retire();
        }
    }

    /// Refuses a session with another server than the known one.
    pub(super) async fn recognize(&self, session: &mut Session) -> Result<(), ProviderError> {
        if self.expectation().is_any() {
            return Ok(());
        }
        match identity(session).await? {
            Some(found) => self.accept(&found),
            None => Ok(()),
        }
    }

    /// Refuses another server, and retires the open sessions, which may be with the former one.
    pub(super) fn accept(&self, identity: &str) -> Result<(), ProviderError> {
        let accepted = self.expectation().check(identity);
        accepted.inspect_err(|_| self.pool.retire())
    }

    fn expectation(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock()
    }
}

/// The server's identity. `None` if ordinary users may not ask for it.
pub(super) async fn identity(session: &mut Session) -> Result<Option<String>, ProviderError> {
    match session
        .row("ask for the server's identity", sqlx::query(IDENTITY))
        .await
    {
        Ok(Some(row)) => Ok(Some(column(&row, "identity")?)),
        Ok(None) => Ok(None),
        // insufficient_privilege
        Err(failure) if failure.code() == Some("42501") => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}
