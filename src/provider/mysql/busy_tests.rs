#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use super::super::administrator::Held;
use super::super::dialect::Dialect;
use super::*;
use crate::provider::lock_wait::LOCKED;
use crate::provider::{Claim, Claimant, Origin};

fn names() -> Names {
    let name = |name: &str| SqlName::new(name).unwrap();
    Names {
        database: name("orders"),
        role: name("app"),
    }
}

fn process(id: i64, user: &str, schema: &str, seconds: i64) -> Process {
    Process {
        id,
        user: user.to_owned(),
        host: format!("10.0.0.3:{id}"),
        schema: schema.to_owned(),
        command: "Sleep".to_owned(),
        state: String::new(),
        seconds,
    }
}

fn transaction(session: i64, seconds: i64) -> Transaction {
    Transaction {
        session: Some(session),
        seconds,
        since: 1_800_000_000 - seconds,
    }
}

fn suspects(all: &[Process], open: &[Transaction], known: Option<&[Known]>) -> Vec<i64> {
    let names = names();
    let scene = Scene {
        names: &names,
        own: 1,
        all,
        open,
        known,
    };
    let found = scene.suspects();
    found.iter().map(|process| process.id).collect()
}

#[test]
fn who_has_a_lock_is_named_where_the_server_tells_and_else_who_is_at_work_there() {
    let mut waiting = process(7, "app", "orders", 9);
    waiting.state = "Waiting for schema metadata lock".to_owned();
    let all = [
        process(1, "dboperator", "", 5),
        process(2, "app", "orders", 30),
        process(3, "root", "", 40),
        process(4, "other", "theirs", 50),
        process(5, "root", "mysql", 60),
        process(6, "other", "theirs", 0),
        waiting,
    ];
    let open = [transaction(6, 20)];
    assert_eq!(suspects(&all, &open, None), [2, 5, 6]);
    let known = [3, 4].map(|id| Known { id, kept: false });
    assert_eq!(suspects(&all, &open, Some(&known)), [3, 4]);
}

#[test]
fn sessions_that_come_and_go_are_not_named() {
    let short = |from: i64| (from..from + 50).map(|id| process(id, "app", "orders", 0));
    let lasting = process(5, "app", "orders", 2);
    let at = |from: i64| -> Vec<Process> {
        let mut all: Vec<Process> = short(from).collect();
        all.push(lasting.clone());
        all
    };
    let of = |all: &[Process]| {
        let open: Vec<Transaction> = all
            .iter()
            .filter(|one| one.id != 5)
            .map(|one| transaction(one.id, 1))
            .collect();
        let known: Vec<Known> = all
            .iter()
            .map(|one| Known {
                id: one.id,
                kept: false,
            })
            .collect();
        (
            suspects(all, &open, None),
            suspects(all, &open, Some(&known)),
        )
    };
    assert_eq!(of(&at(100)), (vec![5], vec![5]));
    assert_eq!(of(&at(100)), of(&at(900)));
    // Whoever took a lock to keep it is named, however busy it is.
    let busy = [process(8, "root", "", 0)];
    let kept = [Known { id: 8, kept: true }];
    assert_eq!(suspects(&busy, &[], Some(&kept)), [8]);
}

#[test]
fn who_has_a_claim_on_this_database_is_no_stranger() {
    let claimed = |database: &str, role: &str| Claimed {
        claim: Claim {
            names: Names {
                database: SqlName::new(database).unwrap(),
                role: SqlName::new(role).unwrap(),
            },
            claimant: Claimant {
                cluster_id: String::new(),
                namespace: String::new(),
                name: String::new(),
            },
            uid: String::new(),
            database: Origin::Created,
            role: Origin::Created,
            drop_adopted: false,
            released: false,
        },
        database_begun: false,
        role_begun: false,
    };
    let claims = [
        claimed("orders", "app"),
        claimed("theirs", "other"),
        claimed("more", "app"),
    ];
    let strangers = Strangers::of(&claims, &names().database);
    let user = |user: &str, schema: &str| strangers.hidden(process(2, user, schema, 9)).user;
    assert_eq!(user("app", "orders"), "app");
    assert_eq!(user("root", ""), "root");
    assert_eq!(user("other", "orders"), "");
    assert_eq!(user("root", "theirs"), "");
    assert_eq!(user("app", "more"), "");
}

#[test]
fn of_many_the_oldest_are_named_in_an_order_that_stays() {
    let many: Vec<Process> = (10..30)
        .map(|id| process(id, "app", "orders", id))
        .collect();
    let found = suspects(&many, &[], None);
    assert_eq!(found, [25, 26, 27, 28, 29]);
    let mut later = many.clone();
    later.reverse();
    assert_eq!(suspects(&later, &[], None), found);
}

#[test]
fn of_another_tenant_only_the_session_is_told_and_time_that_goes_by_is_no_news() {
    let profile = ServerProfile {
        dialect: Dialect::new("9.7.4", "", false, false).unwrap(),
        epoch: 1,
        held: Held::parse(["GRANT CONNECTION_ADMIN ON *.* TO `adm`@`%`"]),
        kills_by_procedure: false,
        grant: Arc::from(""),
    };
    let strangers = Strangers {
        databases: HashSet::from(["theirs".to_owned()]),
        users: HashSet::from(["other".to_owned()]),
    };
    let told = |later: i64| {
        let (names, all) = (
            names(),
            [
                process(2, "app", "orders", 30 + later),
                process(3, "other", "", 40 + later),
                process(4, "root", "theirs", 50),
            ],
        );
        let open = [Transaction {
            session: Some(3),
            seconds: 40 + later,
            since: 1_800_000_000,
        }];
        let scene = Scene {
            names: &names,
            own: 1,
            all: &all,
            open: &open,
            known: None,
        };
        let holders: Vec<Holder> = all
            .iter()
            .map(|process| scene.told(&profile, process, &strangers))
            .collect();
        let locked = ProviderError::Busy {
            doing: "altering the user".to_owned(),
            detail: LOCKED.to_owned(),
        };
        naming(locked, &holders).to_string()
    };
    assert_eq!(
        told(0),
        "altering the user waits for another session: no lock was granted in time; the lock may be held by session 2 (user \
         \"app\", application \"10.0.0.3:2\"), session 3 (in a transaction since 2027-01-15T08:00:00Z), session 4; once \
         you know which one it is, run one of: KILL 2; KILL 3; KILL 4"
    );
    assert_eq!(told(0), told(600));
}
