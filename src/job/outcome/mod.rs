//! Decides what became of a Job, from everything that can be observed. Pure: no client, and the time is an argument.
//!
//! What the pod itself said comes first, then what Kubernetes says of the pod, then of the Job, then the clock.

mod ended_pod;

use jiff::{SignedDuration, Timestamp};

use super::objects::{Job, Pod};
use super::pod::{
    created, first_line, init_containers, is_running, main_container, main_containers, name,
    running_since, true_since, waiting,
};
use super::pod_creation;
use super::time_limit::TimeLimits;
use crate::agent::protocol::result::Done;
use crate::agent::protocol::task::signed_within;
use crate::api::BackupReason;
use crate::api::backup::Failure as FailureStatus;
use crate::api::reason::Reason;
use ended_pod::{evicted, of_ended_pod};

/// How long an image may be not to be had before that is believed.
const IMAGE_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// How long after a Job's end what its pod says is waited for: the two are watched apart.
const REPORT_GRACE: SignedDuration = SignedDuration::from_secs(10);
/// How long after its time a pod that is to end may be silent.
const LOST_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// The pod notices a stall itself, and knows more about it: so much later it is noticed from outside.
const STALL_MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// The Job ends its pod at the deadline, and the pod reports: so much later it is stopped from outside.
const DEADLINE_MARGIN: SignedDuration = SignedDuration::from_secs(15);

/// All that can be seen of the work on a backup.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The Job; `None` only where the API server says that it is not there.
    pub job: Option<&'a Job>,
    /// Its pod.
    pub pod: Option<&'a Pod>,
    /// Why a pod could not be created, from the Job's Events.
    pub refused: Option<&'a str>,
    /// When the backup began.
    pub started_at: Timestamp,
    /// When something was last dumped or uploaded.
    pub last_advance: Option<Timestamp>,
    /// When a look last showed the pod's own figures, which move with every byte. What the store has moves by whole parts,
    /// and nobody knows how long one takes.
    pub looked_at: Option<Timestamp>,
    /// How long it may take, and stand still.
    pub limits: TimeLimits,
    /// Now.
    pub now: Timestamp,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum JobOutcome {
    /// The dump tool does not run yet; a sentence says why.
    Waits(String),
    /// It runs.
    Runs,
    /// The pod says that it is done.
    Done(Done),
    /// It cannot become a backup any more.
    Failed(Box<Failure>),
}

/// Why it cannot become a backup any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The condition's reason.
    pub reason: BackupReason,
    /// For a person.
    pub message: String,
    /// The dump tool's own last lines.
    pub last_lines: Vec<String>,
    /// What the dump tool says that it is, where that is known.
    pub tool_version: Option<String>,
}

impl Failure {
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
    pub fn failure(&self) -> FailureStatus {
        FailureStatus {
            reason: self.reason.as_str().to_owned(),
            message: self.message.clone(),
            last_lines: self.last_lines.clone(),
        }
    }
}

/// Decides what became of the Job.
#[must_use]
pub fn decide(seen: &Observation<'_>) -> JobOutcome {
    if let Some(outcome) = seen.pod.and_then(|pod| of_ended_pod(pod, seen)) {
        return outcome;
    }
    let gone = gone(seen);
    if let Some(outcome) = job_ended(seen).filter(|_| gone.is_none()) {
        return outcome;
    }
    let failure = gone
        .or_else(|| late(seen))
        .or_else(|| seen.pod.and_then(|pod| lost(pod, seen)))
        .or_else(|| seen.pod.and_then(|pod| stuck(pod, seen)))
        .or_else(|| refused(seen))
        .or_else(|| stalled(seen));
    match failure {
        Some(failure) => JobOutcome::Failed(Box::new(failure)),
        None if seen.pod.is_some_and(is_running) => JobOutcome::Runs,
        None => JobOutcome::Waits(waits_for(seen)),
    }
}

pub(super) fn deadline_exceeded(seen: &Observation<'_>) -> Failure {
    let message = format!(
        "the backup was not complete after {}: make another Backup with a later deadline",
        seen.limits.deadline
    );
    Failure::new(BackupReason::DeadlineExceeded, message)
}

/// The Job is gone or being deleted; only a person does that to a running Job.
pub(super) fn gone(seen: &Observation<'_>) -> Option<Failure> {
    let leaving = seen
        .job
        .is_none_or(|job| job.metadata.deletion_timestamp.is_some());
    leaving.then(|| {
        let message = "the Job was deleted before the backup was complete";
        Failure::new(BackupReason::JobDeleted, message)
    })
}

/// A Job that has ended while no pod says how: the pod is gone, or was not heard of yet.
fn job_ended(seen: &Observation<'_>) -> Option<JobOutcome> {
    let conditions = seen.job?.status.as_ref()?.conditions.as_ref()?;
    let end = conditions
        .iter()
        .find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    let since = end.last_transition_time.as_ref().map(|time| time.0);
    if seen.now.duration_since(since.unwrap_or(seen.started_at)) < REPORT_GRACE {
        let why = "the Job has ended, and what its pod says is waited for";
        return Some(JobOutcome::Waits(why.to_owned()));
    }
    let failure = if end.reason.as_deref() == Some("DeadlineExceeded") {
        deadline_exceeded(seen)
    } else {
        let how = if end.type_ == "Complete" {
            "is complete"
        } else {
            "failed"
        };
        let pod = match seen.pod {
            Some(pod) => format!("its pod {} does not say how", name(pod)),
            None => "its pod is gone, and with it what it reported".to_owned(),
        };
        let said = end.message.as_deref().or(end.reason.as_deref());
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        Failure::new(
            BackupReason::Killed,
            format!("the Job {how}, but {pod}{said}"),
        )
    };
    Some(JobOutcome::Failed(Box::new(failure)))
}

/// The Job did not keep its deadline.
fn late(seen: &Observation<'_>) -> Option<Failure> {
    let age = seen.now.duration_since(seen.started_at);
    let over = age > seen.limits.deadline.time.saturating_add(DEADLINE_MARGIN);
    over.then(|| deadline_exceeded(seen))
}

/// A pod that should have ended by now, and of which its node does not say so.
fn lost(pod: &Pod, seen: &Observation<'_>) -> Option<Failure> {
    // The time that it was given to end is in it.
    let until = pod.metadata.deletion_timestamp.as_ref()?.0;
    if seen.now.duration_since(until) <= LOST_AFTER {
        return None;
    }
    let message = format!(
        "the pod {} was to end by {until}, and its node has not said since that it did: the node is lost",
        name(pod)
    );
    Some(evicted(pod).unwrap_or_else(|| Failure::new(BackupReason::Killed, message)))
}

/// A container that cannot begin.
fn stuck(pod: &Pod, seen: &Observation<'_>) -> Option<Failure> {
    // Time without a node, or behind other containers, is none that this one had.
    let placed = true_since(pod, "PodScheduled").or_else(|| created(pod));
    let init = init_containers(pod).map(|container| (container, placed));
    let initialized = true_since(pod, "Initialized").or(placed);
    let main = main_containers(pod).map(|container| (container, initialized));
    init.chain(main)
        .filter_map(|(container, since)| Some((container, since, waiting(container)?)))
        .find_map(|(container, since, state)| {
            let word = state.reason.as_deref()?;
            let (reason, grace) = blocked(word)?;
            let waited = seen.now.duration_since(since.unwrap_or(seen.started_at));
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
            Some(Failure::new(reason, message))
        })
}

/// What a kubelet's word for a container that does not begin means, and how long it may be passing.
fn blocked(word: &str) -> Option<(BackupReason, SignedDuration)> {
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
fn refused(seen: &Observation<'_>) -> Option<Failure> {
    let said = seen.refused.filter(|_| seen.pod.is_none())?;
    let since = seen.job.and_then(created).unwrap_or(seen.started_at);
    (seen.now.duration_since(since) >= pod_creation::grace(said)).then(|| {
        let message = format!("the Job's pod cannot be created: {said}");
        Failure::new(BackupReason::JobRefused, message)
    })
}

/// Nothing moved for too long, also where the pod could not say so. Of what runs only a look at its own figures can tell
/// that: without one it is left to the pod's own watch, and to the Job's deadline.
fn stalled(seen: &Observation<'_>) -> Option<Failure> {
    let runs = seen.pod.is_some_and(is_running);
    let (until, limit) = if runs {
        // Nothing moves while a part waits for its signature.
        (seen.looked_at?, signed_within(seen.limits.stall.time))
    } else {
        (seen.now, seen.limits.stall.time)
    };
    let began = seen
        .pod
        .and_then(main_container)
        .and_then(running_since)
        .or_else(|| seen.job.and_then(created))
        .unwrap_or(seen.started_at);
    let last = seen.last_advance.map_or(began, |last| last.max(began));
    let still = until.duration_since(last);
    (still > limit.saturating_add(STALL_MARGIN)).then(|| {
        let message = if runs {
            format!(
                "nothing was dumped or uploaded for {} s: a lock held in the database, or a network that is lost; the \
                 limit is {}",
                still.as_secs(),
                seen.limits.stall
            )
        } else {
            format!(
                "for {} s the dump did not begin: {}; the limit is {}",
                still.as_secs(),
                waits_for(seen),
                seen.limits.stall
            )
        };
        Failure::new(BackupReason::NoProgress, message)
    })
}

/// Why the dump tool does not run yet.
fn waits_for(seen: &Observation<'_>) -> String {
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

#[cfg(test)]
mod tests;
