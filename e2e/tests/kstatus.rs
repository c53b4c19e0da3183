//! What the reference library of kstatus, and so Flux and `kubectl wait`, make of every status that the operator writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use std::fs;
use std::process::Command;

use db_operator::api::{
    BackupReason, BackupState, Condition, DatabaseReason, DatabaseState, InstanceReason, Outcome,
    Reason, Report,
};
use e2e::cache::Cache;
use e2e::{command, tools};
use jiff::Timestamp;
use serde_json::{Value, json};

/// An object, and what it has to count as.
struct Case {
    what: String,
    object: Value,
    expected: &'static str,
}

const fn expected(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ready => "Current",
        Outcome::Reconciling => "InProgress",
        Outcome::Stalled => "Failed",
    }
}

fn object(kind: &str, state: Option<&str>, conditions: &[Condition]) -> Value {
    let mut object = json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "x", "namespace": "team-a", "generation": 3},
        "status": {"observedGeneration": 3, "conditions": conditions},
    });
    if let Some(state) = state {
        object["status"]["state"] = json!(state);
    }
    object
}

fn conditions(report: &Report) -> Vec<Condition> {
    let mut conditions = Vec::new();
    report.record(&mut conditions, Some(3), Timestamp::UNIX_EPOCH);
    conditions
}

/// Each reason that a condition can have, in each state.
fn of_kind<R: Reason>(kind: &str, states: &[Option<&str>], cases: &mut Vec<Case>) {
    for reason in R::ALL {
        let conditions = conditions(&Report::new(*reason, "a message"));
        for state in states {
            let object = object(kind, *state, &conditions);
            let what = format!("{kind} {state:?} {}", reason.as_str());
            let mut leaving = object.clone();
            leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            let mut changed = object.clone();
            changed["metadata"]["generation"] = json!(4);
            cases.push(Case {
                what: format!("{what}, being deleted"),
                object: leaving,
                expected: "Terminating",
            });
            cases.push(Case {
                what: format!("{what}, changed since"),
                object: changed,
                expected: "InProgress",
            });
            cases.push(Case {
                what,
                object,
                expected: expected(reason.outcome()),
            });
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let database: Vec<_> = DatabaseState::ALL.map(DatabaseState::as_str).into();
    let backup: Vec<_> = BackupState::ALL.map(BackupState::as_str).into();
    let states = |all: Vec<&'static str>| -> Vec<Option<&'static str>> {
        std::iter::once(None)
            .chain(all.into_iter().map(Some))
            .collect()
    };
    of_kind::<InstanceReason>("DatabaseInstance", &[None], &mut cases);
    of_kind::<DatabaseReason>("Database", &states(database), &mut cases);
    of_kind::<BackupReason>("Backup", &states(backup), &mut cases);

    // It works, and something about it cannot be carried out: a sync has failed, and `kubectl wait` is content.
    let report = Report::new(DatabaseReason::InvalidTemplate, "a message")
        .while_ready(DatabaseReason::Created, "it works");
    cases.push(Case {
        what: "a Database that works, with a template that does not".to_owned(),
        object: object("Database", Some("CREATED"), &conditions(&report)),
        expected: "Failed",
    });
    // Nobody has looked yet.
    let mut new = object("Database", None, &[]);
    new.as_object_mut().unwrap().remove("status");
    cases.push(Case {
        what: "a Database that nobody has looked at".to_owned(),
        object: new,
        expected: "Current",
    });
    cases
}

#[test]
fn every_status_counts_as_what_it_means() {
    let cases = cases();
    let folder = tools::ensure(&Cache::open().unwrap(), &[tools::KSTATUS]).unwrap();
    let objects: Vec<&Value> = cases.iter().map(|case| &case.object).collect();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kstatus.json");
    fs::write(&file, serde_json::to_vec(&objects).unwrap()).unwrap();
    let mut kstatus = Command::new(folder[0].join("kstatus"));
    kstatus.stdin(fs::File::open(&file).unwrap());
    let answer = command::output(&mut kstatus).unwrap();

    let found: Vec<&str> = answer.lines().collect();
    assert_eq!(found.len(), cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .zip(found)
        .filter(|(case, line)| line.split('\t').next() != Some(case.expected))
        .map(|(case, line)| format!("{}: {line}, not {}", case.what, case.expected))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
