//! Describes what a statement waits for in vain: locks of other sessions and of prepared XA transactions, each with its
//! age and the statement that ends it.

use std::fmt::Write as _;

use super::connect::ServerProfile;
use super::session::Session;
use super::sessions::{Process, kill_statements, named, processes, some};
use super::transactions::{Transaction, transactions};
use crate::provider::{ProviderError, SqlName};

/// The name of a prepared XA transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Xid {
    global: Vec<u8>,
    branch: Vec<u8>,
    format: i64,
}

/// Describes who holds a lock that was waited for in vain. `what` is what is locked: `database orders`.
pub(super) async fn holders(
    session: &mut Session,
    profile: &ServerProfile,
    what: &str,
    schema: &SqlName,
) -> Result<String, ProviderError> {
    let own = connection_id(session).await?;
    let mut others = processes(session).await?;
    others.retain(|process| process.id != own && process.command != "Daemon");
    let open = transactions(session).await.unwrap_or_default();
    let holders = lock_holders(session, profile, schema).await;
    match &holders {
        Some(holders) if !holders.is_empty() => {
            others.retain(|process| holders.contains(&process.id));
        }
        // The server does not say who holds the lock: sessions in the database or in a transaction may.
        Some(_) | None => others.retain(|process| {
            process.schema == schema.as_str() || open.iter().any(|t| t.session == Some(process.id))
        }),
    }
    let left = open.iter().filter(|t| t.session.is_none()).copied();
    let prepared = prepared(session).await;
    Ok(sentence(
        profile,
        what,
        &others,
        &open,
        &left.collect::<Vec<_>>(),
        prepared.as_deref().ok(),
    ))
}

/// `prepared` is `None` if the administrator may not list them; `left` are transactions that have no session.
fn sentence(
    profile: &ServerProfile,
    what: &str,
    suspects: &[Process],
    open: &[Transaction],
    left: &[Transaction],
    prepared: Option<&[Xid]>,
) -> String {
    let mut text = format!("{what} is locked by others; it is dropped when they are done");
    if !suspects.is_empty() {
        let _ = write!(
            text,
            "; these sessions hold it, or may: {}; to end them, run: {}",
            named(suspects, open),
            kill_statements(profile, suspects)
        );
    }
    let since = left.iter().map(|t| t.seconds).max();
    let age = since.map_or_else(String::new, |age| format!(", the oldest since {age} s"));
    match prepared {
        Some([]) | None if left.is_empty() && suspects.is_empty() => {
            let _ = write!(
                text,
                "; by whom, the server does not tell ({})",
                profile.dialect.lock_instrument()
            );
        }
        Some([]) => {}
        Some(prepared) => {
            let statements: Vec<String> = prepared.iter().map(Xid::rollback).collect();
            let _ = write!(
                text,
                "; prepared XA transactions hold it, or may{age}: they belong to no session, so KILL does not help; look at \
                 them with {}, and end each with XA COMMIT or: {}",
                profile.dialect.xa_recover(),
                some(&statements, "; ")
            );
        }
        None if left.is_empty() => {}
        None => {
            let _ = write!(
                text,
                "; prepared XA transactions hold it, or may{age}: they belong to no session, so KILL does not help; list \
                 them with {} and end each with XA ROLLBACK, which takes the privilege XA_RECOVER_ADMIN",
                profile.dialect.xa_recover()
            );
        }
    }
    text
}

impl Xid {
    /// The statement that rolls it back. In hex, which works for any name.
    fn rollback(&self) -> String {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02X}");
                hex
            })
        };
        let (global, branch) = (hex(&self.global), hex(&self.branch));
        format!("XA ROLLBACK X'{global}',X'{branch}',{}", self.format)
    }
}

async fn connection_id(session: &mut Session) -> Result<i64, ProviderError> {
    let query = sqlx::query("SELECT CAST(CONNECTION_ID() AS SIGNED) AS id");
    let rows = session
        .rows("asking for the connection's id", query)
        .await?;
    rows.first().map_or(Ok(0), |row| row.number("id"))
}

/// The sessions that hold a lock in the schema. `None` if the server does not say.
async fn lock_holders(
    session: &mut Session,
    profile: &ServerProfile,
    schema: &SqlName,
) -> Option<Vec<i64>> {
    let query = sqlx::query(profile.dialect.lock_holders_sql()).bind(schema.as_str().to_owned());
    let rows = session.rows("reading the metadata locks", query).await;
    let rows = rows.ok()?;
    Some(
        rows.iter()
            .filter_map(|row| row.number("id").ok())
            .collect(),
    )
}

/// Lists the prepared XA transactions, of any session or of none. MySQL shows them only with XA_RECOVER_ADMIN.
async fn prepared(session: &mut Session) -> Result<Vec<Xid>, ProviderError> {
    let rows = session
        .show("listing the XA transactions", "XA RECOVER".to_owned())
        .await?;
    rows.iter()
        .map(|row| {
            let mut global = row.bytes("data")?;
            let length = usize::try_from(row.number("gtrid_length")?).unwrap_or_default();
            let branch = global.split_off(length.min(global.len()));
            Ok(Xid {
                global,
                branch,
                format: row.number("formatID")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::super::administrator::Held;
    use super::super::dialect::Dialect;
    use super::*;

    fn profile(grants: &str, kills_by_procedure: bool) -> ServerProfile {
        ServerProfile {
            dialect: Dialect::new("9.7.4", "", false, false).unwrap(),
            epoch: 1,
            held: Held::parse([grants]),
            kills_by_procedure,
            grant: Arc::from(""),
        }
    }

    fn process() -> Process {
        Process {
            id: 12,
            user: "app".to_owned(),
            host: "10.0.0.3:55".to_owned(),
            schema: "orders".to_owned(),
            command: "Sleep".to_owned(),
            state: String::new(),
            seconds: 30,
        }
    }

    const KILLS: &str = "GRANT CONNECTION_ADMIN ON *.* TO `adm`@`%`";

    #[test]
    fn a_session_is_named_with_its_age_and_what_ends_it() {
        let open = [Transaction {
            session: Some(12),
            seconds: 95,
        }];
        for (profile, statement) in [
            (profile(KILLS, false), "KILL 12"),
            (profile(KILLS, true), "KILL 12"),
            (
                profile("GRANT PROCESS ON *.* TO `adm`@`%`", true),
                "CALL mysql.rds_kill(12)",
            ),
        ] {
            let text = sentence(
                &profile,
                "database orders",
                &[process()],
                &open,
                &[],
                Some(&[]),
            );
            assert_eq!(
                text,
                format!(
                    "database orders is locked by others; it is dropped when they are done; these sessions hold it, or may: \
                     12 of app@10.0.0.3:55 (Sleep for 30 s, in a transaction for 95 s); to end them, run: {statement}"
                )
            );
        }
    }

    #[test]
    fn a_prepared_transaction_is_named_in_a_form_that_can_be_run() {
        let left = [Transaction {
            session: None,
            seconds: 95,
        }];
        let xid = Xid {
            global: b"a'b".to_vec(),
            branch: vec![0, 255],
            format: 7,
        };
        let profile = profile(KILLS, false);
        let text = sentence(&profile, "database x", &[], &left, &left, Some(&[xid]));
        assert!(text.ends_with("XA ROLLBACK X'612762',X'00FF',7"), "{text}");
        assert!(
            text.contains("since 95 s") && !text.contains("run: KILL"),
            "{text}"
        );
        let unseen = sentence(&profile, "database x", &[], &left, &left, None);
        assert!(unseen.contains("XA_RECOVER_ADMIN"), "{unseen}");
        let nobody = sentence(&profile, "database x", &[], &[], &[], None);
        assert!(nobody.contains("does not tell"), "{nobody}");
    }
}
