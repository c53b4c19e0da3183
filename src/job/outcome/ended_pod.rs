//! What an ended pod means: its own report, or else what Kubernetes reports about it.

use super::work::{End, Told};
use super::{Cause, Failure, JobOutcome, Observation, Work, deadline_exceeded, gone};
use crate::api::backup::size;
use crate::job::Kind;
use crate::job::objects::{Pod, Terminated};
use crate::job::pod::{
    first_line, init_containers, main_container, name, phase, said_of, terminated,
};

/// SIGKILL, as a shell would say it.
const KILLED: i32 = 137;

/// What an ended pod says, and what is said of it.
pub(super) fn of_ended_pod<W: Work>(pod: &Pod, seen: &Observation<'_>) -> Option<JobOutcome<W>> {
    let ended = main_container(pod).and_then(terminated);
    let report = ended
        .and_then(|ended| ended.message.as_deref())
        .and_then(|message| serde_json::from_str::<W::Report>(message).ok())
        .map(W::told);
    let failure = match (ended, report) {
        (Some(ended), Some(Ok(done))) if ended.exit_code == 0 => {
            return Some(JobOutcome::Done(done));
        }
        (Some(ended), report) if ended.reason.as_deref() == Some("OOMKilled") => {
            out_of_memory::<W>(report.and_then(Result::err), seen)
        }
        (Some(_), Some(Err(told))) => reported::<W>(told, pod, seen),
        (Some(ended), Some(Ok(_)) | None) => unreported::<W>(ended, pod, seen),
        (None, _) if phase(pod) == "Failed" => ended_without_running::<W>(pod),
        (None, _) => return None,
    };
    Some(JobOutcome::Failed(Box::new(failure)))
}

fn out_of_memory<W: Work>(
    told: Option<Told<W::Reason>>,
    seen: &Observation<'_>,
) -> Failure<W::Reason> {
    let limit = seen.job.and_then(|job| job.memory_limit.as_deref());
    let limit = limit.map_or_else(String::new, |limit| format!(" ({})", readable(limit)));
    let (holds, settings) = match W::KIND {
        Kind::Backup => ("the dump tool holds the largest row whole", "backup"),
        Kind::Restore => (
            "the tool holds the largest row and the table of contents whole",
            "restore",
        ),
    };
    let message = format!(
        "a process of the Job's pod was killed because it used more memory than the limit of its container{limit}: {holds}; \
         raise spec.{settings}.job.toolMemory of the instance (default: 256Mi) above what that needs"
    );
    let failure = Failure::new(Cause::OutOfMemory, message);
    match told {
        Some(told) => Failure {
            last_lines: told.last_lines,
            tool_version: told.tool_version,
            ..failure
        },
        None => failure,
    }
}

/// An amount of bytes as a person writes it; the API server keeps a plain number as it was given.
fn readable(amount: &str) -> String {
    amount.parse().map_or_else(|_| amount.to_owned(), size)
}

/// The pod's own words; only where it was asked to end others know better why. It does not know whose limit a stall is.
fn reported<W: Work>(
    told: Told<W::Reason>,
    pod: &Pod,
    seen: &Observation<'_>,
) -> Failure<W::Reason> {
    let own = Failure {
        reason: told.reason,
        message: match told.end {
            End::Stalled => format!("{}; the limit is {}", told.message, seen.limits.stall),
            End::Terminated | End::Own => told.message,
        },
        differences: told.differences,
        last_lines: told.last_lines,
        tool_version: told.tool_version,
        passing: told.passing,
    };
    if told.end != End::Terminated {
        return own;
    }
    match asked_to_end::<W>(pod, seen) {
        Some(why) => Failure {
            reason: why.reason,
            message: why.message,
            passing: false,
            ..own
        },
        None => own,
    }
}

/// Who asked a pod to end.
fn asked_to_end<W: Work>(pod: &Pod, seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
    evicted::<W>(pod)
        .or_else(|| job_deadline::<W>(seen))
        .or_else(|| gone::<W>(seen))
}

fn unreported<W: Work>(
    ended: &Terminated,
    pod: &Pod,
    seen: &Observation<'_>,
) -> Failure<W::Reason> {
    asked_to_end::<W>(pod, seen).unwrap_or_else(|| {
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
        Failure::new(Cause::Killed, message)
    })
}

/// A node refused the pod, or lost it.
fn ended_without_running<W: Work>(pod: &Pod) -> Failure<W::Reason> {
    if let Some(failure) = evicted::<W>(pod) {
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
        "the pod {} failed before the {} tool ran{}",
        name(pod),
        W::KIND.container(),
        said.unwrap_or_default()
    );
    Failure::new(Cause::Killed, message)
}

/// A node asked the pod to go.
pub(super) fn evicted<W: Work>(pod: &Pod) -> Option<Failure<W::Reason>> {
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
    Some(Failure::new(Cause::Evicted, message))
}

fn job_deadline<W: Work>(seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
    let conditions = seen.job?.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .any(|c| c.reason.as_deref() == Some("DeadlineExceeded") && c.status == "True")
        .then(|| deadline_exceeded::<W>(seen))
}
