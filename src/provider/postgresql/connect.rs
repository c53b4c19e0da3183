//! Opens sessions as the administrator: in the operator's own database, registered with the fence, and in others.

use super::Postgresql;
use super::error::{Failure, unexpected};
use super::grants::lend;
use super::schema::{DATABASE, check_version};
use super::session::{APPLICATION, Login, Pinned, Session, column};
use crate::provider::ProviderError;
use crate::provider::pool::{Lease, Session as _};

const OWNER_OF_DATABASE: &str =
    "SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
WHERE d.datname = 'db_operator'";

impl Postgresql {
    /// A session in the operator's own database, from the pool.
    pub(super) async fn session(&self) -> Result<Lease<Session>, ProviderError> {
        let slot = self.pool.slot().await?;
        self.pool.session(slot, Box::pin(self.open_session())).await
    }

    /// Opens a session in the operator's own database, and registers it with the fence.
    pub(super) async fn open_session(&self) -> Result<Session, ProviderError> {
        let mut session = match self.connect(DATABASE).await {
            Ok(session) => session,
            Err(failure) if is_not_there_yet(&failure) => {
                self.create_own_database().await?;
                self.connect_to_own_database().await?
            }
            Err(failure) => return Err(self.explain_refused(failure).await),
        };
        let entered = self.enter_server(&mut session).await;
        session.keep_if(entered).await
    }

    async fn enter_server(&self, session: &mut Session) -> Result<(), ProviderError> {
        check_version(session.version())?;
        self.enter_fence(session).await?;
        // Not earlier: on another server than the known one, the session must not delete anything when it is closed.
        session.set_registered();
        Ok(())
    }

    async fn connect_to_own_database(&self) -> Result<Session, ProviderError> {
        match self.connect(DATABASE).await {
            Ok(session) => Ok(session),
            Err(failure) => Err(self.explain_refused(failure).await),
        }
    }

    /// Explains why the administrator may not use the operator's own database: it may belong to another administrator.
    pub(super) async fn explain_refused(&self, failure: Failure) -> ProviderError {
        // insufficient_privilege
        if failure.code() != Some("42501") {
            return failure.into();
        }
        match self.owner_of_own_database().await {
            Ok((owner, version)) => {
                failure.needing(|| lend(&owner, &self.config.username, version))
            }
            Err(error) => error,
        }
    }

    async fn owner_of_own_database(&self) -> Result<(String, u32), ProviderError> {
        let mut session = self
            .connect(self.config.maintenance_database.as_str())
            .await?;
        let result = session
            .row(
                "look for the owner of db_operator",
                sqlx::query(OWNER_OF_DATABASE),
            )
            .await;
        let version = session.version();
        session.close().await;
        match result? {
            Some(row) => Ok((column(&row, "rolname")?, version)),
            None => Err(unexpected(
                "look for the owner of db_operator",
                "the database is gone",
            )),
        }
    }

    /// Logs in as the administrator, without running any statement.
    pub(super) async fn connect(&self, database: &str) -> Result<Session, Failure> {
        self.connect_as(APPLICATION, database, Pinned::Outside)
            .await
    }

    /// Like [`Self::connect`], with this name in `pg_stat_activity`.
    pub(super) async fn connect_as(
        &self,
        name: &str,
        database: &str,
        pinned: Pinned,
    ) -> Result<Session, Failure> {
        let login = Login {
            user: &self.config.username,
            password: &self.config.password,
            database,
            application: name,
            pinned,
        };
        Session::open(&self.config, login).await
    }

    /// Logs in as the administrator to a server that may be worked on. Nothing has been written in the session yet, and
    /// it is not registered with the fence.
    pub(super) async fn connect_to_known(&self, database: &str) -> Result<Session, ProviderError> {
        let mut session = self.connect(database).await?;
        let known = self.recognize(&mut session).await;
        session.keep_if(known).await
    }
}

/// Whether the operator's own database does not exist (invalid_catalog_name), or is not open yet because of a crash
/// between creating and opening it (object_not_in_prerequisite_state).
fn is_not_there_yet(failure: &Failure) -> bool {
    matches!(failure.code(), Some("3D000" | "55000"))
}
