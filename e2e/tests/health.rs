//! What GitOps tools make of every status that the operator writes: Flux by the reference library of kstatus, Argo CD by our
//! script.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use std::path::Path;
use std::process::Command;

use db_operator::api::{
    BackupReason, BackupState, Condition, DatabaseReason, DatabaseState, InstanceReason, Outcome,
    Reason, Report, RestoreReason, RestoreState,
};
use e2e::cache::Cache;
use e2e::{clone_root, command, tools};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Argo CD's script, which is the same for all kinds.
const SCRIPT: &str = "kustomize/health/argocd/health.lua";

/// An object, and what it has to count as: for kstatus, and for Argo CD.
struct Case {
    what: String,
    object: Value,
    kstatus: &'static str,
    argo: &'static str,
}

impl Case {
    fn new(
        what: impl Into<String>,
        object: Value,
        (kstatus, argo): (&'static str, &'static str),
    ) -> Self {
        Self {
            what: what.into(),
            object,
            kstatus,
            argo,
        }
    }
}

const IN_PROGRESS: (&str, &str) = ("InProgress", "Progressing");
const LEAVING: (&str, &str) = ("Terminating", "Progressing");

const fn expected(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Ready => ("Current", "Healthy"),
        Outcome::Reconciling => IN_PROGRESS,
        Outcome::Stalled => ("Failed", "Degraded"),
    }
}

fn object(kind: &str, state: Option<&str>, conditions: &[Condition]) -> Value {
    let mut object = json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "x", "namespace": "team-a", "generation": 3},
        "spec": {},
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
            cases.push(Case::new(
                format!("{what}, being deleted"),
                leaving,
                LEAVING,
            ));
            cases.push(Case::new(
                format!("{what}, changed since"),
                changed,
                IN_PROGRESS,
            ));
            cases.push(Case::new(what, object, expected(reason.outcome())));
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let database: Vec<_> = DatabaseState::ALL.map(DatabaseState::as_str).into();
    let backup: Vec<_> = BackupState::ALL.map(BackupState::as_str).into();
    let restore: Vec<_> = RestoreState::ALL.map(RestoreState::as_str).into();
    let states = |all: Vec<&'static str>| -> Vec<Option<&'static str>> {
        std::iter::once(None)
            .chain(all.into_iter().map(Some))
            .collect()
    };
    of_kind::<InstanceReason>("DatabaseInstance", &[None], &mut cases);
    of_kind::<DatabaseReason>("Database", &states(database), &mut cases);
    of_kind::<BackupReason>("Backup", &states(backup), &mut cases);
    of_kind::<RestoreReason>("Restore", &states(restore), &mut cases);

    // It works, and something about it cannot be carried out.
    let report = Report::new(DatabaseReason::InvalidTemplate, "a message")
        .while_ready(DatabaseReason::Created, "it works");
    let working = object("Database", Some("CREATED"), &conditions(&report));
    let what = "a Database that works, with a template that does not";
    cases.push(Case::new(what, working, ("Failed", "Degraded")));
    let mut suspended = object("Database", Some("CREATED"), &conditions(&report));
    suspended["spec"]["suspend"] = json!(true);
    cases.push(Case::new(
        "a suspended one",
        suspended,
        ("Failed", "Suspended"),
    ));
    // kstatus knows nothing of a kind whose objects have no conditions yet; the documentation says so.
    let mut new = object("Database", None, &[]);
    new.as_object_mut().unwrap().remove("status");
    let what = "a Database that nobody has looked at";
    cases.push(Case::new(what, new, ("Current", "Progressing")));
    cases
}

/// The first word of each line that the program answers for these objects.
fn judged(cases: &[&Case], script: Option<&Path>) -> Vec<String> {
    let folder = tools::ensure(&Cache::open().unwrap(), &[tools::HEALTH]).unwrap();
    let objects: Vec<&Value> = cases.iter().map(|case| &case.object).collect();
    let objects = serde_json::to_string(&objects).unwrap();
    let mut health = Command::new(folder[0].join("health"));
    health.args(script);
    let answer = command::output_with_input(&mut health, &objects).unwrap();
    let words = answer
        .lines()
        .map(|line| line.split('\t').next().unwrap().to_owned());
    let words: Vec<_> = words.collect();
    assert_eq!(words.len(), cases.len());
    words
}

fn compare(cases: &[&Case], found: &[String], expected: impl Fn(&Case) -> &'static str) {
    let pairs = cases.iter().zip(found);
    let wrong: Vec<String> = pairs
        .filter(|(case, found)| *found != expected(case))
        .map(|(case, found)| format!("{}: {found}, not {}", case.what, expected(case)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_status_counts_for_kstatus_as_what_it_means() {
    let cases = cases();
    let cases: Vec<&Case> = cases.iter().collect();
    compare(&cases, &judged(&cases, None), |case| case.kstatus);
}

#[test]
fn every_status_counts_for_argo_cd_as_what_it_means() {
    let cases = cases();
    let script = clone_root().join(SCRIPT);
    for kind in ["DatabaseInstance", "Database", "Backup", "Restore"] {
        let cases: Vec<&Case> = cases
            .iter()
            .filter(|case| case.object["kind"] == kind)
            .collect();
        assert!(cases.len() > 10, "{kind}");
        compare(&cases, &judged(&cases, Some(&script)), |case| case.argo);
    }
}
