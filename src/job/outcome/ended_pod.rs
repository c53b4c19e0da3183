//! What an ended pod means: its own report, or else what Kubernetes reports about it.

use super::{Failure, JobOutcome, Observation, deadline_exceeded, gone};
use crate::agent::protocol::result::{Cause, Failed, TaskResult};
use crate::api::BackupReason;
use crate::job::objects::{Pod, Terminated};
use crate::job::pod::{
    first_line, init_containers, main_container, name, phase, said_of, terminated,
};

/// SIGKILL, as a shell would say it.
const KILLED: i32 = 137;

/// What an ended pod says, and what is said of it.
pub(super) fn of_ended_pod(pod: &Pod, seen: &Observation<'_>) -> Option<JobOutcome> {
    let ended = main_container(pod).and_then(terminated);
    let report = ended
        .and_then(|ended| ended.message.as_deref())
        .and_then(|message| serde_json::from_str::<TaskResult>(message).ok());
    if let (Some(TaskResult::Done(done)), Some(0)) = (&report, ended.map(|ended| ended.exit_code)) {
        return Some(JobOutcome::Done(done.clone()));
    }
    let failure = match (ended, report) {
        (Some(ended), report) if ended.reason.as_deref() == Some("OOMKilled") => {
            out_of_memory(report)
        }
        (Some(_), Some(TaskResult::Failed(failed))) => reported(failed, pod, seen),
        (Some(ended), Some(TaskResult::Done(_)) | None) => unreported(ended, pod, seen),
        (None, _) if phase(pod) == "Failed" => ended_without_running(pod),
        (None, _) => return None,
    };
    Some(JobOutcome::Failed(Box::new(failure)))
}

fn out_of_memory(report: Option<TaskResult>) -> Failure {
    let message = "a process of the Job's pod was killed because the pod used more memory than its limit; a template can \
        raise resources.limits.memory of the container dump (spec.backup.job.templateRef of the instance)";
    let mut failure = Failure::new(BackupReason::OutOfMemory, message);
    if let Some(TaskResult::Failed(failed)) = report {
        failure.last_lines = failed.last_lines;
        failure.tool_version = failed.tool_version;
    }
    failure
}

/// The pod's own words; only where it was asked to end others know better why. It does not know whose limit a stall is.
fn reported(failed: Failed, pod: &Pod, seen: &Observation<'_>) -> Failure {
    let message = if failed.cause == Cause::NoProgress {
        format!("{}; the limit is {}", failed.message, seen.limits.stall)
    } else {
        failed.message
    };
    let own = Failure {
        reason: reason(failed.cause),
        message,
        last_lines: failed.last_lines,
        tool_version: failed.tool_version,
    };
    if failed.cause != Cause::Terminated {
        return own;
    }
    match asked_to_end(pod, seen) {
        Some(why) => Failure {
            reason: why.reason,
            message: why.message,
            ..own
        },
        None => own,
    }
}

const fn reason(cause: Cause) -> BackupReason {
    match cause {
        Cause::ToolMismatch => BackupReason::ToolMismatch,
        Cause::DumpFailed => BackupReason::DumpFailed,
        Cause::DumpIncomplete => BackupReason::DumpIncomplete,
        Cause::TooLarge => BackupReason::TooLarge,
        Cause::NoProgress => BackupReason::NoProgress,
        Cause::UploadFailed => BackupReason::UploadFailed,
        Cause::Terminated => BackupReason::Terminated,
        Cause::Misconfigured => BackupReason::InvalidTemplate,
    }
}

/// Who asked a pod to end.
fn asked_to_end(pod: &Pod, seen: &Observation<'_>) -> Option<Failure> {
    evicted(pod)
        .or_else(|| job_deadline(seen))
        .or_else(|| gone(seen))
}

fn unreported(ended: &Terminated, pod: &Pod, seen: &Observation<'_>) -> Failure {
    asked_to_end(pod, seen).unwrap_or_else(|| {
        let code = ended.exit_code;
        let how = if code == KILLED {
            "was killed (SIGKILL)".to_owned()
        } else {
            format!("ended with status {code}")
        };
        let words = ended
            .message
            .as_deref()
            .map(|message| format!(": {}", first_line(message)))
            .unwrap_or_default();
        let message = format!(
            "the pod {} {how} without telling a result{words}; its log may say more",
            name(pod)
        );
        Failure::new(BackupReason::Killed, message)
    })
}

/// A node refused the pod, or lost it.
fn ended_without_running(pod: &Pod) -> Failure {
    if let Some(failure) = evicted(pod) {
        return failure;
    }
    let init = init_containers(pod).find_map(|container| {
        let ended = terminated(container)?;
        (ended.exit_code != 0).then(|| {
            format!(
                ": its container {} ended with status {}{}",
                container.name,
                ended.exit_code,
                ended
                    .message
                    .as_deref()
                    .map(|m| format!(" ({})", first_line(m)))
                    .unwrap_or_default()
            )
        })
    });
    let said = init.or_else(|| said_of(pod).map(|said| format!(": {said}")));
    let message = format!(
        "the pod {} failed before the dump tool ran{}",
        name(pod),
        said.unwrap_or_default()
    );
    Failure::new(BackupReason::Killed, message)
}

/// A node asked the pod to go.
pub(super) fn evicted(pod: &Pod) -> Option<Failure> {
    let status = pod.status.as_ref()?;
    let by_kubelet = status.reason.as_deref() == Some("Evicted");
    let disruption = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    let said = match (by_kubelet, disruption) {
        (true, _) => status.message.clone(),
        (false, Some(condition)) => condition.message.clone(),
        (false, None) => return None,
    };
    let message = format!(
        "the pod {} was evicted from its node: {}",
        name(pod),
        said.as_deref().unwrap_or("the node needed the room").trim()
    );
    Some(Failure::new(BackupReason::Evicted, message))
}

fn job_deadline(seen: &Observation<'_>) -> Option<Failure> {
    let conditions = seen.job?.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .any(|c| c.reason.as_deref() == Some("DeadlineExceeded") && c.status == "True")
        .then(|| deadline_exceeded(seen))
}
