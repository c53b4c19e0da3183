//! The rows of `db_operator.scratch` about tests of backups: what each one made, and whose it is.

use sqlx::AssertSqlSafe;

use super::checks::Task;
use super::error;
use super::restore_tables::record_id;
use super::session::{Row, Session};
use super::trial::taken;
use crate::provider::restore::RestoreId;
use crate::provider::{Names, ProviderError, SqlName};

/// What the tables of a test are for.
const PURPOSE: &str = "test";

/// A row of a test.
pub(super) struct Trial {
    pub(super) names: Names,
    /// Of the Restore that made it.
    pub(super) uid: String,
    /// Both were made, as the server answered.
    pub(super) made: bool,
}

impl Trial {
    fn read(row: &Row) -> Result<Self, ProviderError> {
        let name = |column: &str| {
            SqlName::new(row.text(column)?).map_err(|error| ProviderError::Unexpected {
                doing: "reading what a test made".to_owned(),
                detail: error.to_string(),
            })
        };
        Ok(Self {
            names: Names {
                database: name("database_name")?,
                role: name("role_name")?,
            },
            uid: row.text("uid")?,
            made: row.flag("made")?,
        })
    }
}

/// The tests of these clusters that have something on the server.
pub(super) async fn list(
    session: &mut Session,
    clusters: &[String],
) -> Result<Vec<RestoreId>, ProviderError> {
    if clusters.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT cluster_id, namespace, name, uid FROM db_operator.scratch WHERE purpose = ? AND cluster_id IN (?{}) \
         ORDER BY locked_at, database_name LIMIT 100",
        ", ?".repeat(clusters.len() - 1)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(PURPOSE);
    for cluster in clusters {
        query = query.bind(cluster.clone());
    }
    let doing = "listing what tests of backups have left";
    session.list(doing, query, restore_of).await
}

/// The Restore that a row is of. What it asked for does not matter any more.
fn restore_of(row: &Row) -> Result<RestoreId, ProviderError> {
    Ok(RestoreId {
        cluster_id: row.text("cluster_id")?,
        namespace: row.text("namespace")?,
        name: row.text("name")?,
        uid: row.text("uid")?,
        spec_hash: String::new(),
    })
}

/// What tests of this Restore's name have made, in this cluster or in one that is taken over.
pub(super) async fn rows(
    session: &mut Session,
    task: &Task<'_>,
) -> Result<Vec<Trial>, ProviderError> {
    let (load, restore) = (task.load, &task.load.restore);
    let mut found = Vec::new();
    for cluster_id in std::iter::once(&restore.cluster_id).chain(&load.take_over_from) {
        let query = sqlx::query(
            "SELECT database_name, role_name, uid, CAST(seen_empty AS SIGNED) AS made FROM db_operator.scratch \
             WHERE restore_id = ? AND purpose = ? ORDER BY locked_at, database_name",
        )
        .bind(record_id(cluster_id, restore))
        .bind(PURPOSE);
        let rows = session.rows("reading what a test made", query).await?;
        for row in &rows {
            found.push(Trial::read(row)?);
        }
    }
    Ok(found)
}

/// Writes the row, unless something has the name. Nothing is written unless this process leads.
pub(super) async fn write_row(session: &mut Session, task: &Task<'_>) -> Result<(), ProviderError> {
    let (load, restore) = (task.load, &task.load.restore);
    let sql = "INSERT INTO db_operator.scratch (database_name, role_name, purpose, restore_id, cluster_id, namespace, name, \
               uid, seen_empty, marks, former_plugin, former_hash, former_limit, locked_at) \
               SELECT ?, ?, ?, ?, ?, ?, ?, ?, FALSE, '', '', '', 0, UNIX_TIMESTAMP() * 1000 \
               FROM db_operator.epochs e WHERE e.cluster_id = ? AND e.epoch = ? AND e.process = ? LOCK IN SHARE MODE";
    let statement = || {
        sqlx::query(sql)
            .bind(load.target.database.as_str().to_owned())
            .bind(load.target.role.as_str().to_owned())
            .bind(PURPOSE)
            .bind(record_id(&restore.cluster_id, restore))
            .bind(restore.cluster_id.clone())
            .bind(restore.namespace.clone())
            .bind(restore.name.clone())
            .bind(restore.uid.clone())
            .bind(task.fence.cluster_id().to_owned())
            .bind(task.profile.epoch)
            .bind(task.fence.process().to_owned())
    };
    match session.change("noting a test", statement).await {
        Ok(0) => {
            task.leads(session).await?;
            Err(ProviderError::Busy {
                doing: "noting a test".to_owned(),
                detail: "another process led for a moment".to_owned(),
            })
        }
        Ok(_) => Ok(()),
        // A load of somebody else's, or a test of another cluster, has the name.
        Err(failure) if failure.number == Some(error::DUPLICATE) => Err(taken(&load.target)),
        Err(failure) => Err(failure.error),
    }
}

/// Notes that the schema and the user are the test's own.
pub(super) async fn note_made(
    session: &mut Session,
    database: &SqlName,
) -> Result<(), ProviderError> {
    let update = || {
        sqlx::query(
            "UPDATE db_operator.scratch SET seen_empty = TRUE WHERE database_name = ? AND purpose = ?",
        )
        .bind(database.as_str().to_owned())
        .bind(PURPOSE)
    };
    session.change("noting what a test made", update).await?;
    Ok(())
}
