use std::time::Duration;

use super::*;
use serde_json::{Value, json};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn enter(status: RestoreStatus, entering: &Entering, now: i64) -> RestoreStatus {
    super::status(status, entering, SignedDuration::from_hours(72), 2, at(now))
}

fn shown(status: &RestoreStatus) -> Value {
    serde_json::to_value(status).unwrap()
}

fn target() -> RestoreTarget {
    serde_json::from_value(json!({
        "instance": "i", "database": "orders", "user": "orders", "databaseUid": "d", "serverIdentity": "s",
        "scratch": "orders__r_0", "login": "l", "owner": "orders",
    }))
    .unwrap()
}

fn loaded() -> Loaded {
    serde_json::from_value(json!({
        "sha256": "s", "toolVersion": "pg_restore 17", "tables": 3, "rows": 40, "checked": "Rows",
        "leftOut": ["x"], "loadSeconds": 5, "indexSeconds": 2, "checkSeconds": 1,
    }))
    .unwrap()
}

/// A life from its beginning to its end.
#[test]
fn each_state_adds_what_is_known_by_then() {
    let begun = Begun {
        source: RestoredFrom {
            key: "k".to_owned(),
            ..RestoredFrom::default()
        },
        target: target(),
    };
    let preparing = Entering::Preparing(Some(Box::new(begun)));
    let status = enter(RestoreStatus::default(), &preparing, 1_000);
    assert_eq!(shown(&status)["source"]["key"], "k");
    let job = RestoreJobRef {
        name: "restore-u".to_owned(),
        uid: "j".to_owned(),
    };
    let status = enter(status, &Entering::Loading(Some(job)), 1_010);
    assert_eq!(shown(&status)["job"]["uid"], "j");
    assert_eq!(shown(&status)["report"]["prepareSeconds"], 10);
    let status = enter(status, &Entering::Checking, 1_020);
    let switching = Entering::Switching(Some(Box::new(loaded())));
    let status = enter(status, &switching, 1_030);
    let text = shown(&status);
    assert_eq!(text["report"]["rows"], 40);
    assert_eq!(text["report"]["queries"], 2);
    assert_eq!(text["report"]["prepareSeconds"], 10);
    assert_eq!(text["leftOut"], json!(["x"]));
    assert_eq!(text["progress"]["shown"], "100%");
    let switched = Switched {
        downtime: Duration::from_millis(420),
        former: Some("orders__was_0".to_owned()),
        warnings: vec!["w".to_owned(), "w".to_owned()],
    };
    let status = enter(status, &Entering::Completed(Some(switched)), 1_032);
    let text = shown(&status);
    assert_eq!(text["state"], "COMPLETED");
    assert_eq!(text["durationSeconds"], 32);
    assert_eq!(text["report"]["switchSeconds"], 2);
    assert_eq!(text["report"]["downtimeMillis"], 420);
    assert_eq!(text["warnings"], json!(["w"]));
    let target = &text["target"];
    assert_eq!(target["former"]["database"], "orders__was_0");
    assert_eq!(target["former"]["until"], json!(at(1_032 + 72 * 3_600)));
    assert_eq!(target["former"]["replacedAt"], json!(at(1_032)));
    assert!(target.get("scratch").is_none() && target.get("login").is_none());
}

#[test]
fn a_test_ends_with_its_report_and_names_nothing_that_is_being_dropped() {
    let running = RestoreStatus {
        state: Some(RestoreState::Checking),
        started_at: Some(at(1_000)),
        target: Some(target()),
        ..RestoreStatus::default()
    };
    let tested = Entering::Tested(Some(Box::new(loaded())));
    let text = shown(&enter(running, &tested, 1_030));
    assert_eq!(text["state"], "COMPLETED");
    assert_eq!(text["durationSeconds"], 30);
    assert_eq!(text["report"]["rows"], 40);
    assert_eq!(text["report"]["checked"], "Rows");
    assert_eq!(text["progress"]["shown"], "100%");
    for gone in ["scratch", "login", "owner", "former"] {
        assert_eq!(text["target"].get(gone), None, "{gone}");
    }
    assert_eq!(text["report"].get("switchSeconds"), None);
    assert_eq!(text.get("switchingSince"), None);
}

#[test]
fn a_failed_one_says_why_and_keeps_what_has_to_be_cleaned_up() {
    let running = RestoreStatus {
        state: Some(RestoreState::Checking),
        started_at: Some(at(1_000)),
        target: Some(target()),
        ..RestoreStatus::default()
    };
    let failure = Failure {
        differences: vec!["public.a: 2 rows, and 3 in the backup".to_owned()],
        last_lines: vec!["line".to_owned()],
        ..Failure::new(RestoreReason::CheckFailed, "m")
    };
    // The clock may have been set back.
    let text = shown(&enter(running, &Entering::Failed(failure), 990));
    assert_eq!(text["state"], "FAILED");
    assert_eq!(text["durationSeconds"], 0);
    assert_eq!(text["failure"]["reason"], "CheckFailed");
    assert_eq!(text["failure"]["lastLines"], json!(["line"]));
    assert_eq!(text["report"]["differences"].as_array().unwrap().len(), 1);
    assert_eq!(text["target"]["scratch"], "orders__r_0");
}

#[test]
fn one_that_was_done_before_knows_the_former_database_that_is_still_kept() {
    let before = Before {
        target: target(),
        at: at(500),
        former: Some("orders__was_0".to_owned()),
    };
    let done = Entering::DoneBefore(Some(Box::new(before)));
    let text = shown(&enter(RestoreStatus::default(), &done, 1_000));
    assert_eq!(text["state"], "COMPLETED");
    assert_eq!(text.get("startedAt"), None);
    assert_eq!(
        text["target"]["former"]["until"],
        json!(at(500 + 72 * 3_600))
    );
    assert_eq!(text["target"]["former"]["replacedAt"], json!(at(500)));
}

#[test]
fn what_was_found_says_more_than_why_it_was_ended() {
    let reason = |because, found: &Found| failure(because, found).reason;
    let nothing = Found::NotRunning;
    assert_eq!(reason(Cause::Cancelled, &nothing), RestoreReason::Cancelled);
    let gone = Cause::DatabaseDeleted;
    assert_eq!(reason(gone, &nothing), RestoreReason::DatabaseDeleted);
    let found = Found::Failed(Box::new(Failure::new(RestoreReason::LoadFailed, "m")));
    assert_eq!(reason(Cause::WorkFailed, &found), RestoreReason::LoadFailed);
}

#[test]
fn a_warning_is_said_once_and_there_are_few() {
    let mut status = RestoreStatus::default();
    for n in 0..20 {
        warn(&mut status, &format!("{n}{}", "x".repeat(400)));
        warn(&mut status, &format!("{n}{}", "x".repeat(400)));
    }
    assert_eq!(status.warnings.len(), WARNINGS);
    assert!(status.warnings.iter().all(|w| w.len() <= WARNING_LENGTH));
}
