//! The transactions that are open on the server.

use jiff::Timestamp;

use super::session::Session;
use crate::provider::ProviderError;

/// An open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    /// The session that it belongs to. A prepared XA transaction that its session left has none.
    pub(super) session: Option<i64>,
    /// Its age.
    pub(super) seconds: i64,
    /// When it began, in seconds since 1970. The same each time, as an age would not be.
    pub(super) since: i64,
}

impl Transaction {
    /// When it began, for people.
    pub(super) fn began(&self) -> String {
        Timestamp::from_second(self.since)
            .map_or_else(|_| "an unknown time".to_owned(), |began| began.to_string())
    }
}

/// Lists the open transactions. The server reports when one began in its own time zone.
pub(super) async fn transactions(session: &mut Session) -> Result<Vec<Transaction>, ProviderError> {
    let query = sqlx::query(
        "SELECT CAST(trx_mysql_thread_id AS SIGNED) AS id, CAST(GREATEST(0, TIMESTAMPDIFF(SECOND, trx_started, \
         CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))) AS SIGNED) AS seconds, \
         CAST(UNIX_TIMESTAMP(CONVERT_TZ(trx_started, 'SYSTEM', '+00:00')) AS SIGNED) AS since FROM information_schema.INNODB_TRX",
    );
    session
        .list("reading the open transactions", query, |row| {
            Ok(Transaction {
                session: Some(row.number("id")?).filter(|id| *id != 0),
                seconds: row.number("seconds")?,
                since: row.number("since")?,
            })
        })
        .await
}
