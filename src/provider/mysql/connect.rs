//! Opens sessions as the administrator: the first contact with a server, and each session's registration with the
//! fence.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::administrator::{self, Held};
use super::dialect::Dialect;
use super::identity::{self, Identity};
use super::session::{self, Session};
use super::{dialect, everybody, fence, schema};
use crate::provider::pool::{Lease, Pool, Slot};
use crate::provider::{Expected, Fence, ProviderError, ServerConfig, Usage};

/// What is known about a server from the first contact on.
#[derive(Clone, Debug)]
pub(super) struct ServerProfile {
    /// Which server it is.
    pub(super) dialect: Dialect,
    /// The epoch of this process on it.
    pub(super) epoch: i64,
    /// What the administrator may do.
    pub(super) held: Held,
    /// Whether sessions can be ended by `mysql.rds_kill`.
    pub(super) kills_by_procedure: bool,
    /// One statement that grants all that the administrator needs.
    pub(super) grant: Arc<str>,
}

/// The administrator's sessions on one server.
pub(super) struct Sessions {
    pub(super) config: ServerConfig,
    /// `host:port`, for messages.
    pub(super) server: Arc<str>,
    pub(super) fence: Fence,
    pub(super) pool: Pool<Session>,
    profile: tokio::sync::Mutex<Option<Arc<ServerProfile>>>,
    pub(super) identity: Mutex<Identity>,
    /// Why this process has to end. Until it does, it opens no more sessions.
    superseded: OnceLock<ProviderError>,
}

impl Sessions {
    pub(super) fn new(config: ServerConfig, fence: Fence) -> Self {
        Self {
            server: Arc::from(format!("{}:{}", config.host, config.port)),
            pool: Pool::new(config.max_connections, config.timeouts),
            profile: tokio::sync::Mutex::new(None),
            identity: Mutex::new(Identity {
                expected: Expected::default(),
                proposed: session::token(),
            }),
            superseded: OnceLock::new(),
            config,
            fence,
        }
    }

    /// A session from the pool that is registered with the fence, and what is known about its server.
    pub(super) async fn registered(
        &self,
    ) -> Result<(Lease<Session>, Arc<ServerProfile>), ProviderError> {
        if let Some(error) = self.superseded.get() {
            return Err(error.clone());
        }
        let slot = self.pool.slot().await?;
        let opened = self.pool.session(slot, self.open()).await;
        if let Err(error @ ProviderError::Superseded { .. }) = &opened {
            // If another session was first to find out, it says the same.
            let _ = self.superseded.set(error.clone());
        }
        let mut lease = opened?;
        let profile = self.profile.lock().await.clone().ok_or_else(forgotten)?;
        lease.set_grant(&profile.grant);
        Ok((lease, profile))
    }

    /// A session that is not registered with the fence, just to inspect a server that may be read-only.
    pub(super) async fn unregistered(&self) -> Result<(Session, Slot), ProviderError> {
        let slot = self.slot().await?;
        let session = Session::open(&self.config, &self.server, session::token()).await?;
        Ok((session, slot))
    }

    /// The id of the cluster that these sessions work for.
    pub(super) fn cluster_id(&self) -> &str {
        self.fence.cluster_id()
    }

    /// The right to have one more connection open, which is closed after use.
    pub(super) async fn slot(&self) -> Result<Slot, ProviderError> {
        self.pool.one_off_slot().await
    }

    /// Replaces what was known about the server and the administrator by what an inspection found.
    pub(super) async fn learn(&self, dialect: Dialect, held: Held, kills_by_procedure: bool) {
        let mut known = self.profile.lock().await;
        if let Some(profile) = known.as_mut() {
            let profile = Arc::make_mut(profile);
            profile.dialect = dialect;
            profile.held = held;
            profile.kills_by_procedure = kills_by_procedure;
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.pool.usage()
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Connects and registers, which writes nothing if this process was superseded. The first session makes the first
    /// contact, after checking which server it is; the others wait for that.
    async fn open(&self) -> Result<Session, ProviderError> {
        let mut session = Session::open(&self.config, &self.server, session::token()).await?;
        let mut known = self.profile.lock().await;
        // Twice, because a server that was rebuilt or restored from a backup has forgotten the epoch that we know.
        for _ in 0..2 {
            let was_known = known.is_some();
            // What is known stays if this fails: a process that was superseded must not enter a second time.
            let profile = match known.as_ref() {
                Some(profile) => Arc::clone(profile),
                None => Arc::new(self.first_contact(&mut session).await?),
            };
            *known = Some(Arc::clone(&profile));
            let recognize = |found: Option<&str>| self.recognize(found);
            if fence::register(&mut session, &self.fence, profile.epoch, recognize).await? {
                drop(known);
                // A first contact has already checked.
                if was_known && !self.identity().expected.is_any() {
                    self.recognize(identity::read(&mut session).await?.as_deref())?;
                }
                fence::forget_lost(&mut session, &self.fence, profile.epoch).await?;
                return Ok(session);
            }
            *known = None;
        }
        Err(forgotten())
    }

    async fn first_contact(&self, session: &mut Session) -> Result<ServerProfile, ProviderError> {
        let found = identity::read(session).await?;
        self.recognize(found.as_deref())?;
        let mut dialect = dialect::detect(session, self.config.tls.mode).await?;
        let (account, held) = administrator::privileges(session).await?;
        everybody::add_roles_of_roles(session, &mut dialect, &account).await?;
        let grant = Arc::from(administrator::everything(&dialect, &account));
        session.set_grant(&grant);
        if found.is_none() {
            self.fence.check_held()?;
            let identity = self.founding()?;
            schema::create(session, &dialect, &identity).await?;
            // If this server is rebuilt, it gets another identity.
            self.identity().proposed = session::token();
        }
        let epoch = fence::enter(session, &self.fence, self.config.timeouts.statement).await?;
        if found.is_some() {
            schema::upgrade(session, &dialect).await?;
        }
        Ok(ServerProfile {
            kills_by_procedure: administrator::has_kill_procedure(session).await?,
            dialect,
            epoch,
            held,
            grant,
        })
    }
}

fn forgotten() -> ProviderError {
    ProviderError::Unexpected {
        doing: "registering a session".to_owned(),
        detail: "the server forgets what is written to db_operator".to_owned(),
    }
}
