//! A database of its own for a backup that is tried out, with a user of its own that owns all in it, and how both are dropped.
//!
//! Nobody has a claim on them. As with a load beside a target ([`super::scratch`]), the row in `db_operator.scratch` comes first,
//! with the user, and what is dropped is what the row says, whatever names the Restore would have by now.

use sqlx::postgres::PgRow;

use super::checks::{Checked, Checks, Claimed, assert_free};
use super::creation::{PLACE, mark};
use super::grants::{no_self_grant, permit};
use super::load_login::LOGIN_CONNECTIONS;
use super::restore_tables::{Purpose, ScratchRow, name};
use super::scratch::{NAMES_LOCK, contents, noting_database};
use super::session::{Session, column};
use super::swap_lock::give;
use super::target::around;
use super::{Postgresql, options, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::restore::{Ended, Leftover, Load, RestoreId, Scratch, TargetFacts};
use crate::provider::{Desired, Names, ProviderError, Verifier};

impl Postgresql {
    /// Looks at what the server would not take, and changes nothing.
    pub(super) async fn look_for_trial(&self, load: &Load) -> Result<TargetFacts, ProviderError> {
        self.refuse_reserved(&load.target)?;
        let desired = contents(load, &load.target.database);
        let mut session = self.session().await?;
        if desired.postgresql.has_options() {
            self.check_options(&mut session, &desired).await?;
        }
        let obstacles = self.refused_extensions(&mut session, &desired).await?;
        let around = around(&mut session, &load.target.database).await?;
        Ok(TargetFacts {
            obstacles,
            free_connections: u32::try_from(around.connections.max(0)).ok(),
            ..TargetFacts::default()
        })
    }

    /// Makes the database and its user. What a former try of the same Restore left is dropped first.
    pub(super) async fn make_trial(
        &self,
        load: &Load,
        verifier: &Verifier,
    ) -> Result<Scratch, ProviderError> {
        self.refuse_reserved(&load.target)?;
        match self.drop_trials(load).await? {
            Ended::Done => {}
            Ended::Blocked(detail) => {
                return Err(ProviderError::Busy {
                    doing: "make a database for a test".to_owned(),
                    detail,
                });
            }
            Ended::ChangedHands(sentence) | Ended::Adopted(sentence) => {
                return Err(ProviderError::InTheWay(sentence));
            }
        }
        let desired = contents(load, &load.target.database);
        let made = async {
            let mark = mark();
            {
                let mut session = self.session().await?;
                self.note_trial(&mut session, load, verifier, mark).await?;
                self.create_trial(&mut session, &desired, mark).await?;
            }
            self.apply_contents(&desired).await
        };
        if let Err(error) = made.await {
            // If this fails, the next try begins with it, or the clean-up of the Restore.
            if !error.ends_process() && !error.is_server_down() {
                let _ = self.drop_trials(load).await;
            }
            return Err(error);
        }
        Ok(Scratch {
            database: load.target.database.clone(),
            login: load.target.role.clone(),
            owner: load.target.role.clone(),
        })
    }

    /// Drops what a test made.
    pub(super) async fn drop_trial(
        &self,
        load: &Load,
        which: Leftover,
    ) -> Result<Ended, ProviderError> {
        match which {
            Leftover::Scratch => self.drop_trials(load).await,
            // Its login owns what was loaded, and nothing was replaced.
            Leftover::Login | Leftover::Former => Ok(Ended::Done),
        }
    }

    /// Drops whatever the tests of this Restore, and of former objects of its name, have made.
    async fn drop_trials(&self, load: &Load) -> Result<Ended, ProviderError> {
        self.drop_trials_of(load, None).await
    }

    /// Drops what the test of this object alone has made.
    pub(super) async fn drop_one_trial(&self, load: &Load) -> Result<Ended, ProviderError> {
        self.drop_trials_of(load, Some(&load.restore.uid)).await
    }

    async fn drop_trials_of(&self, load: &Load, uid: Option<&str>) -> Result<Ended, ProviderError> {
        let claimed = Claimed::by(load);
        let state = {
            let mut session = self.session().await?;
            self.state_of(&mut session, load, &claimed).await?
        };
        let is_wanted = |row: &&ScratchRow| {
            row.purpose == Purpose::Test && uid.is_none_or(|uid| row.uid == uid)
        };
        let mut all = Ended::Done;
        for row in state.rows.iter().filter(is_wanted) {
            // One that stays keeps none of the others.
            all = all.and(self.drop_trial_row(row).await?);
        }
        Ok(all)
    }

    /// The tests of these clusters that have something on the server.
    pub(super) async fn list_trials(
        &self,
        clusters: &[String],
    ) -> Result<Vec<RestoreId>, ProviderError> {
        let mut session = self.session().await?;
        let query = sqlx::query(TRIALS).bind(clusters);
        let rows = session
            .rows("list what tests of backups have left", query)
            .await?;
        rows.iter().map(restore_of).collect()
    }

    /// The database first: its user owns what is in it.
    async fn drop_trial_row(&self, row: &ScratchRow) -> Result<Ended, ProviderError> {
        let database = row.database()?;
        let names = Names {
            role: match &row.role_name {
                Some(role) => name(role)?,
                None => database.clone(),
            },
            database,
        };
        {
            let mut session = self.session().await?;
            // Whatever becomes of the database, nobody logs in to it any more.
            if let (Some(login), true) = (&row.role_name, row.has_login()) {
                self.lock_login(&mut session, login).await?;
            }
            match self.drop_noted(&mut session, &names, None, row).await? {
                Ended::Done => {}
                ended @ Ended::ChangedHands(_) => {
                    // The database of this name is somebody else's. The user is ours all the same.
                    self.drop_free_login(&mut session, &names, row).await?;
                    return Ok(ended);
                }
                ended @ (Ended::Blocked(_) | Ended::Adopted(_)) => return Ok(ended),
            }
        }
        self.drop_login(&names, row).await
    }

    /// Writes the row and makes the user, in one transaction, if nobody else has these names.
    async fn note_trial(
        &self,
        session: &mut Session,
        load: &Load,
        verifier: &Verifier,
        mark: i32,
    ) -> Result<(), ProviderError> {
        let Names { database, role } = &load.target;
        let restore = &load.restore;
        let literal = postgresql_literal;
        let mut statements = vec![
            format!("SELECT pg_advisory_xact_lock({NAMES_LOCK})"),
            assert_free(&[database.as_str()], role.as_str()),
        ];
        statements.extend(no_self_grant(session.version()));
        statements.push(format!(
            "CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {LOGIN_CONNECTIONS}",
            role.postgresql(),
            literal(verifier.expose())
        ));
        statements.push(format!(
            "INSERT INTO db_operator.scratch (database_name, role_name, purpose, cluster_id, namespace, name, uid, \
             target_database, target_role, target_id, database_mark, role_id) \
             SELECT {0}, {1}, 'test', {2}, {3}, {4}, {5}, {0}, {1}, '', {mark}, {PLACE} || oid FROM pg_roles \
             WHERE rolname = {1}",
            literal(database.as_str()),
            literal(role.as_str()),
            literal(&restore.cluster_id),
            literal(&restore.namespace),
            literal(&restore.name),
            literal(&restore.uid),
        ));
        let doing = format!("make the user {role:?} of a test");
        match self.checked(session, &doing, NOBODYS, statements).await? {
            Checked::Done => Ok(()),
            Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                Err(ProviderError::InTheWay(sentence))
            }
            Checked::Failed(failure) => Err(failure
                .needing(|| format!("ALTER ROLE {} CREATEROLE", quoted(&self.config.username)))),
        }
    }

    /// Makes the database, closed and marked, and then opens it to its owner alone.
    async fn create_trial(
        &self,
        session: &mut Session,
        desired: &Desired,
        mark: i32,
    ) -> Result<(), ProviderError> {
        let Names { database, role } = &desired.names;
        let doing = format!("make the database {database:?}");
        {
            let _permit = self.creations.acquire().await;
            let sql = options::create(desired, Some(mark), session.version())?;
            session.statement(&doing, sql).await.map_err(|failure| {
                match failure.code() {
                    // An encoding or a locale that this server does not have, or that do not go together.
                    Some("22023" | "42809" | "42704") => ProviderError::Unsupported(format!(
                        "the server cannot {doing} with what the backup was made with: {}",
                        failure.said()
                    )),
                    Some(_) | None => failure.needing(|| {
                        format!("ALTER ROLE {} CREATEDB", quoted(&self.config.username))
                    }),
                }
            })?;
        }
        let version = session.version();
        let name = database.postgresql();
        let mut statements = noting_database(database, mark).to_vec();
        statements.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
        // A superuser may act as everyone, and would not get rid of what it lent itself.
        let catalog = self.read_catalog(session, &desired.names).await?;
        let assumable = catalog.role().is_some_and(|role| role.assumable);
        statements.extend(give(&name, role, assumable, version));
        let doing = format!("open the database {database:?} to a test");
        match self.checked(session, &doing, NOBODYS, statements).await? {
            Checked::Done => Ok(()),
            Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                Err(ProviderError::InTheWay(sentence))
            }
            Checked::Failed(failure) => {
                Err(failure.needing(|| permit(role.as_str(), &self.config.username, version)))
            }
        }
    }
}

/// The Restore that a row is of. What it asked for does not matter any more.
fn restore_of(row: &PgRow) -> Result<RestoreId, ProviderError> {
    Ok(RestoreId {
        cluster_id: column(row, "cluster_id")?,
        namespace: column(row, "namespace")?,
        name: column(row, "name")?,
        uid: column(row, "uid")?,
        spec_hash: String::new(),
    })
}

/// What tests of the clusters `$1` have on the server.
const TRIALS: &str = "SELECT cluster_id, namespace, name, uid FROM db_operator.scratch
WHERE purpose = 'test' AND cluster_id = ANY ($1) ORDER BY made_at, database_name LIMIT 100";

/// No claim has to stand: only this process has to lead.
const NOBODYS: Checks<'static> = Checks {
    claimed: None,
    databases: &[],
};
