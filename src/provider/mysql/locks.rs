//! Describes what a statement waits for in vain: locks of other sessions and of prepared XA transactions, each with its
//! age and the statement that ends it.

use std::fmt::Write as _;

use super::busy::{LASTING, Strangers};
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
    let strangers = Strangers::read(session, schema).await?;
    others = suspects(others, &open, holders.as_deref(), schema);
    others = others
        .into_iter()
        .map(|process| strangers.hidden(process))
        .collect();
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

/// Who may hold the lock: those of whom the server says that they have one, in the schema or on the whole server, or else whoever
/// is in the database or in a transaction. Whose those outside of the database are is not told where it is but a guess.
fn suspects(
    mut others: Vec<Process>,
    open: &[Transaction],
    holders: Option<&[i64]>,
    schema: &SqlName,
) -> Vec<Process> {
    let transaction = |process: &Process| open.iter().find(|t| t.session == Some(process.id));
    // Whoever has just come was in nobody's way for long: see `busy.rs`.
    let lasts = |process: &Process| {
        transaction(process).map_or(process.seconds, |open| open.seconds) >= LASTING
    };
    if let Some(holders) = holders.filter(|holders| !holders.is_empty()) {
        others.retain(|process| holders.contains(&process.id));
        // A session can keep a lock and be busy with one statement after the other.
        if others.iter().any(lasts) {
            others.retain(lasts);
        }
        return others;
    }
    let is_inside = |process: &Process| process.schema == schema.as_str();
    others
        .retain(|process| (is_inside(process) || transaction(process).is_some()) && lasts(process));
    let told = |process: Process| {
        if is_inside(&process) {
            process
        } else {
            process.anonymous()
        }
    };
    others.into_iter().map(told).collect()
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
    let oldest = left.iter().min_by_key(|t| t.since);
    let age = oldest.map_or_else(String::new, |t| format!(", the oldest since {}", t.began()));
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

pub(super) async fn connection_id(session: &mut Session) -> Result<i64, ProviderError> {
    let query = sqlx::query("SELECT CAST(CONNECTION_ID() AS SIGNED) AS id");
    let rows = session
        .rows("asking for the connection's id", query)
        .await?;
    rows.first().map_or(Ok(0), |row| row.number("id"))
}

/// The sessions that hold a lock in the schema. `None` if the server does not say.
pub(super) async fn lock_holders(
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
            since: 1_800_000_000,
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
                     12 of app@10.0.0.3:55 (in a transaction since 2027-01-15T08:00:00Z); to end them, run: {statement}"
                )
            );
        }
        // One that may be another tenant's.
        let other = [process().anonymous()];
        let text = sentence(
            &profile(KILLS, false),
            "database orders",
            &other,
            &open,
            &[],
            Some(&[]),
        );
        assert!(
            text.contains("or may: 12 (in a transaction since "),
            "{text}"
        );
        assert!(!text.contains("app"), "{text}");
    }

    #[test]
    fn who_comes_and_goes_is_not_named() {
        let schema = SqlName::new("orders").unwrap();
        let at = |id: i64, schema: &str, seconds: i64| Process {
            id,
            schema: schema.to_owned(),
            seconds,
            ..process()
        };
        let all = || {
            vec![
                at(1, "orders", 0),
                at(2, "orders", 9),
                at(3, "elsewhere", 9),
                at(4, "elsewhere", 0),
            ]
        };
        let open = [Transaction {
            session: Some(4),
            seconds: 60,
            since: 0,
        }];
        let of = |holders: Option<&[i64]>| {
            let found = suspects(all(), &open, holders, &schema);
            let found = found.into_iter().map(|one| (one.id, one.user));
            found.collect::<Vec<_>>()
        };
        let app = "app".to_owned();
        assert_eq!(of(None), [(2, app.clone()), (4, String::new())]);
        assert_eq!(of(Some(&[])), of(None));
        assert_eq!(of(Some(&[1, 3])), [(3, app.clone())]);
        // By the server's word it is this one, however busy.
        assert_eq!(of(Some(&[1])), [(1, app)]);
    }

    #[test]
    fn a_prepared_transaction_is_named_in_a_form_that_can_be_run() {
        let left = [Transaction {
            session: None,
            seconds: 95,
            since: 1_800_000_000,
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
            text.contains("since 2027-01-15T08:00:00Z") && !text.contains("run: KILL"),
            "{text}"
        );
        let unseen = sentence(&profile, "database x", &[], &left, &left, None);
        assert!(unseen.contains("XA_RECOVER_ADMIN"), "{unseen}");
        let nobody = sentence(&profile, "database x", &[], &[], &[], None);
        assert!(nobody.contains("does not tell"), "{nobody}");
    }
}
