//! What keeps something from being dropped: sessions and transactions of others, each with its age and the statement that
//! ends it.

use std::fmt::Write as _;

use super::super::{ProviderError, SqlName};
use super::contact::Contact;
use super::session::Session;

/// How many of each kind are named.
const NAMED: usize = 5;

/// A line of the process list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: i64,
    pub(super) user: String,
    host: String,
    pub(super) schema: String,
    command: String,
    /// What it does, or waits for.
    state: String,
    /// For how long it has been doing that.
    seconds: i64,
}

/// A transaction that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transaction {
    /// The session that it is of. A prepared XA transaction that its session left has none.
    session: Option<i64>,
    seconds: i64,
}

/// The name of a prepared XA transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Xid {
    global: Vec<u8>,
    branch: Vec<u8>,
    format: i64,
}

/// A foreign key of a table elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) constraint: String,
}

/// Every session that the administrator sees.
pub(super) async fn processes(session: &mut Session) -> Result<Vec<Process>, ProviderError> {
    let rows = session
        .show("reading the process list", "SHOW PROCESSLIST".to_owned())
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Process {
                id: row.number("Id")?,
                user: row.text("User")?,
                host: row.text("Host")?,
                schema: row.text("db")?,
                command: row.text("Command")?,
                state: row.text("State")?,
                seconds: row.number("Time")?,
            })
        })
        .collect()
}

/// What is said of sessions of a user that were ended and do not go.
pub(super) async fn lingering(
    session: &mut Session,
    contact: &Contact,
    user: &SqlName,
    living: &[Process],
) -> String {
    let open = transactions(session).await.unwrap_or_default();
    format!(
        "sessions of user {user} were ended and are still there: {}; they roll back what they did, or hang, and it is \
         tried again; to end one by hand, run: {}",
        named(living, &open),
        kill(contact, living)
    )
}

/// What is said of something that waited for a lock in vain. `what` is what is locked: `database orders`.
pub(super) async fn in_the_way(
    session: &mut Session,
    contact: &Contact,
    what: &str,
    schema: &SqlName,
) -> Result<String, ProviderError> {
    let own = connection_id(session).await?;
    let mut others = processes(session).await?;
    others.retain(|process| process.id != own && process.command != "Daemon");
    let open = transactions(session).await.unwrap_or_default();
    let holders = lock_holders(session, contact, schema).await;
    match &holders {
        Some(holders) if !holders.is_empty() => {
            others.retain(|process| holders.contains(&process.id));
        }
        // The server does not say who holds the lock: those who are in the database or in a transaction may.
        Some(_) | None => others.retain(|process| {
            process.schema == schema.as_str() || open.iter().any(|t| t.session == Some(process.id))
        }),
    }
    let left = open.iter().filter(|t| t.session.is_none()).copied();
    let prepared = prepared(session).await;
    Ok(sentence(
        contact,
        what,
        &others,
        &open,
        &left.collect::<Vec<_>>(),
        prepared.as_deref().ok(),
    ))
}

/// `prepared` is nothing where the administrator may not list them; `left` are those that have no session.
fn sentence(
    contact: &Contact,
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
            kill(contact, suspects)
        );
    }
    let since = left.iter().map(|t| t.seconds).max();
    let age = since.map_or_else(String::new, |age| format!(", the oldest since {age} s"));
    match prepared {
        Some([]) | None if left.is_empty() && suspects.is_empty() => {
            let _ = write!(
                text,
                "; by whom, the server does not tell ({})",
                contact.dialect.lock_instrument()
            );
        }
        Some([]) => {}
        Some(prepared) => {
            let statements: Vec<String> = prepared.iter().map(Xid::rollback).collect();
            let _ = write!(
                text,
                "; prepared XA transactions hold it, or may{age}: they belong to no session, so KILL does not help; look at \
                 them with {}, and end each with XA COMMIT or: {}",
                contact.dialect.xa_recover(),
                some(&statements, "; ")
            );
        }
        None if left.is_empty() => {}
        None => {
            let _ = write!(
                text,
                "; prepared XA transactions hold it, or may{age}: they belong to no session, so KILL does not help; list \
                 them with {} and end each with XA ROLLBACK, which takes the privilege XA_RECOVER_ADMIN",
                contact.dialect.xa_recover()
            );
        }
    }
    text
}

impl Xid {
    /// Rolls it back. In hex, which any name can be written in.
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

/// The statements that end sessions, in the form that works on this server.
fn kill(contact: &Contact, processes: &[Process]) -> String {
    let by_procedure = contact.kills_by_procedure && !contact.held.may_kill(&contact.dialect);
    let each: Vec<String> = processes
        .iter()
        .map(|process| {
            if by_procedure {
                format!("CALL mysql.rds_kill({})", process.id)
            } else {
                format!("KILL {}", process.id)
            }
        })
        .collect();
    some(&each, "; ")
}

fn named(processes: &[Process], open: &[Transaction]) -> String {
    let each: Vec<String> = processes
        .iter()
        .map(|process| {
            let Process {
                id,
                user,
                host,
                command,
                state,
                seconds,
                ..
            } = process;
            let state = if state.is_empty() {
                String::new()
            } else {
                format!(", {state:?}")
            };
            let transaction = open
                .iter()
                .find(|t| t.session == Some(*id))
                .map_or_else(String::new, |t| {
                    format!(", in a transaction for {} s", t.seconds)
                });
            format!("{id} of {user}@{host} ({command} for {seconds} s{state}{transaction})")
        })
        .collect();
    some(&each, ", ")
}

/// The first few of a list, and how many more there are.
pub(super) fn some(all: &[String], between: &str) -> String {
    let first = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(between);
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

async fn connection_id(session: &mut Session) -> Result<i64, ProviderError> {
    let query = sqlx::query("SELECT CAST(CONNECTION_ID() AS SIGNED) AS id");
    let rows = session
        .rows("asking for the connection's id", query)
        .await?;
    rows.first().map_or(Ok(0), |row| row.number("id"))
}

/// Who holds a lock in the schema. Nothing where the server does not tell.
async fn lock_holders(
    session: &mut Session,
    contact: &Contact,
    schema: &SqlName,
) -> Option<Vec<i64>> {
    let query = sqlx::query(contact.dialect.lock_holders_sql()).bind(schema.as_str().to_owned());
    let rows = session.rows("reading the metadata locks", query).await;
    let rows = rows.ok()?;
    Some(
        rows.iter()
            .filter_map(|row| row.number("id").ok())
            .collect(),
    )
}

/// The transactions that are open. When one began is told in the server's own time zone.
async fn transactions(session: &mut Session) -> Result<Vec<Transaction>, ProviderError> {
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

/// The XA transactions that are prepared, of whichever session or of none. MySQL shows them only to XA_RECOVER_ADMIN.
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

/// The foreign keys in other schemas that refer to this one. They would stop a removal half way.
pub(super) async fn references(
    session: &mut Session,
    schema: &SqlName,
) -> Result<Vec<Reference>, ProviderError> {
    let query = sqlx::query(
        "SELECT CONVERT(CONSTRAINT_SCHEMA USING utf8mb4) AS of_schema, CONVERT(TABLE_NAME USING utf8mb4) AS of_table, \
         CONVERT(CONSTRAINT_NAME USING utf8mb4) AS name FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE CAST(UNIQUE_CONSTRAINT_SCHEMA AS BINARY) = CAST(? AS BINARY) \
         AND CAST(CONSTRAINT_SCHEMA AS BINARY) <> CAST(? AS BINARY)",
    )
    .bind(schema.as_str().to_owned())
    .bind(schema.as_str().to_owned());
    let rows = session
        .rows("looking for foreign keys of other databases", query)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Reference {
                schema: row.text("of_schema")?,
                table: row.text("of_table")?,
                constraint: row.text("name")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::super::dialect::Dialect;
    use super::super::grants::Held;
    use super::*;

    fn contact(grants: &str, kills_by_procedure: bool) -> Contact {
        Contact {
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
    fn long_lists_are_cut() {
        let all: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(some(&all, ", "), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(some(&all[..2], ", "), "0, 1");
    }

    #[test]
    fn a_session_is_named_with_its_age_and_what_ends_it() {
        let open = [Transaction {
            session: Some(12),
            seconds: 95,
        }];
        for (contact, statement) in [
            (contact(KILLS, false), "KILL 12"),
            (contact(KILLS, true), "KILL 12"),
            (
                contact("GRANT PROCESS ON *.* TO `adm`@`%`", true),
                "CALL mysql.rds_kill(12)",
            ),
        ] {
            let text = sentence(
                &contact,
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
        let contact = contact(KILLS, false);
        let text = sentence(&contact, "database x", &[], &left, &left, Some(&[xid]));
        assert!(text.ends_with("XA ROLLBACK X'612762',X'00FF',7"), "{text}");
        assert!(
            text.contains("since 95 s") && !text.contains("run: KILL"),
            "{text}"
        );
        let unseen = sentence(&contact, "database x", &[], &left, &left, None);
        assert!(unseen.contains("XA_RECOVER_ADMIN"), "{unseen}");
        let nobody = sentence(&contact, "database x", &[], &[], &[], None);
        assert!(nobody.contains("does not tell"), "{nobody}");
    }
}
