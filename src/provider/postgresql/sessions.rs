//! Sessions that are in the way of a removal: ended if the administrator may do so, and named if not.

use super::grants::{Right, borrow, give_back};
use super::rows::DatabaseRow;
use super::session::Session;
use super::session::column;
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{ProviderError, Removed};

/// How long a session may take to end, in milliseconds.
const END_WITHIN: u32 = 3000;

/// Whether to wait for a session to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Do not wait: the next statement waits for its locks.
    Asked,
    /// Wait.
    Awaited,
}

/// Sessions in the database `$1` or of the role `$2`, but for those of `$3`, and how they can be ended. Workers of the server itself have no
/// role, and the server ends them. A subscriber elsewhere comes back for its slot as long as that exists.
const SESSIONS: &str = "SELECT a.pid, r.rolname, a.application_name, a.datname, s.slot_name::text,
  to_char(coalesce(a.xact_start, a.backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since,
  pg_has_role(r.oid, 'USAGE') OR (NOT r.rolsuper AND pg_has_role('pg_signal_backend', 'USAGE')) AS reachable,
  NOT r.rolsuper AND CASE WHEN current_setting('server_version_num')::int < 160000 THEN me.rolcreaterole
    ELSE pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') END AS borrowable
FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid CROSS JOIN pg_roles me
LEFT JOIN pg_replication_slots s ON s.active_pid = a.pid
WHERE me.rolname = current_user AND a.pid <> pg_backend_pid() AND a.pid <> ALL ($3)
  AND (a.datname = $1 OR r.rolname = $2)
ORDER BY a.pid";

/// A session in the way.
pub(super) struct OtherSession {
    pub(super) pid: i32,
    role: String,
    application: String,
    database: String,
    /// The replication slot that it reads.
    slot: Option<String>,
    /// When its transaction began, or else the session, if the administrator may see it. The same each time, as an age would not be.
    since: Option<String>,
    /// Whether the administrator may end it.
    reachable: bool,
    /// Whether the administrator may act as its role, and end it that way.
    borrowable: bool,
}

impl Postgresql {
    /// Ends the sessions that may be ended. The caller finds out which are left.
    pub(super) async fn end_sessions(
        &self,
        session: &mut Session,
        database: Option<&str>,
        role: Option<&str>,
        ending: Ending,
    ) -> Result<(), ProviderError> {
        let sessions = self.list_sessions(session, database, role, &[]).await?;
        self.end_listed(session, sessions, ending).await
    }

    /// Ends those of these sessions that may be ended.
    pub(super) async fn end_listed(
        &self,
        session: &mut Session,
        mut sessions: Vec<OtherSession>,
        ending: Ending,
    ) -> Result<(), ProviderError> {
        let version = session.version();
        sessions.sort_by(|one, other| one.role.cmp(&other.role));
        for of_one_role in sessions.chunk_by(|one, other| one.role == other.role) {
            let [first, ..] = of_one_role else { continue };
            let pids: Vec<String> = of_one_role
                .iter()
                .map(|session| session.pid.to_string())
                .collect();
            // The role is compared again, because the process id may have been reused by now.
            let end = |within: &str| {
                format!(
                    "SELECT pg_terminate_backend(pid{within}) FROM pg_stat_activity \
                     WHERE pid IN ({}) AND usename = {}",
                    pids.join(", "),
                    postgresql_literal(&first.role)
                )
            };
            // All are asked to end before any is waited for.
            let mut ends = vec![end("")];
            if ending == Ending::Awaited {
                ends.push(end(&format!(", {END_WITHIN}")));
            }
            let statements = match (first.reachable, first.borrowable) {
                (true, _) => ends,
                (false, true) => {
                    let mut statements = vec![
                        borrow(&first.role, Right::Assume, version),
                        format!("SET LOCAL ROLE {}", quoted(&first.role)),
                    ];
                    statements.extend(ends);
                    statements.push("RESET ROLE".to_owned());
                    statements.push(give_back(&first.role, version));
                    statements
                }
                (false, false) => continue,
            };
            session
                .transaction(
                    &format!("end the sessions of the user {:?}", first.role),
                    &statements,
                )
                .await?;
        }
        Ok(())
    }

    pub(super) async fn list_sessions(
        &self,
        session: &mut Session,
        database: Option<&str>,
        role: Option<&str>,
        spared: &[i32],
    ) -> Result<Vec<OtherSession>, ProviderError> {
        let query = sqlx::query(SESSIONS).bind(database).bind(role).bind(spared);
        let rows = session.rows("list sessions", query).await?;
        rows.iter()
            .map(|row| {
                Ok(OtherSession {
                    pid: column(row, "pid")?,
                    role: column(row, "rolname")?,
                    application: column::<Option<String>>(row, "application_name")?
                        .unwrap_or_default(),
                    database: column::<Option<String>>(row, "datname")?.unwrap_or_default(),
                    slot: column(row, "slot_name")?,
                    since: column(row, "since")?,
                    reachable: column(row, "reachable")?,
                    borrowable: column(row, "borrowable")?,
                })
            })
            .collect()
    }

    /// The sessions that only a superuser may end, if there are any.
    pub(super) async fn blocked_by_sessions(
        &self,
        session: &mut Session,
        row: &DatabaseRow,
    ) -> Result<Option<Removed>, ProviderError> {
        let mut left = self
            .list_sessions(session, Some(&row.name), None, &[])
            .await?;
        // FORCE ends what the administrator may end directly.
        left.retain(|session| !session.reachable);
        if left.is_empty() {
            return Ok(None);
        }
        let named: Vec<String> = left.iter().map(OtherSession::describe).collect();
        let end: Vec<String> = left.iter().map(OtherSession::remedy).collect();
        Ok(Some(Removed::Blocked(format!(
            "database {:?} is in use by sessions that the administrator may not end: {}; as a superuser, run: {}",
            left.first()
                .map_or(row.name.as_str(), |session| session.database.as_str()),
            named.join(", "),
            end.join("; ")
        ))))
    }
}

impl OtherSession {
    /// Whether only a superuser may end it.
    pub(super) fn is_out_of_reach(&self) -> bool {
        !self.reachable && !self.borrowable
    }

    pub(super) fn describe(&self) -> String {
        let since = self.since.as_ref().map(|since| format!(" since {since}"));
        let slot = self
            .slot
            .as_ref()
            .map(|slot| format!(" with the replication slot {slot:?}"));
        format!(
            "process {} (user {:?}, application {:?}){}{}",
            self.pid,
            self.role,
            self.application,
            since.unwrap_or_default(),
            slot.unwrap_or_default()
        )
    }

    pub(super) fn remedy(&self) -> String {
        let end = format!("SELECT pg_terminate_backend({})", self.pid);
        match &self.slot {
            None => end,
            Some(slot) => format!(
                "{end}; SELECT pg_drop_replication_slot({})",
                postgresql_literal(slot)
            ),
        }
    }
}
