//! The transactions that are open on the server.

use super::session::Session;
use crate::provider::ProviderError;

/// An open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    /// The session that it belongs to. A prepared XA transaction that its session left has none.
    pub(super) session: Option<i64>,
    /// Its age.
    pub(super) seconds: i64,
}

/// Lists the open transactions. The server reports when one began in its own time zone.
pub(super) async fn transactions(session: &mut Session) -> Result<Vec<Transaction>, ProviderError> {
    let query = sqlx::query(
        "SELECT CAST(trx_mysql_thread_id AS SIGNED) AS id, CAST(GREATEST(0, TIMESTAMPDIFF(SECOND, trx_started, \
         CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))) AS SIGNED) AS seconds FROM information_schema.INNODB_TRX",
    );
    let rows = session.rows("reading the open transactions", query).await?;
    rows.iter()
        .map(|row| {
            Ok(Transaction {
                session: Some(row.number("id")?).filter(|id| *id != 0),
                seconds: row.number("seconds")?,
            })
        })
        .collect()
}
