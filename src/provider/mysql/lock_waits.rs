//! Which locks the sessions of a database's own user wait for, and who holds them.

use super::connect::ServerProfile;
use super::locks::{connection_id, lock_holders};
use super::session::Session;
use super::sessions::{Process, is_lock_wait, kill_statement, processes};
use super::transactions::{Transaction, transactions};
use crate::provider::lock_wait::{HOLDERS, WAITS};
use crate::provider::{Holder, LockWait, Names, ProviderError};

/// A session that waits for a metadata lock, and one that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    waiter: i64,
    table: String,
    holder: i64,
    /// Nothing else goes beside this lock; other ones are in the way only of somebody who waits before.
    exclusive: bool,
}

/// One statement while nothing waits.
pub(super) async fn read(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<Vec<LockWait>, ProviderError> {
    let all = processes(session).await?;
    let (role, schema) = (names.role.as_str(), names.database.as_str());
    let waits = |process: &&Process| {
        process.user == role && process.schema == schema && is_lock_wait(&process.state)
    };
    let waiters: Vec<i64> = all.iter().filter(waits).map(|process| process.id).collect();
    if waiters.is_empty() {
        return Ok(Vec::new());
    }
    let own = connection_id(session).await?;
    let open = transactions(session).await.unwrap_or_default();
    let told = told(session, profile, names).await.unwrap_or_default();
    // Where the server does not say who waits for whom, it may say who has locks in the schema at all.
    let exclusive = if told.is_empty() {
        exclusive(session, profile, names).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    let table = only_table(&exclusive);
    let holding = match (&table, told.is_empty()) {
        (Some(_), _) => Some(exclusive.iter().map(|lock| lock.holder).collect()),
        (None, true) => lock_holders(session, profile, &names.database).await,
        (None, false) => None,
    };
    let for_table = |waiter: i64| {
        let mut waiting = all.iter().filter(|process| process.id == waiter);
        waiting.any(|process| process.state == FOR_TABLE)
    };
    let others = all
        .iter()
        .filter(|process| process.id != own && process.command != "Daemon");
    let others: Vec<&Process> = others.collect();
    let holder = |process: &Process| {
        // It may be another tenant's: only its number is told, and since when.
        if process.schema == schema || process.user == role {
            holder(profile, process, &open)
        } else {
            holder(profile, &process.clone().anonymous(), &open)
        }
    };
    Ok(waiters
        .into_iter()
        .take(WAITS)
        .map(|waiter| {
            let named = of_waiter(&told, waiter);
            let only = table.as_deref().filter(|_| for_table(waiter));
            let object = named.first().map(|told| told.table.as_str()).or(only);
            let object = object.map(|table| format!("table {table:?}"));
            let holders: Vec<Holder> = if named.is_empty() {
                let mut suspects = suspects(&others, waiter, schema, holding.as_deref(), &open);
                suspects.truncate(HOLDERS);
                suspects.into_iter().map(holder).collect()
            } else {
                let found = named.iter().take(HOLDERS).map(|told| {
                    let process = all.iter().find(|process| process.id == told.holder);
                    process.map_or_else(|| unseen(profile, told.holder), holder)
                });
                found.collect()
            };
            LockWait {
                session: waiter,
                object,
                holders,
                certain: !named.is_empty(),
            }
        })
        .collect())
}

/// How a session waits for a lock on a table as a whole.
const FOR_TABLE: &str = "Waiting for table metadata lock";

/// A lock on a table that no reader goes beside.
struct Exclusive {
    table: String,
    holder: i64,
}

/// The one table that a reader can wait for, if there is but one.
fn only_table(locks: &[Exclusive]) -> Option<String> {
    let first = locks.first()?;
    let only = locks.iter().all(|lock| lock.table == first.table);
    only.then(|| first.table.clone())
}

/// Who has such locks in the schema, by what MariaDB's plugin tells. None where it is not loaded.
async fn exclusive(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<Vec<Exclusive>, ProviderError> {
    let Some(sql) = profile.dialect.exclusive_locks_sql() else {
        return Ok(Vec::new());
    };
    let query = sqlx::query(sql).bind(names.database.as_str().to_owned());
    session
        .list("reading the metadata locks", query, |row| {
            Ok(Exclusive {
                table: row.text("name")?,
                holder: row.number("holder")?,
            })
        })
        .await
}

/// Who has what this session waits for: those beside whose lock nothing goes, or else all that have one.
fn of_waiter(told: &[Told], waiter: i64) -> Vec<&Told> {
    let mine = told.iter().filter(|told| told.waiter == waiter);
    let mine: Vec<&Told> = mine.collect();
    let exclusive: Vec<&Told> = mine.iter().copied().filter(|told| told.exclusive).collect();
    if exclusive.is_empty() {
        mine
    } else {
        exclusive
    }
}

/// Who may be in the way in the schema: who has a lock, from wherever, as far as the server says that; or else who has a
/// transaction open, or else anybody, who has been there longest first.
fn suspects<'a>(
    others: &[&'a Process],
    waiter: i64,
    schema: &str,
    holding: Option<&[i64]>,
    open: &[Transaction],
) -> Vec<&'a Process> {
    let is_open = |process: &Process| open.iter().any(|open| open.session == Some(process.id));
    let holding = holding.filter(|holding| !holding.is_empty());
    let may_hold = |process: &Process| match holding {
        // A table can be locked by its full name: which schema is a session's default does not matter.
        Some(holding) => holding.contains(&process.id),
        // One in another schema is another tenant's; one in none at all may be anybody's.
        None => process.schema == schema || process.schema.is_empty() && is_open(process),
    };
    let waits = |process: &Process| process.id == waiter || is_lock_wait(&process.state);
    let mut suspects: Vec<&Process> = others
        .iter()
        .copied()
        .filter(|process| may_hold(process) && !waits(process))
        .collect();
    suspects.sort_by_key(|process| {
        (
            !is_open(process),
            std::cmp::Reverse(process.seconds),
            process.id,
        )
    });
    suspects
}

fn holder(profile: &ServerProfile, process: &Process, open: &[Transaction]) -> Holder {
    let transaction = open.iter().find(|open| open.session == Some(process.id));
    let state = match transaction {
        Some(_) => format!("{} in a transaction", process.command),
        None => process.command.clone(),
    };
    Holder {
        session: Some(process.id),
        user: process.user.clone(),
        application: process.host.clone(),
        state,
        seconds: Some(transaction.map_or(process.seconds, |open| open.seconds)),
        remedy: kill_statement(profile, process.id),
    }
}

fn unseen(profile: &ServerProfile, id: i64) -> Holder {
    Holder {
        session: Some(id),
        remedy: kill_statement(profile, id),
        ..Holder::default()
    }
}

/// What the server says of who waits for whom in the schema. An error where it does not.
async fn told(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<Vec<Told>, ProviderError> {
    let Some(sql) = profile.dialect.lock_waits_sql() else {
        return Ok(Vec::new());
    };
    let query = sqlx::query(sql).bind(names.database.as_str().to_owned());
    session
        .list("reading who waits for a metadata lock", query, |row| {
            Ok(Told {
                waiter: row.number("waiter")?,
                table: row.text("name")?,
                holder: row.number("holder")?,
                exclusive: row.flag("exclusive")?,
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(id: i64, state: &str, seconds: i64) -> Process {
        Process {
            id,
            user: "app".to_owned(),
            host: "10.0.0.3:55".to_owned(),
            schema: "orders".to_owned(),
            command: "Sleep".to_owned(),
            state: state.to_owned(),
            seconds,
        }
    }

    #[test]
    fn an_exclusive_lock_is_what_a_reader_waits_for() {
        let told = |holder, exclusive| Told {
            waiter: 1,
            table: "t".to_owned(),
            holder,
            exclusive,
        };
        let all = [told(2, false), told(3, true)];
        let of = |all: &[Told], waiter| {
            let found = of_waiter(all, waiter);
            found.iter().map(|told| told.holder).collect::<Vec<_>>()
        };
        assert_eq!(of(&all, 1), [3]);
        assert_eq!(of(&all[..1], 1), [2]);
        assert_eq!(of(&all, 9), [0; 0]);
    }

    #[test]
    fn a_table_is_named_where_it_is_the_only_one() {
        let lock = |table: &str, holder| Exclusive {
            table: table.to_owned(),
            holder,
        };
        assert_eq!(only_table(&[]), None);
        let both = [lock("t", 1), lock("t", 2)];
        assert_eq!(only_table(&both).as_deref(), Some("t"));
        assert_eq!(only_table(&[lock("t", 1), lock("u", 1)]), None);
    }

    #[test]
    fn a_server_that_does_not_tell_leaves_suspects() {
        let all = [
            process(1, "Waiting for table metadata lock", 40),
            process(2, "", 10),
            process(3, "", 50),
            process(4, "", 5),
            Process {
                schema: "elsewhere".to_owned(),
                ..process(5, "", 90)
            },
            Process {
                schema: String::new(),
                ..process(6, "", 80)
            },
        ];
        let others: Vec<&Process> = all.iter().collect();
        let open = [Transaction {
            session: Some(4),
            seconds: 70,
            since: 0,
        }];
        let of = |holding: Option<&[i64]>| {
            let found = suspects(&others, 1, "orders", holding, &open);
            found.iter().map(|process| process.id).collect::<Vec<_>>()
        };
        assert_eq!(of(None), [4, 3, 2]);
        assert_eq!(of(Some(&[])), [4, 3, 2]);
        assert_eq!(of(Some(&[2])), [2]);
        // The server says that they have it, wherever they are.
        assert_eq!(of(Some(&[5])), [5]);
        assert_eq!(of(Some(&[5, 6])), [5, 6]);
    }
}
