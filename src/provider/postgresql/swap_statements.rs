//! The statements of a swap and of its way back, which follow the checks in one transaction. Pure.

use super::checks::Claimed;
use super::properties::Properties;
use super::quoted;
use super::restore_tables::{Record, RestoreState, ScratchRow};
use super::schema::RAISE_VERSION;
use super::swap_lock::give;
use crate::provider::ident::postgresql_literal;
use crate::provider::restore::{Load, LoadMode};

/// The loaded database takes the place of the target. Both are the administrator's own.
pub(super) struct Forward<'a> {
    load: &'a Load,
    claimed: &'a Claimed,
    row: &'a ScratchRow,
    properties: &'a Properties,
    loaded_id: &'a str,
    /// What the former database is called from now on.
    former: &'a str,
    /// The former database was adopted.
    adopted: bool,
    /// The former database stays.
    kept: bool,
    assumable: bool,
}

/// The former database takes its place again. Both are the administrator's own.
pub(super) struct Back<'a> {
    pub(super) load: &'a Load,
    pub(super) claimed: &'a Claimed,
    pub(super) row: &'a ScratchRow,
    pub(super) former_id: &'a str,
    /// A name that is free.
    pub(super) spare: &'a str,
    pub(super) record: &'a Record,
    pub(super) assumable: bool,
    /// What is set on the target now.
    pub(super) now: &'a Properties,
    /// What was set on it before the swap, and is on the former database.
    pub(super) then: &'a Properties,
}

impl<'a> Forward<'a> {
    /// `None` if the claim or the loaded database is gone.
    pub(super) fn new(
        load: &'a Load,
        claimed: &'a Claimed,
        row: &'a ScratchRow,
        state: &RestoreState,
        properties: &'a Properties,
    ) -> Option<Self> {
        let claim = state.claim.as_ref()?;
        let adopted = state.is_adopted(&row.target_id);
        let kept = match load.mode {
            LoadMode::Replace => true,
            LoadMode::Empty | LoadMode::Test => adopted && !claim.drop_adopted,
        };
        Some(Self {
            load,
            claimed,
            row,
            properties,
            loaded_id: row.database_id.as_deref()?,
            former: row.other_name.as_deref()?,
            adopted,
            kept,
            assumable: state.assumable,
        })
    }

    /// Why the target cannot be replaced now: what is not read would be lost.
    pub(super) fn refused(&self) -> Option<String> {
        self.properties.too_long(&self.load.target.database)
    }

    pub(super) fn loaded_id(&self) -> &'a str {
        self.loaded_id
    }

    pub(super) fn statements(&self, version: u32) -> Vec<String> {
        let target = &self.load.target.database;
        let (name, former) = (target.postgresql(), quoted(self.former));
        let loaded = quoted(&self.row.database_name);
        let login = self.row.role_name.as_deref();
        let login = login.filter(|_| self.row.has_login());
        let mut statements: Vec<String> = login
            .into_iter()
            // What is loaded can act as the owner. Nobody revokes it once no claim names the database.
            .map(|login| {
                format!(
                    "REVOKE ALL ON DATABASE {name} FROM {} CASCADE",
                    quoted(login)
                )
            })
            .collect();
        statements.extend([
            format!("ALTER DATABASE {name} RENAME TO {former}"),
            format!("ALTER DATABASE {loaded} RENAME TO {name}"),
        ]);
        statements.extend(self.properties.make(target, login));
        statements.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
        let role = &self.load.target.role;
        statements.extend(give(&name, role, self.assumable, version));
        statements.push(follow(self.claimed, &self.row.target_id, self.loaded_id));
        statements.push(self.record());
        statements.extend(self.note_former());
        if self.kept {
            statements.push(RAISE_VERSION.to_owned());
        }
        statements
    }

    /// The record of the restore. Its downtime is what passed since the target was locked.
    fn record(&self) -> String {
        let restore = &self.load.restore;
        let literal = postgresql_literal;
        format!(
            "INSERT INTO db_operator.restores (cluster_id, namespace, name, uid, spec_hash, target_database, restored_id, \
             former_database, former_id, downtime_ms) SELECT {}, {}, {}, {}, {}, {}, {}, {}, {}, {DOWNTIME} \
             FROM db_operator.scratch WHERE database_name = {}",
            literal(&restore.cluster_id),
            literal(&restore.namespace),
            literal(&restore.name),
            literal(&restore.uid),
            literal(&restore.spec_hash),
            literal(self.load.target.database.as_str()),
            literal(self.loaded_id),
            literal(self.former),
            literal(&self.row.target_id),
            literal(&self.row.database_name),
        )
    }

    /// The row of the loaded database becomes that of the login, and the former database has one of its own.
    fn note_former(&self) -> [String; 2] {
        let restore = &self.load.restore;
        let literal = postgresql_literal;
        let until = if self.kept { "NULL" } else { "now()" };
        [
            format!(
                "UPDATE db_operator.scratch SET purpose = 'login', database_id = NULL, other_name = NULL, locked_at = NULL \
                 WHERE database_name = {}",
                literal(&self.row.database_name)
            ),
            format!(
                "INSERT INTO db_operator.scratch (database_name, purpose, cluster_id, namespace, name, uid, target_database, \
                 target_role, target_id, other_name, database_id, adopted, until) \
                 VALUES ({}, 'former', {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {until})",
                literal(self.former),
                literal(&restore.cluster_id),
                literal(&restore.namespace),
                literal(&restore.name),
                literal(&restore.uid),
                literal(self.load.target.database.as_str()),
                literal(self.load.target.role.as_str()),
                literal(self.loaded_id),
                literal(&self.row.database_name),
                literal(&self.row.target_id),
                self.adopted,
            ),
        ]
    }
}

impl Back<'_> {
    pub(super) fn statements(&self, version: u32) -> Vec<String> {
        let target = self.load.target.database.postgresql();
        let (former, spare) = (quoted(&self.row.database_name), quoted(self.spare));
        let restore = &self.load.restore;
        let literal = postgresql_literal;
        let (row, restored) = (
            literal(&self.row.database_name),
            literal(&self.record.restored_id),
        );
        let mut statements = vec![
            format!("ALTER DATABASE {target} RENAME TO {spare}"),
            format!("ALTER DATABASE {former} RENAME TO {target}"),
            format!("ALTER DATABASE {spare} RENAME TO {former}"),
        ];
        // The contents come back, and not what the platform has changed around them since.
        let database = &self.load.target.database;
        statements.extend(self.then.unmake(database, self.now));
        statements.extend(self.now.make(database, None));
        statements.push(format!("ALTER DATABASE {target} ALLOW_CONNECTIONS true"));
        let role = &self.load.target.role;
        statements.extend(give(&target, role, self.assumable, version));
        statements.push(follow(
            self.claimed,
            &self.record.restored_id,
            self.former_id,
        ));
        statements.push(format!(
            "UPDATE db_operator.restores SET undone_at = now(), undo_downtime_ms = (SELECT {DOWNTIME} \
             FROM db_operator.scratch WHERE database_name = {row}) \
             WHERE namespace = {} AND name = {} AND uid = {} AND restored_id = {restored}",
            literal(&restore.namespace),
            literal(&restore.name),
            literal(&restore.uid),
        ));
        // A restore made what is the former one from now on.
        statements.push(format!(
            "UPDATE db_operator.scratch SET database_id = {restored}, target_id = {}, adopted = false, locked_at = NULL \
             WHERE database_name = {row}",
            literal(self.former_id),
        ));
        statements
    }
}

/// Milliseconds since the lock that a row of `db_operator.scratch` notes. A clock may have been set back since.
const DOWNTIME: &str =
    "greatest(0, coalesce(extract(epoch FROM clock_timestamp() - locked_at) * 1000, 0))::bigint";

/// A claim that describes the database that had the name describes from now on the one that has it. One that was adopted
/// stays so.
fn follow(claimed: &Claimed, from: &str, to: &str) -> String {
    format!(
        "UPDATE db_operator.claims SET database_id = {}, changed_at = now() \
         WHERE {} AND created_database AND database_id = {}",
        postgresql_literal(to),
        claimed.condition(),
        postgresql_literal(from)
    )
}

#[cfg(test)]
#[path = "swap_statements_tests.rs"]
mod tests;
