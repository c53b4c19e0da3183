//! Looks at the target of a load: what is in it, what would stand in the way, and what room there is. Changes nothing.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::checks::Claimed;
use super::grants::permit;
use super::scratch::contents;
use super::session::Session;
use super::sessions::OtherSession;
use super::swap_lock::in_use_by;
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::restore::{Load, TargetFacts};
use crate::provider::{ProviderError, SqlName};

/// Slots through which changes of the database `$1` are read; and how many more sessions users that are no superusers may
/// have. Nobody who is no superuser is told what is free where databases are.
const AROUND: &str = "SELECT json_build_object(
  'slots', (SELECT coalesce(json_agg(s), '[]') FROM (
    SELECT slot_name AS name, plugin FROM pg_replication_slots WHERE database = $1 ORDER BY 1 LIMIT 5) s),
  'connections', current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
    - coalesce(current_setting('reserved_connections', true)::bigint, 0)
    - (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database))::text";

/// How long something may be in the way that passes by itself.
const PASSES_WITHIN: Duration = Duration::from_secs(2);

/// How long to wait before what is in the way is looked at again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
pub(super) struct Around {
    slots: Vec<Slot>,
    pub(super) connections: i64,
}

#[derive(Deserialize)]
struct Slot {
    name: String,
    plugin: Option<String>,
}

impl Postgresql {
    pub(super) async fn look_at(&self, load: &Load) -> Result<TargetFacts, ProviderError> {
        self.refuse_reserved(&load.target)?;
        let database = &load.target.database;
        let (obstacles, connections) = {
            let mut session = self.session().await?;
            let mut obstacles = self.obstacles_now(&mut session, database).await?;
            obstacles.extend(self.obstacles_of_rights(&mut session, load).await?);
            let around = around(&mut session, database).await?;
            (obstacles, around.connections.max(0))
        };
        let mut tenant = self.open_tenant_session(&load.target).await?;
        let contained = self.contained(&mut tenant.session).await;
        let contained = self.close_tenant_session(tenant, contained).await?;
        Ok(TargetFacts {
            contents: contained.names(),
            half_loaded: false,
            obstacles,
            bytes: contained.bytes,
            free_bytes: None,
            free_connections: u32::try_from(connections).ok(),
        })
    }

    /// What would keep a swap from happening at this moment, each with what to do.
    pub(super) async fn obstacles_now(
        &self,
        session: &mut Session,
        database: &SqlName,
    ) -> Result<Vec<String>, ProviderError> {
        let mut obstacles = self.left_inside(session, database.as_str()).await?;
        let around = around(session, database).await?;
        obstacles.extend(around.slots.iter().map(|slot| slot.describe(database)));
        let name = Some(database.as_str());
        let mut sessions = self.list_sessions(session, name, None, &[]).await?;
        sessions.retain(OtherSession::is_out_of_reach);
        if !sessions.is_empty() {
            obstacles.push(in_use_by(database, &sessions));
        }
        Ok(obstacles)
    }

    /// The same of what does not pass by itself soon, as a look of a superuser's does. Nobody waits for it meanwhile.
    pub(super) async fn lasting_obstacles(
        &self,
        session: &mut Session,
        database: &SqlName,
    ) -> Result<Vec<String>, ProviderError> {
        let until = Instant::now() + PASSES_WITHIN;
        loop {
            let obstacles = self.obstacles_now(session, database).await?;
            if obstacles.is_empty() || Instant::now() >= until {
                return Ok(obstacles);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// What the administrator may not do that a restore needs.
    async fn obstacles_of_rights(
        &self,
        session: &mut Session,
        load: &Load,
    ) -> Result<Vec<String>, ProviderError> {
        let names = &load.target;
        let catalog = self.read_catalog(session, names).await?;
        let (Some(row), Some(role)) = (catalog.database(), catalog.role()) else {
            return Err(ProviderError::InTheWay(format!(
                "the database {:?} or its user {:?} is missing",
                names.database, names.role
            )));
        };
        role.refuse_powerful()?;
        let mut obstacles = Vec::new();
        let administrator = &self.config.username;
        let version = session.version();
        if !row.owned && !row.obtainable {
            obstacles.push(format!(
                "the database {:?} belongs to {:?}, for whom the administrator may not act; to allow it, run: {}",
                names.database,
                row.owner,
                permit(&row.owner, administrator, version)
            ));
        }
        if !role.alterable {
            obstacles.push(format!(
                "the administrator may not act for the user {:?}; to allow it, run: {}",
                names.role,
                permit(names.role.as_str(), administrator, version)
            ));
        }
        if let Some(properties) = self.properties(session, &names.database).await? {
            obstacles.extend(properties.obstacles(&names.database));
        }
        let wanted = contents(load, &names.database);
        obstacles.extend(self.refused_extensions(session, &wanted).await?);
        let claimed = Claimed::by(load);
        let state = self.state_of(session, load, &claimed).await?;
        if state.claim.is_none() {
            obstacles.push(claimed.missing());
        }
        Ok(obstacles)
    }
}

pub(super) async fn around(
    session: &mut Session,
    database: &SqlName,
) -> Result<Around, ProviderError> {
    let query = sqlx::query(AROUND).bind(database.as_str());
    Ok(session.json("look around a database", query).await?)
}

impl Slot {
    fn describe(&self, database: &SqlName) -> String {
        format!(
            "changes of database {database:?} are read through the replication slot {:?} ({}), which would stay with the \
             former one; where nobody reads it any more, run: SELECT pg_drop_replication_slot({})",
            self.name,
            quoted(self.plugin.as_deref().unwrap_or_default()),
            postgresql_literal(&self.name)
        )
    }
}
