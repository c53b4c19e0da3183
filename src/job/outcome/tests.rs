//! Objects as the API server returns them, and the reason that each must lead to.

use serde_json::{Value, json};

use super::*;
use crate::agent::protocol::result::Done;
const MAIN: &str = "dump";

fn decide(seen: &Observation<'_>) -> JobOutcome {
    super::decide::<Dumping>(seen)
}

use crate::job::time_limit::TimeLimit;

#[path = "clock_tests.rs"]
mod clocks;

const NOW: i64 = 10_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job(extra: &Value) -> Job {
    let mut job = json!({"metadata": {"name": "backup-u", "creationTimestamp": at(NOW - 100)}});
    merge(&mut job, extra);
    serde_json::from_value(job).unwrap()
}

fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "backup-u-x", "creationTimestamp": at(NOW - 100)},
        "status": status,
    }))
    .unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn container(name: &str, state: &Value) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

fn ended(exit_code: i32, reason: &str, message: &str) -> Pod {
    let state =
        json!({"terminated": {"exitCode": exit_code, "reason": reason, "message": message}});
    pod(&json!({"phase": "Failed", "containerStatuses": [container(MAIN, &state)]}))
}

fn running(since: i64) -> Pod {
    let state = json!({"running": {"startedAt": at(since)}});
    pod(&json!({"phase": "Running", "containerStatuses": [container(MAIN, &state)]}))
}

fn begins(init: &Value, main: &Value) -> Pod {
    pod(&json!({
        "phase": "Pending",
        "initContainerStatuses": [container("install", init)],
        "containerStatuses": [container(MAIN, main)],
    }))
}

fn with_condition(pod: Pod, type_: &str, status: &str, message: &str) -> Pod {
    let condition = json!({"type": type_, "status": status, "message": message});
    with(pod, condition)
}

/// A condition that came true at that time.
fn with_true(pod: Pod, type_: &str, since: i64) -> Pod {
    let since = at(since);
    with(
        pod,
        json!({"type": type_, "status": "True", "lastTransitionTime": since}),
    )
}

fn with(mut pod: Pod, condition: Value) -> Pod {
    let conditions = &mut pod.status.as_mut().unwrap().conditions;
    conditions
        .get_or_insert_default()
        .push(serde_json::from_value(condition).unwrap());
    pod
}

fn failed(cause: &str) -> String {
    json!({"outcome": "failed", "cause": cause, "message": "m", "lastLines": ["l"], "toolVersion": "t"})
        .to_string()
}

fn done() -> String {
    json!({"outcome": "done", "parts": 1, "bytes": 2, "sha256": "s", "partsDigest": "d", "dumpedBytes": 3,
           "toolVersion": "t"})
    .to_string()
}

fn limits(deadline: i64, stall: i64) -> TimeLimits {
    let limit = |seconds, field| TimeLimit {
        time: SignedDuration::from_secs(seconds),
        field,
    };
    TimeLimits {
        deadline: limit(deadline, "spec.deadlineSeconds"),
        stall: limit(stall, "spec.stallSeconds"),
    }
}

/// A Job of 100 seconds of age, with the default limits.
fn seen<'a>(job: Option<&'a Job>, pod: Option<&'a Pod>) -> Observation<'a> {
    Observation {
        job,
        pod,
        refused: None,
        started_at: at(NOW - 101),
        last_advance: None,
        looked_at: Some(at(NOW)),
        limits: limits(21_600, 600),
        now: at(NOW),
    }
}

fn failure(evidence: &Observation<'_>) -> Failure {
    match decide(evidence) {
        JobOutcome::Failed(failure) => *failure,
        other => panic!("{other:?}"),
    }
}

fn failure_of(pod: &Pod) -> Failure {
    failure(&seen(Some(&job(&json!({}))), Some(pod)))
}

#[test]
fn done_is_what_the_pod_says_with_status_zero() {
    let pod = ended(0, "Completed", &done());
    assert!(matches!(
        decide(&seen(Some(&job(&json!({}))), Some(&pod))),
        JobOutcome::Done(Done { parts: 1, .. })
    ));
    // Whatever became of the Job meanwhile.
    assert!(matches!(
        decide(&seen(None, Some(&pod))),
        JobOutcome::Done(_)
    ));
    assert_eq!(
        failure_of(&ended(1, "Error", &done())).reason,
        BackupReason::Killed
    );
}

#[test]
fn each_cause_has_its_reason_and_the_tools_words() {
    for (cause, reason) in [
        ("ToolMismatch", BackupReason::ToolMismatch),
        ("DumpFailed", BackupReason::DumpFailed),
        ("DumpIncomplete", BackupReason::DumpIncomplete),
        ("TooLarge", BackupReason::TooLarge),
        ("NoProgress", BackupReason::NoProgress),
        ("UploadFailed", BackupReason::UploadFailed),
        ("Terminated", BackupReason::Terminated),
        ("Misconfigured", BackupReason::InvalidTemplate),
    ] {
        let failure = failure_of(&ended(1, "Error", &failed(cause)));
        assert_eq!(failure.reason, reason);
        let message = if reason == BackupReason::NoProgress {
            "m; the limit is spec.stallSeconds (600 s)"
        } else {
            "m"
        };
        assert_eq!(
            (failure.message.as_str(), failure.last_lines.len()),
            (message, 1)
        );
        assert_eq!(failure.tool_version.as_deref(), Some("t"));
    }
}

#[test]
fn what_passes_is_known_unless_somebody_else_ended_the_pod() {
    let report = |cause: &str| {
        let message = json!({"outcome": "failed", "cause": cause, "message": "m", "lastLines": [], "passing": true});
        let state = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message.to_string(),
            "finishedAt": at(NOW - 9)}});
        pod(&json!({"phase": "Failed", "containerStatuses": [container(MAIN, &state)]}))
    };
    let pod = report("DumpFailed");
    assert!(failure_of(&pod).passing);
    assert_eq!(ended_at(&pod), Some(at(NOW - 9)));
    assert!(!failure_of(&ended(1, "Error", &failed("DumpFailed"))).passing);
    let evicted = with_condition(report("Terminated"), "DisruptionTarget", "True", "drained");
    assert!(!failure_of(&evicted).passing);
}

#[test]
fn memory_is_blamed_with_the_limit_and_what_raises_it() {
    let message = |limit: &str| {
        let limits = json!({"name": MAIN, "resources": {"limits": {"memory": limit}}});
        let job = job(&json!({"spec": {"template": {"spec": {"containers": [limits]}}}}));
        failure(&seen(Some(&job), Some(&ended(137, "OOMKilled", "")))).message
    };
    let told = message("448790528");
    assert!(
        told.contains("(428Mi)") && told.contains("toolMemory"),
        "{told}"
    );
    assert!(message("1Gi").contains("(1Gi)"));
}

#[test]
fn memory_is_blamed_also_where_only_the_tool_was_killed() {
    assert_eq!(
        failure_of(&ended(137, "OOMKilled", "")).reason,
        BackupReason::OutOfMemory
    );
    let told = failure_of(&ended(1, "OOMKilled", &failed("DumpFailed")));
    assert_eq!(told.reason, BackupReason::OutOfMemory);
    assert_eq!(told.last_lines, ["l"]);
}

#[test]
fn a_pod_that_was_asked_to_end_says_by_whom() {
    let terminated = || ended(1, "Error", &failed("Terminated"));
    let evicted = with_condition(terminated(), "DisruptionTarget", "True", "drained");
    let told = failure_of(&evicted);
    assert_eq!(told.reason, BackupReason::Evicted);
    assert!(told.message.contains("drained") && told.last_lines == ["l"]);

    let killed = with_condition(ended(137, "Error", ""), "DisruptionTarget", "True", "x");
    assert_eq!(failure_of(&killed).reason, BackupReason::Evicted);

    let late = job(&json!({"status": {"conditions": [
        {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}}));
    let pod = terminated();
    assert_eq!(
        failure(&seen(Some(&late), Some(&pod))).reason,
        BackupReason::DeadlineExceeded
    );
    assert_eq!(
        failure(&seen(None, Some(&pod))).reason,
        BackupReason::JobDeleted
    );
}

#[test]
fn a_pod_that_ended_without_a_word_was_killed() {
    let told = failure_of(&ended(137, "Error", ""));
    assert_eq!(told.reason, BackupReason::Killed);
    assert!(told.message.contains("SIGKILL"), "{}", told.message);
    let told = failure_of(&ended(2, "Error", "no such option\nx"));
    assert!(
        told.message
            .contains("status 2 without telling a result: no such option;")
    );
}

#[test]
fn a_node_may_end_a_pod_before_it_ran() {
    let evicted = pod(&json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
    assert_eq!(failure_of(&evicted).reason, BackupReason::Evicted);
    let refused = pod(&json!({"phase": "Failed", "reason": "OutOfcpu", "message": "no room"}));
    let told = failure_of(&refused);
    assert_eq!(told.reason, BackupReason::Killed);
    assert!(told.message.contains("OutOfcpu (no room)"));
    let init = json!({"terminated": {"exitCode": 3, "message": "read-only"}});
    let mut failed = begins(&init, &json!({"waiting": {"reason": "PodInitializing"}}));
    failed.status.as_mut().unwrap().phase = Some("Failed".to_owned());
    let told = failure_of(&failed);
    assert!(
        told.message
            .contains("install ended with status 3 (read-only)")
    );
}

#[test]
fn a_job_that_is_deleted_is_over() {
    assert_eq!(failure(&seen(None, None)).reason, BackupReason::JobDeleted);
    let leaving = job(&json!({"metadata": {"deletionTimestamp": at(NOW)}}));
    let pod = running(NOW - 50);
    assert_eq!(
        failure(&seen(Some(&leaving), Some(&pod))).reason,
        BackupReason::JobDeleted
    );
}

#[test]
fn a_restores_job_is_decided_by_the_same_rules_in_its_own_words() {
    use crate::agent::protocol::restore::RestoreCause;
    let decide = |seen: &Observation<'_>| super::decide::<Loading>(seen);
    let failure = |seen: &Observation<'_>| match decide(seen) {
        JobOutcome::Failed(failure) => *failure,
        other => panic!("{other:?}"),
    };
    let pod_of = |state: &Value| {
        pod(&json!({"phase": "Failed", "containerStatuses": [container("restore", state)]}))
    };
    let ended = |exit_code: i32, reason: &str, message: &Value| {
        pod_of(
            &json!({"terminated": {"exitCode": exit_code, "reason": reason, "message": message.to_string()}}),
        )
    };
    let job = job(&json!({}));
    let loaded = json!({"outcome": "done", "sha256": "s", "toolVersion": "t", "tables": 1, "rows": 2, "checked": "Rows",
        "loadSeconds": 1, "indexSeconds": 2, "checkSeconds": 3});
    let done = ended(0, "Completed", &loaded);
    assert!(matches!(
        decide(&seen(Some(&job), Some(&done))),
        JobOutcome::Done(loaded) if loaded.rows == 2
    ));
    let report = |cause: &str| json!({"outcome": "failed", "cause": cause, "message": "m", "differences": ["d"], "lastLines": ["l"]});
    let told = failure(&seen(
        Some(&job),
        Some(&ended(1, "Error", &report("CheckFailed"))),
    ));
    assert_eq!(told.reason, RestoreEnd::Task(RestoreCause::CheckFailed));
    assert_eq!(
        (told.differences, told.last_lines),
        (vec!["d".to_owned()], vec!["l".to_owned()])
    );
    let stalled = ended(1, "Error", &report("NoProgress"));
    let told = failure(&seen(Some(&job), Some(&stalled)));
    assert_eq!(told.reason, RestoreEnd::Task(RestoreCause::NoProgress));
    assert!(
        told.message
            .ends_with("the limit is spec.stallSeconds (600 s)")
    );
    // What Kubernetes tells.
    let killed = ended(137, "OOMKilled", &report("LoadFailed"));
    let told = failure(&seen(Some(&job), Some(&killed)));
    assert_eq!(told.reason, RestoreEnd::Cluster(Cause::OutOfMemory));
    assert!(
        told.message.contains("spec.restore.job.toolMemory"),
        "{}",
        told.message
    );
    let evicted = with_condition(
        ended(1, "Error", &report("Terminated")),
        "DisruptionTarget",
        "True",
        "drained",
    );
    let told = failure(&seen(Some(&job), Some(&evicted)));
    assert_eq!(told.reason, RestoreEnd::Cluster(Cause::Evicted));
    let told = failure(&seen(None, None));
    assert_eq!(told.reason, RestoreEnd::Cluster(Cause::JobDeleted));
    assert!(told.message.contains("before the restore was complete"));
    let runs = pod(&json!({"phase": "Running", "containerStatuses": [
        container("restore", &json!({"running": {"startedAt": at(NOW - 50)}}))]}));
    assert!(matches!(
        decide(&seen(Some(&job), Some(&runs))),
        JobOutcome::Runs
    ));
    assert!(matches!(
        decide(&seen(Some(&job), None)),
        JobOutcome::Waits(_)
    ));
}
