//! Makes the place to load into: a database beside the target that is like it, and a login for this load alone.
//!
//! The row comes first, with the login, under one lock on the server, so that nobody else gets the names. CREATE DATABASE
//! cannot run in a transaction, so the new database carries a mark that the row has, until it is noted (see `creation.rs`).

use super::checks::{Checked, Checks, Claimed, assert_exists, assert_free, not_noted};
use super::creation::{PLACE, mark};
use super::grants::{no_self_grant, permit};
use super::load_login::create_login;
use super::properties::Properties;
use super::restore_tables::{Purpose, RestoreState, beside};
use super::session::Session;
use super::swap_lock::give;
use super::{Postgresql, quoted};
use crate::provider::derived_name::{self, derived};
use crate::provider::ident::{MAX_NAME_BYTES, postgresql_literal};
use crate::provider::restore::{Ended, Load, Scratch};
use crate::provider::{Desired, Extension, ProviderError, SqlName, Verifier};

/// Any number will do as long as it is always the same: names of databases and roles are taken one after the other.
pub(super) const NAMES_LOCK: i64 = 0x6462_6f6e;

/// The names of what is made for one load.
struct LoadNames {
    database: SqlName,
    login: SqlName,
    /// Of the former database, after the swap.
    former: SqlName,
}

/// What is made, for which load.
struct Place<'a> {
    load: &'a Load,
    claimed: &'a Claimed,
    names: &'a LoadNames,
    mark: i32,
}

impl Postgresql {
    pub(super) async fn make_place(
        &self,
        load: &Load,
        verifier: &Verifier,
    ) -> Result<Scratch, ProviderError> {
        self.refuse_reserved(&load.target)?;
        let claimed = Claimed::by(load);
        let names = LoadNames::of(load)?;
        self.drop_former_try(load, &claimed).await?;
        let made = async {
            self.make_beside(load, &claimed, &names, verifier).await?;
            self.apply_contents(&contents(load, &names.database)).await
        };
        if let Err(error) = made.await {
            // Names that nothing has are free for others. If that fails, the next try begins with it.
            if !error.ends_process() && !error.is_server_down() {
                let _ = self.drop_former_try(load, &claimed).await;
            }
            return Err(error);
        }
        Ok(Scratch {
            database: names.database,
            login: names.login,
            owner: load.target.role.clone(),
        })
    }

    /// Drops what a former try of this restore left, also of an object of the same name.
    async fn drop_former_try(&self, load: &Load, claimed: &Claimed) -> Result<(), ProviderError> {
        let state = {
            let mut session = self.session().await?;
            self.state_of(&mut session, load, claimed).await?
        };
        refuse_done(load, &state)?;
        if state.rows.iter().any(|row| row.locked) {
            self.reopen_target(load).await?;
        }
        for row in state.rows.iter().filter(|row| row.purpose == Purpose::Load) {
            match self.drop_scratch(claimed, row).await? {
                Ended::Done => {}
                Ended::Blocked(detail) => {
                    return Err(ProviderError::Busy {
                        doing: format!("make a place beside {:?}", load.target.database),
                        detail,
                    });
                }
                Ended::ChangedHands(sentence) | Ended::Adopted(sentence) => {
                    return Err(ProviderError::InTheWay(sentence));
                }
            }
        }
        Ok(())
    }

    async fn make_beside(
        &self,
        load: &Load,
        claimed: &Claimed,
        names: &LoadNames,
        verifier: &Verifier,
    ) -> Result<(), ProviderError> {
        let mut session = self.session().await?;
        let state = self.state_of(&mut session, load, claimed).await?;
        let properties = self.properties(&mut session, &load.target.database).await?;
        let database = &load.target.database;
        let (Some(properties), Some(target)) = (properties, &state.target) else {
            return Err(ProviderError::InTheWay(format!(
                "the database {database:?} is missing"
            )));
        };
        if state.is_another(&target.id) {
            return Err(ProviderError::InTheWay(not_noted(database.as_str())));
        }
        if let Some(sentence) = properties.too_long(database) {
            return Err(ProviderError::InTheWay(sentence));
        }
        let place = Place {
            load,
            claimed,
            names,
            mark: mark(),
        };
        self.take_names(&mut session, &place, &target.id, verifier)
            .await?;
        self.create_beside(&mut session, &place, &properties, state.assumable)
            .await
    }

    /// Writes the row and makes the login, in one transaction, if nobody else has these names.
    async fn take_names(
        &self,
        session: &mut Session,
        place: &Place<'_>,
        target_id: &str,
        verifier: &Verifier,
    ) -> Result<(), ProviderError> {
        let Place {
            load,
            claimed,
            names,
            mark,
        } = *place;
        let (target, restore) = (&load.target, &load.restore);
        let databases = [(target.database.as_str(), target_id)];
        let checks = Checks {
            claimed: Some(claimed),
            databases: &databases,
        };
        let version = session.version();
        let literal = postgresql_literal;
        let mut statements = vec![
            format!("SELECT pg_advisory_xact_lock({NAMES_LOCK})"),
            assert_free(
                &[names.database.as_str(), names.former.as_str()],
                names.login.as_str(),
            ),
        ];
        statements.extend(no_self_grant(version));
        statements.extend(create_login(&names.login, &target.role, verifier, version));
        statements.push(format!(
            "INSERT INTO db_operator.scratch (database_name, role_name, purpose, cluster_id, namespace, name, uid, \
             target_database, target_role, target_id, other_name, database_mark, role_id) \
             SELECT {}, {}, 'load', {}, {}, {}, {}, {}, {}, {}, {}, {mark}, {PLACE} || oid FROM pg_roles WHERE rolname = {}",
            literal(names.database.as_str()),
            literal(names.login.as_str()),
            literal(&restore.cluster_id),
            literal(&restore.namespace),
            literal(&restore.name),
            literal(&restore.uid),
            literal(target.database.as_str()),
            literal(target.role.as_str()),
            literal(target_id),
            literal(names.former.as_str()),
            literal(names.login.as_str()),
        ));
        let doing = format!("make the login {:?} of a restore", names.login);
        match self.checked(session, &doing, checks, statements).await? {
            Checked::Done => Ok(()),
            Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                Err(ProviderError::InTheWay(sentence))
            }
            Checked::Failed(failure) => {
                let role = target.role.as_str();
                Err(failure.needing(|| permit(role, &self.config.username, version)))
            }
        }
    }

    /// Makes the database, closed and marked, and then opens it to its owner and the login.
    async fn create_beside(
        &self,
        session: &mut Session,
        place: &Place<'_>,
        properties: &Properties,
        assumable: bool,
    ) -> Result<(), ProviderError> {
        let Place {
            load,
            claimed,
            names,
            mark,
        } = *place;
        let database = &names.database;
        let doing = format!("make the database {database:?}");
        {
            let _permit = self.creations.acquire().await;
            let sql = properties.create(database, mark);
            session.statement(&doing, sql).await.map_err(|failure| {
                match failure.code() {
                    // What the target has, but the server does not make any more.
                    Some("22023" | "42809" | "42704") => ProviderError::Unsupported(format!(
                        "the server cannot {doing}: {}",
                        failure.said()
                    )),
                    Some(_) | None => failure.needing(|| {
                        format!("ALTER ROLE {} CREATEDB", quoted(&self.config.username))
                    }),
                }
            })?;
        }
        let name = database.postgresql();
        let version = session.version();
        let mut statements = noting_database(database, mark).to_vec();
        statements.push(format!(
            "GRANT CONNECT ON DATABASE {name} TO {}",
            names.login.postgresql()
        ));
        statements.extend(properties.for_loading(database));
        statements.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
        let role = &load.target.role;
        statements.extend(give(&name, role, assumable, version));
        let checks = Checks {
            claimed: Some(claimed),
            databases: &[],
        };
        let doing = format!("open the database {database:?} to a restore");
        match self.checked(session, &doing, checks, statements).await? {
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

/// Statements that note in its row which database was made with this mark, and take the mark and everybody's privileges
/// off it. It stays closed.
pub(super) fn noting_database(database: &SqlName, mark: i32) -> [String; 4] {
    let (name, row) = (database.postgresql(), postgresql_literal(database.as_str()));
    [
        format!(
            "UPDATE db_operator.scratch SET database_mark = NULL, database_id = {PLACE} || d.oid FROM pg_database d \
             WHERE database_name = {row} AND d.datname = {row} AND d.datconnlimit = database_mark \
             AND database_mark = {mark}"
        ),
        assert_exists(
            &format!(
                "SELECT FROM db_operator.scratch WHERE database_name = {row} AND database_id IS NOT NULL"
            ),
            &not_noted(database.as_str()),
        ),
        format!("ALTER DATABASE {name} CONNECTION LIMIT -1"),
        format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
    ]
}

impl LoadNames {
    fn of(load: &Load) -> Result<Self, ProviderError> {
        let uid = &load.restore.uid;
        let derive = |base, purpose| {
            derived(base, purpose, uid, MAX_NAME_BYTES)
                .map_err(|error| ProviderError::Unsupported(error.to_string()))
        };
        Ok(Self {
            database: derive(&load.target.database, derived_name::Purpose::Load)?,
            login: derive(&load.target.role, derived_name::Purpose::Load)?,
            former: derive(&load.target.database, derived_name::Purpose::Former)?,
        })
    }
}

/// What a restore needs in the database beforehand: what the Database's spec asks for, and further extensions.
pub(super) fn contents(load: &Load, database: &SqlName) -> Desired {
    let mut desired = load.desired.clone();
    desired.names = beside(database, &load.target);
    let wanted = &mut desired.postgresql.extensions;
    let more: Vec<Extension> = load
        .extensions
        .iter()
        .filter(|extension| !wanted.iter().any(|other| other.name == extension.name))
        .cloned()
        .collect();
    wanted.extend(more);
    desired
}

/// A restore is done once, whatever became of what it made.
fn refuse_done(load: &Load, state: &RestoreState) -> Result<(), ProviderError> {
    if state.record.is_none() {
        return Ok(());
    }
    Err(ProviderError::InTheWay(format!(
        "the restore {}/{} was done before",
        load.restore.namespace, load.restore.name
    )))
}
