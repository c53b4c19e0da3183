//! Decides what became of a Job, from everything that can be observed. Pure: no client, and the time is an argument.
//!
//! What the pod itself said comes first, then what Kubernetes says of the pod, then of the Job, then the clock.

mod ended_pod;
mod work;

use jiff::{SignedDuration, Timestamp};

use super::objects::{Job, Pod};
use super::pod::{
    created, first_line, init_containers, is_running, main_container, main_containers, name,
    running_since, terminated, true_since, waiting,
};
use super::time_limit::TimeLimits;
use super::{Kind, pod_creation};
use crate::agent::protocol::task::signed_within;
use crate::api::BackupReason;
use crate::api::backup::Failure as FailureStatus;
use crate::api::reason::Reason;
use ended_pod::{evicted, of_ended_pod};
pub use work::{Dumping, Loading, RestoreEnd, Work};

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

/// All that can be seen of the work on a backup or a restore.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The Job; `None` only where the API server says that it is not there.
    pub job: Option<&'a Job>,
    /// Its pod.
    pub pod: Option<&'a Pod>,
    /// Why a pod could not be created, from the Job's Events.
    pub refused: Option<&'a str>,
    /// When the backup or the restore began.
    pub started_at: Timestamp,
    /// When something was last dumped, uploaded or loaded.
    pub last_advance: Option<Timestamp>,
    /// When a look last showed the pod's own figures, which move with every byte. What the store has moves by whole parts,
    /// and nobody knows how long one takes.
    pub looked_at: Option<Timestamp>,
    /// How long it may take, and stand still.
    pub limits: TimeLimits,
    /// Now.
    pub now: Timestamp,
}

/// Why a Job cannot reach its end any more, as Kubernetes and the clock tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was not done in time.
    DeadlineExceeded,
    /// Its Job was deleted.
    JobDeleted,
    /// Its pod ended without a word.
    Killed,
    /// An image cannot be pulled.
    ImageUnavailable,
    /// Its pod cannot be created, or cannot begin.
    JobRefused,
    /// Nothing moved for too long.
    NoProgress,
    /// It needed more memory than it may have.
    OutOfMemory,
    /// A node asked its pod to go.
    Evicted,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum JobOutcome<W: Work = Dumping> {
    /// The tool does not run yet; a sentence says why.
    Waits(String),
    /// It runs.
    Runs,
    /// The pod says that it is done.
    Done(W::Done),
    /// It cannot reach its end any more.
    Failed(Box<Failure<W::Reason>>),
}

/// Why it cannot reach its end any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure<R = BackupReason> {
    /// The condition's reason, or what it is made from.
    pub reason: R,
    /// For a person.
    pub message: String,
    /// What differs from the backup, a sentence each: only of a restore.
    pub differences: Vec<String>,
    /// The tool's own last lines.
    pub last_lines: Vec<String>,
    /// What the tool says that it is, where that is known.
    pub tool_version: Option<String>,
    /// It is transient: another attempt may succeed.
    pub passing: bool,
}

impl<R> Failure<R> {
    /// Without words of the tool.
    pub fn new(reason: impl Into<R>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            differences: Vec::new(),
            last_lines: Vec::new(),
            tool_version: None,
            passing: false,
        }
    }
}

impl Failure {
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
pub fn decide<W: Work>(seen: &Observation<'_>) -> JobOutcome<W> {
    if let Some(outcome) = seen.pod.and_then(|pod| of_ended_pod::<W>(pod, seen)) {
        return outcome;
    }
    let gone = gone::<W>(seen);
    if let Some(outcome) = job_ended::<W>(seen).filter(|_| gone.is_none()) {
        return outcome;
    }
    let failure = gone
        .or_else(|| late::<W>(seen))
        .or_else(|| seen.pod.and_then(|pod| lost::<W>(pod, seen)))
        .or_else(|| seen.pod.and_then(|pod| stuck::<W>(pod, seen)))
        .or_else(|| refused::<W>(seen))
        .or_else(|| stalled::<W>(seen));
    match failure {
        Some(failure) => JobOutcome::Failed(Box::new(failure)),
        None if seen.pod.is_some_and(is_running) => JobOutcome::Runs,
        None => JobOutcome::Waits(waits_for(seen)),
    }
}

pub(super) fn deadline_exceeded<W: Work>(seen: &Observation<'_>) -> Failure<W::Reason> {
    let (noun, another) = match W::KIND {
        Kind::Backup => ("backup", "Backup"),
        Kind::Restore => ("restore", "Restore"),
    };
    let message = format!(
        "the {noun} was not complete after {}: make another {another} with a later deadline",
        seen.limits.deadline
    );
    Failure::new(Cause::DeadlineExceeded, message)
}

/// The Job is gone or being deleted; only a person does that to a running Job.
pub(super) fn gone<W: Work>(seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
    let leaving = seen
        .job
        .is_none_or(|job| job.metadata.deletion_timestamp.is_some());
    leaving.then(|| {
        let noun = W::KIND.noun();
        let message = format!("the Job was deleted before the {noun} was complete");
        Failure::new(Cause::JobDeleted, message)
    })
}

/// A Job that has ended while no pod says how: the pod is gone, or was not heard of yet.
fn job_ended<W: Work>(seen: &Observation<'_>) -> Option<JobOutcome<W>> {
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
        deadline_exceeded::<W>(seen)
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
        Failure::new(Cause::Killed, format!("the Job {how}, but {pod}{said}"))
    };
    Some(JobOutcome::Failed(Box::new(failure)))
}

/// The Job did not keep its deadline.
fn late<W: Work>(seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
    let age = seen.now.duration_since(seen.started_at);
    let over = age > seen.limits.deadline.time.saturating_add(DEADLINE_MARGIN);
    over.then(|| deadline_exceeded::<W>(seen))
}

/// A pod that should have ended by now, and of which its node does not say so.
fn lost<W: Work>(pod: &Pod, seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
    // The time that it was given to end is in it.
    let until = pod.metadata.deletion_timestamp.as_ref()?.0;
    if seen.now.duration_since(until) <= LOST_AFTER {
        return None;
    }
    let message = format!(
        "the pod {} was to end by {until}, and its node has not said since that it did: the node is lost",
        name(pod)
    );
    Some(evicted::<W>(pod).unwrap_or_else(|| Failure::new(Cause::Killed, message)))
}

/// A container that cannot begin.
fn stuck<W: Work>(pod: &Pod, seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
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
fn blocked(word: &str) -> Option<(Cause, SignedDuration)> {
    match word {
        "InvalidImageName" | "ErrImageNeverPull" => {
            Some((Cause::ImageUnavailable, SignedDuration::ZERO))
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => Some((Cause::ImageUnavailable, IMAGE_GRACE)),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PostStartHookError"
        | "CrashLoopBackOff" => Some((Cause::JobRefused, IMAGE_GRACE)),
        _ => None,
    }
}

/// No pod, and an Event says why.
fn refused<W: Work>(seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
    let said = seen.refused.filter(|_| seen.pod.is_none())?;
    let since = seen.job.and_then(created).unwrap_or(seen.started_at);
    (seen.now.duration_since(since) >= pod_creation::grace(said)).then(|| {
        let message = format!("the Job's pod cannot be created: {said}");
        Failure::new(Cause::JobRefused, message)
    })
}

/// Nothing moved for too long, also where the pod could not say so. Of what runs only a look at its own figures can tell
/// that: without one it is left to the pod's own watch, and to the Job's deadline.
fn stalled<W: Work>(seen: &Observation<'_>) -> Option<Failure<W::Reason>> {
    let runs = seen.pod.is_some_and(is_running);
    let (until, limit) = if runs {
        // Nothing moves while a part waits for its signature.
        (seen.looked_at?, signed_within(seen.limits.stall.time))
    } else {
        (seen.now, seen.limits.stall.time)
    };
    let still = until.duration_since(last_move(seen));
    (still > limit.saturating_add(STALL_MARGIN)).then(|| {
        let message = if runs {
            format!(
                "{} for {} s: a lock held in the database, or a network that is lost; the limit is {}",
                match W::KIND {
                    Kind::Backup => "nothing was dumped or uploaded",
                    Kind::Restore => "nothing was fetched or loaded",
                },
                still.as_secs(),
                seen.limits.stall
            )
        } else {
            format!(
                "for {} s the {} did not begin: {}; the limit is {}",
                still.as_secs(),
                W::KIND.container(),
                waits_for(seen),
                seen.limits.stall
            )
        };
        Failure::new(Cause::NoProgress, message)
    })
}

/// When something last moved, or since when that could have been.
#[must_use]
pub fn last_move(seen: &Observation<'_>) -> Timestamp {
    let began = seen
        .pod
        .and_then(main_container)
        .and_then(running_since)
        .or_else(|| seen.job.and_then(created))
        .unwrap_or(seen.started_at);
    seen.last_advance.map_or(began, |last| last.max(began))
}

/// When the container that dumps or loads has ended, if it has.
#[must_use]
pub fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let ended = main_container(pod).and_then(terminated)?;
    ended.finished_at.as_ref().map(|time| time.0)
}

/// Why the tool does not run yet.
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
