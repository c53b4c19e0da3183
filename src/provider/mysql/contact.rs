//! The sessions of one provider: the first contact with a server, and each session's registration with the fence.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::super::pool::{Lease, Pool, Slot};
use super::super::{Expected, Fence, Flavour, ProviderError, ServerConfig, TlsMode, Usage};
use super::catalog;
use super::dialect::Dialect;
use super::exposure;
use super::grants::{self, Held};
use super::session::{self, Session};
use super::{error, fence, home};

/// What is known of a server from the first contact on.
#[derive(Clone, Debug)]
pub(super) struct Contact {
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

/// Which server these sessions are with.
struct Identity {
    expected: Expected,
    /// What a server that has no identity is given.
    proposed: String,
}

/// The administrator's sessions on one server.
pub(super) struct Sessions {
    pub(super) config: ServerConfig,
    /// `host:port`, for messages.
    pub(super) server: Arc<str>,
    fence: Fence,
    pool: Pool<Session>,
    contact: tokio::sync::Mutex<Option<Arc<Contact>>>,
    identity: Mutex<Identity>,
    /// Why this process has to end. Until it does, it opens no session any more.
    superseded: OnceLock<ProviderError>,
}

impl Sessions {
    pub(super) fn new(config: ServerConfig, fence: Fence) -> Self {
        Self {
            server: Arc::from(format!("{}:{}", config.host, config.port)),
            pool: Pool::new(config.max_connections, config.timeouts),
            contact: tokio::sync::Mutex::new(None),
            identity: Mutex::new(Identity {
                expected: Expected::default(),
                proposed: session::token(),
            }),
            superseded: OnceLock::new(),
            config,
            fence,
        }
    }

    /// Says which servers may be worked on.
    pub(super) fn expect(&self, expected: Expected) {
        let mut identity = self.identity();
        let differs = identity.expected.differs(&expected);
        identity.expected = expected;
        drop(identity);
        if differs {
            self.pool.retire();
        }
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a server may be worked on that has this identity, or none yet. If not, the sessions that are open are
    /// given up: they may be with the former one.
    pub(super) fn recognize(&self, found: Option<&str>) -> Result<(), ProviderError> {
        let accepted = match found {
            Some(found) => self.identity().expected.check(found),
            None => self.founding().map(|_| ()),
        };
        accepted.inspect_err(|_| self.pool.retire())
    }

    /// The identity for a server that has none yet, if it may be worked on.
    fn founding(&self) -> Result<String, ProviderError> {
        let identity = self.identity();
        identity
            .expected
            .founding(&identity.proposed, session::is_token)
    }

    /// A session that is registered with the fence, and what is known of its server.
    pub(super) async fn registered(&self) -> Result<(Lease<Session>, Arc<Contact>), ProviderError> {
        if let Some(error) = self.superseded.get() {
            return Err(error.clone());
        }
        let slot = self.pool.slot().await?;
        let opened = self.pool.session(slot, self.open()).await;
        if let Err(error @ ProviderError::Superseded { .. }) = &opened {
            // Whoever was first to be told says the same.
            let _ = self.superseded.set(error.clone());
        }
        let mut lease = opened?;
        let contact = self.contact.lock().await.clone().ok_or_else(forgotten)?;
        lease.set_grant(&contact.grant);
        Ok((lease, contact))
    }

    /// A session that is not registered with the fence, only to look at a server that may be read-only.
    pub(super) async fn unregistered(&self) -> Result<(Session, Slot), ProviderError> {
        let slot = self.slot().await?;
        let session = Session::open(&self.config, &self.server, session::token()).await?;
        Ok((session, slot))
    }

    /// For which cluster these sessions work.
    pub(super) fn cluster_id(&self) -> &str {
        self.fence.cluster_id()
    }

    /// The right to have one more connection open, which is not kept.
    pub(super) async fn slot(&self) -> Result<Slot, ProviderError> {
        self.pool.one_off_slot().await
    }

    /// Puts what was learned anew about the server and the administrator in the place of what was known.
    pub(super) async fn learn(&self, dialect: Dialect, held: Held, kills_by_procedure: bool) {
        let mut known = self.contact.lock().await;
        if let Some(contact) = known.as_mut() {
            let contact = Arc::make_mut(contact);
            contact.dialect = dialect;
            contact.held = held;
            contact.kills_by_procedure = kills_by_procedure;
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.pool.usage()
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Connects and registers, which writes nothing where this process was superseded. The first to come makes the
    /// contact, after a look at which server it is; the others wait for it.
    async fn open(&self) -> Result<Session, ProviderError> {
        let mut session = Session::open(&self.config, &self.server, session::token()).await?;
        let mut known = self.contact.lock().await;
        // Twice: a server that was rebuilt, or restored from a backup, has forgotten the epoch that we know.
        for _ in 0..2 {
            let was_known = known.is_some();
            // What is known stays when this fails: a process that was superseded must not enter a second time.
            let contact = match known.as_ref() {
                Some(contact) => Arc::clone(contact),
                None => Arc::new(self.first_contact(&mut session).await?),
            };
            *known = Some(Arc::clone(&contact));
            let recognize = |found: Option<&str>| self.recognize(found);
            if fence::register(&mut session, &self.fence, contact.epoch, recognize).await? {
                drop(known);
                // A first contact has looked already.
                if was_known && !self.identity().expected.is_any() {
                    self.recognize(home::identity(&mut session).await?.as_deref())?;
                }
                fence::forget_lost(&mut session, &self.fence, contact.epoch).await?;
                return Ok(session);
            }
            *known = None;
        }
        Err(forgotten())
    }

    async fn first_contact(&self, session: &mut Session) -> Result<Contact, ProviderError> {
        let found = home::identity(session).await?;
        self.recognize(found.as_deref())?;
        let mut dialect = dialect(session, self.config.tls.mode).await?;
        let (account, held) = privileges(session).await?;
        look_for_everybody(session, &mut dialect, &account).await?;
        let grant = Arc::from(grants::everything(&dialect, &account));
        session.set_grant(&grant);
        if found.is_none() {
            self.fence.check_held()?;
            let identity = self.founding()?;
            home::make(session, &dialect, &identity).await?;
            // Another server, or this one made anew, is another one.
            self.identity().proposed = session::token();
        }
        let epoch = fence::enter(session, &self.fence, self.config.timeouts.statement).await?;
        if found.is_some() {
            home::upgrade(session).await?;
        }
        Ok(Contact {
            kills_by_procedure: home::has_kill_procedure(session).await?,
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

/// Reads which server answered, and refuses MySQL in the clear.
pub(super) async fn dialect(
    session: &mut Session,
    mode: TlsMode,
) -> Result<Dialect, ProviderError> {
    let doing = "asking the server for its version";
    let sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
               ('version', 'version_comment', 'lower_case_table_names', 'partial_revokes', 'mandatory_roles')";
    let variables = session.variables(doing, sql).await?;
    let value = |name: &str| variables.get(name).map_or("", String::as_str);
    let folds = value("lower_case_table_names") != "0";
    let literal = value("partial_revokes") == "ON";
    let mut dialect = Dialect::new(value("version"), value("version_comment"), folds, literal)?;
    dialect.everybody = if dialect.is_mariadb() {
        vec![exposure::public()]
    } else {
        exposure::mandatory_roles(value("mandatory_roles"))
    };
    dialect.encrypted = mode != TlsMode::Disable;
    if dialect.flavour == Flavour::Mysql && mode == TlsMode::Disable {
        return Err(ProviderError::Unsupported(error::NEEDS_TLS.to_owned()));
    }
    Ok(dialect)
}

/// Adds the roles that the roles of all users have. An administrator who may not look is told which privilege it takes: who
/// gets at a database is not known otherwise.
pub(super) async fn look_for_everybody(
    session: &mut Session,
    dialect: &mut Dialect,
    account: &str,
) -> Result<(), ProviderError> {
    if dialect.everybody.is_empty() {
        return Ok(());
    }
    let edges = catalog::role_members(session, dialect)
        .await
        .map_err(|error| grants::to_look(error, account))?;
    dialect.everybody = exposure::everybody(std::mem::take(&mut dialect.everybody), &edges);
    Ok(())
}

/// The administrator's account as statements name it, and its global privileges, those of active roles included.
pub(super) async fn privileges(session: &mut Session) -> Result<(String, Held), ProviderError> {
    let doing = "asking for the administrator's privileges";
    let who = sqlx::query("SELECT CURRENT_USER() AS account, CURRENT_ROLE() AS roles");
    let (account, roles) = match session.rows(doing, who).await?.first() {
        Some(row) => (row.text("account")?, row.text("roles")?),
        None => (String::new(), String::new()),
    };
    let own = || "SHOW GRANTS".to_owned();
    // MySQL answers with the roles' names, and with their privileges only when they are named. The list is the
    // server's own and quoted by it; MariaDB includes the active role by itself and quotes nothing.
    let rows = if roles.starts_with('`') {
        let with_roles = format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}");
        match session.show(doing, with_roles).await {
            // Somebody took a role away since the session began, which goes on with it.
            Err(failure) if failure.number == Some(error::NO_ROLE) => {
                session.show(doing, own()).await?
            }
            answer => answer?,
        }
    } else {
        session.show(doing, own()).await?
    };
    let lines: Vec<String> = rows
        .iter()
        .map(|row| row.text_at(0))
        .collect::<Result<_, _>>()?;
    let held = Held::parse(lines.iter().map(String::as_str));
    Ok((grants::account(&account), held))
}
