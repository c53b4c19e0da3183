//! What became of a Job, from everything that can be seen of it. Pure: no client, and the clock is brought along.
//!
//! What the pod itself said comes first, then what Kubernetes says of the pod, then of the Job, then the clock.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod,
};

use crate::api::BackupReason;
use crate::api::backup::Failure;
use crate::api::reason::Reason;
use crate::dump::report::{Cause, Done, Failed, Report};

/// The container that runs the dump tool.
pub const MAIN: &str = "dump";
/// How long an image may be not to be had before that is believed.
const IMAGE_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// How long a Job may have no pod before an Event that says why is believed.
const REFUSAL_GRACE: SignedDuration = SignedDuration::from_secs(15);
/// The pod notices a stall itself, and knows more about it: so much later it is noticed from outside.
const STALL_MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// The Job ends its pod at the deadline, and the pod reports: so much later it is stopped from outside.
const DEADLINE_MARGIN: SignedDuration = SignedDuration::from_secs(15);
/// SIGKILL, as a shell would say it.
const KILLED: i32 = 137;

/// All that can be seen of the work on a backup.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The Job; none only where the API server says that it is not there.
    pub job: Option<&'a Job>,
    /// Its pod.
    pub pod: Option<&'a Pod>,
    /// Why a pod could not be created, from the Job's Events.
    pub refused: Option<&'a str>,
    /// When the backup began.
    pub started_at: Timestamp,
    /// When something was last dumped or uploaded.
    pub last_advance: Option<Timestamp>,
    /// `spec.deadlineSeconds`
    pub deadline: SignedDuration,
    /// `spec.stallSeconds`
    pub stall: SignedDuration,
    /// Now.
    pub now: Timestamp,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The dump tool does not run yet; a sentence says why.
    Waits(String),
    /// It runs.
    Runs,
    /// The pod says that it is done.
    Done(Done),
    /// It cannot become a backup any more.
    Failed(Box<Ruin>),
}

/// Why it cannot become a backup any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruin {
    /// The condition's reason.
    pub reason: BackupReason,
    /// For a person.
    pub message: String,
    /// The dump tool's own last lines.
    pub last_lines: Vec<String>,
    /// What the dump tool says that it is, where that is known.
    pub tool_version: Option<String>,
}

impl Ruin {
    /// Without words of the dump tool.
    pub fn new(reason: BackupReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            last_lines: Vec::new(),
            tool_version: None,
        }
    }

    /// As the status shows it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure {
            reason: self.reason.as_str().to_owned(),
            message: self.message.clone(),
            last_lines: self.last_lines.clone(),
        }
    }
}

/// Judges.
#[must_use]
pub fn judge(seen: &Evidence<'_>) -> Verdict {
    if let Some(verdict) = seen.pod.and_then(|pod| of_ended_pod(pod, seen)) {
        return verdict;
    }
    let ruin = gone(seen)
        .or_else(|| late(seen))
        .or_else(|| seen.pod.and_then(|pod| stuck(pod, seen)))
        .or_else(|| refused(seen))
        .or_else(|| stalled(seen));
    match ruin {
        Some(ruin) => Verdict::Failed(Box::new(ruin)),
        None if seen.pod.is_some_and(is_running) => Verdict::Runs,
        None => Verdict::Waits(waits_for(seen)),
    }
}

/// What an ended pod says, and what is said of it.
fn of_ended_pod(pod: &Pod, seen: &Evidence<'_>) -> Option<Verdict> {
    let ended = main_container(pod).and_then(terminated);
    let report = ended
        .and_then(|ended| ended.message.as_deref())
        .and_then(|message| serde_json::from_str::<Report>(message).ok());
    if let (Some(Report::Done(done)), Some(0)) = (&report, ended.map(|ended| ended.exit_code)) {
        return Some(Verdict::Done(done.clone()));
    }
    let ruin = match (ended, report) {
        (Some(ended), report) if ended.reason.as_deref() == Some("OOMKilled") => {
            out_of_memory(report)
        }
        (Some(_), Some(Report::Failed(failed))) => reported(failed, pod, seen),
        (Some(ended), Some(Report::Done(_)) | None) => unreported(ended, pod, seen),
        (None, _) if phase(pod) == "Failed" => ended_without_running(pod),
        (None, _) => return None,
    };
    Some(Verdict::Failed(Box::new(ruin)))
}

fn out_of_memory(report: Option<Report>) -> Ruin {
    let message = "a process of the Job's pod was killed because the pod used more memory than its limit; a template can \
        raise resources.limits.memory of the container dump (spec.backup.job.templateRef of the instance)";
    let mut ruin = Ruin::new(BackupReason::OutOfMemory, message);
    if let Some(Report::Failed(failed)) = report {
        ruin.last_lines = failed.last_lines;
        ruin.tool_version = failed.tool_version;
    }
    ruin
}

/// The pod's own words; only where it was asked to end others know better why.
fn reported(failed: Failed, pod: &Pod, seen: &Evidence<'_>) -> Ruin {
    let own = Ruin {
        reason: reason(failed.cause),
        message: failed.message,
        last_lines: failed.last_lines,
        tool_version: failed.tool_version,
    };
    if failed.cause != Cause::Terminated {
        return own;
    }
    match asked_to_end(pod, seen) {
        Some(why) => Ruin {
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
fn asked_to_end(pod: &Pod, seen: &Evidence<'_>) -> Option<Ruin> {
    evicted(pod)
        .or_else(|| job_deadline(seen))
        .or_else(|| gone(seen))
}

fn unreported(ended: &ContainerStateTerminated, pod: &Pod, seen: &Evidence<'_>) -> Ruin {
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
        Ruin::new(BackupReason::Killed, message)
    })
}

/// A node refused the pod, or lost it.
fn ended_without_running(pod: &Pod) -> Ruin {
    if let Some(ruin) = evicted(pod) {
        return ruin;
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
    Ruin::new(BackupReason::Killed, message)
}

fn evicted(pod: &Pod) -> Option<Ruin> {
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
    Some(Ruin::new(BackupReason::Evicted, message))
}

fn job_deadline(seen: &Evidence<'_>) -> Option<Ruin> {
    let conditions = seen.job?.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .any(|c| c.reason.as_deref() == Some("DeadlineExceeded") && c.status == "True")
        .then(|| deadline_exceeded(seen))
}

fn deadline_exceeded(seen: &Evidence<'_>) -> Ruin {
    let message = format!(
        "the backup was not complete after spec.deadlineSeconds ({} s): make another Backup with a later deadline",
        seen.deadline.as_secs()
    );
    Ruin::new(BackupReason::DeadlineExceeded, message)
}

/// The Job is not there any more, or on its way out; nobody but a person does that to a Job that runs.
fn gone(seen: &Evidence<'_>) -> Option<Ruin> {
    let leaving = seen
        .job
        .is_none_or(|job| job.metadata.deletion_timestamp.is_some());
    leaving.then(|| {
        let message = "somebody deleted the Job before the backup was complete";
        Ruin::new(BackupReason::JobDeleted, message)
    })
}

fn late(seen: &Evidence<'_>) -> Option<Ruin> {
    let age = seen.now.duration_since(seen.started_at);
    let over = age > seen.deadline.saturating_add(DEADLINE_MARGIN);
    if over {
        return Some(deadline_exceeded(seen));
    }
    let conditions = seen.job?.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions
        .iter()
        .find(|c| c.type_ == "Failed" && c.status == "True")?;
    if failed.reason.as_deref() == Some("DeadlineExceeded") {
        return Some(deadline_exceeded(seen));
    }
    // Its pod would have been judged before, if there were one.
    let message = format!(
        "the Job failed, and its pod is gone: {}",
        failed
            .message
            .as_deref()
            .or(failed.reason.as_deref())
            .unwrap_or("it does not say why")
    );
    Some(Ruin::new(BackupReason::Killed, message))
}

/// A container that cannot begin.
fn stuck(pod: &Pod, seen: &Evidence<'_>) -> Option<Ruin> {
    let since = created(pod).unwrap_or(seen.started_at);
    let waited = seen.now.duration_since(since);
    let containers = init_containers(pod).chain(main_containers(pod));
    containers
        .filter_map(|container| Some((container, waiting(container)?)))
        .find_map(|(container, state)| {
            let word = state.reason.as_deref()?;
            let (reason, grace) = obstacle(word)?;
            if waited < grace {
                return None;
            }
            let message = format!(
                "the container {} cannot begin ({word}): {}",
                container.name,
                state
                    .message
                    .as_deref()
                    .map_or(container.image.as_str(), first_line)
            );
            Some(Ruin::new(reason, message))
        })
}

/// What a kubelet's word for a container that does not begin means, and how long it may be passing.
fn obstacle(word: &str) -> Option<(BackupReason, SignedDuration)> {
    match word {
        "InvalidImageName" | "ErrImageNeverPull" => {
            Some((BackupReason::ImageUnavailable, SignedDuration::ZERO))
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => Some((BackupReason::ImageUnavailable, IMAGE_GRACE)),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PostStartHookError"
        | "CrashLoopBackOff" => Some((BackupReason::JobRefused, IMAGE_GRACE)),
        _ => None,
    }
}

/// No pod, and an Event says why.
fn refused(seen: &Evidence<'_>) -> Option<Ruin> {
    let said = seen.refused.filter(|_| seen.pod.is_none())?;
    let since = seen.job.and_then(created).unwrap_or(seen.started_at);
    (seen.now.duration_since(since) >= REFUSAL_GRACE).then(|| {
        let message = format!("the Job's pod cannot be created: {said}");
        Ruin::new(BackupReason::JobRefused, message)
    })
}

/// Nothing moved for too long, also where the pod could not say so.
fn stalled(seen: &Evidence<'_>) -> Option<Ruin> {
    let began = seen
        .pod
        .and_then(main_container)
        .and_then(running_since)
        .or_else(|| seen.job.and_then(created))
        .unwrap_or(seen.started_at);
    let last = seen.last_advance.map_or(began, |last| last.max(began));
    let still = seen.now.duration_since(last);
    (still > seen.stall.saturating_add(STALL_MARGIN)).then(|| {
        let message = if seen.pod.is_some_and(is_running) {
            format!(
                "nothing was dumped or uploaded for {} s (spec.stallSeconds is {}): a lock held in the database, a node or \
                 a network that is lost",
                still.as_secs(),
                seen.stall.as_secs()
            )
        } else {
            format!("for {} s the dump did not begin: {}", still.as_secs(), waits_for(seen))
        };
        Ruin::new(BackupReason::NoProgress, message)
    })
}

/// Why the dump tool does not run yet.
fn waits_for(seen: &Evidence<'_>) -> String {
    let Some(pod) = seen.pod else {
        return match seen.refused {
            Some(said) => format!("the Job's pod cannot be created: {said}"),
            None => "the Job has no pod yet".to_owned(),
        };
    };
    let unscheduled = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        let said = condition.message.as_deref().unwrap_or("no node was found");
        return format!("the pod {} has no node: {said}", name(pod));
    }
    let containers = init_containers(pod).chain(main_containers(pod));
    let word = containers
        .filter_map(waiting)
        .find_map(|state| state.reason.clone())
        .filter(|word| word != "PodInitializing");
    match word {
        Some(word) => format!("the pod {} begins ({word})", name(pod)),
        None => format!("the pod {} begins", name(pod)),
    }
}

/// Whether the dump tool's container runs.
#[must_use]
pub fn is_running(pod: &Pod) -> bool {
    main_container(pod).and_then(running_since).is_some()
}

/// Whether nothing of the pod runs any more.
#[must_use]
pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn said_of(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    match (&status.reason, &status.message) {
        (Some(reason), Some(message)) => Some(format!("{reason} ({message})")),
        (Some(word), None) | (None, Some(word)) => Some(word.clone()),
        (None, None) => None,
    }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or("of the Job")
}

fn created<K: kube::Resource>(object: &K) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

fn main_container(pod: &Pod) -> Option<&ContainerStatus> {
    main_containers(pod).find(|container| container.name == MAIN)
}

fn main_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
}

fn init_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().flatten())
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

fn waiting(container: &ContainerStatus) -> Option<&ContainerStateWaiting> {
    container.state.as_ref()?.waiting.as_ref()
}

fn running_since(container: &ContainerStatus) -> Option<Timestamp> {
    let running = container.state.as_ref()?.running.as_ref()?;
    Some(running.started_at.as_ref().map_or(Timestamp::MIN, |t| t.0))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
